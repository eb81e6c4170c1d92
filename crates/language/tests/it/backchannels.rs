//! Noises of a listener, and answers as short as they.

use crate::table::{none_wrong, rows};
use language::backchannel::is_backchannel;

#[test]
fn noises_and_answers() {
    let table = rows(include_str!("tables/backchannels.txt"), 2);
    let mut wrong = Vec::new();
    let mut noises = 0;
    for (line, cells) in &table {
        let [want, text] = cells.as_slice() else { continue };
        noises += usize::from(want == "noise");
        if is_backchannel(text) != (want == "noise") {
            wrong.push(format!("line {line}: {text:?}: wanted {want}"));
        }
    }
    none_wrong(&wrong, table.len());
    assert!(noises >= 60 && table.len() - noises >= 60, "{noises} of {}", table.len());
}
