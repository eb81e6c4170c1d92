//! Documents that agents look things up in: what makes their vectors, and the search that the API shows people.

use crate::config::Config;
use api::{FoundPassage, PassageSearch, Pending};
use model::TenantId;
use providers::embedding::{EmbeddingSettings, OpenAiEmbedder};
use providers::http::Http;
use providers::recall::Embedder;
use std::sync::Arc;
use std::time::Duration;
use switchboard::{RecallScope, StoreRecall};

/// A person waits longer than a caller; a request ends after this all the same.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(3);

/// What makes vectors of documents and questions; none when none is set up.
pub(crate) fn embedder(config: &Config, http: &Http) -> Option<Arc<dyn Embedder>> {
    let embedding = config.embedding.clone()?;
    let settings = EmbeddingSettings::new(embedding.url, embedding.model, embedding.key);
    Some(Arc::new(OpenAiEmbedder::new(http.clone(), settings)))
}

/// The search of calls, for people.
pub(crate) struct ShownToPeople(pub(crate) Arc<StoreRecall>);

impl PassageSearch for ShownToPeople {
    fn search<'a>(
        &'a self,
        tenant: TenantId,
        query: &'a str,
        collections: &'a [String],
        limit: u32,
    ) -> Pending<'a, Result<Vec<FoundPassage>, String>> {
        Box::pin(async move {
            let scope = RecallScope { collections, limit, timeout: SEARCH_TIMEOUT };
            let found = self.0.find(tenant, query, scope).await.map_err(|error| error.to_string())?;
            let shown = found.into_iter().map(|found| FoundPassage {
                document: found.document,
                title: found.title,
                collection: found.collection,
                position: found.position,
                heading: found.heading,
                text: found.text,
                score: found.score,
            });
            Ok(shown.collect())
        })
    }
}
