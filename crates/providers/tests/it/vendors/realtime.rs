//! What the speech models have in common: a call's side of them.

use super::PATIENCE;
use providers::Error;
use providers::language_model::{Message, Prompt, Thought, ToolCall, Usage};
use providers::realtime::SpeechModelLimits;
use providers::speaker::{SpeakRequest, SpeechChunk};
use providers::transcriber::{TranscriberInput, TranscriberOptions, TranscriberOutput, TranscriberStream};
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

pub(super) const RATE: u32 = 8_000;
pub(super) const KEY: &str = "sk-secret";

pub(super) fn hasty() -> SpeechModelLimits {
    let short = Duration::from_millis(250);
    SpeechModelLimits { setup: short, finalize: short, first: short, idle: short, ..SpeechModelLimits::default() }
}

pub(super) fn options() -> TranscriberOptions {
    TranscriberOptions { sample_rate_hz: RATE, language: "hi-IN".into() }
}

pub(super) async fn speak(stream: &TranscriberStream, ms: usize) {
    for _ in 0..ms / 20 {
        stream.input.send(TranscriberInput::Audio(vec![2_000; RATE as usize / 50].into())).await.expect("it listens");
    }
}

pub(super) async fn tell(stream: &TranscriberStream, input: TranscriberInput) {
    stream.input.send(input).await.expect("it listens");
}

pub(super) async fn next(stream: &mut TranscriberStream) -> Option<TranscriberOutput> {
    timeout(PATIENCE, stream.output.recv()).await.expect("an answer")
}

pub(super) async fn answer(stream: &mut TranscriberStream) -> TranscriberOutput {
    loop {
        match next(stream).await.expect("it lives") {
            TranscriberOutput::Partial { .. } => {}
            other => return other,
        }
    }
}

/// Says something; what was understood.
pub(super) async fn say(stream: &mut TranscriberStream, work: u64) -> String {
    speak(stream, 400).await;
    tell(stream, TranscriberInput::Finalize { work }).await;
    let TranscriberOutput::Final { work: answered, text } = answer(stream).await else { panic!("no text") };
    assert_eq!(answered, work);
    tell(stream, TranscriberInput::Discard).await;
    text
}

pub(super) fn caller(text: &str) -> Message {
    Message::Caller(text.into())
}

pub(super) fn prompt(messages: &[Message]) -> Prompt {
    Prompt { system: "Be kind.".into(), messages: messages.to_vec(), temperature: 0.5, tools: Vec::new() }
}

#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) samples: usize,
    pub(super) tools: Vec<ToolCall>,
    pub(super) usage: Option<Usage>,
    pub(super) done: bool,
    pub(super) error: Option<Error>,
}

pub(super) async fn read(mut thoughts: Receiver<Result<Thought, Error>>) -> Answer {
    let mut read = Answer::default();
    let reading = async {
        while let Some(thought) = thoughts.recv().await {
            match thought {
                Ok(Thought::Text(text)) => read.text.push_str(&text),
                Ok(Thought::Audio(pcm)) => {
                    assert!(pcm.len() <= RATE as usize / 10);
                    read.samples += pcm.len();
                }
                Ok(Thought::ToolCall(call)) => read.tools.push(call),
                Ok(Thought::Usage(usage)) => read.usage = Some(usage),
                Ok(Thought::Done) => read.done = true,
                Err(error) => read.error = Some(error),
            }
        }
    };
    timeout(PATIENCE, reading).await.expect("an end");
    read
}

pub(super) fn request(text: &str) -> SpeakRequest {
    SpeakRequest { text: text.into(), language: "hi-IN".into(), voice: String::new(), sample_rate_hz: RATE }
}

pub(super) async fn listen(mut chunks: Receiver<Result<SpeechChunk, Error>>) -> (usize, Option<Error>) {
    let mut samples = 0;
    let reading = async {
        while let Some(chunk) = chunks.recv().await {
            match chunk {
                Ok(chunk) => samples += chunk.pcm.len(),
                Err(error) => return Some(error),
            }
        }
        None
    };
    let error = timeout(PATIENCE, reading).await.expect("an end");
    (samples, error)
}
