//! What the carrier was promised: every answer of 2xx, and during which life of the server it came.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A call whose webhook was answered with a media address.
#[derive(Clone, Debug)]
pub(crate) struct Promised {
    /// Kills before it was announced, and when the carrier was through with it.
    pub(crate) kills: (u32, u32),
    /// How long its media ran, by the carrier's clock.
    pub(crate) duration_ms: u64,
}

/// A report of the carrier that was answered with 2xx. There is one of a kind of each call, however often it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) call_id: String,
    /// As it is kept: `call-end`, `status`, `passthru`, `recording`.
    pub(crate) kind: &'static str,
    /// Kills before the answer.
    pub(crate) kills: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) calls: HashMap<String, Promised>,
    pub(crate) reports: Vec<Report>,
    /// Answers of 2xx to webhooks of all kinds, repeated ones too.
    pub(crate) webhooks: u64,
    /// Webhooks that had to be sent again, since the server died before it answered.
    pub(crate) unanswered: u64,
    /// Answers that no carrier should get, and how often.
    pub(crate) refused: BTreeMap<String, u32>,
    /// How long those that were answered took, ms.
    pub(crate) answered_ms: Vec<u64>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Kept>);

impl Ledger {
    pub(crate) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn promised(&self, call_id: &str, promised: Promised) {
        let mut kept = self.kept();
        kept.webhooks += 1;
        kept.calls.insert(call_id.to_owned(), promised);
    }

    pub(crate) fn reported(&self, report: Report) {
        let mut kept = self.kept();
        kept.webhooks += 1;
        if !kept.reports.iter().rev().take(32).any(|other| other.is_same(&report)) {
            kept.reports.push(report);
        }
    }

    pub(crate) fn answered(&self, ms: u64) {
        self.kept().answered_ms.push(ms);
    }

    pub(crate) fn unanswered(&self) {
        self.kept().unanswered += 1;
    }

    pub(crate) fn refused(&self, what: String) {
        *self.kept().refused.entry(what).or_default() += 1;
    }
}

impl Report {
    fn is_same(&self, other: &Self) -> bool {
        (&self.call_id, self.kind) == (&other.call_id, other.kind)
    }
}
