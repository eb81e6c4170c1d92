//! The audit log: who did what. Only ever added to; each tenant's events form a chain of hashes ([`Store::verify_audit`]).

use crate::audit_chain::{self, PENDING_MAX, Pending, storable, storable_text};
use crate::sql::{Row, Sql, Statement, sql, statements};
use crate::{AnyTx, Error, Page, PageRequest, Store, Tx, ids};
use chrono::{DateTime, Utc};
use model::TenantId;
use std::net::IpAddr;
use uuid::Uuid;

/// Events in a page of [`export`].
const EXPORT_ROWS: i64 = 500;

macro_rules! columns {
    () => {
        "id, tenant_id, kind, severity, actor, ip, request_id, object_kind, object_id, data, created_at, chain_index,
        hash"
    };
}

macro_rules! filtered {
    () => {
        "tenant_id = $1 and (kind = $2 or $2 is null) and (severity = $3 or $3 is null)
          and (actor = $4 or $4 is null) and (object_kind = $5 or $5 is null) and (object_id = $6 or $6 is null)
          and (created_at >= $7 or $7 is null) and (created_at < $8 or $8 is null)"
    };
}

macro_rules! listed {
    () => {
        concat!("select ", columns!(), " from audit_logs")
    };
}

// The condition stated first has an index that begins with it, as in the lists of calls. $7 and $8 are the ends of the
// time.
macro_rules! of_list {
    ($first:literal) => {
        concat!(
            " where tenant_id = $1",
            $first,
            " and (created_at, id) < ($8, $9) and created_at >= $7
              and (kind = $2 or $2 is null) and (severity = $3 or $3 is null) and (actor = $4 or $4 is null)
              and (object_kind = $5 or $5 is null) and (object_id = $6 or $6 is null)
            order by created_at desc, id desc limit $10"
        )
    };
}

statements! {
    LIST = "audit.list" [listed!()] indexed_by "audit_logs_newest" [of_list!("")];
    LIST_OBJECT = "audit.list_object" [listed!()] indexed_by "audit_logs_object" [of_list!(" and object_id = $6")];
    LIST_ACTOR = "audit.list_actor" [listed!()] indexed_by "audit_logs_actor"
        [of_list!(" and actor <> 'system' and actor = $4")];
    LIST_SEVERITY = "audit.list_severity" [listed!()] indexed_by "audit_logs_severity"
        [of_list!(" and severity <> 'info' and severity = $3")];
    LIST_OBJECT_KIND = "audit.list_object_kind" [listed!()] indexed_by "audit_logs_object_kind"
        [of_list!(" and object_kind <> 'call' and object_kind = $5")];
    LIST_KIND = "audit.list_kind" [listed!()] indexed_by "audit_logs_kind" [of_list!(" and kind = $2")];
    EXPORT_BEFORE = "audit.export_before" ["select ", columns!(), " from audit_logs
        where ", filtered!(), " and chain_index is null and (created_at, id) > ($9, $10)
        order by created_at, id limit $11"];
    EXPORT = "audit.export" ["select ", columns!(), " from audit_logs
        where ", filtered!(), " and chain_index > $9 order by chain_index limit $10"];
}

pub use model::{AuditKind, Severity};

/// An event to record.
#[derive(Clone, Debug)]
pub struct NewAuditEvent<'a> {
    /// What was done.
    pub kind: AuditKind,
    /// How much attention it wants.
    pub severity: Severity,
    /// Who did it: `user:…`, `key:…`, `carrier:exotel`, `system`.
    pub actor: &'a str,
    /// From where.
    pub ip: Option<IpAddr>,
    /// In which request.
    pub request_id: Option<&'a str>,
    /// To what kind of thing: `call`.
    pub object_kind: Option<&'a str>,
    /// To which one.
    pub object_id: Option<&'a str>,
    /// The particulars: a JSON object without secrets, phone numbers and words of callers. A number that is not an
    /// integer is kept as its text.
    pub data: serde_json::Map<String, serde_json::Value>,
}

/// A recorded event.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEvent {
    /// Its id.
    pub id: Uuid,
    /// Whose it is; `None` when no tenant was known.
    pub tenant: Option<TenantId>,
    /// What was done.
    pub kind: AuditKind,
    /// How much attention it wants.
    pub severity: Severity,
    /// Who did it.
    pub actor: String,
    /// From where.
    pub ip: Option<IpAddr>,
    /// In which request.
    pub request_id: Option<String>,
    /// To what kind of thing.
    pub object_kind: Option<String>,
    /// To which one.
    pub object_id: Option<String>,
    /// The particulars.
    pub data: serde_json::Map<String, serde_json::Value>,
    /// When.
    pub created_at: DateTime<Utc>,
    /// Its place in the chain of its tenant; `None` for one from before there were chains.
    pub index: Option<u64>,
    /// SHA-256 over this event and the hash of the one before.
    pub hash: Option<[u8; 32]>,
}

/// Which events to list. `Default` lists all.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuditFilter<'a> {
    /// Only of this kind.
    pub kind: Option<AuditKind>,
    /// Only of this severity.
    pub severity: Option<Severity>,
    /// Only by this actor.
    pub actor: Option<&'a str>,
    /// Only to this kind of thing.
    pub object_kind: Option<&'a str>,
    /// Only to this thing.
    pub object_id: Option<&'a str>,
    /// At or after.
    pub created_from: Option<DateTime<Utc>>,
    /// Before.
    pub created_before: Option<DateTime<Utc>>,
}

fn event(row: &Row) -> Result<AuditEvent, Error> {
    Ok(AuditEvent {
        id: row.get("id")?,
        tenant: row.id_opt("tenant_id")?,
        kind: row.word("kind")?,
        severity: row.word("severity")?,
        actor: row.get("actor")?,
        ip: row.word_opt("ip")?,
        request_id: row.get("request_id")?,
        object_kind: row.get("object_kind")?,
        object_id: row.get("object_id")?,
        data: row.json("data")?,
        created_at: row.get("created_at")?,
        index: row.unsigned_opt("chain_index")?,
        hash: row.hash_opt("hash")?,
    })
}

/// Records an event in the transaction of the change it tells of. It is written just before the commit (a list in the
/// same transaction does not show it yet), so that the lock on the tenant's chain is held for the shortest time.
///
/// # Errors
/// [`Error::Conflict`] when the transaction has recorded a thousand already.
pub async fn record(tx: &mut impl AnyTx, new: &NewAuditEvent<'_>, now: DateTime<Utc>) -> Result<Uuid, Error> {
    let id = ids::new(now)?;
    let tenant = tx.tenant_if_any();
    let pending = &mut tx.raw().audit;
    if pending.len() >= PENDING_MAX {
        return Err(Error::Conflict("too many audit events in one transaction"));
    }
    pending.push(Pending {
        id,
        tenant,
        kind: new.kind.as_str(),
        severity: new.severity.as_str(),
        actor: storable_text(new.actor),
        ip: new.ip.map(|ip| ip.to_string()),
        request_id: new.request_id.map(storable_text),
        object_kind: new.object_kind.map(storable_text),
        object_id: new.object_id.map(storable_text),
        data: storable(serde_json::Value::Object(new.data.clone())),
        created_at: now,
    });
    Ok(id)
}

/// A page of the tenant's events, newest first.
///
/// # Errors
/// When the database fails.
pub async fn list(tx: &mut Tx, filter: &AuditFilter<'_>, page: PageRequest) -> Result<Page<AuditEvent>, Error> {
    let list =
        filter.bind(sql(filter.statement()), tx.tenant()).bind(filter.created_from.unwrap_or(DateTime::UNIX_EPOCH));
    page.before(filter.created_before).fetch(list, tx, event, |e| (e.created_at, e.id)).await
}

impl AuditFilter<'_> {
    /// The list that begins with the condition which few events meet. The other conditions are checked row by row.
    fn statement(&self) -> &'static Statement {
        if self.object_id.is_some() {
            &LIST_OBJECT
        } else if self.actor.is_some_and(|actor| actor != "system") {
            &LIST_ACTOR
        } else if self.severity.is_some_and(|severity| severity != Severity::Info) {
            &LIST_SEVERITY
        } else if self.kind.is_some() {
            &LIST_KIND
        } else if self.object_kind.is_some_and(|kind| kind != "call") {
            &LIST_OBJECT_KIND
        } else {
            &LIST
        }
    }

    /// The first six parameters.
    fn bind(&self, sql: Sql, tenant: TenantId) -> Sql {
        sql.bind(tenant)
            .bind(self.kind.map(AuditKind::as_str))
            .bind(self.severity.map(Severity::as_str))
            .bind(self.actor)
            .bind(self.object_kind)
            .bind(self.object_id)
    }

    fn bind_export(&self, sql: Sql, tenant: TenantId) -> Sql {
        self.bind(sql, tenant).bind(self.created_from).bind(self.created_before)
    }
}

/// Where a page of [`export`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExportPosition(Position);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// Among the events from before there were chains.
    Before { at: DateTime<Utc>, id: Uuid },
    /// In the chain: index of the last one given out.
    Chain { index: i64 },
}

/// A page of [`export`].
#[derive(Clone, Debug, PartialEq)]
pub struct Exported {
    /// At most five hundred.
    pub events: Vec<AuditEvent>,
    /// Where the next page begins; `None` = this was the last.
    pub next: Option<ExportPosition>,
}

/// The tenant's events in the order of their chain, those from before there were chains first: a page after `after`.
///
/// # Errors
/// When the database fails.
pub async fn export(tx: &mut Tx, filter: &AuditFilter<'_>, after: Option<ExportPosition>) -> Result<Exported, Error> {
    let tenant = tx.tenant();
    let mut events = Vec::new();
    let mut last_index = -1;
    match after.map(|position| position.0) {
        Some(Position::Chain { index }) => last_index = index,
        position => {
            let (at, id) = match position {
                Some(Position::Before { at, id }) => (at, id),
                Some(Position::Chain { .. }) | None => (DateTime::UNIX_EPOCH, Uuid::nil()),
            };
            let before = filter.bind_export(sql(&EXPORT_BEFORE), tenant);
            events = before.bind(at).bind(id).bind(EXPORT_ROWS).all(tx, event).await?;
        }
    }
    let room = EXPORT_ROWS - i64::try_from(events.len()).map_err(Error::broken)?;
    if room > 0 {
        let chained = filter.bind_export(sql(&EXPORT), tenant).bind(last_index).bind(room).all(tx, event).await?;
        events.extend(chained);
    }
    let full = i64::try_from(events.len()).map_err(Error::broken)? >= EXPORT_ROWS;
    let next = events.last().filter(|_| full).map(|last| {
        ExportPosition(match last.index.and_then(|index| i64::try_from(index).ok()) {
            Some(index) => Position::Chain { index },
            None => Position::Before { at: last.created_at, id: last.id },
        })
    });
    Ok(Exported { events, next })
}

/// Deletes the events of a tenant (or of no tenant) that are older than `before`, as far as no younger one comes before
/// them in the chain; how many. The chain's anchor moves first, so the rest still checks. May be stopped at any time and
/// repeated.
///
/// # Errors
/// When the database fails; [`Error::Busy`] when another run is at it.
pub async fn purge_before(
    store: &Store,
    tenant: impl Into<Option<TenantId>>,
    before: DateTime<Utc>,
) -> Result<u64, Error> {
    audit_chain::purge_before(store, tenant.into(), before).await
}

/// [`purge_before`] for every tenant and for events of no tenant, with an event that tells of it in each chain that lost
/// some; how many.
///
/// # Errors
/// As [`purge_before`].
pub async fn purge_all_before(store: &Store, before: DateTime<Utc>, now: DateTime<Utc>) -> Result<u64, Error> {
    audit_chain::purge_all_before(store, before, now).await
}
