//! Jobs as a tenant's people see them, jobs that wait, and those of a node that starts again.

use crate::database::{TestDatabase, at, both_databases, object};
use chrono::{DateTime, Duration};
use model::{JobId, TenantId};
use serde_json::json;
use std::collections::BTreeSet;
use store::jobs::{self, Enqueued, Job, JobState, NewJob};
use store::{Error, PageRequest};

const LEASE: Duration = Duration::seconds(30);

fn new_job(name: &'static str) -> NewJob<'static> {
    NewJob {
        queue: "default",
        name,
        dedup_key: None,
        payload: object(json!({})),
        sealed: None,
        attempts_max: 3,
        run_at: at(0),
    }
}

async fn enqueue(db: &TestDatabase, tenant: TenantId, new: &NewJob<'_>, now: i64) -> Result<JobId, Error> {
    match db.write(tenant, async |tx| jobs::enqueue(tx, new, at(now)).await).await? {
        Enqueued::New(id) | Enqueued::Existing(id) => Ok(id),
    }
}

async fn claim(db: &TestDatabase, owner: &str, now: i64) -> Result<Vec<Job>, Error> {
    db.system(async |tx| jobs::claim(tx, &["default"], owner, at(now), LEASE, 100).await).await
}

/// One that was given up.
async fn dead(db: &TestDatabase, tenant: TenantId, new: &NewJob<'_>, now: i64) -> Result<JobId, Error> {
    let id = enqueue(db, tenant, new, now).await?;
    claim(db, "a", now).await?;
    assert!(db.system(async |tx| jobs::dead(tx, id, "a", "broken", at(now)).await).await?);
    Ok(id)
}

async fn list(
    db: &TestDatabase,
    tenant: TenantId,
    state: Option<JobState>,
    name: Option<&str>,
) -> Result<Vec<JobId>, Error> {
    let page = db.read(tenant, async |tx| jobs::list_own(tx, state, name, PageRequest::default()).await).await?;
    Ok(page.items.into_iter().map(|job| job.id).collect())
}

async fn get(db: &TestDatabase, tenant: TenantId, id: JobId) -> Result<Job, Error> {
    db.read(tenant, async |tx| jobs::get_own(tx, id).await).await
}

both_databases! {
    async fn what_waits_by_a_schedule_waits_anew_when_it_is_tried_again(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        for (name, want) in [
            (store::recordings::FETCH_JOB, json!({ "about": 1, "since": "1970-01-01T00:00:00+00:00" })),
            ("clean", json!({ "about": 1, "tries": 7 })),
        ] {
            let payload = object(json!({ "about": 1, "tries": 7 }));
            let id = dead(db, tenant, &NewJob { payload, ..new_job(name) }, 0).await?;
            let now = DateTime::UNIX_EPOCH;
            let again = db.write(tenant, async |tx| jobs::requeue_own(tx, id, now).await).await?;
            assert_eq!(again.payload, want, "{name}");
            let changed = object(json!({ "about": 2 }));
            assert!(db.write(tenant, async |tx| jobs::amend(tx, id, changed).await).await?);
            assert_eq!(get(db, tenant, id).await?.payload, json!({ "about": 2 }), "{name}");
        }
        Ok(())
    }

    async fn a_tenant_sees_its_own_jobs(db) {
        let ours = db.tenant("+918037091588").await?.id;
        let theirs = db.tenant("+918037091589").await?.id;
        let given_up = dead(db, ours, &new_job("send"), 1).await?;
        let first = enqueue(db, ours, &new_job("fetch"), 2).await?;
        let second = enqueue(db, ours, &new_job("send"), 3).await?;
        let other = enqueue(db, theirs, &new_job("send"), 4).await?;
        let houses = new_job("send");
        let Enqueued::New(houses) = db.system(async |tx| jobs::enqueue(tx, &houses, at(5)).await).await? else {
            panic!("new")
        };
        assert_eq!(list(db, ours, None, None).await?, [second, first, given_up]);
        assert_eq!(list(db, ours, Some(JobState::Dead), None).await?, [given_up]);
        assert_eq!(list(db, ours, Some(JobState::Queued), None).await?, [second, first]);
        assert_eq!(list(db, ours, None, Some("send")).await?, [second, given_up]);
        assert_eq!(list(db, ours, Some(JobState::Dead), Some("fetch")).await?, []);
        assert_eq!(list(db, ours, Some(JobState::Queued), Some("fetch")).await?, [first]);
        assert_eq!(list(db, theirs, None, None).await?, [other]);
        for id in [other, houses] {
            let hidden = get(db, ours, id).await;
            assert!(matches!(hidden, Err(Error::NotFound)), "{hidden:?}");
        }
        let shown = get(db, ours, given_up).await?;
        assert_eq!((shown.state, shown.last_error.as_deref()), (JobState::Dead, Some("broken")));
        let page = PageRequest { limit: 1, after: None };
        let page = db.read(ours, async |tx| jobs::list_own(tx, None, None, page).await).await?;
        let rest = PageRequest { limit: 9, after: page.next };
        let rest = db.read(ours, async |tx| jobs::list_own(tx, None, None, rest).await).await?;
        assert_eq!(rest.items.iter().map(|job| job.id).collect::<Vec<_>>(), [first, given_up]);
        Ok(())
    }

    async fn a_sealed_part_is_shown_to_nobody_and_survives_another_try(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        let secret = json!({ "code": "canary" });
        let id = dead(db, tenant, &NewJob { sealed: Some(secret.clone()), ..new_job("send") }, 1).await?;
        assert_eq!(get(db, tenant, id).await?.secret, None);
        let listed = db
            .read(tenant, async |tx| jobs::list_own(tx, None, None, PageRequest::default()).await)
            .await?;
        assert!(listed.items.iter().all(|job| job.secret.is_none()));
        let requeued = db.write(tenant, async |tx| jobs::requeue_own(tx, id, at(9)).await).await?;
        assert_eq!(requeued.secret, None);
        assert_eq!(claim(db, "a", 9).await?[0].secret.as_ref(), Some(&secret));
        Ok(())
    }

    async fn only_ones_own_dead_jobs_are_run_again(db) {
        let ours = db.tenant("+918037091588").await?.id;
        let theirs = db.tenant("+918037091589").await?.id;
        let requeue = async |tenant: TenantId, id: JobId| {
            db.write(tenant, async |tx| jobs::requeue_own(tx, id, at(100)).await).await
        };
        let keyed = NewJob { dedup_key: Some("k".to_owned()), ..new_job("send") };
        let id = dead(db, ours, &keyed, 1).await?;
        let stranger = requeue(theirs, id).await;
        assert!(matches!(stranger, Err(Error::NotFound)), "{stranger:?}");
        let again = requeue(ours, id).await?;
        assert_eq!((again.id, again.state, again.attempts, again.run_at), (id, JobState::Queued, 0, at(100)));
        let queued = requeue(ours, id).await;
        assert!(matches!(queued, Err(Error::Conflict(_))), "{queued:?}");
        assert_eq!(claim(db, "a", 100).await?[0].attempts, 1);
        let running = requeue(ours, id).await;
        assert!(matches!(running, Err(Error::Conflict(_))), "{running:?}");
        db.system(async |tx| jobs::dead(tx, id, "a", "broken", at(101)).await).await?;
        assert_ne!(enqueue(db, ours, &keyed, 102).await?, id);
        let beside = requeue(ours, id).await;
        assert!(matches!(beside, Err(Error::Conflict(_))), "{beside:?}");
        Ok(())
    }

    async fn only_ones_own_dead_jobs_are_discarded_and_kept_a_while(db) {
        let ours = db.tenant("+918037091588").await?.id;
        let theirs = db.tenant("+918037091589").await?.id;
        let discard = async |tenant: TenantId, id: JobId| {
            db.write(tenant, async |tx| jobs::discard_own(tx, id, at(100)).await).await
        };
        let id = dead(db, ours, &NewJob { sealed: Some(json!({ "code": 1 })), ..new_job("send") }, 1).await?;
        let waiting = enqueue(db, ours, &new_job("send"), 2).await?;
        let early = discard(ours, waiting).await;
        assert!(matches!(early, Err(Error::Conflict(_))), "{early:?}");
        let stranger = discard(theirs, id).await;
        assert!(matches!(stranger, Err(Error::NotFound)), "{stranger:?}");
        let gone = discard(ours, id).await?;
        assert_eq!((gone.id, gone.state, gone.updated_at), (id, JobState::Discarded, at(100)));
        assert_eq!(db.number("select count(*) from jobs where sealed is not null").await, 0);
        let twice = discard(ours, id).await;
        assert!(matches!(twice, Err(Error::Conflict(_))), "{twice:?}");
        let back = db.write(ours, async |tx| jobs::requeue_own(tx, id, at(101)).await).await;
        assert!(matches!(back, Err(Error::Conflict(_))), "{back:?}");
        assert_eq!(list(db, ours, Some(JobState::Dead), None).await?, []);
        assert_eq!(list(db, ours, Some(JobState::Discarded), None).await?, [id]);
        assert_eq!(db.system(async |tx| jobs::purge(tx, at(100)).await).await?, 0);
        assert_eq!(db.system(async |tx| jobs::purge(tx, at(101)).await).await?, 1);
        assert_eq!(list(db, ours, None, None).await?, [waiting]);
        Ok(())
    }

    async fn waiting_costs_no_attempt(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        let id = enqueue(db, tenant, &NewJob { attempts_max: 2, ..new_job("fetch") }, 0).await?;
        for round in 0..10 {
            let now = round * 100;
            assert_eq!(claim(db, "a", now).await?[0].attempts, 1, "round {round}");
            let wait = async |owner: &str| {
                db.system(async |tx| jobs::wait(tx, id, owner, "no file yet", at(now + 50), at(now)).await).await
            };
            assert!(!wait("b").await?, "somebody else's");
            assert!(wait("a").await?);
            assert!(!wait("a").await?, "the lease is gone");
            let job = get(db, tenant, id).await?;
            assert_eq!((job.state, job.attempts, job.run_at), (JobState::Queued, 0, at(now + 50)));
            assert_eq!((job.last_error.as_deref(), job.lease_owner), (Some("no file yet"), None));
            assert_eq!(claim(db, "a", now + 49).await?, [], "not before its time");
        }
        // An attempt that failed counts as ever.
        for (now, left) in [(2_000, JobState::Queued), (2_100, JobState::Dead)] {
            claim(db, "a", now).await?;
            let state = db.system(async |tx| jobs::retry(tx, id, "a", "no", at(now + 1), at(now)).await).await?;
            assert_eq!(state, Some(left));
        }
        Ok(())
    }

    async fn a_tenants_transaction_makes_its_own_jobs_wait_only(db) {
        let ours = db.tenant("+918037091588").await?.id;
        let theirs = db.tenant("+918037091589").await?.id;
        let id = enqueue(db, ours, &new_job("fetch"), 0).await?;
        claim(db, "a", 1).await?;
        let wait = async |tenant: TenantId| {
            db.write(tenant, async |tx| jobs::wait(tx, id, "a", "later", at(9), at(1)).await).await
        };
        assert!(!wait(theirs).await?);
        assert!(wait(ours).await?);
        Ok(())
    }

    async fn a_node_that_starts_again_takes_up_its_jobs_at_once(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        let mut ids = Vec::new();
        for owner in ["node-1/r1/0", "node-1/r1/1", "node-10/r1/0", "node_1/r1/0", "NODE-1/r1/0", "x/node-1/0"] {
            let id = enqueue(db, tenant, &new_job("fetch"), 0).await?;
            assert_eq!(claim(db, owner, 0).await?.iter().map(|job| job.id).collect::<Vec<_>>(), [id]);
            ids.push(id);
        }
        let queued = enqueue(db, tenant, &NewJob { run_at: at(500), ..new_job("fetch") }, 0).await?;
        let last = enqueue(db, tenant, &NewJob { attempts_max: 1, ..new_job("fetch") }, 0).await?;
        claim(db, "node-1/r1/2", 0).await?;
        assert_eq!(claim(db, "node-1/r2/0", 2).await?, [], "leases hold");
        let release = async |prefix: &str| db.system(async |tx| jobs::release_node(tx, prefix, at(2)).await).await;
        assert_eq!(release("node-1/").await?, 3);
        assert_eq!(release("node-1/").await?, 0, "nothing left to release");
        let taken: BTreeSet<_> = claim(db, "node-1/r2/0", 2).await?.iter().map(|job| job.id).collect();
        assert_eq!(taken, ids[..2].iter().copied().collect());
        assert_eq!(get(db, tenant, last).await?.state, JobState::Dead, "it had no attempt left");
        assert_eq!(get(db, tenant, queued).await?.run_at, at(500));
        // What the earlier run still does has no effect.
        assert!(!db.system(async |tx| jobs::complete(tx, ids[0], "node-1/r1/0", at(3)).await).await?);
        assert!(db.system(async |tx| jobs::complete(tx, ids[0], "node-1/r2/0", at(3)).await).await?);
        assert!(db.system(async |tx| jobs::complete(tx, ids[2], "node-10/r1/0", at(3)).await).await?);
        Ok(())
    }

    async fn jobs_are_counted_by_name(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        for (name, now) in [("send", 3), ("fetch", 1), ("send", 2)] {
            enqueue(db, tenant, &NewJob { run_at: at(now), ..new_job(name) }, 0).await?;
        }
        dead(db, tenant, &NewJob { queue: "default", run_at: at(0), ..new_job("clean") }, 0).await?;
        let counts = db.system(async |tx| jobs::counts(tx).await).await?;
        let seen: Vec<_> = counts.iter().map(|c| (c.name.as_str(), c.state, c.count, c.oldest_run_at)).collect();
        assert_eq!(
            seen,
            [
                ("clean", JobState::Dead, 1, at(0)),
                ("fetch", JobState::Queued, 1, at(1)),
                ("send", JobState::Queued, 2, at(2)),
            ],
        );
        Ok(())
    }
}
