//! One phone call, as a state machine.
//!
//! Architecture Invariant: this crate does no I/O, reads no clock and draws no randomness. Everything it knows arrives
//! through [`Call::handle`]; everything it wants is an [`Effect`]. The same inputs give the same effects, always, so
//! the input log of a call replays it ([`log`]).
//!
//! Architecture Invariant: no bytes of a vendor or a carrier, and no audio, reach this crate. It knows that speech
//! began, how long a sentence lasted and how much of it was heard; the sound itself stays with the shell.
//!
//! Start reading at [`Call::handle`]. Three small machines run side by side: the [`ear`] (is the caller speaking, has
//! the utterance ended), the [`mind`] (what decides the answer) and the [`mouth`] (what is being said, how much of it
//! was heard). `hearing.rs`, `answering.rs` and `ending.rs` are where they meet. Scenarios as text are in
//! `tests/it/scenarios/`.

mod answering;
mod conversation;
mod eager;
mod ear;
mod effect;
mod ending;
pub mod flow;
mod hearing;
mod input;
mod interruption;
mod keys;
pub mod log;
mod machine;
mod mind;
mod mouth;
pub mod phrases;
pub mod timing;
mod tooling;
mod turn;
pub mod variables;

pub use effect::{Effect, Effects, Machine, Message, Note, Tone, ToolCall};
pub use input::{Command, HeardSpeech, Input, ToolOutput, Voice};
pub use mind::SetupError;
pub use model::Stage;
pub use mouth::SpeechId;

use chrono::{NaiveDateTime, TimeDelta};
use eager::Eager;
use ear::Ear;
use flow::FlowContext;
use keys::Keys;
use language::switch::LanguageSwitch;
use mind::Mind;
use model::{AgentConfig, CallDirection, CallTime, E164, EndedReason, Latency, TranscriptTurn, TurnRole};
use mouth::{Mouth, Rest};
use serde::{Deserialize, Serialize};
use tooling::Tooling;

/// Names a piece of work asked of a provider. Answers to work that is no longer wanted are recognised by it and
/// dropped here, so that an interruption is no race.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkId(pub u64);

/// Everything a call is told before it begins. First line of its log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallSetup {
    /// How the agent behaves.
    pub agent: AgentConfig,
    /// Date and time at the business when the media began; for «tomorrow» and opening hours.
    pub local_time: NaiveDateTime,
    /// Who calls, when the carrier says so.
    pub caller_number: Option<E164>,
    /// What is known of this call beforehand.
    #[serde(default, skip_serializing_if = "variables::Variables::is_empty")]
    pub variables: variables::Variables,
    /// Who called whom.
    #[serde(default = "incoming")]
    pub direction: CallDirection,
    /// The carrier of this call can hand the caller to a person.
    #[serde(default = "yes")]
    pub can_transfer: bool,
}

const fn incoming() -> CallDirection {
    CallDirection::Incoming
}

const fn yes() -> bool {
    true
}

/// What the call is doing, for people who watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The media has not begun.
    Connecting,
    /// The caller has the floor.
    Listening,
    /// An answer is being made.
    Thinking,
    /// The agent speaks.
    Speaking,
    /// Saying goodbye.
    Ending,
    /// Over.
    Ended,
}

/// Why and how a call is coming to its end.
#[derive(Clone, Debug, PartialEq)]
enum Closing {
    /// Not yet.
    Open,
    /// What is being said is the last; then hang up for this reason. Not later than `by`.
    AfterSpeech { reason: EndedReason, by: CallTime, transfer_to: Option<String> },
    /// Over.
    Done,
}

/// One phone call.
#[derive(Debug)]
pub struct Call {
    setup: CallSetup,
    ear: Ear,
    mind: Mind,
    mouth: Mouth,
    closing: Closing,
    now: CallTime,
    connected: bool,
    next_id: u64,
    turn_index: u32,
    /// Since when nothing has happened that a caller could be waiting on.
    quiet_since: CallTime,
    reminders: u32,
    /// Failures of each stage since it last did its work; too many in a row of one stage end the call.
    failures: Failures,
    /// Latency of the answer that is being made.
    latency: Latency,
    /// When the decision fell that the caller's turn is over.
    decided_at: Option<CallTime>,
    /// Caller's last loud frame before the answer that is being made.
    answered_voice_end: Option<CallTime>,
    /// The caller's last turn, until its answer is heard; it may yet go on.
    last_caller_turn: Option<TranscriptTurn>,
    /// What was left unsaid when the caller interrupted, until it is known that they meant it.
    interrupted_rest: Vec<Rest>,
    /// The model was still making its answer then.
    interrupted_answer: bool,
    /// A turn that waits until the agent may answer it.
    pending_turn: Option<CallerTurn>,
    /// Said as soon as the shell has stopped what is being said: the words, and why the call ends.
    goodbye_when_cleared: Option<(String, EndedReason)>,
    /// Between which languages the conversation goes.
    language: LanguageSwitch,
    /// Tools that the language model asked for.
    tooling: Tooling,
    /// An answer begun before it is known that the caller has finished.
    eager: Option<Eager>,
    /// Keys typed without being asked for.
    keys: Keys,
    /// Words that bridged this answer, and all of them.
    fillers: u32,
    fillers_said: u32,
    /// Tokens of the language model, read and written.
    tokens_used: u64,
}

/// A finished turn of the caller.
#[derive(Clone, Debug)]
struct CallerTurn {
    text: String,
    began: CallTime,
    ended: CallTime,
    transcription_ms: Option<u64>,
}

/// See [`Call::failures`].
#[derive(Clone, Copy, Debug, Default)]
struct Failures {
    transcribing: u32,
    thinking: u32,
    speaking: u32,
}

impl Call {
    /// A call that has not begun.
    ///
    /// # Errors
    /// [`SetupError`] when the agent's flow cannot be read.
    pub fn new(setup: CallSetup) -> Result<Self, SetupError> {
        let mind = Mind::new(&setup.agent)?;
        let language = LanguageSwitch::new(&setup.agent.language, &setup.agent.languages);
        Ok(Self {
            language,
            tooling: Tooling::default(),
            eager: None,
            keys: Keys::default(),
            fillers: 0,
            fillers_said: 0,
            tokens_used: 0,
            setup,
            ear: Ear::default(),
            mind,
            mouth: Mouth::default(),
            closing: Closing::Open,
            now: CallTime::ZERO,
            connected: false,
            next_id: 1,
            turn_index: 0,
            quiet_since: CallTime::ZERO,
            reminders: 0,
            failures: Failures::default(),
            latency: Latency::default(),
            decided_at: None,
            answered_voice_end: None,
            last_caller_turn: None,
            interrupted_rest: Vec::new(),
            interrupted_answer: false,
            pending_turn: None,
            goodbye_when_cleared: None,
        })
    }

    /// Takes one input and appends what is to be done about it, in order.
    ///
    /// `now` never runs backwards; if the shell's does, the call's own time stands still.
    pub fn handle(&mut self, now: CallTime, input: Input, effects: &mut Effects) {
        self.now = self.now.max(now);
        if self.closing == Closing::Done {
            return;
        }
        match input {
            Input::Connected => self.begin(effects),
            Input::Voice(voice) => self.voice(voice, effects),
            Input::Partial { text } => self.partial(&text, effects),
            Input::Dtmf { digit } => self.key(digit, effects),
            Input::Heard { work, text } => self.heard(work, Ok(text), effects),
            Input::TranscribeFailed { work } => self.heard(work, Err(()), effects),
            Input::UtteranceEnded { sure } => self.utterance_ended(sure, effects),
            Input::LanguageHeard { tag } => self.ear.tag = Some(tag),
            Input::TurnScored { work, probability } => self.scored(work, Some(probability), effects),
            Input::TurnScoreFailed { work } => self.scored(work, None, effects),
            input @ (Input::ThoughtText { work, .. }
            | Input::ThoughtTool { work, .. }
            | Input::ThoughtDone { work }
            | Input::ThinkFailed { work }) => {
                if !self.keep_for_later(work, &input) {
                    self.think_input(input, effects);
                }
            }
            Input::ThoughtUsed { tokens, .. } => self.thought_used(tokens),
            Input::ToolFinished { work, outcome } => self.tool_finished(work, outcome, effects),
            Input::SpeechStarted { speech } => self.speech_started(speech),
            Input::SpeechSynthesized { speech, total_ms } => self.mouth.synthesized(speech, total_ms, self.now),
            Input::SpeechFailed { speech } => self.speech_failed(speech, effects),
            Input::Played { speech } => self.played(speech, effects),
            Input::PlaybackCleared { heard } => self.playback_cleared(&heard, effects),
            Input::Command(command) => self.command(command, effects),
            Input::CallerLeft { reason } => self.ended(reason, effects),
            Input::Tick => {}
        }
        self.pass_time(effects);
    }

    /// When [`Input::Tick`] is due, at the latest. `None` once the call is over.
    #[must_use]
    pub fn deadline(&self) -> Option<CallTime> {
        if self.closing == Closing::Done || !self.connected {
            return None;
        }
        let closing = match &self.closing {
            Closing::AfterSpeech { by, .. } => Some(*by),
            Closing::Open => Some(CallTime::ZERO + self.setup.agent.max_duration_s.saturating_mul(1_000)),
            Closing::Done => None,
        };
        let conversation = [self.ear_deadline(), self.mind.deadline(), self.mouth.deadline(), self.silence_deadline()];
        let waits = [closing, self.filler_deadline(), self.keys.deadline()];
        conversation.into_iter().chain(waits).flatten().min()
    }

    /// The language in force, BCP 47.
    #[must_use]
    pub fn language(&self) -> &str {
        self.language.current()
    }

    /// Something of a language model's answer that is wanted.
    fn think_input(&mut self, input: Input, effects: &mut Effects) {
        match input {
            Input::ThoughtText { work, text } => self.thought_text(work, &text, effects),
            Input::ThoughtTool { work, id, name, arguments } => {
                self.thought_tool(work, ToolCall { id, name, arguments });
            }
            Input::ThoughtDone { work } => self.thought_done(work, effects),
            Input::ThinkFailed { work } => self.think_failed(work, effects),
            // Not of an answer.
            _ => {}
        }
    }

    /// What the call is doing.
    #[must_use]
    pub fn phase(&self) -> Phase {
        if !self.connected && self.closing != Closing::Done {
            return Phase::Connecting;
        }
        match self.closing {
            Closing::Done => Phase::Ended,
            Closing::AfterSpeech { .. } => Phase::Ending,
            Closing::Open if self.mouth.is_busy() => Phase::Speaking,
            Closing::Open if self.mind.is_busy() => Phase::Thinking,
            Closing::Open => Phase::Listening,
        }
    }

    /// What the conversation has collected so far: the slots of a flow.
    #[must_use]
    pub fn collected(&self) -> serde_json::Value {
        self.mind.collected()
    }

    fn begin(&mut self, effects: &mut Effects) {
        if self.connected {
            return;
        }
        self.connected = true;
        self.quiet_since = self.now;
        let context = self.context();
        let step = self.mind.begin(&context, &self.setup.agent);
        self.perform(step, effects);
    }

    /// Whatever is due, in a fixed order. Runs after every input, so a late `Tick` loses nothing.
    fn pass_time(&mut self, effects: &mut Effects) {
        if !self.connected || self.closing == Closing::Done {
            return;
        }
        self.pass_ear_time(effects);
        self.pass_keys(effects);
        self.pass_mind_time(effects);
        self.pass_filler(effects);
        self.pass_mouth_time(effects);
        self.pass_silence(effects);
        self.pass_closing_time(effects);
    }

    fn context(&self) -> FlowContext {
        // CallTime is bounded by the longest call; the conversion cannot overflow, and a wrong one only shifts «today».
        let elapsed = TimeDelta::milliseconds(i64::try_from(self.now.ms()).unwrap_or(0));
        let local = self.setup.local_time.checked_add_signed(elapsed).unwrap_or(self.setup.local_time);
        FlowContext {
            today: local.date(),
            now: local.time(),
            caller_number: self.setup.caller_number.as_ref().map(|number| number.as_str().to_owned()),
            variables: self.setup.variables.clone(),
        }
    }

    fn work(&mut self) -> WorkId {
        let id = WorkId(self.next_id);
        self.next_id += 1;
        id
    }

    fn note_turn(&mut self, turn: TranscriptTurn, effects: &mut Effects) {
        if turn.index < model::limits::TURNS_PER_CALL_MAX {
            effects.push(Effect::Note(Note::Turn(turn)));
        }
    }

    fn next_turn_index(&mut self) -> u32 {
        let index = self.turn_index;
        self.turn_index += 1;
        index
    }

    fn caller_turn(&mut self, text: &str, started: CallTime, ended: CallTime, effects: &mut Effects) -> TranscriptTurn {
        let turn = TranscriptTurn {
            index: self.next_turn_index(),
            role: TurnRole::Caller,
            text: text.to_owned(),
            intended: None,
            interrupted: false,
            started_ms: started.ms(),
            ended_ms: ended.ms(),
            latency: None,
        };
        self.note_turn(turn.clone(), effects);
        turn
    }
}
