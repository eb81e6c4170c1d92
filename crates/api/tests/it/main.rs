//! The API over HTTP.

mod access;
mod agents;
mod anomalies;
mod api_keys;
mod app;
mod audit_logs;
mod auth;
mod calls;
mod description;
mod direct;
mod edge;
mod idempotency;
mod invitations;
mod limits;
mod members;
mod phone_numbers;
mod provider_keys;
mod second_factor;
mod sessions;
mod trust;
mod webhook_endpoints;
