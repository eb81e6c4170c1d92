//! ElevenLabs speech to text (Scribe realtime): one WebSocket for each call, reconnected when it breaks.
//!
//! Sources: see `wire::elevenlabs::listen`.

use super::talk::{VENDOR, kind_of_code};
use super::utterance::Utterance;
use super::{BASE_URL, NAME, key_header};
use crate::http::{Http, join_url};
use crate::live::{Address, Answer, Dialect, Plan, RECONNECT_FIRST_WAIT, Session, pcm_bytes};
use crate::transcriber::{
    AudioWanted, INPUT_QUEUE, OUTPUT_QUEUE, Pcm, Transcriber, TranscriberOptions, TranscriberStream,
};
use crate::{BoxFuture, Error, ErrorKind};
use audio::resample::Resampler;
use secrecy::SecretString;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message;
use wire::elevenlabs::listen::{ListenMessage, ListenOptions, audio_chunk, listen_language, takes_rate};

/// The model that listens.
pub const LISTEN_MODEL: &str = "scribe_v2_realtime";
/// Longest wait for final text. It comes after 250 to 400 ms as a rule.
pub const FINALIZE_TIMEOUT: Duration = Duration::from_millis(1_500);
/// Silence is sent after so much silence of ours: they close a connection without audio after 15 s or so, and have no
/// other sign of life.
pub const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(5);
/// Silence that keeps a connection open, in milliseconds.
const SILENCE_MS: u32 = 20;
/// Longest wait of a check whether service and key work. A refused key is told after the upgrade.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// How to reach ElevenLabs' transcription and what to ask of it.
#[derive(Clone, Debug)]
pub struct ListenSettings {
    /// Address without path, `wss://` or `https://` (`ws://` for tests).
    pub base_url: String,
    /// The key.
    pub key: SecretString,
    /// Model name.
    pub model: String,
    /// Words to listen for.
    pub keyterms: Vec<String>,
    /// False = they keep nothing, for accounts that may ask for it.
    pub enable_logging: bool,
    /// Longest wait for the answer to `Finalize`.
    pub finalize_timeout: Duration,
    /// Silence is sent after so much silence of ours.
    pub keep_alive_every: Duration,
    /// Upper end of the wait before the first try to reconnect.
    pub reconnect_first_wait: Duration,
}

impl ListenSettings {
    /// ElevenLabs' own service with its usual settings.
    #[must_use]
    pub fn new(key: SecretString) -> Self {
        Self {
            base_url: BASE_URL.to_owned(),
            key,
            model: LISTEN_MODEL.to_owned(),
            keyterms: Vec::new(),
            enable_logging: true,
            finalize_timeout: FINALIZE_TIMEOUT,
            keep_alive_every: KEEP_ALIVE_EVERY,
            reconnect_first_wait: RECONNECT_FIRST_WAIT,
        }
    }
}

/// ElevenLabs' speech to text.
#[derive(Clone, Debug)]
pub struct ElevenLabsTranscriber {
    http: Http,
    settings: ListenSettings,
}

impl ElevenLabsTranscriber {
    /// A transcriber; nothing is sent yet. Of `http` the trusted roots and the connect timeout are used.
    #[must_use]
    pub const fn new(http: Http, settings: ListenSettings) -> Self {
        Self { http, settings }
    }

    /// Whether service, key and model work: opens a stream, and sends nothing.
    ///
    /// # Errors
    /// What stands in the way.
    pub async fn check(&self) -> Result<(), Error> {
        let mut socket = self.address("en", 8_000)?.connect().await?;
        let begun = async {
            loop {
                let Some(text) = socket.next().await? else { continue };
                match ListenMessage::parse(&text) {
                    Ok(ListenMessage::Started) => return Ok(()),
                    Ok(ListenMessage::Error { code }) => return Err(told(&code)),
                    Ok(
                        ListenMessage::Partial { .. }
                        | ListenMessage::Committed { .. }
                        | ListenMessage::CommittedWithTimes { .. }
                        | ListenMessage::Nothing
                        | ListenMessage::Unknown,
                    )
                    | Err(_) => {}
                }
            }
        };
        let late = |_| VENDOR.error(ErrorKind::TimedOut, "no session in time");
        timeout(CHECK_TIMEOUT, begun).await.map_err(late)??;
        socket.close(None).await;
        Ok(())
    }

    fn address(&self, language: &str, sample_rate_hz: u32) -> Result<Address, Error> {
        let settings = &self.settings;
        let query = ListenOptions {
            model: settings.model.clone(),
            language: listen_language(language),
            sample_rate_hz,
            keyterms: settings.keyterms.clone(),
            enable_logging: settings.enable_logging,
        };
        let base = join_url(&settings.base_url, "v1/speech-to-text/realtime");
        Address::new(&VENDOR, &self.http, &base, &query.query(), key_header(&settings.key))
    }
}

impl Transcriber for ElevenLabsTranscriber {
    fn name(&self) -> &'static str {
        NAME
    }

    fn audio_wanted(&self) -> AudioWanted {
        AudioWanted::Continuous
    }

    fn open(&self, options: TranscriberOptions) -> BoxFuture<'_, Result<TranscriberStream, Error>> {
        Box::pin(async move {
            let given = options.sample_rate_hz;
            if !(8_000..=48_000).contains(&given) {
                return Err(VENDOR.error(ErrorKind::Rejected, "the sample rate must be 8 to 48 kHz"));
            }
            let rate = if takes_rate(given) { given } else { 16_000 };
            let address = self.address(&options.language, rate)?;
            let socket = address.connect().await?;
            let (input, input_receiver) = mpsc::channel(INPUT_QUEUE);
            let (output_sender, output) = mpsc::channel(OUTPUT_QUEUE);
            let plan = Plan {
                address,
                finalize_timeout: self.settings.finalize_timeout,
                keep_alive_every: self.settings.keep_alive_every,
                reconnect_first_wait: self.settings.reconnect_first_wait,
                resampler: (given != rate).then(|| Resampler::new(given, rate)),
            };
            let (utterance, language) = (Utterance::new(rate), String::new());
            let dialect = Scribe { sample_rate_hz: rate, language, utterance };
            tokio::spawn(Session::new(plan, dialect, input_receiver, output_sender).run(socket));
            Ok(TranscriberStream { input, output })
        })
    }
}

/// An error that came as a message. Of their words only the code is shown: the rest may quote what was said.
fn told(code: &str) -> Error {
    let kind = match code {
        "auth_error" => ErrorKind::Unauthorized,
        "rate_limited" | "queue_overflow" | "resource_exhausted" => ErrorKind::Overloaded,
        // A session has its longest time; the next one goes on.
        "session_time_limit_exceeded" | "transcriber_error" | "commit_throttled" | "error" => ErrorKind::Unavailable,
        _ => kind_of_code(code),
    };
    let code: String = code.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    VENDOR.error(kind, format!("said error {code}").trim_end())
}

/// ElevenLabs' side of a transcription session.
struct Scribe {
    sample_rate_hz: u32,
    /// The language that was noticed last.
    language: String,
    utterance: Utterance,
}

impl Scribe {
    fn noticed(&mut self, language: Option<String>, out: &mut Vec<Answer>) {
        if let Some(language) = language.filter(|language| *language != self.language) {
            self.language.clone_from(&language);
            out.push(Answer::Language(language));
        }
    }
}

impl Dialect for Scribe {
    fn audio_message(&self, pcm: &[i16]) -> Message {
        Message::text(audio_chunk(&pcm_bytes(pcm), self.sample_rate_hz, false))
    }

    fn finalize(&self) -> Message {
        let silence = vec![0; usize::try_from(self.utterance.padding() * 2).unwrap_or(0)];
        Message::text(audio_chunk(&silence, self.sample_rate_hz, true))
    }

    fn keep_alive(&self) -> Message {
        let silence = vec![0; (self.sample_rate_hz * SILENCE_MS / 1_000) as usize];
        self.audio_message(&silence)
    }

    fn farewell(&self) -> Option<Message> {
        None
    }

    fn heard(&mut self, text: &str, _now: Instant, out: &mut Vec<Answer>) -> Result<bool, Error> {
        match ListenMessage::parse(text) {
            Ok(ListenMessage::Partial { text }) => self.utterance.partial(&text, out),
            Ok(ListenMessage::Committed { text }) => self.utterance.committed(&text, out),
            Ok(ListenMessage::CommittedWithTimes { language }) => self.noticed(language, out),
            Ok(ListenMessage::Nothing) => self.utterance.committed("", out),
            Ok(ListenMessage::Error { code }) => return Err(told(&code)),
            Ok(ListenMessage::Started | ListenMessage::Unknown) => return Ok(false),
            // One unreadable message loses its words; the connection may be fine.
            Err(error) => {
                tracing::debug!(provider = NAME, %error, "message skipped");
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn audio(&mut self, pcm: Pcm) {
        self.utterance.audio(pcm);
    }

    fn silence(&mut self, pcm: Pcm) {
        self.utterance.silence(pcm);
    }

    fn discard(&mut self) {
        self.utterance.discard();
    }

    fn request(&mut self, work: u64, _now: Instant, due: Instant, out: &mut Vec<Answer>) {
        self.utterance.request(work, due, out);
    }

    fn next_due(&self) -> Option<Instant> {
        self.utterance.next_due()
    }

    fn overdue(&mut self, now: Instant, out: &mut Vec<Answer>) -> bool {
        self.utterance.overdue(now, out)
    }

    fn give_up(&mut self) -> Vec<u64> {
        self.utterance.give_up()
    }

    fn is_wanted(&self) -> bool {
        self.utterance.is_wanted()
    }

    fn replay(&mut self) -> Vec<i16> {
        self.utterance.replay()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_message_has_its_kind() {
        for (code, kind) in [
            ("auth_error", ErrorKind::Unauthorized),
            ("invalid_api_key", ErrorKind::Unauthorized),
            ("rate_limited", ErrorKind::Overloaded),
            ("queue_overflow", ErrorKind::Overloaded),
            ("resource_exhausted", ErrorKind::Overloaded),
            ("session_time_limit_exceeded", ErrorKind::Unavailable),
            ("transcriber_error", ErrorKind::Unavailable),
            ("commit_throttled", ErrorKind::Unavailable),
            ("error", ErrorKind::Unavailable),
            ("quota_exceeded", ErrorKind::Rejected),
            ("unaccepted_terms", ErrorKind::Rejected),
            ("input_error", ErrorKind::Rejected),
            ("invalid_request", ErrorKind::Rejected),
            ("chunk_size_exceeded", ErrorKind::Rejected),
        ] {
            assert_eq!(told(code).kind, kind, "{code}");
        }
        assert!(!told("a b<script>").detail.contains('<'));
    }
}
