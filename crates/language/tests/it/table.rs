//! Tables in files: one case a line, columns parted with `|`, `#` and empty lines left out.

/// The lines of a table, each with its number and its columns, trimmed. Panics on a line with other than `columns`
/// columns: the table is wrong then.
pub(crate) fn rows(text: &str, columns: usize) -> Vec<(usize, Vec<String>)> {
    (1..)
        .zip(text.lines())
        .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|(number, line)| {
            let cells: Vec<String> = line.split('|').map(|cell| cell.trim().to_owned()).collect();
            assert_eq!(cells.len(), columns, "line {number}: {line}");
            (number, cells)
        })
        .collect()
}

/// Panics with every wrong line, so that one run shows them all.
pub(crate) fn none_wrong(wrong: &[String], cases: usize) {
    assert!(wrong.is_empty(), "{} of {cases} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
