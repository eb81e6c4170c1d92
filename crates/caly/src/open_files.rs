//! Open files: each call needs some. A process that is started inherits the limit.

use anyhow::ensure;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Sockets of a call: its media, and those to three vendors.
const FILES_A_CALL: u64 = 4;
/// What everything else needs.
const FILES_BESIDES: u64 = 200;

/// Raises the limit as far as it may be raised.
///
/// # Errors
/// When it is not enough for so many calls.
pub(crate) fn enough_for(calls: usize) -> anyhow::Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let needed = calls as u64 * FILES_A_CALL + FILES_BESIDES;
    // No limit is enough.
    let Some(current) = current.filter(|current| *current < needed) else { return Ok(()) };
    let raised = maximum.unwrap_or(needed).min(needed.max(current));
    let allowed = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum }).map_or(current, |()| raised);
    ensure!(
        allowed >= needed,
        "{calls} calls need {needed} open files and {allowed} are allowed; raise the limit with `ulimit -Hn {needed}` as \
         root, or allow fewer calls"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_calls_are_always_possible_and_too_many_never() {
        assert!(enough_for(1).is_ok());
        let maximum = getrlimit(Resource::Nofile).maximum;
        if maximum.is_some() {
            assert!(enough_for(usize::MAX / 8).is_err());
        }
    }
}
