//! Password resets: the right to choose a new password, sent to the address, once, soon. Only the token's SHA-256 is
//! kept, in `password_reset_tokens`.

use crate::sql::{sql, statements};
use crate::{Error, SystemTx, ids, users};
use chrono::{DateTime, Utc};
use model::UserId;

statements! {
    REVOKE = "password_resets.revoke" ["update password_reset_tokens set revoked_at = $2
        where user_id = $1 and used_at is null and revoked_at is null"];
    ISSUE = "password_resets.issue" ["insert into password_reset_tokens
        (id, user_id, token_hash, expires_at, created_at, updated_at) values ($1, $2, $3, $4, $5, $5)"];
    LAST = "password_resets.last" ["select created_at from password_reset_tokens
        where user_id = $1 and used_at is null and revoked_at is null order by created_at desc limit 1"];
    LOCK_USER = "password_resets.lock_user" ["update users set updated_at = updated_at
        where id = (select user_id from password_reset_tokens where token_hash = $1)"];
    PEEK = "password_resets.peek" ["select user_id from password_reset_tokens
        where token_hash = $1 and used_at is null and revoked_at is null and expires_at > $2"];
    USE_ONCE = "password_resets.use_once" ["update password_reset_tokens set used_at = $2
        where token_hash = $1 and used_at is null and revoked_at is null and expires_at > $2 returning user_id"];
    PURGE = "password_resets.purge" ["delete from password_reset_tokens where expires_at <= $1"];
}

/// Lets whoever knows the token behind `hash` reset this user's password, until `expires_at`. Earlier tokens of the
/// user are no longer good.
///
/// # Errors
/// [`Error::NotFound`] when there is no such user.
pub async fn issue(
    tx: &mut SystemTx,
    user: UserId,
    hash: [u8; 32],
    expires_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    users::lock(tx, user).await?;
    sql(&REVOKE).bind(user).bind(now).run(tx).await?;
    sql(&ISSUE)
        .conflict("the reset token is taken")
        .bind(ids::new(now)?)
        .bind(user)
        .bind(hash)
        .bind(expires_at)
        .bind(now)
        .run(tx)
        .await
        .map(|_| ())
}

/// When the token that is good now was sent.
///
/// # Errors
/// When the database fails.
pub async fn last_issued_at(tx: &mut SystemTx, user: UserId) -> Result<Option<DateTime<Utc>>, Error> {
    sql(&LAST).bind(user).one(tx, |row| row.get("created_at")).await
}

/// Takes back what was sent: the password has changed otherwise.
///
/// # Errors
/// When the database fails.
pub async fn revoke_of(tx: &mut SystemTx, user: UserId, now: DateTime<Utc>) -> Result<(), Error> {
    sql(&REVOKE).bind(user).bind(now).run(tx).await.map(|_| ())
}

/// Whose password the token may reset, without using it.
///
/// # Errors
/// When the database fails.
pub async fn peek(tx: &mut SystemTx, hash: [u8; 32], now: DateTime<Utc>) -> Result<Option<UserId>, Error> {
    sql(&PEEK).bind(hash).bind(now).one(tx, |row| row.id("user_id")).await
}

/// Uses it; whose password it resets. Of any number of simultaneous uses one finds the user.
///
/// # Errors
/// When the database fails.
pub async fn use_once(tx: &mut SystemTx, hash: [u8; 32], now: DateTime<Utc>) -> Result<Option<UserId>, Error> {
    sql(&LOCK_USER).bind(hash).run(tx).await?;
    sql(&USE_ONCE).bind(hash).bind(now).one(tx, |row| row.id("user_id")).await
}

/// Removes tokens that expired by this time; how many.
pub(crate) async fn purge(tx: &mut SystemTx, expired_by: DateTime<Utc>) -> Result<u64, Error> {
    sql(&PURGE).bind(expired_by).run(tx).await
}
