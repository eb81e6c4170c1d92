//! `POST /api/api-keys`.

use super::ApiKeyBody;
use crate::auth::passwords::ours;
use crate::members::person;
use crate::problem::FieldFault;
use crate::{Caller, Problem, Valid, scopes};
use axum::Json;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use identity::ApiKey;
use model::{AuditKind, Role, Scope};
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};
use store::api_keys::{self, NewApiKey};
use utoipa::ToSchema;

/// A key to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CreateApiKey, example = json!({ "name": "Booking system", "scopes": ["calls:read", "agents:read"] }))]
pub(crate) struct CreateApiKeyBody {
    /// Shown to people.
    #[schema(min_length = 1, max_length = 120, format = "no-special-characters", example = "Booking system")]
    name: String,
    /// What it may do: nothing that you may not. Members and other keys are beyond any key.
    #[schema(min_items = 1, max_items = 32, example = json!(["calls:read", "agents:read"]))]
    scopes: Vec<Scope>,
    /// When it is over; absent = never.
    expires_at: Option<DateTime<Utc>>,
}

/// A new key. It is shown this one time.
#[derive(Serialize, ToSchema)]
#[schema(as = NewApiKey)]
pub(crate) struct NewApiKeyBody {
    /// Send it as `Authorization: Bearer …`.
    #[schema(example = "caly_key_…")]
    key: String,
    /// The rest.
    #[serde(flatten)]
    api_key: ApiKeyBody,
}

/// Makes an API key. The answer shows it, once; only its hash is kept.
#[utoipa::path(
    post, path = "/api/api-keys", tag = "keys", operation_id = "create_api_key",
    request_body = CreateApiKeyBody,
    responses((status = 201, description = "The key", body = NewApiKeyBody)),
    security(("bearer" = ["api-keys:write"])),
)]
pub(crate) async fn create_api_key(
    caller: Caller<scopes::ApiKeysWrite>,
    Valid(mut body): Valid<CreateApiKeyBody>,
) -> Result<(StatusCode, Json<NewApiKeyBody>), Problem> {
    let (user, role) = person(&caller.identity)?;
    usable(&body, role, caller.now)?;
    body.scopes.sort_unstable();
    body.scopes.dedup();
    let key = ApiKey::random().map_err(|error| ours(&error))?;
    let new = NewApiKey {
        name: &body.name,
        key_hash: key.hash(),
        last4: key.last4(),
        scopes: &body.scopes,
        created_by: user,
        expires_at: body.expires_at,
    };
    let made = caller
        .write("api_keys.create", async |tx| {
            let made = api_keys::create(tx, &new, caller.now).await?;
            let data = Map::from_iter([("scopes".to_owned(), json!(made.scopes))]);
            caller.audit(tx, AuditKind::ApiKeyCreated, Some(("api_key", made.id.to_string())), data).await?;
            Ok(made)
        })
        .await?;
    Ok((StatusCode::CREATED, Json(NewApiKeyBody { key: key.expose().to_owned(), api_key: made.into() })))
}

/// A key may do no more than who makes it, and ends in the future.
fn usable(body: &CreateApiKeyBody, role: Role, now: DateTime<Utc>) -> Result<(), Problem> {
    let mut faults = Vec::new();
    for (index, scope) in body.scopes.iter().enumerate() {
        let why = match (scope.for_api_keys(), role.holds(*scope)) {
            (true, true) => continue,
            (false, _) => "is a scope that no API key may hold",
            (true, false) => "is a scope that you do not hold yourself",
        };
        faults.push(FieldFault { field: format!("scopes.{index}"), message: why.to_owned() });
    }
    if body.expires_at.is_some_and(|at| at <= now) {
        faults.push(FieldFault { field: "expires_at".to_owned(), message: "must be in the future".to_owned() });
    }
    if faults.is_empty() { Ok(()) } else { Err(Problem::fields(faults)) }
}
