//! One call walking through a flow.

use super::answer::{self, Answer};
use super::file::{Action, Ask, Confirm, Flow, IntentAction, Kind, Step, Tool};
use super::render;
use super::value::SlotValue;
use crate::variables::Variables;
use chrono::{NaiveDate, NaiveTime};
use language::understand::phone::{PhoneHeard, continue_phone};
use language::understand::yes_no::{YesNo, yes_no};
use language::understand::{Heard, choice, dates, has_phrase, names, numbers, times};
use language::{tail, understand};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A phone number in more pieces than this is not being understood.
const PHONE_PIECES_MAX: u32 = 5;
/// Longest result of a tool that is kept, in characters: it is to be spoken.
const TOOL_RESULT_CHARS_MAX: usize = 500;

/// What the flow must know of the world.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowContext {
    /// The day where the business is.
    pub today: NaiveDate,
    /// The time there.
    pub now: NaiveTime,
    /// Who calls, in E.164 (`+919876501234`).
    pub caller_number: Option<String>,
    /// What is known of the call beforehand.
    #[serde(default, skip_serializing_if = "Variables::is_empty")]
    pub variables: Variables,
}

/// Without the caller's number, so that no log line carries it.
impl std::fmt::Debug for FlowContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let number = self.caller_number.as_ref().map(|_| "hidden");
        f.debug_struct("FlowContext")
            .field("today", &self.today)
            .field("now", &self.now)
            .field("caller_number", &number)
            .finish_non_exhaustive()
    }
}

/// One text to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Filled in, numbers and dates as words.
    pub text: String,
    /// Whether the caller may interrupt it.
    pub interruptible: bool,
}

/// What to do after the lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Then {
    /// Listen; then [`FlowRun::heard`] or [`FlowRun::silence`].
    Listen,
    /// Run a tool; then [`FlowRun::tool_finished`].
    RunTool {
        /// Its name.
        name: String,
        /// Plain values.
        arguments: BTreeMap<String, String>,
    },
    /// Hand the call over.
    Transfer {
        /// Number or queue.
        to: String,
    },
    /// End the call.
    HangUp,
}

/// One turn of the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowStep {
    /// Said in this order.
    pub say: Vec<Line>,
    /// Done after.
    pub then: Then,
}

/// What kind of answer the open question wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expectation {
    /// A name.
    Name,
    /// A phone number: callers pause between its groups.
    Phone,
    /// A day.
    Date,
    /// A time.
    Time,
    /// Yes or no.
    YesNo,
    /// A number.
    Number,
    /// One of several.
    Choice,
    /// Anything.
    Text,
}

/// Whether an answer is whole as far as it was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Completeness {
    /// Nothing needs to follow.
    Complete,
    /// More must follow.
    Partial,
    /// The text does not say.
    Unknown,
}

/// What an utterance was to the intents.
enum Spoken {
    /// An intent, dealt with.
    Done(FlowStep),
    /// An answer beside an intent that may be ignored: the words without those of the intent.
    Answer(String),
    /// No intent.
    Other,
}

/// A call's way through a flow. Deterministic: the same inputs give the same lines.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowRun {
    flow: Arc<Flow>,
    ctx: Option<FlowContext>,
    at: Option<usize>,
    slots: BTreeMap<String, SlotValue>,
    visited: BTreeSet<usize>,
    /// Slots whose answer a branch has used: reached again, the question is asked again.
    spent: BTreeSet<String>,
    /// The open question as last said.
    question: Option<Line>,
    retries: u64,
    reminders: usize,
    digits: String,
    pieces: u32,
}

impl FlowRun {
    /// A call that has not begun.
    pub fn new(flow: impl Into<Arc<Flow>>) -> Self {
        Self {
            flow: flow.into(),
            ctx: None,
            at: None,
            slots: BTreeMap::new(),
            visited: BTreeSet::new(),
            spent: BTreeSet::new(),
            question: None,
            retries: 0,
            reminders: 0,
            digits: String::new(),
            pieces: 0,
        }
    }

    /// The first lines.
    pub fn begin(&mut self, ctx: &FlowContext) -> FlowStep {
        self.enter(Vec::new(), Some(0), false, ctx)
    }

    /// The caller said this. After the end of the flow: hang up.
    pub fn heard(&mut self, text: &str, ctx: &FlowContext) -> FlowStep {
        self.reminders = 0;
        self.ctx = Some(ctx.clone());
        let flow = Arc::clone(&self.flow);
        let Some(step) = self.current(&flow) else {
            return FlowStep { say: Vec::new(), then: Then::HangUp };
        };
        let rest;
        let text = match self.intent(&flow, step, text, ctx) {
            Spoken::Done(done) => return done,
            Spoken::Answer(without_phrase) => {
                rest = without_phrase;
                rest.as_str()
            }
            Spoken::Other => text,
        };
        match &step.action {
            Action::Ask(ask) => self.heard_answer(&flow, step, ask, text, ctx),
            Action::Confirm(confirm) => self.heard_confirmation(&flow, step, confirm, text, ctx),
            // Between questions nothing was asked: keep listening to the tool or the end.
            Action::Say(_) | Action::Branch(_) | Action::Tool(_) | Action::Transfer { .. } | Action::HangUp(_) => {
                listen(Vec::new())
            }
        }
    }

    /// The tool has finished: what it gave, or why not. Ignored (listening goes on) when none was running.
    pub fn tool_finished(&mut self, result: Result<BTreeMap<String, String>, String>, ctx: &FlowContext) -> FlowStep {
        let flow = Arc::clone(&self.flow);
        let Some((step, Action::Tool(tool))) = self.current(&flow).map(|s| (s, &s.action)) else {
            return listen(Vec::new());
        };
        // What is missing cannot be said: as good as a failure.
        let complete = result.ok().filter(|given| tool.gives.keys().all(|name| given.contains_key(name)));
        let Some(mut given) = complete else {
            return self.enter(Vec::new(), tool.on_failure, true, ctx);
        };
        for (name, kind) in &tool.gives {
            if let Some(text) = given.remove(name) {
                let text: String = text.chars().take(TOOL_RESULT_CHARS_MAX).collect();
                self.slots.insert(name.clone(), answer::from_tool(*kind, text));
            }
        }
        let forced = tool.on_success.is_some();
        self.enter(Vec::new(), tool.on_success.or(step.next), forced, ctx)
    }

    /// The caller is silent: the next reminder; `None` when all were said, then [`FlowRun::goodbye`] and hang up.
    pub fn silence(&mut self) -> Option<String> {
        let template = self.flow.listening.reminders.get(self.reminders)?.clone();
        self.reminders += 1;
        Some(self.spoken(&template))
    }

    /// What is said when silence or a limit ends the call.
    #[must_use]
    pub fn goodbye(&self) -> String {
        self.spoken(&self.flow.listening.goodbye)
    }

    /// The kind of answer asked for now; `None` when no question is open.
    #[must_use]
    pub fn expecting(&self) -> Option<Expectation> {
        match &self.current(&self.flow)?.action {
            Action::Ask(ask) => Some(match ask.kind {
                Kind::Name => Expectation::Name,
                Kind::Phone => Expectation::Phone,
                Kind::Date => Expectation::Date,
                Kind::Time => Expectation::Time,
                Kind::YesNo => Expectation::YesNo,
                Kind::Number => Expectation::Number,
                Kind::Choice => Expectation::Choice,
                Kind::Text | Kind::Code | Kind::Money => Expectation::Text,
            }),
            Action::Confirm(_) => Some(Expectation::YesNo),
            Action::Say(_) | Action::Branch(_) | Action::Tool(_) | Action::Transfer { .. } | Action::HangUp(_) => None,
        }
    }

    /// Whether `text`, heard so far, is a whole answer to the open question.
    #[must_use]
    pub fn finished_answer(&self, text: &str) -> Completeness {
        let (Some(expected), Some(ctx)) = (self.expecting(), self.ctx.as_ref()) else { return Completeness::Unknown };
        let open_end = tail::is_dangling(text);
        let found = match expected {
            Expectation::Phone => {
                return match continue_phone(&self.digits, text) {
                    PhoneHeard::Complete(_) => Completeness::Complete,
                    PhoneHeard::Partial(_) => Completeness::Partial,
                    PhoneHeard::TooMany(_) => Completeness::Complete,
                    PhoneHeard::Nothing if open_end => Completeness::Partial,
                    PhoneHeard::Nothing => Completeness::Unknown,
                };
            }
            Expectation::Name => names::name(text).is_some(),
            Expectation::Date => matches!(dates::date(text, ctx.today), Heard::One(_)),
            // "ten" may become "ten thirty" or "ten a m".
            Expectation::Time => matches!(times::time_in_passing(text, self.flow.business.hours), Heard::One(_)),
            Expectation::YesNo => yes_no(text).is_some(),
            // Digits may follow digits.
            Expectation::Number => numbers::number(text).is_some() && tail::looks_complete(text),
            Expectation::Choice => match self.current(&self.flow).map(|s| &s.action) {
                Some(Action::Ask(ask)) => matches!(choice::choice(text, &ask.options), Heard::One(_)),
                Some(_) | None => false,
            },
            Expectation::Text => tail::looks_complete(text),
        };
        match (found, open_end) {
            (_, true) => Completeness::Partial,
            (true, false) => Completeness::Complete,
            (false, false) => Completeness::Unknown,
        }
    }

    /// What was collected.
    #[must_use]
    pub fn slots(&self) -> &BTreeMap<String, SlotValue> {
        &self.slots
    }

    /// Id of the step the call stands at; `None` before the beginning and after the end.
    #[must_use]
    pub fn step_id(&self) -> Option<&str> {
        self.current(&self.flow).map(|s| s.id.as_str())
    }

    fn current<'f>(&self, flow: &'f Flow) -> Option<&'f Step> {
        flow.steps.get(self.at?)
    }

    fn spoken(&self, template: &str) -> String {
        match &self.ctx {
            Some(ctx) => render::spoken(template, &self.flow, &self.slots, ctx),
            None => language::speakable(template, self.flow.tongue),
        }
    }

    fn line(&self, template: &str, interruptible: bool) -> Line {
        Line { text: self.spoken(template), interruptible }
    }

    /// Walks from a step to the next question, tool or end. `named`: a step named the place, so a question whose answer
    /// was already dealt with is asked anew; on the way along, answered questions are passed by.
    fn enter(&mut self, mut say: Vec<Line>, start: Option<usize>, named: bool, ctx: &FlowContext) -> FlowStep {
        self.ctx = Some(ctx.clone());
        self.retries = 0;
        self.digits.clear();
        self.pieces = 0;
        self.question = None;
        let flow = Arc::clone(&self.flow);
        let mut named = named;
        let mut passed = BTreeSet::new();
        let mut next = start;
        // The checks leave no loop without a question and a question is passed once: at most two rounds.
        for _ in 0..=flow.steps.len() * 2 {
            self.at = next;
            let (Some(at), Some(step)) = (next, self.current(&flow)) else { break };
            match &step.action {
                Action::Say(text) => {
                    say.push(self.line(text, step.interruptible));
                    next = step.next;
                    named = false;
                }
                Action::Ask(ask) => {
                    let spent = self.spent.remove(&ask.slot);
                    let anew = spent || (named && self.visited.contains(&at)) || !passed.insert(at);
                    self.visited.insert(at);
                    let value = self.slots.get(&ask.slot).filter(|_| !anew).cloned();
                    let refused = value.as_ref().and_then(|v| answer::refusal(ask, v, &self.slots, &flow, ctx));
                    if value.is_some() && refused.is_none() {
                        next = step.next;
                        named = false;
                        continue;
                    }
                    self.slots.remove(&ask.slot);
                    let line = self.line(refused.unwrap_or(&ask.text), step.interruptible);
                    return self.ask(say, line);
                }
                Action::Confirm(confirm) => {
                    let line = self.line(&confirm.text, step.interruptible);
                    return self.ask(say, line);
                }
                Action::Branch(branch) => {
                    let value = self.slots.get(&branch.slot);
                    if matches!(value, Some(SlotValue::YesNo(_) | SlotValue::Choice(_))) {
                        self.spent.insert(branch.slot.clone());
                    }
                    let value = value.map(SlotValue::plain).unwrap_or_default();
                    next = branch.when.get(&value).copied().or(branch.otherwise).or(step.next);
                    named = true;
                }
                Action::Tool(tool) => {
                    say.extend(tool.while_waiting.iter().map(|t| self.line(t, step.interruptible)));
                    return FlowStep { say, then: self.run_tool(tool, ctx) };
                }
                Action::Transfer { to, say: before } => {
                    say.extend(before.iter().map(|t| self.line(t, step.interruptible)));
                    let to = render::plain(to, &flow, &self.slots, ctx);
                    self.at = None;
                    return FlowStep { say, then: Then::Transfer { to } };
                }
                Action::HangUp(text) => {
                    say.push(self.line(text, step.interruptible));
                    self.at = None;
                    return FlowStep { say, then: Then::HangUp };
                }
            }
        }
        self.at = None;
        say.push(self.line(&flow.listening.goodbye, true));
        FlowStep { say, then: Then::HangUp }
    }

    fn run_tool(&self, tool: &Tool, ctx: &FlowContext) -> Then {
        let fill = |template: &String| render::plain(template, &self.flow, &self.slots, ctx);
        let arguments = tool.arguments.iter().map(|(name, template)| (name.clone(), fill(template))).collect();
        Then::RunTool { name: tool.name.clone(), arguments }
    }

    fn ask(&mut self, mut say: Vec<Line>, line: Line) -> FlowStep {
        self.question = Some(line.clone());
        say.push(line);
        listen(say)
    }

    /// A sentence the flow answers everywhere. An answer beside "wait" or "repeat" outweighs it.
    fn intent(&mut self, flow: &Flow, step: &Step, text: &str, ctx: &FlowContext) -> Spoken {
        let found = flow.intents.iter().find_map(|i| Some((i, i.phrases.iter().find(|p| has_phrase(text, p))?)));
        let Some((intent, phrase)) = found else { return Spoken::Other };
        let mut say: Vec<Line> = intent.say.iter().map(|t| self.line(t, true)).collect();
        let rest = understand::without_phrase(text, phrase);
        let answered = match &step.action {
            Action::Ask(ask) if !matches!(ask.kind, Kind::Text | Kind::Name) => {
                answer::read(ask, &rest, &self.digits, flow, ctx) != Answer::NotUnderstood
            }
            Action::Confirm(_) => yes_no(&rest).is_some(),
            Action::Ask(_)
            | Action::Say(_)
            | Action::Branch(_)
            | Action::Tool(_)
            | Action::Transfer { .. }
            | Action::HangUp(_) => false,
        };
        match intent.action {
            IntentAction::Goto(target) => Spoken::Done(self.enter(say, Some(target), true, ctx)),
            IntentAction::Repeat | IntentAction::Wait if answered => Spoken::Answer(rest),
            IntentAction::Wait => Spoken::Done(listen(say)),
            IntentAction::Return | IntentAction::Repeat => {
                say.extend(self.question.clone());
                Spoken::Done(listen(say))
            }
        }
    }

    fn heard_answer(&mut self, flow: &Flow, step: &Step, ask: &Ask, text: &str, ctx: &FlowContext) -> FlowStep {
        match answer::read(ask, text, &self.digits, flow, ctx) {
            Answer::Value(value) => {
                self.fill_ahead(flow, Some(ask.kind), text, ctx);
                if let Some(refusal) = answer::refusal(ask, &value, &self.slots, flow, ctx) {
                    let line = self.line(refusal, step.interruptible);
                    return self.missed(flow, ask.retries_max, ask.on_fail, line, ctx);
                }
                self.slots.insert(ask.slot.clone(), value);
                self.enter(Vec::new(), step.next, false, ctx)
            }
            Answer::Digits(digits) if self.pieces < PHONE_PIECES_MAX => {
                self.digits = digits;
                self.pieces += 1;
                listen(vec![self.line(ask.go_on.as_ref().unwrap_or(&flow.listening.go_on), true)])
            }
            Answer::Digits(_) | Answer::NotUnderstood => {
                self.digits.clear();
                self.fill_ahead(flow, Some(ask.kind), text, ctx);
                if corrects(text) && self.correct(flow, Some(ask.kind), text, ctx).is_some() {
                    return listen(self.question.clone().into_iter().collect());
                }
                let line = self.retry_line(flow, step, &ask.retry, &ask.text);
                self.missed(flow, ask.retries_max, ask.on_fail, line, ctx)
            }
        }
    }

    fn heard_confirmation(
        &mut self,
        flow: &Flow,
        step: &Step,
        confirm: &Confirm,
        text: &str,
        ctx: &FlowContext,
    ) -> FlowStep {
        let answer = yes_no(text);
        let corrected = self
            .correct(flow, None, text, ctx)
            .or_else(|| (answer == Some(YesNo::No)).then(|| self.correct_bare_name(flow, text)).flatten());
        if let Some(changed) = corrected {
            // The rules of its own question hold for the new value as well.
            if let Some((Action::Ask(ask), interruptible)) =
                flow.steps.get(changed).map(|s| (&s.action, s.interruptible))
            {
                let value = self.slots.get(&ask.slot).cloned();
                let refused = value.and_then(|v| answer::refusal(ask, &v, &self.slots, flow, ctx));
                if let Some(refusal) = refused {
                    self.slots.remove(&ask.slot);
                    self.at = Some(changed);
                    self.retries = 0;
                    let line = self.line(refusal, interruptible);
                    return self.ask(Vec::new(), line);
                }
            }
            let at = self.at;
            return self.enter(Vec::new(), at, false, ctx);
        }
        match answer {
            Some(YesNo::Yes) => self.enter(Vec::new(), step.next, false, ctx),
            Some(YesNo::No) if confirm.no.is_some() => self.enter(Vec::new(), confirm.no, true, ctx),
            Some(YesNo::No) | None => {
                let line = self.retry_line(flow, step, &confirm.retry, &confirm.text);
                self.missed(flow, confirm.retries_max, confirm.on_fail, line, ctx)
            }
        }
    }

    fn retry_line(&self, flow: &Flow, step: &Step, retry: &[String], question: &str) -> Line {
        let index = usize::try_from(self.retries).unwrap_or(usize::MAX);
        match retry.get(index).or(retry.last()) {
            Some(text) => self.line(text, step.interruptible),
            None => self.line(&format!("{} {question}", flow.listening.not_understood), step.interruptible),
        }
    }

    /// Asks again, or gives up.
    fn missed(
        &mut self,
        flow: &Flow,
        retries_max: u64,
        on_fail: Option<usize>,
        line: Line,
        ctx: &FlowContext,
    ) -> FlowStep {
        if self.retries < retries_max {
            self.retries += 1;
            return self.ask(Vec::new(), line);
        }
        // A failing question that fails into itself would never end.
        let target = on_fail.or(flow.listening.on_fail).filter(|t| Some(*t) != self.at);
        self.enter(Vec::new(), target, true, ctx)
    }

    /// "Tuesday at ten" answers a question still to come.
    fn fill_ahead(&mut self, flow: &Flow, answered: Option<Kind>, text: &str, ctx: &FlowContext) {
        let mut kinds: BTreeSet<&'static str> = BTreeSet::new();
        for (at, step) in flow.steps.iter().enumerate() {
            let Action::Ask(ask) = &step.action else { continue };
            let open = !self.visited.contains(&at) && !self.slots.contains_key(&ask.slot) && Some(ask.kind) != answered;
            if !open {
                continue;
            }
            if let Some(value) = answer::in_passing(ask.kind, text, flow, ctx) {
                // One mention fills one slot.
                if kinds.insert(value_kind(&value)) {
                    self.slots.insert(ask.slot.clone(), value);
                }
            }
        }
    }

    /// Puts a value said anew into the slot that holds another of its kind; the step that asks for it.
    fn correct(&mut self, flow: &Flow, except: Option<Kind>, text: &str, ctx: &FlowContext) -> Option<usize> {
        let mut changed = None;
        let mut kinds: BTreeSet<&'static str> = BTreeSet::new();
        for (at, step) in flow.steps.iter().enumerate().rev() {
            let Action::Ask(ask) = &step.action else { continue };
            if Some(ask.kind) == except || !self.slots.contains_key(&ask.slot) {
                continue;
            }
            let said = answer::in_passing(ask.kind, text, flow, ctx).filter(|v| kinds.insert(value_kind(v)));
            if let Some(value) = said.filter(|v| self.slots.get(&ask.slot) != Some(v)) {
                self.slots.insert(ask.slot.clone(), value);
                changed = Some(at);
            }
        }
        changed
    }

    /// "No, Victor": with a single name in the flow it can only be that.
    fn correct_bare_name(&mut self, flow: &Flow, text: &str) -> Option<usize> {
        let mut asks = flow.steps.iter().enumerate().filter_map(|(at, step)| match &step.action {
            Action::Ask(ask) if ask.kind == Kind::Name => Some((at, ask)),
            _ => None,
        });
        let (at, ask) = asks.next().filter(|_| asks.next().is_none())?;
        let name = SlotValue::Name(names::name(text)?);
        let held = self.slots.get(&ask.slot)?;
        if *held == name {
            return None;
        }
        self.slots.insert(ask.slot.clone(), name);
        Some(at)
    }
}

const fn value_kind(value: &SlotValue) -> &'static str {
    match value {
        SlotValue::Date(_) => "date",
        SlotValue::Time(_) => "time",
        SlotValue::Phone(_) => "phone",
        SlotValue::Name(_) => "name",
        SlotValue::Text(_)
        | SlotValue::YesNo(_)
        | SlotValue::Number(_)
        | SlotValue::Choice(_)
        | SlotValue::Code(_)
        | SlotValue::Money(_) => "other",
    }
}

/// Words with which a caller takes something back.
fn corrects(text: &str) -> bool {
    const WORDS: &[&str] = &["no", "not", "actually", "sorry", "wait", "nahi", "nahin", "change", "instead", "नहीं"];
    understand::plain_words(text).iter().any(|w| WORDS.contains(&w.as_str()))
}

fn listen(say: Vec<Line>) -> FlowStep {
    FlowStep { say, then: Then::Listen }
}
