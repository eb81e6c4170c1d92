//! What can be made to go wrong.

use std::sync::Mutex;

/// How a chat request goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChatFault {
    /// Refused with this status and the vendor's body for it.
    Status(u16),
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
}

#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub(crate) chat: FaultLine<ChatFault>,
    pub(crate) speech: FaultLine<SpeechFault>,
    pub(crate) listen: FaultLine<ListenFault>,
}
