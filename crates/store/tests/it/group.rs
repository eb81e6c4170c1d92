//! Units of work on SQLite that come together share a commit, and nothing else. On one thread: what waits is known.

use crate::database::{Tenant, TestDatabase, agent_config, at, object};
use model::TenantId;
use std::time::Duration;
use store::audit::{self, AuditKind, NewAuditEvent, Severity};
use store::{Error, Store, agents};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Nothing here takes this long, except what is stuck.
const STUCK: Duration = Duration::from_secs(20);

/// How a unit ends after its insert.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Well,
    Refused,
    FailedStatement,
    Panic,
}

async fn unit(store: Store, tenant: TenantId, name: String, end: End) -> Result<(), Error> {
    store
        .write(tenant, "test.unit", async |tx| {
            let own = agents::create(tx, &name, &agent_config("x"), at(1)).await?.agent.id;
            assert_eq!(agents::get(tx, own).await?.agent.name, name);
            match end {
                End::Well => Ok(()),
                End::Refused => Err(Error::Conflict("refused")),
                End::FailedStatement => {
                    let none = model::AgentId(uuid::Uuid::nil());
                    let new = store::phone_numbers::NewPhoneNumber {
                        carrier: model::CarrierKind::Exotel,
                        number: crate::database::phone("+918037091599"),
                        agent: none,
                        path_token_hash: None,
                    };
                    let refused = store::phone_numbers::create(tx, &new, at(1)).await;
                    assert!(refused.is_err());
                    Ok(())
                }
                End::Panic => panic!("on purpose"),
            }
        })
        .await
}

/// A unit that has its turn until it is released.
struct Held {
    running: oneshot::Receiver<()>,
    release: oneshot::Sender<()>,
    task: JoinHandle<Result<(), Error>>,
}

fn hold(db: &TestDatabase, tenant: &Tenant, name: &'static str) -> Held {
    let (store, id) = (db.store.clone(), tenant.id);
    let (runs, running) = oneshot::channel();
    let (release, released) = oneshot::channel::<()>();
    let task = tokio::spawn(async move {
        store
            .write(id, "test.held", async |tx| {
                agents::create(tx, name, &agent_config("x"), at(1)).await?;
                let _ = runs.send(());
                let _ = released.await;
                Ok(())
            })
            .await
    });
    Held { running, release, task }
}

async fn held(db: &TestDatabase, tenant: &Tenant, name: &'static str) -> Held {
    let mut held = hold(db, tenant, name);
    (&mut held.running).await.expect("has its turn");
    held
}

fn spawn(db: &TestDatabase, tenant: &Tenant, name: &str, end: End) -> JoinHandle<Result<(), Error>> {
    tokio::spawn(unit(db.store.clone(), tenant.id, name.to_owned(), end))
}

/// Every task that can go on does: those that want their turn stand in the queue.
async fn queued() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(STUCK, future).await.expect("is not stuck")
}

/// Past the store: what another process would see.
async fn kept(db: &TestDatabase, name: &str) -> bool {
    db.number(&format!("select count(*) from agents where name = '{name}'")).await == 1
}

fn commits(db: &TestDatabase) -> u64 {
    db.store.statistics().commits.expect("counted on SQLite")
}

async fn begin() -> (TestDatabase, Tenant) {
    let db = TestDatabase::sqlite().await;
    let tenant = db.tenant("+918037091588").await.expect("a tenant");
    (db, tenant)
}

/// A deferred reference that an agent of the name `Dangling` breaks: only the commit finds out.
async fn forbid_dangling(db: &TestDatabase) {
    db.raw(
        "create table houses (id bigint primary key);
         create table guests (house bigint references houses (id) deferrable initially deferred);
         create trigger dangling after insert on agents when new.name = 'Dangling'
         begin insert into guests values (1); end",
    )
    .await;
}

#[tokio::test]
async fn a_lone_unit_is_one_commit() {
    let (db, tenant) = begin().await;
    for n in 1..=3 {
        let before = commits(&db);
        unit(db.store.clone(), tenant.id, format!("Lone {n}"), End::Well).await.expect("kept");
        assert_eq!(commits(&db), before + 1);
        assert!(kept(&db, &format!("Lone {n}")).await);
    }
    let before = commits(&db);
    assert!(unit(db.store.clone(), tenant.id, "Undone".to_owned(), End::Refused).await.is_err());
    assert_eq!(commits(&db), before);
}

#[tokio::test]
async fn units_that_wait_share_a_commit_and_each_is_kept() {
    for (waiting, want) in [(1, 1), (20, 1), (63, 1), (64, 2), (150, 3)] {
        let (db, tenant) = begin().await;
        let first = held(&db, &tenant, "First").await;
        let tasks: Vec<_> = (0..waiting).map(|n| spawn(&db, &tenant, &format!("Unit {n}"), End::Well)).collect();
        queued().await;
        assert!(!kept(&db, "First").await);
        let before = commits(&db);
        first.release.send(()).expect("it waits");
        within(first.task).await.expect("runs").expect("kept");
        assert!(kept(&db, "First").await, "told before it was on the disk");
        for (n, task) in tasks.into_iter().enumerate() {
            within(task).await.expect("runs").expect("kept");
            assert!(kept(&db, &format!("Unit {n}")).await);
        }
        // A machine that is slow at the moment cuts groups by their age.
        let took = commits(&db) - before;
        assert!(took >= want && took <= want + 1 + waiting / 2, "{waiting} and one in {took} commits");
    }
}

#[tokio::test]
async fn one_that_fails_undoes_only_its_own() {
    let (db, tenant) = begin().await;
    let first = held(&db, &tenant, "First").await;
    let ends = [End::Well, End::Refused, End::FailedStatement, End::Well, End::Panic, End::Well, End::Refused];
    let tasks: Vec<_> =
        ends.iter().enumerate().map(|(n, end)| spawn(&db, &tenant, &format!("Unit {n}"), *end)).collect();
    queued().await;
    first.release.send(()).expect("it waits");
    within(first.task).await.expect("runs").expect("kept");
    for (n, (end, task)) in ends.into_iter().zip(tasks).enumerate() {
        let outcome = within(task).await;
        match end {
            End::Well => outcome.expect("runs").expect("kept"),
            End::Refused => assert!(matches!(outcome.expect("runs"), Err(Error::Conflict("refused")))),
            End::FailedStatement => assert!(matches!(outcome.expect("runs"), Err(Error::Broken(_)))),
            End::Panic => assert!(outcome.expect_err("panics").is_panic()),
        }
        assert_eq!(kept(&db, &format!("Unit {n}")).await, end == End::Well, "{n}");
    }
    assert!(kept(&db, "First").await);
}

#[tokio::test]
async fn one_dropped_half_way_undoes_only_its_own() {
    let (db, tenant) = begin().await;
    let first = held(&db, &tenant, "First").await;
    let before = spawn(&db, &tenant, "Before", End::Well);
    queued().await;
    let mut dropped = hold(&db, &tenant, "Dropped");
    queued().await;
    let after = spawn(&db, &tenant, "After", End::Well);
    queued().await;
    first.release.send(()).expect("it waits");
    within(&mut dropped.running).await.expect("has its turn");
    dropped.task.abort();
    for task in [first.task, before, after] {
        within(task).await.expect("runs").expect("kept");
    }
    for (name, want) in [("First", true), ("Before", true), ("Dropped", false), ("After", true)] {
        assert_eq!(kept(&db, name).await, want, "{name}");
    }
}

#[tokio::test]
async fn a_commit_that_fails_is_told_to_all() {
    let (db, tenant) = begin().await;
    forbid_dangling(&db).await;
    let first = held(&db, &tenant, "First").await;
    let tasks: Vec<_> = [("Second", End::Well), ("Dangling", End::Well), ("Undone", End::Refused)]
        .into_iter()
        .map(|(name, end)| spawn(&db, &tenant, name, end))
        .collect();
    queued().await;
    let before = commits(&db);
    first.release.send(()).expect("it waits");
    // Also the one that failed by itself: it may have failed at what is not there.
    for task in [first.task].into_iter().chain(tasks) {
        let outcome = within(task).await.expect("runs");
        assert!(matches!(outcome, Err(Error::NotFound)), "{outcome:?}");
    }
    assert_eq!(commits(&db), before);
    for name in ["First", "Second", "Dangling"] {
        assert!(!kept(&db, name).await, "{name}");
    }
    let first = held(&db, &tenant, "First").await;
    let second = spawn(&db, &tenant, "Second", End::Well);
    queued().await;
    first.release.send(()).expect("it waits");
    for task in [first.task, second] {
        within(task).await.expect("runs").expect("kept");
    }
    assert!(kept(&db, "First").await && kept(&db, "Second").await);
    // Alone as well.
    let alone = unit(db.store.clone(), tenant.id, "Dangling".to_owned(), End::Well).await;
    assert!(matches!(alone, Err(Error::NotFound)), "{alone:?}");
    unit(db.store.clone(), tenant.id, "Next".to_owned(), End::Well).await.expect("kept");
}

#[tokio::test]
async fn those_who_wait_may_go() {
    let (db, tenant) = begin().await;
    let first = held(&db, &tenant, "First").await;
    let mut second = hold(&db, &tenant, "Second");
    queued().await;
    let waiting: Vec<_> = (0..5).map(|n| spawn(&db, &tenant, &format!("Unit {n}"), End::Well)).collect();
    queued().await;
    first.release.send(()).expect("it waits");
    within(&mut second.running).await.expect("has its turn");
    // The first has handed its turn on, and nobody is left to take the next.
    for task in &waiting {
        task.abort();
    }
    second.task.abort();
    within(first.task).await.expect("runs").expect("kept");
    assert!(kept(&db, "First").await && !kept(&db, "Second").await);
}

#[tokio::test]
async fn a_group_that_all_have_left_lets_others_write() {
    for stay_in_turn in [true, false] {
        let (db, tenant) = begin().await;
        let first = held(&db, &tenant, "First").await;
        let mut second = hold(&db, &tenant, "Second");
        queued().await;
        first.release.send(()).expect("it waits");
        within(&mut second.running).await.expect("has its turn");
        first.task.abort();
        if stay_in_turn {
            second.release.send(()).expect("it waits");
            queued().await;
        }
        second.task.abort();
        // Another process.
        let other = db.reopen().await;
        within(unit(other, tenant.id, "Other".to_owned(), End::Well)).await.expect("kept");
        within(unit(db.store.clone(), tenant.id, "Next".to_owned(), End::Well)).await.expect("kept");
        assert!(kept(&db, "Next").await && kept(&db, "Other").await);
    }
}

#[tokio::test]
async fn schema_and_keys_share_with_nobody() {
    let (db, tenant) = begin().await;
    let first = held(&db, &tenant, "First").await;
    let before = spawn(&db, &tenant, "Before", End::Well);
    queued().await;
    let store = db.store.clone();
    let rotation = tokio::spawn(async move { store.rotate_keys(at(2)).await });
    queued().await;
    let after = spawn(&db, &tenant, "After", End::Well);
    queued().await;
    let commits_before = commits(&db);
    first.release.send(()).expect("it waits");
    for task in [first.task, before, after] {
        within(task).await.expect("runs").expect("kept");
    }
    within(rotation).await.expect("runs").expect("done");
    // First and Before; twice the rotation; After.
    let took = commits(&db) - commits_before;
    assert!(took >= 4, "{took}");
}

#[tokio::test]
async fn closing_ends_the_group_and_refuses_those_who_wait() {
    let (db, tenant) = begin().await;
    let first = held(&db, &tenant, "First").await;
    let mut second = hold(&db, &tenant, "Second");
    queued().await;
    let third = spawn(&db, &tenant, "Third", End::Well);
    queued().await;
    first.release.send(()).expect("it waits");
    within(&mut second.running).await.expect("has its turn");
    let store = db.store.clone();
    let closing = tokio::spawn(async move { store.close().await });
    queued().await;
    let refused = within(third).await.expect("runs");
    assert!(matches!(refused, Err(Error::Unavailable)), "{refused:?}");
    second.release.send(()).expect("it waits");
    for task in [first.task, second.task] {
        within(task).await.expect("runs").expect("kept");
    }
    within(closing).await.expect("closes");
    assert!(kept(&db, "First").await && kept(&db, "Second").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_keep_their_order() {
    let (db, tenant) = begin().await;
    let before = commits(&db);
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..200 {
        let (store, tenant) = (db.store.clone(), tenant.id);
        tasks.spawn(async move {
            let name = format!("Unit {n}");
            let event = NewAuditEvent {
                kind: AuditKind::CallEnded,
                severity: Severity::Info,
                actor: "carrier:exotel",
                ip: None,
                request_id: None,
                object_kind: Some("call"),
                object_id: Some(&name),
                data: object(serde_json::json!({})),
            };
            let work = store.write(tenant, "test.many", async |tx| {
                agents::create(tx, &name, &agent_config("x"), at(1)).await?;
                audit::record(tx, &event, at(1)).await?;
                if n % 10 == 3 { Err(Error::Conflict("refused")) } else { Ok(()) }
            });
            // Some are not patient.
            if n % 10 == 7 {
                let _ = tokio::time::timeout(Duration::from_millis(n), work).await;
                return true;
            }
            work.await.is_ok() == (n % 10 != 3)
        });
    }
    while let Some(done) = within(tasks.join_next()).await {
        assert!(done.expect("runs"));
    }
    let report = db.store.verify_audit().await.expect("checked");
    assert!(report.is_intact(), "{report:?}");
    let agents = db.number("select count(*) from agents where name like 'Unit %'").await;
    let events: u64 =
        report.chains.iter().filter(|chain| chain.tenant == Some(tenant.id)).map(|chain| chain.events).sum();
    assert!((160..=180).contains(&agents), "{agents}");
    assert_eq!(u64::try_from(agents), Ok(events));
    let took = commits(&db) - before;
    assert!(took < 100, "{took} commits");
}

/// `cargo test -p store --test it group::units_per_second -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn units_per_second() {
    let (db, tenant) = begin().await;
    for at_once in [1, 200] {
        let (before, began) = (commits(&db), std::time::Instant::now());
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..at_once {
            let (store, tenant) = (db.store.clone(), tenant.id);
            tasks.spawn(async move {
                for round in 0..1000 / at_once {
                    unit(store.clone(), tenant, format!("{at_once} {n} {round}"), End::Well).await.expect("kept");
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.expect("runs");
        }
        let (seconds, commits) = (began.elapsed().as_secs_f64(), commits(&db) - before);
        println!("{at_once} at once: {:.0} units a second, {commits} commits for 1000", 1000.0 / seconds);
    }
}
