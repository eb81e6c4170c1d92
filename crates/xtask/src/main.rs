//! `cargo xtask`: the commands of the house. The alias stands in `.cargo/config.toml`.
#![expect(clippy::print_stdout, reason = "a command line tool speaks on standard output")]

use clap::{Parser, Subcommand};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "House keeping of the Caly tree")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check imports, purity, sizes, names, documents and migrations. Prints one line a finding.
    Tidy {
        /// The tree to check; the one this binary was built from when left out.
        #[arg(long)]
        root: Option<PathBuf>,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    let Command::Tidy { root } = Arguments::parse().command;
    let root = root.unwrap_or_else(xtask::tidy::own_root);
    let report = xtask::tidy::tidy(&root)?;
    print!("{}", report.lines(std::io::stdout().is_terminal()));
    Ok(if report.errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
