//! House keeping commands, run as `cargo xtask <command>`.
//!
//! Architecture Invariant: nothing of ours depends on this crate, and it depends on nothing of ours, so that it still
//! builds when the rest does not. Start reading at [`tidy::tidy`].

pub mod tidy;
