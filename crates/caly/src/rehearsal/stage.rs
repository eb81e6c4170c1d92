//! The stage: a shell in miniature that plays a script to a call, in reckoned time.

use super::seen::{Event, Happened, Seen, ToolAsked, TurnSeen};
use super::sound::{AgentVoice, CallerVoice, tones_ms};
use super::thinker::{Answer, Thinker};
use super::{CallerTurn, Script, ToolAnswers};
use call::{Call, CallSetup, Effect, Effects, Input, Message, Note, Phase, SetupError, SpeechId, Voice, WorkId};
use model::{AgentConfig, CallTime, EndedReason, ToolConfig};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, VecDeque};

/// Voice activity notices speech after so much of it, ms.
const VOICE_NOTICED_MS: u64 = 48;
/// And its end after so much silence, ms.
const VOICE_HANG_MS: u64 = 160;
/// A carrier's frame: so often the call hears that speech goes on, ms.
const FRAME_MS: u64 = 100;
/// From one key to the next, ms.
const KEY_MS: u64 = 250;
/// After keys the agent is given this long to do something about them before the script goes on, ms. Shorter than the
/// shortest silence after which agents usually remind.
const KEYS_SETTLE_MS: u64 = 6_500;
/// What was said is taken as dealt with after this long, whatever the call does about it, ms.
const DEALT_WITH_AFTER_MS: u64 = 10_000;
/// Judgement of the sound when the caller has finished, and when not.
const FINISHED: f32 = 0.95;
const NOT_FINISHED: f32 = 0.05;
/// Inputs of one call: a voice that speaks for four hours makes 144 000. More is a call that goes round in circles.
const INPUTS_MAX: u32 = 300_000;
/// Events that are kept of one call.
const EVENTS_MAX: usize = 20_000;

/// Where the script stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cue {
    /// The next turn waits for its moment.
    Waiting,
    /// The agent has finished; the turn begins then.
    Pausing { until_ms: u64 },
    /// The turn takes place, and is over then; after keys already when the agent does something about them.
    Acting { until_ms: u64, keys_over_ms: Option<u64> },
    /// All turns are over.
    Done,
}

/// A question to the language model.
struct Asking {
    work: WorkId,
    messages: Vec<Message>,
    language: String,
}

/// See the module.
pub(crate) struct Stage {
    call: Call,
    agent: AgentConfig,
    turns: Vec<CallerTurn>,
    next_turn: usize,
    cue: Cue,
    tools: ToolAnswers,
    thinker: Thinker,
    now_ms: u64,
    /// To be told at once, in this order.
    at_once: VecDeque<Input>,
    /// To be told later, by time and order of asking.
    later: BTreeMap<(u64, u64), Input>,
    order: u64,
    caller: CallerVoice,
    voice: AgentVoice,
    thoughts: BTreeMap<WorkId, String>,
    asking: Option<Asking>,
    running: BTreeMap<WorkId, usize>,
    inputs: u32,
    seen: Seen,
}

impl Stage {
    /// A stage with this script on it.
    ///
    /// # Errors
    /// When the agent cannot be used.
    pub(crate) fn new(script: Script, thinker: Thinker) -> Result<Self, SetupError> {
        let Script { setup, turns, tools } = script;
        let CallSetup { agent, .. } = &setup;
        let agent = agent.clone();
        Ok(Self {
            call: Call::new(setup)?,
            agent,
            turns,
            next_turn: 0,
            cue: Cue::Waiting,
            tools,
            thinker,
            now_ms: 0,
            at_once: VecDeque::from([Input::Connected]),
            later: BTreeMap::new(),
            order: 0,
            caller: CallerVoice::default(),
            voice: AgentVoice::default(),
            thoughts: BTreeMap::new(),
            asking: None,
            running: BTreeMap::new(),
            inputs: 0,
            seen: Seen::default(),
        })
    }

    /// Plays it to its end.
    pub(crate) async fn perform(mut self) -> Seen {
        if self.turns.first().is_some_and(CallerTurn::only_listens) {
            // What the agent says of its own accord belongs to it.
            self.begin_turn_seen(0);
            self.next_turn = 1;
        }
        while self.seen.ended.is_none() {
            self.step().await;
        }
        if self.next_turn < self.turns.len() {
            let (reached, all) = (self.next_turn, self.turns.len());
            self.note(format!("the call was over after {reached} of {all} turns of the script"));
        }
        self.seen.collected = self.call.collected();
        self.seen.duration_ms = self.now_ms;
        self.seen
    }

    /// One thing after the other, the earliest first.
    async fn step(&mut self) {
        if self.inputs >= INPUTS_MAX || self.seen.events.len() >= EVENTS_MAX {
            self.trouble("the call goes on for too long: given up".to_owned());
            self.seen.ended = Some(EndedReason::CalyError);
            return;
        }
        if let Some(Asking { work, messages, language }) = self.asking.take() {
            let answer = self.thinker.answer(messages, &language).await;
            self.thought(work, answer);
            return;
        }
        if let Some(input) = self.at_once.pop_front() {
            self.tell(input);
            return;
        }
        if let Some((speech, seen, total_ms)) = self.voice.begin_next(self.now_ms) {
            self.began(seen);
            self.at_once.push_back(Input::SpeechStarted { speech });
            self.at_once.push_back(Input::SpeechSynthesized { speech, total_ms });
            return;
        }
        if let Some(sentence) = self.voice.finish(self.now_ms) {
            self.heard(sentence.seen, None);
            self.at_once.push_back(Input::Played { speech: sentence.speech });
            return;
        }
        if let Some(input) = self.due() {
            self.tell(input);
            return;
        }
        if self.call.deadline().is_some_and(|due| due.ms() <= self.now_ms) {
            let before = self.call.deadline();
            self.tell(Input::Tick);
            if self.call.deadline() != before || !self.at_once.is_empty() || self.asking.is_some() {
                return;
            }
            // A deadline that stands still: time must go on all the same.
            self.now_ms += 1;
            return;
        }
        if self.play_script() {
            return;
        }
        self.now_ms = self.next_moment().max(self.now_ms + 1);
    }

    fn due(&mut self) -> Option<Input> {
        let first = self.later.first_entry()?;
        (first.key().0 <= self.now_ms).then(|| first.remove())
    }

    /// When something happens next.
    fn next_moment(&self) -> u64 {
        let cue = match self.cue {
            Cue::Waiting => self.interruption_at(),
            Cue::Pausing { until_ms } | Cue::Acting { until_ms, .. } => Some(until_ms),
            Cue::Done => None,
        };
        let dealt_with = (!self.caller.is_empty()).then(|| self.caller.until_ms + DEALT_WITH_AFTER_MS);
        let later = self.later.first_key_value().map(|((at, _), _)| *at);
        let deadline = self.call.deadline().map(CallTime::ms);
        [cue, dealt_with, later, deadline, self.voice.ends_at()]
            .into_iter()
            .flatten()
            .filter(|at| *at > self.now_ms)
            .min()
            .unwrap_or(self.now_ms + 1)
    }

    fn at(&mut self, at_ms: u64, input: Input) {
        self.order += 1;
        self.later.insert((at_ms, self.order), input);
    }

    /// Tells the call something and does what it wants.
    fn tell(&mut self, input: Input) {
        self.inputs += 1;
        let mut effects = Effects::new();
        self.call.handle(CallTime(self.now_ms), input, &mut effects);
        for effect in effects {
            self.perform_effect(effect);
        }
    }

    fn perform_effect(&mut self, effect: Effect) {
        match effect {
            Effect::Transcribe { work } => {
                let text = self.caller.heard(self.now_ms);
                self.at_once.push_back(Input::Heard { work, text });
            }
            Effect::ScoreTurn { work } => {
                let finished = self.now_ms >= self.caller.until_ms;
                let probability = if finished { FINISHED } else { NOT_FINISHED };
                self.at_once.push_back(Input::TurnScored { work, probability });
            }
            Effect::DiscardUtterance => self.caller.discard(self.now_ms),
            Effect::Think { work, messages, language } => self.asking = Some(Asking { work, messages, language }),
            Effect::RunTool { work, name, arguments } => self.run_tool(work, name, arguments),
            Effect::Cancel { work } => self.cancel(work),
            Effect::Speak { speech, text, language } => {
                let seen = self.agent_says(&text, &language);
                self.voice.push(speech, seen, &text);
            }
            Effect::SpeakThought { speech, work } => self.speak_thought(speech, work),
            Effect::PlayKeys { speech, keys } => {
                let seen = self.saw(Happened::AgentKeys { keys: keys.clone() });
                self.voice.push_sound(speech, seen, "", tones_ms(&keys));
            }
            // Here voices do not fail.
            Effect::PlayTone { speech, tone } => {
                let seen = self.saw(Happened::Note { text: format!("plays a tone: {tone:?}") });
                self.voice.push_sound(speech, seen, "", tones_ms("w"));
            }
            Effect::SetLanguage { tag } => self.note(format!("listens for {tag} from now on")),
            Effect::CancelSpeech { speech } => self.voice.cancel(speech),
            Effect::ClearPlayback => {
                let cleared = self.voice.clear(self.now_ms);
                let mut told = Vec::with_capacity(cleared.len());
                for (heard, seen, words) in cleared {
                    self.heard(seen, Some(words));
                    told.push(heard);
                }
                self.at_once.push_front(Input::PlaybackCleared { heard: told });
            }
            Effect::Note(note) => self.noted(note),
            Effect::Transfer { to } => {
                self.saw(Happened::Transferred { to });
            }
            Effect::HangUp { reason } => {
                for (_, seen, words) in self.voice.clear(self.now_ms) {
                    self.heard(seen, Some(words));
                }
                self.seen.ended = Some(reason);
            }
        }
    }

    fn noted(&mut self, note: Note) {
        let text = match note {
            Note::BargeIn { .. } => "the caller interrupts".to_owned(),
            Note::Withdrawn => "the answer is taken back: the caller goes on".to_owned(),
            Note::Backchannel { resumed: true, .. } => "no interruption after all: the agent goes on".to_owned(),
            Note::Backchannel { text, resumed: false } => format!("«{text}» changes nothing"),
            Note::Echo => "taken for the agent's own voice".to_owned(),
            Note::Reminded { count } => format!("reminder {count}"),
            Note::Filler => "words that bridge a slow answer".to_owned(),
            Note::LanguageSwitched { tag } => format!("goes on in {tag}"),
            Note::AnsweredByMachine { .. } => "a machine has answered".to_owned(),
            Note::StageFailed { stage } => format!("failed: {}", stage.as_str()),
            Note::MarkMissing => "a sentence's end was not told".to_owned(),
            Note::Turn(_) | Note::ToolStarted { .. } | Note::ToolFinished { .. } => return,
        };
        self.note(text);
    }

    fn thought(&mut self, work: WorkId, answer: Answer) {
        let at_ms = self.now_ms + answer.after_ms;
        if let Some(why) = answer.failed {
            if let Some(why) = why {
                self.trouble(why);
            }
            self.at(at_ms, Input::ThinkFailed { work });
            return;
        }
        if !answer.text.is_empty() {
            self.thoughts.insert(work, answer.text.clone());
            self.at(at_ms, Input::ThoughtText { work, text: answer.text });
        }
        for (id, name, arguments) in answer.tools {
            if self.is_built_in(&name) {
                let arguments = serde_json::from_str(&arguments).unwrap_or_default();
                self.saw(Happened::Tool(ToolAsked { name: name.clone(), arguments, outcome: Some(Ok(String::new())) }));
            }
            self.at(at_ms, Input::ThoughtTool { work, id, name, arguments });
        }
        if answer.tokens > 0 {
            self.at(at_ms, Input::ThoughtUsed { work, tokens: answer.tokens });
        }
        self.at(at_ms, Input::ThoughtDone { work });
    }

    /// Tools that the call itself does: nobody outside is asked.
    fn is_built_in(&self, name: &str) -> bool {
        match self.agent.tools.get(name) {
            Some(
                ToolConfig::EndCall(_)
                | ToolConfig::TransferCall(_)
                | ToolConfig::SendDtmf(_)
                | ToolConfig::CollectDtmf(_)
                | ToolConfig::Voicemail(_),
            ) => true,
            Some(ToolConfig::Record | ToolConfig::Http(_) | ToolConfig::Mcp(_)) | None => false,
        }
    }

    fn run_tool(&mut self, work: WorkId, name: String, arguments: Map<String, Value>) {
        let answer = self.tools.next(&self.agent, &name, &arguments);
        let (outcome, after_ms) = match &answer {
            Some(answer) => (answer.outcome(), answer.after_ms),
            None => {
                self.trouble(format!("the tool «{name}» was asked, and nothing says what it gives back"));
                (Err("it is not available".to_owned()), 0)
            }
        };
        let told = match &outcome {
            Ok(output) => Ok(output.text.clone()),
            Err(why) => Err(why.clone()),
        };
        let seen = self.saw(Happened::Tool(ToolAsked { name, arguments, outcome: Some(told) }));
        self.running.insert(work, seen);
        self.at(self.now_ms + after_ms, Input::ToolFinished { work, outcome });
    }

    fn cancel(&mut self, work: WorkId) {
        if self.asking.as_ref().is_some_and(|asking| asking.work == work) {
            self.asking = None;
        }
        if let Some(event) = self.running.remove(&work).and_then(|seen| self.seen.events.get_mut(seen))
            && let Happened::Tool(tool) = &mut event.what
        {
            tool.outcome = Some(Err("not waited for any longer".to_owned()));
        }
        self.later.retain(|_, input| work_of(input) != Some(work));
        self.at_once.retain(|input| work_of(input) != Some(work));
    }

    fn speak_thought(&mut self, speech: SpeechId, work: WorkId) {
        let text = self.thoughts.get(&work).cloned().unwrap_or_default();
        let language = self.agent.language.clone();
        let seen = self.agent_says(&text, &language);
        self.voice.push(speech, seen, &text);
    }

    // What is seen.

    fn saw(&mut self, what: Happened) -> usize {
        self.seen.events.push(Event { at_ms: self.now_ms, what });
        self.seen.events.len() - 1
    }

    fn note(&mut self, text: String) {
        self.saw(Happened::Note { text });
    }

    fn trouble(&mut self, text: String) {
        self.saw(Happened::Trouble { text });
    }

    fn agent_says(&mut self, text: &str, language: &str) -> usize {
        self.saw(Happened::Agent {
            intended: text.to_owned(),
            heard: String::new(),
            language: language.to_owned(),
            began_ms: None,
        })
    }

    fn began(&mut self, seen: usize) {
        self.thinker.sounded();
        let now_ms = self.now_ms;
        if let Some(Event { what: Happened::Agent { began_ms, .. }, .. }) = self.seen.events.get_mut(seen) {
            *began_ms = Some(now_ms);
        }
    }

    /// A sentence was heard: so much of it, or all.
    fn heard(&mut self, seen: usize, words: Option<String>) {
        if let Some(Event { what: Happened::Agent { intended, heard, .. }, .. }) = self.seen.events.get_mut(seen) {
            *heard = words.unwrap_or_else(|| intended.clone());
        }
    }

    // The script.

    /// Goes on with the script if its moment has come. True when something was done.
    fn play_script(&mut self) -> bool {
        match self.cue {
            Cue::Waiting => self.wait_for_cue(),
            Cue::Pausing { until_ms } if until_ms <= self.now_ms => {
                self.act();
                true
            }
            Cue::Acting { until_ms, keys_over_ms } => {
                let pressed = keys_over_ms.is_some_and(|at| at <= self.now_ms);
                let answered = pressed && self.call.phase() != Phase::Listening;
                let over = until_ms <= self.now_ms || answered;
                if over {
                    self.cue = Cue::Waiting;
                }
                over
            }
            Cue::Pausing { .. } => false,
            Cue::Done => self.leave(),
        }
    }

    fn wait_for_cue(&mut self) -> bool {
        let idle = self.is_idle();
        let Some(turn) = self.turns.get(self.next_turn) else {
            self.cue = Cue::Done;
            return true;
        };
        if let Some(words) = turn.interrupt_after_words {
            let heard = self.voice.words_heard();
            if self.interruption_at().is_some_and(|at| at <= self.now_ms) {
                self.act();
                return true;
            }
            if idle {
                self.trouble(format!("nothing to interrupt after {words} words: the agent said {heard}"));
                self.act();
            }
            return idle;
        }
        if idle {
            self.cue = Cue::Pausing { until_ms: self.now_ms + turn.pause_ms };
        }
        idle
    }

    /// When the caller is to interrupt, if that can be said now.
    fn interruption_at(&self) -> Option<u64> {
        let words = self.turns.get(self.next_turn)?.interrupt_after_words?;
        if words > 0 && words <= self.voice.words_heard() {
            return (!self.voice.is_empty()).then_some(self.now_ms);
        }
        self.voice.words_heard_at(words)
    }

    /// Nobody says or does anything, and nothing is on its way.
    fn is_idle(&self) -> bool {
        let dealt_with = self.caller.is_empty() || self.now_ms >= self.caller.until_ms + DEALT_WITH_AFTER_MS;
        self.call.phase() == Phase::Listening && self.voice.is_empty() && self.later.is_empty() && dealt_with
    }

    /// The caller does what the next turn says.
    fn act(&mut self) {
        let at = self.next_turn;
        let Some(turn) = self.turns.get(at).cloned() else { return };
        self.next_turn += 1;
        self.begin_turn_seen(at);
        self.voice.count_words_anew();
        let mut until_ms = self.now_ms;
        if let Some(text) = &turn.says {
            until_ms = self.speak(text, turn.language.as_deref());
        }
        if !turn.keys.is_empty() {
            self.saw(Happened::Keys { keys: turn.keys.clone() });
            for digit in turn.keys.chars() {
                until_ms += KEY_MS;
                self.at(until_ms, Input::Dtmf { digit });
            }
        }
        if let Some(seen) = self.seen.turns.get_mut(at) {
            let voice_over = if turn.says.is_some() { self.caller.until_ms } else { self.now_ms };
            seen.over_ms = if turn.keys.is_empty() { voice_over } else { until_ms };
        }
        let keys_over_ms = (!turn.keys.is_empty() && turn.silence_ms == 0).then_some(until_ms);
        let settle_ms = if keys_over_ms.is_some() { KEYS_SETTLE_MS } else { turn.silence_ms };
        self.cue = Cue::Acting { until_ms: until_ms + settle_ms, keys_over_ms };
    }

    fn begin_turn_seen(&mut self, turn: usize) {
        debug_assert_eq!(self.seen.turns.len(), turn, "turns are played in order");
        self.seen.turns.push(TurnSeen { first: self.seen.events.len(), over_ms: self.now_ms });
    }

    /// The sound of these words. When the call has noticed that it is over.
    fn speak(&mut self, text: &str, language: Option<&str>) -> u64 {
        let since = self.now_ms;
        self.saw(Happened::Caller { text: text.to_owned() });
        let until = self.caller.say(text, since);
        self.at(since + VOICE_NOTICED_MS, Input::Voice(Voice::Began { at: CallTime(since) }));
        let mut frame = since + FRAME_MS;
        while frame < until {
            self.at(frame, Input::Voice(Voice::Loud { since: CallTime(since), until: CallTime(frame) }));
            frame += FRAME_MS;
        }
        if let Some(tag) = language {
            self.at(until + VOICE_HANG_MS, Input::LanguageHeard { tag: tag.to_owned() });
        }
        self.at(until + VOICE_HANG_MS, Input::Voice(Voice::Ended { at: CallTime(until) }));
        until + VOICE_HANG_MS
    }

    /// The caller has nothing more to say: hangs up, unless the agent is about to.
    fn leave(&mut self) -> bool {
        let idle = self.is_idle();
        if idle {
            self.tell(Input::CallerLeft { reason: EndedReason::CallerHungUp });
        }
        idle
    }
}

impl CallerTurn {
    /// The caller does nothing but listen.
    pub(crate) fn only_listens(&self) -> bool {
        self.says.is_none() && self.keys.is_empty() && self.silence_ms == 0
    }
}

/// Which work an input answers.
fn work_of(input: &Input) -> Option<WorkId> {
    match input {
        Input::Heard { work, .. }
        | Input::TranscribeFailed { work }
        | Input::TurnScored { work, .. }
        | Input::TurnScoreFailed { work }
        | Input::ThoughtText { work, .. }
        | Input::ThoughtTool { work, .. }
        | Input::ThoughtUsed { work, .. }
        | Input::ThoughtDone { work }
        | Input::ThinkFailed { work }
        | Input::ToolFinished { work, .. } => Some(*work),
        Input::Connected
        | Input::Voice(_)
        | Input::Partial { .. }
        | Input::UtteranceEnded { .. }
        | Input::LanguageHeard { .. }
        | Input::SpeechStarted { .. }
        | Input::SpeechSynthesized { .. }
        | Input::SpeechFailed { .. }
        | Input::Played { .. }
        | Input::PlaybackCleared { .. }
        | Input::Dtmf { .. }
        | Input::Command(_)
        | Input::CallerLeft { .. }
        | Input::Tick => None,
    }
}
