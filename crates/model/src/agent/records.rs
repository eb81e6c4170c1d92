//! What is made of a call once it is over.

use super::{ModelChoice, schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What is made of a call once it is over, by a language model: the agent's own unless another is named. A flow without
/// one: what it collected is the data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Analysis {
    /// Write a summary.
    pub summary: bool,
    /// A JSON schema (an object) of the data to take from the conversation.
    #[schema(schema_with = schema::json_schema)]
    pub extract: Option<Map<String, Value>>,
    /// How calls can turn out; one of them is chosen.
    #[schema(inline, max_items = 30)]
    pub dispositions: Vec<Disposition>,
    /// What must hold for the call to count as a success. Each is judged.
    #[schema(schema_with = schema::criteria)]
    pub success: Vec<String>,
    /// Another model than the agent's.
    #[schema(schema_with = schema::model_choice)]
    pub model: Option<ModelChoice>,
}

impl Analysis {
    /// There is something for a model to do.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.summary || self.extract.is_some() || !self.dispositions.is_empty() || !self.success.is_empty()
    }
}

/// How a call can turn out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Disposition {
    /// The word that is kept: `callback-asked`.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,58}[a-z0-9])?$", max_length = 60)]
    pub name: String,
    /// When it applies, for the model.
    #[serde(default)]
    #[schema(max_length = 500)]
    pub description: String,
}
