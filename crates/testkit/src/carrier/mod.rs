//! A fake Exotel, for any server that speaks with the real one: it announces a call by webhook, opens the media socket, streams the caller in real time, plays what
//! the agent sends as a telephone would, goes on with the flow behind it and reports the end. [`FakeExotelApi`] takes
//! orders for calls, [`RecordingHost`] keeps their recordings. Everything both sides did is measured and handed back.
//! `docs/fake-exotel.md` tells of every switch.
//!
//! It shares no code with the crates under test: messages, signatures and frame rules are written here a second time,
//! from the same sources as `wire::exotel`.

mod announce;
mod delivery;
mod faults;
mod flow;
mod messages;
mod mp3;
mod observation;
mod options;
mod playback;
mod recordings;
mod reports;
mod rest;
mod session;
mod words;

pub use announce::AnnounceError;
pub use delivery::{Delivered, Delivery};
pub use flow::{Branch, ConnectApplet, DialAttempt, Human, Transfer};
pub use mp3::silent_mp3;
pub use observation::{CallObservation, Closed, Event, EventKind, Gap, MarkSeen, Received};
pub use options::{Announce, Fault, MarksAfterClear, MediaFormat, Options, OversizePolicy, RequestShape};
pub use playback::Playback;
pub use recordings::{Access, Content, RecordedFile, RecordingHost, RecordingRequest, Storage};
pub use reports::{Coding, Passthru, StatusCallback, StreamAs};
pub use rest::{
    ApiCall, ApiFault, ApiOptions, ApiRequest, Callee, CallerFactory, FakeExotelApi, OrderMode, RecordAs, Refusal,
};
pub use words::UnknownWord;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// What the person on the phone does with the time of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerAction {
    /// Stay on the line.
    Stay,
    /// Press a key: `0`–`9`, `*`, `#`.
    Press(char),
    /// Hang up.
    HangUp,
}

/// The person on the phone.
pub trait CallerSide: Send {
    /// Fills `frame` (empty when called) with `samples` samples, said from `now_ms` on; `agent_dbfs` is how loud the
    /// agent has been at the caller's ear during the frame before.
    fn next_frame(&mut self, now_ms: u64, agent_dbfs: f32, samples: usize, frame: &mut Vec<i16>) -> CallerAction;
}

/// A caller who plays a recording, then is silent, then hangs up.
#[derive(Clone, Debug, Default)]
pub struct RecordedCaller {
    /// What is played from the start, at the call's rate.
    pub pcm: Vec<i16>,
    /// When the caller hangs up.
    pub hang_up_at_ms: u64,
    /// Keys, each pressed at its time.
    pub keys: Vec<(u64, char)>,
    position: usize,
}

impl RecordedCaller {
    /// A caller saying `pcm`.
    #[must_use]
    pub fn new(pcm: Vec<i16>, hang_up_at_ms: u64) -> Self {
        Self { pcm, hang_up_at_ms, keys: Vec::new(), position: 0 }
    }
}

impl CallerSide for RecordedCaller {
    fn next_frame(&mut self, now_ms: u64, _: f32, samples: usize, frame: &mut Vec<i16>) -> CallerAction {
        let rest = &self.pcm[self.position.min(self.pcm.len())..];
        frame.extend_from_slice(&rest[..samples.min(rest.len())]);
        frame.resize(samples, 0);
        self.position += samples;
        if now_ms >= self.hang_up_at_ms {
            return CallerAction::HangUp;
        }
        match self.keys.iter().position(|(at_ms, _)| *at_ms <= now_ms) {
            Some(i) => CallerAction::Press(self.keys.remove(i).1),
            None => CallerAction::Stay,
        }
    }
}

/// The carrier.
#[derive(Clone, Debug)]
pub struct FakeExotel {
    http: reqwest::Client,
    /// Calls placed, by this one and its clones: part of their ids when there is a seed.
    placed: Arc<AtomicU64>,
    /// Its behaviour.
    pub options: Options,
}

impl FakeExotel {
    /// A carrier with these options.
    #[must_use]
    pub fn new(options: Options) -> Self {
        // Whoever came first has installed the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .timeout(announce::HTTP_TIMEOUT)
            // A Passthru's 302 is an answer, not a way.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a client without files or environment builds");
        Self { http, placed: Arc::default(), options }
    }

    /// Places one call and stays until it is over, with all that the flow does behind the Voicebot. Faults of the
    /// server are in the observation, not errors.
    ///
    /// # Errors
    /// [`AnnounceError`] when the call was refused at the webhook, so that there was no call.
    pub async fn place_call(&self, caller: &mut dyn CallerSide) -> Result<CallObservation, AnnounceError> {
        let ids = self.ids();
        // Callers hold many of these futures at once.
        Box::pin(self.place_call_as(&ids, caller)).await
    }

    fn ids(&self) -> announce::CallIds {
        let number = self.placed.fetch_add(1, Ordering::Relaxed);
        self.options.seed.map_or_else(announce::CallIds::fresh, |seed| announce::CallIds::seeded(seed, number))
    }

    /// The same for a call that has its ids already: it was ordered.
    async fn place_call_as(
        &self,
        ids: &announce::CallIds,
        caller: &mut dyn CallerSide,
    ) -> Result<CallObservation, AnnounceError> {
        let options = &self.options;
        let asked = Instant::now();
        let mut url = announce::ask(&self.http, options, ids).await?;
        let mut seen = CallObservation::new(options, ids);
        seen.announce_ms = asked.elapsed().as_millis() as u64;
        let (asked, mut opened) = (Instant::now(), None);
        let mut error = flow::THROTTLED.to_owned();
        while opened.is_none() && !options.throttled && seen.connect_tries < options.handshake_tries.max(1) {
            if seen.connect_tries > 0 && options.ask_again {
                url = announce::ask(&self.http, options, ids).await?;
            }
            seen.connect_tries += 1;
            match session::open(options, &url).await {
                Ok(socket) => opened = Some(socket),
                Err(failure) => error = failure,
            }
        }
        seen.connect_ms = asked.elapsed().as_millis() as u64;
        seen.stream_url = announce::without_password(&url);
        let mut seen = match opened {
            Some(socket) => Box::pin(session::run(options, ids, &url, socket, seen, caller)).await,
            None => CallObservation { closed: Closed::NeverConnected { error }, ..seen },
        };
        if options.report_end {
            Box::pin(flow::behind_the_voicebot(&self.http, options, ids, &mut seen)).await;
        }
        Ok(seen)
    }
}

/// Root mean square in dB below full scale; -120 for silence.
#[must_use]
pub fn rms_dbfs(pcm: &[i16]) -> f32 {
    if pcm.is_empty() {
        return SILENCE_DBFS;
    }
    let power = pcm.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / pcm.len() as f64;
    ((power.sqrt() / 32_768.0).log10() as f32 * 20.0).max(SILENCE_DBFS)
}

/// The level of digital silence.
pub const SILENCE_DBFS: f32 = -120.0;
/// Louder than this is speech, for measurements.
pub const LOUD_DBFS: f32 = -45.0;
