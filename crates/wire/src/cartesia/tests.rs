use super::*;
use serde_json::json as value;

fn generation() -> Generation<'static> {
    Generation {
        model: "sonic-3.5",
        transcript: "नमस्ते।",
        voice: "a0e99841-438c-4a64-b679-ae501e7d6091",
        language: Some("hi"),
        context: "s1",
        sample_rate_hz: 8_000,
        config: GenerationConfig::default(),
    }
}

#[test]
fn messages_are_as_documented() {
    let mut want = value!({
        "model_id": "sonic-3.5", "transcript": "नमस्ते।", "language": "hi", "context_id": "s1",
        "voice": {"mode": "id", "id": "a0e99841-438c-4a64-b679-ae501e7d6091"},
        "output_format": {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 8000},
        "add_timestamps": true, "continue": false, "max_buffer_delay_ms": 0,
    });
    let read = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    assert_eq!(read(&generation().message()), want);
    let faster = GenerationConfig { speed: Some(1.2), volume: None };
    want["generation_config"] = value!({"speed": 1.2});
    assert_eq!(read(&Generation { config: faster, ..generation() }.message()), want);
    assert_eq!(read(&cancel("s1")), value!({"context_id": "s1", "cancel": true}));
    assert_eq!(query(), "cartesia_version=2026-03-01");
}

#[test]
fn languages() {
    for (tag, want) in
        [("en-IN", Some("en")), ("hi_IN", Some("hi")), ("nb", Some("no")), ("fil-PH", Some("tl")), ("", None)]
    {
        assert_eq!(language_code(tag).as_deref(), want, "{tag}");
    }
}

#[test]
fn server_messages() {
    let context = || "s1".to_owned();
    for (text, want) in [
        (
            r#"{"type":"chunk","data":"AQI=","done":false,"status_code":206,"step_time":12.3,"context_id":"s1","flush_id":1}"#,
            ServerMessage::Chunk { context: context(), audio: vec![1, 2] },
        ),
        (
            r#"{"type":"timestamps","done":false,"status_code":206,"context_id":"s1",
                "word_timestamps":{"words":["Hello"],"start":[0.0],"end":[0.4]}}"#,
            ServerMessage::Timestamps {
                context: context(),
                times: WordTimestamps { words: vec!["Hello".into()], start: vec![0.0], end: vec![0.4] },
            },
        ),
        (
            r#"{"type":"done","done":true,"status_code":206,"context_id":"s1"}"#,
            ServerMessage::Done { context: context() },
        ),
        (
            r#"{"type":"error","done":true,"title":"Too many","message":"secret text","error_code":"concurrency_limited",
                "status_code":429,"context_id":"s1","request_id":"r"}"#,
            ServerMessage::Error {
                context: Some(context()),
                error: ServerError { status: 429, what: "concurrency_limited".into() },
            },
        ),
        (
            r#"{"type":"error","done":true,"error":"Invalid model: secret text","status_code":400}"#,
            ServerMessage::Error { context: None, error: ServerError { status: 400, what: "Invalid model".into() } },
        ),
        (r#"{"type":"flush_done","done":false,"flush_done":true,"context_id":"s1"}"#, ServerMessage::Unknown),
        (r#"{"type":"chunk","context_id":"s1"}"#, ServerMessage::Unknown),
        (r#"{"type":"chunk","data":7}"#, ServerMessage::Unknown),
        ("{}", ServerMessage::Unknown),
    ] {
        assert_eq!(ServerMessage::parse(text), Ok(want), "{text}");
    }
    for text in ["", "[]", "{oops"] {
        assert!(matches!(ServerMessage::parse(text), Err(WireError::Malformed { .. })), "{text}");
    }
    let odd = r#"{"type":"chunk","data":"%","context_id":"s1"}"#;
    assert_eq!(ServerMessage::parse(odd), Err(WireError::AudioNotBase64));
}

#[test]
fn a_refusal_without_json_says_nothing() {
    assert_eq!(ServerError::parse(b"Unauthorized: your key is sk_car_x"), ServerError::default());
    let body = br#"{"error_code":null,"title":"Unauthorized","message":"sk_car_x"}"#;
    assert_eq!(ServerError::parse(body).what, "Unauthorized");
}

#[test]
fn words_are_merged_in_order_over_messages() {
    let (mut order, mut out) = (WordOrder::default(), Vec::new());
    let times = |words: &[&str], start: &[f64], end: &[f64]| WordTimestamps {
        words: words.iter().map(|w| (*w).to_owned()).collect(),
        start: start.to_vec(),
        end: end.to_vec(),
    };
    times(&["आपका", "ऑर्डर"], &[0.0, 0.31], &[0.3, 0.8]).in_order(&mut order, &mut out);
    times(&["", "आ", "गया", "है।"], &[0.8, 0.7, 0.95], &[0.8, 0.9, 1.2]).in_order(&mut order, &mut out);
    let got: Vec<_> = out.iter().map(|w| (w.text.as_str(), w.from_ms, w.to_ms)).collect();
    assert_eq!(got, [("आपका", 0, 300), ("ऑर्डर", 310, 800), ("आ", 700, 900), ("गया", 950, 1_200)]);
}

proptest::proptest! {
    #[test]
    fn nothing_panics(text in ".{0,300}", bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..100)) {
        let _ = ServerMessage::parse(&text);
        let _ = ServerError::parse(&bytes);
    }
}
