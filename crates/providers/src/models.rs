//! Language models, made for an organisation.

use crate::language_model::LanguageModel;
use crate::{BoxFuture, Error};
use model::{ModelChoice, TenantId};
use std::sync::Arc;

/// Makes clients of language models for an organisation: its own key first, the installation's only for addresses that
/// the operator named.
pub trait Models: Send + Sync {
    /// A client; the same one again for the same choice. `temperature` is that of the prompts it will get.
    ///
    /// Errors: `Rejected` when the address may not be reached; `Unavailable` when the key cannot be read now.
    fn model<'a>(
        &'a self,
        tenant: TenantId,
        choice: &'a ModelChoice,
        temperature: f64,
    ) -> BoxFuture<'a, Result<Arc<dyn LanguageModel>, Error>>;
}
