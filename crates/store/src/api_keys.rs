//! API keys: what lets a program in, with some of its organisation's scopes. Only SHA-256 and the last four characters
//! are kept. A key is the organisation's: it outlives the membership of whoever made it.

use crate::sql::{Row, sql, statements, to_json};
use crate::{Error, Page, PageRequest, SystemTx, Tx, ids, memberships};
use chrono::{DateTime, Duration, Utc};
use model::{ApiKeyId, Scope, TenantId, UserId};

/// `last_used_at` is at most this far behind: one write a minute and key, not one per request.
const TOUCH_INTERVAL: Duration = Duration::seconds(60);

macro_rules! columns {
    () => {
        "id, tenant_id, name, last4, scopes, created_by, expires_at, last_used_at, revoked_at, created_at"
    };
}

statements! {
    CREATE = "api_keys.create" ["insert into api_keys
        (id, tenant_id, name, key_hash, last4, scopes, created_by, expires_at, created_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9) returning ", columns!()];
    GET = "api_keys.get" ["select ", columns!(), " from api_keys where tenant_id = $1 and id = $2"];
    LIST = "api_keys.list" ["select ", columns!(), " from api_keys
        where tenant_id = $1 and (created_at, id) < ($2, $3) order by created_at desc, id desc limit $4"];
    REVOKE = "api_keys.revoke" ["update api_keys set revoked_at = $3
        where tenant_id = $1 and id = $2 and revoked_at is null"];
    AUTHENTICATE = "api_keys.authenticate" ["select ", columns!(), " from api_keys
        where key_hash = $1 and revoked_at is null and (expires_at is null or expires_at > $2)"];
    TOUCH = "api_keys.touch" ["update api_keys set last_used_at = $2
        where id = $1 and (last_used_at is null or last_used_at <= $3)"];
}

/// A key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Shown to people.
    pub name: String,
    /// Its last characters, to tell it from others.
    pub last4: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Who made it.
    pub created_by: UserId,
    /// When it is over; `None` = never.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// A key to be.
#[derive(Clone, Debug)]
pub struct NewApiKey<'a> {
    /// Shown to people.
    pub name: &'a str,
    /// SHA-256 of the key.
    pub key_hash: [u8; 32],
    /// Its last characters.
    pub last4: &'a str,
    /// What it may do.
    pub scopes: &'a [Scope],
    /// Who makes it: a member.
    pub created_by: UserId,
    /// When it is over; `None` = never.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Which key asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthenticatedKey {
    /// Its id.
    pub id: ApiKeyId,
    /// Whose it is.
    pub tenant: TenantId,
    /// What it may do.
    pub scopes: Vec<Scope>,
}

/// A key that is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundKey {
    /// Which.
    pub key: AuthenticatedKey,
    /// Whether no use of it was noted in the last minute.
    pub unnoted: bool,
}

fn api_key(row: &Row) -> Result<ApiKey, Error> {
    Ok(ApiKey {
        id: row.id("id")?,
        tenant: row.id("tenant_id")?,
        name: row.get("name")?,
        last4: row.get("last4")?,
        scopes: row.json("scopes")?,
        created_by: row.id("created_by")?,
        expires_at: row.get("expires_at")?,
        last_used_at: row.get("last_used_at")?,
        revoked_at: row.get("revoked_at")?,
        created_at: row.get("created_at")?,
    })
}

/// Makes one.
///
/// # Errors
/// [`Error::NotFound`] when whoever makes it is not a member.
pub async fn create(tx: &mut Tx, new: &NewApiKey<'_>, now: DateTime<Utc>) -> Result<ApiKey, Error> {
    memberships::get(tx, new.created_by).await?;
    sql(&CREATE)
        .conflict("the API key is taken")
        .bind(ids::new(now)?)
        .bind(tx.tenant())
        .bind(new.name)
        .bind(new.key_hash)
        .bind(new.last4)
        .bind(to_json(&new.scopes)?)
        .bind(new.created_by)
        .bind(new.expires_at)
        .bind(now)
        .required(tx, api_key)
        .await
}

/// One by id.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(tx: &mut Tx, id: ApiKeyId) -> Result<ApiKey, Error> {
    sql(&GET).bind(tx.tenant()).bind(id).required(tx, api_key).await
}

/// A page, newest first: good ones, expired ones, revoked ones.
///
/// # Errors
/// When the database fails.
pub async fn list(tx: &mut Tx, page: PageRequest) -> Result<Page<ApiKey>, Error> {
    page.fetch(sql(&LIST).bind(tx.tenant()), tx, api_key, |k| (k.created_at, k.id.into())).await
}

/// Revokes one: the next request with it is refused. `false` when it had been revoked before.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn revoke(tx: &mut Tx, id: ApiKeyId, now: DateTime<Utc>) -> Result<bool, Error> {
    let revoked = sql(&REVOKE).bind(tx.tenant()).bind(id).bind(now).run(tx).await? > 0;
    if !revoked {
        get(tx, id).await?;
    }
    Ok(revoked)
}

/// Whose key this is, if it is good. Only reads: where [`FoundKey::unnoted`] says so, [`note_use`] follows.
///
/// # Errors
/// When the database fails.
pub async fn find(tx: &mut SystemTx, hash: [u8; 32], now: DateTime<Utc>) -> Result<Option<FoundKey>, Error> {
    let Some(key) = sql(&AUTHENTICATE).bind(hash).bind(now).one(tx, api_key).await? else { return Ok(None) };
    let unnoted = key.last_used_at.is_none_or(|at| at <= now - TOUCH_INTERVAL);
    let key = AuthenticatedKey { id: key.id, tenant: key.tenant, scopes: key.scopes };
    Ok(Some(FoundKey { key, unnoted }))
}

/// Notes a use, unless one was noted in the last minute.
///
/// # Errors
/// When the database fails.
pub async fn note_use(tx: &mut SystemTx, id: ApiKeyId, now: DateTime<Utc>) -> Result<(), Error> {
    sql(&TOUCH).bind(id).bind(now).bind(now - TOUCH_INTERVAL).run(tx).await.map(|_| ())
}

/// [`find`] and [`note_use`] in one transaction.
///
/// # Errors
/// When the database fails.
pub async fn authenticate(
    tx: &mut SystemTx,
    hash: [u8; 32],
    now: DateTime<Utc>,
) -> Result<Option<AuthenticatedKey>, Error> {
    let Some(found) = find(tx, hash, now).await? else { return Ok(None) };
    if found.unnoted {
        note_use(tx, found.key.id, now).await?;
    }
    Ok(Some(found.key))
}
