//! The switches: everything in which one real call of this carrier has been seen, or is documented, to differ from the
//! next. The defaults are a well-behaved carrier as its documents describe it.

use super::flow::ConnectApplet;
use super::reports::StreamAs;
use secrecy::SecretString;
use std::time::Duration;

/// Exotel's budget for opening the media socket.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The first try of a handshake and the one that Exotel makes after it failed.
const HANDSHAKE_TRIES: u32 = 2;

/// How a call is announced.
#[derive(Clone, Debug)]
pub enum Announce {
    /// `POST {base_url}/webhooks/exotel/call-start`, JSON, signed with the secret in `x-exotel-signature`.
    Signed {
        /// The secret both sides know.
        secret: SecretString,
    },
    /// `POST` of the same body, with no signature or whatever this says: to see it refused.
    Forged {
        /// The header's value; none when absent.
        signature: Option<String>,
    },
    /// `GET` of a dynamic URL (with its unguessable token), as the Voicebot applet does; after the call `GET` of the
    /// Passthru URL, when there is one.
    DynamicUrl {
        /// The URL configured in the applet.
        url: String,
        /// The URL of the Passthru applet behind it.
        passthru_url: Option<String>,
    },
    /// No webhook: the socket's URL is known.
    Direct {
        /// `ws://` or `wss://`.
        url: String,
    },
}

/// Which captured request the dynamic URL is asked with. Each has twelve parameters, and not the same twelve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestShape {
    /// September 2024, incoming: `passthru` (what an earlier applet gathered), `To` equal to `CallTo`.
    September2024,
    /// January 2025, an outgoing call through a flow: `CustomField`, `Direction=outbound-dial`, `To` some other number.
    January2025,
    /// August 2026, incoming: `ServerCode`, `To` some other number.
    #[default]
    August2026,
}

/// What happens to marks whose audio is dropped by a clear. Exotel does not say; another carrier gives them back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MarksAfterClear {
    /// They come back at once.
    #[default]
    Echo,
    /// They never come back.
    Drop,
}

/// What a media message of more than 100 000 bytes leads to. It is never played, and always a violation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OversizePolicy {
    /// The call goes on.
    #[default]
    Ignore,
    /// The socket is closed with 1009.
    Close,
    /// The connection breaks.
    Drop,
}

/// What the start message says of the audio. It is always the same audio: 16-bit little-endian samples, one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaFormat {
    /// `base64`, `raw`, `audio/x-raw` and `raw/slin` have been seen.
    pub encoding: String,
    /// `128kbps`, `128` and `16` have been seen.
    pub bit_rate: String,
    /// What follows the digits of the sample rate: nothing, or `Hz`.
    pub rate_suffix: String,
}

impl MediaFormat {
    /// Every form that has been documented or seen.
    #[must_use]
    pub fn all() -> Vec<Self> {
        [("base64", "128kbps", ""), ("raw", "16", ""), ("audio/x-raw", "128", "Hz"), ("raw/slin", "128kbps", "Hz")]
            .into_iter()
            .map(|(encoding, bit_rate, rate_suffix)| Self {
                encoding: encoding.to_owned(),
                bit_rate: bit_rate.to_owned(),
                rate_suffix: rate_suffix.to_owned(),
            })
            .collect()
    }
}

impl Default for MediaFormat {
    fn default() -> Self {
        Self { encoding: "base64".to_owned(), bit_rate: "128kbps".to_owned(), rate_suffix: String::new() }
    }
}

/// Something the carrier does wrong, or at least unasked. Times are on the call's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// After `connected` nothing follows.
    NoStart,
    /// After `start` nothing follows: no media, no stop, an open socket.
    SilentAfterStart,
    /// From then on it neither sends nor reads, and the socket stays open.
    Freeze {
        /// From when.
        at_ms: u64,
    },
    /// It stops reading what the server sends, but goes on sending.
    StopReading {
        /// From when.
        at_ms: u64,
    },
    /// Frames that are no messages.
    GarbageFrames {
        /// When.
        at_ms: u64,
        /// How many, at once.
        count: u32,
    },
    /// Messages of kinds that are in no document.
    UnknownEvents {
        /// When.
        at_ms: u64,
        /// How many, at once.
        count: u32,
    },
    /// One media message of a megabyte.
    OversizedFrame {
        /// When.
        at_ms: u64,
    },
    /// One media message with half a sample at its end.
    OddFrame {
        /// When.
        at_ms: u64,
    },
    /// A `clear` from the carrier: "reset the bot's context".
    Clear {
        /// When.
        at_ms: u64,
    },
    /// After `stop` the socket stays open until the server closes it.
    NeverClose,
    /// The start message comes a second time.
    DuplicatedStart {
        /// When.
        at_ms: u64,
    },
    /// The flow ends the stream: `stop` with the reason `stopped`, then a close.
    StreamStopped {
        /// When.
        at_ms: u64,
    },
    /// A close with 1000, with no `stop` before it.
    CloseWithoutStop {
        /// When.
        at_ms: u64,
    },
    /// The connection breaks: no stop, no close.
    DropMidCall {
        /// When.
        at_ms: u64,
    },
}

/// How this carrier behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the server under test listens, `http://127.0.0.1:3000`.
    pub base_url: String,
    /// How calls are announced.
    pub announce: Announce,
    /// The shape of the announcement.
    pub request_shape: RequestShape,
    /// The result of an applet before the Voicebot, as the parameter `passthru` carries it.
    pub passthru_field: Option<String>,
    /// The call's own data, when it was ordered over the API: `CustomField`.
    pub custom_field: Option<String>,
    /// `Direction=outbound-dial`: the call was ordered over the API.
    pub outgoing: bool,
    /// Tell the server when the call is over.
    pub report_end: bool,
    /// How a Passthru carries what became of the stream.
    pub stream_as: StreamAs,
    /// The Voicebot applet records: its Passthru says where.
    pub stream_recording_url: Option<String>,
    /// The Connect applet behind the Voicebot.
    pub connect: Option<ConnectApplet>,
    /// The account has all the streams it may have: the socket is never opened.
    pub throttled: bool,
    /// How long the server has for the handshake.
    pub handshake_timeout: Duration,
    /// Handshakes tried, the first included.
    pub handshake_tries: u32,
    /// Ask the dynamic URL again before the second handshake.
    pub ask_again: bool,
    /// The account's name in the start message.
    pub account_id: String,
    /// Who calls, as Indian webhooks write it.
    pub caller_number: String,
    /// The number called.
    pub called_number: String,
    /// Length of the caller's frames: 100 as documented; 20 has been seen.
    pub frame_ms: u64,
    /// 8000, 16 000 or 24 000.
    pub sample_rate_hz: u32,
    /// What the start message says of the audio.
    pub media_format: MediaFormat,
    /// Numbers for `sequence_number`, `chunk`, `timestamp` instead of strings.
    pub numeric_ids: bool,
    /// `streamSid`, `callSid` and so on.
    pub camel_case: bool,
    /// `protocol` and `version` in the connected message.
    pub connected_details: bool,
    /// Names left out of every message, wherever they stand: `reason`, `media_format`, `sequence_number`, …
    pub omitted: Vec<String>,
    /// What a clear does to pending marks.
    pub marks_after_clear: MarksAfterClear,
    /// What a media message beyond the limit leads to.
    pub oversize: OversizePolicy,
    /// Query parameters of the socket's URL get lost.
    pub strip_query: bool,
    /// Playback starts this long after the first audio of a reply arrived: the jitter buffer of the far end.
    pub prebuffer_ms: u64,
    /// The caller hangs up after this, whatever happens.
    pub call_max: Duration,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// The ids of calls follow from this; without it they are random.
    pub seed: Option<u64>,
}

impl Options {
    /// A well-behaved carrier at its documented defaults.
    #[must_use]
    pub fn new(base_url: impl Into<String>, announce: Announce) -> Self {
        Self {
            base_url: base_url.into(),
            announce,
            request_shape: RequestShape::default(),
            passthru_field: None,
            custom_field: None,
            outgoing: false,
            report_end: true,
            stream_as: StreamAs::default(),
            stream_recording_url: None,
            connect: None,
            throttled: false,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            handshake_tries: HANDSHAKE_TRIES,
            ask_again: false,
            account_id: "exotelaccount".to_owned(),
            caller_number: "09876543210".to_owned(),
            called_number: "08047491899".to_owned(),
            frame_ms: 100,
            sample_rate_hz: 8_000,
            media_format: MediaFormat::default(),
            numeric_ids: false,
            camel_case: false,
            connected_details: false,
            omitted: Vec::new(),
            marks_after_clear: MarksAfterClear::default(),
            oversize: OversizePolicy::default(),
            strip_query: false,
            prebuffer_ms: 100,
            call_max: Duration::from_secs(300),
            faults: Vec::new(),
            seed: None,
        }
    }
}
