//! The server under measurement: this program once more, as a child with a folder and settings of its own, looked at
//! only from outside.

use crate::config::SETTINGS;
use anyhow::{Context, bail};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// From its start to its address: loading the built-in models takes a second or two, much more in a debug build.
const READY_WITHIN: Duration = Duration::from_secs(180);
/// Clock ticks of `/proc/PID/stat` a second: Linux shows 100 to every program, whatever the kernel counts with.
const TICKS_PER_S: f64 = 100.0;
/// Lines of the server's log that are shown when it fails.
const LOG_LINES_SHOWN: usize = 8;

/// A folder that is gone when this is dropped.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn create(name: &str) -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("caly-bench-{}-{name}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("the folder {} cannot be made", path.display()))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is in the folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a process has used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// Processor time in its own code, in seconds.
    pub(super) user_s: f64,
    /// Processor time in the system's.
    pub(super) system_s: f64,
    /// Resident memory, in KiB.
    pub(super) resident_kib: u64,
    pub(super) threads: u64,
    /// How long the threads that it has now have run, in seconds: finer than the two above.
    pub(super) ran_s: f64,
    /// How long they waited for a processor.
    pub(super) waited_s: f64,
    /// Open files and sockets.
    pub(super) files: u64,
    /// What it caused to be written to storage, in KiB.
    pub(super) written_kib: u64,
}

impl Usage {
    /// Of a process; none when this system does not tell.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let io = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
        let written = io.lines().find_map(|line| line.strip_prefix("write_bytes:")?.trim().parse::<u64>().ok());
        let files = std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |files| files.count() as u64);
        let usage = Self::parse(&stat, &status)?;
        let (ran_s, waited_s) = scheduled(pid);
        Some(Self { ran_s, waited_s, files, written_kib: written.unwrap_or(0) / 1_024, ..usage })
    }

    /// All processor time, in seconds.
    pub(super) const fn cpu_s(&self) -> f64 {
        self.user_s + self.system_s
    }

    /// proc_pid_stat(5): utime, stime and num_threads are fields 14, 15 and 20; the name, field 2, may hold anything.
    fn parse(stat: &str, status: &str) -> Option<Self> {
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).and_then(|text| text.parse::<u64>().ok());
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(Self {
            user_s: field(14)? as f64 / TICKS_PER_S,
            system_s: field(15)? as f64 / TICKS_PER_S,
            resident_kib: resident.split_whitespace().next()?.parse().ok()?,
            threads: field(20)?,
            ..Self::default()
        })
    }
}

/// How long its threads have run and waited, in seconds: proc_pid_schedstat(5), the first two numbers of each, nanoseconds.
fn scheduled(pid: u32) -> (f64, f64) {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return (0.0, 0.0) };
    let each = tasks.flatten().filter_map(|task| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        let mut numbers = text.split_whitespace().map_while(|number| number.parse::<f64>().ok());
        Some((numbers.next()? / 1e9, numbers.next()? / 1e9))
    });
    each.fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// The running server; dropping it kills it.
pub(super) struct Server {
    child: Child,
    pid: u32,
    log: PathBuf,
    /// Its address, `http://127.0.0.1:PORT`.
    pub(super) address: String,
}

impl Server {
    /// Starts it with these settings and no others, on one core if one is given, and waits until it listens.
    pub(super) async fn start(
        folder: &Path,
        settings: &[(&'static str, OsString)],
        core: Option<usize>,
    ) -> anyhow::Result<Self> {
        Self::start_as(&["serve"], folder, settings, core).await
    }

    /// The relay in its place.
    pub(super) async fn start_relay(folder: &Path, vendors: SocketAddr, core: Option<usize>) -> anyhow::Result<Self> {
        Self::start_as(&["bench", "relay", "--vendors", &vendors.to_string()], folder, &[], core).await
    }

    async fn start_as(
        arguments: &[&str],
        folder: &Path,
        settings: &[(&'static str, OsString)],
        core: Option<usize>,
    ) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("the path of this program is unknown")?;
        let log = folder.join("server.log");
        let log_file = std::fs::File::create(&log).context("the server's log cannot be written")?;
        let mut command = match core {
            Some(core) => {
                let mut command = Command::new("taskset");
                command.arg("--cpu-list").arg(core.to_string()).arg(program);
                command
            }
            None => Command::new(program),
        };
        for (name, _) in SETTINGS {
            command.env_remove(name);
        }
        command.args(arguments).envs(settings.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log_file).kill_on_drop(true);
        let mut child = command.spawn().context("the server could not be started")?;
        let pid = child.id().context("the server ended at once")?;
        let stdout = child.stdout.take().context("the server has no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let Ok(address) = tokio::time::timeout(READY_WITHIN, address(&mut lines)).await else {
            bail!("the server was not ready within {} s", READY_WITHIN.as_secs());
        };
        let Some(address) = address else { bail!("the server did not start:\n{}", last_lines(&log)) };
        // What it says later is of no interest, but it must be able to say it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { child, pid, log, address })
    }

    pub(super) fn usage(&self) -> Option<Usage> {
        Usage::of(self.pid)
    }

    /// # Errors
    /// When it has ended, with the last it had to say.
    pub(super) fn still_runs(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("the server ended during the measurement ({status}):\n{}", last_lines(&self.log)),
        }
    }

    /// Ends it at once: its calls are over and its folder goes.
    pub(super) async fn kill(mut self) {
        if let Err(error) = self.child.kill().await {
            tracing::warn!(%error, "the server could not be ended");
        }
    }
}

/// The address in the line that says it listens; none when there is none.
async fn address(lines: &mut Lines<BufReader<ChildStdout>>) -> Option<String> {
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(address) = address_in(&line) {
            return Some(address);
        }
    }
    None
}

fn address_in(line: &str) -> Option<String> {
    let from = line.find("http://")?;
    let end = line[from..].find([';', ' ']).map_or(line.len(), |length| from + length);
    Some(line[from..end].to_owned())
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_what_the_server_says() {
        let line = "Caly answers calls on http://127.0.0.1:40123; stop with Ctrl-C";
        assert_eq!(address_in(line).as_deref(), Some("http://127.0.0.1:40123"));
        assert_eq!(address_in("on http://[::1]:3000").as_deref(), Some("http://[::1]:3000"));
        assert_eq!(address_in("loading"), None);
    }

    #[test]
    fn a_process_whose_name_has_spaces_and_brackets_is_read() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 100 0 0 0 1234 566 0 0 20 0 7 0 1000 1 1 1";
        let status = "Name:\tx\nVmHWM:\t  9000 kB\nVmRSS:\t  8192 kB\nThreads:\t7\n";
        let want = Usage { user_s: 12.34, system_s: 5.66, resident_kib: 8_192, threads: 7, ..Usage::default() };
        assert_eq!(Usage::parse(stat, status), Some(want));
        assert_eq!(Usage::parse("42 (x) Z 1 2", status), None);
        assert_eq!(Usage::parse(stat, "Name:\tx\n"), None);
    }

    #[test]
    fn this_process_can_be_looked_at() {
        if cfg!(target_os = "linux") {
            let usage = Usage::of(std::process::id()).expect("Linux tells");
            assert!(usage.resident_kib > 100 && usage.threads >= 1);
        }
    }

    #[test]
    fn a_scratch_folder_is_gone_afterwards() {
        let scratch = Scratch::create("test").expect("a folder");
        let path = scratch.path().to_owned();
        std::fs::write(path.join("file"), b"x").expect("written");
        drop(scratch);
        assert!(!path.exists());
    }
}
