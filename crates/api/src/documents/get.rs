//! `GET /api/documents/{id}`.

use super::DocumentWithText;
use crate::auth::path_id::PathId;
use crate::caller::scopes::KnowledgeRead;
use crate::{Caller, Problem};
use axum::Json;
use model::DocumentId;
use store::documents;

/// Shows a document with its text.
#[utoipa::path(
    get,
    path = "/api/documents/{id}",
    tag = "knowledge",
    security(("bearer" = ["knowledge:read"])),
    params(("id" = DocumentId, Path, description = "The document")),
    responses((status = 200, description = "The document and its text", body = DocumentWithText)),
)]
pub(crate) async fn get_document(
    caller: Caller<KnowledgeRead>,
    PathId(id): PathId<DocumentId>,
) -> Result<Json<DocumentWithText>, Problem> {
    let (document, text) = caller
        .read("documents.get", async |tx| Ok((documents::get(tx, id).await?, documents::text(tx, id).await?)))
        .await?;
    Ok(Json(DocumentWithText { document: document.into(), text }))
}
