//! The description of the API: complete, consistent, and the one that lies in the tree.

use model::Scope;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::path::Path;

const METHODS: &[&str] = &["get", "put", "post", "delete", "patch"];

/// One operation of the description.
pub(crate) struct Described {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) operation: Value,
}

impl Described {
    /// For messages.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Who may: the scheme and its scopes; none = anybody.
    pub(crate) fn security(&self) -> Option<(String, Vec<String>)> {
        let needs = self.operation["security"].as_array()?.first()?.as_object()?;
        let (scheme, scopes) = needs.iter().next()?;
        let scopes = scopes.as_array()?.iter().filter_map(|scope| scope.as_str().map(str::to_owned)).collect();
        Some((scheme.clone(), scopes))
    }

    /// An example of its body.
    pub(crate) fn example(&self, api: &Value) -> Option<Value> {
        let content = self.operation["requestBody"]["content"].as_object()?.values().next()?;
        let schema = resolve(api, &content["schema"]);
        [content.get("example"), content.pointer("/examples/0"), schema.get("example"), schema.pointer("/examples/0")]
            .into_iter()
            .flatten()
            .chain(content["examples"].as_object().into_iter().flat_map(Map::values).filter_map(|one| one.get("value")))
            .next()
            .cloned()
    }
}

pub(crate) fn described() -> (Value, Vec<Described>) {
    let api: Value = serde_json::from_str(&api::openapi::text()).expect("JSON");
    let mut all = Vec::new();
    for (path, item) in api["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("an item") {
            if METHODS.contains(&method.as_str()) {
                all.push(Described { method: method.clone(), path: path.clone(), operation: operation.clone() });
            }
        }
    }
    (api, all)
}

fn resolve<'a>(api: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
        Some(pointer) => api.pointer(pointer).unwrap_or_else(|| panic!("{pointer} leads nowhere")),
        None => schema,
    }
}

fn words(value: &Value) -> BTreeSet<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "UPDATE_OPENAPI=1 writes the file anew")]
fn it_lies_in_the_tree() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../openapi.json");
    let text = api::openapi::text();
    if std::env::var("UPDATE_OPENAPI").is_ok_and(|value| value == "1") {
        std::fs::write(&path, &text).expect("written");
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == text, "openapi.json is not what the code says: UPDATE_OPENAPI=1 cargo test -p api --test it");
}

#[test]
fn it_is_openapi_3_1_and_every_reference_leads_somewhere() {
    let (api, all) = described();
    assert!(api["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    assert!(all.len() > 20, "{} operations", all.len());
    let mut references = BTreeSet::new();
    collect(&api, &mut references);
    let leads = |reference: &&String| reference.strip_prefix('#').is_some_and(|pointer| api.pointer(pointer).is_some());
    let lost: Vec<&String> = references.iter().filter(|reference| !leads(reference)).collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert!(references.iter().any(|reference| reference.ends_with("/Problem")));
}

fn collect(value: &Value, references: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            references.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|field| collect(field, references));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_operation_says_what_it_is() {
    let (api, all) = described();
    let tags: BTreeSet<&str> =
        api["tags"].as_array().expect("tags").iter().filter_map(|tag| tag["name"].as_str()).collect();
    let mut ids = BTreeSet::new();
    for one in &all {
        let name = one.name();
        let said = |field: &str| one.operation[field].as_str().is_some_and(|text| !text.trim().is_empty());
        assert!(said("summary") || said("description"), "{name} says nothing");
        assert!(said("operationId"), "{name} has no id");
        assert!(ids.insert(one.operation["operationId"].to_string()), "{name}: another operation has its id");
        let its = words(&one.operation["tags"]);
        assert!(!its.is_empty() && its.is_subset(&tags), "{name}: tags {its:?}");
        let responses = one.operation["responses"].as_object().expect("responses");
        assert!(responses.keys().any(|status| status.starts_with('2')), "{name} never succeeds");
        for (status, response) in responses {
            assert!(response["description"].as_str().is_some_and(|text| !text.is_empty()), "{name} {status}");
            if status.starts_with('4') || status.starts_with('5') {
                assert!(response["content"].is_object(), "{name} {status}: no body");
            }
        }
    }
}

#[test]
fn every_part_of_a_path_is_described() {
    for one in described().1 {
        let name = one.name();
        let in_path: BTreeSet<&str> =
            one.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        let parameters = one.operation["parameters"].as_array().cloned().unwrap_or_default();
        let mut found = BTreeSet::new();
        for parameter in &parameters {
            let its = parameter["name"].as_str().expect("a name");
            assert!(parameter["schema"].is_object(), "{name}: {its} has no schema");
            assert!(
                parameter["description"].as_str().is_some_and(|text| !text.is_empty()),
                "{name}: {its} says nothing"
            );
            if parameter["in"] == "path" {
                assert_eq!(parameter["required"], true, "{name}: {its}");
                found.insert(its);
            }
        }
        assert_eq!(found, in_path, "{name}");
    }
}

#[test]
fn what_guards_an_operation_exists() {
    let (api, all) = described();
    let schemes: BTreeSet<&String> =
        api["components"]["securitySchemes"].as_object().expect("schemes").keys().collect();
    let mut used = BTreeSet::new();
    for one in &all {
        let Some((scheme, scopes)) = one.security() else { continue };
        let name = one.name();
        assert!(schemes.contains(&scheme), "{name}: {scheme}");
        assert!(scopes.len() <= 1, "{name}: one scope guards one route");
        for scope in scopes {
            assert!(scope.parse::<Scope>().is_ok(), "{name}: {scope}");
            used.insert(scope);
        }
    }
    for scope in Scope::ALL.iter().copied().filter(|scope| *scope != Scope::CallsWrite) {
        assert!(used.contains(scope.as_str()), "{scope} guards nothing");
    }
}

#[test]
fn every_body_has_an_example_that_fits_it() {
    let (api, all) = described();
    let mut without = Vec::new();
    for one in all.iter().filter(|one| !one.operation["requestBody"].is_null()) {
        let name = one.name();
        let content = one.operation["requestBody"]["content"].as_object().expect("content");
        let Some(json) = content.get("application/json") else { continue };
        let Some(example) = one.example(&api) else {
            without.push(name);
            continue;
        };
        let schema = json!({ "allOf": [json["schema"]], "components": api["components"] });
        let validator =
            jsonschema::options().with_draft(jsonschema::Draft::Draft202012).build(&schema).expect("a schema");
        let faults: Vec<String> = validator.iter_errors(&example).map(|error| error.to_string()).collect();
        assert!(faults.is_empty(), "{name}: {faults:?}");
    }
    assert!(without.is_empty(), "no example: {without:#?}");
}
