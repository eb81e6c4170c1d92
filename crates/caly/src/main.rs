//! Caly: an AI phone agent in one binary. This crate is the only place that knows all the others: settings, wiring,
//! life cycle, commands.

mod cli;
mod clock;
mod commands;
mod config;
mod demo_tenant;
mod logging;
mod node;
mod services;
mod terminal;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
