//! Looking things up in an organisation's documents: what a call asks for, and what makes vectors of texts.

use crate::{BoxFuture, Error};
use model::{Knowledge, TenantId};

/// A piece of a document that may answer what was asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Passage {
    /// The document's title.
    pub document: String,
    /// The piece, as it is quoted to the model: the headings it stands under, then its text.
    pub text: String,
    /// How likely it is what was asked for, 0 to 1. Only for comparing passages of one question.
    pub score: f32,
}

/// Finds passages.
pub trait Recall: Send + Sync {
    /// The passages of the tenant's documents that fit the question best, the best first: at most
    /// `knowledge.passages_max`, of `knowledge.collections`, within `knowledge.timeout_ms`. Nothing found is an empty list.
    ///
    /// # Errors
    /// `TimedOut` after that time; `Unavailable` when the database fails. The caller goes on without passages.
    fn passages<'a>(
        &'a self,
        tenant: TenantId,
        query: &'a str,
        knowledge: &'a Knowledge,
    ) -> BoxFuture<'a, Result<Vec<Passage>, Error>>;
}

/// Makes vectors of texts, so that what means the same lies near each other.
pub trait Embedder: Send + Sync {
    /// Which service and model: vectors of another name cannot be compared with these.
    fn name(&self) -> &str;

    /// Numbers in a vector; 0 = not known before the first answer.
    fn dimensions(&self) -> usize;

    /// A vector of length one for each text, in order.
    ///
    /// # Errors
    /// What stands in the way.
    fn embed<'a>(&'a self, texts: &'a [String]) -> BoxFuture<'a, Result<Vec<Vec<f32>>, Error>>;
}
