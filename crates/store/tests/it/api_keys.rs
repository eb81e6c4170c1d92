//! API keys: good until revoked or expired, in one organisation.

use crate::database::{TestDatabase, at, both_databases};
use crate::users::{nobody, race, winners};
use chrono::{DateTime, Utc};
use model::{ApiKeyId, Role, Scope, TenantId, UserId};
use store::api_keys::{self, ApiKey, AuthenticatedKey, NewApiKey};
use store::{Error, PageRequest, memberships};

const SCOPES: &[Scope] = &[Scope::CallsRead, Scope::AgentsWrite];

fn new(by: UserId, n: u8) -> NewApiKey<'static> {
    NewApiKey { name: "Reports", key_hash: [n; 32], last4: "x7Qz", scopes: SCOPES, created_by: by, expires_at: None }
}

async fn create(db: &TestDatabase, tenant: TenantId, new: &NewApiKey<'_>) -> Result<ApiKey, Error> {
    db.write(tenant, async |tx| api_keys::create(tx, new, at(1)).await).await
}

async fn authenticate(db: &TestDatabase, n: u8, seconds: i64) -> Result<Option<AuthenticatedKey>, Error> {
    db.system(async |tx| api_keys::authenticate(tx, [n; 32], at(seconds)).await).await
}

async fn last_used(db: &TestDatabase, tenant: TenantId, id: ApiKeyId) -> Result<Option<DateTime<Utc>>, Error> {
    Ok(db.read(tenant, async |tx| api_keys::get(tx, id).await).await?.last_used_at)
}

both_databases! {
    async fn a_key_lets_in_until_it_is_revoked(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        let owner = db.member(tenant, "asha@clinic.in", Role::Owner).await?;
        let made = create(db, tenant, &new(owner, 1)).await?;
        assert_eq!((made.tenant, made.name.as_str(), made.last4.as_str()), (tenant, "Reports", "x7Qz"));
        assert_eq!((made.scopes.as_slice(), made.created_by, made.created_at), (SCOPES, owner, at(1)));
        assert_eq!((made.expires_at, made.last_used_at, made.revoked_at), (None, None, None));
        let want = AuthenticatedKey { id: made.id, tenant, scopes: SCOPES.to_vec() };
        assert_eq!(authenticate(db, 1, 2).await?, Some(want));
        assert_eq!(authenticate(db, 2, 2).await?, None);
        let revoked = race(db, |store, _| async move {
            store.write(tenant, "test.revoke", async |tx| api_keys::revoke(tx, made.id, at(3)).await).await
        })
        .await;
        assert_eq!(winners(revoked), 1);
        assert_eq!(authenticate(db, 1, 4).await?, None);
        assert_eq!(db.read(tenant, async |tx| api_keys::get(tx, made.id).await).await?.revoked_at, Some(at(3)));
        let taken = create(db, tenant, &new(owner, 1)).await;
        assert!(matches!(taken, Err(Error::Conflict(_))), "{taken:?}");
        Ok(())
    }

    async fn a_key_expires(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        let owner = db.member(tenant, "asha@clinic.in", Role::Owner).await?;
        let made = create(db, tenant, &NewApiKey { expires_at: Some(at(100)), scopes: &[], ..new(owner, 1) }).await?;
        assert_eq!((made.expires_at, made.scopes.as_slice()), (Some(at(100)), [].as_slice()));
        assert!(authenticate(db, 1, 99).await?.is_some());
        assert_eq!(authenticate(db, 1, 100).await?, None);
        Ok(())
    }

    async fn its_use_is_noted_once_a_minute(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        let owner = db.member(tenant, "asha@clinic.in", Role::Owner).await?;
        let id = create(db, tenant, &new(owner, 1)).await?.id;
        for (seconds, noted) in [(10, 10), (11, 10), (69, 10), (70, 70), (100, 70), (131, 131)] {
            authenticate(db, 1, seconds).await?;
            assert_eq!(last_used(db, tenant, id).await?, Some(at(noted)), "{seconds}");
        }
        // Looking only reads.
        for (seconds, unnoted) in [(190, false), (191, true), (192, true)] {
            let found = db.store.system_read("test.find", async |tx| api_keys::find(tx, [1; 32], at(seconds)).await);
            let found: Option<api_keys::FoundKey> = found.await?;
            assert_eq!(found.map(|found| (found.key.id, found.unnoted)), Some((id, unnoted)), "{seconds}");
        }
        db.system(async |tx| api_keys::note_use(tx, id, at(190)).await).await?;
        assert_eq!(last_used(db, tenant, id).await?, Some(at(131)));
        db.system(async |tx| api_keys::note_use(tx, id, at(192)).await).await?;
        assert_eq!(last_used(db, tenant, id).await?, Some(at(192)));
        let outcomes = race(db, |store, n| async move {
            let now = at(500 + i64::try_from(n).expect("small"));
            store.system("test.use", async |tx| api_keys::authenticate(tx, [1; 32], now).await).await
        })
        .await;
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(Some(_)))), "{outcomes:?}");
        Ok(())
    }

    async fn another_organisations_are_not_found(db) {
        let (ours, theirs) = (db.tenant("+918037091588").await?.id, db.tenant("+918037091589").await?.id);
        let us = db.member(ours, "asha@clinic.in", Role::Owner).await?;
        let them = db.member(theirs, "ravi@clinic.in", Role::Owner).await?;
        let id = create(db, theirs, &new(them, 1)).await?.id;
        let outcomes = [
            db.read(ours, async |tx| api_keys::get(tx, id).await.map(|_| ())).await,
            db.write(ours, async |tx| api_keys::revoke(tx, id, at(2)).await.map(|_| ())).await,
            create(db, ours, &new(them, 2)).await.map(|_| ()),
            create(db, ours, &new(nobody(), 2)).await.map(|_| ()),
        ];
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Err(Error::NotFound))), "{outcomes:?}");
        assert_eq!(authenticate(db, 1, 3).await?.map(|key| key.tenant), Some(theirs));
        let ids = [create(db, ours, &new(us, 3)).await?.id, create(db, ours, &new(us, 4)).await?.id];
        let page = db.read(ours, async |tx| api_keys::list(tx, PageRequest::default()).await).await?;
        let mut listed: Vec<_> = page.items.iter().map(|key| key.id).collect();
        listed.sort_unstable();
        let mut want = ids.to_vec();
        want.sort_unstable();
        assert_eq!(listed, want);
        Ok(())
    }

    async fn a_key_outlives_the_membership_of_its_maker(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        db.member(tenant, "asha@clinic.in", Role::Owner).await?;
        let admin = db.member(tenant, "ravi@clinic.in", Role::Admin).await?;
        create(db, tenant, &new(admin, 1)).await?;
        db.write(tenant, async |tx| memberships::remove(tx, admin).await).await?;
        assert!(authenticate(db, 1, 5).await?.is_some());
        Ok(())
    }
}
