//! The gate before everything that costs a password hash: few at once, a short wait, then [`GateError::Busy`]. A flood
//! of logins then costs a bounded share of the machine, and calls in progress do not hear of it.

use super::{HashError, Hasher, PasswordContext, PasswordPolicy, PasswordRefusal, Verdict};
use crate::one_time_code::{self, OneTimeCode, Purpose};
use model::UserId;
use secrecy::SecretString;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

/// Hashes computed at once: two cores, 19 MiB each.
pub const AT_ONCE: usize = 2;
/// Longest wait for a turn. A person waits that long; a load balancer does not lose patience.
pub const WAIT_MAX: Duration = Duration::from_secs(2);
/// Most that wait. At 30 ms to 60 ms a hash, more than this would not get their turn in [`WAIT_MAX`].
pub const WAITING_MAX: usize = 64;

/// Niceness of the threads that hash, on Linux: the tasks that move sound go first when the processor is short. As that of
/// the built-in models.
const NICENESS: i32 = 5;
/// What a profiler calls them.
const THREAD_NAME: &str = "password";

/// There is no verdict. Answer 503 with `Retry-After` when busy, 500 otherwise; never let anybody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// Too many others.
    #[error("too many password checks at once")]
    Busy,
    /// The hash could not be made or compared.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The program is stopping, or the check panicked.
    #[error("the password check was stopped")]
    Stopped,
}

/// A chosen password was not hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NewPasswordError {
    /// It is not good enough; the sentence is for the person.
    #[error(transparent)]
    Refused(#[from] PasswordRefusal),
    /// It was not looked at.
    #[error(transparent)]
    Gate(#[from] GateError),
}

/// Checks and hashes passwords and one-time codes, off the async workers. One for the process; clones share the gate.
#[derive(Clone, Debug)]
pub struct Passwords {
    hasher: Arc<Hasher>,
    /// Those inside and those waiting.
    room: Arc<Semaphore>,
    /// Those inside.
    seats: Arc<Semaphore>,
}

impl Passwords {
    /// With today's parameters.
    #[must_use]
    pub fn new() -> Self {
        Self {
            hasher: Arc::new(Hasher::new()),
            room: Arc::new(Semaphore::new(AT_ONCE + WAITING_MAX)),
            seats: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// What to keep of a password that somebody chose, if the policy lets it pass.
    ///
    /// # Errors
    /// [`NewPasswordError`].
    pub async fn hash_new(
        &self,
        policy: PasswordPolicy,
        password: &SecretString,
        context: PasswordContext,
    ) -> Result<String, NewPasswordError> {
        let password = password.clone();
        self.run(move |hasher| match policy.check(&password, &context) {
            Ok(()) => hasher.hash(&password).map_err(|error| NewPasswordError::Gate(error.into())),
            Err(refusal) => Err(refusal.into()),
        })
        .await?
    }

    /// What to keep of a password that was right, when [`Verdict::Right`] asks for it.
    ///
    /// # Errors
    /// [`GateError`].
    pub async fn hash(&self, password: &SecretString) -> Result<String, GateError> {
        let password = password.clone();
        Ok(self.run(move |hasher| hasher.hash(&password)).await??)
    }

    /// Whether this is the password that was kept.
    ///
    /// # Errors
    /// [`GateError`].
    pub async fn verify(&self, password: &SecretString, kept: &str) -> Result<Verdict, GateError> {
        let (password, kept) = (password.clone(), kept.to_owned());
        Ok(self.run(move |hasher| hasher.verify(&password, &kept)).await??)
    }

    /// For an account that does not exist, or has no password or code: the same work.
    ///
    /// # Errors
    /// [`GateError`].
    pub async fn verify_nobody(&self, password: &SecretString) -> Result<(), GateError> {
        let password = password.clone();
        Ok(self.run(move |hasher| hasher.verify_nobody(&password)).await??)
    }

    /// What to keep of a one-time code.
    ///
    /// # Errors
    /// [`GateError`].
    pub async fn hash_code(&self, purpose: Purpose, user: UserId, code: &OneTimeCode) -> Result<String, GateError> {
        let code = code.clone();
        Ok(self.run(move |hasher| one_time_code::hash(hasher, purpose, user, &code)).await??)
    }

    /// Whether this is the code that was sent to this account for this purpose.
    ///
    /// # Errors
    /// [`GateError`].
    pub async fn verify_code(
        &self,
        purpose: Purpose,
        user: UserId,
        code: &OneTimeCode,
        kept: &str,
    ) -> Result<bool, GateError> {
        let (code, kept) = (code.clone(), kept.to_owned());
        Ok(self.run(move |hasher| one_time_code::verify(hasher, purpose, user, &code, &kept)).await??)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce(&Hasher) -> T + Send + 'static) -> Result<T, GateError> {
        let place = self.room.clone().try_acquire_owned().map_err(|_| GateError::Busy)?;
        let seat = match timeout(WAIT_MAX, self.seats.clone().acquire_owned()).await {
            Ok(Ok(seat)) => seat,
            Ok(Err(_closed)) => return Err(GateError::Stopped),
            Err(_elapsed) => return Err(GateError::Busy),
        };
        let hasher = self.hasher.clone();
        let (done, answer) = oneshot::channel();
        // A thread of its own for each, since a priority once lowered is not raised again: starting one costs a thousandth
        // of a hash. Place and seat go along: when the asker hangs up, the work is still being done and must count.
        let job = move || {
            stand_back();
            let outcome = work(&hasher);
            drop((seat, place));
            // Nobody may be waiting any more.
            let _ = done.send(outcome);
        };
        std::thread::Builder::new().name(THREAD_NAME.to_owned()).spawn(job).map_err(|_| GateError::Busy)?;
        answer.await.map_err(|_| GateError::Stopped)
    }
}

/// Lowers the priority of this thread. Only Linux knows it per thread; where it is refused, nothing is lost but order.
fn stand_back() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, NICENESS);
    #[cfg(not(target_os = "linux"))]
    let _ = NICENESS;
}

impl Default for Passwords {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::EmailAddress;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use tokio::task::spawn_blocking;
    use uuid::Uuid;

    fn good() -> SecretString {
        "seven grumpy otters at dawn".into()
    }

    #[tokio::test]
    async fn passwords_pass_the_gate() {
        let passwords = Passwords::new();
        let context = || PasswordContext {
            organisation: "Clinic".to_owned(),
            email: EmailAddress::parse("asha@clinic.in").unwrap(),
        };
        let policy = PasswordPolicy { second_factor_enforced: false };
        let kept = passwords.hash_new(policy, &good(), context()).await.unwrap();
        assert_eq!(passwords.verify(&good(), &kept).await, Ok(Verdict::Right { rehash: false }));
        assert_eq!(passwords.verify(&"other".into(), &kept).await, Ok(Verdict::Wrong));
        assert_eq!(passwords.verify(&good(), "x").await, Err(GateError::Hash(HashError::Unreadable)));
        assert_eq!(passwords.verify_nobody(&good()).await, Ok(()));
        let refused = passwords.hash_new(policy, &"short".into(), context()).await;
        assert_eq!(refused, Err(NewPasswordError::Refused(PasswordRefusal::TooShort { chars_min: 15 })));
        assert!(passwords.hash(&"any".into()).await.unwrap().starts_with("$argon2id$"));
    }

    #[tokio::test]
    async fn codes_pass_the_same_gate() {
        let passwords = Passwords::new();
        let (user, code) = (UserId(Uuid::from_u128(1)), OneTimeCode::parse("012345").unwrap());
        let kept = passwords.hash_code(Purpose::VerifyEmail, user, &code).await.unwrap();
        assert_eq!(passwords.verify_code(Purpose::VerifyEmail, user, &code, &kept).await, Ok(true));
        let other = UserId(Uuid::from_u128(2));
        assert_eq!(passwords.verify_code(Purpose::VerifyEmail, other, &code, &kept).await, Ok(false));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn hashing_stands_back_and_nothing_else_does() {
        let own = || rustix::process::getpriority_process(None).expect("a priority");
        let before = own();
        let inside = Passwords::new().run(move |_| own()).await.expect("runs");
        assert_eq!(inside, before.max(NICENESS));
        assert_eq!(own(), before);
    }

    #[tokio::test]
    async fn a_panic_is_no_verdict_and_gives_the_seat_back() {
        let passwords = Passwords::new();
        for _ in 0..AT_ONCE + 1 {
            assert_eq!(passwords.run(|_| panic!("as asked")).await, Err(GateError::Stopped));
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn two_at_once_and_no_more() {
        let passwords = Passwords::new();
        let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                let (passwords, inside, most) = (passwords.clone(), inside.clone(), most.clone());
                tokio::spawn(async move {
                    passwords
                        .run(move |_| {
                            most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                            std::thread::yield_now();
                            inside.fetch_sub(1, Ordering::SeqCst);
                        })
                        .await
                })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap(), Ok(()));
        }
        assert!((1..=AT_ONCE).contains(&most.load(Ordering::SeqCst)));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_is_sent_away() {
        let passwords = Passwords::new();
        let seats = passwords.seats.clone().try_acquire_many_owned(AT_ONCE as u32).unwrap();
        let begin = tokio::time::Instant::now();
        assert_eq!(passwords.run(|_| ()).await, Err(GateError::Busy));
        assert_eq!(begin.elapsed().as_secs(), WAIT_MAX.as_secs());
        drop(seats);
        assert_eq!(passwords.run(|_| 7).await, Ok(7));
        assert_eq!(passwords.room.available_permits(), AT_ONCE + WAITING_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_not_even_queued() {
        let passwords = Passwords::new();
        let _seats = passwords.seats.clone().try_acquire_many_owned(AT_ONCE as u32).unwrap();
        let _room = passwords.room.clone().try_acquire_many_owned((AT_ONCE + WAITING_MAX) as u32).unwrap();
        let begin = tokio::time::Instant::now();
        assert_eq!(passwords.run(|_| ()).await, Err(GateError::Busy));
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }

    #[tokio::test]
    async fn work_counts_until_it_is_done_though_nobody_waits_for_it() {
        let passwords = Passwords::new();
        let ((started, has_started), (go_on, may_go_on)) = (mpsc::channel(), mpsc::channel::<()>());
        let asker = tokio::spawn({
            let passwords = passwords.clone();
            async move {
                passwords
                    .run(move |_| {
                        started.send(()).unwrap();
                        let _released = may_go_on.recv();
                    })
                    .await
            }
        });
        spawn_blocking(move || has_started.recv()).await.unwrap().unwrap();
        asker.abort();
        assert!(asker.await.unwrap_err().is_cancelled());
        assert_eq!(passwords.seats.available_permits(), AT_ONCE - 1);
        go_on.send(()).unwrap();
        let _all_seats = passwords.seats.acquire_many(AT_ONCE as u32).await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_gives_the_seat_back_and_lets_nobody_in() {
        let passwords = Passwords::new();
        assert_eq!(passwords.run(|_| panic!("on purpose")).await, Err::<(), _>(GateError::Stopped));
        assert_eq!(passwords.seats.available_permits(), AT_ONCE);
        assert_eq!(passwords.room.available_permits(), AT_ONCE + WAITING_MAX);
    }
}
