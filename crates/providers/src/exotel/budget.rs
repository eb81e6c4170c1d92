//! How many requests an account may make: Exotel takes 200 a minute (developer.exotel.com, error codes), counted over
//! everybody who uses the account. The bucket is pure: time is a parameter.

use super::ExotelAccount;
use secrecy::ExposeSecret as _;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Requests that a rested account makes at once.
const BURST: u32 = 40;
/// Requests that come back in each minute. With [`BURST`] before them there are never more than 200 in any minute,
/// whichever minute Exotel counts.
const PER_MINUTE: u32 = 160;
/// What comes back in this time is one request.
const EVERY: Duration = Duration::from_millis(60_000 / PER_MINUTE as u64);
/// Requests of [`BURST`] that only placing a call may use: asking about calls must not keep new ones from being placed.
pub(super) const KEPT_FOR_DIALING: u32 = 10;
/// Accounts kept in mind. Beyond, the one that rested longest is forgotten: it has most of its burst again.
const ACCOUNTS_MAX: usize = 4_096;
/// No pause that Exotel asks for is kept longer: a wrong header must not silence an account for a day.
const PAUSE_MAX: Duration = Duration::from_secs(600);

/// One account.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Requests that may be made, in the time that they take to come back.
    credit: Duration,
    /// When `credit` was right.
    at: Instant,
    /// Not before then: Exotel asked for it.
    paused_until: Option<Instant>,
}

impl Bucket {
    const fn full(at: Instant) -> Self {
        Self { credit: EVERY.saturating_mul(BURST), at, paused_until: None }
    }

    /// Takes one request out when more than `keep` are there; otherwise says how long that will take.
    fn take(&mut self, now: Instant, keep: u32) -> Result<(), Duration> {
        if let Some(until) = self.paused_until {
            if now < until {
                return Err(until - now);
            }
            self.paused_until = None;
        }
        let earned = now.saturating_duration_since(self.at);
        self.credit = self.credit.saturating_add(earned).min(EVERY.saturating_mul(BURST));
        self.at = self.at.max(now);
        let needed = EVERY.saturating_mul(keep.saturating_add(1));
        if self.credit < needed {
            return Err(needed - self.credit);
        }
        self.credit -= EVERY;
        Ok(())
    }

    /// Exotel says that it was too much.
    fn pause(&mut self, now: Instant, wait: Duration) {
        let until = now + wait.min(PAUSE_MAX);
        self.paused_until = Some(self.paused_until.map_or(until, |earlier| earlier.max(until)));
    }
}

/// Whose budget: an account at a host, as whoever has this key and this token. Who merely names another's account, with
/// credentials of his own invention, has a budget of his own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct BudgetKey([u8; 32]);

impl BudgetKey {
    /// `base_url` is where the account's requests go.
    pub(super) fn new(base_url: &str, account: &ExotelAccount) -> Self {
        let token = account.token.expose_secret().trim().as_bytes();
        let parts = [base_url.as_bytes(), account.account_id.as_bytes(), account.api_key.trim().as_bytes(), token];
        // Each part by itself first, so that none can run over into the next.
        let digest = parts.iter().fold(Sha256::new(), |whole, part| whole.chain_update(Sha256::digest(part)));
        Self(digest.finalize().into())
    }
}

/// The budgets of all accounts, shared by the clones of a client.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    /// Held for a few instructions, never across a wait.
    by_account: Mutex<HashMap<BudgetKey, Bucket>>,
}

impl Budgets {
    /// Waits for room, at most `patience`; without it says how long it would have taken at least.
    pub(super) async fn take(&self, account: BudgetKey, keep: u32, patience: Duration) -> Result<(), Duration> {
        let last = Instant::now() + patience;
        loop {
            let now = Instant::now();
            let Err(wait) = self.with(account, now, |bucket| bucket.take(now, keep)) else { return Ok(()) };
            if now + wait > last {
                return Err(wait);
            }
            sleep_until(now + wait).await;
        }
    }

    /// How long until there is room; takes nothing.
    pub(super) fn room_in(&self, account: BudgetKey) -> Duration {
        let now = Instant::now();
        self.with(account, now, |bucket| Bucket::clone(bucket).take(now, 0).err().unwrap_or_default())
    }

    /// No request of this account for so long.
    pub(super) fn pause(&self, account: BudgetKey, wait: Duration) {
        let now = Instant::now();
        self.with(account, now, |bucket| bucket.pause(now, wait));
    }

    fn with<T>(&self, account: BudgetKey, now: Instant, act: impl FnOnce(&mut Bucket) -> T) -> T {
        let mut by_account = self.by_account.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = by_account.get_mut(&account) {
            return act(bucket);
        }
        if by_account.len() >= ACCOUNTS_MAX
            && let Some(rested) = by_account.iter().min_by_key(|(_, bucket)| bucket.at).map(|(key, _)| *key)
        {
            by_account.remove(&rested);
        }
        act(by_account.entry(account).or_insert_with(|| Bucket::full(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn account(account_id: &str, api_key: &str, token: &str) -> ExotelAccount {
        let region = super::super::Region::Mumbai;
        ExotelAccount { account_id: account_id.to_owned(), api_key: api_key.to_owned(), token: token.into(), region }
    }

    fn key(account_id: &str) -> BudgetKey {
        BudgetKey::new("https://api.example.org", &account(account_id, "key", "token"))
    }

    #[test]
    fn another_who_names_the_account_has_another_budget() {
        let ours = key("clinic1");
        assert_eq!(ours, BudgetKey::new("https://api.example.org", &account("clinic1", " key", "token ")));
        for (base_url, account) in [
            ("https://api.example.com", account("clinic1", "key", "token")),
            ("https://api.example.org", account("clinic2", "key", "token")),
            ("https://api.example.org", account("clinic1", "yek", "token")),
            ("https://api.example.org", account("clinic1", "key", "guess")),
            ("https://api.example.org", account("clinic1k", "ey", "token")),
        ] {
            assert_ne!(ours, BudgetKey::new(base_url, &account), "{account:?}");
        }
    }

    #[test]
    fn a_rested_account_has_its_burst_and_then_its_rate() {
        let begin = Instant::now();
        let mut bucket = Bucket::full(begin);
        for n in 0..BURST {
            assert_eq!(bucket.take(begin, 0), Ok(()), "{n}");
        }
        assert_eq!(bucket.take(begin, 0), Err(EVERY));
        assert_eq!(bucket.take(begin + EVERY / 2, 0), Err(EVERY / 2));
        assert_eq!(bucket.take(begin + EVERY, 0), Ok(()));
        assert_eq!(bucket.take(begin, 0), Err(EVERY), "a clock that goes back gives nothing");
        let rested = begin + Duration::from_secs(3_600);
        assert_eq!((0..100).filter(|_| bucket.take(rested, 0).is_ok()).count(), BURST as usize, "no more than that");
    }

    #[test]
    fn some_are_kept_for_dialing() {
        let begin = Instant::now();
        let mut bucket = Bucket::full(begin);
        let asked = (0..100).filter(|_| bucket.take(begin, KEPT_FOR_DIALING).is_ok()).count();
        assert_eq!(asked, (BURST - KEPT_FOR_DIALING) as usize);
        assert_eq!(bucket.take(begin, KEPT_FOR_DIALING), Err(EVERY));
        let dialled = (0..100).filter(|_| bucket.take(begin, 0).is_ok()).count();
        assert_eq!(dialled, KEPT_FOR_DIALING as usize);
    }

    #[test]
    fn a_pause_is_kept_and_has_a_limit() {
        let begin = Instant::now();
        let mut bucket = Bucket::full(begin);
        bucket.pause(begin, Duration::from_secs(30));
        bucket.pause(begin, Duration::from_secs(5));
        assert_eq!(bucket.take(begin, 0), Err(Duration::from_secs(30)), "the longer one counts");
        assert_eq!(bucket.take(begin + Duration::from_secs(30), 0), Ok(()));
        bucket.pause(begin, Duration::from_secs(u64::MAX));
        assert_eq!(bucket.take(begin, 0), Err(PAUSE_MAX));
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_is_bounded_and_accounts_do_not_share() {
        let budgets = Budgets::default();
        let begin = Instant::now();
        for _ in 0..BURST {
            assert_eq!(budgets.take(key("one"), 0, Duration::ZERO).await, Ok(()));
        }
        assert_eq!(budgets.take(key("one"), 0, EVERY / 2).await, Err(EVERY));
        assert_eq!(begin.elapsed(), Duration::ZERO, "who would wait in vain does not wait");
        assert_eq!(budgets.take(key("two"), 0, Duration::ZERO).await, Ok(()));
        assert_eq!(budgets.take(key("one"), 0, EVERY).await, Ok(()));
        assert!(begin.elapsed() >= EVERY);
        budgets.pause(key("two"), MINUTE);
        assert_eq!(budgets.take(key("two"), 0, Duration::from_secs(10)).await, Err(MINUTE));
        assert_eq!(
            (budgets.room_in(key("two")), budgets.room_in(key("one")), budgets.room_in(key("three"))),
            (MINUTE, EVERY, Duration::ZERO)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn many_accounts_do_not_grow_for_ever() {
        let budgets = Budgets::default();
        let (burst, first) = (BURST, key("account-0"));
        for _ in 0..burst {
            assert_eq!(budgets.take(first, 0, Duration::ZERO).await, Ok(()));
        }
        for n in 1..ACCOUNTS_MAX + 10 {
            tokio::time::advance(Duration::from_micros(1)).await;
            assert_eq!(budgets.take(key(&format!("account-{n}")), 0, Duration::ZERO).await, Ok(()));
        }
        let kept = budgets.by_account.lock().expect("no holder panics");
        assert_eq!(kept.len(), ACCOUNTS_MAX);
        assert!(!kept.contains_key(&first), "the one that rested longest went");
    }

    proptest! {
        #[test]
        fn never_more_than_200_in_any_minute(steps in prop::collection::vec((0_u64..2_000, 1_u32..30), 1..300)) {
            let mut now = Instant::now();
            let mut bucket = Bucket::full(now);
            let mut sent: Vec<Instant> = Vec::new();
            for (wait_ms, tries) in steps {
                now += Duration::from_millis(wait_ms);
                for _ in 0..tries {
                    if bucket.take(now, 0).is_ok() {
                        sent.push(now);
                    }
                }
            }
            for (n, first) in sent.iter().enumerate() {
                let within = sent[n..].iter().take_while(|at| **at - *first < MINUTE).count();
                prop_assert!(within <= 200, "{within}");
            }
        }
    }
}
