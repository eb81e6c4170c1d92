//! Accounts of the organisation at its carriers: what outgoing calls are placed with and recordings are fetched with. A
//! token comes in and never goes out: only its last four characters are shown.

mod create;
mod delete;
mod get;
mod list;
mod rules;
mod update;

use crate::App;
use chrono::{DateTime, Utc};
use model::{CarrierAccountId, CarrierKind};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use store::carrier_accounts::CarrierAccount;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Where Exotel keeps an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ExotelRegion {
    /// `api.in.exotel.com`.
    Mumbai,
    /// `api.exotel.com`.
    Singapore,
}

impl ExotelRegion {
    /// The word in the API and the database.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Mumbai => "mumbai",
            Self::Singapore => "singapore",
        }
    }
}

/// An account at a carrier, without its token.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CarrierAccount)]
pub(crate) struct CarrierAccountView {
    /// Its id.
    id: CarrierAccountId,
    /// At which carrier.
    carrier: CarrierKind,
    /// What the carrier calls it: Exotel's account SID, Twilio's `AC…`, the auth id of Plivo and Vobiz.
    #[schema(example = "clinic1")]
    account_id: String,
    /// Where the carrier keeps it; Exotel only.
    #[schema(example = "mumbai")]
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    /// The name of the API key; Exotel only. It is no secret by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key: Option<String>,
    /// The flow that outgoing calls run through; Exotel only. Absent: they are streamed without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    flow_id: Option<String>,
    /// The token's last four characters.
    #[schema(example = "x7Qf")]
    last4: String,
    /// When it was first kept.
    created_at: DateTime<Utc>,
    /// When it was last changed.
    updated_at: DateTime<Utc>,
}

impl From<CarrierAccount> for CarrierAccountView {
    fn from(account: CarrierAccount) -> Self {
        Self {
            id: account.id,
            carrier: account.carrier,
            account_id: account.account_id,
            region: account.region,
            api_key: account.api_key,
            flow_id: account.flow_id,
            last4: account.last4,
            created_at: account.created_at,
            updated_at: account.updated_at,
        }
    }
}

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list::list_carrier_accounts, create::create_carrier_account)).routes(routes!(
        get::get_carrier_account,
        update::update_carrier_account,
        delete::delete_carrier_account
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_the_same_everywhere() {
        for word in ["mumbai", "singapore"] {
            let region: ExotelRegion = serde_json::from_value(word.into()).expect("a region");
            assert_eq!(region.as_str(), word);
        }
    }
}
