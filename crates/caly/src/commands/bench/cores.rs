//! A core for the server and one for everything else, so that neither disturbs the other's measurement. With `taskset`
//! (util-linux): a process may not set this about itself without it, or without code that we do not write.

use tokio::process::Command;

/// Which core does what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cores {
    /// Callers and vendors: this process.
    pub(super) generator: usize,
    /// The server.
    pub(super) server: usize,
}

/// Keeps this process, with all its threads, on a core of its own, and says which one is left for the server.
///
/// # Errors
/// One sentence about why not.
pub(super) async fn separate() -> Result<Cores, String> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(|_| "this system has no /proc".to_owned())?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or_default();
    let cores = choose(list).ok_or("there is only one core")?;
    let pid = std::process::id().to_string();
    let core = cores.generator.to_string();
    let pinned = Command::new("taskset").args(["--all-tasks", "--cpu-list", "--pid", &core, &pid]).output().await;
    match pinned {
        Ok(output) if output.status.success() => Ok(cores),
        Ok(output) => Err(format!("taskset refused: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(_) => Err("taskset is not installed".to_owned()),
    }
}

/// The first two cores of a list such as `0-1,4`.
fn choose(list: &str) -> Option<Cores> {
    let cores = list.trim().split(',').filter_map(|part| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        Some(from.trim().parse::<usize>().ok()?..=to.trim().parse::<usize>().ok()?)
    });
    let mut cores = cores.flatten();
    Some(Cores { generator: cores.next()?, server: cores.next()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_two_cores_are_chosen() {
        for (list, want) in [
            ("\t0-1", Some((0, 1))),
            ("0-63", Some((0, 1))),
            ("3,7", Some((3, 7))),
            ("2,4-6", Some((2, 4))),
            ("5-5,9-10", Some((5, 9))),
            ("0", None),
            ("", None),
            ("x-y", None),
        ] {
            let got = choose(list).map(|cores| (cores.generator, cores.server));
            assert_eq!(got, want, "{list}");
        }
    }
}
