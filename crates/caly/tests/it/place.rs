//! A folder and a database for each test, gone when it ends.

use crate::program::ENCRYPTION_KEY;
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, SqliteConnection};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use store::{Keyring, Store, StoreConfig};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Declares tests that run once on each database.
macro_rules! both_databases {
    ($($(#[$meta:meta])* async fn $name:ident($place:ident) $body:block)*) => {$(
        $(#[$meta])*
        async fn $name($place: &crate::place::Place) $body

        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                let place = crate::place::Place::sqlite();
                Box::pin(super::$name(&place)).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                if let Some(place) = crate::place::Place::postgres().await {
                    Box::pin(super::$name(&place)).await;
                    place.remove().await;
                }
            }
        }
    )*};
}
pub(crate) use both_databases;

/// Between two looks at something that will happen.
const LOOK_EVERY: Duration = Duration::from_millis(20);

enum Kind {
    Sqlite,
    Postgres { admin_url: String, name: String },
}

/// See the module.
pub(crate) struct Place {
    folder: TempDir,
    /// For `DATABASE_URL`.
    pub(crate) url: String,
    kind: Kind,
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}/data/caly.db", folder.path().display());
        Self { folder, url, kind: Kind::Sqlite }
    }

    pub(crate) async fn postgres() -> Option<Self> {
        let admin_url = admin_url()?;
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("random bytes");
        let name = format!("caly_it_{}", uuid::Uuid::from_bytes(bytes).simple());
        let mut admin = PgConnection::connect(&admin_url).await.expect("the test server answers");
        run_postgres(&mut admin, &format!("create database {name} template template0")).await;
        admin.close().await.expect("closed");
        let (server, _) = admin_url.rsplit_once('/').expect("an address with a database");
        let url = format!("{server}/{name}");
        Some(Self { folder: tempfile::tempdir().expect("a folder"), url, kind: Kind::Postgres { admin_url, name } })
    }

    pub(crate) const fn is_postgres(&self) -> bool {
        matches!(self.kind, Kind::Postgres { .. })
    }

    /// Takes the database away.
    pub(crate) async fn remove(&self) {
        if let Kind::Postgres { admin_url, name } = &self.kind {
            let mut admin = PgConnection::connect(admin_url).await.expect("the test server answers");
            run_postgres(&mut admin, &format!("drop database if exists {name} with (force)")).await;
        }
    }

    /// The test's own folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `CALY_DATA_DIR`.
    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.folder.path().join("data").join(name)
    }

    /// Names of the files in a folder of the data.
    pub(crate) fn files(&self, name: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.data(name)).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// The database, with its schema.
    pub(crate) async fn open(&self) -> Store {
        let keys = Keyring::from_hex(&SecretString::from(ENCRYPTION_KEY), None).expect("a key");
        let config = StoreConfig { pool_max: 4, pool_min: 0, ..StoreConfig::new(self.url.as_str(), keys) };
        let store = Store::open(&config).await.expect("the database opens");
        store.migrate_up(now()).await.expect("migrated");
        store
    }

    /// A statement past the store.
    pub(crate) async fn run(&self, text: &'static str) {
        match &self.kind {
            Kind::Sqlite => {
                self.sqlite_connection().await.execute(text).await.unwrap_or_else(|error| panic!("{text}: {error}"));
            }
            Kind::Postgres { .. } => {
                let mut connection = PgConnection::connect(&self.url).await.expect("opens");
                run_postgres(&mut connection, text).await;
            }
        }
    }

    /// The number that a query past the store gives.
    pub(crate) async fn number(&self, text: &'static str) -> i64 {
        let number = match &self.kind {
            Kind::Sqlite => sqlx::query_scalar(text).fetch_one(&mut self.sqlite_connection().await).await,
            Kind::Postgres { .. } => {
                let mut connection = PgConnection::connect(&self.url).await.expect("opens");
                sqlx::query_scalar(text).fetch_one(&mut connection).await
            }
        };
        number.unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    async fn sqlite_connection(&self) -> SqliteConnection {
        let path = self.url.strip_prefix("sqlite://").expect("a file");
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
        SqliteConnection::connect_with(&options).await.expect("opens")
    }
}

async fn run_postgres(connection: &mut PgConnection, text: &str) {
    connection.execute(AssertSqlSafe(text)).await.unwrap_or_else(|error| panic!("{text}: {error}"));
}

/// The way to the PostgreSQL server, which can be cut and mended.
pub(crate) struct Way {
    /// For `DATABASE_URL`.
    pub(crate) url: String,
    address: SocketAddr,
    server: String,
    open: Option<CancellationToken>,
}

impl Way {
    /// A way to the database of this place.
    pub(crate) async fn to(place: &Place) -> Self {
        let url = url::Url::parse(&place.url).expect("an address");
        let server = format!("{}:{}", url.host_str().expect("a host"), url.port().unwrap_or(5432));
        let mut way = Self { url: String::new(), address: ([127, 0, 0, 1], 0).into(), server, open: None };
        way.mend().await;
        let mut through = url;
        through.set_host(Some("127.0.0.1")).expect("a host");
        through.set_port(Some(way.address.port())).expect("a port");
        way.url = through.into();
        way
    }

    pub(crate) async fn mend(&mut self) {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("set");
        socket.bind(self.address).expect("the port is free again");
        let listener = socket.listen(64).expect("listening");
        self.address = listener.local_addr().expect("an address");
        let open = CancellationToken::new();
        tokio::spawn(open.clone().run_until_cancelled_owned(carry(listener, self.server.clone(), open.clone())));
        self.open = Some(open);
    }

    /// Every connection breaks, and new ones are refused.
    pub(crate) fn cut(&mut self) {
        if let Some(open) = self.open.take() {
            open.cancel();
        }
    }
}

async fn carry(listener: TcpListener, server: String, open: CancellationToken) {
    while let Ok((mut inside, _)) = listener.accept().await {
        let server = server.clone();
        tokio::spawn(open.clone().run_until_cancelled_owned(async move {
            let mut outside = TcpStream::connect(server).await.expect("the test server answers");
            // Either side may be gone at any time.
            let _ = tokio::io::copy_bidirectional(&mut inside, &mut outside).await;
        }));
    }
}

#[expect(clippy::print_stderr, reason = "a skipped half must be seen in the output of the tests")]
fn admin_url() -> Option<String> {
    match (variable("CALY_TEST_POSTGRES_URL"), variable("CALY_TEST_POSTGRES").as_deref()) {
        (Some(url), _) => Some(url),
        (None, Some("skip")) => {
            eprintln!("skipped: no PostgreSQL (CALY_TEST_POSTGRES=skip)");
            None
        }
        (None, _) => panic!(
            "CALY_TEST_POSTGRES_URL is not set: run `scripts/with-postgres cargo nextest run -p caly`, or set \
             CALY_TEST_POSTGRES=skip to leave PostgreSQL out"
        ),
    }
}

#[expect(clippy::disallowed_methods, reason = "what the tests themselves are told")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[expect(clippy::disallowed_methods, reason = "the clock of the carrier's side")]
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now()
}

/// Looks again and again until there is something, or fails.
pub(crate) async fn eventually<T>(what: &str, within: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + within;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < until, "{what}: not within {within:?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
