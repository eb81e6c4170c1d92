//! The carrier's REST interface: takes orders for calls and places them, tells of calls, numbers and streams. As strict
//! as its documents; and, when asked, as unreliable as any network.
//!
//! Everything that it was asked and everyone it dialled is kept, so that a test can say "never twice".

mod answers;
mod calls;
mod cut;
mod dialling;
mod form;
mod order;

pub use answers::Refusal;
pub use order::OrderMode;

use super::announce::CallIds;
use super::{
    Announce, CallObservation, CallerSide, ConnectApplet, Delivered, Delivery, FakeExotel, Options, RecordedFile,
    RecordingHost,
};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use cut::{CuttableListener, Cutter};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Requests and calls kept; later requests are answered and forgotten, later orders are refused.
const REQUESTS_MAX: usize = 10_000;
const CALLS_MAX: usize = 10_000;
/// Orders and questions together, documented for the voice interface.
const PER_MINUTE: usize = 200;
/// Streams at a time; the documents' example.
const STREAMS_MAX: usize = 100;

/// What the number does that is dialled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Callee {
    /// Is answered.
    #[default]
    Answers,
    /// Is busy.
    Busy,
    /// Rings.
    NoAnswer,
    /// Cannot be reached.
    Fails,
}

/// What goes wrong with a request. `dialled`: an order is carried out nevertheless; at questions it means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiFault {
    /// The connection breaks before the answer.
    Cut {
        /// See above.
        dialled: bool,
    },
    /// The answer never comes.
    Hang {
        /// See above.
        dialled: bool,
    },
    /// 500.
    ServerError {
        /// See above.
        dialled: bool,
    },
    /// 200 with nothing in it.
    Empty {
        /// See above.
        dialled: bool,
    },
    /// 200 with a web page in it.
    Html {
        /// See above.
        dialled: bool,
    },
    /// A refusal; nobody is dialled.
    Refused(Refusal),
}

/// What a recording of a call is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecordAs {
    /// An MP3 of the call's length, silent.
    #[default]
    SilentMp3,
    /// A WAV of what both sides said; of one channel, or two when the order says `dual`.
    Wav,
}

/// Makes the person who answers a call.
pub type CallerFactory = Arc<dyn Fn(&ApiCall) -> Box<dyn CallerSide> + Send + Sync>;

/// How the interface behaves.
#[derive(Clone)]
pub struct ApiOptions {
    /// The account's name in every path.
    pub account_id: String,
    /// The user of its Basic authentication.
    pub api_key: String,
    /// The password.
    pub api_token: String,
    /// The account's numbers.
    pub exophones: Vec<String>,
    /// Requests a minute.
    pub per_minute: usize,
    /// Streams at a time; a call beyond them is answered, and its stream never opened.
    pub streams_max: usize,
    /// How long it rings before somebody answers or does not.
    pub ring: Duration,
    /// What an order is answered with, long before anybody has answered: `in-progress`, or `queued`.
    pub status_at_once: String,
    /// Call details go on saying that for so long after the end.
    pub details_lag: Duration,
    /// How the calls themselves behave; who announces them and their numbers follow from the order.
    pub carrier: Options,
    /// How status callbacks travel.
    pub delivery: Delivery,
    /// All callbacks of a call go together after its end, in the order of [`Delivery::shuffle_seed`].
    pub callbacks_at_end: bool,
    /// Calls with one number only have thin callbacks, whatever events were asked for.
    pub thin_single_leg: bool,
    /// Where recordings lie; without it nothing is recorded.
    pub recordings: Option<Arc<RecordingHost>>,
    /// What recordings are made of.
    pub record_as: RecordAs,
    /// How they are handed out; its content is replaced.
    pub recorded_file: RecordedFile,
    /// The terminal callback names the recording. Call details always do.
    pub recording_in_callback: bool,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            account_id: "exotelaccount".to_owned(),
            api_key: "api-key".to_owned(),
            api_token: "api-token".to_owned(),
            exophones: vec!["08047491899".to_owned()],
            per_minute: PER_MINUTE,
            streams_max: STREAMS_MAX,
            ring: Duration::from_millis(50),
            status_at_once: "in-progress".to_owned(),
            details_lag: Duration::ZERO,
            carrier: Options::new("", Announce::Direct { url: String::new() }),
            delivery: Delivery::default(),
            callbacks_at_end: false,
            thin_single_leg: false,
            recordings: None,
            record_as: RecordAs::default(),
            recorded_file: RecordedFile::mp3(0),
            recording_in_callback: true,
        }
    }
}

/// A call that was ordered.
#[derive(Clone, Debug)]
pub struct ApiCall {
    /// Its id.
    pub call_id: String,
    /// What it is connected with.
    pub mode: OrderMode,
    /// Who is dialled, as ordered.
    pub from: String,
    /// Our number that is shown.
    pub caller_id: String,
    /// `CustomField`.
    pub custom_field: Option<String>,
    /// A recording was ordered.
    pub record: bool,
    /// `in-progress` (or `queued`) from the order to the end; then `completed`, `busy`, `no-answer`, `failed`.
    pub status: String,
    /// When it was ordered.
    pub created_at: DateTime<Utc>,
    /// When it was answered.
    pub answered_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Seconds of conversation.
    pub duration_s: u32,
    /// Where its recording is.
    pub recording_url: Option<String>,
    /// What became of its callbacks.
    pub callbacks: Vec<Delivered>,
    /// Its media.
    pub observation: Option<Arc<CallObservation>>,
    /// Why there were none.
    pub error: Option<String>,
    /// Nothing more will happen to it.
    pub over: bool,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct ApiRequest {
    /// Its method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// User and password were right.
    pub authorized: bool,
    /// The form of an order.
    pub form: Vec<(String, String)>,
    /// Fields of it that this carrier does not know.
    pub unknown_fields: Vec<String>,
    /// How it was answered; none: not at all.
    pub status: Option<u16>,
}

#[derive(Default)]
struct Shared {
    requests: Vec<ApiRequest>,
    calls: Vec<ApiCall>,
    ended: HashMap<String, Instant>,
    dialled: HashMap<String, u32>,
    callees: HashMap<String, Callee>,
    flow: Option<Flow>,
    order_faults: VecDeque<ApiFault>,
    question_faults: VecDeque<ApiFault>,
    recent: VecDeque<Instant>,
    streams: usize,
}

/// What a call runs through that was ordered through a flow.
#[derive(Clone)]
struct Flow {
    dynamic_url: String,
    passthru_url: Option<String>,
    connect: Option<ConnectApplet>,
}

struct Inner {
    options: ApiOptions,
    carrier: FakeExotel,
    callers: CallerFactory,
    shared: Mutex<Shared>,
    changed: Notify,
    stop: CancellationToken,
}

/// The interface. It ends, and its calls with it, when it is dropped.
pub struct FakeExotelApi {
    address: SocketAddr,
    inner: Arc<Inner>,
    _stop: DropGuard,
}

impl FakeExotelApi {
    /// Starts on a free port of this machine. `callers` makes the person who answers each call.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(options: ApiOptions, callers: CallerFactory) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let inner = Arc::new(Inner {
            carrier: FakeExotel::new(options.carrier.clone()),
            options,
            callers,
            shared: Mutex::default(),
            changed: Notify::new(),
            stop: stop.clone(),
        });
        let router = Router::new().fallback(handle).with_state(inner.clone());
        let stopped = stop.clone();
        tokio::spawn(async move {
            let service = router.into_make_service_with_connect_info::<Cutter>();
            tokio::select! {
                () = stopped.cancelled() => {}
                _ = axum::serve(CuttableListener(listener), service) => {}
            }
        });
        Ok(Self { address, inner, _stop: stop.drop_guard() })
    }

    /// `http://127.0.0.1:port`: what stands for `https://api.exotel.com`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What this number does from now on when it is dialled. Every form of the number is the same number.
    pub fn set_callee(&self, number: &str, callee: Callee) {
        if let Some(number) = national(number) {
            self.inner.lock().callees.insert(number, callee);
        }
    }

    /// The flow of calls that are ordered through one: its Voicebot's dynamic URL, the Passthru behind it, and the
    /// Connect applet behind that.
    pub fn set_flow(&self, dynamic_url: &str, passthru_url: Option<&str>, connect: Option<ConnectApplet>) {
        let (dynamic_url, passthru_url) = (dynamic_url.to_owned(), passthru_url.map(str::to_owned));
        self.inner.lock().flow = Some(Flow { dynamic_url, passthru_url, connect });
    }

    /// The next order without such a fault before it goes wrong so. Several come one after the other.
    pub fn fail_order(&self, fault: ApiFault) {
        self.inner.lock().order_faults.push_back(fault);
    }

    /// The same for the next question.
    pub fn fail_question(&self, fault: ApiFault) {
        self.inner.lock().question_faults.push_back(fault);
    }

    /// How often this number was dialled.
    #[must_use]
    pub fn dialled(&self, number: &str) -> u32 {
        national(number).and_then(|number| self.inner.lock().dialled.get(&number).copied()).unwrap_or(0)
    }

    /// Every request, in its order.
    #[must_use]
    pub fn requests(&self) -> Vec<ApiRequest> {
        self.inner.lock().requests.clone()
    }

    /// Every call, in its order.
    #[must_use]
    pub fn calls(&self) -> Vec<ApiCall> {
        self.inner.lock().calls.clone()
    }

    /// This call.
    #[must_use]
    pub fn call(&self, call_id: &str) -> Option<ApiCall> {
        self.inner.lock().calls.iter().find(|call| call.call_id == call_id).cloned()
    }

    /// Waits until `count` calls are over, callbacks included; all calls then. Waits for ever when they never are.
    pub async fn finished(&self, count: usize) -> Vec<ApiCall> {
        loop {
            let changed = self.inner.changed.notified();
            let calls = self.calls();
            if calls.iter().filter(|call| call.over).count() >= count {
                return calls;
            }
            changed.await;
        }
    }
}

/// Ten digits: a number without country and trunk prefix. `None`: no Indian number.
fn national(number: &str) -> Option<String> {
    let digits: String = number.trim().strip_prefix('+').unwrap_or(number.trim()).to_owned();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    match (digits.len(), &digits[..1]) {
        (12, _) => digits.strip_prefix("91").map(str::to_owned),
        (11, "0") => Some(digits[1..].to_owned()),
        (10, _) => Some(digits),
        _ => None,
    }
}

/// What a handler decided.
enum Outcome {
    Answer(Response),
    Cut,
    Hang,
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn authorized(&self, headers: &HeaderMap) -> bool {
        let want = format!("Basic {}", STANDARD.encode(format!("{}:{}", self.options.api_key, self.options.api_token)));
        headers.get("authorization").is_some_and(|value| value.as_bytes() == want.as_bytes())
    }

    /// Whether there is room in the last minute for one more request; takes it.
    fn within_limit(&self) -> bool {
        let mut shared = self.lock();
        let now = Instant::now();
        while shared.recent.front().is_some_and(|at| now.duration_since(*at) >= Duration::from_secs(60)) {
            shared.recent.pop_front();
        }
        if shared.recent.len() >= self.options.per_minute {
            return false;
        }
        shared.recent.push_back(now);
        true
    }

    /// What this fault answers with; a refusal has been taken care of.
    fn faulty(fault: &ApiFault, as_json: bool) -> Outcome {
        match fault {
            ApiFault::Cut { .. } => Outcome::Cut,
            ApiFault::Hang { .. } => Outcome::Hang,
            ApiFault::ServerError { .. } => Outcome::Answer(Refusal::new(500, "Internal server error").answer(as_json)),
            ApiFault::Empty { .. } => Outcome::Answer(answers::text(200, "application/json", String::new())),
            ApiFault::Html { .. } => {
                Outcome::Answer(answers::text(200, "text/html", "<html><body>maintenance</body></html>".to_owned()))
            }
            ApiFault::Refused(refusal) => Outcome::Answer(refusal.answer(as_json)),
        }
    }
}

async fn handle(
    State(inner): State<Arc<Inner>>,
    ConnectInfo(cutter): ConnectInfo<Cutter>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut request = ApiRequest {
        method: method.to_string(),
        path: uri.to_string(),
        authorized: inner.authorized(&headers),
        form: Vec::new(),
        unknown_fields: Vec::new(),
        status: None,
    };
    let outcome = route(&inner, &method, &uri, &headers, &body, &mut request);
    if let Outcome::Answer(response) = &outcome {
        request.status = Some(response.status().as_u16());
    }
    {
        let mut shared = inner.lock();
        if shared.requests.len() < REQUESTS_MAX {
            shared.requests.push(request);
        }
    }
    match outcome {
        Outcome::Answer(response) => response,
        Outcome::Cut => {
            cutter.cut();
            Response::default()
        }
        Outcome::Hang => {
            inner.stop.cancelled().await;
            Response::default()
        }
    }
}

fn route(
    inner: &Arc<Inner>,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &Bytes,
    request: &mut ApiRequest,
) -> Outcome {
    let (path, as_json) = match uri.path().strip_suffix(".json") {
        Some(path) => (path, true),
        None => (uri.path(), uri.path().starts_with("/v2")),
    };
    let refused = |status, message| Outcome::Answer(Refusal::new(status, message).answer(as_json));
    if !request.authorized {
        return refused(401, "Authentication failed");
    }
    if !inner.within_limit() {
        let refusal = Refusal::new(429, "Too many requests").with_code("RATE_LIMIT_EXCEEDED").retry_after(60);
        return Outcome::Answer(refusal.answer(as_json));
    }
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let [version, "Accounts", account, rest @ ..] = parts.as_slice() else { return refused(404, "Not found") };
    if *account != inner.options.account_id {
        return refused(404, "The requested account was not found");
    }
    let post = *method == Method::POST;
    if !post && let Some(fault) = inner.lock().question_faults.pop_front() {
        return Inner::faulty(&fault, as_json);
    }
    match (*version, rest, post) {
        ("v1", ["Calls", "connect"], true) => dialling::connect(inner, headers, body, request, as_json),
        ("v1", ["Calls"], false) => Outcome::Answer(calls::list(inner, uri.query().unwrap_or_default(), as_json)),
        ("v1", ["Calls", call_id], false) => Outcome::Answer(calls::details(inner, call_id, uri.query(), as_json)),
        ("v1", ["ActiveStreams"], false) => Outcome::Answer(calls::active_streams(inner, as_json)),
        ("v1", ["Numbers", number], false) => Outcome::Answer(calls::number(number, as_json)),
        ("v2_beta", ["IncomingPhoneNumbers"], false) => Outcome::Answer(calls::exophones(inner)),
        _ => refused(404, "The requested resource was not found"),
    }
}

/// Fresh ids, from the carrier's seed if it has one.
fn ids(inner: &Inner) -> CallIds {
    inner.carrier.ids()
}
