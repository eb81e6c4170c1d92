//! Speech as raw samples.

use super::{Deadlines, Endpoint};
use crate::http::{Http, transport_error};
use crate::speaker::{CHUNK_QUEUE, SpeakRequest, Speaker, SpeechChunk, TEXT_BYTES_MAX};
use crate::{Error, ErrorKind};
use audio::resample::Resampler;
use reqwest::header::CONTENT_TYPE;
use secrecy::SecretString;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use wire::openai::{PcmBytes, SPEECH_SAMPLE_RATE_HZ, SpeechRequest, foreign_audio};

/// Name of this provider.
const NAME: &str = "openai";
/// The first chunk goes out as soon as it holds this much, in milliseconds: the caller is waiting.
const FIRST_CHUNK_MS: usize = 20;
/// Later chunks hold this much: fewer wake-ups of the call.
const CHUNK_MS: usize = 100;
/// Rates a call can want.
const SAMPLE_RATES_HZ: [u32; 3] = [8_000, 16_000, 24_000];

/// How to reach a speech service and ask it.
#[derive(Clone, Debug)]
pub struct SpeechSettings {
    /// Address up to and with `/v1`; a slash at its end does not matter.
    pub base_url: String,
    /// The key; `None` for servers without.
    pub key: Option<SecretString>,
    /// Model name.
    pub model: String,
    /// Voice when the request names none.
    pub voice: String,
    /// How to speak; only newer models know it. Empty = not sent.
    pub instructions: String,
    /// How long speech may take. `total` counts from the request to the last chunk taken by the call, which takes them
    /// as it plays.
    pub deadlines: Deadlines,
}

impl SpeechSettings {
    /// OpenAI's own service with its usual settings.
    #[must_use]
    pub fn new(model: impl Into<String>, key: Option<SecretString>) -> Self {
        Self {
            base_url: super::BASE_URL.to_owned(),
            key,
            model: model.into(),
            voice: "alloy".to_owned(),
            instructions: String::new(),
            // A long sentence is half a minute of speech, taken as it is played.
            deadlines: Deadlines { total: super::TOTAL_TIMEOUT * 3, ..Deadlines::default() },
        }
    }
}

/// A speech service.
#[derive(Clone, Debug)]
pub struct OpenAiSpeaker {
    endpoint: Endpoint,
    settings: SpeechSettings,
}

impl OpenAiSpeaker {
    /// A speaker; nothing is sent yet.
    #[must_use]
    pub fn new(http: Http, settings: SpeechSettings) -> Self {
        let endpoint = Endpoint { name: NAME, http, base_url: settings.base_url.clone(), key: settings.key.clone() };
        Self { endpoint, settings }
    }

    /// Whether service and key work; leaves an open connection behind.
    ///
    /// # Errors
    /// What stands in the way.
    pub async fn check(&self) -> Result<(), Error> {
        self.endpoint.check().await
    }

    fn body(&self, request: &SpeakRequest) -> Result<String, Error> {
        let refused = |detail: &str| Err(Error::new(ErrorKind::Rejected, NAME, detail));
        if request.text.len() > TEXT_BYTES_MAX {
            return refused("the text is too long for one request");
        }
        if !SAMPLE_RATES_HZ.contains(&request.sample_rate_hz) {
            return refused("only 8, 16 and 24 kHz can be made");
        }
        let voice = if request.voice.is_empty() { &self.settings.voice } else { &request.voice };
        let SpeechSettings { model, instructions, .. } = &self.settings;
        Ok(SpeechRequest { model, input: &request.text, voice, instructions }.body())
    }
}

impl Speaker for OpenAiSpeaker {
    fn name(&self) -> &'static str {
        NAME
    }

    fn speak(&self, request: SpeakRequest) -> mpsc::Receiver<Result<SpeechChunk, Error>> {
        let (out, receiver) = mpsc::channel(CHUNK_QUEUE);
        if request.text.trim().is_empty() {
            return receiver;
        }
        let body = match self.body(&request) {
            Ok(body) => body,
            Err(error) => {
                out.try_send(Err(error)).expect("the queue is new and has room");
                return receiver;
            }
        };
        let (endpoint, deadlines) = (self.endpoint.clone(), self.settings.deadlines);
        tokio::spawn(async move {
            let mut speech = Speech::new(&out, request.sample_rate_hz);
            let result = tokio::select! {
                // The receiver is gone: what is under way is dropped, and with it the request.
                () = out.closed() => return,
                result = speech.run(&endpoint, body, deadlines) => result,
            };
            if let Err(error) = result {
                // A full queue with a live receiver is waited for; a closed one needs no news.
                let _ = out.send(Err(error)).await;
            }
        });
        receiver
    }
}

/// One sentence under way.
struct Speech<'a> {
    out: &'a mpsc::Sender<Result<SpeechChunk, Error>>,
    bytes: PcmBytes,
    resampler: Resampler,
    read: Vec<i16>,
    ready: Vec<i16>,
    sample_rate_hz: usize,
    begun: bool,
}

impl<'a> Speech<'a> {
    fn new(out: &'a mpsc::Sender<Result<SpeechChunk, Error>>, sample_rate_hz: u32) -> Self {
        Self {
            out,
            bytes: PcmBytes::new(),
            resampler: Resampler::new(SPEECH_SAMPLE_RATE_HZ, sample_rate_hz),
            read: Vec::new(),
            ready: Vec::new(),
            sample_rate_hz: sample_rate_hz as usize,
            begun: false,
        }
    }

    async fn run(&mut self, endpoint: &Endpoint, body: String, deadlines: Deadlines) -> Result<(), Error> {
        let begun = Instant::now();
        let last = begun + deadlines.total;
        let late = || Error::new(ErrorKind::TimedOut, NAME, "no speech in time");
        let mut until = last.min(begun + deadlines.first);
        let mut response = timeout_at(until, endpoint.post("audio/speech", body)).await.map_err(|_| late())??;
        check_type(&response)?;
        let mut seen = false;
        loop {
            let piece = timeout_at(until, response.chunk()).await.map_err(|_| late())?;
            let Some(piece) = piece.map_err(|e| transport_error(NAME, e))? else { break };
            if !std::mem::replace(&mut seen, true)
                && let Some(container) = foreign_audio(&piece)
            {
                return Err(Error::new(ErrorKind::Protocol, NAME, format!("answered {container}, not raw samples")));
            }
            self.take(&piece).await;
            // After `take`: the time the call lets us wait is not the service's.
            until = last.min(Instant::now() + deadlines.idle);
        }
        self.send_rest().await;
        if seen { Ok(()) } else { Err(Error::new(ErrorKind::Protocol, NAME, "answered without any sound")) }
    }

    async fn take(&mut self, piece: &[u8]) {
        self.read.clear();
        self.bytes.push(piece, &mut self.read);
        self.resampler.process(&self.read, &mut self.ready);
        loop {
            let chunk_ms = if self.begun { CHUNK_MS } else { FIRST_CHUNK_MS };
            let whole = self.sample_rate_hz * CHUNK_MS / 1_000;
            if self.ready.len() < self.sample_rate_hz * chunk_ms / 1_000 {
                return;
            }
            self.begun = true;
            let rest = self.ready.split_off(self.ready.len().min(whole));
            let chunk = std::mem::replace(&mut self.ready, rest);
            // Failing means that nobody listens; the task is about to be cancelled.
            let _ = self.out.send(Ok(chunk.into())).await;
        }
    }

    async fn send_rest(&mut self) {
        if !self.ready.is_empty() {
            let _ = self.out.send(Ok(std::mem::take(&mut self.ready).into())).await;
        }
    }
}

/// A server that ignores `response_format` would be heard as noise; better no speech than that.
fn check_type(response: &reqwest::Response) -> Result<(), Error> {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    let kind = kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    match kind.as_str() {
        // OpenAI says audio/pcm; others leave it open. WAV and the like are found by their first bytes.
        ""
        | "audio/pcm"
        | "audio/l16"
        | "audio/x-pcm"
        | "audio/raw"
        | "application/octet-stream"
        | "binary/octet-stream" => Ok(()),
        other => {
            let shown: String = other.chars().take(40).collect();
            Err(Error::new(ErrorKind::Protocol, NAME, format!("answered {shown}, not raw samples")))
        }
    }
}
