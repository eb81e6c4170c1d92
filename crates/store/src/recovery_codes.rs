//! Recovery codes: what a user who has lost the second factor logs in with, each once. Only SHA-256 is kept.

use crate::sql::{sql, statements};
use crate::{Error, SystemTx, users};
use chrono::{DateTime, Utc};
use model::UserId;

/// Most codes of one user: they are shown once, on one page.
const PER_USER_MAX: usize = 20;

statements! {
    REMOVE = "recovery_codes.remove" ["delete from recovery_codes where user_id = $1"];
    ADD = "recovery_codes.add" ["insert into recovery_codes (user_id, code_hash, created_at) values ($1, $2, $3)"];
    USE_ONCE = "recovery_codes.use_once" ["update recovery_codes set used_at = $3
        where user_id = $1 and code_hash = $2 and used_at is null"];
    LEFT = "recovery_codes.left" ["select count(*) as n from recovery_codes where user_id = $1 and used_at is null"];
}

/// New codes in place of all earlier ones; none at all with an empty list.
///
/// # Errors
/// [`Error::NotFound`] when there is no such user; [`Error::Conflict`] when there are more than twenty, or two alike.
pub async fn replace(tx: &mut SystemTx, user: UserId, hashes: &[[u8; 32]], now: DateTime<Utc>) -> Result<(), Error> {
    if hashes.len() > PER_USER_MAX {
        return Err(Error::Conflict("too many recovery codes"));
    }
    users::lock(tx, user).await?;
    sql(&REMOVE).bind(user).run(tx).await?;
    for hash in hashes {
        sql(&ADD).conflict("two recovery codes are alike").bind(user).bind(*hash).bind(now).run(tx).await?;
    }
    Ok(())
}

/// Uses one. Of any number of simultaneous uses one is `true`.
///
/// # Errors
/// [`Error::NotFound`] when there is no such user.
pub async fn use_once(tx: &mut SystemTx, user: UserId, hash: [u8; 32], now: DateTime<Utc>) -> Result<bool, Error> {
    users::lock(tx, user).await?;
    Ok(sql(&USE_ONCE).bind(user).bind(hash).bind(now).run(tx).await? > 0)
}

/// How many a user has left.
///
/// # Errors
/// When the database fails.
pub async fn left(tx: &mut SystemTx, user: UserId) -> Result<u32, Error> {
    sql(&LEFT).bind(user).required(tx, |row| row.unsigned("n")).await
}
