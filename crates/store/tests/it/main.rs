//! The store on both databases. SQLite needs nothing; PostgreSQL is at `CALY_TEST_POSTGRES_URL`, the superuser address
//! of a throw-away server: `scripts/with-postgres cargo test -p store`. Without it the PostgreSQL half fails, unless
//! `CALY_TEST_POSTGRES=skip`.

mod calls;
mod configuration;
mod database;
mod jobs;
mod lists;
mod migrations;
mod nouns;
mod recordings;
mod stream_tokens;
mod tenancy;
mod transactions;
