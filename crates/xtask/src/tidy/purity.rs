//! What the pure rooms carry through other crates. `cargo tree` answers for each room alone: the features that other
//! rooms turn on do not count.

use super::rules::{IMPURE, ROOMS};
use super::tree::{Room, Tree};
use super::{Finding, Report};
use anyhow::{Context, ensure};
use std::process::Command;

pub(super) fn check(tree: &Tree, report: &mut Report) -> anyhow::Result<()> {
    for room in &tree.rooms {
        if !ROOMS.iter().any(|rule| rule.pure && rule.name == room.name) {
            continue;
        }
        for chain in chains(&normal_dependencies(tree, room)?) {
            // What the manifest itself names is for `imports`, which knows the line.
            if chain.len() < 2 {
                continue;
            }
            let (path, line) = tree.manifest_line(room, &chain[0]);
            let what = format!("pure room `{}` carries {}", room.name, chain.join(" -> "));
            let remedy = "turn the feature off or find another crate";
            report.errors.push(Finding::new(path, line, what, remedy));
        }
    }
    Ok(())
}

/// One crate a line, its depth in front: `0model v0.1.0`, `1chrono v0.4.45`.
fn normal_dependencies(tree: &Tree, room: &Room) -> anyhow::Result<String> {
    let output = Command::new("cargo")
        .current_dir(&tree.root)
        .args(["tree", "--quiet", "--edges", "normal", "--prefix", "depth", "--format", " {p}", "--package"])
        .arg(format!("path+file://{}/{}#{}", tree.root.display(), room.folder, room.name))
        .output()
        .context("cargo does not start")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo tree for `{}`: {complaint}", room.name);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The chain of crates that leads to each impure one, the room itself left out.
fn chains(listing: &str) -> Vec<Vec<String>> {
    let mut chain: Vec<String> = Vec::new();
    let mut found = Vec::new();
    for line in listing.lines() {
        let mut words = line.split_whitespace();
        let (Some(depth), Some(name)) = (words.next().and_then(|d| d.parse::<usize>().ok()), words.next()) else {
            continue;
        };
        chain.truncate(depth);
        chain.push(name.to_owned());
        if depth > 0 && IMPURE.contains(&name) {
            found.push(chain[1..].to_vec());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_to_each_impure_crate_is_named() {
        let listing =
            "0 model v0.1.0 (/x)\n1 a v1.0.0\n2 b v1.0.0\n3 tokio v1.0.0\n1 c v1.0.0\n1 rand v1.0.0\n1 rands v1\n";
        assert_eq!(chains(listing), [vec!["a", "b", "tokio"], vec!["rand"]]);
    }

    #[test]
    fn a_clean_listing_gives_nothing() {
        assert_eq!(chains("0 model v0.1.0\n1 serde v1.0.0\n2 serde_core v1.0.0 (*)\n\n"), Vec::<Vec<String>>::new());
    }
}
