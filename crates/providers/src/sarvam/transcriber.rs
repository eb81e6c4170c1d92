//! Speech to text: one WebSocket for each call, reconnected when it breaks.

use super::connection::{address, told};
use super::dialect::Sarvam;
use super::utterance::Utterance;
use super::{BASE_URL, CHECK_TIMEOUT, FINALIZE_TIMEOUT, KEEP_ALIVE_EVERY, NAME, QUIET_WAIT};
use crate::http::Http;
use crate::live::{Address, Plan, RECONNECT_FIRST_WAIT, Session};
use crate::transcriber::{AudioWanted, INPUT_QUEUE, OUTPUT_QUEUE, Transcriber, TranscriberOptions, TranscriberStream};
use crate::{BoxFuture, Error, ErrorKind};
use audio::resample::Resampler;
use secrecy::SecretString;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use wire::sarvam::{END, ListenMessage, ListenOptions, Pace, Protocol, listen_language};

/// How to reach Sarvam's transcription and what to ask of it.
#[derive(Clone, Debug)]
pub struct TranscriberSettings {
    /// Address of the sockets, `wss://` (or `ws://` for tests), without path.
    pub base_url: String,
    /// The key.
    pub key: SecretString,
    /// Model name; see [`TranscriberSettings::set_model`].
    pub model: String,
    /// Which of the two protocols.
    pub protocol: Protocol,
    /// How soon words are shown while the caller speaks (realtime).
    pub pace: Pace,
    /// Silence that ends one of their utterances, in milliseconds (realtime; for the older protocol it is half a second).
    /// The call decides on its own when the caller is finished; this only makes final text earlier.
    pub silence_ms: Option<u32>,
    /// Words to listen for; only `saaras:v4` takes them, for others they are left out.
    pub keyterms: Vec<String>,
    /// Longest wait for the answer to `Finalize`.
    pub finalize_timeout: Duration,
    /// How long they may take to notice speech when text is wanted and they have noticed none.
    pub quiet_wait: Duration,
    /// A sign of life after so much silence of ours.
    pub keep_alive_every: Duration,
    /// Upper end of the wait before the first try to reconnect.
    pub reconnect_first_wait: Duration,
}

impl TranscriberSettings {
    /// Sarvam's own service with its usual settings.
    #[must_use]
    pub fn new(key: SecretString) -> Self {
        Self {
            base_url: BASE_URL.to_owned(),
            key,
            model: "saaras:v3-realtime".to_owned(),
            protocol: Protocol::Realtime,
            pace: Pace::Fast,
            silence_ms: Some(300),
            keyterms: Vec::new(),
            finalize_timeout: FINALIZE_TIMEOUT,
            quiet_wait: QUIET_WAIT,
            keep_alive_every: KEEP_ALIVE_EVERY,
            reconnect_first_wait: RECONNECT_FIRST_WAIT,
        }
    }

    /// Another model, with the protocol it is usually used with.
    pub fn set_model(&mut self, model: impl Into<String>) {
        self.model = model.into();
        self.protocol = Protocol::of_model(&self.model);
    }
}

/// Sarvam's speech to text.
#[derive(Clone, Debug)]
pub struct SarvamTranscriber {
    http: Http,
    settings: TranscriberSettings,
}

impl SarvamTranscriber {
    /// A transcriber; nothing is sent yet. Of `http` the trusted roots and the connect timeout are used.
    #[must_use]
    pub const fn new(http: Http, settings: TranscriberSettings) -> Self {
        Self { http, settings }
    }

    /// Whether service, key and model work: opens a stream, and sends nothing.
    ///
    /// # Errors
    /// What stands in the way.
    pub async fn check(&self) -> Result<(), Error> {
        let mut socket = self.address(self.settings.protocol.detection(), 8_000)?.connect().await?;
        let farewell = match self.settings.protocol {
            // A bad key is told by the answer to the handshake, and there is nothing more to wait for.
            Protocol::Streaming => None,
            Protocol::Realtime => {
                let begun = async {
                    loop {
                        let Some(text) = socket.next().await? else { continue };
                        match ListenMessage::parse(&text) {
                            Ok(ListenMessage::Begin { .. }) => return Ok(()),
                            Ok(ListenMessage::Error(said)) => return Err(told(&said)),
                            Ok(
                                ListenMessage::SpeechStart { .. }
                                | ListenMessage::SpeechEnd { .. }
                                | ListenMessage::Partial(_)
                                | ListenMessage::Final(_)
                                | ListenMessage::Pong
                                | ListenMessage::End
                                | ListenMessage::Unknown,
                            )
                            | Err(_) => {}
                        }
                    }
                };
                let late = |_| Error::new(ErrorKind::TimedOut, NAME, "no session in time");
                timeout(CHECK_TIMEOUT, begun).await.map_err(late)??;
                Some(Message::text(END))
            }
        };
        socket.close(farewell).await;
        Ok(())
    }

    fn address(&self, language: &str, sample_rate_hz: u32) -> Result<Address, Error> {
        let settings = &self.settings;
        let query = ListenOptions {
            protocol: settings.protocol,
            model: settings.model.clone(),
            language: language.to_owned(),
            sample_rate_hz,
            pace: settings.pace,
            silence_ms: settings.silence_ms,
            high_vad_sensitivity: true,
            // Others refuse the parameter.
            keyterms: if settings.model == "saaras:v4" { settings.keyterms.clone() } else { Vec::new() },
        };
        address(&self.http, &settings.base_url, settings.protocol.path(), &query.query(), &settings.key)
    }
}

impl Transcriber for SarvamTranscriber {
    fn name(&self) -> &'static str {
        NAME
    }

    fn audio_wanted(&self) -> AudioWanted {
        AudioWanted::Continuous
    }

    fn open(&self, options: TranscriberOptions) -> BoxFuture<'_, Result<TranscriberStream, Error>> {
        Box::pin(async move {
            let refused = |detail: &str| Error::new(ErrorKind::Rejected, NAME, detail);
            let protocol = self.settings.protocol;
            let language = listen_language(&options.language, protocol)
                .ok_or_else(|| refused("the language is none that it understands"))?;
            let rate = match options.sample_rate_hz {
                8_000 => 8_000,
                16_000..=48_000 => 16_000,
                _ => return Err(refused("the sample rate must be 8, or 16 to 48 kHz")),
            };
            let address = self.address(language, rate)?;
            let socket = address.connect().await?;
            let (input, input_receiver) = mpsc::channel(INPUT_QUEUE);
            let (output_sender, output) = mpsc::channel(OUTPUT_QUEUE);
            let plan = Plan {
                address,
                finalize_timeout: self.settings.finalize_timeout,
                keep_alive_every: self.settings.keep_alive_every,
                reconnect_first_wait: self.settings.reconnect_first_wait,
                resampler: (options.sample_rate_hz != rate).then(|| Resampler::new(options.sample_rate_hz, rate)),
            };
            let utterance = Utterance::new(protocol, language == protocol.detection(), rate, self.settings.quiet_wait);
            let dialect = Sarvam { protocol, sample_rate_hz: rate, utterance };
            tokio::spawn(Session::new(plan, dialect, input_receiver, output_sender).run(socket));
            Ok(TranscriberStream { input, output })
        })
    }
}
