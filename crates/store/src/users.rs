//! Users: people, whatever organisations they are members of. One e-mail address is one user.
//!
//! Work that changes a user together with his codes, reset tokens or sessions takes the lock of the user's row first
//! (every function that decides does), so that two such units of work queue and do not collide.

use crate::sql::{Row, sql, statements};
use crate::{Error, SystemTx, ids};
use chrono::{DateTime, Utc};
use model::{EmailAddress, UserId};
use sha2::{Digest, Sha256};
use std::fmt;
use std::net::IpAddr;

/// Addresses remembered of a user: home, work, telephone and what a changing provider hands out; older ones go.
pub const KNOWN_ADDRESSES_MAX: u32 = 20;

macro_rules! columns {
    () => {
        "id, email, name, password_hash, email_verified_at, totp_secret, totp_enabled_at, totp_last_step, failed_logins,
        last_failed_at, last_confirmed_at, created_at, updated_at"
    };
}

statements! {
    CREATE = "users.create" ["insert into users
        (id, email, name, password_hash, failed_logins, created_at, updated_at)
        values ($1, $2, $3, $4, 0, $5, $5) returning id"];
    GET = "users.get" ["select ", columns!(), " from users where id = $1"];
    FIND_BY_EMAIL = "users.find_by_email" ["select ", columns!(), " from users where email = $1"];
    LOCK = "users.lock" ["update users set updated_at = updated_at where id = $1"];
    SET_PASSWORD = "users.set_password" ["update users set password_hash = $2, updated_at = $3 where id = $1"];
    SET_NAME = "users.set_name" ["update users set name = $2, updated_at = $3 where id = $1"];
    REPLACE_PENDING = "users.replace_pending" ["update users set name = $2, password_hash = $3, updated_at = $4
        where id = $1 and email_verified_at is null"];
    VERIFY_EMAIL = "users.verify_email" ["update users set email_verified_at = $2, updated_at = $2
        where id = $1 and email_verified_at is null"];
    LOGIN_FAILED = "users.login_failed" ["update users set failed_logins = failed_logins + 1, last_failed_at = $2
        where id = $1 returning failed_logins"];
    LOGIN_SUCCEEDED = "users.login_succeeded" ["update users
        set failed_logins = 0, last_failed_at = null, last_confirmed_at = $2
        where id = $1"];
    SET_TOTP = "users.set_totp" ["update users
        set totp_secret = $2, totp_enabled_at = null, totp_last_step = null, updated_at = $3
        where id = $1 and totp_enabled_at is null"];
    REMOVE_TOTP = "users.remove_totp" ["update users
        set totp_secret = null, totp_enabled_at = null, totp_last_step = null, updated_at = $2 where id = $1"];
    ENABLE_TOTP = "users.enable_totp" ["update users
        set totp_enabled_at = coalesce(totp_enabled_at, $2), updated_at = $2
        where id = $1 and totp_secret is not null"];
    USE_TOTP_STEP = "users.use_totp_step" ["update users set totp_last_step = $2
        where id = $1 and totp_secret is not null and (totp_last_step is null or totp_last_step < $2)"];
    REMEMBER_ADDRESS = "users.remember_address" ["insert into known_addresses (user_id, address_hash, seen_at)
        values ($1, $2, $3) on conflict (user_id, address_hash) do update set seen_at = excluded.seen_at"];
    FORGET_ADDRESSES = "users.forget_addresses" ["delete from known_addresses
        where user_id = $1 and address_hash not in (
            select address_hash from known_addresses where user_id = $1
            order by seen_at desc, address_hash limit $2)"];
    KNOWS_ADDRESS = "users.knows_address" ["select 1 as one from known_addresses
        where user_id = $1 and address_hash = $2"];
}

/// A password's hash with its parameters and salt, as text. Debug hides it.
#[derive(Clone)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// The text, to verify a password against.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for PasswordHash {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// The second factor of a user.
#[derive(Clone)]
pub struct Totp {
    /// The shared secret, sealed.
    pub sealed_secret: Vec<u8>,
    /// Since when it is asked for; `None` while it is being set up.
    pub enabled_at: Option<DateTime<Utc>>,
    /// The latest time step whose code was used: that one and earlier ones are refused.
    pub last_step: Option<u64>,
}

impl fmt::Debug for Totp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Totp").field("enabled_at", &self.enabled_at).finish_non_exhaustive()
    }
}

/// A person.
#[derive(Clone, Debug)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// The address, which is the name to log in with.
    pub email: EmailAddress,
    /// Shown to people.
    pub name: String,
    /// The password's hash.
    pub password_hash: PasswordHash,
    /// When it was proved that the address is this person's.
    pub email_verified_at: Option<DateTime<Utc>>,
    /// The second factor, enabled or being set up.
    pub totp: Option<Totp>,
    /// Failed logins since the last one that succeeded.
    pub failed_logins: u32,
    /// When the last of these was.
    pub last_failed_at: Option<DateTime<Utc>>,
    /// When his password was last found right: at a login, or before a change that asks for it.
    pub last_confirmed_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When name, password, address or second factor last changed.
    pub updated_at: DateTime<Utc>,
}

impl User {
    /// Whether a second factor is asked for.
    #[must_use]
    pub fn has_second_factor(&self) -> bool {
        self.totp.as_ref().is_some_and(|totp| totp.enabled_at.is_some())
    }
}

/// A person to be.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The address.
    pub email: EmailAddress,
    /// Shown to people.
    pub name: String,
    /// The password's hash.
    pub password_hash: PasswordHash,
}

/// An address column.
pub(crate) fn email(row: &Row, column: &str) -> Result<EmailAddress, Error> {
    EmailAddress::parse(&row.get::<String>(column)?)
        .map_err(|_| Error::broken(format!("column {column} holds no e-mail address")))
}

fn user(row: &Row) -> Result<User, Error> {
    let totp = match row.get::<Option<Vec<u8>>>("totp_secret")? {
        None => None,
        Some(sealed_secret) => Some(Totp {
            sealed_secret,
            enabled_at: row.get("totp_enabled_at")?,
            last_step: row.unsigned_opt("totp_last_step")?,
        }),
    };
    Ok(User {
        id: row.id("id")?,
        email: email(row, "email")?,
        name: row.get("name")?,
        password_hash: PasswordHash(row.get("password_hash")?),
        email_verified_at: row.get("email_verified_at")?,
        totp,
        failed_logins: row.unsigned("failed_logins")?,
        last_failed_at: row.get("last_failed_at")?,
        last_confirmed_at: row.get("last_confirmed_at")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

fn found(changed: u64) -> Result<(), Error> {
    if changed == 0 { Err(Error::NotFound) } else { Ok(()) }
}

/// Makes one.
///
/// # Errors
/// [`Error::Conflict`] when the address has a user.
pub async fn create(tx: &mut SystemTx, new: &NewUser, now: DateTime<Utc>) -> Result<UserId, Error> {
    sql(&CREATE)
        .conflict("the e-mail address has a user already")
        .bind(ids::new(now)?)
        .bind(&new.email)
        .bind(new.name.as_str())
        .bind(new.password_hash.as_str())
        .bind(now)
        .required(tx, |row| row.id("id"))
        .await
}

/// One by id.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(tx: &mut SystemTx, id: UserId) -> Result<User, Error> {
    sql(&GET).bind(id).required(tx, user).await
}

/// Whose address it is.
///
/// # Errors
/// When the database fails.
pub async fn find_by_email(tx: &mut SystemTx, email: &EmailAddress) -> Result<Option<User>, Error> {
    sql(&FIND_BY_EMAIL).bind(email).one(tx, user).await
}

/// Until the end of the transaction nobody else changes this user.
pub(crate) async fn lock(tx: &mut SystemTx, id: UserId) -> Result<(), Error> {
    found(sql(&LOCK).bind(id).run(tx).await?)
}

/// Another password.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn set_password(tx: &mut SystemTx, id: UserId, hash: &str, now: DateTime<Utc>) -> Result<(), Error> {
    found(sql(&SET_PASSWORD).bind(id).bind(hash).bind(now).run(tx).await?)
}

/// Another name.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn set_name(tx: &mut SystemTx, id: UserId, name: &str, now: DateTime<Utc>) -> Result<(), Error> {
    found(sql(&SET_NAME).bind(id).bind(name).bind(now).run(tx).await?)
}

/// Somebody registers again with an address that nobody has proved to be his: name and password are the later one's.
///
/// # Errors
/// [`Error::NotFound`] when there is no such user, or its address is verified by now.
pub async fn replace_pending(
    tx: &mut SystemTx,
    id: UserId,
    name: &str,
    hash: &str,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    found(sql(&REPLACE_PENDING).bind(id).bind(name).bind(hash).bind(now).run(tx).await?)
}

/// The address is this person's. Whether that is news.
///
/// # Errors
/// When the database fails.
pub async fn verify_email(tx: &mut SystemTx, id: UserId, now: DateTime<Utc>) -> Result<bool, Error> {
    Ok(sql(&VERIFY_EMAIL).bind(id).bind(now).run(tx).await? > 0)
}

/// Counts a failed login; how many there are now since the last one that succeeded.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn login_failed(tx: &mut SystemTx, id: UserId, now: DateTime<Utc>) -> Result<u32, Error> {
    sql(&LOGIN_FAILED).bind(id).bind(now).required(tx, |row| row.unsigned("failed_logins")).await
}

/// Forgets the failed logins. It also takes the lock of the user: whoever [`get`]s him afterwards, in the same
/// transaction, and finds the hash that the password was verified against, knows that the password has not been changed
/// meanwhile and that a change will wait and then see the session made here.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn login_succeeded(tx: &mut SystemTx, id: UserId, now: DateTime<Utc>) -> Result<(), Error> {
    found(sql(&LOGIN_SUCCEEDED).bind(id).bind(now).run(tx).await?)
}

/// Begins to set up a second factor with this sealed secret, or (`None`) takes it away, enabled or not.
///
/// # Errors
/// [`Error::Conflict`] when one is enabled: it is taken away first; [`Error::NotFound`].
pub async fn set_totp(
    tx: &mut SystemTx,
    id: UserId,
    sealed_secret: Option<&[u8]>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let Some(sealed_secret) = sealed_secret else {
        return found(sql(&REMOVE_TOTP).bind(id).bind(now).run(tx).await?);
    };
    if sql(&SET_TOTP).bind(id).bind(sealed_secret).bind(now).run(tx).await? == 0 {
        get(tx, id).await?;
        return Err(Error::Conflict("a second factor is enabled already"));
    }
    Ok(())
}

/// From now on the second factor is asked for.
///
/// # Errors
/// [`Error::Conflict`] when none is set up; [`Error::NotFound`].
pub async fn enable_totp(tx: &mut SystemTx, id: UserId, now: DateTime<Utc>) -> Result<(), Error> {
    if sql(&ENABLE_TOTP).bind(id).bind(now).run(tx).await? == 0 {
        get(tx, id).await?;
        return Err(Error::Conflict("no second factor is set up"));
    }
    Ok(())
}

/// Uses the code of a time step. `false` when that step or a later one was used: of any number of simultaneous uses one
/// is `true`.
///
/// # Errors
/// When the database fails.
pub async fn use_totp_step(tx: &mut SystemTx, id: UserId, step: u64) -> Result<bool, Error> {
    Ok(sql(&USE_TOTP_STEP).bind(id).bind(step).run(tx).await? > 0)
}

/// Remembers that this user logged in from there; the twenty latest are kept.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn remember_address(tx: &mut SystemTx, id: UserId, ip: IpAddr, now: DateTime<Utc>) -> Result<(), Error> {
    lock(tx, id).await?;
    sql(&REMEMBER_ADDRESS).bind(id).bind(address_hash(id, ip)).bind(now).run(tx).await?;
    sql(&FORGET_ADDRESSES).bind(id).bind(KNOWN_ADDRESSES_MAX).run(tx).await?;
    Ok(())
}

/// Whether this user logged in from there before.
///
/// # Errors
/// When the database fails.
pub async fn knows_address(tx: &mut SystemTx, id: UserId, ip: IpAddr) -> Result<bool, Error> {
    Ok(sql(&KNOWS_ADDRESS).bind(id).bind(address_hash(id, ip)).one(tx, |_| Ok(())).await?.is_some())
}

/// With the user in it, so that the table does not tell who sits behind the same address.
fn address_hash(id: UserId, ip: IpAddr) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(uuid::Uuid::from(id).as_bytes());
    hash.update(ip.to_canonical().to_string());
    hash.finalize().into()
}
