//! A bucket as docs.aws.amazon.com/AmazonS3/latest/API describes it, path style, in memory: PUT, GET with ranges, HEAD,
//! DELETE, uploads in parts. Signatures are not computed, but every request must carry one, and the hash of its body.
//!
//! It counts how often each key was written, and can go away and come back with what it holds.

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
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Smallest part that is not the last (EntityTooSmall otherwise).
const PART_BYTES_MIN: usize = 5 * 1024 * 1024;
/// Largest body of a request here; our parts are 8 MiB.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// A bucket that goes away lets requests end for so long.
const CLOSED_WITHIN: Duration = Duration::from_millis(500);
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
    /// Every request takes so many milliseconds: half of them before anything is kept, half after.
    Slow(u64),
    /// What would write is refused with this status and this code; what is there can be read.
    RefuseWrites(u16, &'static str),
}

/// Writes of whole objects, by `PUT` or in parts. Parts count once, with their upload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Writes {
    /// Begun: the request was taken.
    pub begun: u64,
    /// Ended: the object is there. The answer may still be on its way.
    pub stored: u64,
}

#[derive(Default)]
struct Kept {
    objects: BTreeMap<String, Bytes>,
    stored: BTreeMap<String, u32>,
    requests: u64,
    writes: watch::Sender<Writes>,
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
    listening: Mutex<Listening>,
}

/// The present listener.
struct Listening {
    stop: CancellationToken,
    ended: tokio::task::JoinHandle<()>,
}

impl Listening {
    fn start(listener: TcpListener, kept: &Shared) -> Self {
        let router =
            Router::new().fallback(handle).layer(DefaultBodyLimit::max(BODY_BYTES_MAX)).with_state(Arc::clone(kept));
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        // Connections that are kept open are closed with it: a client's next request finds nobody.
        let serving = axum::serve(listener, router).with_graceful_shutdown(stopped);
        let stopped = stop.clone().cancelled_owned();
        let ended = tokio::spawn(async move {
            tokio::select! {
                _ = async { serving.await } => {}
                // Requests that are never answered are not waited for.
                () = async { stopped.await; tokio::time::sleep(CLOSED_WITHIN).await } => {}
            }
        });
        Self { stop, ended }
    }
}

impl FakeBucket {
    /// Starts it on a free port of this machine.
    ///
    /// # Errors
    /// When there is no port to listen on.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let address = listener.local_addr()?;
        let kept = Shared::default();
        let listening = Mutex::new(Listening::start(listener, &kept));
        Ok(Self { address, kept, listening })
    }

    /// Goes away: connections are refused from now on. What it holds stays.
    ///
    /// # Panics
    /// When its task did.
    pub async fn close(&self) {
        let ended = {
            let mut listening = self.listening();
            listening.stop.cancel();
            std::mem::replace(&mut listening.ended, tokio::spawn(async {}))
        };
        ended.await.expect("the listener does not panic");
    }

    /// Comes back after [`Self::close`], where it was.
    ///
    /// # Errors
    /// When the port has been taken meanwhile.
    pub async fn reopen(&self) -> std::io::Result<()> {
        let listener = TcpListener::bind(self.address).await?;
        *self.listening() = Listening::start(listener, &self.kept);
        Ok(())
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

    /// How often each key was written whole, by `PUT` or in parts.
    #[must_use]
    pub fn stored(&self) -> BTreeMap<String, u32> {
        self.kept().stored.clone()
    }

    /// Requests received, refused ones too.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.kept().requests
    }

    /// Tells of each write, as it begins and as it ends.
    #[must_use]
    pub fn writes(&self) -> watch::Receiver<Writes> {
        self.kept().writes.subscribe()
    }

    /// Something goes wrong from now on; `None` = nothing.
    pub fn fault(&self, fault: Option<BucketFault>) {
        self.kept().fault = fault;
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().expect("no holder panics")
    }

    fn listening(&self) -> std::sync::MutexGuard<'_, Listening> {
        self.listening.lock().expect("no holder panics")
    }
}

impl Drop for FakeBucket {
    fn drop(&mut self) {
        self.listening().stop.cancel();
    }
}

async fn handle(State(shared): State<Shared>, request: Request) -> Response {
    let fault = {
        let mut kept = shared.lock().expect("no holder panics");
        kept.requests += 1;
        if begins_write(&request) {
            kept.writes.send_modify(|writes| writes.begun += 1);
        }
        kept.fault
    };
    let half = match fault {
        Some(BucketFault::Stall) => std::future::pending().await,
        Some(BucketFault::Slow(ms)) => Duration::from_millis(ms / 2),
        Some(
            BucketFault::Status(..)
            | BucketFault::LoseByte
            | BucketFault::RefusePart(_)
            | BucketFault::RefuseWrites(..),
        )
        | None => Duration::ZERO,
    };
    tokio::time::sleep(half).await;
    let response = respond(&shared, request).await;
    tokio::time::sleep(half).await;
    response
}

/// `PUT` of an object, or the beginning of one in parts.
fn begins_write(request: &Request) -> bool {
    let query = request.uri().query().unwrap_or("");
    match request.method().as_str() {
        "PUT" => !query.contains("uploadId="),
        "POST" => query.split('&').any(|pair| pair == "uploads" || pair == "uploads="),
        _ => false,
    }
}

async fn respond(shared: &Shared, request: Request) -> Response {
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
    if let Some(BucketFault::RefuseWrites(status, code)) = kept.fault
        && (parts.method == Method::PUT || parts.method == Method::POST)
    {
        return error(StatusCode::from_u16(status).expect("tests name real statuses"), code);
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
        *self.stored.entry(key.to_owned()).or_default() += 1;
        self.writes.send_modify(|writes| writes.stored += 1);
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

#[cfg(test)]
mod tests {
    use super::*;

    async fn send(bucket: &FakeBucket, method: Method, body: &'static str) -> Option<u16> {
        // Whoever came first has installed the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().expect("a client");
        let request = http
            .request(method, format!("{}/{BUCKET}/key", bucket.endpoint()))
            .header("authorization", format!("AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/x, Signature=y"))
            .header("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
            .body(body);
        request.send().await.ok().map(|answer| answer.status().as_u16())
    }

    #[tokio::test]
    async fn writes_are_counted_and_told() {
        let bucket = FakeBucket::start().await.expect("a port");
        let writes = bucket.writes();
        assert_eq!(send(&bucket, Method::PUT, "one").await, Some(200));
        bucket.fault(Some(BucketFault::RefuseWrites(507, "InsufficientStorage")));
        assert_eq!(send(&bucket, Method::PUT, "two").await, Some(507));
        assert_eq!(send(&bucket, Method::GET, "").await, Some(200), "what is there can be read");
        bucket.fault(Some(BucketFault::Slow(50)));
        assert_eq!(send(&bucket, Method::PUT, "three").await, Some(200));
        assert_eq!(bucket.stored(), BTreeMap::from([("key".to_owned(), 2)]));
        assert_eq!((*writes.borrow(), bucket.requests()), (Writes { begun: 3, stored: 2 }, 4));
    }

    #[tokio::test]
    async fn one_that_went_away_comes_back_with_what_it_holds() {
        let bucket = FakeBucket::start().await.expect("a port");
        assert_eq!(send(&bucket, Method::PUT, "one").await, Some(200));
        bucket.close().await;
        assert_eq!(send(&bucket, Method::GET, "").await, None);
        bucket.reopen().await.expect("the port is free");
        assert_eq!(send(&bucket, Method::GET, "").await, Some(200));
        assert_eq!(bucket.object("key").as_deref(), Some(b"one".as_slice()));
    }
}
