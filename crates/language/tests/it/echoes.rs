//! What is our own voice coming back, and what is the caller's.

use crate::table::{none_wrong, rows};
use language::echo::is_echo;

#[test]
fn heard_while_saying() {
    let table = rows(include_str!("tables/echoes.txt"), 3);
    let mut wrong = Vec::new();
    let mut echoes = 0;
    for (line, cells) in &table {
        let [want, saying, heard] = cells.as_slice() else { continue };
        let saying: Vec<&str> = saying.split(" / ").collect();
        echoes += usize::from(want == "echo");
        if is_echo(heard, &saying) != (want == "echo") {
            wrong.push(format!("line {line}: {heard:?} while {saying:?}: wanted {want}"));
        }
    }
    none_wrong(&wrong, table.len());
    assert!(echoes >= 25 && table.len() - echoes >= 40, "{echoes} of {}", table.len());
}
