//! What makes a webhook authentic: a signature, the unguessable part of its address, HTTP Basic, where it comes from.
//! Which of them count is a choice of each number; any one of those is enough, and without any nothing is authentic.

use crate::origin::Origin;
use crate::{Code, Problem};
use axum::http::HeaderMap;
use ipnet::IpNet;
use secrecy::ExposeSecret as _;
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use store::phone_numbers::WebhookProofs;
use subtle::ConstantTimeEq as _;
use wire::signature::{Verdict, basic_credentials};

/// What a request offers.
pub(super) struct Offered {
    /// Over its body; of a request that none covers, none.
    signature: Verdict,
    /// Of a rightly signed request that says a time.
    request_key: Option<[u8; 32]>,
    /// Of a rightly signed body that says no time.
    untimed_key: Option<[u8; 32]>,
    /// SHA-256 of `user:password`.
    basic: Option<[u8; 32]>,
    /// The client's address.
    ip: Option<IpAddr>,
    /// It came to the address of its number.
    path_token: bool,
}

/// An authentic request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Proven {
    /// What must not have come before: nothing but a signature with a time speaks for this request.
    pub(super) request_key: Option<[u8; 32]>,
    /// What the same body is known by, whatever time its header says: nothing but a signature speaks for it, and no time
    /// is signed.
    pub(super) untimed_key: Option<[u8; 32]>,
}

impl Offered {
    /// Of a request without a body, which no signature covers.
    pub(super) fn without_body(headers: &HeaderMap, origin: &Origin) -> Self {
        let basic = text(headers, "authorization").and_then(basic_credentials);
        Self {
            signature: Verdict::Missing,
            request_key: None,
            untimed_key: None,
            basic: basic.map(|pair| Sha256::digest(pair.expose_secret()).into()),
            ip: origin.ip,
            path_token: false,
        }
    }

    /// Of a request that has a signature, or should.
    pub(super) fn signed(
        headers: &HeaderMap,
        origin: &Origin,
        signature: Verdict,
        request_key: Option<[u8; 32]>,
    ) -> Self {
        Self { signature, request_key, ..Self::without_body(headers, origin) }
    }

    /// Its body says no time.
    pub(super) fn untimed(self, untimed_key: Option<[u8; 32]>) -> Self {
        Self { untimed_key, ..self }
    }

    /// It came to the address of its number.
    pub(super) fn at_its_address(self) -> Self {
        Self { path_token: true, ..self }
    }

    /// Whether this is enough for a number; of an unknown number only the signature can be.
    ///
    /// # Errors
    /// 401, by the signature: it is what a sender can mend.
    pub(super) fn judge(&self, accepted: Option<&WebhookProofs>) -> Result<Proven, Problem> {
        let unknown = WebhookProofs { signature: true, path_token: false, basic: None, addresses: Vec::new() };
        let accepted = accepted.unwrap_or(&unknown);
        if (accepted.path_token && self.path_token) || self.knows(accepted) || self.comes_from(accepted) {
            return Ok(Proven { request_key: None, untimed_key: None });
        }
        let (code, detail) = match self.signature {
            Verdict::Valid if accepted.signature => {
                return Ok(Proven { request_key: self.request_key, untimed_key: self.untimed_key });
            }
            Verdict::Valid => (Code::SignatureWrong, "A signature is no proof for this number"),
            Verdict::Missing => (Code::SignatureMissing, "Missing webhook signature"),
            Verdict::Wrong => (Code::SignatureWrong, "Wrong webhook signature"),
            Verdict::TooOld => (Code::SignatureExpired, "The webhook was signed too long ago"),
        };
        Err(Problem::new(code, detail))
    }

    fn knows(&self, accepted: &WebhookProofs) -> bool {
        match (&accepted.basic, &self.basic) {
            (Some(kept), Some(given)) => kept.hash.ct_eq(given).into(),
            (Some(_), None) | (None, _) => false,
        }
    }

    fn comes_from(&self, accepted: &WebhookProofs) -> bool {
        let Some(ip) = self.ip.map(|ip| ip.to_canonical()) else { return false };
        let within = |network: &String| network.parse::<IpNet>().is_ok_and(|network| network.contains(&ip));
        accepted.addresses.iter().any(within)
    }
}

/// The text of a header.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::phone_numbers::BasicProof;

    const KEY: [u8; 32] = [9; 32];
    const UNTIMED: [u8; 32] = [8; 32];
    const SIGNED: Proven = Proven { request_key: Some(KEY), untimed_key: Some(UNTIMED) };

    fn offered(signature: Verdict) -> Offered {
        let request_key = Some(KEY);
        Offered { signature, request_key, untimed_key: Some(UNTIMED), basic: None, ip: None, path_token: false }
    }

    fn none() -> WebhookProofs {
        WebhookProofs { signature: false, path_token: false, basic: None, addresses: Vec::new() }
    }

    fn basic(pair: &str) -> Option<[u8; 32]> {
        Some(Sha256::digest(pair).into())
    }

    #[test]
    fn each_proof_counts_only_where_it_is_accepted() {
        let kept = BasicProof { username: "exotel".to_owned(), hash: Sha256::digest("exotel:right").into() };
        let all: [(&str, WebhookProofs, Offered, Offered); 6] = [
            (
                "signature",
                WebhookProofs { signature: true, ..none() },
                offered(Verdict::Valid),
                offered(Verdict::Wrong),
            ),
            (
                "path",
                WebhookProofs { path_token: true, ..none() },
                offered(Verdict::Missing).at_its_address(),
                offered(Verdict::Missing),
            ),
            (
                "basic",
                WebhookProofs { basic: Some(kept.clone()), ..none() },
                Offered { basic: basic("exotel:right"), ..offered(Verdict::Missing) },
                Offered { basic: basic("exotel:wrong"), ..offered(Verdict::Missing) },
            ),
            (
                "basic, other name",
                WebhookProofs { basic: Some(kept), ..none() },
                Offered { basic: basic("exotel:right"), ..offered(Verdict::Wrong) },
                Offered { basic: basic("exotel2:right"), ..offered(Verdict::Missing) },
            ),
            (
                "address",
                WebhookProofs { addresses: vec!["nonsense".to_owned(), "203.0.113.0/24".to_owned()], ..none() },
                Offered { ip: "203.0.113.9".parse().ok(), ..offered(Verdict::Missing) },
                Offered { ip: "203.0.114.9".parse().ok(), ..offered(Verdict::Missing) },
            ),
            (
                "mapped address",
                WebhookProofs { addresses: vec!["203.0.113.0/24".to_owned()], ..none() },
                Offered { ip: "::ffff:203.0.113.9".parse().ok(), ..offered(Verdict::Missing) },
                Offered { ip: "2001:db8::1".parse().ok(), ..offered(Verdict::Missing) },
            ),
        ];
        for (what, accepted, right, wrong) in all {
            assert!(right.judge(Some(&accepted)).is_ok(), "{what}");
            assert!(right.judge(Some(&none())).is_err(), "{what}, not accepted");
            assert!(wrong.judge(Some(&accepted)).is_err(), "{what}, wrong");
        }
    }

    #[test]
    fn an_unknown_number_has_only_the_signature() {
        let rest = Offered { basic: basic("a:b"), ip: "127.0.0.1".parse().ok(), ..offered(Verdict::Missing) };
        assert_eq!(rest.at_its_address().judge(None).unwrap_err().code, Code::SignatureMissing);
        assert_eq!(offered(Verdict::Valid).judge(None), Ok(SIGNED));
        assert_eq!(offered(Verdict::TooOld).judge(None).unwrap_err().code, Code::SignatureExpired);
    }

    #[test]
    fn what_is_proven_otherwise_may_come_again() {
        let both = WebhookProofs::default();
        assert_eq!(offered(Verdict::Valid).judge(Some(&both)), Ok(SIGNED));
        let free = Proven { request_key: None, untimed_key: None };
        assert_eq!(offered(Verdict::Valid).at_its_address().judge(Some(&both)), Ok(free));
    }
}
