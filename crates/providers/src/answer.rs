//! The streamed answer of a language model, whichever its protocol: read in time, handed on piece by piece, counted.

use crate::http::transport_error;
use crate::language_model::{
    ANSWER_BYTES_MAX, ARGUMENTS_BYTES_MAX, Message, Prompt, THOUGHT_QUEUE, TOOL_CALLS_MAX, TOOLS_MAX, Thought,
    ToolCall, ToolSpec, Usage,
};
use crate::refusal::failure;
use crate::{Error, ErrorKind};
use reqwest::header::CONTENT_TYPE;
use std::future::Future;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use wire::conversation::{AnswerEvent, AnswerReader, AskedTool, Tool, ToolCallLimits, Turn};

/// Longest wait for the first piece of an answer. A caller has long said "hello?" by then.
pub const FIRST_PIECE_TIMEOUT: Duration = Duration::from_secs(8);
/// Longest wait between two pieces.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// Longest answer in time, whatever comes.
pub const TOTAL_TIMEOUT: Duration = Duration::from_secs(60);
/// After the answer is complete its token counts are waited for this long; its text is being spoken already. They come
/// with the next packet or, from servers that do not count, never.
pub const USAGE_TIMEOUT: Duration = Duration::from_millis(250);
/// After that, the rest of the body is read for this long, so that the connection can be used again.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);
/// Events that cannot be read, in one answer, after which the server is taken for broken.
const MALFORMED_MAX: u32 = 3;
/// How much of tool calls is read.
pub(crate) const TOOL_CALL_LIMITS: ToolCallLimits =
    ToolCallLimits { calls: TOOL_CALLS_MAX, arguments_bytes: ARGUMENTS_BYTES_MAX };

/// How long an answer may take, piece by piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// From the request to the first piece.
    pub first: Duration,
    /// From one piece to the next.
    pub idle: Duration,
    /// From the request to the end.
    pub total: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { first: FIRST_PIECE_TIMEOUT, idle: IDLE_TIMEOUT, total: TOTAL_TIMEOUT }
    }
}

/// The conversation as the protocols take it.
pub(crate) fn turns(prompt: &Prompt) -> Vec<Turn<'_>> {
    prompt.messages.iter().map(turn).collect()
}

fn turn(message: &Message) -> Turn<'_> {
    match message {
        Message::Caller(text) => Turn::User(text),
        Message::Agent { text, tool_calls } => {
            Turn::Assistant { text, tool_calls: tool_calls.iter().map(asked_tool).collect() }
        }
        Message::ToolResult { id, name: _, text } => Turn::ToolResult { id, text },
    }
}

fn asked_tool(call: &ToolCall) -> AskedTool<'_> {
    AskedTool { id: &call.id, name: &call.name, arguments: &call.arguments }
}

/// The tools as the protocols take them.
pub(crate) fn tools(prompt: &Prompt) -> Vec<Tool<'_>> {
    prompt.tools.iter().map(tool).collect()
}

fn tool(spec: &ToolSpec) -> Tool<'_> {
    Tool { name: &spec.name, description: &spec.description, parameters: &spec.parameters }
}

/// How an answer is read.
pub(crate) struct Reading<R> {
    /// Name of the provider.
    pub(crate) provider: &'static str,
    pub(crate) reader: R,
    pub(crate) deadlines: Deadlines,
    /// Token counts were asked for.
    pub(crate) counted: bool,
}

impl<R: AnswerReader + Send + 'static> Reading<R> {
    /// Sends the request and hands on the answer. `send` gives a response with status 200; it is not even begun when
    /// the prompt has too many tools.
    pub(crate) fn start<F>(self, tools: usize, send: F) -> mpsc::Receiver<Result<Thought, Error>>
    where
        F: Future<Output = Result<reqwest::Response, Error>> + Send + 'static,
    {
        let (out, receiver) = mpsc::channel(THOUGHT_QUEUE);
        if tools > TOOLS_MAX {
            let detail = format!("{tools} tools, at most {TOOLS_MAX} are offered");
            let error = Error::new(ErrorKind::Rejected, self.provider, detail);
            out.try_send(Err(error)).expect("the queue is new and has room");
            return receiver;
        }
        let cancelled = out.clone();
        let mut answer = Answer { reading: self, out, bytes: 0, malformed: 0, usage: None };
        tokio::spawn(async move {
            let response = tokio::select! {
                // The receiver is gone: what is under way is dropped, and with it the request.
                () = cancelled.closed() => return,
                result = answer.run(send) => result,
            };
            drop(cancelled);
            match response {
                Ok(response) => {
                    drop(answer);
                    drain(response).await;
                }
                // A full queue with a live receiver is waited for; a closed one needs no news.
                Err(error) => drop(answer.out.send(Err(error)).await),
            }
        });
        receiver
    }
}

/// One answer under way.
struct Answer<R> {
    reading: Reading<R>,
    out: mpsc::Sender<Result<Thought, Error>>,
    bytes: usize,
    malformed: u32,
    usage: Option<Usage>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    More,
    /// Complete, and nothing follows that is wanted.
    Over,
    /// Complete; counts may follow.
    Complete,
}

impl<R: AnswerReader> Answer<R> {
    async fn run<F>(&mut self, send: F) -> Result<reqwest::Response, Error>
    where
        F: Future<Output = Result<reqwest::Response, Error>>,
    {
        let provider = self.reading.provider;
        let Deadlines { first, idle, total } = self.reading.deadlines;
        let begun = Instant::now();
        let last = begun + total;
        let mut until = last.min(begun + first);
        let late = || Error::new(ErrorKind::TimedOut, provider, "no answer in time");
        let mut response = timeout_at(until, send).await.map_err(|_| late())??;
        check_type(provider, &response)?;
        let mut events = Vec::new();
        loop {
            let piece = timeout_at(until, response.chunk()).await.map_err(|_| late())?;
            let piece = piece.map_err(|e| transport_error(provider, e))?;
            let before = self.progress();
            match &piece {
                Some(piece) => self.reading.reader.push(piece, &mut events),
                None => self.reading.reader.finish(&mut events),
            }
            match self.take(&mut events).await? {
                Next::More if piece.is_none() => {
                    return Err(Error::new(ErrorKind::Unavailable, provider, "the answer was cut off"));
                }
                // Comments that keep a connection alive are no answer: only text and tools move the deadline on.
                Next::More if self.progress() > before => until = last.min(Instant::now() + idle),
                Next::More => {}
                Next::Complete if self.reading.counted && self.usage.is_none() && piece.is_some() => {
                    self.wait_for_usage(&mut response).await;
                    break;
                }
                Next::Complete | Next::Over => break,
            }
        }
        self.end().await;
        Ok(response)
    }

    fn progress(&self) -> usize {
        self.bytes + self.reading.reader.tool_bytes()
    }

    /// Hands on what one read brought: all its text at once, then the tools.
    async fn take(&mut self, events: &mut Vec<AnswerEvent>) -> Result<Next, Error> {
        let provider = self.reading.provider;
        let (mut text, mut calls, mut next, mut failed) = (String::new(), Vec::new(), Next::More, None);
        for event in events.drain(..) {
            match event {
                // Counts may stand behind the end in the same read.
                AnswerEvent::Usage(usage) => self.usage = Some(counted(usage)),
                _ if next == Next::Over || failed.is_some() => {}
                AnswerEvent::Done => next = Next::Over,
                _ if next == Next::Complete => {}
                AnswerEvent::Text(piece) => text.push_str(&piece),
                AnswerEvent::ToolCall(call) => calls.push(call),
                AnswerEvent::Finished(_) => next = Next::Complete,
                AnswerEvent::Error(said) => failed = Some(failure(provider, &said)),
                AnswerEvent::TooMuch => {
                    let detail = format!(
                        "more than {TOOL_CALLS_MAX} tool calls, or arguments of more than {ARGUMENTS_BYTES_MAX} bytes"
                    );
                    failed = Some(Error::new(ErrorKind::Protocol, provider, detail));
                }
                AnswerEvent::Malformed => {
                    self.malformed += 1;
                    if self.malformed >= MALFORMED_MAX {
                        failed = Some(Error::new(ErrorKind::Protocol, provider, "events that are not JSON"));
                    }
                }
            }
        }
        if self.bytes + text.len() >= ANSWER_BYTES_MAX {
            text.truncate(text.floor_char_boundary(ANSWER_BYTES_MAX - self.bytes));
            next = Next::Over;
        }
        if !text.is_empty() {
            self.bytes += text.len();
            // Failing means that nobody listens; the task is about to be cancelled.
            let _ = self.out.send(Ok(Thought::Text(text))).await;
        }
        if let Some(failed) = failed {
            return Err(failed);
        }
        for wire::conversation::ToolCall { id, name, arguments } in calls {
            let _ = self.out.send(Ok(Thought::ToolCall(ToolCall { id, name, arguments }))).await;
        }
        if next != Next::More && self.progress() == 0 && self.malformed > 0 {
            return Err(Error::new(ErrorKind::Protocol, provider, "the answer has no event that is JSON"));
        }
        Ok(next)
    }

    /// Reads on until the counts came, nothing more comes, or time is up. What goes wrong now spoils nothing.
    async fn wait_for_usage(&mut self, response: &mut reqwest::Response) {
        let mut events = Vec::new();
        let waiting = async {
            while let Ok(Some(piece)) = response.chunk().await {
                self.reading.reader.push(&piece, &mut events);
                for event in events.drain(..) {
                    match event {
                        AnswerEvent::Usage(usage) => self.usage = Some(counted(usage)),
                        AnswerEvent::Done => return,
                        AnswerEvent::Text(_)
                        | AnswerEvent::ToolCall(_)
                        | AnswerEvent::Finished(_)
                        | AnswerEvent::Error(_)
                        | AnswerEvent::TooMuch
                        | AnswerEvent::Malformed => {}
                    }
                }
                if self.usage.is_some() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(USAGE_TIMEOUT, waiting).await;
    }

    async fn end(&mut self) {
        if let Some(usage) = self.usage {
            tracing::debug!(
                provider = self.reading.provider,
                prompt_tokens = usage.prompt_tokens,
                cached_tokens = usage.cached_tokens,
                completion_tokens = usage.completion_tokens,
                "model answered"
            );
            let _ = self.out.send(Ok(Thought::Usage(usage))).await;
        }
        let _ = self.out.send(Ok(Thought::Done)).await;
    }
}

const fn counted(usage: wire::conversation::Usage) -> Usage {
    let wire::conversation::Usage { prompt_tokens, cached_tokens, completion_tokens } = usage;
    Usage { prompt_tokens, cached_tokens, completion_tokens }
}

/// A page for people, or a whole answer in JSON, is no stream. Some servers leave the type out or say something vague.
fn check_type(provider: &'static str, response: &reqwest::Response) -> Result<(), Error> {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    let kind = kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    match kind.as_str() {
        "" | "text/event-stream" | "text/plain" | "application/octet-stream" => Ok(()),
        other => {
            let shown: String = other.chars().take(40).collect();
            Err(Error::new(ErrorKind::Protocol, provider, format!("answered {shown}, not a stream of events")))
        }
    }
}

async fn drain(mut response: reqwest::Response) {
    let rest = async { while let Ok(Some(_)) = response.chunk().await {} };
    // A server that goes on talking loses its connection.
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, rest).await;
}
