//! The built-in speech models: a spoken conversation without any service. Weights are files that `make models` brings;
//! they run in rten (pure Rust), one thread per inference, on a pool of their own.

pub mod models;
pub mod pool;

mod cache;
mod clauses;
mod hibari;
mod mel;
mod moonshine;
mod network;
mod phonemes;
mod silero;
mod smart_turn;
mod speaker;
mod tokenizer;
mod transcriber;
mod vocoder;

pub use models::{ModelPaths, Models};
pub use pool::{InferencePool, PoolCounts, PoolSettings};
pub use silero::{BuiltinVoiceActivity, FRAME_SAMPLES, SileroStream};
pub use smart_turn::BuiltinTurnDetector;
pub use speaker::{BuiltinSpeaker, CHUNK_MS};
pub use transcriber::{BuiltinTranscriber, UTTERANCE_S_MAX};

use crate::{Error, ErrorKind};
use hibari::Hibari;
use moonshine::Moonshine;
use silero::Silero;
use smart_turn::SmartTurn;
use std::sync::Arc;

const PROVIDER: &str = "builtin";
/// Rate of the sound the listening models are warmed up with.
const WARM_UP_HZ: u32 = 16_000;

/// The models that are on this machine, ready to be used. Each works without the others.
pub struct Builtin {
    /// Speech to text.
    pub transcriber: Option<BuiltinTranscriber>,
    /// Text to speech.
    pub speaker: Option<BuiltinSpeaker>,
    /// End of turn.
    pub turn: Option<BuiltinTurnDetector>,
    /// Voice activity on noisy lines.
    pub silero: Option<BuiltinVoiceActivity>,
    /// Why the others are not there.
    pub missing: Vec<Error>,
}

impl Builtin {
    /// Loads what is there and computes with each once, so that the first caller does not wait. Takes about a second
    /// of computing: call it before the asynchronous threads have work, or from a blocking one. `progress` hears which
    /// model is next.
    ///
    /// # Errors
    /// The reasons for each, when not a single one could be loaded.
    pub fn load(paths: &ModelPaths, pool: &InferencePool, progress: &dyn Fn(&str)) -> Result<Self, Vec<Error>> {
        let files = Models::locate(paths);
        let mut missing = Vec::new();
        progress("speech recognition");
        let transcriber = noted(files.moonshine.and_then(|files| ready_moonshine(&files)), &mut missing);
        progress("speech synthesis");
        let speaker = noted(files.hibari.and_then(|files| ready_hibari(&files)), &mut missing);
        progress("end of turn");
        let turn = noted(files.smart_turn.and_then(|file| ready_smart_turn(&file)), &mut missing);
        progress("voice activity");
        let silero = noted(files.silero.and_then(|file| ready_silero(&file)), &mut missing);
        let builtin = Self {
            transcriber: transcriber.map(|model| BuiltinTranscriber::new(model, pool.clone())),
            speaker: speaker.map(|model| BuiltinSpeaker::new(model, pool.clone())),
            turn: turn.map(|model| BuiltinTurnDetector::new(model, pool.clone())),
            silero: silero.map(|model| BuiltinVoiceActivity::new(model, pool.clone())),
            missing,
        };
        match &builtin {
            Self { transcriber: None, speaker: None, turn: None, silero: None, .. } => Err(builtin.missing),
            Self { .. } => Ok(builtin),
        }
    }
}

/// A hum; it makes the models compute and means nothing.
fn hum() -> Vec<i16> {
    (0..WARM_UP_HZ).map(|i| ((i * 200) % WARM_UP_HZ / 4) as i16).collect()
}

fn ready_moonshine(files: &models::MoonshineFiles) -> Result<Moonshine, Error> {
    let model = Moonshine::load(files)?;
    model.transcribe(&hum())?;
    Ok(model)
}

fn ready_hibari(files: &models::HibariFiles) -> Result<Hibari, Error> {
    let model = Hibari::load(files)?;
    model.speak("Hello, Priyanka.", WARM_UP_HZ)?;
    Ok(model)
}

fn ready_smart_turn(file: &std::path::Path) -> Result<SmartTurn, Error> {
    let model = SmartTurn::load(file)?;
    model.score(&hum())?;
    Ok(model)
}

fn ready_silero(file: &std::path::Path) -> Result<Silero, Error> {
    let model = Arc::new(Silero::load(file)?);
    SileroStream::new(Arc::clone(&model)).push(&hum())?;
    // The stream is gone: nobody else holds the model.
    Arc::into_inner(model).ok_or_else(|| Error::new(ErrorKind::Protocol, PROVIDER, "silero is still in use"))
}

fn noted<T>(loaded: Result<T, Error>, missing: &mut Vec<Error>) -> Option<T> {
    loaded.map_err(|error| missing.push(error)).ok()
}

/// The models speak and understand English only.
fn english_only(language: &str) -> Result<(), Error> {
    let main = language.split(['-', '_']).next().unwrap_or_default();
    if main.is_empty() || main.eq_ignore_ascii_case("en") {
        return Ok(());
    }
    let detail = format!("the built-in speech models know English only, not `{language}`");
    Err(Error::new(ErrorKind::Rejected, PROVIDER, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn english_of_any_country_is_accepted() {
        for language in ["en", "en-IN", "EN-us", "en_GB", ""] {
            assert!(english_only(language).is_ok(), "{language}");
        }
        for language in ["hi", "hi-IN", "eng-lish", "de"] {
            assert_eq!(english_only(language).unwrap_err().kind, ErrorKind::Rejected, "{language}");
        }
    }

    #[test]
    fn without_any_model_each_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let pool = InferencePool::start(PoolSettings { workers: 1, queue: 1 }).unwrap();
        let heard = std::cell::RefCell::new(Vec::new());
        let errors = Builtin::load(&ModelPaths::in_folder(folder.path()), &pool, &|step| {
            heard.borrow_mut().push(step.to_owned())
        })
        .err()
        .unwrap();
        assert_eq!(errors.len(), 4);
        assert!(errors.iter().all(|e| e.kind == ErrorKind::NotInstalled));
        assert_eq!(heard.into_inner().len(), 4);
    }
}
