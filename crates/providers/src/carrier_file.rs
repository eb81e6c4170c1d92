//! Carriers' recordings, fetched to a file of this machine: from known hosts only, with the tenant's key for the carrier's
//! own host and nobody else, within limits of time and size, and judged by their content.
//!
//! Addresses come from carriers' reports, which somebody may have made up: they are checked as those that tenants choose
//! ([`crate::egress`]), redirects are followed by ourselves and each is checked anew.

mod content;
mod download;
mod hosts;

pub use content::{AudioFormat, Measured, NotAudio};
pub use hosts::{HOSTS_MAX, Refusal};

use crate::egress::{Allowed, Checked, Lookup, System};
use crate::http::Http;
use crate::{Error, ErrorKind};
use hosts::Hosts;
use model::CarrierKind;
use secrecy::SecretString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Name used in errors of this file.
const NAME: &str = "carrier recordings";
/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait from a request to the head of its answer, for each hop.
pub const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait between two pieces of a file.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest download of one file, redirects included: the largest one over a line of 7 Mbit/s.
pub const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(600);
/// Largest file, bytes: four hours (the longest call) of two channels in 256 kbit/s, and some. No carrier is known to
/// send more than a quarter of it.
pub const FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Redirects that are followed. One is usual (to the object store); more than three are a circle.
pub const REDIRECTS_MAX: usize = 3;
/// Files decoded at once. It takes a core for seconds, and live calls need the cores.
const DECODING_AT_ONCE: usize = 1;
/// How the names of unfinished files end.
const UNFINISHED: &str = "part";

/// How recordings are fetched.
#[derive(Clone, Debug)]
pub struct FileSettings {
    /// Files are written here; made when it is missing. This process's alone: what it finds there may be removed.
    pub folder: PathBuf,
    /// Hosts of the operator's own choice besides the carriers': `files.example.org`, `*.example.org`.
    pub hosts: Vec<String>,
    /// In development this machine is a carrier's host too, also over http.
    pub allowed: Allowed,
    /// How long and how large.
    pub limits: FileLimits,
}

/// How long a download may take and how large a file may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileLimits {
    /// From a request to the head of its answer.
    pub first_byte: Duration,
    /// Between two pieces.
    pub stall: Duration,
    /// In all.
    pub download: Duration,
    /// Bytes.
    pub bytes: u64,
}

impl Default for FileLimits {
    fn default() -> Self {
        Self { first_byte: FIRST_BYTE_TIMEOUT, stall: STALL_TIMEOUT, download: DOWNLOAD_TIMEOUT, bytes: FILE_BYTES_MAX }
    }
}

/// A recording to fetch.
#[derive(Clone, Copy, Debug)]
pub struct FileRequest<'a> {
    /// Where the carrier says it is. May hold a signature.
    pub url: &'a str,
    /// Whose it is: the key goes to this carrier's hosts only.
    pub carrier: CarrierKind,
    /// The tenant's key at the carrier, if it has given one.
    pub key: Option<FileKey<'a>>,
}

/// A name and a secret, for HTTP Basic.
#[derive(Clone, Copy, Debug)]
pub struct FileKey<'a> {
    /// The name.
    pub user: &'a str,
    /// The secret.
    pub password: &'a SecretString,
}

/// A recording, fetched and decoded. Dropping it removes the file.
#[derive(Debug)]
pub struct FetchedFile {
    file: TemporaryFile,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of it.
    pub sha256: [u8; 32],
    /// What it is, by its content.
    pub format: AudioFormat,
    /// What was decoded.
    pub measured: Measured,
}

impl FetchedFile {
    /// Where it is until this is dropped.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.file.path
    }
}

/// Why there is no recording. The texts hold no address and no secret, save the name of a host that is refused.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is not there yet (404, or accepted and not made yet).
    #[error("it is not there yet (the carrier answered {0})")]
    NotReady(u16),
    /// It is there and has nothing in it yet.
    #[error("it is empty")]
    Empty,
    /// The address is good no longer: a fresh one is needed.
    #[error("its address is good no longer (the carrier answered {0})")]
    Expired(u16),
    /// The carrier wants a key, or another one.
    #[error("the carrier wants a key for it, or another one")]
    NeedsAuth,
    /// The address may not be asked.
    #[error("{0}")]
    Refused(Refusal),
    /// It is larger than allowed.
    #[error("it is larger than {0} bytes")]
    TooLarge(u64),
    /// Something came, and it is no recording.
    #[error("{0}")]
    NotAudio(NotAudio),
    /// So little of it came that nothing can be said of it.
    #[error("it is cut short")]
    Truncated,
    /// The carrier, or the way there, failed; another try may succeed.
    #[error("{0}")]
    Transient(Trouble),
    /// This machine's disk.
    #[error("its file: {0}")]
    Disk(std::io::Error),
}

/// What is wrong with the carrier or the way there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// No name, no connection, no TLS, or it broke.
    #[error("no connection could be made, or it broke")]
    Unreachable,
    /// It took too long.
    #[error("the carrier took too long")]
    TimedOut,
    /// It answered what makes no sense, or that it cannot.
    #[error("the carrier answered {0}")]
    Status(u16),
    /// More redirects than [`REDIRECTS_MAX`], or one that leads nowhere.
    #[error("the carrier sent us around in circles")]
    Redirects,
}

impl FileError {
    /// Whether the carrier or the way to it failed, so that trying again at once may help.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Transient(_) => true,
            Self::NotReady(_)
            | Self::Empty
            | Self::Expired(_)
            | Self::NeedsAuth
            | Self::Refused(_)
            | Self::TooLarge(_)
            | Self::NotAudio(_)
            | Self::Truncated
            | Self::Disk(_) => false,
        }
    }
}

/// Fetches recordings; cloning is cheap.
#[derive(Clone, Debug)]
pub struct CarrierFiles {
    client: reqwest::Client,
    hosts: Arc<Hosts>,
    folder: Arc<Path>,
    limits: FileLimits,
    decoding: Arc<Semaphore>,
}

impl CarrierFiles {
    /// With the roots of trust that `http` has.
    ///
    /// # Errors
    /// When the client cannot be built or the folder cannot be made.
    pub fn new(http: &Http, settings: &FileSettings) -> Result<Self, Error> {
        Self::with_lookup(http, settings, Arc::new(System))
    }

    /// The same, with another way from names to addresses.
    ///
    /// # Errors
    /// As [`CarrierFiles::new`].
    pub fn with_lookup(http: &Http, settings: &FileSettings, lookup: Arc<dyn Lookup>) -> Result<Self, Error> {
        let refused = |detail: &str| Error::new(ErrorKind::Rejected, NAME, detail);
        std::fs::create_dir_all(&settings.folder).map_err(|e| refused("the folder cannot be made").caused_by(e))?;
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(rustls::ClientConfig::clone(http.tls()))
            .user_agent(concat!("caly/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .dns_resolver(Checked { lookup, allowed: settings.allowed })
            // A connection kept from earlier would go to an address that was checked earlier.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|e| refused("the HTTP client cannot be built").caused_by(e))?;
        Ok(Self {
            client,
            hosts: Arc::new(Hosts::new(&settings.hosts, settings.allowed)),
            folder: settings.folder.clone().into(),
            limits: settings.limits,
            decoding: Arc::new(Semaphore::new(DECODING_AT_ONCE)),
        })
    }

    /// Removes what earlier runs of this process left unfinished; how many files. For the start, before anything is
    /// fetched.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn clear(&self) -> std::io::Result<usize> {
        let mut removed = 0;
        for entry in std::fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|ends| ends == UNFINISHED) && std::fs::remove_file(&path).is_ok() {
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Fetches a recording and decodes all of it.
    ///
    /// # Errors
    /// [`FileError`]; nothing stays on the disk then.
    pub async fn fetch(&self, request: &FileRequest<'_>) -> Result<FetchedFile, FileError> {
        let downloading = download::download(self, request);
        let Ok(downloaded) = tokio::time::timeout(self.limits.download, downloading).await else {
            return Err(FileError::Transient(Trouble::TimedOut));
        };
        let download::Downloaded { file, bytes, sha256, format } = downloaded?;
        let measured = self.measure(&file.path, format).await?;
        Ok(FetchedFile { file, bytes, sha256, format, measured })
    }

    async fn measure(&self, path: &Path, format: AudioFormat) -> Result<Measured, FileError> {
        // Never closed; were it, decoding more at once would do no harm.
        let turn = self.decoding.clone().acquire_owned().await;
        let (path, here) = (path.to_owned(), Waiting::default());
        let is_dropped = here.0.clone();
        let decoded = tokio::task::spawn_blocking(move || {
            // The thread's own: it may go on for a moment when nobody waits for it any more.
            let _turn = turn;
            content::measure(&path, format, &is_dropped)
        });
        match decoded.await {
            Ok(Ok(measured)) => Ok(measured),
            Ok(Err(content::Unusable::NotAudio(why))) => Err(FileError::NotAudio(why)),
            Ok(Err(content::Unusable::Truncated)) => Err(FileError::Truncated),
            Ok(Err(content::Unusable::Disk(error))) => Err(FileError::Disk(error)),
            // Not seen by anybody: this was dropped then.
            Ok(Err(content::Unusable::Dropped)) => Err(FileError::Transient(Trouble::TimedOut)),
            // A file that brings the decoder down is no recording.
            Err(_) => Err(FileError::NotAudio(NotAudio::Undecodable)),
        }
    }
}

/// Says when it is dropped.
#[derive(Default)]
struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A file that goes when this does.
#[derive(Debug)]
pub(crate) struct TemporaryFile {
    path: PathBuf,
}

impl TemporaryFile {
    /// A new name in the folder.
    fn in_folder(folder: &Path) -> std::io::Result<Self> {
        let name = getrandom::u64().map_err(std::io::Error::other)?;
        Ok(Self { path: folder.join(format!("{name:016x}.{UNFINISHED}")) })
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        // One that cannot be removed now is removed at the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::HttpSettings;

    fn files(folder: &Path) -> CarrierFiles {
        let http = Http::new(&HttpSettings::default()).expect("a client");
        let settings = FileSettings {
            folder: folder.join("fetched"),
            hosts: Vec::new(),
            allowed: Allowed::LoopbackToo,
            limits: FileLimits::default(),
        };
        CarrierFiles::new(&http, &settings).expect("a folder")
    }

    #[tokio::test]
    async fn a_decoder_that_nobody_waits_for_keeps_its_turn_until_it_ends() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let files = files(folder.path());
        // Opening it waits until somebody writes.
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
        let measuring = files.measure(&pipe, AudioFormat::Mp3);
        assert!(tokio::time::timeout(Duration::from_millis(200), measuring).await.is_err(), "dropped");
        assert_eq!(files.decoding.available_permits(), 0, "the thread still has it");
        std::fs::write(&pipe, b"x").expect("written");
        let ended = tokio::time::timeout(Duration::from_secs(10), files.decoding.acquire()).await;
        assert!(ended.expect("its turn is over").is_ok());
    }
}
