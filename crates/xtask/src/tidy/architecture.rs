//! ARCHITECTURE.md says what the tree and the rules say: its list of rooms is a table between two markers, one row a
//! room, with what the room may import.

use super::rules::ROOMS;
use super::tree::{TextFile, Tree};
use super::{Finding, Report};
use std::collections::BTreeMap;

const PATH: &str = "ARCHITECTURE.md";
const BEGIN: &str = "<!-- rooms -->";
const END: &str = "<!-- /rooms -->";

pub(super) fn check(tree: &Tree, report: &mut Report) {
    let Some(file) = tree.file(PATH) else {
        report.errors.push(Finding::new(PATH, 1, "missing", "write it: rooms, import rules, invariants"));
        return;
    };
    let Some(rows) = rows(file) else {
        let remedy = format!("put the table of rooms between {BEGIN} and {END}");
        report.errors.push(Finding::new(PATH, 1, "no list of rooms", remedy));
        return;
    };
    for room in &tree.rooms {
        let Some((line, written)) = rows.get(&room.name) else {
            let (what, line) = (format!("the room `{}` is missing", room.name), file.line_of(BEGIN));
            report.errors.push(Finding::new(PATH, line, what, "add its row to the table of rooms"));
            continue;
        };
        let rule = ROOMS.iter().find(|rule| rule.name == room.name);
        let allowed = rule.map(|rule| rule.may_import.join(", ")).unwrap_or_default();
        if rule.is_some() && *written != allowed {
            let what = format!("`{}` is said to import \"{written}\"", room.name);
            report.errors.push(Finding::new(PATH, *line, what, format!("the rule says \"{allowed}\"")));
        }
    }
    for (name, (line, _)) in &rows {
        if !tree.rooms.iter().any(|room| room.name == *name) {
            let what = format!("there is no room `{name}`");
            report.errors.push(Finding::new(PATH, *line, what, "take its row out, or build the room"));
        }
    }
}

/// Room to line number and second cell, from rows of the form ``| `room` | what it imports | … |``.
fn rows(file: &TextFile) -> Option<BTreeMap<String, (usize, String)>> {
    let mut lines = file.text.lines().enumerate().skip_while(|(_, line)| line.trim() != BEGIN);
    lines.next()?;
    let mut rows = BTreeMap::new();
    for (index, line) in lines {
        if line.trim() == END {
            return Some(rows);
        }
        let mut cells = line.trim().trim_start_matches('|').split('|').map(str::trim);
        let name = cells.next().and_then(|cell| cell.strip_prefix('`')).and_then(|cell| cell.strip_suffix('`'));
        if let Some(name) = name {
            let imports = cells.next().unwrap_or_default().trim_matches('–').to_owned();
            rows.insert(name.to_owned(), (index + 1, imports));
        }
    }
    None
}
