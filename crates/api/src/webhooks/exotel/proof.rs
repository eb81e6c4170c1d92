//! Exotel's own proof: a signature over the body, with the installation's secret.

use crate::App;
use crate::origin::Origin;
use crate::webhooks::proof::text;
use axum::http::HeaderMap;
use sha2::{Digest, Sha256};
use wire::exotel::webhook;
use wire::fields::Fields;
use wire::signature::{SignedRequest, Verdict, verify};

pub(super) use crate::webhooks::proof::{Offered, Proven};

/// What a request with a body offers.
pub(super) fn offered(
    app: &App,
    headers: &HeaderMap,
    body: &[u8],
    fields: Option<&Fields>,
    origin: &Origin,
) -> Offered {
    let request = SignedRequest {
        body,
        signature: text(headers, "x-exotel-signature"),
        timestamp: text(headers, "x-exotel-timestamp"),
        body_timestamp: fields.and_then(webhook::timestamp),
    };
    // Without a secret nothing can be right: never open by omission.
    let signature = app.exotel.webhook_secret.as_ref().map_or_else(
        || if request.signature.is_some() { Verdict::Wrong } else { Verdict::Missing },
        |secret| verify(secret, request, app.now()),
    );
    let key = |identity: Vec<u8>| Sha256::digest(identity).into();
    Offered::signed(headers, origin, signature, request.replay_identity().map(key))
        .untimed(request.untimed_identity().map(key))
}
