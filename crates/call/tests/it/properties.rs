//! What holds for every call, whatever happens in it.

use crate::stage::{agent, setup};
use call::log::{Line, Step, replay};
use call::timing::GOODBYE_MS;
use call::{
    Call, Command, Effect, Effects, HeardSpeech, Input, Message, Note, Phase, SpeechId, ToolOutput, Voice, WorkId,
};
use model::{AgentConfig, CallDirection, CallTime, EndOfTurn, EndedReason, TurnTaking};
use proptest::prelude::*;
use std::collections::BTreeMap;

const AGENTS: &[&str] =
    &["desk", "firm", "strict", "phone", "booking", "quick-booking", "silent-end", "three", "model", "tools", "speech"];
const TEXTS: &[&str] = &[
    "",
    "   ",
    "hmm",
    "no",
    "Yes.",
    "For Tuesday.",
    "at ten am",
    "I would like to",
    "nine eight seven",
    "9876501234",
    "माफ़ कीजिए। और",
    "We are open. Come",
    " and so on. And",
    "The number you are calling is switched off. Please try again later.",
    "Please leave a message after the tone.",
];
/// Tools of the agent that has any, and one that it has not.
const TOOLS: &[&str] = &["slots", "bye", "person", "press", "type", "machine", "keep", "mcp_find", "nothing"];
const ARGUMENTS: &[&str] = &["{}", "", "[1", "{\"to\":\"billing\"}", "{\"digits\":\"12#\"}", "{\"day\":\"Tuesday\"}"];
/// Ticks after which a call that only waits is taken to run in circles: a reminder, its two deadlines and the score
/// every few seconds of the longest call here would be fewer.
const TICKS_MAX: usize = 5_000;

/// A call, and what is watched of it.
struct Watched {
    call: Call,
    now: CallTime,
    connected: bool,
    answers_clears: bool,
    over: bool,
    asked: BTreeMap<&'static str, Vec<u64>>,
    last_id: u64,
    next_index: u32,
    withdrawn: bool,
    log: Vec<String>,
}

impl Watched {
    fn new(config: AgentConfig, answers_clears: bool) -> Self {
        let mut setup = setup(config);
        if setup.agent.voicemail.detect {
            setup.direction = CallDirection::Outgoing;
        }
        let first = Line::Setup { setup: Box::new(setup.clone()) };
        Self {
            call: Call::new(setup).expect("an agent that can be used"),
            now: CallTime::ZERO,
            connected: false,
            answers_clears,
            over: false,
            asked: BTreeMap::new(),
            last_id: 0,
            next_index: 0,
            withdrawn: false,
            log: vec![serde_json::to_string(&first).expect("json")],
        }
    }

    fn feed(&mut self, at: CallTime, input: Input) -> Result<(), TestCaseError> {
        let mut effects = Effects::new();
        self.call.handle(at, input.clone(), &mut effects);
        self.now = self.now.max(at);
        self.connected |= input == Input::Connected && !self.over;
        let step = Line::Step(Box::new(Step { at, input, effects: effects.clone() }));
        self.log.push(serde_json::to_string(&step).expect("json"));
        for effect in &effects {
            prop_assert!(!self.over, "after the end: {effect:?}");
            self.watch(effect)?;
        }
        prop_assert_eq!(self.call.phase() == Phase::Ended, self.over);
        prop_assert_eq!(self.call.deadline().is_none(), self.over || !self.connected);
        if self.answers_clears && effects.contains(&Effect::ClearPlayback) {
            let heard = self.asked.remove("speech").unwrap_or_default().into_iter();
            let heard = heard
                .map(|id| HeardSpeech {
                    speech: SpeechId(id),
                    heard_ms: id * 97 % 700,
                    total_ms: Some(1_000),
                    heard_words: None,
                })
                .collect();
            self.feed(at, Input::PlaybackCleared { heard })?;
        }
        Ok(())
    }

    fn watch(&mut self, effect: &Effect) -> Result<(), TestCaseError> {
        match effect {
            Effect::Transcribe { work } => self.asked("words", work.0)?,
            Effect::ScoreTurn { work } => self.asked("score", work.0)?,
            Effect::Think { work, messages, .. } => {
                well_formed(messages)?;
                self.asked("thought", work.0)?;
            }
            Effect::RunTool { work, .. } => self.asked("tool", work.0)?,
            Effect::Speak { speech, text, .. } => {
                prop_assert!(!text.trim().is_empty() && text.trim() == text);
                self.asked("speech", speech.0)?;
            }
            Effect::SpeakThought { speech, .. } | Effect::PlayKeys { speech, .. } | Effect::PlayTone { speech, .. } => {
                self.asked("speech", speech.0)?
            }
            Effect::SetLanguage { .. } => {}
            Effect::Cancel { work } => prop_assert!(work.0 <= self.last_id),
            Effect::CancelSpeech { speech } => prop_assert!(speech.0 <= self.last_id),
            Effect::Note(Note::Turn(turn)) => {
                if self.withdrawn && turn.index + 1 == self.next_index {
                    self.withdrawn = false;
                } else {
                    prop_assert_eq!(turn.index, self.next_index);
                    self.next_index += 1;
                }
            }
            Effect::Note(Note::Withdrawn) => self.withdrawn = true,
            Effect::Note(_) | Effect::ClearPlayback | Effect::DiscardUtterance | Effect::Transfer { .. } => {}
            Effect::HangUp { .. } => self.over = true,
        }
        Ok(())
    }

    /// Numbers are never given twice.
    fn asked(&mut self, kind: &'static str, id: u64) -> Result<(), TestCaseError> {
        prop_assert!(id > self.last_id);
        self.last_id = id;
        self.asked.entry(kind).or_default().push(id);
        Ok(())
    }

    /// One of the last three things of this kind that were asked for; whatever it is when there was none.
    fn recent(&self, kind: &str, pick: u64) -> u64 {
        let Some(ids) = self.asked.get(kind).filter(|ids| !ids.is_empty()) else { return pick };
        let back = usize::try_from(pick % 3).expect("small").min(ids.len() - 1);
        ids[ids.len() - 1 - back]
    }

    /// Nothing but time passes, until the end or until then.
    fn pass_time(&mut self, until: CallTime) -> Result<(), TestCaseError> {
        for _ in 0..TICKS_MAX {
            let Some(due) = self.call.deadline().filter(|due| *due <= until) else { return Ok(()) };
            self.feed(due.max(self.now), Input::Tick)?;
        }
        Err(TestCaseError::fail(format!("runs in circles at {:?}, due {:?}", self.now, self.call.deadline())))
    }

    fn replays(&self) -> Result<(), TestCaseError> {
        match replay(&self.log.join("\n"), |_| {}) {
            Ok(replayed) => prop_assert_eq!(replayed.inputs + 1, self.log.len()),
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        }
        Ok(())
    }
}

/// What vendors refuse is never sent: every request for a tool has its result right behind it, the caller or a result
/// comes last, nobody says nothing.
fn well_formed(messages: &[Message]) -> Result<(), TestCaseError> {
    let mut open: Vec<&str> = Vec::new();
    let mut before: Option<&Message> = None;
    for message in messages {
        match message {
            Message::Caller { text } => {
                prop_assert!(open.is_empty() && !text.is_empty(), "{messages:?}");
                prop_assert!(!matches!(before, Some(Message::Caller { .. })), "{messages:?}");
            }
            Message::Agent { text, tool_calls } => {
                prop_assert!(open.is_empty() && !(text.is_empty() && tool_calls.is_empty()), "{messages:?}");
                open = tool_calls.iter().map(|call| call.id.as_str()).collect();
            }
            Message::ToolResult { id, .. } => {
                prop_assert_eq!(open.first().copied(), Some(id.as_str()), "{:?}", messages);
                open.remove(0);
            }
        }
        before = Some(message);
    }
    prop_assert!(open.is_empty(), "{messages:?}");
    prop_assert!(matches!(before, Some(Message::Caller { .. } | Message::ToolResult { .. })), "{messages:?}");
    Ok(())
}

fn config() -> impl Strategy<Value = AgentConfig> {
    let pauses = (0_u64..400, 0_u64..2_000, 0_u64..300, 0_u64..500);
    let manner = (
        prop::sample::select(EndOfTurn::ALL),
        any::<bool>(),
        any::<bool>(),
        0_u32..3,
        prop_oneof![Just(0_u64), 200_u64..3_000],
        any::<bool>(),
    );
    let length = prop::sample::select(vec![0, 1, 5, 20, 60]);
    (prop::sample::select(AGENTS), pauses, 0_u64..8_000, 0_u32..4, length, manner).prop_map(
        |(
            name,
            (pause_short_ms, pause_long_ms, barge_in_min_ms, barge_in_guard_ms),
            reminder,
            reminders_max,
            max,
            (end_of_turn, eager, interruptible, barge_in_words_min, filler_after_ms, detect),
        )| {
            let mut config = agent(name);
            config.max_duration_s = max;
            config.turn_taking = TurnTaking {
                pause_short_ms,
                pause_long_ms,
                barge_in_min_ms,
                barge_in_guard_ms,
                reminder_after_ms: reminder,
                reminders_max,
                end_of_turn,
                eager,
                interruptible: interruptible || detect,
                barge_in_words_min,
                filler_after_ms,
                echo_guard: true,
                fillers: Vec::new(),
            };
            config.voicemail.detect = detect;
            config.voicemail.message = eager.then(|| "Please call the clinic back.".to_owned());
            config
        },
    )
}

/// A moment relative to now, mostly just before.
fn moment() -> impl Strategy<Value = i64> {
    prop_oneof![5 => -300_i64..1, 1 => -30_000_i64..30_000, 1 => any::<i64>()]
}

/// Something that happens; the numbers and moments in it are still to be made plausible, or not.
#[derive(Clone, Debug)]
enum Event {
    Began(i64),
    Loud(i64, i64),
    Ended(i64),
    Heard(u64, &'static str),
    NotHeard(u64),
    Scored(u64, f32),
    NotScored(u64),
    Thought(u64, &'static str),
    Tool(u64, &'static str, &'static str),
    Used(u64),
    Partial(&'static str),
    UtteranceEnded(bool),
    Language,
    Key(char),
    ThoughtDone(u64),
    ThoughtFailed(u64),
    ToolDone(u64, bool),
    Started(u64),
    Synthesized(u64, u64),
    SpeechFailed(u64),
    Played(u64),
    Cleared(u64, u64),
    Say(&'static str),
    Connected,
    Drain,
    HangUp,
    Left,
    Tick,
}

fn event() -> impl Strategy<Value = Event> {
    let id = || prop_oneof![9 => 0_u64..3, 1 => 0_u64..60];
    let text = || prop::sample::select(TEXTS);
    let length = || prop_oneof![9 => 0_u64..4_000, 1 => any::<u64>()];
    prop_oneof![
        4 => moment().prop_map(Event::Began),
        4 => (moment(), moment()).prop_map(|(since, until)| Event::Loud(since, until)),
        5 => moment().prop_map(Event::Ended),
        8 => (id(), text()).prop_map(|(id, text)| Event::Heard(id, text)),
        1 => id().prop_map(Event::NotHeard),
        2 => (id(), 0.0_f32..1.0).prop_map(|(id, p)| Event::Scored(id, p)),
        1 => id().prop_map(Event::NotScored),
        4 => (id(), text()).prop_map(|(id, text)| Event::Thought(id, text)),
        3 => (id(), prop::sample::select(TOOLS), prop::sample::select(ARGUMENTS)).prop_map(|(id, t, a)| Event::Tool(id, t, a)),
        1 => id().prop_map(Event::Used),
        2 => text().prop_map(Event::Partial),
        2 => any::<bool>().prop_map(Event::UtteranceEnded),
        1 => Just(Event::Language),
        2 => prop::sample::select(vec!['1', '9', '*', '#']).prop_map(Event::Key),
        2 => id().prop_map(Event::ThoughtDone),
        1 => id().prop_map(Event::ThoughtFailed),
        3 => (id(), any::<bool>()).prop_map(|(id, ok)| Event::ToolDone(id, ok)),
        5 => id().prop_map(Event::Started),
        3 => (id(), length()).prop_map(|(id, ms)| Event::Synthesized(id, ms)),
        1 => id().prop_map(Event::SpeechFailed),
        5 => id().prop_map(Event::Played),
        1 => (id(), length()).prop_map(|(id, ms)| Event::Cleared(id, ms)),
        1 => text().prop_map(Event::Say),
        1 => Just(Event::Connected),
        1 => prop::sample::select(vec![Event::Drain, Event::HangUp, Event::Left, Event::Tick, Event::Tick]),
    ]
}

impl Event {
    /// `recent`: the numbers mean one of the last things asked for; else they are what they are.
    fn input(&self, on: &Watched, recent: bool) -> Input {
        let pick = |kind: &str, id: u64| if recent { on.recent(kind, id) } else { id };
        let work = |kind: &str, id: u64| WorkId(pick(kind, id));
        let speech = |id: u64| SpeechId(pick("speech", id));
        let at = |shift: i64| CallTime(on.now.ms().saturating_add_signed(shift));
        match *self {
            Self::Began(shift) => Input::Voice(Voice::Began { at: at(shift) }),
            Self::Loud(since, until) => Input::Voice(Voice::Loud { since: at(since), until: at(until) }),
            Self::Ended(shift) => Input::Voice(Voice::Ended { at: at(shift) }),
            Self::Heard(id, text) => Input::Heard { work: work("words", id), text: text.into() },
            Self::NotHeard(id) => Input::TranscribeFailed { work: work("words", id) },
            Self::Scored(id, probability) => Input::TurnScored { work: work("score", id), probability },
            Self::NotScored(id) => Input::TurnScoreFailed { work: work("score", id) },
            Self::Thought(id, text) => Input::ThoughtText { work: work("thought", id), text: text.into() },
            Self::Tool(id, name, arguments) => Input::ThoughtTool {
                work: work("thought", id),
                id: format!("c{}", on.log.len()),
                name: name.into(),
                arguments: arguments.into(),
            },
            Self::Used(id) => Input::ThoughtUsed { work: work("thought", id), tokens: 400 },
            Self::Partial(text) => Input::Partial { text: text.into() },
            Self::UtteranceEnded(sure) => Input::UtteranceEnded { sure },
            Self::Language => Input::LanguageHeard { tag: "hi-IN".into() },
            Self::Key(digit) => Input::Dtmf { digit },
            Self::ThoughtDone(id) => Input::ThoughtDone { work: work("thought", id) },
            Self::ThoughtFailed(id) => Input::ThinkFailed { work: work("thought", id) },
            Self::ToolDone(id, true) => Input::ToolFinished {
                work: work("tool", id),
                outcome: Ok(ToolOutput {
                    text: "{}".into(),
                    values: [("reference".to_owned(), "A17".to_owned())].into(),
                }),
            },
            Self::ToolDone(id, false) => Input::ToolFinished { work: work("tool", id), outcome: Err("no".into()) },
            Self::Started(id) => Input::SpeechStarted { speech: speech(id) },
            Self::Synthesized(id, total_ms) => Input::SpeechSynthesized { speech: speech(id), total_ms },
            Self::SpeechFailed(id) => Input::SpeechFailed { speech: speech(id) },
            Self::Played(id) => Input::Played { speech: speech(id) },
            Self::Cleared(id, heard_ms) => Input::PlaybackCleared {
                heard: vec![HeardSpeech { speech: speech(id), heard_ms, total_ms: None, heard_words: None }],
            },
            Self::Say(text) => Input::Command(Command::Say { text: text.into() }),
            Self::Connected => Input::Connected,
            Self::Drain => Input::Command(Command::Drain),
            Self::HangUp => Input::Command(Command::HangUp),
            Self::Left => Input::CallerLeft { reason: EndedReason::CallerHungUp },
            Self::Tick => Input::Tick,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// A shell that behaves, in the sense that time goes on and ticks come when they are due; everything else comes in
    /// any order. The call ends when only time passes.
    #[test]
    fn any_events_then_silence(
        config in config(),
        events in prop::collection::vec((prop_oneof![6 => 0_u64..400, 1 => 0_u64..6_000], event()), 0..80),
    ) {
        let last_ms = config.max_duration_s * 1_000;
        let mut watched = Watched::new(config, true);
        watched.feed(CallTime::ZERO, Input::Connected)?;
        for (later_ms, event) in &events {
            let at = watched.now + *later_ms;
            watched.pass_time(at)?;
            let input = event.input(&watched, true);
            watched.feed(at, input)?;
        }
        let from = watched.now;
        watched.pass_time(CallTime(u64::MAX))?;
        prop_assert!(watched.over);
        prop_assert!(watched.now.ms() <= from.ms().max(last_ms) + 2 * GOODBYE_MS, "{:?} {last_ms}", watched.now);
        watched.replays()?;
    }

    /// Any numbers, any times, no ticks, no answers to what the call asks of its shell.
    #[test]
    fn any_inputs_at_any_time(
        config in config(),
        events in prop::collection::vec((any::<bool>(), prop_oneof![3 => 0_u64..100_000, 1 => any::<u64>()], event()), 0..60),
        connected in any::<bool>(),
    ) {
        let mut watched = Watched::new(config, false);
        if connected {
            watched.feed(CallTime::ZERO, Input::Connected)?;
        }
        for (recent, at_ms, event) in &events {
            let input = event.input(&watched, *recent);
            watched.feed(CallTime(*at_ms), input)?;
        }
        watched.replays()?;
    }

    /// From the beginning nothing but ticks.
    #[test]
    fn only_ticks(config in config(), late_ms in 0_u64..3_000) {
        let last_ms = config.max_duration_s * 1_000;
        let mut watched = Watched::new(config, true);
        watched.feed(CallTime::ZERO, Input::Connected)?;
        for _ in 0..TICKS_MAX {
            let Some(due) = watched.call.deadline() else { break };
            watched.feed(due.max(watched.now) + late_ms, Input::Tick)?;
        }
        prop_assert!(watched.over);
        prop_assert!(watched.now.ms() <= last_ms + GOODBYE_MS + 2 * late_ms);
    }

    /// A caller whose sound begins and ends, a transcriber that never answers, a voice that works.
    #[test]
    fn a_caller_who_is_not_understood(
        config in config(),
        sounds in prop::collection::vec((20_u64..40_000, 20_u64..6_000), 1..12),
        speech_ms in 100_u64..3_000,
    ) {
        let last_ms = config.max_duration_s * 1_000;
        let mut watched = Watched::new(config, true);
        watched.feed(CallTime::ZERO, Input::Connected)?;
        let mut sounds = sounds.iter().cycle();
        let mut since = None;
        let mut change_ms = 500;
        let mut playing: Option<(u64, u64)> = None;
        for at_ms in (0..last_ms + GOODBYE_MS + 1).step_by(100) {
            let at = CallTime(at_ms);
            watched.pass_time(at)?;
            if playing.is_none() && let Some(id) = watched.asked.get_mut("speech").filter(|ids| !ids.is_empty()).map(|ids| ids.remove(0)) {
                watched.feed(at, Input::SpeechStarted { speech: SpeechId(id) })?;
                watched.feed(at, Input::SpeechSynthesized { speech: SpeechId(id), total_ms: speech_ms })?;
                playing = Some((id, at_ms + speech_ms));
            }
            if let Some((id, _)) = playing.filter(|(_, until_ms)| *until_ms <= at_ms) {
                watched.feed(at, Input::Played { speech: SpeechId(id) })?;
                playing = None;
            }
            match since {
                _ if watched.over => break,
                None if at_ms >= change_ms => {
                    watched.feed(at, Input::Voice(Voice::Began { at }))?;
                    since = Some(at);
                    change_ms = at_ms + sounds.next().map_or(0, |s| s.0);
                }
                Some(_) if at_ms >= change_ms => {
                    watched.feed(at, Input::Voice(Voice::Ended { at: at - 60 }))?;
                    since = None;
                    change_ms = at_ms + sounds.next().map_or(0, |s| s.1);
                }
                Some(since) => watched.feed(at, Input::Voice(Voice::Loud { since, until: at }))?,
                None => {}
            }
        }
        prop_assert!(watched.over);
        watched.replays()?;
    }
}
