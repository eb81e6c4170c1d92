//! Live transcription in both protocols, with Sarvam's own judgement of pauses.

use super::super::ear::{Ear, Heard};
use super::super::{Shared, Transcripts};
use super::{authorized, forbid, refuse};
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderMap;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How a transcription stream goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SarvamListenFault {
    /// The handshake is refused with this status.
    Status(u16),
    /// Closed with this code once so much audio has come, in milliseconds.
    CloseAfter {
        /// Audio received.
        audio_ms: u64,
        /// Close code.
        code: u16,
    },
    /// A fatal error once so much audio has come, in milliseconds (realtime).
    ErrorAfter {
        /// Audio received.
        audio_ms: u64,
        /// The HTTP status it stands for.
        status: u16,
    },
    /// Takes everything, answers nothing.
    Mute,
    /// Answers pings, and hears nothing.
    Deaf,
    /// Everything but final text.
    NoFinal,
    /// Sends text that is not JSON, and kinds of messages nobody knows, before each message.
    Garbage,
}

/// Parameters that the references know.
const REALTIME: [&str; 14] = [
    "language_code",
    "model",
    "stream_type",
    "mode",
    "prompt",
    "keyterms",
    "endpointing",
    "encoding",
    "sample_rate",
    "return_timestamps",
    "threshold",
    "prefix_padding_ms",
    "silence_duration_ms",
    "min_speech_duration_ms",
];
const STREAMING: [&str; 9] = [
    "language-code",
    "model",
    "mode",
    "keyterms",
    "sample_rate",
    "high_vad_sensitivity",
    "vad_signals",
    "flush_signal",
    "input_audio_codec",
];
/// The language that is noticed when it is to be found out.
const NOTICED: &str = "hi-IN";
/// Read buffer of a stream, in bytes.
const READ_BUFFER_BYTES: usize = 4 * 1024;

/// How a stream was asked for.
#[derive(Clone, Debug)]
struct Options {
    is_realtime: bool,
    sample_rate_hz: usize,
    language: String,
    silence_ms: u64,
    partials: bool,
    timestamps: bool,
    signals: bool,
    flush: bool,
}

type Pairs = Vec<(String, String)>;

impl Options {
    fn read(query: &Pairs, is_realtime: bool) -> Result<Self, String> {
        let known = if is_realtime { &REALTIME[..] } else { &STREAMING[..] };
        if let Some((name, _)) = query.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            return Err(format!("query.{name} : Extra inputs are not permitted"));
        }
        let get = |name: &str| query.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let one_of = |name: &str, usual: &'static str, allowed: &[&str]| {
            let value = get(name).unwrap_or(usual);
            if allowed.contains(&value) { Ok(value.to_owned()) } else { Err(format!("query.{name} : not {value}")) }
        };
        let flag = |name: &str| one_of(name, "false", &["true", "false"]).map(|value| value == "true");
        let language = get(if is_realtime { "language_code" } else { "language-code" });
        let language =
            language.filter(|l| l.ends_with("-IN") || matches!((*l, is_realtime), ("auto", true) | ("unknown", false)));
        let models: &[&str] = if is_realtime {
            &["saaras:v3-realtime", "saaras:v4"]
        } else {
            &["saaras:v4", "saaras:v3", "saarika:v2.5"]
        };
        let model = one_of("model", models[0], models)?;
        if get("keyterms").is_some() && model != "saaras:v4" {
            return Err("keyterms : only with saaras:v4".into());
        }
        one_of("mode", "transcribe", &["transcribe"])?;
        let rate = one_of("sample_rate", "16000", &["8000", "16000"])?;
        let silence_ms = if is_realtime {
            one_of("endpointing", "vad", &["vad"])?;
            one_of("encoding", "linear16", &["linear16"])?;
            get("silence_duration_ms").unwrap_or("500").parse().map_err(|_| "silence_duration_ms : not a number")?
        } else {
            one_of("input_audio_codec", "wav", &["pcm_s16le"])?;
            if flag("high_vad_sensitivity")? { 500 } else { 1_000 }
        };
        Ok(Self {
            is_realtime,
            sample_rate_hz: rate.parse().map_err(|_| "sample_rate : not a number")?,
            language: language.ok_or("language : not supported")?.to_owned(),
            silence_ms,
            partials: is_realtime
                && one_of("stream_type", "balanced", &["fast", "balanced", "simulated"])? != "simulated",
            timestamps: is_realtime && flag("return_timestamps")?,
            signals: is_realtime || flag("vad_signals")?,
            flush: !is_realtime && flag("flush_signal")?,
        })
    }
}

pub(super) async fn realtime(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Query(query): Query<Pairs>,
    upgrade: WebSocketUpgrade,
) -> Response {
    open(&shared, &headers, &query, upgrade, true)
}

pub(super) async fn streaming(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Query(query): Query<Pairs>,
    upgrade: WebSocketUpgrade,
) -> Response {
    open(&shared, &headers, &query, upgrade, false)
}

fn open(
    shared: &Arc<Shared>,
    headers: &HeaderMap,
    query: &Pairs,
    upgrade: WebSocketUpgrade,
    is_realtime: bool,
) -> Response {
    if !authorized(shared, headers) {
        return forbid(shared);
    }
    let fault = shared.sarvam.listen_fault.take();
    if let Some(SarvamListenFault::Status(status)) = fault {
        return refuse(shared, status, "internal_server_error", "This was asked for.");
    }
    let options = match Options::read(query, is_realtime) {
        Err(message) if !is_realtime => return refuse(shared, 400, "invalid_request_error", &message),
        // The newer protocol explains itself after the upgrade.
        other => other,
    };
    let pairs: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    *shared.sarvam.last_query.lock().expect("no holder panics") = pairs.join("&");
    let shared = Arc::clone(shared);
    let upgrade = upgrade.read_buffer_size(READ_BUFFER_BYTES).write_buffer_size(0);
    upgrade.on_upgrade(move |mut socket| async move {
        let options = match options {
            Ok(options) => options,
            Err(message) => {
                shared.sarvam.count(|stats| stats.refused += 1);
                let error = json!({"event":"error","code":"invalid_request","is_fatal":true,"message":message,"status_code":400});
                let _ = socket.send(Message::text(error.to_string())).await;
                return close(&mut socket, 4_000, &message).await;
            }
        };
        let mut number = 0;
        shared.sarvam.count(|stats| {
            stats.listen_open += 1;
            stats.listen_streams += 1;
            number = stats.listen_streams;
        });
        let stop = shared.stop.clone();
        let stream = Stream::new(Arc::clone(&shared), options, fault, number);
        tokio::select! {
            () = stream.run(socket) => {}
            () = stop.cancelled() => {}
        }
        shared.sarvam.count(|stats| stats.listen_open -= 1);
    })
}

async fn close(socket: &mut WebSocket, code: u16, reason: &str) {
    let frame = CloseFrame { code, reason: reason.chars().take(120).collect::<String>().into() };
    // The other side may be gone already.
    let _ = socket.send(Message::Close(Some(frame))).await;
}

struct Stream {
    shared: Arc<Shared>,
    options: Options,
    fault: Option<SarvamListenFault>,
    number: u64,
    ear: Ear,
    is_speaking: bool,
    utterance: usize,
    /// Messages on their way, in order.
    due: VecDeque<(Instant, Value)>,
    last_input: Instant,
}

enum Step {
    On,
    Close(u16, &'static str),
    Gone,
}

impl Stream {
    fn new(shared: Arc<Shared>, options: Options, fault: Option<SarvamListenFault>, number: u64) -> Self {
        let ear = Ear::new(options.sample_rate_hz, Some(options.silence_ms), shared.settings.listen_interim_ms);
        let (due, last_input) = (VecDeque::new(), Instant::now());
        Self { shared, options, fault, number, ear, is_speaking: false, utterance: 0, due, last_input }
    }

    async fn run(mut self, mut socket: WebSocket) {
        let idle = Duration::from_millis(self.shared.settings.listen_idle_ms);
        if self.options.is_realtime {
            let begin = json!({"event":"session.begin","request_id":self.shared.sarvam.request_id(),
                "config":{"language_code":self.options.language,"turn_detection":"vad"}});
            self.soon(begin);
        }
        loop {
            let expires = self.last_input + idle;
            let wake = self.due.front().map_or(expires, |(at, _)| *at);
            let step = tokio::select! {
                biased;
                () = sleep_until(wake) => match self.due.pop_front() {
                    Some((_, message)) => self.send(&mut socket, message).await,
                    None => Step::Close(1008, "Inactivity timeout"),
                },
                message = socket.recv() => match message {
                    Some(Ok(Message::Text(text))) => self.take(&mut socket, &text).await,
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => Step::On,
                    Some(Ok(Message::Binary(_))) => self.refuse("binary"),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => Step::Gone,
                },
            };
            match step {
                Step::On => {}
                Step::Gone => return,
                Step::Close(code, reason) => return close(&mut socket, code, reason).await,
            }
        }
    }

    fn refuse(&self, what: &str) -> Step {
        tracing::debug!(what, "refused");
        self.shared.sarvam.count(|stats| stats.refused += 1);
        Step::Close(if self.options.is_realtime { 4_000 } else { 1003 }, "Invalid message")
    }

    async fn send(&self, socket: &mut WebSocket, message: Value) -> Step {
        if self.fault == Some(SarvamListenFault::Mute) {
            return Step::On;
        }
        if self.fault == Some(SarvamListenFault::Garbage) {
            for garbage in ["{oops", r#"{"event":"novelty"}"#, "[]", r#"{"type":"data","data":{"transcript":7}}"#] {
                if socket.send(Message::text(garbage)).await.is_err() {
                    return Step::Gone;
                }
            }
        }
        if socket.send(Message::text(message.to_string())).await.is_ok() { Step::On } else { Step::Gone }
    }

    async fn take(&mut self, socket: &mut WebSocket, text: &str) -> Step {
        let Ok(Value::Object(object)) = serde_json::from_str::<Value>(text) else { return self.refuse("no object") };
        let message = Value::Object(object);
        self.last_input = Instant::now();
        let keys = message.as_object().map_or(0, serde_json::Map::len);
        if self.options.is_realtime {
            match message["event"].as_str() {
                Some("audio_input") if keys == 2 => self.audio(&message["audio"]),
                Some("ping") if keys == 1 => {
                    self.shared.sarvam.count(|stats| stats.listen_pings += 1);
                    self.send(socket, json!({"event":"pong"})).await
                }
                Some("end") if keys == 1 => {
                    self.shared.sarvam.count(|stats| stats.listen_farewells += 1);
                    let end = json!({"event":"session.end","request_id":"r","total_utterances":self.utterance});
                    self.send(socket, end).await;
                    Step::Close(1000, "")
                }
                _ => self.refuse("event"),
            }
        } else if message["type"] == "flush" && keys == 1 {
            self.shared.sarvam.count(|stats| stats.listen_flushes += 1);
            if self.options.flush && self.ear.end().is_some() {
                self.ended();
            }
            Step::On
        } else if message["audio"]["encoding"] == "audio/wav" && keys == 1 && message["audio"]["sample_rate"].is_u64() {
            self.audio(&message["audio"]["data"])
        } else {
            self.refuse("message")
        }
    }

    fn audio(&mut self, audio: &Value) -> Step {
        let pcm = audio.as_str().and_then(|audio| BASE64.decode(audio).ok());
        let Some(pcm) = pcm.filter(|pcm| !pcm.is_empty() && pcm.len().is_multiple_of(2)) else {
            return self.refuse("audio");
        };
        self.shared.sarvam.count(|stats| stats.listen_bytes += pcm.len() as u64);
        let mut heard = Vec::new();
        self.ear.hear(&pcm, &mut heard);
        let is_deaf = matches!(self.fault, Some(SarvamListenFault::Deaf));
        for heard in heard.into_iter().filter(|_| !is_deaf) {
            self.started();
            match heard {
                Heard::More { .. } if self.options.partials => {
                    let text = self.text();
                    let words = text.split_whitespace().count();
                    let half: Vec<&str> = text.split_whitespace().take(words.div_ceil(2)).collect();
                    let mut partial =
                        json!({"event":"transcript.partial","utterance_idx":self.utterance,"text":half.join(" ")});
                    if self.options.language == "auto" {
                        partial["language"] = NOTICED.into();
                    }
                    self.soon(partial);
                }
                Heard::More { .. } => {}
                Heard::Ended { .. } => self.ended(),
            }
        }
        if self.ear.is_speaking() && !is_deaf {
            self.started();
        }
        match self.fault {
            Some(SarvamListenFault::CloseAfter { audio_ms, code }) if self.ear.at_ms >= audio_ms => {
                Step::Close(code, "fault")
            }
            Some(SarvamListenFault::ErrorAfter { audio_ms, status }) if self.ear.at_ms >= audio_ms => {
                self.fault = None;
                self.soon(json!({"event":"error","code":"fault","is_fatal":true,"message":"x","status_code":status}));
                Step::On
            }
            Some(_) | None => Step::On,
        }
    }

    /// Sent after all that is on its way.
    fn soon(&mut self, message: Value) {
        let at = self.due.back().map_or_else(Instant::now, |(at, _)| *at);
        self.due.push_back((at, message));
    }

    fn started(&mut self) {
        if std::mem::replace(&mut self.is_speaking, true) || !self.options.signals {
            return;
        }
        let utterance = self.utterance;
        self.soon(if self.options.is_realtime {
            json!({"event":"vad.speech_start","utterance_idx":utterance,"confidence":0.9})
        } else {
            json!({"type":"events","data":{"signal_type":"START_SPEECH","occured_at":1_791_106_485.8}})
        });
    }

    fn ended(&mut self) {
        self.started();
        self.is_speaking = false;
        let (utterance, text, end_s) = (self.utterance, self.text(), self.ear.at_ms as f64 / 1_000.0);
        self.utterance += 1;
        let options = self.options.clone();
        if options.signals {
            self.soon(if options.is_realtime {
                json!({"event":"vad.speech_end","utterance_idx":utterance,"confidence":0.9})
            } else {
                json!({"type":"events","data":{"signal_type":"END_SPEECH","occured_at":1_791_106_489.7}})
            });
        }
        if self.fault == Some(SarvamListenFault::NoFinal) {
            return;
        }
        self.shared.sarvam.count(|stats| stats.listen_finals += 1);
        let is_detected = matches!(options.language.as_str(), "auto" | "unknown");
        let message = if options.is_realtime {
            let mut last = json!({"event":"transcript.final","utterance_idx":utterance,"text":text});
            if is_detected {
                last["language"] = NOTICED.into();
                last["language_confidence"] = 0.9.into();
            }
            if options.timestamps {
                last["start_s"] = 0.0.into();
                last["end_s"] = end_s.into();
            }
            last
        } else {
            let language = if is_detected { NOTICED } else { &options.language };
            json!({"type":"data","data":{"request_id":self.shared.sarvam.request_id(),"transcript":text,"timestamps":null,
                "diarized_transcript":null,"language_code":language,"language_probability":null,
                "metrics":{"audio_duration":end_s,"processing_latency":0.1}}})
        };
        let at = Instant::now() + Duration::from_millis(self.shared.settings.listen_final_ms);
        let after = self.due.back().map_or(at, |(last, _)| at.max(*last));
        self.due.push_back((after, message));
    }

    fn text(&self) -> String {
        match &self.shared.settings.transcripts {
            Transcripts::Numbered => {
                let turn = self.utterance + 1;
                format!("I would like to check my order please this is call {} turn {turn}", self.number)
            }
            Transcripts::Script(texts) => texts.get(self.utterance).or(texts.last()).cloned().unwrap_or_default(),
        }
    }
}
