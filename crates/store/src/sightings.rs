//! What was seen of a carrier: for people who connect a number and want to know what arrives.

use crate::sql::{sql, statements};
use crate::{Error, SystemTx, Tx};
use chrono::{DateTime, Utc};
use model::{CarrierKind, E164, PhoneNumberId, TenantId};

/// Numbers looked at in one go: more than a person reads.
const NUMBERS_MAX: i64 = 200;
/// The newest calls of a number whose reports are looked at.
const CALLS_MAX: i64 = 50;
/// Kinds of reports and reasons of refusal listed.
const ROWS_MAX: i64 = 50;

statements! {
    NUMBERS = "sightings.numbers" ["select p.id, p.tenant_id, p.number, o.name as organisation, a.name as agent
        from phone_numbers p
        join organisations o on o.id = p.tenant_id
        join agents a on a.tenant_id = p.tenant_id and a.id = p.agent_id
        where p.carrier = $1 and (p.number = $2 or $2 is null) order by p.number limit $3"];
    REPORTS = "sightings.reports" ["select kind, count(*) as n, max(created_at) as last_at from carrier_events
        where tenant_id = $1 and call_id in (
            select id from calls where tenant_id = $1 and phone_number_id = $2
            order by created_at desc, id desc limit $3)
        group by kind order by kind limit $4"];
    REFUSED = "sightings.refused" ["select ip, data, count(*) as n, max(created_at) as last_at from audit_logs
        where tenant_id is null and kind = 'webhook.rejected' and actor = $1 and created_at >= $2
        group by ip, data order by 4 desc limit $3"];
}

/// A number with the names of whose it is and who answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectedNumber {
    /// Its id.
    pub id: PhoneNumberId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The number.
    pub number: E164,
    /// The organisation's name.
    pub organisation: String,
    /// The agent's name.
    pub agent: String,
}

/// Something that arrived, as often and last when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What: the kind of a report, or the reason of a refusal.
    pub what: String,
    /// From which address, for refusals.
    pub ip: Option<String>,
    /// How often.
    pub count: u64,
    /// Last when.
    pub last_at: DateTime<Utc>,
}

/// The numbers at a carrier, of all organisations; or one.
///
/// # Errors
/// When the database fails.
pub async fn numbers(
    tx: &mut SystemTx,
    carrier: CarrierKind,
    only: Option<&E164>,
) -> Result<Vec<ConnectedNumber>, Error> {
    sql(&NUMBERS)
        .bind(carrier)
        .bind(only)
        .bind(NUMBERS_MAX)
        .all(tx, |row| {
            let number: String = row.get("number")?;
            Ok(ConnectedNumber {
                id: row.id("id")?,
                tenant: row.id("tenant_id")?,
                number: E164::parse(&number).map_err(|_| Error::broken("a connected number is none"))?,
                organisation: row.get("organisation")?,
                agent: row.get("agent")?,
            })
        })
        .await
}

/// Which reports came of the newest calls of a number.
///
/// # Errors
/// When the database fails.
pub async fn reports(tx: &mut Tx, number: PhoneNumberId) -> Result<Vec<Seen>, Error> {
    sql(&REPORTS)
        .bind(tx.tenant())
        .bind(number)
        .bind(CALLS_MAX)
        .bind(ROWS_MAX)
        .all(tx, |row| {
            Ok(Seen { what: row.get("kind")?, ip: None, count: row.unsigned("n")?, last_at: row.get("last_at")? })
        })
        .await
}

/// Webhooks of a carrier that were refused since then, by address and reason, latest first.
///
/// # Errors
/// When the database fails.
pub async fn refused(tx: &mut SystemTx, carrier: CarrierKind, since: DateTime<Utc>) -> Result<Vec<Seen>, Error> {
    sql(&REFUSED)
        .bind(format!("carrier:{}", carrier.as_str()))
        .bind(since)
        .bind(ROWS_MAX)
        .all(tx, |row| {
            let data: serde_json::Value = row.get("data")?;
            Ok(Seen {
                what: data.get("reason").and_then(|reason| reason.as_str()).unwrap_or("unknown").to_owned(),
                ip: row.get("ip")?,
                count: row.unsigned("n")?,
                last_at: row.get("last_at")?,
            })
        })
        .await
}
