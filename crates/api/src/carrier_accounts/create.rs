//! `POST /api/carrier-accounts`.

use super::rules::{self, Settings};
use super::{CarrierAccountView, ExotelRegion};
use crate::auth::secret::Secret;
use crate::caller::scopes::ProviderKeysWrite;
use crate::once::{Answer, IdempotencyHeader, IdempotencyKey};
use crate::problem::ProblemBody;
use crate::{Caller, Problem, Valid};
use model::{AuditKind, CarrierKind};
use serde::{Deserialize, Serialize};
use serde_json::Map;
use sha2::{Digest as _, Sha256};
use store::carrier_accounts::{self, NewCarrierAccount};
use utoipa::ToSchema;

const ROUTE: &str = "carrier_accounts.create";

/// An account to keep.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewCarrierAccount, example = json!({
    "carrier": "exotel",
    "account_id": "clinic1",
    "region": "mumbai",
    "api_key": "4f9c1b2a7d3e8f60",
    "token": "0123456789abcdef0123456789abcdef01234567",
}))]
pub(crate) struct NewCarrierAccountBody {
    /// At which carrier. There is one account at each.
    carrier: CarrierKind,
    /// What the carrier calls it: Exotel's account SID, Twilio's `AC…`, the auth id of Plivo and Vobiz.
    #[schema(min_length = 1, max_length = 64, pattern = "^[!-~]*$")]
    account_id: String,
    /// Where the carrier keeps it. Exotel needs it, the others have none.
    region: Option<ExotelRegion>,
    /// The name of the API key. Exotel needs it, the others have none.
    #[schema(min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9_.-]*$")]
    api_key: Option<String>,
    /// The flow that outgoing calls run through; Exotel only. Absent: they are streamed without one.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_-]*$")]
    flow_id: Option<String>,
    /// The token: Exotel's API token, the auth token of the others. It is kept encrypted and never shown again.
    #[schema(value_type = String, format = "password", min_length = 8, max_length = 2048, pattern = "^[!-~]+$")]
    token: Secret,
}

/// The request as it is compared with an earlier one: with the token's hash in its place.
#[derive(Serialize)]
struct Compared<'a> {
    carrier: CarrierKind,
    account_id: &'a str,
    region: Option<ExotelRegion>,
    api_key: Option<&'a str>,
    flow_id: Option<&'a str>,
    token: [u8; 32],
}

/// Keeps an account at a carrier.
///
/// Outgoing calls are placed with it, and the carrier's recordings are fetched with it.
#[utoipa::path(
    post,
    path = "/api/carrier-accounts",
    tag = "keys",
    security(("bearer" = ["provider-keys:write"])),
    params(IdempotencyHeader),
    request_body = NewCarrierAccountBody,
    responses(
        (status = 201, description = "The account, without its token", body = CarrierAccountView),
        (status = 409, description = "There is an account at this carrier already",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The idempotency key came with another body before",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn create_carrier_account(
    caller: Caller<ProviderKeysWrite>,
    key: IdempotencyKey,
    Valid(body): Valid<NewCarrierAccountBody>,
) -> Result<Answer, Problem> {
    let (account_id, api_key, flow_id) = (body.account_id.as_str(), body.api_key.as_deref(), body.flow_id.as_deref());
    let (carrier, region) = (body.carrier, body.region.map(ExotelRegion::as_str));
    rules::check(&Settings { carrier, account_id, region, api_key, flow_id })?;
    let token = Sha256::digest(body.token.expose()).into();
    let compared = Compared { carrier, account_id, region: body.region, api_key, flow_id, token };
    let new = NewCarrierAccount { carrier, account_id, region, api_key, flow_id, token: body.token.hidden() };
    caller
        .write(ROUTE, async |tx| {
            if let Some(answer) = key.replay(&caller, tx, ROUTE, &compared).await? {
                return Ok(answer);
            }
            let made = carrier_accounts::create(tx, &new, caller.now).await?;
            let data = Map::from_iter([("carrier".to_owned(), carrier.as_str().into())]);
            let object = Some(("carrier_account", made.id.to_string()));
            caller.audit(tx, AuditKind::CarrierAccountCreated, object, data).await?;
            key.created(tx, ROUTE, &CarrierAccountView::from(made)).await
        })
        .await
}
