//! The mind: what decides the answers. A flow (a graph of steps) or a language model; both are asked the same way.

use crate::WorkId;
use crate::effect::Message;
use crate::flow::{Completeness, Flow, FlowContext, FlowRun, FlowStep, Line, Then};
use crate::phrases::{Phrases, phrases};
use crate::timing::MESSAGES_MAX;
use language::sentence::SentenceCutter;
use model::{AgentConfig, Brain, CallTime, TurnRole};
use std::collections::{BTreeMap, VecDeque};

/// The agent cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Its flow has faults; the text lists them all.
    #[error("the agent's flow cannot be used: {0}")]
    Flow(String),
}

/// What the mind wants next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Lines to say, and what then.
    Answer(FlowStep),
    /// Ask the language model.
    Ask(Vec<Message>),
}

/// Work in progress.
#[derive(Debug)]
pub(crate) enum Busy {
    /// A language model makes an answer.
    Thinking { work: WorkId, due: CallTime, cutter: Box<SentenceCutter>, spoken: bool },
    /// A tool runs.
    Tool { work: WorkId, due: CallTime },
}

#[derive(Debug)]
enum Kind {
    Flow { run: Box<FlowRun>, before: Option<Box<FlowRun>> },
    Model { greeting: String, history: VecDeque<Message>, before: Option<VecDeque<Message>> },
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Mind {
    kind: Kind,
    pub(crate) busy: Option<Busy>,
    pub(crate) phrases: &'static Phrases,
}

impl Mind {
    pub(crate) fn new(agent: &AgentConfig) -> Result<Self, SetupError> {
        let phrases = phrases(&agent.language);
        let kind = match &agent.brain {
            Brain::Flow { text } => {
                let flow = Flow::parse(text).map_err(|error| SetupError::Flow(error.to_string()))?;
                Kind::Flow { run: Box::new(FlowRun::new(flow)), before: None }
            }
            Brain::LanguageModel(_) => {
                let greeting = agent.greeting.clone().unwrap_or_else(|| phrases.greeting.to_owned());
                Kind::Model { greeting, history: VecDeque::new(), before: None }
            }
        };
        Ok(Self { kind, busy: None, phrases })
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.busy.is_some()
    }

    /// A tool runs: it may already have changed something, so its turn cannot be taken back.
    pub(crate) fn tool_started(&self) -> bool {
        matches!(self.busy, Some(Busy::Tool { .. }))
    }

    pub(crate) fn deadline(&self) -> Option<CallTime> {
        match self.busy.as_ref()? {
            Busy::Thinking { due, .. } | Busy::Tool { due, .. } => Some(*due),
        }
    }

    pub(crate) fn begin(&mut self, context: &FlowContext, agent: &AgentConfig) -> Step {
        match &mut self.kind {
            Kind::Flow { run, .. } => {
                let mut step = run.begin(context);
                if let Some(greeting) = &agent.greeting {
                    step.say.insert(0, Line { text: greeting.clone(), interruptible: true });
                }
                Step::Answer(step)
            }
            Kind::Model { greeting, .. } => Step::Answer(say(greeting.clone(), Then::Listen)),
        }
    }

    /// The caller's turn is over.
    pub(crate) fn heard(&mut self, text: &str, context: &FlowContext) -> Step {
        match &mut self.kind {
            Kind::Flow { run, before } => {
                *before = Some(run.clone());
                Step::Answer(run.heard(text, context))
            }
            Kind::Model { history, before, .. } => {
                *before = Some(history.clone());
                remember(history, TurnRole::Caller, text);
                Step::Ask(history.iter().cloned().collect())
            }
        }
    }

    /// The answer to the last turn was withdrawn unheard: as if that turn had not been taken.
    pub(crate) fn take_back(&mut self) {
        match &mut self.kind {
            Kind::Flow { run, before } => {
                if let Some(earlier) = before.take() {
                    *run = earlier;
                }
            }
            Kind::Model { history, before, .. } => {
                if let Some(earlier) = before.take() {
                    *history = earlier;
                }
            }
        }
    }

    /// What the caller heard of the agent. Only this is remembered.
    pub(crate) fn agent_heard(&mut self, text: &str) {
        match &mut self.kind {
            Kind::Flow { before, .. } => *before = None,
            Kind::Model { history, before, .. } => {
                *before = None;
                remember(history, TurnRole::Agent, text);
            }
        }
    }

    pub(crate) fn tool_finished(
        &mut self,
        outcome: Result<BTreeMap<String, String>, String>,
        context: &FlowContext,
    ) -> Step {
        match &mut self.kind {
            Kind::Flow { run, before } => {
                *before = None;
                Step::Answer(run.tool_finished(outcome, context))
            }
            Kind::Model { .. } => Step::Answer(say(self.phrases.apology.to_owned(), Then::Listen)),
        }
    }

    pub(crate) fn reminder(&mut self) -> String {
        match &mut self.kind {
            Kind::Flow { run, .. } => run.silence(),
            Kind::Model { .. } => None,
        }
        .unwrap_or_else(|| self.phrases.reminder.to_owned())
    }

    /// Said when silence ends the call.
    pub(crate) fn goodbye(&self) -> String {
        match &self.kind {
            Kind::Flow { run, .. } => run.goodbye(),
            Kind::Model { .. } => self.phrases.goodbye_silence.to_owned(),
        }
    }

    /// How complete this is as an answer to the open question.
    pub(crate) fn completeness(&self, text: &str) -> Completeness {
        match &self.kind {
            Kind::Flow { run, .. } => run.finished_answer(text),
            Kind::Model { .. } => Completeness::Unknown,
        }
    }

    pub(crate) fn collected(&self) -> serde_json::Value {
        match &self.kind {
            Kind::Flow { run, .. } => serde_json::to_value(run.slots()).unwrap_or_default(),
            Kind::Model { .. } => serde_json::Value::Object(serde_json::Map::new()),
        }
    }
}

pub(crate) fn say(text: String, then: Then) -> FlowStep {
    FlowStep { say: vec![Line { text, interruptible: true }], then }
}

fn remember(history: &mut VecDeque<Message>, role: TurnRole, text: &str) {
    if text.is_empty() {
        return;
    }
    // Two parts of one side are one message: models expect the roles to alternate.
    if let Some(last) = history.back_mut().filter(|last| last.role == role) {
        last.text.push(' ');
        last.text.push_str(text);
    } else {
        history.push_back(Message { role, text: text.to_owned() });
    }
    while history.len() > MESSAGES_MAX {
        history.pop_front();
    }
}
