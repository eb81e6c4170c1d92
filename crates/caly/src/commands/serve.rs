//! `caly serve`: answers calls until it is told to stop.

use crate::config::Config;
use crate::node::Node;
use crate::open_files;
use crate::terminal::{complain, say};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Runs the server.
///
/// # Errors
/// When it cannot start.
pub(crate) async fn run(config: &Config) -> anyhow::Result<ExitCode> {
    if let Err(error) = open_files::enough_for(config.calls_max) {
        complain(format!("note: {error:#}"));
    }
    let node = Node::start(config, |what| tracing::info!(what, "loading")).await?;
    for missing in &node.missing {
        complain(format!("note: {missing}"));
    }
    say(format!("Caly answers calls on http://{}; stop with Ctrl-C", node.address));
    say(format!("Its API is described at http://{}/docs; {}", node.address, where_mails_go(config)));
    wait_and_stop(node).await?;
    Ok(ExitCode::SUCCESS)
}

fn where_mails_go(config: &Config) -> String {
    match &config.security.smtp {
        Some(smtp) => format!("mails leave through {}", smtp.host),
        None => format!("mails are kept in {}", config.data_dir.join("mails").display()),
    }
}

/// Waits for the first signal, drains, and ends at once on the second.
///
/// # Errors
/// When signals cannot be received.
pub(crate) async fn wait_and_stop(node: Node) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let live = node.board.live_calls();
    if live > 0 {
        say(format!("Stopping: {live} calls may finish; a second signal ends them now."));
    }
    let now = CancellationToken::new();
    let second = now.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        second.cancel();
    });
    node.stop(now).await;
    Ok(())
}
