//! What the agent says when something fails or nobody speaks. Plain sentences; an agent's flow may bring its own.

/// The sentences of one language.
#[derive(Clone, Copy, Debug)]
pub struct Phrases {
    /// When a call is answered by an agent without a greeting.
    pub greeting: &'static str,
    /// The words were not understood (a failure of ours).
    pub say_again: &'static str,
    /// An answer could not be made (a failure of ours).
    pub trouble: &'static str,
    /// While an answer takes long, one after the other.
    pub fillers: [&'static str; 2],
    /// Before a call ends that has done what it was for.
    pub goodbye: &'static str,
    /// Before a caller is handed to a person.
    pub transfer: &'static str,
    /// Before digits are typed.
    pub keys: &'static str,
    /// It failed for good.
    pub apology: &'static str,
    /// Nobody speaks.
    pub reminder: &'static str,
    /// Nobody spoke after the reminders.
    pub goodbye_silence: &'static str,
    /// The time is over.
    pub goodbye_time: &'static str,
    /// The node stops.
    pub goodbye_drain: &'static str,
}

const ENGLISH: Phrases = Phrases {
    greeting: "Hello. How can I help you?",
    say_again: "Sorry, I did not catch that. Could you say it again, please?",
    trouble: "Sorry, I am having a little trouble answering. Could you say that again, please?",
    fillers: ["One moment, please.", "Thank you for waiting, I am still on it."],
    goodbye: "Thank you for calling. Goodbye.",
    transfer: "One moment, I am connecting you.",
    keys: "Please type it on your phone, and press hash at the end.",
    apology: "I am sorry, I cannot continue right now. Please call again a little later. Goodbye.",
    reminder: "Are you still there?",
    goodbye_silence: "I cannot hear you. Please call again. Goodbye.",
    goodbye_time: "I am sorry, our time is over. Please call again if you need anything else. Goodbye.",
    goodbye_drain: "I am sorry, I have to end this call. Please call again in a few minutes. Goodbye.",
};

const HINDI: Phrases = Phrases {
    greeting: "नमस्ते। मैं आपकी क्या मदद कर सकती हूँ?",
    say_again: "माफ़ कीजिए, मैं सुन नहीं पाई। क्या आप फिर से कहेंगे?",
    trouble: "माफ़ कीजिए, मुझे जवाब देने में थोड़ी दिक्कत हो रही है। क्या आप फिर से कहेंगे?",
    fillers: ["एक क्षण रुकिए।", "रुकने के लिए धन्यवाद, मैं अभी देख रही हूँ।"],
    goodbye: "कॉल करने के लिए धन्यवाद। नमस्ते।",
    transfer: "एक क्षण, मैं आपको जोड़ रही हूँ।",
    keys: "कृपया अपने फ़ोन पर टाइप करें, और अंत में हैश दबाएँ।",
    apology: "माफ़ कीजिए, अभी मैं बात आगे नहीं बढ़ा सकती। कृपया थोड़ी देर बाद फिर कॉल करें। नमस्ते।",
    reminder: "क्या आप लाइन पर हैं?",
    goodbye_silence: "मुझे आपकी आवाज़ नहीं आ रही है। कृपया फिर कॉल करें। नमस्ते।",
    goodbye_time: "माफ़ कीजिए, हमारा समय समाप्त हो गया है। कृपया फिर कॉल करें। नमस्ते।",
    goodbye_drain: "माफ़ कीजिए, मुझे यह कॉल समाप्त करनी होगी। कृपया कुछ मिनट बाद फिर कॉल करें। नमस्ते।",
};

/// The sentences for a BCP 47 tag; English when it is none of ours.
#[must_use]
pub fn phrases(language: &str) -> &'static Phrases {
    if language.get(..2).is_some_and(|l| l.eq_ignore_ascii_case("hi")) { &HINDI } else { &ENGLISH }
}
