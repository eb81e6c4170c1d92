//! `GET /api/provider-keys`.

use super::ProviderKeyView;
use crate::caller::scopes::ProviderKeysRead;
use crate::listing::{ListBody, ListQuery, page_request};
use crate::{Caller, Problem, ValidQuery};
use axum::Json;
use store::provider_keys;

/// Lists the keys at providers, never the keys themselves.
#[utoipa::path(
    get,
    path = "/api/provider-keys",
    tag = "keys",
    security(("bearer" = ["provider-keys:read"])),
    params(ListQuery),
    responses((status = 200, description = "A page of keys", body = ListBody<ProviderKeyView>)),
)]
pub(crate) async fn list_provider_keys(
    caller: Caller<ProviderKeysRead>,
    ValidQuery(query): ValidQuery<ListQuery>,
) -> Result<Json<ListBody<ProviderKeyView>>, Problem> {
    let page = page_request(query.cursor.as_deref(), query.limit)?;
    let page = caller.read("provider_keys.list", async |tx| Ok(provider_keys::list(tx, page).await?)).await?;
    Ok(Json(ListBody::from_page(page, ProviderKeyView::from)))
}
