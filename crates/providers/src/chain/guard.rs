//! The breakers as one call sees them, and a request that is under way.

use crate::resilience::{Target, Targets};
use crate::{Error, ErrorKind};
use model::TenantId;
use tokio::time::Instant;

/// The breakers of a process, for the calls of one organisation. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Guard {
    targets: Targets,
    tenant: TenantId,
    began: Instant,
}

impl Guard {
    /// `began` is the zero of the breakers' time, the same for all guards over the same `targets`.
    #[must_use]
    pub const fn new(targets: Targets, tenant: TenantId, began: Instant) -> Self {
        Self { targets, tenant, began }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A request, if one may go out.
    pub(super) fn attempt(&self, target: Option<Target>) -> Option<Attempt> {
        let allowed = target.is_none_or(|target| self.targets.allow(Some(self.tenant), target, self.now_ms()));
        allowed.then(|| Attempt { guard: self.clone(), target, begun: false })
    }

    /// Whether a request could go out; takes no trial.
    pub(super) fn would_pass(&self, target: Option<Target>) -> bool {
        target.is_none_or(|target| self.targets.refused_for_ms(Some(self.tenant), target, self.now_ms()) == 0)
    }

    /// Something of a request, or of a stream that is open, went wrong.
    pub(super) fn failed(&self, target: Option<Target>, error: &Error) {
        let (Some(target), tenant) = (target, Some(self.tenant)) else { return };
        match error.kind {
            ErrorKind::Unauthorized => self.targets.refused(tenant, target, self.now_ms()),
            ErrorKind::Unavailable | ErrorKind::TimedOut | ErrorKind::Overloaded | ErrorKind::Protocol => {
                self.targets.failed(tenant, target, self.now_ms());
            }
            // Our doing, or the agent's.
            ErrorKind::Rejected | ErrorKind::NotInstalled => self.targets.abandoned(tenant, target),
        }
    }

    pub(super) fn succeeded(&self, target: Option<Target>) {
        if let Some(target) = target {
            self.targets.succeeded(Some(self.tenant), target);
        }
    }

    /// A further try of the same request has ended.
    pub(super) fn retried(&self, went_well: bool) {
        self.targets.retried(went_well);
    }
}

/// A request under way. Whatever becomes of it, its breaker hears of it: one that is dropped was not wanted any more,
/// which went well if it had begun to deliver.
#[derive(Debug)]
pub(super) struct Attempt {
    guard: Guard,
    target: Option<Target>,
    begun: bool,
}

impl Attempt {
    /// It delivers.
    pub(super) fn begin(&mut self) {
        self.begun = true;
    }

    pub(super) fn failed(mut self, error: &Error) {
        self.guard.failed(self.target.take(), error);
    }

    pub(super) fn succeeded(mut self) {
        self.guard.succeeded(self.target.take());
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let Some(target) = self.target.take() else { return };
        if self.begun {
            self.guard.succeeded(Some(target));
        } else {
            self.guard.targets.abandoned(Some(self.guard.tenant), target);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resilience::BREAKER_FAILURES;

    fn guard() -> Guard {
        Guard::new(Targets::new(), TenantId::from(uuid::Uuid::from_u128(1)), Instant::now())
    }

    fn target() -> Option<Target> {
        Some(Target::at("x", &["y"]))
    }

    #[tokio::test(start_paused = true)]
    async fn what_counts_and_how_much() {
        for (kind, failures_until_open) in [
            (ErrorKind::Unauthorized, Some(1)),
            (ErrorKind::Unavailable, Some(BREAKER_FAILURES)),
            (ErrorKind::TimedOut, Some(BREAKER_FAILURES)),
            (ErrorKind::Overloaded, Some(BREAKER_FAILURES)),
            (ErrorKind::Protocol, Some(BREAKER_FAILURES)),
            (ErrorKind::Rejected, None),
            (ErrorKind::NotInstalled, None),
        ] {
            let guard = guard();
            let mut failures = 0;
            while failures < 20 {
                let Some(attempt) = guard.attempt(target()) else { break };
                attempt.failed(&Error::new(kind, "x", ""));
                failures += 1;
            }
            assert_eq!(failures, failures_until_open.unwrap_or(20), "{kind:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_given_up_locks_nobody_out_and_heals_nobody() {
        let guard = guard();
        for _ in 0..BREAKER_FAILURES {
            drop(guard.attempt(target()).expect("closed"));
            guard.failed(target(), &Error::new(ErrorKind::TimedOut, "x", ""));
        }
        assert!(guard.attempt(target()).is_none());
        tokio::time::advance(std::time::Duration::from_secs(60)).await;
        drop(guard.attempt(target()).expect("a trial"));
        let mut trial = guard.attempt(target()).expect("the trial is free again");
        assert!(guard.attempt(target()).is_none(), "one at a time");
        trial.begin();
        drop(trial);
        assert!(guard.attempt(target()).is_some(), "it had begun to deliver");
    }

    #[tokio::test(start_paused = true)]
    async fn what_runs_here_is_never_left_alone() {
        let guard = guard();
        for _ in 0..20 {
            guard.attempt(None).expect("always").failed(&Error::new(ErrorKind::Overloaded, "builtin", ""));
        }
        assert!(guard.attempt(None).is_some());
    }
}
