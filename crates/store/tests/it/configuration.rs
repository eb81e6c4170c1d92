//! Addresses, secrets in texts, statements, health.

use crate::database::{TestDatabase, both_databases, config, keys};
use store::{Dialect, Error, OpenError, Store, StoreConfig};

#[test]
fn printing_the_configuration_shows_no_password() {
    let config = StoreConfig::new("postgres://caly:s3cret-word@db.example/caly", keys(7));
    let text = format!("{config:?}");
    assert!(!text.contains("s3cret-word") && !text.contains("db.example"), "{text}");
}

#[tokio::test]
async fn opening_errors_show_no_password() {
    let unreadable = StoreConfig::new("postgres://caly:s3cret-word@db.example:notaport/caly", keys(7));
    let nobody = StoreConfig {
        acquire_timeout: std::time::Duration::from_millis(300),
        ..StoreConfig::new("postgres://caly:s3cret-word@127.0.0.1:1/caly", keys(7))
    };
    for config in [unreadable, nobody] {
        let error = Store::open(&config).await.expect_err("does not open");
        let text = format!("{error} {error:?}");
        assert!(!text.contains("s3cret-word"), "{text}");
    }
}

#[tokio::test]
async fn other_addresses_are_refused() {
    for url in ["", "mysql://localhost/caly", "caly.db", "/var/lib/caly.db"] {
        let error = Store::open(&StoreConfig::new(url, keys(7))).await.expect_err("does not open");
        assert!(matches!(error, OpenError::UnknownScheme), "{url}: {error}");
    }
    for url in ["sqlite:", "sqlite::memory:", "sqlite://", "sqlite:///tmp/", "sqlite:///tmp/x.db?mode=rw"] {
        let error = Store::open(&StoreConfig::new(url, keys(7))).await.expect_err("does not open");
        assert!(matches!(error, OpenError::Malformed(_)), "{url}: {error}");
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let url = format!("sqlite://{}/below/caly.db", file.path().display());
    let error = Store::open(&StoreConfig::new(url, keys(7))).await.expect_err("does not open");
    assert!(matches!(error, OpenError::Folder { .. }), "{error}");
}

both_databases! {
    async fn every_statement_prepares(db) {
        assert!(db.store.check_statements().await? > 60);
        Ok(())
    }

    async fn a_missing_column_is_found_by_the_check(db) {
        db.raw("alter table calls drop column summary").await;
        let error = db.store.check_statements().await.expect_err("does not fit");
        assert!(matches!(error, Error::Broken(_)));
        Ok(())
    }

    async fn ping_answers_until_closed(db) {
        let store = db.reopen().await;
        store.ping().await?;
        let statistics = store.statistics();
        assert!(statistics.writers.size >= 1 && statistics.writers.size <= statistics.writers.max);
        assert_eq!(statistics.readers.is_some(), store.dialect() == Dialect::Sqlite);
        store.close().await;
        assert!(matches!(store.ping().await, Err(Error::Unavailable)));
        Ok(())
    }
}

#[tokio::test]
async fn sqlite_syncs_each_commit_and_writes_ahead() {
    let database = TestDatabase::sqlite().await;
    let path = database.url.strip_prefix("sqlite://").expect("a path");
    assert!(std::path::Path::new(&format!("{path}-wal")).exists(), "no write-ahead log");
    // The same file again, by a second store: both live.
    let second = Store::open(&config(&database.url)).await.expect("opens twice");
    second.ping().await.expect("answers");
}

/// Collects what is logged.
#[derive(Clone, Default)]
struct Log(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn slow_queries_are_logged_by_name_without_values() {
    let database = TestDatabase::sqlite().await;
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let all_slow = StoreConfig { slow_query: std::time::Duration::ZERO, ..config(&database.url) };
    let store = Store::open(&all_slow).await.expect("opens");
    let at = crate::database::at(0);
    let made: Result<_, Error> =
        store.system("test.slow", async |tx| store::organisations::create(tx, "Hidden name", at).await).await;
    made.expect("made");
    drop(guard);
    let text = String::from_utf8(log.0.lock().expect("not poisoned").clone()).expect("text");
    assert!(text.contains("slow query") && text.contains("organisations.create"), "{text}");
    assert!(text.contains("test.slow") && !text.contains("Hidden name"), "{text}");
}
