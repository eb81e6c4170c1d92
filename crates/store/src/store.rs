//! The store: opening, units of work, health.

use crate::config::{self, Target};
use crate::error::Meaning;
use crate::group::{Sharing, SqliteTx, Writer};
use crate::row_security::Identity;
use crate::tx::{Connection, Raw};
use crate::vault::Vault;
use crate::{Dialect, Error, OpenError, StoreConfig, SystemTx, Tx};
use model::TenantId;
use sqlx::{PgPool, SqlitePool};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Begins a reading transaction: everything it reads is of one moment, as in SQLite.
const POSTGRES_BEGIN_READ: &str = "begin isolation level repeatable read read only";
/// Begins a writing transaction. Read committed, the server's default: statements here are written to decide in their
/// own `where`, which PostgreSQL checks again after waiting for a lock.
const POSTGRES_BEGIN_WRITE: &str = "begin isolation level read committed";

/// The database. Cloning shares the connections.
#[derive(Clone)]
pub struct Store {
    pub(crate) pools: Pools,
    slow_query: Duration,
    pub(crate) vault: Arc<Vault>,
}

#[derive(Clone)]
pub(crate) enum Pools {
    Sqlite { writer: Arc<Writer>, readers: SqlitePool },
    Postgres(PgPool),
}

/// Connections of one pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStatistics {
    /// Open now.
    pub size: u32,
    /// Of these, free.
    pub idle: u32,
    /// Most there may be.
    pub max: u32,
}

/// Connections to the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// For writing; PostgreSQL uses it for reading too.
    pub writers: PoolStatistics,
    /// For reading; SQLite only.
    pub readers: Option<PoolStatistics>,
    /// Commits so far; units of work that come together share one. SQLite only.
    pub commits: Option<u64>,
}

#[derive(Clone, Copy)]
enum Mode {
    Read,
    Write(Sharing),
}

impl Store {
    /// Opens the database; an SQLite file and its folder are made when missing. Does not migrate.
    ///
    /// # Errors
    /// [`OpenError`] when the address cannot be read or nobody answers within the acquire timeout.
    pub async fn open(config: &StoreConfig) -> Result<Self, OpenError> {
        let pools = match config.target()? {
            Target::Postgres { options } => {
                Pools::Postgres(config.postgres_pool().connect_with(*options).await.map_err(unreachable)?)
            }
            Target::Sqlite { path } => {
                if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                    tokio::fs::create_dir_all(folder)
                        .await
                        .map_err(|source| OpenError::Folder { folder: folder.to_owned(), source })?;
                }
                let writer = config
                    .sqlite_writer_pool()
                    .connect_with(config::sqlite_writer(&path))
                    .await
                    .map_err(unreachable)?;
                let readers = config
                    .sqlite_reader_pool()
                    .connect_with(config::sqlite_reader(&path))
                    .await
                    .map_err(unreachable)?;
                Pools::Sqlite { writer: Arc::new(Writer::new(writer)), readers }
            }
        };
        Ok(Self { pools, slow_query: config.slow_query, vault: Arc::new(Vault::new(config.keys.clone())) })
    }

    /// Runs a unit of work of this tenant. Committed when `work` returns `Ok`; rolled back when it returns `Err` or the
    /// future is dropped. A statement that failed cannot be ignored: the unit is then rolled back and
    /// [`Error::Broken`]. On SQLite units that come while another runs are committed together, each all or nothing; a
    /// unit must not wait for another's end, nor for anything slow: the others wait for it.
    ///
    /// The future is `Send`. To repeat it, take `impl Fn() -> F, F: Future`: inside a second async closure
    /// (`impl AsyncFn`) that borrows, the compiler no longer sees that it is.
    ///
    /// # Errors
    /// What `work` returns, or that the transaction could not begin or commit.
    pub async fn write<T, E, F>(&self, tenant: TenantId, name: &'static str, work: F) -> Result<T, E>
    where
        F: AsyncFnOnce(&mut Tx) -> Result<T, E>,
        E: From<Error>,
    {
        self.tenant_work(Mode::Write(Sharing::Together), tenant, name, work).await
    }

    /// Runs reads of this tenant, all of one moment. Writing in it fails.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn read<T, E, F>(&self, tenant: TenantId, name: &'static str, work: F) -> Result<T, E>
    where
        F: AsyncFnOnce(&mut Tx) -> Result<T, E>,
        E: From<Error>,
    {
        self.tenant_work(Mode::Read, tenant, name, work).await
    }

    /// Runs a unit of work across tenants, otherwise like [`Store::write`].
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn system<T, E, F>(&self, name: &'static str, work: F) -> Result<T, E>
    where
        F: AsyncFnOnce(&mut SystemTx) -> Result<T, E>,
        E: From<Error>,
    {
        self.system_work(Mode::Write(Sharing::Together), name, work).await
    }

    /// Runs reads across tenants, all of one moment. Writing in it fails; it waits for no writer.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn system_read<T, E, F>(&self, name: &'static str, work: F) -> Result<T, E>
    where
        F: AsyncFnOnce(&mut SystemTx) -> Result<T, E>,
        E: From<Error>,
    {
        self.system_work(Mode::Read, name, work).await
    }

    async fn system_work<T, E, F>(&self, mode: Mode, name: &'static str, work: F) -> Result<T, E>
    where
        F: AsyncFnOnce(&mut SystemTx) -> Result<T, E>,
        E: From<Error>,
    {
        let began = Instant::now();
        let mut tx = SystemTx::new(self.begin(mode, Identity::System, name).await?);
        let outcome = work(&mut tx).await;
        let outcome = tx.into_raw().end(outcome).await;
        report(name, began, outcome.is_ok());
        outcome
    }

    async fn tenant_work<T, E, F>(&self, mode: Mode, tenant: TenantId, name: &'static str, work: F) -> Result<T, E>
    where
        F: AsyncFnOnce(&mut Tx) -> Result<T, E>,
        E: From<Error>,
    {
        let began = Instant::now();
        let mut tx = Tx::new(self.begin(mode, Identity::Tenant(tenant), name).await?, tenant);
        let outcome = work(&mut tx).await;
        let outcome = tx.into_raw().end(outcome).await;
        report(name, began, outcome.is_ok());
        outcome
    }

    /// Begins in the hand of whoever the first statements belong to: on PostgreSQL that goes with the beginning, and costs
    /// no way to the server of its own.
    async fn begin(&self, mode: Mode, identity: Identity, name: &'static str) -> Result<Raw, Error> {
        let begun = match (&self.pools, mode) {
            (Pools::Sqlite { readers, .. }, Mode::Read) => {
                readers.begin().await.map(SqliteTx::Read).map(Connection::Sqlite)
            }
            (Pools::Sqlite { writer, .. }, Mode::Write(sharing)) => {
                writer.begin(sharing).await.map(SqliteTx::Write).map(Connection::Sqlite)
            }
            (Pools::Postgres(pool), Mode::Read) => {
                pool.begin_with(identity.after(POSTGRES_BEGIN_READ)).await.map(Connection::Postgres)
            }
            (Pools::Postgres(pool), Mode::Write(_)) => {
                pool.begin_with(identity.after(POSTGRES_BEGIN_WRITE)).await.map(Connection::Postgres)
            }
        };
        begun
            .map(|connection| Raw::new(connection, identity, name, self.slow_query, Arc::clone(&self.vault)))
            .map_err(|error| Error::from_driver(&error, name, Meaning::default()))
    }

    pub(crate) async fn begin_read(&self, name: &'static str) -> Result<Raw, Error> {
        self.begin(Mode::Read, Identity::Login, name).await
    }

    /// Shares its commit with nobody.
    pub(crate) async fn begin_write(&self, name: &'static str) -> Result<Raw, Error> {
        self.begin(Mode::Write(Sharing::Alone), Identity::Login, name).await
    }

    /// Asks the database for a sign of life. The caller sets the time limit.
    ///
    /// # Errors
    /// When there is none.
    pub async fn ping(&self) -> Result<(), Error> {
        let mut raw = self.begin(Mode::Read, Identity::Login, "store.ping").await?;
        let outcome = raw.acting(Identity::Login).ping().await;
        raw.end(outcome).await
    }

    /// Prepares every statement without running any, and says how many there are: proof that schema and program fit.
    ///
    /// # Errors
    /// [`Error::Broken`] naming the first statement that the database does not understand.
    pub async fn check_statements(&self) -> Result<usize, Error> {
        let mut raw = self.begin(Mode::Read, Identity::Login, "store.check_statements").await?;
        if let Connection::Sqlite(c) = &mut raw.connection {
            // Preparing alone would trust the schema that this connection read earlier.
            sqlx::raw_sql("select count(*) from sqlite_schema")
                .execute(&mut **c)
                .await
                .map_err(|error| Error::from_driver(&error, "store.check_statements", Meaning::default()))?;
        }
        let mut count = 0;
        for statement in crate::statements::all() {
            raw.prepare(statement).await?;
            count += 1;
        }
        raw.rollback().await;
        Ok(count)
    }

    /// Every statement by name, with the text that this database is given: for whoever wants to see how it is carried out.
    #[doc(hidden)]
    pub fn statement_texts(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let dialect = self.dialect();
        crate::statements::all().map(move |statement| (statement.name, statement.text(dialect)))
    }

    /// Which database it is.
    #[must_use]
    pub const fn dialect(&self) -> Dialect {
        match self.pools {
            Pools::Sqlite { .. } => Dialect::Sqlite,
            Pools::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Connections now.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        match &self.pools {
            Pools::Sqlite { writer, readers } => {
                let (readers, commits) = (Some(pool_statistics(readers)), Some(writer.commits()));
                Statistics { writers: pool_statistics(writer.pool()), readers, commits }
            }
            Pools::Postgres(pool) => Statistics { writers: pool_statistics(pool), readers: None, commits: None },
        }
    }

    /// Closes every connection, after the units of work in progress. Work begun later is [`Error::Unavailable`].
    pub async fn close(&self) {
        match &self.pools {
            Pools::Sqlite { writer, readers } => {
                readers.close().await;
                writer.pool().close().await;
            }
            Pools::Postgres(pool) => pool.close().await,
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("dialect", &self.dialect()).finish_non_exhaustive()
    }
}

fn pool_statistics<DB: sqlx::Database>(pool: &sqlx::Pool<DB>) -> PoolStatistics {
    PoolStatistics {
        size: pool.size(),
        idle: u32::try_from(pool.num_idle()).unwrap_or(u32::MAX),
        max: pool.options().get_max_connections(),
    }
}

fn report(name: &'static str, began: Instant, committed: bool) {
    let elapsed_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    tracing::debug!(transaction = name, elapsed_us, committed, "unit of work");
}

fn unreachable(error: sqlx::Error) -> OpenError {
    OpenError::Unreachable(crate::error::text_of(&error))
}
