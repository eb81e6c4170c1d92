//! What the carrier says besides the caller's sound: announcements, the first and last messages of a call, marks; and
//! what it understands of the server's answers.

use super::frame::{Kind, Side, write};
use super::http::{find, post};
use super::script::{Format, Script};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use sha1::Sha1;
use std::net::SocketAddr;

const CALLER: &str = "+919876543210";
const ACCOUNT: &str = "benchacct";
/// A message's kind stands within its first bytes, its sound soon after; else it is looked for in all of it.
const EARLY_BYTES: usize = 256;

/// How a call comes to its media socket.
#[derive(Clone, Debug)]
pub enum Announce {
    /// Exotel's webhook, signed with this secret.
    Exotel {
        /// The secret.
        secret: SecretString,
    },
    /// Twilio's answer address of a number, signed with the account's token.
    Twilio {
        /// The unguessable part of the address.
        path_token: String,
        /// The account's token.
        auth_token: SecretString,
    },
    /// No webhook: straight to this path.
    Direct {
        /// Path of the media socket.
        path: String,
    },
}

/// Whom the callers call.
#[derive(Debug)]
pub struct Target {
    /// The server.
    pub server: SocketAddr,
    /// How its calls begin.
    pub announce: Announce,
    /// The number called, with country and plus.
    pub number: String,
    /// What callers say.
    pub script: Script,
    /// Silence before a call's first turn, in milliseconds.
    pub lead_ms: u64,
}

/// The ids of one call.
#[derive(Clone, Debug)]
pub(super) struct Ids {
    pub(super) call: String,
    pub(super) stream: String,
}

impl Ids {
    pub(super) fn of(number: u64, format: Format) -> Self {
        match format {
            // Exotel's end in what is no hexadecimal digit.
            Format::Exotel => Self { call: format!("{number:031x}p"), stream: format!("{number:032x}") },
            Format::Twilio => Self { call: format!("CA{number:032x}"), stream: format!("MZ{number:032x}") },
        }
    }
}

fn hmac(key: &SecretString, text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha1>::new_from_slice(key.expose_secret().as_bytes()).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn indian(at: DateTime<Utc>) -> String {
    (at + TimeDelta::minutes(330)).format("%Y-%m-%d %H:%M:%S").to_string()
}

/// The number as Exotel's webhooks write it: with a zero for the country.
fn national(number: &str) -> String {
    number.strip_prefix("+91").map_or_else(|| number.to_owned(), |rest| format!("0{rest}"))
}

impl Target {
    /// The request that announces a call; none when there is none.
    pub(super) fn announcement(&self, ids: &Ids, now: DateTime<Utc>) -> Option<Vec<u8>> {
        let (from, to) = (national(CALLER), national(&self.number));
        match &self.announce {
            Announce::Exotel { secret } => {
                let body = json!({"CallSid": ids.call, "CallFrom": from, "CallTo": to, "Direction": "incoming",
                    "Created": indian(now), "DialWhomNumber": "", "From": from, "To": to, "CurrentTime": indian(now)});
                Some(self.exotel("/webhooks/exotel/call-start", secret, &body.to_string(), now))
            }
            Announce::Twilio { path_token, auth_token } => {
                let path = format!("/webhooks/twilio/answer/{path_token}");
                Some(self.twilio(&path, auth_token, self.twilio_fields(ids, "ringing")))
            }
            Announce::Direct { .. } => None,
        }
    }

    /// The request that tells of a call's end, as the carrier's status callback does.
    pub(super) fn report(&self, ids: &Ids, duration_s: u64, now: DateTime<Utc>) -> Option<Vec<u8>> {
        match &self.announce {
            Announce::Exotel { secret } => {
                let began = now - TimeDelta::seconds(i64::try_from(duration_s).unwrap_or_default());
                let body = json!({"CallSid": ids.call, "CallFrom": national(CALLER), "CallTo": national(&self.number),
                    "Direction": "incoming", "CallStatus": "completed", "Status": "completed",
                    "Duration": duration_s.to_string(), "StartTime": indian(began), "EndTime": indian(now)});
                Some(self.exotel("/webhooks/exotel/call-end", secret, &body.to_string(), now))
            }
            Announce::Twilio { path_token, auth_token } => {
                let mut fields = self.twilio_fields(ids, "completed");
                fields.push(("CallDuration", duration_s.to_string()));
                Some(self.twilio(&format!("/webhooks/twilio/status/{path_token}"), auth_token, fields))
            }
            Announce::Direct { .. } => None,
        }
    }

    /// The path of a media socket that nobody is asked for.
    pub(super) fn direct_path(&self) -> String {
        match &self.announce {
            Announce::Direct { path } => path.clone(),
            Announce::Exotel { .. } | Announce::Twilio { .. } => "/".to_owned(),
        }
    }

    fn exotel(&self, path: &str, secret: &SecretString, body: &str, now: DateTime<Utc>) -> Vec<u8> {
        let signature: String = hmac(secret, body).iter().map(|byte| format!("{byte:02x}")).collect();
        let headers = [("x-exotel-timestamp", now.timestamp().to_string()), ("x-exotel-signature", signature)];
        post(&self.server.to_string(), path, "application/json", &headers, body)
    }

    fn twilio_fields(&self, ids: &Ids, status: &str) -> Vec<(&'static str, String)> {
        vec![
            ("CallSid", ids.call.clone()),
            ("AccountSid", ACCOUNT.to_owned()),
            ("Called", self.number.clone()),
            ("Caller", CALLER.to_owned()),
            ("From", CALLER.to_owned()),
            ("To", self.number.clone()),
            ("CallStatus", status.to_owned()),
            ("Direction", "inbound".to_owned()),
            ("ApiVersion", "2010-04-01".to_owned()),
        ]
    }

    /// twilio.com/docs/usage/security: the address, then every field by name.
    fn twilio(&self, path: &str, token: &SecretString, mut fields: Vec<(&'static str, String)>) -> Vec<u8> {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&fields).finish();
        fields.sort_unstable();
        let joined: String = fields.iter().flat_map(|(name, value)| [*name, value]).collect();
        let signature = STANDARD.encode(hmac(token, &format!("http://{}{path}{joined}", self.server)));
        let headers = [("x-twilio-signature", signature)];
        post(&self.server.to_string(), path, "application/x-www-form-urlencoded", &headers, &body)
    }

    /// Where an answer to the announcement sends the media: address and path.
    pub(super) fn media_address(&self, body: &[u8]) -> Option<(SocketAddr, String)> {
        let text = std::str::from_utf8(body).ok()?;
        let url = match self.script.format {
            Format::Exotel => serde_json::from_str::<serde_json::Value>(text).ok()?.get("url")?.as_str()?.to_owned(),
            Format::Twilio => {
                let (_, rest) = text.split_once("<Stream")?;
                let (_, rest) = rest.split_once("url=\"")?;
                rest.split_once('"')?.0.replace("&amp;", "&")
            }
        };
        let rest = url.strip_prefix("ws://")?;
        let (host, path) = rest.split_once('/')?;
        Some((host.parse().ok()?, format!("/{path}")))
    }

    /// The first two messages.
    pub(super) fn hello(&self, ids: &Ids, out: &mut Vec<u8>) {
        let Ids { call, stream } = ids;
        let (connected, start) = match self.script.format {
            Format::Exotel => (
                json!({"event": "connected"}),
                json!({"event": "start", "sequence_number": "1", "stream_sid": stream, "start": {
                    "stream_sid": stream, "call_sid": call, "account_sid": ACCOUNT, "from": CALLER, "to": self.number,
                    "custom_parameters": {},
                    "media_format": {"encoding": "base64", "sample_rate": "8000", "bit_rate": "128kbps"}}}),
            ),
            Format::Twilio => (
                json!({"event": "connected", "protocol": "Call", "version": "1.0.0"}),
                json!({"event": "start", "sequenceNumber": "1", "streamSid": stream, "start": {
                    "accountSid": ACCOUNT, "streamSid": stream, "callSid": call, "tracks": ["inbound"],
                    "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                    "customParameters": {}}}),
            ),
        };
        for message in [connected, start] {
            write(Side::Client, Kind::Text, message.to_string().as_bytes(), out);
        }
    }

    /// A mark was reached; `name` is the mark as it came, a JSON object.
    pub(super) fn mark(&self, stream: &str, name: &[u8], sequence: u64, out: &mut Vec<u8>) {
        let (sequence_name, stream_name) = self.names();
        let mut text = format!(r#"{{"event":"mark","{sequence_name}":"{sequence}","{stream_name}":"{stream}","mark":"#)
            .into_bytes();
        text.extend_from_slice(name);
        text.push(b'}');
        write(Side::Client, Kind::Text, &text, out);
    }

    /// The last messages: the caller has hung up, and the socket is closed.
    pub(super) fn goodbye(&self, ids: &Ids, sequence: u64, out: &mut Vec<u8>) {
        let (sequence_name, stream_name) = self.names();
        let stop = match self.script.format {
            Format::Exotel => json!({"call_sid": ids.call, "account_sid": ACCOUNT, "reason": "callended"}),
            Format::Twilio => json!({"accountSid": ACCOUNT, "callSid": ids.call}),
        };
        let stop = json!({"event": "stop", sequence_name: sequence.to_string(), stream_name: ids.stream, "stop": stop});
        write(Side::Client, Kind::Text, stop.to_string().as_bytes(), out);
        write(Side::Client, Kind::Close, &1_000_u16.to_be_bytes(), out);
    }

    const fn names(&self) -> (&'static str, &'static str) {
        match self.script.format {
            Format::Exotel => ("sequence_number", "stream_sid"),
            Format::Twilio => ("sequenceNumber", "streamSid"),
        }
    }
}

/// What the server says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said<'a> {
    /// Sound, in base64.
    Media(&'a [u8]),
    /// A mark: the JSON object that names it.
    Mark(Vec<u8>),
    Clear,
    Other,
}

/// The position behind this name, its colon and its blanks.
fn behind(text: &[u8], name: &[u8]) -> Option<usize> {
    let early = &text[..text.len().min(EARLY_BYTES)];
    let at = find(early, name).or_else(|| find(text, name))? + name.len();
    let rest = &text[at..];
    let skipped = rest.iter().take_while(|byte| matches!(byte, b':' | b' ')).count();
    Some(at + skipped)
}

/// Reads a message. Sound is found without reading the JSON around it.
pub(super) fn said(text: &[u8]) -> Said<'_> {
    let Some(event) = behind(text, br#""event""#).map(|at| &text[at..]) else { return Said::Other };
    if event.starts_with(br#""media""#) {
        return behind(text, br#""payload""#).and_then(|at| payload(&text[at..])).map_or(Said::Other, Said::Media);
    }
    if event.starts_with(br#""clear""#) {
        return Said::Clear;
    }
    if event.starts_with(br#""mark""#)
        && let Ok(message) = serde_json::from_slice::<serde_json::Value>(text)
    {
        return Said::Mark(message["mark"].to_string().into_bytes());
    }
    Said::Other
}

/// The text that begins here.
fn payload(text: &[u8]) -> Option<&[u8]> {
    let text = text.strip_prefix(b"\"")?;
    // Most servers write the sound last.
    let end = text.iter().rposition(|byte| !matches!(byte, b'}' | b' '))?;
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    if text[end] == b'"' && text[..end].iter().rev().take(32).all(is_base64) {
        return Some(&text[..end]);
    }
    let end = text.iter().position(|byte| *byte == b'"')?;
    Some(&text[..end])
}

#[cfg(test)]
mod tests {
    use super::super::frame::Reader;
    use super::super::http::request;
    use super::*;
    use serde_json::Value;

    fn target(format: Format) -> Target {
        let announce = match format {
            Format::Exotel => Announce::Exotel { secret: SecretString::from("key") },
            Format::Twilio => {
                Announce::Twilio { path_token: "token".to_owned(), auth_token: SecretString::from("12345") }
            }
        };
        let frame_ms = 20;
        Target {
            server: SocketAddr::from(([127, 0, 0, 1], 3000)),
            announce,
            number: "+918047491899".to_owned(),
            script: Script::new(format, frame_ms, &[1_000; 160], &[1_000; 160]),
            lead_ms: 0,
        }
    }

    fn texts(bytes: &[u8]) -> Vec<Value> {
        let mut texts = Vec::new();
        let read = Reader::default().feed(bytes, |frame| {
            if frame.kind == Kind::Text {
                texts.push(serde_json::from_slice(frame.plain(&mut Vec::new())).expect("JSON"));
            }
        });
        read.expect("frames");
        texts
    }

    #[test]
    fn both_carriers_announce_and_report_signed() {
        for (format, wants) in [(Format::Exotel, "x-exotel-signature: "), (Format::Twilio, "x-twilio-signature: ")] {
            let (target, ids) = (target(format), Ids::of(7, format));
            for bytes in [target.announcement(&ids, DateTime::UNIX_EPOCH), target.report(&ids, 3, DateTime::UNIX_EPOCH)]
            {
                let bytes = bytes.expect("a request");
                let read = request(&bytes).expect("HTTP").expect("whole");
                assert!(find(read.body, ids.call.as_bytes()).is_some());
                assert!(find(&bytes, wants.as_bytes()).is_some());
            }
        }
    }

    #[test]
    fn the_media_address_is_read_from_both_answers() {
        let exotel = br#"{"url":"ws://127.0.0.1:3000/media/exotel/T"}"#;
        let twilio = br#"<Response><Connect><Stream url="ws://127.0.0.1:3000/media/twilio/T"/></Connect></Response>"#;
        let server = SocketAddr::from(([127, 0, 0, 1], 3000));
        for (format, body, path) in
            [(Format::Exotel, &exotel[..], "/media/exotel/T"), (Format::Twilio, twilio, "/media/twilio/T")]
        {
            assert_eq!(target(format).media_address(body), Some((server, path.to_owned())));
            for other in [&b"{}"[..], b"<Response><Reject/></Response>", b"\xff"] {
                assert_eq!(target(format).media_address(other), None);
            }
        }
    }

    #[test]
    fn a_call_begins_and_ends_as_carriers_do_it() {
        for format in [Format::Exotel, Format::Twilio] {
            let (target, ids, mut out) = (target(format), Ids::of(7, format), Vec::new());
            target.hello(&ids, &mut out);
            target.mark(&ids.stream, br#"{"name":"a \"b\""}"#, 9, &mut out);
            target.goodbye(&ids, 10, &mut out);
            let texts = texts(&out);
            let events: Vec<&str> = texts.iter().filter_map(|text| text["event"].as_str()).collect();
            assert_eq!(events, ["connected", "start", "mark", "stop"]);
            assert_eq!(texts[2]["mark"]["name"], "a \"b\"");
        }
    }

    #[test]
    fn the_servers_messages_are_understood_in_any_order_of_their_fields() {
        for text in [
            r#"{"event":"media","stream_sid":"s","media":{"payload":"QUJD"}}"#,
            r#"{"event": "media", "media": {"payload": "QUJD", "chunk": "1"}, "stream_sid": "s"}"#,
            r#"{"media":{"chunk":"1","payload":"QUJD"},"stream_sid":"s","event":"media"}"#,
        ] {
            assert_eq!(said(text.as_bytes()), Said::Media(b"QUJD"), "{text}");
        }
        let long = format!(r#"{{"event":"media","media":{{"payload":"{}"}}}}"#, "QUJD".repeat(500));
        assert!(matches!(said(long.as_bytes()), Said::Media(sound) if sound.len() == 2_000));
        assert_eq!(said(br#"{"event":"clear","stream_sid":"s"}"#), Said::Clear);
        let mark = said(br#"{"event":"mark","stream_sid":"s","mark":{"name":"m1"}}"#);
        assert_eq!(mark, Said::Mark(br#"{"name":"m1"}"#.to_vec()));
        for text in ["", "{}", "nothing", r#"{"event":"media"}"#, r#"{"event":"mark""#] {
            assert_eq!(said(text.as_bytes()), Said::Other, "{text}");
        }
    }
}
