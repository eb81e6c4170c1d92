//! `GET /webhooks/exotel/voicebot/{token}`: the dynamic URL of a Voicebot applet, as Exotel really asks it: a GET with
//! the call in its query and no signature. The unguessable token of the number in the path stands in for one.

use super::{Sender, call_start, rejected};
use crate::layers::RequestId;
use crate::server::Peer;
use crate::{App, Code, Problem};
use axum::Extension;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use std::sync::Arc;
use store::{phone_numbers, token_hash};
use wire::exotel::webhook::CallStart;
use wire::fields::Fields;

pub(crate) async fn dynamic_url(
    State(app): State<Arc<App>>,
    peer: Option<Extension<Peer>>,
    id: Option<Extension<RequestId>>,
    Path(token): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let sender = Sender::new(peer, id);
    let hash = token_hash(&token);
    let number = app
        .store
        .system("phone_numbers.find_by_path_token", async |tx| phone_numbers::find_by_path_token(tx, hash).await)
        .await?;
    let Some(number) = number else {
        rejected(&app, &sender, Code::NotFound).await;
        return Err(Problem::new(Code::NotFound, "there is no such address"));
    };
    let fields = Fields::from_urlencoded(query.unwrap_or_default().as_bytes())?;
    let start = CallStart::read(&fields)?;
    call_start::answer(&app, &headers, &start, Some(number), &sender).await
}
