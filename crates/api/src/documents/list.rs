//! `GET /api/documents`.

use super::DocumentView;
use crate::caller::scopes::KnowledgeRead;
use crate::listing::{ListBody, page_request};
use crate::{Caller, Problem, ValidQuery};
use axum::Json;
use model::DocumentState;
use serde::Deserialize;
use store::documents::{self, DocumentFilter};
use utoipa::{IntoParams, ToSchema};

/// Which documents.
#[derive(Debug, Deserialize, IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct DocumentsQuery {
    /// Only of this collection.
    #[schema(max_length = 60)]
    #[param(max_length = 60)]
    collection: Option<String>,
    /// Only in this state.
    state: Option<DocumentState>,
    /// Where to go on: `next_cursor` of the page before.
    #[schema(max_length = 64)]
    #[param(max_length = 64)]
    cursor: Option<String>,
    /// Rows wanted.
    #[schema(minimum = 1, maximum = 200)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// Lists the documents that agents look things up in, without their texts.
#[utoipa::path(
    get,
    path = "/api/documents",
    tag = "knowledge",
    security(("bearer" = ["knowledge:read"])),
    params(DocumentsQuery),
    responses((status = 200, description = "A page of documents", body = ListBody<DocumentView>)),
)]
pub(crate) async fn list_documents(
    caller: Caller<KnowledgeRead>,
    ValidQuery(query): ValidQuery<DocumentsQuery>,
) -> Result<Json<ListBody<DocumentView>>, Problem> {
    let page = page_request(query.cursor.as_deref(), query.limit)?;
    let filter = DocumentFilter { collection: query.collection.as_deref(), state: query.state };
    let page = caller.read("documents.list", async |tx| Ok(documents::list(tx, &filter, page).await?)).await?;
    Ok(Json(ListBody::from_page(page, DocumentView::from)))
}
