//! Tools a flow can run.

use super::Session;
use call::{Input, WorkId};
use model::ToolConfig;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Characters of a reference that is read aloud. Without letters and digits that sound or look alike.
const REFERENCE_CHARS: &[u8; 20] = b"23456789ACEFHJKLMPRT";
/// Length of a reference: 20^4 = 160 000 for the calls of one business, whose other details tell them apart.
const REFERENCE_LENGTH: usize = 4;

/// Runs a tool. Its outcome reaches the call as an input.
pub(super) fn run(session: &mut Session, work: WorkId, name: &str, arguments: &BTreeMap<String, String>) {
    let outcome = match session.grant.agent.tools.get(name) {
        Some(ToolConfig::Record) => {
            let reference = reference(session.grant.call, name);
            let mut kept = serde_json::Map::new();
            for (key, value) in arguments {
                kept.insert(key.clone(), serde_json::Value::String(value.clone()));
            }
            kept.insert("reference".to_owned(), serde_json::Value::String(reference.clone()));
            session.collected.insert(name.to_owned(), serde_json::Value::Object(kept));
            Ok(BTreeMap::from([("reference".to_owned(), reference)]))
        }
        None => {
            tracing::warn!(call.id = %session.grant.call, tool = name, "the flow names a tool the agent does not have");
            Err(format!("the agent has no tool «{name}»"))
        }
    };
    session.inputs.push_back(Input::ToolFinished { work, outcome });
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

    #[test]
    fn references_are_stable_and_short() {
        let call = model::CallId(uuid_of(7));
        assert_eq!(reference(call, "book_visit"), reference(call, "book_visit"));
        assert_eq!(reference(call, "book_visit").len(), REFERENCE_LENGTH);
        assert_ne!(reference(call, "book_visit"), reference(model::CallId(uuid_of(8)), "book_visit"));
    }

    fn uuid_of(n: u128) -> uuid::Uuid {
        uuid::Uuid::from_u128(n)
    }
}
