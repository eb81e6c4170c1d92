//! `POST /webhooks/twilio/after/{token}`: our socket has closed; what comes then? Nobody enters this address anywhere: it
//! stands in the answer to the call.

use super::PEER;
use super::answer::CallBody;
use crate::webhooks::peers::{self, Asked, Dial, Reply};
use crate::{App, Problem};
use axum::extract::State;
use model::limits::{TRANSFER_CONVERSATION_S, TRANSFER_RINGING_S};
use std::sync::Arc;
use wire::twilio::reply::After;

/// Our socket has closed: the caller is put through to whom the agent decided on, or the call ends.
#[utoipa::path(
    post, path = "/webhooks/twilio/after/{token}", tag = "webhooks", operation_id = "twilio_after",
    params(
        ("token" = String, Path, description = "The unguessable part of the number's address"),
        ("x-twilio-signature" = Option<String>, Header, description = "HMAC-SHA1 over the address and the fields, with the account's auth token; needed when there is an account"),
    ),
    request_body(content = CallBody, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "Dial this number, or hang up", body = String, content_type = "application/xml"),
        (status = 401, description = "Not authentic: no signature where the account has one, a wrong one, or the number takes other proofs", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such address", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn after(State(app): State<Arc<App>>, asked: Asked) -> Result<Reply, Problem> {
    peers::after(&PEER, &app, &asked, write).await
}

fn write(dial: Option<&Dial>) -> Reply {
    let after = match dial {
        None => After::HangUp,
        Some(Dial { to, caller_id }) => {
            After::Dial { to, caller_id, ring_s: TRANSFER_RINGING_S, time_limit_s: TRANSFER_CONVERSATION_S }
        }
    };
    Reply::xml(after.to_xml())
}
