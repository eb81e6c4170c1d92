//! The life of a session's refresh tokens, as decisions without I/O.
//!
//! A session has one good refresh token at a time. Using it gives the next ([`RefreshToken::successor`]) and spends it.
//! A spent token that comes back means that two parties hold copies, and nobody can tell which of them is the thief:
//! the session ends (RFC 9700 §4.14.2). One exception: an answer that was lost on its way makes an honest client ask
//! again, so the token spent last is answered for [`GRACE`] with the same successor as before, as long as that
//! successor has not been used itself. There are never two good tokens.
//!
//! The caller, in one transaction that holds the session's row:
//!
//! 1. finds the session by [`RefreshToken::hash`]: it is the session's current hash or among the spent ones;
//! 2. calls [`decide`] with [`Family::place`];
//! 3. on [`Decision::Rotate`] keeps the hash given back as spent, with its generation, and the new [`Family`]; on
//!    [`Decision::Reuse`] ends the session; otherwise writes nothing;
//! 4. answers with the token given, or refuses.

use crate::token::{self, RefreshToken, SessionSalt, TokenHash, TokenPepper};
use chrono::{DateTime, Duration, Utc};

/// Longest life of a session, whatever it does (NIST SP 800-63B-4 §2.1.3: 30 days).
pub const ABSOLUTE_LIFETIME: Duration = Duration::days(30);
/// Longest time between two refreshes.
pub const IDLE_LIFETIME: Duration = Duration::days(7);
/// How long the token spent last is still answered: a lost answer is noticed and asked for again within this time.
pub const GRACE: Duration = Duration::seconds(10);
/// Most sessions of one user; a new one ends the least recently used.
pub const SESSIONS_MAX: usize = 10;

/// What is kept of a session's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// What successors of this session are made with.
    pub session_salt: SessionSalt,
    /// How many tokens came before the current one.
    pub generation: u32,
    /// The hash of the one good token.
    pub current_hash: TokenHash,
    /// When the current token was issued, and the one before it spent.
    pub rotated_at: DateTime<Utc>,
    /// When the session began.
    pub created_at: DateTime<Utc>,
    /// When it was last refreshed.
    pub last_used_at: DateTime<Utc>,
    /// When it was ended: by logout, by an operator, by reuse.
    pub ended_at: Option<DateTime<Utc>>,
}

/// What a presented token is to its family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presented {
    /// The good one.
    Current,
    /// The one spent last, whose successor is the current one.
    Previous,
    /// One spent before that.
    Older,
    /// None of this family.
    Unknown,
}

/// What to do about a presented token.
#[derive(Clone, Debug)]
pub enum Decision {
    /// Keep the presented token's hash as spent in `spent_generation`, keep the family, answer with `next`.
    Rotate {
        /// The family as it is from now on.
        family: Family,
        /// The generation of the token that was just spent.
        spent_generation: u32,
        /// The new good token.
        next: RefreshToken,
    },
    /// Answer with `next`, as before. Write nothing.
    Repeat {
        /// The good token, which was sent before and perhaps lost.
        next: RefreshToken,
    },
    /// A copy is about: end the session, write it into the audit log, tell the user. Refuse.
    Reuse,
    /// Refuse. Write nothing.
    Refuse(Refusal),
}

/// Why a refresh is refused. To the client all are one answer: log in again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nobody knows the token.
    #[error("the refresh token is unknown")]
    Unknown,
    /// The session was ended.
    #[error("the session was ended")]
    Ended,
    /// The session is older than [`ABSOLUTE_LIFETIME`].
    #[error("the session is over")]
    TooOld,
    /// The session was not used for [`IDLE_LIFETIME`].
    #[error("the session was not used for too long")]
    Idle,
    /// The token spent last, but its successor cannot be made again: the signing secret changed within [`GRACE`].
    /// Whoever asks is honest, and has to log in.
    #[error("the successor of the refresh token cannot be made again")]
    SuccessorLost,
}

impl Family {
    /// The family of a new session, whose first token is `first`.
    #[must_use]
    pub fn begin(session_salt: SessionSalt, first: &RefreshToken, now: DateTime<Utc>) -> Self {
        Self {
            session_salt,
            generation: 0,
            current_hash: first.hash(),
            rotated_at: now,
            created_at: now,
            last_used_at: now,
            ended_at: None,
        }
    }

    /// What the token is to this family. `spent_generation` is what was kept with its hash when it was spent; none when
    /// it never was.
    #[must_use]
    pub fn place(&self, token: &RefreshToken, spent_generation: Option<u32>) -> Presented {
        if token::same(&token.hash(), &self.current_hash) {
            return Presented::Current;
        }
        match spent_generation.map(|spent| self.generation.checked_sub(spent)) {
            Some(Some(1)) => Presented::Previous,
            // A generation of the future or the present is a broken row: suspicious, not excused.
            Some(_) => Presented::Older,
            None => Presented::Unknown,
        }
    }

    /// When the session ends if nobody refreshes it: what to keep as the time after which its rows may be deleted.
    #[must_use]
    pub fn expires_at(&self) -> DateTime<Utc> {
        let after = |time: DateTime<Utc>, by| time.checked_add_signed(by).unwrap_or(DateTime::<Utc>::MAX_UTC);
        after(self.created_at, ABSOLUTE_LIFETIME).min(after(self.last_used_at, IDLE_LIFETIME))
    }

    /// Why the session no longer stands; none when it does. Access tokens of a session that does not stand are refused
    /// too.
    #[must_use]
    pub fn over(&self, now: DateTime<Utc>) -> Option<Refusal> {
        if self.ended_at.is_some() {
            Some(Refusal::Ended)
        } else if now - self.created_at >= ABSOLUTE_LIFETIME {
            Some(Refusal::TooOld)
        } else if now - self.last_used_at >= IDLE_LIFETIME {
            Some(Refusal::Idle)
        } else {
            None
        }
    }
}

/// What to do about this token, presented as `presented` to this family at this time.
#[must_use]
pub fn decide(
    token: &RefreshToken,
    presented: Presented,
    family: &Family,
    pepper: &TokenPepper,
    now: DateTime<Utc>,
) -> Decision {
    if let Some(refusal) = family.over(now) {
        return Decision::Refuse(refusal);
    }
    match presented {
        Presented::Current => {
            let next = token.successor(pepper, &family.session_salt);
            let rotated = Family {
                generation: family.generation.saturating_add(1),
                current_hash: next.hash(),
                rotated_at: now,
                last_used_at: now,
                ..*family
            };
            Decision::Rotate { family: rotated, spent_generation: family.generation, next }
        }
        // Two machines' clocks may differ, so "just before" counts like "just after".
        Presented::Previous if (now - family.rotated_at).abs() <= GRACE => {
            let next = token.successor(pepper, &family.session_salt);
            if token::same(&next.hash(), &family.current_hash) {
                Decision::Repeat { next }
            } else {
                Decision::Refuse(Refusal::SuccessorLost)
            }
        }
        Presented::Previous | Presented::Older => Decision::Reuse,
        Presented::Unknown => Decision::Refuse(Refusal::Unknown),
    }
}
