//! What a count is kept under.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr};

use sha2::{Digest as _, Sha256};

use crate::Policy;

/// Bytes of the hash that are kept: enough that nobody finds two keys that share a count.
const KEPT: usize = 16;

/// A policy and a key, hashed, so that e-mail addresses and networks lie neither in memory nor in Redis in the clear.
///
/// The policy's numbers are part of it: a count under other numbers means something else, and starts anew.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Hashed([u8; KEPT]);

impl Hashed {
    pub(crate) fn of(policy: &Policy, key: &str) -> Self {
        let mut hash = Sha256::new();
        // The name has no zero byte and the numbers have a fixed width, so no two pairs write the same bytes.
        hash.update(policy.name().as_bytes());
        hash.update([0]);
        hash.update(policy.quota().to_be_bytes());
        hash.update(policy.window().as_secs().to_be_bytes());
        hash.update(key.as_bytes());
        let whole: [u8; 32] = hash.finalize().into();
        let mut kept = [0; KEPT];
        kept.copy_from_slice(&whole[..KEPT]);
        Self(kept)
    }

    /// One of `parts`, evenly.
    pub(crate) fn part(&self, parts: usize) -> usize {
        usize::from(u16::from_be_bytes([self.0[0], self.0[1]])) % parts
    }

    pub(crate) fn hex(&self) -> String {
        self.0.iter().fold(String::with_capacity(2 * KEPT), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a string takes what is written");
            text
        })
    }
}

/// A client known only by its address: its IPv4 address, or the /64 network of its IPv6 address, since a single
/// subscriber has at least that much and could use a fresh address for each request.
#[must_use]
pub fn client_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// The same as the key of a count.
#[must_use]
pub fn client_key(address: IpAddr) -> String {
    match client_network(address) {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(network) => {
            let [a, b, c, d, ..] = network.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use super::*;

    #[test]
    fn clients_are_addresses_or_networks() {
        for (address, key) in [
            ("203.0.113.9", "203.0.113.9"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::", "2001:db8:1:2::/64"),
            ("2001:db8:1:3::6", "2001:db8:1:3::/64"),
            ("::1", "0:0:0:0::/64"),
        ] {
            assert_eq!(client_key(address.parse().unwrap()), key, "{address}");
        }
    }

    #[test]
    fn everything_that_differs_is_counted_apart() {
        let policy = |name, quota, window_s| Policy::new(name, quota, Duration::from_secs(window_s)).unwrap();
        let keys = [
            Hashed::of(&policy("login", 6, 900), "a"),
            Hashed::of(&policy("login", 6, 900), "b"),
            Hashed::of(&policy("login", 6, 900), ""),
            Hashed::of(&policy("login", 5, 900), "a"),
            Hashed::of(&policy("login", 6, 901), "a"),
            Hashed::of(&policy("register", 6, 900), "a"),
        ];
        assert_eq!(HashSet::from(keys).len(), keys.len());
        assert!(keys[0] == Hashed::of(&policy("login", 6, 900), "a"));
    }

    #[test]
    fn the_key_is_not_in_what_is_stored() {
        let policy = Policy::new("login", 6, Duration::from_secs(900)).unwrap();
        let hex = Hashed::of(&policy, "asha@example.in 203.0.113.9").hex();
        assert_eq!(hex.len(), 2 * KEPT);
        assert!(hex.chars().all(|each| each.is_ascii_hexdigit()));
    }
}
