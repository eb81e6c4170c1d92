//! `GET /api/api-keys`.

use super::ApiKeyBody;
use crate::listing::{ListBody, ListQuery, page_request};
use crate::{Caller, Problem, ValidQuery, scopes};
use axum::Json;
use store::api_keys;

/// The API keys of your organisation, newest first: good ones, expired ones, revoked ones.
#[utoipa::path(
    get, path = "/api/api-keys", tag = "keys", operation_id = "list_api_keys",
    params(ListQuery),
    responses((status = 200, description = "A page of them", body = ListBody<ApiKeyBody>)),
    security(("bearer" = ["api-keys:read"])),
)]
pub(crate) async fn list_api_keys(
    caller: Caller<scopes::ApiKeysRead>,
    ValidQuery(query): ValidQuery<ListQuery>,
) -> Result<Json<ListBody<ApiKeyBody>>, Problem> {
    let page = page_request(query.cursor.as_deref(), query.limit)?;
    let found = caller.read("api_keys.list", async |tx| Ok(api_keys::list(tx, page).await?)).await?;
    Ok(Json(ListBody::from_page(found, ApiKeyBody::from)))
}
