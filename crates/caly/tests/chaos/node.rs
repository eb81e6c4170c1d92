//! `caly serve` as a supervisor runs it: the same port and the same data after every death.

use crate::place::{Place, variable};
use crate::program::command;
use std::fs::{File, OpenOptions};
use std::time::Duration;
use tokio::process::Child;
use tokio::time::Instant;

/// A debug build on a busy machine is up within this time, whatever it finds.
const UP_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks whether it is up.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// An orderly end takes no longer.
const ENDED_WITHIN: Duration = Duration::from_secs(45);
/// Below those that the system gives to outgoing connections, so that none of them takes it while the node is dead.
const PORTS: std::ops::Range<u16> = 12_000..30_000;
/// Of the log, when it must be shown.
const SHOWN_LINES: usize = 60;

/// See the module.
pub(crate) struct Node {
    child: Child,
    started: Instant,
}

/// A port that nobody has.
pub(crate) fn free_port() -> u16 {
    let mut bytes = [0; 2];
    for _ in 0..1_000 {
        getrandom::fill(&mut bytes).expect("random bytes");
        let port = PORTS.start + u16::from_ne_bytes(bytes) % (PORTS.end - PORTS.start);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free")
}

fn log(place: &Place) -> File {
    OpenOptions::new().create(true).append(true).open(place.path("server.log")).expect("a log")
}

/// Everything that all the processes have said.
pub(crate) fn said(place: &Place) -> String {
    String::from_utf8_lossy(&std::fs::read(place.path("server.log")).unwrap_or_default()).into_owned()
}

/// The end of it; all of it is kept where `CALY_CHAOS_LOG` says.
pub(crate) fn last_words(place: &Place) -> String {
    let said = said(place);
    if let Some(path) = variable("CALY_CHAOS_LOG") {
        std::fs::write(path, &said).expect("the log is kept");
    }
    let lines: Vec<&str> = said.lines().collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
}

impl Node {
    pub(crate) fn spawn(place: &Place, settings: &[(&str, &str)]) -> Self {
        let started = Instant::now();
        let mut command = command(place, &["serve"], settings);
        let child = command.stdout(log(place)).stderr(log(place)).spawn().expect("it starts");
        Self { child, started }
    }

    /// Waits until it takes calls: how long that took since the start.
    pub(crate) async fn up(&mut self, http: &reqwest::Client, url: &str) -> Result<Duration, String> {
        let ready = format!("{url}/health/ready");
        loop {
            if let Ok(answer) = http.get(&ready).send().await
                && answer.status().is_success()
            {
                return Ok(self.started.elapsed());
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("it does not start: {status}"));
            }
            if self.started.elapsed() > UP_WITHIN {
                return Err(format!("it is not up within {UP_WITHIN:?}"));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// `kill -9`; it is gone when this returns. An error when it had ended by itself.
    pub(crate) async fn kill(mut self) -> Result<(), String> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Err(format!("it ended by itself: {status}"));
        }
        self.child.kill().await.map_err(|error| error.to_string())
    }

    /// An orderly end.
    pub(crate) async fn stop(mut self) -> Result<(), String> {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(id.ok_or("it has ended")?, rustix::process::Signal::TERM)
            .map_err(|error| error.to_string())?;
        match tokio::time::timeout(ENDED_WITHIN, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(format!("it ended badly: {status}")),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("it does not end within {ENDED_WITHIN:?}")),
        }
    }
}
