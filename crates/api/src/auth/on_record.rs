//! The audit of what concerns a person and no single organisation.

use crate::origin::Origin;
use crate::{Account, Problem};
use chrono::{DateTime, Utc};
use model::{AuditKind, Severity, TenantId, UserId};
use serde_json::{Map, Value};
use store::{AnyTx, SystemTx, audit, memberships};

/// Who acts as long as nobody has proved who he is.
const ANYBODY: &str = "anonymous";

/// What happened to a person.
pub(crate) struct Deed<'a> {
    pub(crate) kind: AuditKind,
    pub(crate) severity: Severity,
    /// Whether the person did it, as opposed to somebody who could not prove it.
    pub(crate) proved: bool,
    pub(crate) user: UserId,
    pub(crate) origin: &'a Origin,
    pub(crate) data: Map<String, Value>,
}

impl<'a> Deed<'a> {
    /// The ordinary course: the person did it.
    pub(crate) fn by(user: UserId, kind: AuditKind, origin: &'a Origin) -> Self {
        Self { kind, severity: Severity::Info, proved: true, user, origin, data: Map::new() }
    }

    /// Somebody who could not prove to be this person did it.
    pub(crate) fn against(user: UserId, kind: AuditKind, origin: &'a Origin) -> Self {
        Self { kind, severity: Severity::Warning, proved: false, user, origin, data: Map::new() }
    }

    pub(crate) fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// With a particular.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.data.insert(name.to_owned(), value.into());
        self
    }

    /// Puts it on record in every organisation of the person; in the installation's own log when there is none.
    pub(crate) async fn record(self, tx: &mut SystemTx, now: DateTime<Utc>) -> Result<(), Problem> {
        let memberships = memberships::of_user(tx, self.user).await?;
        for membership in &memberships {
            self.one(tx.tenant(membership.tenant).await?, now).await?;
        }
        if memberships.is_empty() {
            self.one(tx, now).await?;
        }
        Ok(())
    }

    /// Puts it on record in one organisation: the one it was done in.
    pub(crate) async fn record_in(
        self,
        tx: &mut SystemTx,
        tenant: TenantId,
        now: DateTime<Utc>,
    ) -> Result<(), Problem> {
        self.one(tx.tenant(tenant).await?, now).await
    }

    async fn one(&self, tx: &mut impl AnyTx, now: DateTime<Utc>) -> Result<(), Problem> {
        let id = self.user.to_string();
        let actor = if self.proved { format!("user:{id}") } else { ANYBODY.to_owned() };
        let event = self.origin.event(self.kind, self.severity, &actor, Some(("user", &id)), self.data.clone());
        audit::record(tx, &event, now).await?;
        Ok(())
    }
}

/// Stands in for the user of an address that nobody has: what is asked about a user is asked about nobody, too, so that
/// the time does not tell one from the other.
pub(crate) const NOBODY: UserId = UserId(uuid::Uuid::nil());

/// A password or a code was tried for an address that has none: on record without the address.
pub(crate) async fn stranger(
    tx: &mut SystemTx,
    tried: &str,
    origin: &Origin,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    memberships::of_user(tx, NOBODY).await?;
    let data = Map::from_iter([("tried".to_owned(), Value::from(tried))]);
    let event = origin.event(AuditKind::LoginFailed, Severity::Warning, ANYBODY, None, data);
    audit::record(tx, &event, now).await?;
    Ok(())
}

impl Account {
    /// What this person did to himself, on record in every organisation of his.
    pub(crate) async fn record(&self, tx: &mut SystemTx, kind: AuditKind) -> Result<(), Problem> {
        Deed::by(self.user, kind, &self.origin).record(tx, self.now).await
    }
}
