//! Jobs: each claimed by one runner at a time, and a lost lease binds nobody.

use crate::database::{TestDatabase, at, both_databases, object};
use chrono::Duration;
use model::JobId;
use std::collections::BTreeSet;
use store::jobs::{self, Enqueued, Job, JobState, NewJob, QUEUES_MAX};
use store::{Error, PageRequest};

const LEASE: Duration = Duration::seconds(30);

fn new_job(name: &'static str, run_at: i64) -> NewJob<'static> {
    NewJob {
        queue: "default",
        name,
        dedup_key: None,
        payload: object(serde_json::json!({ "n": run_at })),
        sealed: None,
        attempts_max: 3,
        run_at: at(run_at),
    }
}

async fn enqueue(db: &TestDatabase, new: &NewJob<'_>) -> Result<JobId, Error> {
    match db.system(async |tx| jobs::enqueue(tx, new, at(0)).await).await? {
        Enqueued::New(id) | Enqueued::Existing(id) => Ok(id),
    }
}

async fn claim(db: &TestDatabase, owner: &str, now: i64, limit: u32) -> Result<Vec<Job>, Error> {
    db.system(async |tx| jobs::claim(tx, &["default"], owner, at(now), LEASE, limit).await).await
}

async fn get(db: &TestDatabase, id: JobId) -> Result<Job, Error> {
    db.system(async |tx| jobs::get(tx, id).await).await
}

both_databases! {
    async fn due_jobs_are_claimed_oldest_first(db) {
        for run_at in [30, 10, 20, 999] {
            enqueue(db, &new_job("work", run_at)).await?;
        }
        enqueue(db, &NewJob { queue: "other", ..new_job("work", 0) }).await?;
        let claimed = claim(db, "a", 50, 10).await?;
        let times: Vec<_> = claimed.iter().map(|job| job.run_at).collect();
        assert_eq!(times, [at(10), at(20), at(30)]);
        let first = &claimed[0];
        assert_eq!((first.state, first.attempts, first.lease_owner.as_deref()), (JobState::Running, 1, Some("a")));
        assert_eq!((first.lease_until, &first.payload), (Some(at(80)), &serde_json::json!({ "n": 10 })));
        assert_eq!(claim(db, "b", 50, 10).await?, []);
        Ok(())
    }

    async fn several_queues_in_one_claim(db) {
        for queue in ["one", "two", "three"] {
            enqueue(db, &NewJob { queue, ..new_job("work", 0) }).await?;
        }
        let claimed =
            db.system(async |tx| jobs::claim(tx, &["three", "one"], "a", at(1), LEASE, 10).await).await?;
        let queues: BTreeSet<_> = claimed.iter().map(|job| job.queue.as_str()).collect();
        assert_eq!(queues, BTreeSet::from(["one", "three"]));
        assert_eq!(db.system(async |tx| jobs::claim(tx, &[], "a", at(1), LEASE, 10).await).await?, []);
        let many = vec!["x"; QUEUES_MAX + 1];
        let refused = db.system(async |tx| jobs::claim(tx, &many, "a", at(1), LEASE, 10).await).await;
        assert!(matches!(refused, Err(Error::Conflict(_))));
        Ok(())
    }

    async fn eight_runners_claim_500_jobs_once_each(db) {
        let template = new_job("work", 0);
        db.system(async |tx| {
            for _ in 0..500 {
                jobs::enqueue(tx, &template, at(0)).await?;
            }
            Ok(())
        })
        .await?;
        let mut runners = tokio::task::JoinSet::new();
        for runner in 0..8 {
            let store = db.store.clone();
            runners.spawn(async move {
                let owner = format!("runner-{runner}");
                let mut mine: Vec<JobId> = Vec::new();
                loop {
                    let jobs: Vec<Job> = store
                        .system::<_, Error, _>("test.claim", async |tx| {
                            jobs::claim(tx, &["default"], &owner, at(1), LEASE, 7).await
                        })
                        .await?;
                    if jobs.is_empty() {
                        return Ok::<_, Error>(mine);
                    }
                    for job in jobs {
                        let done = store
                            .system::<_, Error, _>("test.complete", async |tx| {
                                jobs::complete(tx, job.id, &owner, at(2)).await
                            })
                            .await?;
                        assert!(done);
                        mine.push(job.id);
                    }
                }
            });
        }
        let mut all = Vec::new();
        while let Some(mine) = runners.join_next().await {
            all.extend(mine??);
        }
        assert_eq!(all.len(), 500);
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 500);
        let counts = db.system(async |tx| jobs::counts(tx).await).await?;
        assert_eq!(counts.iter().map(|c| (c.state, c.count)).collect::<Vec<_>>(), [(JobState::Done, 500)]);
        Ok(())
    }

    async fn an_unfinished_job_is_enqueued_once_per_key(db) {
        let new = NewJob { dedup_key: Some("call-1".to_owned()), ..new_job("summarise", 0) };
        let first = enqueue(db, &new).await?;
        let again = db.system(async |tx| jobs::enqueue(tx, &new, at(1)).await).await?;
        assert_eq!(again, Enqueued::Existing(first));
        let other_name = NewJob { name: "analyse", ..new.clone() };
        assert_ne!(enqueue(db, &other_name).await?, first);
        claim(db, "a", 1, 10).await?;
        let running = db.system(async |tx| jobs::enqueue(tx, &new, at(1)).await).await?;
        assert_eq!(running, Enqueued::Existing(first));
        db.system(async |tx| jobs::complete(tx, first, "a", at(2)).await).await?;
        let after = db.system(async |tx| jobs::enqueue(tx, &new, at(3)).await).await?;
        assert!(matches!(after, Enqueued::New(id) if id != first));
        Ok(())
    }

    async fn simultaneous_enqueues_of_one_key_make_one_job(db) {
        let new = NewJob { dedup_key: Some("call-1".to_owned()), ..new_job("summarise", 0) };
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..12 {
            let (store, new) = (db.store.clone(), new.clone());
            tasks.spawn(async move {
                store.system::<_, Error, _>("test.enqueue", async |tx| jobs::enqueue(tx, &new, at(0)).await).await
            });
        }
        let mut made = 0;
        while let Some(done) = tasks.join_next().await {
            made += i32::from(matches!(done??, Enqueued::New(_)));
        }
        assert_eq!(made, 1);
        Ok(())
    }

    async fn a_lost_lease_binds_nobody(db) {
        let id = enqueue(db, &new_job("work", 0)).await?;
        claim(db, "slow", 1, 1).await?;
        assert_eq!(claim(db, "quick", 30, 1).await?, [], "the lease still holds");
        let taken = claim(db, "quick", 31, 1).await?;
        assert_eq!((taken[0].id, taken[0].attempts), (id, 2));
        assert!(!db.system(async |tx| jobs::heartbeat(tx, id, "slow", at(32), LEASE).await).await?);
        assert!(!db.system(async |tx| jobs::complete(tx, id, "slow", at(32)).await).await?);
        assert!(!db.system(async |tx| jobs::dead(tx, id, "slow", "gone", at(32)).await).await?);
        let retried = db.system(async |tx| jobs::retry(tx, id, "slow", "gone", at(40), at(32)).await).await?;
        assert_eq!(retried, None);
        let job = get(db, id).await?;
        assert_eq!((job.state, job.lease_owner.as_deref()), (JobState::Running, Some("quick")));
        assert!(db.system(async |tx| jobs::complete(tx, id, "quick", at(33)).await).await?);
        Ok(())
    }

    async fn a_heartbeat_keeps_the_lease(db) {
        let id = enqueue(db, &new_job("work", 0)).await?;
        claim(db, "a", 1, 1).await?;
        assert!(db.system(async |tx| jobs::heartbeat(tx, id, "a", at(25), LEASE).await).await?);
        assert_eq!(claim(db, "b", 40, 1).await?, []);
        assert_eq!(get(db, id).await?.lease_until, Some(at(55)));
        Ok(())
    }

    async fn retries_end_in_the_dead_state_and_a_person_revives(db) {
        let id = enqueue(db, &new_job("work", 0)).await?;
        for (attempt, want) in [(1, JobState::Queued), (2, JobState::Queued), (3, JobState::Dead)] {
            let now = i64::from(attempt) * 100;
            assert_eq!(claim(db, "a", now, 1).await?[0].attempts, attempt);
            let state =
                db.system(async |tx| jobs::retry(tx, id, "a", "no route", at(now + 50), at(now)).await).await?;
            assert_eq!(state, Some(want));
            assert_eq!(claim(db, "a", now + 49, 1).await?, [], "not before its time");
        }
        let job = get(db, id).await?;
        assert_eq!((job.state, job.last_error.as_deref()), (JobState::Dead, Some("no route")));
        db.system(async |tx| jobs::requeue(tx, id, at(500)).await).await?;
        assert_eq!(claim(db, "a", 500, 1).await?[0].attempts, 1);
        let running = db.system(async |tx| jobs::requeue(tx, id, at(500)).await).await;
        assert!(matches!(running, Err(Error::NotFound)), "only dead ones");
        Ok(())
    }

    async fn a_runner_lost_on_the_last_attempt_leaves_a_dead_job(db) {
        let id = enqueue(db, &NewJob { attempts_max: 1, ..new_job("work", 0) }).await?;
        claim(db, "a", 1, 1).await?;
        assert_eq!(claim(db, "b", 100, 1).await?, []);
        let job = get(db, id).await?;
        assert_eq!((job.state, job.last_error.as_deref()), (JobState::Dead, Some("the runner was lost")));
        Ok(())
    }

    async fn requeueing_beside_its_successor_is_refused(db) {
        let new = NewJob { dedup_key: Some("k".to_owned()), ..new_job("work", 0) };
        let first = enqueue(db, &new).await?;
        claim(db, "a", 1, 1).await?;
        db.system(async |tx| jobs::dead(tx, first, "a", "broken", at(2)).await).await?;
        assert_ne!(enqueue(db, &new).await?, first);
        let refused = db.system(async |tx| jobs::requeue(tx, first, at(3)).await).await;
        assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
        Ok(())
    }

    async fn a_tenants_transaction_touches_its_own_jobs_only(db) {
        let ours = db.tenant("+918037091588").await?;
        let theirs = db.tenant("+918037091589").await?;
        let new = new_job("work", 0);
        let Enqueued::New(id) = db.write(ours.id, async |tx| jobs::enqueue(tx, &new, at(0)).await).await? else {
            panic!("new")
        };
        assert_eq!(claim(db, "a", 1, 1).await?[0].tenant, Some(ours.id));
        assert!(!db.write(theirs.id, async |tx| jobs::complete(tx, id, "a", at(2)).await).await?);
        assert!(db.write(ours.id, async |tx| jobs::complete(tx, id, "a", at(2)).await).await?);
        Ok(())
    }

    async fn jobs_are_listed_counted_and_removed(db) {
        for run_at in [5, 3] {
            enqueue(db, &new_job("work", run_at)).await?;
        }
        let done = enqueue(db, &NewJob { queue: "mail", ..new_job("send", 0) }).await?;
        db.system(async |tx| jobs::claim(tx, &["mail"], "a", at(1), LEASE, 1).await).await?;
        db.system(async |tx| jobs::complete(tx, done, "a", at(10)).await).await?;
        let counts = db.system(async |tx| jobs::counts(tx).await).await?;
        let seen: Vec<_> = counts.iter().map(|c| (c.queue.as_str(), c.state, c.count, c.oldest_run_at)).collect();
        assert_eq!(seen, [("default", JobState::Queued, 2, at(3)), ("mail", JobState::Done, 1, at(0))]);
        let mail = db.system(async |tx| jobs::list(tx, None, Some("mail"), PageRequest::default()).await).await?;
        assert_eq!(mail.items.iter().map(|job| job.id).collect::<Vec<_>>(), [done]);
        assert_eq!(db.system(async |tx| jobs::purge(tx, at(10)).await).await?, 0);
        assert_eq!(db.system(async |tx| jobs::purge(tx, at(11)).await).await?, 1);
        assert!(matches!(get(db, done).await, Err(Error::NotFound)));
        Ok(())
    }
}
