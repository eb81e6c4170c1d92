//! `GET /v1/listen` as developers.deepgram.com/reference/speech-to-text/listen-streaming describes it, for 16 bit mono.

use super::ear::{Ear, Heard};
use super::faults::ListenFault;
use super::{Shared, add, authorized};
use axum::Json;
use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// What the caller is taken to have said.
#[derive(Clone, Debug)]
pub enum Transcripts {
    /// A sentence that names the stream and the utterance, counted from 1.
    Numbered,
    /// The n-th text for the n-th utterance of a stream; the last one again and again after that.
    Script(Vec<String>),
}

/// Parameters that the reference knows for live streams.
const PARAMETERS: [&str; 25] = [
    "model",
    "language",
    "encoding",
    "sample_rate",
    "channels",
    "multichannel",
    "interim_results",
    "endpointing",
    "utterance_end_ms",
    "vad_events",
    "punctuate",
    "smart_format",
    "numerals",
    "profanity_filter",
    "redact",
    "diarize",
    "keyterm",
    "keywords",
    "replace",
    "search",
    "tag",
    "extra",
    "version",
    "mip_opt_out",
    "dictation",
];
/// Read buffer of a stream, in bytes.
const READ_BUFFER_BYTES: usize = 4 * 1024;

pub(super) async fn listen(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Query(query): Query<Vec<(String, String)>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    if !authorized(&shared, &headers, "Token") {
        return refuse(&shared, 401, "INVALID_AUTH", "Invalid credentials.");
    }
    let options = match Options::read(&query) {
        Ok(options) => options,
        Err(message) => return refuse(&shared, 400, "Bad Request", &message),
    };
    let fault = shared.faults.listen.take();
    if let Some(ListenFault::Status(status)) = fault {
        return refuse(&shared, status, "FAULT", "This was asked for.");
    }
    let upgrade = upgrade.read_buffer_size(READ_BUFFER_BYTES).write_buffer_size(0);
    upgrade.on_upgrade(move |socket| async move {
        add(&shared.counters.listen_open, 1);
        let number = shared.counters.listen_streams.fetch_add(1, Ordering::Relaxed) + 1;
        let stop = shared.stop.clone();
        let stream = Stream::new(Arc::clone(&shared), options, fault, number);
        tokio::select! {
            () = stream.run(socket) => {}
            () = stop.cancelled() => {}
        }
        shared.counters.listen_open.fetch_sub(1, Ordering::Relaxed);
    })
}

fn refuse(shared: &Shared, status: u16, code: &str, message: &str) -> Response {
    add(&shared.counters.refused, 1);
    let status = StatusCode::from_u16(status).expect("tests name real statuses");
    (status, Json(json!({"err_code":code,"err_msg":message,"request_id":"fake"}))).into_response()
}

/// How a stream was asked for.
struct Options {
    sample_rate_hz: usize,
    interim: bool,
    end_ms: Option<u64>,
}

impl Options {
    fn read(query: &[(String, String)]) -> Result<Self, String> {
        if let Some((name, _)) = query.iter().find(|(name, _)| !PARAMETERS.contains(&name.as_str())) {
            return Err(format!("Bad Request: unknown parameter {name}"));
        }
        let get = |name: &str| query.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let flag = |name: &str| match get(name) {
            Some("true") => Ok(true),
            Some("false") | None => Ok(false),
            Some(other) => Err(format!("Bad Request: {name} cannot be {other}")),
        };
        for needed in ["model", "language"] {
            get(needed).filter(|v| !v.is_empty()).ok_or_else(|| format!("Bad Request: {needed} is missing"))?;
        }
        if get("encoding") != Some("linear16") || !matches!(get("channels"), Some("1") | None) {
            return Err("Bad Request: only linear16 with one channel here".into());
        }
        let rate = get("sample_rate").and_then(|v| v.parse().ok()).filter(|rate| (8_000..=48_000).contains(rate));
        let end_ms = match get("endpointing") {
            None => Some(10),
            Some("false") => None,
            Some(ms) => Some(ms.parse().map_err(|_| "Bad Request: endpointing must be false or a number".to_owned())?),
        };
        let interim = flag("interim_results")?;
        flag("punctuate")?;
        flag("smart_format")?;
        Ok(Self {
            sample_rate_hz: rate.ok_or("Bad Request: sample_rate must be given with linear16")?,
            interim,
            end_ms,
        })
    }
}

struct Stream {
    shared: Arc<Shared>,
    fault: Option<ListenFault>,
    number: u64,
    interim: bool,
    ear: Ear,
    utterance: usize,
    /// Results on their way, in order.
    due: VecDeque<(Instant, String)>,
    last_input: Instant,
}

enum Step {
    On,
    Close(u16, &'static str),
    Gone,
}

impl Stream {
    fn new(shared: Arc<Shared>, options: Options, fault: Option<ListenFault>, number: u64) -> Self {
        let ear = Ear::new(options.sample_rate_hz, options.end_ms, shared.settings.listen_interim_ms);
        Self {
            shared,
            fault,
            number,
            interim: options.interim,
            ear,
            utterance: 0,
            due: VecDeque::new(),
            last_input: Instant::now(),
        }
    }

    async fn run(mut self, mut socket: WebSocket) {
        let idle = Duration::from_millis(self.shared.settings.listen_idle_ms);
        loop {
            let expires = self.last_input + idle;
            let wake = self.due.front().map_or(expires, |(at, _)| *at);
            let step = tokio::select! {
                biased;
                () = sleep_until(wake) => match self.due.pop_front() {
                    Some((_, text)) => self.send(&mut socket, text).await,
                    None => Step::Close(1011, "NET-0001"),
                },
                message = socket.recv() => match message {
                    Some(Ok(message)) => self.take(&mut socket, message).await,
                    Some(Err(_)) | None => Step::Gone,
                },
            };
            match step {
                Step::On => {}
                Step::Gone => return,
                Step::Close(code, reason) => {
                    // The other side may be gone already.
                    let frame = CloseFrame { code, reason: reason.into() };
                    let _ = socket.send(Message::Close(Some(frame))).await;
                    return;
                }
            }
        }
    }

    async fn send(&self, socket: &mut WebSocket, text: String) -> Step {
        if self.fault == Some(ListenFault::Mute) {
            return Step::On;
        }
        if self.fault == Some(ListenFault::Garbage) {
            for garbage in ["{oops", r#"{"type":"Novelty","channel":"x"}"#, "[]", r#"{"type":"Results","start":"x"}"#] {
                if socket.send(Message::text(garbage)).await.is_err() {
                    return Step::Gone;
                }
            }
        }
        if socket.send(Message::text(text)).await.is_ok() { Step::On } else { Step::Gone }
    }

    async fn take(&mut self, socket: &mut WebSocket, message: Message) -> Step {
        match message {
            Message::Binary(pcm) => self.audio(&pcm),
            Message::Text(text) => {
                let value: Value = serde_json::from_str(&text).unwrap_or_default();
                match value.get("type").and_then(Value::as_str) {
                    Some("KeepAlive") => {
                        self.last_input = Instant::now();
                        add(&self.shared.counters.listen_keep_alives, 1);
                        Step::On
                    }
                    Some("Finalize") => {
                        add(&self.shared.counters.listen_finalizes, 1);
                        self.finalize();
                        Step::On
                    }
                    Some("CloseStream") => {
                        add(&self.shared.counters.listen_farewells, 1);
                        let duration = self.ear.at_ms as f64 / 1_000.0;
                        let end = json!({"type":"Metadata","transaction_key":"deprecated","request_id":self.id(),
                            "sha256":"0","created":"2026-01-01T00:00:00.000Z","duration":duration,"channels":1});
                        self.send(socket, end.to_string()).await;
                        Step::Close(1000, "")
                    }
                    _ => Step::Close(1008, "DATA-0000"),
                }
            }
            Message::Close(_) => Step::Gone,
            Message::Ping(_) | Message::Pong(_) => Step::On,
        }
    }

    fn audio(&mut self, pcm: &Bytes) -> Step {
        if pcm.is_empty() {
            return Step::Close(1000, "");
        }
        if !pcm.len().is_multiple_of(2) {
            return Step::Close(1008, "DATA-0000");
        }
        self.last_input = Instant::now();
        add(&self.shared.counters.listen_messages, 1);
        add(&self.shared.counters.listen_bytes, pcm.len() as u64);
        if self.fault.is_none() {
            self.fault = self.shared.faults.open_listen.take();
        }
        let mut heard = Vec::new();
        self.ear.hear(pcm, &mut heard);
        for heard in heard {
            match heard {
                Heard::More { from_ms, to_ms } if self.interim => {
                    let text = self.text(self.utterance, from_ms);
                    let words = text.split_whitespace().count();
                    let half: Vec<&str> = text.split_whitespace().take(words.div_ceil(2)).collect();
                    let result = self.result(&half.join(" "), Kind::Interim, from_ms, to_ms);
                    self.due.push_back((Instant::now(), result));
                }
                Heard::More { .. } => {}
                Heard::Ended { from_ms, to_ms } => self.ended(Kind::SpeechFinal, from_ms, to_ms),
            }
        }
        if let Some(ListenFault::CloseAfter { audio_ms, code }) = self.fault
            && self.ear.at_ms >= audio_ms
        {
            return Step::Close(code, "fault");
        }
        Step::On
    }

    fn finalize(&mut self) {
        let ignore = self.fault == Some(ListenFault::IgnoreFinalize);
        match self.ear.end() {
            Some(Heard::Ended { from_ms, to_ms } | Heard::More { from_ms, to_ms }) => {
                self.ended(if ignore { Kind::SpeechFinal } else { Kind::Finalize }, from_ms, to_ms);
            }
            None if ignore => {}
            None => {
                // What is on its way goes first.
                let at = self.due.back().map_or_else(Instant::now, |(at, _)| *at);
                let empty = self.result("", Kind::Finalize, self.ear.at_ms, self.ear.at_ms);
                self.due.push_back((at, empty));
            }
        }
    }

    fn ended(&mut self, kind: Kind, from_ms: u64, to_ms: u64) {
        add(&self.shared.counters.listen_finals, 1);
        let text = self.text(self.utterance, from_ms);
        self.utterance += 1;
        let result = self.result(&text, kind, from_ms, to_ms);
        self.due.push_back((Instant::now() + Duration::from_millis(self.shared.settings.listen_final_ms), result));
    }

    fn text(&self, utterance: usize, from_ms: u64) -> String {
        let moments = self.shared.spoken_at.lock().expect("no holder panics");
        if let Some((_, text)) = moments.iter().rev().find(|(at_ms, _)| *at_ms <= from_ms) {
            return text.clone();
        }
        match &self.shared.settings.transcripts {
            Transcripts::Numbered => {
                format!("I would like to check my order please this is call {} turn {}", self.number, utterance + 1)
            }
            Transcripts::Script(texts) => texts.get(utterance).or(texts.last()).cloned().unwrap_or_default(),
        }
    }

    fn id(&self) -> String {
        format!("fake-{}", self.number)
    }

    fn result(&self, text: &str, kind: Kind, from_ms: u64, to_ms: u64) -> String {
        let (start, duration) = (from_ms as f64 / 1_000.0, (to_ms - from_ms) as f64 / 1_000.0);
        let step = duration / text.split_whitespace().count().max(1) as f64;
        let words: Vec<Value> = text
            .split_whitespace()
            .enumerate()
            .map(|(n, word)| {
                let at = start + step * n as f64;
                json!({"word":word,"start":at,"end":at + step,"confidence":0.99,"punctuated_word":word})
            })
            .collect();
        json!({"type":"Results","channel_index":[0,1],"start":start,"duration":duration,
            "is_final":kind != Kind::Interim,"speech_final":kind == Kind::SpeechFinal,"from_finalize":kind == Kind::Finalize,
            "channel":{"alternatives":[{"transcript":text,"confidence":0.99,"words":words}]},
            "metadata":{"request_id":self.id(),"model_info":{"name":"fake","version":"1","arch":"fake"},"model_uuid":"0"}})
        .to_string()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Interim,
    SpeechFinal,
    Finalize,
}
