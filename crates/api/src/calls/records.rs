//! What is kept of a call once it is over, as it is shown.

use chrono::{DateTime, Utc};
use model::{Stage, UsageLine};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::call_records::{self, Amount, CallAnalysis, Cost, CostPart, Currency, Judgement};
use utoipa::ToSchema;

/// Where the analysis of a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[schema(as = AnalysisState)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AnalysisStateName {
    /// Nobody wants one, or there is nothing to analyse.
    None,
    /// It is being made.
    Pending,
    /// It is there.
    Ready,
    /// It could not be made; `analysis_error` says why. An earlier one is still there.
    Failed,
}

impl From<call_records::AnalysisState> for AnalysisStateName {
    fn from(state: call_records::AnalysisState) -> Self {
        match state {
            call_records::AnalysisState::None => Self::None,
            call_records::AnalysisState::Pending => Self::Pending,
            call_records::AnalysisState::Ready => Self::Ready,
            call_records::AnalysisState::Failed => Self::Failed,
        }
    }
}

/// A currency, ISO 4217.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Currency)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum CurrencyName {
    /// Indian rupees.
    Inr,
    /// US dollars.
    Usd,
}

impl From<Currency> for CurrencyName {
    fn from(currency: Currency) -> Self {
        match currency {
            Currency::Inr => Self::Inr,
            Currency::Usd => Self::Usd,
        }
    }
}

/// What a call cost by list prices, as far as these are known.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CallCost)]
pub(crate) struct CostView {
    /// In which currency.
    currency: CurrencyName,
    /// Millionths of it.
    #[schema(example = 1_284_500)]
    micros: u64,
}

impl From<Amount> for CostView {
    fn from(amount: Amount) -> Self {
        Self { currency: amount.currency.into(), micros: amount.micros }
    }
}

/// What something was bought for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = CostPart)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CostPartName {
    /// The conversation.
    Call,
    /// What was made of it afterwards.
    Analysis,
}

/// What one provider's work for a call cost.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CallCostLine)]
pub(crate) struct CostLineView {
    /// For what.
    part: CostPartName,
    /// In which stage.
    stage: Stage,
    /// Who.
    #[schema(example = "deepgram")]
    provider: String,
    /// With which model; empty when it has one only.
    model: String,
    /// Millionths of the currency; null when the price is not known.
    micros: Option<u64>,
}

/// The lines of a cost.
pub(super) fn cost_lines(cost: Option<Cost>) -> Vec<CostLineView> {
    let lines = cost.map(|cost| cost.lines).unwrap_or_default().into_iter();
    lines
        .map(|line| CostLineView {
            part: match line.part {
                CostPart::Call => CostPartName::Call,
                CostPart::Analysis => CostPartName::Analysis,
            },
            stage: line.stage,
            provider: line.provider,
            model: line.model,
            micros: line.micros,
        })
        .collect()
}

/// Whether one criterion of the agent was met.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CallJudgement)]
pub(crate) struct JudgementView {
    /// Which, in the agent's words.
    criterion: String,
    /// Whether it was met.
    met: bool,
    /// Why, in the model's words.
    reason: String,
}

impl From<Judgement> for JudgementView {
    fn from(judgement: Judgement) -> Self {
        let Judgement { criterion, met, reason } = judgement;
        Self { criterion, met, reason }
    }
}

/// What a language model made of a call, or what a flow collected. It says what a model thinks was said: read it as such.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CallAnalysis)]
pub(crate) struct AnalysisView {
    /// What it was about.
    summary: Option<String>,
    /// What was taken from it, by the agent's schema; of a flow, what it collected.
    #[schema(value_type = Option<Object>)]
    data: Option<Value>,
    /// How it turned out: a word of the agent's list.
    disposition: Option<String>,
    /// Each criterion of the agent, judged.
    success: Vec<JudgementView>,
    /// All criteria were met; null when there are none.
    succeeded: Option<bool>,
    /// What the model used; null when none was asked.
    usage: Option<UsageLine>,
    /// When it was made.
    made_at: DateTime<Utc>,
}

impl From<CallAnalysis> for AnalysisView {
    fn from(analysis: CallAnalysis) -> Self {
        Self {
            summary: analysis.summary,
            data: analysis.data.map(Value::Object),
            disposition: analysis.disposition,
            success: analysis.success.into_iter().map(JudgementView::from).collect(),
            succeeded: analysis.succeeded,
            usage: analysis.usage,
            made_at: analysis.at,
        }
    }
}
