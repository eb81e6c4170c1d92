//! `PUT /api/documents/{id}`.

use super::{DocumentBody, DocumentView};
use crate::auth::path_id::PathId;
use crate::caller::scopes::KnowledgeWrite;
use crate::layers::Limits;
use crate::problem::ProblemBody;
use crate::{Caller, Problem, Valid};
use axum::Json;
use model::{AuditKind, DocumentId};
use serde_json::Map;
use store::documents;

/// Replaces a document.
///
/// Another text is indexed within seconds; until then agents find what the one before said.
#[utoipa::path(
    put,
    path = "/api/documents/{id}",
    tag = "knowledge",
    security(("bearer" = ["knowledge:write"])),
    params(("id" = DocumentId, Path, description = "The document")),
    request_body = DocumentBody,
    responses(
        (status = 200, description = "The document as it is now", body = DocumentView),
        (status = 409, description = "The documents are longer than 64 MiB together",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn replace_document(
    caller: Caller<KnowledgeWrite>,
    limits: Limits,
    PathId(id): PathId<DocumentId>,
    Valid(body): Valid<DocumentBody>,
) -> Result<Json<DocumentView>, Problem> {
    let new = body.checked()?;
    limits.charge(&caller.app.policies.uploads, &caller.identity.tenant.to_string()).await?;
    let document = caller
        .write("documents.replace", async |tx| {
            let document = documents::replace(tx, id, &new, caller.now).await?;
            caller.audit(tx, AuditKind::DocumentUpdated, Some(("document", id.to_string())), Map::new()).await?;
            Ok(document)
        })
        .await?;
    caller.app.jobs_wake.notify_one();
    Ok(Json(document.into()))
}
