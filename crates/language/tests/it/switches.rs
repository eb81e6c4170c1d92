//! Which language a conversation is in after some turns of a caller's.

use crate::table::{none_wrong, rows};
use language::switch::{LanguageSwitch, asked_for_language};

/// A turn as the table writes it: the text, and the transcriber's tag behind `@`.
fn turn(cell: &str) -> (&str, Option<&str>) {
    cell.split_once('@').map_or((cell, None), |(text, tag)| (text.trim(), Some(tag.trim())))
}

#[test]
fn turns() {
    let table = rows(include_str!("tables/switches.txt"), 3);
    let mut wrong = Vec::new();
    let mut turns = 0;
    for (line, cells) in &table {
        let [languages, want, said] = cells.as_slice() else { continue };
        let mut tags = languages.split_whitespace().map(str::to_owned);
        let own = tags.next().unwrap_or_default();
        let others: Vec<String> = tags.collect();
        let mut switch = LanguageSwitch::new(&own, &others);
        for cell in said.split(" / ") {
            let (text, tag) = turn(cell.trim());
            let _ = switch.heard(text, tag);
            turns += 1;
        }
        if switch.current() != want {
            wrong.push(format!("line {line}: {said:?}: wanted {want}, got {}", switch.current()));
        }
    }
    none_wrong(&wrong, table.len());
    assert!(turns >= 120 && table.len() >= 80, "{turns} turns in {} conversations", table.len());
}

#[test]
fn wishes() {
    let table = rows(include_str!("tables/wishes.txt"), 2);
    let mut wrong = Vec::new();
    for (line, cells) in &table {
        let [want, text] = cells.as_slice() else { continue };
        let got = asked_for_language(text).unwrap_or("-");
        if got != want {
            wrong.push(format!("line {line}: {text:?}: wanted {want}, got {got}"));
        }
    }
    none_wrong(&wrong, table.len());
}
