//! The store on both databases. SQLite needs nothing; PostgreSQL is at `CALY_TEST_POSTGRES_URL`, the superuser address
//! of a throw-away server: `scripts/with-postgres cargo test -p store`. Without it the PostgreSQL half fails, unless
//! `CALY_TEST_POSTGRES=skip`.

mod api_keys;
mod audit;
mod bulk;
mod call_records;
mod calls;
mod carrier_accounts;
mod carrier_events;
mod carrier_events_together;
mod codes;
mod configuration;
mod database;
mod deliveries;
mod documents;
mod group;
mod idempotency;
mod invitations;
mod jobs;
mod lists;
mod memberships;
mod migrations;
mod million;
mod nouns;
mod outgoing;
mod own_jobs;
mod plans;
mod recordings;
mod row_security;
mod sessions;
mod stream_tokens;
mod tenancy;
mod transactions;
mod users;
mod vault;
