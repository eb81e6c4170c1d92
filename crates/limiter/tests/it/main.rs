//! The limiter against real Redis servers: one that `scripts/with-redis` provides, and ones of the tests' own that are
//! stopped, hung and started again.

mod agreement;
mod counting;
mod outage;
mod server;
