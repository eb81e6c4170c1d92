//! The tools that every agent can have and the call runs itself: what a model is told of them. Their schemas are fixed.

use crate::language_model::ToolSpec;
use model::{ToolConfig, TransferTool};
use serde_json::{Value, json};

/// Longest list of destinations that stands in a description.
const DESTINATIONS_BYTES_MAX: usize = 4_000;

/// What a model is offered; `None` when it is no built-in tool.
pub(super) fn spec(name: &str, config: &ToolConfig) -> Option<ToolSpec> {
    let (description, parameters) = match config {
        ToolConfig::Record => (
            "Keeps what was collected in this call and gives back a reference to tell the caller. Use it once everything \
             is confirmed."
                .to_owned(),
            json!({"type": "object", "additionalProperties": {"type": "string", "maxLength": 2_000}, "maxProperties": 50}),
        ),
        ToolConfig::EndCall(tool) => {
            let usual = "Ends the call. Use it when the caller has said goodbye or wants nothing more; say goodbye first.";
            let reason = json!({"type": "string", "maxLength": 200, "description": "Why the call ends, in a few words."});
            (described(tool.description.as_ref(), usual), object(json!({"reason": reason}), &[]))
        }
        ToolConfig::TransferCall(tool) => transfer(tool),
        ToolConfig::SendDtmf(tool) => {
            let usual = "Presses keys, as on a telephone. Use it when a menu asks for them.";
            let digits = json!({"type": "string", "pattern": "^[0-9*#w]{1,32}$",
                "description": "The keys, one after the other: 0 to 9, * and #; w waits half a second."});
            (described(tool.description.as_ref(), usual), object(json!({"digits": digits}), &["digits"]))
        }
        ToolConfig::CollectDtmf(tool) => {
            let usual = "Lets the caller type digits on the telephone and gives them back. Use it for numbers that are hard to \
                         understand when spoken, or that should not be said aloud.";
            (described(tool.description.as_ref(), usual), object(json!({}), &[]))
        }
        ToolConfig::Voicemail(tool) => {
            let usual = "Leaves the prepared message and ends the call. Use it only when a machine has answered, not a person.";
            (described(tool.description.as_ref(), usual), object(json!({}), &[]))
        }
        ToolConfig::Http(_) | ToolConfig::Mcp(_) => return None,
    };
    Some(ToolSpec { name: name.to_owned(), description, parameters })
}

fn described(own: Option<&String>, usual: &str) -> String {
    own.map(|own| own.trim()).filter(|own| !own.is_empty()).unwrap_or(usual).to_owned()
}

fn object(properties: Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

/// A model sees names and what they are for, never a number.
fn transfer(tool: &TransferTool) -> (String, Value) {
    let usual = "Hands the caller to a person. Use it when the caller asks for one, or needs what you cannot do.";
    let mut description = described(tool.description.as_ref(), usual);
    let names: Vec<&str> = tool.destinations.iter().map(|destination| destination.name.as_str()).collect();
    let told: Vec<String> = tool
        .destinations
        .iter()
        .filter(|destination| !destination.description.trim().is_empty())
        .map(|destination| format!("{}: {}", destination.name, destination.description.trim()))
        .collect();
    if !told.is_empty() {
        let list = told.join("\n");
        description.push_str("\nWho can be reached:\n");
        description.push_str(&list[..list.floor_char_boundary(DESTINATIONS_BYTES_MAX)]);
    }
    let to = json!({"type": "string", "enum": names, "description": "Who to hand the caller to."});
    (description, object(json!({"to": to}), &["to"]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{CollectDtmfTool, EndCallTool, SendDtmfTool, TransferDestination, VoicemailTool};

    #[test]
    fn each_has_a_fixed_schema_that_lets_through_what_it_should() {
        let destination = |name: &str, description: &str| TransferDestination {
            name: name.to_owned(),
            description: description.to_owned(),
            number: "+918047184718".to_owned(),
        };
        let transfer = ToolConfig::TransferCall(TransferTool {
            description: Some("Only in an emergency.".to_owned()),
            destinations: vec![destination("billing", "invoices"), destination("desk", "")],
            say: None,
        });
        for (config, good, bad) in [
            (ToolConfig::Record, json!({"name": "Asha"}), json!({"name": {"first": "Asha"}})),
            (ToolConfig::EndCall(EndCallTool::default()), json!({"reason": "done"}), json!({"reason": 7})),
            (ToolConfig::EndCall(EndCallTool::default()), json!({}), json!({"x": "y"})),
            (transfer.clone(), json!({"to": "desk"}), json!({"to": "+918047184718"})),
            (transfer.clone(), json!({"to": "billing"}), json!({})),
            (ToolConfig::SendDtmf(SendDtmfTool::default()), json!({"digits": "1w#"}), json!({"digits": "12a"})),
            (ToolConfig::SendDtmf(SendDtmfTool::default()), json!({"digits": "0"}), json!({"digits": ""})),
            (ToolConfig::CollectDtmf(CollectDtmfTool::default()), json!({}), json!({"digits": "1"})),
            (ToolConfig::Voicemail(VoicemailTool::default()), json!({}), json!({"message": "x"})),
        ] {
            let spec = spec("named", &config).expect("built in");
            assert_eq!(spec.name, "named");
            assert!(!spec.description.is_empty());
            let validator = jsonschema::validator_for(&spec.parameters).expect("a schema");
            assert!(validator.is_valid(&good) && !validator.is_valid(&bad), "{good} {bad} {}", spec.parameters);
        }
        let spec = spec("transfer", &transfer).expect("built in");
        assert_eq!(spec.description, "Only in an emergency.\nWho can be reached:\nbilling: invoices");
        assert!(!spec.parameters.to_string().contains("+91"), "numbers are not the model's business");
    }
}
