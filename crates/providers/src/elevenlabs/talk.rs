//! One connection to ElevenLabs: its contexts, their words, and its errors put into ours.

use super::NAME;
use crate::live::{Frame, Vendor};
use crate::speaker::SpeakRequest;
use crate::speech_socket::{Cancelled, Event, Talk, context_name, context_number, told};
use crate::{Error, ErrorKind};
use std::collections::BTreeMap;
use tokio_tungstenite::tungstenite::Message;
use wire::elevenlabs::{
    CLOSE_SOCKET, ContextWords, Output, ServerError, ServerMessage, VoiceSettings, begin_context, close_context,
    send_text,
};

pub(super) static VENDOR: Vendor = Vendor { name: NAME, refusal, closed };

fn refusal(body: &[u8]) -> String {
    ServerError::parse(body).code
}

/// They close with 1008 for most reasons; the sentence says which.
fn closed(code: u16, reason: &str) -> ErrorKind {
    let reason = reason.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    match code {
        1008 if says(&["api key", "api_key", "authoriz", "authentic", "permission"]) => ErrorKind::Unauthorized,
        1008 if says(&["simultaneous", "concurrent", "busy", "too many", "rate limit"]) => ErrorKind::Overloaded,
        1008 if says(&["timeout", "not received"]) => ErrorKind::Unavailable,
        1003 | 1007..=1009 => ErrorKind::Rejected,
        _ => ErrorKind::Unavailable,
    }
}

/// The codes are in elevenlabs.io/docs/resources/errors and in what clients report.
pub(super) fn kind_of_code(code: &str) -> ErrorKind {
    match code {
        "invalid_api_key"
        | "missing_api_key"
        | "missing_permissions"
        | "needs_authorization"
        | "unauthorized"
        | "authentication_error"
        | "authorization_error" => ErrorKind::Unauthorized,
        "max_active_conversations"
        | "too_many_concurrent_requests"
        | "concurrent_limit_exceeded"
        | "system_busy"
        | "rate_limit_exceeded"
        | "rate_limit_error" => ErrorKind::Overloaded,
        "input_timeout_exceeded"
        | "internal_error"
        | "internal_server_error"
        | "server_error"
        | "service_unavailable"
        | "" => ErrorKind::Unavailable,
        _ => ErrorKind::Rejected,
    }
}

struct Context {
    words: ContextWords,
    sample_rate_hz: u32,
    sound_bytes: usize,
}

pub(super) struct Contexts {
    settings: Option<VoiceSettings>,
    open: BTreeMap<u64, Context>,
}

impl Contexts {
    pub(super) const fn new(settings: Option<VoiceSettings>) -> Self {
        Self { settings, open: BTreeMap::new() }
    }

    fn output(&mut self, output: Output, events: &mut Vec<(u64, Event)>) {
        let Some(id) = output.context.as_deref().and_then(context_number) else { return };
        let Some(context) = self.open.get_mut(&id) else { return };
        let mut words = Vec::new();
        if let Some(alignment) = &output.alignment {
            let before_ms = context.sound_bytes as f64 * 500.0 / f64::from(context.sample_rate_hz);
            context.words.push(alignment, (!output.audio.is_empty()).then_some(before_ms), &mut words);
        }
        context.sound_bytes += output.audio.len();
        if output.is_final {
            words.extend(context.words.finish());
        }
        if !words.is_empty() {
            events.push((id, told(words)));
        }
        if !output.audio.is_empty() {
            events.push((id, Event::Sound(output.audio)));
        }
        if output.is_final {
            self.open.remove(&id);
            events.push((id, Event::End));
        }
    }
}

impl Talk for Contexts {
    fn begin(&mut self, id: u64, request: &SpeakRequest, out: &mut Vec<Message>) {
        let context = context_name(id);
        out.push(Message::text(begin_context(&context, self.settings.as_ref())));
        out.push(Message::text(send_text(&context, &request.text)));
        out.push(Message::text(close_context(&context)));
        let words = ContextWords::default();
        self.open.insert(id, Context { words, sample_rate_hz: request.sample_rate_hz, sound_bytes: 0 });
    }

    fn cancel(&mut self, _id: u64, _out: &mut Vec<Message>) -> Cancelled {
        // It is closed already; a message for it could open it anew.
        Cancelled::Ending
    }

    fn heard(&mut self, frame: Frame, events: &mut Vec<(u64, Event)>) -> Result<(), Error> {
        let text = match frame {
            Frame::Text(text) => text,
            Frame::Binary(_) => return Err(VENDOR.error(ErrorKind::Protocol, "sent bytes instead of text")),
            Frame::SignOfLife => return Ok(()),
        };
        match ServerMessage::parse(&text) {
            Ok(ServerMessage::Output(output)) => self.output(output, events),
            Ok(ServerMessage::Error(said)) => {
                let error = VENDOR.error(kind_of_code(&said.code), format!("error {}", said.code).trim_end());
                match said.context.as_deref().and_then(context_number) {
                    Some(id) => {
                        self.open.remove(&id);
                        events.push((id, Event::Failed(error)));
                    }
                    None => return Err(error),
                }
            }
            Ok(ServerMessage::Unknown) => {}
            Err(error) => return Err(VENDOR.error(ErrorKind::Protocol, "sent what is no message").caused_by(error)),
        }
        Ok(())
    }

    fn farewell(&self) -> Option<Message> {
        Some(Message::text(CLOSE_SOCKET))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_and_codes_have_their_kind() {
        for (code, reason, kind) in [
            (1008, "Invalid API key", ErrorKind::Unauthorized),
            (1008, "Maximum simultaneous contexts per WebSocket connection exceeded (5).", ErrorKind::Overloaded),
            (1008, "Have not received a new text input within the timeout of 20 seconds.", ErrorKind::Unavailable),
            (1008, "A voice with this id does not exist", ErrorKind::Rejected),
            (1009, "", ErrorKind::Rejected),
            (1000, "", ErrorKind::Unavailable),
            (1011, "", ErrorKind::Unavailable),
        ] {
            assert_eq!(closed(code, reason), kind, "{code} {reason}");
        }
        for (code, kind) in [
            ("invalid_api_key", ErrorKind::Unauthorized),
            ("max_active_conversations", ErrorKind::Overloaded),
            ("quota_exceeded", ErrorKind::Rejected),
            ("", ErrorKind::Unavailable),
        ] {
            assert_eq!(kind_of_code(code), kind, "{code}");
        }
    }
}
