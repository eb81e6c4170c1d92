//! Which agent takes part in a rehearsal: a file, or one of a running Caly.

use super::{ModelAccess, Remote, RemoteOptions};
use call::flow::{FLOW_BYTES_MAX, Flow};
use model::limits::AGENT_CONFIG_BYTES_MAX;
use model::{AgentConfig, AgentId, Brain, LanguageModelConfig, ModelProtocol, ToolConfig};
use std::path::{Path, PathBuf};

/// An agent, or something that a test names, cannot be used: why, for people.
#[derive(Debug)]
pub(crate) struct Refused(pub String);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// Where an agent is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AgentSource {
    /// A file with a configuration as the API takes it: JSON, or TOML.
    Config(PathBuf),
    /// A flow file: an agent that does what it says, with every setting as usual.
    Flow(PathBuf),
    /// An agent of a running Caly.
    Remote(AgentId),
}

/// What is different from how the agent is kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    /// Another flow, or instructions, from these files.
    pub flow: Option<PathBuf>,
    /// See `flow`.
    pub prompt: Option<PathBuf>,
    /// Another model.
    pub model: Option<String>,
    /// At this address.
    pub model_url: Option<String>,
    /// That speaks this.
    pub protocol: Option<ModelProtocol>,
}

impl AgentSource {
    /// What a person wrote: the id of an agent, else a file.
    pub(crate) fn parse(text: &str) -> Self {
        match text.parse::<uuid::Uuid>() {
            Ok(id) => Self::Remote(AgentId(id)),
            Err(_) => Self::Config(PathBuf::from(text)),
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) async fn read(&self, access: &ModelAccess, remote: &RemoteOptions) -> Result<AgentConfig, Refused> {
        match self {
            Self::Config(path) => config(path),
            Self::Flow(path) => with_flow(None, path),
            Self::Remote(id) => Remote::new(access.http(), remote)?.agent(*id).await,
        }
    }
}

/// The text of a file of at most so many bytes.
pub(super) fn text(path: &Path, bytes_max: usize) -> Result<String, Refused> {
    let failed = |why: String| Refused(format!("{} cannot be read: {why}", path.display()));
    let size = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
    if size > u64::try_from(bytes_max).unwrap_or(u64::MAX) {
        return Err(failed(format!("it has more than {bytes_max} bytes")));
    }
    std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))
}

fn config(path: &Path) -> Result<AgentConfig, Refused> {
    // JSON written with every letter escaped is twice as long.
    let text = text(path, 2 * AGENT_CONFIG_BYTES_MAX)?;
    let refused = |what: String| Refused(format!("{}: {what}", path.display()));
    let config: AgentConfig = if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("toml")) {
        toml::from_str(&text).map_err(|error| refused(error.to_string()))?
    } else {
        serde_json::from_str(&text).map_err(|error| refused(error.to_string()))?
    };
    check(&config).map_err(|Refused(what)| refused(what))?;
    Ok(config)
}

/// Faults of a flow should be told with the place in its file, before a call is tried.
fn check(config: &AgentConfig) -> Result<(), Refused> {
    match &config.brain {
        Brain::Flow { text } => Flow::parse(text).map(|_| ()).map_err(|error| Refused(error.to_string())),
        Brain::LanguageModel(_) | Brain::SpeechModel(_) => Ok(()),
    }
}

/// An agent that does what a flow file says: a new one, or this one with another flow. Tools that only the flow knows
/// keep what they are given.
///
/// # Errors
/// What is wrong with the file.
fn with_flow(agent: Option<AgentConfig>, path: &Path) -> Result<AgentConfig, Refused> {
    let text = text(path, FLOW_BYTES_MAX)?;
    let refused = |what: String| Refused(format!("{}: {what}", path.display()));
    let flow = Flow::parse(&text).map_err(|error| refused(error.to_string()))?;
    let tag = flow.tongue.tag();
    let mut agent = match agent {
        Some(agent) => agent,
        None => {
            let plain = serde_json::json!({ "brain": { "kind": "flow", "text": "" }, "language": tag });
            serde_json::from_value(plain).map_err(|error| refused(error.to_string()))?
        }
    };
    for name in flow.tool_names() {
        agent.tools.entry(name.to_owned()).or_insert(ToolConfig::Record);
    }
    agent.brain = Brain::Flow { text };
    Ok(agent)
}

impl Overrides {
    /// Nothing is different.
    pub(crate) const fn is_empty(&self) -> bool {
        self.flow.is_none()
            && self.prompt.is_none()
            && self.model.is_none()
            && self.model_url.is_none()
            && self.protocol.is_none()
    }

    /// The agent with what is different.
    ///
    /// # Errors
    /// When a file cannot be used, or there is no language model to be different.
    pub(crate) fn apply(&self, mut agent: AgentConfig) -> Result<AgentConfig, Refused> {
        if let Some(path) = &self.flow {
            agent = with_flow(Some(agent), path)?;
        }
        if let Some(path) = &self.prompt {
            let prompt = text(path, AGENT_CONFIG_BYTES_MAX)?;
            match &mut agent.brain {
                Brain::LanguageModel(model) => model.system_prompt = prompt,
                Brain::SpeechModel(model) => model.system_prompt = prompt,
                Brain::Flow { .. } => {
                    return Err(Refused("a flow takes no instructions: --prompt is for language models".to_owned()));
                }
            }
        }
        if self.model.is_none() && self.model_url.is_none() && self.protocol.is_none() {
            return Ok(agent);
        }
        match &mut agent.brain {
            Brain::LanguageModel(model) => self.change_model(model),
            Brain::SpeechModel(speech) => {
                let system_prompt = speech.system_prompt.clone();
                agent.brain = Brain::LanguageModel(self.text_model(system_prompt)?);
            }
            // A flow has no use for a model; a judge may have.
            Brain::Flow { .. } => {}
        }
        Ok(agent)
    }

    fn change_model(&self, model: &mut LanguageModelConfig) {
        if let Some(name) = &self.model {
            model.model.clone_from(name);
        }
        if let Some(url) = &self.model_url {
            model.base_url.clone_from(url);
        }
        if let Some(protocol) = self.protocol {
            model.protocol = protocol;
        }
        model.fallbacks.clear();
    }

    /// The model of the command line alone, with these instructions.
    ///
    /// # Errors
    /// When it is not named wholly.
    pub(crate) fn text_model(&self, system_prompt: String) -> Result<LanguageModelConfig, Refused> {
        let (Some(model), Some(base_url)) = (&self.model, &self.model_url) else {
            let what = "name a language model for it: --model-url and --model";
            return Err(Refused(format!("a model that hears and speaks by itself cannot be asked in writing; {what}")));
        };
        Ok(LanguageModelConfig {
            protocol: self.protocol.unwrap_or(ModelProtocol::Openai),
            base_url: base_url.clone(),
            model: model.clone(),
            system_prompt,
            temperature: 0.0,
            fallbacks: Vec::new(),
            hedge_after_ms: 0,
            tokens_max: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_an_id_or_a_file() {
        assert_eq!(AgentSource::parse("agent.json"), AgentSource::Config("agent.json".into()));
        let id = uuid::Uuid::from_u128(7);
        assert_eq!(AgentSource::parse(&id.to_string()), AgentSource::Remote(AgentId(id)));
    }

    #[test]
    fn models_are_replaced_wholly() {
        let agent: AgentConfig = serde_json::from_value(serde_json::json!({"brain": {"kind": "language-model",
            "base_url": "https://a.example/v1", "model": "a", "system_prompt": "Be brief.",
            "fallbacks": [{"base_url": "https://b.example/v1", "model": "b"}]}}))
        .expect("an agent");
        let overrides = Overrides { model: Some("c".into()), ..Overrides::default() };
        let Brain::LanguageModel(model) = overrides.apply(agent).expect("it can be changed").brain else {
            panic!("it was a language model");
        };
        assert_eq!((model.model.as_str(), model.base_url.as_str()), ("c", "https://a.example/v1"));
        assert!(model.fallbacks.is_empty(), "no other model answers in a comparison of models");
        assert_eq!(model.system_prompt, "Be brief.");
    }

    #[test]
    fn a_speaking_model_needs_another_one_to_be_asked() {
        let agent: AgentConfig = serde_json::from_value(serde_json::json!({"brain": {"kind": "speech-model",
            "vendor": "openai", "system_prompt": "Be brief."}}))
        .expect("an agent");
        let half = Overrides { model: Some("c".into()), ..Overrides::default() };
        assert!(half.apply(agent.clone()).is_err());
        let whole = Overrides { model_url: Some("https://a.example/v1".into()), ..half };
        let Brain::LanguageModel(model) = whole.apply(agent).expect("it can be asked").brain else {
            panic!("it is a language model now");
        };
        assert_eq!(model.system_prompt, "Be brief.");
    }
}
