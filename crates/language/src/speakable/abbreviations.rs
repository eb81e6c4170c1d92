//! Abbreviations of letters and forms in India, written out.

use super::pieces::Piece;
use crate::Tongue;

/// How an abbreviation must stand to be one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    /// Always.
    Any,
    /// With a full stop or colon behind it: without, it is a word or a name.
    Marked,
    /// Before a number.
    Number,
}

/// Key in folded spelling, when, the words. English words also in Hindi text: that is how they are said there.
const ALL: &[(&str, When, &str)] = &[
    ("dr", When::Marked, "doctor"),
    ("prof", When::Marked, "professor"),
    ("smt", When::Any, "shrimati"),
    ("sh", When::Marked, "shri"),
    ("er", When::Marked, "engineer"),
    ("adv", When::Marked, "advocate"),
    ("no", When::Number, "number"),
    ("nos", When::Marked, "numbers"),
    ("mob", When::Any, "mobile"),
    ("ph", When::Marked, "phone"),
    ("tel", When::Marked, "telephone"),
    ("ref", When::Marked, "reference"),
    ("regn", When::Any, "registration"),
    ("regd", When::Any, "registered"),
    ("govt", When::Any, "government"),
    ("dept", When::Any, "department"),
    ("pvt", When::Any, "private"),
    ("ltd", When::Any, "limited"),
    ("opp", When::Marked, "opposite"),
    ("nr", When::Marked, "near"),
    ("rd", When::Marked, "road"),
    ("approx", When::Any, "approximately"),
    ("incl", When::Any, "including"),
    ("excl", When::Any, "excluding"),
    ("asst", When::Any, "assistant"),
    ("mgr", When::Any, "manager"),
    ("jn", When::Any, "junction"),
    ("stn", When::Any, "station"),
    ("dist", When::Marked, "district"),
    ("teh", When::Marked, "tehsil"),
    ("vill", When::Marked, "village"),
    ("qty", When::Any, "quantity"),
    ("amt", When::Any, "amount"),
    ("acct", When::Any, "account"),
    ("a/c", When::Any, "account"),
    ("c/o", When::Any, "care of"),
    ("s/o", When::Any, "son of"),
    ("d/o", When::Any, "daughter of"),
    ("w/o", When::Any, "wife of"),
    ("u/s", When::Any, "under section"),
    ("o/s", When::Any, "outstanding"),
    ("n/a", When::Any, "not applicable"),
    ("w.e.f", When::Any, "with effect from"),
    ("i.e", When::Any, "that is"),
    ("e.g", When::Any, "for example"),
    ("viz", When::Any, "namely"),
    ("vs", When::Any, "versus"),
    ("etc", When::Any, "et cetera"),
    ("p.a", When::Any, "per annum"),
    ("p.o", When::Any, "post office"),
    ("h.no", When::Any, "house number"),
    ("sq", When::Marked, "square"),
    ("ft", When::Marked, "feet"),
    ("डॉ", When::Marked, "डॉक्टर"),
    ("डा", When::Marked, "डॉक्टर"),
    ("प्रो", When::Marked, "प्रोफ़ेसर"),
    ("पं", When::Marked, "पंडित"),
    ("कु", When::Marked, "कुमारी"),
    ("मो", When::Marked, "मोबाइल"),
    ("नं", When::Marked, "नंबर"),
    ("सं", When::Marked, "संख्या"),
    ("क्र", When::Marked, "क्रमांक"),
    ("दि", When::Marked, "दिनांक"),
    ("कि.मी", When::Any, "किलोमीटर"),
    ("किमी", When::Any, "किलोमीटर"),
    ("कि.ग्रा", When::Any, "किलोग्राम"),
    ("किग्रा", When::Any, "किलोग्राम"),
];
/// Those that Hindi says in its own way.
const IN_HINDI: &[(&str, &str)] = &[
    ("dr", "डॉक्टर"),
    ("no", "नंबर"),
    ("mob", "मोबाइल"),
    ("ph", "फ़ोन"),
    ("smt", "श्रीमती"),
    ("sh", "श्री"),
    ("a/c", "अकाउंट"),
];

/// The piece with its abbreviation written out; `None` when it is none.
pub(super) fn written_out(rest: &[Piece], tongue: Tongue) -> Option<String> {
    let piece = rest.first()?;
    let key = crate::tokens::fold(&piece.core);
    let (_, when, words) = ALL.iter().find(|(short, _, _)| *short == key)?;
    let next = rest.get(1);
    let number_next = next.is_some_and(|p| p.core.starts_with(|c: char| c.is_ascii_digit()));
    let fits = match when {
        When::Any => true,
        When::Marked => piece.trail.starts_with(['.', ':', '-']),
        When::Number => number_next && matches!(piece.trail.as_str(), "" | "." | ":" | ".:"),
    };
    if !fits {
        return None;
    }
    // "A/c" is an account before its number, else it cools a room.
    let account = next.is_some_and(|p| {
        p.core.bytes().any(|b| b.is_ascii_digit())
            || matches!(crate::tokens::fold(&p.core).as_str(), "no" | "number" | "नं" | "नंबर")
    });
    if key == "a/c" && !account {
        return Some(format!("{}A C{}", piece.lead, piece.trail));
    }
    let words = match tongue {
        Tongue::Hindi => IN_HINDI.iter().find(|(short, _)| *short == key).map_or(*words, |(_, hindi)| *hindi),
        Tongue::English => words,
    };
    let mut said = String::new();
    let mut letters = words.chars();
    // "Dr." begins a name, "MOB" is a form's heading.
    match letters.next() {
        Some(first) if piece.core.starts_with(char::is_uppercase) => said.extend(first.to_uppercase()),
        Some(first) => said.push(first),
        None => {}
    }
    said.push_str(letters.as_str());
    // The stop is the abbreviation's; at the very end it is the sentence's too.
    let trail = match piece.trail.strip_prefix('.') {
        Some(after) if next.is_some() || key == "dr" => after,
        Some(_) | None => piece.trail.as_str(),
    };
    Some(format!("{}{said}{trail}", piece.lead))
}
