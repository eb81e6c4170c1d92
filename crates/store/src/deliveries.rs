//! Events on their way to webhook endpoints. A delivery is its own queue entry: claimed under a lease, tried, and noted;
//! who comes late with a note (its lease was over and another has claimed it) changes nothing.
//!
//! Events of one call reach an endpoint in order: a later one waits until the earlier one was taken or given up.

use crate::sql::{Row, sql, statements};
use crate::{Error, Page, PageRequest, SystemTx, Tx, ids};
use chrono::{DateTime, Duration, Utc};
use model::{CallId, DeliveryId, DeliveryState, TenantId, WebhookEndpointId};
use uuid::Uuid;

/// A claim lasts this long: an attempt takes 15 s at most, the note of it a few more.
pub const LEASE_S: i64 = 60;
/// Kept of an answer, in bytes.
pub const RESPONSE_BYTES_MAX: usize = 1_024;
/// Kept of an error, in characters.
const ERROR_CHARS_MAX: usize = 200;
/// Endpoints looked up at once.
const DUE_MAX: u32 = 500;

macro_rules! columns {
    () => {
        "id, tenant_id, endpoint_id, event_id, kind, call_id, occurred_at, body, state, attempts, next_at, last_status,
        last_error, last_response, last_duration_ms, last_attempt_at, created_at"
    };
}

// Not being sent now by anybody.
macro_rules! free {
    ($now:literal) => {
        concat!("state = 'pending' and next_at <= ", $now, " and (lease_until is null or lease_until <= ", $now, ")")
    };
}

macro_rules! listed {
    ($first:literal) => {
        concat!(
            "select ",
            columns!(),
            " from deliveries where tenant_id = $1 and endpoint_id = $2",
            $first,
            " and (created_at, id) < ($5, $6) and (state = $3 or $3 is null) and (kind = $4 or $4 is null)
            order by created_at desc, id desc limit $7"
        )
    };
}

statements! {
    // A later event of a call that is being retried is not looked at before the earlier one is due again.
    CREATE = "deliveries.create" ["insert into deliveries
        (id, tenant_id, endpoint_id, event_id, kind, call_id, occurred_at, body, state, attempts, next_at, created_at,
         updated_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, 'pending', 0,
            coalesce((select max(p.next_at) from deliveries p
                where p.tenant_id = $2 and p.call_id = $6 and p.endpoint_id = $3 and p.state = 'pending'
                  and p.next_at > $9), $9),
            $9, $9)
        on conflict (endpoint_id, event_id) do nothing returning ", columns!()];
    GET = "deliveries.get" ["select ", columns!(), " from deliveries where tenant_id = $1 and id = $2"];
    LIST = "deliveries.list" [listed!("")];
    LIST_STATE = "deliveries.list_state" [listed!(" and state = $3")];
    DUE_ENDPOINTS = "deliveries.due_endpoints" ["select e.id, e.tenant_id from webhook_endpoints e
        where e.disabled_at is null and (e.not_before is null or e.not_before <= $1)
          and exists (select 1 from deliveries d where d.endpoint_id = e.id and ", free!("$1"), ")
        order by e.tried_at nulls first, e.id limit $2"];
    // Which tenant's is asked of the rows that are picked: asked again outside, SQLite would go through all of the tenant's.
    CLAIM = "deliveries.claim" ["update deliveries
        set lease_until = $4, attempts = attempts + 1, last_attempt_at = $3
        where ", free!("$3"), " and id in (
            select d.id from deliveries d
            where d.tenant_id = $1 and d.endpoint_id = $2 and d.", free!("$3"), "
              and exists (select 1 from webhook_endpoints e
                where e.tenant_id = $1 and e.id = $2 and e.disabled_at is null
                  and (e.not_before is null or e.not_before <= $3))
              and not exists (select 1 from deliveries p
                where p.tenant_id = $1 and p.call_id = d.call_id and p.endpoint_id = $2 and p.state = 'pending'
                  and (p.occurred_at, p.event_id) < (d.occurred_at, d.event_id))
            order by d.next_at, d.occurred_at, d.event_id limit $5)
        returning ", columns!()];
    // attempts is the fence: another claim has another number.
    DELIVERED = "deliveries.delivered" ["update deliveries
        set state = 'delivered', lease_until = null, last_status = $4, last_error = null, last_response = $5,
            last_duration_ms = $6, updated_at = $7
        where tenant_id = $1 and id = $2 and attempts = $3 and state = 'pending' and lease_until is not null"];
    RETRY = "deliveries.retry" ["update deliveries
        set state = case when cast($8 as timestamptz) is null then 'failed' else 'pending' end, lease_until = null,
            last_status = $4, last_error = $9, last_response = $5, last_duration_ms = $6, updated_at = $7,
            next_at = coalesce($8, next_at)
        where tenant_id = $1 and id = $2 and attempts = $3 and state = 'pending' and lease_until is not null"];
    FOLLOWERS = "deliveries.followers" ["update deliveries set next_at = $6
        where tenant_id = $1 and endpoint_id = $2 and call_id = $3 and state = 'pending' and lease_until is null
          and (occurred_at, event_id) > ($4, $5)"];
    GIVE_UP_ALL = "deliveries.give_up_all" ["update deliveries
        set state = 'failed', lease_until = null, last_error = 'the endpoint was disabled', updated_at = $3
        where tenant_id = $1 and endpoint_id = $2 and state = 'pending'"];
    REPLAY = "deliveries.replay" ["update deliveries
        set state = 'pending', attempts = 0, next_at = $3, lease_until = null, updated_at = $3
        where tenant_id = $1 and id = $2 and (state <> 'pending' or lease_until is null or lease_until <= $3)
        returning ", columns!()];
    PURGE = "deliveries.purge" ["delete from deliveries where state <> 'pending' and updated_at < $1"];
}

/// An event on its way to an endpoint. Printing it prints neither the event nor the answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its id.
    pub id: DeliveryId,
    /// Whose it is.
    pub tenant: TenantId,
    /// To which endpoint.
    pub endpoint: WebhookEndpointId,
    /// Which event.
    pub event: Uuid,
    /// Of which kind; `test` besides [`model::EventKind`].
    pub kind: String,
    /// About which call.
    pub call: Option<CallId>,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// What is signed and sent: JSON.
    pub body: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// How often it was tried, since the last replay.
    pub attempts: u32,
    /// When it is tried next, while it is pending.
    pub next_at: DateTime<Utc>,
    /// The status of the last answer.
    pub last_status: Option<u16>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// How the last answer began.
    pub last_response: Option<String>,
    /// How long the last attempt took, ms.
    pub last_duration_ms: Option<u64>,
    /// When it was last tried.
    pub last_attempt_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("state", &self.state)
            .field("attempts", &self.attempts)
            .field("last_status", &self.last_status)
            .field("last_error", &self.last_error)
            .finish_non_exhaustive()
    }
}

/// A delivery to make.
#[derive(Clone, Copy)]
pub struct NewDelivery<'a> {
    /// To which endpoint.
    pub endpoint: WebhookEndpointId,
    /// Which event. An endpoint gets each once.
    pub event: Uuid,
    /// Of which kind.
    pub kind: &'a str,
    /// About which call: events of one are sent in order.
    pub call: Option<CallId>,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// What is signed and sent.
    pub body: &'a str,
}

/// How an attempt went.
#[derive(Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// Why it failed, for people.
    pub error: Option<String>,
    /// How the answer began.
    pub response: Option<String>,
    /// How long it took, ms.
    pub duration_ms: u64,
}

/// Which deliveries.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFilter {
    /// Only of this state.
    pub state: Option<DeliveryState>,
    /// Only of this kind of event.
    pub kind: Option<String>,
}

fn delivery(row: &Row) -> Result<Delivery, Error> {
    Ok(Delivery {
        id: row.id("id")?,
        tenant: row.id("tenant_id")?,
        endpoint: row.id("endpoint_id")?,
        event: row.get("event_id")?,
        kind: row.get("kind")?,
        call: row.id_opt("call_id")?,
        occurred_at: row.get("occurred_at")?,
        body: row.get("body")?,
        state: row.word("state")?,
        attempts: row.unsigned("attempts")?,
        next_at: row.get("next_at")?,
        last_status: row.unsigned_opt("last_status")?,
        last_error: row.get("last_error")?,
        last_response: row.get("last_response")?,
        last_duration_ms: row.unsigned_opt("last_duration_ms")?,
        last_attempt_at: row.get("last_attempt_at")?,
        created_at: row.get("created_at")?,
    })
}

/// An id for an event that is not in the outbox, such as a test.
///
/// # Errors
/// When there is no randomness.
pub fn new_event_id(now: DateTime<Utc>) -> Result<Uuid, Error> {
    ids::new(now)
}

/// To be sent. `None` when the endpoint has this event.
///
/// # Errors
/// [`Error::NotFound`] when there is no such endpoint or call.
pub async fn create(tx: &mut Tx, new: &NewDelivery<'_>, now: DateTime<Utc>) -> Result<Option<Delivery>, Error> {
    sql(&CREATE)
        .bind(ids::new(now)?)
        .bind(tx.tenant())
        .bind(new.endpoint)
        .bind(new.event)
        .bind(new.kind)
        .bind(new.call)
        .bind(new.occurred_at)
        .bind(new.body)
        .bind(now)
        .one(tx, delivery)
        .await
}

/// One by id.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(tx: &mut Tx, id: DeliveryId) -> Result<Delivery, Error> {
    sql(&GET).bind(tx.tenant()).bind(id).required(tx, delivery).await
}

/// A page of an endpoint's, newest first.
///
/// # Errors
/// When the database fails.
pub async fn list(
    tx: &mut Tx,
    endpoint: WebhookEndpointId,
    filter: &DeliveryFilter,
    page: PageRequest,
) -> Result<Page<Delivery>, Error> {
    let list = if filter.state.is_some() { &LIST_STATE } else { &LIST };
    let list = sql(list).bind(tx.tenant()).bind(endpoint).bind(filter.state).bind(filter.kind.as_deref());
    page.fetch(list, tx, delivery, |delivery| (delivery.created_at, delivery.id.into())).await
}

/// Endpoints that something is due for, those that have waited longest first.
///
/// # Errors
/// When the database fails.
pub async fn due_endpoints(tx: &mut SystemTx, now: DateTime<Utc>) -> Result<Vec<(TenantId, WebhookEndpointId)>, Error> {
    sql(&DUE_ENDPOINTS).bind(now).bind(DUE_MAX).all(tx, |row| Ok((row.id("tenant_id")?, row.id("id")?))).await
}

/// Takes what is due for an endpoint, at most `limit` and never two of one call, for [`LEASE_S`]. Counts as an attempt.
///
/// # Errors
/// When the database fails.
pub async fn claim(
    tx: &mut Tx,
    endpoint: WebhookEndpointId,
    limit: u32,
    now: DateTime<Utc>,
) -> Result<Vec<Delivery>, Error> {
    let mut claimed = sql(&CLAIM)
        .bind(tx.tenant())
        .bind(endpoint)
        .bind(now)
        .bind(now + Duration::seconds(LEASE_S))
        .bind(limit)
        .all(tx, delivery)
        .await?;
    claimed.sort_by_key(|delivery| (delivery.occurred_at, delivery.event));
    Ok(claimed)
}

/// The endpoint took it. False when the claim was lost.
///
/// # Errors
/// When the database fails.
pub async fn delivered(tx: &mut Tx, claimed: &Delivery, attempt: &Attempt, now: DateTime<Utc>) -> Result<bool, Error> {
    let noted = sql(&DELIVERED)
        .bind(tx.tenant())
        .bind(claimed.id)
        .bind(claimed.attempts)
        .bind(attempt.status.map(u32::from))
        .bind(attempt.response.as_deref().map(readable))
        .bind(attempt.duration_ms)
        .bind(now)
        .run(tx)
        .await?;
    if noted > 0 {
        hurry_followers(tx, claimed, now).await?;
    }
    Ok(noted > 0)
}

/// It failed and is tried again at `next_at`; without that time it is given up. False when the claim was lost.
///
/// # Errors
/// When the database fails.
pub async fn not_delivered(
    tx: &mut Tx,
    claimed: &Delivery,
    attempt: &Attempt,
    next_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let noted = sql(&RETRY)
        .bind(tx.tenant())
        .bind(claimed.id)
        .bind(claimed.attempts)
        .bind(attempt.status.map(u32::from))
        .bind(attempt.response.as_deref().map(readable))
        .bind(attempt.duration_ms)
        .bind(now)
        .bind(next_at)
        .bind(attempt.error.as_deref().map(shorten))
        .run(tx)
        .await?;
    if noted > 0 {
        hurry_followers(tx, claimed, next_at.unwrap_or(now)).await?;
    }
    Ok(noted > 0)
}

/// Later events of the call are looked at when this one is over or due again, not before and not long after.
async fn hurry_followers(tx: &mut Tx, delivery: &Delivery, at: DateTime<Utc>) -> Result<(), Error> {
    let Some(call) = delivery.call else { return Ok(()) };
    sql(&FOLLOWERS)
        .bind(tx.tenant())
        .bind(delivery.endpoint)
        .bind(call)
        .bind(delivery.occurred_at)
        .bind(delivery.event)
        .bind(at)
        .run(tx)
        .await
        .map(|_| ())
}

pub(crate) async fn give_up_all(tx: &mut Tx, endpoint: WebhookEndpointId, now: DateTime<Utc>) -> Result<(), Error> {
    sql(&GIVE_UP_ALL).bind(tx.tenant()).bind(endpoint).bind(now).run(tx).await.map(|_| ())
}

/// To be sent again now, with all its attempts, whatever became of it.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Conflict`] when it is being sent at this moment.
pub async fn replay(tx: &mut Tx, id: DeliveryId, now: DateTime<Utc>) -> Result<Delivery, Error> {
    match sql(&REPLAY).bind(tx.tenant()).bind(id).bind(now).one(tx, delivery).await? {
        Some(delivery) => Ok(delivery),
        None => {
            get(tx, id).await?;
            Err(Error::Conflict("it is being sent at this moment"))
        }
    }
}

/// Removes what was over before this time; how many.
///
/// # Errors
/// When the database fails.
pub async fn purge(tx: &mut SystemTx, over_before: DateTime<Utc>) -> Result<u64, Error> {
    sql(&PURGE).bind(over_before).run(tx).await
}

/// Whatever an endpoint answers becomes text that both databases keep: no control characters, and not too long.
fn readable(response: &str) -> String {
    let mut text = String::new();
    for c in response.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if text.len() + c.len_utf8() > RESPONSE_BYTES_MAX {
            break;
        }
        text.push(c);
    }
    text
}

fn shorten(error: &str) -> String {
    error.chars().take(ERROR_CHARS_MAX).collect()
}
