//! Logs: text for people in development, JSON lines in production. To standard error, so that a command's own words
//! stay apart.

use crate::config::{Config, Environment};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging. `quiet` keeps to warnings, for commands that talk themselves.
pub(crate) fn start(config: &Config, quiet: bool) {
    let level = if quiet && config.log_level == "info" { "warn" } else { &config.log_level };
    let filter = EnvFilter::new(format!("{level},sqlx=warn,hyper=warn,rustls=warn,tungstenite=warn"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // Only a second subscriber in one process makes this fail; the first one then goes on.
    let _ = match config.environment {
        Environment::Production => builder.json().finish().try_init(),
        Environment::Development => builder.compact().with_target(false).finish().try_init(),
    };
}
