//! Cuts a sentence into the clauses it is spoken in, so that the first is heard while the next is made.

/// The first piece is cut at or before this many characters if there is a place for it: about 4 s of speech, made in
/// about 60 ms.
const FIRST_CHARS_MAX: usize = 60;
/// Shorter beginnings ("Well,") are not worth a piece of their own.
const FIRST_CHARS_MIN: usize = 10;
/// The other pieces are joined up to this.
const NEXT_CHARS_MAX: usize = 160;
/// Without any punctuation a piece is cut between words here: what the acoustic model was made for ends at about 400
/// phonemes.
const PIECE_CHARS_MAX: usize = 300;

/// The pieces, in order; nothing of the text but spaces is lost.
pub(super) fn clauses(text: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    let mut current = String::new();
    let mut current_chars = 0;
    for atom in atoms(text) {
        let chars = atom.chars().count();
        let limit = if pieces.is_empty() { FIRST_CHARS_MAX } else { NEXT_CHARS_MAX };
        if current_chars >= FIRST_CHARS_MIN && current_chars + 1 + chars > limit {
            pieces.push(std::mem::take(&mut current));
            current_chars = 0;
        }
        if !current.is_empty() {
            current.push(' ');
            current_chars += 1;
        }
        current.push_str(&atom);
        current_chars += chars;
    }
    if !current.is_empty() {
        // A last word alone would sound lost: it stays with what it belongs to.
        match pieces.last_mut() {
            Some(last) if current_chars < FIRST_CHARS_MIN => {
                last.push(' ');
                last.push_str(&current);
            }
            Some(_) | None => pieces.push(current),
        }
    }
    pieces
}

/// The text up to each punctuation mark; nowhere longer than [`PIECE_CHARS_MAX`].
fn atoms(text: &str) -> Vec<String> {
    let mut atoms = Vec::new();
    let mut current = String::new();
    for word in text.split_whitespace() {
        if !current.is_empty() && current.len() + word.len() >= PIECE_CHARS_MAX {
            atoms.push(std::mem::take(&mut current));
        }
        if !current.is_empty() {
            current.push(' ');
        }
        current.extend(word.chars().take(PIECE_CHARS_MAX));
        if ends_clause(word) {
            atoms.push(std::mem::take(&mut current));
        }
    }
    if !current.is_empty() {
        atoms.push(current);
    }
    atoms
}

/// A comma and the like, or the end of a sentence; not the dot of `Dr.` or of an initial.
fn ends_clause(word: &str) -> bool {
    let word = word.trim_end_matches(['"', '\'', ')', '”', '’']);
    match word.chars().next_back() {
        Some(',' | ';' | ':' | '—' | '–' | '!' | '?' | '…') => true,
        Some('.') => word.chars().filter(|c| c.is_alphanumeric()).count() > 3,
        Some(_) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_where_one_would_breathe() {
        for (text, wanted) in [
            ("Good morning, how can I help you today?", &["Good morning, how can I help you today?"][..]),
            (
                "Your appointment with Dr. Mehta is on Tuesday the fifth of May, at half past ten, in our clinic on Park Street.",
                &[
                    "Your appointment with Dr. Mehta is on Tuesday the fifth of May,",
                    "at half past ten, in our clinic on Park Street.",
                ],
            ),
            (
                "Thank you, Priya. I have noted your number, and somebody from our office will call you back before six o'clock.",
                &[
                    "Thank you, Priya. I have noted your number,",
                    "and somebody from our office will call you back before six o'clock.",
                ],
            ),
            ("", &[]),
            ("   ", &[]),
        ] {
            assert_eq!(clauses(text), wanted, "{text}");
        }
    }

    #[test]
    fn nothing_is_lost_and_nothing_is_too_long() {
        let long = "word ".repeat(300);
        let pieces = clauses(&long);
        assert_eq!(pieces.join(" "), long.trim());
        assert!(pieces.iter().all(|p| p.len() <= PIECE_CHARS_MAX));
        let endless = "x".repeat(2_000);
        assert!(clauses(&endless).iter().all(|p| p.chars().count() <= PIECE_CHARS_MAX));
    }

    #[test]
    fn a_short_end_stays_with_its_clause() {
        let text = "We are open from nine in the morning until eight in the evening every day, Sir.";
        assert_eq!(clauses(text), [text]);
    }
}
