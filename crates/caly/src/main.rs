//! Caly: an AI phone agent in one binary. This crate is the only place that knows all the others: settings, wiring,
//! life cycle, commands.

mod cli;
mod clock;
mod commands;
mod config;
mod demo_tenant;
mod edge;
mod knowledge;
mod logging;
mod node;
mod open_files;
mod rehearsal;
mod secrets;
mod services;
mod terminal;
mod vendors;

use std::process::ExitCode;

/// At a thousand calls the system's allocator takes a tenth of the processor time (docs/measurements.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run()
}
