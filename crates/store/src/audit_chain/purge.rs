//! Retention: the anchor of a chain moves first, then what is below it is deleted.

use super::GENESIS;
use super::verify::chains;
use crate::audit::{self, NewAuditEvent};
use crate::row_security::Identity;
use crate::sql::{Row, sql, statements};
use crate::tx::{Acting, Raw};
use crate::{Error, Store};
use chrono::{DateTime, Utc};
use model::{AuditKind, OrganisationId, Severity, TenantId};
use serde_json::{Map, Value};
use uuid::Uuid;

/// Rows that one transaction deletes: their locks and log must not pile up.
const PURGE_ROWS: i64 = 1_000;

statements! {
    BEGIN = "audit_chain.begin_for_purge" ["insert into audit_chains
        (tenant_id, next_index, head_hash, first_index, first_hash)
        values ($1, 0, $2, 0, $2) on conflict (tenant_id) do nothing"];
    ANCHOR = "audit_chain.anchor" ["select next_index, head_hash, first_index, first_hash, purged_before
        from audit_chains where tenant_id = $1"];
    FIRST_KEPT = "audit_chain.first_kept" ["select min(chain_index) as first from audit_logs
        where ", of_tenant!(), " and chain_index >= $2 and created_at >= $3"];
    FIRST_KEPT_OF_NOBODY = "audit_chain.first_kept_of_nobody" ["select min(chain_index) as first from audit_logs
        where ", of_nobody!(), " and chain_index >= $2 and created_at >= $3"];
    HASH_AT = "audit_chain.hash_at" ["select hash from audit_logs where ", of_tenant!(), " and chain_index = $2"];
    HASH_AT_OF_NOBODY = "audit_chain.hash_at_of_nobody" ["select hash from audit_logs
        where ", of_nobody!(), " and chain_index = $2"];
    MOVE = "audit_chain.move" ["update audit_chains set first_index = $2, first_hash = $3, purged_before = $4
        where tenant_id = $1 and first_index = $5"];
    PURGE = "audit_chain.purge" ["delete from audit_logs where id in (select id from audit_logs
        where ", of_tenant!(), " and chain_index < $2 limit $3)"];
    PURGE_OF_NOBODY = "audit_chain.purge_of_nobody" ["delete from audit_logs where id in (select id from audit_logs
        where ", of_nobody!(), " and chain_index < $2 limit $3)"];
    PURGE_BEFORE = "audit_chain.purge_before" ["delete from audit_logs where id in (select id from audit_logs
        where ", of_tenant!(), " and chain_index is null and created_at < $2 limit $3)"];
    PURGE_BEFORE_OF_NOBODY = "audit_chain.purge_before_of_nobody" ["delete from audit_logs
        where id in (select id from audit_logs
            where ", of_nobody!(), " and chain_index is null and created_at < $2 limit $3)"];
}

struct Anchor {
    next_index: i64,
    head_hash: [u8; 32],
    first_index: i64,
    first_hash: [u8; 32],
    purged_before: Option<DateTime<Utc>>,
}

fn anchor(row: &Row) -> Result<Anchor, Error> {
    Ok(Anchor {
        next_index: row.get("next_index")?,
        head_hash: row.hash("head_hash")?,
        first_index: row.get("first_index")?,
        first_hash: row.hash("first_hash")?,
        purged_before: row.get("purged_before")?,
    })
}

/// Deletes events older than `before`; how many. See [`crate::audit::purge_before`].
pub(crate) async fn purge_before(store: &Store, tenant: Option<TenantId>, before: DateTime<Utc>) -> Result<u64, Error> {
    let chain = tenant.map_or(Uuid::nil(), Uuid::from);
    let mut raw = store.begin_write("audit.move_anchor").await?;
    let moved = move_anchor(&mut raw, chain, before).await;
    let first = raw.end(moved).await?;
    let mut deleted = 0;
    loop {
        let mut raw = store.begin_write("audit.purge").await?;
        let outcome = purge_some(&mut raw.acting(Identity::Keeper), chain, first, before).await;
        let count = raw.end(outcome).await?;
        deleted += count;
        if count == 0 {
            return Ok(deleted);
        }
    }
}

/// Of every chain. See [`crate::audit::purge_all_before`].
pub(crate) async fn purge_all_before(store: &Store, before: DateTime<Utc>, now: DateTime<Utc>) -> Result<u64, Error> {
    let mut total = 0;
    for chain in chains(store).await? {
        let tenant = Some(OrganisationId(chain)).filter(|_| !chain.is_nil());
        let deleted = purge_before(store, tenant, before).await?;
        if deleted > 0 {
            record(store, tenant, deleted, before, now).await?;
        }
        total += deleted;
    }
    Ok(total)
}

async fn record(
    store: &Store,
    tenant: Option<TenantId>,
    deleted: u64,
    before: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let event = NewAuditEvent {
        kind: AuditKind::DataPurged,
        severity: Severity::Info,
        actor: "system",
        ip: None,
        request_id: None,
        object_kind: Some("audit_event"),
        object_id: None,
        data: Map::from_iter([
            ("count".to_owned(), Value::from(deleted)),
            ("before".to_owned(), Value::from(before.to_rfc3339())),
        ]),
    };
    store
        .system("audit.purged", async |tx| match tenant {
            Some(tenant) => audit::record(tx.tenant(tenant).await?, &event, now).await,
            None => audit::record(tx, &event, now).await,
        })
        .await
        .map(|_: Uuid| ())
}

/// The index of the first event that stays.
async fn move_anchor(raw: &mut Raw, chain: Uuid, before: DateTime<Utc>) -> Result<i64, Error> {
    // A tenant may have events from before there were chains, and none since.
    sql(&BEGIN).bind(chain).bind(GENESIS).run(&mut raw.acting(Identity::System)).await?;
    let mut tx = raw.acting(Identity::Keeper);
    // The head is read before the events: one that is added in between is above it and stays.
    let old = sql(&ANCHOR).bind(chain).required(&mut tx, anchor).await?;
    let first_kept = if chain.is_nil() { &FIRST_KEPT_OF_NOBODY } else { &FIRST_KEPT };
    let first = sql(first_kept)
        .bind(chain)
        .bind(old.first_index)
        .bind(before)
        .required(&mut tx, |row| row.get::<Option<i64>>("first"))
        .await?
        .map_or(old.next_index, |first| first.min(old.next_index));
    let hash = if first == old.first_index {
        old.first_hash
    } else if first == old.next_index {
        old.head_hash
    } else {
        let hash_at = if chain.is_nil() { &HASH_AT_OF_NOBODY } else { &HASH_AT };
        sql(hash_at).bind(chain).bind(first - 1).required(&mut tx, |row| row.hash("hash")).await?
    };
    let purged_before = old.purged_before.map_or(before, |earlier| earlier.max(before));
    let moved =
        sql(&MOVE).bind(chain).bind(first).bind(hash).bind(purged_before).bind(old.first_index).run(&mut tx).await?;
    // Another retention run was faster.
    if moved == 0 { Err(Error::Busy) } else { Ok(first) }
}

async fn purge_some(tx: &mut Acting<'_>, chain: Uuid, first: i64, before: DateTime<Utc>) -> Result<u64, Error> {
    let (chained, unchained) =
        if chain.is_nil() { (&PURGE_OF_NOBODY, &PURGE_BEFORE_OF_NOBODY) } else { (&PURGE, &PURGE_BEFORE) };
    let deleted = sql(chained).bind(chain).bind(first).bind(PURGE_ROWS).run(tx).await?;
    Ok(deleted + sql(unchained).bind(chain).bind(before).bind(PURGE_ROWS).run(tx).await?)
}
