//! One-time codes: a few digits sent to an address, for one purpose, for some minutes. A user has one per purpose.

use crate::sql::{Row, sql, statements};
use crate::{Error, SystemTx, ids, users};
use chrono::{DateTime, Utc};
use model::UserId;
use std::fmt;
use uuid::Uuid;

statements! {
    ISSUE = "one_time_codes.issue" ["insert into one_time_codes
        (id, user_id, purpose, code_hash, tries, expires_at, created_at) values ($1, $2, $3, $4, 0, $5, $6)
        on conflict (user_id, purpose) do update set id = excluded.id, code_hash = excluded.code_hash,
            tries = 0, expires_at = excluded.expires_at, used_at = null, created_at = excluded.created_at
        returning id"];
    CURRENT = "one_time_codes.current" ["select id, code_hash, tries, expires_at, used_at, created_at
        from one_time_codes where user_id = $1 and purpose = $2"];
    LOCK_USER = "one_time_codes.lock_user" ["update users set updated_at = updated_at
        where id = (select user_id from one_time_codes where id = $1)"];
    COUNT_TRY = "one_time_codes.count_try" ["update one_time_codes set tries = tries + 1 where id = $1 returning tries"];
    USE_ONCE = "one_time_codes.use_once" ["update one_time_codes set used_at = $2
        where id = $1 and used_at is null and expires_at > $2"];
    WITHDRAW = "one_time_codes.withdraw" ["delete from one_time_codes where user_id = $1 and purpose = $2"];
    PURGE = "one_time_codes.purge" ["delete from one_time_codes where expires_at <= $1"];
}

/// A code that was sent.
#[derive(Clone)]
pub struct Code {
    /// Its id; a later code of the same purpose has another.
    pub id: Uuid,
    /// The code's hash with its parameters and salt, as text.
    pub code_hash: String,
    /// How often somebody tried.
    pub tries: u32,
    /// Until when it is good.
    pub expires_at: DateTime<Utc>,
    /// When it was used.
    pub used_at: Option<DateTime<Utc>>,
    /// When it was sent.
    pub created_at: DateTime<Utc>,
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Code")
            .field("id", &self.id)
            .field("tries", &self.tries)
            .field("expires_at", &self.expires_at)
            .field("used_at", &self.used_at)
            .finish_non_exhaustive()
    }
}

fn code(row: &Row) -> Result<Code, Error> {
    Ok(Code {
        id: row.get("id")?,
        code_hash: row.get("code_hash")?,
        tries: row.unsigned("tries")?,
        expires_at: row.get("expires_at")?,
        used_at: row.get("used_at")?,
        created_at: row.get("created_at")?,
    })
}

/// Keeps a new one; the earlier one of that purpose is gone.
///
/// # Errors
/// [`Error::NotFound`] when there is no such user.
pub async fn issue(
    tx: &mut SystemTx,
    user: UserId,
    purpose: &str,
    code_hash: &str,
    expires_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Uuid, Error> {
    users::lock(tx, user).await?;
    sql(&ISSUE)
        .bind(ids::new(now)?)
        .bind(user)
        .bind(purpose)
        .bind(code_hash)
        .bind(expires_at)
        .bind(now)
        .required(tx, |row| row.get("id"))
        .await
}

/// The latest one of a purpose, used or not, expired or not.
///
/// # Errors
/// When the database fails.
pub async fn current(tx: &mut SystemTx, user: UserId, purpose: &str) -> Result<Option<Code>, Error> {
    sql(&CURRENT).bind(user).bind(purpose).one(tx, code).await
}

/// Counts a try, before the code is compared; how many there are with this one. Simultaneous tries get different
/// numbers.
///
/// # Errors
/// [`Error::NotFound`] when a later code has taken its place.
pub async fn count_try(tx: &mut SystemTx, id: Uuid) -> Result<u32, Error> {
    sql(&LOCK_USER).bind(id).run(tx).await?;
    sql(&COUNT_TRY).bind(id).required(tx, |row| row.unsigned("tries")).await
}

/// Uses it, once and in time. Of any number of simultaneous uses one is `true`.
///
/// # Errors
/// When the database fails.
pub async fn use_once(tx: &mut SystemTx, id: Uuid, now: DateTime<Utc>) -> Result<bool, Error> {
    sql(&LOCK_USER).bind(id).run(tx).await?;
    Ok(sql(&USE_ONCE).bind(id).bind(now).run(tx).await? > 0)
}

/// Takes a code back: nothing sent for this purpose opens anything any more.
///
/// # Errors
/// [`Error::NotFound`] when there is no such user.
pub async fn withdraw(tx: &mut SystemTx, user: UserId, purpose: &str) -> Result<(), Error> {
    users::lock(tx, user).await?;
    sql(&WITHDRAW).bind(user).bind(purpose).run(tx).await.map(|_| ())
}

/// Removes codes that expired by this time; how many.
pub(crate) async fn purge(tx: &mut SystemTx, expired_by: DateTime<Utc>) -> Result<u64, Error> {
    sql(&PURGE).bind(expired_by).run(tx).await
}
