//! Where the data lies and how many connections to it there are.

use crate::Keyring;
use secrecy::{ExposeSecret, SecretString};
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// Readers beside the one writer of an SQLite file. Each is a thread with a page cache of 2 MB; more readers than
/// cores only wait for each other.
const SQLITE_READERS_MAX: u32 = 8;
/// How long an SQLite connection waits for another process (a migration, a backup) that holds the file.
const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The write-ahead log is cut back to this after a checkpoint; one burst must not occupy the disk for ever.
const SQLITE_WAL_BYTES_MAX: &str = "67108864";
/// A connection is replaced after this long, so that a failed-over server or a new password is picked up.
const CONNECTION_LIFETIME_MAX: Duration = Duration::from_secs(30 * 60);
/// A transaction in which nothing happens holds locks and a connection: PostgreSQL ends it.
const IDLE_IN_TRANSACTION_TIMEOUT_MS: &str = "60000";

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// One file, in this process.
    Sqlite,
    /// A server.
    Postgres,
}

/// How to open the store. Printing it does not print the address, which may hold a password.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// `sqlite:///var/lib/caly/caly.db` or `postgres://user:password@host/database`.
    pub url: SecretString,
    /// Most connections to PostgreSQL. SQLite has one writer and at most eight readers whatever this says.
    pub pool_max: u32,
    /// Connections kept open.
    pub pool_min: u32,
    /// Longest wait for a free connection.
    pub acquire_timeout: Duration,
    /// A connection above `pool_min` is closed after this long without work.
    pub idle_timeout: Duration,
    /// PostgreSQL ends a statement that runs longer.
    pub statement_timeout: Duration,
    /// A statement that takes longer is logged with its name.
    pub slow_query: Duration,
    /// What data keys are wrapped with.
    pub keys: Keyring,
}

impl StoreConfig {
    /// The defaults, for this address and these keys.
    #[must_use]
    pub fn new(url: impl Into<String>, keys: Keyring) -> Self {
        Self {
            url: SecretString::from(url.into()),
            pool_max: 20,
            pool_min: 5,
            acquire_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            statement_timeout: Duration::from_secs(30),
            slow_query: Duration::from_millis(500),
            keys,
        }
    }
}

/// Why the store did not open. Carries no address.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Neither of the two databases.
    #[error("the database address must begin with sqlite:/// (a file) or postgres:// (a server)")]
    UnknownScheme,
    /// The right beginning, then something that cannot be read.
    #[error("the database address cannot be read; expected {0}")]
    Malformed(&'static str),
    /// The folder of an SQLite file cannot be made.
    #[error("the folder {folder} of the database cannot be made")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// Nobody answers, or the answer is no.
    #[error("the database cannot be opened: {0}")]
    Unreachable(String),
}

pub(crate) enum Target {
    Sqlite { path: PathBuf },
    Postgres { options: Box<PgConnectOptions> },
}

impl StoreConfig {
    pub(crate) fn target(&self) -> Result<Target, OpenError> {
        let url = self.url.expose_secret();
        if let Some(rest) = url.strip_prefix("sqlite:") {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            if path.is_empty() || path.contains('?') || path == ":memory:" || path.ends_with('/') {
                return Err(OpenError::Malformed("sqlite:///path/to/caly.db"));
            }
            return Ok(Target::Sqlite { path: PathBuf::from(path) });
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let milliseconds = self.statement_timeout.as_millis().to_string();
            let options = PgConnectOptions::from_str(url)
                .map_err(|_| OpenError::Malformed("postgres://user:password@host:port/database"))?
                .application_name("caly")
                .options([
                    ("statement_timeout", milliseconds.as_str()),
                    ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_TIMEOUT_MS),
                ])
                .disable_statement_logging();
            return Ok(Target::Postgres { options: Box::new(options) });
        }
        Err(OpenError::UnknownScheme)
    }

    pub(crate) fn postgres_pool(&self) -> PgPoolOptions {
        PgPoolOptions::new()
            .max_connections(self.pool_max.max(1))
            .min_connections(self.pool_min.min(self.pool_max))
            .acquire_timeout(self.acquire_timeout)
            .idle_timeout(self.idle_timeout)
            .max_lifetime(CONNECTION_LIFETIME_MAX)
    }

    /// One connection writes, so that writers queue in order instead of polling a lock. It is kept for ever: the last
    /// connection to leave would remove the write-ahead log under the readers.
    pub(crate) fn sqlite_writer_pool(&self) -> SqlitePoolOptions {
        SqlitePoolOptions::new()
            .max_connections(1)
            .min_connections(1)
            .acquire_timeout(self.acquire_timeout)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
    }

    pub(crate) fn sqlite_reader_pool(&self) -> SqlitePoolOptions {
        let readers = self.pool_max.clamp(1, SQLITE_READERS_MAX);
        SqlitePoolOptions::new()
            .max_connections(readers)
            .min_connections(1)
            .acquire_timeout(self.acquire_timeout)
            .idle_timeout(self.idle_timeout)
            .max_lifetime(None)
            .test_before_acquire(false)
    }
}

/// The writer: write-ahead log, and a sync at each commit (`FULL`). With `NORMAL` a power cut may lose the last
/// commits; a webhook that was answered with 200 is not sent again, so what was acknowledged must be on the disk.
pub(crate) fn sqlite_writer(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("journal_size_limit", SQLITE_WAL_BYTES_MAX)
        .foreign_keys(true)
        .busy_timeout(SQLITE_BUSY_TIMEOUT)
        .thread_name(|id| format!("sqlite-write-{id}"))
        .disable_statement_logging()
}

/// A reader: cannot write, whatever the statement.
pub(crate) fn sqlite_reader(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .foreign_keys(true)
        .busy_timeout(SQLITE_BUSY_TIMEOUT)
        .thread_name(|id| format!("sqlite-read-{id}"))
        .disable_statement_logging()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::Connection;

    async fn pragma(connection: &mut sqlx::SqliteConnection, text: &'static str) -> String {
        let row = sqlx::query(text).fetch_one(connection).await.expect("a value");
        let value: Result<i64, _> = sqlx::Row::try_get(&row, 0);
        value.map_or_else(|_| sqlx::Row::get(&row, 0), |number| number.to_string())
    }

    #[tokio::test]
    async fn the_writer_syncs_and_the_reader_cannot_write() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("caly.db");
        let mut writer = sqlx::SqliteConnection::connect_with(&sqlite_writer(&path)).await.expect("opens");
        for (name, want) in [
            ("pragma journal_mode", "wal"),
            ("pragma synchronous", "2"),
            ("pragma foreign_keys", "1"),
            ("pragma busy_timeout", "5000"),
            ("pragma journal_size_limit", SQLITE_WAL_BYTES_MAX),
        ] {
            assert_eq!(pragma(&mut writer, name).await, want, "{name}");
        }
        let mut reader = sqlx::SqliteConnection::connect_with(&sqlite_reader(&path)).await.expect("opens");
        assert!(sqlx::query("create table t (x bigint)").execute(&mut reader).await.is_err());
        assert!(sqlx::query("create table t (x bigint)").execute(&mut writer).await.is_ok());
    }
}
