//! `POST /api/phone-numbers/{id}/webhook-address`.

use super::replace_webhook_address;
use crate::auth::path_id::PathId;
use crate::caller::scopes::PhoneNumbersWrite;
use crate::{Caller, Code, Problem};
use axum::Json;
use axum::http::{HeaderMap, StatusCode};
use identity::PathToken;
use model::{CarrierKind, PhoneNumberId};
use serde::Serialize;
use utoipa::ToSchema;

/// Webhook addresses, shown once.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookAddress)]
pub(crate) struct WebhookAddressView {
    /// What to enter at the carrier, where it asks what to do with a call. Whoever knows it can announce calls to this
    /// number: keep it like a password.
    #[schema(example = "https://caly.example.org/webhooks/exotel/voicebot/9nq7…")]
    url: String,
    /// Exotel only: what to enter in a Passthru applet behind it, how the carrier tells that an incoming call is over.
    #[schema(example = "https://caly.example.org/webhooks/exotel/passthru/9nq7…")]
    #[serde(skip_serializing_if = "Option::is_none")]
    passthru_url: Option<String>,
    /// Exotel only: what to enter as the dynamic URL of a Connect applet behind both, which says whom a caller is handed
    /// to.
    #[schema(example = "https://caly.example.org/webhooks/exotel/connect/9nq7…")]
    #[serde(skip_serializing_if = "Option::is_none")]
    connect_url: Option<String>,
    /// Where the carrier tells what becomes of a call and of its recording.
    #[schema(example = "https://caly.example.org/webhooks/exotel/status/9nq7…")]
    status_url: String,
}

/// Makes a webhook address for a phone number; the earlier one stops working.
///
/// It cannot be guessed, and stands in for a signature where the carrier signs nothing. It is shown only here, in all
/// its uses.
#[utoipa::path(
    post,
    path = "/api/phone-numbers/{id}/webhook-address",
    tag = "phone-numbers",
    security(("bearer" = ["phone-numbers:write"])),
    params(("id" = PhoneNumberId, Path, description = "The phone number")),
    responses((status = 201, description = "The address", body = WebhookAddressView)),
)]
pub(crate) async fn create_webhook_address(
    caller: Caller<PhoneNumbersWrite>,
    PathId(id): PathId<PhoneNumberId>,
    headers: HeaderMap,
) -> Result<(StatusCode, Json<WebhookAddressView>), Problem> {
    let base = caller.app.base_url(&headers)?;
    let token = PathToken::random().map_err(|error| {
        tracing::error!(error = %error, "no randomness");
        Problem::new(Code::Internal, "something went wrong on our side").caused_by(&error)
    })?;
    let number = caller
        .write("phone_numbers.set_path_token", async |tx| {
            replace_webhook_address(tx, &caller.author(), id, token.hash(), caller.now).await
        })
        .await?;
    let carrier = number.carrier.as_str();
    let at = |what: &str| format!("{base}/webhooks/{carrier}/{what}/{}", token.expose());
    let (asked, has_applets) = match number.carrier {
        CarrierKind::Exotel => ("voicebot", true),
        CarrierKind::Twilio | CarrierKind::Plivo | CarrierKind::Vobiz | CarrierKind::Smartflo => ("answer", false),
    };
    let view = WebhookAddressView {
        url: at(asked),
        passthru_url: has_applets.then(|| at("passthru")),
        connect_url: has_applets.then(|| at("connect")),
        status_url: at("status"),
    };
    Ok((StatusCode::CREATED, Json(view)))
}
