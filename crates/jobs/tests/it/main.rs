//! Jobs against a real store and a real mail server.

mod analyze_call;
mod errands;
mod events;
mod fetch_recording;
mod follow_call;
mod index_document;
mod place_call;
mod s3_outage;
