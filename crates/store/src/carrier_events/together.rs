//! Many reports at once: what [`take`](super::take) does, with a statement for all of them where there would be one for
//! each. A carrier sends thousands in a burst, and what a report costs is mostly its round trips and its commit.

use super::{
    NewCarrierEvent, PER_CALL_MAX, SIGNED_KEPT_FOR_S, Taken, fetch_recording, may_have_recording, within_reason,
};
use crate::calls::{self, CarrierWord, carrier_reported_together};
use crate::phone_numbers::WebhookProofs;
use crate::sql::{self, Row, row_statements, sql};
use crate::{Error, SystemTx, Tx, ids};
use chrono::{DateTime, Duration, Utc};
use model::{AgentId, CallDirection, CallId, CallStatus, CarrierKind, PhoneNumberId, TenantId};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

// `cross join`: SQLite goes through the names first; left to itself it would begin with all calls of the carrier.
row_statements! {
    FIND = "carrier_events.find_together" ["select c.id, c.tenant_id, c.agent_id, c.phone_number_id, c.carrier_call_id,
        c.direction, c.status, c.transferred_at, c.carrier_recording_url, p.id as known_number, p.webhook_auth,
        (select count(*) from carrier_events e where e.tenant_id = c.tenant_id and e.call_id = c.id) as reports from"]
        "$2" (name text) ["cross join calls c left join phone_numbers p on p.id = c.phone_number_id
        where c.carrier = $1 and c.carrier_call_id = r.name"];
    ADD = "carrier_events.add_together" ["insert into carrier_events
        (id, tenant_id, call_id, kind, event_key, data, created_at)
        select r.id, r.tenant_id, r.call_id, r.kind, r.event_key, r.data, r.created_at from"]
        "$1" (id uuid, tenant_id uuid, call_id uuid, kind text, event_key bytea, data jsonb, created_at timestamptz)
        ["where true on conflict (tenant_id, call_id, event_key) do nothing returning id"];
    SIGNED = "carrier_events.signed_together" ["insert into signed_requests (tenant_id, request_key, seen_at)
        select r.tenant_id, r.request_key, r.seen_at from"]
        "$1" (tenant_id uuid, request_key bytea, seen_at timestamptz)
        ["where true on conflict (tenant_id, request_key) do nothing returning request_key"];
    RECORDING = "carrier_events.recording_together" ["select a.id from"] "$2" (id uuid)
        ["join agents a on a.tenant_id = $1 and a.id = r.id
        where coalesce(cast(a.config ->> 'record' as text), 'true') in ('true', '1')"];
}

/// A call of which something is told: as much of it as taking a report needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// The carrier's name for it.
    pub name: String,
    /// Its id.
    pub call: CallId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Who placed it.
    pub direction: CallDirection,
    /// Our number, if it is one of the tenant's.
    pub phone_number: Option<PhoneNumberId>,
    /// When it was decided that the caller is handed to somebody.
    pub transferred_at: Option<DateTime<Utc>>,
    /// What makes a webhook about its number authentic; `None` when there is no such number.
    pub proofs: Option<WebhookProofs>,
    agent: AgentId,
    status: CallStatus,
    recording_url: Option<String>,
    reports: i64,
}

/// A report to take, with others.
#[derive(Clone, Debug)]
pub struct Telling<'a> {
    /// Of which call.
    pub of: &'a Told,
    /// What is told.
    pub event: NewCarrierEvent<'a>,
    /// What must not have come before: see [`first_time`](super::first_time).
    pub request_key: Option<[u8; 32]>,
}

#[derive(Serialize)]
struct Name<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct Adding<'a> {
    id: sql::Id,
    tenant_id: sql::Id,
    call_id: sql::Id,
    kind: &'a str,
    event_key: sql::Bytes<'a>,
    data: &'a Map<String, Value>,
    created_at: sql::At,
}

#[derive(Serialize)]
struct Signing<'a> {
    tenant_id: sql::Id,
    request_key: sql::Bytes<'a>,
    seen_at: sql::At,
}

#[derive(Serialize)]
struct Only {
    id: sql::Id,
}

/// The calls that a carrier calls so, by its names for them; a name without a call is not in it.
///
/// # Errors
/// When the database fails.
pub async fn find_together(
    tx: &mut SystemTx,
    carrier: CarrierKind,
    names: impl Iterator<Item = &str> + Send,
) -> Result<HashMap<String, Told>, Error> {
    let names: Vec<Name<'_>> = names.map(|name| Name { name }).collect();
    if names.is_empty() {
        return Ok(HashMap::new());
    }
    let found = sql(&FIND).bind(carrier).bind(sql::rows(&names)?).all(tx, told).await?;
    Ok(found.into_iter().map(|told| (told.name.clone(), told)).collect())
}

fn told(row: &Row) -> Result<Told, Error> {
    let known = row.id_opt::<PhoneNumberId>("known_number")?.is_some();
    Ok(Told {
        name: row.get("carrier_call_id")?,
        call: row.id("id")?,
        tenant: row.id("tenant_id")?,
        direction: row.word("direction")?,
        phone_number: row.id_opt("phone_number_id")?,
        transferred_at: row.get("transferred_at")?,
        proofs: if known { Some(row.json_opt("webhook_auth")?.unwrap_or_default()) } else { None },
        agent: row.id("agent_id")?,
        status: row.word("status")?,
        recording_url: row.get("carrier_recording_url")?,
        reports: row.get("reports")?,
    })
}

/// Takes reports of this tenant's calls, each once, and at most one of each call; what became of each, in their order,
/// and `None` for a request that came before, of which nothing is taken. Otherwise like [`take`](super::take).
///
/// # Errors
/// [`Error::Conflict`] when two are of one call; when the database fails.
pub async fn take_together(
    tx: &mut Tx,
    tellings: &[Telling<'_>],
    now: DateTime<Utc>,
) -> Result<Vec<Option<Taken>>, Error> {
    let calls: HashSet<CallId> = tellings.iter().map(|telling| telling.of.call).collect();
    if calls.len() != tellings.len() {
        return Err(Error::Conflict("two reports of one call at once"));
    }
    let mut first = first_times(tx, tellings, now).await?;
    // A key that two requests share is the first one's.
    let come: Vec<bool> =
        tellings.iter().map(|telling| telling.request_key.is_none_or(|key| first.remove(&key))).collect();
    let room = |telling: &Telling<'_>| telling.of.reports < PER_CALL_MAX;
    let candidates: Vec<&Telling<'_>> = tellings
        .iter()
        .zip(&come)
        .filter(|(telling, come)| **come && room(telling))
        .map(|(telling, _)| telling)
        .collect();
    let new = add(tx, &candidates, now).await?;
    let taken: Vec<&Telling<'_>> = candidates.into_iter().filter(|telling| new.contains(&telling.of.call)).collect();
    let words: Vec<(CallId, bool, CarrierWord<'_>)> = taken
        .iter()
        .map(|telling| {
            let waiting = matches!(telling.of.status, CallStatus::Queued | CallStatus::Ringing);
            (telling.of.call, waiting, within_reason(&telling.event.word, now))
        })
        .collect();
    let closed = carrier_reported_together(tx, &words, now).await?;
    fetch_recordings(tx, &taken, now).await?;
    let outcome = |(telling, come): (&Telling<'_>, &bool)| {
        come.then(|| match telling.of.call {
            _ if !room(telling) => Taken::TooMany,
            call if !new.contains(&call) => Taken::Repeated,
            call if closed.contains(&call) => Taken::Closed,
            _ => Taken::Noted,
        })
    };
    Ok(tellings.iter().zip(&come).map(outcome).collect())
}

/// The keys among those of the requests that had not come before.
async fn first_times(tx: &mut Tx, tellings: &[Telling<'_>], now: DateTime<Utc>) -> Result<HashSet<[u8; 32]>, Error> {
    let tenant = tx.tenant();
    let keys = tellings.iter().filter_map(|telling| telling.request_key.as_ref());
    let rows: Vec<Signing<'_>> = keys
        .map(|key| Signing { tenant_id: sql::Id(tenant.into()), request_key: sql::Bytes(key), seen_at: sql::At(now) })
        .collect();
    if rows.is_empty() {
        return Ok(HashSet::new());
    }
    let old = now - Duration::seconds(SIGNED_KEPT_FOR_S);
    sql(&super::FORGET_SIGNED).bind(tenant).bind(old).run(tx).await?;
    let first = sql(&SIGNED).bind(sql::rows(&rows)?).all(tx, |row| row.hash("request_key")).await?;
    Ok(first.into_iter().collect())
}

/// The calls whose reports are new.
async fn add(tx: &mut Tx, tellings: &[&Telling<'_>], now: DateTime<Utc>) -> Result<HashSet<CallId>, Error> {
    if tellings.is_empty() {
        return Ok(HashSet::new());
    }
    let tenant = tx.tenant();
    let ids = ids::batch(now, tellings.len())?;
    let rows: Vec<Adding<'_>> = tellings
        .iter()
        .zip(&ids)
        .map(|(telling, id)| Adding {
            id: sql::Id(*id),
            tenant_id: sql::Id(tenant.into()),
            call_id: sql::Id(telling.of.call.into()),
            kind: telling.event.kind,
            event_key: sql::Bytes(&telling.event.key),
            data: &telling.event.data,
            created_at: sql::At(now),
        })
        .collect();
    let added: HashSet<Uuid> =
        sql(&ADD).bind(sql::rows(&rows)?).all(tx, |row| row.get("id")).await?.into_iter().collect();
    let new = tellings.iter().zip(&ids).filter(|(_, id)| added.contains(id));
    Ok(new.map(|(telling, _)| telling.of.call).collect())
}

/// Has the recordings fetched that are told of, where the agent keeps recordings.
async fn fetch_recordings(tx: &mut Tx, taken: &[&Telling<'_>], now: DateTime<Utc>) -> Result<(), Error> {
    let with_recording: Vec<&&Telling<'_>> =
        taken.iter().filter(|telling| telling.event.word.recording_url.is_some()).collect();
    let agents: HashSet<AgentId> = with_recording.iter().map(|telling| telling.of.agent).collect();
    if agents.is_empty() {
        return Ok(());
    }
    let rows: Vec<Only> = agents.into_iter().map(|agent| Only { id: sql::Id(agent.into()) }).collect();
    let recording: HashSet<AgentId> = sql(&RECORDING)
        .bind(tx.tenant())
        .bind(sql::rows(&rows)?)
        .all(tx, |row| row.id("id"))
        .await?
        .into_iter()
        .collect();
    for telling in with_recording.into_iter().filter(|telling| recording.contains(&telling.of.agent)) {
        let said = calls::get(tx, telling.of.call).await?;
        if may_have_recording(&said) {
            let is_elsewhere = telling.of.recording_url.as_deref() != telling.event.word.recording_url;
            fetch_recording(tx, &said, is_elsewhere, now).await?;
        }
    }
    Ok(())
}
