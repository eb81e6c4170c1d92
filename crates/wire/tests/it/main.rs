//! What other people send, from files: one input a file, the reading of it beside it.
#![expect(clippy::unwrap_used, reason = "tests")]

mod exotel_report;
mod exotel_stream;
mod exotel_webhook;
mod golden;
mod signature;
