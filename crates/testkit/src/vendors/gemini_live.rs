//! Gemini Live (`BidiGenerateContent`) as Google describes it, with activity detection switched off. Sources: see
//! `wire::gemini_live`.
//!
//! As strict as the real one: exactly one field in a message, nothing before the setup, sound only between the beginning
//! and the end of an activity; what is wrong closes the connection with 1007. Messages come as bytes.

use super::faults::FaultLine;
use super::openai_realtime::Reply;
use super::serve;
use super::voices::foreign_key;
use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Sound of one word, in milliseconds.
const WORD_MS: usize = 200;

/// How a connection (or, where it says so, an answer) goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GeminiFault {
    /// The handshake is refused with this status.
    Status(u16),
    /// The upgrade is answered, and nothing more.
    Mute,
    /// The setup is answered by a close with this code and reason.
    NoSetup(u16, &'static str),
    /// An answer is not begun; the caller's words are not written down either.
    Silent,
    /// An answer stops after so many words.
    StallAfter(usize),
    /// The connection is cut after so many words of an answer.
    CutAfter(usize),
    /// Closed with this code and reason after so many words of an answer.
    CloseAfter(usize, u16, &'static str),
    /// One word comes after so many milliseconds more.
    Drip(u64),
    /// What is no message, and messages nobody knows, before each message.
    Garbage,
    /// The connection's end is announced as soon as it is set up.
    GoAway,
    /// An answer without end.
    Endless,
}

impl GeminiFault {
    const fn is_of_answer(&self) -> bool {
        matches!(
            self,
            Self::Silent
                | Self::StallAfter(_)
                | Self::CutAfter(_)
                | Self::CloseAfter(..)
                | Self::Drip(_)
                | Self::Endless
        )
    }
}

/// What it has seen since it was started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GeminiStats {
    /// Handshakes and messages that are refused.
    pub refused: u64,
    /// What the last refused message was refused for.
    pub last_refusal: String,
    /// Connections opened.
    pub connections: u64,
    /// Connections open now.
    pub open: u64,
    /// Activities begun.
    pub activities: u64,
    /// Answers begun.
    pub answers: u64,
    /// Answers ended by activity.
    pub interrupted: u64,
    /// Audio received, in bytes.
    pub bytes: u64,
    /// Results of functions received.
    pub results: u64,
}

struct Shared {
    key: String,
    transcripts: Vec<String>,
    replies: Vec<Reply>,
    stats: Mutex<GeminiStats>,
    faults: FaultLine<GeminiFault>,
    last_setup: Mutex<Value>,
    asked: Mutex<Vec<String>>,
    stop: CancellationToken,
}

impl Shared {
    fn count(&self, change: impl FnOnce(&mut GeminiStats)) {
        change(&mut self.stats.lock().expect("no holder panics"));
    }
}

/// A running fake; dropping ends it.
pub struct GeminiLive {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl GeminiLive {
    /// Starts it on a free port of this machine: what the caller is taken to say, and what the model answers, one after
    /// the other on each connection, the last one again and again.
    ///
    /// # Errors
    /// When there is no port to listen on.
    pub async fn start(key: &str, transcripts: Vec<String>, replies: Vec<Reply>) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            key: key.to_owned(),
            transcripts,
            replies,
            stats: Mutex::default(),
            faults: FaultLine::default(),
            last_setup: Mutex::default(),
            asked: Mutex::default(),
            stop: CancellationToken::new(),
        });
        let path = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";
        let router = Router::new().route(path, get(live)).with_state(Arc::clone(&shared));
        serve(listener, router, shared.stop.clone());
        Ok(Self { address, shared })
    }

    /// Its base address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// What it has seen.
    #[must_use]
    pub fn stats(&self) -> GeminiStats {
        self.shared.stats.lock().expect("no holder panics").clone()
    }

    /// The setup of the last connection.
    #[must_use]
    pub fn last_setup(&self) -> Value {
        self.shared.last_setup.lock().expect("no holder panics").clone()
    }

    /// What the model was asked, all connections one after the other: `sound`, `words …` or `result …`.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().expect("no holder panics").clone()
    }

    /// The next `times` connections (or answers) go wrong.
    pub fn break_next(&self, fault: GeminiFault, times: u32) {
        self.shared.faults.set(fault, times);
    }
}

impl Drop for GeminiLive {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

async fn live(State(shared): State<Arc<Shared>>, headers: HeaderMap, upgrade: WebSocketUpgrade) -> Response {
    let fault = shared.faults.take_if(|fault| !fault.is_of_answer());
    if let Some(GeminiFault::Status(status)) = fault {
        shared.count(|stats| stats.refused += 1);
        let status = StatusCode::from_u16(status).expect("tests name real statuses");
        let body = json!({"error": {"code": status.as_u16(), "message": "secret words", "status": "ASKED_FOR"}});
        let mut response = (status, Json(body)).into_response();
        if status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("7"));
        }
        return response;
    }
    let key_fits = headers.get("x-goog-api-key").is_some_and(|key| key.as_bytes() == shared.key.as_bytes());
    upgrade.on_upgrade(move |mut socket| async move {
        if !key_fits {
            shared.count(|stats| stats.refused += 1);
            return close(&mut socket, 1007, "API key not valid. Please pass a valid API key.").await;
        }
        shared.count(|stats| {
            stats.open += 1;
            stats.connections += 1;
        });
        let stop = shared.stop.clone();
        let session = Session::new(Arc::clone(&shared), fault);
        tokio::select! {
            () = session.run(&mut socket) => {}
            () = stop.cancelled() => {}
        }
        shared.count(|stats| stats.open -= 1);
    })
}

async fn close(socket: &mut WebSocket, code: u16, reason: &'static str) {
    // The other side may be gone already.
    let _ = socket.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
}

/// An answer under way.
struct Making {
    words: VecDeque<String>,
    function: Option<(String, String)>,
    fault: Option<GeminiFault>,
    sent: usize,
    at: Instant,
}

struct Session {
    shared: Arc<Shared>,
    fault: Option<GeminiFault>,
    is_set_up: bool,
    activity: bool,
    making: Option<Making>,
    waits_for: Option<String>,
    heard: usize,
    answered: usize,
    numbers: usize,
}

enum Step {
    Say(Vec<Value>),
    Close(u16, &'static str),
    Cut,
}

impl Session {
    const fn new(shared: Arc<Shared>, fault: Option<GeminiFault>) -> Self {
        Self {
            shared,
            fault,
            is_set_up: false,
            activity: false,
            making: None,
            waits_for: None,
            heard: 0,
            answered: 0,
            numbers: 0,
        }
    }

    async fn run(mut self, socket: &mut WebSocket) {
        loop {
            let due = self.making.as_ref().map(|making| making.at);
            let wake = async {
                match due {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let step = tokio::select! {
                biased;
                message = socket.recv() => match message {
                    Some(Ok(Message::Text(text))) => self.take(&text),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => Step::Say(Vec::new()),
                    Some(Ok(Message::Binary(_))) => self.refuse("binary"),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                },
                () = wake => self.make(),
            };
            match step {
                Step::Say(said) => {
                    if !self.send(socket, said).await {
                        return;
                    }
                }
                Step::Close(code, reason) => return close(socket, code, reason).await,
                Step::Cut => return,
            }
        }
    }

    async fn send(&self, socket: &mut WebSocket, said: Vec<Value>) -> bool {
        if self.fault == Some(GeminiFault::Mute) {
            return true;
        }
        for said in said {
            if self.fault == Some(GeminiFault::Garbage) {
                for garbage in ["{oops", "[]", r#"{"novelty":{}}"#, r#"{"serverContent":7}"#] {
                    if socket.send(Message::binary(garbage)).await.is_err() {
                        return false;
                    }
                }
            }
            if socket.send(Message::binary(said.to_string())).await.is_err() {
                return false;
            }
        }
        true
    }

    fn refuse(&self, why: &'static str) -> Step {
        self.shared.count(|stats| {
            stats.refused += 1;
            why.clone_into(&mut stats.last_refusal);
        });
        Step::Close(1007, "Request contains an invalid argument.")
    }

    fn take(&mut self, text: &str) -> Step {
        let message: Value = serde_json::from_str(text).unwrap_or_default();
        let Some((kind, body)) =
            message.as_object().filter(|object| object.len() == 1).and_then(|object| object.iter().next())
        else {
            return self.refuse("not one field");
        };
        match kind.as_str() {
            "setup" if !self.is_set_up => self.setup(body),
            _ if !self.is_set_up => self.refuse("no setup"),
            "realtimeInput" => self.realtime(body),
            "clientContent" => self.content(body),
            "toolResponse" => self.tool_response(body),
            _ => self.refuse("unknown message"),
        }
    }

    fn setup(&mut self, setup: &Value) -> Step {
        let known = [
            "model",
            "generationConfig",
            "systemInstruction",
            "tools",
            "realtimeInputConfig",
            "inputAudioTranscription",
            "outputAudioTranscription",
            "contextWindowCompression",
        ];
        let fits = foreign_key(setup, &known).is_none()
            && setup["model"].as_str().is_some_and(|model| model.starts_with("models/"))
            && setup["generationConfig"]["responseModalities"] == json!(["AUDIO"])
            && setup["realtimeInputConfig"]["automaticActivityDetection"]["disabled"] == true
            && setup["inputAudioTranscription"].is_object()
            && setup["outputAudioTranscription"].is_object()
            && setup["systemInstruction"]["parts"][0]["text"].is_string();
        if !fits {
            return self.refuse("setup");
        }
        if let Some(GeminiFault::NoSetup(code, reason)) = self.fault {
            return Step::Close(code, reason);
        }
        self.is_set_up = true;
        *self.shared.last_setup.lock().expect("no holder panics") = setup.clone();
        let mut said = vec![json!({"setupComplete": {}})];
        if self.fault == Some(GeminiFault::GoAway) {
            said.push(json!({"goAway": {"timeLeft": "10s"}}));
        }
        Step::Say(said)
    }

    fn realtime(&mut self, input: &Value) -> Step {
        if foreign_key(input, &["audio", "activityStart", "activityEnd", "text"]).is_some() {
            return self.refuse("realtimeInput");
        }
        if let Some(audio) = input.get("audio") {
            let pcm = audio["data"].as_str().and_then(|data| STANDARD.decode(data).ok());
            let Some(pcm) = pcm.filter(|pcm| !pcm.is_empty() && pcm.len().is_multiple_of(2)) else {
                return self.refuse("audio");
            };
            if audio["mimeType"] != "audio/pcm;rate=16000" || !self.activity {
                return self.refuse("audio outside of an activity");
            }
            self.shared.count(|stats| stats.bytes += pcm.len() as u64);
            return Step::Say(Vec::new());
        }
        if input.get("activityStart").is_some() {
            if std::mem::replace(&mut self.activity, true) {
                return self.refuse("two activities");
            }
            self.shared.count(|stats| stats.activities += 1);
            return Step::Say(self.interrupt());
        }
        if input.get("activityEnd").is_some() {
            if !std::mem::replace(&mut self.activity, false) {
                return self.refuse("no activity");
            }
            return self.heard();
        }
        match input["text"].as_str() {
            Some(text) => self.words(text),
            None => self.refuse("realtimeInput"),
        }
    }

    fn interrupt(&mut self) -> Vec<Value> {
        if self.making.take().is_none() {
            return Vec::new();
        }
        self.shared.count(|stats| stats.interrupted += 1);
        vec![json!({"serverContent": {"interrupted": true}}), json!({"serverContent": {"turnComplete": true}})]
    }

    fn heard(&mut self) -> Step {
        let texts = &self.shared.transcripts;
        let text = texts.get(self.heard).or(texts.last()).cloned().unwrap_or_default();
        self.heard += 1;
        let begun = self.begin("sound".into());
        if !begun {
            return Step::Say(Vec::new());
        }
        // It comes in pieces.
        let half = text.char_indices().nth(text.chars().count() / 2).map_or(0, |(at, _)| at);
        let pieces = [&text[..half], &text[half..]];
        let said = pieces.iter().filter(|piece| !piece.is_empty());
        Step::Say(said.map(|piece| json!({"serverContent": {"inputTranscription": {"text": piece}}})).collect())
    }

    fn content(&mut self, content: &Value) -> Step {
        let turns = content["turns"].as_array().filter(|turns| turns.len() == 1);
        let text = turns.and_then(|turns| turns[0]["parts"][0]["text"].as_str());
        match text {
            Some(text)
                if content["turnComplete"] == true && foreign_key(content, &["turns", "turnComplete"]).is_none() =>
            {
                self.words(text)
            }
            Some(_) | None => self.refuse("clientContent"),
        }
    }

    fn words(&mut self, text: &str) -> Step {
        let said = self.interrupt();
        self.begin(format!("words {text}"));
        Step::Say(said)
    }

    fn tool_response(&mut self, response: &Value) -> Step {
        let responses = response["functionResponses"].as_array().filter(|responses| responses.len() == 1);
        let waited = self.waits_for.take();
        let Some(response) = responses.map(|responses| &responses[0]) else { return self.refuse("toolResponse") };
        if waited.is_none() || response["id"].as_str() != waited.as_deref() || !response["response"].is_object() {
            return self.refuse("toolResponse");
        }
        self.shared.count(|stats| stats.results += 1);
        self.begin(format!("result {}", response["response"]["output"].as_str().unwrap_or_default()));
        Step::Say(Vec::new())
    }

    /// False = it will not be answered.
    fn begin(&mut self, asked: String) -> bool {
        let exact = asked.rsplit_once(")\n").map(|(_, words)| words.to_owned());
        self.shared.asked.lock().expect("no holder panics").push(asked);
        self.shared.count(|stats| stats.answers += 1);
        let fault = self.shared.faults.take_if(GeminiFault::is_of_answer);
        if fault == Some(GeminiFault::Silent) {
            return false;
        }
        let reply = match exact {
            Some(words) => Reply::Words(words),
            None => {
                let replies = &self.shared.replies;
                let reply = replies.get(self.answered).or(replies.last()).cloned();
                self.answered += 1;
                reply.unwrap_or(Reply::Words("Yes".into()))
            }
        };
        let (words, function) = match reply {
            Reply::Words(text) => (text.split_whitespace().map(str::to_owned).collect(), None),
            Reply::Function(name, arguments) => (VecDeque::new(), Some((name, arguments))),
        };
        self.making = Some(Making { words, function, fault, sent: 0, at: Instant::now() });
        true
    }

    fn make(&mut self) -> Step {
        let Some(making) = &mut self.making else { return Step::Say(Vec::new()) };
        match making.fault {
            Some(GeminiFault::StallAfter(words)) if making.sent >= words => {
                making.at += Duration::from_secs(3_600);
                return Step::Say(Vec::new());
            }
            Some(GeminiFault::CutAfter(words)) if making.sent >= words => return Step::Cut,
            Some(GeminiFault::CloseAfter(words, code, reason)) if making.sent >= words => {
                return Step::Close(code, reason);
            }
            Some(GeminiFault::Drip(ms)) => making.at += Duration::from_millis(ms),
            Some(GeminiFault::Endless) => making.words.push_back("on".into()),
            Some(_) | None => {}
        }
        if let Some(word) = making.words.pop_front() {
            let word = if making.sent == 0 { word } else { format!(" {word}") };
            making.sent += 1;
            let sound: Vec<u8> =
                (0..WORD_MS * 24).flat_map(|n| (if n % 48 < 24 { 4_000_i16 } else { -4_000 }).to_le_bytes()).collect();
            let data = json!({"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": STANDARD.encode(sound)}});
            return Step::Say(vec![
                json!({"serverContent": {"modelTurn": {"role": "model", "parts": [data]}}}),
                json!({"serverContent": {"outputTranscription": {"text": word}}}),
            ]);
        }
        let function = making.function.take();
        self.making = None;
        if let Some((name, arguments)) = function {
            self.numbers += 1;
            let id = format!("call-{}", self.numbers);
            let args: Value = serde_json::from_str(&arguments).expect("tests give JSON");
            self.waits_for = Some(id.clone());
            return Step::Say(vec![json!({"toolCall": {"functionCalls": [{"id": id, "name": name, "args": args}]}})]);
        }
        let usage = json!({"promptTokenCount": 20, "responseTokenCount": 10, "totalTokenCount": 30});
        Step::Say(vec![
            json!({"serverContent": {"generationComplete": true}}),
            json!({"serverContent": {"turnComplete": true}, "usageMetadata": usage}),
        ])
    }
}
