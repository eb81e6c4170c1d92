//! The hash chain of the audit log: one per tenant, and one for events of no tenant. A row's hash covers the hash of the
//! row before it and every column of its own, so a change, a gap or a lost end shows. What a chain cannot show by
//! itself is that somebody wrote all of it anew: keep the head's hash of the report elsewhere.

use crate::Error;
use crate::row_security::Identity;
use crate::sql::{self, row_statements, sql, statements};
use crate::tx::{Acting, Raw};
use chrono::{DateTime, Utc};
use model::{OrganisationId, TenantId};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Most events of one transaction: they wait in memory, and are written one by one under the lock of the chain.
pub(crate) const PENDING_MAX: usize = 1_000;
/// Leads every hashed text, so that none can be taken for another's.
const HASH_PURPOSE: &[u8] = b"caly audit event 1";
/// Hash "before" the first event.
const GENESIS: [u8; 32] = [0; 32];

macro_rules! columns {
    () => {
        "id, tenant_id, kind, severity, actor, ip, request_id, object_kind, object_id, data, created_at, chain_index,
        hash"
    };
}

/// Rows of the chain in the first parameter, in words that an index serves.
macro_rules! of_tenant {
    () => {
        "tenant_id = $1"
    };
}

/// The same where the chain is that of no tenant.
macro_rules! of_nobody {
    () => {
        "tenant_id is null and coalesce(tenant_id, $1) = $1"
    };
}

mod purge;
mod verify;

pub(crate) use purge::STATEMENTS as PURGE_STATEMENTS;
pub(crate) use purge::{purge_all_before, purge_before};
pub(crate) use verify::STATEMENTS as VERIFY_STATEMENTS;
pub use verify::{AuditFault, AuditFaultKind, AuditReport, ChainReport};

statements! {
    RESERVE = "audit_chain.reserve" ["update audit_chains set next_index = next_index + $2 where tenant_id = $1
        returning next_index - $2 as start, head_hash"];
    BEGIN = "audit_chain.begin" ["insert into audit_chains (tenant_id, next_index, head_hash, first_index, first_hash)
        values ($1, 0, $2, 0, $2) on conflict (tenant_id) do nothing"];
    ADVANCE = "audit_chain.advance" ["update audit_chains set head_hash = $2 where tenant_id = $1"];
    APPEND = "audit_chain.append" ["insert into audit_logs (", columns!(), ")
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"];
}

row_statements! {
    APPEND_ALL = "audit_chain.append_all" ["insert into audit_logs (", columns!(), ") select r.id, r.tenant_id, r.kind,
        r.severity, r.actor, r.ip, r.request_id, r.object_kind, r.object_id, r.data, r.created_at, r.chain_index, r.hash
        from"] "$1" (id uuid, tenant_id uuid, kind text, severity text, actor text, ip text, request_id text, object_kind text, object_id text,
        data jsonb, created_at timestamptz, chain_index bigint, hash bytea) ["where true"];
}

/// An event that waits for the end of its transaction.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) id: Uuid,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) kind: &'static str,
    pub(crate) severity: &'static str,
    pub(crate) actor: String,
    pub(crate) ip: Option<String>,
    pub(crate) request_id: Option<String>,
    pub(crate) object_kind: Option<String>,
    pub(crate) object_id: Option<String>,
    pub(crate) data: Value,
    pub(crate) created_at: DateTime<Utc>,
}

/// The columns of a row that its hash covers, as they are kept.
struct Hashed<'a> {
    id: Uuid,
    tenant: Option<Uuid>,
    kind: &'a str,
    severity: &'a str,
    actor: &'a str,
    ip: Option<&'a str>,
    request_id: Option<&'a str>,
    object_kind: Option<&'a str>,
    object_id: Option<&'a str>,
    data: &'a Value,
    created_at: DateTime<Utc>,
}

impl Hashed<'_> {
    /// SHA-256 over: the purpose, the hash before, the index (8 bytes, big-endian), then every column as a byte 1, its
    /// length (8 bytes, big-endian) and its bytes, or a byte 0 for null.
    fn hash(&self, previous: [u8; 32], index: i64) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(HASH_PURPOSE);
        hash.update(previous);
        hash.update(index.to_be_bytes());
        let tenant = self.tenant.as_ref().map(|tenant| tenant.as_bytes().as_slice());
        for column in [
            Some(self.id.as_bytes().as_slice()),
            tenant,
            Some(self.kind.as_bytes()),
            Some(self.severity.as_bytes()),
            Some(self.actor.as_bytes()),
            self.ip.map(str::as_bytes),
            self.request_id.map(str::as_bytes),
            self.object_kind.map(str::as_bytes),
            self.object_id.map(str::as_bytes),
            Some(canonical(self.data).as_bytes()),
            Some(self.created_at.timestamp_micros().to_be_bytes().as_slice()),
        ] {
            match column {
                None => hash.update([0]),
                Some(bytes) => {
                    hash.update([1]);
                    hash.update((bytes.len() as u64).to_be_bytes());
                    hash.update(bytes);
                }
            }
        }
        hash.finalize().into()
    }
}

/// JSON as one text whatever order the database gives keys back in: keys sorted, no space.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<&String, &Value> = map.iter().collect();
            let members: Vec<String> = sorted
                .into_iter()
                .map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), canonical(value)))
                .collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

/// As both databases give it back: a number that is not an integer becomes its text (they write such numbers in other
/// ways than we do), and a NUL, which PostgreSQL cannot keep, becomes the replacement character.
pub(crate) fn storable(value: Value) -> Value {
    match value {
        Value::Number(number) if !number.is_i64() && !number.is_u64() => Value::String(number.to_string()),
        Value::String(text) => Value::String(storable_text(&text)),
        Value::Array(items) => items.into_iter().map(storable).collect(),
        Value::Object(map) => {
            Value::Object(map.into_iter().map(|(key, value)| (storable_text(&key), storable(value))).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

pub(crate) fn storable_text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Writes what the transaction has recorded, just before its commit: the chain's head is locked last and for the
/// shortest time. Chains are taken in one order, so that no two transactions wait for each other.
pub(crate) async fn write(raw: &mut Raw) -> Result<(), Error> {
    let mut chains: BTreeMap<Uuid, Vec<Pending>> = BTreeMap::new();
    for event in std::mem::take(&mut raw.audit) {
        chains.entry(event.tenant.map_or(Uuid::nil(), Uuid::from)).or_default().push(event);
    }
    for (chain, events) in chains {
        append(&mut raw.acting(owner(chain)), chain, &events).await?;
    }
    Ok(())
}

/// Who may write to a chain.
fn owner(chain: Uuid) -> Identity {
    if chain.is_nil() { Identity::System } else { Identity::Tenant(OrganisationId(chain)) }
}

async fn append(tx: &mut Acting<'_>, chain: Uuid, events: &[Pending]) -> Result<(), Error> {
    let (mut index, mut head) = reserve(tx, chain, events.len()).await?;
    let mut rows = Vec::with_capacity(events.len());
    for event in events {
        head = event.hash(head, index);
        rows.push((event, index, head));
        index += 1;
    }
    match rows.as_slice() {
        [(event, index, hash)] => append_one(tx, event, *index, *hash).await?,
        all => {
            let rows: Vec<Appended<'_>> = all.iter().map(|(event, index, hash)| event.appended(*index, hash)).collect();
            sql(&APPEND_ALL).bind(sql::rows(&rows)?).run(tx).await?;
        }
    }
    sql(&ADVANCE).bind(chain).bind(head).run(tx).await.map(|_| ())
}

async fn append_one(tx: &mut Acting<'_>, event: &Pending, index: i64, hash: [u8; 32]) -> Result<(), Error> {
    sql(&APPEND)
        .bind(event.id)
        .bind(event.tenant)
        .bind(event.kind)
        .bind(event.severity)
        .bind(event.actor.as_str())
        .bind(event.ip.as_deref())
        .bind(event.request_id.as_deref())
        .bind(event.object_kind.as_deref())
        .bind(event.object_id.as_deref())
        .bind(event.data.clone())
        .bind(event.created_at)
        .bind(index)
        .bind(hash)
        .run(tx)
        .await
        .map(|_| ())
}

impl Pending {
    /// The hash of its row, after the row with the hash `previous`.
    fn hash(&self, previous: [u8; 32], index: i64) -> [u8; 32] {
        let row = Hashed {
            id: self.id,
            tenant: self.tenant.map(Uuid::from),
            kind: self.kind,
            severity: self.severity,
            actor: &self.actor,
            ip: self.ip.as_deref(),
            request_id: self.request_id.as_deref(),
            object_kind: self.object_kind.as_deref(),
            object_id: self.object_id.as_deref(),
            data: &self.data,
            created_at: self.created_at,
        };
        row.hash(previous, index)
    }

    fn appended<'a>(&'a self, chain_index: i64, hash: &'a [u8; 32]) -> Appended<'a> {
        Appended {
            id: sql::Id(self.id),
            tenant_id: self.tenant.map(|tenant| sql::Id(tenant.into())),
            kind: self.kind,
            severity: self.severity,
            actor: &self.actor,
            ip: self.ip.as_deref(),
            request_id: self.request_id.as_deref(),
            object_kind: self.object_kind.as_deref(),
            object_id: self.object_id.as_deref(),
            data: &self.data,
            created_at: sql::At(self.created_at),
            chain_index,
            hash: sql::Bytes(hash),
        }
    }
}

/// A row of [`APPEND_ALL`].
#[derive(serde::Serialize)]
struct Appended<'a> {
    id: sql::Id,
    tenant_id: Option<sql::Id>,
    kind: &'a str,
    severity: &'a str,
    actor: &'a str,
    ip: Option<&'a str>,
    request_id: Option<&'a str>,
    object_kind: Option<&'a str>,
    object_id: Option<&'a str>,
    data: &'a Value,
    created_at: sql::At,
    chain_index: i64,
    hash: sql::Bytes<'a>,
}

/// Locks the chain; the index of the next event and the hash of the last.
async fn reserve(tx: &mut Acting<'_>, chain: Uuid, count: usize) -> Result<(i64, [u8; 32]), Error> {
    let count = i64::try_from(count).map_err(Error::broken)?;
    for _ in 0..2 {
        let reserved = sql(&RESERVE)
            .bind(chain)
            .bind(count)
            .one(tx, |row| Ok((row.get("start")?, row.hash("head_hash")?)))
            .await?;
        if let Some(place) = reserved {
            return Ok(place);
        }
        sql(&BEGIN).bind(chain).bind(GENESIS).run(tx).await?;
    }
    Err(Error::Busy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(data: &Value) -> Hashed<'_> {
        Hashed {
            id: Uuid::from_u128(1),
            tenant: Some(Uuid::from_u128(2)),
            kind: "call.ended",
            severity: "info",
            actor: "system",
            ip: None,
            request_id: Some("r"),
            object_kind: Some("call"),
            object_id: Some("c"),
            data,
            created_at: DateTime::from_timestamp(1_800_000_000, 999).expect("a time"),
        }
    }

    #[test]
    fn every_column_counts() {
        let (data, other) = (json!({ "a": 1 }), json!({ "a": 2 }));
        let base = row(&data).hash(GENESIS, 0);
        let changed = [
            Hashed { id: Uuid::from_u128(3), ..row(&data) },
            Hashed { tenant: None, ..row(&data) },
            Hashed { kind: "call.started", ..row(&data) },
            Hashed { severity: "warning", ..row(&data) },
            Hashed { actor: "System", ..row(&data) },
            Hashed { ip: Some(""), ..row(&data) },
            Hashed { request_id: None, ..row(&data) },
            // The same bytes, cut elsewhere.
            Hashed { object_kind: Some("cal"), object_id: Some("lc"), ..row(&data) },
            Hashed { object_kind: None, object_id: Some("callc"), ..row(&data) },
            Hashed { data: &other, ..row(&data) },
            Hashed { created_at: DateTime::from_timestamp(1_800_000_000, 1_000).expect("a time"), ..row(&data) },
        ];
        for (n, row) in changed.iter().enumerate() {
            assert_ne!(row.hash(GENESIS, 0), base, "change {n}");
        }
        assert_ne!(row(&data).hash(GENESIS, 1), base);
        assert_ne!(row(&data).hash([1; 32], 0), base);
        // Below the microsecond nothing is kept.
        let whole = Hashed { created_at: DateTime::from_timestamp(1_800_000_000, 0).expect("a time"), ..row(&data) };
        assert_eq!(whole.hash(GENESIS, 0), base);
    }

    /// Computed apart from this program, from the description at [`Hashed::hash`].
    #[test]
    fn the_hash_stays_as_it_is_in_the_field() {
        let hex: String = row(&json!({ "b": [1, { "d": null, "c": "x" }], "a": true }))
            .hash(GENESIS, 7)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(hex, "08251bf6ce4a6871dfbb96da7f7367702ee7c457b9896222aca90218d855bfde");
    }

    #[test]
    fn canonical_json_has_one_order_and_storable_json_comes_back() {
        assert_eq!(
            canonical(&json!({ "b": [1, { "d": null, "c": "\u{e9}\n" }], "a": true })),
            "{\"a\":true,\"b\":[1,{\"c\":\"\u{e9}\\n\",\"d\":null}]}"
        );
        let kept = storable(json!({ "f": 1.5, "g": 1e300, "i": -3, "u": u64::MAX, "t": ["a\u{0}b"] }));
        assert_eq!(kept, json!({ "f": "1.5", "g": "1e+300", "i": -3, "u": u64::MAX, "t": ["a\u{fffd}b"] }));
    }
}
