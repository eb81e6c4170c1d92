//! `caly call`: rings any Caly, or any other server that a carrier could ring, and says what it was like at the
//! telephone.

mod switches;

use crate::config::Config;
use crate::terminal::{bold, say};
use anyhow::Context;
use clap::{Args, ValueEnum};
use secrecy::SecretString;
use std::path::PathBuf;
use std::process::ExitCode;
use switches::Switches;
use testkit::caller::report::{CallReport, measure};
use testkit::caller::{Script, ScriptedCaller, Voice};
use testkit::carrier::{Announce, CallObservation, Closed, Delivered, FakeExotel, Options};

/// The carriers that can be simulated.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Carrier {
    /// Exotel, with every way in which it has been seen to behave.
    #[default]
    Exotel,
}

/// What `caly call` takes.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Who rings.
    #[arg(long, value_enum, default_value_t)]
    carrier: Carrier,
    /// The server to call.
    #[arg(long, default_value = "http://127.0.0.1:3000")]
    to: String,
    /// Its webhook secret; default: EXOTEL_WEBHOOK_SECRET.
    #[arg(long)]
    secret: Option<String>,
    /// Ask this dynamic URL (with its token) instead of the signed webhook.
    #[arg(long, conflicts_with = "secret")]
    dynamic_url: Option<String>,
    /// Open this media socket (ws:// or wss://) without asking anybody.
    #[arg(long, conflicts_with_all = ["secret", "dynamic_url"])]
    media_url: Option<String>,
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
    #[command(flatten)]
    switches: Box<Switches>,
}

/// Places a call.
///
/// # Errors
/// When it was refused, or the caller cannot speak.
pub(crate) async fn run(config: &Config, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Carrier::Exotel = arguments.carrier;
    let mut options = Options::new(arguments.to.trim_end_matches('/'), announce(config, &arguments)?);
    let script = match &arguments.script {
        Some(path) => Script::load(path)?,
        None => Script::clinic(),
    };
    options.called_number = arguments.number;
    options.frame_ms = arguments.frame_ms;
    options.sample_rate_hz = arguments.sample_rate_hz;
    let callback = arguments.switches.callback();
    arguments.switches.apply(&mut options);
    let voice = Voice::open(arguments.voice.as_deref().unwrap_or(&config.voices_dir))?;
    let mut caller = ScriptedCaller::new(script, &voice, options.sample_rate_hz, 1)?;
    let carrier = FakeExotel::new(options);
    let seen = Box::pin(carrier.place_call(&mut caller)).await.context("the call was refused")?;
    let mut told = Vec::new();
    if let Some(callback) = callback {
        let connected = !matches!(seen.closed, Closed::NeverConnected { .. });
        let content = callback.of(&seen.call_id, connected, seen.duration_ms);
        told = carrier.deliver(&callback.url, &[content], callback.coding, &callback.delivery).await;
    }
    if let Some(path) = &arguments.record {
        let stereo = seen.stereo();
        let mut bytes = audio::wav::header(seen.sample_rate_hz, 2, stereo.len() as u64 * 2).to_vec();
        bytes.extend(stereo.iter().flat_map(|sample| sample.to_le_bytes()));
        std::fs::write(path, bytes).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    let report = measure(&seen, caller.utterances());
    if arguments.json {
        let mut shown = serde_json::to_value(&report)?;
        shown["carrier"] = serde_json::json!({"call_id": seen.call_id, "connect_tries": seen.connect_tries,
            "short_frames": seen.short_frames, "warnings": seen.warnings, "end_report": seen.end_report,
            "transfer": seen.transfer, "callbacks": told, "events": seen.events});
        say(serde_json::to_string_pretty(&shown)?);
        return Ok(ExitCode::SUCCESS);
    }
    show(&report, &seen, &told);
    Ok(ExitCode::SUCCESS)
}

fn announce(config: &Config, arguments: &Arguments) -> anyhow::Result<Announce> {
    let passthru_url = arguments.switches.passthru_url();
    anyhow::ensure!(
        passthru_url.is_none() || arguments.dynamic_url.is_some(),
        "--passthru-url belongs to a flow: give --dynamic-url, too"
    );
    if let Some(url) = &arguments.media_url {
        return Ok(Announce::Direct { url: url.clone() });
    }
    match (&arguments.dynamic_url, &arguments.secret, &config.exotel_webhook_secret) {
        (Some(url), _, _) => Ok(Announce::DynamicUrl { url: url.clone(), passthru_url }),
        (None, Some(secret), _) => Ok(Announce::Signed { secret: SecretString::from(secret.clone()) }),
        (None, None, Some(secret)) => Ok(Announce::Signed { secret: secret.clone() }),
        (None, None, None) => anyhow::bail!("give --secret, --dynamic-url, --media-url or set EXOTEL_WEBHOOK_SECRET"),
    }
}

/// Says how it was, to a person.
fn show(report: &CallReport, seen: &CallObservation, told: &[Delivered]) {
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
    for violation in &report.violations {
        say(format!("  violation at {violation}"));
    }
    match &seen.end_report {
        Some(Ok(status)) => say(format!("the end was reported and answered with {status}")),
        Some(Err(error)) => say(format!("the end could not be reported: {error}")),
        None => {}
    }
    if let Some(transfer) = &seen.transfer {
        let status = transfer.status().unwrap_or("nobody was dialled");
        say(format!("handed over after {} questions: {status}", transfer.asked));
        for violation in &transfer.violations {
            say(format!("  the Connect answer: {violation}"));
        }
    }
    for one in told {
        let how = if one.taken() { "taken" } else { "refused" };
        say(format!("status callback «{}»: {how} after {} attempts", one.status, one.attempts.len()));
    }
}
