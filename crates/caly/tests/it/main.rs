//! The whole program from outside: each test starts the real binary with a data folder and a database of its own, and
//! looks at what a carrier, an operator or the next start would see.
//!
//! Speech comes from fake vendors over real sockets, so that most tests need no models. PostgreSQL is at
//! `CALY_TEST_POSTGRES_URL` (`scripts/with-postgres cargo nextest run -p caly`); without it those tests fail, unless
//! `CALY_TEST_POSTGRES=skip`. The built-in models are where `make models` puts them; without them those tests fail,
//! unless `CALY_TEST_MODELS=skip`.

mod account;
mod place;
mod post;
mod program;
mod telephone;
mod voice;
mod world;

mod analysis;
mod bucket;
mod calls;
mod canary;
mod cluster;
mod complaints;
mod conformance;
mod connect;
mod connections;
mod conversation;
mod crash;
mod demo;
mod dial;
mod doors;
mod ends;
mod events;
mod faults;
mod keeping;
mod knowledge;
mod lifecycle;
mod never_silent;
mod nodes;
mod other_carriers;
mod outage;
mod outgoing;
mod replay;
mod schema;
mod schemathesis;
mod settings;
mod shapes;
mod slow;
mod tenant_walk;
mod test_agent;
mod timing;
mod transfers;
mod turns;
mod twilio_signatures;
mod walk;
mod webhook_fields;
mod webhooks;
mod webhooks_together;
