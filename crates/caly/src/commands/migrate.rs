//! `caly migrate up|down|status`.

use crate::clock;
use crate::config::Config;
use crate::terminal::say;
use clap::Subcommand;
use std::process::ExitCode;
use store::{MigrationState, Store};

/// Which way.
#[derive(Subcommand)]
pub(crate) enum Direction {
    /// Apply what is missing.
    Up,
    /// Go back to a version; 0 removes everything.
    Down {
        /// The version to stay at.
        #[arg(long)]
        to: i64,
    },
    /// Show what is applied.
    Status,
}

/// Migrates.
///
/// # Errors
/// When the database cannot be opened or a step fails; the step is then rolled back whole.
pub(crate) async fn run(config: &Config, direction: &Direction) -> anyhow::Result<ExitCode> {
    std::fs::create_dir_all(&config.data_dir)?;
    let store = Store::open(&config.store()?).await?;
    match direction {
        Direction::Up => say(format!("{} migrations applied", store.migrate_up(clock::now()).await?)),
        Direction::Down { to } => say(format!("{} migrations taken back", store.migrate_down(*to).await?)),
        Direction::Status => {
            for status in store.migrate_status().await? {
                let state = match status.state {
                    MigrationState::Pending => "pending",
                    MigrationState::Applied { .. } => "applied",
                    MigrationState::Altered => "altered",
                    MigrationState::Unknown => "unknown",
                };
                say(format!("{:>4}  {state:<8} {}", status.version, status.name));
            }
        }
    }
    store.close().await;
    Ok(ExitCode::SUCCESS)
}
