//! Text to speech. A sentence is config, text and flush; the event `final` ends it. The connection is then kept for the
//! next sentence, of whichever call: config may be sent again at any time, and each flush has its own `final`. One that
//! was cut short is not used again, since there is no way to tell them to stop.

use super::connection::{VENDOR, address, told};
use super::{BASE_URL, IDLE_SPEECH_MAX, IDLE_SPEECH_SOCKETS_MAX, NAME};
use crate::http::Http;
use crate::live::{Address, Socket, SpeechCutter};
use crate::openai::Deadlines;
use crate::speaker::{CHUNK_QUEUE, SpeakRequest, Speaker, SpeechChunk, TEXT_BYTES_MAX};
use crate::{Error, ErrorKind};
use secrecy::SecretString;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::tungstenite::Message;
use wire::openai::{PcmBytes, foreign_audio};
use wire::sarvam::{SPEECH_FLUSH, SpeechConfig, SpeechMessage, speech_language, text_message};

/// The path of its address.
const PATH: &str = "text-to-speech/ws";
/// Rates a call can want; Sarvam makes all of them itself.
const SAMPLE_RATES_HZ: [u32; 3] = [8_000, 16_000, 24_000];
/// Messages that are not JSON in one sentence after which it is given up.
const MALFORMED_MAX: u32 = 3;

/// How to reach Sarvam's speech and how it is to sound.
#[derive(Clone, Debug)]
pub struct SpeakerSettings {
    /// Address of the sockets, `wss://` (or `ws://` for tests), without path.
    pub base_url: String,
    /// The key.
    pub key: SecretString,
    /// Model name.
    pub model: String,
    /// Voice when the request names none; it must be one of the model's.
    pub voice: String,
    /// Speed, 0.5 to 2; `None` = theirs.
    pub pace: Option<f64>,
    /// -0.75 to 0.75; only models before `bulbul:v3` take it.
    pub pitch: Option<f64>,
    /// 0.3 to 3; only models before `bulbul:v3` take it.
    pub loudness: Option<f64>,
    /// 0.01 to 1: how lively.
    pub temperature: Option<f64>,
    /// How long speech may take. `total` counts from the request to the last chunk taken by the call, which takes them
    /// as it plays.
    pub deadlines: Deadlines,
}

impl SpeakerSettings {
    /// Sarvam's own service with its usual settings.
    #[must_use]
    pub fn new(key: SecretString) -> Self {
        let usual = Deadlines::default();
        Self {
            base_url: BASE_URL.to_owned(),
            key,
            model: "bulbul:v3".to_owned(),
            voice: "shubh".to_owned(),
            pace: None,
            pitch: None,
            loudness: None,
            temperature: None,
            // A long sentence is half a minute of speech, taken as it is played.
            deadlines: Deadlines { total: usual.total * 3, ..usual },
        }
    }
}

/// Sarvam's text to speech. Clones share their connections.
#[derive(Clone, Debug)]
pub struct SarvamSpeaker {
    http: Http,
    settings: SpeakerSettings,
    idle: Arc<Idle>,
}

impl SarvamSpeaker {
    /// A speaker; nothing is sent yet. Of `http` the trusted roots and the connect timeout are used.
    #[must_use]
    pub fn new(http: Http, settings: SpeakerSettings) -> Self {
        Self { http, settings, idle: Arc::default() }
    }

    /// Whether service and key work: opens a connection, which the first sentence then finds ready.
    ///
    /// # Errors
    /// What stands in the way.
    pub async fn check(&self) -> Result<(), Error> {
        let socket = self.address()?.connect().await?;
        self.idle.put(socket);
        Ok(())
    }

    fn address(&self) -> Result<Address, Error> {
        let query = SpeechConfig::query(&self.settings.model);
        address(&self.http, &self.settings.base_url, PATH, &query, &self.settings.key)
    }

    /// What is sent for a sentence.
    fn messages(&self, request: &SpeakRequest) -> Result<[Message; 3], Error> {
        let refused = |detail: &str| Err(VENDOR.error(ErrorKind::Rejected, detail));
        if request.text.len() > TEXT_BYTES_MAX {
            return refused("the text is too long for one request");
        }
        if !SAMPLE_RATES_HZ.contains(&request.sample_rate_hz) {
            return refused("only 8, 16 and 24 kHz can be made");
        }
        let Some(language) = speech_language(&request.language) else {
            return refused("it has no voice for the language");
        };
        let settings = &self.settings;
        let config = SpeechConfig {
            model: &settings.model,
            language_code: language,
            speaker: if request.voice.is_empty() { &settings.voice } else { &request.voice },
            pace: settings.pace,
            pitch: settings.pitch,
            loudness: settings.loudness,
            temperature: settings.temperature,
            sample_rate_hz: request.sample_rate_hz,
        };
        Ok([config.message(), text_message(&request.text), SPEECH_FLUSH.to_owned()].map(Message::text))
    }
}

impl Speaker for SarvamSpeaker {
    fn name(&self) -> &'static str {
        NAME
    }

    fn speak(&self, request: SpeakRequest) -> mpsc::Receiver<Result<SpeechChunk, Error>> {
        let (out, receiver) = mpsc::channel(CHUNK_QUEUE);
        if request.text.trim().is_empty() {
            return receiver;
        }
        let (address, messages) = match self.address().and_then(|address| Ok((address, self.messages(&request)?))) {
            Ok(both) => both,
            Err(error) => {
                out.try_send(Err(error)).expect("the queue is new and has room");
                return receiver;
            }
        };
        let (idle, deadlines) = (Arc::clone(&self.idle), self.settings.deadlines);
        tokio::spawn(async move {
            let mut sentence = Sentence {
                cutter: SpeechCutter::new(&out, request.sample_rate_hz),
                bytes: PcmBytes::new(),
                seen: false,
                used: false,
                malformed: 0,
            };
            let result = tokio::select! {
                // The receiver is gone: the connection is dropped, and with it what is under way.
                () = out.closed() => return,
                result = sentence.run(&address, &idle, &messages, deadlines) => result,
            };
            if let Err(error) = result {
                // A full queue with a live receiver is waited for; a closed one needs no news.
                let _ = out.send(Err(error)).await;
            }
        });
        receiver
    }
}

/// Connections between two sentences, the one used last at the end.
#[derive(Debug, Default)]
struct Idle(Mutex<VecDeque<(Socket, Instant)>>);

impl Idle {
    /// The youngest that is still open. The old ones are let go.
    fn take(&self) -> Option<Socket> {
        let mut sockets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sockets.retain(|(_, since)| since.elapsed() < IDLE_SPEECH_MAX);
        while let Some((mut socket, _)) = sockets.pop_back() {
            if socket.is_alive() {
                return Some(socket);
            }
        }
        None
    }

    fn put(&self, socket: Socket) {
        let mut sockets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sockets.len() == IDLE_SPEECH_SOCKETS_MAX {
            sockets.pop_front();
        }
        sockets.push_back((socket, Instant::now()));
    }
}

/// One sentence under way.
struct Sentence<'a> {
    cutter: SpeechCutter<'a>,
    bytes: PcmBytes,
    /// Some sound has come.
    seen: bool,
    /// The connection has said another sentence before.
    used: bool,
    malformed: u32,
}

impl Sentence<'_> {
    async fn run(
        &mut self,
        address: &Address,
        idle: &Idle,
        messages: &[Message; 3],
        deadlines: Deadlines,
    ) -> Result<(), Error> {
        let begun = Instant::now();
        let last = begun + deadlines.total;
        let first = last.min(begun + deadlines.first);
        if let Some(mut socket) = idle.take() {
            self.used = true;
            match self.say(&mut socket, messages, first, last, deadlines).await {
                Ok(()) => {
                    idle.put(socket);
                    return Ok(());
                }
                // It was closed the moment it was taken; a new one is not a second try.
                Err(error) if error.kind == ErrorKind::Unavailable && !self.seen => {
                    tracing::debug!(provider = NAME, error = %error, "a kept connection was closed");
                }
                Err(error) => return Err(error),
            }
        }
        self.used = false;
        let mut socket = timeout_at(first, address.connect()).await.map_err(|_| late())??;
        self.say(&mut socket, messages, first, last, deadlines).await?;
        idle.put(socket);
        Ok(())
    }

    async fn say(
        &mut self,
        socket: &mut Socket,
        messages: &[Message; 3],
        first: Instant,
        last: Instant,
        deadlines: Deadlines,
    ) -> Result<(), Error> {
        for message in messages {
            timeout_at(first, socket.send(message.clone())).await.map_err(|_| late())??;
        }
        let mut until = first;
        loop {
            let Some(text) = timeout_at(until, socket.next()).await.map_err(|_| late())?? else { continue };
            match SpeechMessage::parse(&text) {
                Ok(SpeechMessage::Audio { content_type, bytes }) => {
                    self.take(&content_type, &bytes).await?;
                    // After `take`: the time the call lets us wait is not the service's.
                    until = last.min(Instant::now() + deadlines.idle);
                }
                Ok(SpeechMessage::Final) if self.seen => {
                    self.cutter.finish().await;
                    return Ok(());
                }
                // An end before the beginning is another sentence's.
                Ok(SpeechMessage::Final) if self.used => {}
                Ok(SpeechMessage::Final) => return Err(protocol("answered without any sound")),
                Ok(SpeechMessage::BadAudio) => return Err(protocol("sent sound that is no base64")),
                Ok(SpeechMessage::Error(said)) => return Err(told(&said)),
                Ok(SpeechMessage::Unknown) => {}
                Err(_) => {
                    self.malformed += 1;
                    if self.malformed == MALFORMED_MAX {
                        return Err(protocol("messages that are not JSON"));
                    }
                }
            }
        }
    }

    async fn take(&mut self, content_type: &str, bytes: &[u8]) -> Result<(), Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        if !std::mem::replace(&mut self.seen, true) {
            // What is not raw samples would be heard as noise; better no speech than that.
            if let Some(container) = foreign_audio(bytes) {
                return Err(protocol(&format!("answered {container}, not raw samples")));
            }
            let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            if !matches!(kind.as_str(), "" | "audio/pcm" | "audio/l16" | "audio/raw" | "audio/linear16") {
                let shown: String = kind.chars().take(40).collect();
                return Err(protocol(&format!("answered {shown}, not raw samples")));
            }
        }
        let mut pcm = Vec::with_capacity(bytes.len() / 2 + 1);
        self.bytes.push(bytes, &mut pcm);
        self.cutter.push(&pcm).await;
        Ok(())
    }
}

fn late() -> Error {
    VENDOR.error(ErrorKind::TimedOut, "no speech in time")
}

fn protocol(detail: &str) -> Error {
    VENDOR.error(ErrorKind::Protocol, detail)
}
