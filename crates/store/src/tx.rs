//! A unit of work in progress: a tenant's, or one that looks across tenants.

use crate::error::Meaning;
use crate::sql::{Statement, sql, statements};
use crate::{Dialect, Error};
use model::TenantId;
use sqlx::{Postgres, Sqlite, Transaction};
use std::time::{Duration, Instant};

statements! {
    PING = "store.ping" ["select 1 as one"];
}

pub(crate) enum Connection {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

/// A transaction of either database. Dropped without [`Raw::end`], it is rolled back.
pub struct Raw {
    pub(crate) connection: Connection,
    pub(crate) name: &'static str,
    pub(crate) slow_query: Duration,
    /// No statement has failed or been dropped half-way. PostgreSQL turns the commit of a transaction with a failed
    /// statement into a rollback and reports success: see [`Raw::end`].
    pub(crate) intact: bool,
}

impl Raw {
    pub(crate) const fn new(connection: Connection, name: &'static str, slow_query: Duration) -> Self {
        Self { connection, name, slow_query, intact: true }
    }

    pub(crate) const fn dialect(&self) -> Dialect {
        match self.connection {
            Connection::Sqlite(_) => Dialect::Sqlite,
            Connection::Postgres(_) => Dialect::Postgres,
        }
    }

    /// A statement begins; until it succeeds the transaction counts as broken. After a failed one it stays so.
    pub(crate) fn enter(&mut self) -> Entered {
        Entered { began: Instant::now(), was_intact: std::mem::replace(&mut self.intact, false) }
    }

    /// Row policies of PostgreSQL read the tenant from here; the setting ends with the transaction.
    pub(crate) async fn bind_tenant(&mut self, tenant: TenantId) -> Result<(), Error> {
        match &mut self.connection {
            Connection::Sqlite(_) => Ok(()),
            Connection::Postgres(c) => sqlx::query("-- store.tenant\nselect set_config('caly.tenant', $1, true)")
                .bind(tenant.to_string())
                .execute(&mut **c)
                .await
                .map(|_| ())
                .map_err(|error| Error::from_driver(&error, "store.tenant", Meaning::default())),
        }
    }

    /// Commits after `Ok`, rolls back after `Err`.
    pub(crate) async fn end<T, E: From<Error>>(self, outcome: Result<T, E>) -> Result<T, E> {
        let name = self.name;
        let refused = |error: sqlx::Error| Error::from_driver(&error, name, Meaning::default());
        match outcome {
            Ok(_) if !self.intact => {
                self.rollback().await;
                Err(Error::broken(format!("{name}: a statement failed, yet the work ended well; rolled back")).into())
            }
            Ok(value) => {
                match self.connection {
                    Connection::Sqlite(c) => c.commit().await,
                    Connection::Postgres(c) => c.commit().await,
                }
                .map_err(refused)?;
                Ok(value)
            }
            Err(error) => {
                self.rollback().await;
                Err(error)
            }
        }
    }

    /// A rollback that fails changes nothing: the connection is closed and the server rolls back by itself.
    pub(crate) async fn rollback(self) {
        let name = self.name;
        let done = match self.connection {
            Connection::Sqlite(c) => c.rollback().await,
            Connection::Postgres(c) => c.rollback().await,
        };
        if let Err(error) = done {
            tracing::debug!(transaction = name, cause = %crate::error::text_of(&error), "rollback failed");
        }
    }

    /// Prepares one statement without running it.
    pub(crate) async fn prepare(&mut self, statement: &'static Statement) -> Result<(), Error> {
        use sqlx::{Executor as _, SqlSafeStr as _};
        let text = statement.text(self.dialect()).into_sql_str();
        match &mut self.connection {
            Connection::Sqlite(c) => c.prepare(text).await.map(|_| ()),
            Connection::Postgres(c) => c.prepare(text).await.map(|_| ()),
        }
        .map_err(|error| Error::broken(format!("{}: {}", statement.name, crate::error::text_of(&error))))
    }
}

/// What [`Raw::enter`] remembers.
pub(crate) struct Entered {
    pub(crate) began: Instant,
    pub(crate) was_intact: bool,
}

mod sealed {
    pub trait Sealed {
        fn raw(&mut self) -> &mut super::Raw;
    }
}

/// Either kind of transaction, for what belongs to a tenant or to nobody: jobs and audit events.
pub trait AnyTx: sealed::Sealed + Send {
    /// The tenant it is bound to.
    fn tenant_if_any(&self) -> Option<TenantId>;
}

/// A transaction of one tenant.
pub struct Tx {
    raw: Raw,
    tenant: TenantId,
}

impl Tx {
    pub(crate) const fn new(raw: Raw, tenant: TenantId) -> Self {
        Self { raw, tenant }
    }

    /// Whose it is.
    #[must_use]
    pub const fn tenant(&self) -> TenantId {
        self.tenant
    }

    pub(crate) fn into_raw(self) -> Raw {
        self.raw
    }
}

/// A transaction across tenants: webhooks before the tenant is known, reconcilers, the job runner.
pub struct SystemTx {
    /// Bound to nobody until [`SystemTx::tenant`].
    tx: Tx,
}

impl SystemTx {
    pub(crate) const fn new(raw: Raw) -> Self {
        Self { tx: Tx::new(raw, model::OrganisationId(uuid::Uuid::nil())) }
    }

    /// Goes on as this tenant, in the same transaction.
    ///
    /// # Errors
    /// When the database cannot be told.
    pub async fn tenant(&mut self, tenant: TenantId) -> Result<&mut Tx, Error> {
        self.tx.raw.bind_tenant(tenant).await?;
        self.tx.tenant = tenant;
        Ok(&mut self.tx)
    }

    pub(crate) async fn ping(&mut self) -> Result<(), Error> {
        sql(&PING).run(self).await.map(|_| ())
    }

    pub(crate) fn into_raw(self) -> Raw {
        self.tx.raw
    }
}

impl sealed::Sealed for Tx {
    fn raw(&mut self) -> &mut Raw {
        &mut self.raw
    }
}

impl AnyTx for Tx {
    fn tenant_if_any(&self) -> Option<TenantId> {
        Some(self.tenant)
    }
}

impl sealed::Sealed for SystemTx {
    fn raw(&mut self) -> &mut Raw {
        &mut self.tx.raw
    }
}

impl AnyTx for SystemTx {
    fn tenant_if_any(&self) -> Option<TenantId> {
        None
    }
}
