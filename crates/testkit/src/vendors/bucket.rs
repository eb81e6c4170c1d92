//! A bucket as docs.aws.amazon.com/AmazonS3/latest/API describes it, path style, in memory: PUT, GET with ranges, HEAD,
//! DELETE, uploads in parts. Signatures are not computed, but every request must carry one, and the hash of its body.

use super::serve;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode, header};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Smallest part that is not the last (EntityTooSmall otherwise).
const PART_BYTES_MIN: usize = 5 * 1024 * 1024;
/// Largest body of a request here; our parts are 8 MiB.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The bucket's name.
const BUCKET: &str = "recordings-test";
/// The access key that is known.
const ACCESS_KEY: &str = "AKIAFAKE";

/// How a request goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BucketFault {
    /// The next so many requests are answered with this status.
    Status(u16, u32),
    /// Objects are stored without their last byte.
    LoseByte,
    /// Parts are refused from this number on.
    RefusePart(u32),
    /// Nothing is ever answered.
    Stall,
}

#[derive(Default)]
struct Kept {
    objects: BTreeMap<String, Bytes>,
    uploads: HashMap<String, BTreeMap<u32, Bytes>>,
    uploads_begun: u64,
    parts: u64,
    fault: Option<BucketFault>,
}

type Shared = Arc<Mutex<Kept>>;

/// A running bucket; dropping ends it.
pub struct FakeBucket {
    address: SocketAddr,
    kept: Shared,
    stop: CancellationToken,
}

impl FakeBucket {
    /// Starts it on a free port of this machine.
    ///
    /// # Errors
    /// When there is no port to listen on.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let address = listener.local_addr()?;
        let (kept, stop) = (Shared::default(), CancellationToken::new());
        let router =
            Router::new().fallback(handle).layer(DefaultBodyLimit::max(BODY_BYTES_MAX)).with_state(Arc::clone(&kept));
        serve(listener, router, stop.clone());
        Ok(Self { address, kept, stop })
    }

    /// Its endpoint.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Name of the bucket.
    #[must_use]
    pub const fn bucket(&self) -> &'static str {
        BUCKET
    }

    /// The access key that it knows; any secret will do.
    #[must_use]
    pub const fn access_key(&self) -> &'static str {
        ACCESS_KEY
    }

    /// What is stored under a key.
    #[must_use]
    pub fn object(&self, key: &str) -> Option<Bytes> {
        self.kept().objects.get(key).cloned()
    }

    /// Uploads that were begun and neither completed nor aborted.
    #[must_use]
    pub fn open_uploads(&self) -> usize {
        self.kept().uploads.len()
    }

    /// Parts received.
    #[must_use]
    pub fn parts(&self) -> u64 {
        self.kept().parts
    }

    /// Something goes wrong from now on; `None` = nothing.
    pub fn fault(&self, fault: Option<BucketFault>) {
        self.kept().fault = fault;
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().expect("no holder panics")
    }
}

impl Drop for FakeBucket {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn handle(State(shared): State<Shared>, request: Request) -> Response {
    let stalled = shared.lock().expect("no holder panics").fault == Some(BucketFault::Stall);
    if stalled {
        std::future::pending::<()>().await;
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_BYTES_MAX).await else {
        return error(StatusCode::BAD_REQUEST, "IncompleteBody");
    };
    let query: HashMap<String, String> =
        url::form_urlencoded::parse(parts.uri.query().unwrap_or("").as_bytes()).into_owned().collect();
    let mut kept = shared.lock().expect("no holder panics");
    if let Err((status, code)) = check_signed(&parts.headers, &body) {
        return error(status, code);
    }
    if let Some(BucketFault::Status(status, times)) = kept.fault {
        kept.fault = (times > 1).then(|| BucketFault::Status(status, times - 1));
        return error(StatusCode::from_u16(status).expect("tests name real statuses"), "SlowDown");
    }
    let Some(key) =
        parts.uri.path().strip_prefix('/').and_then(|p| p.strip_prefix(BUCKET)).and_then(|p| p.strip_prefix('/'))
    else {
        return error(StatusCode::NOT_FOUND, "NoSuchBucket");
    };
    kept.answer(&parts.method, key, &query, &parts.headers, body)
}

/// Every request carries a signature of version 4 by the known key, and the hash of what it sends.
fn check_signed(headers: &HeaderMap, body: &[u8]) -> Result<(), (StatusCode, &'static str)> {
    let get = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("");
    let signature = get("authorization");
    let wanted = format!("AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/");
    if !signature.starts_with(&wanted) || !signature.contains("Signature=") {
        return Err((StatusCode::FORBIDDEN, "InvalidAccessKeyId"));
    }
    let hash = get("x-amz-content-sha256");
    if hash != "UNSIGNED-PAYLOAD" && hash != hex(&Sha256::digest(body)) {
        return Err((StatusCode::BAD_REQUEST, "XAmzContentSHA256Mismatch"));
    }
    Ok(())
}

impl Kept {
    fn answer(
        &mut self,
        method: &Method,
        key: &str,
        query: &HashMap<String, String>,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Response {
        match (method.as_str(), query.get("uploadId")) {
            ("POST", None) if query.contains_key("uploads") => self.begin(key),
            ("PUT", Some(id)) => self.part(id, query.get("partNumber"), body),
            ("POST", Some(id)) => self.complete(key, id, &body),
            ("DELETE", Some(id)) => {
                let known = self.uploads.remove(id).is_some();
                if known {
                    StatusCode::NO_CONTENT.into_response()
                } else {
                    error(StatusCode::NOT_FOUND, "NoSuchUpload")
                }
            }
            ("PUT", None) => {
                let tag = tag(&body);
                self.store(key, body);
                ([(header::ETAG, tag)], StatusCode::OK).into_response()
            }
            ("GET" | "HEAD", None) => self.read(method, key, headers),
            ("DELETE", None) => {
                self.objects.remove(key);
                StatusCode::NO_CONTENT.into_response()
            }
            _ => error(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
        }
    }

    fn store(&mut self, key: &str, mut body: Bytes) {
        if self.fault == Some(BucketFault::LoseByte) {
            body.truncate(body.len().saturating_sub(1));
        }
        self.objects.insert(key.to_owned(), body);
    }

    fn begin(&mut self, key: &str) -> Response {
        self.uploads_begun += 1;
        let id = format!("upload-{}", self.uploads_begun);
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><InitiateMultipartUploadResult><Bucket>{BUCKET}</Bucket><Key>{key}</Key><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
        );
        self.uploads.insert(id, BTreeMap::new());
        xml(StatusCode::OK, body)
    }

    fn part(&mut self, id: &str, number: Option<&String>, body: Bytes) -> Response {
        let Some(number) = number.and_then(|n| n.parse::<u32>().ok()).filter(|n| (1..=10_000).contains(n)) else {
            return error(StatusCode::BAD_REQUEST, "InvalidArgument");
        };
        if matches!(self.fault, Some(BucketFault::RefusePart(first)) if number >= first) {
            return error(StatusCode::FORBIDDEN, "AccessDenied");
        }
        let Some(upload) = self.uploads.get_mut(id) else { return error(StatusCode::NOT_FOUND, "NoSuchUpload") };
        self.parts += 1;
        let tag = tag(&body);
        upload.insert(number, body);
        ([(header::ETAG, tag)], StatusCode::OK).into_response()
    }

    fn complete(&mut self, key: &str, id: &str, list: &[u8]) -> Response {
        let Some(upload) = self.uploads.get(id) else { return error(StatusCode::NOT_FOUND, "NoSuchUpload") };
        let list = String::from_utf8_lossy(list);
        let named = list.matches("<PartNumber>").count();
        if named == 0
            || named != upload.len()
            || upload.values().any(|body| !list.contains(tag(body).trim_matches('"')))
        {
            return error(StatusCode::BAD_REQUEST, "InvalidPart");
        }
        if upload.values().rev().skip(1).any(|part| part.len() < PART_BYTES_MIN) {
            return error(StatusCode::BAD_REQUEST, "EntityTooSmall");
        }
        let parts = self.uploads.remove(id).unwrap_or_default();
        let body: Vec<u8> = parts.into_values().flat_map(Vec::from).collect();
        self.store(key, body.into());
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><CompleteMultipartUploadResult><Bucket>{BUCKET}</Bucket><Key>{key}</Key><ETag>\"whole\"</ETag></CompleteMultipartUploadResult>"
        );
        xml(StatusCode::OK, body)
    }

    fn read(&self, method: &Method, key: &str, headers: &HeaderMap) -> Response {
        let Some(body) = self.objects.get(key) else { return error(StatusCode::NOT_FOUND, "NoSuchKey") };
        let size = body.len();
        let range = headers.get(header::RANGE).and_then(|v| v.to_str().ok()).and_then(|v| v.strip_prefix("bytes="));
        let range = range.and_then(|r| r.split_once('-')).map(|(from, to)| {
            let to = to.parse::<usize>().map_or(size, |to| to.saturating_add(1)).min(size);
            (from.parse::<usize>().unwrap_or(usize::MAX), to)
        });
        let mut answer = Response::builder()
            .header(header::ETAG, tag(body))
            .header(header::LAST_MODIFIED, "Fri, 02 Jan 2026 03:04:05 GMT")
            .header(header::ACCEPT_RANGES, "bytes");
        let piece = match range {
            Some((from, to)) if from < to => {
                answer = answer
                    .status(StatusCode::PARTIAL_CONTENT)
                    .header(header::CONTENT_RANGE, format!("bytes {from}-{}/{size}", to - 1));
                body.slice(from..to)
            }
            Some(_) => return error(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange"),
            None => body.clone(),
        };
        answer = answer.header(header::CONTENT_LENGTH, piece.len());
        let piece = if method == Method::HEAD { Bytes::new() } else { piece };
        answer.body(piece.into()).expect("all headers are plain")
    }
}

fn tag(body: &[u8]) -> String {
    format!("\"{}\"", &hex(&Sha256::digest(body))[..32])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn error(status: StatusCode, code: &str) -> Response {
    xml(
        status,
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>fake</Message></Error>"),
    )
}

fn xml(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/xml")], body).into_response()
}
