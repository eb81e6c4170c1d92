//! `caly check-config`: are the settings usable?

use crate::config::{Config, Environment, SETTINGS};
use crate::terminal::say;
use std::process::ExitCode;

/// Prints what the settings come to. They are valid, or [`Config::load`] had failed.
///
/// # Errors
/// None; commands share this shape.
pub(crate) fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let environment = match config.environment {
        Environment::Development => "development",
        Environment::Production => "production",
    };
    say(format!("environment  {environment}"));
    say(format!("listen       {}", config.listen));
    say(format!("data         {}", config.data_dir.display()));
    say(format!("models       {}", config.models.folder.display()));
    let signed =
        if config.exotel_webhook_secret.is_some() { "signed" } else { "refused: EXOTEL_WEBHOOK_SECRET is not set" };
    say(format!("webhooks     {signed}"));
    if config.environment == Environment::Production && config.security.trusted_proxies.is_empty() {
        say(
            "note: CALY_TRUSTED_PROXIES is empty. Caly itself speaks plain http: without a proxy in front that is named",
        );
        say("      there, which says that the client came by https, every request to /api is refused.");
    }
    say("The settings are fine.");
    Ok(ExitCode::SUCCESS)
}

/// Prints every setting with its meaning.
pub(crate) fn list() {
    for (name, meaning) in SETTINGS {
        say(format!("{name:<24} {meaning}"));
    }
}
