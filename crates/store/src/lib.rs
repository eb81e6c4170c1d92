//! Everything Caly keeps, in SQLite (nothing to install) or PostgreSQL (several nodes), behind one [`Store`].
//!
//! - A unit of work is a closure given to [`Store::write`], [`Store::read`] or [`Store::system`]: committed when it
//!   returns `Ok`, rolled back when it returns `Err`, panics or is dropped.
//! - A [`Tx`] belongs to one tenant and every statement through it carries `tenant_id`. What looks across tenants (which
//!   agent has this number, which job is next) takes a [`SystemTx`], which turns into a tenant's by
//!   [`SystemTx::tenant`].
//! - On PostgreSQL every statement also runs under row policies as a role that sees that tenant's rows only; SQLite has
//!   only the first lock.
//! - Secrets are sealed by [`vault`]; audit events form a chain of hashes per tenant ([`audit`]).
//! - One module per noun, plain functions: `calls::create(tx, &new, now)`.
//! - Times are parameters, kept to the microsecond. Ids are UUID version 7, made here.
//!
//! Architecture Invariant: no other crate holds SQL, and no type of the driver leaves this one.

pub mod agents;
pub mod api_keys;
pub mod audit;
pub mod call_ends;
pub mod call_events;
pub mod call_records;
pub mod calls;
pub mod carrier_accounts;
pub mod carrier_events;
pub mod deliveries;
pub mod document_chunks;
mod document_words;
pub mod documents;
pub mod errands;
pub mod idempotency;
pub mod invitations;
pub mod jobs;
pub mod memberships;
pub mod one_time_codes;
pub mod organisations;
pub mod outbox;
pub mod password_resets;
pub mod phone_numbers;
pub mod provider_keys;
pub mod recordings;
pub mod recovery_codes;
pub mod sessions;
pub mod sightings;
pub mod stream_tokens;
pub mod turns;
pub mod users;
pub mod vault;
pub mod webhook_endpoints;

mod audit_chain;
mod config;
mod error;
mod group;
mod ids;
mod migrate;
mod page;
mod row_security;
mod sql;
mod statements;
mod store;
mod token;
mod tx;

pub use audit_chain::{AuditFault, AuditFaultKind, AuditReport, ChainReport};
pub use config::{Dialect, OpenError, StoreConfig};
pub use error::{Cause, Error};
pub use migrate::{MigrateError, MigrationState, MigrationStatus};
pub use page::{Cursor, Page, PageRequest};
pub use store::{PoolStatistics, Statistics, Store};
pub use token::token_hash;
pub use tx::{AnyTx, SystemTx, Tx};
pub use vault::{Keyring, KeyringError, Rotated, SecretBytes};
