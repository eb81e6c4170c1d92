//! What the server sends, read as strictly as a carrier may.

use super::{Ids, PeerKind, mulaw};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Smartflo plays gaps when a frame is no multiple of this.
const SMARTFLO_MULTIPLE_BYTES: usize = 160;
/// More in one message is no telephone audio: 20 s.
const FRAME_BYTES_MAX: usize = 160_000;
/// What Smartflo waits after a frame off the grid.
const SHORT_FRAME_GAP_SAMPLES: usize = 160;

/// A message of the server's.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Audio(Vec<i16>),
    Mark(String),
    Clear,
}

/// Reads a text frame: what it means, and what is wrong with it.
pub(super) fn read(kind: PeerKind, ids: &Ids, text: &str) -> (Option<Heard>, Vec<String>) {
    let Ok(Value::Object(message)) = serde_json::from_str::<Value>(text) else {
        return (None, vec!["a frame that is no JSON object".to_owned()]);
    };
    let message = Value::Object(message);
    let mut wrong = Vec::new();
    let event = message["event"].as_str().unwrap_or_default();
    let id = match kind {
        PeerKind::Twilio | PeerKind::Smartflo => &message["streamSid"],
        PeerKind::Plivo | PeerKind::Vobiz => &message["streamId"],
    };
    // Plivo's playAudio may go without.
    let needs_id = event != "playAudio" || !id.is_null();
    if needs_id && id.as_str() != Some(ids.stream_id.as_str()) {
        wrong.push(format!("{event}: the id of another stream, or none"));
    }
    let heard = match (kind, event) {
        (PeerKind::Twilio | PeerKind::Smartflo, "media") | (PeerKind::Plivo | PeerKind::Vobiz, "playAudio") => {
            audio(kind, &message["media"], &mut wrong).map(Heard::Audio)
        }
        (PeerKind::Twilio | PeerKind::Smartflo, "mark") => mark(&message["mark"]["name"], &mut wrong),
        (PeerKind::Plivo | PeerKind::Vobiz, "checkpoint") => mark(&message["name"], &mut wrong),
        (PeerKind::Twilio | PeerKind::Smartflo, "clear") | (PeerKind::Plivo | PeerKind::Vobiz, "clearAudio") => {
            Some(Heard::Clear)
        }
        (_, other) => {
            wrong.push(format!("an event that {} does not know: {other:?}", kind.as_str()));
            None
        }
    };
    (heard, wrong)
}

fn mark(name: &Value, wrong: &mut Vec<String>) -> Option<Heard> {
    match name.as_str() {
        Some(name) if !name.is_empty() => Some(Heard::Mark(name.to_owned())),
        Some(_) | None => {
            wrong.push("a mark without a name".to_owned());
            None
        }
    }
}

fn audio(kind: PeerKind, media: &Value, wrong: &mut Vec<String>) -> Option<Vec<i16>> {
    match kind {
        PeerKind::Plivo | PeerKind::Vobiz => {
            let is_number = media["sampleRate"].as_u64() == Some(8_000) || media["sampleRate"].as_str() == Some("8000");
            if media["contentType"].as_str() != Some("audio/x-mulaw") || !is_number {
                wrong.push("audio that is not said to be μ-law at 8000 Hz".to_owned());
            }
        }
        PeerKind::Smartflo => {
            let chunk = &media["chunk"];
            if !chunk.is_u64() && chunk.as_str().is_none_or(|text| text.parse::<u64>().is_err()) {
                wrong.push("a chunk without its number".to_owned());
            }
        }
        PeerKind::Twilio => {}
    }
    let Some(bytes) = media["payload"].as_str().and_then(|payload| STANDARD.decode(payload).ok()) else {
        wrong.push("media without a payload in base64".to_owned());
        return None;
    };
    if bytes.is_empty() || bytes.len() > FRAME_BYTES_MAX {
        wrong.push(format!("a frame of {} bytes", bytes.len()));
        return None;
    }
    let mut pcm: Vec<i16> = bytes.iter().map(|code| mulaw::decode(*code)).collect();
    if kind == PeerKind::Smartflo && !bytes.len().is_multiple_of(SMARTFLO_MULTIPLE_BYTES) {
        wrong.push(format!("a frame of {} bytes, no multiple of {SMARTFLO_MULTIPLE_BYTES}", bytes.len()));
        pcm.resize(pcm.len() + SHORT_FRAME_GAP_SAMPLES, 0);
    }
    Some(pcm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_carrier_knows_its_own_words_only() {
        let payload = STANDARD.encode([0xff; 160]);
        let silence = || Some(Heard::Audio(vec![0; 160]));
        let ids = Ids { call_id: "c".to_owned(), stream_id: "s".to_owned(), account_id: "a".to_owned() };
        let twilio = format!(r#"{{"event":"media","streamSid":"s","media":{{"payload":"{payload}"}}}}"#);
        let plivo = format!(
            r#"{{"event":"playAudio","media":{{"contentType":"audio/x-mulaw","sampleRate":8000,"payload":"{payload}"}}}}"#
        );
        let smartflo = format!(r#"{{"event":"media","streamSid":"s","media":{{"chunk":"1","payload":"{payload}"}}}}"#);
        let short = STANDARD.encode([0xff; 100]);
        let cases: Vec<(PeerKind, String, Option<Heard>, usize)> = vec![
            (PeerKind::Twilio, twilio.clone(), silence(), 0),
            (PeerKind::Plivo, plivo.clone(), silence(), 0),
            (PeerKind::Vobiz, plivo.replace("8000", "16000"), silence(), 1),
            (PeerKind::Vobiz, plivo.replace("x-mulaw", "x-l16"), silence(), 1),
            (PeerKind::Smartflo, smartflo.clone(), silence(), 0),
            (PeerKind::Smartflo, twilio.clone(), silence(), 1),
            (PeerKind::Smartflo, smartflo.replace(&payload, &short), Some(Heard::Audio(vec![0; 260])), 1),
            (PeerKind::Twilio, plivo.clone(), None, 1),
            (PeerKind::Plivo, twilio.clone(), None, 2),
            (PeerKind::Twilio, twilio.replace("\"s\"", "\"t\""), silence(), 1),
            (PeerKind::Twilio, twilio.replace(&payload, ""), None, 1),
            (
                PeerKind::Twilio,
                r#"{"event":"mark","streamSid":"s","mark":{"name":"m"}}"#.to_owned(),
                Some(Heard::Mark("m".to_owned())),
                0,
            ),
            (
                PeerKind::Plivo,
                r#"{"event":"checkpoint","streamId":"s","name":"m"}"#.to_owned(),
                Some(Heard::Mark("m".to_owned())),
                0,
            ),
            (PeerKind::Plivo, r#"{"event":"checkpoint","name":"m"}"#.to_owned(), Some(Heard::Mark("m".to_owned())), 1),
            (PeerKind::Plivo, r#"{"event":"checkpoint","streamId":"s","mark":{"name":"m"}}"#.to_owned(), None, 1),
            (PeerKind::Twilio, r#"{"event":"clear","streamSid":"s"}"#.to_owned(), Some(Heard::Clear), 0),
            (PeerKind::Plivo, r#"{"event":"clearAudio","streamId":"s"}"#.to_owned(), Some(Heard::Clear), 0),
            (PeerKind::Plivo, r#"{"event":"clear","streamId":"s"}"#.to_owned(), None, 1),
            (PeerKind::Smartflo, "[]".to_owned(), None, 1),
        ];
        for (kind, text, want, faults) in cases {
            let (heard, wrong) = read(kind, &ids, &text);
            assert_eq!((heard, wrong.len()), (want, faults), "{kind:?} {text}: {wrong:?}");
        }
    }
}
