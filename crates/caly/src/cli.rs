//! The command line.

use crate::config::{Config, ConfigError};
use crate::{commands, logging, terminal};
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// An AI phone agent in one binary.
#[derive(Parser)]
#[command(name = "caly", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Answer calls: the server.
    Serve,
    /// Watch an agent answer a phone call, with nothing but this program.
    Demo(commands::demo::Arguments),
    /// Call any Caly as the carrier would, with a recorded caller.
    Call(commands::call::Arguments),
    /// Let an agent answer a phone number, and say what to paste at the carrier.
    Connect(commands::connect::Arguments),
    /// Measure what a node costs and how it keeps up: calls against a server of its own.
    Bench(commands::bench::Arguments),
    /// Bring the database's schema up to date, back, or show it.
    Migrate {
        #[command(subcommand)]
        direction: commands::migrate::Direction,
    },
    /// The audit log: is it as it was written?
    Audit {
        #[command(subcommand)]
        action: commands::audit::Action,
    },
    /// The keys of secrets at rest.
    Keys {
        #[command(subcommand)]
        action: commands::keys::Action,
    },
    /// Check the settings and say what is wrong with them.
    CheckConfig {
        /// List every setting with its meaning.
        #[arg(long)]
        list: bool,
    },
    /// Replay the input log of a call and compare every effect; or let another agent answer the same caller.
    Replay(Box<commands::replay::Arguments>),
    /// Play scripted test calls and compare them with what is expected.
    TestAgent(Box<commands::test_agent::Arguments>),
    /// Say what this machine has and lacks.
    Doctor {
        /// Something of its own to look at.
        #[command(subcommand)]
        about: Option<commands::doctor::About>,
    },
}

/// Runs the command of the process.
pub(crate) fn run() -> ExitCode {
    let cli = Cli::parse();
    match execute(cli.command) {
        Ok(code) => code,
        Err(error) => {
            terminal::complain(format!("caly: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command) -> anyhow::Result<ExitCode> {
    if let Command::Replay(arguments) = &command
        && let Some((file, verbose)) = arguments.plain()
    {
        return commands::replay::run(file, verbose);
    }
    if let Command::CheckConfig { list: true } = command {
        commands::check_config::list();
        return Ok(ExitCode::SUCCESS);
    }
    let config = Config::load().map_err(|error: ConfigError| anyhow::anyhow!("{error}"))?;
    let quiet = matches!(
        command,
        Command::Demo(_)
            | Command::Call(_)
            | Command::Bench(_)
            | Command::Connect(_)
            | Command::Migrate { .. }
            | Command::Audit { .. }
            | Command::Keys { .. }
            | Command::Replay(_)
            | Command::TestAgent(_)
            | Command::Doctor { .. }
    );
    logging::start(&config, quiet);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let code = runtime.block_on(async {
        match command {
            Command::Serve => commands::serve::run(&config).await,
            Command::Demo(arguments) => commands::demo::run(config, arguments).await,
            Command::Call(arguments) => commands::call::run(&config, arguments).await,
            Command::Bench(arguments) => commands::bench::run(&config, arguments).await,
            Command::Connect(arguments) => commands::connect::run(&config, arguments).await,
            Command::Migrate { direction } => commands::migrate::run(&config, &direction).await,
            Command::Audit { action } => commands::audit::run(&config, &action).await,
            Command::Keys { action } => commands::keys::run(&config, &action).await,
            Command::CheckConfig { .. } => commands::check_config::run(&config),
            Command::Doctor { about: None } => commands::doctor::run(&config).await,
            Command::Doctor { about: Some(commands::doctor::About::Exotel(arguments)) } => {
                commands::doctor_exotel::run(&config, arguments).await
            }
            Command::Doctor { about: Some(commands::doctor::About::Providers) } => {
                commands::doctor_providers::run(&config).await
            }
            Command::Replay(arguments) => commands::replay::against(&config, *arguments).await,
            Command::TestAgent(arguments) => commands::test_agent::run(&config, *arguments).await,
        }
    });
    // Threads of the built-in models may still compute; nobody waits for them.
    runtime.shutdown_background();
    code
}
