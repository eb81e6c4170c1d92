//! End-of-turn models: does this sound finished?

use crate::{BoxFuture, Error};

/// How much of the caller's last speech a turn model looks at, in seconds.
pub const WINDOW_S: usize = 8;

/// Judges from the sound alone whether the caller has finished.
pub trait TurnDetector: Send + Sync {
    /// Probability (0 to 1) that the caller has finished. `pcm` is 16 kHz mono, at most [`WINDOW_S`], ending now.
    fn score(&self, pcm: Vec<i16>) -> BoxFuture<'_, Result<f32, Error>>;
}
