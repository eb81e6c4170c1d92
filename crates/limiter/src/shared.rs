//! The count in Redis, shared by all machines.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, Script};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::gcra::{Decision, Rate};
use crate::key::Hashed;
use crate::policy::{Policy, QUOTA_MAX};

/// For a connection to be made, TLS and sign-in included.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(1);

/// For an answer on a connection. Redis answers in less than a millisecond; one that needs so long is in trouble.
pub const COMMAND_DEADLINE: Duration = Duration::from_millis(200);

/// What our keys begin with, in a Redis that others may use too.
const PREFIX: &str = "caly:limit:";

/// Commands that may wait to be written to the one connection; further requests wait for a place.
const WRITE_QUEUE: usize = 256;

/// Charged to see whether Redis would count again: writing is what it has to be able to do.
const PROBE: Policy = match Policy::new("probe", QUOTA_MAX, Duration::from_secs(1)) {
    Ok(policy) => policy,
    Err(_) => panic!("out of bounds does not compile"),
};

/// Not the address of a Redis server. Says nothing of what was given: there may be a password in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not the address of a Redis server; that is redis:// (with TLS rediss://) [user:password@]host[:port][/database]"
)]
pub struct InvalidAddress;

/// Why there is no shared count just now.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// No connection within [`CONNECT_DEADLINE`].
    #[error("no connection within {} ms", CONNECT_DEADLINE.as_millis())]
    Connect,
    /// No answer within [`COMMAND_DEADLINE`].
    #[error("no answer within {} ms", COMMAND_DEADLINE.as_millis())]
    Silent,
    /// No decision within the time a request may wait, of whatever kind.
    #[error("no decision in time")]
    Late,
    /// Refused, dropped, or an answer that is no decision.
    #[error("{0}")]
    Failed(#[from] redis::RedisError),
}

impl RedisError {
    /// The other end closed the connection, as servers and balancers do with idle ones.
    fn is_dropped(&self) -> bool {
        match self {
            Self::Failed(error) => error.is_connection_dropped(),
            Self::Connect | Self::Silent | Self::Late => false,
        }
    }
}

/// One connection, made when it is first needed.
type Line = OnceCell<MultiplexedConnection>;

/// Counts in Redis, by its clock. Several of these on one Redis count together, exactly.
///
/// A connection on which something failed is never used again. (That is why this is not the `ConnectionManager` of the
/// client library: it keeps one that is merely silent, and after a network has swallowed it, that would be for minutes.)
pub struct RedisLimiter {
    client: Client,
    script: Script,
    line: Mutex<Arc<Line>>,
}

impl RedisLimiter {
    /// For the Redis at `url`. Nothing is connected yet, and it need not be there.
    ///
    /// # Errors
    ///
    /// What is no address of a Redis server.
    pub fn new(url: &SecretString) -> Result<Self, InvalidAddress> {
        let client = Client::open(url.expose_secret()).map_err(|_| InvalidAddress)?;
        match client.get_connection_info().addr() {
            ConnectionAddr::Tcp(..) | ConnectionAddr::Unix(_) => {}
            // The library takes the process's provider and panics without one. A second installation changes nothing.
            _ => drop(rustls::crypto::ring::default_provider().install_default()),
        }
        Ok(Self { client, script: Script::new(include_str!("gcra.lua")), line: Mutex::default() })
    }

    /// Charges one use to `key`.
    ///
    /// # Errors
    ///
    /// Redis gives no decision in time. The use may have been charged all the same.
    pub async fn check(&self, policy: &Policy, key: &str) -> Result<Decision, RedisError> {
        self.charge(policy, Hashed::of(policy, key)).await
    }

    /// Whether Redis counts, asked without charging anybody.
    pub(crate) async fn probe(&self) -> Result<(), RedisError> {
        self.charge(&PROBE, Hashed::of(&PROBE, "")).await.map(|_| ())
    }

    pub(crate) async fn charge(&self, policy: &Policy, key: Hashed) -> Result<Decision, RedisError> {
        let line = self.line();
        let used_before = line.initialized();
        match self.charge_on(&line, policy, key).await {
            // Once more, on a new connection. If the use had been counted before the connection broke, it counts twice:
            // too strict by one is better than a machine that limits alone because a connection was idle.
            Err(error) if used_before && error.is_dropped() => self.charge_on(&self.line(), policy, key).await,
            answer => answer,
        }
    }

    async fn charge_on(&self, line: &Arc<Line>, policy: &Policy, key: Hashed) -> Result<Decision, RedisError> {
        let answer = self.ask(line, policy, key).await;
        if answer.is_err() {
            let mut current = self.line.lock().unwrap_or_else(PoisonError::into_inner);
            // Others may have found out before, and have a new one by now.
            if Arc::ptr_eq(&current, line) {
                *current = Arc::default();
            }
        }
        answer
    }

    async fn ask(&self, line: &Line, policy: &Policy, key: Hashed) -> Result<Decision, RedisError> {
        let mut connection = line.get_or_try_init(|| self.connect()).await?.clone();
        let rate = Rate::of(policy);
        let mut call = self.script.key(format!("{PREFIX}{}:{}", policy.name(), key.hex()));
        call.arg(rate.emission_us).arg(rate.burst_us());
        let answer = timeout(COMMAND_DEADLINE, call.invoke_async(&mut connection));
        let (allowed, remaining, reset_us, retry_us): (bool, u32, u64, u64) =
            answer.await.map_err(|_| RedisError::Silent)??;
        Ok(Decision {
            allowed,
            limit: policy.quota(),
            remaining,
            reset: Duration::from_micros(reset_us),
            retry_after: Duration::from_micros(retry_us),
        })
    }

    async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        // The deadlines are ours, one around everything.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(WRITE_QUEUE);
        let connection = self.client.get_multiplexed_async_connection_with_config(&config);
        Ok(timeout(CONNECT_DEADLINE, connection).await.map_err(|_| RedisError::Connect)??)
    }

    fn line(&self) -> Arc<Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_and_not_repeated() {
        for url in ["redis://127.0.0.1:6379", "redis://user:secret@redis.example/1", "rediss://redis.example:6380"] {
            assert!(RedisLimiter::new(&SecretString::from(url)).is_ok(), "{url}");
        }
        for url in ["", "127.0.0.1:6379", "http://redis.example", "redis://:secret@", "redis://:secret@host:port"] {
            let error = RedisLimiter::new(&SecretString::from(url)).err();
            assert_eq!(error, Some(InvalidAddress), "{url}");
            assert!(!InvalidAddress.to_string().contains("secret"));
        }
    }
}
