//! A fake Exotel: it announces a call by webhook, opens the media socket, streams the caller in real time, plays what
//! the agent sends as a telephone would, and reports the end. Everything both sides did is measured and handed back.
//!
//! It shares no code with the crates under test: messages, signatures and frame rules are written here a second time,
//! from the same sources as `wire::exotel`.

mod announce;
mod observation;
mod playback;
mod reports;
mod session;

pub use announce::AnnounceError;
pub use observation::{CallObservation, Closed, Event, EventKind, Gap, MarkSeen, Received};
pub use playback::Playback;
pub use reports::{Coding, Passthru, StatusCallback, StreamAs};

use secrecy::SecretString;
use std::time::{Duration, Instant};

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

/// What happens to marks whose audio is dropped by a clear. Exotel does not say; another carrier gives them back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MarksAfterClear {
    /// They come back at once.
    #[default]
    Echo,
    /// They never come back.
    Drop,
}

/// Something the carrier does wrong. Times are on the call's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// After `connected` nothing follows.
    NoStart,
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
    /// One media message of a megabyte.
    OversizedFrame {
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
    /// Tell the server when the call is over.
    pub report_end: bool,
    /// How a Passthru carries what became of the stream.
    pub stream_as: StreamAs,
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
    /// Numbers for `sequence_number`, `chunk`, `timestamp` instead of strings.
    pub numeric_ids: bool,
    /// What a clear does to pending marks.
    pub marks_after_clear: MarksAfterClear,
    /// Query parameters of the socket's URL get lost.
    pub strip_query: bool,
    /// Playback starts this long after the first audio of a reply arrived: the jitter buffer of the far end.
    pub prebuffer_ms: u64,
    /// The caller hangs up after this, whatever happens.
    pub call_max: Duration,
    /// What goes wrong.
    pub faults: Vec<Fault>,
}

impl Options {
    /// A well-behaved carrier at its documented defaults.
    #[must_use]
    pub fn new(base_url: impl Into<String>, announce: Announce) -> Self {
        Self {
            base_url: base_url.into(),
            announce,
            report_end: true,
            stream_as: StreamAs::default(),
            account_id: "exotelaccount".to_owned(),
            caller_number: "09876543210".to_owned(),
            called_number: "08047491899".to_owned(),
            frame_ms: 100,
            sample_rate_hz: 8_000,
            numeric_ids: false,
            marks_after_clear: MarksAfterClear::default(),
            strip_query: false,
            prebuffer_ms: 100,
            call_max: Duration::from_secs(300),
            faults: Vec::new(),
        }
    }
}

/// What the person on the phone does with the time of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerAction {
    /// Stay on the line.
    Stay,
    /// Press a key: `0`–`9`, `*`, `#`.
    Press(char),
    /// Hang up.
    HangUp,
}

/// The person on the phone.
pub trait CallerSide: Send {
    /// Fills `frame` (empty when called) with `samples` samples, said from `now_ms` on; `agent_dbfs` is how loud the
    /// agent has been at the caller's ear during the frame before.
    fn next_frame(&mut self, now_ms: u64, agent_dbfs: f32, samples: usize, frame: &mut Vec<i16>) -> CallerAction;
}

/// A caller who plays a recording, then is silent, then hangs up.
#[derive(Clone, Debug, Default)]
pub struct RecordedCaller {
    /// What is played from the start, at the call's rate.
    pub pcm: Vec<i16>,
    /// When the caller hangs up.
    pub hang_up_at_ms: u64,
    /// Keys, each pressed at its time.
    pub keys: Vec<(u64, char)>,
    position: usize,
}

impl RecordedCaller {
    /// A caller saying `pcm`.
    #[must_use]
    pub fn new(pcm: Vec<i16>, hang_up_at_ms: u64) -> Self {
        Self { pcm, hang_up_at_ms, keys: Vec::new(), position: 0 }
    }
}

impl CallerSide for RecordedCaller {
    fn next_frame(&mut self, now_ms: u64, _: f32, samples: usize, frame: &mut Vec<i16>) -> CallerAction {
        let rest = &self.pcm[self.position.min(self.pcm.len())..];
        frame.extend_from_slice(&rest[..samples.min(rest.len())]);
        frame.resize(samples, 0);
        self.position += samples;
        if now_ms >= self.hang_up_at_ms {
            return CallerAction::HangUp;
        }
        match self.keys.iter().position(|(at_ms, _)| *at_ms <= now_ms) {
            Some(i) => CallerAction::Press(self.keys.remove(i).1),
            None => CallerAction::Stay,
        }
    }
}

/// The carrier.
#[derive(Clone, Debug)]
pub struct FakeExotel {
    http: reqwest::Client,
    /// Its behaviour.
    pub options: Options,
}

impl FakeExotel {
    /// A carrier with these options.
    #[must_use]
    pub fn new(options: Options) -> Self {
        // Whoever came first has installed the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .timeout(announce::HTTP_TIMEOUT)
            .build()
            .expect("a client without files or environment builds");
        Self { http, options }
    }

    /// Places one call and stays until it is over. Faults of the server are in the observation, not errors.
    ///
    /// # Errors
    /// [`AnnounceError`] when the call was refused at the webhook, so that there was no call.
    pub async fn place_call(&self, caller: &mut dyn CallerSide) -> Result<CallObservation, AnnounceError> {
        let ids = announce::CallIds::fresh();
        let asked = Instant::now();
        let url = announce::ask(&self.http, &self.options, &ids).await?;
        let announce_ms = asked.elapsed().as_millis() as u64;
        let mut observation = Box::pin(session::run(&self.options, &ids, &url, caller)).await;
        observation.announce_ms = announce_ms;
        if self.options.report_end {
            observation.end_report = announce::report_end(&self.http, &self.options, &ids, &observation).await;
        }
        Ok(observation)
    }
}

/// Root mean square in dB below full scale; -120 for silence.
#[must_use]
pub fn rms_dbfs(pcm: &[i16]) -> f32 {
    if pcm.is_empty() {
        return SILENCE_DBFS;
    }
    let power = pcm.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / pcm.len() as f64;
    ((power.sqrt() / 32_768.0).log10() as f32 * 20.0).max(SILENCE_DBFS)
}

/// The level of digital silence.
pub const SILENCE_DBFS: f32 = -120.0;
/// Louder than this is speech, for measurements.
pub const LOUD_DBFS: f32 = -45.0;
