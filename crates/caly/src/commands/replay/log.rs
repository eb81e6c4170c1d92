//! A past call, read from its input log.

use super::past::{Ending, Item, Past, Said, arrange};
use crate::rehearsal::{Refused, ToolAnswer, ToolAnswers, ToolAsked};
use call::log::{Line, Step};
use call::{Call, CallSetup, Effect, Effects, Input, Note, ToolOutput, WorkId};
use model::{EndedReason, ToolConfig, TranscriptTurn};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What is gathered while a log is read.
#[derive(Default)]
struct Reading {
    /// The last one of an index counts: an earlier one was taken back.
    turns: BTreeMap<u32, TranscriptTurn>,
    keys: Vec<(u64, char)>,
    asked: Vec<(WorkId, u64, ToolAsked)>,
    outcomes: BTreeMap<WorkId, (u64, Result<ToolOutput, String>)>,
    ended: Option<EndedReason>,
    ended_ms: u64,
}

/// Reads a log.
///
/// # Errors
/// The line that is not of this format.
pub(super) fn read(text: &str) -> Result<Past, Refused> {
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let setup = match lines.next().map(|(_, line)| serde_json::from_str(line)) {
        Some(Ok(Line::Setup { setup })) => *setup,
        Some(Ok(Line::Step(_)) | Err(_)) | None => {
            return Err(Refused("line 1 is not the setup of a call".to_owned()));
        }
    };
    // Only for what it collects; what it does now may differ from then, and is not compared here.
    let mut call = Call::new(setup.clone()).ok();
    let mut reading = Reading::default();
    for (index, line) in lines {
        let step: Step = serde_json::from_str(line).map_err(|error| Refused(format!("line {}: {error}", index + 1)))?;
        reading.take(&setup, &step);
        if let Some(call) = &mut call {
            call.handle(step.at, step.input, &mut Effects::new());
        }
    }
    let collected = call.map_or(Value::Null, |call| call.collected());
    Ok(reading.finish(setup, collected))
}

impl Reading {
    fn take(&mut self, setup: &CallSetup, step: &Step) {
        self.ended_ms = step.at.ms();
        match &step.input {
            Input::Dtmf { digit } => self.keys.push((step.at.ms(), *digit)),
            Input::ToolFinished { work, outcome } => {
                self.outcomes.insert(*work, (step.at.ms(), outcome.clone()));
            }
            Input::ThoughtTool { work, name, arguments, .. } if is_built_in(setup, name) => {
                let arguments: Map<String, Value> = serde_json::from_str(arguments).unwrap_or_default();
                let tool = ToolAsked { name: name.clone(), arguments, outcome: Some(Ok(String::new())) };
                self.asked.push((*work, step.at.ms(), tool));
            }
            Input::Connected
            | Input::Voice(_)
            | Input::Partial { .. }
            | Input::Heard { .. }
            | Input::TranscribeFailed { .. }
            | Input::TurnScored { .. }
            | Input::TurnScoreFailed { .. }
            | Input::ThoughtText { .. }
            | Input::ThoughtTool { .. }
            | Input::ThoughtUsed { .. }
            | Input::ThoughtDone { .. }
            | Input::ThinkFailed { .. }
            | Input::UtteranceEnded { .. }
            | Input::LanguageHeard { .. }
            | Input::SpeechStarted { .. }
            | Input::SpeechSynthesized { .. }
            | Input::SpeechFailed { .. }
            | Input::Played { .. }
            | Input::PlaybackCleared { .. }
            | Input::Command(_)
            | Input::CallerLeft { .. }
            | Input::Tick => {}
        }
        for effect in &step.effects {
            if let Effect::Note(Note::Turn(turn)) = effect {
                self.turns.insert(turn.index, turn.clone());
            }
            if let Effect::RunTool { work, name, arguments } = effect {
                let tool = ToolAsked { name: name.clone(), arguments: arguments.clone(), outcome: None };
                self.asked.push((*work, step.at.ms(), tool));
            }
            if let Effect::HangUp { reason } = effect {
                self.ended = Some(*reason);
            }
        }
    }

    fn finish(self, setup: CallSetup, collected: Value) -> Past {
        let mut answers = ToolAnswers::default();
        let mut items: Vec<Item> = self.turns.into_values().map(Item::of_turn).collect();
        for (at_ms, key) in self.keys {
            items.push(Item { at_ms, over_ms: at_ms, said: Said::Keys(key.to_string()) });
        }
        for (work, at_ms, mut tool) in self.asked {
            if let Some((done_ms, outcome)) = self.outcomes.get(&work) {
                let after_ms = done_ms.saturating_sub(at_ms);
                let answer = match outcome {
                    Ok(output) => ToolAnswer { recorded: Some(output.clone()), after_ms, ..ToolAnswer::default() },
                    Err(why) => ToolAnswer { fails: Some(why.clone()), after_ms, ..ToolAnswer::default() },
                };
                answers.add(&tool.name, Some(tool.arguments.clone()), answer);
                tool.outcome = Some(outcome.clone().map(|output| output.text));
            }
            items.push(Item { at_ms, over_ms: at_ms, said: Said::Tool(tool) });
        }
        let ending = Ending { collected, reason: self.ended, at_ms: self.ended_ms };
        let (seen, script) = arrange(items, ending);
        Past { setup, answers, seen, script }
    }
}

fn is_built_in(setup: &CallSetup, name: &str) -> bool {
    match setup.agent.tools.get(name) {
        Some(
            ToolConfig::EndCall(_)
            | ToolConfig::TransferCall(_)
            | ToolConfig::SendDtmf(_)
            | ToolConfig::CollectDtmf(_)
            | ToolConfig::Voicemail(_),
        ) => true,
        Some(ToolConfig::Record | ToolConfig::Http(_) | ToolConfig::Mcp(_)) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rehearsal::{CallerTurn, tools_asked};
    use model::TurnRole;
    use serde_json::json;

    fn turn(index: u32, role: TurnRole, text: &str, at: u64) -> Effect {
        Effect::Note(Note::Turn(TranscriptTurn {
            index,
            role,
            text: text.to_owned(),
            intended: None,
            interrupted: false,
            started_ms: at,
            ended_ms: at + 500,
            latency: None,
        }))
    }

    fn log(steps: Vec<(u64, Input, Vec<Effect>)>) -> String {
        let flow = "name = 'x'\n[[step]]\nid = 'a'\nhang_up = 'Bye.'\n";
        let setup = json!({"setup": {"agent": {"brain": {"kind": "flow", "text": flow}},
            "local_time": "2026-11-24T10:00:00", "caller_number": null}});
        let steps = steps.into_iter().map(|(at, input, effects)| {
            serde_json::to_string(&Step { at: model::CallTime(at), input, effects }).expect("JSON")
        });
        std::iter::once(setup.to_string()).chain(steps).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn turns_keys_and_tools_are_found() {
        let arguments = Map::from_iter([("day".to_owned(), Value::from("x"))]);
        let work = WorkId(9);
        let outcome = Ok(ToolOutput { text: "done".to_owned(), ..ToolOutput::default() });
        let text = log(vec![
            (600, Input::Tick, vec![turn(0, TurnRole::Agent, "Hello.", 100)]),
            (1_600, Input::Tick, vec![turn(1, TurnRole::Caller, "Tues", 1_000)]),
            // The caller had gone on: the turn replaces the one before.
            (2_000, Input::Tick, vec![turn(1, TurnRole::Caller, "Tuesday, please.", 1_000)]),
            (2_100, Input::Tick, vec![Effect::RunTool { work, name: "book".to_owned(), arguments: arguments.clone() }]),
            (2_900, Input::ToolFinished { work, outcome }, vec![turn(2, TurnRole::Agent, "Booked.", 3_000)]),
            (5_000, Input::Dtmf { digit: '1' }, vec![]),
            (5_200, Input::Dtmf { digit: '#' }, vec![Effect::HangUp { reason: EndedReason::AgentCompleted }]),
        ]);
        let mut past = read(&text).expect("a log");
        assert_eq!(past.seen.ended, Some(EndedReason::AgentCompleted));
        let said: Vec<Option<&str>> = past.script.iter().map(|turn| turn.says.as_deref()).collect();
        assert_eq!(said, [Some("Tuesday, please."), None]);
        assert_eq!(past.script[1], CallerTurn { keys: "1#".to_owned(), pause_ms: 1_500, ..CallerTurn::default() });
        assert_eq!(tools_asked(past.seen.of_turn(0)).count(), 1);
        let answer = past.answers.next(&past.setup.agent, "book", &arguments).expect("it was recorded");
        assert_eq!((answer.after_ms, answer.outcome().expect("it worked").text), (800, "done".to_owned()));
    }

    #[test]
    fn what_is_no_log_is_told_with_its_line() {
        for (text, want) in [
            (String::new(), "line 1 is not the setup"),
            ("hello".to_owned(), "line 1 is not the setup"),
            (format!("{}\n\nhello", log(Vec::new())), "line 3: "),
        ] {
            let Err(Refused(why)) = read(&text) else { panic!("{text}") };
            assert!(why.contains(want), "{text}: {why}");
        }
    }
}
