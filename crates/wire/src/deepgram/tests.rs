use super::*;
use proptest::prelude::*;

fn options() -> ListenOptions {
    ListenOptions {
        model: "nova-3".into(),
        language: "en-IN".into(),
        sample_rate_hz: 8_000,
        interim_results: true,
        endpointing: Endpointing::AfterMs(300),
        punctuate: true,
        smart_format: false,
        keyterms: Vec::new(),
    }
}

#[test]
fn the_query_is_what_the_reference_shows() {
    assert_eq!(
        options().query(),
        "model=nova-3&language=en-IN&encoding=linear16&sample_rate=8000&channels=1&interim_results=true&punctuate=true&endpointing=300"
    );
    let other = ListenOptions {
        endpointing: Endpointing::Off,
        smart_format: true,
        punctuate: false,
        interim_results: false,
        keyterms: vec!["Caly & Co".into(), "नमस्ते".into()],
        ..options()
    };
    assert!(other.query().ends_with(concat!(
        "&interim_results=false&punctuate=false&endpointing=false&smart_format=true",
        "&keyterm=Caly+%26+Co&keyterm=%E0%A4%A8%E0%A4%AE%E0%A4%B8%E0%A5%8D%E0%A4%A4%E0%A5%87"
    )));
}

#[test]
fn tags_become_names_that_deepgram_has() {
    for (tag, want) in [
        ("en-IN", "en-IN"),
        ("en-in", "en-IN"),
        ("hi-IN", "hi"),
        ("hi", "hi"),
        ("ta_IN", "ta"),
        ("EN", "en"),
        ("", "multi"),
        ("multi", "multi"),
        ("es-MX", "es"),
    ] {
        assert_eq!(language_code(tag), want, "{tag}");
    }
}

/// As the live streaming page prints it.
const RESULT: &str = r#"{"type":"Results","channel_index":[0,1],"duration":1.98,"start":5.99,"is_final":true,
"speech_final":true,"from_finalize":false,"channel":{"alternatives":[{"transcript":"Tell me more about this.",
"confidence":0.99964225,"words":[{"word":"tell","start":6.07,"end":6.39,"confidence":0.99,"punctuated_word":"Tell"},
{"word":"me","start":6.39,"end":6.63,"confidence":0.99}]},{"transcript":"Tell me mo'"}]},
"metadata":{"request_id":"52cc0efe-fa77-4aa7-b79c-0dda09de2f14","model_info":{"name":"2-general-nova"}}}"#;

#[test]
fn a_result_is_read() {
    let want = Results {
        is_final: true,
        speech_final: true,
        from_finalize: false,
        transcript: "Tell me more about this.".into(),
        words: vec![
            Word { text: "Tell".into(), start_s: 6.07, end_s: 6.39 },
            Word { text: "me".into(), start_s: 6.39, end_s: 6.63 },
        ],
        start_s: 5.99,
        duration_s: 1.98,
    };
    assert!((want.end_s() - 7.97).abs() < 1e-9);
    assert_eq!(ServerMessage::parse(RESULT), Ok(ServerMessage::Results(want)));
}

#[test]
fn the_other_messages_are_read() {
    for (text, want) in [
        (
            r#"{"type":"Metadata","transaction_key":"deprecated","request_id":"r","sha256":"s","created":"t","duration":1.5,"channels":1}"#,
            ServerMessage::Metadata { request_id: "r".into(), duration_s: 1.5 },
        ),
        (r#"{"type":"SpeechStarted","channel":[0,1],"timestamp":9.54}"#, ServerMessage::SpeechStarted { at_s: 9.54 }),
        (
            r#"{"type":"UtteranceEnd","channel":[0,1],"last_word_end":2.395}"#,
            ServerMessage::UtteranceEnd { last_word_end_s: 2.395 },
        ),
        (
            r#"{"type":"Error","description":"bad","message":"m","variant":"DATA-0000"}"#,
            ServerMessage::Error(ServerError { code: "DATA-0000".into(), text: "bad".into() }),
        ),
        (
            r#"{"err_code":"INVALID_AUTH","err_msg":"Invalid credentials.","request_id":"r"}"#,
            ServerMessage::Error(ServerError { code: "INVALID_AUTH".into(), text: "Invalid credentials.".into() }),
        ),
        (r#"{"type":"Results"}"#, ServerMessage::Results(Results::default())),
        (r#"{"type":"Results","channel":{"alternatives":[]}}"#, ServerMessage::Results(Results::default())),
        (r#"{"type":"Results","is_final":"yes"}"#, ServerMessage::Unknown),
        (r#"{"type":"TurnInfo","event":"EndOfTurn"}"#, ServerMessage::Unknown),
        ("{}", ServerMessage::Unknown),
    ] {
        assert_eq!(ServerMessage::parse(text), Ok(want), "{text}");
    }
    for text in ["", "hello", "null", "{\"type\":", "{\"type\":5}", "\"Results\""] {
        assert_eq!(ServerMessage::parse(text), Err(NotAMessage), "{text}");
    }
}

#[test]
fn refused_handshakes_are_read() {
    let body = br#"{"err_code":"Bad Request","err_msg":"Bad Request: failed to process audio","request_id":"r"}"#;
    let error = ServerError::parse(body);
    assert_eq!((error.code.as_str(), error.text.as_str()), ("Bad Request", "Bad Request: failed to process audio"));
    assert_eq!(ServerError::parse("é".repeat(300).as_bytes()).text.len(), ERROR_TEXT_BYTES_MAX);
    assert_eq!(ServerError::parse(b""), ServerError::default());
}

#[test]
fn words_are_bounded() {
    let words = vec![r#"{"word":"a","start":0,"end":1}"#; WORDS_MAX + 5].join(",");
    let text =
        format!(r#"{{"type":"Results","channel":{{"alternatives":[{{"transcript":" a ","words":[{words}]}}]}}}}"#);
    let Ok(ServerMessage::Results(results)) = ServerMessage::parse(&text) else { panic!("not read") };
    assert_eq!((results.words.len(), results.transcript.as_str()), (WORDS_MAX, "a"));
}

#[test]
fn only_refused_data_is_hopeless() {
    assert!(close_is_transient(1011) && close_is_transient(1006) && close_is_transient(1000));
    assert!(!close_is_transient(1008));
}

#[test]
fn client_messages_are_objects_with_a_type() {
    for (text, want) in [(FINALIZE, "Finalize"), (KEEP_ALIVE, "KeepAlive"), (CLOSE_STREAM, "CloseStream")] {
        assert_eq!(serde_json::from_str::<Value>(text).expect("JSON"), serde_json::json!({ "type": want }));
    }
}

proptest! {
    #[test]
    fn any_text_is_survived(text in "(\\{\"type\":\"(Results|Metadata|Error|SpeechStarted|UtteranceEnd)\",)?\\PC{0,120}\\}?") {
        let _ = ServerMessage::parse(&text);
        let _ = ServerError::parse(text.as_bytes());
        let _ = language_code(&text);
    }

    #[test]
    fn a_result_with_a_piece_cut_out_is_survived(from in 0usize..700, len in 0usize..300) {
        let from = from.min(RESULT.len());
        let to = (from + len).min(RESULT.len());
        let _ = ServerMessage::parse(&format!("{}{}", &RESULT[..from], &RESULT[to..]));
    }

    #[test]
    fn the_query_is_read_back(model in "\\PC{1,20}", term in "\\PC{1,20}") {
        let query = ListenOptions { model: model.clone(), keyterms: vec![term.clone()], ..options() }.query();
        let pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        prop_assert!(pairs.contains(&("model".into(), model)));
        prop_assert!(pairs.contains(&("keyterm".into(), term)));
    }
}
