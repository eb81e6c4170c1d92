//! The mind: what decides the answers. A flow (a graph of steps) or a language model; both are asked the same way.

use crate::conversation::Conversation;
use crate::effect::{Message, ToolCall};
use crate::flow::{Completeness, Flow, FlowContext, FlowRun, FlowStep, Line, Then};
use crate::phrases::{Phrases, phrases};
use crate::{SpeechId, ToolOutput, WorkId};
use language::sentence::SentenceCutter;
use model::{AgentConfig, Brain, CallTime};

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
    Thinking(Thinking),
    /// A tool runs.
    Tool { work: WorkId, due: CallTime },
    /// The caller types digits for a tool.
    Keys(Collecting),
}

/// An answer under way.
#[derive(Debug)]
pub(crate) struct Thinking {
    pub(crate) work: WorkId,
    pub(crate) due: CallTime,
    pub(crate) cutter: Box<SentenceCutter>,
    /// Something of it was given to be said.
    pub(crate) spoken: bool,
    /// Tools it asked for so far.
    pub(crate) asked: Vec<ToolCall>,
    /// Of a model that speaks by itself: the answer as one sentence.
    pub(crate) speech: Option<SpeechId>,
}

/// Digits that a tool waits for.
#[derive(Debug)]
pub(crate) struct Collecting {
    pub(crate) digits: String,
    pub(crate) digits_max: usize,
    pub(crate) finish_key: char,
    pub(crate) timeout_ms: u64,
    pub(crate) due: CallTime,
}

#[derive(Debug)]
enum Kind {
    Flow { run: Box<FlowRun>, before: Option<Box<FlowRun>> },
    Model { greeting: String, speaks: bool, told: Conversation, before: Option<Conversation> },
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
            Brain::LanguageModel(_) | Brain::SpeechModel(_) => {
                let greeting = agent.greeting.clone().unwrap_or_else(|| phrases.greeting.to_owned());
                let speaks = matches!(agent.brain, Brain::SpeechModel(_));
                Kind::Model { greeting, speaks, told: Conversation::default(), before: None }
            }
        };
        Ok(Self { kind, busy: None, phrases })
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.busy.is_some()
    }

    /// A tool runs: it may already have changed something, so its turn cannot be taken back.
    pub(crate) fn tool_started(&self) -> bool {
        matches!(self.busy, Some(Busy::Tool { .. } | Busy::Keys(_)))
    }

    pub(crate) fn is_thinking(&self) -> bool {
        matches!(self.busy, Some(Busy::Thinking(_)))
    }

    /// A language model decides the answers.
    pub(crate) const fn is_model(&self) -> bool {
        matches!(self.kind, Kind::Model { .. })
    }

    /// The model speaks by itself.
    pub(crate) const fn speaks(&self) -> bool {
        matches!(self.kind, Kind::Model { speaks: true, .. })
    }

    /// The conversation so far; of a flow, nothing.
    pub(crate) fn messages(&self) -> Vec<Message> {
        match &self.kind {
            Kind::Flow { .. } => Vec::new(),
            Kind::Model { told, .. } => told.messages(),
        }
    }

    /// Tools that a model asked for have run.
    pub(crate) fn tools_ran(&mut self, done: &[(ToolCall, String)]) {
        match &mut self.kind {
            Kind::Flow { .. } => {}
            Kind::Model { told, before, .. } => {
                *before = None;
                told.tools(done);
            }
        }
    }

    pub(crate) fn deadline(&self) -> Option<CallTime> {
        match self.busy.as_ref()? {
            Busy::Thinking(Thinking { due, .. }) | Busy::Tool { due, .. } | Busy::Keys(Collecting { due, .. }) => {
                Some(*due)
            }
        }
    }

    pub(crate) fn begin(&mut self, context: &FlowContext, agent: &AgentConfig) -> Step {
        match &mut self.kind {
            Kind::Flow { run, .. } => {
                let mut step = run.begin(context);
                if let Some(notice) = &agent.notice {
                    step.say.insert(0, Line { text: notice.clone(), interruptible: false });
                }
                if let Some(greeting) = &agent.greeting {
                    step.say.insert(0, Line { text: greeting.clone(), interruptible: true });
                }
                Step::Answer(step)
            }
            Kind::Model { greeting, .. } => {
                let mut step = say(greeting.clone(), Then::Listen);
                if let Some(notice) = &agent.notice {
                    step.say.push(Line { text: notice.clone(), interruptible: false });
                }
                Step::Answer(step)
            }
        }
    }

    /// The caller's turn is over.
    pub(crate) fn heard(&mut self, text: &str, context: &FlowContext) -> Step {
        match &mut self.kind {
            Kind::Flow { run, before } => {
                *before = Some(run.clone());
                Step::Answer(run.heard(text, context))
            }
            Kind::Model { told, before, .. } => {
                *before = Some(told.clone());
                told.caller(text);
                Step::Ask(told.messages())
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
            Kind::Model { told, before, .. } => {
                if let Some(earlier) = before.take() {
                    *told = earlier;
                }
            }
        }
    }

    /// What the caller heard of the agent. Only this is remembered.
    pub(crate) fn agent_heard(&mut self, text: &str) {
        match &mut self.kind {
            Kind::Flow { before, .. } => *before = None,
            Kind::Model { told, before, .. } => {
                *before = None;
                told.agent(text);
            }
        }
    }

    /// A tool of a flow has answered.
    pub(crate) fn tool_finished(&mut self, outcome: Result<ToolOutput, String>, context: &FlowContext) -> Step {
        match &mut self.kind {
            Kind::Flow { run, before } => {
                *before = None;
                Step::Answer(run.tool_finished(outcome.map(|output| output.values), context))
            }
            // Tools of a model go through `tooling`.
            Kind::Model { told, .. } => Step::Ask(told.messages()),
        }
    }

    /// What a silent caller is told, by the flow.
    pub(crate) fn reminder(&mut self) -> Option<String> {
        match &mut self.kind {
            Kind::Flow { run, .. } => run.silence(),
            Kind::Model { .. } => None,
        }
    }

    /// Said when silence ends the call, by the flow.
    pub(crate) fn goodbye(&self) -> Option<String> {
        match &self.kind {
            Kind::Flow { run, .. } => Some(run.goodbye()),
            Kind::Model { .. } => None,
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
