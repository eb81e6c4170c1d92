//! smart-turn 3: does the caller's last speech sound finished? A hint beside the pause and the words, not a verdict:
//! on telephone speech it calls too much finished.

use super::mel::{BANDS, FRAMES, LogMel};
use super::network::Network;
use super::pool::InferencePool;
use crate::turn::TurnDetector;
use crate::{BoxFuture, Error, ErrorKind};
use rten::{NodeId, Value};
use rten_tensor::NdTensor;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a score may wait for a thread: later the pause has decided without it.
const START_MAX: Duration = Duration::from_millis(400);

const PROVIDER: &str = "builtin";

/// The loaded model.
pub(super) struct SmartTurn {
    network: Network,
    features: NodeId,
    mel: LogMel,
}

impl SmartTurn {
    pub(super) fn load(path: &Path) -> Result<Self, Error> {
        let network = Network::load(path, "smart-turn")?;
        Ok(Self { features: network.node("input_features")?, network, mel: LogMel::new() })
    }

    /// Probability that who spoke has finished; 16 kHz.
    pub(super) fn score(&self, pcm: &[i16]) -> Result<f32, Error> {
        let features = NdTensor::from_data([1, BANDS, FRAMES], self.mel.features(pcm));
        let mut values =
            self.network.run(vec![(self.features, Value::from(features).into())], self.network.outputs())?;
        let scores = self.network.floats(&mut values)?;
        scores.first().copied().ok_or_else(|| Error::new(ErrorKind::Protocol, PROVIDER, "smart-turn gives no score"))
    }
}

/// The end of a turn, judged on this machine.
#[derive(Clone)]
pub struct BuiltinTurnDetector {
    model: Arc<SmartTurn>,
    pool: InferencePool,
}

impl BuiltinTurnDetector {
    pub(super) fn new(model: SmartTurn, pool: InferencePool) -> Self {
        Self { model: Arc::new(model), pool }
    }
}

impl TurnDetector for BuiltinTurnDetector {
    fn score(&self, pcm: Vec<i16>) -> BoxFuture<'_, Result<f32, Error>> {
        let model = Arc::clone(&self.model);
        let scored = self.pool.run(Instant::now() + START_MAX, move || model.score(&pcm));
        Box::pin(async move { scored.await? })
    }
}
