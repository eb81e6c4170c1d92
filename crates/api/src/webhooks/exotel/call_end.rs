//! `POST /webhooks/exotel/call-end`: the carrier says that a call is over. Late, repeated and unknown ones do no harm:
//! the carrier's figures are kept, and a call whose media never came is closed.

use super::{Sender, signed_fields};
use crate::layers::RequestId;
use crate::server::Peer;
use crate::{App, Code, Problem};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::{Extension, Json};
use model::CarrierKind;
use serde_json::{Value, json};
use std::sync::Arc;
use store::calls::{self, CarrierEnd};
use wire::exotel::webhook::CallEnd;

pub(crate) async fn signed(
    State(app): State<Arc<App>>,
    peer: Option<Extension<Peer>>,
    id: Option<Extension<RequestId>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let sender = Sender::new(peer, id);
    let fields = signed_fields(&app, &headers, &body, &sender).await?;
    let end = CallEnd::read(&fields)?;
    let now = app.now();
    let found = app
        .store
        .system("calls.carrier_ended", async |tx| {
            let duration_s = end.duration_s.map(u64::from);
            calls::carrier_ended(tx, CarrierKind::Exotel, &end.call_id, duration_s, end.status, now).await
        })
        .await?;
    match found {
        CarrierEnd::Unknown => Err(Problem::new(Code::NotFound, "there is no such call")),
        CarrierEnd::Closed(_) | CarrierEnd::Noted(_) => Ok(Json(json!({ "status": "ok" }))),
    }
}
