//! `caly replay FILE`: the same inputs must have the same effects.

use crate::terminal::say;
use anyhow::Context;
use call::log;
use std::path::Path;
use std::process::ExitCode;

/// Largest log that is read, in bytes. The longest call's log stays below it.
const LOG_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Replays a log.
///
/// # Errors
/// When the file cannot be read, is no log, or an effect differs.
pub(crate) fn run(file: &Path, verbose: bool) -> anyhow::Result<ExitCode> {
    let size = std::fs::metadata(file).with_context(|| format!("{} cannot be read", file.display()))?.len();
    anyhow::ensure!(size <= LOG_BYTES_MAX, "{} is larger than any log of a call", file.display());
    let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let replayed = log::replay(&text, |step| {
        if verbose {
            say(format!("{:>8.3} s  {:?}", step.at.ms() as f64 / 1_000.0, step.input));
            for effect in &step.effects {
                say(format!("            → {effect:?}"));
            }
        }
    })?;
    say(format!("{} inputs, {} effects: all as logged", replayed.inputs, replayed.effects));
    Ok(ExitCode::SUCCESS)
}
