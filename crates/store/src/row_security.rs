//! The second lock on tenants' rows (PostgreSQL): every statement runs as one of three roles that cannot log in, own no
//! table and cannot pass by the row policies, which `0006_row_security` made. The first lock is the `tenant_id` in each
//! statement; SQLite has only that one.

use crate::error::Meaning;
use crate::tx::Connection;
use crate::{Error, MigrateError, Store};
use model::TenantId;
use sqlx::{AssertSqlSafe, PgConnection};

/// In whose hand a statement runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// The account that logged in, which owns the tables: migrations only. The policies hide every row from it.
    Login,
    /// Across tenants. Cannot change or delete audit events.
    System,
    /// One tenant's rows.
    Tenant(TenantId),
    /// Retention: may delete audit events below the anchor of their chain, and nothing else.
    Keeper,
}

impl Identity {
    /// The values of `role` and `caly.tenant`.
    pub(crate) fn settings(self) -> (&'static str, String) {
        match self {
            Self::Login => ("none", String::new()),
            Self::System => (SYSTEM, String::new()),
            Self::Tenant(tenant) => (TENANT, tenant.to_string()),
            Self::Keeper => (KEEPER, String::new()),
        }
    }

    /// The beginning of a transaction in this hand. Nothing of it comes from outside: a tenant is its digits.
    pub(crate) fn after(self, begin: &'static str) -> AssertSqlSafe<String> {
        let (role, tenant) = self.settings();
        AssertSqlSafe(match self {
            Self::Login => begin.to_owned(),
            Self::Tenant(_) | Self::System | Self::Keeper => {
                format!("{begin}; set local role {role}; set local caly.tenant = '{tenant}'")
            }
        })
    }
}

const TENANT: &str = "caly_tenant";
const SYSTEM: &str = "caly_system";
const KEEPER: &str = "caly_keeper";
const ROLES: &[&str] = &[TENANT, SYSTEM, KEEPER];

/// Read from the catalog by hand: SQLite has none, so these are no [`crate::sql::Statement`]s.
const ATTRIBUTES: &str = "-- row_security.attributes
select rolsuper or rolbypassrls from pg_roles where rolname = $1";
const ASSUME: &str = "-- row_security.assume
select set_config('role', $1, true)";

impl Store {
    /// That the roles are there, cannot pass by the row policies, and may be assumed by the account of this program.
    pub(crate) async fn check_roles(&self) -> Result<(), MigrateError> {
        let mut raw = self.begin_read("store.check_roles").await?;
        let mut found = Ok(());
        if let Connection::Postgres(c) = &mut raw.connection {
            for role in ROLES {
                found = check_role(c, role).await;
                if found.is_err() {
                    break;
                }
            }
        }
        raw.rollback().await;
        found
    }
}

async fn check_role(connection: &mut PgConnection, role: &'static str) -> Result<(), MigrateError> {
    let failed = |error: sqlx::Error| Error::from_driver(&error, "row_security.attributes", Meaning::default());
    let passes: Option<bool> =
        sqlx::query_scalar(ATTRIBUTES).bind(role).fetch_optional(&mut *connection).await.map_err(failed)?;
    match passes {
        None => Err(MigrateError::RoleMissing { role }),
        Some(true) => Err(MigrateError::RoleUnbound { role }),
        Some(false) => match sqlx::query(ASSUME).bind(role).execute(connection).await {
            Ok(_) => Ok(()),
            Err(sqlx::Error::Database(_)) => Err(MigrateError::RoleNotGranted { role }),
            Err(error) => Err(failed(error).into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AnyTx;
    use crate::sql::{Statement, sql};
    use crate::tx::Sealed as _;
    use sqlx::{Connection as _, Executor as _};

    #[test]
    fn an_identity_without_a_tenant_has_an_empty_setting() {
        let tenant = model::OrganisationId(uuid::Uuid::from_u128(7));
        assert_eq!(Identity::Tenant(tenant).settings(), (TENANT, tenant.to_string()));
        for identity in [Identity::Login, Identity::System, Identity::Keeper] {
            assert_eq!(identity.settings().1, "");
        }
        let roles: Vec<_> =
            [Identity::Tenant(tenant), Identity::System, Identity::Keeper].map(|identity| identity.settings().0).into();
        assert_eq!(roles, ROLES);
    }

    /// Roles are of the cluster: made in a transaction that is taken back, other tests never see them.
    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "the test server's address comes from `scripts/with-postgres`")]
    async fn a_role_that_is_missing_or_unbound_or_not_ours_is_refused() {
        let Ok(url) = std::env::var("CALY_TEST_POSTGRES_URL") else {
            assert_eq!(std::env::var("CALY_TEST_POSTGRES").as_deref(), Ok("skip"), "run scripts/with-postgres");
            return;
        };
        let mut connection = PgConnection::connect(&url).await.expect("connects");
        connection
            .execute(
                "begin; create role caly_unit_plain nologin; create role caly_unit_free nologin bypassrls;
                 create role caly_unit_super nologin superuser; create role caly_unit_login nologin;",
            )
            .await
            .expect("made");
        check_role(&mut connection, "caly_unit_plain").await.expect("fits");
        connection.execute("reset role").await.expect("reset");
        let missing = check_role(&mut connection, "caly_unit_none").await;
        assert!(matches!(missing, Err(MigrateError::RoleMissing { role: "caly_unit_none" })), "{missing:?}");
        for role in ["caly_unit_free", "caly_unit_super"] {
            let unbound = check_role(&mut connection, role).await;
            assert!(matches!(unbound, Err(MigrateError::RoleUnbound { .. })), "{role}: {unbound:?}");
        }
        connection.execute("set local session authorization caly_unit_login").await.expect("set");
        let foreign = check_role(&mut connection, "caly_unit_plain").await;
        assert!(matches!(foreign, Err(MigrateError::RoleNotGranted { .. })), "{foreign:?}");
        connection.execute("rollback").await.expect("rolled back");
        connection.close().await.expect("closed");
    }

    const WHO: Statement = Statement::new(
        "test.who",
        "",
        "-- test.who\nselect current_user::text as role, current_setting('caly.tenant', true) as tenant",
    );

    async fn who(tx: &mut impl AnyTx) -> Result<(String, String), Error> {
        sql(&WHO).required(tx, |row| Ok((row.get("role")?, row.get("tenant")?))).await
    }

    async fn each_unit_of_work_runs_as_its_role(store: &Store) -> Result<(), Error> {
        let [ours, theirs] = [1, 2].map(|n| model::OrganisationId(uuid::Uuid::from_u128(n)));
        let role = |role: &str, tenant: Option<TenantId>| {
            (role.to_owned(), tenant.map_or(String::new(), |tenant| tenant.to_string()))
        };
        assert_eq!(store.read(ours, "test", async |tx| who(tx).await).await?, role(TENANT, Some(ours)));
        assert_eq!(store.write(ours, "test", async |tx| who(tx).await).await?, role(TENANT, Some(ours)));
        store
            .system("test", async |tx| {
                assert_eq!(who(tx).await?, role(SYSTEM, None));
                for tenant in [ours, theirs] {
                    let own = tx.tenant(tenant).await?;
                    assert_eq!(who(own).await?, role(TENANT, Some(tenant)));
                    assert_eq!(who(&mut own.raw().acting(Identity::System)).await?, role(SYSTEM, None));
                    assert_eq!(who(own).await?, role(TENANT, Some(tenant)));
                    assert_eq!(who(tx).await?, role(SYSTEM, None));
                }
                Ok::<_, Error>(())
            })
            .await?;
        let mut raw = store.begin_write("test").await?;
        let keeper = who(&mut raw.acting(Identity::Keeper)).await;
        assert_eq!(raw.end(keeper).await?, role(KEEPER, None));
        // The next one on the same connection begins as nobody.
        let mut raw = store.begin_write("test").await?;
        let login = who(&mut raw.acting(Identity::Login)).await;
        assert_eq!(raw.end(login).await?.1, "");
        Ok(())
    }

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "the test server's address comes from `scripts/with-postgres`")]
    async fn the_hand_changes_with_the_transaction() {
        let Ok(url) = std::env::var("CALY_TEST_POSTGRES_URL") else {
            assert_eq!(std::env::var("CALY_TEST_POSTGRES").as_deref(), Ok("skip"), "run scripts/with-postgres");
            return;
        };
        let mut admin = PgConnection::connect(&url).await.expect("connects");
        admin.execute("create database caly_unit_roles template template0").await.expect("made");
        let (server, _) = url.rsplit_once('/').expect("an address");
        let keys = crate::Keyring::new([7; 32], None);
        let config = crate::StoreConfig {
            pool_max: 1,
            pool_min: 0,
            ..crate::StoreConfig::new(format!("{server}/caly_unit_roles"), keys)
        };
        let store = Store::open(&config).await.expect("opens");
        store.migrate_up(chrono::DateTime::UNIX_EPOCH).await.expect("migrated");
        let outcome = each_unit_of_work_runs_as_its_role(&store).await;
        store.close().await;
        admin.execute("drop database caly_unit_roles with (force)").await.expect("removed");
        outcome.expect("the test");
    }
}
