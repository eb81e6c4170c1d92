//! Mails as files: for development, where no mail server is.

use super::message::{self, Encoding};
use super::{Mail, NAME, render};
use crate::{Error, ErrorKind};
use chrono::{DateTime, Utc};
use lettre::address::Address;
use lettre::message::Mailbox;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Tries for a name that no other process has taken; each takes the next number.
const NAME_TRIES_MAX: u32 = 1_000;
/// Readable for this user alone: the mails hold codes and links.
const FILE_MODE: u32 = 0o600;
/// The same of the folder, when it is made here.
const FOLDER_MODE: u32 = 0o700;

pub(super) struct Folder {
    path: PathBuf,
    written: AtomicU64,
}

impl Folder {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path, written: AtomicU64::new(0) }
    }

    pub(super) fn describe(&self) -> String {
        format!("files in {}", self.path.display())
    }

    pub(super) async fn send(&self, mail: &Mail, now: DateTime<Utc>) -> Result<(), Error> {
        let kind = mail.kind.as_str();
        let address = Address::new("caly", "localhost").map_err(|e| failed("no sender").caused_by(e))?;
        let from = Mailbox::new(Some("Caly".to_owned()), address);
        let content = message::build(mail, render(&mail.kind), &from, now, Encoding::Readable)?.formatted();
        // Files have lines as this machine writes them.
        let content = String::from_utf8_lossy(&content).replace("\r\n", "\n");
        let time = now.format("%Y%m%dT%H%M%SZ").to_string();
        for _ in 0..NAME_TRIES_MAX {
            let number = self.written.fetch_add(1, Ordering::Relaxed) + 1;
            let path = self.path.join(format!("{time}-{kind}-{number}.eml"));
            match write(path.clone(), content.clone()).await {
                Ok(()) => {
                    tracing::info!(kind, path = %path.display(), "mail written to a file instead of being sent");
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed("the mail cannot be written into its folder").caused_by(error)),
            }
        }
        Err(failed("every name for the mail's file is taken"))
    }

    pub(super) async fn check(&self) -> Result<(), Error> {
        let number = self.written.fetch_add(1, Ordering::Relaxed) + 1;
        let path = self.path.join(format!(".check-{}-{number}", std::process::id()));
        let tried = async {
            write(path.clone(), String::new()).await?;
            tokio::fs::remove_file(&path).await
        };
        tried.await.map_err(|e| failed("the folder for mail cannot be written into").caused_by(e))
    }
}

/// Makes the folder when it is missing, and a new file in it.
async fn write(path: PathBuf, content: String) -> io::Result<()> {
    let work = move || {
        if let Some(folder) = path.parent().filter(|folder| *folder != Path::new("")) {
            std::fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)?;
        }
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&path)?;
        file.write_all(content.as_bytes())
    };
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn failed(detail: &str) -> Error {
    Error::new(ErrorKind::Unavailable, NAME, detail)
}
