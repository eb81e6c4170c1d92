//! The nouns everyone shares: typed ids, the call and its turns, agents, limits.
//!
//! Architecture Invariant: this crate does no I/O, reads no clock and draws no randomness. Ids and times are made at
//! the edges and handed in.

mod agent;
mod call;
mod id;
mod phone;
mod time;

pub mod limits;

pub use agent::{Agent, AgentConfig, Brain, LanguageModelConfig, SpeechConfig, ToolConfig, TurnTaking};
pub use call::{
    Blame, CallDirection, CallStatus, CarrierKind, EndedReason, Latency, RecordingStatus, TranscriptTurn, TurnRole,
};
pub use id::{AgentId, CallId, JobId, OrganisationId, PhoneNumberId, RecordingId, TenantId, TurnId};
pub use phone::{E164, PhoneError};
pub use time::CallTime;
