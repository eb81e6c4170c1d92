//! Sessions: one good refresh token at a time, whoever asks at once; ended means ended.

use crate::database::{TestDatabase, at, both_databases};
use crate::users::{CALLERS, nobody, race, winners};
use chrono::Duration;
use model::{Role, SessionId, TenantId, UserId};
use std::net::IpAddr;
use store::sessions::{self, Authenticated, EndReason, NewSession, Session, SpentBy, TokenFound, TokenState};
use store::{Error, invitations, memberships, one_time_codes, password_resets};

/// When the sessions here are over, in seconds.
const LIFE_S: i64 = 30 * 86_400;

/// `n` is its refresh token.
pub(crate) fn new_session(user: UserId, n: u8) -> NewSession {
    NewSession { user, token_hash: [n; 32], token_salt: [n; 16], expires_at: at(LIFE_S), ip: None, user_agent: None }
}

pub(crate) async fn find(db: &TestDatabase, n: u8) -> Result<Option<TokenFound>, Error> {
    db.system(async |tx| sessions::find_by_token(tx, [n; 32]).await).await
}

pub(crate) async fn authenticate(
    db: &TestDatabase,
    id: SessionId,
    seconds: i64,
) -> Result<Option<Authenticated>, Error> {
    db.system(async |tx| sessions::authenticate(tx, id, at(seconds)).await).await
}

async fn begin(db: &TestDatabase, tenant: TenantId, user: UserId, n: u8, seconds: i64) -> Result<Session, Error> {
    db.write(tenant, async |tx| sessions::create(tx, new_session(user, n), at(seconds)).await).await
}

async fn rotate(db: &TestDatabase, id: SessionId, old: u8, new: u8, seconds: i64) -> Result<bool, Error> {
    db.system(async |tx| sessions::rotate(tx, id, [old; 32], [new; 32], at(seconds)).await).await
}

async fn live(db: &TestDatabase, tenant: TenantId, user: UserId, seconds: i64) -> Result<Vec<u8>, Error> {
    let listed = db.read(tenant, async |tx| sessions::list_of_user(tx, user, at(seconds)).await).await?;
    Ok(listed.iter().map(|session| session.token_hash[0]).collect())
}

fn spent(found: Option<TokenFound>) -> Option<(u64, SpentBy)> {
    match found?.what {
        TokenState::Current => None,
        TokenState::Blacklisted { generation, reason, .. } => Some((generation, reason)),
    }
}

both_databases! {
    async fn a_session_is_found_by_its_token(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        let user = db.member(tenant, "asha@clinic.in", Role::Owner).await?;
        let new = NewSession {
            ip: Some(IpAddr::from([203, 0, 113, 7])),
            user_agent: Some("ü".repeat(300)),
            ..new_session(user, 1)
        };
        let made = db.write(tenant, async |tx| sessions::create(tx, new, at(1)).await).await?;
        assert_eq!((made.tenant, made.user, made.generation, made.rotated_at), (tenant, user, 0, None));
        assert_eq!((made.created_at, made.last_used_at, made.expires_at), (at(1), at(1), at(LIFE_S)));
        assert_eq!((made.token_hash, made.token_salt, made.ended_at), ([1; 32], [1; 16], None));
        assert_eq!((made.ip, made.user_agent.as_deref()), (Some([203, 0, 113, 7].into()), Some(&*"ü".repeat(200))));
        assert_eq!(find(db, 1).await?, Some(TokenFound { session: made, what: TokenState::Current }));
        assert_eq!(find(db, 2).await?, None);
        let stranger = begin(db, tenant, nobody(), 3, 1).await;
        assert!(matches!(stranger, Err(Error::NotFound)), "{stranger:?}");
        let taken = begin(db, tenant, user, 1, 2).await;
        assert!(matches!(taken, Err(Error::Conflict(_))), "{taken:?}");
        Ok(())
    }

    async fn rotation_spends_the_old_token(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        let user = db.member(tenant, "asha@clinic.in", Role::Owner).await?;
        let id = begin(db, tenant, user, 1, 0).await?.id;
        assert!(rotate(db, id, 1, 2, 10).await?);
        assert!(!rotate(db, id, 1, 3, 11).await?, "not with a spent token");
        assert!(!rotate(db, id, 9, 3, 11).await?, "not with a strange token");
        assert!(rotate(db, id, 2, 3, 20).await?);
        let now = find(db, 3).await?.expect("found");
        assert_eq!((now.what, now.session.generation), (TokenState::Current, 2));
        assert_eq!((now.session.rotated_at, now.session.last_used_at), (Some(at(20)), at(20)));
        let before = find(db, 2).await?.expect("found");
        assert_eq!(before.session, now.session);
        let rotated = SpentBy::Rotated;
        assert_eq!(before.what, TokenState::Blacklisted { generation: 1, spent_at: at(20), reason: rotated });
        assert_eq!(spent(find(db, 1).await?), Some((0, SpentBy::Rotated)));
        Ok(())
    }

    async fn of_simultaneous_rotations_one_is_done(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        let user = db.member(tenant, "asha@clinic.in", Role::Owner).await?;
        let id = begin(db, tenant, user, 1, 0).await?.id;
        // With the same successor, as retries of one request have it; then with different ones.
        for (old, same) in [(1_u8, true), (100, false)] {
            let outcomes = race(db, move |store, n| async move {
                let new = if same { 100 } else { 101 + u8::try_from(n).expect("small") };
                store
                    .system("test.rotate", async |tx| sessions::rotate(tx, id, [old; 32], [new; 32], at(5)).await)
                    .await
            })
            .await;
            assert_eq!(winners(outcomes), 1);
        }
        let mut good = 0;
        for n in 101..=120 {
            good += usize::from(find(db, n).await?.is_some());
        }
        assert_eq!(good, 1);
        assert_eq!(spent(find(db, 100).await?), Some((1, SpentBy::Rotated)));
        Ok(())
    }

    async fn an_ended_session_is_over(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        let user = db.member(tenant, "asha@clinic.in", Role::Owner).await?;
        let id = begin(db, tenant, user, 1, 0).await?.id;
        assert!(authenticate(db, id, 5).await?.is_some());
        let end = async |reason| db.system(async |tx| sessions::end(tx, id, reason, at(6)).await).await;
        assert!(end(EndReason::TokenReused).await?);
        assert!(!end(EndReason::LoggedOut).await?);
        assert_eq!(authenticate(db, id, 6).await?, None);
        assert!(!rotate(db, id, 1, 2, 6).await?);
        let found = find(db, 1).await?.expect("found");
        let why = EndReason::TokenReused;
        assert_eq!((found.session.ended_at, found.session.end_reason), (Some(at(6)), Some(why)));
        assert_eq!(found.what, TokenState::Blacklisted { generation: 0, spent_at: at(6), reason: SpentBy::Ended(why) });
        assert!(live(db, tenant, user, 6).await?.is_empty());
        let unknown = SessionId(uuid::Uuid::from_u128(7));
        assert!(!db.system(async |tx| sessions::end(tx, unknown, EndReason::ByOperator, at(6)).await).await?);
        Ok(())
    }

    async fn an_expired_session_is_over(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        let user = db.member(tenant, "asha@clinic.in", Role::Owner).await?;
        let id = begin(db, tenant, user, 1, 0).await?.id;
        assert!(authenticate(db, id, LIFE_S - 1).await?.is_some());
        assert_eq!(authenticate(db, id, LIFE_S).await?, None);
        assert!(!rotate(db, id, 1, 2, LIFE_S).await?);
        assert_eq!((live(db, tenant, user, LIFE_S).await?, live(db, tenant, user, 1).await?), (vec![], vec![1]));
        assert_eq!(find(db, 1).await?.expect("found").what, TokenState::Current, "its session says that it expired");
        Ok(())
    }

    async fn logging_out_wins_against_rotations(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        let user = db.member(tenant, "asha@clinic.in", Role::Owner).await?;
        let id = begin(db, tenant, user, 1, 0).await?.id;
        let outcomes = race(db, |store, n| async move {
            store
                .system("test.mixed", async |tx| match n % 4 {
                    0 => sessions::end(tx, id, EndReason::LoggedOut, at(5)).await,
                    1 => Ok(sessions::end_all_of_user(tx, user, None, EndReason::PasswordReset, at(5)).await? > 0),
                    _ => sessions::rotate(tx, id, [1; 32], [2; 32], at(5)).await.map(|_| false),
                })
                .await
        })
        .await;
        assert_eq!(winners(outcomes), 1, "it ended once");
        let session = find(db, 1).await?.expect("found").session;
        assert_eq!(session.ended_at, Some(at(5)));
        let last = find(db, session.token_hash[0]).await?;
        assert!(matches!(spent(last), Some((_, SpentBy::Ended(_)))), "the last token is spent too");
        Ok(())
    }

    async fn the_least_recently_used_session_makes_room(db) {
        let (tenant, other) = (db.tenant("+918037091588").await?.id, db.tenant("+918037091589").await?.id);
        let user = db.member(tenant, "asha@clinic.in", Role::Owner).await?;
        db.write(other, async |tx| memberships::add(tx, user, Role::Owner, at(0)).await).await?;
        begin(db, other, user, 200, 0).await?;
        let mut made = Vec::new();
        for n in 1..=10 {
            made.push(begin(db, tenant, user, n, n.into()).await?);
        }
        assert!(rotate(db, made[0].id, 1, 101, 50).await?, "used lately, so the second one is the oldest");
        begin(db, tenant, user, 11, 60).await?;
        assert_eq!(live(db, tenant, user, 61).await?, [11, 101, 10, 9, 8, 7, 6, 5, 4, 3]);
        assert_eq!(spent(find(db, 2).await?), Some((0, SpentBy::Ended(EndReason::Cap))));
        assert_eq!(authenticate(db, made[1].id, 61).await?, None);
        assert_eq!(live(db, other, user, 61).await?, [200], "counted by organisation");
        Ok(())
    }

    async fn simultaneous_logins_keep_to_the_cap(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        let user = db.member(tenant, "asha@clinic.in", Role::Owner).await?;
        let outcomes = race(db, |store, n| async move {
            let new = new_session(user, u8::try_from(n).expect("small"));
            store.write(tenant, "test.login", async |tx| sessions::create(tx, new, at(1)).await).await
        })
        .await;
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        let live = live(db, tenant, user, 2).await?;
        assert_eq!(live.len(), 10);
        for n in 0..20 {
            let reason = spent(find(db, n).await?).map(|(_, reason)| reason);
            assert_eq!(reason, (!live.contains(&n)).then_some(SpentBy::Ended(EndReason::Cap)), "{n}");
        }
        Ok(())
    }

    async fn all_sessions_of_a_user_end_but_one(db) {
        let (tenant, other) = (db.tenant("+918037091588").await?.id, db.tenant("+918037091589").await?.id);
        let user = db.member(tenant, "asha@clinic.in", Role::Owner).await?;
        let neighbour = db.member(tenant, "ravi@clinic.in", Role::Member).await?;
        db.write(other, async |tx| memberships::add(tx, user, Role::Owner, at(0)).await).await?;
        let kept = begin(db, tenant, user, 1, 0).await?.id;
        begin(db, tenant, user, 2, 1).await?;
        begin(db, other, user, 3, 2).await?;
        begin(db, tenant, neighbour, 4, 3).await?;
        let why = EndReason::PasswordChanged;
        let end = async |except| {
            db.system(async |tx| sessions::end_all_of_user(tx, user, except, why, at(5)).await).await
        };
        assert_eq!((end(Some(kept)).await?, end(Some(kept)).await?), (2, 0));
        assert_eq!((live(db, tenant, user, 6).await?, live(db, other, user, 6).await?), (vec![1], vec![]));
        for n in [2, 3] {
            assert_eq!(spent(find(db, n).await?), Some((0, SpentBy::Ended(why))));
        }
        assert_eq!(end(None).await?, 1);
        assert_eq!(live(db, tenant, neighbour, 6).await?, [4]);
        let nobody = db.system(async |tx| sessions::end_all_of_user(tx, nobody(), None, why, at(5)).await).await;
        assert!(matches!(nobody, Err(Error::NotFound)), "{nobody:?}");
        Ok(())
    }

    async fn a_user_ends_his_own_only(db) {
        let (tenant, other) = (db.tenant("+918037091588").await?.id, db.tenant("+918037091589").await?.id);
        let user = db.member(tenant, "asha@clinic.in", Role::Owner).await?;
        let neighbour = db.member(tenant, "ravi@clinic.in", Role::Member).await?;
        db.write(other, async |tx| memberships::add(tx, user, Role::Owner, at(0)).await).await?;
        let id = begin(db, tenant, user, 1, 0).await?.id;
        let end = async |tenant, who| db.write(tenant, async |tx| sessions::end_own(tx, who, id, at(5)).await).await;
        for outcome in [end(tenant, neighbour).await, end(other, user).await, end(other, neighbour).await] {
            assert!(matches!(outcome, Err(Error::NotFound)), "{outcome:?}");
        }
        assert!(live(db, other, user, 6).await?.is_empty());
        assert!(authenticate(db, id, 6).await?.is_some());
        assert!(end(tenant, user).await?);
        assert!(!end(tenant, user).await?);
        assert_eq!(spent(find(db, 1).await?), Some((0, SpentBy::Ended(EndReason::LoggedOut))));
        Ok(())
    }

    async fn what_is_true_of_the_user_now_counts(db) {
        let (tenant, other) = (db.tenant("+918037091588").await?.id, db.tenant("+918037091589").await?.id);
        let user = db.member(tenant, "asha@clinic.in", Role::Owner).await?;
        let second = db.member(tenant, "ravi@clinic.in", Role::Owner).await?;
        let id = begin(db, tenant, user, 1, 0).await?.id;
        let want = Authenticated { tenant, user, role: Role::Owner, email_verified: false, second_factor: false };
        assert_eq!(authenticate(db, id, 1).await?, Some(want));
        db.write(tenant, async |tx| memberships::set_role(tx, user, Role::Viewer).await).await?;
        db.system(async |tx| {
            store::users::verify_email(tx, user, at(1)).await?;
            store::users::set_totp(tx, user, Some(b"secret"), at(1)).await?;
            store::users::enable_totp(tx, user, at(1)).await
        })
        .await?;
        let want = Authenticated { role: Role::Viewer, email_verified: true, second_factor: true, ..want };
        // In a reading transaction of its own tenant; in another's it is not there.
        assert_eq!(db.read(tenant, async |tx| sessions::authenticate(tx, id, at(2)).await).await?, Some(want));
        assert_eq!(db.read(other, async |tx| sessions::authenticate(tx, id, at(2)).await).await?, None);
        assert_eq!(authenticate(db, SessionId(uuid::Uuid::from_u128(7)), 2).await?, None);
        db.write(tenant, async |tx| memberships::remove(tx, user).await).await?;
        assert_eq!(authenticate(db, id, 3).await?, None);
        assert!(db.read(tenant, async |tx| memberships::get(tx, second).await).await.is_ok());
        Ok(())
    }

    async fn what_is_long_past_is_removed(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        let user = db.member(tenant, "asha@clinic.in", Role::Owner).await?;
        let logged_out = begin(db, tenant, user, 1, 0).await?.id;
        let rotated = begin(db, tenant, user, 2, 0).await?.id;
        rotate(db, rotated, 2, 3, 5).await?;
        db.system(async |tx| {
            sessions::end(tx, logged_out, EndReason::LoggedOut, at(10)).await?;
            one_time_codes::issue(tx, user, "verify-email", "x", at(10), at(0)).await?;
            password_resets::issue(tx, user, [5; 32], at(10), at(0)).await
        })
        .await?;
        let invitation = invitations::NewInvitation {
            email: crate::users::email("new@clinic.in"),
            role: Role::Member,
            token_hash: [6; 32],
            invited_by: user,
            expires_at: at(10),
        };
        db.write(tenant, async |tx| invitations::create(tx, &invitation, at(0)).await).await?;
        let purge = async |now| db.system(async |tx| sessions::purge_expired(tx, now).await).await;
        let week = Duration::days(7);
        assert_eq!(purge(at(9) + week).await?, sessions::Purged::default());
        let want = sessions::Purged { sessions: 1, blacklisted: 0, codes: 1, resets: 1, invitations: 1 };
        assert_eq!(purge(at(10) + week).await?, want);
        assert_eq!(find(db, 1).await?, None);
        assert_eq!(spent(find(db, 2).await?), Some((0, SpentBy::Rotated)));
        let want = sessions::Purged { blacklisted: 1, ..Default::default() };
        assert_eq!(purge(at(LIFE_S)).await?, want);
        assert!(find(db, 3).await?.is_some(), "kept for a week after it expired");
        assert_eq!(purge(at(LIFE_S) + week).await?, sessions::Purged { sessions: 1, ..Default::default() });
        assert_eq!(find(db, 3).await?, None);
        Ok(())
    }

    async fn simultaneous_ends_end_it_once(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        let user = db.member(tenant, "asha@clinic.in", Role::Owner).await?;
        for n in 1..=5 {
            begin(db, tenant, user, n, 0).await?;
        }
        let outcomes = race(db, |store, _| async move {
            store
                .system("test.end", async |tx| {
                    sessions::end_all_of_user(tx, user, None, EndReason::AllLoggedOut, at(5)).await
                })
                .await
        })
        .await;
        let mut ended: Vec<u64> = outcomes.into_iter().map(|outcome| outcome.expect("a number")).collect();
        ended.sort_unstable();
        assert_eq!((ended[CALLERS - 1], ended[..CALLERS - 1].iter().sum::<u64>()), (5, 0));
        Ok(())
    }
}
