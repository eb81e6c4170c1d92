//! `caly test-agent FILE…`: scripted test calls with expectations, for a user's own confidence and CI. The file is
//! described in docs/testing-agents.md.

mod expect;
mod file;
mod judge;
mod likeness;
mod reports;

pub(crate) use expect::plain_slots;

use crate::config::Config;
use crate::rehearsal::{
    AgentSource, ModelAccess, Offer, Overrides, Refused, RemoteOptions, Script, Seen, Stage, Thinker,
};
use crate::terminal::{complain, say};
use anyhow::Context as _;
use call::CallSetup;
use clap::Args;
use expect::Failure;
use file::TestFile;
use model::{AgentConfig, Brain, LanguageModelConfig, ModelProtocol};
use reports::{Outcome, Report};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Most files of one run.
const FILES_MAX: usize = 1_000;
/// Status when a file, or its agent, cannot be used.
const UNUSABLE: u8 = 2;

/// What `caly test-agent` takes.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Test files (TOML), or folders with them.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Test this agent instead of the files' own: a file, or the id of an agent at --url.
    #[arg(long)]
    agent: Option<String>,
    #[command(flatten)]
    remote: RemoteOptions,
    /// Ask this language model instead of the agent's own.
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
    /// Let statements for a judge pass unjudged.
    #[arg(long)]
    no_judge: bool,
    /// Write a report for CI servers (JUnit's XML) to this file.
    #[arg(long)]
    junit: Option<PathBuf>,
    /// Write a report as JSON to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What all files share.
struct Tests {
    access: ModelAccess,
    offer: Offer,
    overrides: Overrides,
    arguments: Arguments,
}

/// Plays all test calls, one after the other.
///
/// # Errors
/// When a report cannot be written.
pub(crate) async fn run(config: &Config, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let files = match files(&arguments.files) {
        Ok(files) => files,
        Err(why) => {
            complain(format!("caly: {why}"));
            return Ok(ExitCode::from(UNUSABLE));
        }
    };
    let access = ModelAccess::new(config, Duration::from_secs(arguments.model_timeout_s))?;
    let overrides = Overrides {
        model: arguments.model.clone(),
        model_url: arguments.model_url.clone(),
        protocol: arguments.model_protocol,
        ..Overrides::default()
    };
    let offer = Offer::new(config, access.http())?;
    let tests = Tests { access, offer, overrides, arguments };
    let mut reports = Vec::with_capacity(files.len());
    for file in &files {
        let report = Box::pin(tests.report(file)).await;
        report.lines().iter().for_each(say);
        reports.push(report);
    }
    let passed = reports.iter().filter(|report| report.passed()).count();
    say(format!("{passed} of {} passed", reports.len()));
    if let Some(path) = &tests.arguments.junit {
        write(path, &reports::as_junit(&reports))?;
    }
    if let Some(path) = &tests.arguments.json {
        write(path, &format!("{:#}\n", reports::as_json(&reports)))?;
    }
    Ok(if reports.iter().any(|report| matches!(report.result, Outcome::Unusable(_))) {
        ExitCode::from(UNUSABLE)
    } else if passed < reports.len() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}

/// The files named, and those in the folders named, in order.
fn files(named: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for path in named {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let failed = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
        let mut inside = Vec::new();
        for entry in std::fs::read_dir(path).map_err(failed)? {
            let file = entry.map_err(failed)?.path();
            if file.extension().is_some_and(|ending| ending == "toml") {
                inside.push(file);
            }
            if inside.len() > FILES_MAX {
                break;
            }
        }
        if inside.is_empty() {
            return Err(format!("{} has no test files (*.toml)", path.display()));
        }
        inside.sort();
        files.extend(inside);
    }
    if files.len() > FILES_MAX {
        return Err(format!("more than {FILES_MAX} files"));
    }
    Ok(files)
}

impl Tests {
    async fn report(&self, path: &Path) -> Report {
        let began = Instant::now();
        let stem = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        let (name, result) = match TestFile::read(path) {
            Err(why) => (stem, Outcome::Unusable(why)),
            Ok(file) => {
                let name = file.name.clone().unwrap_or(stem);
                let result = match Box::pin(self.play(path, file)).await {
                    Ok((seen, failures)) => Outcome::Played { seen: Box::new(seen), failures },
                    Err(Refused(why)) => Outcome::Unusable(format!("{}: {why}", path.display())),
                };
                (name, result)
            }
        };
        Report { name, file: path.display().to_string(), took: began.elapsed(), result }
    }

    async fn play(&self, path: &Path, file: TestFile) -> Result<(Seen, Vec<Failure>), Refused> {
        let mut agent = self.agent(path, &file).await?;
        call::variables::fill_agent(&mut agent, &file.variables);
        let scripted = !file.model.is_empty();
        let thinker = match &agent.brain {
            Brain::Flow { .. } => Thinker::Nobody,
            Brain::LanguageModel(_) | Brain::SpeechModel(_) if scripted => Thinker::scripted(file.model),
            Brain::LanguageModel(model) => {
                Thinker::real(&self.access, model, &agent.language, self.offer.tools(&agent, &file.variables))
            }
            Brain::SpeechModel(model) => {
                let model = self.overrides.text_model(model.system_prompt.clone())?;
                Thinker::real(&self.access, &model, &agent.language, self.offer.tools(&agent, &file.variables))
            }
        };
        let setup = CallSetup {
            agent: agent.clone(),
            local_time: file.local_time,
            direction: file.direction,
            can_transfer: true,
            caller_number: file.caller_number,
            variables: file.variables,
        };
        let turns = file.turns.iter().map(|turn| turn.caller.clone()).collect();
        let script = Script { setup, turns, tools: file.tools };
        let stage = Stage::new(script, thinker).map_err(|error| Refused(error.to_string()))?;
        let seen = Box::pin(stage.perform()).await;
        let mut failures = expect::check(&file.turns, &file.end, &agent, &seen);
        failures.extend(self.judge(&file.end.judge, &agent, scripted, &seen).await);
        Ok((seen, failures))
    }

    async fn agent(&self, path: &Path, file: &TestFile) -> Result<AgentConfig, Refused> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let source = match (&self.arguments.agent, &file.agent, &file.flow) {
            (Some(given), ..) => AgentSource::parse(given),
            (None, Some(given), _) => match AgentSource::parse(given) {
                AgentSource::Config(file) => AgentSource::Config(folder.join(file)),
                other => other,
            },
            (None, None, Some(flow)) => AgentSource::Flow(folder.join(flow)),
            (None, None, None) => {
                return Err(Refused("it names no agent: `agent = …` or `flow = …`, or --agent".to_owned()));
            }
        };
        let agent = source.read(&self.access, &self.arguments.remote).await?;
        if file.model.is_empty() { self.overrides.apply(agent) } else { Ok(agent) }
    }

    /// What a language model says against the statements. Nobody there to ask is no reason to pass.
    async fn judge(&self, statements: &[String], agent: &AgentConfig, scripted: bool, seen: &Seen) -> Vec<Failure> {
        let mut failures = Vec::new();
        let model = self.judging_model(agent, scripted);
        for statement in statements {
            let verdict = match &model {
                _ if self.arguments.no_judge => continue,
                None => Err("there is no language model here: --model-url and --model, or --no-judge".to_owned()),
                Some(model) => judge::holds(&self.access, model, &seen.events, statement).await,
            };
            let what = match verdict {
                Ok(true) => continue,
                Ok(false) => format!("the judge does not agree: {statement}"),
                Err(why) => format!("not judged «{statement}»: {why}"),
            };
            failures.push(Failure { turn: None, what });
        }
        failures
    }

    /// The agent's own model, unless it is a scripted one; or the one of the command line.
    fn judging_model(&self, agent: &AgentConfig, scripted: bool) -> Option<LanguageModelConfig> {
        match &agent.brain {
            Brain::LanguageModel(model) if !scripted => Some(model.clone()),
            Brain::LanguageModel(_) | Brain::SpeechModel(_) | Brain::Flow { .. } => {
                self.overrides.text_model(String::new()).ok()
            }
        }
    }
}
