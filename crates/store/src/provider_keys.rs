//! A tenant's keys at its providers: kept sealed, used by Caly, shown to nobody again but for their last four characters.

use crate::sql::{Row, sql, statements};
use crate::vault::{self, Place};
use crate::{Error, Page, PageRequest, Tx, ids};
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

/// Fewest characters of a key: the last four of a shorter one would tell half of it.
pub const KEY_CHARS_MIN: usize = 8;
/// Most characters of a key; service account tokens have a few hundred.
pub const KEY_CHARS_MAX: usize = 512;
const LAST_CHARS: usize = 4;

macro_rules! columns {
    () => {
        "id, provider, label, last4, created_at, updated_at"
    };
}

statements! {
    CREATE = "provider_keys.create" ["insert into provider_keys
        (id, tenant_id, provider, label, last4, sealed, created_at, updated_at)
        values ($1, $2, $3, $4, $5, $6, $7, $7) returning ", columns!()];
    GET = "provider_keys.get" ["select ", columns!(), " from provider_keys where tenant_id = $1 and id = $2"];
    LIST = "provider_keys.list" ["select ", columns!(), " from provider_keys
        where tenant_id = $1 and (created_at, id) < ($2, $3) order by created_at desc, id desc limit $4"];
    REPLACE = "provider_keys.replace" ["update provider_keys set last4 = $3, sealed = $4, updated_at = $5
        where tenant_id = $1 and id = $2 returning ", columns!()];
    DELETE = "provider_keys.delete" ["delete from provider_keys where tenant_id = $1 and id = $2"];
    SEALED = "provider_keys.sealed" ["select id, sealed from provider_keys where tenant_id = $1 and provider = $2"];
}

/// A key, without the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderKey {
    /// Its id.
    pub id: Uuid,
    /// At which provider: `deepgram`.
    pub provider: String,
    /// What the tenant calls it.
    pub label: String,
    /// The key's last four characters.
    pub last4: String,
    /// When it was first kept.
    pub created_at: DateTime<Utc>,
    /// When it was last replaced.
    pub updated_at: DateTime<Utc>,
}

/// A key to keep. Printing it does not print the key.
#[derive(Clone, Debug)]
pub struct NewProviderKey<'a> {
    /// At which provider. A tenant has one key at each.
    pub provider: &'a str,
    /// What the tenant calls it.
    pub label: &'a str,
    /// The key: 8 to 512 characters.
    pub key: &'a SecretString,
}

fn provider_key(row: &Row) -> Result<ProviderKey, Error> {
    Ok(ProviderKey {
        id: row.get("id")?,
        provider: row.get("provider")?,
        label: row.get("label")?,
        last4: row.get("last4")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

const fn place(row: Uuid) -> Place {
    Place { table: "provider_keys", column: "sealed", row }
}

/// The last characters of a key of the right length.
fn last4(key: &SecretString) -> Result<String, Error> {
    let key = key.expose_secret();
    let count = key.chars().count();
    if !(KEY_CHARS_MIN..=KEY_CHARS_MAX).contains(&count) {
        return Err(Error::Conflict("a provider's key has 8 to 512 characters"));
    }
    Ok(key.chars().skip(count - LAST_CHARS).collect())
}

/// Keeps a key.
///
/// # Errors
/// [`Error::Conflict`] when the tenant has one at this provider, or when it is too short or too long.
pub async fn create(tx: &mut Tx, new: &NewProviderKey<'_>, now: DateTime<Utc>) -> Result<ProviderKey, Error> {
    let last4 = last4(new.key)?;
    let id = ids::new(now)?;
    let sealed = vault::seal(tx, place(id), new.key.expose_secret().as_bytes(), now).await?;
    sql(&CREATE)
        .conflict("there is a key for this provider already")
        .bind(id)
        .bind(tx.tenant())
        .bind(new.provider)
        .bind(new.label)
        .bind(last4)
        .bind(sealed)
        .bind(now)
        .required(tx, provider_key)
        .await
}

/// A page, newest first.
///
/// # Errors
/// When the database fails.
pub async fn list(tx: &mut Tx, page: PageRequest) -> Result<Page<ProviderKey>, Error> {
    let list = sql(&LIST).bind(tx.tenant());
    page.fetch(list, tx, provider_key, |key| (key.created_at, key.id)).await
}

/// One by id.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(tx: &mut Tx, id: Uuid) -> Result<ProviderKey, Error> {
    sql(&GET).bind(tx.tenant()).bind(id).required(tx, provider_key).await
}

/// Puts another key in its place.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Conflict`] when it is too short or too long.
pub async fn replace(tx: &mut Tx, id: Uuid, key: &SecretString, now: DateTime<Utc>) -> Result<ProviderKey, Error> {
    let last4 = last4(key)?;
    let sealed = vault::seal(tx, place(id), key.expose_secret().as_bytes(), now).await?;
    sql(&REPLACE).bind(tx.tenant()).bind(id).bind(last4).bind(sealed).bind(now).required(tx, provider_key).await
}

/// Forgets a key.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn delete(tx: &mut Tx, id: Uuid) -> Result<(), Error> {
    let deleted = sql(&DELETE).bind(tx.tenant()).bind(id).run(tx).await?;
    if deleted == 0 { Err(Error::NotFound) } else { Ok(()) }
}

/// The key at this provider itself, for use.
///
/// # Errors
/// [`Error::Broken`] when it does not open; when the database fails.
pub async fn reveal(tx: &mut Tx, provider: &str) -> Result<Option<SecretString>, Error> {
    let found = sql(&SEALED)
        .bind(tx.tenant())
        .bind(provider)
        .one(tx, |row| Ok((row.get::<Uuid>("id")?, row.get::<Vec<u8>>("sealed")?)))
        .await?;
    let Some((id, sealed)) = found else { return Ok(None) };
    let opened = vault::open(tx, place(id), &sealed).await?;
    let key = std::str::from_utf8(opened.expose_secret()).map_err(|_| Error::broken("a provider's key is no text"))?;
    Ok(Some(SecretString::from(key)))
}
