//! The binary, run with an environment of its own.

use crate::place::{Place, eventually, variable};
use rustix::process::{Pid, Signal, kill_process};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

/// What signs webhooks in these tests.
pub(crate) const SECRET: &str = "a secret of the tests";
/// What protects keys at rest in these tests.
pub(crate) const ENCRYPTION_KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
/// A debug build on a busy machine is up within this time.
const UP_WITHIN: Duration = Duration::from_secs(30);
/// And has ended within this time, drains that the test waits for included.
const ENDED_WITHIN: Duration = Duration::from_secs(45);

/// The binary with nothing of the test's environment, and with these settings.
pub(crate) fn command(place: &Place, arguments: &[&str], settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_caly"));
    command.args(arguments).env_clear().current_dir(place.path("")).kill_on_drop(true).stdin(Stdio::null());
    for name in ["PATH", "HOME"] {
        if let Some(value) = variable(name) {
            command.env(name, value);
        }
    }
    command
        .env("CALY_DATA_DIR", place.data(""))
        .env("DATABASE_URL", &place.url)
        .env("DB_POOL_MIN", "0")
        .env("PORT", "0")
        .env("CALY_MODELS_DIR", "/nonexistent")
        .env("ENCRYPTION_KEY", ENCRYPTION_KEY)
        .env("EXOTEL_WEBHOOK_SECRET", SECRET);
    for (name, value) in settings {
        command.env(name, value);
    }
    command
}

/// Runs it to its end.
pub(crate) async fn run(place: &Place, arguments: &[&str], settings: &[(&str, &str)]) -> Finished {
    let mut command = command(place, arguments, settings);
    let output = tokio::time::timeout(ENDED_WITHIN, command.output()).await.expect("it ends").expect("it runs");
    output.into()
}

/// How a run went.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

impl Finished {
    #[track_caller]
    pub(crate) fn succeeded(&self) -> &Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// It refused with one clear message that has all these words, and did not crash.
    #[track_caller]
    pub(crate) fn complained(&self, words: &[&str]) -> &Self {
        assert_eq!(self.code, Some(1), "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "«{word}» is missing in: {}", self.stderr);
        }
        let complaint = self.stderr.lines().find(|line| line.starts_with("caly: "));
        assert!(complaint.is_some(), "no sentence for people: {}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self
    }
}

/// `caly serve`, running.
pub(crate) struct Server {
    child: Child,
    /// `http://127.0.0.1:PORT`.
    pub(crate) url: String,
    output: Arc<Mutex<String>>,
    /// Whoever reads what it prints.
    readers: JoinSet<()>,
}

impl Server {
    /// Starts it and waits until it answers calls.
    pub(crate) async fn start(place: &Place, settings: &[(&str, &str)]) -> Self {
        let mut command = command(place, &["serve"], settings);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let output = Arc::new(Mutex::new(String::new()));
        let mut readers = JoinSet::new();
        readers.spawn(keep(child.stdout.take().expect("piped"), output.clone()));
        readers.spawn(keep(child.stderr.take().expect("piped"), output.clone()));
        let mut server = Self { child, url: String::new(), output, readers };
        server.url = eventually("caly serve is up", UP_WITHIN, async || {
            let output = server.output();
            assert!(!output.contains("\ncaly: ") && !output.starts_with("caly: "), "{output}");
            let (_, rest) = output.split_once("Caly answers calls on ")?;
            rest.split_once(';').map(|(url, _)| url.to_owned())
        })
        .await;
        server
    }

    /// Everything it has printed.
    pub(crate) fn output(&self) -> String {
        self.output.lock().expect("no holder panics").clone()
    }

    /// Memory of the process that is in use, kB.
    pub(crate) fn resident_kb(&self) -> u64 {
        let id = self.child.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("a status");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
        resident.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = self.child.id().expect("it runs");
        let pid = Pid::from_raw(i32::try_from(id).expect("a process id")).expect("not 0");
        kill_process(pid, signal).expect("ours");
    }

    /// Waits for its end, and for all that it has printed.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let (child, readers) = (&mut self.child, &mut self.readers);
        let all = async {
            let status = child.wait().await;
            while readers.join_next().await.is_some() {}
            status
        };
        let ended = tokio::time::timeout(ENDED_WITHIN, all).await;
        ended.unwrap_or_else(|_| panic!("it does not end: {}", self.output())).expect("waited")
    }

    /// `kill -9`.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.expect("ours");
    }

    /// An orderly end, with nothing bad said.
    pub(crate) async fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = self.ended().await;
        assert!(status.success(), "{status}: {}", self.output());
        assert!(!self.output().contains("panicked"), "{}", self.output());
    }
}

impl Drop for Server {
    /// A failed test shows what the server said.
    #[expect(clippy::print_stderr, reason = "the output of a failed test")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- what the server said\n{}---", self.output());
        }
    }
}

async fn keep(pipe: impl AsyncRead + Unpin, output: Arc<Mutex<String>>) {
    let mut lines = BufReader::new(pipe).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut output = output.lock().expect("no holder panics");
        output.push_str(&line);
        output.push('\n');
    }
}
