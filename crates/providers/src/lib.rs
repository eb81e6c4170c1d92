//! The outside minds: speech-to-text, language models, text-to-speech. A trait each, one file per vendor, and the
//! built-in local ones.
//!
//! Architecture Invariant: nothing here sees SQL or a live call, and of a carrier only its HTTP services. What a call
//! wants arrives as a request; what a vendor says leaves through a bounded channel. Dropping the receiving end cancels
//! the work.

mod answer;
mod error;
mod refusal;

pub mod alarm;
pub mod anthropic;
pub mod aura;
pub mod carrier_file;
pub mod cartesia;
pub mod chain;
pub mod deepgram;
pub mod egress;
pub mod elevenlabs;
pub mod embedding;
pub mod exotel;
pub mod http;
pub mod keys;
pub mod language_model;
pub mod live;
pub mod local;
pub mod mail;
pub mod models;
pub mod objects;
pub mod openai;
pub mod realtime;
pub mod recall;
pub mod resilience;
pub mod sarvam;
pub mod speaker;
pub mod speech_socket;
pub mod tools;
pub mod transcriber;
pub mod turn;

pub use error::{Error, ErrorKind};

use std::future::Future;
use std::pin::Pin;

/// A boxed future, so that providers can stand behind `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
