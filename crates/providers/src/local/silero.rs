//! Silero VAD 6: the probability of voice in every 32 ms, for lines too noisy for the first detector. It remembers:
//! one stream per direction of a call.

use super::network::{Network, row};
use super::pool::InferencePool;
use crate::{Error, ErrorKind};
use rten::{NodeId, Value, ValueOrView};
use rten_tensor::{NdTensor, Tensor};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Samples of one probability, 16 kHz: 32 ms.
pub const FRAME_SAMPLES: usize = 512;
/// Samples of the frame before that the model looks at too.
const CONTEXT_SAMPLES: usize = 64;
/// The model's memory: `[2, 1, 128]`.
const STATE: [usize; 3] = [2, 1, 128];
const RATE_HZ: i32 = 16_000;
/// How long a score may wait for a thread. Media does not wait: it takes the next score instead.
const START_MAX: Duration = Duration::from_millis(200);

const PROVIDER: &str = "builtin";

/// The loaded model.
pub(super) struct Silero {
    network: Network,
    input: NodeId,
    state: NodeId,
    rate: NodeId,
    outputs: [NodeId; 2],
}

impl Silero {
    pub(super) fn load(path: &Path) -> Result<Self, Error> {
        let network = Network::load(path, "silero")?;
        Ok(Self {
            input: network.node("input")?,
            state: network.node("state")?,
            rate: network.node("sr")?,
            outputs: [network.node("output")?, network.node("stateN")?],
            network,
        })
    }
}

/// What has been heard of one stream.
pub struct SileroStream {
    model: Arc<Silero>,
    state: Value,
    context: Vec<f32>,
    /// Less than a frame.
    waiting: Vec<f32>,
}

impl SileroStream {
    pub(super) fn new(model: Arc<Silero>) -> Self {
        Self {
            model,
            state: NdTensor::<f32, 3>::zeros(STATE).into(),
            context: vec![0.0; CONTEXT_SAMPLES],
            waiting: Vec::with_capacity(FRAME_SAMPLES),
        }
    }

    /// Listens on: a probability (0 to 1) for every [`FRAME_SAMPLES`] that are complete with this. About 0.2 ms of
    /// computing each, on the thread that asks.
    ///
    /// # Errors
    /// `Protocol` when the model is not Silero.
    pub fn push(&mut self, pcm_16k: &[i16]) -> Result<Vec<f32>, Error> {
        let mut probabilities = Vec::with_capacity((self.waiting.len() + pcm_16k.len()) / FRAME_SAMPLES);
        let mut rest = pcm_16k;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(FRAME_SAMPLES - self.waiting.len()));
            self.waiting.extend(now.iter().map(|s| f32::from(*s) / 32_768.0));
            rest = later;
            if self.waiting.len() == FRAME_SAMPLES {
                probabilities.push(self.frame()?);
            }
        }
        Ok(probabilities)
    }

    fn frame(&mut self) -> Result<f32, Error> {
        let mut sound = std::mem::take(&mut self.context);
        sound.append(&mut self.waiting);
        self.context = sound[FRAME_SAMPLES..].to_vec();
        let model = &self.model;
        let inputs = vec![
            (model.input, row(sound)),
            (model.state, ValueOrView::from(&self.state)),
            (model.rate, Value::from(Tensor::from(RATE_HZ)).into()),
        ];
        let mut values = model.network.run(inputs, &model.outputs)?;
        let probability = model.network.floats(&mut values)?.first().copied();
        match (probability, values.next()) {
            (Some(probability), Some(state)) => {
                self.state = state;
                Ok(probability)
            }
            (None, _) | (_, None) => Err(Error::new(ErrorKind::Protocol, PROVIDER, "silero gives no probability")),
        }
    }
}

/// Voice activity, judged on this machine.
#[derive(Clone)]
pub struct BuiltinVoiceActivity {
    model: Arc<Silero>,
    pool: InferencePool,
}

impl BuiltinVoiceActivity {
    pub(super) fn new(model: Silero, pool: InferencePool) -> Self {
        Self { model: Arc::new(model), pool }
    }

    /// A stream that has heard nothing yet.
    #[must_use]
    pub fn stream(&self) -> SileroStream {
        SileroStream::new(Arc::clone(&self.model))
    }

    /// The same as [`SileroStream::push`], computed on the pool: the stream goes there and comes back.
    ///
    /// # Errors
    /// `Overloaded` or `TimedOut` when no thread is free; the stream is lost then and a new one begins.
    pub async fn score(&self, mut stream: SileroStream, pcm_16k: Vec<i16>) -> Result<(SileroStream, Vec<f32>), Error> {
        let work = move || stream.push(&pcm_16k).map(|probabilities| (stream, probabilities));
        self.pool.run(Instant::now() + START_MAX, work).await?
    }
}
