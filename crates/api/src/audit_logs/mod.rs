//! The audit log: who did what.

mod csv;
mod export;
mod list;

use crate::App;
use crate::recordings::hex;
use chrono::{DateTime, Utc};
use model::{AuditKind, Severity};
use serde::Serialize;
use serde_json::{Map, Value};
use std::net::IpAddr;
use std::sync::Arc;
use store::audit::AuditEvent;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

/// An event on record.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEvent)]
pub(crate) struct AuditEventView {
    /// Its id.
    id: Uuid,
    /// Its place in the organisation's chain, from 0; null for one from before there was a chain.
    #[schema(example = 41)]
    index: Option<u64>,
    /// What was done.
    kind: AuditKind,
    /// How much attention it wants.
    severity: Severity,
    /// Who did it: `user:` and an id, `key:` and an id, `carrier:exotel`, `system`.
    #[schema(example = "user:01940b6e-0000-7000-8000-000000000001")]
    actor: String,
    /// From which address.
    #[schema(value_type = Option<String>, example = "203.0.113.9")]
    ip: Option<IpAddr>,
    /// In which request.
    request_id: Option<String>,
    /// To what kind of thing.
    #[schema(example = "agent")]
    object_kind: Option<String>,
    /// To which one.
    #[schema(example = "01940b6e-0000-7000-8000-000000000002")]
    object_id: Option<String>,
    /// The particulars.
    #[schema(value_type = Object)]
    data: Map<String, Value>,
    /// When.
    created_at: DateTime<Utc>,
    /// SHA-256 over this event and the hash of the one before, hexadecimal.
    #[schema(example = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    hash: Option<String>,
}

impl From<AuditEvent> for AuditEventView {
    fn from(event: AuditEvent) -> Self {
        Self {
            id: event.id,
            index: event.index,
            kind: event.kind,
            severity: event.severity,
            actor: event.actor,
            ip: event.ip,
            request_id: event.request_id,
            object_kind: event.object_kind,
            object_id: event.object_id,
            data: event.data,
            created_at: event.created_at,
            hash: event.hash.as_ref().map(|hash| hex(hash)),
        }
    }
}

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list::list_audit_logs)).routes(routes!(export::export_audit_logs))
}
