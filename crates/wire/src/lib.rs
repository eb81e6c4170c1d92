//! Other people's formats: what carriers and vendors send and want to be sent, one file each, and webhook signatures.
//!
//! Architecture Invariant: this crate does no I/O, reads no clock and draws no randomness; nothing a stranger sends
//! makes it panic.

pub mod anthropic;
mod api_error;
pub mod aura;
pub mod carrier;
pub mod cartesia;
pub mod conversation;
pub mod deepgram;
pub mod destination;
pub mod elevenlabs;
mod error;
pub mod exotel;
pub mod fields;
mod frame;
pub mod gemini_live;
pub mod mcp;
pub mod openai;
pub mod openai_realtime;
pub mod pcm;
pub mod plivo;
pub mod report;
pub mod rest;
pub mod sarvam;
pub mod signature;
pub mod smartflo;
pub mod sse;
pub mod standard_webhooks;
pub mod twilio;
pub mod word_times;
mod xml;

pub use api_error::{ApiError, ERROR_MESSAGE_BYTES_MAX};
pub use error::WireError;
