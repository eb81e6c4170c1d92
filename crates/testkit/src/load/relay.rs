//! A yardstick: the least that a server of calls can do, in the plain way it would be written with tokio and tungstenite.
//! The caller's sound goes to the transcriber, what the transcriber says at the end of a turn to the model, each sentence
//! of the model to the voice, the voice's sound to the caller; when the caller speaks into it, what is played is cleared.
//!
//! No voice activity but a level, no recording, no database, no pacing, no second attempt at anything. What a real server
//! uses beyond this is the price of all that.

use audio::g711::{mulaw_decode, mulaw_encode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, accept_async, connect_async_with_config};

/// Loud milliseconds that are an interruption.
const BARGE_MS: u64 = 200;
/// The most that is remembered of them, so that they are forgotten within 150 ms of silence.
const LOUD_MS_MAX: u64 = 300;
/// Mean size of samples that is loud.
const LOUD: u32 = 200;
/// Samples of ten milliseconds.
const TEN_MS: usize = 80;
/// Sentences that wait for the voice.
const SENTENCES_MAX: usize = 32;

type Vendor = WebSocketStream<MaybeTlsStream<TcpStream>>;

#[derive(Deserialize)]
struct Heard<'a> {
    #[serde(borrow, default)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    media: Option<Media<'a>>,
    start: Option<Value>,
}

#[derive(Deserialize)]
struct Media<'a> {
    #[serde(borrow, default)]
    payload: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Transcript<'a> {
    #[serde(default)]
    speech_final: bool,
    #[serde(borrow)]
    channel: Option<Channel<'a>>,
}

#[derive(Deserialize)]
struct Channel<'a> {
    #[serde(borrow, default)]
    alternatives: Vec<Alternative<'a>>,
}

#[derive(Deserialize)]
struct Alternative<'a> {
    #[serde(borrow, default)]
    transcript: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    choices: Vec<Choice<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    delta: Delta<'a>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    content: Option<Cow<'a, str>>,
}

/// Takes calls until it is dropped.
///
/// # Errors
/// When no connection can be accepted any more.
pub async fn serve(listener: TcpListener, vendors: SocketAddr) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            // A call that breaks is over; nobody is told.
            let _ = Box::pin(call(stream, vendors)).await;
        });
    }
}

/// The model's sentences to the line; none at their end.
async fn answer(vendors: SocketAddr, messages: Vec<Value>, to: mpsc::Sender<Option<String>>) -> io::Result<()> {
    let body = json!({"model": "stub", "stream": true, "messages": messages}).to_string();
    let mut stream = TcpStream::connect(vendors).await?;
    stream.set_nodelay(true)?;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {vendors}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    let mut lines = BufReader::new(stream).lines();
    let mut sentence = String::new();
    while let Some(line) = lines.next_line().await? {
        let Some(event) = line.strip_prefix("data: ").filter(|event| *event != "[DONE]") else {
            if line == "data: [DONE]" {
                break;
            }
            continue;
        };
        let Ok(chunk) = serde_json::from_str::<Chunk<'_>>(event) else { continue };
        sentence.extend(chunk.choices.first().and_then(|choice| choice.delta.content.as_deref()));
        if sentence.ends_with(['.', '?', '!']) {
            // The line may not want it any more.
            let _ = to.send(Some(std::mem::take(&mut sentence))).await;
        }
    }
    let _ = to.send(None).await;
    Ok(())
}

/// One call.
struct Call {
    caller: WebSocketStream<TcpStream>,
    transcriber: Vendor,
    voice: Vendor,
    vendors: SocketAddr,
    stream_id: String,
    /// μ-law, and the other carrier's names.
    twilio: bool,
    sentences: (mpsc::Sender<Option<String>>, mpsc::Receiver<Option<String>>),
    answering: Option<JoinHandle<io::Result<()>>>,
    messages: Vec<Value>,
    play_end: Instant,
    loud_ms: u64,
    muted: bool,
}

async fn call(stream: TcpStream, vendors: SocketAddr) -> Result<(), Error> {
    let mut caller = accept_async(stream).await?;
    let start = loop {
        match caller.next().await {
            Some(Ok(Message::Text(text))) => {
                if let Ok(Heard { start: Some(start), .. }) = serde_json::from_str(&text) {
                    break start;
                }
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error),
            None => return Ok(()),
        }
    };
    let twilio = start.get("streamSid").is_some();
    let stream_id = start[if twilio { "streamSid" } else { "stream_sid" }].as_str().unwrap_or_default().to_owned();
    let open = async |path: &str| connect_async_with_config(format!("ws://{vendors}{path}"), None, true).await;
    let (transcriber, _) = open("/v1/listen?encoding=linear16&sample_rate=8000&interim_results=true").await?;
    let (voice, _) = open("/v1/speak?encoding=linear16&sample_rate=8000").await?;
    let mut call = Call {
        caller,
        transcriber,
        voice,
        vendors,
        stream_id,
        twilio,
        sentences: mpsc::channel(SENTENCES_MAX),
        answering: None,
        messages: vec![json!({"role": "system", "content": "You are a helpful phone agent. Answer briefly."})],
        play_end: Instant::now(),
        loud_ms: 0,
        muted: false,
    };
    while call.step().await? {}
    Ok(())
}

impl Call {
    /// False = it is over.
    async fn step(&mut self) -> Result<bool, Error> {
        tokio::select! {
            message = self.caller.next() => match message.transpose()? {
                Some(Message::Text(text)) => self.caller_said(&text).await,
                Some(Message::Close(_)) | None => Ok(false),
                Some(_) => Ok(true),
            },
            message = self.transcriber.next() => match message.transpose()? {
                Some(Message::Text(text)) => Ok(self.transcribed(&text)),
                Some(_) => Ok(true),
                None => Ok(false),
            },
            Some(sentence) = self.sentences.1.recv() => self.speak(sentence).await,
            message = self.voice.next() => match message.transpose()? {
                Some(Message::Binary(sound)) => self.play(&sound).await,
                Some(Message::Text(text)) => {
                    self.muted &= !text.contains("Cleared");
                    Ok(true)
                }
                Some(_) => Ok(true),
                None => Ok(false),
            },
        }
    }

    async fn caller_said(&mut self, text: &str) -> Result<bool, Error> {
        let Ok(heard) = serde_json::from_str::<Heard<'_>>(text) else { return Ok(true) };
        if heard.event == "stop" {
            self.caller.close(None).await?;
            return Ok(false);
        }
        let Some(media) = heard.media else { return Ok(true) };
        let Ok(bytes) = STANDARD.decode(media.payload.as_bytes()) else { return Ok(true) };
        let pcm: Vec<i16> = if self.twilio {
            bytes.iter().map(|code| mulaw_decode(*code)).collect()
        } else {
            bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
        };
        for window in pcm.chunks(TEN_MS) {
            let sum: u32 = window.iter().map(|sample| u32::from(sample.unsigned_abs())).sum();
            let loud = sum / window.len() as u32 > LOUD;
            self.loud_ms = if loud { (self.loud_ms + 10).min(LOUD_MS_MAX) } else { self.loud_ms.saturating_sub(20) };
        }
        if self.loud_ms >= BARGE_MS && self.play_end > Instant::now() && !self.muted {
            self.interrupted().await?;
        }
        let sound = if self.twilio { pcm.iter().flat_map(|sample| sample.to_le_bytes()).collect() } else { bytes };
        self.transcriber.send(Message::binary(sound)).await?;
        Ok(true)
    }

    async fn interrupted(&mut self) -> Result<(), Error> {
        self.muted = true;
        self.play_end = Instant::now();
        if let Some(answering) = self.answering.take() {
            answering.abort();
        }
        self.sentences = mpsc::channel(SENTENCES_MAX);
        let clear = json!({"event": "clear", self.stream_name(): self.stream_id});
        self.caller.send(Message::text(clear.to_string())).await?;
        self.voice.send(Message::text(r#"{"type":"Clear"}"#)).await
    }

    const fn stream_name(&self) -> &'static str {
        if self.twilio { "streamSid" } else { "stream_sid" }
    }

    fn transcribed(&mut self, text: &str) -> bool {
        let Ok(transcript) = serde_json::from_str::<Transcript<'_>>(text) else { return true };
        let said = transcript.channel.and_then(|channel| channel.alternatives.into_iter().next());
        if let Some(said) = said.filter(|said| transcript.speech_final && !said.transcript.is_empty()) {
            self.messages.push(json!({"role": "user", "content": said.transcript}));
            let to = self.sentences.0.clone();
            self.answering = Some(tokio::spawn(answer(self.vendors, self.messages.clone(), to)));
        }
        true
    }

    async fn speak(&mut self, sentence: Option<String>) -> Result<bool, Error> {
        let message = match sentence {
            Some(text) => {
                let message = json!({"type": "Speak", "text": text}).to_string();
                self.messages.push(json!({"role": "assistant", "content": text}));
                message
            }
            None => r#"{"type":"Flush"}"#.to_owned(),
        };
        self.voice.send(Message::text(message)).await?;
        Ok(true)
    }

    async fn play(&mut self, sound: &[u8]) -> Result<bool, Error> {
        if self.muted {
            return Ok(true);
        }
        let length = Duration::from_millis(sound.len() as u64 / 16);
        self.play_end = self.play_end.max(Instant::now()) + length;
        let payload = if self.twilio {
            let pairs = sound.chunks_exact(2);
            let codes: Vec<u8> = pairs.map(|pair| mulaw_encode(i16::from_le_bytes([pair[0], pair[1]]))).collect();
            STANDARD.encode(codes)
        } else {
            STANDARD.encode(sound)
        };
        let (name, id) = (self.stream_name(), &self.stream_id);
        let media = format!(r#"{{"event":"media","{name}":"{id}","media":{{"payload":"{payload}"}}}}"#);
        self.caller.send(Message::text(media)).await?;
        Ok(true)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(answering) = self.answering.take() {
            answering.abort();
        }
    }
}
