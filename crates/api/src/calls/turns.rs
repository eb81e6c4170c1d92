//! `GET /api/calls/{id}/turns`.

use crate::auth::path_id::PathId;
use crate::caller::scopes::CallsRead;
use crate::{Caller, Problem, ValidQuery};
use axum::Json;
use model::{AuditKind, CallId, TranscriptTurn};
use serde::{Deserialize, Serialize};
use serde_json::Map;
use store::{calls, turns};
use utoipa::{IntoParams, ToSchema};

/// Turns in a page when the caller does not say: most calls have fewer.
const LIMIT_DEFAULT: u32 = 100;

/// Which turns.
#[derive(Debug, Deserialize, IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct TurnsQuery {
    /// Where to go on: `next_cursor` of the page before.
    #[schema(max_length = 64)]
    #[param(max_length = 64)]
    cursor: Option<String>,
    /// Turns wanted.
    #[schema(minimum = 1, maximum = 200)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// A page of a transcript.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Transcript)]
pub(crate) struct TranscriptView {
    /// In the order they were spoken.
    items: Vec<TranscriptTurn>,
    /// Leads to the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Shows the transcript of a call. Who looks is on record.
#[utoipa::path(
    get,
    path = "/api/calls/{id}/turns",
    tag = "calls",
    security(("bearer" = ["calls:read"])),
    params(("id" = CallId, Path, description = "The call"), TurnsQuery),
    responses((status = 200, description = "A page of the transcript", body = TranscriptView)),
)]
pub(crate) async fn list_turns(
    caller: Caller<CallsRead>,
    PathId(id): PathId<CallId>,
    ValidQuery(query): ValidQuery<TurnsQuery>,
) -> Result<Json<TranscriptView>, Problem> {
    let after = query
        .cursor
        .map(|cursor| cursor.parse::<u32>())
        .transpose()
        .map_err(|_| Problem::field("cursor", "must be the next_cursor of a page before"))?;
    let (items, more) = caller
        .write("turns.page", async |tx| {
            calls::get(tx, id).await?;
            let data = Map::from_iter([("part".to_owned(), "transcript".into())]);
            caller.audit(tx, AuditKind::DataAccessed, Some(("call", id.to_string())), data).await?;
            Ok(turns::page(tx, id, after, query.limit.unwrap_or(LIMIT_DEFAULT)).await?)
        })
        .await?;
    let next_cursor = items.last().filter(|_| more).map(|last| last.index.to_string());
    Ok(Json(TranscriptView { items, next_cursor }))
}
