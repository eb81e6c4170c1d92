//! What must be on record when a call is over, whoever noticed: an audit event, and a message for those who wait for it.
//! In the transaction that ends the call. What it used and what is made of it: see [`crate::call_records`].

use crate::audit::{self, AuditKind, NewAuditEvent, Severity};
use crate::{Error, Tx, outbox};
use chrono::{DateTime, Utc};
use model::{CallId, EndedReason};
use serde_json::{Map, Value};
use std::net::IpAddr;

/// Who says that the call is over.
#[derive(Clone, Copy, Debug)]
pub struct Teller<'a> {
    /// `system`, `carrier:exotel`.
    pub actor: &'a str,
    /// How much attention it wants.
    pub severity: Severity,
    /// From where, if it came over the network.
    pub ip: Option<IpAddr>,
    /// In which request.
    pub request_id: Option<&'a str>,
}

impl Teller<'_> {
    /// Caly itself.
    #[must_use]
    pub const fn system(severity: Severity) -> Self {
        Self { actor: "system", severity, ip: None, request_id: None }
    }
}

/// Puts the end of a call on record and into the outbox.
///
/// # Errors
/// When the database fails.
pub async fn tell(
    tx: &mut Tx,
    call: CallId,
    reason: EndedReason,
    duration_ms: u64,
    teller: Teller<'_>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let object_id = call.to_string();
    let facts = Map::from_iter([
        ("call_id".to_owned(), Value::from(object_id.as_str())),
        ("ended_reason".to_owned(), Value::from(reason.as_str())),
        ("duration_ms".to_owned(), Value::from(duration_ms)),
    ]);
    let event = NewAuditEvent {
        kind: AuditKind::CallEnded,
        severity: teller.severity,
        actor: teller.actor,
        ip: teller.ip,
        request_id: teller.request_id,
        object_kind: Some("call"),
        object_id: Some(&object_id),
        data: facts.clone(),
    };
    audit::record(tx, &event, now).await?;
    outbox::push(tx, AuditKind::CallEnded.as_str(), facts, now).await.map(|_| ())
}
