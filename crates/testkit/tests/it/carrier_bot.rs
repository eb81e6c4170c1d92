//! A tiny server to be called: it keeps every request, answers as a test says, and takes media sockets below `/media`.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::carrier::{Announce, CallObservation, FakeExotel, Options, RecordedCaller};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn fields(&self) -> Vec<(String, String)> {
        let text = if self.query.is_empty() { &self.body } else { &self.query };
        url::form_urlencoded::parse(text.as_bytes()).map(|(n, v)| (n.into_owned(), v.into_owned())).collect()
    }

    pub(crate) fn field(&self, name: &str) -> Option<String> {
        self.fields().into_iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.fields().into_iter().map(|(name, _)| name).collect()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// What the media socket does.
#[derive(Clone, Debug)]
pub(crate) enum Media {
    /// Listens until the carrier goes.
    Listen,
    /// Sends these after the start message, then listens.
    Say(Vec<String>),
    /// Closes with 1000 after so many texts.
    CloseAfter(usize),
    /// Refuses so many handshakes, then listens.
    Refuse(usize),
    /// Never answers a handshake.
    Hang,
}

type Answers = Arc<dyn Fn(&Request, usize) -> (u16, String) + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Bot {
    pub(crate) url: String,
    pub(crate) requests: Arc<Mutex<Vec<Request>>>,
    pub(crate) handshakes: Arc<Mutex<Vec<Request>>>,
    pub(crate) texts: Arc<Mutex<Vec<Value>>>,
    pub(crate) closes: Arc<Mutex<Vec<Option<u16>>>>,
    /// Media sockets that are over, as seen from here.
    ended: Arc<Mutex<usize>>,
    media: Media,
    answers: Answers,
}

impl Bot {
    pub(crate) async fn start(
        media: Media,
        answers: impl Fn(&Request, usize) -> (u16, String) + Send + Sync + 'static,
    ) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let bot = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            requests: Arc::default(),
            handshakes: Arc::default(),
            texts: Arc::default(),
            closes: Arc::default(),
            ended: Arc::default(),
            media,
            answers: Arc::new(answers),
        };
        let router = Router::new().route("/media/{token}", any(upgrade)).fallback(take).with_state(bot.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        bot
    }

    /// Answers the dynamic URL with its media socket, everything else with 200.
    pub(crate) async fn plain(media: Media) -> Self {
        let known = Arc::new(Mutex::new(String::new()));
        let url = known.clone();
        let bot = Self::start(media, move |request, _| match request.path.as_str() {
            "/voicebot" => (200, json!({"url": *url.lock().unwrap()}).to_string()),
            _ => (200, String::new()),
        })
        .await;
        *known.lock().unwrap() = bot.media();
        bot
    }

    pub(crate) fn media(&self) -> String {
        self.url.replace("http://", "ws://") + "/media/token"
    }

    pub(crate) fn at(&self, path: &str) -> Vec<Request> {
        self.requests.lock().unwrap().iter().filter(|request| request.path == path).cloned().collect()
    }

    pub(crate) fn texts(&self) -> Vec<Value> {
        self.texts.lock().unwrap().clone()
    }

    /// The first media socket is over: what the carrier did last has arrived.
    pub(crate) async fn over(&self) {
        for _ in 0..1_000 {
            if *self.ended.lock().unwrap() > 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the media socket is still open");
    }

    pub(crate) fn direct(&self) -> Options {
        short(Options::new(&self.url, Announce::Direct { url: self.media() }))
    }

    pub(crate) fn dynamic(&self) -> Options {
        let passthru_url = Some(format!("{}/passthru", self.url));
        short(Options::new(&self.url, Announce::DynamicUrl { url: format!("{}/voicebot", self.url), passthru_url }))
    }
}

fn short(mut options: Options) -> Options {
    options.frame_ms = 20;
    options.call_max = Duration::from_secs(5);
    options
}

async fn take(State(bot): State<Bot>, _: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let request = Request {
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let before = bot.at(&request.path).len();
    bot.requests.lock().unwrap().push(request.clone());
    let (status, body) = (bot.answers)(&request, before);
    (StatusCode::from_u16(status).unwrap(), [("location", "/elsewhere")], body).into_response()
}

async fn upgrade(State(bot): State<Bot>, uri: Uri, headers: HeaderMap, upgrade: WebSocketUpgrade) -> Response {
    let number = {
        let mut handshakes = bot.handshakes.lock().unwrap();
        let (path, query) = (uri.path().to_owned(), uri.query().unwrap_or_default().to_owned());
        handshakes.push(Request { path, query, headers, body: String::new() });
        handshakes.len()
    };
    match bot.media {
        Media::Refuse(count) if number <= count => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Media::Hang => std::future::pending().await,
        _ => upgrade.max_message_size(256 * 1024).on_upgrade(move |socket| serve(socket, bot)),
    }
}

async fn serve(mut socket: WebSocket, bot: Bot) {
    let mut seen = 0;
    while let Some(Ok(message)) = socket.recv().await {
        match message {
            Message::Text(text) => {
                seen += 1;
                let value: Value = serde_json::from_str(&text).unwrap_or(Value::String(text.to_string()));
                bot.texts.lock().unwrap().push(value);
            }
            Message::Close(frame) => bot.closes.lock().unwrap().push(frame.map(|frame| frame.code)),
            _ => {}
        }
        match &bot.media {
            Media::Say(texts) if seen == 2 => {
                seen += 1;
                for text in texts {
                    let _ = socket.send(Message::text(text.clone())).await;
                }
            }
            Media::CloseAfter(count) if seen == *count => {
                seen += 1;
                let _ = socket.send(Message::Close(Some(CloseFrame { code: 1000, reason: "".into() }))).await;
            }
            _ => {}
        }
    }
    *bot.ended.lock().unwrap() += 1;
}

pub(crate) async fn call(options: Options, length_ms: u64) -> CallObservation {
    Box::pin(FakeExotel::new(options).place_call(&mut RecordedCaller::new(Vec::new(), length_ms))).await.unwrap()
}
