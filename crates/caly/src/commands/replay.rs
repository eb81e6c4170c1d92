//! `caly replay`: a past call once more. With its input log alone the same inputs must have the same effects; with
//! another agent the same caller talks to that one, and what is different is shown.

mod differences;
mod log;
mod past;
mod stored;
mod words;

use crate::config::Config;
use crate::rehearsal::{
    AgentSource, ModelAccess, Offer, Overrides, Refused, Remote, RemoteOptions, Script, Stage, Thinker, ToolAnswers,
};
use crate::terminal::{complain, say};
use anyhow::Context;
use call::CallSetup;
use clap::Args;
use differences::Differences;
use model::{AgentConfig, Brain, CallId, ModelProtocol};
use past::Past;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Largest log that is read, in bytes. The longest call's log stays below it.
const LOG_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Largest file of tools' answers, in bytes.
const TOOLS_BYTES_MAX: u64 = 256 * 1024;
/// Status when the call, or the agent, cannot be used.
const UNUSABLE: u8 = 2;

/// What `caly replay` takes.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The log: `data/calls/CALL.jsonl`.
    #[arg(required_unless_present = "call", conflicts_with = "call")]
    file: Option<PathBuf>,
    /// Print every input and its effects.
    #[arg(long)]
    verbose: bool,
    /// A call by its id instead of a log: from the database of this installation, or at --url.
    #[arg(long)]
    call: Option<uuid::Uuid>,
    /// Let this agent answer: a file (JSON or TOML), or the id of an agent at --url.
    #[arg(long)]
    agent: Option<String>,
    /// Let the call's agent follow this flow.
    #[arg(long, conflicts_with = "prompt")]
    flow: Option<PathBuf>,
    /// Tell the call's agent this about its job.
    #[arg(long)]
    prompt: Option<PathBuf>,
    /// Let this language model answer.
    #[arg(long)]
    model: Option<String>,
    /// At this address: https://api.groq.com/openai/v1
    #[arg(long)]
    model_url: Option<String>,
    /// That speaks this: openai or anthropic.
    #[arg(long)]
    model_protocol: Option<ModelProtocol>,
    /// Seconds that an answer of a language model is waited for.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=300))]
    model_timeout_s: u64,
    /// What tools give back: a file with [tools.NAME] as in test calls. They win over the log.
    #[arg(long)]
    tools: Option<PathBuf>,
    #[command(flatten)]
    remote: RemoteOptions,
    /// Print the differences as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolsFile {
    tools: ToolAnswers,
}

impl Arguments {
    /// Nothing but a log: no settings are needed.
    pub(crate) fn plain(&self) -> Option<(&Path, bool)> {
        let file = self.file.as_deref()?;
        let other = self.agent.is_some() || !self.overrides().is_empty();
        (!other).then_some((file, self.verbose))
    }

    fn overrides(&self) -> Overrides {
        Overrides {
            flow: self.flow.clone(),
            prompt: self.prompt.clone(),
            model: self.model.clone(),
            model_url: self.model_url.clone(),
            protocol: self.model_protocol,
        }
    }
}

/// Replays a log.
///
/// # Errors
/// When the file cannot be read, is no log, or an effect differs.
pub(crate) fn run(file: &Path, verbose: bool) -> anyhow::Result<ExitCode> {
    let text = read(file, LOG_BYTES_MAX)?;
    let replayed = call::log::replay(&text, |step| {
        if verbose {
            say(format!("{:>8.3} s  {:?}", step.at.ms() as f64 / 1_000.0, step.input));
            for effect in &step.effects {
                say(format!("            → {effect:?}"));
            }
        }
    })?;
    say(format!("{} inputs, {} effects: all as logged", replayed.inputs, replayed.effects));
    Ok(ExitCode::SUCCESS)
}

fn read(file: &Path, bytes_max: u64) -> anyhow::Result<String> {
    let size = std::fs::metadata(file).with_context(|| format!("{} cannot be read", file.display()))?.len();
    anyhow::ensure!(size <= bytes_max, "{} is larger than {bytes_max} bytes", file.display());
    std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))
}

/// Plays a past call against another agent and shows what is different.
///
/// # Errors
/// When there can be no HTTP client. What cannot be used is said, and makes the exit status 2.
pub(crate) async fn against(config: &Config, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let access = ModelAccess::new(config, Duration::from_secs(arguments.model_timeout_s))?;
    let offer = Offer::new(config, access.http())?;
    match Box::pin(differences(config, &access, &offer, &arguments)).await {
        Ok(differences) => {
            if arguments.json {
                say(format!("{:#}", differences.json()));
            } else {
                differences.lines().iter().for_each(say);
            }
            Ok(if differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Err(Refused(why)) => {
            complain(format!("caly: {why}"));
            Ok(ExitCode::from(UNUSABLE))
        }
    }
}

async fn differences(
    config: &Config,
    access: &ModelAccess,
    offer: &Offer,
    arguments: &Arguments,
) -> Result<Differences, Refused> {
    let past = past(config, access, arguments).await?;
    let agent = agent(access, arguments, &past).await?;
    let Past { setup, mut answers, seen: old, script } = past;
    if let Some(path) = &arguments.tools {
        let text = read(path, TOOLS_BYTES_MAX).map_err(|error| Refused(format!("{error:#}")))?;
        let file: ToolsFile = toml::from_str(&text).map_err(|error| Refused(format!("{}: {error}", path.display())))?;
        answers.override_with(file.tools);
    }
    let thinker = match &agent.brain {
        Brain::Flow { .. } => Thinker::Nobody,
        Brain::LanguageModel(model) => {
            Thinker::real(access, model, &agent.language, offer.tools(&agent, &setup.variables))
        }
        Brain::SpeechModel(model) => {
            let model = arguments.overrides().text_model(model.system_prompt.clone())?;
            Thinker::real(access, &model, &agent.language, offer.tools(&agent, &setup.variables))
        }
    };
    let script = Script { setup: CallSetup { agent, ..setup }, turns: script, tools: answers };
    let stage = Stage::new(script, thinker).map_err(|error| Refused(error.to_string()))?;
    let new = Box::pin(stage.perform()).await;
    // A stored transcript does not say which tools were asked for; a log does.
    Ok(Differences::between(&old, &new, arguments.call.is_none()))
}

async fn past(config: &Config, access: &ModelAccess, arguments: &Arguments) -> Result<Past, Refused> {
    if let Some(file) = &arguments.file {
        let text = read(file, LOG_BYTES_MAX).map_err(|error| Refused(format!("{error:#}")))?;
        return log::read(&text).map_err(|Refused(why)| Refused(format!("{}: {why}", file.display())));
    }
    let Some(id) = arguments.call.map(CallId) else {
        return Err(Refused("name a log, or a call by --call".to_owned()));
    };
    if arguments.remote.is_given() {
        let remote = Remote::new(access.http(), &arguments.remote)?;
        return stored::remote(config, &remote, id).await;
    }
    stored::local(config, id).await
}

/// The agent that answers now: the one named, else that of the call, with what is to be different.
async fn agent(access: &ModelAccess, arguments: &Arguments, past: &Past) -> Result<AgentConfig, Refused> {
    let agent = match &arguments.agent {
        Some(given) => AgentSource::parse(given).read(access, &arguments.remote).await?,
        None => past.setup.agent.clone(),
    };
    let mut agent = arguments.overrides().apply(agent)?;
    call::variables::fill_agent(&mut agent, &past.setup.variables);
    Ok(agent)
}
