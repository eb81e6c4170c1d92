//! The words that chunks of documents are found by: one normalisation for what is kept and for what is asked, on both
//! databases, so that neither's own idea of a word counts.
//!
//! Devanagari: vowel signs and the virama belong to the word; the nukta does not (फ़ीस, फीस), nor do joiners; a nasal before
//! its own row is an anusvara (हिन्दी, हिंदी), and so is a candrabindu; digits are ASCII; the endings of oblique plurals are
//! cut (डॉक्टरों, डॉक्टर). English: lower case, plurals cut. `1,500` is one number.

/// Most different words of a query: a caller's turn is rarely longer, and each costs a look into the index.
pub(crate) const QUERY_WORDS_MAX: usize = 24;
/// Longest word that is kept, in characters: longer ones are no words, and PostgreSQL takes no lexeme over 2 KiB.
const WORD_CHARS_MAX: usize = 64;
/// Of a query only so much is looked at, in bytes.
const QUERY_BYTES_MAX: usize = 8 * 1024;

/// What English, Hindi and Hindi in Latin letters are full of, normalised. A query of nothing else asks for nothing.
const STOP_WORDS: &[&str] = &[
    "a",
    "about",
    "am",
    "an",
    "and",
    "any",
    "are",
    "as",
    "at",
    "be",
    "been",
    "but",
    "by",
    "can",
    "could",
    "did",
    "do",
    "doe",
    "for",
    "from",
    "get",
    "give",
    "had",
    "has",
    "have",
    "hello",
    "hi",
    "how",
    "i",
    "if",
    "in",
    "into",
    "is",
    "it",
    "just",
    "kindly",
    "know",
    "like",
    "ll",
    "me",
    "much",
    "my",
    "need",
    "no",
    "of",
    "ok",
    "okay",
    "on",
    "or",
    "our",
    "please",
    "re",
    "s",
    "say",
    "shall",
    "should",
    "so",
    "some",
    "t",
    "tell",
    "that",
    "the",
    "their",
    "them",
    "then",
    "there",
    "these",
    "they",
    "thi",
    "this",
    "those",
    "to",
    "us",
    "ve",
    "want",
    "was",
    "we",
    "were",
    "what",
    "which",
    "will",
    "with",
    "would",
    "yes",
    "you",
    "your", // Hindi
    "अगर",
    "अपना",
    "अपनी",
    "अपने",
    "आप",
    "आपका",
    "आपकी",
    "आपके",
    "इस",
    "उस",
    "एक",
    "और",
    "कर",
    "करना",
    "करनी",
    "करने",
    "का",
    "कि",
    "की",
    "के",
    "को",
    "क्या",
    "गया",
    "चाहिए",
    "जी",
    "जो",
    "तक",
    "तो",
    "था",
    "थी",
    "थे",
    "दें",
    "ने",
    "पर",
    "बता",
    "बताइए",
    "भी",
    "मुझे",
    "में",
    "मे",
    "मेरा",
    "मेरी",
    "मेरे",
    "मैं",
    "यह",
    "ये",
    "या",
    "रहा",
    "रही",
    "रहे",
    "वह",
    "वे",
    "से",
    "हम",
    "ही",
    "हूं",
    "है",
    "हैं",
    "हो",
    "होगा",
    "होगी",
    "होता",
    "होती",
    "होते", // Hindi in Latin letters
    "aap",
    "aapka",
    "aapki",
    "aapke",
    "aur",
    "hai",
    "hain",
    "ho",
    "ka",
    "ke",
    "ki",
    "ko",
    "kya",
    "main",
    "mein",
    "mera",
    "mere",
    "meri",
    "mujhe",
    "se",
    "toh",
    "ye",
    "yeh",
];

/// The words of a text, normalised, in order, with repetitions.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut letters = text.chars().peekable();
    let mut before = ' ';
    while let Some(letter) = letters.next() {
        if is_part(letter) {
            word.push(letter);
        } else if letter == ',' && before.is_numeric() && letters.peek().is_some_and(|next| next.is_numeric()) {
            // Within a number.
        } else if !is_ignored(letter) {
            finish(&mut word, &mut words);
        }
        before = letter;
    }
    finish(&mut word, &mut words);
    words
}

/// The words that a query looks for: each once, without those that say nothing, at most [`QUERY_WORDS_MAX`].
pub(crate) fn query_words(query: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for word in words(&query[..query.floor_char_boundary(QUERY_BYTES_MAX)]) {
        if found.len() == QUERY_WORDS_MAX {
            break;
        }
        if !STOP_WORDS.contains(&word.as_str()) && !found.contains(&word) {
            found.push(word);
        }
    }
    found
}

fn finish(word: &mut String, words: &mut Vec<String>) {
    let done = normalised(word);
    word.clear();
    if !done.is_empty() {
        words.push(done);
    }
}

/// Letters, digits, and the marks of Indian scripts that are part of a word.
fn is_part(c: char) -> bool {
    c.is_alphanumeric() || is_indic_mark(c)
}

/// Signs of the Indian scripts that Unicode does not call alphabetic: nuktas, viramas, accents.
const fn is_indic_mark(c: char) -> bool {
    matches!(c, '\u{0900}'..='\u{0963}' | '\u{0971}'..='\u{0DFF}') && !matches!(c, '\u{0964}' | '\u{0965}')
}

/// Neither part of a word nor its end: joiners, soft hyphens, accents that stand alone, apostrophes.
const fn is_ignored(c: char) -> bool {
    matches!(c, '\u{200B}'..='\u{200D}' | '\u{2060}' | '\u{FEFF}' | '\u{00AD}' | '\u{0300}'..='\u{036F}')
}

fn normalised(word: &str) -> String {
    let folded: Vec<char> = word.chars().flat_map(char::to_lowercase).filter_map(folded).collect();
    let mut out: Vec<char> = Vec::with_capacity(folded.len());
    for (index, letter) in folded.iter().enumerate() {
        let row = folded.get(index + 2).and_then(|next| nasal_of_row(*next));
        if row == Some(*letter) && folded.get(index + 1) == Some(&'\u{094D}') {
            out.push('\u{0902}');
        } else if *letter == '\u{094D}'
            && out.last() == Some(&'\u{0902}')
            && folded.get(index.wrapping_sub(1)) != Some(&'\u{0902}')
        {
            // The virama of the nasal that has become an anusvara.
        } else {
            out.push(*letter);
        }
    }
    let word: String = out.into_iter().take(WORD_CHARS_MAX).collect();
    if !word.chars().any(char::is_alphanumeric) {
        return String::new();
    }
    if word.is_ascii() { english(word) } else { hindi(word) }
}

/// One letter for those that are written in several ways; none for marks that are left out as often as not.
const fn folded(c: char) -> Option<char> {
    Some(match c {
        '\u{093C}' => return None,
        '\u{0901}' => '\u{0902}',
        '\u{0929}' => 'न',
        '\u{0931}' => 'र',
        '\u{0934}' => 'ळ',
        '\u{0958}' => 'क',
        '\u{0959}' => 'ख',
        '\u{095A}' => 'ग',
        '\u{095B}' => 'ज',
        '\u{095C}' => 'ड',
        '\u{095D}' => 'ढ',
        '\u{095E}' => 'फ',
        '\u{095F}' => 'य',
        '\u{0966}' => '0',
        '\u{0967}' => '1',
        '\u{0968}' => '2',
        '\u{0969}' => '3',
        '\u{096A}' => '4',
        '\u{096B}' => '5',
        '\u{096C}' => '6',
        '\u{096D}' => '7',
        '\u{096E}' => '8',
        '\u{096F}' => '9',
        other => other,
    })
}

/// The nasal of the row that this letter stands in: the one that is written as an anusvara before it.
const fn nasal_of_row(c: char) -> Option<char> {
    match c {
        'क'..='घ' => Some('ङ'),
        'च'..='झ' => Some('ञ'),
        'ट'..='ढ' => Some('ण'),
        'त'..='ध' => Some('न'),
        'प'..='भ' => Some('म'),
        _ => None,
    }
}

/// Without the ending of a plural.
fn english(mut word: String) -> String {
    let is_number = word.bytes().any(|byte| byte.is_ascii_digit());
    if is_number || word.len() < 4 || word.ends_with("ss") || word.ends_with("us") || word.ends_with("is") {
        return word;
    }
    if word.len() > 4 && word.ends_with("ies") {
        word.truncate(word.len() - 3);
        word.push('y');
    } else if ["ches", "shes", "sses", "xes", "zes"].iter().any(|ending| word.ends_with(ending)) {
        word.truncate(word.len() - 2);
    } else if word.ends_with('s') {
        word.truncate(word.len() - 1);
    }
    word
}

/// Without the endings that a word has only as a plural.
fn hindi(word: String) -> String {
    for (ending, instead) in [("ियों", "ी"), ("ियां", "ी"), ("ाओं", "ा"), ("ाएं", "ा"), ("ुओं", "ु"), ("ों", ""), ("ें", "")]
    {
        if let Some(stem) = word.strip_suffix(ending)
            && stem.chars().count() >= 2
        {
            return format!("{stem}{instead}");
        }
    }
    word
}

/// For FTS5: any of these words, of this tenant. Words have only letters, digits and marks; they are quoted all the same.
pub(crate) fn fts5(tenant: &str, words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{}\"", word.replace('"', "\"\""))).collect();
    format!("tenant : \"{tenant}\" AND words : ({})", quoted.join(" OR "))
}

/// The same as a `tsquery`.
pub(crate) fn tsquery(tenant: &str, words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    format!("'{tenant}' & ({})", quoted.join(" | "))
}

/// One lexeme of a `tsquery`.
pub(crate) fn quoted(lexeme: &str) -> String {
    format!("'{}'", lexeme.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_normalised() {
        for (text, want) in [
            ("", ""),
            ("Teeth-Cleaning: ₹1,500 only!", "teeth cleaning 1500 only"),
            ("prices, policies, boxes, classes, bus, this, gas", "price policy box class bus this gas"),
            ("१२,५०० रुपये", "12500 रुपये"),
            ("10:30, 9.5, a,b, 1, 2", "10 30 9 5 a b 1 2"),
            ("हिंदी हिन्दी हिँदी", "हिंदी हिंदी हिंदी"),
            ("हिंदू", "हिंदू"),
            ("धन्यवाद अन्न उन्हें", "धन्यवाद अन्न उन्ह"),
            ("सम्बन्ध संबंध", "संबंध संबंध"),
            ("फ़ीस फीस ज़रूर जरूर", "फीस फीस जरूर जरूर"),
            ("डॉक्टरों डॉक्टर", "डॉक्टर डॉक्टर"),
            ("लड़कियाँ लड़कियों लड़की", "लडकी लडकी लडकी"),
            ("क्लि\u{200D}निक, क्लिनिक।", "क्लिनिक क्लिनिक"),
            ("वैक्\u{200C}सीन", "वैक्सीन"),
            ("दवा। दवाएं॥ दवाओं", "दवा दवा दवा"),
            ("cafe\u{301} CAFÉ", "cafe café"),
            ("o'clock don't", "o clock don t"),
            ("\u{093C}\u{094D} --- \"'* (:", ""),
        ] {
            assert_eq!(words(text).join(" "), want, "{text}");
        }
    }

    #[test]
    fn a_query_is_what_says_something_each_once_and_bounded() {
        assert_eq!(query_words("What is the price of a root canal, a ROOT canal?"), ["price", "root", "canal"]);
        assert_eq!(query_words("क्या आप रविवार को खुले हैं?"), ["रविवार", "खुले"]);
        assert!(query_words("what is the").is_empty() && query_words("?!").is_empty() && query_words("").is_empty());
        let many: String = (0..200).map(|n| format!("word{n} ")).collect();
        assert_eq!(query_words(&many).len(), QUERY_WORDS_MAX);
        let long = "x".repeat(100_000);
        assert_eq!(query_words(&long)[0].len(), WORD_CHARS_MAX);
        for stop in STOP_WORDS {
            assert_eq!(words(stop), [*stop], "stop words are written as they are compared");
        }
    }

    /// Whatever is asked, a query is a list of quoted words.
    #[test]
    fn nobody_writes_syntax() {
        for text in [
            "price\" OR tenant : \"t0",
            "price') | ('x",
            "NEAR(a b, 5) AND NOT words : x*",
            "a & !b <-> c:*",
            "'; drop table documents; --",
            "\\' \\\\",
            "{tenant words} : x ^y - z +w",
            "\u{0}\u{FF02}",
        ] {
            let words = query_words(text);
            for word in &words {
                assert!(word.chars().all(is_part), "{word}");
            }
            let (fts5, tsquery) = (fts5("t0", &words), tsquery("t0", &words));
            assert_eq!(fts5.matches('"').count(), 2 + 2 * words.len(), "{fts5}");
            assert_eq!(tsquery.matches('\'').count(), 2 + 2 * words.len(), "{tsquery}");
        }
    }
}
