//! Transcribed text as plain lower-case tokens: the ground that [`crate::words`] and [`crate::understand`] stand on.
//!
//! Devanagari is folded so that spellings which sound alike compare equal: nukta dropped (`हज़ार` = `हजार`), candrabindu
//! written as anusvara (`पाँच` = `पांच`), digits as ASCII.

/// An answer is read up to here; more is no answer, and work on it stays bounded.
pub(crate) const ANSWER_TOKENS_MAX: usize = 400;

/// Characters of an answer that are looked at, for the same reason: twenty for each word.
const ANSWER_CHARS_MAX: usize = 8_000;

/// One character folded; `None` when it is dropped.
fn fold_char(c: char) -> Option<char> {
    Some(match c {
        '\u{093C}' | '\u{200B}'..='\u{200D}' | '\u{FEFF}' => return None,
        '\u{0901}' => '\u{0902}',
        '\u{0958}' => 'क',
        '\u{0959}' => 'ख',
        '\u{095A}' => 'ग',
        '\u{095B}' => 'ज',
        '\u{095C}' => 'ड',
        '\u{095D}' => 'ढ',
        '\u{095E}' => 'फ',
        '\u{095F}' => 'य',
        '०'..='९' => {
            let value = u32::from(c) - u32::from('०');
            char::from_digit(value, 10).unwrap_or('0')
        }
        '‘' | '’' | '`' | '´' => '\'',
        '–' | '—' | '‑' => '-',
        other => other,
    })
}

/// Lower case, Devanagari folded.
pub(crate) fn fold(text: &str) -> String {
    text.chars().filter_map(fold_char).flat_map(char::to_lowercase).collect()
}

/// Letters, digits and the signs that belong to a Devanagari syllable.
pub(crate) fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || (('\u{0900}'..='\u{097F}').contains(&c) && !matches!(c, '।' | '॥' | '॰'))
}

/// Splits text: words in lower case without apostrophes, numbers with the marks inside them (`10:30`, `1,200`, `24/11`,
/// `3.5`), ordinals whole (`24th`), `am` and `pm` in one piece however written, and `%`, `₹`, `$`, `&`, `+` by themselves.
pub(crate) fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = fold(text).chars().collect();
    let mut out: Vec<String> = Vec::new();
    let mut word = String::new();
    for (i, &c) in chars.iter().enumerate() {
        let before = i.checked_sub(1).and_then(|p| chars.get(p)).copied().unwrap_or(' ');
        let after = chars.get(i + 1).copied().unwrap_or(' ');
        if is_word_char(c) {
            word.push(c);
        } else if c == '\'' && is_word_char(before) && is_word_char(after) {
            // don't, o'clock
        } else if matches!(c, '.' | ',' | ':' | '/' | '-') && before.is_ascii_digit() && after.is_ascii_digit() {
            word.push(c);
        } else {
            end_word(&mut word, &mut out);
            if matches!(c, '%' | '₹' | '$' | '&') || (c == '+' && after.is_ascii_digit()) {
                out.push(c.to_string());
            }
        }
    }
    end_word(&mut word, &mut out);
    join_letters(out)
}

/// The tokens of an answer, at most [`ANSWER_TOKENS_MAX`].
pub(crate) fn answer_tokens(text: &str) -> Vec<String> {
    let end = text.char_indices().nth(ANSWER_CHARS_MAX).map_or(text.len(), |(at, _)| at);
    let mut all = tokens(text.get(..end).unwrap_or_default());
    all.truncate(ANSWER_TOKENS_MAX);
    all
}

fn end_word(word: &mut String, out: &mut Vec<String>) {
    if word.is_empty() {
        return;
    }
    let whole = std::mem::take(word);
    let mut piece = String::new();
    for c in whole.chars() {
        let digit_now = c.is_ascii_digit() || matches!(c, '.' | ',' | ':' | '/' | '-');
        let digit_before = piece.chars().last().is_some_and(|p| p.is_ascii_digit());
        if !piece.is_empty() && c.is_ascii_digit() && !is_numeric(&piece) {
            out.push(std::mem::take(&mut piece));
        } else if digit_before && !digit_now {
            let suffix = whole.strip_prefix(piece.as_str()).unwrap_or_default();
            if !matches!(suffix, "st" | "nd" | "rd" | "th") {
                out.push(std::mem::take(&mut piece));
            }
        }
        piece.push(c);
    }
    if is_numeric(&piece) && piece.contains(',') && !is_grouped(&piece) {
        out.extend(piece.split(',').map(str::to_owned));
    } else {
        out.push(piece);
    }
}

/// Digits, perhaps with marks between them.
pub(crate) fn is_numeric(token: &str) -> bool {
    token.starts_with(|c: char| c.is_ascii_digit())
        && token.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | ',' | ':' | '/' | '-'))
}

/// Commas stand as in `1,200`, `1,20,000` or `1,200.50`.
pub(crate) fn is_grouped(token: &str) -> bool {
    let whole = token.split('.').next().unwrap_or_default();
    let mut groups = whole.split(',');
    let head = groups.next().unwrap_or_default();
    let tail: Vec<&str> = groups.collect();
    let Some((last, middle)) = tail.split_last() else { return false };
    (1..=3).contains(&head.len())
        && last.len() == 3
        && middle.iter().all(|g| (2..=3).contains(&g.len()))
        && token.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | ','))
        && token.matches('.').count() <= 1
}

/// `a m` → `am`, `p m` → `pm`, `o clock` → `oclock`.
fn join_letters(tokens: Vec<String>) -> Vec<String> {
    let mut out: Vec<String> = Vec::with_capacity(tokens.len());
    for token in tokens {
        match (out.last().map(String::as_str), token.as_str()) {
            (Some("a"), "m") => replace_last(&mut out, "am"),
            (Some("p"), "m") => replace_last(&mut out, "pm"),
            (Some("o"), "clock") => replace_last(&mut out, "oclock"),
            _ => out.push(token),
        }
    }
    out
}

fn replace_last(out: &mut Vec<String>, with: &str) {
    out.pop();
    out.push(with.to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts() {
        for (text, want) in [
            ("At 10 a.m.", "at|10|am"),
            ("10am", "10|am"),
            ("ten A M", "ten|am"),
            ("10:30 P.M.!", "10:30|pm"),
            ("the 24th, please", "the|24th|please"),
            ("don't — I’m", "dont|im"),
            ("five o'clock", "five|oclock"),
            ("₹1,200.50", "₹|1,200.50"),
            ("9,8,7,6", "9|8|7|6"),
            ("+91 98765-01234", "+|91|98765-01234"),
            ("AB12", "ab|12"),
            ("12ab", "12|ab"),
            ("हज़ार पाँच ३०।", "हजार|पांच|30"),
            ("24/11. OK?", "24/11|ok"),
            ("", ""),
            ("twenty-four", "twenty|four"),
        ] {
            assert_eq!(tokens(text).join("|"), want, "{text:?}");
        }
    }
}
