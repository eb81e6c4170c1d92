//! Language models behind one another.

use super::race::{Begun, Limits, first};
use super::{Chain, Guard, Link, Meter};
use crate::language_model::{LanguageModel, Prompt, THOUGHT_QUEUE, Thought};
use crate::{Error, ErrorKind};
use model::Stage;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// The first text of a model that has another behind it. Good models need less than one second; after three the caller
/// has heard a filler and wonders.
pub const FIRST_TEXT: Duration = Duration::from_secs(3);
/// The first text of any of them: half a second before the call gives up by itself.
pub const ANSWER_DEADLINE: Duration = Duration::from_millis(8_500);
/// From one piece of text to the next: half a second before the call gives up by itself, so that the breaker hears of it and
/// another one is asked next.
pub const ANSWER_IDLE: Duration = Duration::from_millis(3_500);

/// A language model with its fallbacks, for one call.
pub struct ChainModel {
    chain: Arc<Chain<dyn LanguageModel>>,
    hedge_after: Option<Duration>,
}

impl ChainModel {
    /// At most [`super::LINKS_MAX`] in all. `hedge_after_ms`: when nothing has come for so long the next one is asked as
    /// well, and whichever begins first is heard; 0 = only after a failure.
    #[must_use]
    pub fn new(
        first: Link<dyn LanguageModel>,
        fallbacks: Vec<Link<dyn LanguageModel>>,
        hedge_after_ms: u64,
        guard: Guard,
        meter: Meter,
    ) -> Self {
        let chain = Arc::new(Chain::new(first, fallbacks, Stage::Thinking, guard, meter));
        Self { chain, hedge_after: (hedge_after_ms > 0).then(|| Duration::from_millis(hedge_after_ms)) }
    }
}

impl LanguageModel for ChainModel {
    fn name(&self) -> &'static str {
        self.chain.link(0).provider.name()
    }

    fn think(&self, prompt: Prompt) -> mpsc::Receiver<Result<Thought, Error>> {
        let (out, receiver) = mpsc::channel(THOUGHT_QUEUE);
        let limits = Limits {
            first: FIRST_TEXT,
            all: ANSWER_DEADLINE,
            hedge_after: self.hedge_after,
            twice: false,
            empty: ErrorKind::Protocol,
        };
        let chain = Arc::clone(&self.chain);
        tokio::spawn(async move {
            let ask = |index: usize| chain.link(index).provider.think(prompt.clone());
            let work = async {
                let result = match Box::pin(first(&chain, limits, ask, begins)).await {
                    Ok(begun) => deliver(&chain, begun, &out).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = result {
                    // A full queue with a live receiver is waited for; a closed one needs no news.
                    let _ = out.send(Err(error)).await;
                }
            };
            tokio::select! {
                // The receiver is gone: every request under way is dropped.
                () = out.closed() => {}
                () = work => {}
            }
        });
        receiver
    }
}

/// Counts of tokens are no answer.
const fn begins(thought: &Thought) -> bool {
    !matches!(thought, Thought::Usage(_))
}

/// Hands on an answer that has begun.
async fn deliver(
    chain: &Chain<dyn LanguageModel>,
    begun: Begun<Thought>,
    out: &mpsc::Sender<Result<Thought, Error>>,
) -> Result<(), Error> {
    let Begun { index, attempt, head, mut rest } = begun;
    let mut head = head.into_iter();
    loop {
        let next = match head.next() {
            Some(thought) => Ok(thought),
            None => match timeout(ANSWER_IDLE, rest.recv()).await {
                Ok(Some(next)) => next,
                Ok(None) => Err(Error::new(ErrorKind::Unavailable, "chain", "the answer was cut off")),
                Err(_) => Err(Error::new(ErrorKind::TimedOut, "chain", "the answer stopped in the middle")),
            },
        };
        let thought = match next {
            Ok(thought) => thought,
            Err(error) => {
                chain.broke_off(index);
                attempt.failed(&error);
                return Err(error);
            }
        };
        if let Thought::Usage(usage) = &thought {
            chain.note(index, |line| {
                line.prompt_tokens = line.prompt_tokens.saturating_add(usage.prompt_tokens);
                line.cached_tokens = line.cached_tokens.saturating_add(usage.cached_tokens);
                line.completion_tokens = line.completion_tokens.saturating_add(usage.completion_tokens);
            });
        }
        let done = thought == Thought::Done;
        // Nobody listens any more: it went well as far as it went.
        if out.send(Ok(thought)).await.is_err() {
            return Ok(());
        }
        if done {
            chain.used();
            attempt.succeeded();
            return Ok(());
        }
    }
}
