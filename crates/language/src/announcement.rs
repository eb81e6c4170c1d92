//! Who answered a call that we placed: a person, or a machine of the network or the phone. From the first words heard.
//!
//! Announcements as Jio, Airtel, Vi and BSNL play them differ in words from circle to circle, so what counts is their
//! shape: they speak of "the number you have dialled" or "the customer you are calling", which people do not, and of a
//! state. A state alone ("I was switched off", "line busy thi") is a person's word. Wrongly hanging up on a person is the
//! worse fault, so what is unclear is [`Answered::Person`] or [`Answered::Unknown`].

use crate::understand::plain_words;
use serde::{Deserialize, Serialize};

/// Who or what answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answered {
    /// A person speaks.
    Person,
    /// A mailbox that takes a message, the network's or the phone's own.
    Voicemail,
    /// The network says that the phone is switched off.
    SwitchedOff,
    /// The network says that the phone is out of coverage, does not answer, that the number is not in use or barred.
    NotReachable,
    /// The network says that the line is busy.
    Busy,
    /// The phone asks for a name and a reason before it rings (call screening, an assistant).
    Screening,
    /// Nothing that says it: silence, a ring tone's song, half a sentence.
    Unknown,
}

/// A phrase: words in a row, where `*` stands for up to [`GAP_WORDS_MAX`] other words. Alternatives of a word are parted
/// with `|`. All in folded spelling.
type Phrase = &'static str;
/// Words that `*` may stand for.
const GAP_WORDS_MAX: usize = 6;
/// Announcements come at the very beginning: later words are not looked at.
pub const WORDS_MAX: usize = 120;

/// Only machines say these of the one who is called.
const SUBJECTS: &[Phrase] = &[
    "the|this number you * calling|dialled|dialed|called|trying|dial|call|reach",
    "number you have|are|were|had dialled|dialed|dialing|calling|trying|called",
    "number you dialled|dialed|called",
    "the|this airtel|jio|vodafone|idea|vi|bsnl|mtnl|telenor|aircel|docomo|reliance number|customer|subscriber|user",
    "person|customer|subscriber|party|user you are|have|were|had calling|trying|called|dialled|dialed",
    "number|person|customer|subscriber|user youre|youve calling|trying|dialled|dialed|called",
    "sabhi|saari lines|line|linein",
    "सभी|सारी लाइनें|लाइन",
    "the subscriber|customer you",
    "the called|dialled|dialed number|party|subscriber",
    "your call cannot|could be|not",
    "your call * completed|connected",
    "this number * not in use|service",
    "all lines * route",
    "jis|jise number|nambar|vyakti|grahak|upbhokta|customer|subscriber|airtel|jio|vodafone|idea|bsnl * call|phone|sampark|dial",
    "jis number|nambar|vyakti par|se * aap",
    "aap jis|jin|jise number|nambar|vyakti|se|upbhokta|grahak|airtel|jio * call|sampark|phone|baat|dial",
    "aap jis vyakti|upbhokta|grahak|airtel|jio",
    "aapke|aap dwara|ne dial|call|milaya|lagaya|dayal * number|nambar",
    "dial kiya|kiye gaya|gaye number|nambar",
    "upbhokta|upabhokta|grahak abhi|vartaman|is|filhal",
    "aap jise call kar",
    "जिस|जिन|जिसे नंबर|व्यक्ति|ग्राहक|उपभोक्ता|एयरटेल|जियो|वोडाफोन|आइडिया|बीएसएनएल|कस्टमर|सब्सक्राइबर * कॉल|फोन|संपर्क|सम्पर्क|डायल",
    "जिस|जिन नंबर|व्यक्ति पर|से * आप",
    "आप जिस|जिन|जिसे|जिससे नंबर|व्यक्ति|से|उपभोक्ता|ग्राहक|एयरटेल|जियो|कॉल|संपर्क * कॉल|संपर्क|सम्पर्क|फोन|बात|डायल|कर",
    "आप जिस व्यक्ति|उपभोक्ता|ग्राहक|एयरटेल|जियो",
    "आपके|आप|आपने द्वारा|ने|जो डायल|कॉल|मिलाया|लगाया|नंबर * नंबर|डायल|गया",
    "डायल किया|किए गया|गए नंबर",
    "उपभोक्ता|ग्राहक अभी|वर्तमान|इस|फिलहाल|पहुंच",
    "आप जिसे कॉल कर",
];
/// Words of machines that end such an announcement; without a subject, in a text that was heard from its middle.
const CLOSINGS: &[Phrase] = &[
    "please try|call again|after|later * later|time|sometime|again|minutes",
    "please try again|later",
    "please check the number",
    "kripya|kripaya|krupaya * baad|der * prayas|koshish|try|call|dial",
    "kripya|kripaya * baad",
    "कृपया * बाद * प्रयास|कोशिश|कॉल|ट्राई|डायल",
    "कृपया * बाद|पश्चात",
    "कृपया * जांच|जांचें",
];
const SWITCHED_OFF: &[Phrase] = &[
    "switched off",
    "switch off|of",
    "switched of",
    "powered off",
    "turned off",
    "swich|svich off",
    "band hai",
    "band kiya hua",
    "स्विच ऑफ|ऑफ्फ|आफ",
    "स्विच्ड ऑफ|आफ",
    "स्विचऑफ",
    "बंद है",
    "बंद कर दिया",
];
const BUSY: &[Phrase] = &[
    "busy",
    "on another call",
    "speaking to|with someone",
    "engaged",
    "vyast|vyasth|byast|vyst",
    "doosre|dusre call|number",
    "kisi aur se baat",
    "व्यस्त",
    "बिजी|बिज़ी",
    "दूसरी|दूसरे कॉल",
    "किसी और से बात|बातचीत",
    "अन्य कॉल",
];
const NOT_REACHABLE: &[Phrase] = &[
    "not reachable",
    "unreachable",
    "out of * coverage|reach|range|network",
    "outside * coverage|network",
    "coverage|network area|kshetra|chhetra|se",
    "not available|answering|responding|receiving",
    "is unavailable",
    "not * answering|responding",
    "no answer|reply|response",
    "does|do|is|has not exist|valid|in",
    "invalid",
    "not in use|service",
    "out of service",
    "not been|be completed|connected|recharged",
    "cannot|could be|not completed|connected|be",
    "temporarily|permanently out|disconnected|suspended|barred|unavailable",
    "incoming * not|barred|facility|service|suspended|unavailable",
    "kshetra|chhetra|coverage|network|pahunch se|ke|mein bahar|bahaar|nahi|nahin",
    "sampark * nahi|nahin",
    "uttar nahi|nahin",
    "jawab nahi|nahin",
    "uplabdh|uplabdha nahi|nahin",
    "maujood|astitva|seva nahi|nahin|mein",
    "galat hai",
    "jud nahi|nahin",
    "कवरेज|नेटवर्क|पहुंच क्षेत्र|एरिया|से|के",
    "पहुंच|कवरेज|क्षेत्र * बाहर|नहीं",
    "क्षेत्र से बाहर",
    "संपर्क * नहीं",
    "उत्तर|जवाब नहीं",
    "उपलब्ध नहीं",
    "उपयोग|सेवा|अस्तित्व|मौजूद में|नहीं",
    "गलत है",
    "अमान्य",
    "नॉट रीचेबल|रिचेबल|रीचेबल्",
    "जुड नहीं",
];
/// Enough by itself.
const VOICEMAIL: &[Phrase] = &[
    "after|at the tone|beep|beeb|signal",
    "after|at beep|tone",
    "leave|record|leaving a|your|me|us|my|the * message|messages after|and|at|with|when",
    "leave|record a|your|me|an brief|short|detailed|voice message",
    "leave me|us a message|voicemail",
    "please leave|record a|your message|voicemail|name",
    "you|youve have|reached|ve reached|the|my|voice * voicemail|voice|mailbox|answering",
    "you|youve reached the|my|a voicemail|voice|mailbox|answering",
    "forwarded to * voice|voicemail|mailbox|mail|messaging",
    "voice mailbox|mailbox",
    "mailbox is full|not",
    "answering machine|service",
    "welcome to * voicemail|voice",
    "voicemail|mailbox of|for",
    "record your message",
    "cant|cannot|unable|not|couldnt * phone|call right|leave|so|at * message|name",
    "ill|will call|get you back * message",
    "beep|bip ke baad * sandesh|message",
    "apna sandesh|message record|chhod|chhodein|chode|chhode|darj|rikard",
    "sandesh * record|chhod|chhodein",
    "voicemail|voice mail mein|par|ka",
    "बीप|टोन|बीव की|के * बाद|पश्चात * संदेश|मैसेज|सन्देश|छोड|रिकॉर्ड",
    "अपना|आपका संदेश|मैसेज|सन्देश * रिकॉर्ड|छोड|छोडें|छोडिए|छोडे|दर्ज",
    "संदेश रिकॉर्ड|छोडें|छोडिए|छोडे",
    "वॉइस|वॉयस|वाइस मेल|मेलबॉक्स",
    "वॉइसमेल|वॉयसमेल|वॉइसमेल्",
];
/// Call screening: of the phone (iOS, Pixel, Samsung) or of an assistant (Truecaller).
const SCREENING: &[Phrase] = &[
    "record your name and|n reason|the|why|what",
    "your name and reason|purpose * call|calling",
    "name and the reason|purpose",
    "say|state|tell|give * your name and * why|reason|purpose",
    "ill see if this|the person|they",
    "see if this|the person * available",
    "screening|screener service",
    "using a|call screening|screener|assistant * google|service|from",
    "google assistant * call|screening",
    "call assistant|screening * name|reason|why|google|calling|help",
    "digital|virtual|ai|call|personal assistant of|for|from * why|reason|calling|call|help",
    "stay on the line * available|person",
    "person * calling|called * cant|cannot * talk * assistant|google",
    "truecaller assistant",
    "apna naam aur * karan|wajah|vajah|kaaran * record|bata|batayein|bataiye|kahein|boliye|bolein",
    "naam aur call|phone karne ka|ki|karan",
    "अपना नाम और * कारण|वजह * रिकॉर्ड|बताएं|बताइए|बोलें|बोलिए|कहें|दर्ज",
    "नाम और कॉल|फोन करने का|की|कारण",
];
/// Words of somebody who speaks for himself. One of them beside a state word: a person, not the network.
const FIRST_PERSON: &str = "i im ive ill my me mine we our us mera meri mere main mai mujhe hum humein humara hamara मैं मेरा मेरी मेरे मुझे हम हमारा हमें";
/// Words that people begin with.
const PERSONS: &str = "hello hi hey helo hallo halo alo yes yeah yep yup no ok okay haan han haa ha ji jee bol bolo boliye \
    kaun kon who whos what speaking here namaste namaskar namaskaram good morning afternoon evening this is sir madam maam \
    wait hold sorry busy later call kya kaise nahi nahin abhi baad tell achha accha aap you who why which sat pranam salaam \
    assalam vanakkam हेलो हैलो हलो हां जी बोलिए बोलो बोल कौन नमस्ते नमस्कार क्या यस नहीं अभी बाद ओके अच्छा कहिए कहां आप रुकिए कैसे \
    बताइए speaking";

/// Who answered, by the first words heard on a call that we placed, in English or Hindi, Devanagari or Latin. Call it
/// again as more is heard: half an announcement is [`Answered::Unknown`]. At most the first [`WORDS_MAX`] words are read.
#[must_use]
pub fn answered_by(text: &str) -> Answered {
    let mut words = plain_words(text);
    words.truncate(WORDS_MAX);
    if words.is_empty() {
        return Answered::Unknown;
    }
    if any(&words, SCREENING) && !asks(&words) {
        return Answered::Screening;
    }
    let subject = any(&words, SUBJECTS);
    let closing = any(&words, CLOSINGS);
    let own = words.iter().any(|w| listed(FIRST_PERSON, w));
    let voicemail = any(&words, VOICEMAIL) && !speaks_of_leaving(&words);
    if voicemail {
        return Answered::Voicemail;
    }
    // "The number you are calling is busy", or "… is switched off. Please try again later" heard from its middle.
    if (subject && !(own && words.len() < 8)) || (closing && !own) {
        for (phrases, answered) in
            [(SWITCHED_OFF, Answered::SwitchedOff), (BUSY, Answered::Busy), (NOT_REACHABLE, Answered::NotReachable)]
        {
            if any(&words, phrases) {
                return answered;
            }
        }
        if subject {
            return Answered::Unknown;
        }
    }
    if own || words.iter().any(|w| listed(PERSONS, w)) { Answered::Person } else { Answered::Unknown }
}

/// Somebody asks us for our name and reason in his own voice: "who is this and why are you calling".
fn asks(words: &[String]) -> bool {
    any(words, &["who are|is you|this|it|speaking|calling", "whos this|calling|speaking"])
}

/// "I will leave a message", "did you leave a message", "you left a voicemail": about a message, not asking for one.
fn speaks_of_leaving(words: &[String]) -> bool {
    any(
        words,
        &[
            "i|ill|i'll|you|he|she|they|to|did|we|will|can|should|not|dont|could leave|left|record a|your|me|my|the|it",
            "you|he|she|they left",
            "i got|heard|saw|received|checked|check|never|dont|have|was",
            "please leave it|me|him|this|that",
            "leave it",
            "your voicemail",
        ],
    ) && !any(
        words,
        &[
            "after|at the tone|beep",
            "after beep|tone",
            "reached",
            "cant|cannot|unable|couldnt * phone|call|message",
            "get back to you",
        ],
    )
}

fn listed(list: &str, word: &str) -> bool {
    list.split_whitespace().any(|w| w == word)
}

fn any(words: &[String], phrases: &[Phrase]) -> bool {
    phrases.iter().any(|phrase| {
        let parts: Vec<&str> = phrase.split(' ').collect();
        (0..words.len()).any(|at| fits(words.get(at..).unwrap_or_default(), &parts, false))
    })
}

/// Whether `words` begin with the parts; `gap`: other words may stand before the first part.
fn fits(words: &[String], parts: &[&str], gap: bool) -> bool {
    let Some((part, rest)) = parts.split_first() else { return true };
    if *part == "*" {
        return fits(words, rest, true);
    }
    let reach = if gap { GAP_WORDS_MAX + 1 } else { 1 };
    (0..words.len().min(reach)).any(|at| {
        words.get(at).is_some_and(|word| part.split('|').any(|p| p == word))
            && fits(words.get(at + 1..).unwrap_or_default(), rest, false)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_cases() {
        for (text, want) in [
            ("The number you are calling is currently switched off.", Answered::SwitchedOff),
            ("जिस नंबर पर आप कॉल कर रहे हैं वह अभी स्विच ऑफ है", Answered::SwitchedOff),
            ("The number you are calling", Answered::Unknown),
            ("Hello, I was switched off", Answered::Person),
            ("", Answered::Unknown),
        ] {
            assert_eq!(answered_by(text), want, "{text:?}");
        }
    }

    #[test]
    fn phrases_are_in_folded_spelling() {
        for list in [SUBJECTS, CLOSINGS, SWITCHED_OFF, BUSY, NOT_REACHABLE, VOICEMAIL, SCREENING] {
            for word in list.iter().flat_map(|p| p.split([' ', '|'])).filter(|w| *w != "*") {
                assert!(word == crate::tokens::fold(word) || word == "बिज़ी", "{word:?} never matches");
            }
        }
    }

    proptest! {
        #[test]
        fn any_text(text in ".{0,200}") {
            let _ = answered_by(&text);
        }

        #[test]
        fn any_words_of_machines(words in proptest::collection::vec("(the|number|you|are|calling|busy|please|leave|message|after|beep|कृपया|बाद)", 0..40)) {
            let _ = answered_by(&words.join(" "));
        }
    }
}
