//! `caly call`: rings any Caly as the carrier would, and says what it was like at the telephone.

use crate::config::Config;
use crate::terminal::{bold, say};
use anyhow::Context;
use clap::Args;
use secrecy::SecretString;
use std::path::PathBuf;
use std::process::ExitCode;
use testkit::caller::report::measure;
use testkit::caller::{Script, ScriptedCaller, Voice};
use testkit::carrier::{Announce, FakeExotel, Options};

/// What `caly call` takes.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The server to call.
    #[arg(long, default_value = "http://127.0.0.1:3000")]
    to: String,
    /// Its webhook secret; default: EXOTEL_WEBHOOK_SECRET.
    #[arg(long)]
    secret: Option<String>,
    /// Ask this dynamic URL (with its token) instead of the signed webhook.
    #[arg(long, conflicts_with = "secret")]
    dynamic_url: Option<String>,
    /// The number to call, as Indian webhooks write it.
    #[arg(long, default_value = "08047491899")]
    number: String,
    /// What the caller says (TOML); default: a visit to the clinic.
    #[arg(long)]
    script: Option<PathBuf>,
    /// Folder of the caller's recordings.
    #[arg(long)]
    voice: Option<PathBuf>,
    /// Length of the carrier's frames.
    #[arg(long, default_value_t = 100)]
    frame_ms: u64,
    /// 8000, 16000 or 24000.
    #[arg(long, default_value_t = 8_000)]
    sample_rate_hz: u32,
    /// Write what the telephone heard to this file: WAV, caller left, agent right.
    #[arg(long)]
    record: Option<PathBuf>,
    /// Print the measurement as JSON.
    #[arg(long)]
    json: bool,
}

/// Places a call.
///
/// # Errors
/// When it was refused, or the caller cannot speak.
pub(crate) async fn run(config: &Config, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let announce = match (&arguments.dynamic_url, &arguments.secret, &config.exotel_webhook_secret) {
        (Some(url), _, _) => Announce::DynamicUrl { url: url.clone(), passthru_url: None },
        (None, Some(secret), _) => Announce::Signed { secret: SecretString::from(secret.clone()) },
        (None, None, Some(secret)) => Announce::Signed { secret: secret.clone() },
        (None, None, None) => anyhow::bail!("give --secret, --dynamic-url or set EXOTEL_WEBHOOK_SECRET"),
    };
    let script = match &arguments.script {
        Some(path) => Script::load(path)?,
        None => Script::clinic(),
    };
    let mut options = Options::new(arguments.to.trim_end_matches('/'), announce);
    options.called_number = arguments.number;
    options.frame_ms = arguments.frame_ms;
    options.sample_rate_hz = arguments.sample_rate_hz;
    let voice = Voice::open(arguments.voice.as_deref().unwrap_or(&config.voices_dir))?;
    let mut caller = ScriptedCaller::new(script, &voice, options.sample_rate_hz, 1)?;
    let seen = FakeExotel::new(options).place_call(&mut caller).await.context("the call was refused")?;
    if let Some(path) = &arguments.record {
        let stereo = seen.stereo();
        let mut bytes = audio::wav::header(seen.sample_rate_hz, 2, stereo.len() as u64 * 2).to_vec();
        bytes.extend(stereo.iter().flat_map(|sample| sample.to_le_bytes()));
        std::fs::write(path, bytes).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    let report = measure(&seen, caller.utterances());
    if arguments.json {
        say(serde_json::to_string_pretty(&report)?);
        return Ok(ExitCode::SUCCESS);
    }
    let ms = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"));
    say(bold("answered after   the caller said"));
    for turn in &report.turns {
        say(format!("{:>14}   {}", ms(turn.end_to_end_ms), turn.said.text));
    }
    say(format!(
        "{:.1} s; gaps {}; violations of the carrier's rules {}; unanswered {}; ended {:?}",
        report.duration_ms as f64 / 1_000.0,
        report.gaps,
        report.violations.len(),
        report.unanswered,
        report.closed
    ));
    Ok(ExitCode::SUCCESS)
}
