//! `caly bench turns`: how well the end of a caller's turn is told, and how often voice activity is wrong, on recorded
//! speech as it comes over a telephone; beside what plain silence would give.
//!
//! The chain is that of a live call without its network: voice activity, the built-in transcriber, the last words, the
//! end-of-turn model, and [`call::Call`] itself with an agent's default way of taking turns. Time is reckoned.

mod activity;
mod cases;
mod ear;
mod line;
mod material;
mod minds;
mod score;
mod sound;

use crate::config::Config;
use crate::terminal::{bold, complain, say};
use anyhow::{Context, ensure};
use cases::{Case, Kind};
use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use line::{Outcome, Scene};
use material::Material;
use minds::{AT_ONCE, Minds};
use model::{AgentConfig, EndOfTurn, TurnTaking};
use score::{Played, Report};
use sound::{over_the_line, samples};
use std::path::PathBuf;
use std::process::ExitCode;

/// The line before the caller speaks.
const LEAD_MS: u64 = 1_500;
/// And after. Every rule has decided by then.
const TAIL_MS: u64 = 4_000;
/// How long a caller thinks in the middle of a turn.
const PAUSES_MS: [u64; 3] = [400, 700, 1_000];
/// Plain silence that ends a turn, to compare with.
const PLAIN_MS: [u64; 4] = [300, 500, 700, 1_000];
/// Most finished turns asked for; more than there are recordings.
const CLIPS_MAX: usize = 2_000;

/// What `caly bench turns` takes.
#[derive(Args)]
pub(super) struct Arguments {
    /// The recordings, as `scripts/fetch-speech` lays them down.
    #[arg(long)]
    speech: PathBuf,
    /// Recordings at most; the others are left out evenly.
    #[arg(long, default_value_t = 80)]
    clips: usize,
    /// Speech over noise, dB.
    #[arg(long, value_delimiter = ',', default_value = "30,20,10")]
    snr: Vec<f32>,
    /// Lengths of the carrier's frames: 100, 20.
    #[arg(long, value_delimiter = ',', default_value = "100,20")]
    frame_ms: Vec<u64>,
    /// Voice activity: speech over noise, dB.
    #[arg(long, value_delimiter = ',', default_value = "30,20,10,5")]
    activity_snr: Vec<f32>,
    /// Write the figures, and every decision, to this file as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

impl Arguments {
    fn check(&self) -> anyhow::Result<()> {
        ensure!((1..=CLIPS_MAX).contains(&self.clips), "--clips must be from 1 to {CLIPS_MAX}");
        ensure!(self.frame_ms.iter().all(|ms| matches!(ms, 20 | 100)), "--frame-ms must be 20 or 100");
        let levels = self.snr.iter().chain(&self.activity_snr);
        ensure!(levels.into_iter().all(|db| (0.0..=60.0).contains(db)), "speech over noise must be from 0 to 60 dB");
        Ok(())
    }
}

/// A way of deciding.
struct Rule {
    name: String,
    agent: AgentConfig,
}

/// Those of an agent, and plain silence.
fn rules() -> anyhow::Result<Vec<Rule>> {
    let modes = [EndOfTurn::Auto, EndOfTurn::Silence, EndOfTurn::Model].map(|end_of_turn| {
        let name = match end_of_turn {
            EndOfTurn::Auto => "auto",
            EndOfTurn::Silence => "silence and words",
            EndOfTurn::Model => "model",
            EndOfTurn::Transcriber => "transcriber",
        };
        (name.to_owned(), TurnTaking { end_of_turn, ..TurnTaking::default() })
    });
    let plain = PLAIN_MS.map(|pause_ms| {
        let settings = TurnTaking { end_of_turn: EndOfTurn::Silence, eager: false, ..TurnTaking::default() };
        let settings = TurnTaking { pause_short_ms: pause_ms, pause_long_ms: pause_ms, ..settings };
        (format!("plain silence of {pause_ms} ms"), settings)
    });
    modes.into_iter().chain(plain).map(|(name, how)| Ok(Rule { name, agent: line::agent(how)? })).collect()
}

/// Measures.
///
/// # Errors
/// When the recordings or the models are not there, or a file cannot be written.
pub(super) async fn run(config: &Config, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    arguments.check()?;
    let material = Material::read(&arguments.speech)?;
    say(bold("Caly: the end of turns and voice activity on recorded speech"));
    for missing in &material.missing {
        say(format!("missing: {missing}; what is measured is measured without it"));
    }
    let minds = tokio::task::block_in_place(|| Minds::load(&config.models))?;
    let report = measure(&minds, &material, arguments).await?;
    for line in report.markdown() {
        say(line);
    }
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn measure(minds: &Minds, material: &Material, arguments: &Arguments) -> anyhow::Result<Report> {
    let clips = material.turns(arguments.clips);
    complain(format!("caly bench: {} recordings; looking for the places where callers could pause", clips.len()));
    let cases: Vec<Vec<Case>> =
        stream::iter(clips.iter().map(|clip| cases::cases(minds, clip))).buffered(AT_ONCE).try_collect().await?;
    let cases: Vec<Case> = cases.into_iter().flatten().collect();
    let rules = rules()?;
    let mut jobs = Vec::new();
    for (seed, case) in (1..).zip(&cases) {
        for snr_db in &arguments.snr {
            jobs.push(Job { minds, case, rules: &rules, seed, snr_db: *snr_db, frames_ms: &arguments.frame_ms });
        }
    }
    let all = jobs.len();
    let mut played = Vec::new();
    let mut results = stream::iter(jobs.iter().map(Job::run)).buffered(AT_ONCE);
    let mut done = 0;
    while let Some(more) = results.next().await {
        played.extend(more?);
        done += 1;
        if done % 50 == 0 {
            complain(format!("caly bench: turns: {done} of {all}"));
        }
    }
    complain("caly bench: voice activity");
    let every: Vec<_> = material.clips.iter().collect();
    let step = every.len().div_ceil(arguments.clips * 2).max(1);
    let some: Vec<_> = every.into_iter().step_by(step).collect();
    let row = activity::in_a_row(&some);
    let activity = arguments.activity_snr.iter().map(|snr_db| activity::measure(minds, &row, *snr_db));
    let activity = activity.collect::<anyhow::Result<_>>()?;
    let wordless = material.wordless.iter().map(|clip| activity::wordless(minds, clip));
    let wordless = wordless.collect::<anyhow::Result<_>>()?;
    let rules: Vec<String> = rules.iter().map(|rule| rule.name.clone()).collect();
    Ok(Report::new(clips.len(), material.missing.clone(), minds.computed(), &rules, played, activity, wordless))
}

/// A case at a level of noise, under all rules.
struct Job<'a> {
    minds: &'a Minds,
    case: &'a Case,
    rules: &'a [Rule],
    seed: u64,
    snr_db: f32,
    frames_ms: &'a [u64],
}

impl Job<'_> {
    async fn run(&self) -> anyhow::Result<Vec<Played>> {
        let case = self.case;
        let quiet_from_ms = LEAD_MS + case.before_end_ms;
        // Noise is drawn from the beginning on: up to the pause all of these are the same sound.
        let mut scenes = vec![(None, self.line(&case.before), None)];
        if case.kind != Kind::Finished {
            for pause_ms in PAUSES_MS {
                let (sound, goes_on_ms) = case.with_pause(pause_ms);
                scenes.push((Some(pause_ms), self.line(&sound), Some(LEAD_MS + goes_on_ms)));
            }
        }
        let mut played = Vec::new();
        for frame_ms in self.frames_ms {
            for (number, rule) in self.rules.iter().enumerate() {
                for (pause_ms, sound, goes_on_ms) in &scenes {
                    let scene = Scene { sound, frame_ms: *frame_ms, quiet_from_ms, goes_on_ms: *goes_on_ms };
                    let outcome = line::play(self.minds, scene, &rule.agent).await?;
                    played.push(self.played(number, *frame_ms, *pause_ms, quiet_from_ms, outcome));
                }
            }
        }
        Ok(played)
    }

    fn line(&self, speech: &[i16]) -> Vec<i16> {
        let mut sound = vec![0; samples(LEAD_MS)];
        sound.extend(speech);
        sound.resize(sound.len() + samples(TAIL_MS), 0);
        over_the_line(&sound, self.snr_db, self.seed)
    }

    fn played(&self, rule: usize, frame_ms: u64, pause_ms: Option<u64>, quiet_ms: u64, outcome: Outcome) -> Played {
        let delay_ms = outcome.decided_ms.map(|at_ms| at_ms as i64 - quiet_ms as i64);
        Played {
            name: self.case.name.clone(),
            kind: self.case.kind,
            snr_db: self.snr_db,
            frame_ms,
            rule,
            pause_ms,
            delay_ms,
            heard: outcome.heard,
            dangling: language::tail::is_dangling(&outcome.text),
            text: outcome.text,
            score: outcome.score,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parse(line: &str) -> Option<Arguments> {
        let arguments = Line::try_parse_from(["turns"].into_iter().chain(line.split_whitespace())).ok()?.arguments;
        arguments.check().is_ok().then_some(arguments)
    }

    #[test]
    fn the_arguments_are_checked() {
        let defaults = parse("--speech x").expect("the defaults");
        assert_eq!((defaults.snr.as_slice(), defaults.frame_ms.as_slice()), (&[30.0, 20.0, 10.0][..], &[100, 20][..]));
        for line in
            ["", "--speech x --clips 0", "--speech x --frame-ms 30", "--speech x --snr 90", "--speech x --snr a"]
        {
            assert!(parse(line).is_none(), "{line}");
        }
    }
}
