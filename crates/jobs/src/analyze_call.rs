//! `analyze_call`: has a language model look at a call that is over.
//!
//! pending → the transcript is read, the model is asked for one JSON object, its answer is checked (and mended once, by
//! the model) → ready, or failed with a reason. What the model says is data of the call and nothing else: it is bounded,
//! without markup, checked against the agent's schema and lists, and decides about nothing. The agent is asked as it is
//! now: no earlier configurations are kept.

mod answer;
mod prompt;

use crate::attempts::{Tried, attempts};
use crate::fetch_recording::ThisJob;
use crate::job::{Context, JobError};
use answer::{Found, Unfit};
use chrono::Duration;
use model::{AgentConfig, Brain, CallId, ModelChoice, Stage, TenantId, TranscriptTurn, UsageLine};
use providers::language_model::{LanguageModel, Message, Prompt, Thought, Usage};
use providers::resilience::{RetryPolicy, Target};
use providers::{Error, ErrorKind};
use serde::Deserialize;
use store::call_records::{self, AnalysisState, Analyst, CallAnalysis};
use store::calls::{self, Call};
use store::{Tx, agents, turns};

/// How breakers of analyses are called in metrics.
const TARGET: &str = "analysis-models";
/// One answer, begun to ended. The clients give up before; this is for one that does not.
const ANSWER_WITHIN: std::time::Duration = std::time::Duration::from_secs(90);
/// An analysis that could not be made for so long is given up: nobody waits for yesterday's.
const GIVEN_UP_AFTER_H: i64 = 24;
/// For another model than the agent's: nothing is to be made up. The agent's own gets its own, since some take no other.
const TEMPERATURE: f64 = 0.0;

/// The payload.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnalyzeCall {
    tenant_id: TenantId,
    call_id: CallId,
}

/// What a run knows.
struct Work {
    call: Call,
    agent: AgentConfig,
    turns: Vec<TranscriptTurn>,
}

/// Why there is no analysis.
enum Unmade {
    /// The model fails and is left alone for so long.
    Open(Duration),
    /// Another try may succeed.
    Later(&'static str),
    /// No try will: a reason for people.
    Never(String),
}

impl AnalyzeCall {
    /// Its stable name, in rows and logs.
    pub const NAME: &'static str = call_records::ANALYZE_JOB;

    /// Does the work.
    ///
    /// # Errors
    /// [`JobError::Wait`] while the model is left alone, [`JobError::Retry`] when it or the database failed. A model that
    /// answers nonsense is no failure of the job: the call says so.
    pub async fn run(self, context: &Context, job: ThisJob) -> Result<(), JobError> {
        let Some(work) = self.load(context).await? else { return Ok(()) };
        let choice = match call_records::analyst(&work.agent) {
            Analyst::Model(choice) => choice,
            Analyst::Missing => return self.fail(context, call_records::NO_MODEL, None).await,
            // The agent was changed meanwhile.
            Analyst::NotWanted => return self.nothing(context).await,
        };
        if work.turns.is_empty() {
            return self.nothing(context).await;
        }
        let mut used = UsageLine {
            stage: Stage::Thinking,
            provider: String::new(),
            model: choice.model.clone(),
            requests: 0,
            audio_ms: 0,
            characters: 0,
            prompt_tokens: 0,
            cached_tokens: 0,
            completion_tokens: 0,
        };
        let made = Box::pin(self.make(context, &work, &choice, &mut used)).await;
        let is_late = context.now() - job.created_at > Duration::hours(GIVEN_UP_AFTER_H);
        match made {
            Ok(found) => self.keep(context, found, used).await,
            Err(Unmade::Never(reason)) => self.fail(context, &reason, Some(used)).await,
            Err(Unmade::Open(_)) if is_late => self.fail(context, LEFT_ALONE, Some(used)).await,
            Err(Unmade::Later(reason)) if is_late => self.fail(context, reason, Some(used)).await,
            Err(Unmade::Open(wait)) => {
                self.note(context, LEFT_ALONE).await?;
                Err(JobError::Wait(wait, LEFT_ALONE.to_owned()))
            }
            Err(Unmade::Later(reason)) => {
                self.note(context, reason).await?;
                Err(JobError::Retry(reason.to_owned()))
            }
        }
    }

    /// What is to be done; none when it is done or not asked for.
    async fn load(&self, context: &Context) -> Result<Option<Work>, JobError> {
        let id = self.call_id;
        let load = async |tx: &mut Tx| {
            let call = calls::get(tx, id).await?;
            let agent = agents::get(tx, call.agent).await?.agent.config;
            let turns = turns::list(tx, id).await?;
            Ok::<_, store::Error>(Work { call, agent, turns })
        };
        let work = context.store.read(self.tenant_id, "call_records.load", load).await?;
        // A job that was given up may be tried again by hand.
        Ok(match work.call.outcome.state {
            AnalysisState::Pending | AnalysisState::Failed => Some(work),
            AnalysisState::None | AnalysisState::Ready => None,
        })
    }

    async fn make(
        &self,
        context: &Context,
        work: &Work,
        choice: &ModelChoice,
        used: &mut UsageLine,
    ) -> Result<Found, Unmade> {
        let wanted = &work.agent.analysis;
        let validator = wanted.extract.as_ref().map(answer::validator).transpose().map_err(Unmade::Never)?;
        let temperature = temperature(&work.agent);
        let models = context.models.as_ref().ok_or(Unmade::Later("no language model can be asked here"))?;
        let model = models.model(self.tenant_id, choice, temperature).await.map_err(|error| unmade(&error))?;
        model.name().clone_into(&mut used.provider);
        let mut prompt = Prompt {
            system: prompt::system(wanted),
            messages: vec![Message::Caller(prompt::transcript(&work.call, &work.turns))],
            temperature,
            tools: Vec::new(),
        };
        let first = self.ask(context, &*model, choice, prompt.clone(), used).await?;
        let unfit = match answer::read(&first, wanted, validator.as_ref()) {
            Ok(found) => return Ok(found),
            Err(unfit) => unfit,
        };
        prompt.messages.extend([Message::agent(first), Message::Caller(prompt::mend(&unfit))]);
        let second = self.ask(context, &*model, choice, prompt, used).await?;
        answer::read(&second, wanted, validator.as_ref()).map_err(|Unfit { plain, .. }| {
            Unmade::Never(format!("the model's answer is not what was asked for: {plain}"))
        })
    }

    /// One question, under the breaker of this organisation and this model. The job's own attempts are its retries.
    async fn ask(
        &self,
        context: &Context,
        model: &dyn LanguageModel,
        choice: &ModelChoice,
        prompt: Prompt,
        used: &mut UsageLine,
    ) -> Result<String, Unmade> {
        let target = Target::at(TARGET, &[&choice.base_url, &choice.model]);
        let once = RetryPolicy { attempts: 1, ..RetryPolicy::default() };
        let ask = || whole_answer(model, prompt.clone());
        match attempts(context, self.tenant_id, target, once, Error::is_transient, ask).await {
            Ok((text, cost)) => {
                used.requests += 1;
                used.prompt_tokens = used.prompt_tokens.saturating_add(cost.prompt_tokens);
                used.cached_tokens = used.cached_tokens.saturating_add(cost.cached_tokens);
                used.completion_tokens = used.completion_tokens.saturating_add(cost.completion_tokens);
                Ok(text)
            }
            Err(Tried::Open(wait)) => Err(Unmade::Open(wait)),
            Err(Tried::Failed(error)) => Err(unmade(&error)),
        }
    }

    async fn keep(&self, context: &Context, found: Found, used: UsageLine) -> Result<(), JobError> {
        let (id, now, prices) = (self.call_id, context.now(), &context.prices);
        let analysis = CallAnalysis {
            summary: found.summary,
            data: found.data,
            disposition: found.disposition,
            succeeded: (!found.success.is_empty()).then(|| found.success.iter().all(|one| one.met)),
            success: found.success,
            usage: Some(used.clone()),
            at: now,
        };
        let keep = async |tx: &mut Tx| {
            let before = call_records::get(tx, id).await?;
            if before.state == AnalysisState::Ready {
                return Ok(());
            }
            call_records::set_cost(tx, id, &prices.with_analysis(before.cost, &used)).await?;
            call_records::analyzed(tx, id, &analysis, now).await.map(|_| ())
        };
        Ok(context.store.write(self.tenant_id, "call_records.analyzed", keep).await?)
    }

    /// The call stays as it was, and says why.
    async fn fail(&self, context: &Context, reason: &str, used: Option<UsageLine>) -> Result<(), JobError> {
        let (id, now, prices) = (self.call_id, context.now(), &context.prices);
        tracing::warn!(call.id = %id, reason, "a call could not be analysed");
        let fail = async |tx: &mut Tx| {
            // Answers that are of no use are paid for, too.
            if let Some(used) = used.as_ref().filter(|used| used.prompt_tokens > 0) {
                let before = call_records::get(tx, id).await?;
                call_records::set_cost(tx, id, &prices.with_analysis(before.cost, used)).await?;
            }
            call_records::fail(tx, id, reason, now).await.map(|_| ())
        };
        Ok(context.store.write(self.tenant_id, "call_records.fail", fail).await?)
    }

    async fn nothing(&self, context: &Context) -> Result<(), JobError> {
        let (id, now) = (self.call_id, context.now());
        let nothing = async |tx: &mut Tx| call_records::nothing(tx, id, now).await.map(|_| ());
        Ok(context.store.write(self.tenant_id, "call_records.nothing", nothing).await?)
    }

    async fn note(&self, context: &Context, reason: &str) -> Result<(), JobError> {
        let id = self.call_id;
        let note = async |tx: &mut Tx| call_records::note_error(tx, id, reason).await;
        Ok(context.store.write(self.tenant_id, "call_records.note_error", note).await?)
    }
}

const LEFT_ALONE: &str = "the language model fails; it is left alone for a minute";

fn temperature(agent: &AgentConfig) -> f64 {
    match (&agent.analysis.model, &agent.brain) {
        (None, Brain::LanguageModel(model)) => model.temperature,
        (Some(_), _) | (None, Brain::Flow { .. } | Brain::SpeechModel(_)) => TEMPERATURE,
    }
}

/// The text of an answer, and what it cost.
async fn whole_answer(model: &dyn LanguageModel, prompt: Prompt) -> Result<(String, Usage), Error> {
    let mut thoughts = model.think(prompt);
    let reading = async {
        let (mut text, mut used) = (String::new(), Usage::default());
        while let Some(thought) = thoughts.recv().await {
            let thought = thought?;
            if let Thought::Text(piece) = &thought {
                text.push_str(piece);
            } else if let Thought::Usage(cost) = &thought {
                used = *cost;
            } else if matches!(thought, Thought::Done) {
                return Ok((text, used));
            }
        }
        Err(Error::new(ErrorKind::Unavailable, model.name(), "the answer was cut off"))
    };
    let late = || Error::new(ErrorKind::TimedOut, model.name(), "no whole answer in time");
    tokio::time::timeout(ANSWER_WITHIN, reading).await.unwrap_or_else(|_| Err(late()))
}

/// What people read of a provider's failure: the detail is for operators.
fn unmade(error: &Error) -> Unmade {
    tracing::warn!(provider = error.provider, kind = error.kind.as_str(), error = %error, "no analysis from a model");
    match error.kind {
        ErrorKind::Unavailable => Unmade::Later("the language model cannot be reached"),
        ErrorKind::TimedOut => Unmade::Later("the language model did not answer in time"),
        ErrorKind::Overloaded => Unmade::Later("the language model has too much to do"),
        ErrorKind::Protocol => Unmade::Later("the language model's server answers what its protocol does not allow"),
        ErrorKind::Rejected => Unmade::Never("the language model refused the request".to_owned()),
        ErrorKind::Unauthorized => Unmade::Never("the key for the language model is missing or wrong".to_owned()),
        ErrorKind::NotInstalled => Unmade::Never("the language model is not installed".to_owned()),
    }
}
