//! Vobiz's webhooks: Plivo's, but for the signature. With an account of the tenant's, `X-Vobiz-Signature-V3` or that of
//! V2 must be right. It covers neither the fields nor the query, so that each nonce is taken once.

mod after;
mod answer;
mod status;

use super::peers::{Asked, Peer, Signature};
use super::plivo::message;
use crate::App;
use model::CarrierKind;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use wire::plivo::webhook;
use wire::signature::Verdict;
use wire::signature::vobiz::{self, Version};

const PEER: Peer = Peer {
    kind: CarrierKind::Vobiz,
    actor: "carrier:vobiz",
    verify: Some(verify),
    arrival: webhook::arrival,
    message,
    report: webhook::report,
    routing: webhook::routing,
};

/// Each version with its headers; the stronger first.
const HEADERS: [(Version, &str, &str); 2] = [
    (Version::V3, "x-vobiz-signature-v3", "x-vobiz-signature-v3-nonce"),
    (Version::V2, "x-vobiz-signature-v2", "x-vobiz-signature-v2-nonce"),
];

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(answer::answer)).routes(routes!(after::after)).routes(routes!(status::status))
}

/// The first version that is there counts.
fn verify(asked: &Asked, url: &str, token: &SecretString) -> Signature {
    let given = HEADERS.iter().find(|(_, signature, _)| asked.header(signature).is_some());
    let Some((version, signature, nonce)) = given else {
        return Signature { verdict: Verdict::Missing, request_key: None };
    };
    let nonce = asked.header(nonce);
    let verdict = vobiz::verify(token, *version, url, nonce, asked.header(signature));
    Signature { verdict, request_key: nonce.map(request_key) }
}

/// What a nonce is remembered as.
fn request_key(nonce: &str) -> [u8; 32] {
    Sha256::new().chain_update("vobiz\u{1f}").chain_update(nonce.trim()).finalize().into()
}
