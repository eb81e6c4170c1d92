//! `caly keys rotate`: wraps the data keys with the current `ENCRYPTION_KEY`, while nodes go on working.

use crate::config::Config;
use crate::terminal::say;
use crate::{clock, node};
use clap::Subcommand;
use model::{AuditKind, Severity};
use serde_json::Map;
use std::process::ExitCode;
use store::audit::{self, NewAuditEvent};
use store::{Rotated, Store};

/// What to do with the keys at rest.
#[derive(Subcommand)]
pub(crate) enum Action {
    /// Wrap every data key with ENCRYPTION_KEY; those under CALY_ENCRYPTION_KEY_PREVIOUS are read with that one.
    Rotate,
}

/// Rotates.
///
/// # Errors
/// When a data key is under neither key, or the database fails; what was wrapped before stays so.
pub(crate) async fn run(config: &Config, action: &Action) -> anyhow::Result<ExitCode> {
    let Action::Rotate = action;
    let store = node::open_store(config).await?;
    let rotated = rotate(&store).await;
    store.close().await;
    let rotated = rotated?;
    say(format!("{} data keys wrapped anew, {} were already", rotated.rewrapped, rotated.already));
    say("When every node runs with the new ENCRYPTION_KEY, CALY_ENCRYPTION_KEY_PREVIOUS can go.");
    Ok(ExitCode::SUCCESS)
}

/// Rotates, and puts it on record.
async fn rotate(store: &Store) -> anyhow::Result<Rotated> {
    let now = clock::now();
    let rotated = store.rotate_keys(now).await?;
    let event = NewAuditEvent {
        kind: AuditKind::KeysRotated,
        severity: Severity::Warning,
        actor: "command:keys",
        ip: None,
        request_id: None,
        object_kind: None,
        object_id: None,
        data: Map::from_iter([("rewrapped".to_owned(), rotated.rewrapped.into())]),
    };
    store.system("audit.keys_rotated", async |tx| audit::record(tx, &event, now).await).await?;
    Ok(rotated)
}
