//! `DELETE /api/documents/{id}`.

use crate::auth::path_id::PathId;
use crate::caller::scopes::KnowledgeWrite;
use crate::{Caller, Problem};
use axum::http::StatusCode;
use model::{AuditKind, DocumentId};
use serde_json::Map;
use store::documents;

/// Deletes a document. From now on no agent finds anything of it.
#[utoipa::path(
    delete,
    path = "/api/documents/{id}",
    tag = "knowledge",
    security(("bearer" = ["knowledge:write"])),
    params(("id" = DocumentId, Path, description = "The document")),
    responses((status = 204, description = "It is gone")),
)]
pub(crate) async fn delete_document(
    caller: Caller<KnowledgeWrite>,
    PathId(id): PathId<DocumentId>,
) -> Result<StatusCode, Problem> {
    caller
        .write("documents.delete", async |tx| {
            documents::delete(tx, id).await?;
            caller.audit(tx, AuditKind::DocumentDeleted, Some(("document", id.to_string())), Map::new()).await
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
