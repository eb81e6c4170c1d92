//! Codes and e-mail addresses spelled aloud: "A B C D E one two three four F", "बी फॉर बॉम्बे", "ravi dot k at gmail dot com".

use crate::number_words::cardinal_at;
use crate::tokens::answer_tokens;

/// Longest code that is read; the longest in use in India, an IFSC with an account number, is shorter.
pub const CODE_CHARS_MAX: usize = 40;
/// Longest e-mail address that is read: the limit of the standard's address part.
pub const EMAIL_CHARS_MAX: usize = 254;

/// Names of letters in Devanagari and as transcribers spell them in Latin.
const LETTERS: &[(char, &str)] = &[
    ('a', "ए"),
    ('b', "bee बी"),
    ('c', "see sea सी"),
    ('d', "dee डी"),
    ('e', "ई"),
    ('f', "eff ef एफ"),
    ('g', "gee जी"),
    ('h', "aitch एच"),
    ('i', "आई"),
    ('j', "jay जे"),
    ('k', "kay के"),
    ('l', "el एल"),
    ('m', "em एम"),
    ('n', "en एन"),
    ('o', "ओ"),
    ('p', "pee पी"),
    ('q', "queue क्यू"),
    ('r', "are आर"),
    ('s', "ess एस"),
    ('t', "tee टी"),
    ('u', "you यू"),
    ('v', "vee वी"),
    ('w', "डब्ल्यू डबल्यू"),
    ('x', "ex एक्स"),
    ('y', "why वाई"),
    ('z', "zed zee जेड"),
];

/// The letter a word names. Spelled-out Latin names only count `inside` a code: "see", "you" are words.
fn letter(token: &str, inside: bool) -> Option<char> {
    let mut chars = token.chars();
    if let (Some(c), None) = (chars.next(), chars.next())
        && c.is_ascii_lowercase()
    {
        return Some(c);
    }
    let (letter, _) = LETTERS.iter().find(|(_, names)| names.split(' ').any(|n| n == token))?;
    (inside || !token.is_ascii()).then_some(*letter)
}

/// Reads a code said letter by letter and digit by digit, in capitals: "SBIN double zero one", "B for Bombay", "एम एच बारह".
/// The longest run counts. Words of two to five letters join it where digits or letters stand beside them ("SBIN 0001").
/// `None` without at least three characters.
#[must_use]
pub fn code(text: &str) -> Option<String> {
    let tokens = answer_tokens(text);
    let mut best = String::new();
    let mut run = String::new();
    let mut at = 0;
    while at < tokens.len() {
        match piece(&tokens, at, run.is_empty()) {
            Some((said, used)) => {
                run.push_str(&said);
                at += used;
            }
            None => {
                // Between two parts of a code.
                let filler = matches!(
                    tokens.get(at).map_or("", String::as_str),
                    "dash" | "hyphen" | "space" | "then" | "aur" | "phir" | "um" | "uh"
                );
                if !filler && run.len() >= best.len() {
                    best = std::mem::take(&mut run);
                } else if !filler {
                    run.clear();
                }
                at += 1;
            }
        }
    }
    let found = if run.len() >= best.len() { run } else { best };
    let found: String = found.chars().take(CODE_CHARS_MAX).collect();
    (found.len() >= 3).then(|| found.to_uppercase())
}

/// What one place in a code says, and how many tokens it took.
fn piece(tokens: &[String], at: usize, first: bool) -> Option<(String, usize)> {
    let token = tokens.get(at)?.as_str();
    let next = |i: usize| tokens.get(at + i).map_or("", String::as_str);
    let times = match token {
        "double" | "dabal" | "डबल" => 2,
        "triple" | "tripal" | "ट्रिपल" => 3,
        _ => 1,
    };
    if times > 1 {
        if let Some(c) = letter(next(1), true) {
            return Some((c.to_string().repeat(times), 2));
        }
        let number = cardinal_at(tokens.get(..at + 2)?, at + 1).filter(|n| n.digits.len() == 1)?;
        return Some((number.digits.repeat(times), 2));
    }
    // "b for bombay", "डी फॉर दिल्ली".
    if let Some(c) = letter(token, true)
        && matches!(next(1), "for" | "as" | "फॉर" | "से")
        && next(2).chars().count() > 1
    {
        return Some((c.to_string(), 3));
    }
    if token.bytes().any(|b| b.is_ascii_digit()) && token.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
        return Some((token.replace('-', ""), 1));
    }
    if let Some(number) = cardinal_at(tokens, at).filter(|n| !n.ordinal && n.digits.len() <= 4) {
        return Some((number.digits, number.used));
    }
    if token == "oh" && !first {
        return Some(("0".to_owned(), 1));
    }
    let beside = |t: &str| letter(t, false).is_some() || t.starts_with(|c: char| c.is_ascii_digit());
    // "a", "i" begin a code only beside another letter or digit.
    if let Some(c) = letter(token, !first)
        && (!first || beside(next(1)) || cardinal_at(tokens, at + 1).is_some() || next(1) == "double")
    {
        return Some((c.to_string(), 1));
    }
    let block = (2..=5).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_lowercase());
    let digits_follow = next(1).starts_with(|c: char| c.is_ascii_digit());
    // "KA 05 MN 4321": a number plate, whatever word its state looks like.
    let plate = token.len() == 2
        && next(1).len() <= 2
        && next(2).len() <= 3
        && next(3).len() == 4
        && next(3).bytes().all(|b| b.is_ascii_digit());
    (block && digits_follow && (plate || !SMALL_WORDS.contains(&token))).then(|| (token.to_owned(), 1))
}

/// Short words that stand before a number without being its letters.
const SMALL_WORDS: &[&str] = &[
    "is", "no", "pan", "pin", "code", "otp", "pnr", "the", "my", "hai", "its", "it", "at", "on", "and", "id", "number",
    "card", "mera", "meri", "ka", "ki", "ke", "ko", "for", "of", "to", "in", "from", "plus", "are", "room", "order",
    "token", "flat", "ifsc",
];

/// Reads an e-mail address: "ravi dot kumar ninety two at the rate gmail dot com" → `ravi.kumar92@gmail.com`. `None` when
/// there is none; whether it exists is not known.
#[must_use]
pub fn email(text: &str) -> Option<String> {
    if let Some(written) =
        text.split_whitespace().map(|w| w.trim_matches(|c: char| !c.is_alphanumeric())).find(|w| is_address(w))
    {
        return Some(written.to_lowercase());
    }
    let tokens = answer_tokens(text);
    let is_at = |t: &str| matches!(t, "at" | "ऐट" | "एट");
    let at = tokens.iter().rposition(|t| is_at(t))?;
    let rate = match (tokens.get(at + 1).map(String::as_str), tokens.get(at + 2).map(String::as_str)) {
        (Some("the" | "द"), Some("rate" | "rated" | "रेट")) => 2,
        (Some("rate" | "रेट"), _) => 1,
        _ => 0,
    };
    let local_from = tokens
        .get(..at)?
        .iter()
        .rposition(|t| {
            is_at(t)
                || matches!(t.as_str(), "me" | "is" | "hai" | "id" | "email" | "mail" | "address" | "to" | "है" | "ईमेल")
        })
        .map_or(0, |i| i + 1);
    let local = joined(tokens.get(local_from..at)?);
    let domain = joined(tokens.get(at + 1 + rate..)?);
    // What follows the domain ("that's it") is no part of it.
    let domain = domain.split("..").next().unwrap_or_default();
    let address = format!("{local}@{domain}");
    is_address(&address).then_some(address)
}

fn joined(tokens: &[String]) -> String {
    let mut out = String::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token.as_str() {
            "dot" | "point" | "डॉट" => out.push('.'),
            "underscore" | "अंडरस्कोर" => out.push('_'),
            "dash" | "hyphen" | "minus" => out.push('-'),
            "plus" | "+" => out.push('+'),
            "hai" | "है" | "please" | "thanks" => break,
            _ => match piece(tokens, at, false)
                .filter(|_| cardinal_at(tokens, at).is_some() || token == "double" || token == "triple")
            {
                Some((said, used)) => {
                    out.push_str(&said);
                    at += used;
                    continue;
                }
                None => match letter(token, false) {
                    Some(c) => out.push(c),
                    None => out.push_str(provider(token)),
                },
            },
        }
        at += 1;
    }
    out
}

/// The mail services as transcribers hear them.
fn provider(token: &str) -> &str {
    match token {
        "जीमेल" | "जी-मेल" | "jeemail" => "gmail",
        "याहू" => "yahoo",
        "कॉम" | "कॉम।" => "com",
        "इन" => "in",
        other => other,
    }
}

fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let plain = |t: &str| {
        !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'+'))
    };
    text.len() <= EMAIL_CHARS_MAX
        && plain(local)
        && plain(domain)
        && domain.split('.').count() >= 2
        && domain.split('.').all(|part| !part.is_empty())
        && !local.starts_with('.')
        && !local.ends_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn codes() {
        for (text, want) in [
            ("A B C D E one two three four F", Some("ABCDE1234F")),
            ("my PAN is ABCDE 1234 F", Some("ABCDE1234F")),
            ("b for bombay double a seven", Some("BAA7")),
            ("I want to go", None),
            ("", None),
        ] {
            assert_eq!(code(text).as_deref(), want, "{text:?}");
        }
    }

    #[test]
    fn addresses() {
        for (text, want) in [
            ("ravi dot kumar at gmail dot com", Some("ravi.kumar@gmail.com")),
            ("ravi ninety two at the rate gmail dot com", Some("ravi92@gmail.com")),
            ("it is Ravi@Example.com.", Some("ravi@example.com")),
            ("meet me at ten", None),
        ] {
            assert_eq!(email(text).as_deref(), want, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text(text in ".{0,80}") {
            let _ = (code(&text), email(&text));
        }
    }
}
