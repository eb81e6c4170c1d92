//! Documents that agents look things up in, and what they find there.

mod create;
mod delete;
mod get;
mod list;
mod reindex;
mod replace;
mod search;

pub use search::{FoundPassage, PassageSearch};

use crate::{App, Problem};
use axum::extract::DefaultBodyLimit;
use chrono::{DateTime, Utc};
use model::{DocumentId, DocumentState};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use store::documents::{Document, NewDocument, TEXT_BYTES_MAX};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Largest body: a text as another program may write it, with every letter that is not ASCII escaped.
const BODY_BYTES_MAX: usize = 2 * TEXT_BYTES_MAX + 64 * 1024;

/// A document as it is to be.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DocumentBody, example = json!({
    "title": "Price list",
    "collection": "clinic",
    "text": "# Dental\n\n| Treatment | Price |\n|---|---|\n| Filling | ₹900 |\n| Root canal | ₹4,500 |\n",
    "source_url": "https://clinic.example.org/prices",
}))]
pub(crate) struct DocumentBody {
    /// Shown to people and to the model; found by, too.
    #[schema(min_length = 1, max_length = 200)]
    title: String,
    /// Agents choose collections; `default` when nothing is said.
    #[serde(default = "default_collection")]
    #[schema(default = default_collection, min_length = 1, max_length = 60, pattern = "^[a-z0-9]([a-z0-9-]{0,58}[a-z0-9])?$")]
    collection: String,
    /// Plain text or Markdown, at most 1 MiB. Headings help: each passage carries those it stands under.
    #[schema(min_length = 1, max_length = 1_048_576)]
    text: String,
    /// Where it comes from, for people. It is not fetched.
    #[schema(format = "uri", min_length = 1, max_length = 2048)]
    source_url: Option<String>,
}

fn default_collection() -> String {
    "default".to_owned()
}

impl DocumentBody {
    /// As the store takes it.
    ///
    /// # Errors
    /// When the text has too many bytes: a schema counts characters.
    fn checked(&self) -> Result<NewDocument<'_>, Problem> {
        if self.text.len() > TEXT_BYTES_MAX {
            return Err(Problem::field("text", "may have at most 1048576 bytes"));
        }
        let source_url = self.source_url.as_deref();
        Ok(NewDocument { collection: &self.collection, title: &self.title, source_url, text: &self.text })
    }
}

/// A document, without its text.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Document)]
pub(crate) struct DocumentView {
    /// Its id.
    id: DocumentId,
    /// Shown to people and to the model.
    title: String,
    /// Its collection.
    collection: String,
    /// Where it comes from.
    source_url: Option<String>,
    /// Length of its text, bytes.
    #[schema(example = 2048)]
    bytes: u64,
    /// SHA-256 of title and text, in hexadecimal.
    content_hash: String,
    /// Whether agents find what it says.
    state: DocumentState,
    /// Why the last attempt to index it failed.
    error: Option<String>,
    /// Passages of it that can be found.
    chunks: u32,
    /// What made their vectors; null: they are found by their words only.
    embedder: Option<String>,
    /// When it was last indexed.
    indexed_at: Option<DateTime<Utc>>,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it was last replaced.
    updated_at: DateTime<Utc>,
}

impl From<Document> for DocumentView {
    fn from(document: Document) -> Self {
        Self {
            id: document.id,
            title: document.title,
            collection: document.collection,
            source_url: document.source_url,
            bytes: document.bytes,
            content_hash: document.content_hash.iter().map(|byte| format!("{byte:02x}")).collect(),
            state: document.state,
            error: document.error,
            chunks: document.chunks,
            embedder: document.embedder,
            indexed_at: document.indexed_at,
            created_at: document.created_at,
            updated_at: document.updated_at,
        }
    }
}

/// A document with its text.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DocumentWithText {
    /// Everything else.
    #[serde(flatten)]
    document: DocumentView,
    /// The text.
    text: String,
}

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    let large = OpenApiRouter::new()
        .routes(routes!(create::create_document, list::list_documents))
        .routes(routes!(get::get_document, replace::replace_document, delete::delete_document))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    OpenApiRouter::new()
        .merge(large)
        .routes(routes!(reindex::reindex_document))
        .routes(routes!(search::search_documents))
}
