//! `index_document`: a document's text, in pieces, into the index.
//!
//! The pieces are found by their words as soon as they are cut; vectors follow where an embedder is set. An embedder that
//! fails keeps nothing from being found: the document waits for its vectors, says why, and is tried again.

mod chunk;

use crate::job::{Context, Job, JobError};
use chunk::pieces;
use model::{DocumentId, TenantId};
use providers::recall::Embedder;
use serde::Deserialize;
use store::document_chunks::NewChunk;
use store::documents::{self, Indexed};

/// The payload.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexDocument {
    tenant_id: TenantId,
    document_id: DocumentId,
}

impl Job for IndexDocument {
    const NAME: &'static str = documents::INDEX_JOB;

    async fn run(self, context: &Context) -> Result<(), JobError> {
        let Self { tenant_id, document_id: id } = self;
        let read = context
            .store
            .read(tenant_id, "documents.to_index", async |tx| {
                Ok::<_, store::Error>((documents::get(tx, id).await?, documents::text(tx, id).await?))
            })
            .await;
        let (document, text) = match read {
            Ok(found) => found,
            // Deleted meanwhile: nothing is left to do.
            Err(store::Error::NotFound) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let title = document.title.clone();
        let cut = tokio::task::spawn_blocking(move || pieces(&title, &text))
            .await
            .map_err(|_| JobError::Fail("the text could not be cut into pieces".to_owned()))?;
        let mut chunks: Vec<NewChunk> = cut
            .into_iter()
            .map(|piece| NewChunk { heading: piece.heading, text: piece.text, embedding: None })
            .collect();
        let (embedder, failure) = match &context.embedder {
            None => (None, None),
            Some(embedder) => match embed(embedder.as_ref(), &mut chunks).await {
                Ok(()) => (Some(embedder.name()), None),
                Err(error) => (None, Some(error)),
            },
        };
        let error = failure.as_ref().map(|error| format!("found by its words only: {error}"));
        let done = Indexed { content_hash: document.content_hash, chunks: &chunks, embedder, error: error.as_deref() };
        let now = context.now();
        // False: it has another text by now, and that one's job is on its way.
        context
            .store
            .write(tenant_id, "documents.indexed", async |tx| documents::indexed(tx, id, &done, now).await)
            .await?;
        match failure {
            None => Ok(()),
            // A wrong key is mended by the operator, and then `reindex` brings the vectors.
            Some(error) if error.is_transient() => Err(JobError::Retry(error.to_string())),
            Some(error) => Err(JobError::Fail(error.to_string())),
        }
    }
}

/// Gives each piece its vector; all of them or none.
async fn embed(embedder: &dyn Embedder, chunks: &mut [NewChunk]) -> Result<(), providers::Error> {
    let texts: Vec<String> = chunks.iter().map(|chunk| format!("{}\n{}", chunk.heading, chunk.text)).collect();
    let vectors = embedder.embed(&texts).await?;
    for (chunk, vector) in chunks.iter_mut().zip(vectors) {
        chunk.embedding = Some(vector);
    }
    Ok(())
}
