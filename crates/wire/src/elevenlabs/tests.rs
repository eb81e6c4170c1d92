use super::*;
use serde_json::json as value;

fn alignment(text: &str, from_ms: f64, each_ms: f64) -> Alignment {
    let chars: Vec<String> = text.chars().map(String::from).collect();
    let starts_ms = (0..chars.len()).map(|n| from_ms + n as f64 * each_ms).collect();
    Alignment { durations_ms: vec![each_ms; chars.len()], starts_ms, chars }
}

fn read(pieces: &[(Alignment, Option<f64>)]) -> Vec<(String, u32, u32)> {
    let (mut words, mut out) = (ContextWords::default(), Vec::new());
    for (alignment, before) in pieces {
        words.push(alignment, *before, &mut out);
    }
    out.extend(words.finish());
    out.into_iter().map(|w| (w.text, w.from_ms, w.to_ms)).collect()
}

#[test]
fn the_query_names_what_is_wanted() {
    let options = StreamOptions {
        model: "eleven_flash_v2_5",
        language: language_code("eleven_flash_v2_5", "hi-IN"),
        sample_rate_hz: 8_000,
        inactivity_timeout_s: 180,
        enable_logging: true,
    };
    assert_eq!(
        options.query(),
        "model_id=eleven_flash_v2_5&output_format=pcm_8000&auto_mode=true&sync_alignment=true&inactivity_timeout=180\
         &language_code=hi"
    );
    assert!(StreamOptions { enable_logging: false, ..options }.query().ends_with("&enable_logging=false"));
}

#[test]
fn languages() {
    for (model, tag, want) in [
        ("eleven_flash_v2_5", "en-IN", Some("en")),
        ("eleven_turbo_v2_5", "HI_in", Some("hi")),
        ("eleven_flash_v2_5", "nb-NO", Some("no")),
        ("eleven_flash_v2_5", "", None),
        ("eleven_multilingual_v2", "hi-IN", None),
        ("eleven_flash_v2", "en", None),
    ] {
        assert_eq!(language_code(model, tag).as_deref(), want, "{model} {tag}");
    }
}

#[test]
fn voices_stay_in_their_place() {
    for (voice, good) in [("JBFqnCBsd6RMkjVDRZzb", true), ("", false), ("a/../b", false), ("a?b", false), ("अ", false)]
    {
        assert_eq!(is_voice_id(voice), good, "{voice:?}");
    }
}

#[test]
fn messages_are_as_documented() {
    let settings = VoiceSettings {
        stability: 0.5,
        similarity_boost: 0.75,
        style: None,
        use_speaker_boost: None,
        speed: Some(1.1),
    };
    for (text, want) in [
        (begin_context("s1", None), value!({"text":" ","context_id":"s1"})),
        (
            begin_context("s1", Some(&settings)),
            value!({"text":" ","context_id":"s1","voice_settings":{"stability":0.5,"similarity_boost":0.75,"speed":1.1}}),
        ),
        (send_text("s1", " \"नमस्ते\" "), value!({"text":"\"नमस्ते\" ","context_id":"s1","flush":true})),
        (close_context("s1"), value!({"context_id":"s1","close_context":true})),
        (CLOSE_SOCKET.to_owned(), value!({"close_socket":true})),
    ] {
        assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), want);
    }
}

#[test]
fn both_spellings_are_read() {
    for text in [
        r#"{"audio":"AQIDBA==","isFinal":null,"contextId":"s1","normalizedAlignment":null,
            "alignment":{"chars":["H"],"charStartTimesMs":[0],"charsDurationsMs":[3]}}"#,
        r#"{"audio":"AQIDBA==","is_final":false,"context_id":"s1","new_field":[1],
            "alignment":{"chars":["H"],"charsStartTimesMs":[0],"charDurationsMs":[3]}}"#,
        r#"{"audio":"AQIDBA==","context_id":"s1",
            "normalized_alignment":{"chars":["H"],"char_start_times_ms":[0],"chars_durations_ms":[3]}}"#,
    ] {
        let Ok(ServerMessage::Output(output)) = ServerMessage::parse(text) else { panic!("{text}") };
        assert_eq!((output.context.as_deref(), output.audio.as_slice()), (Some("s1"), &[1, 2, 3, 4][..]));
        assert_eq!(output.alignment, Some(alignment("H", 0.0, 3.0)));
        assert!(!output.is_final);
    }
    let end = ServerMessage::parse(r#"{"isFinal":true,"audio":null,"contextId":"s1"}"#).expect("JSON");
    let want = Output { context: Some("s1".into()), is_final: true, ..Output::default() };
    assert_eq!(end, ServerMessage::Output(want));
}

#[test]
fn errors_have_a_code_and_never_their_sentence() {
    for (text, code, context) in [
        (
            r#"{"message":"Maximum simultaneous …","error":"max_active_conversations","code":1008}"#,
            "max_active_conversations",
            None,
        ),
        (r#"{"error":{"code":"invalid_api_key","message":"…"},"contextId":"s3"}"#, "invalid_api_key", Some("s3")),
        (r#"{"error":"Something long happened here","code":1011}"#, "", None),
    ] {
        let Ok(ServerMessage::Error(error)) = ServerMessage::parse(text) else { panic!("{text}") };
        assert_eq!((error.code.as_str(), error.context.as_deref()), (code, context));
    }
    for (body, code) in [
        (r#"{"detail":{"status":"invalid_api_key","message":"Invalid API key"}}"#, "invalid_api_key"),
        (r#"{"detail":"Not Found"}"#, ""),
        ("<html>", ""),
    ] {
        assert_eq!(ServerError::parse(body.as_bytes()).code, code, "{body}");
    }
}

#[test]
fn what_is_unknown_is_skipped_and_what_is_garbage_is_not() {
    for text in ["{}", r#"{"flush_done":true,"contextId":"s1"}"#, r#"{"audio":7}"#] {
        assert_eq!(ServerMessage::parse(text), Ok(ServerMessage::Unknown), "{text}");
    }
    for text in ["", "[]", "{oops", "7"] {
        assert!(matches!(ServerMessage::parse(text), Err(WireError::Malformed { .. })), "{text}");
    }
    assert_eq!(ServerMessage::parse(r#"{"audio":"%%"}"#), Err(WireError::AudioNotBase64));
}

#[test]
fn pieces_that_count_from_their_own_beginning() {
    // 400 ms of sound with the first piece, although its characters end at 350.
    let pieces = [(alignment("आपका ऑ", 0.0, 50.0), Some(0.0)), (alignment("र्डर आया", 0.0, 50.0), Some(400.0))];
    let want = [("आपका", 0, 200), ("ऑर्डर", 250, 600), ("आया", 650, 800)];
    assert_eq!(read(&pieces), want.map(|(t, f, e)| (t.to_owned(), f, e)));
    // Without sound of its own a piece begins where the last one ended.
    let pieces = [(alignment("ab ", 0.0, 50.0), Some(0.0)), (alignment("cd", 0.0, 50.0), None)];
    assert_eq!(read(&pieces)[1], ("cd".to_owned(), 150, 250));
}

#[test]
fn pieces_that_count_on() {
    let pieces = [(alignment("one t", 0.0, 50.0), Some(0.0)), (alignment("wo ", 250.0, 50.0), Some(300.0))];
    let want = [("one", 0, 150), ("two", 200, 350)];
    assert_eq!(read(&pieces), want.map(|(t, f, e)| (t.to_owned(), f, e)));
}

#[test]
fn pieces_too_short_to_tell_count_from_their_own_beginning() {
    // The second begins later in itself than the first was long.
    let pieces = [(alignment("a ", 0.0, 10.0), Some(0.0)), (alignment("b ", 60.0, 10.0), Some(100.0))];
    assert_eq!(read(&pieces)[1], ("b".to_owned(), 160, 170));
    // Once they were seen to overlap, they never count on.
    let third = (alignment("c", 400.0, 10.0), Some(1_000.0));
    let pieces = [(alignment("a  b", 0.0, 50.0), Some(0.0)), (alignment("b ", 0.0, 150.0), Some(300.0)), third];
    assert_eq!(read(&pieces).last(), Some(&("c".to_owned(), 1_400, 1_410)));
}

#[test]
fn lists_of_unequal_length_are_read_as_far_as_they_go() {
    let short = Alignment { chars: vec!["a".into(), "b".into()], starts_ms: vec![5.0], durations_ms: vec![] };
    assert_eq!(read(&[(short, Some(0.0)), (Alignment::default(), None)]), [("a".to_owned(), 5, 5)]);
}

proptest::proptest! {
    #[test]
    fn nothing_panics_and_words_are_in_order(
        text in ".{0,300}",
        pieces in proptest::collection::vec(
            (proptest::collection::vec((".{0,3}", proptest::num::f64::ANY), 0..20), proptest::option::of(0.0f64..1e6)), 0..6),
    ) {
        let _ = ServerMessage::parse(&text);
        let _ = ServerError::parse(text.as_bytes());
        let pieces: Vec<_> = pieces.into_iter().map(|(chars, before)| {
            let (chars, starts_ms): (Vec<_>, Vec<_>) = chars.into_iter().unzip();
            (Alignment { chars, durations_ms: starts_ms.clone(), starts_ms }, before)
        }).collect();
        let words = read(&pieces);
        proptest::prop_assert!(words.windows(2).all(|pair| pair[0].1 <= pair[1].1));
        proptest::prop_assert!(words.iter().all(|(text, from, to)| !text.is_empty() && from <= to));
    }
}
