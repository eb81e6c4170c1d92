//! The audit log: who did what. Only ever added to.

use crate::sql::{Row, sql, statements};
use crate::{AnyTx, Error, Page, PageRequest, Tx, ids};
use chrono::{DateTime, Utc};
use model::TenantId;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use uuid::Uuid;

macro_rules! columns {
    () => {
        "id, tenant_id, kind, severity, actor, ip, request_id, object_kind, object_id, data, created_at"
    };
}

statements! {
    RECORD = "audit.record" ["insert into audit_logs
        (id, tenant_id, kind, severity, actor, ip, request_id, object_kind, object_id, data, created_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"];
    LIST = "audit.list" ["select ", columns!(), " from audit_logs
        where tenant_id = $1 and (kind = $2 or $2 is null) and (severity = $3 or $3 is null)
          and (actor = $4 or $4 is null) and (object_kind = $5 or $5 is null) and (object_id = $6 or $6 is null)
          and (created_at >= $7 or $7 is null) and (created_at < $8 or $8 is null)
          and (created_at, id) < ($9, $10)
        order by created_at desc, id desc limit $11"];
}

/// How much attention an event wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The ordinary course.
    Info,
    /// Worth a look.
    Warning,
    /// Somebody should look now.
    Critical,
}

impl Severity {
    /// Every value, rising.
    pub const ALL: &'static [Self] = &[Self::Info, Self::Warning, Self::Critical];

    /// The stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Severity {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL.iter().copied().find(|s| s.as_str() == word).ok_or_else(|| format!("unknown severity: {word}"))
    }
}

/// An event to record.
#[derive(Clone, Debug)]
pub struct NewAuditEvent<'a> {
    /// What was done: `call.started`, `webhook.rejected`.
    pub kind: &'a str,
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
    /// The particulars: a JSON object without secrets, phone numbers and words of callers.
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
    pub kind: String,
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
}

/// Which events to list. `Default` lists all.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuditFilter<'a> {
    /// Only of this kind.
    pub kind: Option<&'a str>,
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
        kind: row.get("kind")?,
        severity: row.word("severity")?,
        actor: row.get("actor")?,
        ip: row.word_opt("ip")?,
        request_id: row.get("request_id")?,
        object_kind: row.get("object_kind")?,
        object_id: row.get("object_id")?,
        data: row.json("data")?,
        created_at: row.get("created_at")?,
    })
}

/// Records an event, in the transaction of the change it tells of.
///
/// # Errors
/// When the database fails.
pub async fn record(tx: &mut impl AnyTx, new: &NewAuditEvent<'_>, now: DateTime<Utc>) -> Result<Uuid, Error> {
    let id = ids::new(now)?;
    sql(&RECORD)
        .bind(id)
        .bind(tx.tenant_if_any())
        .bind(new.kind)
        .bind(new.severity.as_str())
        .bind(new.actor)
        .bind(new.ip.map(|ip| ip.to_string()))
        .bind(new.request_id)
        .bind(new.object_kind)
        .bind(new.object_id)
        .bind(serde_json::Value::Object(new.data.clone()))
        .bind(now)
        .run(tx)
        .await?;
    Ok(id)
}

/// A page of the tenant's events, newest first.
///
/// # Errors
/// When the database fails.
pub async fn list(tx: &mut Tx, filter: &AuditFilter<'_>, page: PageRequest) -> Result<Page<AuditEvent>, Error> {
    let list = sql(&LIST)
        .bind(tx.tenant())
        .bind(filter.kind)
        .bind(filter.severity.map(Severity::as_str))
        .bind(filter.actor)
        .bind(filter.object_kind)
        .bind(filter.object_id)
        .bind(filter.created_from)
        .bind(filter.created_before);
    page.fetch(list, tx, event, |e| (e.created_at, e.id)).await
}
