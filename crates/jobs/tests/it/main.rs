//! Jobs against a real store and a real mail server.

mod errands;
mod events;
