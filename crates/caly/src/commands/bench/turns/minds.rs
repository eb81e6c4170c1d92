//! The built-in models, asked once for each sound: the same pause is looked at under many rules.

use super::sound::RATE_HZ;
use anyhow::{Context, anyhow};
use audio::resample::Resampler;
use providers::Error;
use providers::local::{Builtin, BuiltinTranscriber, BuiltinTurnDetector, BuiltinVoiceActivity, ModelPaths};
use providers::local::{InferencePool, PoolSettings, SileroStream};
use providers::turn::{TurnDetector, WINDOW_S};
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Computing at once, and what may wait for it.
pub(super) const AT_ONCE: usize = 2;
/// A machine that is busy with other things is asked again this often.
const TRIES: usize = 20;
/// A transcription's time on one thread: a fixed part, and so much for every second of sound. From the transcription of
/// recorded sentences and of the demo's calls.
const TRANSCRIPTION_MS: u64 = 15;
const TRANSCRIPTION_MS_PER_S: u64 = 35;
/// The end-of-turn model's time on one thread, features included.
pub(super) const SCORE_MS: u64 = 120;

/// See the module. What a model said is kept by the sound it was asked about.
pub(super) struct Minds {
    transcriber: BuiltinTranscriber,
    turn: BuiltinTurnDetector,
    silero: Option<BuiltinVoiceActivity>,
    texts: RefCell<HashMap<u64, String>>,
    scores: RefCell<HashMap<u64, f32>>,
}

impl Minds {
    /// Loads the models.
    ///
    /// # Errors
    /// When the transcriber or the end-of-turn model is not there.
    pub(super) fn load(paths: &ModelPaths) -> anyhow::Result<Self> {
        let pool = InferencePool::start(PoolSettings { workers: AT_ONCE, queue: 64 })
            .context("the threads of the built-in models could not be started")?;
        let builtin = Builtin::load(paths, &pool, &|_| ()).map_err(|missing| {
            anyhow!("{}; run `make models`", missing.first().map_or_else(String::new, ToString::to_string))
        })?;
        Ok(Self {
            transcriber: builtin.transcriber.context("the built-in transcriber is missing; run `make models`")?,
            turn: builtin.turn.context("the end-of-turn model is missing; run `make models`")?,
            silero: builtin.silero,
            texts: RefCell::default(),
            scores: RefCell::default(),
        })
    }

    /// A second opinion on a noisy line, if that model is there.
    pub(super) fn second_opinion(&self) -> Option<SileroStream> {
        self.silero.as_ref().map(BuiltinVoiceActivity::stream)
    }

    /// The text of an utterance at the line's rate.
    ///
    /// # Errors
    /// When the model fails.
    pub(super) async fn transcribe(&self, pcm: &[i16]) -> anyhow::Result<String> {
        let key = key(pcm);
        if let Some(known) = self.texts.borrow().get(&key) {
            return Ok(known.clone());
        }
        let text = patiently(async || self.transcriber.transcribe(pcm.to_vec(), RATE_HZ).await).await?;
        self.texts.borrow_mut().insert(key, text.clone());
        Ok(text)
    }

    /// Probability that who spoke has finished.
    ///
    /// # Errors
    /// When the model fails.
    pub(super) async fn score(&self, pcm: &[i16]) -> anyhow::Result<f32> {
        let window = &pcm[pcm.len().saturating_sub(RATE_HZ as usize * WINDOW_S)..];
        let key = key(window);
        if let Some(known) = self.scores.borrow().get(&key) {
            return Ok(*known);
        }
        let mut wide = Vec::new();
        Resampler::new(RATE_HZ, 16_000).process(window, &mut wide);
        let score = patiently(async || self.turn.score(wide.clone()).await).await?;
        self.scores.borrow_mut().insert(key, score);
        Ok(score)
    }

    /// How often the models have computed: texts, scores.
    pub(super) fn computed(&self) -> (usize, usize) {
        (self.texts.borrow().len(), self.scores.borrow().len())
    }
}

/// How long the transcription of so much sound takes.
pub(super) const fn transcription_ms(samples: usize) -> u64 {
    TRANSCRIPTION_MS + samples as u64 * TRANSCRIPTION_MS_PER_S / RATE_HZ as u64
}

fn key(pcm: &[i16]) -> u64 {
    let mut hasher = DefaultHasher::new();
    pcm.hash(&mut hasher);
    hasher.finish()
}

/// In a call a late answer is no answer; here it is only late.
async fn patiently<T>(ask: impl AsyncFn() -> Result<T, Error>) -> Result<T, Error> {
    for _ in 1..TRIES {
        match ask().await {
            Err(error) if error.kind == providers::ErrorKind::TimedOut => {}
            answer => return answer,
        }
    }
    ask().await
}
