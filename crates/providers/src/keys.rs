//! The keys that organisations keep at their own providers.

use crate::{BoxFuture, Error};
use model::TenantId;
use secrecy::SecretString;

/// The keys an organisation keeps at its providers, by the provider's name.
pub trait Keys: Send + Sync {
    /// The key; `None`: the organisation has none of this name.
    fn key<'a>(&'a self, tenant: TenantId, name: &'a str) -> BoxFuture<'a, Result<Option<SecretString>, Error>>;
}
