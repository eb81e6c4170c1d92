//! Schemas that cannot be derived: of a choice by `kind` whose forms refuse unknown fields, and of a map with limits.

use super::{Brain, LanguageModelConfig, ModelProtocol, ToolConfig};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AdditionalProperties, Object, ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// Longest flow file, in characters; its reader counts bytes and takes as many.
const FLOW_CHARS_MAX: usize = 128 * 1024;
/// Most tools of an agent: a language model gets worse at choosing long before.
const TOOLS_MAX: usize = 50;
/// Names of tools, as language models take them.
const TOOL_NAME: &str = "^[A-Za-z][A-Za-z0-9_-]{0,63}$";

/// Named nowhere else: the form that holds it is written out.
pub(super) fn protocol() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("What the API speaks: OpenAI's chat completions, or Anthropic's messages."))
        .enum_values(Some(ModelProtocol::ALL.iter().map(|protocol| protocol.as_str())))
        .default(Some(ModelProtocol::Openai.as_str().into()))
        .build()
}

impl PartialSchema for Brain {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("The flow file (TOML)."))
            .min_length(Some(1))
            .max_length(Some(FLOW_CHARS_MAX));
        let flow = ObjectBuilder::new().property("text", text).required("text").build();
        OneOfBuilder::new()
            .description(Some("What decides the agent's answers."))
            .item(form("flow", "A flow: a graph of steps, no language model.", flow))
            .item(form("language-model", "A language model behind an API.", object::<LanguageModelConfig>()))
            .into()
    }
}

impl ToSchema for Brain {}

impl PartialSchema for ToolConfig {
    fn schema() -> RefOr<Schema> {
        let record = "Keep what was collected with the call, under the tool's name, and give back a reference to say.";
        OneOfBuilder::new()
            .description(Some("Something an agent can do."))
            .item(form("record", record, Object::new()))
            .into()
    }
}

impl ToSchema for ToolConfig {}

/// Tools by name.
pub(super) fn tools() -> Object {
    let name = ObjectBuilder::new().schema_type(Type::String).pattern(Some(TOOL_NAME)).build();
    ObjectBuilder::new()
        .description(Some("What the agent can do besides talking, by name."))
        .property_names(Some(Schema::Object(name)))
        .max_properties(Some(TOOLS_MAX))
        .additional_properties(Some(AdditionalProperties::RefOr(ToolConfig::schema())))
        .build()
}

/// One form of a choice: says which it is, and knows no other fields. (Derived, the two rules would be in two schemas,
/// and one would refuse what the other asks for.)
fn form(kind: &str, description: &str, mut object: Object) -> Object {
    let word = ObjectBuilder::new().schema_type(Type::String).enum_values(Some([kind])).build();
    object.properties.insert("kind".to_owned(), RefOr::T(Schema::Object(word)));
    object.required.push("kind".to_owned());
    object.title = Some(kind.to_owned());
    object.description = Some(description.to_owned());
    object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
    object
}

/// The derived schema of a struct.
fn object<T: PartialSchema>() -> Object {
    match T::schema() {
        RefOr::T(Schema::Object(object)) => object,
        RefOr::T(_) | RefOr::Ref(_) => Object::new(),
    }
}
