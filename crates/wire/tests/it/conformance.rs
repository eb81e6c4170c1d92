//! What is true of every carrier: one call, told in each carrier's own messages, is the same to us; what we write is
//! what the carrier's documents say, read here by a reader of our messages that shares nothing with the encoders.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::CarrierKind;
use proptest::prelude::*;
use serde_json::{Value, json};
use wire::carrier::{CarrierMessage, Encoder, StopReason, decode, frame_rule};
use wire::pcm::Encoding;

const STREAM: &str = "20170ada-f610-433b-8758-c02a2aab3662";
const CALL: &str = "CA5d0d0d8047bf685c3f0ff980fe62c123";

fn all() -> impl Strategy<Value = CarrierKind> {
    proptest::sample::select(CarrierKind::ALL)
}

/// The sentence of a message in the carrier's own words; `None` where it has none.
struct Story {
    connected: Option<Value>,
    start: Value,
    media: Value,
    dtmf: Value,
    played: Value,
    stop: Value,
}

/// Three samples: silence, and the loudest both ways.
fn story(carrier: CarrierKind) -> Story {
    let pcm = STANDARD.encode([0_u8, 0, 0x7C, 0x7D, 0x84, 0x82]);
    let mulaw = STANDARD.encode([0xFF, 0x80, 0x00]);
    match carrier {
        CarrierKind::Exotel => Story {
            connected: Some(json!({"event": "connected"})),
            start: json!({"event": "start", "sequence_number": "1", "stream_sid": STREAM, "start": {
                "stream_sid": STREAM, "call_sid": CALL, "account_sid": "acc", "from": "+919876543210",
                "to": "+918047491899", "custom_parameters": {"k": "v"},
                "media_format": {"encoding": "base64", "sample_rate": "8000", "bit_rate": "128kbps"}}}),
            media: json!({"event": "media", "sequence_number": "3", "stream_sid": STREAM,
                "media": {"chunk": "2", "timestamp": "200", "payload": pcm}}),
            dtmf: json!({"event": "dtmf", "stream_sid": STREAM, "dtmf": {"digit": "5", "duration": "100"}}),
            played: json!({"event": "mark", "stream_sid": STREAM, "mark": {"name": "turn-1"}}),
            stop: json!({"event": "stop", "stream_sid": STREAM, "stop": {"reason": "callended"}}),
        },
        CarrierKind::Twilio => Story {
            connected: Some(json!({"event": "connected", "protocol": "Call", "version": "1.0.0"})),
            start: json!({"event": "start", "sequenceNumber": "1", "streamSid": STREAM, "start": {
                "accountSid": "acc", "streamSid": STREAM, "callSid": CALL, "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": {"k": "v", "from": "+919876543210", "to": "+918047491899"}}}),
            media: json!({"event": "media", "sequenceNumber": "3", "streamSid": STREAM,
                "media": {"track": "inbound", "chunk": "2", "timestamp": "200", "payload": mulaw}}),
            dtmf: json!({"event": "dtmf", "streamSid": STREAM, "dtmf": {"track": "inbound_track", "digit": "5"}}),
            played: json!({"event": "mark", "streamSid": STREAM, "mark": {"name": "turn-1"}}),
            stop: json!({"event": "stop", "streamSid": STREAM, "stop": {"accountSid": "acc", "callSid": CALL}}),
        },
        CarrierKind::Plivo | CarrierKind::Vobiz => Story {
            connected: None,
            start: json!({"event": "start", "sequenceNumber": 1, "start": {"callId": CALL, "streamId": STREAM,
                "accountId": "acc", "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000}},
                "extra_headers": "k=v;from=919876543210;to=918047491899"}),
            media: json!({"event": "media", "sequenceNumber": 3, "streamId": STREAM, "media": {"track": "inbound",
                "timestamp": "1705312200000", "chunk": 2, "payload": mulaw}}),
            dtmf: json!({"event": "dtmf", "streamId": STREAM, "dtmf": {"digit": "5"}}),
            played: json!({"event": "playedStream", "streamId": STREAM, "name": "turn-1"}),
            stop: json!({"event": "stop", "streamId": STREAM}),
        },
        CarrierKind::Smartflo => Story {
            connected: Some(json!({"event": "connected"})),
            start: json!({"event": "start", "sequenceNumber": "1", "streamSid": STREAM, "start": {
                "accountSid": "acc", "streamSid": STREAM, "callSid": CALL, "from": "+919876543210",
                "to": "+918047491899", "direction": "inbound",
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000},
                "customParameters": {"k": "v"}}}),
            media: json!({"event": "media", "sequenceNumber": "3", "streamSid": STREAM,
                "media": {"chunk": "2", "timestamp": "200", "payload": mulaw}}),
            dtmf: json!({"event": "dtmf", "streamSid": STREAM, "dtmf": {"digit": "5"}}),
            played: json!({"event": "mark", "streamSid": STREAM, "mark": {"name": "turn-1"}}),
            stop: json!({"event": "stop", "streamSid": STREAM, "stop": {"reason": "callended"}}),
        },
    }
}

#[test]
fn a_call_is_the_same_call_whoever_carries_it() {
    for carrier in CarrierKind::ALL.iter().copied() {
        let told = story(carrier);
        let heard = |value: &Value| value.to_string();
        let texts = [&told.start, &told.media, &told.dtmf, &told.played, &told.stop].map(heard);
        let read: Vec<CarrierMessage<'_>> = texts.iter().map(|text| decode(carrier, text).unwrap()).collect();
        if let Some(connected) = told.connected {
            assert_eq!(decode(carrier, &connected.to_string()).unwrap(), CarrierMessage::Connected, "{carrier}");
        }
        let [CarrierMessage::Start(start), CarrierMessage::Audio(audio), dtmf, played, stopped] = &read[..] else {
            panic!("{carrier}: {read:?}")
        };
        assert_eq!((start.stream_id.as_str(), start.call_id.as_deref()), (STREAM, Some(CALL)), "{carrier}");
        assert_eq!(start.account_id.as_deref(), Some("acc"), "{carrier}");
        let numbers = [&start.from, &start.to].map(|number| number.as_ref().map(|number| number.as_str()));
        assert_eq!(numbers, [Some("+919876543210"), Some("+918047491899")], "{carrier}");
        assert_eq!(start.custom_parameters.get("k").map(String::as_str), Some("v"), "{carrier}");
        assert_eq!(start.sample_rate_hz, Some(8_000), "{carrier}");
        assert_eq!(start.encoding, frame_rule(carrier).encoding, "{carrier}: heard and said in one coding");
        let mut pcm = vec![7];
        audio.decode(start.encoding, &mut pcm).unwrap();
        assert_eq!(pcm, [0, 32_124, -32_124], "{carrier}");
        assert_eq!(audio.chunk, Some(2), "{carrier}");
        assert!(matches!(dtmf, CarrierMessage::Dtmf { digit: '5', .. }), "{carrier}");
        assert_eq!(played, &CarrierMessage::Played { mark: "turn-1".into() }, "{carrier}");
        let CarrierMessage::Stopped { reason } = stopped else { panic!("{carrier}: {stopped:?}") };
        assert!(matches!(reason, StopReason::CallEnded | StopReason::Unknown), "{carrier}");
    }
}

#[test]
fn a_start_without_a_stream_and_what_is_no_message_are_refused() {
    for carrier in CarrierKind::ALL.iter().copied() {
        for text in ["", "{", "[]", "null", "\u{0}", r#"{"event":"start"}"#, r#"{"event":7}"#, r#"{"event":"media"}"#] {
            assert!(decode(carrier, text).is_err(), "{carrier}: {text}");
        }
        let long = format!("{{\"event\":\"x\",\"pad\":\"{}\"}}", "a".repeat(200_000));
        assert!(decode(carrier, &long).is_err(), "{carrier}");
        assert_eq!(decode(carrier, r#"{"event":"something-new","x":{}}"#), Ok(CarrierMessage::Ignored), "{carrier}");
    }
}

/// What the carrier would understand of a message of ours.
#[derive(Debug, PartialEq)]
enum Understood {
    Audio(Vec<u8>),
    Mark(String),
    Clear,
}

/// Reads a message as the carrier's documents describe it.
fn understand(carrier: CarrierKind, text: &str) -> Understood {
    let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{carrier}: {error}: {text}"));
    let (stream, media, mark, clear, name) = match carrier {
        CarrierKind::Exotel => ("/stream_sid", "media", "mark", "clear", "/mark/name"),
        CarrierKind::Twilio | CarrierKind::Smartflo => ("/streamSid", "media", "mark", "clear", "/mark/name"),
        CarrierKind::Plivo | CarrierKind::Vobiz => ("/streamId", "playAudio", "checkpoint", "clearAudio", "/name"),
    };
    assert_eq!(value.pointer(stream), Some(&json!(STREAM)), "{carrier}: {text}");
    let event = value["event"].as_str().unwrap();
    if event == media {
        if matches!(carrier, CarrierKind::Plivo | CarrierKind::Vobiz) {
            assert_eq!(
                (&value["media"]["contentType"], &value["media"]["sampleRate"]),
                (&json!("audio/x-mulaw"), &json!(8000))
            );
        }
        return Understood::Audio(STANDARD.decode(value["media"]["payload"].as_str().unwrap()).unwrap());
    }
    if event == mark {
        return Understood::Mark(value.pointer(name).unwrap().as_str().unwrap().to_owned());
    }
    assert_eq!(event, clear, "{carrier}: {text}");
    Understood::Clear
}

/// The linear value of a μ-law byte, by the formula of G.711 in 14 bits, left-justified.
fn linear(code: u8) -> i16 {
    let bits = !code;
    let magnitude = ((33 + 2 * i32::from(bits & 0x0F)) << ((bits >> 4) & 7)) - 33;
    (4 * if bits & 0x80 == 0 { magnitude } else { -magnitude }) as i16
}

fn samples(carrier: CarrierKind, bytes: &[u8]) -> Vec<i16> {
    match frame_rule(carrier).encoding {
        Encoding::Pcm16 => bytes.chunks(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect(),
        Encoding::Mulaw => bytes.iter().map(|code| linear(*code)).collect(),
    }
}

#[test]
fn our_usual_frame_is_on_every_carriers_grid() {
    for (carrier, bytes, samples) in [
        (CarrierKind::Exotel, 1_600, 800),
        (CarrierKind::Twilio, 160, 160),
        (CarrierKind::Plivo, 160, 160),
        (CarrierKind::Vobiz, 160, 160),
        (CarrierKind::Smartflo, 800, 800),
    ] {
        let rule = frame_rule(carrier);
        assert_eq!((rule.frame_bytes(8_000), rule.frame_samples(8_000)), (bytes, samples), "{carrier}");
        assert_eq!(rule.frame_bytes(8_000) % rule.multiple_of_bytes, 0, "{carrier}");
        assert_eq!((rule.multiple_samples(), rule.frame_samples(8_000) % 160), (160, 0), "{carrier}");
        assert!(rule.frame_bytes(8_000) <= rule.frame_bytes_max, "{carrier}");
        let mut encoder = Encoder::new(carrier, STREAM, 8_000);
        let mut out = String::new();
        encoder.audio(&vec![0; samples], &mut out).unwrap();
        let Understood::Audio(sent) = understand(carrier, &out) else { panic!("{carrier}: {out}") };
        assert_eq!(sent, vec![rule.encoding.silence(); bytes], "{carrier}: silence, nothing added");
        let too_many = rule.frame_bytes_max / rule.encoding.sample_bytes() + 1;
        assert!(encoder.audio(&vec![0; too_many], &mut out).is_err() && out.is_empty(), "{carrier}");
    }
}

proptest! {
    #[test]
    fn what_we_say_is_understood(
        carrier in all(),
        pcm in proptest::collection::vec(any::<i16>(), 0..2_000),
        mark in ".{0,60}",
    ) {
        let rule = frame_rule(carrier);
        let mut encoder = Encoder::new(carrier, STREAM, 8_000);
        let mut out = String::from("left over");
        encoder.audio(&pcm, &mut out).unwrap();
        let Understood::Audio(bytes) = understand(carrier, &out) else { return Err(TestCaseError::fail(out)) };
        prop_assert_eq!(bytes.len() % rule.multiple_of_bytes, 0);
        let heard = samples(carrier, &bytes);
        prop_assert!(heard.len() >= pcm.len() && heard.len() < pcm.len() + rule.multiple_samples());
        for (said, heard) in pcm.iter().zip(&heard) {
            let error = (i32::from(*said) - i32::from(*heard)).abs();
            // Half a step of μ-law is a 32nd of the biased value at most, and negative values are off by one.
            let most = if rule.encoding == Encoding::Pcm16 { 0 } else { (i32::from(*said).abs() + 132) / 32 + 1 };
            prop_assert!(error <= most, "{said} {heard}");
        }
        prop_assert!(heard[pcm.len()..].iter().all(|sample| *sample == 0));
        encoder.mark(&mark, &mut out);
        prop_assert_eq!(understand(carrier, &out), Understood::Mark(mark));
        encoder.clear(&mut out);
        prop_assert_eq!(understand(carrier, &out), Understood::Clear);
    }

    #[test]
    fn no_text_makes_a_decoder_panic(carrier in all(), text in ".{0,400}") {
        let _ = decode(carrier, &text);
    }

    #[test]
    fn no_body_makes_a_decoder_panic(
        carrier in all(),
        event in "(media|start|dtmf|mark|stop|connected|clear|playedStream|clearedAudio)",
        key in "(media|start|dtmf|mark|stop|name|extra_headers)",
        body in r#"(\{"(digit|name|payload|reason|streamSid|streamId|mediaFormat|customParameters|timestamp|chunk|track)":("[^"\\]{0,20}"|[0-9.eE+-]{1,8}|null|\[\]|\{"encoding":"[a-z/-]{0,9}","sampleRate":[0-9]{1,6}\})\}|null|"[^"\\]{0,30}"|7|\[1\])"#,
    ) {
        let text = format!(r#"{{"event":"{event}","{key}":{body},"streamSid":"s","streamId":"s"}}"#);
        if let Ok(CarrierMessage::Audio(audio)) = decode(carrier, &text) {
            let _ = audio.decode(Encoding::Mulaw, &mut Vec::new());
        }
    }
}
