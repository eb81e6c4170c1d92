//! Sessions: a login and everything that follows from it. A session has one refresh token that is good at a time, its
//! generation rising with each rotation; every earlier one is in the blacklist until the session's end of life. Only
//! SHA-256 of tokens is kept.

use crate::sql::{Row, sql, statements};
use crate::{AnyTx, Error, SystemTx, Tx, ids, invitations, memberships, one_time_codes, password_resets, users};
use chrono::{DateTime, Duration, Utc};
use model::{Role, SessionId, TenantId, UserId};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Live sessions of one member: more than anybody has devices, few enough to look through. The least recently used
/// makes room.
pub const LIVE_MAX: u32 = 10;
/// Kept of what a browser says about itself, in characters.
const USER_AGENT_CHARS_MAX: usize = 200;
/// How long what has ended is kept: long enough to look into a complaint.
const KEPT_AFTER_END: Duration = Duration::days(7);

macro_rules! columns {
    () => {
        "id, tenant_id, user_id, token_hash, token_salt, generation, rotated_at, created_at, last_used_at, expires_at,
        ended_at, end_reason, ip, user_agent"
    };
}

macro_rules! blacklist {
    () => {
        "insert into refresh_token_blacklist
        (token_hash, session_id, user_id, tenant_id, generation, reason, created_at, expires_at) "
    };
}

statements! {
    CREATE = "sessions.create" ["insert into sessions
        (id, tenant_id, user_id, token_hash, token_salt, generation, created_at, last_used_at, expires_at, ip, user_agent)
        values ($1, $2, $3, $4, $5, 0, $6, $6, $7, $8, $9) returning ", columns!()];
    CAP = "sessions.cap" ["update sessions set ended_at = $3, end_reason = $4
        where tenant_id = $1 and user_id = $2 and ended_at is null and expires_at > $3 and id not in (
            select id from sessions
            where tenant_id = $1 and user_id = $2 and ended_at is null and expires_at > $3
            order by last_used_at desc, id desc limit $5)"];
    FIND_CURRENT = "sessions.find_current" ["select ", columns!(), " from sessions
        where token_hash = $1 and ended_at is null"];
    FIND_BLACKLISTED = "sessions.find_blacklisted" ["select ", columns!(), ", spent_generation, spent_at, spent_reason
        from sessions join (
            select session_id, generation as spent_generation, created_at as spent_at, reason as spent_reason
            from refresh_token_blacklist where token_hash = $1) spent on spent.session_id = id"];
    ROTATE = "sessions.rotate" ["update sessions
        set token_hash = $3, generation = generation + 1, rotated_at = $4, last_used_at = $4
        where id = $1 and token_hash = $2 and ended_at is null and expires_at > $4 returning ", columns!()];
    END = "sessions.end" ["update sessions set ended_at = $2, end_reason = $3
        where id = $1 and ended_at is null returning ", columns!()];
    END_OWN = "sessions.end_own" ["update sessions set ended_at = $4, end_reason = $5
        where tenant_id = $1 and user_id = $2 and id = $3 and ended_at is null returning ", columns!()];
    END_ALL = "sessions.end_all" ["update sessions set ended_at = $3, end_reason = $4
        where user_id = $1 and ended_at is null and (id <> $2 or $2 is null)"];
    BLACKLIST = "sessions.blacklist" [blacklist!(), "values ($1, $2, $3, $4, $5, $6, $7, $8)"];
    BLACKLIST_ENDED = "sessions.blacklist_ended" [blacklist!(), "
        select token_hash, id, user_id, tenant_id, generation, end_reason, ended_at, expires_at from sessions
        where user_id = $1 and ended_at = $2 and (tenant_id = $3 or $3 is null)
        on conflict (token_hash) do nothing"];
    OWN = "sessions.own" ["select 1 as one from sessions where tenant_id = $1 and user_id = $2 and id = $3"];
    LIST_OF_USER = "sessions.list_of_user" ["select ", columns!(), " from sessions
        where tenant_id = $1 and user_id = $2 and ended_at is null and expires_at > $3
        order by last_used_at desc, id desc limit $4"];
    AUTHENTICATE = "sessions.authenticate" ["select s.tenant_id, s.user_id, m.role, u.email_verified_at, u.totp_enabled_at
        from sessions s
        join memberships m on m.tenant_id = s.tenant_id and m.user_id = s.user_id
        join users u on u.id = s.user_id
        where s.id = $1 and s.ended_at is null and s.expires_at > $2 and (s.tenant_id = $3 or $3 is null)"];
    PURGE_BLACKLIST = "sessions.purge_blacklist" ["delete from refresh_token_blacklist where expires_at <= $1"];
    PURGE = "sessions.purge" ["delete from sessions where ended_at <= $1 or expires_at <= $1"];
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EndReason {
    /// Its user logged out, or ended it from another one.
    LoggedOut,
    /// Its user ended all of his.
    AllLoggedOut,
    /// A refresh token came back that had been used before.
    TokenReused,
    /// The password was changed.
    PasswordChanged,
    /// The password was reset by mail.
    PasswordReset,
    /// Its user is no member any more.
    MemberRemoved,
    /// Its time was over.
    Expired,
    /// Its user had too many.
    Cap,
    /// The operator of the installation ended it.
    ByOperator,
}

impl EndReason {
    /// Every value, in order.
    pub const ALL: &'static [Self] = &[
        Self::LoggedOut,
        Self::AllLoggedOut,
        Self::TokenReused,
        Self::PasswordChanged,
        Self::PasswordReset,
        Self::MemberRemoved,
        Self::Expired,
        Self::Cap,
        Self::ByOperator,
    ];

    /// The stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LoggedOut => "logged-out",
            Self::AllLoggedOut => "all-logged-out",
            Self::TokenReused => "token-reused",
            Self::PasswordChanged => "password-changed",
            Self::PasswordReset => "password-reset",
            Self::MemberRemoved => "member-removed",
            Self::Expired => "expired",
            Self::Cap => "cap",
            Self::ByOperator => "by-operator",
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EndReason {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .iter()
            .copied()
            .find(|r| r.as_str() == word)
            .ok_or_else(|| format!("unknown end of a session: {word}"))
    }
}

/// The word of [`SpentBy::Rotated`].
const ROTATED: &str = "rotated";

/// Why a refresh token is in the blacklist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpentBy {
    /// It was exchanged for its successor.
    Rotated,
    /// It was the current one when its session ended.
    Ended(EndReason),
}

impl FromStr for SpentBy {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        if word == ROTATED { Ok(Self::Rotated) } else { word.parse().map(Self::Ended) }
    }
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its id: the family that its refresh tokens are of.
    pub id: SessionId,
    /// In which organisation.
    pub tenant: TenantId,
    /// Whose.
    pub user: UserId,
    /// SHA-256 of the refresh token that is (or, ended, was last) good.
    pub token_hash: [u8; 32],
    /// What successors are derived with.
    pub token_salt: [u8; 16],
    /// How often it was rotated.
    pub generation: u64,
    /// When last.
    pub rotated_at: Option<DateTime<Utc>>,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it was last rotated, or made.
    pub last_used_at: DateTime<Utc>,
    /// When it is over whatever happens.
    pub expires_at: DateTime<Utc>,
    /// When it was ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// By what.
    pub end_reason: Option<EndReason>,
    /// From where it was made.
    pub ip: Option<IpAddr>,
    /// What the browser said about itself, at most 200 characters.
    pub user_agent: Option<String>,
}

/// A session to be.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// Whose.
    pub user: UserId,
    /// SHA-256 of its first refresh token.
    pub token_hash: [u8; 32],
    /// What successors are derived with.
    pub token_salt: [u8; 16],
    /// When it is over whatever happens.
    pub expires_at: DateTime<Utc>,
    /// From where.
    pub ip: Option<IpAddr>,
    /// What the browser says about itself; what is over 200 characters goes.
    pub user_agent: Option<String>,
}

/// A refresh token that is or was good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFound {
    /// Its session, as it is now. It may have expired.
    pub session: Session,
    /// What the token is to it.
    pub what: TokenState,
}

/// What a refresh token is to its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState {
    /// The one that is good, of a session that has not been ended.
    Current,
    /// One that was good.
    Blacklisted {
        /// Which one of the session's; the current one's is the session's.
        generation: u64,
        /// Since when it is not good.
        spent_at: DateTime<Utc>,
        /// Why.
        reason: SpentBy,
    },
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authenticated {
    /// In which organisation.
    pub tenant: TenantId,
    /// Who.
    pub user: UserId,
    /// As what, now.
    pub role: Role,
    /// Whether it was proved that the address is this person's.
    pub email_verified: bool,
    /// Whether a second factor is asked for at login.
    pub second_factor: bool,
}

/// What [`purge_expired`] removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Sessions that ended or expired seven days ago.
    pub sessions: u64,
    /// Blacklisted tokens of sessions that have expired; those of the sessions above are not counted.
    pub blacklisted: u64,
    /// One-time codes that expired seven days ago.
    pub codes: u64,
    /// Password resets that expired seven days ago.
    pub resets: u64,
    /// Invitations that expired seven days ago.
    pub invitations: u64,
}

fn session(row: &Row) -> Result<Session, Error> {
    Ok(Session {
        id: row.id("id")?,
        tenant: row.id("tenant_id")?,
        user: row.id("user_id")?,
        token_hash: row.hash_opt("token_hash")?.ok_or(Error::NotFound)?,
        token_salt: row
            .get::<Vec<u8>>("token_salt")?
            .try_into()
            .map_err(|_| Error::broken("column token_salt holds no salt"))?,
        generation: row.unsigned("generation")?,
        rotated_at: row.get("rotated_at")?,
        created_at: row.get("created_at")?,
        last_used_at: row.get("last_used_at")?,
        expires_at: row.get("expires_at")?,
        ended_at: row.get("ended_at")?,
        end_reason: row.word_opt("end_reason")?,
        ip: row.word_opt("ip")?,
        user_agent: row.get("user_agent")?,
    })
}

fn blacklisted(row: &Row) -> Result<TokenFound, Error> {
    let what = TokenState::Blacklisted {
        generation: row.unsigned("spent_generation")?,
        spent_at: row.get("spent_at")?,
        reason: row.word("spent_reason")?,
    };
    Ok(TokenFound { session: session(row)?, what })
}

fn authenticated(row: &Row) -> Result<Authenticated, Error> {
    Ok(Authenticated {
        tenant: row.id("tenant_id")?,
        user: row.id("user_id")?,
        role: row.word("role")?,
        email_verified: row.get::<Option<DateTime<Utc>>>("email_verified_at")?.is_some(),
        second_factor: row.get::<Option<DateTime<Utc>>>("totp_enabled_at")?.is_some(),
    })
}

/// Begins one for a member. Of more than ten live ones the least recently used ends, with [`EndReason::Cap`].
///
/// # Errors
/// [`Error::NotFound`] when the user is not a member.
pub async fn create(tx: &mut Tx, new: NewSession, now: DateTime<Utc>) -> Result<Session, Error> {
    let (tenant, user) = (tx.tenant(), new.user);
    memberships::lock(tx, user).await?;
    let capped =
        sql(&CAP).bind(tenant).bind(user).bind(now).bind(EndReason::Cap.as_str()).bind(LIVE_MAX - 1).run(tx).await?;
    if capped > 0 {
        blacklist_ended(tx, user, now).await?;
    }
    sql(&CREATE)
        .conflict("the refresh token is taken")
        .bind(ids::new(now)?)
        .bind(tenant)
        .bind(user)
        .bind(new.token_hash)
        .bind(new.token_salt)
        .bind(now)
        .bind(new.expires_at)
        .bind(new.ip.map(|ip| ip.to_string()))
        .bind(new.user_agent.map(|text| text.chars().take(USER_AGENT_CHARS_MAX).collect::<String>()))
        .required(tx, session)
        .await
}

/// Whose refresh token this is or was.
///
/// # Errors
/// When the database fails.
pub async fn find_by_token(tx: &mut SystemTx, hash: [u8; 32]) -> Result<Option<TokenFound>, Error> {
    // In this order: a token that is rotated between the two statements is found by the second.
    if let Some(session) = sql(&FIND_CURRENT).bind(hash).one(tx, session).await? {
        return Ok(Some(TokenFound { session, what: TokenState::Current }));
    }
    sql(&FIND_BLACKLISTED).bind(hash).one(tx, blacklisted).await
}

/// Exchanges the refresh token, if `old` is the current one of a session that is not over. Of any number of
/// simultaneous exchanges one is `true`. The old token is in the blacklist from then on.
///
/// # Errors
/// [`Error::Conflict`] when another session has the new token.
pub async fn rotate(
    tx: &mut SystemTx,
    id: SessionId,
    old: [u8; 32],
    new: [u8; 32],
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let rotated = sql(&ROTATE)
        .conflict("the refresh token is taken")
        .bind(id)
        .bind(old)
        .bind(new)
        .bind(now)
        .one(tx, session)
        .await?;
    let Some(after) = rotated else { return Ok(false) };
    let before = Session { token_hash: old, generation: after.generation.saturating_sub(1), ..after };
    blacklist(tx, &before, ROTATED, now).await?;
    Ok(true)
}

/// Ends one, if it has not been ended. Its refresh token is in the blacklist from then on.
///
/// # Errors
/// When the database fails.
pub async fn end(tx: &mut SystemTx, id: SessionId, reason: EndReason, now: DateTime<Utc>) -> Result<bool, Error> {
    let Some(ended) = sql(&END).bind(id).bind(now).bind(reason.as_str()).one(tx, session).await? else {
        return Ok(false);
    };
    blacklist(tx, &ended, reason.as_str(), now).await?;
    Ok(true)
}

/// Ends every session of a user, in every organisation, but one; how many.
///
/// # Errors
/// [`Error::NotFound`] when there is no such user.
pub async fn end_all_of_user(
    tx: &mut SystemTx,
    user: UserId,
    except: Option<SessionId>,
    reason: EndReason,
    now: DateTime<Utc>,
) -> Result<u64, Error> {
    users::lock(tx, user).await?;
    let ended = sql(&END_ALL).bind(user).bind(except).bind(now).bind(reason.as_str()).run(tx).await?;
    if ended > 0 {
        blacklist_ended(tx, user, now).await?;
    }
    Ok(ended)
}

/// A user ends one of his own. `false` when it had ended already.
///
/// # Errors
/// [`Error::NotFound`] when he has no such session in this organisation.
pub async fn end_own(tx: &mut Tx, user: UserId, id: SessionId, now: DateTime<Utc>) -> Result<bool, Error> {
    let (tenant, reason) = (tx.tenant(), EndReason::LoggedOut.as_str());
    let ended = sql(&END_OWN).bind(tenant).bind(user).bind(id).bind(now).bind(reason).one(tx, session).await?;
    match ended {
        Some(ended) => {
            blacklist(tx, &ended, reason, now).await?;
            Ok(true)
        }
        None => sql(&OWN).bind(tenant).bind(user).bind(id).required(tx, |_| Ok(false)).await,
    }
}

/// The live ones of a member, most recently used first.
///
/// # Errors
/// When the database fails.
pub async fn list_of_user(tx: &mut Tx, user: UserId, now: DateTime<Utc>) -> Result<Vec<Session>, Error> {
    sql(&LIST_OF_USER).bind(tx.tenant()).bind(user).bind(now).bind(LIVE_MAX).all(tx, session).await
}

/// Who is behind a session that is not over, with what is true of him now; one statement along primary keys, since
/// every request asks. In a tenant's transaction it finds that tenant's sessions only.
///
/// # Errors
/// When the database fails.
pub async fn authenticate(
    tx: &mut impl AnyTx,
    id: SessionId,
    now: DateTime<Utc>,
) -> Result<Option<Authenticated>, Error> {
    let tenant = tx.tenant_if_any();
    sql(&AUTHENTICATE).bind(id).bind(now).bind(tenant).one(tx, authenticated).await
}

/// Removes what is long past: of sessions, one-time codes, password resets and invitations what ended seven days ago.
///
/// # Errors
/// When the database fails.
pub async fn purge_expired(tx: &mut SystemTx, now: DateTime<Utc>) -> Result<Purged, Error> {
    let before = now - KEPT_AFTER_END;
    Ok(Purged {
        blacklisted: sql(&PURGE_BLACKLIST).bind(now).run(tx).await?,
        sessions: sql(&PURGE).bind(before).run(tx).await?,
        codes: one_time_codes::purge(tx, before).await?,
        resets: password_resets::purge(tx, before).await?,
        invitations: invitations::purge(tx, before).await?,
    })
}

/// The token a session had may never be used again.
async fn blacklist(tx: &mut impl AnyTx, of: &Session, reason: &str, now: DateTime<Utc>) -> Result<(), Error> {
    sql(&BLACKLIST)
        .conflict("the refresh token was used before")
        .bind(of.token_hash)
        .bind(of.id)
        .bind(of.user)
        .bind(of.tenant)
        .bind(of.generation)
        .bind(reason)
        .bind(now)
        .bind(of.expires_at)
        .run(tx)
        .await
        .map(|_| ())
}

/// The same for all sessions that ended at this moment.
async fn blacklist_ended(tx: &mut impl AnyTx, user: UserId, at: DateTime<Utc>) -> Result<(), Error> {
    let tenant = tx.tenant_if_any();
    sql(&BLACKLIST_ENDED).bind(user).bind(at).bind(tenant).run(tx).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::{Connection as _, Row as _, SqliteConnection};

    #[test]
    fn every_end_has_its_word() {
        for reason in EndReason::ALL.iter().copied() {
            assert_eq!(reason.as_str().parse(), Ok(reason));
            assert_eq!(reason.as_str().parse(), Ok(SpentBy::Ended(reason)));
        }
        assert_eq!(ROTATED.parse(), Ok(SpentBy::Rotated));
        assert!("stolen".parse::<EndReason>().is_err() && "stolen".parse::<SpentBy>().is_err());
    }

    /// Every request asks these; a scan of a table would be felt.
    #[tokio::test]
    async fn what_every_request_asks_goes_along_unique_indexes() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.expect("opens");
        for step in [
            include_str!("../../../migrations/0001_calls.up.sql"),
            include_str!("../../../migrations/0002_identity.up.sql"),
        ] {
            sqlx::raw_sql(step).execute(&mut connection).await.expect("migrated");
        }
        for (statement, steps) in [(&AUTHENTICATE, 3), (&FIND_CURRENT, 1), (&FIND_BLACKLISTED, 2), (&ROTATE, 1)] {
            let text = format!("explain query plan {}", statement.text(crate::Dialect::Sqlite));
            let plan = sqlx::query(sqlx::AssertSqlSafe(text)).fetch_all(&mut connection).await.expect("a plan");
            let plan: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
            assert_eq!(plan.len(), steps, "{plan:?}");
            for step in plan {
                assert!(step.starts_with("SEARCH") && step.contains("sqlite_autoindex"), "{}: {step}", statement.name);
            }
        }
    }
}
