//! Where a call stands, how it ended, that its recording is there: whatever a carrier reports of a call, at one address.

use super::{Asked, Peer};
use crate::webhooks::report::{OK, TakenBody, is_of, keep};
use crate::{App, Code, Problem};
use axum::Json;
use chrono::{DateTime, Utc};
use store::SystemTx;
use store::calls;
use store::phone_numbers::PhoneNumber;

/// Takes a report.
///
/// # Errors
/// 401 unless it is authentic, 404 for an address that nobody has and for an unknown call, 400 when it cannot be read.
pub(in crate::webhooks) async fn status(peer: &Peer, app: &App, asked: &Asked) -> Result<Json<TakenBody>, Problem> {
    let number = peer.number(app, asked).await?;
    let (url, now) = (asked.url(app)?, app.now());
    let taken =
        app.store.system("calls.carrier_reported", async |tx| take(tx, peer, asked, &url, &number, now).await).await;
    peer.on_record(app, asked, taken).await.map(|()| OK)
}

async fn take(
    tx: &mut SystemTx,
    peer: &Peer,
    asked: &Asked,
    url: &str,
    number: &PhoneNumber,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    let fields = asked.fields();
    let name = fields.as_ref().ok().and_then(|fields| (peer.routing)(fields).call_id);
    let call = match name {
        Some(name) => calls::find_carried(tx, peer.kind, &name).await?.filter(|call| is_of(call, number)),
        None => None,
    };
    let tx = tx.tenant(number.tenant).await?;
    peer.prove(tx, asked, url, number, now).await?;
    let fields = fields?;
    let report = (peer.report)((peer.message)(&fields), &fields)?;
    let call = call.ok_or_else(|| Problem::new(Code::NotFound, "there is no such call"))?;
    keep(tx, &call, &report, peer.actor, &asked.origin, now).await
}
