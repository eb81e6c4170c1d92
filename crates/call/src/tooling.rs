//! Tools that a language model asks for: run one after the other, each with its limits, then the model is asked again.
//!
//! What a model may do is fixed by the agent's configuration, never by what was said: a name that the agent does not have
//! is refused, numbers to transfer to are chosen by name, and a model that goes round in circles is stopped.

use crate::effect::{Machine, ToolCall};
use crate::mind::{Busy, Collecting};
use crate::timing::{
    GOODBYE_MS, KEYS_PAUSE_MS, KEYS_SENT_MAX, TOOL_DEADLINE_MS, TOOL_RESULT_BYTES_MAX, TOOL_ROUNDS_MAX,
    TOOLS_PER_CALL_MAX, TOOLS_PER_ROUND_MAX,
};
use crate::{Call, Closing, Effect, Effects, Message, Note, Stage, ToolOutput, WorkId};
use model::{CollectDtmfTool, EndCallTool, EndedReason, ToolConfig, TransferTool, VoicemailTool};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, VecDeque};

/// Tools of one answer of the model.
#[derive(Debug)]
pub(crate) struct Round {
    waiting: VecDeque<ToolCall>,
    current: Option<ToolCall>,
    done: Vec<(ToolCall, String)>,
    /// The agent said something in the same answer.
    said: bool,
    /// It waits for digits: what was said is complete.
    types: bool,
}

/// What tools have come to.
#[derive(Debug, Default)]
pub(crate) struct Tooling {
    pub(crate) round: Option<Round>,
    /// Rounds since the caller's last turn.
    rounds: u32,
    /// Tools run in this call.
    run: u32,
    /// What the same request gave earlier in this answer.
    given: BTreeMap<(String, String), String>,
}

impl Tooling {
    /// A tool of a model's answer runs, and its result is waited for.
    pub(crate) fn is_running(&self) -> bool {
        self.round.as_ref().is_some_and(|round| round.current.is_some() && !round.types)
    }

    /// The caller has said something new.
    pub(crate) fn new_turn(&mut self) {
        self.rounds = 0;
        self.given.clear();
    }
}

impl Call {
    pub(crate) fn thought_tool(&mut self, work: WorkId, call: ToolCall) {
        if let Some(Busy::Thinking(thinking)) = &mut self.mind.busy
            && thinking.work == work
            && thinking.asked.len() < TOOLS_PER_ROUND_MAX
        {
            thinking.due = self.now + crate::timing::THINK_IDLE_MS;
            thinking.asked.push(call);
        }
    }

    /// The model's answer is complete and asks for tools.
    pub(crate) fn begin_round(&mut self, asked: Vec<ToolCall>, said: bool, effects: &mut Effects) {
        // What tools do cannot be taken back, so neither can the turn.
        self.last_caller_turn = None;
        if self.tooling.rounds >= TOOL_ROUNDS_MAX {
            effects.push(Effect::Note(Note::StageFailed { stage: Stage::Tool }));
            self.thinking_failed(effects);
            return;
        }
        self.tooling.rounds += 1;
        let (last, first): (Vec<ToolCall>, Vec<ToolCall>) =
            asked.into_iter().partition(|call| self.ends_the_call(call));
        let waiting = first.into_iter().chain(last).collect();
        self.tooling.round = Some(Round { waiting, current: None, done: Vec::new(), said, types: false });
        self.next_tool(effects);
    }

    fn next_tool(&mut self, effects: &mut Effects) {
        loop {
            if self.closing != Closing::Open {
                self.tooling.round = None;
                return;
            }
            let Some(round) = &mut self.tooling.round else { return };
            let Some(call) = round.waiting.pop_front() else { break };
            round.current = Some(call.clone());
            match self.begin_tool(&call, effects) {
                Begun::Waits => return,
                Begun::Ends => {
                    self.tooling.round = None;
                    return;
                }
                Begun::Done(text) => self.keep_result(text, true),
            }
        }
        self.end_round(effects);
    }

    /// `again`: the same request may be made again for this answer.
    fn keep_result(&mut self, mut text: String, again: bool) {
        text.truncate(text.floor_char_boundary(TOOL_RESULT_BYTES_MAX));
        if let Some(round) = &mut self.tooling.round
            && let Some(call) = round.current.take()
        {
            if !again {
                self.tooling.given.insert((call.name.clone(), call.arguments.clone()), text.clone());
            }
            round.done.push((call, text));
        }
    }

    /// All tools of the answer have run: the caller's next words, or the model.
    fn end_round(&mut self, effects: &mut Effects) {
        let Some(round) = self.tooling.round.take() else { return };
        self.mind.tools_ran(&round.done);
        self.interrupted_rest.clear();
        if self.pending_turn.is_some() {
            if self.mouth.is_busy() {
                // Said while the tool ran, and answered once the agent is silent.
                return;
            }
            self.after_playback(effects);
            return;
        }
        let mut messages = self.mind.messages();
        self.tell_what_was_said(&mut messages);
        self.ask(messages, effects);
    }

    /// The turn is not over, so what the agent said in it is not kept yet; the model is to know it.
    fn tell_what_was_said(&self, messages: &mut [Message]) {
        let said = self.mouth.words_so_far();
        let last = messages.iter_mut().rev().find(|message| matches!(message, Message::Agent { .. }));
        if let Some(Message::Agent { text, tool_calls }) = last
            && !tool_calls.is_empty()
        {
            *text = said;
        }
    }

    fn begin_tool(&mut self, call: &ToolCall, effects: &mut Effects) -> Begun {
        let key = (call.name.clone(), call.arguments.clone());
        if let Some(earlier) = self.tooling.given.get(&key) {
            return Begun::Done(format!("This was already done for this answer and gave: {earlier}"));
        }
        if self.tooling.run >= TOOLS_PER_CALL_MAX {
            return Begun::Done("error: this call has used all the tools it may use; answer without them".to_owned());
        }
        let Some(arguments) = object(&call.arguments) else {
            return Begun::Done("error: the arguments are not a JSON object".to_owned());
        };
        self.tooling.run += 1;
        effects.push(Effect::Note(Note::ToolStarted { name: call.name.clone() }));
        match self.setup.agent.tools.get(&call.name).cloned() {
            Some(ToolConfig::EndCall(tool)) => self.end_call(&tool, effects),
            Some(ToolConfig::TransferCall(tool)) => self.transfer_call(&tool, &arguments, effects),
            Some(ToolConfig::SendDtmf(_)) => self.send_keys(&arguments, effects),
            Some(ToolConfig::CollectDtmf(tool)) => self.collect_keys(&tool, effects),
            Some(ToolConfig::Voicemail(tool)) => self.leave_message(&tool, effects),
            Some(ToolConfig::Http(tool)) => self.run_tool(&call.name, arguments, tool.say.as_deref(), effects),
            Some(ToolConfig::Mcp(server)) => self.run_tool(&call.name, arguments, server.say.as_deref(), effects),
            Some(ToolConfig::Record) => self.run_tool(&call.name, arguments, None, effects),
            None => {
                let server = self.server_of(&call.name);
                self.run_tool(&call.name, arguments, server.as_deref(), effects)
            }
        }
    }

    /// What the server of a tool says meanwhile. Its tools are named `SERVER_TOOL`; whether there is such a tool, the
    /// shell knows.
    fn server_of(&self, name: &str) -> Option<String> {
        self.setup.agent.tools.iter().find_map(|(server, config)| match config {
            ToolConfig::Mcp(mcp) if name.strip_prefix(server.as_str()).is_some_and(|rest| rest.starts_with('_')) => {
                mcp.say.clone()
            }
            ToolConfig::Mcp(_)
            | ToolConfig::Record
            | ToolConfig::Http(_)
            | ToolConfig::EndCall(_)
            | ToolConfig::TransferCall(_)
            | ToolConfig::SendDtmf(_)
            | ToolConfig::CollectDtmf(_)
            | ToolConfig::Voicemail(_) => None,
        })
    }

    /// What such a tool does comes after what the others do.
    fn ends_the_call(&self, call: &ToolCall) -> bool {
        matches!(
            self.setup.agent.tools.get(&call.name),
            Some(ToolConfig::EndCall(_) | ToolConfig::TransferCall(_) | ToolConfig::Voicemail(_))
        )
    }

    fn run_tool(
        &mut self,
        name: &str,
        arguments: Map<String, Value>,
        say: Option<&str>,
        effects: &mut Effects,
    ) -> Begun {
        self.say_unless_said(say, effects);
        let work = self.work();
        self.mind.busy = Some(Busy::Tool { work, due: self.now + TOOL_DEADLINE_MS });
        effects.push(Effect::RunTool { work, name: name.to_owned(), arguments });
        Begun::Waits
    }

    /// Nothing is said over what the model has said itself.
    fn say_unless_said(&mut self, words: Option<&str>, effects: &mut Effects) {
        let Some(round) = &mut self.tooling.round else { return };
        if let Some(words) = words
            && !std::mem::replace(&mut round.said, true)
        {
            self.speak(words, true, effects);
        }
    }

    fn end_call(&mut self, tool: &EndCallTool, effects: &mut Effects) -> Begun {
        effects.push(Effect::Note(Note::ToolFinished { succeeded: true }));
        let words = tool.say.clone().unwrap_or_else(|| self.mind.phrases.goodbye.to_owned());
        self.say_unless_said(Some(&words), effects);
        self.close_after_speech(EndedReason::AgentCompleted, None, GOODBYE_MS, !self.mouth.is_busy());
        Begun::Ends
    }

    fn transfer_call(&mut self, tool: &TransferTool, arguments: &Map<String, Value>, effects: &mut Effects) -> Begun {
        let name = arguments.get("to").and_then(Value::as_str).unwrap_or_default();
        let only = (tool.destinations.len() == 1 && name.is_empty()).then(|| &tool.destinations[0]);
        let to = only.or_else(|| tool.destinations.iter().find(|destination| destination.name == name));
        let possible = self.setup.can_transfer && to.is_some();
        effects.push(Effect::Note(Note::ToolFinished { succeeded: possible }));
        let Some(to) = to.filter(|_| possible) else {
            return Begun::Done(if self.setup.can_transfer {
                let names: Vec<&str> = tool.destinations.iter().map(|to| to.name.as_str()).collect();
                format!("error: nobody of this name can be reached; choose one of: {}", names.join(", "))
            } else {
                "error: this line cannot hand over calls; offer to take a message".to_owned()
            });
        };
        let words = tool.say.clone().unwrap_or_else(|| self.mind.phrases.transfer.to_owned());
        self.say_unless_said(Some(&words), effects);
        let number = Some(to.number.clone());
        self.close_after_speech(EndedReason::AgentTransferred, number, GOODBYE_MS, !self.mouth.is_busy());
        Begun::Ends
    }

    fn send_keys(&mut self, arguments: &Map<String, Value>, effects: &mut Effects) -> Begun {
        let keys = arguments.get("digits").and_then(Value::as_str).unwrap_or_default();
        let good = !keys.is_empty()
            && keys.len() <= KEYS_SENT_MAX
            && keys.chars().all(|key| key.is_ascii_digit() || matches!(key, '*' | '#' | 'w'));
        effects.push(Effect::Note(Note::ToolFinished { succeeded: good }));
        if !good {
            return Begun::Done(format!("error: digits must be 1 to {KEYS_SENT_MAX} of 0-9, *, # or w"));
        }
        let speech = self.push_sentence("", false, true);
        effects.push(Effect::PlayKeys { speech, keys: keys.to_owned() });
        Begun::Done("pressed".to_owned())
    }

    fn collect_keys(&mut self, tool: &CollectDtmfTool, effects: &mut Effects) -> Begun {
        let words = tool.say.clone().unwrap_or_else(|| self.mind.phrases.keys.to_owned());
        self.say_unless_said(Some(&words), effects);
        self.keys.clear();
        if let Some(round) = &mut self.tooling.round {
            round.types = true;
        }
        self.mind.busy = Some(Busy::Keys(Collecting {
            digits: String::new(),
            digits_max: usize::try_from(tool.digits_max).unwrap_or(1).clamp(1, crate::timing::KEYS_MAX),
            finish_key: tool.finish_key,
            timeout_ms: tool.timeout_ms,
            due: self.now + tool.timeout_ms + GOODBYE_MS,
        }));
        self.keys_wait_from_now();
        Begun::Waits
    }

    /// The caller has typed what was asked for, or nothing more.
    pub(crate) fn keys_collected(&mut self, digits: String, effects: &mut Effects) {
        self.mind.busy = None;
        if let Some(round) = &mut self.tooling.round {
            round.types = false;
        }
        let typed = !digits.is_empty();
        if typed {
            // The caller has done something: the model starts counting anew.
            self.tooling.new_turn();
            self.fillers = 0;
            self.keys.rest_until(self.now + KEYS_PAUSE_MS);
        }
        effects.push(Effect::Note(Note::ToolFinished { succeeded: typed }));
        let told = if typed {
            serde_json::json!({ "digits": digits }).to_string()
        } else {
            "error: the caller typed nothing".to_owned()
        };
        self.keep_result(told, true);
        self.next_tool(effects);
    }

    fn leave_message(&mut self, tool: &VoicemailTool, effects: &mut Effects) -> Begun {
        effects.push(Effect::Note(Note::ToolFinished { succeeded: true }));
        effects.push(Effect::Note(Note::AnsweredByMachine { what: Machine::Voicemail }));
        let message = tool.message.clone().or_else(|| self.setup.agent.voicemail.message.clone());
        let within_ms = message.as_deref().map_or(GOODBYE_MS, crate::ending::saying_ms);
        if let Some(message) = message.filter(|message| !message.trim().is_empty()) {
            self.wait_for_the_beep(effects);
            self.speak(&message, false, effects);
        }
        self.close_after_speech(EndedReason::AgentVoicemail, None, within_ms, !self.mouth.is_busy());
        Begun::Ends
    }

    pub(crate) fn tool_finished(&mut self, work: WorkId, outcome: Result<ToolOutput, String>, effects: &mut Effects) {
        if matches!(&self.mind.busy, Some(Busy::Tool { work: current, .. }) if *current == work) {
            self.mind.busy = None;
            self.tool_ended(outcome, effects);
        }
    }

    /// A tool has answered, or has not in time.
    pub(crate) fn tool_ended(&mut self, outcome: Result<ToolOutput, String>, effects: &mut Effects) {
        effects.push(Effect::Note(Note::ToolFinished { succeeded: outcome.is_ok() }));
        // The wait goes on, but what comes next is another one.
        if self.mind.is_model() {
            let failed = outcome.is_err();
            self.keep_result(outcome.map_or_else(|error| format!("error: {error}"), |output| output.text), failed);
            self.next_tool(effects);
        } else {
            self.flow_tool_finished(outcome, effects);
        }
    }
}

/// What came of a tool.
enum Begun {
    /// Its result comes later.
    Waits,
    /// This is its result.
    Done(String),
    /// The call ends with it.
    Ends,
}

/// Models write nothing at all when a tool wants no arguments.
fn object(arguments: &str) -> Option<Map<String, Value>> {
    if arguments.trim().is_empty() {
        return Some(Map::new());
    }
    serde_json::from_str(arguments).ok()
}
