//! The check of the chains.

use super::{GENESIS, Hashed};
use crate::row_security::Identity;
use crate::sql::{Row, sql, statements};
use crate::tx::{Acting, Raw};
use crate::{Error, Store};
use chrono::{DateTime, Utc};
use model::{OrganisationId, TenantId};
use serde_json::Value;
use std::fmt;
use uuid::Uuid;

/// Rows of a chain that the check holds in memory at once.
const VERIFY_ROWS: i64 = 500;

statements! {
    CHAINS = "audit_chain.chains" ["select tenant_id as chain from audit_chains
        union select o.id from organisations o where exists (select 1 from audit_logs a where a.tenant_id = o.id)
        union select $1 where exists (select 1 from audit_logs where tenant_id is null) order by 1"];
    HEAD = "audit_chain.head" ["select next_index, head_hash, first_index, first_hash from audit_chains
        where tenant_id = $1"];
    ROWS = "audit_chain.rows" ["select ", columns!(), " from audit_logs
        where ", of_tenant!(), " and chain_index >= $2 order by chain_index limit $3"];
    ROWS_OF_NOBODY = "audit_chain.rows_of_nobody" ["select ", columns!(), " from audit_logs
        where ", of_nobody!(), " and chain_index >= $2 order by chain_index limit $3"];
    BEFORE = "audit_chain.before" ["select count(*) as n from audit_logs
        where ", of_tenant!(), " and chain_index is null"];
    BEFORE_OF_NOBODY = "audit_chain.before_of_nobody" ["select count(*) as n from audit_logs
        where ", of_nobody!(), " and chain_index is null"];
}

/// What the check of the audit log found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditReport {
    /// One entry for each tenant with events, and one for events of no tenant.
    pub chains: Vec<ChainReport>,
}

impl AuditReport {
    /// Whether no chain has a fault.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.chains.iter().all(|chain| chain.fault.is_none())
    }
}

/// One chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainReport {
    /// Whose it is; `None` for events of no tenant.
    pub tenant: Option<TenantId>,
    /// Events that were checked, up to the fault.
    pub events: u64,
    /// Index of the first event that retention has left.
    pub first: u64,
    /// Hash of the last event: keep it elsewhere, and the next report can be held against it.
    pub head_hash: [u8; 32],
    /// Events from before there were chains. Nothing vouches for them.
    pub before_the_chain: u64,
    /// The first fault.
    pub fault: Option<AuditFault>,
}

/// The first thing wrong with a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditFault {
    /// Where: the event's index.
    pub index: u64,
    /// Which event, when there is one.
    pub event_id: Option<Uuid>,
    /// What.
    pub what: AuditFaultKind,
}

impl fmt::Display for AuditFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at index {}: {}", self.index, self.what)?;
        match self.event_id {
            Some(id) => write!(f, " (event {id})"),
            None => Ok(()),
        }
    }
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditFaultKind {
    /// An event is missing here (the named event, if any, is the one that follows), or has another's place.
    Gap,
    /// The event is not as it was written.
    HashMismatch,
    /// The events do not end where the chain's head says.
    HeadMismatch,
    /// There are events and no head.
    HeadMissing,
    /// A column holds something that cannot be read.
    Unreadable,
}

impl fmt::Display for AuditFaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gap => "an event is missing",
            Self::HashMismatch => "the event is not as it was written",
            Self::HeadMismatch => "the events do not end where the head says",
            Self::HeadMissing => "the chain has no head",
            Self::Unreadable => "the event cannot be read",
        })
    }
}

/// A row as it is kept: words are not looked at, so that a changed one is a wrong hash and not an error.
struct Kept {
    id: Uuid,
    tenant: Option<Uuid>,
    kind: String,
    severity: String,
    actor: String,
    ip: Option<String>,
    request_id: Option<String>,
    object_kind: Option<String>,
    object_id: Option<String>,
    data: Value,
    created_at: DateTime<Utc>,
    index: i64,
    hash: Vec<u8>,
}

/// What can be read of a row.
enum Read {
    Whole(Box<Kept>),
    Broken { id: Option<Uuid> },
}

fn kept(row: &Row) -> Result<Kept, Error> {
    Ok(Kept {
        id: row.get("id")?,
        tenant: row.get("tenant_id")?,
        kind: row.get("kind")?,
        severity: row.get("severity")?,
        actor: row.get("actor")?,
        ip: row.get("ip")?,
        request_id: row.get("request_id")?,
        object_kind: row.get("object_kind")?,
        object_id: row.get("object_id")?,
        data: row.get("data")?,
        created_at: row.get("created_at")?,
        index: row.get("chain_index")?,
        hash: row.get("hash")?,
    })
}

impl Kept {
    fn hash_after(&self, previous: [u8; 32]) -> [u8; 32] {
        Hashed {
            id: self.id,
            tenant: self.tenant,
            kind: &self.kind,
            severity: &self.severity,
            actor: &self.actor,
            ip: self.ip.as_deref(),
            request_id: self.request_id.as_deref(),
            object_kind: self.object_kind.as_deref(),
            object_id: self.object_id.as_deref(),
            data: &self.data,
            created_at: self.created_at,
        }
        .hash(previous, self.index)
    }
}

struct Head {
    next_index: i64,
    head_hash: Vec<u8>,
    first_index: i64,
    first_hash: Vec<u8>,
}

/// Every chain there is: the tenants' and (nil) that of no tenant. What is no UUID belongs to no tenant whose rows could
/// be found: its chain has a gap.
pub(super) async fn chains(store: &Store) -> Result<Vec<Uuid>, Error> {
    let mut raw = store.begin_read("audit.chains").await?;
    let found = sql(&CHAINS)
        .bind(Uuid::nil())
        .all(&mut raw.acting(Identity::System), |row| Ok(row.get::<Uuid>("chain").ok()))
        .await;
    Ok(raw.end(found).await?.into_iter().flatten().collect())
}

impl Store {
    /// Checks every chain of the audit log, each as of one moment, in pages. Writers are not held up.
    ///
    /// # Errors
    /// When the database fails. What is wrong with the log is in the report.
    pub async fn verify_audit(&self) -> Result<AuditReport, Error> {
        let mut report = AuditReport { chains: Vec::new() };
        for chain in chains(self).await? {
            let mut raw = self.begin_read("store.verify_audit").await?;
            let checked = check(&mut raw, chain).await;
            report.chains.push(raw.end(checked).await?);
        }
        Ok(report)
    }
}

async fn check(raw: &mut Raw, chain: Uuid) -> Result<ChainReport, Error> {
    let mut tx = raw.acting(Identity::System);
    let before = if chain.is_nil() { &BEFORE_OF_NOBODY } else { &BEFORE };
    let before = sql(before).bind(chain).required(&mut tx, |row| row.unsigned("n")).await?;
    let head = sql(&HEAD)
        .bind(chain)
        .one(&mut tx, |row| {
            Ok(Head {
                next_index: row.get("next_index")?,
                head_hash: row.get("head_hash")?,
                first_index: row.get("first_index")?,
                first_hash: row.get("first_hash")?,
            })
        })
        .await?;
    let mut report = ChainReport {
        tenant: Some(OrganisationId(chain)).filter(|_| !chain.is_nil()),
        events: 0,
        first: head.as_ref().map_or(0, |head| unsigned(head.first_index)),
        head_hash: GENESIS,
        before_the_chain: before,
        fault: None,
    };
    let walk = Walk { chain, head };
    report.fault = walk.follow(&mut tx, &mut report).await?;
    Ok(report)
}

fn unsigned(index: i64) -> u64 {
    u64::try_from(index).unwrap_or(0)
}

struct Walk {
    chain: Uuid,
    head: Option<Head>,
}

impl Walk {
    async fn page(&self, tx: &mut Acting<'_>, from: i64) -> Result<Vec<Read>, Error> {
        let rows = if self.chain.is_nil() { &ROWS_OF_NOBODY } else { &ROWS };
        sql(rows)
            .bind(self.chain)
            .bind(from)
            .bind(VERIFY_ROWS)
            .all(tx, |row| {
                Ok(match kept(row) {
                    Ok(row) => Read::Whole(Box::new(row)),
                    Err(_) => Read::Broken { id: row.get("id").ok() },
                })
            })
            .await
    }

    /// Goes from the anchor to the head; the first fault.
    async fn follow(&self, tx: &mut Acting<'_>, report: &mut ChainReport) -> Result<Option<AuditFault>, Error> {
        let fault = |index: i64, event_id, what| Ok(Some(AuditFault { index: unsigned(index), event_id, what }));
        let Some(head) = &self.head else {
            return Ok(match self.page(tx, 0).await?.into_iter().next() {
                None => None,
                Some(Read::Whole(row)) => fault(row.index, Some(row.id), AuditFaultKind::HeadMissing)?,
                Some(Read::Broken { id }) => fault(0, id, AuditFaultKind::HeadMissing)?,
            });
        };
        let mut index = head.first_index;
        let Ok(mut previous) = <[u8; 32]>::try_from(head.first_hash.as_slice()) else {
            return fault(index, None, AuditFaultKind::HeadMismatch);
        };
        report.head_hash = previous;
        loop {
            let page = self.page(tx, index).await?;
            let last = (page.len() as u64) < VERIFY_ROWS.unsigned_abs();
            for read in page {
                let row = match read {
                    Read::Whole(row) => row,
                    Read::Broken { id } => return fault(index, id, AuditFaultKind::Unreadable),
                };
                if row.index != index {
                    return fault(index, Some(row.id), AuditFaultKind::Gap);
                }
                if index >= head.next_index {
                    return fault(index, Some(row.id), AuditFaultKind::HeadMismatch);
                }
                let hash = row.hash_after(previous);
                if row.hash != hash {
                    return fault(index, Some(row.id), AuditFaultKind::HashMismatch);
                }
                previous = hash;
                index += 1;
                report.events += 1;
                report.head_hash = hash;
            }
            if last {
                break;
            }
        }
        if index < head.next_index {
            return fault(index, None, AuditFaultKind::Gap);
        }
        if head.head_hash != previous {
            return fault(index, None, AuditFaultKind::HeadMismatch);
        }
        Ok(None)
    }
}
