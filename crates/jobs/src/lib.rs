//! Work for later: durable, leased, repeated until it is done or given up. One file per job.
//!
//! Architecture Invariant: a job is idempotent. It may run twice (its node died after the work and before the note of
//! it), and it finds out from the store what is still to be done, never from its own memory.

pub mod analyze_call;
mod attempts;
mod deliver_event;
mod dispatch_events;
mod errand;
pub mod events;
pub mod fetch_recording;
pub mod follow_call;
pub mod index_document;
mod job;
pub mod place_call;
pub mod prices;
pub mod reconcile;
mod runner;
pub mod store_recording;

pub use job::{Clock, Context, Job, JobError};
pub use runner::Runner;
