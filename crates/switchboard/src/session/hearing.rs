//! The caller's audio: voice activity, the utterance being spoken, and its way to the transcriber.

use super::Session;
use super::gather::{Gather, Moment};
use super::work::{Work, WorkEvent};
use crate::live::Live;
use audio::resample::Resampler;
use audio::voice::{VoiceDetector, VoiceEvent};
use call::{Input, Voice, WorkId};
use model::{Brain, CallTime};
use providers::Error;
use providers::local::{BuiltinVoiceActivity, SileroStream};
use providers::transcriber::{
    AudioWanted, Transcriber, TranscriberInput, TranscriberOptions, TranscriberOutput, TranscriberStream,
};
use std::collections::VecDeque;
use std::sync::Arc;
use wire::WireError;
use wire::carrier::AudioFrame;
use wire::pcm::Encoding;

/// Audio kept from before speech was noticed: soft beginnings («h», «s») are quieter than what is detected.
const PREROLL_MS: u32 = 320;
/// Longest utterance kept for the turn model and a transcriber that is not open yet.
const UTTERANCE_S_MAX: u32 = 30;

/// See the module.
pub(crate) struct Hearing {
    rate: u32,
    encoding: Encoding,
    detector: VoiceDetector,
    events: Vec<VoiceEvent>,
    pcm: Vec<i16>,
    preroll: VecDeque<i16>,
    utterance: Vec<i16>,
    in_utterance: bool,
    transcriber: Option<TranscriberStream>,
    /// The one that listens for another language, open and waiting for the end of the utterance.
    next_transcriber: Option<TranscriberStream>,
    /// What the last transcriber that was asked for listens for.
    language: String,
    wanted: AudioWanted,
    gather: Gather,
    /// Media time at which the utterance began.
    utterance_from_ms: u64,
    /// A request that came before the transcriber was open.
    asked_early: Option<WorkId>,
    asked: Option<WorkId>,
    transcriber_gone: bool,
    media_samples: u64,
    /// Call time minus media time; the smallest seen, since delay only ever adds.
    offset_ms: Option<u64>,
    first_sample: u64,
    speech_began: CallTime,
    dropped_ms: u64,
    silero: Option<SecondOpinion>,
}

struct SecondOpinion {
    silero: Arc<BuiltinVoiceActivity>,
    stream: Option<Box<SileroStream>>,
    upsampler: Resampler,
    waiting: Vec<i16>,
}

impl Hearing {
    pub(crate) fn new(
        rate: u32,
        encoding: Encoding,
        language: &str,
        wanted: AudioWanted,
        silero: Option<Arc<BuiltinVoiceActivity>>,
    ) -> Self {
        let silero = silero.map(|silero| SecondOpinion {
            stream: Some(Box::new(silero.stream())),
            silero,
            upsampler: Resampler::new(rate, 16_000),
            waiting: Vec::new(),
        });
        Self {
            rate,
            encoding,
            detector: VoiceDetector::new(rate),
            events: Vec::new(),
            pcm: Vec::new(),
            preroll: VecDeque::new(),
            utterance: Vec::new(),
            in_utterance: false,
            transcriber: None,
            next_transcriber: None,
            language: language.to_owned(),
            wanted,
            gather: Gather::new(rate),
            utterance_from_ms: 0,
            asked_early: None,
            asked: None,
            transcriber_gone: false,
            media_samples: 0,
            offset_ms: None,
            first_sample: 0,
            speech_began: CallTime::ZERO,
            dropped_ms: 0,
            silero,
        }
    }

    /// The next result of the transcriber; waits for ever while there is none.
    pub(crate) async fn next_output(&mut self) -> Option<TranscriberOutput> {
        match &mut self.transcriber {
            Some(stream) => stream.output.recv().await,
            None => std::future::pending().await,
        }
    }

    pub(crate) fn discard(&mut self) {
        self.in_utterance = false;
        self.utterance.clear();
        // A long utterance's buffer is not kept for the rest of the call.
        self.utterance.shrink_to(self.rate as usize);
        self.asked_early = None;
        // The transcriber takes it for void.
        self.asked = None;
        self.send(TranscriberInput::Discard);
        self.change_over();
    }

    /// The transcriber of another language takes over as soon as nothing is being said and nothing is awaited. Until then
    /// the old one goes on.
    fn change_over(&mut self) {
        let idle = !self.in_utterance && self.asked.is_none() && self.asked_early.is_none();
        if (idle || self.transcriber.is_none())
            && let Some(next) = self.next_transcriber.take()
        {
            self.transcriber = Some(next);
            self.transcriber_gone = false;
        }
    }

    /// Audio that came too late to be heard, ms.
    pub(crate) const fn dropped_ms(&self) -> u64 {
        self.dropped_ms
    }

    /// The utterance at 16 kHz, at most the last seconds a turn model looks at.
    pub(crate) fn utterance_16k(&self) -> Vec<i16> {
        let window = self.rate as usize * providers::turn::WINDOW_S;
        let from = self.utterance.len().saturating_sub(window);
        let mut pcm = Vec::new();
        Resampler::new(self.rate, 16_000).process(&self.utterance[from..], &mut pcm);
        pcm
    }

    pub(crate) fn second_opinion(&mut self, outcome: Result<(Box<SileroStream>, Vec<f32>), Error>) {
        let Some(second) = &mut self.silero else { return };
        match outcome {
            Ok((stream, probabilities)) => {
                second.stream = Some(stream);
                if let Some(last) = probabilities.last() {
                    self.detector.override_probability(Some(*last));
                }
            }
            // Too busy: the first detector decides alone, and a new stream begins.
            Err(error) => {
                tracing::debug!(error = %error, "no second opinion on a noisy line");
                second.stream = Some(Box::new(second.silero.stream()));
            }
        }
    }

    fn send(&mut self, input: TranscriberInput) {
        let Some(stream) = &self.transcriber else { return };
        if let Err(error) = stream.input.try_send(input)
            && let TranscriberInput::Audio(lost) | TranscriberInput::Silence(lost) = error.into_inner()
        {
            self.dropped_ms += lost.len() as u64 * 1_000 / u64::from(self.rate);
        }
    }

    /// Takes one decoded frame; afterwards `events` holds what was noticed. True when an utterance began.
    fn push(&mut self, now_ms: u64) {
        let frame_ms = self.pcm.len() as u64 * 1_000 / u64::from(self.rate);
        self.media_samples += self.pcm.len() as u64;
        let media_end_ms = self.media_samples * 1_000 / u64::from(self.rate);
        if self.offset_ms.is_none() {
            self.first_sample = now_ms.saturating_sub(frame_ms) * u64::from(self.rate) / 1_000;
        }
        let offset = now_ms.saturating_sub(media_end_ms);
        self.offset_ms = Some(self.offset_ms.map_or(offset, |known| known.min(offset)));
        self.events.clear();
        self.detector.push(&self.pcm, &mut self.events);
        self.preroll.extend(&self.pcm);
        let keep = (self.rate * PREROLL_MS / 1_000) as usize + self.pcm.len();
        let excess = self.preroll.len().saturating_sub(keep);
        self.preroll.drain(..excess);
        // Speech that goes on after its first part was taken as an utterance begins the next one.
        let voice =
            self.detector.is_speaking() || self.events.iter().any(|event| matches!(event, VoiceEvent::Began { .. }));
        let begins = !self.in_utterance && voice;
        if begins {
            self.in_utterance = true;
            self.utterance_from_ms = media_end_ms;
            self.utterance.extend(&self.preroll);
        } else if self.in_utterance && self.utterance.len() < (self.rate * UTTERANCE_S_MAX) as usize {
            self.utterance.extend(&self.pcm);
        }
        match self.wanted {
            AudioWanted::Continuous => {
                let spoken_ms = self.in_utterance.then(|| media_end_ms - self.utterance_from_ms);
                let silent_ms = media_end_ms.saturating_sub(self.detector.last_loud_ms().unwrap_or(0));
                let moment = Moment::of(spoken_ms, silent_ms);
                if let Some(piece) = self.gather.push(&self.pcm, moment) {
                    self.send(match moment {
                        Moment::Quiet => TranscriberInput::Silence(piece),
                        Moment::Loud | Moment::Tense => TranscriberInput::Audio(piece),
                    });
                }
            }
            AudioWanted::SpeechOnly if begins => self.send(TranscriberInput::Audio(self.utterance.as_slice().into())),
            AudioWanted::SpeechOnly if self.in_utterance => {
                self.send(TranscriberInput::Audio(self.pcm.as_slice().into()))
            }
            AudioWanted::SpeechOnly => {}
        }
    }

    fn call_time(&self, media_ms: u64) -> CallTime {
        CallTime(self.offset_ms.unwrap_or(0) + media_ms)
    }

    /// On a noisy line a second, better and dearer detector is asked, one piece at a time.
    fn ask_second_opinion(&mut self, work: &mut Work) {
        let Some(second) = &mut self.silero else { return };
        if !self.detector.noisy() {
            second.waiting.clear();
            return;
        }
        second.upsampler.process(&self.pcm, &mut second.waiting);
        // A second of audio waiting means the pool is busy: old audio says nothing about now.
        let excess = second.waiting.len().saturating_sub(16_000);
        second.waiting.drain(..excess);
        if let Some(stream) = second.stream.take() {
            let silero = second.silero.clone();
            let pcm = std::mem::take(&mut second.waiting);
            work.start_unnamed(move |events| async move {
                let scored = silero.score(*stream, pcm).await.map(|(stream, scores)| (Box::new(stream), scores));
                // The call is gone: nobody asks any more.
                let _ = events.send(WorkEvent::Voices(scored)).await;
            });
        }
    }
}

impl Session {
    /// A frame of the caller's audio, and when it came.
    pub(super) fn hear(&mut self, frame: &AudioFrame<'_>, now: CallTime) -> Result<(), WireError> {
        let hearing = &mut self.hearing;
        let mut pcm = std::mem::take(&mut hearing.pcm);
        let decoded = frame.decode(hearing.encoding, &mut pcm);
        hearing.pcm = pcm;
        decoded?;
        self.last_audio_ms = now.ms();
        let at_sample = hearing.media_samples;
        hearing.push(now.ms());
        if let Some(recorder) = &mut self.recorder {
            recorder.caller(hearing.first_sample + at_sample, &hearing.pcm);
        }
        hearing.ask_second_opinion(&mut self.work);
        let events = std::mem::take(&mut self.hearing.events);
        for event in &events {
            let voice = match event {
                VoiceEvent::Began { at_ms } => {
                    self.hearing.speech_began = self.hearing.call_time(*at_ms);
                    Voice::Began { at: self.hearing.speech_began }
                }
                VoiceEvent::Ended { at_ms } => Voice::Ended { at: self.hearing.call_time(*at_ms) },
            };
            self.input(Input::Voice(voice));
        }
        self.hearing.events = events;
        if self.hearing.detector.is_speaking()
            && let Some(last_loud) = self.hearing.detector.last_loud_ms()
        {
            let (since, until) = (self.hearing.speech_began, self.hearing.call_time(last_loud));
            self.input(Input::Voice(Voice::Loud { since, until }));
        }
        Ok(())
    }

    pub(super) fn transcribe(&mut self, work: WorkId) {
        if self.hearing.transcriber.is_none() {
            if self.hearing.transcriber_gone {
                self.inputs.push_back(Input::TranscribeFailed { work });
            } else {
                self.hearing.asked_early = Some(work);
            }
            return;
        }
        self.hearing.asked = Some(work);
        if let Some(held) = self.hearing.gather.take() {
            self.hearing.send(TranscriberInput::Audio(held));
        }
        let request = TranscriberInput::Finalize { work: work.0 };
        let full = self.hearing.transcriber.as_ref().is_some_and(|stream| stream.input.try_send(request).is_err());
        if full {
            self.inputs.push_back(Input::TranscribeFailed { work });
        }
    }

    /// Listens for this language from the end of the utterance on.
    pub(super) fn set_language(&mut self, tag: String) {
        // A model that hears by itself hears every language, over the one connection it has.
        if self.hearing.language == tag || matches!(self.grant.agent.brain, Brain::SpeechModel(_)) {
            return;
        }
        self.hearing.language.clone_from(&tag);
        self.hearing.next_transcriber = None;
        let transcriber = self.services.transcriber.clone();
        open_transcriber(&mut self.work, transcriber, self.hearing.rate, tag);
    }

    pub(super) fn transcriber_opened(&mut self, language: &str, opened: Result<TranscriberStream, Error>) {
        if self.hearing.language != language && (self.hearing.transcriber.is_some() || opened.is_err()) {
            // The language was changed again meanwhile.
            return;
        }
        match opened {
            Ok(stream) if self.hearing.transcriber.is_some() => {
                self.hearing.next_transcriber = Some(stream);
                self.hearing.change_over();
            }
            Ok(stream) => {
                self.hearing.transcriber = Some(stream);
                self.hearing.transcriber_gone = false;
                if self.hearing.in_utterance {
                    // What is held is part of it.
                    let _ = self.hearing.gather.take();
                    let utterance = self.hearing.utterance.as_slice().into();
                    self.hearing.send(TranscriberInput::Audio(utterance));
                }
                if let Some(work) = self.hearing.asked_early.take() {
                    self.transcribe(work);
                    self.handle_inputs();
                }
            }
            Err(error) if self.hearing.transcriber.is_some() => {
                tracing::warn!(call.id = %self.grant.call, error = %error, "no transcriber of the other language");
            }
            Err(error) => self.transcriber_lost(&error),
        }
    }

    fn transcriber_lost(&mut self, error: &Error) {
        tracing::error!(call.id = %self.grant.call, error = %error, "the transcriber is gone");
        self.hearing.transcriber = None;
        self.hearing.transcriber_gone = true;
        let asked = self.hearing.asked_early.take().or(self.hearing.asked.take());
        self.hearing.change_over();
        if let Some(work) = asked {
            self.input(Input::TranscribeFailed { work });
        }
    }

    pub(super) fn transcript(&mut self, output: Option<TranscriberOutput>) {
        match output {
            Some(TranscriberOutput::Partial { text }) => self.input(Input::Partial { text }),
            Some(TranscriberOutput::Final { work, text }) => {
                self.answered(WorkId(work));
                self.tell(Live::Understood(text.clone()));
                self.recall_early(&text);
                self.input(Input::Heard { work: WorkId(work), text });
            }
            Some(TranscriberOutput::EndOfUtterance { sure }) => self.input(Input::UtteranceEnded { sure }),
            Some(TranscriberOutput::Language { tag }) => self.input(Input::LanguageHeard { tag }),
            Some(TranscriberOutput::Failed { work: Some(work), error }) => {
                tracing::warn!(call.id = %self.grant.call, error = %error, "an utterance could not be transcribed");
                self.answered(WorkId(work));
                self.input(Input::TranscribeFailed { work: WorkId(work) });
            }
            Some(TranscriberOutput::Failed { work: None, error }) => self.transcriber_lost(&error),
            None => {
                let error = Error::new(providers::ErrorKind::Unavailable, "transcriber", "its stream ended");
                self.transcriber_lost(&error);
            }
        }
    }

    /// The transcriber owes nothing for this request any more.
    fn answered(&mut self, work: WorkId) {
        self.hearing.asked.take_if(|asked| asked.0 <= work.0);
        self.hearing.change_over();
    }
}

/// Opens a transcriber beside the call; it is told when it is open.
pub(super) fn open_transcriber(work: &mut Work, transcriber: Arc<dyn Transcriber>, rate: u32, language: String) {
    let options = TranscriberOptions { sample_rate_hz: rate, language: language.clone() };
    work.start_unnamed(move |events| async move {
        let opened = transcriber.open(options).await;
        // The call is gone: dropping the stream ends it.
        let _ = events.send(WorkEvent::TranscriberOpened { language, opened }).await;
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    const RATE: u32 = 8_000;
    const FRAME: usize = 800;

    /// A vowel: a pulse train through two resonators, enough like speech for the detector.
    fn vowel(samples: usize) -> Vec<i16> {
        let (mut low, mut high, mut phase) = ([0.0_f64; 2], [0.0_f64; 2], 0.0_f64);
        let resonate = |state: &mut [f64; 2], input: f64, hz: f64| {
            let radius = 0.97;
            let turn = 2.0 * radius * (std::f64::consts::TAU * hz / f64::from(RATE)).cos();
            let out = input + turn * state[0] - radius * radius * state[1];
            *state = [out, state[0]];
            out
        };
        (0..samples)
            .map(|n| {
                // Syllables of 200 ms: a tone without an end is no speech.
                let syllable = (n % 1_600) as f64 / 1_600.0;
                phase += (140.0 - 40.0 * syllable) / f64::from(RATE);
                let pulse = if phase >= 1.0 { 1.0 } else { 0.0 };
                phase -= phase.floor();
                let first = resonate(&mut low, pulse, 650.0);
                let sound = resonate(&mut high, first, 1_150.0);
                (sound * (std::f64::consts::PI * syllable).sin().sqrt() * 900.0) as i16
            })
            .collect()
    }

    #[test]
    fn speech_that_goes_on_after_its_utterance_is_heard_on() {
        let mut hearing = Hearing::new(RATE, Encoding::Pcm16, "en-IN", AudioWanted::SpeechOnly, None);
        let mut now_ms = 0;
        let mut hear = |hearing: &mut Hearing, pcm: &[i16]| {
            for frame in pcm.chunks(FRAME) {
                now_ms += 100;
                hearing.pcm = frame.to_vec();
                hearing.push(now_ms);
            }
        };
        hear(&mut hearing, &vec![0; 8_000]);
        let speech = vowel(16_000);
        hear(&mut hearing, &speech[..8_000]);
        assert!(hearing.in_utterance && hearing.detector.is_speaking(), "the vowel is taken for speech");
        // The call cut the utterance: what was said so far is answered, and the caller simply goes on.
        hearing.discard();
        hear(&mut hearing, &speech[8_000..8_800]);
        assert!(hearing.in_utterance);
        assert!(hearing.utterance.len() >= FRAME, "{} samples", hearing.utterance.len());
    }

    /// An open transcriber, and what it is given.
    fn stream() -> (TranscriberStream, mpsc::Receiver<TranscriberInput>) {
        let ((input, given), (_, output)) = (mpsc::channel(64), mpsc::channel(1));
        (TranscriberStream { input, output }, given)
    }

    #[test]
    fn another_language_takes_over_between_utterances() {
        let mut hearing = Hearing::new(RATE, Encoding::Pcm16, "en-IN", AudioWanted::Continuous, None);
        let ((old, mut to_old), (new, mut to_new)) = (stream(), stream());
        hearing.transcriber = Some(old);
        hearing.in_utterance = true;
        hearing.asked = Some(WorkId(7));
        hearing.next_transcriber = Some(new);
        hearing.change_over();
        hearing.send(TranscriberInput::Audio([1; 80].into()));
        assert!(to_new.try_recv().is_err(), "the utterance is heard to its end by who began to hear it");
        assert!(matches!(to_old.try_recv(), Ok(TranscriberInput::Audio(_))));
        // The utterance is over, and with it what was asked about it.
        hearing.discard();
        assert!(matches!(to_old.try_recv(), Ok(TranscriberInput::Discard)));
        hearing.send(TranscriberInput::Audio([1; 80].into()));
        assert!(matches!(to_new.try_recv(), Ok(TranscriberInput::Audio(_))));
        assert!(to_old.try_recv().is_err(), "closed");
    }

    #[test]
    fn another_language_takes_over_at_once_from_a_transcriber_that_is_gone() {
        let mut hearing = Hearing::new(RATE, Encoding::Pcm16, "en-IN", AudioWanted::Continuous, None);
        let (new, _given) = stream();
        hearing.in_utterance = true;
        hearing.transcriber_gone = true;
        hearing.next_transcriber = Some(new);
        hearing.change_over();
        assert!(hearing.transcriber.is_some() && !hearing.transcriber_gone);
    }

    #[test]
    fn audio_that_nobody_takes_is_counted() {
        let mut hearing = Hearing::new(RATE, Encoding::Pcm16, "en-IN", AudioWanted::Continuous, None);
        let ((input, _given), (_, output)) = (mpsc::channel(1), mpsc::channel(1));
        hearing.transcriber = Some(TranscriberStream { input, output });
        for _ in 0..3 {
            hearing.send(TranscriberInput::Audio([0; FRAME].into()));
        }
        assert_eq!(hearing.dropped_ms(), 200);
    }
}
