//! `caly doctor`: what this machine has and lacks.

use super::doctor_exotel;
use crate::config::Config;
use crate::terminal::say;
use crate::{edge, services};
use clap::Subcommand;
use providers::local::Models;
use providers::objects::Objects;
use std::process::ExitCode;
use store::{MigrateError, Store};

/// What else can be looked at.
#[derive(Subcommand)]
pub(crate) enum About {
    /// Exotel: which addresses to paste where, what arrives, and whether the account can place calls.
    Exotel(doctor_exotel::Arguments),
    /// Each vendor of speech and language that a key is set for: does it answer, and how fast?
    Providers,
}

/// Looks at everything a node needs and says what is missing and how to get it.
///
/// # Errors
/// None; findings are printed, and make the exit status 1.
pub(crate) async fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let mut healthy = true;
    let mut report = |name: &str, finding: Result<String, String>| {
        healthy &= finding.is_ok();
        match finding {
            Ok(fine) => say(format!("ok       {name}: {fine}")),
            Err(problem) => say(format!("MISSING  {name}: {problem}")),
        }
    };
    let models = Models::locate(&config.models);
    report("speech to text", models.moonshine.map(|_| "installed".to_owned()).map_err(|e| e.to_string()));
    report("text to speech", models.hibari.map(|_| "installed".to_owned()).map_err(|e| e.to_string()));
    report("end of turn", models.smart_turn.map(|_| "installed".to_owned()).map_err(|e| e.to_string()));
    report("noisy lines", models.silero.map(|_| "installed".to_owned()).map_err(|e| e.to_string()));
    let voice = testkit::caller::Voice::open(&config.voices_dir);
    report("recorded caller", voice.map(|_| "installed".to_owned()).map_err(|e| e.to_string()));
    let database = async {
        std::fs::create_dir_all(&config.data_dir).map_err(|e| e.to_string())?;
        let store = Store::open(&config.store().map_err(|e| e.to_string())?).await.map_err(|e| e.to_string())?;
        let schema = match store.migrate_check().await {
            Ok(()) => Ok("up to date".to_owned()),
            Err(MigrateError::Pending { .. }) => Ok("its schema is brought up to date at the next start".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        store.close().await;
        schema
    };
    report("database", database.await);
    let objects = async {
        let http = services::http().map_err(|e| e.to_string())?;
        let objects = Objects::open(&config.objects, &http).map_err(|e| e.to_string())?;
        objects.check().await.map_err(|e| e.to_string())?;
        Ok(objects.describe().to_owned())
    };
    report("recordings", objects.await);
    let mail = async {
        let mailer = edge::mailer(config).map_err(|e| e.to_string())?;
        mailer.check().await.map_err(|e| e.to_string())?;
        Ok(mailer.describe())
    };
    report("mail", mail.await);
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
