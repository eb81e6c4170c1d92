//! The simulators themselves, over real sockets.
#![expect(clippy::unwrap_used, reason = "tests")]

mod carrier;
mod carrier_api;
mod carrier_bot;
mod carrier_flow;
mod carrier_recordings;
mod carrier_switches;
mod peers;
mod vendors;
