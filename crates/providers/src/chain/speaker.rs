//! Speakers behind one another.

use super::race::{Begun, Limits, first};
use super::{Chain, Guard, Link, Meter};
use crate::speaker::{CHUNK_QUEUE, SpeakRequest, Speaker, SpeechChunk};
use crate::{Error, ErrorKind};
use model::Stage;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

/// The first sound of a speaker that has another behind it. Good ones need 100 to 400 ms, a new connection included.
pub const FIRST_SOUND: Duration = Duration::from_millis(1_800);
/// The first sound of any of them: a little before the call gives up by itself, after 5 s.
pub const SPEECH_DEADLINE: Duration = Duration::from_millis(4_800);
/// How far a sentence that has begun may fall behind being heard: silence in the middle of it. The rest is asked for once
/// more after it, and is to be heard, or given up, before the caller says «hello?».
pub const SPEECH_IDLE: Duration = Duration::from_millis(2_500);

/// A speaker with its fallbacks, for one call. Each speaks in its own voice, whatever voice a request names: the call's
/// is the first one's.
pub struct ChainSpeaker(Arc<Chain<dyn Speaker>>);

impl ChainSpeaker {
    /// At most [`super::LINKS_MAX`] in all.
    #[must_use]
    pub fn new(first: Link<dyn Speaker>, fallbacks: Vec<Link<dyn Speaker>>, guard: Guard, meter: Meter) -> Self {
        Self(Arc::new(Chain::new(first, fallbacks, Stage::Speaking, guard, meter)))
    }
}

impl Speaker for ChainSpeaker {
    fn name(&self) -> &'static str {
        self.0.link(0).provider.name()
    }

    fn speak(&self, request: SpeakRequest) -> mpsc::Receiver<Result<SpeechChunk, Error>> {
        let (out, receiver) = mpsc::channel(CHUNK_QUEUE);
        if request.text.trim().is_empty() {
            return receiver;
        }
        let limits = Limits {
            first: FIRST_SOUND,
            all: SPEECH_DEADLINE,
            hedge_after: None,
            twice: true,
            // Three dots have no sound: nobody's fault, and perhaps another one says them.
            empty: ErrorKind::Rejected,
        };
        let chain = Arc::clone(&self.0);
        tokio::spawn(async move {
            let characters = request.text.chars().count() as u64;
            let ask = |index: usize| {
                let link = chain.link(index);
                chain.note(index, |line| line.characters = line.characters.saturating_add(characters));
                link.provider.speak(SpeakRequest { voice: link.voice.clone(), ..request.clone() })
            };
            let work = async {
                let result = match Box::pin(first(&chain, limits, ask, begins)).await {
                    Ok(begun) => deliver(&chain, begun, request.sample_rate_hz, &out).await,
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

/// Times of words may come before the sound.
const fn begins(chunk: &SpeechChunk) -> bool {
    !chunk.pcm.is_empty()
}

/// Hands on a sentence that has begun. What counts is how long the service was waited for, less the sound that came
/// meanwhile: neither a call that plays slowly nor a service that makes a long sentence in one piece is late.
async fn deliver(
    chain: &Chain<dyn Speaker>,
    begun: Begun<SpeechChunk>,
    sample_rate_hz: u32,
    out: &mpsc::Sender<Result<SpeechChunk, Error>>,
) -> Result<(), Error> {
    let Begun { index, attempt, head, mut rest } = begun;
    let mut head = head.into_iter();
    let (mut samples, mut waited, mut noted_ms) = (0u64, Duration::ZERO, 0u64);
    loop {
        let made_ms = samples * 1_000 / u64::from(sample_rate_hz.max(1));
        let next = match head.next() {
            Some(chunk) => Some(Ok(chunk)),
            None => {
                let began = Instant::now();
                let room = (Duration::from_millis(made_ms) + SPEECH_IDLE).saturating_sub(waited);
                let late = || Error::new(ErrorKind::TimedOut, "chain", "the sentence stopped in the middle");
                let next = timeout(room.min(SPEECH_IDLE), rest.recv()).await.unwrap_or_else(|_| Some(Err(late())));
                waited += began.elapsed();
                next
            }
        };
        match next {
            Some(Ok(chunk)) => {
                samples += chunk.pcm.len() as u64;
                let made_ms = samples * 1_000 / u64::from(sample_rate_hz.max(1));
                chain.note(index, |line| line.audio_ms = line.audio_ms.saturating_add(made_ms - noted_ms));
                noted_ms = made_ms;
                // Nobody listens any more: it went well as far as it went.
                if out.send(Ok(chunk)).await.is_err() {
                    return Ok(());
                }
            }
            Some(Err(error)) => {
                chain.broke_off(index);
                attempt.failed(&error);
                return Err(error);
            }
            None => {
                chain.used();
                attempt.succeeded();
                return Ok(());
            }
        }
    }
}
