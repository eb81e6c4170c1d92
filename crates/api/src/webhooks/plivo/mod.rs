//! Plivo's webhooks. With an account of the tenant's, `X-Plivo-Signature-V3` (or that of the main account, for a
//! subaccount) must be right.

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
use wire::plivo::webhook;
use wire::report::Message;
use wire::signature::plivo::Method;
use wire::signature::{form_pairs, plivo};

const PEER: Peer = Peer {
    kind: CarrierKind::Plivo,
    actor: "carrier:plivo",
    verify: Some(verify),
    arrival: webhook::arrival,
    message,
    report: webhook::report,
    routing: webhook::routing,
};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(answer::answer)).routes(routes!(after::after)).routes(routes!(status::status))
}

/// The signature covers address, fields and nonce; the same request is the same again, and does no harm.
fn verify(asked: &Asked, url: &str, token: &SecretString) -> Signature {
    let nonce = asked.header("x-plivo-signature-v3-nonce");
    let given = ["x-plivo-signature-v3", "x-plivo-signature-ma-v3"].map(|name| asked.header(name));
    let signatures: Vec<&str> = given.into_iter().flatten().collect();
    let signatures = (!signatures.is_empty()).then(|| signatures.join(","));
    let pairs = form_pairs(asked.body());
    let verdict = plivo::verify(token, Method::Post, url, &pairs, nonce, signatures.as_deref());
    Signature { verdict, request_key: None }
}

/// Vobiz's are told apart likewise. A recording may be asked for over the API, and then lies in a field of its own.
pub(super) fn message(fields: &Fields) -> Message {
    let event = fields.get("Event").unwrap_or_default();
    let recording = ["RecordUrl", "RecordingUrl", "response[record_url]"];
    if event.eq_ignore_ascii_case("Hangup") || fields.get("HangupCause").is_some() {
        Message::CallEnd
    } else if fields.first(&recording).is_some() {
        Message::Recording
    } else if fields.get("CallStatus").is_some() && (event.is_empty() || event.eq_ignore_ascii_case("Ring")) {
        Message::Status
    } else {
        Message::Passthru
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_apart() {
        for (query, want) in [
            ("Event=Hangup&CallStatus=completed", Message::CallEnd),
            ("CallStatus=completed&HangupCause=NORMAL_CLEARING&RecordUrl=https%3A%2F%2Fx%2Fa", Message::CallEnd),
            ("Event=Ring&CallStatus=ringing", Message::Status),
            ("CallStatus=ringing", Message::Status),
            ("Event=RecordStop&RecordUrl=https%3A%2F%2Fx%2Fa", Message::Recording),
            ("response=%7B%22record_url%22%3A%22https%3A%2F%2Fx%2Fa%22%7D", Message::Recording),
            ("Event=StopStream&CallStatus=odd", Message::Passthru),
            ("CallUUID=1", Message::Passthru),
        ] {
            assert_eq!(message(&Fields::from_urlencoded(query.as_bytes()).expect("fields")), want, "{query}");
        }
    }
}
