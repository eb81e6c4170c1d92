//! What other people send, from files: one input a file, the reading of it beside it.
#![expect(clippy::unwrap_used, reason = "tests")]

mod carrier_rest;
mod carrier_signature;
mod conformance;
mod exotel_report;
mod exotel_rest;
mod exotel_stream;
mod exotel_webhook;
mod golden;
mod peers;
mod sarvam;
mod signature;
