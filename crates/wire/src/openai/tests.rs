use super::*;
use crate::WireError;
use crate::conversation::{
    AnswerEvent, AnswerReader, AskedTool, FinishReason, NO_RESULT, Tool, ToolCall, ToolCallLimits, Turn, Usage,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const LIMITS: ToolCallLimits = ToolCallLimits { calls: 2, arguments_bytes: 1_000 };

fn request<'a>() -> ChatRequest<'a> {
    ChatRequest {
        model: "gpt-4o-mini",
        system: "Be brief.",
        turns: vec![Turn::User("He said \"hi\"\n"), Turn::Assistant { text: "नमस्ते", tool_calls: Vec::new() }],
        tools: Vec::new(),
        temperature: Some(0.3),
        token_limit: None,
        include_usage: true,
    }
}

fn body(request: &ChatRequest<'_>) -> Value {
    serde_json::from_str(&request.body()).expect("JSON")
}

#[test]
fn the_chat_body_is_what_the_reference_shows() {
    assert_eq!(
        body(&request()),
        json!({
            "model": "gpt-4o-mini",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "He said \"hi\"\n"},
                {"role": "assistant", "content": "नमस्ते"},
            ],
            "stream": true,
            "stream_options": {"include_usage": true},
            "temperature": 0.3,
        })
    );
}

#[test]
fn tools_and_their_results_are_sent_where_the_reference_wants_them() {
    let schema = json!({"type": "object", "properties": {}});
    let asked =
        |id, text| Turn::Assistant { text, tool_calls: vec![AskedTool { id, name: "look_up", arguments: "{}" }] };
    let request = ChatRequest {
        system: "",
        turns: vec![
            asked("c1", ""),
            Turn::User("wait"),
            Turn::ToolResult { id: "c1", text: "found" },
            asked("c2", "One moment."),
        ],
        tools: vec![Tool { name: "look_up", description: "Finds an order.", parameters: &schema }],
        ..request()
    };
    let calls = |id: &str| json!([{"id": id, "type": "function", "function": {"name": "look_up", "arguments": "{}"}}]);
    let sent = body(&request);
    assert_eq!(
        sent["messages"],
        json!([
            {"role": "assistant", "content": null, "tool_calls": calls("c1")},
            {"role": "tool", "tool_call_id": "c1", "content": "found"},
            {"role": "user", "content": "wait"},
            {"role": "assistant", "content": "One moment.", "tool_calls": calls("c2")},
            {"role": "tool", "tool_call_id": "c2", "content": NO_RESULT},
        ])
    );
    let function = json!({"name": "look_up", "description": "Finds an order.", "parameters": schema});
    assert_eq!(
        (&sent["tools"], &sent["tool_choice"]),
        (&json!([{"type": "function", "function": function}]), &json!("auto"))
    );
}

#[test]
fn options_that_a_server_refuses_can_be_left_out() {
    let bare = ChatRequest { system: "", turns: Vec::new(), temperature: None, include_usage: false, ..request() };
    assert_eq!(bare.body(), r#"{"model":"gpt-4o-mini","messages":[],"stream":true}"#);
    let nan = ChatRequest { temperature: Some(f64::NAN), ..bare.clone() };
    assert_eq!(nan.body(), bare.body());
    let old = ChatRequest { token_limit: Some(TokenLimit::MaxTokens(100)), ..bare.clone() };
    assert!(old.body().ends_with(r#""max_tokens":100}"#));
    let new = ChatRequest { token_limit: Some(TokenLimit::MaxCompletionTokens(100)), ..bare };
    assert!(new.body().ends_with(r#""max_completion_tokens":100}"#));
}

fn read(body: &str) -> Vec<AnswerEvent> {
    let (mut out, mut stream) = (Vec::new(), ChatStream::new(LIMITS));
    stream.push(body.as_bytes(), &mut out);
    stream.finish(&mut out);
    out
}

fn text(text: &str) -> AnswerEvent {
    AnswerEvent::Text(text.to_owned())
}

fn call(id: &str, name: &str, arguments: &str) -> AnswerEvent {
    AnswerEvent::ToolCall(ToolCall { id: id.into(), name: name.into(), arguments: arguments.into() })
}

fn usage(prompt_tokens: u64, cached_tokens: u64, completion_tokens: u64) -> AnswerEvent {
    AnswerEvent::Usage(Usage { prompt_tokens, cached_tokens, completion_tokens })
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

fn answer() -> Vec<AnswerEvent> {
    vec![text("Hello"), text(" there"), AnswerEvent::Finished(FinishReason::Stop), usage(9, 0, 2), AnswerEvent::Done]
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
        let mut stream = ChatStream::new(LIMITS);
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
            vec![text("a"), AnswerEvent::Finished(FinishReason::Length)],
        ),
        (
            "tool",
            r#"data: {"choices":[{"delta":{"tool_calls":[{"index":0}]},"finish_reason":"tool_calls"}]}"#,
            vec![AnswerEvent::Finished(FinishReason::ToolCalls)],
        ),
        (
            "unknown reason",
            r#"data: {"choices":[{"finish_reason":"abort"}]}"#,
            vec![AnswerEvent::Finished(FinishReason::Other)],
        ),
        ("not JSON", "data: {oops\n\ndata: [DONE]\n\n", vec![AnswerEvent::Malformed, AnswerEvent::Done]),
        ("not an object", "data: 7", vec![AnswerEvent::Malformed]),
        ("null error", r#"data: {"error":null,"choices":[{"delta":{"content":"a"}}]}"#, vec![text("a")]),
    ] {
        assert_eq!(read(body), want, "{name}");
    }
}

#[test]
fn an_error_in_the_stream_is_an_error() {
    let body =
        r#"data: {"error":{"message":"The server had an error","type":"server_error","param":null,"code":null}}"#;
    let [AnswerEvent::Error(error)] = &read(body)[..] else { panic!("{:?}", read(body)) };
    assert_eq!((error.kind.as_str(), error.code.as_str()), ("server_error", ""));
}

#[test]
fn tool_calls_are_read_as_the_servers_send_them() {
    let done = "data: [DONE]\n\n";
    let finished = AnswerEvent::Finished(FinishReason::ToolCalls);
    for (name, events, want) in [
        (
            "OpenAI",
            vec![
                r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"look_up","arguments":""}}],"refusal":null},"finish_reason":null}]}"#,
                r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"id\""}}]},"finish_reason":null}]}"#,
                r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":":7}"}}]},"finish_reason":null}]}"#,
                r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#,
            ],
            vec![call("call_a", "look_up", r#"{"id":7}"#), finished.clone(), AnswerEvent::Done],
        ),
        (
            "Ollama: at once, no index, another reason",
            vec![
                r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":"","tool_calls":[{"id":"call_b","type":"function","function":{"name":"look_up","arguments":"{\"id\":7}"}}]},"finish_reason":null}]}"#,
                r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":"stop"}]}"#,
            ],
            vec![
                call("call_b", "look_up", r#"{"id":7}"#),
                AnswerEvent::Finished(FinishReason::Stop),
                AnswerEvent::Done,
            ],
        ),
        (
            "with the reason, arguments as an object, no id",
            vec![
                r#"{"choices":[{"delta":{"content":"One moment.","tool_calls":[{"function":{"name":"look_up","arguments":{"id":7}}}]},"finish_reason":"tool_calls"}]}"#,
            ],
            vec![text("One moment."), call("call_0", "look_up", r#"{"id":7}"#), finished.clone(), AnswerEvent::Done],
        ),
        (
            "no reason at all",
            vec![r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"n"}}]}}]}"#],
            vec![call("c", "n", "{}"), AnswerEvent::Done],
        ),
        (
            "null and odd fields",
            vec![
                r#"{"choices":[{"delta":{"tool_calls":null}},{"index":1}]}"#,
                r#"{"choices":[{"delta":{"tool_calls":[7,{"function":null}]}}]}"#,
            ],
            vec![AnswerEvent::Done],
        ),
        (
            "too many",
            vec![
                r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"n"}},{"index":1,"id":"b","function":{"name":"n"}},{"index":2,"id":"c","function":{"name":"n"}}]}}]}"#,
            ],
            vec![AnswerEvent::TooMuch, AnswerEvent::Done],
        ),
    ] {
        let body: String = events.iter().map(|e| format!("data: {e}\n\n")).chain([done.to_owned()]).collect();
        assert_eq!(read(&body), want, "{name}");
    }
}

#[test]
fn bytes_of_tool_calls_are_counted() {
    let mut stream = ChatStream::new(LIMITS);
    let event = r#"data: {"choices":[{"delta":{"tool_calls":[{"id":"c","function":{"name":"n","arguments":"{}"}}]}}]}"#;
    stream.push(format!("{event}\n\n").as_bytes(), &mut Vec::new());
    assert_eq!(stream.tool_bytes(), 4);
}

#[test]
fn token_counts_are_read_as_the_servers_send_them() {
    for (name, body, want) in [
        (
            "OpenAI",
            r#"data: {"choices":[],"usage":{"prompt_tokens":20,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":16}}}"#,
            vec![usage(20, 16, 5)],
        ),
        (
            "DeepSeek",
            r#"data: {"usage":{"prompt_tokens":20,"completion_tokens":5,"prompt_cache_hit_tokens":3}}"#,
            vec![usage(20, 3, 5)],
        ),
        (
            "Groq, with the end",
            r#"data: {"choices":[{"delta":{},"finish_reason":"stop"}],"x_groq":{"id":"r","usage":{"queue_time":0.01,"prompt_tokens":20,"completion_tokens":5}}}"#,
            vec![usage(20, 0, 5), AnswerEvent::Finished(FinishReason::Stop)],
        ),
        ("null", r#"data: {"choices":[],"usage":null}"#, vec![]),
        ("odd", r#"data: {"usage":{"prompt_tokens":"many","prompt_tokens_details":null}}"#, vec![usage(0, 0, 0)]),
    ] {
        assert_eq!(read(body), want, "{name}");
    }
}

#[test]
fn what_reasoning_models_add_is_skipped() {
    for body in [
        r#"data: {"choices":[{"delta":{"role":"assistant","content":null,"reasoning_content":"Hm."}}]}"#,
        r#"data: {"choices":[{"delta":{"reasoning":"Hm.","reasoning_details":[{"type":"text"}]}}]}"#,
        r#"data: {"choices":[{"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"Hm."}]}]}}]}"#,
    ] {
        assert_eq!(read(body), [], "{body}");
    }
    let parts =
        r#"data: {"choices":[{"delta":{"content":[{"type":"text","text":"a"},{"type":"thinking"},{"text":"b"}]}}]}"#;
    assert_eq!(read(parts), [text("ab")]);
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

#[test]
fn the_transcription_body_is_a_form_with_a_file() {
    let pcm = [1_i16, -2, 300];
    let request =
        TranscriptionRequest { model: "whisper-1", language: "hi", prompt: "", pcm: &pcm, sample_rate_hz: 8_000 };
    let MultipartBody { content_type, bytes } = request.body();
    assert_eq!(content_type, "multipart/form-data; boundary=caly-part-0");
    let at = bytes.windows(4).position(|w| w == b"RIFF").expect("a file");
    let end = at + audio::wav::HEADER_BYTES + pcm.len() * 2;
    let head = concat!(
        "--caly-part-0\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n",
        "--caly-part-0\r\nContent-Disposition: form-data; name=\"language\"\r\n\r\nhi\r\n",
        "--caly-part-0\r\nContent-Disposition: form-data; name=\"response_format\"\r\n\r\njson\r\n",
        "--caly-part-0\r\nContent-Disposition: form-data; name=\"temperature\"\r\n\r\n0\r\n",
        "--caly-part-0\r\nContent-Disposition: form-data; name=\"file\"; filename=\"speech.wav\"\r\n",
        "Content-Type: audio/wav\r\n\r\n",
    );
    assert_eq!(std::str::from_utf8(&bytes[..at]), Ok(head));
    let wav = audio::wav::read(&bytes[at..end]).expect("WAV");
    assert_eq!((wav.rate, wav.channels, wav.samples), (8_000, 1, pcm.to_vec()));
    assert_eq!(&bytes[end..], b"\r\n--caly-part-0--\r\n");
}

#[test]
fn a_boundary_that_is_in_the_form_is_not_taken() {
    let pcm: Vec<i16> = b"caly-part-0caly-part-1 ".as_chunks::<2>().0.iter().map(|b| i16::from_le_bytes(*b)).collect();
    let request =
        TranscriptionRequest { model: "m", language: "", prompt: "--caly-part-2", pcm: &pcm, sample_rate_hz: 8_000 };
    let body = request.body();
    assert_eq!(body.content_type, "multipart/form-data; boundary=caly-part-3");
    let times = body.bytes.windows(11).filter(|w| *w == b"caly-part-3").count();
    assert_eq!(times, 6, "five parts and the end");
}

#[test]
fn languages_have_two_letters_or_none() {
    for (tag, want) in [
        ("en-IN", "en"),
        ("HI", "hi"),
        ("ta_IN", "ta"),
        ("und", ""),
        ("multi", ""),
        ("", ""),
        ("9x", ""),
        ("doi-IN", ""),
    ] {
        assert_eq!(language_code(tag), want, "{tag}");
    }
}

#[test]
fn transcripts_are_read() {
    for (body, want) in [
        (r#"{"text":" Hello there. ","usage":{"type":"duration","seconds":2}}"#, Ok("Hello there.")),
        (r#"{"task":"transcribe","language":"en","duration":1.2,"text":"","segments":[]}"#, Ok("")),
        (r#"{"error":{"message":"no"}}"#, Err(WireError::MissingField("text"))),
        (r#"{"text":7}"#, Err(WireError::MissingField("text"))),
        ("[]", Err(WireError::MissingField("text"))),
    ] {
        assert_eq!(transcript(body.as_bytes()), want.map(str::to_owned), "{body}");
    }
    assert!(matches!(transcript(b"<html>"), Err(WireError::Malformed { .. })));
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
        prop_assert_eq!(read(&body), vec![AnswerEvent::Text(content)]);
    }
}
