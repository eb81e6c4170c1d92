//! Tests of the call as a whole.

mod flow;
