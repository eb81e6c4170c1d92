//! Who imports whom, from cargo's own answer.

use super::rules::{IMPURE, RESERVED, ROOMS};
use super::tree::{Dependency, Room, Tree};
use super::{Finding, Report, rules};
use cargo_metadata::DependencyKind;

pub(super) fn check(tree: &Tree, report: &mut Report) {
    for room in &tree.rooms {
        if room.folder != format!("crates/{}", room.name) {
            let what = format!("crate `{}` lives in `{}`", room.name, room.folder);
            let remedy = "folder name = crate name, under crates/";
            report.errors.push(Finding::new(format!("{}/Cargo.toml", room.folder), 1, what, remedy));
        }
        let Some(rule) = ROOMS.iter().find(|rule| rule.name == room.name) else {
            let what = format!("no rule for the room `{}`", room.name);
            let remedy = "add it to crates/xtask/src/tidy/rules.rs and to ARCHITECTURE.md, with a decision record";
            report.errors.push(Finding::new(format!("{}/Cargo.toml", room.folder), 1, what, remedy));
            continue;
        };
        for dependency in &room.dependencies {
            if let Some((what, remedy)) = judge(tree, rule, dependency) {
                let (path, line) = tree.manifest_line(room, &dependency.name);
                report.errors.push(Finding::new(path, line, what, remedy));
            }
        }
        check_lints(tree, room, report);
    }
}

/// What is wrong with a dependency and what to do, if anything.
fn judge(tree: &Tree, rule: &rules::Room, dependency: &Dependency) -> Option<(String, String)> {
    let name = dependency.name.as_str();
    // Tests may look anywhere.
    if dependency.kind == DependencyKind::Development {
        return None;
    }
    if tree.rooms.iter().any(|room| room.name == name) {
        return (!rule.may_import.contains(&name)).then(|| {
            let allowed = match rule.may_import {
                [] => "nothing of ours".to_owned(),
                rooms => rooms.join(", "),
            };
            (format!("`{}` imports `{name}`", rule.name), format!("it may import {allowed}"))
        });
    }
    if rule.pure && IMPURE.contains(&name) {
        let remedy = "no I/O, clock or randomness here; take the result as a parameter";
        return Some((format!("pure room `{}` carries `{name}`", rule.name), remedy.to_owned()));
    }
    let reserved = RESERVED.iter().find(|reserved| reserved.dependency == name && !reserved.rooms.contains(&rule.name));
    reserved.map(|reserved| (format!("`{}` depends on `{name}`", rule.name), reserved.remedy.to_owned()))
}

/// A room without the workspace's lints escapes clippy's half of the rules.
fn check_lints(tree: &Tree, room: &Room, report: &mut Report) {
    let path = format!("{}/Cargo.toml", room.folder);
    let Some(manifest) = tree.file(&path) else { return };
    let mut lines = manifest.text.lines().skip_while(|line| line.trim() != "[lints]").skip(1);
    if lines.next().is_none_or(|line| line.replace(' ', "") != "workspace=true") {
        report.errors.push(Finding::new(path, 1, "workspace lints are off", "add `[lints]` with `workspace = true`"));
    }
}
