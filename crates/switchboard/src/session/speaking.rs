//! The agent's audio: sentences are spoken one after the other, paced, framed and marked for the carrier. What a model
//! says by itself, and the tones of keys, take their place among them.

use super::Session;
use super::behind::Behind;
use super::own_voice::OwnVoice;
use super::told::Told;
use audio::pace::{FrameRule, OutKind, Pacer};
use call::{HeardSpeech, Input, SpeechId, Tone, WorkId};
use model::{CallTime, CarrierKind, SpeechConfig};
use providers::Error;
use providers::speaker::{SpeakRequest, Speaker, SpeechChunk};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::mpsc;
use wire::carrier::Encoder;

/// How far ahead of the caller's ear we send. Enough for a late wake-up and the network; a barge-in throws it away
/// with one `clear`.
const LEAD_MS: u64 = 300;
/// While so much less than the lead is with the carrier, what is missing goes out in one write: half the writes of frames
/// of 100 ms, a tenth of those of 20 ms. What is left of the lead is for a late wake-up.
const BURST_MS: u64 = 200;
/// The speaker is read only while less than this waits to be sent: it is held back, and what is thrown away at a
/// barge-in stays small.
const AHEAD_MS: u64 = 10_000;
/// A sample in base64, and the envelope of a frame: reserved, so that a message is built in one piece.
const MESSAGE_BYTES_PER_SAMPLE: usize = 3;
/// See [`MESSAGE_BYTES_PER_SAMPLE`].
const MESSAGE_BYTES: usize = 256;
/// How fast people speak; with it we reckon how much of a sentence was said before it broke off.
const SPOKEN_CHARS_PER_S: u64 = 15;

/// See the module.
pub(crate) struct Speaking {
    carrier: CarrierKind,
    encoder: Encoder,
    pacer: Pacer,
    rate: u32,
    speaker: Arc<dyn Speaker>,
    voice: String,
    waiting: VecDeque<(SpeechId, Say)>,
    current: Option<Current>,
    told: Told,
    own_voice: OwnVoice,
    pub(super) behind: Behind,
    /// The sentence whose frames are going out.
    going_out: Option<u64>,
    control: VecDeque<String>,
    frame: Vec<i16>,
}

/// What is to be heard.
pub(super) enum Say {
    /// These words, in this language.
    Text { text: String, language: String },
    /// What the model says by itself.
    Thought(WorkId),
    /// The tones of these keys.
    Keys(String),
    /// What is heard when there is no voice.
    Tone(Tone),
}

struct Current {
    speech: SpeechId,
    source: Source,
    samples: u64,
    /// Its words and their language, as long as what is left of them may be asked for again.
    text: Option<(String, String)>,
    /// Samples from before that.
    samples_before: u64,
    /// It broke off a second time, with most of it unsaid.
    broke_off: bool,
}

impl Current {
    const fn new(speech: SpeechId, source: Source, text: Option<(String, String)>) -> Self {
        Self { speech, source, samples: 0, text, samples_before: 0, broke_off: false }
    }
}

enum Source {
    Speaker(mpsc::Receiver<Result<SpeechChunk, Error>>),
    Thought(WorkId),
}

/// What the speaker gave: audio, an error, or the end.
pub(crate) struct Chunk {
    speech: SpeechId,
    audio: Option<Result<SpeechChunk, Error>>,
}

impl Speaking {
    pub(crate) fn new(
        carrier: CarrierKind,
        stream_id: &str,
        rate: u32,
        speaker: Arc<dyn Speaker>,
        config: &SpeechConfig,
    ) -> Self {
        let rule = wire::carrier::frame_rule(carrier);
        let pacer = Pacer::new(FrameRule {
            sample_rate_hz: rate,
            frame_ms: rule.frame_ms,
            multiple_samples: rule.multiple_samples(),
            lead_ms: LEAD_MS,
            burst_ms: BURST_MS,
        });
        Self {
            carrier,
            encoder: Encoder::new(carrier, stream_id, rate),
            pacer,
            rate,
            speaker,
            voice: config.voice.clone(),
            waiting: VecDeque::new(),
            current: None,
            told: Told::default(),
            own_voice: OwnVoice::new(rate),
            behind: Behind::default(),
            going_out: None,
            control: VecDeque::new(),
            frame: Vec::new(),
        }
    }

    pub(crate) const fn carrier(&self) -> CarrierKind {
        self.carrier
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.current.is_some() || !self.waiting.is_empty() || self.pacer.queued_ms() > 0 || self.going_out.is_some()
    }

    /// When something may be sent, ms since the media began.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        match self.pacer.next_at_ms() {
            Some(at_ms) => Some(at_ms),
            None if self.line_is_free() => self.behind.due_ms(),
            None => None,
        }
    }

    /// Nothing of a sentence is with the carrier, and nothing waits to be sent to it.
    fn line_is_free(&self) -> bool {
        self.going_out.is_none() && self.pacer.queued_ms() == 0
    }

    /// The next piece from the speaker; waits for ever while none is wanted.
    pub(crate) async fn next_chunk(&mut self) -> Chunk {
        if self.pacer.queued_ms() < AHEAD_MS
            && let Some(Current { speech, source: Source::Speaker(chunks), .. }) = &mut self.current
        {
            let audio = chunks.recv().await;
            return Chunk { speech: *speech, audio };
        }
        std::future::pending().await
    }

    /// Forgets everything that was not heard, here and at the carrier, and says how far it was heard.
    pub(crate) fn clear(&mut self, now_ms: u64) -> Vec<HeardSpeech> {
        let heard = self.position(now_ms);
        self.pacer.clear(now_ms);
        self.waiting.clear();
        self.current = None;
        self.told.forget();
        self.own_voice.forget_claimed();
        self.going_out = None;
        self.clear_carrier(now_ms);
        heard
    }

    fn clear_carrier(&mut self, now_ms: u64) {
        let mut message = String::new();
        self.encoder.clear(&mut message);
        self.control.push_back(message);
        self.behind.clear(now_ms);
    }

    /// How far every unfinished sentence has been heard.
    pub(crate) fn position(&self, now_ms: u64) -> Vec<HeardSpeech> {
        let mut heard: Vec<HeardSpeech> = self
            .pacer
            .clone()
            .clear(now_ms)
            .into_iter()
            .map(|c| {
                let speech = SpeechId(c.speech);
                let heard_words = self.told.heard_words(speech, c.heard_ms);
                HeardSpeech { speech, heard_ms: c.heard_ms, total_ms: c.total_ms, heard_words }
            })
            .collect();
        let unsent = self.current.iter().map(|c| c.speech).chain(self.waiting.iter().map(|(speech, _)| *speech));
        for speech in unsent {
            if heard.iter().all(|h| h.speech != speech) {
                heard.push(HeardSpeech { speech, heard_ms: 0, total_ms: None, heard_words: None });
            }
        }
        heard
    }

    /// A mark came back.
    pub(crate) fn played(&mut self, mark: &str) -> Option<SpeechId> {
        let speech = mark.strip_prefix('s')?.parse().ok()?;
        self.pacer.played(speech);
        self.told.played(SpeechId(speech));
        if self.going_out == Some(speech) {
            self.going_out = None;
        }
        Some(SpeechId(speech))
    }
}

/// What is said. None of these waits; what the call is to know of it is put into `out`.
impl Speaking {
    /// Says this after what was asked for earlier.
    pub(super) fn say(&mut self, speech: SpeechId, say: Say, out: &mut VecDeque<Input>) {
        if let Say::Thought(work) = &say {
            // An answer that is gone fails as a sentence, in its place.
            self.own_voice.claim(*work);
        }
        self.waiting.push_back((speech, say));
        self.start_next(out);
    }

    /// This sentence will not be spoken.
    pub(super) fn give_up(&mut self, speech: SpeechId, out: &mut VecDeque<Input>) {
        let waits = self.waiting.iter().position(|(waiting, _)| *waiting == speech);
        if let Some((_, Say::Thought(work))) = waits.and_then(|at| self.waiting.remove(at)) {
            self.own_voice.forget(work);
        }
        if let Some(current) = self.current.take_if(|current| current.speech == speech) {
            if let Source::Thought(work) = current.source {
                self.own_voice.forget(work);
            }
            self.pacer.finish(speech.0);
            self.start_next(out);
        }
    }

    fn start_next(&mut self, out: &mut VecDeque<Input>) {
        while self.current.is_none() {
            let Some((speech, say)) = self.waiting.pop_front() else { return };
            match say {
                Say::Text { text, language } => {
                    self.told.begin(speech, &text);
                    let chunks = self.ask_speaker(text.clone(), language.clone());
                    self.current = Some(Current::new(speech, Source::Speaker(chunks), Some((text, language))));
                }
                Say::Thought(work) => {
                    self.current = Some(Current::new(speech, Source::Thought(work), None));
                    self.speak_thought(work, out);
                }
                Say::Keys(keys) => self.play(speech, &audio::dtmf::tones(&keys, self.rate), out),
                Say::Tone(Tone::Lost) => self.play(speech, &audio::signal::lost(self.rate), out),
                Say::Tone(Tone::Congestion) => self.play(speech, &audio::signal::congestion(self.rate), out),
            }
        }
    }

    fn play(&mut self, speech: SpeechId, pcm: &[i16], out: &mut VecDeque<Input>) {
        self.push(speech, pcm);
        self.finish(speech, pcm.len() as u64, out);
    }

    fn ask_speaker(&self, text: String, language: String) -> mpsc::Receiver<Result<SpeechChunk, Error>> {
        let (voice, sample_rate_hz) = (self.voice.clone(), self.rate);
        self.speaker.speak(SpeakRequest { text, language, voice, sample_rate_hz })
    }

    /// A sentence broke off in the middle: what is left of it is asked for once more, so that the caller is not left with
    /// half of it. False when there is nothing to be done.
    fn say_the_rest(&mut self) -> bool {
        let Some(current) = &mut self.current else { return false };
        let Some((text, language)) = current.text.take().filter(|_| current.samples > 0) else { return false };
        let rest = text[said(&text, current.samples * 1_000 / u64::from(self.rate))..].trim();
        let mostly_unsaid = rest.len() * 2 > text.len();
        if rest.is_empty() {
            return false;
        }
        if current.samples_before > 0 {
            current.broke_off = mostly_unsaid;
            return false;
        }
        current.samples_before = current.samples;
        let (rest, kept) = (rest.to_owned(), (text, language.clone()));
        let chunks = self.ask_speaker(rest, language);
        if let Some(current) = &mut self.current {
            current.source = Source::Speaker(chunks);
            current.text = Some(kept);
        }
        true
    }

    /// Hands on what the model has said by itself, if it is what is heard now.
    fn speak_thought(&mut self, work: WorkId, out: &mut VecDeque<Input>) {
        let is_heard = |current: &Current| matches!(current.source, Source::Thought(heard) if heard == work);
        let Some(current) = self.current.as_mut().filter(|current| is_heard(current)) else { return };
        let (pcm, over) = self.own_voice.take(work);
        current.samples += pcm.len() as u64;
        let (speech, samples) = (current.speech, current.samples);
        self.push(speech, &pcm);
        if over {
            self.current = None;
            self.finish(speech, samples, out);
        }
    }

    /// A model that speaks by itself has been asked.
    pub(super) fn thought_begins(&mut self, work: WorkId) {
        self.own_voice.begin(work);
    }

    /// More of what a model says by itself.
    pub(super) fn thought_audio(&mut self, work: WorkId, pcm: &[i16], out: &mut VecDeque<Input>) {
        self.own_voice.push(work, pcm);
        self.speak_thought(work, out);
    }

    /// The model says no more; when that was our wish, what nobody heard of it goes.
    pub(super) fn thought_over(&mut self, work: WorkId, given_up: bool, out: &mut VecDeque<Input>) {
        self.own_voice.over(work, given_up);
        self.speak_thought(work, out);
        self.start_next(out);
    }

    fn push(&mut self, speech: SpeechId, pcm: &[i16]) {
        // What a speaker is let ahead, and the longest answer of a model, are far below the pacer's own limit.
        if !pcm.is_empty() && self.pacer.push(speech.0, pcm).is_err() {
            tracing::warn!("a sentence is too long to be queued");
        }
    }

    /// All audio of a sentence is there.
    fn finish(&mut self, speech: SpeechId, samples: u64, out: &mut VecDeque<Input>) {
        let total_ms = samples * 1_000 / u64::from(self.rate);
        if total_ms == 0 {
            out.push_back(Input::SpeechFailed { speech });
        } else {
            self.pacer.finish(speech.0);
            out.push_back(Input::SpeechSynthesized { speech, total_ms });
        }
    }

    /// A piece of speech. True: it was the last one, or there will be none.
    fn take(&mut self, chunk: Chunk) -> bool {
        let Chunk { speech, audio } = chunk;
        let Some(current) = self.current.as_mut().filter(|current| current.speech == speech) else { return false };
        match audio {
            Some(Ok(SpeechChunk { pcm, mut words })) => {
                current.samples += pcm.len() as u64;
                let before_ms = current.samples_before * 1_000 / u64::from(self.rate);
                let before_ms = u32::try_from(before_ms).unwrap_or(u32::MAX);
                for word in &mut words {
                    word.from_ms = word.from_ms.saturating_add(before_ms);
                    word.to_ms = word.to_ms.saturating_add(before_ms);
                }
                self.told.words(speech, words);
                self.push(speech, &pcm);
                false
            }
            Some(Err(error)) => {
                tracing::warn!(error = %error, "a sentence could not be spoken");
                !self.say_the_rest()
            }
            None => true,
        }
    }
}

/// Byte index up to which a text was said in so long, at a word boundary.
fn said(text: &str, ms: u64) -> usize {
    let mut left = ms * SPOKEN_CHARS_PER_S / 1_000;
    let mut end = 0;
    for word in text.split_inclusive(char::is_whitespace) {
        let length = word.chars().count() as u64;
        if length > left {
            break;
        }
        left -= length;
        end += word.len();
    }
    end
}

impl Session {
    /// A piece of speech, or the end of a sentence.
    pub(super) fn speech(&mut self, chunk: Chunk) {
        if self.speaking.take(chunk)
            && let Some(Current { speech, samples, broke_off, .. }) = self.speaking.current.take()
        {
            if broke_off {
                self.speaking.pacer.finish(speech.0);
                self.inputs.push_back(Input::SpeechFailed { speech });
            } else {
                self.speaking.finish(speech, samples, &mut self.inputs);
            }
            // The call hears of the end of one before the next one begins.
            self.handle_inputs();
            self.speaking.start_next(&mut self.inputs);
            self.handle_inputs();
        }
    }

    /// The next message for the carrier, if one is due.
    pub(super) fn next_message(&mut self, now: CallTime) -> Option<String> {
        let speaking = &mut self.speaking;
        // Speech never waits behind a sound that is only there to be behind it.
        if speaking.behind.is_ahead(now.ms()) && speaking.pacer.next_at_ms().is_some_and(|at_ms| at_ms <= now.ms()) {
            speaking.clear_carrier(now.ms());
            if let Some(recorder) = &mut self.recorder {
                recorder.cut_agent(now.ms());
            }
        }
        if let Some(message) = self.speaking.control.pop_front() {
            return Some(message);
        }
        let mut frame = std::mem::take(&mut self.speaking.frame);
        let out = self.speaking.pacer.next_into(now.ms(), &mut frame);
        let message = match out {
            Some(out) => self.encode(out, &mut frame),
            None => self.sound_behind(now, &mut frame),
        };
        self.speaking.frame = frame;
        message
    }

    fn encode(&mut self, out: OutKind, frame: &mut [i16]) -> Option<String> {
        match out {
            OutKind::Frame { speech } => {
                let speaking = &mut self.speaking;
                speaking.behind.mix(frame);
                let end_ms = speaking.pacer.playout_end_ms();
                speaking.behind.speech_until(end_ms);
                let length_ms = frame.len() as u64 * 1_000 / u64::from(speaking.rate);
                let message = self.send_frame(end_ms.saturating_sub(length_ms), frame)?;
                if self.speaking.going_out != Some(speech) {
                    self.speaking.going_out = Some(speech);
                    self.input(Input::SpeechStarted { speech: SpeechId(speech) });
                }
                Some(message)
            }
            OutKind::Mark { speech } => {
                let mut message = String::new();
                self.speaking.encoder.mark(&format!("s{speech}"), &mut message);
                Some(message)
            }
        }
    }

    /// A frame of what is behind the agent, when nothing is said.
    fn sound_behind(&mut self, now: CallTime, frame: &mut Vec<i16>) -> Option<String> {
        let speaking = &mut self.speaking;
        if !speaking.line_is_free() {
            return None;
        }
        let samples = speaking.pacer.frame_samples();
        let plays_at_ms = speaking.behind.frame(now.ms(), samples, speaking.rate, frame)?;
        self.send_frame(plays_at_ms, frame)
    }

    fn send_frame(&mut self, plays_at_ms: u64, frame: &[i16]) -> Option<String> {
        let mut message = String::with_capacity(frame.len() * MESSAGE_BYTES_PER_SAMPLE + MESSAGE_BYTES);
        if let Err(error) = self.speaking.encoder.audio(frame, &mut message) {
            tracing::error!(call.id = %self.grant.call, error = %error, "a frame of ours breaks the carrier's rule");
            return None;
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.agent(plays_at_ms, frame);
        }
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 8_000;

    /// A sentence that was asked for, and where its audio would go.
    type Asked = (SpeakRequest, mpsc::Sender<Result<SpeechChunk, Error>>);

    /// Speaks nothing until a test says so.
    #[derive(Default)]
    struct Silent(std::sync::Mutex<Vec<Asked>>);

    impl Silent {
        fn asked(&self) -> Vec<(String, String)> {
            let asked = self.0.lock().expect("no holder panics");
            asked.iter().map(|(request, _)| (request.text.clone(), request.language.clone())).collect()
        }
    }

    impl Speaker for Silent {
        fn name(&self) -> &'static str {
            "silent"
        }

        fn speak(&self, request: SpeakRequest) -> mpsc::Receiver<Result<SpeechChunk, Error>> {
            let (sender, receiver) = mpsc::channel(4);
            self.0.lock().expect("no holder panics").push((request, sender));
            receiver
        }
    }

    fn speaking() -> (Speaking, Arc<Silent>) {
        let speaker = Arc::new(Silent::default());
        let config = SpeechConfig::default();
        (Speaking::new(CarrierKind::Exotel, "stream", RATE, speaker.clone(), &config), speaker)
    }

    fn text(words: &str) -> Say {
        Say::Text { text: words.to_owned(), language: "hi-IN".to_owned() }
    }

    /// What goes out within so long: frames as their speech and whether there is sound in them, and marks.
    fn sent(speaking: &mut Speaking, until_ms: u64) -> Vec<(u64, Option<bool>)> {
        let (mut all, mut frame) = (Vec::new(), Vec::new());
        for now_ms in (0..until_ms).step_by(10) {
            while let Some(out) = speaking.pacer.next_into(now_ms, &mut frame) {
                all.push(match out {
                    OutKind::Frame { speech } => (speech, Some(frame.iter().any(|sample| *sample != 0))),
                    OutKind::Mark { speech } => (speech, None),
                });
            }
        }
        all
    }

    const ONE: SpeechId = SpeechId(1);
    const TWO: SpeechId = SpeechId(2);
    const THREE: SpeechId = SpeechId(3);
    const WORK: WorkId = WorkId(9);

    #[test]
    fn what_was_said_is_reckoned_to_the_word() {
        let text = "नमस्ते we are open today.";
        for (ms, want) in [(0, ""), (400, ""), (500, "नमस्ते "), (950, "नमस्ते we are "), (60_000, text)]
        {
            assert_eq!(&text[..said(text, ms)], want, "{ms}");
        }
    }

    #[test]
    fn what_a_model_says_by_itself_is_a_sentence_in_its_place() {
        let (mut speaking, speaker) = speaking();
        let mut out = VecDeque::new();
        speaking.thought_begins(WORK);
        speaking.thought_audio(WORK, &[5; 800], &mut out);
        speaking.say(ONE, Say::Keys("1".to_owned()), &mut out);
        speaking.say(TWO, Say::Thought(WORK), &mut out);
        speaking.say(THREE, text("Anything else?"), &mut out);
        assert_eq!(out, [Input::SpeechSynthesized { speech: ONE, total_ms: 200 }]);
        assert!(speaker.asked().is_empty(), "it waits for the model to finish");
        speaking.thought_audio(WORK, &[5; 1_600], &mut out);
        speaking.thought_over(WORK, false, &mut out);
        assert_eq!(out.pop_back(), Some(Input::SpeechSynthesized { speech: TWO, total_ms: 300 }));
        assert_eq!(speaker.asked(), [("Anything else?".to_owned(), "hi-IN".to_owned())]);
        let marks: Vec<u64> =
            sent(&mut speaking, 1_000).into_iter().filter(|(_, f)| f.is_none()).map(|(s, _)| s).collect();
        assert_eq!(marks, [1, 2]);
    }

    #[test]
    fn an_answer_that_is_gone_or_silent_is_a_sentence_that_failed() {
        let (mut speaking, _) = speaking();
        let mut out = VecDeque::new();
        speaking.say(ONE, Say::Thought(WORK), &mut out);
        speaking.thought_begins(WORK);
        speaking.say(TWO, Say::Thought(WORK), &mut out);
        speaking.thought_over(WORK, false, &mut out);
        speaking.say(THREE, Say::Keys("x".to_owned()), &mut out);
        let failed = [ONE, TWO, THREE].map(|speech| Input::SpeechFailed { speech });
        assert_eq!(out, failed);
        assert!(!speaking.is_busy());
    }

    #[test]
    fn an_answer_cut_short_is_known_by_how_far_it_was_heard() {
        let (mut speaking, _) = speaking();
        let mut out = VecDeque::new();
        speaking.thought_begins(WORK);
        speaking.say(ONE, Say::Thought(WORK), &mut out);
        speaking.thought_audio(WORK, &[5; 16_000], &mut out);
        sent(&mut speaking, 500);
        let heard = speaking.clear(500);
        assert_eq!(heard.len(), 1);
        assert!(heard[0].speech == ONE && (300..=500).contains(&heard[0].heard_ms), "{heard:?}");
        // What comes late is nobody's.
        speaking.thought_audio(WORK, &[5; 1_600], &mut out);
        speaking.thought_over(WORK, true, &mut out);
        assert!(out.is_empty() && !speaking.is_busy());
    }

    #[test]
    fn a_sentence_given_up_lets_the_next_one_begin() {
        let (mut speaking, speaker) = speaking();
        let mut out = VecDeque::new();
        speaking.thought_begins(WORK);
        speaking.say(ONE, Say::Thought(WORK), &mut out);
        speaking.say(TWO, text("Second."), &mut out);
        speaking.say(THREE, text("Third."), &mut out);
        speaking.give_up(TWO, &mut out);
        speaking.give_up(ONE, &mut out);
        assert_eq!(speaker.asked().iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>(), ["Third."]);
        assert!(!speaking.own_voice.claim(WORK), "forgotten");
    }
}
