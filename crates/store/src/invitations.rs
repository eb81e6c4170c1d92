//! Invitations: somebody is asked, by mail, to join an organisation. Only the token's SHA-256 is kept.

use crate::sql::{Row, sql, statements};
use crate::{Error, Page, PageRequest, SystemTx, Tx, ids, memberships, organisations};
use chrono::{DateTime, Utc};
use model::{EmailAddress, InvitationId, Role, TenantId, UserId};

macro_rules! columns {
    () => {
        "id, tenant_id, email, role, invited_by, expires_at, accepted_at, accepted_by, revoked_at, created_at"
    };
}

macro_rules! unanswered {
    () => {
        "accepted_at is null and revoked_at is null"
    };
}

statements! {
    FORGET_EXPIRED = "invitations.forget_expired" ["delete from invitations
        where tenant_id = $1 and email = $2 and ", unanswered!(), " and expires_at <= $3"];
    CREATE = "invitations.create" ["insert into invitations
        (id, tenant_id, email, role, token_hash, invited_by, expires_at, created_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8) returning ", columns!()];
    GET = "invitations.get" ["select ", columns!(), " from invitations where tenant_id = $1 and id = $2"];
    LIST = "invitations.list" ["select ", columns!(), " from invitations
        where tenant_id = $1 and (created_at, id) < ($2, $3) order by created_at desc, id desc limit $4"];
    REVOKE = "invitations.revoke" ["update invitations set revoked_at = $3
        where tenant_id = $1 and id = $2 and ", unanswered!()];
    REVOKE_OF = "invitations.revoke_of" ["update invitations set revoked_at = $3
        where tenant_id = $1 and invited_by = $2 and ", unanswered!()];
    FIND_OPEN = "invitations.find_open" ["select ", columns!(), " from invitations
        where token_hash = $1 and ", unanswered!(), " and expires_at > $2"];
    ACCEPT = "invitations.accept" ["update invitations set accepted_at = $4, accepted_by = $3
        where tenant_id = $1 and id = $2 and ", unanswered!(), " and expires_at > $4 returning ", columns!()];
    PURGE = "invitations.purge" ["delete from invitations where expires_at <= $1"];
}

/// Somebody was asked to join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Its id.
    pub id: InvitationId,
    /// To join which organisation.
    pub tenant: TenantId,
    /// Who.
    pub email: EmailAddress,
    /// As what.
    pub role: Role,
    /// By whom.
    pub invited_by: UserId,
    /// Until when it is good.
    pub expires_at: DateTime<Utc>,
    /// When it was accepted.
    pub accepted_at: Option<DateTime<Utc>>,
    /// By whom.
    pub accepted_by: Option<UserId>,
    /// When it was taken back.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl Invitation {
    /// Whether it can be accepted.
    #[must_use]
    pub fn is_open(&self, now: DateTime<Utc>) -> bool {
        self.accepted_at.is_none() && self.revoked_at.is_none() && self.expires_at > now
    }
}

/// An invitation to be.
#[derive(Clone, Debug)]
pub struct NewInvitation {
    /// Who is asked.
    pub email: EmailAddress,
    /// As what.
    pub role: Role,
    /// SHA-256 of the token in the mail.
    pub token_hash: [u8; 32],
    /// By whom: a member.
    pub invited_by: UserId,
    /// Until when it is good.
    pub expires_at: DateTime<Utc>,
}

fn invitation(row: &Row) -> Result<Invitation, Error> {
    Ok(Invitation {
        id: row.id("id")?,
        tenant: row.id("tenant_id")?,
        email: crate::users::email(row, "email")?,
        role: row.word("role")?,
        invited_by: row.id("invited_by")?,
        expires_at: row.get("expires_at")?,
        accepted_at: row.get("accepted_at")?,
        accepted_by: row.id_opt("accepted_by")?,
        revoked_at: row.get("revoked_at")?,
        created_at: row.get("created_at")?,
    })
}

/// Asks somebody.
///
/// # Errors
/// [`Error::Conflict`] when the address is a member's or has an open invitation; [`Error::NotFound`] when whoever
/// invites is not a member.
pub async fn create(tx: &mut Tx, new: &NewInvitation, now: DateTime<Utc>) -> Result<Invitation, Error> {
    // Waits for whoever is accepting one for the same address.
    organisations::lock(tx).await?;
    memberships::get(tx, new.invited_by).await?;
    if memberships::has_address(tx, &new.email).await? {
        return Err(Error::Conflict("the e-mail address is a member's already"));
    }
    sql(&FORGET_EXPIRED).bind(tx.tenant()).bind(&new.email).bind(now).run(tx).await?;
    sql(&CREATE)
        .conflict("the e-mail address has an open invitation")
        .bind(ids::new(now)?)
        .bind(tx.tenant())
        .bind(&new.email)
        .bind(new.role)
        .bind(new.token_hash)
        .bind(new.invited_by)
        .bind(new.expires_at)
        .bind(now)
        .required(tx, invitation)
        .await
}

/// One by id.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(tx: &mut Tx, id: InvitationId) -> Result<Invitation, Error> {
    sql(&GET).bind(tx.tenant()).bind(id).required(tx, invitation).await
}

/// A page, newest first: open ones and answered ones.
///
/// # Errors
/// When the database fails.
pub async fn list(tx: &mut Tx, page: PageRequest) -> Result<Page<Invitation>, Error> {
    page.fetch(sql(&LIST).bind(tx.tenant()), tx, invitation, |i| (i.created_at, i.id.into())).await
}

/// Takes one back. `false` when it was accepted or taken back before.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn revoke(tx: &mut Tx, id: InvitationId, now: DateTime<Utc>) -> Result<bool, Error> {
    let revoked = sql(&REVOKE).bind(tx.tenant()).bind(id).bind(now).run(tx).await? > 0;
    if !revoked {
        get(tx, id).await?;
    }
    Ok(revoked)
}

/// Takes back every unanswered invitation of this member; how many.
///
/// # Errors
/// When the database fails.
pub async fn revoke_of(tx: &mut Tx, invited_by: UserId, now: DateTime<Utc>) -> Result<u64, Error> {
    sql(&REVOKE_OF).bind(tx.tenant()).bind(invited_by).bind(now).run(tx).await
}

/// The invitation that this token can accept.
///
/// # Errors
/// When the database fails.
pub async fn find_open(tx: &mut SystemTx, hash: [u8; 32], now: DateTime<Utc>) -> Result<Option<Invitation>, Error> {
    sql(&FIND_OPEN).bind(hash).bind(now).one(tx, invitation).await
}

/// Accepts it: the user is a member from then on, in the role it names. Who is one already stays what he is. `false`
/// when it is not open; of any number of simultaneous calls one is `true`.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Conflict`] when the user has another address than the one invited.
pub async fn accept(tx: &mut Tx, id: InvitationId, user: UserId, now: DateTime<Utc>) -> Result<bool, Error> {
    organisations::lock(tx).await?;
    let accepted = sql(&ACCEPT).bind(tx.tenant()).bind(id).bind(user).bind(now).one(tx, invitation).await?;
    let Some(accepted) = accepted else {
        get(tx, id).await?;
        return Ok(false);
    };
    memberships::join(tx, user, accepted.role, now).await?;
    // Only now: a tenant sees users that are its members.
    if memberships::get(tx, user).await?.email != accepted.email {
        return Err(Error::Conflict("the invitation is for another e-mail address"));
    }
    Ok(true)
}

/// Removes those that expired by this time, answered or not; how many.
pub(crate) async fn purge(tx: &mut SystemTx, expired_by: DateTime<Utc>) -> Result<u64, Error> {
    sql(&PURGE).bind(expired_by).run(tx).await
}
