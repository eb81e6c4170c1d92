//! The carrier's switches on the command line. Without any of them it behaves as documented.

use clap::Args;
use testkit::carrier::{
    Branch, Coding, ConnectApplet, Delivery, Fault, Human, MarksAfterClear, MediaFormat, Options, OversizePolicy,
    RequestShape, StatusCallback, StreamAs,
};

/// How the carrier is to behave.
#[derive(Args)]
pub(super) struct Switches {
    #[command(flatten)]
    asking: Asking,
    #[command(flatten)]
    media: Media,
    #[command(flatten)]
    after: After,
}

/// Before the media.
#[derive(Args)]
#[command(next_help_heading = "How the carrier asks and connects")]
struct Asking {
    /// Who calls, as Indian webhooks write it.
    #[arg(long, default_value = "09876543210")]
    caller_number: String,
    /// The captured request to repeat at the dynamic URL: 2024-09, 2025-01, 2026-08.
    #[arg(long, default_value = "2026-08")]
    shape: RequestShape,
    /// The call was ordered over the carrier's API: Direction=outbound-dial.
    #[arg(long)]
    outgoing: bool,
    /// Its own data, as CustomField.
    #[arg(long)]
    custom_field: Option<String>,
    /// The result of an earlier applet, as the parameter passthru.
    #[arg(long)]
    passthru_field: Option<String>,
    /// Handshakes tried.
    #[arg(long, default_value_t = 2)]
    tries: u32,
    /// Milliseconds the server has for a handshake.
    #[arg(long, default_value_t = 10_000)]
    handshake_ms: u64,
    /// Ask the dynamic URL again before the second handshake.
    #[arg(long)]
    ask_again: bool,
    /// The account has all the streams it may have: the media socket is never opened.
    #[arg(long)]
    throttled: bool,
    /// Lose the query of the media socket's URL.
    #[arg(long)]
    strip_query: bool,
    /// Make the call's ids from this number, so that a run can be repeated.
    #[arg(long)]
    seed: Option<u64>,
}

/// On the media socket.
#[derive(Args)]
#[command(next_help_heading = "The media socket")]
struct Media {
    /// Numbers for sequence_number, chunk and timestamp instead of text.
    #[arg(long)]
    numeric_ids: bool,
    /// streamSid, callSid and so on.
    #[arg(long)]
    camel_case: bool,
    /// protocol and version in the connected message.
    #[arg(long)]
    connected_details: bool,
    /// What the start message calls the audio: base64, raw, audio/x-raw, raw/slin. It is always 16-bit samples.
    #[arg(long, default_value = "base64")]
    encoding: String,
    /// What it says of the bit rate: 128kbps, 128, 16.
    #[arg(long, default_value = "128kbps")]
    bit_rate: String,
    /// What follows the digits of its sample rate: nothing, or Hz.
    #[arg(long, default_value = "")]
    rate_suffix: String,
    /// A name to leave out of every message, such as reason or media_format; may be given more than once.
    #[arg(long, value_name = "NAME")]
    omit: Vec<String>,
    /// Marks whose audio is cleared: echo, drop.
    #[arg(long, default_value = "echo")]
    marks_after_clear: MarksAfterClear,
    /// What a media message of more than 100000 bytes leads to: ignore, close, drop.
    #[arg(long, default_value = "ignore")]
    oversize: OversizePolicy,
    /// The far end's jitter buffer, in milliseconds.
    #[arg(long, default_value_t = 100)]
    prebuffer_ms: u64,
    /// What goes wrong: no-start, silent, never-close, freeze:MS, stop-reading:MS, garbage:MS:COUNT, unknown:MS:COUNT,
    /// oversized:MS, odd:MS, clear:MS, second-start:MS, stopped:MS, close:MS, drop:MS. May be given more than once.
    #[arg(long, value_name = "FAULT")]
    fault: Vec<Fault>,
}

/// Behind the media.
#[derive(Args)]
#[command(next_help_heading = "What follows on the media")]
struct After {
    /// The Passthru behind the Voicebot; with --dynamic-url.
    #[arg(long)]
    passthru_url: Option<String>,
    /// How it carries what became of the stream: escaped, plain, json.
    #[arg(long, default_value = "escaped")]
    stream_as: StreamAs,
    /// Where the Voicebot's recording is said to be.
    #[arg(long)]
    recording_url: Option<String>,
    /// The dynamic URL of a Connect applet behind it.
    #[arg(long)]
    connect_url: Option<String>,
    /// The Passthru's answer that leads there: always, 200, 302.
    #[arg(long, default_value = "always")]
    connect_on: Branch,
    /// What the person does who is dialled: answers, busy, no-answer, fails.
    #[arg(long, default_value = "answers")]
    human: Human,
    /// The Passthru behind the Connect applet.
    #[arg(long)]
    connect_passthru_url: Option<String>,
    /// Post a terminal status callback here, as for calls ordered over the API.
    #[arg(long)]
    status_callback: Option<String>,
    /// Its coding: multipart, urlencoded, json.
    #[arg(long, default_value = "multipart")]
    coding: Coding,
    /// Four fields only.
    #[arg(long)]
    thin: bool,
    /// How often it is told, although it was taken.
    #[arg(long, default_value_t = 1)]
    copies: u32,
    /// What is left of the minutes between its retries; 1 is real time.
    #[arg(long, default_value_t = 0.001)]
    retry_scale: f64,
}

/// A callback to be told after the call.
pub(super) struct Callback {
    /// To whom.
    pub url: String,
    /// In which coding.
    pub coding: Coding,
    /// All fields, or four.
    pub thin: bool,
    /// How.
    pub delivery: Delivery,
}

impl Callback {
    /// What it says of a call that ended so.
    pub(super) fn of(&self, call_id: &str, connected: bool, duration_ms: u64) -> StatusCallback {
        let status = if connected { "completed" } else { "failed" };
        let mut callback = if self.thin {
            StatusCallback::thin(call_id, status)
        } else {
            StatusCallback::full(call_id, "terminal", status)
        };
        callback.duration_s = duration_ms.div_ceil(1_000).try_into().unwrap_or(u32::MAX);
        callback
    }
}

impl Switches {
    /// The Passthru behind the Voicebot.
    pub(super) fn passthru_url(&self) -> Option<String> {
        self.after.passthru_url.clone()
    }

    /// The callback after the call.
    pub(super) fn callback(&self) -> Option<Callback> {
        let after = &self.after;
        let delivery = Delivery { copies: after.copies, time_scale: after.retry_scale, ..Delivery::default() };
        let url = after.status_callback.clone()?;
        Some(Callback { url, coding: after.coding, thin: after.thin, delivery })
    }

    /// Sets everything.
    pub(super) fn apply(self, options: &mut Options) {
        let Self { asking, media, after } = self;
        options.caller_number = asking.caller_number;
        options.request_shape = asking.shape;
        options.outgoing = asking.outgoing;
        options.custom_field = asking.custom_field;
        options.passthru_field = asking.passthru_field;
        options.handshake_tries = asking.tries;
        options.handshake_timeout = std::time::Duration::from_millis(asking.handshake_ms);
        options.ask_again = asking.ask_again;
        options.throttled = asking.throttled;
        options.strip_query = asking.strip_query;
        options.seed = asking.seed;
        options.numeric_ids = media.numeric_ids;
        options.camel_case = media.camel_case;
        options.connected_details = media.connected_details;
        options.media_format =
            MediaFormat { encoding: media.encoding, bit_rate: media.bit_rate, rate_suffix: media.rate_suffix };
        options.omitted = media.omit;
        options.marks_after_clear = media.marks_after_clear;
        options.oversize = media.oversize;
        options.prebuffer_ms = media.prebuffer_ms;
        options.faults = media.fault;
        options.stream_as = after.stream_as;
        options.stream_recording_url = after.recording_url;
        let (passthru_url, branch, humans) = (after.connect_passthru_url, after.connect_on, vec![after.human]);
        options.connect =
            after.connect_url.map(|url| ConnectApplet { passthru_url, branch, humans, ..ConnectApplet::new(url) });
    }
}
