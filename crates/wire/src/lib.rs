//! Other people's formats: what carriers and vendors send and want to be sent, one file each, and webhook signatures.
//!
//! Architecture Invariant: this crate does no I/O, reads no clock and draws no randomness; nothing a stranger sends
//! makes it panic.

pub mod carrier;
pub mod deepgram;
pub mod destination;
mod error;
pub mod exotel;
pub mod fields;
pub mod openai;
pub mod pcm;
pub mod signature;
pub mod standard_webhooks;

pub use error::WireError;
