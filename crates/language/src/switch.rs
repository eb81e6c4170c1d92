//! Which language somebody speaks, from what a transcriber wrote: script, function words (also of Hindi in Latin letters
//! and of English in Devanagari), the transcriber's own tag.
//!
//! Names, numbers, "okay" and borrowed words say nothing. A switch needs two turns in the other language with none in the
//! present one between, one clearly long turn, or a wish: "Hindi mein boliye", "please speak English".

use crate::tokens::{answer_tokens, fold, is_numeric};
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// A list of words in folded spelling.
type Words = LazyLock<BTreeSet<String>>;

/// Languages beside the own one that a switch looks for; more are left out: an agent is set up for a handful.
pub const OTHERS_MAX: usize = 16;
/// Turns in another language, one behind the other, that switch.
pub const TURNS_TO_SWITCH: u32 = 2;
/// So many telling words in one turn switch at once: a whole sentence in the other language.
pub const TELLING_WORDS_AT_ONCE: usize = 5;
/// A transcriber's tag counts for a turn of at least so many words that are neither numbers nor interjections.
const TAGGED_WORDS_MIN: usize = 4;
/// Telling words that one turn needs to count at all.
const TELLING_WORDS_MIN: usize = 2;
/// Words of a wish that are looked at beside the language's name.
const WISH_REACH: usize = 4;

/// Words that English and Hindi speakers in India both use, and interjections: they tell nothing.
static NEUTRAL: Words = LazyLock::new(|| {
    words(
        "ok okay yes no yeah hello hi hey bye thanks thank haan han haa ji jee hmm hm mm oh ah um uh achha \
    accha acha please sorry sir madam maam hey mister theek thik phone number mobile doctor appointment booking order \
    delivery payment bank account card bill office time date otp pin code email address whatsapp google kal aaj namaste \
    namaskar bhai bhaiya didi alo allo right fine हां हा जी ओके हेलो हैलो हलो थैंक थैंक्स नमस्ते नमस्कार अच्छा सॉरी \
    प्लीज ठीक हम्म नंबर फोन मोबाइल डॉक्टर अपॉइंटमेंट बुकिंग बिल",
    )
});
/// Function words and the commonest verbs of Hindi in Latin letters.
static HINDI_LATIN: Words = LazyLock::new(|| {
    words(
        "hai hain hoon hun tha thi thhe raha rahi rahe kya kyun kyon kaise kaisa kaisi kab kahan kaun \
    kitna kitne kitni mujhe mujhko humko humein hume main mai mera meri mere hamara hamari hamare aap aapka aapki aapke \
    aapko tum tumhara nahi nahin nai mat karo karna karni karte karta karti kar kiya karke kijiye kariye karunga karungi karwana \
    karwani karenge chahiye chahta chahti chahte mein ko ka ki ke se par aur lekin magar agar toh bhi wala wali wale \
    yeh ye voh woh wo isko usko iska uska uski iske unka abhi bhejo bhej bhejiye bata batao bataiye bolo boliye bol bolna \
    bolta bolti suno sunai samajh samjha raha rahega hoga hogi ho hua hui gaya gayi gaye jana jaana jaunga aana aaunga \
    aayega aaya aayi dena dijiye dedo lena lunga lungi lijiye chal chalega chalo ruko rukiye thoda bahut baat wahi yahan \
    wahan kuch koi sab phir milega mil milna paisa paise rupaye baje subah shaam dopahar raat parso parson din tak liye \
    pehle baad saath apna apni apne galat sahi pata matlab kyunki kyonki bilkul accha zaroor jaldi der sirf",
    )
});
/// Function words and the commonest verbs of English, those that Hindi has too in this spelling (to, me, the, hum, do)
/// left out.
static ENGLISH_LATIN: Words = LazyLock::new(|| {
    words(
        "i is are am was were be been my mine your yours his her our we you he she it they them this \
    that these those a an of for with from at on in by about what when where which who why how can could would should \
    will shall may might must have has had does did not dont cant wont didnt and but if because so want need like know \
    think tell give take make come book speak talk call get got there here some any very just only also too after before \
    tomorrow today yesterday morning evening afternoon im id ill ive its thats whats lets isnt",
    )
});
/// The same words of English as a transcriber set to Hindi writes them.
static ENGLISH_DEVANAGARI: Words = LazyLock::new(|| {
    words(
        "आई यू ही शी इट इज आर एम वाज माय माई योर द दिस दैट व्हाट वॉट व्हेन व्हेयर हाउ हू कैन कुड \
    वुड शुड विल हैव हैज डू डोंट नॉट एंड बट वांट वॉन्ट वॉट नीड नो टेल गिव टू फॉर विद फ्रॉम ऑफ इन एट वी दे गेट कम टुमॉरो टुडे लाइक \
    स्पीक टॉक कॉल",
    )
});
/// Function words of Hindi in Devanagari.
static HINDI_DEVANAGARI: Words = LazyLock::new(|| {
    words(
        "है हैं हूं था थी थे रहा रही रहे क्या क्यों कैसे कैसा कैसी कब कहां कौन कितना कितने कितनी मुझे मुझको \
    हमें हमको मैं मेरा मेरी मेरे हमारा हमारी आप आपका आपकी आपके आपको तुम नहीं नही मत करो करना करनी करते करता करती कर किया कीजिए \
    चाहिए चाहता चाहती में को का की के से पर और लेकिन मगर अगर तो भी वाला वाली वाले यह ये वह वो इसको उसको इसका उसका अभी बताओ \
    बताइए बोलो बोलिए बोल सुनो समझ होगा होगी हो हुआ हुई गया गयी गई जाना आना आया देना दीजिए लेना लीजिए चलो रुको थोड़ा थोडा बहुत बात \
    कुछ कोई सब फिर मिलेगा मिल बजे सुबह शाम रात दिन तक लिए पहले बाद साथ अपना अपनी गलत सही पता ने हम",
    )
});

/// A language, by its subtag, the names a speaker gives it, and the script that only it is written in here.
struct Known {
    subtag: &'static str,
    tag: &'static str,
    names: &'static str,
    block: Option<(char, char)>,
}

/// Languages that are known by name or by script. Devanagari is Hindi's unless only Marathi or Nepali is looked for;
/// Bengali letters are also Assamese.
const KNOWN: &[Known] = &[
    Known { subtag: "hi", tag: "hi-IN", names: "hindi hindee हिंदी हिन्दी", block: None },
    Known {
        subtag: "en",
        tag: "en-IN",
        names: "english inglish angrezi angreji angrezee अंग्रेजी इंग्लिश अंग्रेज़ी",
        block: None,
    },
    Known { subtag: "mr", tag: "mr-IN", names: "marathi मराठी", block: None },
    Known {
        subtag: "bn",
        tag: "bn-IN",
        names: "bengali bangla bangali बांग्ला बंगाली বাংলা",
        block: Some(('\u{0980}', '\u{09FF}')),
    },
    Known {
        subtag: "pa", tag: "pa-IN", names: "punjabi panjabi पंजाबी ਪੰਜਾਬੀ", block: Some(('\u{0A00}', '\u{0A7F}'))
    },
    Known {
        subtag: "gu", tag: "gu-IN", names: "gujarati गुजराती ગુજરાતી", block: Some(('\u{0A80}', '\u{0AFF}'))
    },
    Known {
        subtag: "or", tag: "or-IN", names: "odia oriya उड़िया ओड़िया", block: Some(('\u{0B00}', '\u{0B7F}'))
    },
    Known {
        subtag: "ta", tag: "ta-IN", names: "tamil तमिल தமிழ் தமிழில்", block: Some(('\u{0B80}', '\u{0BFF}'))
    },
    Known {
        subtag: "te", tag: "te-IN", names: "telugu तेलुगु तेलुगू తెలుగు తెలుగులో", block: Some(('\u{0C00}', '\u{0C7F}'))
    },
    Known {
        subtag: "kn", tag: "kn-IN", names: "kannada कन्नड़ ಕನ್ನಡ ಕನ್ನಡದಲ್ಲಿ", block: Some(('\u{0C80}', '\u{0CFF}'))
    },
    Known {
        subtag: "ml", tag: "ml-IN", names: "malayalam मलयालम മലയാളം", block: Some(('\u{0D00}', '\u{0D7F}'))
    },
    Known { subtag: "ur", tag: "ur-IN", names: "urdu उर्दू اردو", block: Some(('\u{0600}', '\u{06FF}')) },
];

/// Words that make a language's name a wish.
static WISH_VERBS: Words = LazyLock::new(|| {
    words(
        "boliye bolo bol boliyega bolna bolenge bolein bole baat karo kijiye kariye karein kare karna karenge \
    bataiye batao batayein bataye samjhao samjhaiye samjhaye kahiye kaho sunao suniye speak talk switch instead samjha continue \
    explain say tell change converse chat communicate prefer want only sirf please बोलिए बोलो बोलिये बोलें बोलना बात कीजिए \
    कीजिये करो करें करिए बताइए बताओ बताइये समझाइए समझाओ कहिए सुनाइए प्लीज सिर्फ चाहिए चालू रखिए",
    )
});
/// Words that turn it round: "English nahi aati", "I don't understand Hindi".
static REFUSALS: Words = LazyLock::new(|| {
    words("nahi nahin nai mat not dont doesnt cant cannot didnt no नहीं नही मत ना weak poor kamzor kamjor without")
});
/// Words behind or before a language's name that make it a subject or a thing: "Hindi film", "English teacher".
static THINGS: Words = LazyLock::new(|| {
    words(
        "teacher medium film movie song gana newspaper book class classes course school paper exam literature \
    tutor tuition subject department speaking translation honours होनर्स फिल्म मीडियम टीचर किताब अखबार स्कूल क्लास",
    )
});

fn listed(list: &BTreeSet<String>, word: &str) -> bool {
    list.contains(word)
}

fn words(list: &str) -> BTreeSet<String> {
    list.split_whitespace().map(fold).collect()
}

impl Known {
    /// Whether a speaker calls the language so.
    fn is_called(&self, word: &str) -> bool {
        self.names.split_whitespace().any(|name| name == word || fold(name) == word)
    }
}

fn subtag(tag: &str) -> String {
    tag.trim().split(['-', '_']).next().unwrap_or_default().to_lowercase()
}

/// The language that the speaker asks for, as a BCP 47 tag (`hi-IN`): "Hindi mein boliye", "please speak English",
/// "can you speak Tamil", "हिंदी में बात कीजिए", or the language's name almost by itself. `None` where a language is only
/// spoken of ("Hindi film", "my English is weak"). The first 400 words are read.
#[must_use]
pub fn asked_for_language(text: &str) -> Option<&'static str> {
    mentions(text).into_iter().rev().find(|m| m.wished).map(|m| m.known.tag)
}

struct Mentioned {
    known: &'static Known,
    wished: bool,
    refused: bool,
}

fn mentions(text: &str) -> Vec<Mentioned> {
    let tokens = answer_tokens(text);
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let Some(known) = KNOWN.iter().find(|k| k.is_called(token)) else { continue };
        let before = tokens.get(at.saturating_sub(WISH_REACH)..at).unwrap_or_default();
        let after = tokens.get(at + 1..tokens.len().min(at + 1 + WISH_REACH)).unwrap_or_default();
        let thing = after.first().is_some_and(|t| listed(&THINGS, t));
        let refused_after = after
            .iter()
            .take_while(|t| {
                !KNOWN.iter().any(|k| k.is_called(t)) && !matches!(t.as_str(), "please" | "so" | "toh" | "to")
            })
            .any(|t| listed(&REFUSALS, t));
        let refused_before = before
            .iter()
            .rev()
            .take_while(|t| !KNOWN.iter().any(|k| k.is_called(t)))
            .take(3)
            .any(|t| matches!(t.as_str(), "not" | "dont" | "doesnt" | "cant" | "cannot" | "didnt" | "without"));
        let refused = refused_after || refused_before;
        let near = |words: &[String]| words.iter().any(|t| listed(&WISH_VERBS, t));
        let question = before.iter().any(|t| matches!(t.as_str(), "can" | "could" | "do" | "does" | "kya" | "क्या"))
            && before
                .iter()
                .chain(after)
                .any(|t| matches!(t.as_str(), "you" | "aap" | "tum" | "आप" | "anyone" | "someone" | "koi"));
        let statement = before.last().is_some_and(|t| matches!(t.as_str(), "my" | "meri" | "mera" | "मेरी" | "good"))
            || before.iter().any(|t| matches!(t.as_str(), "speaks" | "knows" | "reads"));
        let bare = tokens.len() <= 3
            && tokens.iter().enumerate().all(|(i, t)| {
                i == at || listed(&NEUTRAL, t) || matches!(t.as_str(), "in" | "mein" | "me" | "में" | "only")
            });
        let behind = near(after);
        // "I speak English" says what one can; "speak English" says what one wants.
        let told = before.len() >= 2
            && before.last().is_some_and(|t| matches!(t.as_str(), "speak" | "talk"))
            && before.get(before.len() - 2).is_some_and(|t| matches!(t.as_str(), "i" | "they" | "he" | "she" | "we"));
        let wished = !thing && !refused && !statement && (bare || behind || question || (near(before) && !told));
        found.push(Mentioned { known, wished, refused });
    }
    found
}

/// What one turn says about the language it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Nothing,
    /// Enough to count as a turn.
    Some,
    /// A whole sentence.
    Long,
}

/// Follows the language of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LanguageSwitch {
    /// Tags as given; the first is the agent's own.
    tags: Vec<String>,
    current: usize,
    /// The language of the last turns when it is another one, and how many turns.
    pending: Option<(usize, u32)>,
}

impl LanguageSwitch {
    /// Begins in `own`; may switch to each of `others` and back. Tags are BCP 47 (`en-IN`); their first subtag decides.
    /// Others beyond [`OTHERS_MAX`] and repeated ones are left out.
    #[must_use]
    pub fn new(own: &str, others: &[String]) -> Self {
        let mut tags = vec![own.trim().to_owned()];
        for other in others.iter().take(OTHERS_MAX) {
            let other = other.trim();
            if !other.is_empty() && !tags.iter().any(|t| subtag(t) == subtag(other)) {
                tags.push(other.to_owned());
            }
        }
        Self { tags, current: 0, pending: None }
    }

    /// The tag of the language spoken now.
    #[must_use]
    pub fn current(&self) -> &str {
        self.tags.get(self.current).map_or("", String::as_str)
    }

    /// Takes a turn of the caller's with the transcriber's own tag, if it gave one. The new tag when the language
    /// switches with it. Only the first 400 words are read.
    pub fn heard(&mut self, text: &str, tag: Option<&str>) -> Option<&str> {
        if self.tags.len() < 2 {
            return None;
        }
        if let Some(wanted) = self.wanted(text) {
            return self.switch_to(wanted);
        }
        let (heard, sign) = self.sign(text, tag)?;
        if heard == self.current {
            self.pending = None;
            return None;
        }
        let turns = match self.pending {
            Some((before, turns)) if before == heard => turns + 1,
            Some(_) | None => 1,
        };
        if sign == Sign::Long || turns >= TURNS_TO_SWITCH {
            return self.switch_to(heard);
        }
        self.pending = Some((heard, turns));
        None
    }

    fn switch_to(&mut self, index: usize) -> Option<&str> {
        self.pending = None;
        if index == self.current {
            return None;
        }
        self.current = index;
        Some(self.current())
    }

    fn index_of(&self, subtag_wanted: &str) -> Option<usize> {
        self.tags.iter().position(|t| subtag(t) == subtag_wanted)
    }

    /// The language asked for, or the only other one where the present one is refused.
    fn wanted(&self, text: &str) -> Option<usize> {
        let all = mentions(text);
        if let Some(index) = all.iter().rev().filter(|m| m.wished).find_map(|m| self.index_of(m.known.subtag)) {
            return Some(index);
        }
        let refused = all.iter().any(|m| m.refused && m.known.subtag == subtag(self.current()));
        (refused && self.tags.len() == 2).then_some(1 - self.current.min(1))
    }

    /// The language a turn is in, and how sure that is; `None` when it says nothing.
    fn sign(&self, text: &str, tag: Option<&str>) -> Option<(usize, Sign)> {
        let tokens = answer_tokens(text);
        let weighed =
            |subtag: &str| self.index_of(subtag).map_or(Sign::Nothing, |_| weigh(&tokens, subtag, self.devanagari()));
        let mut best: Option<(&str, Sign)> = None;
        for known in KNOWN {
            let sign = weighed(known.subtag);
            let better = match (sign, best) {
                (Sign::Nothing, _) => false,
                (_, None) => true,
                (Sign::Long, Some((_, Sign::Some))) => true,
                (_, Some(_)) => false,
            };
            if better {
                best = Some((known.subtag, sign));
            }
        }
        if let Some((subtag, sign)) = best {
            return Some((self.index_of(subtag)?, sign));
        }
        let index = self.index_of(&subtag(tag?))?;
        let words = tokens.iter().filter(|t| telling_nothing(t)).count();
        let other_script = tokens.iter().any(|t| script_language(t, self.devanagari()).is_some());
        (tokens.len() - words >= TAGGED_WORDS_MIN && !other_script && !latin_says_otherwise(&tokens, &self.tags, index))
            .then_some((index, Sign::Some))
    }

    /// Whose Devanagari is here: Hindi's where it is looked for, else Marathi's.
    fn devanagari(&self) -> &'static str {
        if self.index_of("hi").is_none() && self.index_of("mr").is_some() { "mr" } else { "hi" }
    }
}

/// A tag that says one language where the words are another's function words counts nothing.
fn latin_says_otherwise(tokens: &[String], tags: &[String], tagged: usize) -> bool {
    let said = tags.get(tagged).map(|t| subtag(t)).unwrap_or_default();
    let english = tokens.iter().filter(|t| listed(&ENGLISH_LATIN, t)).count();
    let hindi = tokens.iter().filter(|t| listed(&HINDI_LATIN, t)).count();
    (said != "en" && english > hindi && english > 0) || (said == "en" && hindi > english)
}

fn telling_nothing(token: &str) -> bool {
    is_numeric(token) || crate::number_words::is_number_word(token) || listed(&NEUTRAL, token)
}

/// The language that a word's script belongs to; `None` for Latin.
fn script_language(token: &str, devanagari: &'static str) -> Option<&'static str> {
    token.chars().find_map(|c| {
        if ('\u{0900}'..='\u{097F}').contains(&c) {
            return Some(devanagari);
        }
        KNOWN.iter().find(|k| k.block.is_some_and(|(from, to)| (from..=to).contains(&c))).map(|k| k.subtag)
    })
}

/// How sure the words are those of `subtag`.
fn weigh(tokens: &[String], subtag: &str, devanagari: &'static str) -> Sign {
    let telling: Vec<&String> = tokens.iter().filter(|t| !telling_nothing(t)).collect();
    let count = |list: &BTreeSet<String>| telling.iter().filter(|t| listed(list, t)).count();
    let english = count(&ENGLISH_LATIN) + count(&ENGLISH_DEVANAGARI);
    let hindi = count(&HINDI_LATIN) + count(&HINDI_DEVANAGARI);
    let words = telling.len();
    let (own, other, all) = match subtag {
        "en" => (english, hindi, english + telling.len().min(english * 2)),
        // Latin letters of Hindi, or Devanagari with function words of its own.
        "hi" if devanagari == "hi" => {
            let script = telling.iter().filter(|t| script_language(t, devanagari) == Some("hi")).count();
            (hindi, english, hindi + (script.min(hindi * 2)))
        }
        _ => {
            let script = telling.iter().filter(|t| script_language(t, devanagari) == Some(subtag)).count();
            (script, english + hindi, script)
        }
    };
    // In a mix the language of the function words counts: "mujhe appointment reschedule karni hai" is Hindi.
    if own < TELLING_WORDS_MIN || own <= other || words < TELLING_WORDS_MIN {
        return Sign::Nothing;
    }
    if own >= TELLING_WORDS_AT_ONCE && own >= other * 3 && all >= TELLING_WORDS_AT_ONCE {
        Sign::Long
    } else {
        Sign::Some
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn two_turns_or_a_wish() {
        let mut switch = LanguageSwitch::new("en-IN", &["hi-IN".to_owned()]);
        assert_eq!(switch.heard("mujhe kal aana hai", None), None);
        assert_eq!(switch.heard("okay", None), None, "an okay between says nothing");
        assert_eq!(switch.heard("kitne baje aana hai", None), Some("hi-IN"));
        assert_eq!(switch.current(), "hi-IN");
        assert_eq!(switch.heard("please speak English", None), Some("en-IN"));
        assert_eq!(switch.heard("please speak English", None), None, "it is spoken already");
    }

    #[test]
    fn one_turn_back_forgets() {
        let mut switch = LanguageSwitch::new("en-IN", &["hi-IN".to_owned()]);
        assert_eq!(switch.heard("mujhe kal aana hai", None), None);
        assert_eq!(switch.heard("what is the fee for that", None), None);
        assert_eq!(switch.heard("theek hai kitna hoga", None), None);
    }

    #[test]
    fn one_language_never_switches() {
        let mut switch = LanguageSwitch::new("en-IN", &[]);
        assert_eq!(switch.heard("हिंदी में बात कीजिए", Some("hi")), None);
        assert_eq!(switch.current(), "en-IN");
    }

    proptest! {
        #[test]
        fn any_text(texts in proptest::collection::vec((".{0,80}", ".{0,6}"), 0..6)) {
            let mut switch = LanguageSwitch::new("en-IN", &["hi-IN".to_owned(), "ta-IN".to_owned()]);
            for (text, tag) in texts {
                let _ = asked_for_language(&text);
                let before = switch.current().to_owned();
                let heard = switch.heard(&text, Some(&tag)).map(str::to_owned);
                prop_assert_eq!(heard.clone().unwrap_or(before), switch.current());
            }
        }
    }
}
