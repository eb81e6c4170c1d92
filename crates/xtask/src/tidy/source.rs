//! A Rust file with comments and texts blanked out, and its test modules found. Not a parser: enough of the lexical
//! rules (Rust Reference, "Comments" and "Tokens") that braces and paths can be trusted.

/// What the checks need to know of a Rust file.
pub(super) struct Source {
    /// Each line of the file with comments and the insides of string and character literals as spaces.
    code: Vec<String>,
    /// For each line whether it stands in a `#[cfg(test)]` item.
    in_tests: Vec<bool>,
}

impl Source {
    pub(super) fn read(text: &str) -> Self {
        let code: Vec<String> = blank(text).lines().map(str::to_owned).collect();
        let in_tests = mark_tests(&code);
        Self { code, in_tests }
    }

    /// Lines outside `#[cfg(test)]` items.
    pub(super) fn lines_without_tests(&self) -> usize {
        self.in_tests.iter().filter(|in_tests| !**in_tests).count()
    }

    /// Line number from 1 and code of every line outside tests.
    pub(super) fn code_without_tests(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.code.iter().zip(&self.in_tests).enumerate();
        lines.filter(|(_, (_, in_tests))| !**in_tests).map(|(index, (line, _))| (index + 1, line.as_str()))
    }
}

/// Replaces comments and the insides of literals by spaces; line breaks stay.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match chars[at] {
            '/' if chars.get(at + 1) == Some(&'/') => end_of_line(&chars, at),
            '/' if chars.get(at + 1) == Some(&'*') => end_of_block_comment(&chars, at),
            '"' => end_of_string(&chars, at + 1),
            'r' if !continues_word(&chars, at) => end_of_raw_string(&chars, at),
            '\'' => end_of_character(&chars, at),
            _ => at,
        };
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// Whether the letter at `at` is the inside of an identifier; `br"…"` and `cr"…"` are still raw strings.
fn continues_word(chars: &[char], at: usize) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    match at.checked_sub(1).map(|before| chars[before]) {
        Some('b' | 'c') => at >= 2 && word(chars[at - 2]),
        Some(before) => word(before),
        None => false,
    }
}

fn end_of_line(chars: &[char], from: usize) -> usize {
    chars[from..].iter().position(|c| *c == '\n').map_or(chars.len(), |offset| from + offset)
}

/// Block comments nest.
fn end_of_block_comment(chars: &[char], from: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = from;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at.min(chars.len())
}

fn end_of_string(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// `r"…"`, `r#"…"#` and so on; `from` itself when it is no raw string (`r#type`, the name `r`).
fn end_of_raw_string(chars: &[char], from: usize) -> usize {
    let hashes = chars[from + 1..].iter().take_while(|c| **c == '#').count();
    let open = from + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return from;
    }
    let closes =
        |at: usize| chars[at] == '"' && chars[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
    (open + 1..chars.len()).find(|at| closes(*at)).map_or(chars.len(), |at| at + 1 + hashes)
}

/// `'x'`, `'\n'`, `'\u{41}'`; `from` itself for a lifetime.
fn end_of_character(chars: &[char], from: usize) -> usize {
    /// Longest escape: `\u{10FFFF}`, with underscores allowed.
    const ESCAPE_CHARS_MAX: usize = 16;
    match (chars.get(from + 1), chars.get(from + 2)) {
        (Some('\\'), Some(_)) => {
            let rest = &chars[from + 3..(from + 3 + ESCAPE_CHARS_MAX).min(chars.len())];
            rest.iter().position(|c| *c == '\'').map_or(from, |offset| from + 4 + offset)
        }
        (Some(_), Some('\'')) => from + 3,
        _ => from,
    }
}

/// Marks the lines of `#[cfg(test)]` items: from the attribute to the end of the item's braces, or to its semicolon.
fn mark_tests(code: &[String]) -> Vec<bool> {
    let mut marks = vec![false; code.len()];
    let mut line = 0;
    while line < code.len() {
        if code[line].trim_start().starts_with("#[cfg(test)]") {
            let end = end_of_item(code, line);
            marks[line..=end].fill(true);
            line = end;
        }
        line += 1;
    }
    marks
}

/// The last line of the item whose attribute stands on line `from`.
fn end_of_item(code: &[String], from: usize) -> usize {
    let mut depth = 0_i32;
    for (offset, line) in code[from..].iter().enumerate() {
        for c in line.chars() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 && matches!(c, '}' | ';') {
                return from + offset;
            }
        }
    }
    code.len() - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked() {
        let cases = [
            ("let a = \"{\"; // }", "let a = ;"),
            ("r#\"{ \" }\"# x", "x"),
            ("br\"\\\" y", "b y"),
            ("b\"}\" 'a' '{' '\\'' '\\u{7D}' '\\\\' &'a T", "b &'a T"),
            ("/* { /* { */ } */ y", "y"),
            ("for r in r#type {}", "for r in r#type {}"),
            ("\"\\\"}\" z", "z"),
            ("\"unclosed {", ""),
            ("'", "'"),
            ("'\\", "'\\"),
            ("r#", "r#"),
            ("/* unclosed {", ""),
        ];
        for (text, code) in cases {
            let blanked = blank(text);
            assert_eq!(blanked.split_whitespace().collect::<Vec<_>>().join(" "), code, "{text}");
            assert_eq!(blanked.chars().count(), text.chars().count(), "{text}: columns must stay");
        }
    }

    #[test]
    fn test_items_do_not_count() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    const T: &str = \"}\";\n    fn b() {}\n}\nfn c() {}\n";
        let source = Source::read(text);
        assert_eq!(source.lines_without_tests(), 2);
        let lines: Vec<usize> = source.code_without_tests().map(|(line, _)| line).collect();
        assert_eq!(lines, [1, 7]);
    }

    #[test]
    fn test_items_without_braces_end_at_the_semicolon() {
        assert_eq!(Source::read("#[cfg(test)]\nmod tests;\nfn c() {}\n").lines_without_tests(), 1);
        assert_eq!(Source::read("#[cfg(test)]\nuse a::{b, c};\nfn c() {}\n").lines_without_tests(), 1);
        assert_eq!(Source::read("#[cfg(test)]\nmod tests {").lines_without_tests(), 0);
    }
}
