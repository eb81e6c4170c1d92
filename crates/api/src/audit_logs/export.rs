//! `GET /api/audit-logs/export`.

use super::{AuditEventView, csv};
use crate::caller::scopes::AuditRead;
use crate::{App, Caller, Problem, ValidQuery};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chrono::{DateTime, Duration, Utc};
use futures_util::stream;
use model::{AuditKind, Severity, TenantId};
use serde::Deserialize;
use serde_json::Map;
use std::io;
use std::sync::Arc;
use store::audit::{self, AuditFilter, ExportPosition, Exported};
use utoipa::{IntoParams, ToSchema};

/// How the file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ExportFormat {
    /// One event in JSON on each line.
    Jsonl,
    /// Comma-separated values with a header.
    Csv,
}

/// Which events, and how.
#[derive(Clone, Debug, Deserialize, IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportQuery {
    /// How the file is written.
    #[param(inline)]
    format: ExportFormat,
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
}

/// Exports the audit log in the order of its chain, as a file. That it was exported is on record.
///
/// Without filters each line's hash covers the line before, so that the file proves its own completeness.
#[utoipa::path(
    get,
    path = "/api/audit-logs/export",
    tag = "audit",
    security(("bearer" = ["audit:read"])),
    params(ExportQuery),
    responses((status = 200, description = "The file", content(
        (String = "application/jsonl"),
        (String = "text/csv"),
    ))),
)]
pub(crate) async fn export_audit_logs(
    caller: Caller<AuditRead>,
    ValidQuery(query): ValidQuery<ExportQuery>,
) -> Result<Response, Problem> {
    let format = query.format;
    let word = match format {
        ExportFormat::Jsonl => "jsonl",
        ExportFormat::Csv => "csv",
    };
    caller
        .write("audit.exported", async |tx| {
            let data = Map::from_iter([("format".to_owned(), word.into())]);
            caller.audit(tx, AuditKind::DataExported, Some(("audit_log", caller.tenant().to_string())), data).await
        })
        .await?;
    let export = Export::new(&caller, query);
    // Before the head of the answer, so that a database that is away is a proper problem.
    let first = export.page(None).await?;
    let name = format!("attachment; filename=\"caly-audit-{}.{word}\"", caller.now.format("%Y-%m-%d"));
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(match format {
            ExportFormat::Jsonl => "application/jsonl",
            ExportFormat::Csv => "text/csv; charset=utf-8; header=present",
        }),
    );
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    Ok((headers, export.into_body(first)).into_response())
}

/// An export under way. It holds one page at a time.
struct Export {
    app: Arc<App>,
    tenant: TenantId,
    query: ExportQuery,
}

/// What an export does next.
enum Next {
    Header(Exported),
    Page(Exported),
    Read(ExportPosition),
    Done,
}

impl Export {
    fn new(caller: &Caller<AuditRead>, mut query: ExportQuery) -> Self {
        // What happens while it is read is not part of it: it must end.
        let now = caller.now + Duration::microseconds(1);
        query.created_before = Some(query.created_before.map_or(now, |before| before.min(now)));
        Self { app: caller.app.clone(), tenant: caller.tenant(), query }
    }

    async fn page(&self, after: Option<ExportPosition>) -> Result<Exported, store::Error> {
        let filter = AuditFilter {
            kind: self.query.kind,
            severity: self.query.severity,
            actor: self.query.actor.as_deref(),
            object_kind: self.query.object_kind.as_deref(),
            object_id: self.query.object_id.as_deref(),
            created_from: self.query.created_from,
            created_before: self.query.created_before,
        };
        self.app.store.read(self.tenant, "audit.export", async |tx| audit::export(tx, &filter, after).await).await
    }

    fn into_body(self, first: Exported) -> Body {
        let pieces = stream::try_unfold((self, Next::Header(first)), async |(export, next)| {
            let page = match next {
                Next::Done => return Ok::<_, io::Error>(None),
                Next::Header(first) if export.query.format == ExportFormat::Csv => {
                    return Ok(Some((Bytes::from_static(csv::HEADER.as_bytes()), (export, Next::Page(first)))));
                }
                Next::Header(page) | Next::Page(page) => page,
                // The head has left: the connection breaks off, so that nobody takes the file for complete.
                Next::Read(after) => export.page(Some(after)).await.map_err(|error| {
                    tracing::error!(error = %error, "an export of the audit log broke off");
                    io::Error::other("the export broke off")
                })?,
            };
            let text = written(page.events, export.query.format);
            let next = page.next.map_or(Next::Done, Next::Read);
            Ok(Some((Bytes::from(text), (export, next))))
        });
        Body::from_stream(pieces)
    }
}

fn written(events: Vec<audit::AuditEvent>, format: ExportFormat) -> String {
    let mut text = String::new();
    for event in events {
        let event = AuditEventView::from(event);
        match format {
            ExportFormat::Jsonl => {
                text.push_str(&serde_json::to_string(&event).unwrap_or_default());
                text.push('\n');
            }
            ExportFormat::Csv => text.push_str(&csv::line(&event)),
        }
    }
    text
}
