//! Tools that reach beyond the call: what is kept with it, web services, servers of tools.

use super::Session;
use super::work::WorkEvent;
use call::{Input, ToolOutput, WorkId};
use model::ToolConfig;
use providers::tools::{self, Toolbox};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Characters of a reference that is read aloud. Without letters and digits that sound or look alike.
const REFERENCE_CHARS: &[u8; 20] = b"23456789ACEFHJKLMPRT";
/// Length of a reference: 20^4 = 160 000 for the calls of one business, whose other details tell them apart.
const REFERENCE_LENGTH: usize = 4;

/// Who runs a tool.
#[derive(Debug, PartialEq, Eq)]
enum Runner {
    /// The session: what it is given is kept with the call.
    Record,
    /// The toolbox.
    Toolbox,
    /// Nobody: the agent does not have it, or the call runs it itself.
    Nobody,
}

/// Who runs the tool of this name. A model may make names up; `offered` are those of servers of tools.
fn runner(tools: &BTreeMap<String, ToolConfig>, name: &str, offered: impl FnOnce(&str) -> bool) -> Runner {
    match tools.get(name) {
        Some(ToolConfig::Record) => Runner::Record,
        Some(ToolConfig::Http(_)) => Runner::Toolbox,
        Some(
            ToolConfig::Mcp(_)
            | ToolConfig::EndCall(_)
            | ToolConfig::TransferCall(_)
            | ToolConfig::SendDtmf(_)
            | ToolConfig::CollectDtmf(_)
            | ToolConfig::Voicemail(_),
        ) => Runner::Nobody,
        None if offered(name) => Runner::Toolbox,
        None => Runner::Nobody,
    }
}

impl Session {
    /// Runs a tool. Its outcome reaches the call as an input. What has begun is not undone by an interruption: only the
    /// end of the call ends it.
    pub(super) fn run_tool(&mut self, work: WorkId, name: &str, arguments: Map<String, Value>) {
        let offered = |name: &str| offers(self.toolbox.as_ref(), name);
        match (runner(&self.grant.agent.tools, name, offered), &self.toolbox) {
            (Runner::Record, _) => {
                let (kept, output) = record(self.grant.call, name, arguments);
                self.collected.insert(name.to_owned(), Value::Object(kept));
                self.inputs.push_back(Input::ToolFinished { work, outcome: Ok(output) });
            }
            (Runner::Toolbox, Some(toolbox)) => {
                let running = toolbox.run(name, arguments);
                self.work.start_unnamed(move |events| async move {
                    let outcome = running.await;
                    // The call is gone: nobody asks any more.
                    let _ = events.send(WorkEvent::Tool { work, outcome }).await;
                });
            }
            (Runner::Toolbox | Runner::Nobody, _) => {
                tracing::warn!(call.id = %self.grant.call, "a tool was asked for that the agent does not have");
                let outcome = Err(format!("there is no tool «{name}»"));
                self.inputs.push_back(Input::ToolFinished { work, outcome });
            }
        }
    }

    pub(super) fn tool_done(&mut self, work: WorkId, outcome: Result<tools::ToolOutput, tools::ToolError>) {
        let outcome = match outcome {
            Ok(tools::ToolOutput { text, values }) => Ok(ToolOutput { text, values }),
            Err(error) => {
                tracing::info!(call.id = %self.grant.call, error = %error, "a tool failed");
                Err(error.to_string())
            }
        };
        self.input(Input::ToolFinished { work, outcome });
    }
}

fn offers(toolbox: Option<&Toolbox>, name: &str) -> bool {
    toolbox.is_some_and(|toolbox| toolbox.specs().iter().any(|spec| spec.name == name))
}

/// What is kept, and what is told of it.
fn record(call: model::CallId, name: &str, arguments: Map<String, Value>) -> (Map<String, Value>, ToolOutput) {
    let reference = reference(call, name);
    let mut kept = arguments;
    kept.insert("reference".to_owned(), Value::String(reference.clone()));
    let text = format!("Kept. The reference is {reference}.");
    (kept, ToolOutput { text, values: BTreeMap::from([("reference".to_owned(), reference)]) })
}

/// A short reference for what was kept: the same for the same call and tool.
fn reference(call: model::CallId, tool: &str) -> String {
    let digest = Sha256::new().chain_update(call.0.as_bytes()).chain_update(tool.as_bytes()).finalize();
    digest
        .iter()
        .take(REFERENCE_LENGTH)
        .map(|byte| char::from(REFERENCE_CHARS[usize::from(*byte) % REFERENCE_CHARS.len()]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{EndCallTool, SendDtmfTool};

    #[test]
    fn references_are_stable_and_short() {
        let call = model::CallId(uuid_of(7));
        assert_eq!(reference(call, "book_visit"), reference(call, "book_visit"));
        assert_eq!(reference(call, "book_visit").len(), REFERENCE_LENGTH);
        assert_ne!(reference(call, "book_visit"), reference(model::CallId(uuid_of(8)), "book_visit"));
    }

    #[test]
    fn what_is_kept_is_what_was_given_and_its_reference() {
        let given = serde_json::json!({"name": "Asha", "guests": 2, "reference": "made up"});
        let Value::Object(given) = given else { panic!("an object") };
        let (kept, output) = record(model::CallId(uuid_of(7)), "book", given);
        let reference = &output.values["reference"];
        assert_eq!(Value::Object(kept), serde_json::json!({"name": "Asha", "guests": 2, "reference": reference}));
        assert!(output.text.contains(reference.as_str()));
    }

    #[test]
    fn only_what_the_agent_has_ever_runs() {
        let http = serde_json::json!({"kind": "http", "description": "Slots", "url": "https://example.org/slots"});
        let server = serde_json::json!({"kind": "mcp", "url": "https://example.org/mcp"});
        let tools = BTreeMap::from([
            ("keep".to_owned(), ToolConfig::Record),
            ("slots".to_owned(), serde_json::from_value(http).expect("a tool")),
            ("clinic".to_owned(), serde_json::from_value(server).expect("a tool")),
            ("bye".to_owned(), ToolConfig::EndCall(EndCallTool::default())),
            ("keys".to_owned(), ToolConfig::SendDtmf(SendDtmfTool::default())),
        ]);
        let offered = |name: &str| name == "clinic_find";
        for (name, want) in [
            ("keep", Runner::Record),
            ("slots", Runner::Toolbox),
            ("clinic_find", Runner::Toolbox),
            ("clinic_delete", Runner::Nobody),
            ("clinic", Runner::Nobody),
            ("bye", Runner::Nobody),
            ("keys", Runner::Nobody),
            ("KEEP", Runner::Nobody),
            ("", Runner::Nobody),
        ] {
            assert_eq!(runner(&tools, name, offered), want, "{name}");
        }
        assert_eq!(runner(&tools, "slots2", |_| false), Runner::Nobody);
    }

    fn uuid_of(n: u128) -> uuid::Uuid {
        uuid::Uuid::from_u128(n)
    }
}
