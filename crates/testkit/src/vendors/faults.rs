//! What can be made to go wrong.

use std::sync::Mutex;

/// How a request to a language model goes wrong, whichever its protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChatFault {
    /// Refused with this status and the vendor's body for it.
    Status(u16),
    /// No answer at all, not even a status.
    Hang,
    /// A page for people, with status 200.
    Html,
    /// The answer comes one byte at a time.
    Drip,
    /// Silence after so many tokens.
    StallAfter(usize),
    /// The connection breaks after so many tokens.
    CutAfter(usize),
    /// The body ends in order after so many tokens, without a reason or `[DONE]`.
    EndAfter(usize),
    /// Events that are not JSON after so many tokens.
    GarbageAfter(usize),
    /// An error event after so many tokens.
    ErrorAfter(usize),
    /// Tokens without end.
    Endless,
    /// The answer is complete, but neither counts nor the end of the body follow.
    NoEnd,
}

/// How a request for a transcription goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TranscriptionFault {
    /// Refused with this status and the vendor's body for it.
    Status(u16),
    /// No answer at all, not even a status.
    Hang,
    /// Silence in the middle of the body.
    Stall,
    /// The connection breaks in the middle of the body.
    Cut,
    /// The answer comes one byte at a time.
    Drip,
    /// JSON that ends in the middle.
    Malformed,
    /// A page for people, with status 200.
    Html,
    /// JSON without a text.
    NoText,
    /// A body without end.
    Endless,
}

/// How a speech request goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpeechFault {
    /// Refused with this status and the vendor's body for it.
    Status(u16),
    /// Silence after so many chunks.
    StallAfter(usize),
    /// The connection breaks after so many chunks.
    CutAfter(usize),
    /// WAV although raw samples were asked for, under a type that does not say so.
    Wav,
    /// MP3, and the type says so.
    Mp3,
    /// No sound at all.
    Empty,
}

/// How a transcription stream goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenFault {
    /// The handshake is refused with this status.
    Status(u16),
    /// Closed with this code once so much audio has come, in milliseconds.
    CloseAfter {
        /// Audio received.
        audio_ms: u64,
        /// Close code.
        code: u16,
    },
    /// Takes everything, answers nothing but pings.
    Mute,
    /// Answers everything but `Finalize`.
    IgnoreFinalize,
    /// Sends text that is not JSON, and kinds of messages nobody knows, before each result.
    Garbage,
}

/// How the way to a service goes wrong, whatever its protocol. See [`super::Way`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WayFault {
    /// Nobody listens, and what is open breaks.
    Refuse,
    /// Taken and read, and never answered; what is open falls silent.
    Silent,
    /// Silence after so many bytes of the answer's body.
    StallAfter(usize),
    /// The answer's body comes one byte a second.
    Drip,
    /// The connection breaks after so many bytes of the answer's body.
    CutAfter(usize),
    /// Refused with this status; 429 says to wait one second. What is open breaks.
    Status(u16),
    /// The greeting of another protocol. What is open breaks.
    Malformed,
}

/// A fault and how often it still happens.
#[derive(Debug)]
pub(crate) struct FaultLine<F>(Mutex<Option<(F, u32)>>);

impl<F> Default for FaultLine<F> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<F: Copy> FaultLine<F> {
    pub(crate) fn set(&self, fault: F, times: u32) {
        *self.0.lock().expect("no holder panics") = Some((fault, times));
    }

    pub(crate) fn take(&self) -> Option<F> {
        let mut line = self.0.lock().expect("no holder panics");
        let (fault, times) = line.as_mut().filter(|(_, times)| *times > 0)?;
        *times -= 1;
        Some(*fault)
    }

    /// The same, when the fault is one of these.
    pub(crate) fn take_if(&self, wanted: impl FnOnce(&F) -> bool) -> Option<F> {
        let mut line = self.0.lock().expect("no holder panics");
        let (fault, times) = line.as_mut().filter(|(fault, times)| *times > 0 && wanted(fault))?;
        *times -= 1;
        Some(*fault)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub(crate) chat: FaultLine<ChatFault>,
    pub(crate) messages: FaultLine<ChatFault>,
    pub(crate) transcription: FaultLine<TranscriptionFault>,
    pub(crate) speech: FaultLine<SpeechFault>,
    pub(crate) listen: FaultLine<ListenFault>,
    /// Of streams that are open.
    pub(crate) open_listen: FaultLine<ListenFault>,
}
