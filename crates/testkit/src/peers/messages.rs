//! The media socket's messages, as each carrier writes them.

use super::observation::RATE_HZ;
use super::{Ids, PeerKind, PeerOptions, mulaw, unix_ms};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// Writes messages and counts them.
pub(super) struct Messages<'a> {
    kind: PeerKind,
    options: &'a PeerOptions,
    ids: &'a Ids,
    sequence: u64,
    chunk: u64,
}

impl<'a> Messages<'a> {
    pub(super) const fn new(kind: PeerKind, options: &'a PeerOptions, ids: &'a Ids) -> Self {
        Self { kind, options, ids, sequence: 0, chunk: 0 }
    }

    /// The first message, where there is one.
    pub(super) fn connected(&self) -> Option<String> {
        match self.kind {
            PeerKind::Twilio => Some(json!({"event": "connected", "protocol": "Call", "version": "1.0.0"}).to_string()),
            PeerKind::Plivo | PeerKind::Vobiz => None,
            PeerKind::Smartflo => Some(json!({"event": "connected"}).to_string()),
        }
    }

    /// An event with its number and its stream.
    fn event(&mut self, event: &str, name: &str, content: Value) -> String {
        self.sequence += 1;
        let mut message = match self.kind {
            PeerKind::Twilio | PeerKind::Smartflo => {
                json!({"event": event, "sequenceNumber": self.sequence.to_string(), "streamSid": self.ids.stream_id})
            }
            // Counted from 0.
            PeerKind::Plivo | PeerKind::Vobiz => {
                json!({"event": event, "sequenceNumber": self.sequence - 1, "streamId": self.ids.stream_id,
                    "extra_headers": "{}"})
            }
        };
        message[name] = content;
        message.to_string()
    }

    pub(super) fn start(&mut self, parameters: &[(String, String)]) -> String {
        let Ids { call_id, stream_id, account_id } = self.ids;
        let custom: Map<String, Value> =
            parameters.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
        let format = json!({"encoding": "audio/x-mulaw", "sampleRate": RATE_HZ});
        let start = match self.kind {
            PeerKind::Twilio => json!({"accountSid": account_id, "streamSid": stream_id, "callSid": call_id,
                "tracks": ["inbound"], "customParameters": custom,
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": RATE_HZ, "channels": 1}}),
            PeerKind::Plivo | PeerKind::Vobiz => json!({"callId": call_id, "streamId": stream_id,
                "accountId": account_id, "tracks": ["inbound"], "mediaFormat": format}),
            PeerKind::Smartflo => json!({"accountSid": account_id, "streamSid": stream_id, "callSid": call_id,
                "from": self.options.caller_number, "to": self.options.called_number, "direction": "inbound",
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": RATE_HZ, "bitRate": 64, "bitDepth": 8},
                "customParameters": custom}),
        };
        self.event("start", "start", start)
    }

    pub(super) fn media(&mut self, pcm: &[i16], at_ms: u64) -> String {
        self.chunk += 1;
        let payload = STANDARD.encode(pcm.iter().map(|sample| mulaw::encode(*sample)).collect::<Vec<_>>());
        let media = match self.kind {
            PeerKind::Twilio => json!({"track": "inbound", "chunk": self.chunk.to_string(),
                "timestamp": at_ms.to_string(), "payload": payload}),
            PeerKind::Plivo | PeerKind::Vobiz => json!({"track": "inbound", "chunk": self.chunk,
                "timestamp": unix_ms().to_string(), "payload": payload}),
            PeerKind::Smartflo => json!({"chunk": self.chunk.to_string(), "timestamp": at_ms.to_string(),
                "payload": payload}),
        };
        self.event("media", "media", media)
    }

    pub(super) fn dtmf(&mut self, digit: char) -> String {
        let dtmf = match self.kind {
            PeerKind::Twilio => json!({"track": "inbound_track", "digit": digit.to_string()}),
            PeerKind::Plivo | PeerKind::Vobiz => json!({"track": "inbound", "digit": digit.to_string()}),
            PeerKind::Smartflo => json!({"digit": digit.to_string()}),
        };
        self.event("dtmf", "dtmf", dtmf)
    }

    /// A mark was reached.
    pub(super) fn mark(&mut self, name: &str) -> String {
        match self.kind {
            PeerKind::Twilio | PeerKind::Smartflo => self.event("mark", "mark", json!({"name": name})),
            PeerKind::Plivo | PeerKind::Vobiz => self.event("playedStream", "name", name.into()),
        }
    }

    /// A clear was carried out, where that is said.
    pub(super) fn cleared(&mut self) -> Option<String> {
        match self.kind {
            PeerKind::Twilio | PeerKind::Smartflo => None,
            PeerKind::Plivo | PeerKind::Vobiz => Some(self.event("clearedAudio", "cleared", true.into())),
        }
    }

    /// The last message, where there is one.
    pub(super) fn stop(&mut self) -> Option<String> {
        let Ids { call_id, account_id, .. } = self.ids;
        match self.kind {
            PeerKind::Twilio => {
                let stop = json!({"accountSid": account_id, "callSid": call_id});
                Some(self.event("stop", "stop", stop))
            }
            PeerKind::Plivo | PeerKind::Vobiz => None,
            PeerKind::Smartflo => {
                let stop = json!({"accountSid": account_id, "callSid": call_id, "reason": "callended"});
                Some(self.event("stop", "stop", stop))
            }
        }
    }
}
