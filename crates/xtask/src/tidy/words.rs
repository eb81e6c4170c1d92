//! Words and names: paths reserved to a room, marks of unfinished work, names that say nothing, a first line for
//! every crate.

use super::rules::{EMPTY_NAMES, RESERVED_PATHS, UNFINISHED};
use super::tree::{TextFile, Tree};
use super::{Finding, Report};

pub(super) fn check(tree: &Tree, report: &mut Report) {
    for file in &tree.files {
        unfinished(file, report);
        reserved_paths(file, report);
        empty_modules(file, report);
    }
    for path in &tree.paths {
        let name = path.rsplit('/').next().unwrap_or(path);
        let stem = name.split('.').next().unwrap_or(name);
        if EMPTY_NAMES.contains(&stem) {
            report.errors.push(Finding::new(path, 1, format!("the name `{stem}` says nothing"), NAME_REMEDY));
        }
        if path.ends_with(".sql") && !path.starts_with("migrations/") && !path.starts_with("crates/store/") {
            let remedy = "only `store` and the migrations hold SQL";
            report.errors.push(Finding::new(path, 1, "SQL outside the store", remedy));
        }
    }
    for room in &tree.rooms {
        first_line(tree, &room.folder, report);
    }
}

const NAME_REMEDY: &str = "name it after what is inside";

fn unfinished(file: &TextFile, report: &mut Report) {
    for (index, line) in file.text.lines().enumerate() {
        for mark in UNFINISHED {
            if contains_word(line, mark) {
                let what = format!("`{mark}`");
                let remedy = "finish it, or say in plain words what is missing and where it is tracked";
                report.errors.push(Finding::new(&file.path, index + 1, what, remedy));
            }
        }
    }
}

fn reserved_paths(file: &TextFile, report: &mut Report) {
    let (Some(source), Some(room)) = (&file.source, file.room()) else { return };
    if file.is_test() {
        return;
    }
    for (line, code) in source.code_without_tests() {
        for reserved in RESERVED_PATHS {
            if contains_word(code, reserved.path) && !reserved.rooms.contains(&room) {
                let what = format!("`{}` in `{room}`", reserved.path);
                report.errors.push(Finding::new(&file.path, line, what, reserved.remedy));
            }
        }
    }
}

/// Inline modules have no file whose name could be looked at.
fn empty_modules(file: &TextFile, report: &mut Report) {
    let Some(source) = &file.source else { return };
    for (line, code) in source.code_without_tests() {
        let mut words = code.split(|c: char| c.is_whitespace() || matches!(c, '{' | ';')).skip_while(|w| *w != "mod");
        if let Some(name) = words.nth(1).filter(|name| EMPTY_NAMES.contains(name)) {
            let what = format!("the name `{name}` says nothing");
            report.errors.push(Finding::new(&file.path, line, what, NAME_REMEDY));
        }
    }
}

/// Whether `word` stands in `line` and is not the tail or head of a longer word.
fn contains_word(line: &str, word: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || c == '_';
    let ends_open = !word.ends_with(joins);
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(joins) && (ends_open || !after.is_some_and(joins))
    })
}

/// The first line of a crate says what it is.
fn first_line(tree: &Tree, folder: &str, report: &mut Report) {
    for name in ["lib.rs", "main.rs"] {
        let path = format!("{folder}/src/{name}");
        let Some(file) = tree.file(&path) else { continue };
        if !file.text.starts_with("//!") {
            let remedy = "begin with `//!`: what it is, what it never does, where to start reading";
            report.errors.push(Finding::new(path, 1, "no first line", remedy));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::contains_word;

    #[test]
    fn words_stand_alone() {
        let cases = [
            ("let x = env::var(\"A\");", "env::", true),
            ("std::env::var", "env::", true),
            ("my_env::var", "env::", false),
            ("sqlx::query", "sqlx::", true),
            ("a mark", "mark", true),
            ("a marker", "mark", false),
            ("remark", "mark", false),
            ("mark, remark", "mark", true),
        ];
        for (line, word, expected) in cases {
            assert_eq!(contains_word(line, word), expected, "{word} in {line}");
        }
    }
}
