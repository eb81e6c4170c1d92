//! `POST /api/documents/{id}/reindex`.

use super::DocumentView;
use crate::auth::path_id::PathId;
use crate::caller::scopes::KnowledgeWrite;
use crate::{Caller, Problem};
use axum::Json;
use axum::http::StatusCode;
use model::{AuditKind, DocumentId};
use serde_json::Map;
use store::documents;

/// Indexes a document once more: after a failure, or when the installation has another embedding model.
#[utoipa::path(
    post,
    path = "/api/documents/{id}/reindex",
    tag = "knowledge",
    security(("bearer" = ["knowledge:write"])),
    params(("id" = DocumentId, Path, description = "The document")),
    responses((status = 202, description = "It will be", body = DocumentView)),
)]
pub(crate) async fn reindex_document(
    caller: Caller<KnowledgeWrite>,
    PathId(id): PathId<DocumentId>,
) -> Result<(StatusCode, Json<DocumentView>), Problem> {
    let document = caller
        .write("documents.reindex", async |tx| {
            let document = documents::reindex(tx, id, caller.now).await?;
            caller.audit(tx, AuditKind::DocumentReindexed, Some(("document", id.to_string())), Map::new()).await?;
            Ok(document)
        })
        .await?;
    caller.app.jobs_wake.notify_one();
    Ok((StatusCode::ACCEPTED, Json(document.into())))
}
