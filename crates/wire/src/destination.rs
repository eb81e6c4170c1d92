//! Addresses that tenants choose and Caly sends to: which are refused, so that nobody reaches through Caly what only
//! Caly can reach (server-side request forgery).
//!
//! A name is checked again when it is resolved: see `providers::egress`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use url::{Host, Url};

/// Longest address that is taken.
pub const URL_CHARS_MAX: usize = 2_048;
/// Ports of https servers; any other is more likely something that was not meant to be reached.
const PORTS: [u16; 2] = [443, 8_443];

/// How strict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// https on ports 443 and 8443, public addresses only.
    PublicOnly,
    /// Development: also http, any port, and this machine itself.
    LoopbackToo,
}

/// Why an address is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no URL, too long, or has no host.
    #[error("must be an absolute address of at most 2048 characters")]
    Unreadable,
    /// Another scheme.
    #[error("must begin with https://")]
    Scheme,
    /// It has a name or password in it.
    #[error("may not have a name or password in it")]
    Credentials,
    /// Another port.
    #[error("may have no other port than 443 and 8443")]
    Port,
    /// The address is private, this machine's, or set aside for a special purpose.
    #[error("must lead to a public address")]
    NotPublic,
}

/// The address, if it may be sent to. A name in it is not resolved here; an address written in any way is checked.
///
/// # Errors
/// [`Refused`].
pub fn parse(text: &str, allowed: Allowed) -> Result<Url, Refused> {
    if text.chars().count() > URL_CHARS_MAX {
        return Err(Refused::Unreadable);
    }
    let url = Url::parse(text).map_err(|_| Refused::Unreadable)?;
    match (url.scheme(), allowed) {
        ("https", _) | ("http", Allowed::LoopbackToo) => {}
        _ => return Err(Refused::Scheme),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Refused::Credentials);
    }
    let port = url.port_or_known_default().ok_or(Refused::Port)?;
    if allowed == Allowed::PublicOnly && !PORTS.contains(&port) {
        return Err(Refused::Port);
    }
    // The parser has turned every way of writing an IPv4 address (0x7f.1, 2130706433) into one.
    let fine = match url.host().ok_or(Refused::Unreadable)? {
        Host::Ipv4(address) => is_allowed(IpAddr::V4(address), allowed),
        Host::Ipv6(address) => is_allowed(IpAddr::V6(address), allowed),
        Host::Domain(name) => !is_local(name) || allowed == Allowed::LoopbackToo,
    };
    if fine { Ok(url) } else { Err(Refused::NotPublic) }
}

/// Names that never are in the public DNS (RFC 6761, RFC 6762): told at once instead of when they are resolved.
fn is_local(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    ["localhost", "local", "internal"]
        .iter()
        .any(|local| name == *local || name.strip_suffix(local).is_some_and(|before| before.ends_with('.')))
        || name.is_empty()
}

/// Whether this address may be connected to.
#[must_use]
pub fn is_allowed(address: IpAddr, allowed: Allowed) -> bool {
    let address = address.to_canonical();
    is_public(address) || (allowed == Allowed::LoopbackToo && address.is_loopback())
}

/// Whether the address belongs to somebody on the public internet: none of the registries' special blocks
/// (iana.org/assignments/iana-ipv4-special-registry, …/iana-ipv6-special-registry), multicast, or reserved.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !V4_REFUSED.iter().any(|(net, bits)| v4_in(address, *net, *bits)),
        // An IPv4 address in IPv6's clothes reaches the same machine.
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(inner) => is_public(IpAddr::V4(inner)),
            None => !V6_REFUSED.iter().any(|(net, bits)| v6_in(address, *net, *bits)),
        },
    }
}

const V4_REFUSED: &[(Ipv4Addr, u32)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

const V6_REFUSED: &[(Ipv6Addr, u32)] = &[
    // Unspecified, loopback and the old IPv4-compatible addresses.
    (Ipv6Addr::UNSPECIFIED, 96),
    // Translation to IPv4, by the well-known and by local prefixes.
    (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48),
    (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 64),
    // Protocol assignments, Teredo among them.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    // 6to4: an IPv4 address inside.
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
    (Ipv6Addr::new(0x5f00, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
    // Site-local, as private addresses once were.
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8),
];

const fn v4_in(address: Ipv4Addr, net: Ipv4Addr, bits: u32) -> bool {
    (address.to_bits() ^ net.to_bits()) >> (32 - bits) == 0
}

const fn v6_in(address: Ipv6Addr, net: Ipv6Addr, bits: u32) -> bool {
    (address.to_bits() ^ net.to_bits()) >> (128 - bits) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap_or_else(|_| panic!("{text}"))
    }

    #[test]
    fn the_first_and_last_address_of_every_block_is_refused_and_its_neighbours_are_not() {
        for (first, last, before, after) in [
            ("0.0.0.0", "0.255.255.255", None, Some("1.0.0.0")),
            ("10.0.0.0", "10.255.255.255", Some("9.255.255.255"), Some("11.0.0.0")),
            ("100.64.0.0", "100.127.255.255", Some("100.63.255.255"), Some("100.128.0.0")),
            ("127.0.0.0", "127.255.255.255", Some("126.255.255.255"), Some("128.0.0.0")),
            ("169.254.0.0", "169.254.255.255", Some("169.253.255.255"), Some("169.255.0.0")),
            ("172.16.0.0", "172.31.255.255", Some("172.15.255.255"), Some("172.32.0.0")),
            ("192.0.0.0", "192.0.0.255", Some("191.255.255.255"), Some("192.0.1.0")),
            ("192.0.2.0", "192.0.2.255", Some("192.0.1.255"), Some("192.0.3.0")),
            ("192.88.99.0", "192.88.99.255", Some("192.88.98.255"), Some("192.88.100.0")),
            ("192.168.0.0", "192.168.255.255", Some("192.167.255.255"), Some("192.169.0.0")),
            ("198.18.0.0", "198.19.255.255", Some("198.17.255.255"), Some("198.20.0.0")),
            ("198.51.100.0", "198.51.100.255", Some("198.51.99.255"), Some("198.51.101.0")),
            ("203.0.113.0", "203.0.113.255", Some("203.0.112.255"), Some("203.0.114.0")),
            ("224.0.0.0", "255.255.255.255", Some("223.255.255.255"), None),
            ("::", "::ffff:ffff", None, None),
            ("64:ff9b::", "64:ff9b::ffff:ffff", Some("64:ff9a::1"), Some("64:ff9b::1:0:0")),
            ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", None, Some("64:ff9b:2::")),
            ("100::", "100::ffff:ffff:ffff:ffff", None, None),
            ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", Some("2000:ffff::1"), Some("2001:200::")),
            ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", Some("2001:db7::1"), Some("2001:db9::")),
            ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some("2001:ffff::1"), Some("2003::")),
            ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", Some("3ffe::1"), Some("3fff:1000::")),
            ("5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, Some("5f01::")),
            ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
            ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
            ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
            ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
            ("::ffff:10.0.0.1", "::ffff:169.254.169.254", None, Some("::ffff:8.8.8.8")),
        ] {
            for inside in [first, last] {
                assert!(!is_public(address(inside)), "{inside}");
            }
            for outside in [before, after].into_iter().flatten() {
                assert!(is_public(address(outside)), "{outside}");
            }
        }
        assert!(is_public(address("2606:4700::1111")) && is_public(address("2400:cb00::1")));
    }

    #[test]
    fn addresses_are_judged_however_they_are_written() {
        use Refused::{Credentials, NotPublic, Port, Scheme, Unreadable};
        for (text, want) in [
            ("https://example.org/hooks?a=b", None),
            ("https://example.org:8443/", None),
            ("https://8.8.8.8/", None),
            ("https://[2606:4700::1111]/", None),
            ("http://example.org/", Some(Scheme)),
            ("ftp://example.org/", Some(Scheme)),
            ("file:///etc/passwd", Some(Scheme)),
            ("gopher://example.org:443/", Some(Scheme)),
            ("https://example.org:444/", Some(Port)),
            ("https://example.org:22/", Some(Port)),
            ("https://a@example.org/", Some(Credentials)),
            ("https://a:b@example.org/", Some(Credentials)),
            ("example.org", Some(Unreadable)),
            ("/hooks", Some(Unreadable)),
            ("", Some(Unreadable)),
            ("https://", Some(Unreadable)),
            ("https://127.0.0.1/", Some(NotPublic)),
            ("https://0x7f.1/", Some(NotPublic)),
            ("https://0177.0.0.1/", Some(NotPublic)),
            ("https://2130706433/", Some(NotPublic)),
            ("https://127.1/", Some(NotPublic)),
            ("https://0/", Some(NotPublic)),
            ("https://１２７.0.0.1/", Some(NotPublic)),
            ("https://169.254.169.254/latest/meta-data/", Some(NotPublic)),
            ("https://[::1]/", Some(NotPublic)),
            ("https://[::]/", Some(NotPublic)),
            ("https://[::ffff:10.0.0.1]/", Some(NotPublic)),
            ("https://[::ffff:a00:1]/", Some(NotPublic)),
            ("https://[fe80::1]/", Some(NotPublic)),
            ("https://[64:ff9b::7f00:1]/", Some(NotPublic)),
            ("https://localhost/", Some(NotPublic)),
            ("https://LOCALHOST./", Some(NotPublic)),
            ("https://db.internal/", Some(NotPublic)),
            ("https://printer.local/", Some(NotPublic)),
        ] {
            assert_eq!(parse(text, Allowed::PublicOnly).err(), want, "{text}");
        }
        let long = format!("https://example.org/{}", "a".repeat(URL_CHARS_MAX));
        assert_eq!(parse(&long, Allowed::PublicOnly), Err(Unreadable));
    }

    #[test]
    fn development_reaches_this_machine_and_no_other() {
        for text in
            ["http://127.0.0.1:8080/", "http://localhost:3000/x", "https://[::1]:9/", "https://example.org:444/"]
        {
            assert!(parse(text, Allowed::LoopbackToo).is_ok(), "{text}");
        }
        for text in ["http://10.0.0.1/", "http://169.254.169.254/", "http://[::ffff:10.0.0.1]/", "http://0.0.0.0/"] {
            assert_eq!(parse(text, Allowed::LoopbackToo), Err(Refused::NotPublic), "{text}");
        }
        assert!(is_allowed(address("::ffff:127.0.0.1"), Allowed::LoopbackToo));
    }

    proptest! {
        /// What the standard library knows to be special is refused.
        #[test]
        fn no_private_address_is_public(bits: u32) {
            let v4 = Ipv4Addr::from_bits(bits);
            let special = v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_broadcast()
                || v4.is_documentation() || v4.is_multicast() || v4.is_unspecified();
            prop_assert!(!(special && is_public(IpAddr::V4(v4))), "{v4}");
            prop_assert_eq!(is_public(IpAddr::V6(v4.to_ipv6_mapped())), is_public(IpAddr::V4(v4)));
            prop_assert!(!is_public(IpAddr::V6(v4.to_ipv6_compatible())));
            let written = format!("https://{bits}/");
            prop_assert_eq!(parse(&written, Allowed::PublicOnly).is_ok(), is_public(IpAddr::V4(v4)));
        }

        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = parse(&text, Allowed::PublicOnly);
        }
    }
}
