//! Takes away what is written for the eye: markdown, links, emoji, bullets.

use crate::Tongue;

/// Text without markup. Links keep their label; a bare address becomes "a link"; list items and headings end with a
/// full stop so that the voice pauses.
pub(super) fn plain(text: &str, tongue: Tongue) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() {
            end_with_stop(&mut out);
            continue;
        }
        if trimmed.starts_with("```") || trimmed.chars().all(|c| matches!(c, '-' | '=' | '*' | '_' | '|' | ' ' | ':')) {
            continue;
        }
        let (body, own_line) = without_bullet(trimmed);
        if own_line {
            end_with_stop(&mut out);
        }
        if !out.is_empty() && !out.ends_with(' ') {
            out.push(' ');
        }
        out.push_str(&inline(&unlink(body), tongue));
        if own_line {
            end_with_stop(&mut out);
        }
    }
    out
}

fn end_with_stop(out: &mut String) {
    if out.trim_end().ends_with(|c: char| crate::tokens::is_word_char(c)) {
        out.truncate(out.trim_end().len());
        out.push('.');
    }
}

/// The line without `- `, `* `, `# `, `> `; true when it had one.
fn without_bullet(line: &str) -> (&str, bool) {
    for bullet in ["- ", "* ", "+ ", "• "] {
        if let Some(rest) = line.strip_prefix(bullet) {
            return (rest.trim_start(), true);
        }
    }
    let heading = line.trim_start_matches('#');
    if heading.len() < line.len() && heading.starts_with(' ') {
        return (heading.trim_start(), true);
    }
    match line.strip_prefix("> ") {
        Some(rest) => (rest, false),
        None => (line, false),
    }
}

/// `[label](address)` and `![label](address)` → `label`.
fn unlink(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(open) = rest.find('[') {
        let (head, tail) = rest.split_at(open);
        let found = tail.find("](").and_then(|middle| {
            let label = tail.get(1..middle)?;
            let after = tail.get(middle + 2..)?;
            let close = after.find(')')?;
            Some((label, after.get(close + 1..)?))
        });
        match found {
            Some((label, after)) => {
                out.push_str(head.strip_suffix('!').unwrap_or(head));
                out.push_str(label);
                rest = after;
            }
            None => {
                out.push_str(head);
                out.push('[');
                rest = tail.get(1..).unwrap_or_default();
            }
        }
    }
    out.push_str(rest);
    out
}

/// One line without emphasis, code marks, addresses and emoji.
fn inline(line: &str, tongue: Tongue) -> String {
    let words: Vec<String> = line
        .split_whitespace()
        .map(|word| {
            if let Some(at) = word.find("http://").or_else(|| word.find("https://")).or_else(|| word.find("www.")) {
                let head = word.get(..at).unwrap_or_default();
                let end = word.trim_end_matches(['.', ',', '!', '?', ')', ';', ':']);
                let tail = word.get(end.len()..).unwrap_or_default();
                return format!("{head}{}{tail}", link_word(tongue));
            }
            let bare: String =
                word.chars().filter(|c| !matches!(c, '*' | '`' | '~' | '|' | '\\') && !is_emoji(*c)).collect();
            bare.trim_matches('_').to_owned()
        })
        .filter(|word| !word.is_empty())
        .collect();
    words.join(" ")
}

const fn link_word(tongue: Tongue) -> &'static str {
    match tongue {
        Tongue::English => "a link",
        Tongue::Hindi => "एक लिंक",
    }
}

/// Pictographs, dingbats, flags and their joiners (Unicode blocks, not every assigned emoji). The zero-width joiners
/// that Devanagari needs stay.
const fn is_emoji(c: char) -> bool {
    matches!(
        c,
        '\u{1F000}'..='\u{1FAFF}'
            | '\u{2600}'..='\u{27BF}'
            | '\u{2B00}'..='\u{2BFF}'
            | '\u{FE00}'..='\u{FE0F}'
            | '\u{2190}'..='\u{21FF}'
            | '\u{20E3}'
            | '\u{E0020}'..='\u{E007F}'
    )
}
