//! What is wrong with an agent's tools that no schema of the API can say: told when the agent is kept.

use super::clients::key_name;
use super::http::is_reserved;
use super::names::offered;
use super::schema::Arguments;
use super::template::Template;
use crate::egress::Allowed;
use model::{E164, HttpMethod, HttpTool, McpServer, ToolConfig, TransferTool};
use std::collections::{BTreeMap, BTreeSet};
use url::Url;
use wire::destination;

/// Field and what is wrong with it, for people. Fields begin with `tools.`; empty = nothing is wrong. A name in an address is
/// not resolved here: that is done, and checked, at each request.
#[must_use]
pub fn check(tools: &BTreeMap<String, ToolConfig>, allowed: Allowed) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    let mut names: BTreeSet<String> = tools.keys().cloned().collect();
    for (name, config) in tools {
        let mut fault = |field: &str, message: String| faults.push((format!("tools.{name}{field}"), message));
        match config {
            ToolConfig::Http(tool) => check_http(tool, allowed, &mut fault),
            ToolConfig::Mcp(server) => check_mcp(name, server, allowed, &mut names, &mut fault),
            ToolConfig::TransferCall(tool) => check_transfer(tool, &mut fault),
            ToolConfig::Record
            | ToolConfig::EndCall(_)
            | ToolConfig::SendDtmf(_)
            | ToolConfig::CollectDtmf(_)
            | ToolConfig::Voicemail(_) => {}
        }
    }
    faults
}

fn check_http(tool: &HttpTool, allowed: Allowed, fault: &mut dyn FnMut(&str, String)) {
    let is_fixed = |name: &str| tool.fixed.contains_key(name);
    if let Err(said) = Arguments::new(tool.parameters.as_ref(), is_fixed) {
        fault(".parameters", said);
    }
    for name in tool.headers.keys().filter(|name| is_reserved(name)) {
        let said = if name.eq_ignore_ascii_case("authorization") {
            "may not be set: name a provider key in `key`"
        } else {
            "may not be set"
        };
        fault(&format!(".headers.{name}"), said.to_owned());
    }
    let template = match Template::parse(&tool.url, allowed) {
        Ok(template) => template,
        Err(said) => return fault(".url", said.to_string()),
    };
    // The host stands in front of whatever is filled in.
    check_key(&tool.key, &tool.url, fault);
    let properties = tool.parameters.as_ref().and_then(|schema| schema.get("properties")?.as_object());
    let is_known = |name: &str| is_fixed(name) || properties.is_some_and(|properties| properties.contains_key(name));
    for name in template.arguments().filter(|name| !is_known(name)) {
        fault(".url", format!("has {{{name}}}, which is neither in `parameters` nor in `fixed`"));
    }
    if matches!(tool.method, HttpMethod::Get | HttpMethod::Delete) {
        let used: Vec<&str> = template.arguments().collect();
        for name in template.query_names().iter().filter(|name| is_known(name) && !used.contains(&name.as_str())) {
            fault(".url", format!("sets {name} in its query, which is an argument as well"));
        }
    }
}

/// A key goes to the host that it is named after.
fn check_key(key: &str, url: &str, fault: &mut dyn FnMut(&str, String)) {
    if let Ok(url) = Url::parse(url)
        && !key.is_empty()
        && key != key_name(&url)
    {
        fault(".key", format!("must be the name of the host that it goes to: {}", key_name(&url)));
    }
}

fn check_mcp(
    server: &str,
    config: &McpServer,
    allowed: Allowed,
    names: &mut BTreeSet<String>,
    fault: &mut dyn FnMut(&str, String),
) {
    if let Err(refused) = destination::parse(&config.url, allowed) {
        fault(".url", refused.to_string());
    }
    check_key(&config.key, &config.url, fault);
    for (at, tool) in config.only.iter().enumerate() {
        let name = offered(server, tool, |_| false);
        if names.contains(&name) {
            fault(&format!(".only.{at}"), format!("would be offered as {name}, which another tool is called already"));
        }
        names.insert(name);
    }
}

fn check_transfer(tool: &TransferTool, fault: &mut dyn FnMut(&str, String)) {
    if tool.destinations.is_empty() {
        fault(".destinations", "must have at least one".to_owned());
    }
    let mut names = BTreeSet::new();
    for (at, destination) in tool.destinations.iter().enumerate() {
        if !names.insert(destination.name.as_str()) {
            fault(&format!(".destinations.{at}.name"), "stands there twice".to_owned());
        }
        // Nothing is guessed about where a caller is sent.
        let plain = destination.number.strip_prefix('+').is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()));
        if !plain || E164::parse(&destination.number).is_err() {
            fault(&format!(".destinations.{at}.number"), "must be a phone number: + and 8 to 15 digits".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn faults(tools: Value) -> Vec<(String, String)> {
        check(&serde_json::from_value(tools).expect("tools"), Allowed::PublicOnly)
    }

    fn http(more: Value) -> Value {
        let mut tool = json!({"kind": "http", "description": "x", "url": "https://c.example.org/a"});
        for (name, value) in more.as_object().expect("an object") {
            tool[name] = value.clone();
        }
        json!({"ask": tool})
    }

    #[test]
    fn tools_that_work_have_no_faults() {
        let fine = json!({
            "ask": {"kind": "http", "description": "x", "url": "https://c.example.org/{day}/{clinic}?v={{caller}}&k=1",
                "method": "GET", "parameters": {"type": "object", "properties": {"day": {"type": "string"}}},
                "fixed": {"clinic": "7"}, "headers": {"X-Team": "{{team}}", "Accept": "application/json"}},
            "crm": {"kind": "mcp", "url": "https://crm.example.org/mcp", "only": ["find", "save"]},
            "handover": {"kind": "transfer-call", "destinations": [{"name": "desk", "number": "+918047184718"}]},
            "end": {"kind": "end-call"}, "keys": {"kind": "send-dtmf"}, "pin": {"kind": "collect-dtmf"},
            "vm": {"kind": "voicemail"}, "keep": {"kind": "record"},
        });
        assert_eq!(faults(fine), []);
    }

    #[test]
    fn each_fault_names_its_field() {
        for (tools, field, said) in [
            (http(json!({"url": "ftp://c.example.org/"})), "tools.ask.url", "https://"),
            (http(json!({"url": "not an address"})), "tools.ask.url", "absolute address"),
            (http(json!({"url": "https://10.0.0.1/"})), "tools.ask.url", "public"),
            (http(json!({"url": "https://{{host}}/"})), "tools.ask.url", "after the host"),
            (http(json!({"url": "https://c.example.org/{day}"})), "tools.ask.url", "{day}"),
            (
                http(json!({"url": "https://c.example.org/?day=1", "method": "GET",
                    "parameters": {"properties": {"day": {}}}})),
                "tools.ask.url",
                "as well",
            ),
            (http(json!({"parameters": {"type": "array"}})), "tools.ask.parameters", "object"),
            (
                http(json!({"parameters": {"properties": {"a": {"type": "x"}}}})),
                "tools.ask.parameters",
                "no JSON schema",
            ),
            (http(json!({"parameters": {"$ref": "https://x.example/s"}})), "tools.ask.parameters", "own parts"),
            (http(json!({"key": "openai"})), "tools.ask.key", "must be the name of the host"),
            (http(json!({"headers": {"Authorization": "x"}})), "tools.ask.headers.Authorization", "key"),
            (http(json!({"headers": {"host": "x"}})), "tools.ask.headers.host", "may not"),
            (http(json!({"headers": {"Content-Length": "1"}})), "tools.ask.headers.Content-Length", "may not"),
            (http(json!({"headers": {"CONNECTION": "close"}})), "tools.ask.headers.CONNECTION", "may not"),
            (http(json!({"headers": {"Cookie": "a=b"}})), "tools.ask.headers.Cookie", "may not"),
            (http(json!({"headers": {"X-Forwarded-For": "1"}})), "tools.ask.headers.X-Forwarded-For", "may not"),
            (json!({"crm": {"kind": "mcp", "url": "http://crm.example.org/"}}), "tools.crm.url", "https://"),
            (
                json!({"crm": {"kind": "mcp", "url": "https://crm.example.org/", "only": ["a", "a"]}}),
                "tools.crm.only.1",
                "crm_a",
            ),
            (
                json!({"crm_find": {"kind": "end-call"},
                    "crm": {"kind": "mcp", "url": "https://crm.example.org/", "only": ["find"]}}),
                "tools.crm.only.0",
                "crm_find",
            ),
            (json!({"t": {"kind": "transfer-call", "destinations": []}}), "tools.t.destinations", "at least one"),
            (
                json!({"t": {"kind": "transfer-call", "destinations": [{"name": "a", "number": "8047184718"}]}}),
                "tools.t.destinations.0.number",
                "phone number",
            ),
            (
                json!({"t": {"kind": "transfer-call", "destinations": [
                    {"name": "a", "number": "+918047184718"}, {"name": "a", "number": "+918047184719"}]}}),
                "tools.t.destinations.1.name",
                "twice",
            ),
        ] {
            let found = faults(tools.clone());
            assert!(
                found.len() == 1 && found[0].0 == field && found[0].1.contains(said),
                "{tools}: {found:?} instead of {field}: {said}"
            );
        }
    }

    #[test]
    fn development_allows_this_machine() {
        let tools = serde_json::from_value(http(json!({"url": "http://127.0.0.1:9/{{a}}"}))).expect("tools");
        assert_eq!(check(&tools, Allowed::LoopbackToo), []);
        assert_eq!(check(&tools, Allowed::PublicOnly).len(), 1);
    }
}
