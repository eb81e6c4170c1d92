//! The schema and its history. Each step runs in one transaction together with the row that says it ran, and carries
//! its way back. Several processes may start at once: the first takes the lock, the others find nothing left to do.

use crate::error::text_of;
use crate::row_security::Identity;
use crate::sql::{Row, sql, statements};
use crate::tx::{Connection, Raw};
use crate::{Dialect, Error, Store};
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

/// One file of a step.
struct Part {
    /// The database it is for; `None` = both.
    only: Option<Dialect>,
    text: &'static str,
}

struct Migration {
    version: i64,
    name: &'static str,
    up: &'static [Part],
    down: &'static [Part],
}

/// `both` is `migrations/NNNN_name.up.sql`, `sqlite` and `postgres` are `NNNN_name.sqlite.up.sql` and
/// `NNNN_name.postgres.up.sql`, which run after it in the same transaction; each with its `.down.sql`.
macro_rules! part {
    ($name:literal, both, $way:literal) => {
        Part { only: None, text: include_str!(concat!("../../../migrations/", $name, ".", $way, ".sql")) }
    };
    ($name:literal, sqlite, $way:literal) => {
        Part {
            only: Some(Dialect::Sqlite),
            text: include_str!(concat!("../../../migrations/", $name, ".sqlite.", $way, ".sql")),
        }
    };
    ($name:literal, postgres, $way:literal) => {
        Part {
            only: Some(Dialect::Postgres),
            text: include_str!(concat!("../../../migrations/", $name, ".postgres.", $way, ".sql")),
        }
    };
}

macro_rules! migrations {
    ($($version:literal $name:literal [$($part:ident)*];)*) => {
        &[$(Migration {
            version: $version,
            name: $name,
            up: &[$(part!($name, $part, "up")),*],
            down: &[$(part!($name, $part, "down")),*],
        }),*]
    };
}

/// In order. A step that has run anywhere is never edited: a new one follows. Since `0006_row_security` a table with
/// `tenant_id` is created together with its policies and grants, and a step that touches rows of such a table must first
/// `set local role caly_system`: the owner of the tables sees no row.
const MIGRATIONS: &[Migration] = migrations![
    1 "0001_calls" [both];
    2 "0002_identity" [both sqlite postgres];
    3 "0003_secrets" [both];
    4 "0004_audit_chain" [both sqlite postgres];
    5 "0005_idempotency" [both];
    6 "0006_row_security" [postgres];
    7 "0007_call_filters" [both];
    8 "0008_webhook_endpoints" [both postgres];
    9 "0009_carrier_events" [both postgres];
    10 "0010_carriers" [both postgres];
    11 "0011_knowledge" [both sqlite postgres];
    12 "0012_call_records" [both];
    15 "0015_large_tables" [both];
];

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
    /// A role that row policies are written for is not there.
    #[error(
        "the database has no role {role}: as an administrator run: create role {role} nologin; and grant it to this program's account"
    )]
    RoleMissing {
        /// Its name.
        role: &'static str,
    },
    /// A role that row policies are written for may pass by them.
    #[error(
        "the role {role} is a superuser or has BYPASSRLS: row policies would not hold; run: alter role {role} nosuperuser nobypassrls"
    )]
    RoleUnbound {
        /// Its name.
        role: &'static str,
    },
    /// This program's account may not act as a role that it needs.
    #[error("this program's account may not act as {role}: as an administrator run: grant {role} to ACCOUNT")]
    RoleNotGranted {
        /// Its name.
        role: &'static str,
    },
    /// Data keys were wrapped with a key that this program was not given.
    #[error(
        "{count} data key(s) were wrapped with another ENCRYPTION_KEY (beginning with {kek_id}): give that one, or give it as the previous key"
    )]
    UnknownKey {
        /// How many.
        count: u64,
        /// Which one: the first 8 bytes of its SHA-256, in hexadecimal.
        kek_id: String,
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

impl Part {
    fn is_for(&self, dialect: Dialect) -> bool {
        self.only.is_none_or(|only| only == dialect)
    }
}

impl Migration {
    /// What runs on this database to go forth, in order.
    fn up(&self, dialect: Dialect) -> impl Iterator<Item = &'static str> {
        self.up.iter().filter(move |part| part.is_for(dialect)).map(|part| part.text)
    }

    /// What runs to go back: the other way round.
    fn down(&self, dialect: Dialect) -> impl Iterator<Item = &'static str> {
        self.down.iter().rev().filter(move |part| part.is_for(dialect)).map(|part| part.text)
    }

    /// Of the texts that run on this database.
    fn checksum(&self, dialect: Dialect) -> [u8; 32] {
        let mut hash = Sha256::new();
        for text in self.up(dialect) {
            hash.update(text.as_bytes());
        }
        hash.finalize().into()
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
            let mut raw = self.begin_step().await?;
            let history = history(&mut raw).await?;
            verify(&history, self.dialect())?;
            let Some(next) = MIGRATIONS.iter().find(|m| history.iter().all(|a| a.version != m.version)) else {
                end(raw).await?;
                return Ok(count);
            };
            let mut raw = execute(raw, next.name, next.up(self.dialect())).await?;
            sql(&RECORD)
                .bind(next.version)
                .bind(next.name)
                .bind(next.checksum(self.dialect()))
                .bind(now)
                .run(&mut raw.acting(Identity::Login))
                .await?;
            end(raw).await?;
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
            let mut raw = self.begin_step().await?;
            let history = history(&mut raw).await?;
            verify(&history, self.dialect())?;
            let newest =
                MIGRATIONS.iter().rev().find(|m| m.version > to && history.iter().any(|a| a.version == m.version));
            let Some(step) = newest else {
                end(raw).await?;
                return Ok(count);
            };
            let mut raw = execute(raw, step.name, step.down(self.dialect())).await?;
            sql(&FORGET).bind(step.version).run(&mut raw.acting(Identity::Login)).await?;
            end(raw).await?;
            tracing::info!(migration = step.name, "migrated down");
            count += 1;
        }
    }

    /// Every step this program knows or the database has seen, in order.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn migrate_status(&self) -> Result<Vec<MigrationStatus>, MigrateError> {
        let mut raw = self.begin_step().await?;
        let history = history(&mut raw).await?;
        end(raw).await?;
        let known = MIGRATIONS.iter().map(|m| {
            let state = match history.iter().find(|a| a.version == m.version) {
                None => MigrationState::Pending,
                Some(a) if a.checksum != m.checksum(self.dialect()) => MigrationState::Altered,
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

    /// Whether the schema is exactly this program's, the roles are as the row policies need them, and the keys at rest
    /// can be opened. A server asks before it serves.
    ///
    /// # Errors
    /// [`MigrateError`].
    pub async fn migrate_check(&self) -> Result<(), MigrateError> {
        let mut raw = self.begin_step().await?;
        let history = history(&mut raw).await?;
        end(raw).await?;
        verify(&history, self.dialect())?;
        let mut pending = MIGRATIONS.iter().filter(|m| history.iter().all(|a| a.version != m.version));
        match pending.next() {
            None => {}
            Some(first) => return Err(MigrateError::Pending { count: pending.count() + 1, first: first.name }),
        }
        self.check_roles().await?;
        self.check_keys().await
    }

    /// A transaction that holds the lock of migrations and sees their history.
    async fn begin_step(&self) -> Result<Raw, MigrateError> {
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
        Ok(raw)
    }
}

fn is_known(version: i64) -> bool {
    MIGRATIONS.iter().any(|m| m.version == version)
}

async fn history(raw: &mut Raw) -> Result<Vec<Applied>, Error> {
    sql(&APPLIED).all(&mut raw.acting(Identity::Login), applied).await
}

fn verify(history: &[Applied], dialect: Dialect) -> Result<(), MigrateError> {
    for ran in history {
        let Some(known) = MIGRATIONS.iter().find(|m| m.version == ran.version) else {
            return Err(MigrateError::Unknown { version: ran.version, name: ran.name.clone() });
        };
        if ran.checksum != known.checksum(dialect) {
            return Err(MigrateError::Altered { version: ran.version, name: ran.name.clone() });
        }
    }
    Ok(())
}

async fn execute(
    mut raw: Raw,
    name: &'static str,
    texts: impl Iterator<Item = &'static str>,
) -> Result<Raw, MigrateError> {
    for text in texts {
        let done = match &mut raw.connection {
            Connection::Sqlite(c) => sqlx::raw_sql(text).execute(&mut **c).await.map(|_| ()),
            Connection::Postgres(c) => sqlx::raw_sql(text).execute(&mut **c).await.map(|_| ()),
        };
        if let Err(error) = done {
            raw.rollback().await;
            return Err(MigrateError::Failed { name, cause: text_of(&error) });
        }
    }
    Ok(raw)
}

async fn end(raw: Raw) -> Result<(), Error> {
    raw.end(Ok::<(), Error>(())).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_rise_and_names_carry_them() {
        assert!(MIGRATIONS.is_sorted_by(|a, b| a.version < b.version));
        for migration in MIGRATIONS {
            assert!(migration.name.starts_with(&format!("{:04}_", migration.version)), "{}", migration.name);
            for dialect in [Dialect::Sqlite, Dialect::Postgres] {
                assert_eq!(migration.up(dialect).count(), migration.down(dialect).count(), "{}", migration.name);
            }
            assert!(migration.down.iter().all(|part| !part.text.trim().is_empty()), "{}", migration.name);
        }
    }

    /// It has run in the field on both databases.
    #[test]
    fn the_first_step_is_as_it_ran() {
        let first = &MIGRATIONS[0];
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            let hex: String = first.checksum(dialect).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, "861faf0804390e7b084fada8bd839cd63870d0a473c0b3d8d0b8c12cfdbda95e");
        }
    }
}
