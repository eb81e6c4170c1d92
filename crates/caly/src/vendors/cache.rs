//! What is made once and used for a while, bounded in number and time.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Values by key. When it is full the one that was used least recently goes.
#[derive(Debug)]
pub(super) struct Cache<K, V> {
    entries: Mutex<HashMap<K, Entry<V>>>,
    most: usize,
    /// Counted from when a value was made; else from when it was last used.
    by_age: bool,
    keep: Duration,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    made: Instant,
    used: Instant,
}

impl<K: Eq + Hash + Clone, V: Clone> Cache<K, V> {
    /// A value is kept for so long, however often it is used.
    pub(super) fn aging(most: usize, keep: Duration) -> Self {
        Self { entries: Mutex::default(), most, by_age: true, keep }
    }

    /// A value is kept until it was not used for so long.
    pub(super) fn idle(most: usize, keep: Duration) -> Self {
        Self { entries: Mutex::default(), most, by_age: false, keep }
    }

    pub(super) fn get(&self, key: &K) -> Option<V> {
        let now = Instant::now();
        let mut entries = self.entries();
        let entry = entries.get_mut(key)?;
        if self.is_over(entry, now) {
            entries.remove(key);
            return None;
        }
        entry.used = now;
        Some(entry.value.clone())
    }

    /// The value, or the one that was put there meanwhile.
    pub(super) fn put(&self, key: K, value: V) -> V {
        if let Some(there) = self.get(&key) {
            return there;
        }
        let now = Instant::now();
        let mut entries = self.entries();
        if entries.len() >= self.most {
            entries.retain(|_, entry| !self.is_over(entry, now));
        }
        if entries.len() >= self.most {
            let oldest = entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                entries.remove(&oldest);
            }
        }
        entries.insert(key, Entry { value: value.clone(), made: now, used: now });
        value
    }

    fn is_over(&self, entry: &Entry<V>, now: Instant) -> bool {
        now.duration_since(if self.by_age { entry.made } else { entry.used }) >= self.keep
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<K, Entry<V>>> {
        // Whole after every step: a panic elsewhere leaves nothing half done.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn values_age_or_are_kept_while_they_are_used() {
        let (aging, idle) = (Cache::aging(8, MINUTE), Cache::idle(8, MINUTE));
        aging.put("a", 1);
        idle.put("a", 1);
        for _ in 0..2 {
            tokio::time::advance(MINUTE / 2).await;
            let _ = (aging.get(&"a"), idle.get(&"a"));
        }
        assert_eq!((aging.get(&"a"), idle.get(&"a")), (None, Some(1)));
        tokio::time::advance(MINUTE).await;
        assert_eq!(idle.get(&"a"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_least_recently_used_goes_and_the_first_made_stays() {
        let cache = Cache::idle(3, MINUTE);
        for (n, name) in ["a", "b", "c"].into_iter().enumerate() {
            cache.put(name, n);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(cache.put("a", 9), 0, "somebody was faster");
        tokio::time::advance(Duration::from_secs(1)).await;
        cache.put("d", 3);
        assert_eq!((cache.get(&"a"), cache.get(&"b"), cache.get(&"d")), (Some(0), None, Some(3)));
        assert_eq!(cache.entries().len(), 3);
    }
}
