//! JSON schemas of arguments: bounded before they are compiled, compiled once for a call, never fetching anything.

use super::ToolError;
use jsonschema::{PatternOptions, Validator};
use serde_json::{Map, Value, json};

/// Largest schema, as JSON.
pub(crate) const SCHEMA_BYTES_MAX: usize = 16 * 1_024;
/// Deepest nesting.
const DEPTH_MAX: usize = 16;
/// Most parts of a schema with its references followed. Checking costs this much at worst, and a schema that refers to
/// itself has no end here.
const NODES_MAX: usize = 2_000;
/// Largest compiled pattern.
const PATTERN_BYTES_MAX: usize = 256 * 1_024;
/// Faults told at a time; a model corrects a few.
const FAULTS_TOLD_MAX: usize = 5;
/// Longest text of one fault.
const FAULT_BYTES_MAX: usize = 200;

/// What a model may give to a tool.
pub(crate) struct Arguments {
    /// As the model sees it.
    pub(crate) schema: Value,
    validator: Validator,
}

impl Arguments {
    /// With the arguments in `fixed` taken out: the model neither sees nor sets them. Without a schema there are none.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub(crate) fn new(schema: Option<&Map<String, Value>>, is_fixed: impl Fn(&str) -> bool) -> Result<Self, String> {
        let mut schema = match schema {
            Some(schema) => schema.clone(),
            None => Map::from_iter([("type".to_owned(), json!("object")), ("properties".to_owned(), json!({}))]),
        };
        bound(&Value::Object(schema.clone()))?;
        match schema.get("type") {
            None => {
                schema.insert("type".to_owned(), json!("object"));
            }
            Some(kind) if kind == "object" => {}
            Some(_) => return Err("must be the schema of an object".to_owned()),
        }
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            properties.retain(|name, _| !is_fixed(name));
        }
        if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
            required.retain(|name| name.as_str().is_none_or(|name| !is_fixed(name)));
        }
        // What nobody thought of is not let through, unless the schema says how.
        if !COMPOSED.iter().any(|keyword| schema.contains_key(*keyword)) {
            schema.insert("additionalProperties".to_owned(), Value::Bool(false));
        }
        let schema = Value::Object(schema);
        let validator = compile(&schema)?;
        Ok(Self { schema, validator })
    }

    /// # Errors
    /// [`ToolError::Arguments`], with what a model needs to do better.
    pub(crate) fn check(&self, arguments: &Map<String, Value>) -> Result<(), ToolError> {
        let value = Value::Object(arguments.clone());
        let mut faults: Vec<String> = Vec::new();
        for error in self.validator.iter_errors(&value).take(FAULTS_TOLD_MAX) {
            let at = error.instance_path().to_string();
            let mut said = error.to_string();
            said.truncate(said.floor_char_boundary(FAULT_BYTES_MAX));
            faults.push(if at.is_empty() { said } else { format!("`{}`: {said}", at.trim_start_matches('/')) });
        }
        if faults.is_empty() { Ok(()) } else { Err(ToolError::Arguments(faults.join("; "))) }
    }
}

/// With one of these a schema says itself what else it lets through.
const COMPOSED: [&str; 11] = [
    "additionalProperties",
    "unevaluatedProperties",
    "patternProperties",
    "propertyNames",
    "allOf",
    "anyOf",
    "oneOf",
    "if",
    "$ref",
    "dependentSchemas",
    "not",
];

fn compile(schema: &Value) -> Result<Validator, String> {
    jsonschema::options()
        .offline()
        .should_validate_formats(true)
        // Linear in the text, whatever the pattern.
        .with_pattern_options(PatternOptions::regex().size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX))
        .build(schema)
        .map_err(|error| {
            let mut said = error.to_string();
            said.truncate(said.floor_char_boundary(FAULT_BYTES_MAX));
            format!("is no JSON schema: {said}")
        })
}

/// Refuses what is large, nested, refers elsewhere, or grows when its references are followed.
fn bound(schema: &Value) -> Result<(), String> {
    if schema.to_string().len() > SCHEMA_BYTES_MAX {
        return Err(format!("may have at most {SCHEMA_BYTES_MAX} bytes"));
    }
    let mut walk = Walk { root: schema, nodes: 0 };
    walk.schema(schema, 0)
}

struct Walk<'a> {
    root: &'a Value,
    nodes: usize,
}

impl<'a> Walk<'a> {
    fn schema(&mut self, schema: &'a Value, depth: usize) -> Result<(), String> {
        self.nodes += 1;
        if depth > DEPTH_MAX || self.nodes > NODES_MAX {
            return Err("is nested too deeply, too large, or refers to itself".to_owned());
        }
        let fields = match schema {
            Value::Object(fields) => fields,
            Value::Array(items) => return items.iter().try_for_each(|item| self.schema(item, depth + 1)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return Ok(()),
        };
        for (keyword, inner) in fields {
            match (keyword.as_str(), inner) {
                ("$ref", Value::String(reference)) => {
                    let pointer = reference.strip_prefix('#').filter(|rest| rest.is_empty() || rest.starts_with('/'));
                    let pointer = pointer.ok_or("may refer to its own parts only (#/$defs/…)")?;
                    let target = self.root.pointer(pointer).ok_or("refers to a part that is not there")?;
                    self.schema(target, depth + 1)?;
                }
                ("$dynamicRef" | "$recursiveRef" | "$anchor" | "$dynamicAnchor", _) => {
                    return Err("may not use $dynamicRef or anchors".to_owned());
                }
                ("$id", _) if depth > 0 => return Err("may not have an $id inside".to_owned()),
                // Data, not schemas.
                ("const" | "enum" | "default" | "examples" | "required", _) => {}
                // Names of properties, which may be words of JSON schema, too.
                (
                    "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas",
                    Value::Object(schemas),
                ) => {
                    schemas.values().try_for_each(|inner| self.schema(inner, depth + 1))?;
                }
                (_, inner) => self.schema(inner, depth + 1)?,
            }
        }
        Ok(())
    }
}

/// The arguments that a model wrote.
///
/// # Errors
/// [`ToolError::Arguments`] when they are no JSON object, or too long.
pub fn read_arguments(text: &str) -> Result<Map<String, Value>, ToolError> {
    if text.len() > crate::language_model::ARGUMENTS_BYTES_MAX {
        return Err(ToolError::Arguments("they are too long".to_owned()));
    }
    // Models leave them empty when there are none.
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(arguments)) => Ok(arguments),
        Ok(_) => Err(ToolError::Arguments("they must be a JSON object".to_owned())),
        Err(error) => Err(ToolError::Arguments(format!("they are no JSON: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(schema: Value) -> Result<Arguments, String> {
        let schema = schema.as_object().cloned().expect("an object");
        Arguments::new(Some(&schema), |name| name == "clinic")
    }

    fn fault(schema: &Value, given: Value) -> String {
        let arguments = arguments(schema.clone()).expect("a schema");
        let given = given.as_object().cloned().expect("an object");
        arguments.check(&given).map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn faults_are_told_so_that_a_model_can_do_better() {
        let schema = json!({
            "type": "object",
            "properties": {
                "day": {"type": "string", "format": "date"},
                "count": {"type": "integer", "minimum": 1},
                "doctor": {"enum": ["rao", "iyer"]},
                "pin": {"type": "string", "pattern": "^[0-9]{6}$"},
                "clinic": {"type": "string"},
            },
            "required": ["day", "clinic"],
        });
        for (given, want) in [
            (json!({"day": "2026-11-21"}), ""),
            (json!({"day": "2026-11-21", "count": 2, "doctor": "rao", "pin": "560001"}), ""),
            (json!({}), "\"day\" is a required property"),
            (json!({"day": "tomorrow"}), "`day`: \"tomorrow\" is not a \"date\""),
            (json!({"day": 7}), "`day`: 7 is not of type \"string\""),
            (json!({"day": "2026-11-21", "count": 0}), "`count`: 0 is less than the minimum of 1"),
            (json!({"day": "2026-11-21", "doctor": "who"}), "`doctor`: \"who\" is not one of"),
            (json!({"day": "2026-11-21", "pin": "5600"}), "`pin`: \"5600\" does not match"),
            (json!({"day": "2026-11-21", "x": 1}), "'x' was unexpected"),
        ] {
            let said = fault(&schema, given.clone());
            assert!(said.contains(want) && (want.is_empty() == said.is_empty()), "{given}: {said}");
        }
    }

    #[test]
    fn what_is_fixed_is_neither_seen_nor_asked_for() {
        let schema = json!({"properties": {"clinic": {"type": "string"}, "day": {}}, "required": ["clinic"]});
        let arguments = arguments(schema).expect("a schema");
        let want = json!({"type": "object", "properties": {"day": {}}, "required": [], "additionalProperties": false});
        assert_eq!(arguments.schema, want);
    }

    #[test]
    fn schemas_that_cost_too_much_or_reach_out_are_refused() {
        let doubling: Map<String, Value> = (0..20)
            .map(|n| (format!("d{n}"), json!({"allOf": [{"$ref": format!("#/$defs/d{}", n + 1)}, {"$ref": format!("#/$defs/d{}", n + 1)}]})))
            .chain([("d20".to_owned(), json!({}))])
            .collect();
        let deep = (0..40).fold(json!({}), |inner, _| json!({"properties": {"a": inner}}));
        for (schema, want) in [
            (json!({"type": "array"}), "of an object"),
            (json!({"type": "object", "properties": {"a": {"type": "nothing"}}}), "no JSON schema"),
            (json!({"properties": {"a": {"pattern": "("}}}), "no JSON schema"),
            (json!({"properties": {"a": {"pattern": "(a{1000}){1000}"}}}), "no JSON schema"),
            (json!({"$ref": "https://example.com/schema.json"}), "its own parts"),
            (json!({"properties": {"a": {"$ref": "file:///etc/passwd"}}}), "its own parts"),
            (json!({"properties": {"a": {"$ref": "#/nowhere"}}}), "not there"),
            (json!({"properties": {"a": {"$id": "http://x/", "type": "string"}}}), "$id"),
            (json!({"properties": {"a": {"$dynamicRef": "#x"}}}), "$dynamicRef"),
            (json!({"properties": {"a": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}}), "refers to itself"),
            (json!({"$defs": doubling, "$ref": "#/$defs/d0"}), "refers to itself"),
            (deep, "nested too deeply"),
            (json!({"description": "x".repeat(SCHEMA_BYTES_MAX)}), "at most"),
        ] {
            let said = arguments(schema.clone()).err().unwrap_or_default();
            assert!(said.contains(want), "{want}: {said}");
        }
        for schema in [
            json!({}),
            json!({"properties": {"$ref": {"type": "string"}, "$id": {}, "enum": {}}}),
            json!({"$defs": {"d": {"type": "string"}}, "properties": {"a": {"$ref": "#/$defs/d"}, "b": {"$ref": "#/$defs/d"}}}),
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "properties": {"a": {"type": "string"}}}),
        ] {
            assert!(arguments(schema.clone()).is_ok(), "{schema}");
        }
    }

    #[test]
    fn arguments_are_an_object_and_bounded() {
        assert!(read_arguments("  ").expect("none").is_empty());
        assert_eq!(read_arguments("{\"a\":1}").expect("one").len(), 1);
        for (text, want) in
            [("[]", "JSON object"), ("7", "JSON object"), ("{\"a\":", "no JSON"), ("book it", "no JSON")]
        {
            let said = read_arguments(text).expect_err(text).to_string();
            assert!(said.contains(want), "{said}");
        }
        assert!(read_arguments(&format!("{{\"a\":\"{}\"}}", "x".repeat(9_000))).is_err());
    }
}
