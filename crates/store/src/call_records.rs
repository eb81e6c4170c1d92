//! What is kept of a call once it is over: what it used, what that cost, and what a language model (or a flow) made of it.

use crate::jobs::{self, NewJob};
use crate::sql::{Row, sql, statements, to_json};
use crate::{Error, Tx, agents, calls, outbox};
use chrono::{DateTime, Utc};
use model::{AgentConfig, Brain, CallId, CallUsage, EventKind, ModelChoice, Stage, UsageLine};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::fmt;
use std::str::FromStr;

/// The job that has a language model look at a call that is over.
pub const ANALYZE_JOB: &str = "analyze_call";
/// Jobs that ask language models. Each waits for an answer of up to a minute: runners keep places for them, so that they
/// never stand before files or orders.
pub const ANALYSIS_QUEUE: &str = "analysis";
/// Most analyses of one call: each costs tokens, and the twentieth says nothing new.
pub const ANALYSES_PER_CALL_MAX: u32 = 20;
/// Attempts at one analysis. With the runner's waits they last a quarter of an hour: what an outage of a model takes.
const ATTEMPTS_MAX: u32 = 10;
/// Most lines of a cost: those of the usage, and the analyses' models.
pub const COST_LINES_MAX: usize = model::USAGE_LINES_MAX + 8;
/// Why there is no analysis when nothing else is known.
const GIVEN_UP: &str = "it was tried several times and could not be made";
/// Kept of an error's text, in characters.
const ERROR_CHARS_MAX: usize = 300;

statements! {
    KEEP = "call_records.keep" ["update calls
        set usage = $3, cost_micros = $4, cost_currency = $5, cost_lines = $6
        where tenant_id = $1 and id = $2"];
    GET = "call_records.get" ["select usage, cost_micros, cost_currency, cost_lines, analysis, analysis_state,
            analysis_error, analyses from calls
        where tenant_id = $1 and id = $2"];
    ASK = "call_records.ask" ["update calls
        set analysis_state = 'pending', analysis_error = null, analyses = analyses + 1
        where tenant_id = $1 and id = $2 and ended_at is not null and analysis_state <> 'pending' and analyses < $3
        returning analyses"];
    ANALYZED = "call_records.analyzed" ["update calls
        set analysis_state = 'ready', analysis_error = null, analysis = $3, disposition = $4, succeeded = $5,
            summary = coalesce($6, summary)
        where tenant_id = $1 and id = $2 and analysis_state in ('pending', 'failed')"];
    SET_COST = "call_records.set_cost" ["update calls set cost_micros = $3, cost_currency = $4, cost_lines = $5
        where tenant_id = $1 and id = $2"];
    COLLECTED = "call_records.collected" ["update calls set analysis_state = 'ready', analysis = $3
        where tenant_id = $1 and id = $2 and analysis_state = 'none'"];
    FAILED = "call_records.failed" ["update calls set analysis_state = 'failed', analysis_error = $3
        where tenant_id = $1 and id = $2 and analysis_state in ('none', 'pending')"];
    GIVE_UP = "call_records.give_up" ["update calls
        set analysis_state = 'failed', analysis_error = coalesce(analysis_error, $3)
        where tenant_id = $1 and id = $2 and analysis_state = 'pending'"];
    NOTE_ERROR = "call_records.note_error" ["update calls set analysis_error = $3
        where tenant_id = $1 and id = $2 and analysis_state = 'pending'"];
    NOTHING = "call_records.nothing" ["update calls set analysis_state = 'none', analysis_error = null
        where tenant_id = $1 and id = $2 and analysis_state in ('pending', 'failed')"];
}

/// Where the analysis of a call stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum AnalysisState {
    /// Nobody wants one, or there is nothing to analyse.
    #[default]
    None,
    /// It is asked for.
    Pending,
    /// It is there.
    Ready,
    /// It could not be made. An earlier one is still there.
    Failed,
}

impl AnalysisState {
    /// Every value, in order.
    pub const ALL: &'static [Self] = &[Self::None, Self::Pending, Self::Ready, Self::Failed];

    /// The stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for AnalysisState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for AnalysisState {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .iter()
            .copied()
            .find(|state| state.as_str() == word)
            .ok_or_else(|| format!("unknown state of an analysis: {word}"))
    }
}

/// What costs are told in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Currency {
    /// Indian rupees.
    Inr,
    /// US dollars.
    Usd,
}

impl Currency {
    /// The ISO 4217 code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inr => "INR",
            Self::Usd => "USD",
        }
    }
}

impl FromStr for Currency {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "INR" => Ok(Self::Inr),
            "USD" => Ok(Self::Usd),
            other => Err(format!("unknown currency: {other}")),
        }
    }
}

/// What something was bought for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CostPart {
    /// The conversation.
    Call,
    /// What was made of it afterwards.
    Analysis,
}

/// What one provider's work for a call cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CostLine {
    /// For what.
    pub part: CostPart,
    /// In which stage.
    pub stage: Stage,
    /// Who.
    pub provider: String,
    /// With which model; empty when it has one only.
    pub model: String,
    /// Millionths of the currency; none: the price is not known.
    pub micros: Option<u64>,
}

/// What a call cost by list prices, line by line. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    /// In which currency.
    pub currency: Currency,
    /// The lines; at most [`COST_LINES_MAX`].
    pub lines: Vec<CostLine>,
}

/// A sum of money: millionths of a currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount {
    /// In which currency.
    pub currency: Currency,
    /// Millionths of it.
    pub micros: u64,
}

impl Cost {
    /// The sum of the lines that have a price; none when none has: what is not known is not nothing.
    #[must_use]
    pub fn micros(&self) -> Option<u64> {
        self.lines.iter().filter_map(|line| line.micros).reduce(u64::saturating_add)
    }

    /// Every line has a price.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.lines.iter().all(|line| line.micros.is_some())
    }
}

/// How a call turned out, in short.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Where its analysis stands.
    pub state: AnalysisState,
    /// How it turned out: a word of its agent's list.
    pub disposition: Option<String>,
    /// Whether all criteria of its agent were met.
    pub succeeded: Option<bool>,
    /// What it cost, as far as prices are known.
    pub cost: Option<Amount>,
}

/// Whether one criterion was met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// Which, in the agent's words.
    pub criterion: String,
    /// Whether it was met.
    pub met: bool,
    /// Why, in the model's words.
    pub reason: String,
}

/// What was made of a call. What a model said is as it was checked: bounded, without markup, and still not to be trusted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallAnalysis {
    /// What it was about.
    #[serde(default)]
    pub summary: Option<String>,
    /// What was taken from it, by the agent's schema; of a flow, what it collected.
    #[serde(default)]
    pub data: Option<Map<String, Value>>,
    /// How it turned out.
    #[serde(default)]
    pub disposition: Option<String>,
    /// Each criterion, in the agent's order.
    #[serde(default)]
    pub success: Vec<Judgement>,
    /// All were met; none when there are no criteria.
    #[serde(default)]
    pub succeeded: Option<bool>,
    /// What the model used; none when no model was asked.
    #[serde(default)]
    pub usage: Option<UsageLine>,
    /// When it was made.
    pub at: DateTime<Utc>,
}

/// Everything that is kept of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct CallRecord {
    /// What it used; none of calls that never had media or whose process died.
    pub usage: Option<CallUsage>,
    /// What that cost.
    pub cost: Option<Cost>,
    /// Where the analysis stands.
    pub state: AnalysisState,
    /// The last one that was made.
    pub analysis: Option<CallAnalysis>,
    /// Why the last one could not be made, for the tenant's people.
    pub error: Option<String>,
    /// How often one was asked for.
    pub analyses: u32,
}

/// Who makes something of an agent's calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Analyst {
    /// Nobody: nothing is wanted, or a flow's answers are all there is.
    NotWanted,
    /// This language model.
    Model(ModelChoice),
    /// It is wanted, and the agent has no model that can be asked in writing.
    Missing,
}

/// Who makes something of this agent's calls.
#[must_use]
pub fn analyst(agent: &AgentConfig) -> Analyst {
    if !agent.analysis.is_wanted() {
        return Analyst::NotWanted;
    }
    match (&agent.analysis.model, &agent.brain) {
        (Some(model), _) => Analyst::Model(model.clone()),
        (None, Brain::LanguageModel(model)) => Analyst::Model(ModelChoice {
            protocol: model.protocol,
            base_url: model.base_url.clone(),
            model: model.model.clone(),
        }),
        (None, Brain::Flow { .. }) => Analyst::NotWanted,
        (None, Brain::SpeechModel(_)) => Analyst::Missing,
    }
}

/// What [`ask`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The job will make one.
    Asked,
    /// The call is not over, one is being made, or there were [`ANALYSES_PER_CALL_MAX`].
    Refused,
}

pub(crate) fn outcome(row: &Row) -> Result<Outcome, Error> {
    let micros: Option<u64> = row.unsigned_opt("cost_micros")?;
    let currency: Option<Currency> = row.word_opt("cost_currency")?;
    Ok(Outcome {
        state: row.word("analysis_state")?,
        disposition: row.get("disposition")?,
        succeeded: row.get("succeeded")?,
        cost: currency.zip(micros).map(|(currency, micros)| Amount { currency, micros }),
    })
}

fn record(row: &Row) -> Result<CallRecord, Error> {
    let currency: Option<Currency> = row.word_opt("cost_currency")?;
    let lines: Option<Vec<CostLine>> = row.json_opt("cost_lines")?;
    Ok(CallRecord {
        usage: row.json_opt("usage")?,
        cost: currency.zip(lines).map(|(currency, lines)| Cost { currency, lines }),
        state: row.word("analysis_state")?,
        analysis: row.json_opt("analysis")?,
        error: row.get("analysis_error")?,
        analyses: row.unsigned("analyses")?,
    })
}

/// What is kept of a call.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(tx: &mut Tx, call: CallId) -> Result<CallRecord, Error> {
    sql(&GET).bind(tx.tenant()).bind(call).required(tx, record).await
}

/// Keeps what a call used and what that cost. In the transaction of its end.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn keep(tx: &mut Tx, call: CallId, usage: &CallUsage, cost: Option<&Cost>) -> Result<(), Error> {
    let (micros, currency, lines) = columns_of(cost)?;
    let kept = sql(&KEEP)
        .bind(tx.tenant())
        .bind(call)
        .bind(to_json(usage)?)
        .bind(micros)
        .bind(currency)
        .bind(lines)
        .run(tx)
        .await?;
    if kept == 0 { Err(Error::NotFound) } else { Ok(()) }
}

/// The sum, the currency and the lines of a cost.
type CostColumns = (Option<u64>, Option<&'static str>, Option<Value>);

fn columns_of(cost: Option<&Cost>) -> Result<CostColumns, Error> {
    let Some(cost) = cost else { return Ok((None, None, None)) };
    Ok((cost.micros(), Some(cost.currency.as_str()), Some(to_json(&cost.lines)?)))
}

/// What is to be made of a call that has just ended: its agent's model is asked, or what a flow collected is the data. In
/// the transaction of its end.
///
/// # Errors
/// [`Error::NotFound`]; when the database fails.
pub async fn after_end(
    tx: &mut Tx,
    call: CallId,
    collected: &Map<String, Value>,
    ended_at: DateTime<Utc>,
) -> Result<(), Error> {
    // Events are told in the order of their times: this one after the end.
    let told_at = ended_at + chrono::Duration::microseconds(1);
    let agent = calls::get(tx, call).await?.agent;
    let analyst = match agents::get(tx, agent).await {
        Ok(stored) => analyst(&stored.agent.config),
        // A newer node has changed the agent since: the call ends all the same.
        Err(Error::Broken(cause)) => {
            tracing::warn!(agent.id = %agent, error = %cause, "an agent cannot be read; its call is not analysed");
            Analyst::NotWanted
        }
        Err(error) => return Err(error),
    };
    match analyst {
        Analyst::Model(_) => ask(tx, call, ended_at).await.map(|_| ()),
        Analyst::Missing => fail(tx, call, NO_MODEL, told_at).await.map(|_| ()),
        Analyst::NotWanted if collected.is_empty() => Ok(()),
        Analyst::NotWanted => {
            let analysis = CallAnalysis {
                summary: None,
                data: Some(collected.clone()),
                disposition: None,
                success: Vec::new(),
                succeeded: None,
                usage: None,
                at: ended_at,
            };
            sql(&COLLECTED).bind(tx.tenant()).bind(call).bind(to_json(&analysis)?).run(tx).await?;
            tell(tx, call, told_at).await
        }
    }
}

/// What the tenant's people read of [`Analyst::Missing`].
pub const NO_MODEL: &str = "the agent has no language model that can be asked: name one under analysis.model";

/// Has a call analysed, by any node, at once.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn ask(tx: &mut Tx, call: CallId, now: DateTime<Utc>) -> Result<Asked, Error> {
    let asked = sql(&ASK).bind(tx.tenant()).bind(call).bind(ANALYSES_PER_CALL_MAX);
    let Some(count) = asked.one(tx, |row| row.unsigned::<u32>("analyses")).await? else {
        return get(tx, call).await.map(|_| Asked::Refused);
    };
    let payload = Map::from_iter([
        ("tenant_id".to_owned(), Value::from(tx.tenant().to_string())),
        ("call_id".to_owned(), Value::from(call.to_string())),
    ]);
    let job = NewJob {
        queue: ANALYSIS_QUEUE,
        name: ANALYZE_JOB,
        // The job before may have done its work and not be noted as done yet.
        dedup_key: Some(format!("{call}/{count}")),
        payload,
        sealed: None,
        attempts_max: ATTEMPTS_MAX,
        run_at: now,
    };
    jobs::enqueue(tx, &job, now).await?;
    Ok(Asked::Asked)
}

/// What the call costs now that an analysis was bought as well.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn set_cost(tx: &mut Tx, call: CallId, cost: &Cost) -> Result<(), Error> {
    let (micros, currency, lines) = columns_of(Some(cost))?;
    let set = sql(&SET_COST).bind(tx.tenant()).bind(call).bind(micros).bind(currency).bind(lines).run(tx).await?;
    if set == 0 { Err(Error::NotFound) } else { Ok(()) }
}

/// Keeps what was made of a call and tells who waits for it. False when it is not asked for any more.
///
/// # Errors
/// When the database fails.
pub async fn analyzed(tx: &mut Tx, call: CallId, analysis: &CallAnalysis, now: DateTime<Utc>) -> Result<bool, Error> {
    let changed = sql(&ANALYZED)
        .bind(tx.tenant())
        .bind(call)
        .bind(to_json(analysis)?)
        .bind(analysis.disposition.as_deref())
        .bind(analysis.succeeded)
        .bind(analysis.summary.as_deref())
        .run(tx)
        .await?;
    if changed > 0 {
        tell(tx, call, now).await?;
    }
    Ok(changed > 0)
}

/// No analysis could be made, for this reason (for the tenant's people: no secrets, nothing that was said). Who waits for
/// it is told. False when it is not asked for any more.
///
/// # Errors
/// When the database fails.
pub async fn fail(tx: &mut Tx, call: CallId, error: &str, now: DateTime<Utc>) -> Result<bool, Error> {
    let error: String = error.chars().take(ERROR_CHARS_MAX).collect();
    let changed = sql(&FAILED).bind(tx.tenant()).bind(call).bind(error.as_str()).run(tx).await?;
    if changed > 0 {
        tell(tx, call, now).await?;
    }
    Ok(changed > 0)
}

/// What went wrong last; another try follows.
///
/// # Errors
/// When the database fails.
pub async fn note_error(tx: &mut Tx, call: CallId, error: &str) -> Result<(), Error> {
    let error: String = error.chars().take(ERROR_CHARS_MAX).collect();
    sql(&NOTE_ERROR).bind(tx.tenant()).bind(call).bind(error.as_str()).run(tx).await.map(|_| ())
}

/// The job was given up: what went wrong last is the reason. Who waits for the analysis is told.
///
/// # Errors
/// When the database fails.
pub(crate) async fn give_up(tx: &mut Tx, call: CallId, now: DateTime<Utc>) -> Result<(), Error> {
    if sql(&GIVE_UP).bind(tx.tenant()).bind(call).bind(GIVEN_UP).run(tx).await? > 0 {
        tell(tx, call, now).await?;
    }
    Ok(())
}

/// There is nothing to analyse, or nobody wants it any more. Who waits for it is told.
///
/// # Errors
/// When the database fails.
pub async fn nothing(tx: &mut Tx, call: CallId, now: DateTime<Utc>) -> Result<bool, Error> {
    let changed = sql(&NOTHING).bind(tx.tenant()).bind(call).run(tx).await?;
    if changed > 0 {
        tell(tx, call, now).await?;
    }
    Ok(changed > 0)
}

/// `call.analyzed`: facts only, never what was said.
async fn tell(tx: &mut Tx, call: CallId, now: DateTime<Utc>) -> Result<(), Error> {
    let outcome = calls::get(tx, call).await?.outcome;
    let facts = Map::from_iter([
        ("call_id".to_owned(), json!(call)),
        ("analysis_state".to_owned(), json!(outcome.state.as_str())),
        ("disposition".to_owned(), json!(outcome.disposition)),
        ("succeeded".to_owned(), json!(outcome.succeeded)),
        ("cost".to_owned(), get(tx, call).await?.cost.as_ref().map_or(Value::Null, Cost::facts)),
    ]);
    outbox::push_if_wanted(tx, EventKind::CallAnalyzed, facts, now).await.map(|_| ())
}

impl Cost {
    /// As it is told to others: the sum, whether all of it is known, and each line.
    #[must_use]
    pub fn facts(&self) -> Value {
        json!({
            "currency": self.currency,
            "micros": self.micros(),
            "complete": self.is_complete(),
            "lines": self.lines,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(micros: Option<u64>) -> CostLine {
        CostLine { part: CostPart::Call, stage: Stage::Speaking, provider: "x".into(), model: String::new(), micros }
    }

    #[test]
    fn what_is_not_known_is_not_nothing() {
        for (lines, micros, complete) in [
            (vec![None], None, false),
            (vec![Some(0)], Some(0), true),
            (vec![Some(5), None], Some(5), false),
            (vec![Some(5), Some(7)], Some(12), true),
            (vec![Some(u64::MAX), Some(7)], Some(u64::MAX), true),
        ] {
            let cost = Cost { currency: Currency::Inr, lines: lines.into_iter().map(line).collect() };
            assert_eq!((cost.micros(), cost.is_complete()), (micros, complete), "{cost:?}");
        }
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for state in AnalysisState::ALL {
            assert_eq!(state.to_string().parse(), Ok(*state));
        }
        for currency in [Currency::Inr, Currency::Usd] {
            assert_eq!(currency.as_str().parse(), Ok(currency));
            assert_eq!(json!(currency), currency.as_str());
        }
        assert!("maybe".parse::<AnalysisState>().is_err() && "inr".parse::<Currency>().is_err());
    }

    fn agent(brain: Value, analysis: Value) -> AgentConfig {
        serde_json::from_value(json!({ "brain": brain, "analysis": analysis })).expect("a configuration")
    }

    #[test]
    fn the_agents_own_model_is_asked_unless_another_is_named() {
        let flow = json!({ "kind": "flow", "text": "x" });
        let model = json!({ "kind": "language-model", "base_url": "http://m", "model": "own", "system_prompt": "x" });
        let speech = json!({ "kind": "speech-model", "vendor": "openai", "system_prompt": "x" });
        let other = json!({ "base_url": "http://o", "model": "other" });
        let (plain, named) = (json!({ "summary": true }), json!({ "summary": true, "model": other }));
        let name = |analyst: Analyst| match analyst {
            Analyst::Model(choice) => choice.model,
            Analyst::NotWanted => "nobody".to_owned(),
            Analyst::Missing => "missing".to_owned(),
        };
        for (brain, analysis, want) in [
            (&model, &plain, "own"),
            (&model, &named, "other"),
            (&model, &json!({}), "nobody"),
            (&model, &json!({ "model": other }), "nobody"),
            (&model, &json!({ "dispositions": [{ "name": "sold" }] }), "own"),
            (&model, &json!({ "success": ["x"] }), "own"),
            (&model, &json!({ "extract": {} }), "own"),
            (&flow, &plain, "nobody"),
            (&flow, &named, "other"),
            (&speech, &plain, "missing"),
            (&speech, &named, "other"),
            (&speech, &json!({}), "nobody"),
        ] {
            assert_eq!(name(analyst(&agent(brain.clone(), analysis.clone()))), want, "{brain} {analysis}");
        }
    }
}
