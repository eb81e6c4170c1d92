//! When an agent speaks and when it listens.

use super::schema;
use crate::words::words;
use serde::{Deserialize, Serialize};

words! {
    /// What tells that the caller has finished.
    EndOfTurn {
        /// Words, the end-of-turn model, the transcriber's own judgement and silence together.
        Auto = "auto",
        /// Silence and words, without a judgement of the sound.
        Silence = "silence",
        /// The end-of-turn model is asked about every pause.
        Model = "model",
        /// The transcriber's own event, at once; silence when it has none.
        Transcriber = "transcriber",
    }
}

/// When to speak and when to listen. All times in ms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TurnTaking {
    /// What tells that the caller has finished.
    #[schema(schema_with = schema::end_of_turn)]
    pub end_of_turn: EndOfTurn,
    /// Silence after which the turn is over when everything says the caller is done.
    #[schema(minimum = 100, maximum = 5_000)]
    pub pause_short_ms: u64,
    /// Silence after which the turn is over when the caller seems to be thinking. At least the short one.
    #[schema(minimum = 100, maximum = 10_000)]
    pub pause_long_ms: u64,
    /// Ask the language model as soon as the end of the turn is likely; the answer is thrown away, unheard, if the caller
    /// goes on. Faster, and costs the tokens of what is thrown away.
    pub eager: bool,
    /// The caller may interrupt the agent.
    pub interruptible: bool,
    /// Sound of the caller over the agent that is looked at as a possible interruption. Shorter is a click.
    #[schema(maximum = 5_000)]
    pub barge_in_min_ms: u64,
    /// Words that the caller must say over the agent before it stops. Words that only show listening never count.
    #[schema(maximum = 10)]
    pub barge_in_words_min: u32,
    /// No interruption in this first part of the call: the phone leg may echo our greeting.
    #[schema(maximum = 30_000)]
    pub barge_in_guard_ms: u64,
    /// What sounds like the agent's own words, while it says them, is not taken for the caller.
    pub echo_guard: bool,
    /// Silence of the caller before a reminder.
    #[schema(minimum = 1_000, maximum = 120_000)]
    pub reminder_after_ms: u64,
    /// Reminders before goodbye.
    #[schema(maximum = 10)]
    pub reminders_max: u32,
    /// An answer that takes longer than this is bridged by a few words. 0 = never.
    #[schema(maximum = 10_000)]
    pub filler_after_ms: u64,
    /// What is said then, in turn. Empty: the usual words of the language.
    #[schema(schema_with = schema::phrases)]
    pub fillers: Vec<String>,
}

impl Default for TurnTaking {
    fn default() -> Self {
        Self {
            end_of_turn: EndOfTurn::Auto,
            pause_short_ms: 240,
            pause_long_ms: 1_100,
            eager: true,
            interruptible: true,
            barge_in_min_ms: 80,
            barge_in_words_min: 0,
            barge_in_guard_ms: 400,
            echo_guard: true,
            reminder_after_ms: 7_000,
            reminders_max: 2,
            filler_after_ms: 2_500,
            fillers: Vec::new(),
        }
    }
}
