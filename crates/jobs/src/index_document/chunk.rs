//! Cuts a text into pieces that can be quoted: plain text or Markdown, by headings, paragraphs and sentences.
//!
//! A piece has about 900 characters and carries the headings it stands under. Where a paragraph is cut, the next piece
//! begins with the last sentence of the one before, so that neither half of an answer is lost. Lists and tables are cut
//! between their lines; each piece of a table begins with the table's head.

use language::sentence::SentenceCutter;
use store::document_chunks::CHUNKS_MAX;

/// A piece is closed before it grows beyond this, in characters: three of them are what a model reads in a glance, and a
/// question is answered by one.
const PIECE_CHARS: usize = 900;
/// A sentence is repeated in the next piece when it is no longer than this, in characters.
const OVERLAP_CHARS_MAX: usize = 250;
/// Headings of one piece together, in characters.
const HEADING_CHARS_MAX: usize = 300;
/// Deepest heading of Markdown.
const LEVELS: usize = 6;

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// The title and the headings it stands under.
    pub heading: String,
    /// The text.
    pub text: String,
}

/// What is not cut if it can be helped.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Unit {
    /// A sentence of a paragraph.
    Sentence(String),
    /// A line of a list, a table or code.
    Line(String),
    /// The next paragraph begins.
    Break,
}

/// The pieces of a text, at most [`CHUNKS_MAX`]; the rest of a longer one is left out.
pub(super) fn pieces(title: &str, text: &str) -> Vec<Piece> {
    let mut cutter = Cutter::new(title);
    let mut paragraph = String::new();
    let mut fenced = false;
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let trimmed = line.trim();
        if trimmed.starts_with("```") || trimmed.starts_with("~~~") {
            cutter.paragraph(&mut paragraph);
            fenced = !fenced;
        } else if fenced {
            cutter.line(line.trim_end());
        } else if let Some((level, heading)) = heading_of(trimmed) {
            cutter.paragraph(&mut paragraph);
            cutter.heading(level, heading);
        } else if let Some(level) = lines.peek().and_then(|next| underline(next)).filter(|_| is_plain(trimmed)) {
            cutter.paragraph(&mut paragraph);
            cutter.heading(level, trimmed);
            lines.next();
        } else if trimmed.is_empty() {
            cutter.paragraph(&mut paragraph);
            cutter.gap();
        } else if is_table_rule(trimmed) {
            cutter.table_begins();
        } else if is_line(trimmed) {
            cutter.paragraph(&mut paragraph);
            cutter.line(trimmed);
        } else {
            if !paragraph.is_empty() {
                paragraph.push(' ');
            }
            paragraph.push_str(trimmed);
        }
    }
    cutter.paragraph(&mut paragraph);
    cutter.close();
    cutter.pieces.truncate(CHUNKS_MAX);
    cutter.pieces
}

struct Cutter {
    title: String,
    /// The heading of each level that holds now.
    headings: [String; LEVELS],
    units: Vec<Unit>,
    chars: usize,
    /// The table's head, while one is read.
    table_head: Option<String>,
    /// Something in the units is not only repeated.
    fresh: bool,
    pieces: Vec<Piece>,
}

impl Cutter {
    fn new(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            headings: Default::default(),
            units: Vec::new(),
            chars: 0,
            table_head: None,
            fresh: false,
            pieces: Vec::new(),
        }
    }

    /// What comes now stands under this heading.
    fn heading(&mut self, level: usize, heading: &str) {
        self.close();
        self.headings[level - 1] = heading.to_owned();
        self.headings[level..].fill(String::new());
    }

    fn paragraph(&mut self, paragraph: &mut String) {
        let text = std::mem::take(paragraph);
        if text.is_empty() {
            return;
        }
        self.table_head = None;
        for sentence in sentences(&text) {
            for part in cut_long(&sentence) {
                self.add(Unit::Sentence(part));
            }
        }
    }

    fn line(&mut self, line: &str) {
        if !line.starts_with('|') {
            self.table_head = None;
        }
        for part in cut_long(line) {
            self.add(Unit::Line(part));
        }
    }

    /// The line before was a table's head.
    fn table_begins(&mut self) {
        if let Some(Unit::Line(head)) = self.units.last() {
            self.table_head = Some(head.clone());
        }
    }

    fn gap(&mut self) {
        self.table_head = None;
        if self.fresh && self.units.last() != Some(&Unit::Break) {
            self.units.push(Unit::Break);
        }
    }

    fn add(&mut self, unit: Unit) {
        let chars = chars(&unit);
        if self.fresh && self.chars + chars > PIECE_CHARS {
            let repeated = self.repeated(&unit);
            self.close();
            if let Some(repeated) = repeated {
                self.chars = self::chars(&repeated);
                self.units.push(repeated);
            }
        }
        self.chars += chars;
        self.units.push(unit);
        self.fresh = true;
    }

    /// What the next piece begins with: the last sentence, or the head of the table.
    fn repeated(&self, next: &Unit) -> Option<Unit> {
        match (next, self.units.last()) {
            (Unit::Line(_), _) => self.table_head.clone().map(Unit::Line),
            (Unit::Sentence(_), Some(last @ Unit::Sentence(_))) if chars(last) <= OVERLAP_CHARS_MAX => {
                Some(last.clone())
            }
            (Unit::Sentence(_) | Unit::Break, _) => None,
        }
    }

    fn close(&mut self) {
        let units = std::mem::take(&mut self.units);
        self.chars = 0;
        if !std::mem::take(&mut self.fresh) || self.pieces.len() >= CHUNKS_MAX {
            return;
        }
        let mut text = String::new();
        let mut before: Option<&Unit> = None;
        for unit in &units {
            let (Unit::Sentence(part) | Unit::Line(part)) = unit else {
                before = Some(unit);
                continue;
            };
            text.push_str(match (before, unit) {
                (None, _) => "",
                (Some(Unit::Break), _) => "\n\n",
                (Some(Unit::Sentence(_)), Unit::Sentence(_)) => " ",
                (Some(Unit::Sentence(_) | Unit::Line(_)), _) => "\n",
            });
            text.push_str(part);
            before = Some(unit);
        }
        self.pieces.push(Piece { heading: self.full_heading(), text: text.trim().to_owned() });
    }

    fn full_heading(&self) -> String {
        let mut all = vec![self.title.as_str()];
        all.extend(self.headings.iter().map(String::as_str).filter(|one| !one.is_empty() && *one != self.title));
        all.join(" › ").chars().take(HEADING_CHARS_MAX).collect()
    }
}

fn chars(unit: &Unit) -> usize {
    match unit {
        Unit::Sentence(text) | Unit::Line(text) => text.chars().count() + 1,
        Unit::Break => 0,
    }
}

/// The sentences of a paragraph, all of its text. The cutter leaves out what cannot be said, so that such a paragraph is
/// one sentence.
fn sentences(text: &str) -> Vec<String> {
    let mut cutter = SentenceCutter::new();
    let mut all = cutter.push(text);
    all.extend(cutter.finish());
    let kept: usize = all.iter().map(|sentence| letters(sentence)).sum();
    if kept == letters(text) { all } else { vec![text.to_owned()] }
}

fn letters(text: &str) -> usize {
    text.chars().filter(|c| !c.is_whitespace()).count()
}

/// In parts of at most a piece's length, cut at spaces where there are any.
fn cut_long(text: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = text.trim_end();
    while let Some((most, _)) = rest.char_indices().nth(PIECE_CHARS) {
        let cut = rest[..most].rfind(char::is_whitespace).filter(|cut| *cut > 0).unwrap_or(most);
        parts.push(rest[..cut].trim_end().to_owned());
        rest = rest[cut..].trim_start();
    }
    if !rest.is_empty() {
        parts.push(rest.to_owned());
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// `## Prices ##`
fn heading_of(line: &str) -> Option<(usize, &str)> {
    let level = line.bytes().take_while(|byte| *byte == b'#').count();
    let rest = line.get(level..)?;
    let heading = rest.strip_prefix([' ', '\t'])?.trim().trim_end_matches('#').trim_end();
    ((1..=LEVELS).contains(&level) && !heading.is_empty()).then_some((level, heading))
}

/// A line of `===` or `---` below a heading.
fn underline(line: &str) -> Option<usize> {
    let line = line.trim();
    let all = |mark: u8| line.len() >= 3 && line.bytes().all(|byte| byte == mark);
    if all(b'=') { Some(1) } else { all(b'-').then_some(2) }
}

/// Neither a list, nor a table, nor nothing.
fn is_plain(line: &str) -> bool {
    !line.is_empty() && !is_line(line)
}

/// `|---|:--:|`
fn is_table_rule(line: &str) -> bool {
    line.starts_with('|') && line.contains('-') && line.chars().all(|c| matches!(c, '|' | '-' | ':' | ' '))
}

/// A line that stands for itself: of a list or a table.
fn is_line(line: &str) -> bool {
    let numbered = || {
        let digits = line.chars().take_while(|c| c.is_numeric()).count();
        let mut rest = line.chars().skip(digits);
        (1..=3).contains(&digits) && matches!(rest.next(), Some('.' | ')')) && rest.next() == Some(' ')
    };
    line.starts_with('|')
        || ["- ", "* ", "+ ", "• ", "– "].iter().any(|mark| line.starts_with(mark))
        || numbered()
        || line.contains('\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<(String, String)> {
        pieces("T", text).into_iter().map(|piece| (piece.heading, piece.text)).collect()
    }

    #[test]
    fn short_texts_are_pieces_under_their_headings() {
        for (text, want) in [
            ("", vec![]),
            (" \n\n\t\n", vec![]),
            ("One. Two.", vec![("T", "One. Two.")]),
            ("One\ngoes on.\n\nTwo.", vec![("T", "One goes on.\n\nTwo.")]),
            ("# T\nOne.", vec![("T", "One.")]),
            (
                "# A\nOne.\n## B ##\nTwo.\n# C\nThree.",
                vec![("T › A", "One."), ("T › A › B", "Two."), ("T › C", "Three.")],
            ),
            ("A\n===\nOne.\n\nB\n---\nTwo.", vec![("T › A", "One."), ("T › A › B", "Two.")]),
            ("#hash is no heading", vec![("T", "#hash is no heading")]),
            ("# A\n# B\nTwo.", vec![("T › B", "Two.")]),
            ("Open:\n- Monday\n- Tuesday\n1. first", vec![("T", "Open:\n- Monday\n- Tuesday\n1. first")]),
            ("| a | b |\n|---|---|\n| 1 | 2 |", vec![("T", "| a | b |\n| 1 | 2 |")]),
            ("```\nlet x;\n# no heading\n```\nOut.", vec![("T", "let x;\n# no heading\nOut.")]),
            ("## समय\nहम नौ बजे खुलते हैं। छह बजे बंद।", vec![("T › समय", "हम नौ बजे खुलते हैं। छह बजे बंद।")]),
            ("?!?\n\n...", vec![("T", "?!?\n\n...")]),
        ] {
            let want: Vec<(String, String)> = want.into_iter().map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
            assert_eq!(texts(text), want, "{text}");
        }
    }

    #[test]
    fn long_paragraphs_are_cut_between_sentences_and_overlap_by_one() {
        for sentence in ["The clinic opens at nine on day", "क्लिनिक नौ बजे खुलता है दिन"]
        {
            let end = if sentence.is_ascii() { "." } else { "।" };
            let text: Vec<String> = (100..200).map(|n| format!("{sentence} {n}{end}")).collect();
            let found = texts(&text.join(" "));
            assert!(found.len() >= 3, "{}", found.len());
            for pair in found.windows(2) {
                assert!(pair[0].1.chars().count() <= PIECE_CHARS && pair[0].1.chars().count() > PIECE_CHARS / 2);
                let (last, first) = (pair[0].1.rfind(sentence), pair[1].1.find(end));
                let last = &pair[0].1[last.expect("a sentence")..];
                assert_eq!(Some(last), first.map(|end_at| &pair[1].1[..end_at + end.len()]));
            }
            for wanted in &text {
                assert!(found.iter().any(|(_, piece)| piece.contains(wanted.as_str())), "{wanted}");
            }
        }
    }

    #[test]
    fn a_long_table_has_its_head_in_each_piece_and_a_list_is_cut_between_lines() {
        let rows: String = (0..100).map(|n| format!("| treatment number {n} | {n}00 rupees |\n")).collect();
        let found = texts(&format!("# Prices\n| What | Price |\n|---|---:|\n{rows}"));
        assert!(found.len() > 2);
        for (heading, text) in &found {
            assert_eq!(heading, "T › Prices");
            assert!(text.starts_with("| What | Price |\n| treatment number"), "{text}");
            assert!(text.lines().all(|line| line.starts_with('|') && line.ends_with('|')));
        }
        let list: String = (0..100).map(|n| format!("- point number {n} of the policy\n")).collect();
        let found = texts(&list);
        let lines: Vec<&str> = found.iter().flat_map(|(_, text)| text.lines()).collect();
        assert_eq!(lines, list.lines().collect::<Vec<_>>());
    }

    #[test]
    fn nothing_is_longer_than_a_piece_whatever_it_is() {
        for text in
            ["x".repeat(5_000), "अ".repeat(5_000), format!("- {}", "word ".repeat(1_000)), "a\tb ".repeat(2_000)]
        {
            let found = texts(&text);
            assert!(found.iter().all(|(_, piece)| piece.chars().count() <= PIECE_CHARS + 1), "{}", found.len());
            let kept: usize = found.iter().map(|(_, piece)| letters(piece)).sum();
            assert!(kept >= letters(&text), "{kept}");
        }
        let headings = format!("# {}\nOne.", "h".repeat(1_000));
        assert_eq!(texts(&headings)[0].0.chars().count(), HEADING_CHARS_MAX);
    }

    #[test]
    fn their_number_is_bounded() {
        let many: String = (0..CHUNKS_MAX + 10).map(|n| format!("# {n}\nx.\n")).collect();
        let found = texts(&many);
        assert_eq!(found.len(), CHUNKS_MAX);
    }
}
