//! A database for each test, and rows to begin with.

use chrono::{DateTime, Duration, Utc};
use model::{AgentConfig, AgentId, CallDirection, CallId, CallStatus, CarrierKind, E164, TenantId};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, SqliteConnection};
use store::calls::{Call, NewCall, Owner};
use store::phone_numbers::{NewPhoneNumber, PhoneNumber};
use store::{Error, Keyring, Store, StoreConfig, SystemTx, Tx, agents, calls, organisations, phone_numbers};

pub(crate) type TestResult = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Declares tests that run once on each database.
macro_rules! both_databases {
    ($($(#[$meta:meta])* async fn $name:ident($db:ident) $body:block)*) => {$(
        $(#[$meta])*
        async fn $name($db: &crate::database::TestDatabase) -> crate::database::TestResult $body

        mod $name {
            #[tokio::test(flavor = "multi_thread")]
            async fn sqlite() {
                let database = crate::database::TestDatabase::sqlite().await;
                super::$name(&database).await.expect("the test");
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn postgres() {
                if let Some(database) = crate::database::TestDatabase::postgres().await {
                    super::$name(&database).await.expect("the test");
                    database.remove().await;
                }
            }
        }
    )*};
}
pub(crate) use both_databases;

/// Migrated once, copied for each test.
const TEMPLATE: &str = "caly_test_template";
/// Held while the template is looked at or copied: several test processes run at once.
const TEMPLATE_LOCK: &str = "select pg_advisory_lock(7236)";

enum Place {
    Sqlite { _folder: tempfile::TempDir },
    Postgres { admin_url: String, name: String },
}

pub(crate) struct TestDatabase {
    pub(crate) store: Store,
    pub(crate) url: String,
    place: Place,
}

/// Keys of an installation.
pub(crate) fn keys(byte: u8) -> Keyring {
    Keyring::new([byte; 32], None)
}

/// Small pools: many tests share one server.
pub(crate) fn config(url: &str) -> StoreConfig {
    StoreConfig { pool_max: 10, pool_min: 0, ..StoreConfig::new(url, keys(7)) }
}

async fn open(url: &str) -> Store {
    Store::open(&config(url)).await.expect("the database opens")
}

pub(crate) fn with_database(url: &str, name: &str) -> String {
    let (server, _) = url.rsplit_once('/').expect("an address with a database");
    format!("{server}/{name}")
}

async fn run(connection: &mut PgConnection, text: String) {
    connection.execute(AssertSqlSafe(text.clone())).await.unwrap_or_else(|error| panic!("{text}: {error}"));
}

impl TestDatabase {
    pub(crate) async fn sqlite() -> Self {
        let database = Self::sqlite_empty().await;
        database.store.migrate_up(at(0)).await.expect("migrated");
        database
    }

    pub(crate) async fn sqlite_empty() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}/data/caly.db", folder.path().display());
        Self { store: open(&url).await, url, place: Place::Sqlite { _folder: folder } }
    }

    pub(crate) async fn postgres() -> Option<Self> {
        Self::postgres_from(TEMPLATE).await
    }

    pub(crate) async fn postgres_empty() -> Option<Self> {
        Self::postgres_from("template0").await
    }

    async fn postgres_from(template: &str) -> Option<Self> {
        let admin_url = admin_url()?;
        let name = format!("caly_test_{}", uuid::Uuid::from_bytes(random()).simple());
        let mut admin = PgConnection::connect(&admin_url).await.expect("the test server answers");
        run(&mut admin, TEMPLATE_LOCK.to_owned()).await;
        if template == TEMPLATE {
            make_template(&mut admin, &admin_url).await;
        }
        run(&mut admin, format!("create database {name} template {template}")).await;
        admin.close().await.expect("closed");
        let url = with_database(&admin_url, &name);
        Some(Self { store: open(&url).await, url, place: Place::Postgres { admin_url, name } })
    }

    pub(crate) async fn remove(self) {
        self.store.close().await;
        if let Place::Postgres { admin_url, name } = self.place {
            let mut admin = PgConnection::connect(&admin_url).await.expect("the test server answers");
            run(&mut admin, format!("drop database {name} with (force)")).await;
        }
    }

    /// Another store on the same database, as another process would have.
    pub(crate) async fn reopen(&self) -> Store {
        open(&self.url).await
    }

    /// A statement past the store.
    pub(crate) async fn raw(&self, text: impl Into<String>) {
        let text = text.into();
        self.try_raw(&text).await.unwrap_or_else(|error| panic!("{text}: {error}"));
    }

    /// The same, where the database may refuse.
    pub(crate) async fn try_raw(&self, text: &str) -> Result<(), sqlx::Error> {
        if self.is_sqlite() {
            let mut connection = self.sqlite_connection().await;
            connection.execute(AssertSqlSafe(text)).await.map(|_| ())
        } else {
            let mut connection = PgConnection::connect(&self.url).await?;
            connection.execute(AssertSqlSafe(text)).await.map(|_| ())
        }
    }

    /// A number past the store.
    pub(crate) async fn number(&self, text: &str) -> i64 {
        let found: Result<i64, sqlx::Error> = if self.is_sqlite() {
            sqlx::query_scalar(AssertSqlSafe(text)).fetch_one(&mut self.sqlite_connection().await).await
        } else {
            let mut connection = PgConnection::connect(&self.url).await.expect("opens");
            sqlx::query_scalar(AssertSqlSafe(text)).fetch_one(&mut connection).await
        };
        found.unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    pub(crate) fn is_sqlite(&self) -> bool {
        self.store.dialect() == store::Dialect::Sqlite
    }

    pub(crate) async fn sqlite_connection(&self) -> SqliteConnection {
        let path = self.url.strip_prefix("sqlite://").expect("a path");
        let options =
            sqlx::sqlite::SqliteConnectOptions::new().filename(path).busy_timeout(std::time::Duration::from_secs(5));
        SqliteConnection::connect_with(&options).await.expect("opens")
    }

    /// An id in a statement past the store.
    pub(crate) fn literal(&self, id: impl Into<uuid::Uuid>) -> String {
        let id: uuid::Uuid = id.into();
        if self.is_sqlite() { format!("x'{}'", id.simple()) } else { format!("'{id}'") }
    }

    /// Another store on the same database that holds these keys.
    pub(crate) async fn reopen_with(&self, keys: Keyring) -> Store {
        Store::open(&StoreConfig { keys, ..config(&self.url) }).await.expect("the database opens")
    }

    pub(crate) async fn write<T>(
        &self,
        tenant: TenantId,
        work: impl AsyncFnOnce(&mut Tx) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.store.write(tenant, "test.write", work).await
    }

    pub(crate) async fn read<T>(
        &self,
        tenant: TenantId,
        work: impl AsyncFnOnce(&mut Tx) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.store.read(tenant, "test.read", work).await
    }

    pub(crate) async fn system<T>(
        &self,
        work: impl AsyncFnOnce(&mut SystemTx) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.store.system("test.system", work).await
    }
}

/// The template, made anew when it is missing or not at this program's schema.
async fn make_template(admin: &mut PgConnection, admin_url: &str) {
    let found: Option<i32> = sqlx::query_scalar("select 1 from pg_database where datname = $1")
        .bind(TEMPLATE)
        .fetch_optional(&mut *admin)
        .await
        .expect("asked");
    let url = with_database(admin_url, TEMPLATE);
    if found.is_some() {
        let store = open(&url).await;
        let current = store.migrate_check().await.is_ok();
        store.close().await;
        if current {
            return;
        }
        run(admin, format!("drop database {TEMPLATE} with (force)")).await;
    }
    run(admin, format!("create database {TEMPLATE} template template0")).await;
    let store = open(&url).await;
    store.migrate_up(at(0)).await.expect("migrated");
    store.close().await;
}

pub(crate) fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("random bytes");
    bytes
}

#[expect(clippy::print_stderr, reason = "a skipped half must be seen in the output of the tests")]
#[expect(clippy::disallowed_methods, reason = "the test server's address comes from `scripts/with-postgres`")]
pub(crate) fn admin_url() -> Option<String> {
    match (std::env::var("CALY_TEST_POSTGRES_URL"), std::env::var("CALY_TEST_POSTGRES").as_deref()) {
        (Ok(url), _) => Some(url),
        (Err(_), Ok("skip")) => {
            eprintln!("skipped: no PostgreSQL (CALY_TEST_POSTGRES=skip)");
            None
        }
        (Err(_), _) => panic!(
            "CALY_TEST_POSTGRES_URL is not set: run `scripts/with-postgres cargo test -p store`, or set \
             CALY_TEST_POSTGRES=skip to leave PostgreSQL out"
        ),
    }
}

/// Seconds into the test's time.
pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).expect("a time") + Duration::seconds(seconds)
}

pub(crate) fn phone(text: &str) -> E164 {
    E164::parse(text).expect("a phone number")
}

pub(crate) fn object(pairs: serde_json::Value) -> serde_json::Map<String, serde_json::Value> {
    match pairs {
        serde_json::Value::Object(map) => map,
        other => panic!("not an object: {other}"),
    }
}

pub(crate) fn agent_config(greeting: &str) -> AgentConfig {
    serde_json::from_value(serde_json::json!({
        "greeting": greeting,
        "brain": { "kind": "flow", "text": "" },
    }))
    .expect("a configuration")
}

/// A tenant with an agent and a number.
pub(crate) struct Tenant {
    pub(crate) id: TenantId,
    pub(crate) agent: AgentId,
    pub(crate) number: PhoneNumber,
}

impl TestDatabase {
    pub(crate) async fn tenant(&self, number: &str) -> Result<Tenant, Error> {
        self.system(async |tx| {
            let id = organisations::create(tx, "Clinic", at(0)).await?.id;
            let tx = tx.tenant(id).await?;
            let agent = agents::create(tx, "Asha", &agent_config("Namaste"), at(0)).await?.agent.id;
            let new =
                NewPhoneNumber { carrier: CarrierKind::Exotel, number: phone(number), agent, path_token_hash: None };
            let number = phone_numbers::create(tx, &new, at(0)).await?;
            Ok(Tenant { id, agent, number })
        })
        .await
    }

    /// A ringing call.
    pub(crate) async fn call(&self, tenant: &Tenant, sid: &str, now: DateTime<Utc>) -> Result<Call, Error> {
        let new = tenant.new_call(sid);
        self.write(tenant.id, async |tx| Ok(calls::create(tx, &new, now).await?.into_call())).await
    }

    pub(crate) async fn get_call(&self, tenant: &Tenant, id: CallId) -> Result<Call, Error> {
        self.read(tenant.id, async |tx| calls::get(tx, id).await).await
    }
}

impl Tenant {
    pub(crate) fn new_call(&self, sid: &str) -> NewCall {
        NewCall {
            agent: self.agent,
            phone_number: Some(self.number.id),
            carrier: CarrierKind::Exotel,
            carrier_call_id: Some(sid.to_owned()),
            direction: CallDirection::Incoming,
            from: Some(phone("+919812345678")),
            to: Some(self.number.number.clone()),
            status: CallStatus::Ringing,
            variables: serde_json::Map::new(),
        }
    }
}

pub(crate) fn owner(node: &str, run: u128) -> Owner {
    Owner { node: node.to_owned(), run: uuid::Uuid::from_u128(run) }
}
