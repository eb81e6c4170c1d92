//! The fake vendors refuse what the real ones refuse, and answer in time and form as they do.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::vendors::{Answers, FakeVendors, Transcripts, VendorSettings};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

const QUERY: &str = "model=nova-3&language=en&encoding=linear16&sample_rate=8000&interim_results=true&endpointing=100";

async fn fakes() -> FakeVendors {
    FakeVendors::start(VendorSettings::instant()).await.expect("a free port")
}

fn client() -> reqwest::Client {
    // The process-wide TLS provider; a second test installing it is no harm.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(Duration::from_secs(30)).build().expect("a client without files builds")
}

async fn post(url: String, key: &str, body: &Value) -> (u16, String) {
    let request = client().post(url).header("authorization", key).json(body);
    let response = request.send().await.expect("it answers");
    (response.status().as_u16(), response.text().await.unwrap_or_default())
}

fn chat(change: impl FnOnce(&mut Value)) -> Value {
    let mut body = json!({"model":"m","stream":true,"messages":[{"role":"user","content":"hello there"}]});
    change(&mut body);
    body
}

#[tokio::test]
async fn chat_requests_that_openai_refuses_are_refused() {
    let fakes = fakes().await;
    let url = format!("{}/chat/completions", fakes.openai_url());
    for (name, want, key, body) in [
        ("good", 200, "Bearer x", chat(|_| {})),
        ("no key", 401, "Bearer ", chat(|_| {})),
        ("other scheme", 401, "Token x", chat(|_| {})),
        ("no model", 400, "Bearer x", chat(|b| b["model"] = json!(""))),
        ("no messages", 400, "Bearer x", chat(|b| b["messages"] = json!([]))),
        ("null content", 400, "Bearer x", chat(|b| b["messages"][0]["content"] = Value::Null)),
        ("unknown role", 400, "Bearer x", chat(|b| b["messages"][0]["role"] = json!("caller"))),
        ("too hot", 400, "Bearer x", chat(|b| b["temperature"] = json!(2.5))),
        ("unknown parameter", 400, "Bearer x", chat(|b| b["temprature"] = json!(1))),
        (
            "both limits",
            400,
            "Bearer x",
            chat(|b| {
                b["max_tokens"] = json!(1);
                b["max_completion_tokens"] = json!(1);
            }),
        ),
        ("not an object", 400, "Bearer x", json!([1])),
    ] {
        assert_eq!(post(url.clone(), key, &body).await.0, want, "{name}");
    }
    assert_eq!((fakes.stats().refused, fakes.stats().chat_requests), (10, 1));
}

#[tokio::test]
async fn the_default_answer_has_its_first_sentence_in_nine_of_twenty_tokens() {
    let fakes = fakes().await;
    let (_, text) = post(format!("{}/chat/completions", fakes.openai_url()), "Bearer x", &chat(|_| {})).await;
    let events: Vec<&str> = text.split("\n\n").filter_map(|e| e.strip_prefix("data: ")).collect();
    let tokens: Vec<String> = events
        .iter()
        .filter_map(|e| serde_json::from_str::<Value>(e).ok())
        .filter_map(|e| e["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
        .collect();
    assert_eq!((tokens.len(), tokens[8].as_str()), (20, "."));
    assert!(!tokens[..8].concat().contains('.'));
    assert_eq!(events.last(), Some(&"[DONE]"));
    assert!(!text.contains("usage"), "it was not asked for");
}

#[tokio::test]
async fn echo_and_script_answer_as_they_should() {
    for (answers, want) in [
        (Answers::Echo, "hello there"),
        (Answers::Script(vec!["one".into(), "two".into()]), "one"),
        (Answers::Script(vec![]), ""),
    ] {
        let settings = VendorSettings { answers, ..VendorSettings::instant() };
        let fakes = FakeVendors::start(settings).await.expect("a free port");
        let (_, body) = post(format!("{}/chat/completions", fakes.openai_url()), "Bearer x", &chat(|_| {})).await;
        let said: String = body
            .split("\n\n")
            .filter_map(|e| serde_json::from_str::<Value>(e.strip_prefix("data: ")?).ok())
            .filter_map(|e| e["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
            .collect();
        assert_eq!(said, want);
    }
}

#[tokio::test]
async fn speech_requests_that_openai_refuses_are_refused() {
    let fakes = fakes().await;
    let url = format!("{}/audio/speech", fakes.openai_url());
    let good = json!({"model":"m","voice":"v","input":"hello there","response_format":"pcm"});
    let changed = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    for (name, want, key, body) in [
        ("good", 200, "Bearer x", good.clone()),
        ("no key", 401, "", good.clone()),
        ("no voice", 400, "Bearer x", changed("voice", json!(""))),
        ("no input", 400, "Bearer x", changed("input", json!(""))),
        ("too long", 400, "Bearer x", changed("input", json!("a".repeat(4_097)))),
        ("other format", 400, "Bearer x", changed("response_format", json!("mp3"))),
        ("unknown parameter", 400, "Bearer x", changed("pitch", json!(1))),
    ] {
        assert_eq!(post(url.clone(), key, &body).await.0, want, "{name}");
    }
    assert_eq!(fakes.stats().speech_bytes, 700 * 48, "two words of 330 ms in chunks of 100 ms");
}

type Ws = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

async fn listen(fakes: &FakeVendors, key: &str, query: &str) -> Result<Ws, u16> {
    let mut request = format!("{}?{query}", fakes.listen_url()).into_client_request().expect("a URL");
    request.headers_mut().insert("authorization", key.parse().expect("a header"));
    match connect_async(request).await {
        Ok((socket, _)) => Ok(socket),
        Err(WsError::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn streams_that_deepgram_refuses_are_refused() {
    let fakes = fakes().await;
    for (name, want, key, query) in [
        ("good", None, "Token x", QUERY.to_owned()),
        ("no key", Some(401), "Token ", QUERY.to_owned()),
        ("other scheme", Some(401), "Bearer x", QUERY.to_owned()),
        ("no model", Some(400), "Token x", QUERY.replace("model=nova-3", "model=")),
        ("no rate", Some(400), "Token x", QUERY.replace("&sample_rate=8000", "")),
        ("other encoding", Some(400), "Token x", QUERY.replace("linear16", "opus")),
        ("no number", Some(400), "Token x", QUERY.replace("endpointing=100", "endpointing=soon")),
        ("no truth", Some(400), "Token x", QUERY.replace("interim_results=true", "interim_results=yes")),
        ("unknown parameter", Some(400), "Token x", format!("{QUERY}&interim=true")),
    ] {
        assert_eq!(listen(&fakes, key, &query).await.err(), want, "{name}");
    }
}

/// All that comes until the end: texts, and the close code.
async fn rest(mut socket: Ws) -> (Vec<Value>, Option<u16>) {
    let mut texts = Vec::new();
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Text(text) => texts.push(serde_json::from_str(&text).expect("JSON")),
            Message::Close(frame) => return (texts, frame.map(|f| f.code.into())),
            _ => {}
        }
    }
    (texts, None)
}

fn sound(level: i16, ms: usize) -> Message {
    Message::binary((0..8 * ms).flat_map(|_| level.to_le_bytes()).collect::<Vec<u8>>())
}

#[tokio::test]
async fn an_utterance_gets_interim_and_final_text_and_finalize_its_answer() {
    let transcripts = Transcripts::Script(vec!["one two three four".into()]);
    let settings = VendorSettings { transcripts, ..VendorSettings::instant() };
    let fakes = FakeVendors::start(settings).await.expect("a free port");
    let mut socket = listen(&fakes, "Token x", QUERY).await.expect("it opens");
    for message in [sound(0, 200), sound(2_000, 400), sound(0, 300), sound(2_000, 200)] {
        socket.send(message).await.expect("sent");
    }
    for text in [r#"{"type":"Finalize"}"#, r#"{"type":"Finalize"}"#, r#"{"type":"CloseStream"}"#] {
        // The answers have their turn between the requests.
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        socket.send(Message::text(text)).await.expect("sent");
    }
    let (messages, code) = rest(socket).await;
    let shown: Vec<(String, bool, bool, bool)> = messages
        .iter()
        .map(|m| {
            let flag = |name: &str| m[name] == json!(true);
            let text = m["channel"]["alternatives"][0]["transcript"].as_str().unwrap_or("-").to_owned();
            (text, flag("is_final"), flag("speech_final"), flag("from_finalize"))
        })
        .collect();
    let all = "one two three four".to_owned();
    assert_eq!(
        shown,
        [
            ("one two".to_owned(), false, false, false),
            (all.clone(), true, true, false),
            (all, true, false, true),
            (String::new(), true, false, true),
            ("-".to_owned(), false, false, false),
        ]
    );
    assert_eq!(messages.last().expect("one")["type"], "Metadata");
    assert_eq!((messages[1]["start"].as_f64(), code), (Some(0.2), Some(1000)));
}

#[tokio::test]
async fn what_is_no_audio_closes_the_stream() {
    let fakes = fakes().await;
    for (message, want) in [
        (Message::binary(vec![0u8; 3]), 1008),
        (Message::text("hello"), 1008),
        (Message::text(r#"{"type":"Finalise"}"#), 1008),
        (Message::binary(Vec::new()), 1000),
    ] {
        let mut socket = listen(&fakes, "Token x", QUERY).await.expect("it opens");
        socket.send(message).await.expect("sent");
        assert_eq!(rest(socket).await.1, Some(want));
    }
}

#[tokio::test]
async fn a_stream_that_sends_nothing_is_closed() {
    let settings = VendorSettings { listen_idle_ms: 50, ..VendorSettings::instant() };
    let fakes = FakeVendors::start(settings).await.expect("a free port");
    let socket = listen(&fakes, "Token x", QUERY).await.expect("it opens");
    assert_eq!(rest(socket).await.1, Some(1011));
}
