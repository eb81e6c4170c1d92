//! The simulators themselves, over real sockets.
#![expect(clippy::unwrap_used, reason = "tests")]

mod carrier;
mod vendors;
