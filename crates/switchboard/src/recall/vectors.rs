//! Vectors of tenants' documents in memory, for as long as nothing of them changes.

use model::TenantId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use store::document_chunks::Vector;
use store::documents::Totals;

/// All vectors in memory, bytes: of a dozen tenants with as many as are compared, of the largest known models.
const CACHE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// The vectors of one tenant, one after the other.
#[derive(Debug, Default)]
pub(super) struct Vectors {
    /// Number of the piece and which of `collections`.
    pieces: Vec<(i64, usize)>,
    collections: Vec<String>,
    values: Vec<f32>,
    dimensions: usize,
}

impl Vectors {
    /// Those that have as many numbers as the first, which is the newest.
    pub(super) fn new(all: Vec<Vector>) -> Self {
        let dimensions = all.first().map_or(0, |first| first.values.len());
        let mut vectors = Self { dimensions, ..Self::default() };
        for vector in all.into_iter().filter(|vector| vector.values.len() == dimensions) {
            let known = vectors.collections.iter().position(|name| *name == vector.collection);
            let collection = known.unwrap_or_else(|| {
                vectors.collections.push(vector.collection);
                vectors.collections.len() - 1
            });
            vectors.pieces.push((vector.number, collection));
            vectors.values.extend(vector.values);
        }
        vectors
    }

    fn bytes(&self) -> usize {
        self.values.len() * size_of::<f32>() + self.pieces.len() * size_of::<(i64, usize)>()
    }

    /// Numbers of the pieces nearest to this vector of length one, the nearest first.
    pub(super) fn nearest(&self, asked: &[f32], collections: &[String], limit: usize, least: f32) -> Vec<i64> {
        if self.dimensions == 0 || asked.len() != self.dimensions {
            return Vec::new();
        }
        let wanted: Vec<bool> =
            self.collections.iter().map(|name| collections.is_empty() || collections.contains(name)).collect();
        let mut near: Vec<(i64, f32)> = self
            .pieces
            .iter()
            .zip(self.values.chunks_exact(self.dimensions))
            .filter(|((_, collection), _)| wanted[*collection])
            .map(|((number, _), vector)| (*number, asked.iter().zip(vector).map(|(a, b)| a * b).sum::<f32>()))
            .filter(|(_, cosine)| *cosine >= least)
            .collect();
        near.sort_by(super::best_first);
        near.into_iter().take(limit).map(|(number, _)| number).collect()
    }
}

/// Vectors of several tenants, those longest unused forgotten first.
#[derive(Debug, Default)]
pub(super) struct VectorCache(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    tenants: HashMap<TenantId, Entry>,
    bytes: usize,
    /// Rises with each use.
    uses: u64,
}

#[derive(Debug)]
struct Entry {
    totals: Totals,
    vectors: Arc<Vectors>,
    used: u64,
}

impl VectorCache {
    /// What is kept of this tenant, if its documents are still the same.
    pub(super) fn get(&self, tenant: TenantId, totals: &Totals) -> Option<Arc<Vectors>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.uses += 1;
        let uses = kept.uses;
        let entry = kept.tenants.get_mut(&tenant).filter(|entry| entry.totals == *totals)?;
        entry.used = uses;
        Some(entry.vectors.clone())
    }

    /// Keeps them, and forgets others to make room.
    pub(super) fn put(&self, tenant: TenantId, totals: Totals, vectors: Vectors) -> Arc<Vectors> {
        let vectors = Arc::new(vectors);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.uses += 1;
        let entry = Entry { totals, vectors: vectors.clone(), used: kept.uses };
        kept.bytes += vectors.bytes();
        if let Some(old) = kept.tenants.insert(tenant, entry) {
            kept.bytes -= old.vectors.bytes();
        }
        while kept.bytes > CACHE_BYTES_MAX {
            let oldest = kept.tenants.iter().min_by_key(|(_, entry)| entry.used).map(|(tenant, _)| *tenant);
            let Some(gone) = oldest.and_then(|tenant| kept.tenants.remove(&tenant)) else { break };
            kept.bytes -= gone.vectors.bytes();
        }
        vectors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::OrganisationId;

    fn vector(number: i64, collection: &str, values: &[f32]) -> Vector {
        Vector { number, collection: collection.to_owned(), values: values.to_vec() }
    }

    #[test]
    fn the_nearest_come_first_of_the_collections_that_are_wanted() {
        let all = vec![
            vector(1, "a", &[1.0, 0.0]),
            vector(2, "b", &[0.8, 0.6]),
            vector(3, "a", &[0.0, 1.0]),
            vector(4, "a", &[1.0, 0.0, 0.0]),
        ];
        let vectors = Vectors::new(all);
        assert_eq!(vectors.nearest(&[1.0, 0.0], &[], 9, 0.2), [1, 2]);
        assert_eq!(vectors.nearest(&[1.0, 0.0], &[], 1, 0.2), [1]);
        assert_eq!(vectors.nearest(&[1.0, 0.0], &["b".to_owned()], 9, 0.2), [2]);
        assert!(vectors.nearest(&[1.0, 0.0], &["c".to_owned()], 9, 0.2).is_empty());
        assert!(vectors.nearest(&[1.0], &[], 9, 0.2).is_empty());
        assert!(Vectors::new(Vec::new()).nearest(&[], &[], 9, 0.2).is_empty());
    }

    #[test]
    fn the_cache_forgets_what_has_changed_and_has_a_limit() {
        let cache = VectorCache::default();
        let tenant = |n: u128| OrganisationId(uuid::Uuid::from_u128(n));
        let totals = Totals { documents: 1, ..Totals::default() };
        let large = || Vectors { values: vec![0.0; CACHE_BYTES_MAX / 10], ..Vectors::default() };
        for n in 1..=2 {
            cache.put(tenant(n), totals, large());
        }
        assert!(cache.get(tenant(1), &totals).is_some());
        assert!(cache.get(tenant(1), &Totals { documents: 2, ..totals }).is_none());
        cache.put(tenant(1), totals, large());
        assert!(cache.get(tenant(2), &totals).is_some() && cache.get(tenant(1), &totals).is_some());
        cache.put(tenant(3), totals, large());
        assert!(cache.get(tenant(2), &totals).is_none(), "the one longest unused");
        assert!(cache.get(tenant(1), &totals).is_some() && cache.get(tenant(3), &totals).is_some());
    }
}
