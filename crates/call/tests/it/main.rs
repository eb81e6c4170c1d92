//! Tests of the call as a whole.

mod flow;
mod properties;
mod scenarios;
mod stage;
