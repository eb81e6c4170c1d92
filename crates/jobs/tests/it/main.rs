//! Jobs against a real store and a real mail server.

mod errands;
mod events;
mod fetch_recording;
mod follow_call;
mod place_call;
mod s3_outage;
