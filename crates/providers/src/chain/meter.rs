//! What a call has used so far: counted by those who use it, read by who keeps the call.

use model::CallUsage;
use std::sync::{Arc, Mutex, PoisonError};

/// What one call has used. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Mutex<CallUsage>>);

impl Meter {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Something was used, or happened. `change` must be short: others wait for it.
    pub fn note(&self, change: impl FnOnce(&mut CallUsage)) {
        // Figures are whole after every step; one that panics spoils its own at most.
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What has been used so far.
    #[must_use]
    pub fn usage(&self) -> CallUsage {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Stage;

    #[test]
    fn clones_count_together() {
        let meter = Meter::new();
        for _ in 0..3 {
            meter.clone().note(|usage| {
                usage.counts.reconnects += 1;
                if let Some(line) = usage.line(Stage::Speaking, "cartesia", "") {
                    line.requests += 1;
                }
            });
        }
        let usage = meter.usage();
        assert_eq!((usage.counts.reconnects, usage.lines.len(), usage.lines[0].requests), (3, 1, 3));
    }
}
