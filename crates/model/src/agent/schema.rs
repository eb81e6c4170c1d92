//! Schemas that cannot be derived: of a choice by `kind` whose forms refuse unknown fields, and of a map with limits.

use super::{
    AmbienceSound, Brain, CollectDtmfTool, EndCallTool, EndOfTurn, HttpMethod, HttpTool, LanguageModelConfig,
    McpServer, ModelChoice, ModelProtocol, SendDtmfTool, SpeechModelConfig, SpeechModelVendor, ToolConfig,
    TransferTool, VoicemailTool,
};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{
    AdditionalProperties, Array, ArrayBuilder, Object, ObjectBuilder, OneOfBuilder, Schema, SchemaType, Type,
};
use utoipa::{PartialSchema, ToSchema};

/// Longest flow file, in characters; its reader counts bytes and takes as many.
const FLOW_CHARS_MAX: usize = 128 * 1024;
/// Most tools of an agent: a language model gets worse at choosing long before.
const TOOLS_MAX: usize = 50;
/// Names of tools, as language models take them.
const TOOL_NAME: &str = "^[A-Za-z][A-Za-z0-9_-]{0,63}$";
/// Most phrases that take turns.
const PHRASES_MAX: usize = 10;
/// Longest phrase in characters: ten seconds of speech.
const PHRASE_CHARS_MAX: usize = 300;
/// Most other languages of an agent.
const LANGUAGES_MAX: usize = 5;
/// Most criteria by which a call is judged.
const CRITERIA_MAX: usize = 20;
/// Most headers, or fixed arguments, of a tool.
const HEADERS_MAX: usize = 20;
/// Most properties at the top of a JSON schema.
const SCHEMA_PROPERTIES_MAX: usize = 50;

/// Named nowhere else: the form that holds it is written out.
pub(super) fn protocol() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("What the API speaks: OpenAI's chat completions, or Anthropic's messages."))
        .enum_values(Some(ModelProtocol::ALL.iter().map(|protocol| protocol.as_str())))
        .default(Some(ModelProtocol::Openai.as_str().into()))
        .build()
}

fn word(description: &str, words: impl IntoIterator<Item = &'static str>, default: Option<&str>) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .enum_values(Some(words))
        .default(default.map(Into::into))
        .build()
}

pub(super) fn end_of_turn() -> Object {
    let words = EndOfTurn::ALL.iter().map(|word| word.as_str());
    word("What tells that the caller has finished.", words, Some(EndOfTurn::Auto.as_str()))
}

pub(super) fn ambience_sound() -> Object {
    word("What is heard.", AmbienceSound::ALL.iter().map(|word| word.as_str()), None)
}

pub(super) fn speech_model_vendor() -> Object {
    word("Whose.", SpeechModelVendor::ALL.iter().map(|word| word.as_str()), None)
}

pub(super) fn http_method() -> Object {
    let words = HttpMethod::ALL.iter().map(|word| word.as_str());
    word("How the service is asked.", words, Some(HttpMethod::Post.as_str()))
}

pub(super) fn finish_key() -> Object {
    word("The key that ends the input.", ["#", "*"], Some("#"))
}

fn list(description: &str, item: Object, items_max: usize) -> Array {
    ArrayBuilder::new().description(Some(description)).items(item).max_items(Some(items_max)).build()
}

fn text(chars_max: usize) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(chars_max))
}

pub(super) fn phrases() -> Array {
    list("What is said, in turn. Empty: the usual words of the language.", text(PHRASE_CHARS_MAX).build(), PHRASES_MAX)
}

pub(super) fn criteria() -> Array {
    list("What must hold for the call to count as a success.", text(PHRASE_CHARS_MAX).build(), CRITERIA_MAX)
}

pub(super) fn languages() -> Array {
    let tag = text(35).pattern(Some("^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$")).build();
    list("Other languages that the agent may go over to when the caller speaks them (BCP 47).", tag, LANGUAGES_MAX)
}

pub(super) fn collections() -> Array {
    let name = text(60).pattern(Some("^[a-z0-9]([a-z0-9-]{0,58}[a-z0-9])?$")).build();
    list("Only documents of these collections; empty = all.", name, PHRASES_MAX)
}

pub(super) fn tool_names() -> Array {
    let name = text(64).pattern(Some(TOOL_NAME)).build();
    list("Which of its tools are offered; empty = all, up to 20.", name, HEADERS_MAX)
}

pub(super) fn headers() -> Object {
    named_texts("Headers that are sent. Secrets belong into `key`.", "^[A-Za-z][A-Za-z0-9-]{0,63}$", "^[ -~]*$")
}

pub(super) fn fixed() -> Object {
    let what = "Arguments that the model neither sees nor sets; `{{name}}` is one of the call's variables. They win.";
    named_texts(what, "^[A-Za-z_][A-Za-z0-9_.-]{0,63}$", "^[^\\u0000]*$")
}

fn named_texts(description: &str, names: &str, values: &str) -> Object {
    let name = ObjectBuilder::new().schema_type(Type::String).pattern(Some(names)).build();
    let value = ObjectBuilder::new().schema_type(Type::String).max_length(Some(2_000)).pattern(Some(values)).build();
    ObjectBuilder::new()
        .description(Some(description))
        .property_names(Some(Schema::Object(name)))
        .max_properties(Some(HEADERS_MAX))
        .additional_properties(Some(AdditionalProperties::RefOr(RefOr::T(Schema::Object(value)))))
        .build()
}

/// A JSON schema is any object here; whether it is one is checked when the agent is kept.
pub(super) fn json_schema() -> Object {
    ObjectBuilder::new()
        .schema_type(SchemaType::Array(vec![Type::Object, Type::Null]))
        .description(Some("A JSON schema (2020-12) of an object."))
        .max_properties(Some(SCHEMA_PROPERTIES_MAX))
        .additional_properties(Some(AdditionalProperties::FreeForm(true)))
        .build()
}

pub(super) fn model_choice() -> Schema {
    let none = ObjectBuilder::new().schema_type(Type::Null).build();
    let choice = OneOfBuilder::new()
        .description(Some("Another model than the agent's."))
        .item(none)
        .item(object::<ModelChoice>());
    Schema::OneOf(choice.build())
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
            .item(form("speech-model", "A model that hears and speaks by itself.", object::<SpeechModelConfig>()))
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
            .item(form("http", "Ask a web service.", object::<HttpTool>()))
            .item(form("mcp", "All tools of a server of the Model Context Protocol.", object::<McpServer>()))
            .item(form("end-call", "End the call.", object::<EndCallTool>()))
            .item(form("transfer-call", "Hand the caller to a person.", object::<TransferTool>()))
            .item(form("send-dtmf", "Press keys, as on a telephone.", object::<SendDtmfTool>()))
            .item(form("collect-dtmf", "Let the caller type digits.", object::<CollectDtmfTool>()))
            .item(form("voicemail", "Leave a message on a machine.", object::<VoicemailTool>()))
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
