//! Users: one per address, counted failures, the second factor's steps, known addresses.

use crate::database::{TestDatabase, at, both_databases};
use model::{EmailAddress, Role, TenantId, UserId};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use store::users::{self, NewUser, User};
use store::{Error, Store, memberships};

/// Simultaneous callers in tests that only one may win.
pub(crate) const CALLERS: usize = 20;

pub(crate) fn email(text: &str) -> EmailAddress {
    EmailAddress::parse(text).expect("an address")
}

pub(crate) fn new_user(address: &str) -> NewUser {
    NewUser { email: email(address), name: "Asha".to_owned(), password_hash: "$argon2id$secret".to_owned().into() }
}

pub(crate) fn nobody() -> UserId {
    UserId(uuid::Uuid::from_u128(99))
}

impl TestDatabase {
    pub(crate) async fn user(&self, address: &str) -> Result<UserId, Error> {
        self.system(async |tx| users::create(tx, &new_user(address), at(0)).await).await
    }

    pub(crate) async fn get_user(&self, id: UserId) -> Result<User, Error> {
        self.system(async |tx| users::get(tx, id).await).await
    }

    /// A new user who is a member.
    pub(crate) async fn member(&self, tenant: TenantId, address: &str, role: Role) -> Result<UserId, Error> {
        let id = self.user(address).await?;
        self.write(tenant, async |tx| memberships::add(tx, id, role, at(0)).await).await?;
        Ok(id)
    }
}

/// What [`CALLERS`] simultaneous calls return.
pub(crate) async fn race<T, F>(db: &TestDatabase, call: impl Fn(Store, usize) -> F) -> Vec<Result<T, Error>>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Error>> + Send + 'static,
{
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..CALLERS {
        tasks.spawn(call(db.store.clone(), index));
    }
    tasks.join_all().await
}

/// How many said yes; an error fails the test.
pub(crate) fn winners(outcomes: Vec<Result<bool, Error>>) -> usize {
    outcomes.into_iter().map(|outcome| outcome.expect("an answer")).filter(|won| *won).count()
}

fn address(last: u8) -> IpAddr {
    IpAddr::from([203, 0, 113, last])
}

both_databases! {
    async fn an_address_is_one_user(db) {
        let id = db.user("asha@clinic.in").await?;
        let found = db.system(async |tx| users::find_by_email(tx, &email("Asha@Clinic.in")).await).await?;
        let found = found.expect("found");
        assert_eq!((found.id, found.email.as_str(), found.name.as_str()), (id, "asha@clinic.in", "Asha"));
        assert_eq!(found.password_hash.as_str(), "$argon2id$secret");
        assert_eq!((found.created_at, found.updated_at, found.failed_logins), (at(0), at(0), 0));
        assert!(found.email_verified_at.is_none() && found.totp.is_none() && found.last_confirmed_at.is_none());
        let none = db.system(async |tx| users::find_by_email(tx, &email("ravi@clinic.in")).await).await?;
        assert!(none.is_none());
        let again = db.user("ASHA@clinic.in").await;
        assert!(matches!(again, Err(Error::Conflict(_))), "{again:?}");
        Ok(())
    }

    async fn of_simultaneous_registrations_one_makes_the_user(db) {
        let outcomes = race(db, |store, _| async move {
            store.system("test.create", async |tx| users::create(tx, &new_user("asha@clinic.in"), at(0)).await).await
        })
        .await;
        let made = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        let refused = outcomes.iter().filter(|outcome| matches!(outcome, Err(Error::Conflict(_)))).count();
        assert_eq!((made, refused), (1, CALLERS - 1));
        Ok(())
    }

    async fn a_pending_user_is_replaced_until_the_address_is_verified(db) {
        let id = db.user("asha@clinic.in").await?;
        db.system(async |tx| users::replace_pending(tx, id, "Ravi", "hash-2", at(1)).await).await?;
        let user = db.get_user(id).await?;
        assert_eq!((user.name.as_str(), user.password_hash.as_str(), user.updated_at), ("Ravi", "hash-2", at(1)));
        assert!(db.system(async |tx| users::verify_email(tx, id, at(2)).await).await?);
        assert!(!db.system(async |tx| users::verify_email(tx, id, at(3)).await).await?);
        assert_eq!(db.get_user(id).await?.email_verified_at, Some(at(2)));
        let late = db.system(async |tx| users::replace_pending(tx, id, "Eve", "hash-3", at(4)).await).await;
        assert!(matches!(late, Err(Error::NotFound)), "{late:?}");
        assert_eq!(db.get_user(id).await?.name, "Ravi");
        Ok(())
    }

    async fn of_simultaneous_verifications_one_is_news(db) {
        let id = db.user("asha@clinic.in").await?;
        let outcomes = race(db, |store, _| async move {
            store.system("test.verify", async |tx| users::verify_email(tx, id, at(2)).await).await
        })
        .await;
        assert_eq!(winners(outcomes), 1);
        Ok(())
    }

    async fn name_and_password_are_changed(db) {
        let (id, other) = (db.user("asha@clinic.in").await?, db.user("ravi@clinic.in").await?);
        db.system(async |tx| {
            users::set_name(tx, id, "Asha Rao", at(1)).await?;
            users::set_password(tx, id, "hash-2", at(2)).await
        })
        .await?;
        let user = db.get_user(id).await?;
        assert_eq!((user.name.as_str(), user.password_hash.as_str(), user.updated_at), ("Asha Rao", "hash-2", at(2)));
        let other = db.get_user(other).await?;
        assert_eq!((other.name.as_str(), other.password_hash.as_str()), ("Asha", "$argon2id$secret"));
        Ok(())
    }

    async fn failed_logins_are_counted_one_by_one(db) {
        let id = db.user("asha@clinic.in").await?;
        let outcomes = race(db, |store, _| async move {
            store.system("test.failed", async |tx| users::login_failed(tx, id, at(5)).await).await
        })
        .await;
        let counts: BTreeSet<u32> = outcomes.into_iter().map(|outcome| outcome.expect("a count")).collect();
        assert_eq!(counts, (1..=20).collect());
        let user = db.get_user(id).await?;
        assert_eq!((user.failed_logins, user.last_failed_at, user.updated_at), (20, Some(at(5)), at(0)));
        db.system(async |tx| users::login_succeeded(tx, id, at(6)).await).await?;
        let user = db.get_user(id).await?;
        assert_eq!((user.failed_logins, user.last_failed_at, user.last_confirmed_at), (0, None, Some(at(6))));
        assert_eq!(db.system(async |tx| users::login_failed(tx, id, at(7)).await).await?, 1);
        Ok(())
    }

    async fn a_second_factor_is_set_up_enabled_and_taken_away(db) {
        let id = db.user("asha@clinic.in").await?;
        let early = db.system(async |tx| users::enable_totp(tx, id, at(1)).await).await;
        assert!(matches!(early, Err(Error::Conflict(_))), "{early:?}");
        assert!(!db.system(async |tx| users::use_totp_step(tx, id, 7).await).await?, "there is no secret");
        db.system(async |tx| users::set_totp(tx, id, Some(b"first"), at(1)).await).await?;
        db.system(async |tx| users::set_totp(tx, id, Some(b"second"), at(2)).await).await?;
        let totp = db.get_user(id).await?.totp.expect("set up");
        assert_eq!((totp.sealed_secret.as_slice(), totp.enabled_at, totp.last_step), (b"second".as_slice(), None, None));
        assert!(!db.get_user(id).await?.has_second_factor());
        assert!(db.system(async |tx| users::use_totp_step(tx, id, 7).await).await?);
        db.system(async |tx| users::enable_totp(tx, id, at(3)).await).await?;
        db.system(async |tx| users::enable_totp(tx, id, at(4)).await).await?;
        let user = db.get_user(id).await?;
        assert!(user.has_second_factor());
        let totp = user.totp.expect("enabled");
        assert_eq!((totp.enabled_at, totp.last_step), (Some(at(3)), Some(7)));
        let over = db.system(async |tx| users::set_totp(tx, id, Some(b"thief's"), at(5)).await).await;
        assert!(matches!(over, Err(Error::Conflict(_))), "{over:?}");
        assert!(db.get_user(id).await?.has_second_factor());
        db.system(async |tx| users::set_totp(tx, id, None, at(6)).await).await?;
        assert!(db.get_user(id).await?.totp.is_none());
        Ok(())
    }

    async fn a_step_of_the_second_factor_is_used_once(db) {
        let id = db.user("asha@clinic.in").await?;
        db.system(async |tx| users::set_totp(tx, id, Some(b"secret"), at(1)).await).await?;
        let outcomes = race(db, |store, _| async move {
            store.system("test.step", async |tx| users::use_totp_step(tx, id, 59_000_000).await).await
        })
        .await;
        assert_eq!(winners(outcomes), 1);
        for (step, want) in [(58_999_999, false), (59_000_000, false), (59_000_001, true), (59_000_000, false)] {
            assert_eq!(db.system(async |tx| users::use_totp_step(tx, id, step).await).await?, want, "{step}");
        }
        Ok(())
    }

    async fn the_latest_addresses_are_known(db) {
        let (id, other) = (db.user("asha@clinic.in").await?, db.user("ravi@clinic.in").await?);
        for n in 0..20 {
            db.system(async |tx| users::remember_address(tx, id, address(n), at(n.into())).await).await?;
        }
        // Seen again, so the second one is the oldest now.
        db.system(async |tx| users::remember_address(tx, id, address(0), at(50)).await).await?;
        db.system(async |tx| users::remember_address(tx, id, address(100), at(51)).await).await?;
        for (n, want) in [(0, true), (1, false), (2, true), (19, true), (100, true), (101, false)] {
            assert_eq!(db.system(async |tx| users::knows_address(tx, id, address(n)).await).await?, want, "{n}");
        }
        let mapped = IpAddr::V6(Ipv4Addr::new(203, 0, 113, 100).to_ipv6_mapped());
        assert!(db.system(async |tx| users::knows_address(tx, id, mapped).await).await?);
        assert!(!db.system(async |tx| users::knows_address(tx, other, address(0)).await).await?);
        Ok(())
    }

    async fn simultaneous_logins_keep_the_number_of_addresses(db) {
        let id = db.user("asha@clinic.in").await?;
        for round in 0..2u8 {
            let outcomes = race(db, move |store, n| async move {
                let ip = address(round * 20 + u8::try_from(n).expect("small"));
                store.system("test.remember", async |tx| users::remember_address(tx, id, ip, at(round.into())).await).await
            })
            .await;
            assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        }
        let mut known = Vec::new();
        for n in 0..40 {
            known.push(db.system(async |tx| users::knows_address(tx, id, address(n)).await).await?);
        }
        assert!(known[..20].iter().all(|known| !known) && known[20..].iter().all(|known| *known), "{known:?}");
        Ok(())
    }

    async fn there_is_nothing_to_change_about_nobody(db) {
        let id = nobody();
        macro_rules! refused {
            ($($attempt:expr),* $(,)?) => {$(
                let outcome = db.system($attempt).await;
                assert!(matches!(outcome, Err(Error::NotFound)), "{}: {outcome:?}", stringify!($attempt));
            )*};
        }
        refused!(
            async |tx| users::get(tx, id).await.map(|_| ()),
            async |tx| users::set_name(tx, id, "x", at(1)).await,
            async |tx| users::set_password(tx, id, "x", at(1)).await,
            async |tx| users::replace_pending(tx, id, "x", "y", at(1)).await,
            async |tx| users::login_failed(tx, id, at(1)).await.map(|_| ()),
            async |tx| users::login_succeeded(tx, id, at(1)).await,
            async |tx| users::set_totp(tx, id, Some(b"x"), at(1)).await,
            async |tx| users::enable_totp(tx, id, at(1)).await,
            async |tx| users::remember_address(tx, id, address(1), at(1)).await,
        );
        assert!(!db.system(async |tx| users::verify_email(tx, id, at(1)).await).await?);
        assert!(!db.system(async |tx| users::use_totp_step(tx, id, 1).await).await?);
        assert!(!db.system(async |tx| users::knows_address(tx, id, address(1)).await).await?);
        Ok(())
    }

    async fn a_user_prints_no_secret(db) {
        let id = db.user("asha@clinic.in").await?;
        db.system(async |tx| users::set_totp(tx, id, Some(b"secret"), at(1)).await).await?;
        let text = format!("{:?} {:?}", db.get_user(id).await?, new_user("asha@clinic.in"));
        for secret in ["argon2id", "asha@", "115, 101, 99"] {
            assert!(!text.contains(secret), "{text}");
        }
        Ok(())
    }
}
