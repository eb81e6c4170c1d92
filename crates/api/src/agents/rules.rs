//! What the schema of an agent's configuration cannot say.

use crate::{App, FieldFault, Problem};
use model::limits::AGENT_CONFIG_BYTES_MAX;
use model::{AgentConfig, Brain};
use url::Url;

/// Whether an agent can be like this. Tells everything that is wrong at once.
///
/// # Errors
/// [`Problem::fields`].
pub(super) fn check(app: &App, config: &AgentConfig) -> Result<(), Problem> {
    let mut faults = own(config);
    if let Err(more) = (app.check_agent)(config) {
        faults.extend(more);
    }
    if faults.is_empty() {
        return Ok(());
    }
    for fault in &mut faults {
        fault.field = match fault.field.as_str() {
            "" => "config".to_owned(),
            inside => format!("config.{inside}"),
        };
    }
    Err(Problem::fields(faults))
}

fn own(config: &AgentConfig) -> Vec<FieldFault> {
    let mut faults = Vec::new();
    let mut fault = |field: &str, message: String| faults.push(FieldFault { field: field.to_owned(), message });
    if serde_json::to_vec(config).map_or(true, |json| json.len() > AGENT_CONFIG_BYTES_MAX) {
        fault("", format!("may have at most {AGENT_CONFIG_BYTES_MAX} bytes as JSON"));
    }
    if config.turn_taking.pause_long_ms < config.turn_taking.pause_short_ms {
        fault("turn_taking.pause_long_ms", "must be at least pause_short_ms".to_owned());
    }
    match &config.brain {
        // Whoever sees the agent would see the password.
        Brain::LanguageModel(model) if has_credentials(&model.base_url) => {
            fault("brain.base_url", "may not have a name or password in it".to_owned());
        }
        Brain::LanguageModel(_) | Brain::SpeechModel(_) | Brain::Flow { .. } => {}
    }
    faults
}

fn has_credentials(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| !url.username().is_empty() || url.password().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_contradicts_itself_is_found() {
        let mut config: AgentConfig = serde_json::from_value(json!({
            "brain": { "kind": "language-model", "base_url": "https://a:b@x.org/v1", "model": "m", "system_prompt": "" },
            "turn_taking": { "pause_short_ms": 900, "pause_long_ms": 899 },
        }))
        .expect("a configuration");
        let fields = |config: &AgentConfig| own(config).into_iter().map(|fault| fault.field).collect::<Vec<_>>();
        assert_eq!(fields(&config), ["turn_taking.pause_long_ms", "brain.base_url"]);
        config.turn_taking.pause_long_ms = 900;
        config.brain = Brain::Flow { text: "\n".repeat(AGENT_CONFIG_BYTES_MAX / 2) };
        assert_eq!(fields(&config), [""], "a line end has two characters in JSON");
        config.brain = Brain::Flow { text: "\n".repeat(AGENT_CONFIG_BYTES_MAX / 4) };
        assert!(fields(&config).is_empty());
    }
}
