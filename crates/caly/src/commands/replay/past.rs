//! A past call: what was said in it, in the form in which rehearsals are seen, and the script that a caller would follow
//! who does it all again.

use crate::rehearsal::{
    CallerTurn, Event, Happened, Seen, TURN_CHARS_MAX, TURNS_MAX, ToolAnswers, ToolAsked, TurnSeen, WAIT_MS_MAX,
};
use call::CallSetup;
use model::{EndedReason, TranscriptTurn, TurnRole};
use serde_json::Value;

/// The caller waits at least this long before a turn, ms: what was quicker was so by the transcriber's clock.
const PAUSE_MS_MIN: u64 = 100;
/// A caller who had fallen silent stays so for this much longer, ms: another agent may be more patient.
const SILENCE_MORE_MS: u64 = 30_000;

/// A past call.
pub(super) struct Past {
    /// What it was told before it began. Of a stored call the agent is as it is kept now.
    pub(super) setup: CallSetup,
    /// What tools gave back.
    pub(super) answers: ToolAnswers,
    /// What happened.
    pub(super) seen: Seen,
    /// What the caller did.
    pub(super) script: Vec<CallerTurn>,
}

/// Something that happened in it.
pub(super) struct Item {
    pub(super) at_ms: u64,
    pub(super) over_ms: u64,
    pub(super) said: Said,
}

/// See [`Item`].
pub(super) enum Said {
    Caller(String),
    Keys(String),
    Agent { intended: String, heard: String, interrupted: bool },
    Tool(ToolAsked),
}

impl Item {
    pub(super) fn of_turn(turn: TranscriptTurn) -> Self {
        let said = match turn.role {
            TurnRole::Caller => Said::Caller(turn.text),
            TurnRole::Agent => Said::Agent {
                intended: turn.intended.unwrap_or_else(|| turn.text.clone()),
                heard: turn.text,
                interrupted: turn.interrupted,
            },
        };
        Self { at_ms: turn.started_ms, over_ms: turn.ended_ms, said }
    }
}

/// How the call ended.
pub(super) struct Ending {
    pub(super) collected: Value,
    pub(super) reason: Option<EndedReason>,
    pub(super) at_ms: u64,
}

/// Puts what happened in the order of time. A turn begins with each thing that the caller did; the script does the same
/// again, no faster than then, and interrupts after as many words.
pub(super) fn arrange(mut items: Vec<Item>, ending: Ending) -> (Seen, Vec<CallerTurn>) {
    items.sort_by_key(|item| item.at_ms);
    let mut arranging = Arranging::default();
    for item in items {
        arranging.add(item);
    }
    arranging.finish(ending)
}

#[derive(Default)]
struct Arranging {
    seen: Seen,
    script: Vec<CallerTurn>,
    /// When the first answer since the caller's last turn was over, and the number of events then.
    answered: Option<(u64, usize)>,
    /// Words heard of an answer that was cut short.
    cut: Option<u32>,
    last_over_ms: u64,
}

impl Arranging {
    fn add(&mut self, item: Item) {
        let Item { at_ms, over_ms, said } = item;
        let what = match said {
            Said::Caller(text) => {
                let says = text.chars().take(TURN_CHARS_MAX).collect();
                let interrupt_after_words = self.cut;
                self.begin_turn(
                    at_ms,
                    over_ms,
                    CallerTurn { says: Some(says), interrupt_after_words, ..CallerTurn::default() },
                );
                Happened::Caller { text }
            }
            Said::Keys(more) => {
                if let Some(Event { what: Happened::Keys { keys }, .. }) = self.seen.events.last_mut()
                    && let (Some(turn), Some(script)) = (self.seen.turns.last_mut(), self.script.last_mut())
                {
                    keys.push_str(&more);
                    script.keys.push_str(&more);
                    turn.over_ms = over_ms;
                    self.last_over_ms = over_ms;
                    return;
                }
                self.begin_turn(at_ms, over_ms, CallerTurn { keys: more.clone(), ..CallerTurn::default() });
                Happened::Keys { keys: more }
            }
            Said::Agent { intended, heard, interrupted } => {
                let words = u32::try_from(heard.split_whitespace().count()).unwrap_or(u32::MAX);
                self.cut = interrupted.then_some(words.max(1));
                self.answered.get_or_insert((over_ms, self.seen.events.len() + 1));
                Happened::Agent { intended, heard, language: String::new(), began_ms: Some(at_ms) }
            }
            Said::Tool(tool) => Happened::Tool(tool),
        };
        self.last_over_ms = self.last_over_ms.max(over_ms);
        self.seen.events.push(Event { at_ms, what });
    }

    fn begin_turn(&mut self, at_ms: u64, over_ms: u64, mut turn: CallerTurn) {
        let free_ms = self.answered.map_or(self.last_over_ms, |(over, _)| over);
        if turn.interrupt_after_words.is_none() {
            turn.pause_ms = at_ms.saturating_sub(free_ms).clamp(PAUSE_MS_MIN, WAIT_MS_MAX);
        }
        self.seen.turns.push(TurnSeen { first: self.seen.events.len(), over_ms });
        self.script.push(turn);
        self.answered = None;
        self.cut = None;
    }

    fn finish(mut self, ending: Ending) -> (Seen, Vec<CallerTurn>) {
        let Ending { collected, reason, at_ms } = ending;
        if reason == Some(EndedReason::AgentSilence)
            && let Some((over_ms, first)) = self.answered
        {
            let silence_ms = (at_ms.saturating_sub(over_ms) + SILENCE_MORE_MS).min(WAIT_MS_MAX);
            self.seen.turns.push(TurnSeen { first, over_ms });
            self.script.push(CallerTurn { silence_ms, ..CallerTurn::default() });
        }
        self.script.truncate(TURNS_MAX);
        self.seen.collected = collected;
        self.seen.ended = reason;
        self.seen.duration_ms = at_ms;
        (self.seen, self.script)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(index: u32, role: TurnRole, text: &str, intended: Option<&str>, started_ms: u64, ended_ms: u64) -> Item {
        Item::of_turn(TranscriptTurn {
            index,
            role,
            text: text.to_owned(),
            intended: intended.map(str::to_owned),
            interrupted: intended.is_some(),
            started_ms,
            ended_ms,
            latency: None,
        })
    }

    fn key(at_ms: u64, key: &str) -> Item {
        Item { at_ms, over_ms: at_ms, said: Said::Keys(key.to_owned()) }
    }

    #[test]
    fn the_caller_does_it_all_again() {
        let items = vec![
            turn(0, TurnRole::Agent, "Hello. Which day?", None, 100, 2_000),
            turn(1, TurnRole::Caller, "Tuesday.", None, 2_700, 3_200),
            turn(2, TurnRole::Agent, "We are open", Some("We are open from nine to six."), 3_900, 4_600),
            turn(3, TurnRole::Caller, "At ten.", None, 4_500, 5_000),
            turn(4, TurnRole::Agent, "Your number?", None, 5_600, 6_500),
            key(8_000, "9"),
            key(8_300, "8"),
            turn(5, TurnRole::Agent, "Anything else?", None, 9_000, 10_000),
            turn(6, TurnRole::Agent, "Are you there?", None, 17_000, 18_000),
            turn(7, TurnRole::Agent, "Goodbye.", None, 25_000, 26_000),
        ];
        let ending = Ending { collected: Value::Null, reason: Some(EndedReason::AgentSilence), at_ms: 26_000 };
        let (seen, script) = arrange(items, ending);
        let said = |text: &str| CallerTurn { says: Some(text.to_owned()), ..CallerTurn::default() };
        assert_eq!(
            script,
            [
                CallerTurn { pause_ms: 700, ..said("Tuesday.") },
                CallerTurn { interrupt_after_words: Some(3), ..said("At ten.") },
                CallerTurn { pause_ms: 1_500, keys: "98".to_owned(), ..CallerTurn::default() },
                CallerTurn { silence_ms: 16_000 + SILENCE_MORE_MS, ..CallerTurn::default() },
            ]
        );
        assert_eq!(seen.turns.iter().map(|turn| turn.first).collect::<Vec<_>>(), [1, 3, 5, 7]);
        assert_eq!(seen.of_turn(3).len(), 2, "the reminder and the goodbye");
    }

    #[test]
    fn two_turns_without_an_answer_between_them() {
        let items = vec![
            turn(0, TurnRole::Caller, "Hello?", None, 1_000, 1_500),
            turn(1, TurnRole::Caller, "Anybody?", None, 1_520, 2_000),
        ];
        let ending = Ending { collected: Value::Null, reason: Some(EndedReason::CallerHungUp), at_ms: 2_500 };
        let (_, script) = arrange(items, ending);
        assert_eq!(script.iter().map(|turn| turn.pause_ms).collect::<Vec<_>>(), [1_000, PAUSE_MS_MIN]);
    }
}
