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
use chrono::{DateTime, Utc};
use model::{CarrierKind, EndedReason};
use serde_json::{Value, json};
use std::sync::Arc;
use store::Tx;
use store::audit::Severity;
use store::call_ends::{self, Teller};
use store::calls::{self, Call, CarrierEnd};
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
            let found =
                calls::carrier_ended(tx, CarrierKind::Exotel, &end.call_id, duration_s, end.status, now).await?;
            if let CarrierEnd::Closed(call) = &found {
                tell_ended(tx.tenant(call.tenant).await?, call, &sender, now).await?;
            }
            Ok::<_, store::Error>(found)
        })
        .await?;
    match found {
        CarrierEnd::Unknown => Err(Problem::new(Code::NotFound, "there is no such call")),
        CarrierEnd::Closed(_) | CarrierEnd::Noted(_) => Ok(Json(json!({ "status": "ok" }))),
    }
}

/// A call that ends here had no media: nobody else puts its end on record.
async fn tell_ended(tx: &mut Tx, call: &Call, sender: &Sender, now: DateTime<Utc>) -> Result<(), store::Error> {
    let teller =
        Teller { actor: "carrier:exotel", severity: Severity::Info, ip: sender.ip, request_id: sender.request_id() };
    let reason = call.ended_reason.unwrap_or(EndedReason::CallerNeverJoined);
    call_ends::tell(tx, call.id, reason, 0, teller, now).await
}
