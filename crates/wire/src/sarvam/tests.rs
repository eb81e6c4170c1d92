use super::*;
use proptest::prelude::*;
use serde_json::json;

fn options(protocol: Protocol) -> ListenOptions {
    let model = match protocol {
        Protocol::Realtime => "saaras:v3-realtime",
        Protocol::Streaming => "saaras:v3",
    };
    ListenOptions {
        protocol,
        model: model.into(),
        language: "hi-IN".into(),
        sample_rate_hz: 8_000,
        pace: Pace::Fast,
        silence_ms: Some(300),
        high_vad_sensitivity: true,
        keyterms: Vec::new(),
    }
}

#[test]
fn the_queries_are_what_the_references_show() {
    assert_eq!(
        options(Protocol::Realtime).query(),
        concat!(
            "language_code=hi-IN&model=saaras%3Av3-realtime&stream_type=fast&mode=transcribe&endpointing=vad",
            "&encoding=linear16&sample_rate=8000&return_timestamps=true&silence_duration_ms=300"
        )
    );
    assert_eq!(
        options(Protocol::Streaming).query(),
        concat!(
            "language-code=hi-IN&model=saaras%3Av3&mode=transcribe&sample_rate=8000&input_audio_codec=pcm_s16le",
            "&vad_signals=true&flush_signal=true&high_vad_sensitivity=true"
        )
    );
    let plain = ListenOptions {
        model: "saarika:v2.5".into(),
        language: "unknown".into(),
        high_vad_sensitivity: false,
        ..options(Protocol::Streaming)
    };
    assert_eq!(
        plain.query(),
        concat!(
            "language-code=unknown&model=saarika%3Av2.5&sample_rate=8000&input_audio_codec=pcm_s16le",
            "&vad_signals=true&flush_signal=true"
        )
    );
    let slower = ListenOptions { pace: Pace::Balanced, silence_ms: None, ..options(Protocol::Realtime) };
    assert!(slower.query().contains("stream_type=balanced") && !slower.query().contains("silence_duration_ms"));
    assert_eq!(SpeechConfig::query("bulbul:v3"), "model=bulbul%3Av3&send_completion_event=true");
}

#[test]
fn words_to_listen_for_are_a_list_within_its_limits() {
    let many = (0..KEYTERMS_MAX + 10).map(|n| format!("word {n}")).chain(["x".repeat(KEYTERM_CHARS_MAX + 1)]);
    let keyterms: Vec<String> = [String::new(), "x".repeat(KEYTERM_CHARS_MAX + 1)].into_iter().chain(many).collect();
    let query = ListenOptions { keyterms, ..options(Protocol::Realtime) }.query();
    let (_, terms) =
        url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "keyterms").expect("they are asked for");
    let terms: Vec<String> = serde_json::from_str(&terms).expect("a list");
    assert_eq!((terms.len(), terms[0].as_str()), (KEYTERMS_MAX, "word 0"));
}

#[test]
fn a_model_has_its_protocol() {
    for (model, want) in [
        ("saaras:v3-realtime", Protocol::Realtime),
        ("saaras:v4", Protocol::Realtime),
        ("saaras:v3", Protocol::Streaming),
        ("saarika:v2.5", Protocol::Streaming),
    ] {
        assert_eq!(Protocol::of_model(model), want, "{model}");
    }
}

#[test]
fn tags_become_names_that_sarvam_has() {
    use Protocol::{Realtime, Streaming};
    for (tag, realtime, streaming, spoken) in [
        ("hi-IN", Some("hi-IN"), Some("hi-IN"), Some("hi-IN")),
        ("HI_in", Some("hi-IN"), Some("hi-IN"), Some("hi-IN")),
        ("ta", Some("ta-IN"), Some("ta-IN"), Some("ta-IN")),
        ("en-US", Some("en-IN"), Some("en-IN"), Some("en-IN")),
        ("or-IN", Some("or-IN"), Some("od-IN"), Some("od-IN")),
        ("od-IN", Some("or-IN"), Some("od-IN"), Some("od-IN")),
        ("sat-IN", Some("sat-IN"), Some("sat-IN"), None),
        ("sa", Some("sa-IN"), Some("sa-IN"), None),
        ("", Some("auto"), Some("unknown"), None),
        ("multi", Some("auto"), Some("unknown"), None),
        ("unknown", Some("auto"), Some("unknown"), None),
        ("fr-FR", None, None, None),
        ("hindi", None, None, None),
    ] {
        assert_eq!(listen_language(tag, Realtime), realtime, "{tag}");
        assert_eq!(listen_language(tag, Streaming), streaming, "{tag}");
        assert_eq!(speech_language(tag), spoken, "{tag}");
    }
    for (code, want) in [("od-IN", "or-IN"), ("od", "or"), ("hi-IN", "hi-IN"), ("odd", "odd")] {
        assert_eq!(bcp47(code), want);
    }
}

#[test]
fn audio_is_sent_as_the_references_show() {
    assert_eq!(
        audio_message(Protocol::Realtime, &[1, 0, 255, 127], 8_000),
        r#"{"event":"audio_input","audio":"AQD/fw=="}"#
    );
    assert_eq!(
        audio_message(Protocol::Streaming, &[1, 0, 255, 127], 8_000),
        r#"{"audio":{"data":"AQD/fw==","sample_rate":8000,"encoding":"audio/wav"}}"#
    );
}

#[test]
fn speech_is_asked_for_as_the_reference_shows() {
    let config = SpeechConfig {
        model: "bulbul:v3",
        language_code: "hi-IN",
        speaker: "shubh",
        pace: Some(1.1),
        pitch: None,
        loudness: Some(f64::INFINITY),
        temperature: None,
        sample_rate_hz: 8_000,
    };
    let sent: Value = serde_json::from_str(&config.message()).expect("JSON");
    assert_eq!(
        sent,
        json!({"type":"config","data":{"model":"bulbul:v3","language_code":"hi-IN","speaker":"shubh","pace":1.1,
            "speech_sample_rate":8000,"output_audio_codec":"linear16"}})
    );
    let text = "उसने कहा \"नमस्ते\"\n";
    let sent: Value = serde_json::from_str(&text_message(text)).expect("JSON");
    assert_eq!(sent, json!({"type":"text","data":{"text":text}}));
}

#[test]
fn fixed_messages_are_objects() {
    for (text, want) in [
        (PING, json!({"event":"ping"})),
        (END, json!({"event":"end"})),
        (FLUSH, json!({"type":"flush"})),
        (SPEECH_FLUSH, json!({"type":"flush"})),
    ] {
        assert_eq!(serde_json::from_str::<Value>(text).expect("JSON"), want);
    }
}

#[test]
fn refused_handshakes_are_read() {
    let body = br#"{"error":{"message":"Invalid or missing authentication credentials","code":"invalid_api_key_error","request_id":""}}"#;
    let error = ServerError::parse(body);
    assert_eq!(
        (error.code.as_str(), error.text.as_str(), error.is_fatal),
        ("invalid_api_key_error", "Invalid or missing authentication credentials", true)
    );
    assert_eq!(ServerError::parse(b"Forbidden").text, "Forbidden");
    assert_eq!(ServerError::parse("é".repeat(300).as_bytes()).text.len(), ERROR_TEXT_BYTES_MAX);
}

#[test]
fn what_is_no_object_is_no_message() {
    for text in ["", "hello", "null", "[]", "{\"event\":", "\"pong\"", "7"] {
        assert_eq!(ListenMessage::parse(text), Err(NotAMessage), "{text}");
        assert_eq!(SpeechMessage::parse(text), Err(NotAMessage), "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_is_survived(
        text in "(\\{\"(event|type)\":\"(transcript.final|error|audio|data|events|event)\",\"data\":\\{?)?\\PC{0,120}\\}?\\}?",
    ) {
        let _ = ListenMessage::parse(&text);
        let _ = SpeechMessage::parse(&text);
        let _ = ServerError::parse(text.as_bytes());
        let _ = (listen_language(&text, Protocol::Realtime), speech_language(&text), bcp47(&text));
    }

    #[test]
    fn sound_comes_back_as_it_was_sent(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        use base64::Engine;
        let audio = base64::engine::general_purpose::STANDARD.encode(&bytes);
        let text = json!({"type":"audio","data":{"content_type":"audio/pcm","audio":audio}}).to_string();
        prop_assert_eq!(
            SpeechMessage::parse(&text),
            Ok(SpeechMessage::Audio { content_type: "audio/pcm".into(), bytes })
        );
    }

    #[test]
    fn the_query_is_read_back(model in "\\PC{1,20}", term in "\\PC{1,20}") {
        let options = ListenOptions {
            model: model.clone(),
            keyterms: vec![term.clone()],
            ..options(Protocol::of_model(&model))
        };
        let pairs: Vec<_> = url::form_urlencoded::parse(options.query().as_bytes()).into_owned().collect();
        prop_assert!(pairs.contains(&("model".into(), model)));
        prop_assert!(pairs.contains(&("keyterms".into(), json!([term]).to_string())));
    }
}
