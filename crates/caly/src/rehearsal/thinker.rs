//! Who answers in a rehearsal when the agent has a language model: answers from the script, or a real model.

use super::tools::plain_dates;
use crate::config::Config;
use crate::services::ModelAddresses;
use anyhow::Context as _;
use call::Message;
use model::{LanguageModelConfig, ModelProtocol};
use providers::anthropic::{AnthropicModel, AnthropicSettings};
use providers::http::Http;
use providers::language_model::{self, ANSWER_BYTES_MAX, LanguageModel, Prompt, Thought, ToolSpec};
use providers::openai::{ModelSettings, OpenAiModel};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// Answers in a script.
pub(crate) const ANSWERS_MAX: usize = 200;
/// Requests to a real model in one case: two for every turn that a script can have.
const REQUESTS_MAX: u32 = 240;

/// An answer of a scripted model: a table, or only its words.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "Value")]
pub(crate) struct ScriptedAnswer(FullAnswer);

impl TryFrom<Value> for ScriptedAnswer {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match plain_dates(value) {
            Value::String(text) => Ok(Self(FullAnswer { text, ..FullAnswer::default() })),
            value => serde_json::from_value(value).map(Self).map_err(|error| error.to_string()),
        }
    }
}

/// See [`ScriptedAnswer`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FullAnswer {
    /// What it says.
    text: String,
    /// The tools it asks for.
    tools: Vec<ScriptedTool>,
    /// It fails.
    fails: bool,
    /// How long it takes, ms.
    after_ms: u64,
}

/// A tool that a scripted model asks for.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptedTool {
    /// Which.
    name: String,
    /// With what.
    #[serde(default)]
    arguments: Map<String, Value>,
}

/// What a model made of a conversation.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Answer {
    pub(super) text: String,
    /// Name of the call of the tool, the tool, its arguments.
    pub(super) tools: Vec<(String, String, String)>,
    pub(super) tokens: u64,
    pub(super) after_ms: u64,
    /// It failed: the script wants it so, or (with why) it happened.
    pub(super) failed: Option<Option<String>>,
}

/// See the module.
pub(crate) enum Thinker {
    /// Nobody: the agent is a flow.
    Nobody,
    /// Answers from the script, in turn.
    Scripted(Scripted),
    /// A model behind an API.
    Real(Box<Real>),
}

/// See [`Thinker::Scripted`].
pub(crate) struct Scripted {
    answers: Vec<ScriptedAnswer>,
    next: usize,
    asked: Option<Asked>,
}

/// The last request, and whether anything of its answer has sounded.
struct Asked {
    messages: Vec<Message>,
    answer: usize,
    sounded: bool,
}

/// See [`Thinker::Real`].
pub(crate) struct Real {
    model: Arc<dyn LanguageModel>,
    system: String,
    language: String,
    temperature: f64,
    tools: Vec<ToolSpec>,
    patience: Duration,
    requests: u32,
    /// The last question, and the answer: a call may ask the same again.
    last: Option<(Vec<Message>, String, Answer)>,
}

impl Thinker {
    /// Answers in turn.
    pub(crate) fn scripted(answers: Vec<ScriptedAnswer>) -> Self {
        Self::Scripted(Scripted { answers, next: 0, asked: None })
    }

    /// This model, told this about its job.
    pub(crate) fn real(
        access: &ModelAccess,
        config: &LanguageModelConfig,
        language: &str,
        tools: Vec<ToolSpec>,
    ) -> Self {
        Self::Real(Box::new(Real {
            model: access.client(config),
            system: config.system_prompt.clone(),
            language: language.to_owned(),
            temperature: config.temperature,
            tools,
            patience: access.patience,
            requests: 0,
            last: None,
        }))
    }

    /// Asks for an answer to this conversation.
    pub(super) async fn answer(&mut self, messages: Vec<Message>, language: &str) -> Answer {
        match self {
            Self::Nobody => Answer::failed("no language model belongs to this agent"),
            Self::Scripted(scripted) => scripted.answer(messages),
            Self::Real(real) => real.answer(messages, language).await,
        }
    }

    /// Something of the agent is heard: the last answer is used up.
    pub(super) fn sounded(&mut self) {
        if let Self::Scripted(Scripted { asked: Some(asked), .. }) = self {
            asked.sounded = true;
        }
    }
}

impl Answer {
    fn failed(why: impl Into<String>) -> Self {
        Self { failed: Some(Some(why.into())), ..Self::default() }
    }
}

impl Scripted {
    fn answer(&mut self, messages: Vec<Message>) -> Answer {
        // A turn that is asked about again (the caller had gone on, or the first request was made early) gets the same
        // answer, as long as nobody has heard anything of it.
        let again = self.asked.as_ref().filter(|asked| !asked.sounded && same_turn(&asked.messages, &messages));
        let index = again.map_or(self.next, |asked| asked.answer);
        let Some(answer) = self.answers.get(index) else {
            let count = self.answers.len();
            return Answer::failed(format!("`model` has {count} answers, and one more was asked for"));
        };
        self.next = index + 1;
        self.asked = Some(Asked { messages, answer: index, sounded: false });
        let ScriptedAnswer(answer) = answer;
        if answer.fails {
            return Answer { after_ms: answer.after_ms, failed: Some(None), ..Answer::default() };
        }
        let tool = |(at, tool): (usize, &ScriptedTool)| {
            let arguments = Value::Object(tool.arguments.clone()).to_string();
            (format!("call-{index}-{at}"), tool.name.clone(), arguments)
        };
        Answer {
            text: answer.text.clone(),
            tools: answer.tools.iter().enumerate().map(tool).collect(),
            after_ms: answer.after_ms,
            ..Answer::default()
        }
    }
}

/// The same conversation up to the caller's last words.
fn same_turn(before: &[Message], now: &[Message]) -> bool {
    match (before.split_last(), now.split_last()) {
        (Some((Message::Caller { text: old }, earlier)), Some((Message::Caller { text: new }, later))) => {
            earlier == later && new.starts_with(old.as_str())
        }
        (Some((old, earlier)), Some((new, later))) => earlier == later && old == new,
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

impl Real {
    async fn answer(&mut self, messages: Vec<Message>, language: &str) -> Answer {
        if let Some((asked, in_language, answer)) = &self.last
            && *asked == messages
            && in_language == language
        {
            return answer.clone();
        }
        self.requests += 1;
        if self.requests > REQUESTS_MAX {
            return Answer::failed(format!("more than {REQUESTS_MAX} requests to the language model"));
        }
        let mut system = self.system.clone();
        if language != self.language {
            // As in a call.
            let _ = write!(system, "\n\nThe caller now speaks {language}. Answer in that language.");
        }
        let prompt = Prompt {
            system,
            messages: messages.iter().map(told).collect(),
            temperature: self.temperature,
            tools: self.tools.clone(),
        };
        let answer = ask(self.model.as_ref(), prompt, self.patience).await.unwrap_or_else(Answer::failed);
        self.last = Some((messages, language.to_owned(), answer.clone()));
        answer
    }
}

fn told(message: &Message) -> language_model::Message {
    match message {
        Message::Caller { text } => language_model::Message::Caller(text.clone()),
        Message::Agent { text, tool_calls } => language_model::Message::Agent {
            text: text.clone(),
            tool_calls: tool_calls
                .iter()
                .map(|call| language_model::ToolCall {
                    id: call.id.clone(),
                    name: call.name.clone(),
                    arguments: call.arguments.clone(),
                })
                .collect(),
        },
        Message::ToolResult { id, name, text } => {
            language_model::Message::ToolResult { id: id.clone(), name: name.clone(), text: text.clone() }
        }
    }
}

/// Asks a model and waits for all of its answer.
async fn ask(model: &dyn LanguageModel, prompt: Prompt, patience: Duration) -> Result<Answer, String> {
    let mut answer = Answer::default();
    let mut thoughts = model.think(prompt);
    let all = async {
        while let Some(thought) = thoughts.recv().await {
            match thought {
                Ok(Thought::Text(text)) => {
                    answer.text.push_str(&text);
                    if answer.text.len() > ANSWER_BYTES_MAX {
                        break;
                    }
                }
                Ok(Thought::ToolCall(call)) => answer.tools.push((call.id, call.name, call.arguments)),
                Ok(Thought::Usage(usage)) => {
                    answer.tokens = usage.prompt_tokens.saturating_add(usage.completion_tokens);
                }
                Ok(Thought::Audio(_)) => {}
                Ok(Thought::Done) => break,
                Err(error) => return Err(format!("the language model failed: {error}")),
            }
        }
        Ok(())
    };
    match tokio::time::timeout(patience, all).await {
        Ok(Ok(())) => Ok(answer),
        Ok(Err(why)) => Err(why),
        Err(_) => Err(format!("the language model did not answer within {} s", patience.as_secs())),
    }
}

/// How real models are reached.
pub(crate) struct ModelAccess {
    http: Http,
    addresses: ModelAddresses,
    patience: Duration,
}

impl ModelAccess {
    /// With the installation's keys for the addresses that the operator named. An answer is waited for so long.
    ///
    /// # Errors
    /// When there can be no HTTP client.
    pub(crate) fn new(config: &Config, patience: Duration) -> anyhow::Result<Self> {
        let http = crate::services::http().context("language models cannot be asked")?;
        Ok(Self { http, addresses: ModelAddresses::of(config), patience })
    }

    /// The HTTP client.
    pub(crate) const fn http(&self) -> &Http {
        &self.http
    }

    fn client(&self, config: &LanguageModelConfig) -> Arc<dyn LanguageModel> {
        let key = self.addresses.key(config.protocol, &config.base_url);
        match config.protocol {
            ModelProtocol::Openai => {
                let mut settings = ModelSettings::new(config.model.clone(), key);
                settings.base_url.clone_from(&config.base_url);
                Arc::new(OpenAiModel::new(self.http.clone(), settings))
            }
            ModelProtocol::Anthropic => {
                let mut settings = AnthropicSettings::new(config.model.clone(), key);
                settings.base_url.clone_from(&config.base_url);
                Arc::new(AnthropicModel::new(self.http.clone(), settings))
            }
        }
    }

    /// One question to a model, and its answer.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn ask_once(
        &self,
        config: &LanguageModelConfig,
        system: &str,
        question: String,
    ) -> Result<String, String> {
        let prompt = Prompt {
            system: system.to_owned(),
            messages: vec![language_model::Message::Caller(question)],
            temperature: 0.0,
            tools: Vec::new(),
        };
        let model = self.client(config);
        Ok(ask(model.as_ref(), prompt, self.patience).await?.text)
    }
}
