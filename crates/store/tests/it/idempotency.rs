//! A repeated request has its effect once and is answered alike.

use crate::database::{TestDatabase, agent_config, at, both_databases};
use chrono::{DateTime, Utc};
use model::TenantId;
use serde_json::{Value, json};
use store::idempotency::{self, Begun, KEPT};
use store::{Error, PageRequest, Store, agents};

const ROUTE: &str = "POST /v1/agents";

/// What an edge does: the effect, and the answer beside it.
async fn request(
    store: Store,
    tenant: TenantId,
    key: String,
    hash: [u8; 32],
    now: DateTime<Utc>,
) -> Result<(Begun, u16, Value), Error> {
    store
        .write(tenant, "test.request", async |tx| {
            let begun = idempotency::begin(tx, ROUTE, &key, hash, now).await?;
            match &begun {
                Begun::First => {
                    let made = agents::create(tx, "Asha", &agent_config("Namaste"), now).await?.agent;
                    let body = json!({ "id": made.id.to_string(), "ratio": 1.5e300, "text": "\u{0} é" });
                    idempotency::finish(tx, ROUTE, &key, 201, &body).await?;
                    Ok((begun, 201, body))
                }
                Begun::Replay { status, body } => {
                    let (status, body) = (*status, body.clone());
                    Ok((begun, status, body))
                }
                Begun::OtherBody => Ok((begun, 422, Value::Null)),
            }
        })
        .await
}

async fn ask(db: &TestDatabase, tenant: TenantId, key: &str, hash: u8, now: i64) -> Result<(Begun, u16, Value), Error> {
    request(db.store.clone(), tenant, key.to_owned(), [hash; 32], at(now)).await
}

async fn agent_count(db: &TestDatabase, tenant: TenantId) -> Result<usize, Error> {
    Ok(db.read(tenant, async |tx| agents::list(tx, PageRequest::default()).await).await?.items.len())
}

both_databases! {
    async fn a_repetition_is_answered_alike(db) {
        let ours = db.tenant("+918037091588").await?.id;
        let theirs = db.tenant("+918037091589").await?.id;
        let (first, status, body) = ask(db, ours, "k", 1, 0).await?;
        assert_eq!((first, status), (Begun::First, 201));
        let (again, ..) = ask(db, ours, "k", 1, 10).await?;
        assert_eq!(again, Begun::Replay { status: 201, body });
        assert_eq!(ask(db, ours, "k", 2, 10).await?.0, Begun::OtherBody);
        assert_eq!(ask(db, ours, "k2", 1, 10).await?.0, Begun::First, "another key");
        assert_eq!(ask(db, theirs, "k", 1, 10).await?.0, Begun::First, "another tenant");
        let other_route =
            db.write(ours, async |tx| idempotency::begin(tx, "POST /v1/calls", "k", [1; 32], at(10)).await).await;
        assert_eq!(other_route?, Begun::First);
        assert_eq!((agent_count(db, ours).await?, agent_count(db, theirs).await?), (3, 2));
        Ok(())
    }

    async fn twenty_at_once_have_one_effect(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..20 {
            tasks.spawn(request(db.store.clone(), tenant, "same".to_owned(), [1; 32], at(0)));
        }
        let (mut firsts, mut bodies) = (0, Vec::new());
        while let Some(done) = tasks.join_next().await {
            let (begun, status, body) = done??;
            assert_eq!(status, 201);
            firsts += i32::from(begun == Begun::First);
            bodies.push(body);
        }
        assert_eq!((firsts, bodies.len()), (1, 20));
        assert!(bodies.iter().all(|body| *body == bodies[0]));
        assert_eq!(agent_count(db, tenant).await?, 2);
        Ok(())
    }

    async fn what_failed_leaves_no_answer(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        let failed: Result<(), Error> = db
            .write(tenant, async |tx| {
                assert_eq!(idempotency::begin(tx, ROUTE, "k", [1; 32], at(0)).await?, Begun::First);
                idempotency::finish(tx, ROUTE, "k", 201, &json!({})).await?;
                Err(Error::Busy)
            })
            .await;
        assert!(matches!(failed, Err(Error::Busy)));
        assert_eq!(ask(db, tenant, "k", 1, 1).await?.0, Begun::First);
        Ok(())
    }

    async fn an_answer_is_kept_for_a_day(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        let day = KEPT.num_seconds();
        ask(db, tenant, "k", 1, 0).await?;
        assert!(matches!(ask(db, tenant, "k", 1, day - 1).await?.0, Begun::Replay { .. }));
        assert_eq!(ask(db, tenant, "k", 2, day).await?.0, Begun::First, "the key is free again");
        assert_eq!(ask(db, tenant, "k", 1, day + 1).await?.0, Begun::OtherBody);
        assert_eq!(db.system(async |tx| idempotency::purge(tx, at(day)).await).await?, 0);
        assert_eq!(db.system(async |tx| idempotency::purge(tx, at(day + 1)).await).await?, 1);
        assert_eq!(ask(db, tenant, "k", 1, day + 2).await?.0, Begun::First);
        Ok(())
    }

    async fn keys_have_a_length_and_answers_a_beginning(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        for (key, good) in [
            (String::new(), false),
            ("k".to_owned(), true),
            ("é".repeat(255), true),
            ("é".repeat(256), false),
            ("a\0b".to_owned(), false),
        ] {
            let outcome = ask(db, tenant, &key, 1, 0).await;
            assert_eq!(outcome.is_ok(), good, "{key:?}: {outcome:?}");
            assert!(good || matches!(outcome, Err(Error::Conflict(_))), "{key:?}");
        }
        let unbegun = db.write(tenant, async |tx| idempotency::finish(tx, ROUTE, "x", 200, &json!(1)).await).await;
        assert!(matches!(unbegun, Err(Error::NotFound)));
        let twice = db.write(tenant, async |tx| idempotency::finish(tx, ROUTE, "k", 200, &json!(1)).await).await;
        assert!(matches!(twice, Err(Error::NotFound)), "an answer is not written over");
        // A unit of work that forgets its answer: the effect must not happen a second time.
        db.write(tenant, async |tx| idempotency::begin(tx, ROUTE, "lost", [1; 32], at(0)).await).await?;
        let lost = ask(db, tenant, "lost", 1, 1).await;
        assert!(matches!(lost, Err(Error::Conflict(_))), "{lost:?}");
        Ok(())
    }
}
