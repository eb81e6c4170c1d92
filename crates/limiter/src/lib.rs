//! How often somebody may do something.
//!
//! A [`Policy`] is a quota per window: `login`, 6 in 15 minutes. [`Limiter::check`] charges one use of it to a key (an
//! address, an account, both) and says whether that is allowed. The count is the generic cell rate algorithm: the whole
//! quota may be used at once, and comes back evenly, one use per `window / quota`.
//!
//! One machine counts in this process ([`LocalLimiter`]). Several count together in Redis ([`RedisLimiter`]), with the
//! local count running along: when Redis is away, the local one decides, and no request fails or waits for it.
//! [`fields`] turns decisions into HTTP response fields.

mod gcra;
mod headers;
mod key;
mod limiter;
mod local;
mod policy;
mod shared;

pub use gcra::Decision;
pub use headers::{Field, fields};
pub use key::{client_key, client_network};
pub use limiter::{Limiter, PROBE_PAUSE, REQUEST_DEADLINE, State};
pub use local::{KEYS_MAX, LocalLimiter};
pub use policy::{NAMES, POLICIES, Policies, Policy, PolicyError, QUOTA_MAX, WINDOW_MAX};
pub use shared::{COMMAND_DEADLINE, CONNECT_DEADLINE, InvalidAddress, RedisError, RedisLimiter};
