//! What has been said lately. Agents say the same sentences in every call (the greeting, "one moment please"): the
//! second time they cost nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Memory for finished speech: at 8 kHz over an hour of it.
pub(super) const BYTES_MAX: usize = 64 * 1024 * 1024;
/// What an entry takes beside its sound and its text, roughly.
const ENTRY_BYTES: usize = 200;

/// What was said and how.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) text: String,
    pub(super) voice: &'static str,
    pub(super) sample_rate_hz: u32,
}

struct Entry {
    sound: Arc<[i16]>,
    used: u64,
}

/// Finished speech; the least recently used goes first.
pub(super) struct Cache {
    entries: BTreeMap<Key, Entry>,
    by_use: BTreeMap<u64, Key>,
    uses: u64,
    bytes: usize,
    bytes_max: usize,
}

impl Cache {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { entries: BTreeMap::new(), by_use: BTreeMap::new(), uses: 0, bytes: 0, bytes_max }
    }

    /// The sound, if it is here.
    pub(super) fn get(&mut self, key: &Key) -> Option<Arc<[i16]>> {
        let entry = self.entries.get_mut(key)?;
        self.uses += 1;
        let key = self.by_use.remove(&entry.used)?;
        self.by_use.insert(self.uses, key);
        entry.used = self.uses;
        Some(Arc::clone(&entry.sound))
    }

    /// Keeps a sound; drops others to make room. One larger than everything is not kept.
    pub(super) fn put(&mut self, key: Key, sound: Arc<[i16]>) {
        let size = size(&key, &sound);
        if size > self.bytes_max {
            return;
        }
        self.remove(&key);
        while self.bytes + size > self.bytes_max {
            let Some((_, oldest)) = self.by_use.first_key_value() else { break };
            let oldest = oldest.clone();
            self.remove(&oldest);
        }
        self.uses += 1;
        self.bytes += size;
        self.by_use.insert(self.uses, key.clone());
        self.entries.insert(key, Entry { sound, used: self.uses });
    }

    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= size(key, &entry.sound);
            self.by_use.remove(&entry.used);
        }
    }
}

fn size(key: &Key, sound: &[i16]) -> usize {
    // The text is kept twice: by itself and in the order of use.
    ENTRY_BYTES + 2 * key.text.len() + size_of_val(sound)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key { text: text.to_owned(), voice: "heart", sample_rate_hz: 8_000 }
    }

    fn sound(samples: usize) -> Arc<[i16]> {
        vec![1; samples].into()
    }

    /// Room for three sounds of 1000 samples with a text of one letter.
    fn cache_of_three() -> Cache {
        Cache::new(3 * size(&key("a"), &sound(1_000)))
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut cache = cache_of_three();
        for text in ["a", "b", "c"] {
            cache.put(key(text), sound(1_000));
        }
        assert!(cache.get(&key("a")).is_some(), "now b is the oldest");
        cache.put(key("d"), sound(1_000));
        assert!(cache.get(&key("b")).is_none());
        for text in ["a", "c", "d"] {
            assert!(cache.get(&key(text)).is_some(), "{text}");
        }
    }

    #[test]
    fn memory_stays_below_its_limit_whatever_comes() {
        let mut cache = cache_of_three();
        for (index, samples) in [10, 2_500, 1_000, 90_000, 1, 1_000, 2_999, 0].into_iter().enumerate() {
            cache.put(key(&index.to_string()), sound(samples));
            let counted: usize = cache.entries.iter().map(|(key, entry)| size(key, &entry.sound)).sum();
            assert_eq!(cache.bytes, counted);
            assert!(cache.bytes <= cache.bytes_max);
            assert_eq!(cache.by_use.len(), cache.entries.len());
        }
        assert!(cache.get(&key("3")).is_none(), "too large for the whole cache");
    }

    #[test]
    fn the_same_text_at_another_rate_is_another_sound() {
        let mut cache = cache_of_three();
        cache.put(key("a"), sound(5));
        assert!(cache.get(&Key { sample_rate_hz: 24_000, ..key("a") }).is_none());
        cache.put(key("a"), sound(7));
        assert_eq!(cache.get(&key("a")).unwrap().len(), 7, "the newer one");
        assert_eq!(cache.entries.len(), 1);
    }
}
