//! `POST /api/documents`.

use super::{DocumentBody, DocumentView};
use crate::caller::scopes::KnowledgeWrite;
use crate::layers::Limits;
use crate::once::{Answer, IdempotencyHeader, IdempotencyKey};
use crate::problem::ProblemBody;
use crate::{Caller, Problem, Valid};
use model::AuditKind;
use serde_json::Map;
use store::documents;

const ROUTE: &str = "documents.create";

/// Adds a document that agents look things up in.
///
/// It is cut into passages and indexed within seconds: then its state is `ready`.
#[utoipa::path(
    post,
    path = "/api/documents",
    tag = "knowledge",
    security(("bearer" = ["knowledge:write"])),
    params(IdempotencyHeader),
    request_body = DocumentBody,
    responses(
        (status = 201, description = "The document", body = DocumentView),
        (status = 409, description = "There are 1000 documents already, or they are longer than 64 MiB together",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The idempotency key came with another body before",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn create_document(
    caller: Caller<KnowledgeWrite>,
    limits: Limits,
    key: IdempotencyKey,
    Valid(body): Valid<DocumentBody>,
) -> Result<Answer, Problem> {
    let new = body.checked()?;
    limits.charge(&caller.app.policies.uploads, &caller.identity.tenant.to_string()).await?;
    let answer = caller
        .write(ROUTE, async |tx| {
            if let Some(answer) = key.replay(&caller, tx, ROUTE, &body).await? {
                return Ok(answer);
            }
            let made = documents::create(tx, &new, caller.now).await?;
            let object = Some(("document", made.id.to_string()));
            caller.audit(tx, AuditKind::DocumentCreated, object, Map::new()).await?;
            key.created(tx, ROUTE, &DocumentView::from(made)).await
        })
        .await?;
    caller.app.jobs_wake.notify_one();
    Ok(answer)
}
