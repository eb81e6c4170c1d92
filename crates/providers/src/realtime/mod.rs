//! Speech to speech: a model that hears and speaks by itself plays transcriber, language model and speaker of a call over
//! one connection. When to listen and when to speak stays ours: the vendor's own turn-taking is switched off.
//!
//! What the call remembers wins: before each answer the conversation that the vendor holds is made to agree with the one
//! in the prompt, so that an interrupted answer is known only as far as it was heard.
//!
//! Sources: see `wire::openai_realtime` and `wire::gemini_live`.

mod asked;
mod conversation;
mod engine;
mod gemini;
mod line;
mod listening;
mod openai;

pub use gemini::{BASE_URL as GEMINI_URL, MODEL as GEMINI_MODEL, VOICE as GEMINI_VOICE};
pub use openai::{
    BASE_URL as OPENAI_URL, MODEL as OPENAI_MODEL, TRANSCRIPTION_MODEL as OPENAI_TRANSCRIPTION_MODEL,
    VOICE as OPENAI_VOICE,
};

use crate::http::Http;
use crate::language_model::{LanguageModel, Prompt, THOUGHT_QUEUE, Thought, ToolSpec};
use crate::speaker::{SpeakRequest, Speaker, SpeechChunk, TEXT_BYTES_MAX};
use crate::transcriber::{AudioWanted, INPUT_QUEUE, OUTPUT_QUEUE, Transcriber, TranscriberOptions, TranscriberStream};
use crate::{BoxFuture, Error, ErrorKind};
use asked::{Channel, QUEUE};
use engine::{Ask, Engine};
use line::{Command, Line};
use model::{SpeechModelConfig, SpeechModelVendor};
use secrecy::SecretString;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

const _: () = assert!(QUEUE >= THOUGHT_QUEUE, "sound comes in more pieces than text");

/// Wishes of the call on their way to the connection.
const COMMANDS_MAX: usize = 16;
/// Rates a call can have.
const RATES_HZ: std::ops::RangeInclusive<u32> = 8_000..=48_000;

/// How long a speech model may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpeechModelLimits {
    /// From the open connection to the session that is set up.
    pub setup: Duration,
    /// From the request for text to the text.
    pub finalize: Duration,
    /// From the question to the first piece of the answer.
    pub first: Duration,
    /// From one piece to the next.
    pub idle: Duration,
    /// From the question to the end.
    pub total: Duration,
}

impl Default for SpeechModelLimits {
    fn default() -> Self {
        Self {
            setup: Duration::from_secs(5),
            // The words are written down by another model after the sound is complete: half a second as a rule.
            finalize: Duration::from_millis(2_500),
            first: Duration::from_secs(8),
            idle: Duration::from_secs(5),
            total: Duration::from_secs(180),
        }
    }
}

enum State {
    /// Nothing was wanted yet.
    Ready(Box<dyn Engine>),
    /// Its connection is made when needed.
    Running(mpsc::Sender<Command>),
    /// Between the two; never seen.
    Moving,
}

/// A speech model on one call: make one for each. Dropping it (and its transcription) closes its connection.
pub struct SpeechModelCall {
    name: &'static str,
    rate_hz: u32,
    limits: SpeechModelLimits,
    state: Mutex<State>,
}

impl fmt::Debug for SpeechModelCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpeechModelCall")
            .field("name", &self.name)
            .field("rate_hz", &self.rate_hz)
            .finish_non_exhaustive()
    }
}

/// A speech model for one call. Nothing is sent yet. `rate_hz` is the rate of the call's audio, both ways.
///
/// # Errors
/// `Unauthorized` without a key at the vendor's own address; `Rejected` when the settings cannot be right.
pub fn speech_model(
    http: &Http,
    config: &SpeechModelConfig,
    key: Option<SecretString>,
    rate_hz: u32,
) -> Result<Arc<SpeechModelCall>, Error> {
    speech_model_with(http, config, key, rate_hz, SpeechModelLimits::default())
}

/// The same, with other limits.
///
/// # Errors
/// As [`speech_model`].
pub fn speech_model_with(
    http: &Http,
    config: &SpeechModelConfig,
    key: Option<SecretString>,
    rate_hz: u32,
    limits: SpeechModelLimits,
) -> Result<Arc<SpeechModelCall>, Error> {
    let engine = engine(http, config, key)?;
    let name = engine.name();
    if !RATES_HZ.contains(&rate_hz) {
        return Err(Error::new(ErrorKind::Rejected, name, "the sample rate must be 8 to 48 kHz"));
    }
    // A wrong address or key is told at once.
    engine.address()?;
    Ok(Arc::new(SpeechModelCall { name, rate_hz, limits, state: Mutex::new(State::Ready(engine)) }))
}

/// Whether service, key and model work: opens a session, and says nothing.
///
/// # Errors
/// What stands in the way.
pub async fn check(http: &Http, config: &SpeechModelConfig, key: Option<SecretString>) -> Result<(), Error> {
    let call = speech_model(http, config, key, 8_000)?;
    let options = TranscriberOptions { sample_rate_hz: 8_000, language: String::new() };
    let stream = call.open(options).await?;
    drop(stream);
    Ok(())
}

fn engine(http: &Http, config: &SpeechModelConfig, key: Option<SecretString>) -> Result<Box<dyn Engine>, Error> {
    Ok(match config.vendor {
        SpeechModelVendor::Openai => Box::new(openai::OpenAi::new(http, config, key)?),
        SpeechModelVendor::Gemini => Box::new(gemini::Gemini::new(http, config, key)?),
    })
}

impl SpeechModelCall {
    /// What the first prompt will say. A vendor that cannot be told later (Gemini) then needs no second connection.
    /// Without effect once something was wanted.
    pub fn prepare(&self, system: &str, tools: &[ToolSpec]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Ready(engine) = &mut *state {
            engine.prepare(system.to_owned(), tools.to_vec());
        }
    }

    fn commands(&self) -> Option<mpsc::Sender<Command>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *state, State::Moving) {
            State::Ready(engine) => {
                let (sender, receiver) = mpsc::channel(COMMANDS_MAX);
                tokio::spawn(Line::new(engine, self.rate_hz, self.limits, receiver).run());
                *state = State::Running(sender.clone());
                Some(sender)
            }
            State::Running(sender) => {
                *state = State::Running(sender.clone());
                Some(sender)
            }
            State::Moving => None,
        }
    }

    fn ask(&self, ask: Ask, out: Channel) {
        let sent = match self.commands() {
            Some(commands) => commands.try_send(Command::Ask { ask, out }).map_err(|error| error.into_inner()),
            None => return,
        };
        if let Err(Command::Ask { out, .. }) = sent {
            out.fail(Error::new(ErrorKind::Overloaded, self.name, "too much is wanted at a time"));
        }
    }

    fn rejected(&self, detail: &str) -> Error {
        Error::new(ErrorKind::Rejected, self.name, detail)
    }
}

impl Transcriber for SpeechModelCall {
    fn name(&self) -> &'static str {
        self.name
    }

    fn audio_wanted(&self) -> AudioWanted {
        // Silence is paid for like speech, and is answered like speech.
        AudioWanted::SpeechOnly
    }

    fn open(&self, options: TranscriberOptions) -> BoxFuture<'_, Result<TranscriberStream, Error>> {
        Box::pin(async move {
            if options.sample_rate_hz != self.rate_hz {
                return Err(self.rejected("the sample rate is not the call's"));
            }
            let (input, input_receiver) = mpsc::channel(INPUT_QUEUE);
            let (output_sender, output) = mpsc::channel(OUTPUT_QUEUE);
            let (reply, opened) = oneshot::channel();
            let command =
                Command::Listen { language: options.language, input: input_receiver, output: output_sender, reply };
            let gone = || Error::new(ErrorKind::Unavailable, self.name, "the connection is over");
            self.commands().ok_or_else(gone)?.send(command).await.map_err(|_| gone())?;
            opened.await.map_err(|_| gone())??;
            Ok(TranscriberStream { input, output })
        })
    }
}

impl LanguageModel for SpeechModelCall {
    fn name(&self) -> &'static str {
        self.name
    }

    fn think(&self, prompt: Prompt) -> mpsc::Receiver<Result<Thought, Error>> {
        let (out, receiver) = mpsc::channel(QUEUE);
        self.ask(Ask::Think(Box::new(prompt)), Channel::Thought(out));
        receiver
    }
}

impl Speaker for SpeechModelCall {
    fn name(&self) -> &'static str {
        self.name
    }

    fn speak(&self, request: SpeakRequest) -> mpsc::Receiver<Result<SpeechChunk, Error>> {
        let (out, receiver) = mpsc::channel(QUEUE);
        let text = request.text.trim();
        if text.is_empty() {
            return receiver;
        }
        let out = Channel::Speech(out);
        if text.len() > TEXT_BYTES_MAX {
            out.fail(self.rejected("the text is too long"));
        } else if request.sample_rate_hz != self.rate_hz {
            out.fail(self.rejected("the sample rate is not the call's"));
        } else {
            self.ask(Ask::Say(text.to_owned()), out);
        }
        receiver
    }
}

/// How a model is told to say exact words.
const EXACT: &str = "You are a voice that reads aloud. Say exactly the words of the user's message, in their language, word \
                     for word. Add nothing, leave nothing out, do not answer them.";

/// A BCP 47 tag as ISO 639-1; `None` when it names no language.
fn primary(tag: &str) -> Option<String> {
    let primary = tag.trim().split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
    (primary.len() == 2).then_some(primary)
}
