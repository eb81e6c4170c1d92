//! Units of work: all or nothing.

use crate::database::{Tenant, TestDatabase, agent_config, at, both_databases, object, owner};
use store::jobs::{JobState, NewJob};
use store::{Error, PageRequest, Store, agents, calls, jobs, organisations};

/// An error of a caller, as a handler would have.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("refused")]
    Refused,
    #[error(transparent)]
    Store(Error),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

async fn agent_names(db: &TestDatabase, tenant: &Tenant) -> Result<Vec<String>, Error> {
    let page = db.read(tenant.id, async |tx| agents::list(tx, PageRequest::default()).await).await?;
    Ok(page.items.into_iter().map(|stored| stored.agent.name).collect())
}

fn assert_send<F: Future + Send + 'static>(future: F) -> F {
    future
}

/// As a handler uses it: borrowed arguments, own error, spawned on any thread.
async fn handler(store: Store, tenant: model::TenantId, name: String) -> Result<model::AgentId, Problem> {
    let config = agent_config("Hello");
    store
        .write(tenant, "test.handler", async |tx| {
            let stored = agents::create(tx, &name, &config, at(1)).await?;
            if stored.agent.name.is_empty() {
                return Err(Problem::Refused);
            }
            Ok(stored.agent.id)
        })
        .await
}

both_databases! {
    async fn work_can_be_spawned_and_boxed(db) {
        let tenant = db.tenant("+918037091588").await?;
        let done = tokio::spawn(assert_send(handler(db.store.clone(), tenant.id, "Ravi".to_owned()))).await?;
        assert!(done.is_ok(), "{done:?}");
        let boxed: std::pin::Pin<Box<dyn Future<Output = Result<model::AgentId, Problem>> + Send>> =
            Box::pin(handler(db.store.clone(), tenant.id, String::new()));
        assert!(matches!(boxed.await, Err(Problem::Refused)));
        assert_eq!(agent_names(db, &tenant).await?, ["Ravi", "Asha"], "the refused one was rolled back");
        Ok(())
    }

    async fn an_error_rolls_back(db) {
        let tenant = db.tenant("+918037091588").await?;
        let outcome: Result<(), Error> = db
            .write(tenant.id, async |tx| {
                agents::create(tx, "Lost", &agent_config("x"), at(1)).await?;
                Err(Error::Conflict("changed my mind"))
            })
            .await;
        assert!(matches!(outcome, Err(Error::Conflict("changed my mind"))));
        assert_eq!(agent_names(db, &tenant).await?, ["Asha"]);
        Ok(())
    }

    async fn dropped_work_rolls_back(db) {
        let tenant = db.tenant("+918037091588").await?;
        let (store, id) = (db.store.clone(), tenant.id);
        let (written, seen) = tokio::sync::oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            store
                .write(id, "test.dropped", async |tx| -> Result<(), Error> {
                    agents::create(tx, "Lost", &agent_config("x"), at(1)).await?;
                    let _ = written.send(());
                    std::future::pending().await
                })
                .await
        });
        seen.await?;
        task.abort();
        assert!(task.await.expect_err("aborted").is_cancelled());
        assert_eq!(agent_names(db, &tenant).await?, ["Asha"]);
        // And the connection is free for the next.
        handler(db.store.clone(), tenant.id, "Next".to_owned()).await?;
        Ok(())
    }

    async fn panicking_work_rolls_back(db) {
        let tenant = db.tenant("+918037091588").await?;
        let (store, id) = (db.store.clone(), tenant.id);
        let task = tokio::spawn(async move {
            store
                .write(id, "test.panic", async |tx| -> Result<(), Error> {
                    agents::create(tx, "Lost", &agent_config("x"), at(1)).await?;
                    panic!("on purpose")
                })
                .await
        });
        assert!(task.await.expect_err("panicked").is_panic());
        assert_eq!(agent_names(db, &tenant).await?, ["Asha"]);
        Ok(())
    }

    /// PostgreSQL would answer COMMIT after a failed statement with a silent rollback.
    async fn a_failed_statement_cannot_be_ignored(db) {
        let tenant = db.tenant("+918037091588").await?;
        let number = tenant.number.clone();
        let outcome = db
            .write(tenant.id, async |tx| {
                agents::create(tx, "Lost", &agent_config("x"), at(1)).await?;
                let new = store::phone_numbers::NewPhoneNumber {
                    carrier: number.carrier,
                    number: number.number.clone(),
                    agent: number.agent,
                    path_token_hash: None,
                };
                let refused = store::phone_numbers::create(tx, &new, at(1)).await;
                assert!(matches!(refused, Err(Error::Conflict(_))));
                Ok(())
            })
            .await;
        assert!(matches!(outcome, Err(Error::Broken(_))), "{outcome:?}");
        assert_eq!(agent_names(db, &tenant).await?, ["Asha"]);
        Ok(())
    }

    async fn reading_work_cannot_write(db) {
        let tenant = db.tenant("+918037091588").await?;
        let outcome = db
            .read(tenant.id, async |tx| agents::create(tx, "Lost", &agent_config("x"), at(1)).await)
            .await;
        assert!(outcome.is_err());
        assert_eq!(agent_names(db, &tenant).await?, ["Asha"]);
        Ok(())
    }

    async fn reads_are_of_one_moment(db) {
        let tenant = db.tenant("+918037091588").await?;
        let (first, second) = db
            .read(tenant.id, async |tx| {
                let first = agents::list(tx, PageRequest::default()).await?.items.len();
                let added = handler(db.store.clone(), tenant.id, "Meanwhile".to_owned()).await;
                assert!(added.is_ok());
                Ok((first, agents::list(tx, PageRequest::default()).await?.items.len()))
            })
            .await?;
        assert_eq!((first, second), (1, 1));
        assert_eq!(agent_names(db, &tenant).await?.len(), 2);
        Ok(())
    }

    async fn a_change_and_its_job_live_and_die_together(db) {
        let tenant = db.tenant("+918037091588").await?;
        let call = db.call(&tenant, "sid-1", at(1)).await?;
        let job = NewJob {
            queue: "default",
            name: "summarise",
            dedup_key: Some(call.id.to_string()),
            payload: object(serde_json::json!({})),
            sealed: None,
            attempts_max: 3,
            run_at: at(1),
        };
        for (keep, want) in [(false, 0), (true, 1)] {
            let _: Result<(), Error> = db
                .write(tenant.id, async |tx| {
                    calls::begin_media(tx, call.id, &owner("a", 1), at(2), chrono::Duration::seconds(30)).await?;
                    jobs::enqueue(tx, &job, at(2)).await?;
                    if keep { Ok(()) } else { Err(Error::Busy) }
                })
                .await;
            let queued = db
                .system(async |tx| jobs::list(tx, Some(JobState::Queued), None, PageRequest::default()).await)
                .await?;
            assert_eq!(queued.items.len(), want);
            assert_eq!(db.get_call(&tenant, call.id).await?.started_at.is_some(), keep);
        }
        Ok(())
    }

    async fn times_are_kept_to_the_microsecond(db) {
        let now = at(0) + chrono::Duration::nanoseconds(123_456_789);
        let made = db.system(async |tx| organisations::create(tx, "Clock", now).await).await?;
        assert_eq!(made.created_at, at(0) + chrono::Duration::microseconds(123_456));
        let read = db.system(async |tx| organisations::get(tx, made.id).await).await?;
        assert_eq!(read, made);
        Ok(())
    }

    async fn many_writers_all_succeed(db) {
        let tenant = db.tenant("+918037091588").await?;
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..40 {
            tasks.spawn(handler(db.store.clone(), tenant.id, format!("Agent {n}")));
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        assert_eq!(agent_names(db, &tenant).await?.len(), 41);
        Ok(())
    }

    async fn too_long_a_wait_is_busy(db) {
        let tenant = db.tenant("+918037091588").await?;
        let call = db.call(&tenant, "sid-1", at(0)).await?.id;
        let short = std::time::Duration::from_millis(200);
        let impatient = store::StoreConfig {
            acquire_timeout: short,
            statement_timeout: short,
            ..crate::database::config(&db.url)
        };
        let store = Store::open(&impatient).await?;
        // SQLite has one writer: no connection. PostgreSQL has another, which waits for the row.
        let inner: Result<(), Error> = store
            .write(tenant.id, "test.outer", async |tx| {
                calls::set_summary(tx, call, "first").await?;
                let second = store
                    .write::<_, Error, _>(tenant.id, "test.inner", async |tx| calls::set_summary(tx, call, "second").await)
                    .await;
                assert!(second.as_ref().is_err_and(Error::is_transient), "{second:?}");
                assert!(matches!(second, Err(Error::Busy)), "{second:?}");
                Ok(())
            })
            .await;
        inner?;
        assert_eq!(db.get_call(&tenant, call).await?.summary.as_deref(), Some("first"));
        store.close().await;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_server_connection_is_unavailable_and_then_replaced_postgres() {
    const HANG_UP: &str = "select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()";
    let Some(db) = TestDatabase::postgres().await else { return };
    let tenant = db.tenant("+918037091588").await.expect("a tenant");
    let outcome: Result<(), Error> = db
        .write(tenant.id, async |tx| {
            agents::create(tx, "Lost", &agent_config("x"), at(1)).await?;
            db.raw(HANG_UP).await;
            agents::create(tx, "Lost too", &agent_config("x"), at(1)).await.map(|_| ())
        })
        .await;
    assert!(matches!(outcome, Err(Error::Unavailable)), "{outcome:?}");
    db.raw(HANG_UP).await;
    assert_eq!(agent_names(&db, &tenant).await.expect("reconnected"), ["Asha"]);
    db.remove().await;
}
