//! Memberships: one per user and organisation; the last owner stays; who is removed takes his sessions along.

use crate::database::{TestDatabase, at, both_databases};
use crate::sessions::{authenticate, find, new_session};
use crate::users::{nobody, race};
use model::{Role, TenantId, UserId};
use store::{Error, PageRequest, memberships, organisations, sessions};

async fn roles(db: &TestDatabase, tenant: TenantId) -> Result<Vec<Role>, Error> {
    let page = PageRequest { after: None, limit: 200 };
    let members = db.read(tenant, async |tx| memberships::list(tx, page).await).await?;
    Ok(members.items.into_iter().map(|member| member.role).collect())
}

async fn set_role(db: &TestDatabase, tenant: TenantId, user: UserId, role: Role) -> Result<(), Error> {
    db.write(tenant, async |tx| memberships::set_role(tx, user, role).await).await
}

both_databases! {
    async fn members_are_listed_with_what_is_known_of_them(db) {
        let (ours, theirs) = (db.tenant("+918037091588").await?, db.tenant("+918037091589").await?);
        let mut users = Vec::new();
        for n in 0..5 {
            let user = db.user(&format!("user{n}@clinic.in")).await?;
            db.write(ours.id, async |tx| memberships::add(tx, user, Role::Member, at(n / 2)).await).await?;
            users.push(user);
        }
        db.write(theirs.id, async |tx| memberships::add(tx, users[0], Role::Owner, at(9)).await).await?;
        db.system(async |tx| {
            store::users::verify_email(tx, users[1], at(1)).await?;
            store::users::set_totp(tx, users[1], Some(b"secret"), at(1)).await?;
            store::users::enable_totp(tx, users[1], at(1)).await
        })
        .await?;
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = PageRequest { after, limit: 2 };
            let page = db.read(ours.id, async |tx| memberships::list(tx, page).await).await?;
            seen.extend(page.items.iter().map(|member| (member.created_at, member.user)));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen.len(), 5);
        assert!(seen.is_sorted_by(|a, b| a > b), "{seen:?}");
        let member = db.read(ours.id, async |tx| memberships::get(tx, users[1]).await).await?;
        assert_eq!((member.name.as_str(), member.email.as_str()), ("Asha", "user1@clinic.in"));
        assert_eq!((member.role, member.email_verified, member.second_factor), (Role::Member, true, true));
        let plain = db.read(ours.id, async |tx| memberships::get(tx, users[2]).await).await?;
        assert!(!plain.email_verified && !plain.second_factor);
        let of_user = db.system(async |tx| memberships::of_user(tx, users[0]).await).await?;
        let of_user: Vec<_> = of_user.iter().map(|m| (m.tenant, m.role, m.organisation_name.as_str())).collect();
        assert_eq!(of_user, [(ours.id, Role::Member, "Clinic"), (theirs.id, Role::Owner, "Clinic")]);
        assert_eq!(db.system(async |tx| memberships::of_user(tx, nobody()).await).await?, []);
        Ok(())
    }

    async fn a_user_is_a_member_once(db) {
        let tenant = db.tenant("+918037091588").await?;
        let user = db.member(tenant.id, "asha@clinic.in", Role::Owner).await?;
        let again = db.write(tenant.id, async |tx| memberships::add(tx, user, Role::Viewer, at(1)).await).await;
        assert!(matches!(again, Err(Error::Conflict(_))), "{again:?}");
        let unknown = db.write(tenant.id, async |tx| memberships::add(tx, nobody(), Role::Viewer, at(1)).await).await;
        assert!(matches!(unknown, Err(Error::NotFound)), "{unknown:?}");
        assert_eq!(roles(db, tenant.id).await?, [Role::Owner]);
        Ok(())
    }

    async fn members_of_another_organisation_are_not_found(db) {
        let (ours, theirs) = (db.tenant("+918037091588").await?, db.tenant("+918037091589").await?);
        db.member(ours.id, "asha@clinic.in", Role::Owner).await?;
        let other = db.member(theirs.id, "ravi@clinic.in", Role::Viewer).await?;
        let outcomes = [
            db.read(ours.id, async |tx| memberships::get(tx, other).await.map(|_| ())).await,
            set_role(db, ours.id, other, Role::Viewer).await,
            set_role(db, ours.id, other, Role::Owner).await,
            db.write(ours.id, async |tx| memberships::remove(tx, other).await).await,
        ];
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Err(Error::NotFound))), "{outcomes:?}");
        assert_eq!(roles(db, theirs.id).await?, [Role::Viewer]);
        Ok(())
    }

    async fn the_last_owner_stays(db) {
        let tenant = db.tenant("+918037091588").await?;
        let first = db.member(tenant.id, "asha@clinic.in", Role::Owner).await?;
        let second = db.member(tenant.id, "ravi@clinic.in", Role::Admin).await?;
        for outcome in [
            set_role(db, tenant.id, first, Role::Admin).await,
            db.write(tenant.id, async |tx| memberships::remove(tx, first).await).await,
        ] {
            assert!(matches!(outcome, Err(Error::Conflict("the organisation needs an owner"))), "{outcome:?}");
        }
        set_role(db, tenant.id, first, Role::Owner).await?;
        set_role(db, tenant.id, second, Role::Viewer).await?;
        set_role(db, tenant.id, second, Role::Owner).await?;
        set_role(db, tenant.id, first, Role::Member).await?;
        db.write(tenant.id, async |tx| memberships::remove(tx, first).await).await?;
        assert_eq!(roles(db, tenant.id).await?, [Role::Owner]);
        Ok(())
    }

    async fn the_last_owner_stays_whoever_leaves_at_the_same_time(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        let mut owners = Vec::new();
        for n in 0..20 {
            owners.push(db.member(tenant, &format!("owner{n}@clinic.in"), Role::Owner).await?);
        }
        let outcomes = race(db, |store, n| {
            let user = owners[n];
            async move {
                store
                    .write(tenant, "test.leave", async |tx| {
                        if n % 2 == 0 {
                            memberships::remove(tx, user).await
                        } else {
                            memberships::set_role(tx, user, Role::Member).await
                        }
                    })
                    .await
            }
        })
        .await;
        let refused: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
        assert!(matches!(refused.as_slice(), [Error::Conflict(_)]), "{refused:?}");
        let owners = roles(db, tenant).await?.into_iter().filter(|role| *role == Role::Owner).count();
        assert_eq!(owners, 1);
        Ok(())
    }

    async fn who_is_removed_takes_his_sessions_along(db) {
        let (ours, theirs) = (db.tenant("+918037091588").await?.id, db.tenant("+918037091589").await?.id);
        let owner = db.member(ours, "asha@clinic.in", Role::Owner).await?;
        let user = db.member(ours, "ravi@clinic.in", Role::Member).await?;
        db.write(theirs, async |tx| memberships::add(tx, user, Role::Owner, at(0)).await).await?;
        let here = db.write(ours, async |tx| sessions::create(tx, new_session(user, 1), at(1)).await).await?;
        let there = db.write(theirs, async |tx| sessions::create(tx, new_session(user, 2), at(1)).await).await?;
        let owners = db.write(ours, async |tx| sessions::create(tx, new_session(owner, 3), at(1)).await).await?;
        db.system(async |tx| sessions::rotate(tx, here.id, [1; 32], [11; 32], at(2)).await).await?;
        db.write(ours, async |tx| memberships::remove(tx, user).await).await?;
        assert_eq!(authenticate(db, here.id, 3).await?, None);
        assert_eq!((find(db, 1).await?, find(db, 11).await?), (None, None));
        assert!(!db.system(async |tx| sessions::rotate(tx, here.id, [11; 32], [12; 32], at(3)).await).await?);
        assert!(authenticate(db, there.id, 3).await?.is_some() && authenticate(db, owners.id, 3).await?.is_some());
        let late = db.write(ours, async |tx| sessions::create(tx, new_session(user, 4), at(3)).await).await;
        assert!(matches!(late, Err(Error::NotFound)), "{late:?}");
        Ok(())
    }

    async fn no_session_outlives_a_removal_at_the_same_time(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        db.member(tenant, "asha@clinic.in", Role::Owner).await?;
        let user = db.member(tenant, "ravi@clinic.in", Role::Member).await?;
        let outcomes = race(db, |store, n| async move {
            store
                .write(tenant, "test.mixed", async |tx| {
                    if n == 10 {
                        return memberships::remove(tx, user).await;
                    }
                    sessions::create(tx, new_session(user, u8::try_from(n).expect("small")), at(1)).await.map(|_| ())
                })
                .await
        })
        .await;
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(()) | Err(Error::NotFound))), "{outcomes:?}");
        assert_eq!(db.read(tenant, async |tx| sessions::list_of_user(tx, user, at(2)).await).await?, []);
        Ok(())
    }

    async fn an_organisation_renames_itself(db) {
        let (ours, theirs) = (db.tenant("+918037091588").await?.id, db.tenant("+918037091589").await?.id);
        let renamed = db.write(ours, async |tx| organisations::rename(tx, "Asha's Clinic").await).await?;
        assert_eq!((renamed.id, renamed.name.as_str()), (ours, "Asha's Clinic"));
        assert_eq!(db.read(ours, async |tx| organisations::get_own(tx).await).await?, renamed);
        assert_eq!(db.read(theirs, async |tx| organisations::get_own(tx).await).await?.name, "Clinic");
        let nowhere = model::OrganisationId(uuid::Uuid::from_u128(1));
        let outcome = db.write(nowhere, async |tx| organisations::rename(tx, "x").await).await;
        assert!(matches!(outcome, Err(Error::NotFound)), "{outcome:?}");
        Ok(())
    }
}
