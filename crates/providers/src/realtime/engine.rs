//! What a vendor adds to the line of a call: its messages, and how the conversation is kept there. Pure: times are passed
//! in, and everything to be done comes out as [`Out`].

use crate::language_model::{Prompt, ToolCall, ToolSpec, Usage};
use crate::live::{Address, Frame};
use crate::{Error, ErrorKind};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

/// What is asked of the model.
#[derive(Clone, Debug)]
pub(super) enum Ask {
    /// The next answer.
    Think(Box<Prompt>),
    /// These words, and no others.
    Say(String),
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Out {
    /// To be sent.
    Send(Message),
    /// The caller's words so far.
    Partial(String),
    /// The answer to a request for text.
    Final { work: u64, text: String },
    /// A request for text failed.
    Failed { work: u64, error: Error },
    /// Sound of an answer.
    Audio { id: u64, pcm: Vec<i16>, rate_hz: u32 },
    /// Words of an answer.
    Text { id: u64, text: String },
    /// A function that an answer asks for.
    Tool { id: u64, call: ToolCall },
    /// What an answer cost.
    Usage { id: u64, usage: Usage },
    /// An answer is complete.
    Done { id: u64 },
    /// An answer went wrong.
    Fail { id: u64, error: Error },
    /// The connection must be replaced by a new one, on which everything goes on.
    Reopen,
}

/// See the module.
pub(super) trait Engine: Send + 'static {
    /// The vendor's name.
    fn name(&self) -> &'static str;
    /// Where to connect.
    fn address(&self) -> Result<Address, Error>;
    /// Rate of the caller's audio that is sent.
    fn rate_hz(&self) -> u32;
    /// What the model is told about its job and can ask for, known before the connection is made.
    fn prepare(&mut self, system: String, tools: Vec<ToolSpec>);
    /// The language the caller is expected to speak.
    fn language(&mut self, tag: &str);

    /// A new connection: what is sent first. Nothing of what the vendor held before is there.
    fn begin(&mut self, out: &mut Vec<Out>);
    /// The connection is set up; until then nothing else is called but `heard`.
    fn is_ready(&self) -> bool;
    /// The connection is set up: the caller's audio without text is sent again, the text still wanted is asked for.
    fn resume(&mut self, out: &mut Vec<Out>);

    /// The caller's audio.
    fn audio(&mut self, pcm: Vec<i16>, out: &mut Vec<Out>);
    /// The text of the utterance is wanted, at the latest at `due`.
    fn finalize(&mut self, work: u64, now: Instant, due: Instant, out: &mut Vec<Out>);
    /// The utterance is over.
    fn discard(&mut self, out: &mut Vec<Out>);
    /// Something is asked of the model, under this number.
    fn ask(&mut self, id: u64, ask: &Ask, out: &mut Vec<Out>);
    /// It is not wanted any more.
    fn cancel(&mut self, id: u64, out: &mut Vec<Out>);
    /// A message of the vendor. An error ends the connection.
    fn heard(&mut self, frame: &Frame, now: Instant, out: &mut Vec<Out>) -> Result<(), Error>;
    /// When `overdue` has something to do.
    fn next_due(&self) -> Option<Instant>;
    /// Answers requests for text that have waited long enough.
    fn overdue(&mut self, now: Instant, out: &mut Vec<Out>);
    /// The requests for text without an answer; they are void then.
    fn give_up(&mut self) -> Vec<u64>;
}

/// What the vendor's own word for an error means.
pub(super) fn kind_of(kind: &str, code: &str) -> ErrorKind {
    let says = |word: &str| kind == word || code == word;
    if says("authentication_error") || says("invalid_api_key") || says("permission_error") {
        ErrorKind::Unauthorized
    } else if ["rate_limit_exceeded", "rate_limit_error", "insufficient_quota", "tokens", "requests"]
        .into_iter()
        .any(says)
    {
        ErrorKind::Overloaded
    } else if says("invalid_request_error") && code != "session_expired" {
        ErrorKind::Rejected
    } else {
        ErrorKind::Unavailable
    }
}
