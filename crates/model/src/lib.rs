//! The nouns everyone shares: typed ids, the call and its turns, agents, limits.
//!
//! Architecture Invariant: this crate does no I/O, reads no clock and draws no randomness. Ids and times are made at
//! the edges and handed in.

mod access;
mod agent;
mod audit;
mod call;
mod document;
mod email;
mod event;
mod id;
mod mail;
mod phone;
mod time;
mod usage;
mod words;

pub mod limits;

pub use access::{Role, Scope};
pub use agent::{
    Agent, AgentConfig, Ambience, AmbienceSound, Analysis, Brain, CollectDtmfTool, Disposition, EndCallTool, EndOfTurn,
    HttpMethod, HttpTool, Knowledge, LanguageModelConfig, Lookup, McpServer, ModelChoice, ModelProtocol, SendDtmfTool,
    Silence, SpeakerChoice, SpeechConfig, SpeechModelConfig, SpeechModelVendor, ToolConfig, TranscriberChoice,
    TransferDestination, TransferTool, TurnTaking, Voicemail, VoicemailTool,
};
pub use audit::{AuditKind, Severity};
pub use call::{
    Blame, CallDirection, CallStatus, CarrierKind, EndedReason, Latency, RecordingSource, RecordingStatus,
    TranscriptTurn, TurnRole,
};
pub use document::DocumentState;
pub use email::{EmailAddress, EmailError};
pub use event::{DeliveryState, EventKind};
pub use id::{
    AgentId, ApiKeyId, CallId, CarrierAccountId, DeliveryId, DocumentId, InvitationId, JobId, OrganisationId,
    PhoneNumberId, ProviderKeyId, RecordingId, SessionId, TenantId, TurnId, UserId, WebhookEndpointId,
};
pub use mail::{Mail, MailKind, SecretText};
pub use phone::{E164, PhoneError};
pub use time::CallTime;
pub use usage::{CallCounts, CallUsage, Stage, USAGE_LINES_MAX, UsageLine};
