//! Units of work on SQLite, committed together.
//!
//! There is one connection that writes, and its commit waits for the disk. Units that come while another runs therefore
//! share a transaction and its commit: the first begins it, each further one works within a savepoint, so that what it
//! undoes is its own, and none is told `Ok` before the commit is done. A unit to which nobody comes is a transaction of
//! its own: it waits for nothing.
//!
//! - Turns are taken in the order of asking. With the first unit that hands its turn on, a task queues up to commit the
//!   group: it comes after all who waited then, whether they still want their turn or not, so no group stays open. The
//!   commit is a task's own too, since a unit may be dropped at any time and must not take the others' answer with it.
//! - A unit that failed waits for its group as well: what it failed at may be another's work, which is not yet kept.
//! - Some faults (no space, no disk) make SQLite roll back all at once. They show when a unit's savepoint cannot be undone:
//!   then the whole group is given up, and the connection too, since the driver's count of savepoints is wrong for good.

use crate::Error;
use crate::error::{Cause, Meaning, text_of};
use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqliteTransactionManager as Driver;
use sqlx::{Connection as _, SqlSafeStr as _, Sqlite, SqliteConnection, SqlitePool, Transaction};
use sqlx_core::transaction::TransactionManager as _;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, OwnedMutexGuard, watch};

/// Takes the write lock at once: a transaction that reads first and then finds the lock taken could only fail.
const BEGIN: &str = "begin immediate";
/// Most units that share a commit: the first waits for all that follow, and all are undone when it fails.
const UNITS_MAX: u32 = 64;
/// A group that is older than this takes no further unit in: about the time of a few commits on a slow disk.
const GROUP_MAX: Duration = Duration::from_millis(20);

/// Who may share the commit of a unit of work.
#[derive(Clone, Copy)]
pub(crate) enum Sharing {
    /// Whoever comes meanwhile.
    Together,
    /// Nobody: steps of the schema, and large works whose end nobody else should have to wait for.
    Alone,
}

/// The one connection that writes.
pub(crate) struct Writer {
    pool: SqlitePool,
    turn: Arc<Mutex<Option<Group>>>,
    /// Units that wait for their turn.
    waiting: AtomicUsize,
    groups: AtomicU64,
    commits: AtomicU64,
}

/// Whoever holds it may use the connection. It holds the group that is open.
type Turn = OwnedMutexGuard<Option<Group>>;

/// What became of a group; `None` while it is open.
type Outcome = Option<Result<(), Arc<Error>>>;

struct Group {
    number: u64,
    outer: Outer,
    opened: Instant,
    /// That have ended in it, well or not.
    units: u32,
    /// A task queues up to commit it.
    awaited: bool,
    outcome: watch::Sender<Outcome>,
}

impl Writer {
    pub(crate) fn new(pool: SqlitePool) -> Self {
        Self {
            pool,
            turn: Arc::default(),
            waiting: AtomicUsize::new(0),
            groups: AtomicU64::new(0),
            commits: AtomicU64::new(0),
        }
    }

    pub(crate) const fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    /// Transactions committed so far.
    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Begins a unit of work when it is its turn; waits no longer for it than for a connection of the pool.
    pub(crate) async fn begin(self: &Arc<Self>, sharing: Sharing) -> Result<Unit, sqlx::Error> {
        if self.pool.is_closed() {
            return Err(sqlx::Error::PoolClosed);
        }
        let mut turn = self.turn().await?;
        let mut within = false;
        if let Some(group) = turn.as_mut() {
            match sharing {
                Sharing::Together => match group.outer.enter().await {
                    Ok(()) => within = true,
                    Err(error) => give_up(&mut turn, &error).await,
                },
                Sharing::Alone => {
                    let writer = Arc::clone(self);
                    let committed = tokio::spawn(async move { writer.commit_group(turn).await });
                    turn = committed.await.map_err(|_| sqlx::Error::WorkerCrashed)?;
                }
            }
        }
        if turn.is_none() {
            *turn = Some(self.open().await?);
        }
        Ok(Unit { writer: Arc::clone(self), turn: Some(turn), within, sharing })
    }

    async fn turn(&self) -> Result<Turn, sqlx::Error> {
        if let Ok(turn) = Arc::clone(&self.turn).try_lock_owned() {
            return Ok(turn);
        }
        let _waiting = Waiting::new(&self.waiting);
        let turn = Arc::clone(&self.turn).lock_owned();
        let turn = tokio::time::timeout(self.pool.options().get_acquire_timeout(), turn);
        self.pool.close_event().do_until(turn).await?.map_err(|_| sqlx::Error::PoolTimedOut)
    }

    async fn open(&self) -> Result<Group, sqlx::Error> {
        Ok(Group {
            outer: Outer::begin(&self.pool).await?,
            number: self.groups.fetch_add(1, Ordering::Relaxed),
            opened: Instant::now(),
            units: 0,
            awaited: false,
            outcome: watch::Sender::new(None),
        })
    }

    async fn commit(&self, outer: Outer, name: &'static str) -> Result<(), Error> {
        outer.commit().await.map_err(|error| Error::from_driver(&error, name, Meaning::default()))?;
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Commits the group that is open and tells its units; gives the turn back.
    async fn commit_group(&self, mut turn: Turn) -> Turn {
        if let Some(Group { outer, outcome, units, opened, .. }) = turn.take() {
            let done = self.commit(outer, "store.group").await;
            let elapsed_us = u64::try_from(opened.elapsed().as_micros()).unwrap_or(u64::MAX);
            tracing::debug!(units, elapsed_us, committed = done.is_ok(), "units of work together");
            outcome.send_replace(Some(done.map_err(Arc::new)));
        }
        turn
    }

    /// Commits the group of this number when it is the turn of the one who asks, if it is open then.
    async fn commit_later(&self, number: u64) {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        if turn.as_ref().is_some_and(|group| group.number == number) {
            self.commit_group(turn).await;
        }
    }

    /// A unit has ended and its work, if any, is part of the group: sees to the commit and waits for it.
    async fn finish(self: Arc<Self>, mut turn: Turn, name: &'static str, sharing: Sharing) -> Result<(), Error> {
        let wanted = match sharing {
            Sharing::Together => self.waiting.load(Ordering::Relaxed) > 0,
            Sharing::Alone => false,
        };
        if !wanted && let Some(group) = turn.take_if(|group| group.units == 0) {
            return self.commit(group.outer, name).await;
        }
        let Some(group) = turn.as_mut() else { return Err(Error::Unavailable) };
        group.units += 1;
        let mut outcome = group.outcome.subscribe();
        if !wanted || group.units >= UNITS_MAX || group.opened.elapsed() >= GROUP_MAX {
            tokio::spawn(async move { self.commit_group(turn).await });
        } else {
            if !std::mem::replace(&mut group.awaited, true) {
                let number = group.number;
                tokio::spawn(async move { self.commit_later(number).await });
            }
            drop(turn);
        }
        // The sender goes without a word when the group was given up half-way, or with the runtime.
        match outcome.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(Ok(()))) => Ok(()),
            Ok(Some(Err(error))) => Err(copy(error)),
            Ok(None) | Err(_) => Err(Error::Unavailable),
        }
    }
}

/// Undoes the whole group after a fault that took more than one unit's work with it.
async fn give_up(turn: &mut Turn, error: &sqlx::Error) {
    if let Some(Group { outer, outcome, units, .. }) = turn.take() {
        tracing::warn!(units, cause = %text_of(error), "database: units of work that were to be committed together are lost");
        outcome.send_replace(Some(Err(Arc::new(Error::Unavailable))));
        outer.roll_back().await;
    }
}

/// Each unit is told the same.
fn copy(error: &Error) -> Error {
    match error {
        Error::NotFound => Error::NotFound,
        Error::Conflict(rule) => Error::Conflict(rule),
        Error::Busy => Error::Busy,
        Error::Unavailable => Error::Unavailable,
        Error::Broken(cause) => Error::Broken(Cause::new(cause.to_string())),
    }
}

/// Counts a unit as waiting while it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A unit of work that has its turn. Dropped before its end, its work is undone.
pub(crate) struct Unit {
    writer: Arc<Writer>,
    /// `None` once it has ended.
    turn: Option<Turn>,
    /// Others' work comes before it in the transaction: its own is within a savepoint.
    within: bool,
    sharing: Sharing,
}

impl Unit {
    /// Keeps its work; `Ok` when that is on the disk.
    async fn commit(mut self, name: &'static str) -> Result<(), Error> {
        if self.within {
            let left = Driver::commit(&mut self).await;
            return self.left(left, name).await;
        }
        self.left(Ok(()), name).await
    }

    /// Undoes its work. [`Error`] when that of the units before it, on which its failure may rest, is not kept either.
    async fn roll_back(mut self, name: &'static str) -> Result<(), Error> {
        if self.within {
            let left = Driver::rollback(&mut self).await;
            return self.left(left, name).await;
        }
        if let Some(group) = self.turn.as_mut().and_then(|turn| turn.take()) {
            group.outer.roll_back().await;
        }
        Ok(())
    }

    async fn left(mut self, left: Result<(), sqlx::Error>, name: &'static str) -> Result<(), Error> {
        let Some(mut turn) = self.turn.take() else { return Err(Error::Unavailable) };
        if let Err(error) = left {
            give_up(&mut turn, &error).await;
            return Err(Error::Unavailable);
        }
        Arc::clone(&self.writer).finish(turn, name, self.sharing).await
    }
}

impl Deref for Unit {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        let group = self.turn.as_ref().and_then(|turn| turn.as_ref());
        &group.expect("only the unit's end gives turn and group away").outer.connection
    }
}

impl DerefMut for Unit {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        let group = self.turn.as_mut().and_then(|turn| turn.as_mut());
        &mut group.expect("only the unit's end gives turn and group away").outer.connection
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        let Some(turn) = &mut self.turn else { return };
        if !self.within {
            // The transaction goes with it.
            turn.take();
        } else if let Some(group) = turn.as_mut() {
            Driver::start_rollback(&mut group.outer.connection);
            group.outer.unsettled = true;
        }
    }
}

/// The connection in a transaction. Dropped before its end, it is rolled back.
///
/// The driver's own `Transaction` borrows the connection for a savepoint, and so could not be kept beside it: this calls
/// what that one calls. `begin` may be dropped half-way: the driver undoes what it began. After `commit` or `rollback`
/// was dropped half-way, `start_rollback` must follow once: the driver leaves it out if the command was done.
struct Outer {
    connection: PoolConnection<Sqlite>,
    /// It has not ended.
    open: bool,
    /// A unit was dropped within it, and nobody knows whether its savepoint could be undone.
    unsettled: bool,
}

impl Outer {
    async fn begin(pool: &SqlitePool) -> Result<Self, sqlx::Error> {
        let mut connection = pool.acquire().await?;
        let mut begun = Driver::begin(&mut connection, Some(BEGIN.into_sql_str())).await;
        // Its thread is gone, or the last transaction was rolled back by SQLite itself, which the driver did not see.
        if let Err(sqlx::Error::WorkerCrashed | sqlx::Error::InvalidSavePointStatement) = begun {
            connection.close_on_drop();
            drop(connection);
            connection = pool.acquire().await?;
            begun = Driver::begin(&mut connection, Some(BEGIN.into_sql_str())).await;
        }
        begun.map(|()| Self { connection, open: true, unsettled: false })
    }

    /// Begins a savepoint.
    async fn enter(&mut self) -> Result<(), sqlx::Error> {
        self.settle().await?;
        Driver::begin(&mut self.connection, None).await
    }

    /// Without it a savepoint would begin a transaction of its own where SQLite has rolled back this one.
    async fn settle(&mut self) -> Result<(), sqlx::Error> {
        if self.unsettled {
            // Answered when all that was sent before is done.
            self.connection.ping().await?;
            if Driver::get_transaction_depth(&self.connection) != 1 {
                let lost = std::io::Error::other("a unit of work that was dropped could not be undone alone");
                return Err(sqlx::Error::Io(lost));
            }
            self.unsettled = false;
        }
        Ok(())
    }

    async fn commit(mut self) -> Result<(), sqlx::Error> {
        let mut done = self.settle().await;
        if done.is_ok() {
            done = Driver::commit(&mut self.connection).await;
        }
        match done {
            Ok(()) => self.open = false,
            Err(_) => self.roll_back().await,
        }
        done
    }

    /// Where that fails, closing the connection does it.
    async fn roll_back(mut self) {
        let done = Driver::rollback(&mut self.connection).await;
        self.open = false;
        if let Err(error) = &done {
            tracing::debug!(cause = %text_of(error), "rollback failed");
        }
        if done.is_err() || Driver::get_transaction_depth(&self.connection) > 0 {
            self.connection.close_on_drop();
        }
    }
}

impl Drop for Outer {
    fn drop(&mut self) {
        if self.open {
            Driver::start_rollback(&mut self.connection);
        }
    }
}

/// A transaction on SQLite.
pub(crate) enum SqliteTx {
    Read(Transaction<'static, Sqlite>),
    Write(Unit),
}

impl SqliteTx {
    pub(crate) async fn commit(self, name: &'static str) -> Result<(), Error> {
        match self {
            Self::Read(tx) => tx.commit().await.map_err(|error| Error::from_driver(&error, name, Meaning::default())),
            Self::Write(unit) => unit.commit(name).await,
        }
    }

    /// [`Error`]: see [`Unit::roll_back`].
    pub(crate) async fn roll_back(self, name: &'static str) -> Result<(), Error> {
        match self {
            Self::Read(tx) => {
                if let Err(error) = tx.rollback().await {
                    tracing::debug!(transaction = name, cause = %text_of(&error), "rollback failed");
                }
                Ok(())
            }
            Self::Write(unit) => unit.roll_back(name).await,
        }
    }
}

impl Deref for SqliteTx {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        match self {
            Self::Read(tx) => tx,
            Self::Write(unit) => unit,
        }
    }
}

impl DerefMut for SqliteTx {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        match self {
            Self::Read(tx) => tx,
            Self::Write(unit) => unit,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::tx::Connection;
    use crate::{Error, Store, StoreConfig, SystemTx};
    use futures_util::FutureExt as _;
    use sqlx::Executor as _;
    use tokio::sync::oneshot;

    /// More than the pages that are allowed; one row, which SQLite undoes by rolling back all.
    const TOO_MUCH: &str = "insert into t values (zeroblob(4000000))";

    async fn run(tx: &mut SystemTx, text: &'static str) -> Result<(), Error> {
        use crate::tx::Sealed as _;
        let raw = tx.raw();
        let entered = raw.enter();
        let Connection::Sqlite(c) = &mut raw.connection else { return Err(Error::Unavailable) };
        c.execute(text).await.map_err(|error| Error::from_driver(&error, "test", crate::error::Meaning::default()))?;
        raw.intact = entered.was_intact;
        Ok(())
    }

    async fn small(folder: &tempfile::TempDir) -> Store {
        let url = format!("sqlite://{}/caly.db", folder.path().display());
        let store = Store::open(&StoreConfig::new(url, crate::Keyring::new([7; 32], None))).await.expect("opens");
        limited(&store, "create table t (x blob)").await.expect("made");
        store
    }

    async fn limited(store: &Store, then: &'static str) -> Result<(), Error> {
        store
            .system("test", async |tx| {
                run(tx, "pragma max_page_count = 100").await?;
                run(tx, then).await
            })
            .await
    }

    async fn rows(store: &Store) -> i64 {
        let super::super::store::Pools::Sqlite { readers, .. } = &store.pools else { return -1 };
        sqlx::query_scalar("select count(*) from t").fetch_one(readers).await.expect("counted")
    }

    /// Without a new connection the writer would refuse every later transaction.
    #[tokio::test]
    async fn a_full_disk_does_not_end_all_writing() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = small(&folder).await;
        let outcome = limited(&store, TOO_MUCH).await;
        assert!(matches!(outcome, Err(Error::Unavailable)), "{outcome:?}");
        limited(&store, "insert into t values (1)").await.expect("kept");
        assert_eq!(rows(&store).await, 1);
    }

    /// The full disk rolls back the group; a unit dropped half-way must not let the next one begin within nothing.
    #[tokio::test]
    async fn a_full_disk_is_told_to_the_whole_group() {
        for dropped in [false, true] {
            let folder = tempfile::tempdir().expect("a folder");
            let store = small(&folder).await;
            let (release, released) = oneshot::channel::<()>();
            let (runs, running) = oneshot::channel();
            let spawned = store.clone();
            let first = tokio::spawn(async move {
                spawned
                    .system("test.first", async |tx| {
                        run(tx, "pragma max_page_count = 100").await?;
                        run(tx, "insert into t values (1)").await?;
                        let _ = runs.send(());
                        let _ = released.await;
                        Ok::<_, Error>(())
                    })
                    .await
            });
            running.await.expect("has its turn");
            let spawned = store.clone();
            let second = tokio::spawn(async move {
                spawned
                    .system("test.second", async |tx| {
                        if dropped {
                            let _ = run(tx, TOO_MUCH).now_or_never();
                            return Err(Error::NotFound);
                        }
                        run(tx, TOO_MUCH).await
                    })
                    .await
            });
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            let spawned = store.clone();
            let third = tokio::spawn(async move {
                spawned.system("test.third", async |tx| run(tx, "insert into t values (3)").await).await
            });
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            release.send(()).expect("it waits");
            let outcome = first.await.expect("runs");
            assert!(matches!(outcome, Err(Error::Unavailable)), "{outcome:?}");
            let outcome = second.await.expect("runs");
            assert!(matches!(outcome, Err(Error::Unavailable)), "{outcome:?}");
            third.await.expect("runs").expect("kept");
            assert_eq!(rows(&store).await, 1);
        }
    }

    /// The same, where the unit itself is gone and nobody hears of the fault.
    #[tokio::test]
    async fn a_full_disk_nobody_hears_of_is_found_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = small(&folder).await;
        let (release, released) = oneshot::channel::<()>();
        let (runs, running) = oneshot::channel();
        let spawned = store.clone();
        let first = tokio::spawn(async move {
            spawned
                .system("test.first", async |tx| {
                    run(tx, "pragma max_page_count = 100").await?;
                    run(tx, "insert into t values (1)").await?;
                    let _ = runs.send(());
                    let _ = released.await;
                    Ok::<_, Error>(())
                })
                .await
        });
        running.await.expect("has its turn");
        let (reached, at) = oneshot::channel();
        let spawned = store.clone();
        let second = tokio::spawn(async move {
            spawned
                .system("test.second", async |tx| {
                    let _ = run(tx, TOO_MUCH).now_or_never();
                    let _ = reached.send(());
                    std::future::pending::<Result<(), Error>>().await
                })
                .await
        });
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        release.send(()).expect("it waits");
        at.await.expect("has its turn");
        let spawned = store.clone();
        let third = tokio::spawn(async move {
            spawned.system("test.third", async |tx| run(tx, "insert into t values (3)").await).await
        });
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        second.abort();
        let outcome = first.await.expect("runs");
        assert!(matches!(outcome, Err(Error::Unavailable)), "{outcome:?}");
        third.await.expect("runs").expect("kept");
        assert_eq!(rows(&store).await, 1);
    }
}
