use super::*;
use proptest::prelude::*;

fn request<'a>() -> ChatRequest<'a> {
    ChatRequest {
        model: "gpt-4o-mini",
        messages: vec![
            ChatMessage { role: ChatRole::System, content: "Be brief." },
            ChatMessage { role: ChatRole::User, content: "He said \"hi\"\n" },
            ChatMessage { role: ChatRole::Assistant, content: "नमस्ते" },
        ],
        temperature: Some(0.3),
        token_limit: None,
        include_usage: true,
    }
}

#[test]
fn the_chat_body_is_what_the_reference_shows() {
    assert_eq!(
        request().body(),
        concat!(
            r#"{"model":"gpt-4o-mini","messages":[{"role":"system","content":"Be brief."},"#,
            r#"{"role":"user","content":"He said \"hi\"\n"},{"role":"assistant","content":"नमस्ते"}],"#,
            r#""stream":true,"stream_options":{"include_usage":true},"temperature":0.3}"#
        )
    );
}

#[test]
fn options_that_a_server_refuses_can_be_left_out() {
    let bare = ChatRequest { messages: Vec::new(), temperature: None, include_usage: false, ..request() };
    assert_eq!(bare.body(), r#"{"model":"gpt-4o-mini","messages":[],"stream":true}"#);
    let nan = ChatRequest { temperature: Some(f64::NAN), ..bare.clone() };
    assert_eq!(nan.body(), bare.body());
    let old = ChatRequest { token_limit: Some(TokenLimit::MaxTokens(100)), ..bare.clone() };
    assert!(old.body().ends_with(r#""max_tokens":100}"#));
    let new = ChatRequest { token_limit: Some(TokenLimit::MaxCompletionTokens(100)), ..bare };
    assert!(new.body().ends_with(r#""max_completion_tokens":100}"#));
}

fn read(body: &str) -> Vec<ChatEvent> {
    let mut out = Vec::new();
    let mut stream = ChatStream::new();
    stream.push(body.as_bytes(), &mut out);
    stream.finish(&mut out);
    out
}

fn text(text: &str) -> ChatEvent {
    ChatEvent::Text(text.to_owned())
}

/// As the streaming reference prints it, with token counts.
const ANSWER: &str = concat!(
    r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini","system_fingerprint":"fp","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"usage":null}"#,
    "\n\n",
    r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini","choices":[{"index":0,"delta":{"content":"Hello"},"logprobs":null,"finish_reason":null}]}"#,
    "\n\n",
    r#"data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{"content":" there"},"finish_reason":null}]}"#,
    "\n\n",
    r#"data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
    "\n\n",
    r#"data: {"id":"chatcmpl-1","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}"#,
    "\n\ndata: [DONE]\n\n"
);

fn answer() -> Vec<ChatEvent> {
    vec![
        text("Hello"),
        text(" there"),
        ChatEvent::Finished(FinishReason::Stop),
        ChatEvent::Usage(Usage { prompt_tokens: 9, completion_tokens: 2 }),
        ChatEvent::Done,
    ]
}

#[test]
fn a_streamed_answer_is_read() {
    assert_eq!(read(ANSWER), answer());
    assert_eq!(read(&ANSWER.replace('\n', "\r\n")), answer());
    assert_eq!(read(ANSWER.trim_end()), answer());
}

#[test]
fn a_streamed_answer_is_read_cut_at_every_byte() {
    for at in 0..ANSWER.len() {
        let mut out = Vec::new();
        let mut stream = ChatStream::new();
        stream.push(&ANSWER.as_bytes()[..at], &mut out);
        stream.push(&ANSWER.as_bytes()[at..], &mut out);
        assert_eq!(out, answer(), "cut at {at}");
    }
}

#[test]
fn what_other_servers_send_is_read() {
    for (name, body, want) in [
        ("no index", r#"data: {"choices":[{"delta":{"content":"a"}}]}"#, vec![text("a")]),
        ("null choices", r#"data: {"choices":null}"#, vec![]),
        ("another choice", r#"data: {"choices":[{"index":1,"delta":{"content":"b"}}]}"#, vec![]),
        ("refusal", r#"data: {"choices":[{"delta":{"content":null,"refusal":"No."}}]}"#, vec![text("No.")]),
        (
            "text and reason together",
            r#"data: {"choices":[{"delta":{"content":"a"},"finish_reason":"length"}]}"#,
            vec![text("a"), ChatEvent::Finished(FinishReason::Length)],
        ),
        (
            "tool",
            r#"data: {"choices":[{"delta":{"tool_calls":[{"index":0}]},"finish_reason":"tool_calls"}]}"#,
            vec![ChatEvent::Finished(FinishReason::ToolCalls)],
        ),
        (
            "unknown reason",
            r#"data: {"choices":[{"finish_reason":"abort"}]}"#,
            vec![ChatEvent::Finished(FinishReason::Other)],
        ),
        ("not JSON", "data: {oops\n\ndata: [DONE]\n\n", vec![ChatEvent::Malformed, ChatEvent::Done]),
        ("not an object", "data: 7", vec![ChatEvent::Malformed]),
        ("null error", r#"data: {"error":null,"choices":[{"delta":{"content":"a"}}]}"#, vec![text("a")]),
    ] {
        assert_eq!(read(body), want, "{name}");
    }
}

#[test]
fn an_error_in_the_stream_is_an_error() {
    let body =
        r#"data: {"error":{"message":"The server had an error","type":"server_error","param":null,"code":null}}"#;
    let [ChatEvent::Error(error)] = &read(body)[..] else { panic!("{:?}", read(body)) };
    assert_eq!((error.kind.as_str(), error.code.as_str()), ("server_error", ""));
}

#[test]
fn error_bodies_of_all_shapes_are_read() {
    for (body, kind, code, message) in [
        (
            r#"{"error":{"message":"You exceeded","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#,
            "insufficient_quota",
            "insufficient_quota",
            "You exceeded",
        ),
        (r#"{"error":"model 'x' not found"}"#, "", "", "model 'x' not found"),
        (
            r#"{"object":"error","message":"too long","type":"BadRequestError","code":400}"#,
            "BadRequestError",
            "400",
            "too long",
        ),
        (r#"{"detail":"Not Found"}"#, "", "", "Not Found"),
        ("upstream connect error", "", "", "upstream connect error"),
        ("", "", "", ""),
        ("[1,2]", "", "", ""),
    ] {
        let want = ApiError { kind: kind.into(), code: code.into(), message: message.into() };
        assert_eq!(ApiError::parse(body.as_bytes()), want, "{body}");
    }
    let long = ApiError::parse("é".repeat(1000).as_bytes());
    assert_eq!(long.message.len(), ERROR_MESSAGE_BYTES_MAX);
}

#[test]
fn the_speech_body_asks_for_raw_samples() {
    let mut speech = SpeechRequest { model: "tts-1", input: "Hi \"you\"", voice: "alloy", instructions: "" };
    assert_eq!(speech.body(), r#"{"model":"tts-1","input":"Hi \"you\"","voice":"alloy","response_format":"pcm"}"#);
    speech.instructions = "Warmly.";
    assert!(speech.body().ends_with(r#""response_format":"pcm","instructions":"Warmly."}"#));
}

#[test]
fn containers_are_recognised() {
    assert_eq!(foreign_audio(b"RIFF\x00\x00"), Some("WAV"));
    assert_eq!(foreign_audio(b"ID3\x04"), Some("MP3"));
    assert_eq!(foreign_audio(&[0, 0, 1, 0]), None);
    assert_eq!(foreign_audio(b""), None);
}

proptest! {
    #[test]
    fn samples_survive_any_cut(samples in prop::collection::vec(any::<i16>(), 0..200), cut in 1usize..7) {
        let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
        let mut out = Vec::new();
        let mut reader = PcmBytes::new();
        for piece in bytes.chunks(cut) {
            reader.push(piece, &mut out);
        }
        prop_assert_eq!(out, samples);
    }

    #[test]
    fn any_json_is_survived(body in "(data: )?[\\[\\]{}\":,a-z0-9 \n]{0,200}") {
        read(&body);
        let _ = ApiError::parse(body.as_bytes());
    }

    #[test]
    fn any_text_comes_back(content in "\\PC{0,60}") {
        prop_assume!(!content.is_empty());
        let body = format!("data: {}\n\n", serde_json::json!({"choices":[{"index":0,"delta":{"content":content}}]}));
        prop_assert_eq!(read(&body), vec![ChatEvent::Text(content)]);
    }
}
