//! Calls that Caly places: dialled once, whatever becomes of the answer, and taken back only before.

use super::{Call, Owner, call, get, once};
use crate::audit::Severity;
use crate::call_ends::{self, Teller};
use crate::sql::{sql, statements};
use crate::{Error, SystemTx, Tx};
use chrono::{DateTime, Utc};
use model::{CallId, E164, EndedReason, TenantId};

statements! {
    BEGIN_DIALING = "calls.begin_dialing" ["update calls set callback_token_hash = $3, dialed_at = $4
        where tenant_id = $1 and id = $2 and direction = 'outgoing' and status = 'queued' and dialed_at is null"];
    NOT_DIALED = "calls.not_dialed" ["update calls set callback_token_hash = null, dialed_at = null
        where tenant_id = $1 and id = $2 and direction = 'outgoing' and status = 'queued' and carrier_call_id is null
            and callback_token_hash = $3"];
    NOT_PLACED = "calls.not_placed" ["update calls
        set status = 'failed', ended_reason = 'caly/error', ended_at = $3, duration_ms = 0
        where tenant_id = $1 and id = $2 and direction = 'outgoing' and status = 'queued' and dialed_at is null"];
    DIALED = "calls.dialed" ["update calls set carrier_call_id = $3,
        status = case when status = 'queued' then 'ringing' else status end
        where tenant_id = $1 and id = $2 and (carrier_call_id is null or carrier_call_id = $3) returning ", columns!()];
    FIND_BY_CALLBACK_TOKEN = "calls.find_by_callback_token" ["select ", columns!(), " from calls
        where callback_token_hash = $1"];
    CANCEL = "calls.cancel" ["update calls
        set status = 'canceled', ended_reason = 'operator/canceled', ended_at = $3, duration_ms = 0
        where tenant_id = $1 and id = $2 and direction = 'outgoing' and status = 'queued' and dialed_at is null"];
    DECIDE_TRANSFER = "calls.decide_transfer" ["update calls set transfer_to = $3, transferred_at = $4
        where tenant_id = $1 and id = $2 and status = 'in-progress' and transfer_to is null"];
    ASK_HANG_UP = "calls.ask_hang_up" ["update calls set hang_up_asked_at = coalesce(hang_up_asked_at, $3)
        where tenant_id = $1 and id = $2 and status = 'in-progress'"];
    HANG_UPS = "calls.hang_ups" ["select tenant_id, id from calls
        where owner_node = $1 and owner_run = $2 and status = 'in-progress' and hang_up_asked_at is not null
        order by hang_up_asked_at, id limit $3"];
}

/// Calls ended by their people that a node reads at once; it reads every second.
const HANG_UPS_MAX: i64 = 1_000;

/// The order to place this call is about to leave. True exactly once, and only whoever was told so may send the order:
/// a call is never dialled twice. The carrier reports of it by the token behind the hash. Commit before sending.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Conflict`] when another call has that token.
pub async fn begin_dialing(
    tx: &mut Tx,
    id: CallId,
    callback_token_hash: [u8; 32],
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let changed = sql(&BEGIN_DIALING)
        .conflict("the callback token is taken")
        .bind(tx.tenant())
        .bind(id)
        .bind(callback_token_hash)
        .bind(now)
        .run(tx)
        .await?;
    once(tx, id, changed).await
}

/// The order that was about to leave with this callback token surely was not carried out: the call waits again, and may
/// be taken back. The token of its media opens nothing that anybody knows, and expires. False when the call went on or
/// ended meanwhile, or another order was begun; then nothing changes.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn not_dialed(tx: &mut Tx, id: CallId, callback_token_hash: [u8; 32]) -> Result<bool, Error> {
    let changed = sql(&NOT_DIALED).bind(tx.tenant()).bind(id).bind(callback_token_hash).run(tx).await?;
    once(tx, id, changed).await
}

/// Nobody will place this call any more: it is over as `caly/error`, and that is on record. False when its order has
/// left, it is over, or it is gone; then nothing changes.
///
/// # Errors
/// When the database fails.
pub async fn not_placed(tx: &mut Tx, id: CallId, now: DateTime<Utc>) -> Result<bool, Error> {
    if sql(&NOT_PLACED).bind(tx.tenant()).bind(id).bind(now).run(tx).await? == 0 {
        return Ok(false);
    }
    call_ends::tell(tx, id, EndedReason::CalyError, 0, Teller::system(Severity::Warning), now).await?;
    Ok(true)
}

/// Somebody of the tenant wants this live call to end: the node that has it reads so. False when it is not live.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn ask_hang_up(tx: &mut Tx, id: CallId, now: DateTime<Utc>) -> Result<bool, Error> {
    let changed = sql(&ASK_HANG_UP).bind(tx.tenant()).bind(id).bind(now).run(tx).await?;
    once(tx, id, changed).await
}

/// The calls of this process that their people want to end.
///
/// # Errors
/// When the database fails.
pub async fn hang_ups(tx: &mut SystemTx, owner: &Owner) -> Result<Vec<(TenantId, CallId)>, Error> {
    sql(&HANG_UPS)
        .bind(owner.node.as_str())
        .bind(owner.run)
        .bind(HANG_UPS_MAX)
        .all(tx, |row| Ok((row.id("tenant_id")?, row.id("id")?)))
        .await
}

/// The carrier took the order and calls it so: queued → ringing. Saying it again changes nothing, and a call that went
/// on or ended meanwhile only learns its name.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Conflict`] when the name is another call's, or this call has another name.
pub async fn dialed(tx: &mut Tx, id: CallId, carrier_call_id: &str) -> Result<Call, Error> {
    let named = sql(&DIALED)
        .conflict("the carrier's call id belongs to another call")
        .bind(tx.tenant())
        .bind(id)
        .bind(carrier_call_id)
        .one(tx, call)
        .await?;
    if let Some(named) = named {
        return Ok(named);
    }
    get(tx, id).await?;
    Err(Error::Conflict("the call has another carrier's call id"))
}

/// The call whose callback token has this hash.
///
/// # Errors
/// When the database fails.
pub async fn find_by_callback_token(tx: &mut SystemTx, hash: [u8; 32]) -> Result<Option<Call>, Error> {
    sql(&FIND_BY_CALLBACK_TOKEN).bind(hash).one(tx, call).await
}

/// Takes back a call that was not dialled yet, as `operator/canceled`. True exactly once; false when dialling had begun
/// or it was over, and then nothing changes.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn cancel(tx: &mut Tx, id: CallId, now: DateTime<Utc>) -> Result<bool, Error> {
    let changed = sql(&CANCEL).bind(tx.tenant()).bind(id).bind(now).run(tx).await?;
    once(tx, id, changed).await
}

/// The caller will be handed to this number when the media ends. True once; false when another decision came before or
/// no media flows.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn decide_transfer(tx: &mut Tx, id: CallId, to: &E164, now: DateTime<Utc>) -> Result<bool, Error> {
    let changed = sql(&DECIDE_TRANSFER).bind(tx.tenant()).bind(id).bind(to).bind(now).run(tx).await?;
    once(tx, id, changed).await
}
