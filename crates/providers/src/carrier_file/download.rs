//! One download: hop by hop to the file, hashed on its way to the disk.

use super::content::{self, AudioFormat};
use super::{CarrierFiles, FileError, FileRequest, REDIRECTS_MAX, Refusal, TemporaryFile, Trouble};
use crate::egress;
use reqwest::Response;
use reqwest::header::LOCATION;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncWriteExt, BufWriter};
use tokio::time::timeout;

/// Written to the disk at once, bytes.
const WRITE_BYTES: usize = 64 * 1024;

/// A file that begins like a recording.
pub(super) struct Downloaded {
    pub(super) file: TemporaryFile,
    pub(super) bytes: u64,
    pub(super) sha256: [u8; 32],
    pub(super) format: AudioFormat,
}

pub(super) async fn download(files: &CarrierFiles, request: &FileRequest<'_>) -> Result<Downloaded, FileError> {
    let response = ask(files, request).await?;
    match response.status().as_u16() {
        200 => {}
        // 404 until it is made; 202, 204 and 425 from those who say so.
        status @ (202 | 204 | 404 | 425) => return Err(FileError::NotReady(status)),
        401 => return Err(FileError::NeedsAuth),
        // S3 answers 400 to a signature that it does not like any more, and 403 to one that is over.
        status @ (400 | 403 | 410) => return Err(FileError::Expired(status)),
        status => return Err(FileError::Transient(Trouble::Status(status))),
    }
    if response.content_length().is_some_and(|length| length > files.limits.bytes) {
        return Err(FileError::TooLarge(files.limits.bytes));
    }
    save(files, response).await
}

/// The answer at the end of all redirects.
async fn ask(files: &CarrierFiles, request: &FileRequest<'_>) -> Result<Response, FileError> {
    let mut url = files.hosts.check(request.url).map_err(FileError::Refused)?;
    // Only the host that the carrier named gets the key; where it sends us, a signature in the address must do.
    let mut key = request.key.filter(|_| files.hosts.knows_key(&url, request.carrier));
    for _ in 0..=REDIRECTS_MAX {
        let mut get = files.client.get(url.clone());
        if let Some(key) = key.take() {
            get = get.basic_auth(key.user, Some(key.password.expose_secret()));
        }
        let answered = timeout(files.limits.first_byte, get.send()).await;
        let response = answered.map_err(|_| FileError::Transient(Trouble::TimedOut))?.map_err(|error| why(&error))?;
        if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
            return Ok(response);
        }
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let next = location.and_then(|location| url.join(location).ok());
        let next = next.ok_or(FileError::Transient(Trouble::Redirects))?;
        url = files.hosts.check(next.as_str()).map_err(FileError::Refused)?;
    }
    Err(FileError::Transient(Trouble::Redirects))
}

fn why(error: &reqwest::Error) -> FileError {
    match egress::refusal(error) {
        Some(refused) => FileError::Refused(Refusal::Address(refused)),
        None if error.is_timeout() => FileError::Transient(Trouble::TimedOut),
        None => FileError::Transient(Trouble::Unreachable),
    }
}

async fn save(files: &CarrierFiles, mut response: Response) -> Result<Downloaded, FileError> {
    let file = TemporaryFile::in_folder(&files.folder).map_err(FileError::Disk)?;
    let mut writer: Option<BufWriter<File>> = None;
    let mut beginning = Vec::with_capacity(content::MAGIC_BYTES);
    let (mut hash, mut bytes, mut format) = (Sha256::new(), 0u64, None);
    while let Some(piece) = next(files, &mut response).await? {
        bytes += piece.len() as u64;
        if bytes > files.limits.bytes {
            return Err(FileError::TooLarge(files.limits.bytes));
        }
        if beginning.len() < content::MAGIC_BYTES {
            beginning.extend(piece.iter().take(content::MAGIC_BYTES - beginning.len()));
            // The login page of a carrier is not even downloaded.
            if beginning.len() == content::MAGIC_BYTES {
                format = Some(content::recognise(&beginning).map_err(FileError::NotAudio)?);
            }
        }
        hash.update(&piece);
        let writer = match &mut writer {
            Some(writer) => writer,
            None => writer.insert(BufWriter::with_capacity(WRITE_BYTES, create(&file).await?)),
        };
        writer.write_all(&piece).await.map_err(FileError::Disk)?;
    }
    let Some(mut writer) = writer else { return Err(FileError::Empty) };
    // A file's end must not wait for its drop: whoever reads it next would find it short.
    writer.flush().await.map_err(FileError::Disk)?;
    let format = match format {
        Some(format) => format,
        None => content::recognise(&beginning).map_err(FileError::NotAudio)?,
    };
    Ok(Downloaded { file, bytes, sha256: hash.finalize().into(), format })
}

async fn next(files: &CarrierFiles, response: &mut Response) -> Result<Option<bytes::Bytes>, FileError> {
    match timeout(files.limits.stall, response.chunk()).await {
        Ok(Ok(piece)) => Ok(piece),
        Ok(Err(error)) => Err(why(&error)),
        Err(_) => Err(FileError::Transient(Trouble::TimedOut)),
    }
}

/// Readable by nobody else: it is what people said.
async fn create(file: &TemporaryFile) -> Result<File, FileError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options.open(&file.path).await.map_err(FileError::Disk)
}
