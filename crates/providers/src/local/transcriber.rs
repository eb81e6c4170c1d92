//! The built-in transcriber: keeps the utterance of a call and gives its text when asked.

use super::moonshine::{Moonshine, RATE_HZ, SHORTEST_MS};
use super::pool::InferencePool;
use crate::transcriber::{
    AudioWanted, INPUT_QUEUE, OUTPUT_QUEUE, Transcriber, TranscriberInput, TranscriberOptions, TranscriberOutput,
    TranscriberStream,
};
use crate::{BoxFuture, Error, ErrorKind};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Sound kept of one utterance. Who speaks longer without a pause is heard from here on back.
pub const UTTERANCE_S_MAX: usize = 30;
/// How long an utterance may wait for a thread. The caller waits too.
const START_MAX: Duration = Duration::from_secs(3);

const PROVIDER: &str = "builtin";

/// Speech to text on this machine.
pub struct BuiltinTranscriber {
    model: Arc<Moonshine>,
    pool: InferencePool,
}

impl BuiltinTranscriber {
    pub(super) fn new(model: Moonshine, pool: InferencePool) -> Self {
        Self { model: Arc::new(model), pool }
    }

    /// The text of one utterance, outside of a call. PCM at any rate the resampler knows.
    ///
    /// # Errors
    /// `Overloaded` or `TimedOut` when the machine has too much to do.
    pub async fn transcribe(&self, pcm: Vec<i16>, sample_rate_hz: u32) -> Result<String, Error> {
        if pcm.len() < sample_rate_hz as usize * SHORTEST_MS / 1000 {
            return Ok(String::new());
        }
        let model = Arc::clone(&self.model);
        let work = move || model.transcribe(&at_model_rate(pcm, sample_rate_hz));
        self.pool.run(Instant::now() + START_MAX, work).await?
    }
}

impl Clone for BuiltinTranscriber {
    fn clone(&self) -> Self {
        Self { model: Arc::clone(&self.model), pool: self.pool.clone() }
    }
}

impl Transcriber for BuiltinTranscriber {
    fn name(&self) -> &'static str {
        PROVIDER
    }

    fn audio_wanted(&self) -> AudioWanted {
        AudioWanted::SpeechOnly
    }

    fn open(&self, options: TranscriberOptions) -> BoxFuture<'_, Result<TranscriberStream, Error>> {
        Box::pin(async move {
            super::english_only(&options.language)?;
            let rates = audio::resample::RATE_HZ_MIN..=audio::resample::RATE_HZ_MAX;
            if !rates.contains(&options.sample_rate_hz) {
                let detail = format!("a sample rate of {} Hz", options.sample_rate_hz);
                return Err(Error::new(ErrorKind::Rejected, PROVIDER, detail));
            }
            let (input, requests) = mpsc::channel(INPUT_QUEUE);
            let (results, output) = mpsc::channel(OUTPUT_QUEUE);
            let session = Session {
                transcriber: self.clone(),
                rate_hz: options.sample_rate_hz,
                heard: VecDeque::new(),
                asked: None,
                results,
            };
            tokio::spawn(session.run(requests));
            Ok(TranscriberStream { input, output })
        })
    }
}

/// The text of the utterance somebody asked for.
struct Asked {
    work: u64,
    text: BoxFuture<'static, Result<String, Error>>,
}

/// One call.
struct Session {
    transcriber: BuiltinTranscriber,
    rate_hz: u32,
    heard: VecDeque<i16>,
    /// Only the newest: the audio of an older one is part of it, or is to be forgotten.
    asked: Option<Asked>,
    results: mpsc::Sender<TranscriberOutput>,
}

impl Session {
    async fn run(mut self, mut requests: mpsc::Receiver<TranscriberInput>) {
        loop {
            tokio::select! {
                request = requests.recv() => match request {
                    Some(request) => self.take(request),
                    // The call is over; what it still asked for nobody reads.
                    None => return,
                },
                output = answer(&mut self.asked) => {
                    self.asked = None;
                    if self.results.send(output).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn take(&mut self, request: TranscriberInput) {
        match request {
            TranscriberInput::Audio(pcm) | TranscriberInput::Silence(pcm) => {
                self.heard.extend(pcm.iter());
                let too_much = self.heard.len().saturating_sub(UTTERANCE_S_MAX * self.rate_hz as usize);
                self.heard.drain(..too_much);
            }
            TranscriberInput::Finalize { work } => {
                let (transcriber, rate_hz) = (self.transcriber.clone(), self.rate_hz);
                let pcm = Vec::from(self.heard.clone());
                // Replacing the older one takes it back if no thread has begun with it.
                let text = Box::pin(async move { transcriber.transcribe(pcm, rate_hz).await });
                self.asked = Some(Asked { work, text });
            }
            TranscriberInput::Discard => {
                self.heard.clear();
                self.asked = None;
            }
        }
    }
}

/// The answer to what was asked; never when nothing was.
async fn answer(asked: &mut Option<Asked>) -> TranscriberOutput {
    let Some(asked) = asked else { return std::future::pending().await };
    match asked.text.as_mut().await {
        Ok(text) => TranscriberOutput::Final { work: asked.work, text },
        Err(error) => TranscriberOutput::Failed { work: Some(asked.work), error },
    }
}

/// The sound at the rate of the model, with what the resampler's filter still holds at the end.
fn at_model_rate(pcm: Vec<i16>, rate_hz: u32) -> Vec<i16> {
    if rate_hz == RATE_HZ {
        return pcm;
    }
    let mut resampler = audio::resample::Resampler::new(rate_hz, RATE_HZ);
    let mut out = Vec::with_capacity(pcm.len() * RATE_HZ as usize / rate_hz.max(1) as usize + 64);
    resampler.process(&pcm, &mut out);
    resampler.flush(&mut out);
    out
}
