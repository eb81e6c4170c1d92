//! Words for the person at the terminal. Everything a command prints goes through here.

use std::io::{IsTerminal, Write};

/// Prints a line.
pub(crate) fn say(line: impl AsRef<str>) {
    // A closed pipe (`caly … | head`) is no reason to fail.
    let _ = writeln!(std::io::stdout().lock(), "{}", line.as_ref());
}

/// Prints a line where errors go.
pub(crate) fn complain(line: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr().lock(), "{}", line.as_ref());
}

/// Dimmed, when a person looks.
pub(crate) fn dim(text: &str) -> String {
    styled("2", text)
}

/// Bold, when a person looks.
pub(crate) fn bold(text: &str) -> String {
    styled("1", text)
}

/// In a colour (an ANSI number), when a person looks.
pub(crate) fn coloured(colour: &str, text: &str) -> String {
    styled(colour, text)
}

fn styled(code: &str, text: &str) -> String {
    if std::io::stdout().is_terminal() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}
