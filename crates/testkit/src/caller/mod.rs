//! A caller with a script: real recorded speech, said when a person would say it. It hears the agent only through the
//! telephone and knows nothing of the server.

pub mod report;
mod script;
mod scripted;
mod voice;

pub use script::{Piece, Script, ScriptError, Turn, TurnKind, When};
pub use scripted::{ScriptedCaller, Utterance};
pub use voice::{Voice, VoiceError};
