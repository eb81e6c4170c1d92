//! `caly demo`: a recorded caller rings the clinic's receptionist over the carrier's protocol, and you watch.

use super::call_report::{self, Report};
use crate::config::{Config, Environment};
use crate::node::Node;
use crate::terminal::{bold, coloured, complain, dim, say};
use crate::{clock, demo_tenant};
use anyhow::{Context, bail};
use call::flow::Flow;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use model::{CallId, TenantId, TurnRole};
use secrecy::SecretString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use store::calls::{self, Call, CallFilter};
use store::{PageRequest, Store, recordings};
use switchboard::live::{Live, LiveEvent};
use testkit::caller::{Script, ScriptedCaller, Voice};
use testkit::carrier::{Announce, CallObservation, FakeExotel, Options};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

/// The call's last records are in the database within this time after the carrier's end.
const CLOSED_WITHIN: Duration = Duration::from_secs(20);
/// The recording is in its store within this time after that.
const STORED_WITHIN: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const PROGRESS_EVERY: Duration = Duration::from_millis(120);
/// The caller's noise is the same in every demo.
const SEED: u64 = 7;

/// What `caly demo` takes.
#[derive(Args)]
pub(crate) struct Arguments {
    /// End after the call.
    #[arg(long)]
    once: bool,
    /// Write what was measured to this file, as JSON.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Let this flow answer instead of the clinic's (docs/flows.md).
    #[arg(long, conflicts_with = "model_url")]
    flow: Option<PathBuf>,
    /// Let a language model answer: the base address of an OpenAI-compatible API, `http://127.0.0.1:11434/v1`.
    #[arg(long, requires = "model")]
    model_url: Option<String>,
    /// Its model.
    #[arg(long, requires = "model_url")]
    model: Option<String>,
}

/// Runs the demo.
///
/// # Errors
/// When something it needs is missing, or the call did not take place.
pub(crate) async fn run(mut config: Config, arguments: Arguments) -> anyhow::Result<ExitCode> {
    if config.environment == Environment::Production {
        bail!("the demo makes a tenant of its own and is not for production; unset CALY_ENV");
    }
    if arguments.once {
        config.listen.set_port(0);
    }
    let secret = match &config.exotel_webhook_secret {
        Some(secret) => secret.clone(),
        None => random_secret()?,
    };
    config.exotel_webhook_secret = Some(secret.clone());
    let caller = prepare_caller(&config)?;
    let flow = match &arguments.flow {
        None => demo_tenant::FLOW.to_owned(),
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
            Flow::parse(&text).with_context(|| format!("{} cannot be used", path.display()))?;
            text
        }
    };
    // Named by who runs the demo: it gets the key.
    config.model_urls.extend(arguments.model_url.clone());
    let node = start(&config).await?;
    if !node.missing.is_empty() {
        let missing = node.missing.join("\n  ");
        node.stop(cancelled()).await;
        bail!("the built-in models are not complete:\n  {missing}");
    }
    let model = arguments.model_url.as_deref().zip(arguments.model.as_deref());
    let tenant = demo_tenant::ensure(&node.store, &demo_tenant::agent(&flow, model)).await?;
    let mut report = place_call(&node, tenant, caller, secret.clone()).await?;
    if let Some(recording) = &mut report.recording {
        recording.path = config.object_place(&recording.path);
    }
    print_report(&report);
    if let Some(path) = &arguments.report {
        write_report(path, &report)?;
    }
    let code = if report.call_completed() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if arguments.once {
        node.stop(cancelled()).await;
        return Ok(code);
    }
    let log = config.data_dir.join("calls").join(format!("{}.jsonl", report.call_id));
    print_next_steps(&node, &secret, &log);
    super::serve::wait_and_stop(node).await?;
    Ok(code)
}

fn prepare_caller(config: &Config) -> anyhow::Result<ScriptedCaller> {
    let voice = Voice::open(&config.voices_dir).context("the demo's caller has no voice; run `make models`")?;
    let options = Options::new("", Announce::Direct { url: String::new() });
    ScriptedCaller::new(Script::clinic(), &voice, options.sample_rate_hz, SEED).context("the caller cannot speak")
}

async fn start(config: &Config) -> anyhow::Result<Node> {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(PROGRESS_EVERY);
    bar.set_message("starting");
    let shown = bar.clone();
    let node = Node::start(config, move |what| shown.set_message(format!("loading {what}"))).await;
    bar.finish_and_clear();
    node
}

async fn place_call(
    node: &Node,
    tenant: TenantId,
    mut caller: ScriptedCaller,
    secret: SecretString,
) -> anyhow::Result<Report> {
    say(bold("A call for Sunrise Clinic, over the carrier's protocol. The caller is recorded human speech."));
    say("");
    let carrier = FakeExotel::new(Options::new(format!("http://{}", node.address), Announce::Signed { secret }));
    let watcher = tokio::spawn(print_live(node.board.watch()));
    let observation = carrier.place_call(&mut caller).await.context("the call was refused")?;
    let call = closed_call(&node.store, tenant, &observation).await?;
    // The watcher ends with the call; a call that never ended is reported below.
    let _ = tokio::time::timeout(LOOK_EVERY * 10, watcher).await;
    wait_for_recording(&node.store, tenant, call.id).await?;
    call_report::build(&node.store, &node.jobs.objects, tenant, &call, &observation, caller.utterances()).await
}

/// The call as the database has it, once it is over.
async fn closed_call(store: &Store, tenant: TenantId, seen: &CallObservation) -> anyhow::Result<Call> {
    let until = tokio::time::Instant::now() + CLOSED_WITHIN;
    loop {
        let page = store
            .read(tenant, "demo.calls", async |tx| {
                calls::list(tx, &CallFilter::default(), PageRequest::default()).await
            })
            .await?;
        let found = page.items.into_iter().find(|call| call.carrier_call_id.as_deref() == Some(seen.call_id.as_str()));
        match found {
            Some(call) if call.status.is_final() => return Ok(call),
            _ if tokio::time::Instant::now() > until => bail!("the call was not closed in the database"),
            _ => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

async fn wait_for_recording(store: &Store, tenant: TenantId, call: CallId) -> anyhow::Result<()> {
    let until = tokio::time::Instant::now() + STORED_WITHIN;
    loop {
        let all = store.read(tenant, "demo.recordings", async |tx| recordings::of_call(tx, call).await).await?;
        if all.iter().all(|recording| recording.object_key.is_some() || recording.recording_error.is_some()) {
            return Ok(());
        }
        anyhow::ensure!(tokio::time::Instant::now() < until, "the recording was not stored in time");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The conversation as it happens.
async fn print_live(mut events: broadcast::Receiver<LiveEvent>) {
    let mut understood = String::new();
    loop {
        let event = match events.recv().await {
            Ok(event) => event,
            Err(broadcast::error::RecvError::Lagged(_)) => continue,
            Err(broadcast::error::RecvError::Closed) => return,
        };
        let at = dim(&format!("{:>6.1} s", event.at_ms as f64 / 1_000.0));
        match event.what {
            Live::Began => say(format!("{at}  {}", dim("the line is open"))),
            // While somebody speaks over the agent their words are asked for again and again.
            Live::Understood(text) if text == understood => {}
            Live::Understood(text) => {
                understood.clone_from(&text);
                say(format!("{at}  {}", dim(&format!("understood: {text}"))));
            }
            Live::Saying(text) => say(format!("{at}  {} {text}", coloured("36", "agent ▸"))),
            Live::BargeIn => say(format!("{at}  {}", coloured("33", "the caller interrupts; the agent stops"))),
            Live::Backchannel(text) => {
                say(format!("{at}  {}", dim(&format!("«{text}» is a listening noise; the agent goes on"))))
            }
            Live::Tool(name) => say(format!("{at}  {}", coloured("32", &format!("✓ {name}")))),
            Live::Turn(turn) if turn.role == TurnRole::Caller => {
                say(format!("{at}  {} {}", coloured("35", "caller ▸"), turn.text));
            }
            Live::Turn(turn) if turn.interrupted => {
                say(format!("{at}  {}", dim(&format!("the caller had heard: {}", turn.text))));
            }
            Live::Turn(_) => {}
            Live::Filler => say(format!("{at}  {}", dim("the answer is slow; a few words bridge it"))),
            Live::Fallback(stage) => {
                say(format!("{at}  {}", coloured("33", &format!("{stage}: another provider took over"))))
            }
            Live::Language(tag) => say(format!("{at}  {}", dim(&format!("the conversation goes on in {tag}")))),
            Live::Ended(reason) => {
                say(format!("{at}  {}", dim(&format!("the call is over: {reason}"))));
                return;
            }
        }
    }
}

fn print_report(report: &Report) {
    let ms = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |ms| ms.to_string());
    say("");
    say(bold(
        "turn  answered after   end of turn   transcription   thinking   speaking    the caller said → was understood",
    ));
    for (index, turn) in report.turns.iter().enumerate() {
        say(format!(
            "{:>4}  {:>11} ms  {:>9} ms  {:>11} ms  {:>6} ms  {:>6} ms    {} → {}",
            index + 1,
            ms(turn.end_to_end_ms),
            ms(turn.end_of_turn_ms),
            ms(turn.transcription_ms),
            ms(turn.thinking_ms),
            ms(turn.speaking_ms),
            turn.caller_said,
            turn.caller_heard,
        ));
    }
    say("");
    say(format!("median answer      {} ms after the caller's last sound", ms(report.end_to_end_p50_ms)));
    say(format!("word error rate    {:.1} %", report.caller_wer * 100.0));
    say(format!("gaps in the voice  {}", report.gaps));
    if let Some(barge_in) = &report.barge_in {
        say(format!("interruption       stopped {} ms after the caller's first sound", ms(barge_in.reaction_ms)));
    }
    if !report.booked.is_null() {
        say(format!("booked             {}", report.booked));
    }
    if let Some(recording) = &report.recording {
        say(format!(
            "recording          {} ({:.1} s, {} channels)",
            recording.path, recording.duration_s, recording.channels
        ));
    }
    say(format!("ended              {}", report.ended_reason));
}

fn write_report(path: &Path, report: &Report) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(report)?;
    std::fs::write(path, text).with_context(|| format!("the report cannot be written to {}", path.display()))
}

fn print_next_steps(node: &Node, secret: &SecretString, log: &Path) {
    use secrecy::ExposeSecret;
    say("");
    say(bold(&format!("Caly keeps answering on http://{}. In another terminal:", node.address)));
    say(format!(
        "  target/release/caly call --to http://{} --secret {}   the same caller again",
        node.address,
        secret.expose_secret()
    ));
    say(format!(
        "  target/release/caly replay {} --verbose   every input of that call and what followed",
        log.display()
    ));
    say("  make demo ARGS=\"--flow flows/clinic.toml\"   change what the receptionist says in that file and hear it");
    say("Stop with Ctrl-C.");
}

fn random_secret() -> anyhow::Result<SecretString> {
    let mut bytes = [0u8; 16];
    if getrandom::fill(&mut bytes).is_err() {
        complain("the operating system gives no randomness");
        bail!("no secret could be made at {}", clock::now());
    }
    Ok(SecretString::from(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
}

fn cancelled() -> CancellationToken {
    let token = CancellationToken::new();
    token.cancel();
    token
}
