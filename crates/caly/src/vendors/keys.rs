//! Organisations' own keys, read from the database and kept for a moment.

use super::cache::Cache;
use model::TenantId;
use providers::keys::Keys;
use providers::{BoxFuture, Error, ErrorKind};
use secrecy::SecretString;
use std::time::Duration;
use store::{Store, provider_keys};

/// A changed or deleted key is noticed within this time. A call asks for up to a dozen as it begins.
const KEEP: Duration = Duration::from_secs(20);
/// Keys kept, and the knowledge that there is none, of all organisations.
const KEPT_MAX: usize = 4_096;

/// See the module.
pub(crate) struct StoreKeys {
    store: Store,
    kept: Cache<(TenantId, String), Option<SecretString>>,
}

impl StoreKeys {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, kept: Cache::aging(KEPT_MAX, KEEP) }
    }
}

impl Keys for StoreKeys {
    fn key<'a>(&'a self, tenant: TenantId, name: &'a str) -> BoxFuture<'a, Result<Option<SecretString>, Error>> {
        Box::pin(async move {
            let id = (tenant, name.to_owned());
            if let Some(known) = self.kept.get(&id) {
                return Ok(known);
            }
            let found: Result<_, store::Error> =
                self.store.read(tenant, "provider_keys.reveal", async |tx| provider_keys::reveal(tx, name).await).await;
            let found = found.map_err(|error| {
                Error::new(ErrorKind::Unavailable, "keys", "the organisation's keys cannot be read").caused_by(error)
            })?;
            Ok(self.kept.put(id, found))
        })
    }
}
