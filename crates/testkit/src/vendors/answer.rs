//! What a fake model says, and how it leaves: event by event, in time, and going wrong where it was told to.

use super::faults::ChatFault;
use super::{AbortWatch, Counters, Shared, add, flushed};
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use http::header;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// What the model answers.
#[derive(Clone, Debug)]
pub enum Answers {
    /// Two sentences of 20 tokens in all, the first complete with token 9.
    Order,
    /// What the user said last.
    Echo,
    /// The n-th text to the n-th message of the user in a conversation; the last one again and again after that.
    Script(Vec<String>),
    /// Says something and asks for tools, if they are offered; once it has what they gave back, says that.
    Tools {
        /// Said before; may be empty.
        text: String,
        /// Tools and their arguments.
        calls: Vec<(String, String)>,
        /// How a chat stream carries them. Messages know one way.
        style: ToolStyle,
    },
}

/// How servers of the OpenAI protocol send tool calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolStyle {
    /// As OpenAI: index, id and name first, arguments in pieces.
    Pieces,
    /// All calls whole in one event.
    AtOnce,
    /// In pieces, without ids.
    NoId,
    /// Whole, each in an event of its own, without an index.
    NoIndex,
}

/// The tokens of [`Answers::Order`].
const ORDER: [&str; 20] = [
    "Sure",
    ",",
    " I",
    " have",
    " found",
    " your",
    " order",
    " now",
    ".",
    " It",
    " is",
    " on",
    " its",
    " way",
    " and",
    " will",
    " arrive",
    " this",
    " afternoon",
    ".",
];

/// What of a request matters for its answer.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// What the person said, oldest first.
    pub(super) said: Vec<String>,
    /// What tools gave back since the model spoke last.
    pub(super) results: Vec<String>,
    /// Tools that are offered.
    pub(super) tools: Vec<String>,
}

/// What is answered.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) tokens: Vec<String>,
    /// Names and arguments.
    pub(super) calls: Vec<(String, String)>,
}

impl Answers {
    pub(super) fn reply(&self, asked: &Asked) -> Reply {
        let text = match self {
            Self::Order => {
                let tokens = ORDER.iter().map(|token| (*token).to_owned()).collect();
                return Reply { tokens, calls: Vec::new() };
            }
            Self::Echo => asked.said.last().cloned().unwrap_or_default(),
            Self::Script(texts) => {
                let turn = asked.said.len().saturating_sub(1);
                texts.get(turn).or(texts.last()).cloned().unwrap_or_default()
            }
            Self::Tools { .. } if !asked.results.is_empty() => asked.results.join(", "),
            Self::Tools { text, calls, .. } => {
                let offered = calls.iter().filter(|(name, _)| asked.tools.contains(name)).cloned().collect();
                return Reply { tokens: tokens(text), calls: offered };
            }
        };
        Reply { tokens: tokens(&text), calls: Vec::new() }
    }
}

/// Words with the space before them, about what tokens are.
fn tokens(text: &str) -> Vec<String> {
    let words = text.split(' ').enumerate();
    words.map(|(n, word)| if n == 0 { word.to_owned() } else { format!(" {word}") }).collect()
}

/// The events of an answer, as they go over the wire.
pub(super) struct Script {
    /// One for each token; what begins the answer stands before the first.
    pub(super) tokens: Vec<String>,
    /// Tool calls, and that the answer is complete.
    pub(super) finish: String,
    /// What follows a complete answer.
    pub(super) end: String,
    /// A failure in the middle.
    pub(super) error: String,
}

/// What is sent next.
enum Next {
    Token(usize),
    Finish,
    End,
    Over,
}

struct Sending {
    shared: Arc<Shared>,
    watch: AbortWatch,
    script: Script,
    fault: Option<ChatFault>,
    begun: Instant,
    next: Next,
    /// Single bytes still to be sent.
    drops: VecDeque<u8>,
}

/// Answers with the events, and counts the answer under `aborted` when it is not taken to its end.
pub(super) async fn stream(
    shared: Arc<Shared>,
    script: Script,
    fault: Option<ChatFault>,
    aborted: fn(&Counters) -> &AtomicU64,
) -> Response {
    let watch = AbortWatch::new(Arc::clone(&shared), aborted);
    let (begun, next) = (Instant::now(), Next::Token(0));
    let mut sending = Sending { shared, watch, script, fault, begun, next, drops: VecDeque::new() };
    match fault {
        Some(ChatFault::Hang) => std::future::pending::<()>().await,
        Some(ChatFault::Html) => {
            sending.watch.complete();
            return page();
        }
        Some(_) | None => {}
    }
    let body = Body::from_stream(futures_util::stream::unfold(sending, |mut sending| async move {
        let piece = sending.next().await?;
        Some((piece, sending))
    }));
    let headers = [(header::CONTENT_TYPE, "text/event-stream; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")];
    (headers, body).into_response()
}

/// What a proxy shows when it means well.
pub(super) fn page() -> Response {
    let body = "<!doctype html><title>Please wait</title><p>Please wait.";
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], body).into_response()
}

impl Sending {
    async fn next(&mut self) -> Option<std::io::Result<Bytes>> {
        if let Some(byte) = self.drops.pop_front() {
            return Some(Ok(Bytes::copy_from_slice(&[byte])));
        }
        let text = match self.next {
            Next::Over => {
                self.watch.complete();
                return None;
            }
            Next::Token(n) => {
                if let Some(failure) = self.fault_at(n).await {
                    return Some(failure.map(Bytes::from));
                }
                if matches!(self.next, Next::Over) {
                    self.watch.complete();
                    return None;
                }
                self.token(n).await
            }
            Next::Finish => {
                self.next = Next::End;
                self.script.finish.clone()
            }
            Next::End => {
                if self.fault == Some(ChatFault::NoEnd) {
                    std::future::pending::<()>().await;
                }
                self.next = Next::Over;
                self.script.end.clone()
            }
        };
        if self.fault == Some(ChatFault::Drip) {
            self.drops.extend(text.into_bytes());
            return self.drops.pop_front().map(|byte| Ok(Bytes::copy_from_slice(&[byte])));
        }
        Some(Ok(text.into()))
    }

    async fn token(&mut self, n: usize) -> String {
        let settings = &self.shared.settings;
        let at = settings.chat_first_ms + settings.chat_token_ms * n as u64;
        sleep_until(self.begun + Duration::from_millis(at)).await;
        add(&self.shared.counters.chat_tokens, 1);
        let count = self.script.tokens.len();
        self.next =
            if n + 1 < count || self.fault == Some(ChatFault::Endless) { Next::Token(n + 1) } else { Next::Finish };
        // The first one carries what begins the answer.
        let again = if n < count { n } else { 1 + (n - 1) % (count - 1).max(1) };
        self.script.tokens[again.min(count - 1)].clone()
    }

    /// What goes wrong before token `n`, if anything.
    async fn fault_at(&mut self, n: usize) -> Option<std::io::Result<String>> {
        match self.fault? {
            ChatFault::StallAfter(k) if k == n => std::future::pending().await,
            ChatFault::CutAfter(k) if k == n => {
                flushed().await;
                Some(Err(std::io::Error::other("cut")))
            }
            ChatFault::EndAfter(k) if k == n => {
                self.next = Next::Over;
                None
            }
            ChatFault::GarbageAfter(k) if k == n => {
                self.fault = None;
                Some(Ok("data: {oops\n\ndata: <html>\n\n: comment\n\ndata: 1 2\n\n".to_owned()))
            }
            ChatFault::ErrorAfter(k) if k == n => {
                self.next = Next::Over;
                Some(Ok(self.script.error.clone()))
            }
            ChatFault::Status(_)
            | ChatFault::Hang
            | ChatFault::Html
            | ChatFault::Drip
            | ChatFault::StallAfter(_)
            | ChatFault::CutAfter(_)
            | ChatFault::EndAfter(_)
            | ChatFault::GarbageAfter(_)
            | ChatFault::ErrorAfter(_)
            | ChatFault::Endless
            | ChatFault::NoEnd => None,
        }
    }
}
