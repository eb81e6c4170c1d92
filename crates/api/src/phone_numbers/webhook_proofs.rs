//! What makes a webhook about a number authentic, as people choose and see it.

use crate::auth::secret::Secret;
use crate::{FieldFault, Problem};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use store::phone_numbers::{BasicProof, WebhookProofs};
use utoipa::ToSchema;

/// Widest networks accepted, in bits of their prefix: a wider one is the whole internet, and no proof.
const PREFIX_MIN_V4: u8 = 8;
const PREFIX_MIN_V6: u8 = 16;

/// What makes a webhook about a number authentic: any one of these. The whole set: what is left out is no proof.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewWebhookProofs, example = json!({
    "signature": false,
    "path_token": true,
    "basic": { "username": "exotel", "password": "correct horse battery staple" },
    "addresses": ["203.0.113.0/24"],
}))]
pub(super) struct NewWebhookProofs {
    /// The installation's signature over the body, in `x-exotel-signature`.
    signature: bool,
    /// The unguessable part of the number's webhook addresses.
    path_token: bool,
    /// HTTP Basic: enter `https://username:password@host/…` at the carrier. Must be given again with every change.
    basic: Option<NewBasic>,
    /// Networks that the carrier sends from. Its other customers send from there, too: better beside another proof's
    /// secret than as the only proof.
    #[schema(max_items = 16)]
    addresses: Option<Vec<Network>>,
}

/// A network in CIDR notation, or one address.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, min_length = 2, max_length = 43, example = "203.0.113.0/24")]
pub(super) struct Network(String);

/// Credentials of HTTP Basic.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewBasic {
    /// Without a colon.
    #[schema(min_length = 1, max_length = 64, pattern = "^[^:]+$")]
    username: String,
    /// Made up for this purpose, at random. It is not shown again.
    #[schema(value_type = String, format = "password", min_length = 16, max_length = 256)]
    password: Secret,
}

/// What makes a webhook about a number authentic: any one of these.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookProofs)]
pub(super) struct WebhookProofsView {
    /// The installation's signature over the body.
    signature: bool,
    /// The unguessable part of the number's webhook addresses.
    path_token: bool,
    /// HTTP Basic by this name; its password is not shown.
    basic_username: Option<String>,
    /// Networks that the carrier sends from.
    addresses: Vec<String>,
}

impl From<WebhookProofs> for WebhookProofsView {
    fn from(proofs: WebhookProofs) -> Self {
        Self {
            signature: proofs.signature,
            path_token: proofs.path_token,
            basic_username: proofs.basic.map(|basic| basic.username),
            addresses: proofs.addresses,
        }
    }
}

impl NewWebhookProofs {
    /// As it is kept.
    ///
    /// # Errors
    /// Names every network that is none, and a set without any proof.
    pub(super) fn read(&self) -> Result<WebhookProofs, Problem> {
        let mut faults = Vec::new();
        let mut addresses = Vec::new();
        for (n, network) in self.addresses.iter().flatten().enumerate() {
            match network.read() {
                Some(network) => addresses.push(network.to_string()),
                None => faults.push(FieldFault {
                    field: format!("webhook_proofs.addresses.{n}"),
                    message: "is not a network such as 203.0.113.0/24, or too wide a one".to_owned(),
                }),
            }
        }
        let basic = self.basic.as_ref().map(|basic| BasicProof {
            username: basic.username.clone(),
            hash: Sha256::digest(format!("{}:{}", basic.username, basic.password.expose())).into(),
        });
        if !faults.is_empty() {
            return Err(Problem::fields(faults));
        }
        let proofs = WebhookProofs { signature: self.signature, path_token: self.path_token, basic, addresses };
        if proofs.is_none() {
            return Err(Problem::field("webhook_proofs", "needs at least one proof"));
        }
        Ok(proofs)
    }
}

impl Network {
    fn read(&self) -> Option<IpNet> {
        let text = self.0.trim();
        let network = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))?;
        let min = match network {
            IpNet::V4(_) => PREFIX_MIN_V4,
            IpNet::V6(_) => PREFIX_MIN_V6,
        };
        (network.prefix_len() >= min).then(|| network.trunc())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_and_the_internet_is_none() {
        for (text, want) in [
            ("203.0.113.0/24", Some("203.0.113.0/24")),
            ("203.0.113.7/24", Some("203.0.113.0/24")),
            (" 203.0.113.7 ", Some("203.0.113.7/32")),
            ("2001:db8::/32", Some("2001:db8::/32")),
            ("2001:db8::1", Some("2001:db8::1/128")),
            ("0.0.0.0/0", None),
            ("128.0.0.0/1", None),
            ("::/0", None),
            ("::ffff:0:0/8", None),
            ("203.0.113.0/33", None),
            ("exotel.com", None),
            ("", None),
        ] {
            assert_eq!(Network(text.to_owned()).read().map(|n| n.to_string()).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn there_is_always_a_proof() {
        let none = NewWebhookProofs { signature: false, path_token: false, basic: None, addresses: Some(Vec::new()) };
        assert_eq!(none.read().unwrap_err().faults()[0].field, "webhook_proofs");
        assert!(NewWebhookProofs { path_token: true, ..none }.read().is_ok());
    }

    #[test]
    fn a_password_is_kept_as_its_hash() {
        let body = serde_json::json!({ "signature": false, "path_token": false,
            "basic": { "username": "exotel", "password": "correct horse battery staple" } });
        let new: NewWebhookProofs = serde_json::from_value(body).expect("a body");
        assert!(!format!("{new:?}").contains("horse"));
        let proofs = new.read().expect("proofs");
        let want: [u8; 32] = Sha256::digest("exotel:correct horse battery staple").into();
        assert_eq!(proofs.basic.map(|basic| basic.hash), Some(want));
    }
}
