//! A file into the store, part by part. The file is read and hashed on the blocking threads; at most one part is under
//! way while the next is read.

use super::{ObjectError, ObjectErrorKind, PART_BYTES, PART_TIMEOUT, REQUEST_TIMEOUT, Stored, within};
use bytes::Bytes;
use object_store::path::Path as StorePath;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

pub(super) async fn put_file(store: &dyn ObjectStore, key: &StorePath, path: &Path) -> Result<Stored, ObjectError> {
    let (mut source, first) = Source::open(path.to_owned()).await?;
    if source.at_end {
        within("put", PART_TIMEOUT, store.put(key, first.into())).await?;
        return Ok(source.stored());
    }
    let mut upload = within("begin upload", REQUEST_TIMEOUT, store.put_multipart(key)).await?;
    match put_parts(&mut *upload, &mut source, first).await {
        Ok(()) => Ok(source.stored()),
        Err(error) => {
            // Parts that stay behind cost money; a lifecycle rule of the bucket catches those that this cannot.
            let _ = within("abort upload", REQUEST_TIMEOUT, upload.abort()).await;
            Err(error)
        }
    }
}

async fn put_parts(upload: &mut dyn MultipartUpload, source: &mut Source, first: Bytes) -> Result<(), ObjectError> {
    let mut part = first;
    loop {
        let sending = within("put part", PART_TIMEOUT, upload.put_part(part.into()));
        if source.at_end {
            sending.await?;
            break;
        }
        let (sent, next) = tokio::join!(sending, source.next());
        sent?;
        part = next?;
        // The file's size was a whole number of parts.
        if part.is_empty() {
            break;
        }
    }
    within("complete upload", PART_TIMEOUT, upload.complete()).await?;
    Ok(())
}

/// The file being read.
struct Source {
    state: Option<(File, Sha256)>,
    bytes: u64,
    sha256: [u8; 32],
    at_end: bool,
}

impl Source {
    /// Opens the file and reads its first part.
    async fn open(path: PathBuf) -> Result<(Self, Bytes), ObjectError> {
        let open = tokio::task::spawn_blocking(move || File::open(path));
        let file = open.await.map_err(|_| stopped())?.map_err(|e| ObjectError::file("the file cannot be opened", e))?;
        let mut source = Self { state: Some((file, Sha256::new())), bytes: 0, sha256: [0; 32], at_end: false };
        let first = source.next().await?;
        Ok((source, first))
    }

    /// The next part; shorter than [`PART_BYTES`] only at the end.
    async fn next(&mut self) -> Result<Bytes, ObjectError> {
        let Some((mut file, mut hash)) = self.state.take() else { return Ok(Bytes::new()) };
        let read = tokio::task::spawn_blocking(move || {
            let mut part = Vec::new();
            let limit = PART_BYTES as u64;
            part.try_reserve_exact(PART_BYTES).map_err(|_| std::io::ErrorKind::OutOfMemory)?;
            (&mut file).take(limit).read_to_end(&mut part)?;
            hash.update(&part);
            Ok::<_, std::io::Error>((file, hash, part))
        });
        let (file, hash, part) =
            read.await.map_err(|_| stopped())?.map_err(|e| ObjectError::file("the file cannot be read", e))?;
        self.bytes += part.len() as u64;
        if part.len() < PART_BYTES {
            self.at_end = true;
            self.sha256 = hash.finalize().into();
        } else {
            self.state = Some((file, hash));
        }
        Ok(part.into())
    }

    const fn stored(&self) -> Stored {
        Stored { bytes: self.bytes, sha256: self.sha256 }
    }
}

fn stopped() -> ObjectError {
    ObjectError::new(ObjectErrorKind::Unavailable, "this process is stopping")
}
