//! Limits that more than one room must agree on. Limits of one room stand in that room.

/// Longest name of an organisation, agent or number, in characters.
pub const NAME_CHARS_MAX: usize = 120;
/// Longest text of one turn that is kept, in bytes. A caller speaks about 15 bytes a second; an hour in one breath is
/// no turn.
pub const TURN_TEXT_BYTES_MAX: usize = 16 * 1024;
/// Most turns kept for one call: one a second for the longest call a carrier allows (4 h) is 14 400; a quarter of that
/// is already no conversation.
pub const TURNS_PER_CALL_MAX: u32 = 4_000;
/// Longest call, the carrier's own limit (Exotel `TimeLimit`).
pub const CALL_DURATION_S_MAX: u64 = 14_400;
/// Largest agent configuration as JSON, flow included, in bytes.
pub const AGENT_CONFIG_BYTES_MAX: usize = 256 * 1024;
/// A stream token must be used within this time after the webhook that issued it. Exotel opens the socket within its
/// 10 s handshake budget and tries once more.
pub const STREAM_TOKEN_TTL_S: i64 = 60;
/// The same for a call that is being placed, from when its order leaves: the telephone rings for 60 s at most, the carrier
/// may let the order wait, and some.
pub const OUTGOING_STREAM_TOKEN_TTL_S: i64 = 180;
/// A decision to hand a caller to a person is acted on within this time: the carrier asks a second after the media has
/// ended. Later, the call is back in the carrier's flow for some other reason.
pub const TRANSFER_HOLDS_S: u32 = 120;
/// The telephone of the person that a caller is handed to rings so long: seven or eight times.
pub const TRANSFER_RINGING_S: u32 = 45;
/// The conversation with that person may take so long: Exotel's own default.
pub const TRANSFER_CONVERSATION_S: u32 = 3_600;
