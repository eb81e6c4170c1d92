//! Everything Caly keeps, in SQLite (nothing to install) or PostgreSQL (several nodes), behind one [`Store`].
//!
//! - A unit of work is a closure given to [`Store::write`], [`Store::read`] or [`Store::system`]: committed when it
//!   returns `Ok`, rolled back when it returns `Err`, panics or is dropped.
//! - A [`Tx`] belongs to one tenant and every statement through it carries `tenant_id`. What looks across tenants (which
//!   agent has this number, which job is next) takes a [`SystemTx`], which turns into a tenant's by
//!   [`SystemTx::tenant`].
//! - One module per noun, plain functions: `calls::create(tx, &new, now)`.
//! - Times are parameters, kept to the microsecond. Ids are UUID version 7, made here.
//!
//! Architecture Invariant: no other crate holds SQL, and no type of the driver leaves this one.

pub mod agents;
pub mod audit;
pub mod call_ends;
pub mod call_events;
pub mod calls;
pub mod jobs;
pub mod organisations;
pub mod outbox;
pub mod phone_numbers;
pub mod recordings;
pub mod stream_tokens;
pub mod turns;

mod config;
mod error;
mod ids;
mod migrate;
mod page;
mod sql;
mod statements;
mod store;
mod token;
mod tx;

pub use config::{Dialect, OpenError, StoreConfig};
pub use error::{Cause, Error};
pub use migrate::{MigrateError, MigrationState, MigrationStatus};
pub use page::{Cursor, Page, PageRequest};
pub use store::{PoolStatistics, Statistics, Store};
pub use token::token_hash;
pub use tx::{AnyTx, SystemTx, Tx};
