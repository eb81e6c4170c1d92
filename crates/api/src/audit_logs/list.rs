//! `GET /api/audit-logs`.

use super::AuditEventView;
use crate::caller::scopes::AuditRead;
use crate::listing::{ListBody, page_request};
use crate::{Caller, Problem, ValidQuery};
use axum::Json;
use chrono::{DateTime, Utc};
use model::{AuditKind, Severity};
use serde::Deserialize;
use store::audit::{self, AuditFilter};
use utoipa::{IntoParams, ToSchema};

/// Which events.
#[derive(Debug, Deserialize, IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditQuery {
    /// Only of this kind.
    kind: Option<AuditKind>,
    /// Only of this severity.
    severity: Option<Severity>,
    /// Only by this actor.
    #[schema(max_length = 120)]
    #[param(max_length = 120)]
    actor: Option<String>,
    /// Only to this kind of thing.
    #[schema(max_length = 120)]
    #[param(max_length = 120)]
    object_kind: Option<String>,
    /// Only to this thing.
    #[schema(max_length = 120)]
    #[param(max_length = 120)]
    object_id: Option<String>,
    /// Only at or after this time.
    created_from: Option<DateTime<Utc>>,
    /// Only before this time.
    created_before: Option<DateTime<Utc>>,
    /// Where to go on: `next_cursor` of the page before.
    #[schema(max_length = 64)]
    #[param(max_length = 64)]
    cursor: Option<String>,
    /// Rows wanted.
    #[schema(minimum = 1, maximum = 200)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// Lists what was done in the organisation.
#[utoipa::path(
    get,
    path = "/api/audit-logs",
    tag = "audit",
    security(("bearer" = ["audit:read"])),
    params(AuditQuery),
    responses((status = 200, description = "A page of events", body = ListBody<AuditEventView>)),
)]
pub(crate) async fn list_audit_logs(
    caller: Caller<AuditRead>,
    ValidQuery(query): ValidQuery<AuditQuery>,
) -> Result<Json<ListBody<AuditEventView>>, Problem> {
    let page = page_request(query.cursor.as_deref(), query.limit)?;
    let filter = AuditFilter {
        kind: query.kind,
        severity: query.severity,
        actor: query.actor.as_deref(),
        object_kind: query.object_kind.as_deref(),
        object_id: query.object_id.as_deref(),
        created_from: query.created_from,
        created_before: query.created_before,
    };
    let page = caller.read("audit.list", async |tx| Ok(audit::list(tx, &filter, page).await?)).await?;
    Ok(Json(ListBody::from_page(page, AuditEventView::from)))
}
