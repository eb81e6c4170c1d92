//! Where this carrier's recordings lie: one host that hands them out, and one that stores them, to which the first may
//! send a visitor on. They are not there at once, may want a password, may be gone, and may be no audio at all.

use super::mp3::silent_mp3;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Requests kept; later ones are answered and forgotten.
const REQUESTS_MAX: usize = 10_000;
/// Links handed out to the storage, at most; a test that makes more has a loop in it.
const LINKS_MAX: usize = 10_000;
/// One piece of a slow answer.
const PIECE_BYTES: usize = 4_096;
/// A link of a redirect is good for so long.
const REDIRECT_VALID: Duration = Duration::from_secs(300);

/// Who may have a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    #[default]
    Open,
    /// Who says user and password; the others get 401.
    Basic {
        /// An API key, at Exotel.
        user: String,
        /// An API token, at Exotel.
        password: String,
    },
    /// Nobody any more: 403. A link of [`RecordingHost::presigned`] still works.
    Expired,
}

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Silence as `audio/mpeg`.
    Mp3 {
        /// How long.
        duration_ms: u64,
        /// One or two.
        channels: u16,
        /// With an ID3 tag in front.
        tagged: bool,
    },
    /// Samples as `audio/wav`.
    Wav {
        /// Interleaved.
        pcm: Vec<i16>,
        /// One or two.
        channels: u16,
        /// Samples a second.
        sample_rate_hz: u32,
    },
    /// A web page that says it is `audio/mpeg`.
    Html,
    /// Nothing, with 200.
    Empty,
}

/// A recording and how it is handed out.
#[derive(Clone, Debug)]
pub struct RecordedFile {
    /// It is there after this; before: 404.
    pub ready_after: Duration,
    /// So many requests are answered with 404 first.
    pub missing_requests: u32,
    /// Who may have it.
    pub access: Access,
    /// Whoever may have it is sent to the storage.
    pub redirect: bool,
    /// What it is.
    pub content: Content,
    /// The connection ends after so many bytes of it.
    pub cut_at_bytes: Option<usize>,
    /// Between two pieces of 4096 bytes.
    pub pause: Option<Duration>,
}

impl RecordedFile {
    /// There at once, for everybody.
    #[must_use]
    pub fn new(content: Content) -> Self {
        Self {
            ready_after: Duration::ZERO,
            missing_requests: 0,
            access: Access::default(),
            redirect: false,
            content,
            cut_at_bytes: None,
            pause: None,
        }
    }

    /// Silence of this length.
    #[must_use]
    pub fn mp3(duration_ms: u64) -> Self {
        Self::new(Content::Mp3 { duration_ms, channels: 1, tagged: false })
    }

    fn bytes(&self) -> (&'static str, Vec<u8>) {
        match &self.content {
            Content::Mp3 { duration_ms, channels, tagged } => {
                ("audio/mpeg", silent_mp3(*duration_ms, *channels, *tagged))
            }
            Content::Wav { pcm, channels, sample_rate_hz } => {
                let mut bytes = audio::wav::header(*sample_rate_hz, *channels, pcm.len() as u64 * 2).to_vec();
                bytes.extend(pcm.iter().flat_map(|sample| sample.to_le_bytes()));
                ("audio/wav", bytes)
            }
            Content::Html => ("audio/mpeg", b"<!DOCTYPE html><html><body>Please log in</body></html>".to_vec()),
            Content::Empty => ("audio/mpeg", Vec::new()),
        }
    }
}

/// Which of the two hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// `recordings.exotel.com`.
    Front,
    /// `s3-ap-southeast-1.amazonaws.com`.
    Bucket,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct RecordingRequest {
    /// To which host.
    pub host: Storage,
    /// Path and query.
    pub path: String,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// How it was answered.
    pub status: u16,
}

struct Kept {
    file: RecordedFile,
    since: Instant,
    asked: u32,
}

#[derive(Default)]
struct Shared {
    files: HashMap<String, Kept>,
    /// Signature, file, end.
    links: Vec<(String, String, Instant)>,
    requests: Vec<RecordingRequest>,
}

/// Both hosts. They end when this is dropped.
pub struct RecordingHost {
    front: SocketAddr,
    bucket: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    _stop: DropGuard,
}

#[derive(Clone)]
struct Host {
    which: Storage,
    bucket: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

impl RecordingHost {
    /// Starts both on free ports of this machine.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start() -> io::Result<Self> {
        let (front, bucket) = (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
        let (front_address, bucket_address) = (front.local_addr()?, bucket.local_addr()?);
        let shared = Arc::<Mutex<Shared>>::default();
        let stop = CancellationToken::new();
        for (listener, which) in [(front, Storage::Front), (bucket, Storage::Bucket)] {
            let host = Host { which, bucket: bucket_address, shared: shared.clone() };
            let (router, stopped) = (Router::new().fallback(hand_out).with_state(host), stop.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = stopped.cancelled() => {}
                    _ = axum::serve(listener, router) => {}
                }
            });
        }
        Ok(Self { front: front_address, bucket: bucket_address, shared, _stop: stop.drop_guard() })
    }

    /// Keeps a file under this name (`ID.mp3`); its address.
    pub fn put(&self, account_id: &str, name: &str, file: RecordedFile) -> String {
        let path = format!("/exotelrecordings/{account_id}/{name}");
        lock(&self.shared).files.insert(path.clone(), Kept { file, since: Instant::now(), asked: 0 });
        format!("http://{}{path}", self.front)
    }

    /// A link to the storage that needs no password and is good for so long; of an address of [`Self::put`].
    #[must_use]
    pub fn presigned(&self, url: &str, valid: Duration) -> Option<String> {
        let path = url::Url::parse(url).ok()?.path().to_owned();
        let mut shared = lock(&self.shared);
        shared.files.contains_key(&path).then(|| link(&mut shared, self.bucket, &path, valid))
    }

    /// What was asked, in its order.
    #[must_use]
    pub fn requests(&self) -> Vec<RecordingRequest> {
        lock(&self.shared).requests.clone()
    }

    /// A password reached the storage, where it has no business.
    #[must_use]
    pub fn password_leaked(&self) -> bool {
        lock(&self.shared).requests.iter().any(|one| one.host == Storage::Bucket && one.authorization.is_some())
    }

    /// `127.0.0.1:port` of the hosts: what an allow-list must hold.
    #[must_use]
    pub fn hosts(&self) -> [String; 2] {
        [self.front.to_string(), self.bucket.to_string()]
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn link(shared: &mut Shared, bucket: SocketAddr, path: &str, valid: Duration) -> String {
    let signature = format!("{:064x}", shared.links.len() + 1);
    if shared.links.len() < LINKS_MAX {
        shared.links.push((signature.clone(), path.to_owned(), Instant::now() + valid));
    }
    format!("http://{bucket}{path}?X-Amz-Expires={}&X-Amz-Signature={signature}", valid.as_secs())
}

/// What is sent back.
enum Answer {
    Plain(u16, &'static str),
    WhoAreYou,
    GoTo(String),
    File(RecordedFile),
}

async fn hand_out(State(host): State<Host>, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let authorization = headers.get("authorization").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let answer = {
        let mut shared = lock(&host.shared);
        let answer = match host.which {
            Storage::Front => at_the_front(&mut shared, &host, uri.path(), authorization.as_deref()),
            Storage::Bucket => at_the_bucket(&shared, &uri, authorization.as_deref()),
        };
        let status = match &answer {
            Answer::Plain(status, _) => *status,
            Answer::WhoAreYou => 401,
            Answer::GoTo(_) => 302,
            Answer::File(_) => 200,
        };
        if shared.requests.len() < REQUESTS_MAX {
            shared.requests.push(RecordingRequest { host: host.which, path: uri.to_string(), authorization, status });
        }
        answer
    };
    let (status, name, value, body) = match answer {
        Answer::Plain(status, text) => (status, "content-type", "application/xml".to_owned(), Body::from(text)),
        Answer::WhoAreYou => (401, "www-authenticate", "Basic realm=\"Exotel\"".to_owned(), Body::empty()),
        Answer::GoTo(url) => (302, "location", url, Body::empty()),
        Answer::File(file) => return send(&file, &method),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(value) = value.parse() {
        response.headers_mut().insert(name, value);
    }
    response
}

fn at_the_front(shared: &mut Shared, host: &Host, path: &str, authorization: Option<&str>) -> Answer {
    let Some(kept) = shared.files.get_mut(path) else { return Answer::Plain(404, "<Error>NoSuchKey</Error>") };
    kept.asked += 1;
    if kept.since.elapsed() < kept.file.ready_after || kept.asked <= kept.file.missing_requests {
        return Answer::Plain(404, "<Error>NoSuchKey</Error>");
    }
    match &kept.file.access {
        Access::Open => {}
        Access::Basic { user, password } => {
            let want = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
            if authorization != Some(want.as_str()) {
                return Answer::WhoAreYou;
            }
        }
        Access::Expired => return Answer::Plain(403, "<Error><Code>AccessDenied</Code></Error>"),
    }
    if kept.file.redirect {
        return Answer::GoTo(link(shared, host.bucket, path, REDIRECT_VALID));
    }
    Answer::File(kept.file.clone())
}

/// The storage knows only its own links, and refuses whoever says a password besides, as Amazon's does.
fn at_the_bucket(shared: &Shared, uri: &Uri, authorization: Option<&str>) -> Answer {
    if authorization.is_some() {
        return Answer::Plain(
            400,
            "<Error><Code>InvalidArgument</Code><Message>Only one auth mechanism allowed</Message></Error>",
        );
    }
    let query = uri.query().unwrap_or_default();
    let signature = url::form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "X-Amz-Signature")
        .map(|(_, value)| value);
    let link =
        shared.links.iter().find(|(known, path, _)| Some(known.as_str()) == signature.as_deref() && path == uri.path());
    match link {
        Some((_, path, until)) if Instant::now() < *until => match shared.files.get(path) {
            Some(kept) => Answer::File(kept.file.clone()),
            None => Answer::Plain(404, "<Error><Code>NoSuchKey</Code></Error>"),
        },
        Some(_) => Answer::Plain(403, "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"),
        None => Answer::Plain(403, "<Error><Code>SignatureDoesNotMatch</Code></Error>"),
    }
}

fn send(file: &RecordedFile, method: &Method) -> Response {
    let (content_type, bytes) = file.bytes();
    let length = bytes.len();
    let pieces: Vec<Bytes> = match (file.cut_at_bytes, file.pause) {
        (None, None) => vec![bytes.into()],
        (cut_at, _) => {
            let sent = cut_at.unwrap_or(length).min(length);
            bytes[..sent].chunks(PIECE_BYTES).map(Bytes::copy_from_slice).collect()
        }
    };
    let cut = file.cut_at_bytes.is_some_and(|cut_at| cut_at < length);
    let end = cut.then(|| Err(io::Error::from(io::ErrorKind::ConnectionReset)));
    let pause = file.pause.unwrap_or_default();
    let all = pieces.into_iter().map(Ok).chain(end);
    let body = if *method == Method::HEAD {
        Body::empty()
    } else {
        Body::from_stream(stream::unfold(all, move |mut rest| async move {
            let piece = rest.next()?;
            // Also without a pause: what came before an error is on its way then.
            tokio::time::sleep(pause.max(Duration::from_millis(u64::from(piece.is_err()) * 20))).await;
            Some((piece, rest))
        }))
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert("content-type", http::HeaderValue::from_static(content_type));
    headers.insert("content-length", http::HeaderValue::from(length));
    response
}
