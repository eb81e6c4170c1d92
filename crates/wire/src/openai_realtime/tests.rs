use super::*;
use proptest::prelude::*;

fn value(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn the_session_is_set_up_without_their_turn_taking() {
    let parameters = json!({"type": "object"});
    let tools = [FunctionTool { name: "book", description: "Books.", parameters: &parameters }];
    let options = SessionOptions {
        instructions: "Be kind.",
        voice: "marin",
        transcription_model: "gpt-4o-mini-transcribe",
        language: Some("hi"),
        output_tokens_max: 2_048,
        tools: &tools,
    };
    let tool = json!({"type": "function", "name": "book", "description": "Books.", "parameters": {"type": "object"}});
    assert_eq!(
        value(&session_update(&options)),
        json!({"type": "session.update", "session": {
            "type": "realtime", "output_modalities": ["audio"], "instructions": "Be kind.", "max_output_tokens": 2048,
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": 24000},
                    "transcription": {"model": "gpt-4o-mini-transcribe", "language": "hi"},
                    "turn_detection": null, "noise_reduction": null,
                },
                "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin"},
            },
            "tools": [tool], "tool_choice": "auto",
        }})
    );
    let open = SessionOptions { language: None, ..options };
    assert!(value(&session_update(&open))["session"]["audio"]["input"]["transcription"].get("language").is_none());
    assert_eq!(
        value(&session_change("Be brief.", &[])),
        json!({"type": "session.update", "session": {"type": "realtime", "instructions": "Be brief.", "tools": []}})
    );
}

#[test]
fn what_is_sent_has_their_shape() {
    for (given, want) in [
        (append(&[1, -1]), json!({"type": "input_audio_buffer.append", "audio": "AQD//w=="})),
        (commit("c1"), json!({"type": "input_audio_buffer.commit", "event_id": "c1"})),
        (CLEAR.to_owned(), json!({"type": "input_audio_buffer.clear"})),
        (
            create_item("e1", "i1", None, &NewItem::Caller("Hi")),
            json!({"type": "conversation.item.create", "event_id": "e1", "previous_item_id": "root", "item":
                {"id": "i1", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}}),
        ),
        (
            create_item("e1", "i1", Some("i0"), &NewItem::Agent("Hello")),
            json!({"type": "conversation.item.create", "event_id": "e1", "previous_item_id": "i0", "item":
                {"id": "i1", "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello"}]}}),
        ),
        (
            create_item("e1", "i1", Some("i0"), &NewItem::FunctionCall { call_id: "c", name: "n", arguments: "{}" }),
            json!({"type": "conversation.item.create", "event_id": "e1", "previous_item_id": "i0", "item":
                {"id": "i1", "type": "function_call", "call_id": "c", "name": "n", "arguments": "{}"}}),
        ),
        (
            create_item("e1", "i1", Some("i0"), &NewItem::FunctionResult { call_id: "c", output: "done" }),
            json!({"type": "conversation.item.create", "event_id": "e1", "previous_item_id": "i0", "item":
                {"id": "i1", "type": "function_call_output", "call_id": "c", "output": "done"}}),
        ),
        (delete_item("e1", "i1"), json!({"type": "conversation.item.delete", "event_id": "e1", "item_id": "i1"})),
        (
            truncate_item("e1", "i1", 700),
            json!({"type": "conversation.item.truncate", "event_id": "e1", "item_id": "i1", "content_index": 0,
                "audio_end_ms": 700}),
        ),
        (
            create_response("e1", "7"),
            json!({"type": "response.create", "event_id": "e1", "response": {"metadata": {"name": "7"}}}),
        ),
        (
            say_response("e1", "7", "Exactly.", "Good day."),
            json!({"type": "response.create", "event_id": "e1", "response": {"conversation": "none",
                "output_modalities": ["audio"], "instructions": "Exactly.", "input": [{"type": "message", "role": "user",
                "content": [{"type": "input_text", "text": "Good day."}]}], "tools": [], "tool_choice": "none",
                "metadata": {"name": "7"}}}),
        ),
        (cancel_response("r"), json!({"type": "response.cancel", "response_id": "r"})),
    ] {
        assert_eq!(value(&given), want);
    }
}

#[test]
fn events_are_read() {
    let s = |text: &str| text.to_owned();
    let call = || ItemKind::FunctionCall { call_id: s("c"), name: s("book"), arguments: s("{}") };
    let limit = || ApiError { kind: s("tokens"), code: s("rate_limit_exceeded"), message: s("slow") };
    for (given, want) in [
        (r#"{"type":"session.created","session":{}}"#, ServerEvent::SessionCreated),
        (r#"{"type":"session.updated","session":{}}"#, ServerEvent::SessionUpdated),
        (
            r#"{"type":"input_audio_buffer.committed","previous_item_id":null,"item_id":"i"}"#,
            ServerEvent::Committed { item: s("i") },
        ),
        (
            r#"{"type":"conversation.item.input_audio_transcription.delta","item_id":"i","content_index":0,"delta":"Wh"}"#,
            ServerEvent::TranscriptDelta { item: s("i"), text: s("Wh") },
        ),
        (
            r#"{"type":"conversation.item.input_audio_transcription.completed","item_id":"i","transcript":"Where? ","usage":{}}"#,
            ServerEvent::Transcript { item: s("i"), text: s("Where?") },
        ),
        (
            r#"{"type":"conversation.item.input_audio_transcription.failed","item_id":"i","error":{"type":"tokens","code":"rate_limit_exceeded","message":"slow"}}"#,
            ServerEvent::TranscriptFailed { item: s("i"), error: limit() },
        ),
        (
            r#"{"type":"response.created","response":{"id":"r","status":"in_progress","metadata":{"name":"7"}}}"#,
            ServerEvent::ResponseCreated { response: s("r"), name: Some(s("7")) },
        ),
        (
            r#"{"type":"response.created","response":{"id":"r","metadata":null}}"#,
            ServerEvent::ResponseCreated { response: s("r"), name: None },
        ),
        (
            r#"{"type":"response.output_item.added","response_id":"r","output_index":0,"item":{"id":"i","type":"message","role":"assistant","content":[]}}"#,
            ServerEvent::ItemAdded { response: s("r"), item: s("i"), kind: ItemKind::Message },
        ),
        (
            r#"{"type":"response.output_item.done","response_id":"r","output_index":1,"item":{"id":"i","type":"function_call","call_id":"c","name":"book","arguments":"{}"}}"#,
            ServerEvent::ItemDone { response: s("r"), item: s("i"), kind: call() },
        ),
        (
            r#"{"type":"response.output_audio.delta","response_id":"r","item_id":"i","output_index":0,"content_index":0,"delta":"AQD//w=="}"#,
            ServerEvent::Audio { response: s("r"), item: s("i"), pcm: vec![1, -1] },
        ),
        (
            r#"{"type":"response.output_audio_transcript.delta","response_id":"r","item_id":"i","delta":" It"}"#,
            ServerEvent::Text { response: s("r"), item: s("i"), text: s(" It") },
        ),
    ] {
        assert_eq!(ServerEvent::parse(given), Ok(want), "{given}");
    }
}

#[test]
fn ends_and_errors_are_read() {
    let s = |text: &str| text.to_owned();
    let limit = || ApiError { kind: s("tokens"), code: s("rate_limit_exceeded"), message: s("slow") };
    for (given, want) in [
        (
            r#"{"type":"response.done","response":{"id":"r","status":"completed","usage":{"input_tokens":9,"output_tokens":5,"input_token_details":{"cached_tokens":4}}}}"#,
            ServerEvent::ResponseDone {
                response: s("r"),
                outcome: Outcome::Completed,
                tokens: Some(Tokens { input: 9, cached: 4, output: 5 }),
            },
        ),
        (
            r#"{"type":"response.done","response":{"id":"r","status":"cancelled","status_details":{"reason":"client_cancelled"},"usage":null}}"#,
            ServerEvent::ResponseDone { response: s("r"), outcome: Outcome::Cancelled, tokens: None },
        ),
        (
            r#"{"type":"response.done","response":{"id":"r","status":"failed","status_details":{"error":{"type":"tokens","code":"rate_limit_exceeded","message":"slow"}}}}"#,
            ServerEvent::ResponseDone { response: s("r"), outcome: Outcome::Failed(limit()), tokens: None },
        ),
        (
            r#"{"type":"error","event_id":"x","error":{"type":"tokens","code":"rate_limit_exceeded","message":"slow","event_id":"c1"}}"#,
            ServerEvent::Error { event_id: Some(s("c1")), error: limit() },
        ),
        (r#"{"type":"rate_limits.updated","rate_limits":[]}"#, ServerEvent::Other),
        (r#"{"type":"response.output_audio.delta","delta":"!"}"#, ServerEvent::Other),
        (r#"{"type":"input_audio_buffer.committed"}"#, ServerEvent::Other),
        ("{}", ServerEvent::Other),
    ] {
        assert_eq!(ServerEvent::parse(given), Ok(want), "{given}");
    }
    for bad in [
        "",
        "{oops",
        "[]",
        r#"{"type":"response.output_audio.delta","response_id":"r","item_id":"i","delta":"!"}"#,
        r#"{"type":"response.output_audio.delta","response_id":"r","item_id":"i","delta":"AQ=="}"#,
    ] {
        assert!(ServerEvent::parse(bad).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(text in ".{0,200}", event in "(response|session|error|conversation|input_audio_buffer)[a-z_.]{0,50}") {
        let _ = ServerEvent::parse(&text);
        let _ = ServerEvent::parse(&format!(r#"{{"type":"{event}","response":7,"item":[],"error":"x","item_id":"é"}}"#));
    }
}
