//! `POST /api/documents/search`.

use crate::app::Pending;
use crate::caller::scopes::KnowledgeRead;
use crate::{Caller, Code, Problem, Valid};
use axum::Json;
use model::{DocumentId, TenantId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::ObjectBuilder;
use utoipa::openapi::schema::{Array, ArrayBuilder, Type};

/// Passages when nothing is said.
const LIMIT_DEFAULT: u32 = 5;

/// What is asked.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DocumentSearch, example = json!({ "query": "How much is a root canal?", "collections": ["clinic"] }))]
pub(crate) struct SearchBody {
    /// In anybody's own words.
    #[schema(min_length = 1, max_length = 2000)]
    query: String,
    /// Only documents of these collections; absent or empty = all.
    #[serde(default)]
    #[schema(schema_with = collections_schema)]
    collections: Vec<String>,
    /// Passages wanted.
    #[schema(minimum = 1, maximum = 20)]
    limit: Option<u32>,
}

/// As agents name them.
fn collections_schema() -> Array {
    let name = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(60));
    ArrayBuilder::new()
        .items(name)
        .max_items(Some(20))
        .description(Some("Only documents of these collections; absent or empty = all."))
        .build()
}

/// A passage that may answer what was asked.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundPassage {
    /// Of which document.
    pub document: DocumentId,
    /// Its title.
    pub title: String,
    /// Its collection.
    pub collection: String,
    /// Which passage of it, from 0.
    pub position: u32,
    /// The headings it stands under, the title first.
    pub heading: String,
    /// The text.
    pub text: String,
    /// How likely it is what was asked for, 0 to 1.
    pub score: f32,
}

/// What the API wants of the search that calls use, so that people see what agents see.
pub trait PassageSearch: Send + Sync {
    /// The passages that fit best, the best first, at most `limit`. No collections = all. The error is one sentence for
    /// the log, without what was asked.
    fn search<'a>(
        &'a self,
        tenant: TenantId,
        query: &'a str,
        collections: &'a [String],
        limit: u32,
    ) -> Pending<'a, Result<Vec<FoundPassage>, String>>;
}

/// A passage.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Passage)]
pub(crate) struct PassageView {
    /// Of which document.
    document_id: DocumentId,
    /// Its title.
    title: String,
    /// Its collection.
    collection: String,
    /// Which passage of it, from 0.
    position: u32,
    /// The headings it stands under, the title first.
    #[schema(example = "Price list › Dental")]
    heading: String,
    /// The text, as it is quoted.
    text: String,
    /// How likely it is what was asked for, 0 to 1. Only for comparing passages of one question.
    #[schema(example = 0.5)]
    score: f32,
}

/// What was found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Passages {
    /// The best first.
    items: Vec<PassageView>,
}

/// Searches the documents, as an agent does while somebody speaks.
#[utoipa::path(
    post,
    path = "/api/documents/search",
    tag = "knowledge",
    security(("bearer" = ["knowledge:read"])),
    request_body = SearchBody,
    responses((status = 200, description = "The passages that fit best", body = Passages)),
)]
pub(crate) async fn search_documents(
    caller: Caller<KnowledgeRead>,
    Valid(body): Valid<SearchBody>,
) -> Result<Json<Passages>, Problem> {
    let limit = body.limit.unwrap_or(LIMIT_DEFAULT);
    let found = caller.app.passages.search(caller.identity.tenant, &body.query, &body.collections, limit).await;
    let found = found.map_err(|error| {
        tracing::warn!(error, "documents could not be searched");
        Problem::new(Code::DatabaseUnavailable, "the documents cannot be searched at the moment")
    })?;
    let items = found.into_iter().map(|passage| PassageView {
        document_id: passage.document,
        title: passage.title,
        collection: passage.collection,
        position: passage.position,
        heading: passage.heading,
        text: passage.text,
        score: passage.score,
    });
    Ok(Json(Passages { items: items.collect() }))
}
