//! Steps forth and back.

use crate::database::{TestDatabase, at, both_databases};
use store::{MigrateError, MigrationState, Store, phone_numbers};

async fn up_down_up(db: &TestDatabase) {
    let store = &db.store;
    let steps = store.migrate_status().await.expect("status");
    assert!(steps.iter().all(|step| step.state == MigrationState::Pending));
    assert!(matches!(store.migrate_check().await, Err(MigrateError::Pending { .. })));
    assert_eq!(store.migrate_up(at(0)).await.expect("up"), steps.len());
    assert_eq!(store.migrate_up(at(1)).await.expect("again"), 0);
    store.migrate_check().await.expect("current");
    let status = store.migrate_status().await.expect("status");
    assert!(status.iter().all(|step| step.state == MigrationState::Applied { at: at(0) }), "{status:?}");
    assert_eq!(store.migrate_down(0).await.expect("down"), steps.len());
    assert!(store.check_statements().await.is_err(), "tables are left");
    assert_eq!(store.migrate_up(at(2)).await.expect("up again"), steps.len());
    store.check_statements().await.expect("fits");
}

async fn started_together(db: &TestDatabase) {
    let mut starts = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let store: Store = db.reopen().await;
        starts.spawn(async move { store.migrate_up(at(0)).await });
    }
    let mut steps = 0;
    while let Some(done) = starts.join_next().await {
        steps += done.expect("no panic").expect("migrated");
    }
    assert_eq!(steps, db.store.migrate_status().await.expect("status").len());
}

#[tokio::test(flavor = "multi_thread")]
async fn up_down_up_sqlite() {
    up_down_up(&TestDatabase::sqlite_empty().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn up_down_up_postgres() {
    if let Some(db) = TestDatabase::postgres_empty().await {
        up_down_up(&db).await;
        db.remove().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_processes_start_together_sqlite() {
    started_together(&TestDatabase::sqlite_empty().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_processes_start_together_postgres() {
    if let Some(db) = TestDatabase::postgres_empty().await {
        started_together(&db).await;
        db.remove().await;
    }
}

both_databases! {
    async fn an_altered_step_is_refused(db) {
        // A blob without a literal that only one of the two understands: the hash of a token.
        let tenant = db.tenant("+918037091588").await?;
        let number = tenant.number.id;
        db.write(tenant.id, async |tx| phone_numbers::set_path_token(tx, number, Some([7; 32])).await).await?;
        db.raw("update schema_migrations set checksum = (select path_token_hash from phone_numbers)").await;
        assert!(matches!(db.store.migrate_up(at(1)).await, Err(MigrateError::Altered { version: 1, .. })));
        assert!(matches!(db.store.migrate_down(0).await, Err(MigrateError::Altered { .. })));
        assert!(matches!(db.store.migrate_check().await, Err(MigrateError::Altered { .. })));
        assert_eq!(db.store.migrate_status().await?[0].state, MigrationState::Altered);
        Ok(())
    }

    async fn a_newer_schema_is_refused(db) {
        db.raw("insert into schema_migrations (version, name, checksum, applied_at)
                select 9999, '9999_future', checksum, applied_at from schema_migrations where version = 1").await;
        for refused in [
            db.store.migrate_up(at(1)).await.map(|_| ()),
            db.store.migrate_down(0).await.map(|_| ()),
            db.store.migrate_check().await,
        ] {
            let error = refused.expect_err("refused");
            assert!(matches!(error, MigrateError::Unknown { version: 9999, .. }), "{error}");
            assert!(error.to_string().contains("9999_future"), "{error}");
        }
        let status = db.store.migrate_status().await?;
        assert_eq!(status.last().map(|step| step.state), Some(MigrationState::Unknown));
        Ok(())
    }

    async fn there_is_no_way_to_an_unknown_version(db) {
        assert!(matches!(db.store.migrate_down(7777).await, Err(MigrateError::NoSuchVersion(7777))));
        db.store.migrate_check().await?;
        Ok(())
    }

    async fn a_failing_step_is_rolled_back_whole(db) {
        // The way back drops organisations last; what still refers to it makes that fail, after ten tables are gone.
        db.raw("create table outsider (id uuid not null references organisations (id))").await;
        let tenant = db.tenant("+918037091588").await?;
        db.raw("insert into outsider select id from organisations").await;
        let error = db.store.migrate_down(0).await.expect_err("fails");
        assert!(matches!(error, MigrateError::Failed { name: "0001_calls", .. }), "{error}");
        // The steps after it went back one by one, and come again.
        let status = db.store.migrate_status().await?;
        assert_eq!(status.iter().filter(|step| step.state != MigrationState::Pending).count(), 1);
        assert_eq!(db.store.migrate_up(at(1)).await?, status.len() - 1);
        db.store.migrate_check().await?;
        db.call(&tenant, "sid-1", at(1)).await?;
        Ok(())
    }
}
