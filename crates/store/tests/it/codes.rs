//! One-time codes, password resets, recovery codes: each use counts once.

use crate::database::{TestDatabase, at, both_databases};
use crate::users::{CALLERS, nobody, race, winners};
use model::UserId;
use std::collections::BTreeSet;
use store::one_time_codes::{self, Code};
use store::{Error, password_resets, recovery_codes};
use uuid::Uuid;

const VERIFY: &str = "verify-email";

async fn issue(db: &TestDatabase, user: UserId, purpose: &str, hash: &str) -> Result<Uuid, Error> {
    db.system(async |tx| one_time_codes::issue(tx, user, purpose, hash, at(600), at(0)).await).await
}

async fn current(db: &TestDatabase, user: UserId, purpose: &str) -> Result<Option<Code>, Error> {
    db.system(async |tx| one_time_codes::current(tx, user, purpose).await).await
}

async fn peek(db: &TestDatabase, hash: [u8; 32]) -> Result<Option<UserId>, Error> {
    db.system(async |tx| password_resets::peek(tx, hash, at(1)).await).await
}

fn hash(n: usize) -> [u8; 32] {
    [u8::try_from(n).expect("small"); 32]
}

both_databases! {
    async fn a_code_takes_the_place_of_the_one_before(db) {
        let user = db.user("asha@clinic.in").await?;
        let first = issue(db, user, VERIFY, "hash-1").await?;
        let other = issue(db, user, "reset", "hash-x").await?;
        assert_eq!(db.system(async |tx| one_time_codes::count_try(tx, first).await).await?, 1);
        assert_eq!(db.system(async |tx| one_time_codes::count_try(tx, first).await).await?, 2);
        assert!(db.system(async |tx| one_time_codes::use_once(tx, first, at(1)).await).await?);
        let second = issue(db, user, VERIFY, "hash-2").await?;
        let code = current(db, user, VERIFY).await?.expect("a code");
        assert_eq!((code.id, code.code_hash.as_str(), code.tries, code.used_at), (second, "hash-2", 0, None));
        assert_eq!((code.expires_at, code.created_at), (at(600), at(0)));
        assert!(!format!("{code:?}").contains("hash"));
        let gone = db.system(async |tx| one_time_codes::count_try(tx, first).await).await;
        assert!(matches!(gone, Err(Error::NotFound)), "{gone:?}");
        assert!(!db.system(async |tx| one_time_codes::use_once(tx, first, at(1)).await).await?);
        assert_eq!(current(db, user, "reset").await?.expect("a code").id, other);
        assert!(current(db, user, "login").await?.is_none());
        db.system(async |tx| one_time_codes::withdraw(tx, user, "reset").await).await?;
        assert!(current(db, user, "reset").await?.is_none() && current(db, user, VERIFY).await?.is_some());
        assert!(matches!(issue(db, nobody(), VERIFY, "x").await, Err(Error::NotFound)));
        Ok(())
    }

    async fn of_simultaneous_uses_of_a_code_one_counts(db) {
        let user = db.user("asha@clinic.in").await?;
        let id = issue(db, user, VERIFY, "hash-1").await?;
        let used = race(db, |store, _| async move {
            store.system("test.use", async |tx| one_time_codes::use_once(tx, id, at(5)).await).await
        })
        .await;
        assert_eq!(winners(used), 1);
        let id = issue(db, user, VERIFY, "hash-2").await?;
        assert!(!db.system(async |tx| one_time_codes::use_once(tx, id, at(600)).await).await?, "expired");
        assert!(db.system(async |tx| one_time_codes::use_once(tx, id, at(599)).await).await?);
        Ok(())
    }

    async fn simultaneous_tries_are_counted_one_by_one(db) {
        let user = db.user("asha@clinic.in").await?;
        let id = issue(db, user, VERIFY, "hash-1").await?;
        let tries = race(db, |store, _| async move {
            store.system("test.try", async |tx| one_time_codes::count_try(tx, id).await).await
        })
        .await;
        let tries: BTreeSet<u32> = tries.into_iter().map(|outcome| outcome.expect("a number")).collect();
        assert_eq!(tries, (1..=20).collect());
        Ok(())
    }

    async fn simultaneous_requests_leave_one_code_and_one_reset(db) {
        let user = db.user("asha@clinic.in").await?;
        let issued = race(db, |store, n| async move {
            store
                .system("test.issue", async |tx| {
                    password_resets::issue(tx, user, hash(n), at(900), at(0)).await?;
                    one_time_codes::issue(tx, user, VERIFY, "x", at(600), at(0)).await
                })
                .await
        })
        .await;
        let issued: Vec<Uuid> = issued.into_iter().map(|outcome| outcome.expect("issued")).collect();
        let code = current(db, user, VERIFY).await?.expect("a code").id;
        assert!(issued.contains(&code));
        let mut good = 0;
        for n in 0..CALLERS {
            good += usize::from(peek(db, hash(n)).await?.is_some());
        }
        assert_eq!(good, 1);
        Ok(())
    }

    async fn a_reset_is_used_once_and_in_time(db) {
        let (user, other) = (db.user("asha@clinic.in").await?, db.user("ravi@clinic.in").await?);
        for (who, n) in [(user, 1), (other, 2), (user, 3)] {
            db.system(async |tx| password_resets::issue(tx, who, hash(n), at(900), at(0)).await).await?;
        }
        assert_eq!(peek(db, hash(1)).await?, None, "a later one has taken its place");
        assert_eq!(db.system(async |tx| password_resets::use_once(tx, hash(1), at(1)).await).await?, None);
        assert_eq!((peek(db, hash(2)).await?, peek(db, hash(9)).await?), (Some(other), None));
        assert_eq!(db.system(async |tx| password_resets::peek(tx, hash(3), at(900)).await).await?, None);
        assert_eq!(db.system(async |tx| password_resets::use_once(tx, hash(3), at(900)).await).await?, None);
        assert_eq!(peek(db, hash(3)).await?, Some(user), "looking and trying late use nothing up");
        let used = race(db, |store, _| async move {
            store
                .system("test.use", async |tx| {
                    let found = password_resets::use_once(tx, hash(3), at(899)).await?;
                    if let Some(user) = found {
                        // As a reset does: the user's row after the token's.
                        store::users::set_password(tx, user, "hash-2", at(899)).await?;
                    }
                    Ok::<_, Error>(found == Some(user))
                })
                .await
        })
        .await;
        assert_eq!(winners(used), 1);
        assert_eq!(peek(db, hash(3)).await?, None);
        let nobody = db.system(async |tx| password_resets::issue(tx, nobody(), hash(4), at(9), at(0)).await).await;
        assert!(matches!(nobody, Err(Error::NotFound)), "{nobody:?}");
        Ok(())
    }

    async fn asking_for_a_reset_while_one_is_used_never_collides(db) {
        let user = db.user("asha@clinic.in").await?;
        db.system(async |tx| password_resets::issue(tx, user, hash(100), at(900), at(0)).await).await?;
        let outcomes = race(db, |store, n| async move {
            store
                .system("test.mixed", async |tx| {
                    if n % 2 == 0 {
                        password_resets::issue(tx, user, hash(n), at(900), at(1)).await?;
                    } else if password_resets::use_once(tx, hash(100), at(1)).await?.is_some() {
                        store::users::set_password(tx, user, "hash-2", at(1)).await?;
                    }
                    Ok::<_, Error>(true)
                })
                .await
        })
        .await;
        assert_eq!(winners(outcomes), CALLERS);
        Ok(())
    }

    async fn a_trigger_keeps_the_time_of_a_reset(db) {
        let user = db.user("asha@clinic.in").await?;
        db.system(async |tx| password_resets::issue(tx, user, hash(1), at(900), at(0)).await).await?;
        db.raw("create table seen (fine boolean not null check (fine))").await;
        db.raw("insert into seen select updated_at = created_at from password_reset_tokens").await;
        db.system(async |tx| password_resets::use_once(tx, hash(1), at(1)).await).await?;
        db.raw("insert into seen select updated_at <> created_at from password_reset_tokens").await;
        // SQLite: as wide as every other time, so that it compares as one.
        if db.store.dialect() == store::Dialect::Sqlite {
            db.raw("insert into seen select length(updated_at) = length(created_at) and updated_at like '%+00:00'
                    from password_reset_tokens").await;
        }
        Ok(())
    }

    async fn recovery_codes_are_used_once(db) {
        let (user, other) = (db.user("asha@clinic.in").await?, db.user("ravi@clinic.in").await?);
        let codes: Vec<[u8; 32]> = (0..10).map(hash).collect();
        db.system(async |tx| recovery_codes::replace(tx, user, &codes, at(1)).await).await?;
        assert_eq!(db.system(async |tx| recovery_codes::left(tx, user).await).await?, 10);
        assert!(!db.system(async |tx| recovery_codes::use_once(tx, other, hash(3), at(2)).await).await?);
        let used = race(db, |store, _| async move {
            store.system("test.use", async |tx| recovery_codes::use_once(tx, user, hash(3), at(2)).await).await
        })
        .await;
        assert_eq!(winners(used), 1);
        assert_eq!(db.system(async |tx| recovery_codes::left(tx, user).await).await?, 9);
        db.system(async |tx| recovery_codes::replace(tx, user, &[hash(50)], at(3)).await).await?;
        assert!(!db.system(async |tx| recovery_codes::use_once(tx, user, hash(4), at(4)).await).await?);
        assert_eq!(db.system(async |tx| recovery_codes::left(tx, user).await).await?, 1);
        db.system(async |tx| recovery_codes::replace(tx, user, &[], at(5)).await).await?;
        assert_eq!(db.system(async |tx| recovery_codes::left(tx, user).await).await?, 0);
        Ok(())
    }

    async fn simultaneous_new_sets_of_recovery_codes_leave_one(db) {
        let user = db.user("asha@clinic.in").await?;
        for round in 0..5 {
            let outcomes = race(db, |store, n| async move {
                let codes: Vec<[u8; 32]> = (0..10).map(|k| hash(n + CALLERS * k)).collect();
                store.system("test.replace", async |tx| recovery_codes::replace(tx, user, &codes, at(round)).await).await
            })
            .await;
            assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
            assert_eq!(db.system(async |tx| recovery_codes::left(tx, user).await).await?, 10);
        }
        Ok(())
    }

    async fn sets_of_recovery_codes_have_their_limits(db) {
        let user = db.user("asha@clinic.in").await?;
        let many: Vec<[u8; 32]> = (0..21).map(hash).collect();
        for (codes, what) in [(many.as_slice(), "too many"), (&[hash(1), hash(1)], "alike")] {
            let outcome = db.system(async |tx| recovery_codes::replace(tx, user, codes, at(1)).await).await;
            assert!(matches!(outcome, Err(Error::Conflict(text)) if text.contains(what)), "{outcome:?}");
        }
        let outcome = db.system(async |tx| recovery_codes::replace(tx, nobody(), &[hash(1)], at(1)).await).await;
        assert!(matches!(outcome, Err(Error::NotFound)), "{outcome:?}");
        Ok(())
    }
}
