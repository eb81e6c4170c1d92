//! Deepgram speech to text: one WebSocket for each call, reconnected when it breaks.
//!
//! Sources: developers.deepgram.com/reference/speech-to-text/listen-streaming, …/docs/live-streaming-audio,
//! …/docs/finalize, …/docs/audio-keep-alive, …/docs/recovering-from-connection-errors-and-timeouts-when-live-streaming-audio.

mod dialect;
mod utterance;

use crate::http::Http;
use crate::live::{Address, Plan, RECONNECT_FIRST_WAIT, Session};
use crate::transcriber::{AudioWanted, INPUT_QUEUE, OUTPUT_QUEUE, Transcriber, TranscriberOptions, TranscriberStream};
use crate::{BoxFuture, Error, ErrorKind};
use dialect::{Deepgram, VENDOR};
use http::header::AUTHORIZATION;
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;
use tokio::sync::mpsc;
use utterance::Utterance;
use wire::deepgram::{Endpointing, ListenOptions, language_code};

/// Name of this provider.
const NAME: &str = "deepgram";
/// Deepgram's own address.
pub const LISTEN_URL: &str = "wss://api.deepgram.com/v1/listen";
/// Longest wait for the answer to `Finalize`. It comes after 100 to 300 ms as a rule, but is not promised when there
/// is little to transcribe; then what is there is the answer.
pub const FINALIZE_TIMEOUT: Duration = Duration::from_millis(1_500);
/// A `KeepAlive` after so much silence of ours; they close after 10 s.
pub const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(5);

/// How to reach Deepgram and what to ask of it.
#[derive(Clone, Debug)]
pub struct DeepgramSettings {
    /// Address of the live endpoint, `wss://` (or `ws://` for tests and servers on the same machine), without query.
    pub listen_url: String,
    /// The key.
    pub key: SecretString,
    /// Model name.
    pub model: String,
    /// When the server ends an utterance by itself. The call decides on its own; this only makes final text earlier.
    pub endpointing: Endpointing,
    /// Words to listen for.
    pub keyterms: Vec<String>,
    /// Longest wait for the answer to `Finalize`.
    pub finalize_timeout: Duration,
    /// A `KeepAlive` after so much silence of ours.
    pub keep_alive_every: Duration,
    /// Upper end of the wait before the first try to reconnect.
    pub reconnect_first_wait: Duration,
}

impl DeepgramSettings {
    /// Deepgram's own service with its usual settings.
    #[must_use]
    pub fn new(key: SecretString) -> Self {
        Self {
            listen_url: LISTEN_URL.to_owned(),
            key,
            model: "nova-3".to_owned(),
            endpointing: Endpointing::AfterMs(300),
            keyterms: Vec::new(),
            finalize_timeout: FINALIZE_TIMEOUT,
            keep_alive_every: KEEP_ALIVE_EVERY,
            reconnect_first_wait: RECONNECT_FIRST_WAIT,
        }
    }
}

/// Deepgram.
#[derive(Clone, Debug)]
pub struct DeepgramTranscriber {
    http: Http,
    settings: DeepgramSettings,
}

impl DeepgramTranscriber {
    /// A transcriber; nothing is sent yet. Of `http` the trusted roots and the connect timeout are used.
    #[must_use]
    pub const fn new(http: Http, settings: DeepgramSettings) -> Self {
        Self { http, settings }
    }

    fn address(&self, options: &TranscriberOptions) -> Result<Address, Error> {
        let query = ListenOptions {
            model: self.settings.model.clone(),
            language: language_code(&options.language).into_owned(),
            sample_rate_hz: options.sample_rate_hz,
            interim_results: true,
            endpointing: self.settings.endpointing,
            punctuate: true,
            smart_format: false,
            keyterms: self.settings.keyterms.clone(),
        };
        let key = (AUTHORIZATION, format!("Token {}", self.settings.key.expose_secret().trim()));
        Address::new(&VENDOR, &self.http, &self.settings.listen_url, &query.query(), key)
    }
}

impl Transcriber for DeepgramTranscriber {
    fn name(&self) -> &'static str {
        NAME
    }

    fn audio_wanted(&self) -> AudioWanted {
        AudioWanted::Continuous
    }

    fn open(&self, options: TranscriberOptions) -> BoxFuture<'_, Result<TranscriberStream, Error>> {
        Box::pin(async move {
            if !(8_000..=48_000).contains(&options.sample_rate_hz) {
                return Err(Error::new(ErrorKind::Rejected, NAME, "the sample rate must be 8 to 48 kHz"));
            }
            let address = self.address(&options)?;
            let socket = address.connect().await?;
            let (input, input_receiver) = mpsc::channel(INPUT_QUEUE);
            let (output_sender, output) = mpsc::channel(OUTPUT_QUEUE);
            let plan = Plan {
                address,
                finalize_timeout: self.settings.finalize_timeout,
                keep_alive_every: self.settings.keep_alive_every,
                reconnect_first_wait: self.settings.reconnect_first_wait,
                resampler: None,
            };
            let dialect = Deepgram { utterance: Utterance::new(options.sample_rate_hz) };
            tokio::spawn(Session::new(plan, dialect, input_receiver, output_sender).run(socket));
            Ok(TranscriberStream { input, output })
        })
    }
}
