//! Secrets at rest.

use crate::database::{TestDatabase, at, both_databases, keys, object};
use chrono::Duration;
use model::TenantId;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use store::jobs::{self, Job, JobState, NewJob};
use store::provider_keys::{self, NewProviderKey};
use store::vault::{self, Place};
use store::{Error, Keyring, MigrateError, PageRequest, Rotated, Store};
use uuid::Uuid;

const CANARY: &str = "sk-canary-0123456789-abcd";

const fn place(row: u128) -> Place {
    Place { table: "things", column: "sealed", row: Uuid::from_u128(row) }
}

async fn seal(store: &Store, tenant: TenantId, row: u128) -> Result<Vec<u8>, Error> {
    store.write(tenant, "test.seal", async |tx| vault::seal(tx, place(row), CANARY.as_bytes(), at(0)).await).await
}

async fn open(store: &Store, tenant: TenantId, place: Place, sealed: &[u8]) -> Result<String, Error> {
    store
        .read(tenant, "test.open", async |tx| {
            let opened = vault::open(tx, place, sealed).await?;
            Ok(String::from_utf8_lossy(opened.expose_secret()).into_owned())
        })
        .await
}

async fn keep(db: &TestDatabase, tenant: TenantId, provider: &str, key: &str) -> Result<Uuid, Error> {
    let key = SecretString::from(key);
    let new = NewProviderKey { provider, label: "ours", key: &key };
    Ok(db.write(tenant, async |tx| provider_keys::create(tx, &new, at(1)).await).await?.id)
}

async fn reveal(store: &Store, tenant: TenantId, provider: &str) -> Result<Option<String>, Error> {
    let found = store.read(tenant, "test.reveal", async |tx| provider_keys::reveal(tx, provider).await).await?;
    Ok(found.map(|key: SecretString| key.expose_secret().to_owned()))
}

fn job(sealed: Option<serde_json::Value>) -> NewJob<'static> {
    NewJob {
        queue: "default",
        name: "mail",
        dedup_key: None,
        payload: object(json!({})),
        sealed,
        attempts_max: 3,
        run_at: at(0),
    }
}

async fn claim(db: &TestDatabase, now: i64) -> Result<Vec<Job>, Error> {
    db.system(async |tx| jobs::claim(tx, &["default"], "a", at(now), Duration::seconds(30), 10).await).await
}

both_databases! {
    async fn a_sealed_value_opens_where_it_belongs_only(db) {
        let ours = db.tenant("+918037091588").await?.id;
        let theirs = db.tenant("+918037091589").await?.id;
        let sealed = seal(&db.store, ours, 1).await?;
        assert_eq!(open(&db.store, ours, place(1), &sealed).await?, CANARY);
        // A store that has not seen the key yet.
        assert_eq!(open(&db.reopen().await, ours, place(1), &sealed).await?, CANARY);
        assert_ne!(seal(&db.store, ours, 1).await?, sealed, "a nonce is used once");
        assert!(!sealed.windows(8).any(|bytes| CANARY.as_bytes().windows(8).any(|plain| plain == bytes)));
        seal(&db.store, theirs, 1).await?;
        for (tenant, place) in [
            (theirs, place(1)),
            (ours, place(2)),
            (ours, Place { table: "other", ..place(1) }),
            (ours, Place { column: "other", ..place(1) }),
        ] {
            let outcome = open(&db.store, tenant, place, &sealed).await;
            assert!(matches!(outcome, Err(Error::Broken(_))), "{place:?}: {outcome:?}");
        }
        let house = db.system(async |tx| vault::open(tx, place(1), &sealed).await).await;
        assert!(matches!(house, Err(Error::Broken(_))), "across tenants");
        for length in 0..sealed.len() {
            let cut = open(&db.store, ours, place(1), &sealed[..length]).await;
            assert!(matches!(cut, Err(Error::Broken(_))), "{length} bytes");
        }
        for byte in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[byte] ^= 1;
            let outcome = open(&db.store, ours, place(1), &altered).await;
            assert!(matches!(outcome, Err(Error::Broken(_))), "byte {byte}");
        }
        let long = vec![0; 64 * 1024 + 1];
        let refused = db.write(ours, async |tx| vault::seal(tx, place(1), &long, at(0)).await).await;
        assert!(matches!(refused, Err(Error::Conflict(_))));
        Ok(())
    }

    async fn a_tenant_has_one_data_key_however_many_begin(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..12 {
            let store = db.store.clone();
            tasks.spawn(async move { Ok::<_, Error>((n, seal(&store, tenant, n).await?)) });
        }
        let mut all = Vec::new();
        while let Some(done) = tasks.join_next().await {
            all.push(done??);
        }
        for (n, sealed) in all {
            assert_eq!(open(&db.store, tenant, place(n), &sealed).await?, CANARY);
        }
        db.system(async |tx| vault::seal(tx, place(1), b"x", at(0)).await).await?;
        db.system(async |tx| vault::seal(tx, place(1), b"x", at(0)).await).await?;
        assert_eq!(db.number("select count(*) from data_keys").await, 2);
        Ok(())
    }

    async fn a_data_key_that_was_rolled_back_is_not_used(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        let undone: Result<(), Error> = db
            .write(tenant, async |tx| {
                vault::seal(tx, place(1), b"x", at(0)).await?;
                Err(Error::Busy)
            })
            .await;
        assert!(undone.is_err());
        let sealed = seal(&db.store, tenant, 1).await?;
        assert_eq!(open(&db.reopen().await, tenant, place(1), &sealed).await?, CANARY);
        Ok(())
    }

    async fn keys_are_rotated_while_others_work(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        let other = db.tenant("+918037091589").await?.id;
        let sealed = seal(&db.store, tenant, 1).await?;
        seal(&db.store, other, 1).await?;
        db.system(async |tx| vault::seal(tx, place(1), b"x", at(0)).await).await?;
        let both = || Keyring::new([8; 32], Some([7; 32]));
        let (rotating, node) = (db.reopen_with(both()).await, db.reopen_with(both()).await);
        node.migrate_check().await?;
        let mut readers = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let (node, sealed) = (node.clone(), sealed.clone());
            readers.spawn(async move {
                for n in 2..12 {
                    assert_eq!(open(&node, tenant, place(1), &sealed).await?, CANARY);
                    let fresh = seal(&node, tenant, n).await?;
                    assert_eq!(open(&node, tenant, place(n), &fresh).await?, CANARY);
                }
                Ok::<_, Error>(())
            });
        }
        assert_eq!(rotating.rotate_keys(at(5)).await?, Rotated { rewrapped: 3, already: 0 });
        while let Some(done) = readers.join_next().await {
            done??;
        }
        assert_eq!(rotating.rotate_keys(at(6)).await?, Rotated { rewrapped: 0, already: 3 });
        let new_only = db.reopen_with(keys(8)).await;
        new_only.migrate_check().await?;
        assert_eq!(open(&new_only, tenant, place(1), &sealed).await?, CANARY);
        // One that has the old key only must not serve.
        let old_only = db.reopen_with(keys(7)).await;
        let refused = old_only.migrate_check().await;
        assert!(matches!(refused, Err(MigrateError::UnknownKey { count: 3, .. })), "{refused:?}");
        let closed = open(&old_only, tenant, place(1), &sealed).await;
        assert!(matches!(closed, Err(Error::Broken(_))), "{closed:?}");
        let stuck = db.reopen_with(keys(9)).await.rotate_keys(at(7)).await;
        assert!(matches!(stuck, Err(Error::Broken(_))), "{stuck:?}");
        Ok(())
    }

    async fn more_data_keys_than_one_transaction_takes_are_rotated(db) {
        for _ in 0..120 {
            let tenant = db.system(async |tx| store::organisations::create(tx, "Clinic", at(0)).await).await?.id;
            seal(&db.store, tenant, 1).await?;
        }
        let store = db.reopen_with(Keyring::new([8; 32], Some([7; 32]))).await;
        assert_eq!(store.rotate_keys(at(1)).await?, Rotated { rewrapped: 120, already: 0 });
        Ok(())
    }

    async fn a_providers_key_is_written_and_used_and_not_shown(db) {
        let ours = db.tenant("+918037091588").await?.id;
        let theirs = db.tenant("+918037091589").await?.id;
        let id = keep(db, ours, "deepgram", CANARY).await?;
        let kept = db.read(ours, async |tx| provider_keys::get(tx, id).await).await?;
        assert_eq!((kept.last4.as_str(), kept.provider.as_str(), kept.label.as_str()), ("abcd", "deepgram", "ours"));
        assert_eq!(reveal(&db.store, ours, "deepgram").await?.as_deref(), Some(CANARY));
        assert_eq!(reveal(&db.store, ours, "openai").await?, None);
        assert_eq!(reveal(&db.store, theirs, "deepgram").await?, None);
        assert!(matches!(keep(db, ours, "deepgram", "another-key").await, Err(Error::Conflict(_))));
        keep(db, theirs, "deepgram", "their-own-key").await?;
        let other = SecretString::from("replaced-key-wxyz");
        let replaced = db.write(ours, async |tx| provider_keys::replace(tx, id, &other, at(9)).await).await?;
        assert_eq!((replaced.last4.as_str(), replaced.updated_at, replaced.created_at), ("wxyz", at(9), at(1)));
        assert_eq!(reveal(&db.store, ours, "deepgram").await?.as_deref(), Some("replaced-key-wxyz"));
        keep(db, ours, "openai", "12345678").await?;
        let page = PageRequest { limit: 1, after: None };
        let first = db.read(ours, async |tx| provider_keys::list(tx, page).await).await?;
        let rest = PageRequest { limit: 5, after: first.next };
        let second = db.read(ours, async |tx| provider_keys::list(tx, rest).await).await?;
        let providers: Vec<_> = first.items.iter().chain(&second.items).map(|key| key.provider.as_str()).collect();
        assert_eq!(providers.len(), 2);
        assert!(providers.contains(&"openai") && providers.contains(&"deepgram"));
        db.write(ours, async |tx| provider_keys::delete(tx, id).await).await?;
        assert!(matches!(db.write(ours, async |tx| provider_keys::delete(tx, id).await).await, Err(Error::NotFound)));
        assert_eq!(reveal(&db.store, ours, "deepgram").await?, None);
        for (length, good) in [(7, false), (8, true), (512, true), (513, false)] {
            let outcome = keep(db, ours, &format!("p{length}"), &"é".repeat(length)).await;
            assert_eq!(outcome.is_ok(), good, "{length}: {outcome:?}");
        }
        Ok(())
    }

    async fn a_row_swapped_between_tenants_does_not_open(db) {
        let ours = db.tenant("+918037091588").await?.id;
        let theirs = db.tenant("+918037091589").await?.id;
        keep(db, ours, "deepgram", CANARY).await?;
        keep(db, ours, "openai", CANARY).await?;
        keep(db, theirs, "deepgram", "their-own-key").await?;
        // The other tenant's row gets our ciphertext, and our second row that of the first.
        db.raw("update provider_keys set sealed = (select o.sealed from provider_keys o
            where o.provider = 'deepgram' and o.last4 = 'abcd') where last4 <> 'abcd' or provider = 'openai'").await;
        for (tenant, provider) in [(theirs, "deepgram"), (ours, "openai")] {
            let outcome = reveal(&db.store, tenant, provider).await;
            assert!(matches!(outcome, Err(Error::Broken(_))), "{outcome:?}");
        }
        // The data key as well.
        db.raw(format!(
            "update data_keys set wrapped = (select o.wrapped from data_keys o where o.tenant_id = {})",
            db.literal(ours)
        )).await;
        let outcome = reveal(&db.reopen().await, theirs, "deepgram").await;
        assert!(matches!(outcome, Err(Error::Broken(_))), "{outcome:?}");
        assert_eq!(reveal(&db.reopen().await, ours, "deepgram").await?.as_deref(), Some(CANARY));
        Ok(())
    }

    async fn a_jobs_sealed_part_is_opened_for_its_runner_and_goes_with_the_work(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        let secret = json!({ "code": CANARY });
        let new = job(Some(secret.clone()));
        assert!(!format!("{new:?}").contains("canary"));
        db.write(tenant, async |tx| jobs::enqueue(tx, &new, at(0)).await).await?;
        db.system(async |tx| jobs::enqueue(tx, &new, at(0)).await).await?;
        db.system(async |tx| jobs::enqueue(tx, &job(None), at(0)).await).await?;
        assert_eq!(db.number("select count(*) from jobs where sealed is not null").await, 2);
        let claimed = claim(db, 1).await?;
        let secrets: Vec<_> = claimed.iter().filter_map(|job| job.secret.as_ref()).collect();
        assert_eq!(secrets, [&secret, &secret]);
        assert!(!format!("{claimed:?}").contains("canary"));
        let listed = db.system(async |tx| jobs::list(tx, None, None, PageRequest::default()).await).await?;
        assert!(listed.items.iter().all(|job| job.secret.is_none()));
        for job in &claimed {
            assert!(db.system(async |tx| jobs::complete(tx, job.id, "a", at(2)).await).await?);
        }
        assert_eq!(db.number("select count(*) from jobs where sealed is not null").await, 0);
        Ok(())
    }

    async fn a_sealed_part_that_does_not_open_stops_its_job_only(db) {
        db.system(async |tx| jobs::enqueue(tx, &job(Some(json!({ "code": 1 }))), at(0)).await).await?;
        let broken = claim(db, 1).await?.remove(0).id;
        db.raw("update jobs set sealed = (select o.wrapped from data_keys o), state = 'queued', lease_owner = null,
            lease_until = null").await;
        db.system(async |tx| jobs::enqueue(tx, &job(Some(json!({ "code": 2 }))), at(0)).await).await?;
        let claimed = claim(db, 2).await?;
        assert_eq!(claimed.iter().map(|job| job.secret.clone()).collect::<Vec<_>>(), [Some(json!({ "code": 2 }))]);
        let dead = db.system(async |tx| jobs::get(tx, broken).await).await?;
        assert_eq!(dead.state, JobState::Dead);
        assert_eq!(dead.last_error.as_deref(), Some("its sealed part does not open"));
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_file_of_the_database_holds_a_secret() {
    let db = TestDatabase::sqlite().await;
    let tenant = db.tenant("+918037091588").await.expect("a tenant").id;
    keep(&db, tenant, "deepgram", CANARY).await.expect("kept");
    db.system(async |tx| jobs::enqueue(tx, &job(Some(json!({ "code": CANARY }))), at(0)).await).await.expect("a job");
    let path = std::path::Path::new(db.url.strip_prefix("sqlite://").expect("a path"));
    let mut bytes = 0;
    for entry in std::fs::read_dir(path.parent().expect("a folder")).expect("a folder") {
        let file = std::fs::read(entry.expect("an entry").path()).expect("a file");
        bytes += file.len();
        assert!(!file.windows(16).any(|window| window == &CANARY.as_bytes()[..16]));
        assert!(!file.windows(32).any(|window| window == [7; 32]), "the installation's key");
    }
    assert!(bytes > 100_000, "{bytes} bytes seen");
}
