//! Who answered: announcements of networks, mailboxes and call screening, and what people say first.

use crate::table::{none_wrong, rows};
use language::announcement::{Answered, answered_by};
use std::collections::BTreeMap;

#[test]
fn first_words() {
    let table = rows(include_str!("tables/announcements.txt"), 2);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (line, cells) in &table {
        let [want, text] = cells.as_slice() else { continue };
        *counts.entry(want.clone()).or_default() += 1;
        let got = answered_by(text);
        let name = match got {
            Answered::Person => "person",
            Answered::Voicemail => "voicemail",
            Answered::SwitchedOff => "switched_off",
            Answered::NotReachable => "not_reachable",
            Answered::Busy => "busy",
            Answered::Screening => "screening",
            Answered::Unknown => "unknown",
        };
        // For people, "unknown" is as good: nobody hangs up on it.
        let right = name == want || (want == "human" && matches!(got, Answered::Person | Answered::Unknown));
        if !right {
            wrong.push(format!("line {line}: {text:?}: wanted {want}, got {name}"));
        }
    }
    none_wrong(&wrong, table.len());
    let human = counts.get("human").copied().unwrap_or(0) + counts.get("person").copied().unwrap_or(0);
    assert!(human >= 60, "{human} lines of people");
    assert!(table.len() >= human + 60, "{} lines of machines", table.len() - human);
}
