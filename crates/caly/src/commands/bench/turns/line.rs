//! One caller's turn, played to [`call::Call`] in time that is reckoned: the ear of a call, the built-in models, and the
//! rule that decides. The models compute; how long that takes is not measured but taken from measured means, so that the
//! same sound gives the same answer on every machine.

use super::ear::Ear;
use super::minds::{Minds, SCORE_MS, transcription_ms};
use super::sound::samples;
use anyhow::ensure;
use audio::voice::VoiceEvent;
use call::{Call, CallSetup, Effect, Effects, Input, Note, SpeechId, Voice, WorkId};
use chrono::NaiveDate;
use model::{AgentConfig, CallDirection, CallTime, TranscriptTurn, TurnRole, TurnTaking};
use std::collections::VecDeque;

/// A language model's first sentence: the first token after 100 ms, eight tokens of 10 ms.
const THINK_MS: u64 = 180;
/// The first sound of a sentence.
const SPEAK_MS: u64 = 80;
/// Voice activity looks back at most so far for the beginning of speech.
const NOTICED_WITHIN_MS: u64 = 250;
/// Effects and inputs that follow from one moment; more is a loop.
const STEPS_MAX: usize = 10_000;

/// What is played, and what is true about it.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    /// The line's sound.
    pub(super) sound: &'a [i16],
    /// Length of the carrier's frames.
    pub(super) frame_ms: u64,
    /// Where the caller is silent for good, or for a while.
    pub(super) quiet_from_ms: u64,
    /// Where the caller goes on, if they do.
    pub(super) goes_on_ms: Option<u64>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Outcome {
    /// When the turn was taken for finished; never, when the caller went on before.
    pub(super) decided_ms: Option<u64>,
    /// After a decision that came too early: the agent was heard before the caller was noticed going on.
    pub(super) heard: bool,
    /// The last words and judgement of the sound before the end.
    pub(super) text: String,
    /// See `text`.
    pub(super) score: Option<f32>,
}

/// An agent with a language model and this way of taking turns.
///
/// # Errors
/// Never, unless the form of an agent has changed.
pub(super) fn agent(turn_taking: TurnTaking) -> anyhow::Result<AgentConfig> {
    let brain = serde_json::json!({
        "kind": "language-model", "base_url": "http://127.0.0.1:1/v1", "model": "none", "system_prompt": "Answer.",
    });
    let mut agent: AgentConfig = serde_json::from_value(serde_json::json!({ "brain": brain, "record": false }))?;
    agent.turn_taking = turn_taking;
    Ok(agent)
}

/// Something that is due.
enum Due {
    Input(Input),
    Transcribe { work: WorkId, pcm: Vec<i16> },
    Score { work: WorkId, pcm: Vec<i16> },
}

struct Line<'a> {
    minds: &'a Minds,
    call: Call,
    ear: Ear,
    due: Vec<(u64, Due)>,
    now_ms: u64,
    speech_began: CallTime,
    begun: bool,
    outcome: Outcome,
    withdrawn: bool,
}

/// Plays a scene under a rule.
///
/// # Errors
/// When a model fails.
pub(super) async fn play(minds: &Minds, scene: Scene<'_>, agent: &AgentConfig) -> anyhow::Result<Outcome> {
    let midday = NaiveDate::from_ymd_opt(2026, 1, 5).and_then(|day| day.and_hms_opt(12, 0, 0)).unwrap_or_default();
    let setup = CallSetup {
        agent: agent.clone(),
        local_time: midday,
        caller_number: None,
        variables: call::variables::Variables::default(),
        direction: CallDirection::Incoming,
        can_transfer: false,
    };
    let mut line = Line {
        minds,
        call: Call::new(setup)?,
        ear: Ear::new(minds.second_opinion()),
        due: Vec::new(),
        now_ms: 0,
        speech_began: CallTime::ZERO,
        begun: false,
        outcome: Outcome::default(),
        withdrawn: false,
    };
    line.input(Input::Connected)?;
    line.begun = true;
    for (arrives_ms, frame) in (1..).map(|n| n * scene.frame_ms).zip(scene.sound.chunks_exact(samples(scene.frame_ms)))
    {
        line.pass_time(arrives_ms).await?;
        if line.is_over(scene, false) {
            break;
        }
        let goes_on = line.hear(frame, scene)?;
        if line.is_over(scene, goes_on) {
            break;
        }
    }
    Ok(line.outcome)
}

impl Line<'_> {
    /// Everything is known that is asked for.
    fn is_over(&self, scene: Scene<'_>, goes_on: bool) -> bool {
        match self.outcome.decided_ms {
            None => goes_on,
            Some(at_ms) if at_ms >= scene.quiet_from_ms && scene.goes_on_ms.is_none() => true,
            Some(_) => self.outcome.heard || self.withdrawn || goes_on,
        }
    }

    /// A frame of the caller's sound. True when they are noticed going on.
    fn hear(&mut self, frame: &[i16], scene: Scene<'_>) -> anyhow::Result<bool> {
        self.ear.push(frame)?;
        let mut goes_on = false;
        for event in std::mem::take(&mut self.ear.events) {
            let voice = match event {
                VoiceEvent::Began { at_ms } => {
                    self.speech_began = CallTime(at_ms);
                    goes_on |= scene.goes_on_ms.is_some_and(|next| at_ms + NOTICED_WITHIN_MS >= next);
                    Voice::Began { at: CallTime(at_ms) }
                }
                VoiceEvent::Ended { at_ms } => Voice::Ended { at: CallTime(at_ms) },
            };
            self.input(Input::Voice(voice))?;
        }
        if self.ear.detector.is_speaking()
            && let Some(until) = self.ear.detector.last_loud_ms()
        {
            // A pause too short to be noticed is none.
            goes_on |= scene.goes_on_ms.is_some_and(|next| until > next);
            self.input(Input::Voice(Voice::Loud { since: self.speech_began, until: CallTime(until) }))?;
        }
        Ok(goes_on)
    }

    /// What is due until then, in order.
    async fn pass_time(&mut self, until_ms: u64) -> anyhow::Result<()> {
        let mut ticked_ms = None;
        loop {
            let next = self.due.iter().enumerate().min_by_key(|(at, (due_ms, _))| (*due_ms, *at));
            let next = next.map(|(at, (due_ms, _))| (at, *due_ms));
            let deadline = self.call.deadline().map(|at| at.ms().max(self.now_ms)).filter(|at| ticked_ms != Some(*at));
            match (next, deadline) {
                (Some((at, due_ms)), deadline)
                    if due_ms <= until_ms && deadline.is_none_or(|deadline| due_ms <= deadline) =>
                {
                    self.now_ms = self.now_ms.max(due_ms);
                    let (_, due) = self.due.remove(at);
                    self.perform_due(due).await?;
                }
                (_, Some(deadline)) if deadline <= until_ms => {
                    self.now_ms = deadline;
                    ticked_ms = Some(deadline);
                    self.input(Input::Tick)?;
                }
                (Some(_) | None, Some(_) | None) => break,
            }
        }
        self.now_ms = until_ms;
        Ok(())
    }

    async fn perform_due(&mut self, due: Due) -> anyhow::Result<()> {
        let input = match due {
            Due::Input(input) => input,
            Due::Transcribe { work, pcm } => {
                let text = self.minds.transcribe(&pcm).await?;
                if self.outcome.decided_ms.is_none() {
                    self.outcome.text.clone_from(&text);
                    self.outcome.score = None;
                }
                Input::Heard { work, text }
            }
            Due::Score { work, pcm } => {
                let probability = self.minds.score(&pcm).await?;
                if self.outcome.decided_ms.is_none() {
                    self.outcome.score = Some(probability);
                }
                Input::TurnScored { work, probability }
            }
        };
        self.outcome.heard |= self.outcome.decided_ms.is_some() && matches!(input, Input::SpeechStarted { .. });
        self.input(input)
    }

    fn input(&mut self, first: Input) -> anyhow::Result<()> {
        let mut inputs = VecDeque::from([first]);
        let mut steps = 0;
        while let Some(input) = inputs.pop_front() {
            steps += 1;
            ensure!(steps < STEPS_MAX, "inputs lead to inputs without an end");
            let mut effects = Effects::new();
            self.call.handle(CallTime(self.now_ms), input, &mut effects);
            for effect in effects {
                self.perform(effect, &mut inputs);
            }
        }
        Ok(())
    }

    fn perform(&mut self, effect: Effect, inputs: &mut VecDeque<Input>) {
        match effect {
            Effect::Transcribe { work } => {
                let pcm = self.ear.utterance.clone();
                self.due.push((self.now_ms + transcription_ms(pcm.len()), Due::Transcribe { work, pcm }));
            }
            Effect::ScoreTurn { work } => {
                self.due.push((self.now_ms + SCORE_MS, Due::Score { work, pcm: self.ear.utterance.clone() }));
            }
            Effect::DiscardUtterance => self.ear.discard(),
            Effect::Think { work, .. } => {
                let at_ms = self.now_ms + THINK_MS;
                let text = "One moment, please.".to_owned();
                self.due.push((at_ms, Due::Input(Input::ThoughtText { work, text })));
                self.due.push((at_ms, Due::Input(Input::ThoughtDone { work })));
            }
            Effect::Cancel { work } => self.due.retain(|(_, due)| !due.is_of(work)),
            Effect::Speak { speech, .. } if self.begun => {
                self.due.push((self.now_ms + SPEAK_MS, Due::Input(Input::SpeechStarted { speech })));
            }
            // The greeting is over before anything is measured.
            Effect::Speak { speech, .. } => inputs.extend(said(speech)),
            Effect::ClearPlayback => {
                self.due.retain(|(_, due)| !matches!(due, Due::Input(Input::SpeechStarted { .. })));
                inputs.push_back(Input::PlaybackCleared { heard: Vec::new() });
            }
            Effect::Note(Note::Turn(TranscriptTurn { role: TurnRole::Caller, .. })) => {
                self.outcome.decided_ms.get_or_insert(self.now_ms);
            }
            Effect::Note(Note::Withdrawn) => self.withdrawn = true,
            Effect::Note(_)
            | Effect::RunTool { .. }
            | Effect::SpeakThought { .. }
            | Effect::PlayKeys { .. }
            | Effect::PlayTone { .. }
            | Effect::SetLanguage { .. }
            | Effect::CancelSpeech { .. }
            | Effect::Transfer { .. }
            | Effect::HangUp { .. } => {}
        }
    }
}

impl Due {
    fn is_of(&self, cancelled: WorkId) -> bool {
        match self {
            Self::Transcribe { work, .. } | Self::Score { work, .. } => *work == cancelled,
            Self::Input(Input::ThoughtText { work, .. } | Input::ThoughtDone { work }) => *work == cancelled,
            Self::Input(_) => false,
        }
    }
}

/// A sentence that was said and heard.
fn said(speech: SpeechId) -> [Input; 3] {
    [Input::SpeechStarted { speech }, Input::SpeechSynthesized { speech, total_ms: 1 }, Input::Played { speech }]
}
