//! A unit of work in progress: a tenant's, or one that looks across tenants.

use crate::error::{Meaning, text_of};
use crate::group::SqliteTx;
use crate::row_security::Identity;
use crate::sql::{Statement, sql, statements};
use crate::vault::Vault;
use crate::{Dialect, Error, audit_chain};
use model::TenantId;
pub(crate) use sealed::Sealed;
use sqlx::{Postgres, Transaction};
use std::sync::Arc;
use std::time::{Duration, Instant};

statements! {
    PING = "store.ping" ["select 1 as one"];
}

pub(crate) enum Connection {
    Sqlite(SqliteTx),
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
    /// In whose hand the next statement is to run, and in whose the connection is; `None` while it changes.
    wanted: Identity,
    actual: Option<Identity>,
    /// Opens and seals what is kept sealed.
    pub(crate) vault: Arc<Vault>,
    /// Audit events, written just before the commit.
    pub(crate) audit: Vec<audit_chain::Pending>,
}

impl Raw {
    /// Of a connection that acts as `identity` already.
    pub(crate) const fn new(
        connection: Connection,
        identity: Identity,
        name: &'static str,
        slow_query: Duration,
        vault: Arc<Vault>,
    ) -> Self {
        let (wanted, actual) = (identity, Some(identity));
        Self { connection, name, slow_query, intact: true, wanted, actual, vault, audit: Vec::new() }
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

    /// Statements run as this identity, until [`AnyTx`] says otherwise.
    pub(crate) const fn acting(&mut self, identity: Identity) -> Acting<'_> {
        Acting { raw: self, identity }
    }

    /// Makes the connection act as whoever the next statement belongs to. Row policies of PostgreSQL look at role and
    /// tenant; both end with the transaction. SQLite has neither.
    pub(crate) async fn assume(&mut self) -> Result<(), Error> {
        if self.actual == Some(self.wanted) {
            return Ok(());
        }
        self.actual = None;
        let (role, tenant) = self.wanted.settings();
        if let Connection::Postgres(c) = &mut self.connection {
            let was_intact = std::mem::replace(&mut self.intact, false);
            sqlx::query("-- store.assume\nselect set_config('role', $1, true), set_config('caly.tenant', $2, true)")
                .bind(role)
                .bind(tenant)
                .execute(&mut **c)
                .await
                .map_err(|error| Error::from_driver(&error, "store.assume", Meaning::default()))?;
            self.intact = was_intact;
        }
        self.actual = Some(self.wanted);
        Ok(())
    }

    /// Commits after `Ok`, rolls back after `Err`.
    pub(crate) async fn end<T, E: From<Error>>(mut self, outcome: Result<T, E>) -> Result<T, E> {
        let name = self.name;
        if outcome.is_ok()
            && self.intact
            && let Err(error) = audit_chain::write(&mut self).await
        {
            self.undo().await?;
            return Err(error.into());
        }
        match outcome {
            Ok(_) if !self.intact => {
                self.undo().await?;
                Err(Error::broken(format!("{name}: a statement failed, yet the work ended well; rolled back")).into())
            }
            Ok(value) => {
                match self.connection {
                    Connection::Sqlite(c) => c.commit(name).await,
                    Connection::Postgres(c) => {
                        c.commit().await.map_err(|error| Error::from_driver(&error, name, Meaning::default()))
                    }
                }?;
                Ok(value)
            }
            Err(error) => {
                self.undo().await?;
                Err(error)
            }
        }
    }

    /// A rollback that fails changes nothing: the connection is closed and the server rolls back by itself.
    pub(crate) async fn rollback(self) {
        let name = self.name;
        if let Err(error) = self.undo().await {
            tracing::debug!(transaction = name, %error, "rolled back, and so were others");
        }
    }

    /// Rolls back. [`Error`] when what this work has seen of others was undone with it: then its own failure proves
    /// nothing.
    async fn undo(self) -> Result<(), Error> {
        let name = self.name;
        match self.connection {
            Connection::Sqlite(c) => c.roll_back(name).await,
            Connection::Postgres(c) => {
                if let Err(error) = c.rollback().await {
                    tracing::debug!(transaction = name, cause = %text_of(&error), "rollback failed");
                }
                Ok(())
            }
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
        .map_err(|error| Error::broken(format!("{}: {}", statement.name, text_of(&error))))
    }
}

/// What [`Raw::enter`] remembers.
pub(crate) struct Entered {
    pub(crate) began: Instant,
    pub(crate) was_intact: bool,
}

mod sealed {
    pub trait Sealed {
        /// For a statement of this transaction: see [`super::Raw::assume`].
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

    /// Goes on as this tenant, in the same transaction. What is asked of this [`SystemTx`] afterwards is across tenants
    /// again.
    ///
    /// # Errors
    /// When the database cannot be told.
    pub async fn tenant(&mut self, tenant: TenantId) -> Result<&mut Tx, Error> {
        self.tx.tenant = tenant;
        self.tx.raw().assume().await?;
        Ok(&mut self.tx)
    }

    pub(crate) fn into_raw(self) -> Raw {
        self.tx.raw
    }
}

/// A transaction in another hand for a few statements.
pub(crate) struct Acting<'a> {
    raw: &'a mut Raw,
    identity: Identity,
}

impl sealed::Sealed for Acting<'_> {
    fn raw(&mut self) -> &mut Raw {
        self.raw.wanted = self.identity;
        self.raw
    }
}

impl AnyTx for Acting<'_> {
    fn tenant_if_any(&self) -> Option<TenantId> {
        match self.identity {
            Identity::Tenant(tenant) => Some(tenant),
            Identity::Login | Identity::System | Identity::Keeper => None,
        }
    }
}

impl Acting<'_> {
    pub(crate) async fn ping(&mut self) -> Result<(), Error> {
        sql(&PING).run(self).await.map(|_| ())
    }
}

impl sealed::Sealed for Tx {
    fn raw(&mut self) -> &mut Raw {
        self.raw.wanted = Identity::Tenant(self.tenant);
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
        self.tx.raw.wanted = Identity::System;
        &mut self.tx.raw
    }
}

impl AnyTx for SystemTx {
    fn tenant_if_any(&self) -> Option<TenantId> {
        None
    }
}
