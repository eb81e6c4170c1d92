//! Text of any length: nothing panics and nothing takes long.

use language::sentence::{SENTENCE_BYTES_MAX, SentenceCutter};
use language::switch::{LanguageSwitch, asked_for_language};
use language::understand::{codes, dates, durations, money, names, numbers, phone, times, yes_no};
use language::{Tongue, announcement, backchannel, echo, script, speakable, tail};

/// Pieces that readers begin with and do not finish, repeated.
const PIECES: [&str; 14] = [
    "the number you ",
    "leave a ",
    "please ",
    "saadhe ",
    "double ",
    "do lakh ",
    "₹1 ",
    "12-",
    "1234 ",
    "Hindi mein ",
    "अ",
    "कृपया बाद ",
    "a.",
    "\u{1F600}\u{200D}",
];

#[test]
fn ten_thousand_characters() {
    let today = chrono::NaiveDate::from_ymd_opt(2026, 11, 21).expect("a date");
    for piece in PIECES {
        let text = piece.repeat(10_000 / piece.chars().count());
        let _ = (speakable(&text, Tongue::English), speakable(&text, Tongue::Hindi));
        let _ = (script::to_latin(&text), script::numbers_to_native(&text), script::script_of(&text));
        let _ = (announcement::answered_by(&text), backchannel::is_backchannel(&text), asked_for_language(&text));
        let _ = (tail::is_dangling(&text), tail::looks_complete(&text), yes_no::yes_no(&text));
        let _ = echo::is_echo(&text, &[&text, &text]);
        let _ = LanguageSwitch::new("en-IN", &["hi-IN".to_owned()]).heard(&text, Some("hi"));
        let _ = (numbers::number(&text), money::paise(&text), durations::length(&text), dates::date(&text, today));
        let _ = (times::time(&text, None), phone::phone(&text), codes::code(&text), codes::email(&text));
        let _ = names::name(&text);
        let mut cutter = SentenceCutter::new();
        for sentence in cutter.push(&text) {
            assert!(sentence.len() <= SENTENCE_BYTES_MAX + 4, "{piece:?}");
        }
    }
}
