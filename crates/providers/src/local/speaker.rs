//! The built-in speaker: makes a sentence piece by piece and hands it out in small chunks.

use super::cache::{BYTES_MAX, Cache, Key};
use super::clauses::clauses;
use super::hibari::{Hibari, VOICE};
use super::pool::InferencePool;
use crate::speaker::{CHUNK_QUEUE, SpeakRequest, Speaker, SpeechChunk, TEXT_BYTES_MAX};
use crate::{Error, ErrorKind};
use language::{Tongue, speakable};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Sound of one chunk.
pub const CHUNK_MS: u32 = 100;
/// How long a piece may wait for a thread. The caller hears nothing meanwhile.
const START_MAX: Duration = Duration::from_secs(3);

const PROVIDER: &str = "builtin";

/// Text to speech on this machine: one voice, English. A voice of another name is taken for this one, so that an agent
/// made for another service is still heard.
#[derive(Clone)]
pub struct BuiltinSpeaker {
    model: Arc<Hibari>,
    pool: InferencePool,
    cache: Arc<Mutex<Cache>>,
}

impl BuiltinSpeaker {
    pub(super) fn new(model: Hibari, pool: InferencePool) -> Self {
        Self { model: Arc::new(model), pool, cache: Arc::new(Mutex::new(Cache::new(BYTES_MAX))) }
    }

    /// What has been said lately. A panic cannot leave it half-changed: no foreign code runs under the lock.
    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn work(self, request: SpeakRequest, chunks: mpsc::Sender<Result<SpeechChunk, Error>>) {
        let said = tokio::select! {
            said = self.say(request, &chunks) => said,
            // Barge-in: what waits for a thread is taken back.
            () = chunks.closed() => return,
        };
        if let Err(error) = said {
            drop(chunks.send(Err(error)).await);
        }
    }

    async fn say(&self, request: SpeakRequest, chunks: &mpsc::Sender<Result<SpeechChunk, Error>>) -> Result<(), Error> {
        check(&request)?;
        let sample_rate_hz = request.sample_rate_hz;
        let key = Key { text: request.text, voice: VOICE, sample_rate_hz };
        let known = self.cache().get(&key);
        if let Some(sound) = known {
            return send(&sound, sample_rate_hz, chunks).await;
        }
        let tongue = Tongue::from_tag(&request.language).unwrap_or(Tongue::English);
        let mut whole = Vec::new();
        for piece in clauses(&speakable(&key.text, tongue)) {
            let model = Arc::clone(&self.model);
            let sound =
                self.pool.run(Instant::now() + START_MAX, move || model.speak(&piece, sample_rate_hz)).await??;
            send(&sound, sample_rate_hz, chunks).await?;
            whole.extend(sound);
        }
        self.cache().put(key, whole.into());
        Ok(())
    }
}

impl Speaker for BuiltinSpeaker {
    fn name(&self) -> &'static str {
        PROVIDER
    }

    fn speak(&self, request: SpeakRequest) -> mpsc::Receiver<Result<SpeechChunk, Error>> {
        let (sender, receiver) = mpsc::channel(CHUNK_QUEUE);
        tokio::spawn(self.clone().work(request, sender));
        receiver
    }
}

fn check(request: &SpeakRequest) -> Result<(), Error> {
    super::english_only(&request.language)?;
    let rejected = |detail| Err(Error::new(ErrorKind::Rejected, PROVIDER, detail));
    if request.text.len() > TEXT_BYTES_MAX {
        return rejected(format!("a text of {} bytes; at most {TEXT_BYTES_MAX}", request.text.len()));
    }
    if !(audio::resample::RATE_HZ_MIN..=audio::resample::RATE_HZ_MAX).contains(&request.sample_rate_hz) {
        return rejected(format!("a sample rate of {} Hz", request.sample_rate_hz));
    }
    Ok(())
}

/// Hands a sound out. The queue holds it back when the call has enough.
async fn send(
    sound: &[i16],
    sample_rate_hz: u32,
    chunks: &mpsc::Sender<Result<SpeechChunk, Error>>,
) -> Result<(), Error> {
    for chunk in sound.chunks((sample_rate_hz * CHUNK_MS / 1000) as usize) {
        if chunks.send(Ok(chunk.to_vec().into())).await.is_err() {
            break;
        }
    }
    Ok(())
}
