//! Messages of Sarvam's sockets: one file each, whose name says what it is.

use crate::golden;
use wire::sarvam::{ListenMessage, SpeechMessage};

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn what_the_transcriber_says_is_read() {
    golden::check("sarvam/listen", 20, |_, bytes| match ListenMessage::parse(text(bytes)) {
        Ok(message) => format!("{message:#?}"),
        Err(error) => format!("refused: {error}"),
    });
}

#[test]
fn what_the_speaker_says_is_read() {
    golden::check("sarvam/speech", 9, |_, bytes| match SpeechMessage::parse(text(bytes)) {
        Ok(message) => format!("{message:?}"),
        Err(error) => format!("refused: {error}"),
    });
}
