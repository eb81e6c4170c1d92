//! Memberships: who belongs to an organisation, and as what. An organisation that had an owner keeps one.

use crate::sql::{Row, sql, statements};
use crate::{Error, Page, PageRequest, SystemTx, Tx, organisations, users};
use chrono::{DateTime, Utc};
use model::{EmailAddress, Role, TenantId, UserId};

/// Organisations of one user that are listed; people have one or two.
const PER_USER_MAX: i64 = 100;
const NEEDS_OWNER: &str = "the organisation needs an owner";

macro_rules! member_columns {
    () => {
        "m.user_id, m.role, m.created_at, u.name, u.email, u.email_verified_at, u.totp_enabled_at
        from memberships m join users u on u.id = m.user_id"
    };
}

// Another owner, or not the last one's end. Asked under the organisation's lock.
macro_rules! not_the_last_owner {
    () => {
        "(role <> 'owner' or 1 < (select count(*) from memberships where tenant_id = $1 and role = 'owner'))"
    };
}

statements! {
    ADD = "memberships.add" ["insert into memberships (tenant_id, user_id, role, created_at) values ($1, $2, $3, $4)"];
    JOIN = "memberships.join" ["insert into memberships (tenant_id, user_id, role, created_at)
        values ($1, $2, $3, $4) on conflict (tenant_id, user_id) do nothing"];
    GET = "memberships.get" ["select ", member_columns!(), " where m.tenant_id = $1 and m.user_id = $2"];
    LIST = "memberships.list" ["select ", member_columns!(), "
        where m.tenant_id = $1 and (m.created_at, m.user_id) < ($2, $3)
        order by m.created_at desc, m.user_id desc limit $4"];
    HAS_ADDRESS = "memberships.has_address" ["select 1 as one from memberships m join users u on u.id = m.user_id
        where m.tenant_id = $1 and u.email = $2"];
    OF_USER = "memberships.of_user" ["select m.tenant_id, m.role, m.created_at, o.name as organisation_name
        from memberships m join organisations o on o.id = m.tenant_id
        where m.user_id = $1 order by m.created_at, m.tenant_id limit $2"];
    SET_ROLE = "memberships.set_role" ["update memberships set role = $3
        where tenant_id = $1 and user_id = $2 and ($3 = 'owner' or ", not_the_last_owner!(), ")"];
    REMOVE = "memberships.remove" ["delete from memberships
        where tenant_id = $1 and user_id = $2 and ", not_the_last_owner!()];
    LOCK = "memberships.lock" ["update memberships set role = role where tenant_id = $1 and user_id = $2"];
}

/// A member of the organisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// Shown to people.
    pub name: String,
    /// The address.
    pub email: EmailAddress,
    /// As what.
    pub role: Role,
    /// Whether it was proved that the address is this person's.
    pub email_verified: bool,
    /// Whether a second factor is asked for at login.
    pub second_factor: bool,
    /// Since when.
    pub created_at: DateTime<Utc>,
}

/// An organisation of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Which.
    pub tenant: TenantId,
    /// Its name.
    pub organisation_name: String,
    /// As what.
    pub role: Role,
    /// Since when.
    pub created_at: DateTime<Utc>,
}

fn member(row: &Row) -> Result<Member, Error> {
    Ok(Member {
        user: row.id("user_id")?,
        name: row.get("name")?,
        email: users::email(row, "email")?,
        role: row.word("role")?,
        email_verified: row.get::<Option<DateTime<Utc>>>("email_verified_at")?.is_some(),
        second_factor: row.get::<Option<DateTime<Utc>>>("totp_enabled_at")?.is_some(),
        created_at: row.get("created_at")?,
    })
}

fn membership(row: &Row) -> Result<Membership, Error> {
    Ok(Membership {
        tenant: row.id("tenant_id")?,
        organisation_name: row.get("organisation_name")?,
        role: row.word("role")?,
        created_at: row.get("created_at")?,
    })
}

/// Makes a user a member.
///
/// # Errors
/// [`Error::Conflict`] when he is one; [`Error::NotFound`] when there is no such user or tenant.
pub async fn add(tx: &mut Tx, user: UserId, role: Role, now: DateTime<Utc>) -> Result<(), Error> {
    sql(&ADD)
        .conflict("the user is a member already")
        .bind(tx.tenant())
        .bind(user)
        .bind(role)
        .bind(now)
        .run(tx)
        .await
        .map(|_| ())
}

/// Makes a user a member unless he is one, whatever the role.
pub(crate) async fn join(tx: &mut Tx, user: UserId, role: Role, now: DateTime<Utc>) -> Result<(), Error> {
    sql(&JOIN).bind(tx.tenant()).bind(user).bind(role).bind(now).run(tx).await.map(|_| ())
}

/// One by its user.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(tx: &mut Tx, user: UserId) -> Result<Member, Error> {
    sql(&GET).bind(tx.tenant()).bind(user).required(tx, member).await
}

/// A page, newest first.
///
/// # Errors
/// When the database fails.
pub async fn list(tx: &mut Tx, page: PageRequest) -> Result<Page<Member>, Error> {
    page.fetch(sql(&LIST).bind(tx.tenant()), tx, member, |m| (m.created_at, m.user.into())).await
}

/// Whether the address is a member's.
pub(crate) async fn has_address(tx: &mut Tx, email: &EmailAddress) -> Result<bool, Error> {
    Ok(sql(&HAS_ADDRESS).bind(tx.tenant()).bind(email).one(tx, |_| Ok(())).await?.is_some())
}

/// Where this user is a member, longest first, at most 100.
///
/// # Errors
/// When the database fails.
pub async fn of_user(tx: &mut SystemTx, user: UserId) -> Result<Vec<Membership>, Error> {
    sql(&OF_USER).bind(user).bind(PER_USER_MAX).all(tx, membership).await
}

/// Another role. Simultaneous changes queue, so that of the last two owners one stays.
///
/// # Errors
/// [`Error::Conflict`] when it would leave the organisation without an owner; [`Error::NotFound`].
pub async fn set_role(tx: &mut Tx, user: UserId, role: Role) -> Result<(), Error> {
    organisations::lock(tx).await?;
    let changed = sql(&SET_ROLE).bind(tx.tenant()).bind(user).bind(role).run(tx).await?;
    decided(tx, user, changed).await
}

/// Removes a member; his sessions in this organisation are gone with him, with all their refresh tokens.
///
/// # Errors
/// [`Error::Conflict`] when it would leave the organisation without an owner; [`Error::NotFound`].
pub async fn remove(tx: &mut Tx, user: UserId) -> Result<(), Error> {
    organisations::lock(tx).await?;
    let removed = sql(&REMOVE).bind(tx.tenant()).bind(user).run(tx).await?;
    decided(tx, user, removed).await
}

async fn decided(tx: &mut Tx, user: UserId, changed: u64) -> Result<(), Error> {
    if changed == 0 {
        get(tx, user).await?;
        return Err(Error::Conflict(NEEDS_OWNER));
    }
    Ok(())
}

/// Until the end of the transaction nobody else makes sessions of this member, or removes him.
pub(crate) async fn lock(tx: &mut Tx, user: UserId) -> Result<(), Error> {
    if sql(&LOCK).bind(tx.tenant()).bind(user).run(tx).await? == 0 { Err(Error::NotFound) } else { Ok(()) }
}
