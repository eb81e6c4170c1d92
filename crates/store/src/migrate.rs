//! The schema and its history. Each step runs in one transaction together with the row that says it ran, and carries
//! its way back. Several processes may start at once: the first takes the lock, the others find nothing left to do.

use crate::error::text_of;
use crate::sql::{Row, sql, statements};
use crate::tx::{Connection, Raw};
use crate::{Error, Store, SystemTx};
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

struct Migration {
    version: i64,
    name: &'static str,
    up: &'static str,
    down: &'static str,
}

/// `migrations/NNNN_name.up.sql` and its `.down.sql`.
macro_rules! migrations {
    ($($version:literal $name:literal),* $(,)?) => {
        &[$(Migration {
            version: $version,
            name: $name,
            up: include_str!(concat!("../../../migrations/", $name, ".up.sql")),
            down: include_str!(concat!("../../../migrations/", $name, ".down.sql")),
        }),*]
    };
}

/// In order. A step that has run anywhere is never edited: a new one follows.
const MIGRATIONS: &[Migration] = migrations![1 "0001_calls"];

/// Held by PostgreSQL until the end of the step's transaction. The number is `caly` in ASCII.
const LOCK: &str = "select pg_advisory_xact_lock(1667329145)";
/// Steps may take longer than a statement of a request, and so may the wait for another process's step.
const NO_TIMEOUT: &str = "set local statement_timeout = 0";
const HISTORY: &str = "create table if not exists schema_migrations (
    version bigint not null primary key,
    name text not null,
    checksum bytea not null,
    applied_at timestamptz not null
)";

statements! {
    APPLIED = "migrations.applied" ["select version, name, checksum, applied_at from schema_migrations order by version"];
    RECORD = "migrations.record" ["insert into schema_migrations (version, name, checksum, applied_at)
        values ($1, $2, $3, $4)"];
    FORGET = "migrations.forget" ["delete from schema_migrations where version = $1"];
}

/// Why the schema is not what this program needs.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database was migrated by a newer (or another) program.
    #[error(
        "the database is at migration {version} ({name}), which this program does not know: run the newer program, or migrate down with it first"
    )]
    Unknown {
        /// Its number.
        version: i64,
        /// Its name.
        name: String,
    },
    /// The text of a step differs from what ran.
    #[error(
        "migration {version} ({name}) ran with another text than this program holds: the database and the program do not belong together"
    )]
    Altered {
        /// Its number.
        version: i64,
        /// Its name.
        name: String,
    },
    /// Steps are missing.
    #[error("{count} migration(s) have not run, beginning with {first}: run `caly migrate up`")]
    Pending {
        /// How many.
        count: usize,
        /// The name of the first.
        first: &'static str,
    },
    /// There is no such step to go back to.
    #[error("there is no migration {0}")]
    NoSuchVersion(i64),
    /// A step failed and was rolled back whole.
    #[error("migration {name} failed and was rolled back: {cause}")]
    Failed {
        /// Its name.
        name: &'static str,
        /// What the database said.
        cause: String,
    },
    /// The database failed otherwise.
    #[error(transparent)]
    Store(#[from] Error),
}

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationState {
    /// It ran.
    Applied {
        /// When.
        at: DateTime<Utc>,
    },
    /// It has not run.
    Pending,
    /// It ran with another text.
    Altered,
    /// It ran, and this program does not know it.
    Unknown,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationStatus {
    /// Its number, rising.
    pub version: i64,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub state: MigrationState,
}

struct Applied {
    version: i64,
    name: String,
    checksum: Vec<u8>,
    at: DateTime<Utc>,
}

fn applied(row: &Row) -> Result<Applied, Error> {
    Ok(Applied {
        version: row.get("version")?,
        name: row.get("name")?,
        checksum: row.get("checksum")?,
        at: row.get("applied_at")?,
    })
}

impl Migration {
    fn checksum(&self) -> [u8; 32] {
        Sha256::digest(self.up.as_bytes()).into()
    }
}

impl Store {
    /// Runs every step that has not run; returns how many did.
    ///
    /// # Errors
    /// [`MigrateError`]; steps before the failing one stay.
    pub async fn migrate_up(&self, now: DateTime<Utc>) -> Result<usize, MigrateError> {
        let mut count = 0;
        loop {
            let mut tx = self.begin_step().await?;
            let history = history(&mut tx).await?;
            verify(&history)?;
            let Some(next) = MIGRATIONS.iter().find(|m| history.iter().all(|a| a.version != m.version)) else {
                end(tx).await?;
                return Ok(count);
            };
            let mut tx = execute(tx, next.name, next.up).await?;
            sql(&RECORD).bind(next.version).bind(next.name).bind(next.checksum()).bind(now).run(&mut tx).await?;
            end(tx).await?;
            tracing::info!(migration = next.name, "migrated up");
            count += 1;
        }
    }

    /// Takes back every step above `to`, newest first; 0 takes back all. Returns how many.
    ///
    /// # Errors
    /// [`MigrateError`]; steps taken back before the failing one stay so.
    pub async fn migrate_down(&self, to: i64) -> Result<usize, MigrateError> {
        if to != 0 && MIGRATIONS.iter().all(|m| m.version != to) {
            return Err(MigrateError::NoSuchVersion(to));
        }
        let mut count = 0;
        loop {
            let mut tx = self.begin_step().await?;
            let history = history(&mut tx).await?;
            verify(&history)?;
            let newest =
                MIGRATIONS.iter().rev().find(|m| m.version > to && history.iter().any(|a| a.version == m.version));
            let Some(step) = newest else {
                end(tx).await?;
                return Ok(count);
            };
            let mut tx = execute(tx, step.name, step.down).await?;
            sql(&FORGET).bind(step.version).run(&mut tx).await?;
            end(tx).await?;
            tracing::info!(migration = step.name, "migrated down");
            count += 1;
        }
    }

    /// Every step this program knows or the database has seen, in order.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn migrate_status(&self) -> Result<Vec<MigrationStatus>, MigrateError> {
        let mut tx = self.begin_step().await?;
        let history = history(&mut tx).await?;
        end(tx).await?;
        let known = MIGRATIONS.iter().map(|m| {
            let state = match history.iter().find(|a| a.version == m.version) {
                None => MigrationState::Pending,
                Some(a) if a.checksum != m.checksum() => MigrationState::Altered,
                Some(a) => MigrationState::Applied { at: a.at },
            };
            MigrationStatus { version: m.version, name: m.name.to_owned(), state }
        });
        let unknown = history.iter().filter(|a| !is_known(a.version)).map(|a| MigrationStatus {
            version: a.version,
            name: a.name.clone(),
            state: MigrationState::Unknown,
        });
        let mut all: Vec<_> = known.chain(unknown).collect();
        all.sort_by_key(|status| status.version);
        Ok(all)
    }

    /// Whether the schema is exactly this program's. A server asks before it serves.
    ///
    /// # Errors
    /// [`MigrateError::Unknown`], [`MigrateError::Altered`] or [`MigrateError::Pending`].
    pub async fn migrate_check(&self) -> Result<(), MigrateError> {
        let mut tx = self.begin_step().await?;
        let history = history(&mut tx).await?;
        end(tx).await?;
        verify(&history)?;
        let mut pending = MIGRATIONS.iter().filter(|m| history.iter().all(|a| a.version != m.version));
        match pending.next() {
            None => Ok(()),
            Some(first) => Err(MigrateError::Pending { count: pending.count() + 1, first: first.name }),
        }
    }

    /// A transaction that holds the lock of migrations and sees their history.
    async fn begin_step(&self) -> Result<SystemTx, MigrateError> {
        let mut raw = self.begin_write("store.migrate").await?;
        let prepared = match &mut raw.connection {
            Connection::Sqlite(c) => sqlx::raw_sql(HISTORY).execute(&mut **c).await.map(|_| ()),
            Connection::Postgres(c) => {
                let mut done = Ok(());
                for text in [NO_TIMEOUT, LOCK, HISTORY] {
                    done = sqlx::raw_sql(text).execute(&mut **c).await.map(|_| ());
                    if done.is_err() {
                        break;
                    }
                }
                done
            }
        };
        prepared.map_err(|error| MigrateError::Failed { name: "history", cause: text_of(&error) })?;
        Ok(SystemTx::new(raw))
    }
}

fn is_known(version: i64) -> bool {
    MIGRATIONS.iter().any(|m| m.version == version)
}

async fn history(tx: &mut SystemTx) -> Result<Vec<Applied>, Error> {
    sql(&APPLIED).all(tx, applied).await
}

fn verify(history: &[Applied]) -> Result<(), MigrateError> {
    for ran in history {
        let Some(known) = MIGRATIONS.iter().find(|m| m.version == ran.version) else {
            return Err(MigrateError::Unknown { version: ran.version, name: ran.name.clone() });
        };
        if ran.checksum != known.checksum() {
            return Err(MigrateError::Altered { version: ran.version, name: ran.name.clone() });
        }
    }
    Ok(())
}

async fn execute(tx: SystemTx, name: &'static str, text: &'static str) -> Result<SystemTx, MigrateError> {
    let mut raw: Raw = tx.into_raw();
    let done = match &mut raw.connection {
        Connection::Sqlite(c) => sqlx::raw_sql(text).execute(&mut **c).await.map(|_| ()),
        Connection::Postgres(c) => sqlx::raw_sql(text).execute(&mut **c).await.map(|_| ()),
    };
    match done {
        Ok(()) => Ok(SystemTx::new(raw)),
        Err(error) => {
            raw.rollback().await;
            Err(MigrateError::Failed { name, cause: text_of(&error) })
        }
    }
}

async fn end(tx: SystemTx) -> Result<(), Error> {
    tx.into_raw().end(Ok::<(), Error>(())).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_rise_and_names_carry_them() {
        assert!(MIGRATIONS.is_sorted_by(|a, b| a.version < b.version));
        for migration in MIGRATIONS {
            assert!(migration.name.starts_with(&format!("{:04}_", migration.version)), "{}", migration.name);
            assert!(!migration.down.trim().is_empty(), "{} has no way back", migration.name);
        }
    }
}
