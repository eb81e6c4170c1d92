//! `caly audit verify`: is the audit log as it was written? And `caly audit purge`, its retention.

use crate::config::Config;
use crate::terminal::{complain, say};
use crate::{clock, node};
use clap::Subcommand;
use std::process::ExitCode;
use store::{Store, audit};

/// What to do with the audit log.
#[derive(Subcommand)]
pub(crate) enum Action {
    /// Go through the chain of every organisation and name the first event that is not as it was written.
    Verify,
    /// Delete events older than this many days; the chain then begins after them.
    Purge {
        /// Days to keep.
        #[arg(long)]
        keep_days: u32,
    },
}

/// Runs it. Exit status 1 when something was changed.
///
/// # Errors
/// When the database fails.
pub(crate) async fn run(config: &Config, action: &Action) -> anyhow::Result<ExitCode> {
    let store = node::open_store(config).await?;
    let done = match action {
        Action::Verify => verify(&store).await,
        Action::Purge { keep_days } => purge(&store, *keep_days).await,
    };
    store.close().await;
    done
}

async fn verify(store: &Store) -> anyhow::Result<ExitCode> {
    let report = store.verify_audit().await?;
    let mut sound = true;
    for chain in &report.chains {
        let whose =
            chain.tenant.map_or_else(|| "the installation".to_owned(), |tenant| format!("organisation {tenant}"));
        match &chain.fault {
            None => {
                let head: String = chain.head_hash.iter().map(|byte| format!("{byte:02x}")).collect();
                say(format!("ok       {whose}: {} events, head {head}", chain.events));
            }
            Some(fault) => {
                sound = false;
                complain(format!("CHANGED  {whose}: {fault}"));
            }
        }
    }
    if sound {
        say("The audit log is as it was written. Keep the heads elsewhere: they also show events cut from the end.");
        Ok(ExitCode::SUCCESS)
    } else {
        Ok(ExitCode::FAILURE)
    }
}

async fn purge(store: &Store, keep_days: u32) -> anyhow::Result<ExitCode> {
    let now = clock::now();
    let before = now - chrono::Duration::days(i64::from(keep_days));
    let purged = audit::purge_all_before(store, before, now).await?;
    say(format!("{purged} events deleted"));
    Ok(ExitCode::SUCCESS)
}
