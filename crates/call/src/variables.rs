//! What a call knows before it begins: `{{name}}` in an agent's texts, `{call.name}` in a flow's.

use model::{AgentConfig, Brain, ToolConfig};
use std::collections::BTreeMap;

/// Values by name, as text.
pub type Variables = BTreeMap<String, String>;

/// Replaces `{{name}}` by its value; a name without one vanishes. What a value holds is not looked at again.
#[must_use]
pub fn fill(template: &str, variables: &Variables) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((head, tail)) = rest.split_once("{{") {
        let Some((name, after)) = tail.split_once("}}") else { break };
        out.push_str(head);
        out.push_str(variables.get(name.trim()).map_or("", String::as_str));
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Fills the texts of an agent that are written by people: its greeting and what its model is told. A flow takes
/// variables by its own names, when it speaks.
pub fn fill_agent(agent: &mut AgentConfig, variables: &Variables) {
    if let Some(greeting) = &mut agent.greeting {
        *greeting = fill(greeting, variables);
    }
    for text in [&mut agent.notice, &mut agent.voicemail.message, &mut agent.silence.goodbye].into_iter().flatten() {
        *text = fill(text, variables);
    }
    for text in agent.silence.reminders.iter_mut().chain(&mut agent.turn_taking.fillers) {
        *text = fill(text, variables);
    }
    for tool in agent.tools.values_mut() {
        let said = match tool {
            ToolConfig::Http(tool) => &mut tool.say,
            ToolConfig::Mcp(tool) => &mut tool.say,
            ToolConfig::EndCall(tool) => &mut tool.say,
            ToolConfig::TransferCall(tool) => &mut tool.say,
            ToolConfig::CollectDtmf(tool) => &mut tool.say,
            ToolConfig::Voicemail(tool) => &mut tool.message,
            ToolConfig::Record | ToolConfig::SendDtmf(_) => continue,
        };
        if let Some(text) = said {
            *text = fill(text, variables);
        }
    }
    match &mut agent.brain {
        Brain::LanguageModel(model) => model.system_prompt = fill(&model.system_prompt, variables),
        Brain::SpeechModel(model) => model.system_prompt = fill(&model.system_prompt, variables),
        Brain::Flow { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_double_braces_are_replaced() {
        let variables = Variables::from([("name".into(), "Asha".into()), ("trick".into(), "{{name}}".into())]);
        for (template, want) in [
            ("Hello {{name}}, {{ name }}!", "Hello Asha, Asha!"),
            ("{{nobody}}.", "."),
            ("{{trick}}", "{{name}}"),
            ("{name} {{name", "{name} {{name"),
            ("{{}}}}", "}}"),
            ("नमस्ते {{name}}", "नमस्ते Asha"),
            ("", ""),
        ] {
            assert_eq!(fill(template, &variables), want, "{template}");
        }
    }
}
