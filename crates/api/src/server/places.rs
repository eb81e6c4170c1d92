//! How many connections each address has.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts the connections of each address. Holds an entry for every address that has one, so that the number of
/// connections bounds it.
#[derive(Debug)]
pub(super) struct Places {
    taken: Mutex<HashMap<String, usize>>,
    of_one_max: usize,
}

/// One connection's place; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    key: String,
}

impl Places {
    pub(super) fn new(of_one_max: usize) -> Arc<Self> {
        Arc::new(Self { taken: Mutex::default(), of_one_max })
    }

    /// A place, if this address may have another one.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let key = limiter::client_key(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(key.clone()).or_default();
        if *count >= self.of_one_max {
            return None;
        }
        *count += 1;
        Some(Place { places: self.clone(), key })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn one_address_has_so_many_and_others_have_theirs() {
        let places = Places::new(2);
        let (first, second) = (places.take(address("203.0.113.9")), places.take(address("203.0.113.9")));
        assert!(first.is_some() && second.is_some());
        assert!(places.take(address("203.0.113.9")).is_none());
        assert!(places.take(address("::ffff:203.0.113.9")).is_none(), "the same in other words");
        let other = places.take(address("203.0.113.10"));
        assert!(other.is_some());
        drop(first);
        assert!(places.take(address("203.0.113.9")).is_some());
        drop((second, other));
        assert!(places.taken.lock().expect("free").is_empty(), "nothing is kept of who has left");
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let places = Places::new(1);
        let _place = places.take(address("2001:db8:1:2::1")).expect("a place");
        assert!(places.take(address("2001:db8:1:2:ffff::9")).is_none());
        assert!(places.take(address("2001:db8:1:3::1")).is_some());
    }
}
