//! Twilio's webhooks. With an account of the tenant's, `X-Twilio-Signature` must be right.

mod after;
mod answer;
mod status;

use super::peers::{Asked, Peer, Signature};
use crate::App;
use model::CarrierKind;
use secrecy::SecretString;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use wire::fields::Fields;
use wire::report::Message;
use wire::signature::{form_pairs, twilio};
use wire::twilio::webhook;

const PEER: Peer = Peer {
    kind: CarrierKind::Twilio,
    actor: "carrier:twilio",
    verify: Some(verify),
    arrival: webhook::arrival,
    message,
    report: webhook::report,
    routing: webhook::routing,
};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(answer::answer)).routes(routes!(after::after)).routes(routes!(status::status))
}

/// The signature covers address and fields; the same request is the same again, and does no harm.
fn verify(asked: &Asked, url: &str, token: &SecretString) -> Signature {
    let signature = asked.header("x-twilio-signature");
    let verdict = if asked.is_form() {
        twilio::verify(token, url, &form_pairs(asked.body()), signature)
    } else {
        twilio::verify_body(token, url, asked.body(), signature)
    };
    Signature { verdict, request_key: None }
}

/// Only a call's status callback has a call status; one with `RecordingStatus` may be without an address.
fn message(fields: &Fields) -> Message {
    if fields.get("CallStatus").is_some() {
        Message::Status
    } else if fields.get("RecordingUrl").is_some() {
        Message::Recording
    } else if fields.get("RecordingStatus").is_some() {
        Message::Passthru
    } else {
        Message::Status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_apart() {
        for (query, want) in [
            ("CallStatus=completed", Message::Status),
            ("CallStatus=completed&RecordingUrl=https%3A%2F%2Fx%2Fa", Message::Status),
            ("RecordingUrl=https%3A%2F%2Fx%2Fa&RecordingStatus=completed", Message::Recording),
            ("RecordingStatus=absent", Message::Passthru),
            ("CallSid=CA1", Message::Status),
        ] {
            assert_eq!(message(&Fields::from_urlencoded(query.as_bytes()).expect("fields")), want, "{query}");
        }
    }
}
