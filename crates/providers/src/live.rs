//! What vendors over WebSockets have in common: the connection and its errors; for transcription a session that mends
//! it when it breaks, and sends the audio that has no final text yet again; for speech the cutting into chunks.
//!
//! To a transcription session a vendor adds a [`Dialect`]: its messages, and how what was said is put together from its
//! results.

mod replay;
mod session;
mod socket;
mod speech;

pub(crate) use replay::Replay;
pub(crate) use session::{Plan, Session};
pub(crate) use socket::{Address, Frame, Socket, Vendor};
pub(crate) use speech::SpeechCutter;

use crate::Error;
use crate::transcriber::Pcm;
use model::limits::TURN_TEXT_BYTES_MAX;
use std::time::Duration;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

/// A ping when nothing was heard for so long.
pub const PING_AFTER: Duration = Duration::from_secs(10);
/// Nothing heard for so long, not even the answer to the ping: the connection is dead.
pub const DEAD_AFTER: Duration = Duration::from_secs(20);
/// Audio kept to be sent again after a break, in seconds: what has no final text yet. Final text comes every 3 to 5 s.
pub const REPLAY_S: u32 = 10;
/// Tries to connect again after a break.
pub const RECONNECT_TRIES: u32 = 3;
/// Upper end of the wait before the first try; doubles each time. The caller may be speaking.
pub const RECONNECT_FIRST_WAIT: Duration = Duration::from_millis(200);
/// Breaks of one call that are mended. More is a vendor or a line that is down.
pub const RECONNECTS_PER_CALL_MAX: u32 = 20;
/// Longest wait until a message of ours is taken by the socket.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// Most audio in one message, in samples: 1 s at 16 kHz. Longer ones would keep the request for text waiting behind them.
pub const SEND_SAMPLES_MAX: usize = 16_000;

/// What a dialect has to say to the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Words so far.
    Partial(String),
    /// The answer to a request.
    Final { work: u64, text: String },
    /// A request without an answer, and without any sign that the audio was looked at.
    Silent { work: u64 },
    /// The vendor takes the caller for finished.
    EndOfUtterance { sure: bool },
    /// The vendor noticed the language, as a BCP 47 tag.
    Language(String),
}

/// One vendor's side of a session. Pure: times are passed in. Requests are answered exactly once, through `out`.
pub(crate) trait Dialect: Send + 'static {
    /// Samples as a message.
    fn audio_message(&self, pcm: &[i16]) -> Message;
    /// What is sent when text is wanted.
    fn finalize(&self) -> Message;
    /// What keeps a silent connection open.
    fn keep_alive(&self) -> Message;
    /// What is sent before the connection is closed.
    fn farewell(&self) -> Option<Message>;

    /// A message of the vendor. True = a sign that it looks at the audio. An error ends the connection.
    fn heard(&mut self, text: &str, now: Instant, out: &mut Vec<Answer>) -> Result<bool, Error>;

    /// Audio that was (or, while there is no connection, will be) sent.
    fn audio(&mut self, pcm: Pcm);
    /// The same, without speech: what came before it need not be sent again.
    fn silence(&mut self, pcm: Pcm);
    /// The audio so far is of no interest any more. Unanswered requests are void.
    fn discard(&mut self);
    /// The text is wanted, at the latest at `due`.
    fn request(&mut self, work: u64, now: Instant, due: Instant, out: &mut Vec<Answer>);
    /// When `overdue` has something to do.
    fn next_due(&self) -> Option<Instant>;
    /// Answers what has waited long enough with what is there. True = a request had no answer in time.
    fn overdue(&mut self, now: Instant, out: &mut Vec<Answer>) -> bool;
    /// The numbers of all requests without an answer; they are void then.
    fn give_up(&mut self) -> Vec<u64>;
    /// Is somebody waiting for text?
    fn is_wanted(&self) -> bool;
    /// A new connection: gives what has to be sent again, oldest first. Its time begins there.
    fn replay(&mut self) -> Vec<i16>;
}

/// Samples as 16 bit little-endian bytes.
pub(crate) fn pcm_bytes(pcm: &[i16]) -> Vec<u8> {
    pcm.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

/// Adds words with a space between, as far as there is room in a turn.
pub(crate) fn join(text: &mut String, more: &str) {
    let more = more.trim();
    if more.is_empty() || text.len() + more.len() >= TURN_TEXT_BYTES_MAX {
        return;
    }
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(more);
}
