//! Stream tokens: the right to open the media socket of one call, once, soon. Only the SHA-256 is kept.

use crate::sql::{Row, sql, statements};
use crate::{Error, SystemTx, Tx};
use chrono::{DateTime, Duration, Utc};
use model::{AgentId, CallDirection, CallId, CallStatus, CarrierKind, TenantId};

statements! {
    ISSUE = "stream_tokens.issue" ["insert into stream_tokens (token_hash, tenant_id, call_id, expires_at)
        values ($1, $2, $3, $4)"];
    CONSUME = "stream_tokens.consume" ["update stream_tokens set used_at = $2
        where token_hash = $1 and used_at is null and expires_at > $2"];
    LOOK = "stream_tokens.look" ["select t.used_at, c.tenant_id, c.id, c.agent_id, c.carrier, c.carrier_call_id,
            c.direction, c.status
        from stream_tokens t join calls c on c.tenant_id = t.tenant_id and c.id = t.call_id
        where t.token_hash = $1"];
    PURGE = "stream_tokens.purge" ["delete from stream_tokens where expires_at < $1"];
}

/// What a token grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamGrant {
    /// Whose call.
    pub tenant: TenantId,
    /// Which call.
    pub call: CallId,
    /// Who answers.
    pub agent: AgentId,
    /// Who carries it.
    pub carrier: CarrierKind,
    /// The carrier's name for it, to compare with the start message.
    pub carrier_call_id: Option<String>,
    /// Who placed it.
    pub direction: CallDirection,
    /// Where the call stands; a final status means that it is over.
    pub status: CallStatus,
}

/// What became of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consumed {
    /// It was good, and is used now.
    Granted(StreamGrant),
    /// No such token.
    Unknown,
    /// Somebody used it before.
    Used,
    /// Its time is over.
    Expired,
}

/// Lets whoever knows the token behind `hash` open the socket of this call, until `now + ttl`.
///
/// # Errors
/// [`Error::NotFound`] when the call is not this tenant's.
pub async fn issue(tx: &mut Tx, call: CallId, hash: [u8; 32], now: DateTime<Utc>, ttl: Duration) -> Result<(), Error> {
    sql(&ISSUE)
        .conflict("the stream token is taken")
        .bind(hash)
        .bind(tx.tenant())
        .bind(call)
        .bind(now + ttl)
        .run(tx)
        .await
        .map(|_| ())
}

/// Uses a token. Of any number of simultaneous uses one is granted.
///
/// # Errors
/// When the database fails.
pub async fn consume(tx: &mut SystemTx, hash: [u8; 32], now: DateTime<Utc>) -> Result<Consumed, Error> {
    let taken = sql(&CONSUME).bind(hash).bind(now).run(tx).await? > 0;
    let Some((used, grant)) = sql(&LOOK).bind(hash).one(tx, look).await? else {
        return Ok(Consumed::Unknown);
    };
    Ok(match (taken, used) {
        (true, _) => Consumed::Granted(grant),
        (false, true) => Consumed::Used,
        (false, false) => Consumed::Expired,
    })
}

fn look(row: &Row) -> Result<(bool, StreamGrant), Error> {
    let grant = StreamGrant {
        tenant: row.id("tenant_id")?,
        call: row.id("id")?,
        agent: row.id("agent_id")?,
        carrier: row.word("carrier")?,
        carrier_call_id: row.get("carrier_call_id")?,
        direction: row.word("direction")?,
        status: row.word("status")?,
    };
    Ok((row.get::<Option<DateTime<Utc>>>("used_at")?.is_some(), grant))
}

/// Removes tokens that expired before this time; how many.
///
/// # Errors
/// When the database fails.
pub async fn purge(tx: &mut SystemTx, expired_before: DateTime<Utc>) -> Result<u64, Error> {
    sql(&PURGE).bind(expired_before).run(tx).await
}
