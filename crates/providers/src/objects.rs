//! Where recordings are kept: a local folder, or any S3-compatible service.
//!
//! Keys are made here, never taken from outside: `recordings/{tenant}/{yyyy}/{mm}/{dd}/{call}.wav`. Sources:
//! docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html (parts, sizes), …/object-keys.html (safe characters),
//! docs.wasabi.com (path and virtual-host addresses).

mod error;
mod key;
mod upload;

pub use error::{ObjectError, ObjectErrorKind};
pub use key::ObjectKey;

use crate::http::Http;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::aws::AmazonS3Builder;
use object_store::client::{ClientOptions, HttpClient, HttpConnector};
use object_store::local::LocalFileSystem;
use object_store::{BackoffConfig, GetOptions, GetRange, ObjectStore, ObjectStoreExt, RetryConfig};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::future::Future;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Size of one part of an upload, in bytes, and so the memory of an upload (twice, while the next part is read). S3
/// wants at least 5 MiB; 10 000 parts of 8 MiB are far above the longest call.
pub const PART_BYTES: usize = 8 * 1024 * 1024;
/// Most that [`Objects::get_range`] gives at once, in bytes.
pub const RANGE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Longest wait for one small request (head, delete, the beginning of a download).
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest wait for one part, up or down: 8 MiB at 1.5 Mbit/s.
pub const PART_TIMEOUT: Duration = Duration::from_secs(45);
/// Longest wait between two pieces of a download.
pub const PIECE_TIMEOUT: Duration = Duration::from_secs(15);
/// Tries of one request after the first, within its timeout. Uploads are jobs, which try again by themselves.
const REQUEST_RETRIES: usize = 2;

/// Where recordings are kept.
#[derive(Clone, Debug)]
pub enum ObjectSettings {
    /// A folder of this machine; made when it is missing.
    Local {
        /// The folder.
        folder: PathBuf,
    },
    /// An S3-compatible service.
    S3(S3Settings),
}

/// An S3-compatible service.
#[derive(Clone, Debug)]
pub struct S3Settings {
    /// Address, as `https://s3.ap-south-1.wasabisys.com`; `None` = Amazon's own for the region.
    pub endpoint: Option<String>,
    /// Region, as `ap-south-1`.
    pub region: String,
    /// Bucket.
    pub bucket: String,
    /// Access key id.
    pub access_key: SecretString,
    /// Secret access key.
    pub secret_key: SecretString,
    /// The bucket is part of the host name; else of the path, which every service understands.
    pub virtual_host: bool,
}

/// What was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Size in bytes, as the service confirms it.
    pub bytes: u64,
    /// SHA-256 of the content.
    pub sha256: [u8; 32],
}

/// What is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Size in bytes.
    pub bytes: u64,
    /// When it was stored.
    pub modified: chrono::DateTime<chrono::Utc>,
}

/// A download under way.
pub struct Download {
    /// The whole object.
    pub info: ObjectInfo,
    /// The part of it that follows, in bytes from its beginning.
    pub range: Range<u64>,
    /// The bytes; an error ends it.
    pub pieces: BoxStream<'static, Result<Bytes, ObjectError>>,
}

/// The store of recordings; cloning is cheap.
#[derive(Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    description: String,
}

impl Objects {
    /// Opens the store. A folder is made; a service is not asked yet (see [`Objects::check`]).
    ///
    /// # Errors
    /// `Settings` for what cannot work, `File` when the folder cannot be made.
    pub fn open(settings: &ObjectSettings, http: &Http) -> Result<Self, ObjectError> {
        match settings {
            ObjectSettings::Local { folder } => Self::open_folder(folder),
            ObjectSettings::S3(s3) => Self::open_s3(s3, http),
        }
    }

    fn open_folder(folder: &Path) -> Result<Self, ObjectError> {
        std::fs::create_dir_all(folder).map_err(|e| ObjectError::file("the folder cannot be made", e))?;
        let store = LocalFileSystem::new_with_prefix(folder)
            .map_err(|e| ObjectError::of_store("open", e))?
            // A recording that was reported as stored must survive a power cut.
            .with_fsync(true)
            .with_automatic_cleanup(true);
        Ok(Self { store: Arc::new(store), description: format!("folder {}", folder.display()) })
    }

    fn open_s3(s3: &S3Settings, http: &Http) -> Result<Self, ObjectError> {
        let refused = |detail: &str| ObjectError::new(ObjectErrorKind::Settings, detail);
        for (name, value) in [("region", &s3.region), ("bucket", &s3.bucket)] {
            if value.trim().is_empty() {
                return Err(refused(&format!("the {name} is missing")));
            }
        }
        let mut builder = AmazonS3Builder::new()
            .with_region(s3.region.trim())
            .with_bucket_name(s3.bucket.trim())
            .with_access_key_id(s3.access_key.expose_secret().trim())
            .with_secret_access_key(s3.secret_key.expose_secret().trim())
            .with_virtual_hosted_style_request(s3.virtual_host)
            // One object at a time is all that is ever removed, and every service knows that request.
            .with_disable_bulk_delete(true)
            .with_http_connector(SharedClient(http.client().clone()))
            .with_retry(RetryConfig {
                backoff: BackoffConfig { init_backoff: Duration::from_millis(200), ..BackoffConfig::default() },
                max_retries: REQUEST_RETRIES,
                retry_timeout: PART_TIMEOUT,
            });
        let mut place = String::from("Amazon S3");
        if let Some(endpoint) = &s3.endpoint {
            let endpoint = endpoint_of(endpoint, s3)?;
            // Plain HTTP only where the operator wrote it.
            builder = builder.with_allow_http(endpoint.starts_with("http://"));
            place = format!("S3 at {endpoint}");
            builder = builder.with_endpoint(endpoint);
        }
        let store = builder.build().map_err(|e| ObjectError::of_store("open", e))?;
        let description = format!("{place}, bucket {}, region {}", s3.bucket.trim(), s3.region.trim());
        Ok(Self { store: Arc::new(store), description })
    }

    /// In one line for an operator, without secrets.
    #[must_use]
    pub fn describe(&self) -> &str {
        &self.description
    }

    /// Whether the store can be reached and lets us in: asks for an object that is not there.
    ///
    /// # Errors
    /// What stands in the way.
    pub async fn check(&self) -> Result<(), ObjectError> {
        // Not HEAD: its answer has no body, so that a missing bucket looks like a missing object.
        let probe = within("check", REQUEST_TIMEOUT, self.store.get(&(&ObjectKey::probe()).into())).await;
        match probe {
            Ok(_) => Ok(()),
            Err(error) if error.kind == ObjectErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Stores a file, in parts, with the memory of two parts whatever its size; then asks the store for the size it
    /// has. Storing the same key again replaces it whole.
    ///
    /// # Errors
    /// `File` for the file itself, `SizeMismatch` when the store confirms another size, or what the store says.
    pub async fn put_file(&self, key: &ObjectKey, path: &Path) -> Result<Stored, ObjectError> {
        let stored = upload::put_file(&*self.store, &key.into(), path).await?;
        let info = self.head(key).await?;
        if info.bytes != stored.bytes {
            let detail = format!("sent {} bytes, the store has {}", stored.bytes, info.bytes);
            return Err(ObjectError::new(ObjectErrorKind::SizeMismatch, detail));
        }
        Ok(stored)
    }

    /// Whether this very content is there already: an upload whose note was lost need not be made again. It is read back
    /// and hashed when its size is right, because stores keep digests in ways of their own.
    ///
    /// # Errors
    /// What the store says; that nothing is there is no error.
    pub async fn holds(&self, key: &ObjectKey, content: &Stored) -> Result<bool, ObjectError> {
        let mut download = match self.head(key).await {
            Ok(info) if info.bytes == content.bytes => self.get_stream(key, None).await?,
            Ok(_) => return Ok(false),
            Err(error) if error.kind == ObjectErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let mut hash = Sha256::new();
        while let Some(piece) = download.pieces.next().await {
            hash.update(&piece?);
        }
        Ok(hash.finalize()[..] == content.sha256)
    }

    /// Stores a few bytes, at most [`PART_BYTES`].
    ///
    /// # Errors
    /// `Settings` when there are too many, or what the store says.
    pub async fn put_bytes(&self, key: &ObjectKey, bytes: Bytes) -> Result<Stored, ObjectError> {
        if bytes.len() > PART_BYTES {
            return Err(ObjectError::new(ObjectErrorKind::Settings, "too large for one request"));
        }
        let stored = Stored { bytes: bytes.len() as u64, sha256: upload::sha256(&bytes) };
        within("put", PART_TIMEOUT, self.store.put(&key.into(), bytes.into())).await?;
        Ok(stored)
    }

    /// A piece of an object: `range` in bytes, at most [`RANGE_BYTES_MAX`], cut at the object's end.
    ///
    /// # Errors
    /// `NotFound`, `Range` for an empty or too large range or one beyond the end, or what the store says.
    pub async fn get_range(&self, key: &ObjectKey, range: Range<u64>) -> Result<Bytes, ObjectError> {
        if range.start >= range.end || range.end - range.start > RANGE_BYTES_MAX {
            return Err(ObjectError::new(ObjectErrorKind::Range, "empty or too large"));
        }
        let Download { mut pieces, range, .. } = self.get_stream(key, Some(range)).await?;
        let mut all = Vec::with_capacity(usize::try_from(range.end - range.start).unwrap_or(0));
        while let Some(piece) = pieces.next().await {
            all.extend_from_slice(&piece?);
        }
        Ok(all.into())
    }

    /// An object, or a piece of it (cut at its end), as it comes.
    ///
    /// # Errors
    /// `NotFound`, `Range` for an empty range or one beyond the end, or what the store says.
    pub async fn get_stream(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Result<Download, ObjectError> {
        if let Some(range) = &range {
            // Asked before, because stores differ in what they say about a range beyond the end.
            let size = self.head(key).await?.bytes;
            if range.start >= range.end || range.start >= size {
                return Err(ObjectError::new(ObjectErrorKind::Range, format!("the object has {size} bytes")));
            }
        }
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        let found = within("get", REQUEST_TIMEOUT, self.store.get_opts(&key.into(), options)).await?;
        let info = ObjectInfo { bytes: found.meta.size, modified: found.meta.last_modified };
        let range = found.range.clone();
        let pieces = futures_util::stream::unfold(Some(found.into_stream()), |stream| async move {
            let mut stream = stream?;
            match timeout(PIECE_TIMEOUT, stream.next()).await {
                Ok(None) => None,
                Ok(Some(Ok(piece))) => Some((Ok(piece), Some(stream))),
                Ok(Some(Err(error))) => Some((Err(ObjectError::of_store("get", error)), None)),
                Err(_) => Some((Err(ObjectError::late("get")), None)),
            }
        });
        Ok(Download { info, range, pieces: pieces.boxed() })
    }

    /// Size and time of an object.
    ///
    /// # Errors
    /// `NotFound`, or what the store says.
    pub async fn head(&self, key: &ObjectKey) -> Result<ObjectInfo, ObjectError> {
        let meta = within("head", REQUEST_TIMEOUT, self.store.head(&key.into())).await?;
        Ok(ObjectInfo { bytes: meta.size, modified: meta.last_modified })
    }

    /// Removes an object. One that is not there is as good as removed.
    ///
    /// # Errors
    /// What the store says.
    pub async fn delete(&self, key: &ObjectKey) -> Result<(), ObjectError> {
        match within("delete", REQUEST_TIMEOUT, self.store.delete(&key.into())).await {
            Err(error) if error.kind == ObjectErrorKind::NotFound => Ok(()),
            result => result,
        }
    }
}

impl std::fmt::Debug for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The store's own would show the access key.
        f.debug_tuple("Objects").field(&self.description).finish()
    }
}

impl std::fmt::Debug for Download {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Download").field("info", &self.info).field("range", &self.range).finish_non_exhaustive()
    }
}

/// One request with its deadline.
async fn within<T>(
    what: &'static str,
    limit: Duration,
    request: impl Future<Output = object_store::Result<T>>,
) -> Result<T, ObjectError> {
    match timeout(limit, request).await {
        Ok(result) => result.map_err(|e| ObjectError::of_store(what, e)),
        Err(_) => Err(ObjectError::late(what)),
    }
}

/// The endpoint as the library wants it: with the bucket in the host name when that is the style.
fn endpoint_of(endpoint: &str, s3: &S3Settings) -> Result<String, ObjectError> {
    let refused = |detail: &str| ObjectError::new(ObjectErrorKind::Settings, detail);
    // People write the bare host name too.
    let endpoint = endpoint.trim();
    let endpoint = if endpoint.contains("://") { endpoint.to_owned() } else { format!("https://{endpoint}") };
    let url = url::Url::parse(&endpoint).map_err(|_| refused("the endpoint is no URL"))?;
    if !matches!(url.scheme(), "https" | "http") || !url.username().is_empty() || url.password().is_some() {
        return Err(refused("the endpoint must be https://host, without a key in it"));
    }
    let host = url.host_str().ok_or_else(|| refused("the endpoint has no host"))?;
    let (endpoint, bucket) = (endpoint.trim_end_matches('/').to_owned(), s3.bucket.trim());
    if s3.virtual_host && !host.starts_with(&format!("{bucket}.")) {
        return Ok(endpoint.replacen("://", &format!("://{bucket}."), 1));
    }
    Ok(endpoint)
}

/// Lets the object store use the shared client: one set of trusted roots, one pool.
#[derive(Debug)]
struct SharedClient(reqwest::Client);

impl HttpConnector for SharedClient {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}
