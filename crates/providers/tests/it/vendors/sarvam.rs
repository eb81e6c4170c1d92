//! Sarvam, over real sockets.

mod speech;
mod transcription;
