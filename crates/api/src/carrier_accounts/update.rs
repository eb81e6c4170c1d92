//! `PATCH /api/carrier-accounts/{id}`.

use super::rules::{self, Settings};
use super::{CarrierAccountView, ExotelRegion};
use crate::auth::path_id::PathId;
use crate::auth::secret::Secret;
use crate::caller::scopes::ProviderKeysWrite;
use crate::{Caller, Problem, Valid};
use axum::Json;
use model::{AuditKind, CarrierAccountId};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use store::carrier_accounts::{self, CarrierAccount, Change};
use utoipa::ToSchema;

/// What is to be otherwise. What is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CarrierAccountChange, example = json!({ "token": "0123456789abcdef0123456789abcdef01234567" }))]
pub(crate) struct CarrierAccountChange {
    /// What the carrier calls it.
    #[schema(min_length = 1, max_length = 64, pattern = "^[!-~]*$")]
    account_id: Option<String>,
    /// Where Exotel keeps it.
    region: Option<ExotelRegion>,
    /// The name of Exotel's API key.
    #[schema(min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9_.-]*$")]
    api_key: Option<String>,
    /// The flow that outgoing calls run through; `null` = none any more, they are streamed without one.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_-]*$")]
    #[serde(default, deserialize_with = "given")]
    flow_id: Option<Option<String>>,
    /// The token. It is kept encrypted and never shown again.
    #[schema(value_type = Option<String>, format = "password", min_length = 8, max_length = 2048,
        pattern = "^[!-~]+$")]
    token: Option<Secret>,
}

/// Tells `null`, which removes, from a field that is absent.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl CarrierAccountChange {
    fn change(&self) -> Change<'_> {
        Change {
            account_id: self.account_id.as_deref(),
            region: self.region.map(|region| Some(region.as_str())),
            api_key: self.api_key.as_deref().map(Some),
            flow_id: self.flow_id.as_ref().map(Option::as_deref),
            token: self.token.as_ref().map(Secret::hidden),
        }
    }
}

/// The account with the change.
fn changed<'a>(account: &'a CarrierAccount, change: &Change<'a>) -> Settings<'a> {
    Settings {
        carrier: account.carrier,
        account_id: change.account_id.unwrap_or(&account.account_id),
        region: change.region.unwrap_or(account.region.as_deref()),
        api_key: change.api_key.unwrap_or(account.api_key.as_deref()),
        flow_id: change.flow_id.unwrap_or(account.flow_id.as_deref()),
    }
}

/// Which fields are named, for the audit log.
fn names(change: &Change<'_>) -> Vec<&'static str> {
    let all = [
        ("account_id", change.account_id.is_some()),
        ("region", change.region.is_some()),
        ("api_key", change.api_key.is_some()),
        ("flow_id", change.flow_id.is_some()),
        ("token", change.token.is_some()),
    ];
    all.into_iter().filter(|(_, named)| *named).map(|(name, _)| name).collect()
}

/// Changes an account at a carrier: its token, its flow, what the carrier calls it.
///
/// Its carrier stays; make another account for another carrier.
#[utoipa::path(
    patch,
    path = "/api/carrier-accounts/{id}",
    tag = "keys",
    security(("bearer" = ["provider-keys:write"])),
    params(("id" = CarrierAccountId, Path, description = "The account")),
    request_body = CarrierAccountChange,
    responses((status = 200, description = "The account as it is now, without its token", body = CarrierAccountView)),
)]
pub(crate) async fn update_carrier_account(
    caller: Caller<ProviderKeysWrite>,
    PathId(id): PathId<CarrierAccountId>,
    Valid(body): Valid<CarrierAccountChange>,
) -> Result<Json<CarrierAccountView>, Problem> {
    let change = body.change();
    let names = names(&change);
    let account = caller
        .write("carrier_accounts.update", async |tx| {
            let account = carrier_accounts::get(tx, id).await?;
            rules::check(&changed(&account, &change))?;
            if names.is_empty() {
                return Ok(account);
            }
            let account = carrier_accounts::update(tx, id, &change, caller.now).await?;
            let data = Map::from_iter([
                ("carrier".to_owned(), Value::from(account.carrier.as_str())),
                ("changed".to_owned(), Value::from(names.clone())),
            ]);
            let object = Some(("carrier_account", id.to_string()));
            caller.audit(tx, AuditKind::CarrierAccountUpdated, object, data).await?;
            Ok(account)
        })
        .await?;
    Ok(Json(account.into()))
}
