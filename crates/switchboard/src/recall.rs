//! Looking things up in a tenant's documents: by words in the database's index, and by vectors where an embedder is set,
//! side by side, fused by their ranks.
//!
//! Words are ranked by BM25 over what the index gives, here and not in the database: the two databases rank differently,
//! and one of them knows nothing of how rare a word is. Vectors are compared with the tenant's newest
//! [`VECTORS_MAX`](store::document_chunks::VECTORS_MAX), kept in memory while nothing is indexed or deleted. An embedder
//! that is late or fails leaves what the words have found.

mod vectors;

use model::{DocumentId, Knowledge, TenantId};
use providers::recall::{Embedder, Passage, Recall};
use providers::{BoxFuture, Error, ErrorKind};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use store::document_chunks::{self, Chunk, Words};
use store::documents::{self, Totals};
use vectors::{VectorCache, Vectors};

/// Name in errors.
const NAME: &str = "knowledge";
/// Of each way of finding so many take part in the fusion.
const RANKED_MAX: usize = 50;
/// Of the time that the caller gives, the embedder has so much, in percent: reading what was found needs the rest.
const EMBEDDING_TIME_PERCENT: u32 = 80;
/// How much the first ranks count more than the next; the usual value of reciprocal rank fusion (Cormack 2009).
const FUSION_K: f32 = 60.0;
/// BM25: how soon a repeated word counts no more.
const BM25_K1: f32 = 1.2;
/// BM25: how much a long piece is worth less.
const BM25_B: f32 = 0.75;
/// Vectors less alike than this have nothing to do with each other. Low: models differ in what they call near.
const COSINE_MIN: f32 = 0.2;
/// Most passages that are ever asked for at once.
const PASSAGES_MAX: usize = 20;

/// Where to look, and for how much.
#[derive(Clone, Copy, Debug)]
pub struct RecallScope<'a> {
    /// Only documents of these collections; empty = all.
    pub collections: &'a [String],
    /// Passages wanted.
    pub limit: u32,
    /// No later than this.
    pub timeout: Duration,
}

/// A passage with everything that is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Of which document.
    pub document: DocumentId,
    /// Its title.
    pub title: String,
    /// Its collection.
    pub collection: String,
    /// Which piece of it, from 0.
    pub position: u32,
    /// The headings it stands under, the title first.
    pub heading: String,
    /// The text.
    pub text: String,
    /// How likely it is what was asked for, 0 to 1.
    pub score: f32,
}

/// The documents in the database.
pub struct StoreRecall {
    store: Store,
    embedder: Option<Arc<dyn Embedder>>,
    cache: VectorCache,
}

impl StoreRecall {
    /// Over this database; without an embedder by words only.
    #[must_use]
    pub fn new(store: Store, embedder: Option<Arc<dyn Embedder>>) -> Self {
        Self { store, embedder, cache: VectorCache::default() }
    }

    /// The passages that fit a question best, the best first.
    ///
    /// # Errors
    /// `TimedOut` when the database did not answer in time; `Unavailable` when it fails.
    pub async fn find(&self, tenant: TenantId, query: &str, scope: RecallScope<'_>) -> Result<Vec<Found>, Error> {
        tokio::time::timeout(scope.timeout, self.search(tenant, query, scope))
            .await
            .map_err(|_| Error::new(ErrorKind::TimedOut, NAME, "nothing was found in time"))?
    }

    async fn search(&self, tenant: TenantId, query: &str, scope: RecallScope<'_>) -> Result<Vec<Found>, Error> {
        let words = Words::of(query);
        let (by_words, near) =
            tokio::join!(self.by_words(tenant, &words, scope), self.by_vectors(tenant, query, scope));
        let (mut chunks, totals) = by_words?;
        let ranked = rank(&words, &chunks, totals.chunks);
        let missing: Vec<i64> =
            near.iter().copied().filter(|number| chunks.iter().all(|c| c.number != *number)).collect();
        if !missing.is_empty() {
            let read = async |tx: &mut store::Tx| document_chunks::read(tx, &missing).await;
            chunks.extend(self.store.read(tenant, "document_chunks.read", read).await.map_err(failed)?);
        }
        let ways: &[&[i64]] = if self.embedder.is_some() { &[&ranked, &near] } else { &[&ranked] };
        let mut found: BTreeMap<i64, Chunk> = chunks.into_iter().map(|chunk| (chunk.number, chunk)).collect();
        let limit = (scope.limit as usize).min(PASSAGES_MAX);
        let best = fuse(ways).into_iter().filter_map(|(number, score)| Some((found.remove(&number)?, score)));
        Ok(best.take(limit).map(|(chunk, score)| passage(chunk, score)).collect())
    }

    async fn by_words(
        &self,
        tenant: TenantId,
        words: &Words,
        scope: RecallScope<'_>,
    ) -> Result<(Vec<Chunk>, Totals), Error> {
        if words.is_empty() {
            return Ok((Vec::new(), Totals::default()));
        }
        let read = async |tx: &mut store::Tx| {
            let numbers = document_chunks::find(tx, words, scope.collections).await?;
            Ok::<_, store::Error>((document_chunks::read(tx, &numbers).await?, documents::totals(tx).await?))
        };
        self.store.read(tenant, "document_chunks.find", read).await.map_err(failed)
    }

    /// Numbers of the nearest pieces; none when there is no embedder, or it fails or is late.
    async fn by_vectors(&self, tenant: TenantId, query: &str, scope: RecallScope<'_>) -> Vec<i64> {
        let Some(embedder) = &self.embedder else { return Vec::new() };
        if query.trim().is_empty() {
            return Vec::new();
        }
        let within = scope.timeout * EMBEDDING_TIME_PERCENT / 100;
        let asked = [query.trim().to_owned()];
        let both = async { tokio::try_join!(embedder.embed(&asked), self.vectors(tenant, embedder.name())) };
        match tokio::time::timeout(within, both).await {
            Ok(Ok((asked, vectors))) => asked
                .first()
                .map(|asked| vectors.nearest(asked, scope.collections, RANKED_MAX, COSINE_MIN))
                .unwrap_or_default(),
            Ok(Err(error)) => {
                tracing::warn!(error = %error, "documents are searched by their words only");
                Vec::new()
            }
            Err(_) => {
                tracing::warn!("documents are searched by their words only: no vector in time");
                Vec::new()
            }
        }
    }

    async fn vectors(&self, tenant: TenantId, embedder: &str) -> Result<Arc<Vectors>, Error> {
        let now = async |tx: &mut store::Tx| documents::totals(tx).await;
        let totals = self.store.read(tenant, "documents.totals", now).await.map_err(failed)?;
        if let Some(kept) = self.cache.get(tenant, &totals) {
            return Ok(kept);
        }
        let read = async |tx: &mut store::Tx| {
            Ok::<_, store::Error>((documents::totals(tx).await?, document_chunks::vectors(tx, embedder).await?))
        };
        let (totals, all) = self.store.read(tenant, "document_chunks.vectors", read).await.map_err(failed)?;
        Ok(self.cache.put(tenant, totals, Vectors::new(all)))
    }
}

impl Recall for StoreRecall {
    fn passages<'a>(
        &'a self,
        tenant: TenantId,
        query: &'a str,
        knowledge: &'a Knowledge,
    ) -> BoxFuture<'a, Result<Vec<Passage>, Error>> {
        Box::pin(async move {
            let scope = RecallScope {
                collections: &knowledge.collections,
                limit: knowledge.passages_max,
                timeout: Duration::from_millis(knowledge.timeout_ms),
            };
            let found = self.find(tenant, query, scope).await?;
            let quoted = found.into_iter().map(|found| {
                let text = format!("{}\n{}", found.heading, found.text);
                Passage { document: found.title, text, score: found.score }
            });
            Ok(quoted.collect())
        })
    }
}

fn failed(error: store::Error) -> Error {
    Error::new(ErrorKind::Unavailable, NAME, "the documents cannot be read").caused_by(error)
}

fn passage(chunk: Chunk, score: f32) -> Found {
    Found {
        document: chunk.document,
        title: chunk.title,
        collection: chunk.collection,
        position: chunk.position,
        heading: chunk.heading,
        text: chunk.text,
        score,
    }
}

/// Numbers of the pieces, the likeliest first, by BM25. `total`: pieces of the tenant.
#[expect(clippy::cast_precision_loss, reason = "counts of words and pieces are far below 2^24")]
fn rank(words: &Words, chunks: &[Chunk], total: u64) -> Vec<i64> {
    let counted: Vec<(i64, usize, Vec<usize>)> = chunks
        .iter()
        .map(|chunk| {
            let mut counts = vec![0; words.iter().count()];
            let mut length = 0;
            for word in chunk.words.split(' ') {
                length += 1;
                if let Some(index) = words.iter().position(|asked| asked == word) {
                    counts[index] += 1;
                }
            }
            (chunk.number, length, counts)
        })
        .collect();
    let total = (total as f32).max(chunks.len() as f32);
    let usual = counted.iter().map(|(_, length, _)| *length as f32).sum::<f32>() / (counted.len() as f32).max(1.0);
    let rareness: Vec<f32> = (0..words.iter().count())
        .map(|word| {
            let having = counted.iter().filter(|(_, _, counts)| counts[word] > 0).count() as f32;
            (1.0 + (total - having + 0.5) / (having + 0.5)).ln()
        })
        .collect();
    let mut scored: Vec<(i64, f32)> = counted
        .iter()
        .map(|(number, length, counts)| {
            let long = 1.0 - BM25_B + BM25_B * *length as f32 / usual.max(1.0);
            let worth = |(count, rare): (&usize, &f32)| {
                rare * *count as f32 * (BM25_K1 + 1.0) / (*count as f32 + BM25_K1 * long)
            };
            (*number, counts.iter().zip(&rareness).map(worth).sum())
        })
        .collect();
    scored.sort_by(best_first);
    scored.into_iter().take(RANKED_MAX).map(|(number, _)| number).collect()
}

/// Reciprocal rank fusion: what is high in several lists is the best. 1 = first in all of them.
#[expect(clippy::cast_precision_loss, reason = "ranks are below a hundred")]
fn fuse(ways: &[&[i64]]) -> Vec<(i64, f32)> {
    let most = ways.len().max(1) as f32 / (FUSION_K + 1.0);
    let mut scores: BTreeMap<i64, f32> = BTreeMap::new();
    for way in ways {
        for (rank, number) in way.iter().enumerate() {
            *scores.entry(*number).or_default() += 1.0 / (FUSION_K + 1.0 + rank as f32) / most;
        }
    }
    let mut all: Vec<(i64, f32)> = scores.into_iter().collect();
    all.sort_by(best_first);
    all
}

/// Of two that are equal the older.
fn best_first(a: &(i64, f32), b: &(i64, f32)) -> Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(number: i64, words: &str) -> Chunk {
        Chunk {
            number,
            document: DocumentId(uuid::Uuid::nil()),
            position: 0,
            heading: String::new(),
            text: words.to_owned(),
            words: words.to_owned(),
            title: String::new(),
            collection: String::new(),
        }
    }

    #[test]
    fn rare_words_count_more_than_common_ones_and_repetitions_less_and_less() {
        let chunks = [
            chunk(1, "clinic clinic clinic clinic clinic opens"),
            chunk(2, "clinic root canal costs 4500 rupees"),
            chunk(3, "clinic filling costs 900 rupees"),
            chunk(4, "clinic open on sunday"),
        ];
        let ranked = |query: &str| rank(&Words::of(query), &chunks, 100);
        assert_eq!(ranked("root canal at the clinic")[0], 2);
        assert_eq!(ranked("filling clinic")[0], 3);
        assert_eq!(ranked("sunday clinic")[0], 4);
        assert!(rank(&Words::of("x"), &[], 0).is_empty());
        let many: Vec<Chunk> = (0..200).map(|n| chunk(n, "clinic")).collect();
        assert_eq!(rank(&Words::of("clinic"), &many, 200).len(), RANKED_MAX);
    }

    #[test]
    fn what_both_ways_find_comes_first() {
        let fused = fuse(&[&[1, 2, 3], &[9, 2]]);
        assert_eq!(fused.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [2, 1, 9, 3]);
        assert!((fuse(&[&[7], &[7]])[0].1 - 1.0).abs() < 1e-6 && (fuse(&[&[7]])[0].1 - 1.0).abs() < 1e-6);
        assert!(fuse(&[&[], &[]]).is_empty() && fuse(&[]).is_empty());
    }
}
