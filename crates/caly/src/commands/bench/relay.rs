//! `caly bench relay`: the yardstick, as a process of its own beside the callers and the vendors.

use crate::terminal::say;
use anyhow::Context;
use clap::Args;
use std::net::SocketAddr;
use std::process::ExitCode;
use tokio::net::TcpListener;

/// What `caly bench relay` takes.
#[derive(Args)]
pub(super) struct Arguments {
    /// Where to listen for calls.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where the vendors listen.
    #[arg(long)]
    vendors: SocketAddr,
}

/// Takes calls until it is ended.
///
/// # Errors
/// When it cannot listen, or cannot take calls any more.
pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let listener = TcpListener::bind(arguments.listen).await.context("no port for the relay")?;
    say(format!("the relay takes calls on http://{}", listener.local_addr()?));
    testkit::load::relay::serve(listener, arguments.vendors).await.context("the relay takes no calls any more")?;
    Ok(ExitCode::SUCCESS)
}
