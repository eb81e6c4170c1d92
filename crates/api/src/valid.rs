//! What comes in is checked against the same schema that the API's description shows: [`Valid`] for bodies in JSON,
//! [`ValidQuery`] for queries. All violations are reported at once, unknown fields are refused, text is trimmed, and no
//! message repeats a value.
//!
//! Kinds of fields: the schema's own types (string, number, enum, array), and the formats `email`, `phone`, `uri`, `date`,
//! `date-time`, `uuid`, `alphanumeric`, `no-special-characters` and `password` (never trimmed).

use crate::problem::FieldFault;
use crate::{Code, Problem};
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, ValidationError, Validator};
use model::{E164, EmailAddress};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

/// Deepest nesting of a body: an agent's configuration needs eight.
const DEPTH_MAX: usize = 64;
/// Violations reported at once; the rest shows when these are mended.
const FAULTS_MAX: usize = 50;
/// Longest query.
const QUERY_BYTES_MAX: usize = 8 * 1024;

/// A body in JSON that is what its schema says.
pub struct Valid<T>(pub T);

/// A query that is what its schema says.
pub struct ValidQuery<T>(pub T);

/// A schema with everything it refers to.
struct Checker {
    schema: Value,
    validator: Validator,
}

/// Made once for each type: building one takes longer than checking with it.
static CHECKERS: LazyLock<RwLock<HashMap<TypeId, Arc<Checker>>>> = LazyLock::new(RwLock::default);

impl<T, S> FromRequest<S> for Valid<T>
where
    T: ToSchema + DeserializeOwned + 'static,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let json = request
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .and_then(|kind| kind.split(';').next())
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
        if !json {
            return Err(Problem::new(Code::UnsupportedMediaType, "send application/json"));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|refused| {
            let status = axum::response::IntoResponse::into_response(refused).status();
            if status == axum::http::StatusCode::PAYLOAD_TOO_LARGE {
                Problem::new(Code::BodyTooLarge, "the body is too large")
            } else {
                Problem::new(Code::MalformedBody, "the body could not be read")
            }
        })?;
        from_bytes(&bytes).map(Self)
    }
}

impl<T, S> FromRequestParts<S> for ValidQuery<T>
where
    T: ToSchema + DeserializeOwned + 'static,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        from_query(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

/// Reads a body.
///
/// # Errors
/// [`Code::MalformedBody`] when it is no JSON; [`Code::InvalidFields`] with every violation.
pub(crate) fn from_bytes<T: ToSchema + DeserializeOwned + 'static>(bytes: &[u8]) -> Result<T, Problem> {
    if depth(bytes) > DEPTH_MAX {
        return Err(Problem::new(Code::MalformedBody, "the body is nested too deeply"));
    }
    let value = serde_json::from_slice(bytes)
        .map_err(|error| Problem::new(Code::MalformedBody, format!("the body is not JSON: {}", place(&error))))?;
    from_value(value)
}

/// Reads a query.
///
/// # Errors
/// [`Code::InvalidFields`] with every violation.
pub(crate) fn from_query<T: ToSchema + DeserializeOwned + 'static>(query: &str) -> Result<T, Problem> {
    if query.len() > QUERY_BYTES_MAX {
        return Err(Problem::new(Code::MalformedBody, "the query is too long"));
    }
    let checker = checker::<T>();
    let mut fields = Map::new();
    for (name, text) in form_urlencoded::parse(query.as_bytes()) {
        let value = coerce(&checker.schema, &name, &text);
        if fields.insert(name.to_string(), value).is_some() {
            return Err(Problem::field(&name, "is given twice"));
        }
    }
    from_value(Value::Object(fields))
}

fn from_value<T: ToSchema + DeserializeOwned + 'static>(mut value: Value) -> Result<T, Problem> {
    let checker = checker::<T>();
    trim(&checker.schema, &checker.schema, &mut value);
    if has_nul(&value) {
        // PostgreSQL keeps no such character, and no text needs it.
        return Err(Problem::new(Code::InvalidFields, "a text has the character NUL in it"));
    }
    let mut faults: Vec<FieldFault> = checker.validator.iter_errors(&value).flat_map(|e| explain(&e)).collect();
    faults.truncate(FAULTS_MAX);
    if !faults.is_empty() {
        faults.sort_by(|a, b| a.field.cmp(&b.field));
        return Err(Problem::fields(faults));
    }
    // The schema has the last word on shapes; what remains are rules that a schema cannot say.
    serde_json::from_value(value).map_err(|error| {
        tracing::debug!(error = %error, "a body fits its schema and not its type");
        Problem::new(Code::InvalidFields, "a field has a value that cannot be used")
    })
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(fields) => fields.iter().any(|(name, field)| name.contains('\0') || has_nul(field)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Where JSON breaks off, without quoting it.
fn place(error: &serde_json::Error) -> String {
    let what = if error.is_eof() { "it breaks off" } else { "something unexpected stands there" };
    format!("line {}, column {}: {what}", error.line(), error.column())
}

/// Deepest nesting, brackets in strings not counted.
fn depth(bytes: &[u8]) -> usize {
    let (mut now, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in bytes {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, b'[' | b'{') => {
                now += 1;
                deepest = deepest.max(now);
            }
            (false, b']' | b'}') => now = now.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn checker<T: ToSchema + 'static>() -> Arc<Checker> {
    let id = TypeId::of::<T>();
    if let Some(found) = CHECKERS.read().unwrap_or_else(PoisonError::into_inner).get(&id) {
        return found.clone();
    }
    let made = Arc::new(make::<T>());
    CHECKERS.write().unwrap_or_else(PoisonError::into_inner).entry(id).or_insert(made).clone()
}

fn make<T: ToSchema>() -> Checker {
    let mut referred: Vec<(String, RefOr<Schema>)> = Vec::new();
    T::schemas(&mut referred);
    let referred: Map<String, Value> =
        referred.into_iter().map(|(name, schema)| (name, serde_json::to_value(schema).unwrap_or_default())).collect();
    let mut schema = serde_json::to_value(T::schema()).unwrap_or_default();
    schema["components"] = json!({ "schemas": referred });
    let validator = jsonschema::options()
        .with_draft(Draft::Draft202012)
        .with_format("email", |text: &str| EmailAddress::parse(text).is_ok())
        .with_format("phone", |text: &str| E164::parse(text).is_ok())
        .with_format("uri", is_web_address)
        .with_format("alphanumeric", |text: &str| text.chars().all(char::is_alphanumeric))
        .with_format("no-special-characters", is_plain)
        .with_format("password", |_: &str| true)
        .should_validate_formats(true)
        .build(&schema)
        .expect("a schema derived from a type is a schema");
    Checker { schema, validator }
}

/// `http://…` and `https://…` with a host.
fn is_web_address(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// Letters of any script with their marks, digits, and what stands in names: no controls, no markup.
fn is_plain(text: &str) -> bool {
    text.chars().all(|c| !c.is_control() && !"<>\"\\{}[]|^`;".contains(c))
}

/// A query knows only text: what the schema wants as a number or a truth becomes one if it can.
fn coerce(schema: &Value, name: &str, text: &str) -> Value {
    let kind = &schema["properties"][name]["type"];
    let is =
        |wanted: &str| kind == wanted || kind.as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == wanted));
    let number = || text.parse::<i64>().ok().map(Value::from);
    match text {
        "true" | "false" if is("boolean") => Value::Bool(text == "true"),
        _ if is("integer") || is("number") => number().unwrap_or_else(|| Value::from(text)),
        _ => Value::from(text),
    }
}

/// Trims text wherever the schema has text that is no password.
fn trim(root: &Value, schema: &Value, value: &mut Value) {
    let schema = resolve(root, schema);
    match value {
        Value::String(text) if schema["format"] != "password" && text.trim().len() != text.len() => {
            *text = text.trim().to_owned();
        }
        Value::Array(items) => items.iter_mut().for_each(|item| trim(root, &schema["items"], item)),
        Value::Object(fields) => {
            for (name, field) in fields {
                trim(root, &schema["properties"][name.as_str()], field);
            }
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let one = match schema["oneOf"].as_array() {
        // An optional field: `null` or the thing.
        Some(choices) => choices.iter().find(|choice| choice.get("$ref").is_some()).unwrap_or(schema),
        None => schema,
    };
    match one["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
        Some(pointer) => root.pointer(pointer).unwrap_or(schema),
        None => schema,
    }
}

/// What is wrong, by field, for people; one error of the schema may concern several fields.
fn explain(error: &ValidationError<'_>) -> Vec<FieldFault> {
    let at = error.instance_path().to_string().trim_start_matches('/').replace('/', ".");
    let inside = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    let fault = |field: String, message: String| FieldFault { field, message };
    let here = || if at.is_empty() { "body".to_owned() } else { at.clone() };
    match error.kind() {
        ValidationErrorKind::Required { property } => {
            vec![fault(inside(property.as_str().unwrap_or_default()), "is missing".to_owned())]
        }
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            unexpected.iter().map(|name| fault(inside(name), "is not known here".to_owned())).collect()
        }
        ValidationErrorKind::OneOfNotValid { context } | ValidationErrorKind::AnyOf { context } => {
            match closest(context) {
                Some(branch) => branch.iter().flat_map(explain).collect(),
                None => vec![fault(here(), "fits none of the forms it may have".to_owned())],
            }
        }
        other => vec![fault(here(), sentence(other))],
    }
}

/// Of several forms a value may have, the one it nearly has: `null` is not meant when something else is given.
fn closest<'a>(context: &'a [Vec<ValidationError<'static>>]) -> Option<&'a Vec<ValidationError<'static>>> {
    let wrong_tag = |error: &ValidationError<'_>| {
        matches!(
            error.kind(),
            ValidationErrorKind::Type { .. } | ValidationErrorKind::Enum { .. } | ValidationErrorKind::Constant { .. }
        )
    };
    context
        .iter()
        .filter(|branch| !branch.is_empty())
        .min_by_key(|branch| (branch.iter().filter(|error| wrong_tag(error)).count(), branch.len()))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the library's list is open and long; the rest is rare")]
fn sentence(kind: &ValidationErrorKind) -> String {
    match kind {
        ValidationErrorKind::Type { kind } => {
            let wanted = match kind {
                jsonschema::error::TypeKind::Single(one) => one.to_string(),
                jsonschema::error::TypeKind::Multiple(many) => {
                    many.iter().map(|one| one.to_string()).collect::<Vec<_>>().join(" or ")
                }
            };
            format!("must be of type {wanted}")
        }
        ValidationErrorKind::Format { format } => match format.as_str() {
            "email" => "must be an e-mail address".to_owned(),
            "phone" => "must be a phone number: + and 8 to 15 digits".to_owned(),
            "uri" => "must be an address that begins with http:// or https://".to_owned(),
            "date-time" => "must be a time such as 2026-11-21T09:30:00Z".to_owned(),
            "date" => "must be a date such as 2026-11-21".to_owned(),
            "uuid" => "must be an id".to_owned(),
            "alphanumeric" => "may have letters and digits only".to_owned(),
            "no-special-characters" => "may not have control characters or any of < > \" \\ { } [ ] | ^ ` ;".to_owned(),
            other => format!("must be of the form {other}"),
        },
        ValidationErrorKind::MinLength { limit: 1 } => "may not be empty".to_owned(),
        ValidationErrorKind::MinLength { limit } => format!("must have at least {limit} characters"),
        ValidationErrorKind::MaxLength { limit } => format!("may have at most {limit} characters"),
        ValidationErrorKind::Minimum { limit } => format!("must be at least {limit}"),
        ValidationErrorKind::Maximum { limit } => format!("may be at most {limit}"),
        ValidationErrorKind::MinItems { limit } => format!("must have at least {limit} entries"),
        ValidationErrorKind::MaxItems { limit } => format!("may have at most {limit} entries"),
        ValidationErrorKind::MaxProperties { limit } => format!("may have at most {limit} fields"),
        ValidationErrorKind::PropertyNames { .. } => "has a name that cannot be used".to_owned(),
        ValidationErrorKind::UniqueItems => "has an entry twice".to_owned(),
        ValidationErrorKind::Enum { options } => format!("must be one of {}", words(options)),
        ValidationErrorKind::Constant { expected_value } => format!("must be {expected_value}"),
        ValidationErrorKind::Pattern { .. } => "does not have the form described".to_owned(),
        other => format!("breaks the rule «{}»", other.keyword()),
    }
}

fn words(options: &Value) -> String {
    let words = options.as_array().into_iter().flatten();
    words.map(|word| word.as_str().map_or_else(|| word.to_string(), str::to_owned)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq, ToSchema)]
    #[serde(rename_all = "lowercase")]
    enum Colour {
        Red,
        Green,
    }

    #[derive(Debug, Deserialize, PartialEq, ToSchema)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[schema(minimum = 1, maximum = 9)]
        number: u32,
    }

    #[derive(Debug, Deserialize, ToSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read by the test of faults")]
    struct All {
        email: EmailAddress,
        phone: E164,
        #[schema(format = "uri")]
        address: String,
        #[schema(min_length = 1, max_length = 5)]
        name: String,
        colour: Colour,
        #[schema(max_items = 2)]
        list: Vec<Inner>,
        #[schema(format = "date")]
        day: String,
        at: chrono::DateTime<chrono::Utc>,
        id: model::AgentId,
        #[schema(format = "alphanumeric")]
        code: String,
        #[schema(format = "no-special-characters")]
        title: String,
        #[schema(format = "password")]
        secret: String,
        inner: Option<Inner>,
    }

    fn good() -> Value {
        json!({
            "email": " Asha@Clinic.IN ", "phone": "09812345678", "address": "https://example.org/x", "name": "  Asha ",
            "colour": "red", "list": [{ "number": 1 }], "day": "2026-11-21", "at": "2026-11-21T09:30:00Z",
            "id": "0192a000-0000-7000-8000-000000000001", "code": "ab12", "title": "Dr. Rao (वैद्य)", "secret": " x ",
            "inner": null,
        })
    }

    #[test]
    fn what_fits_is_trimmed_and_normalised() {
        let all: All = from_value(good()).expect("fits");
        assert_eq!(
            (all.email.as_str(), all.phone.as_str(), all.name.as_str()),
            ("asha@clinic.in", "+919812345678", "Asha")
        );
        assert_eq!(all.secret, " x ", "a password is taken as it is");
    }

    #[test]
    fn every_violation_is_told_at_once_with_its_field() {
        let bad = json!({
            "email": "x", "phone": "1", "address": "ftp://x", "name": " ", "colour": "blue",
            "list": [{ "number": 0 }, { "number": 10, "more": 1 }, {}], "day": "21.11.2026", "at": "yesterday", "id": "7",
            "code": "a-b", "title": "<b>", "secret": 7, "unknown": true, "inner": { "number": "x" },
        });
        let Err(problem) = from_value::<All>(bad) else { panic!("accepted") };
        let body = problem.faults();
        let fields: Vec<&str> = body.iter().map(|fault| fault.field.as_str()).collect();
        for field in [
            "email",
            "phone",
            "address",
            "name",
            "colour",
            "list",
            "list.0.number",
            "list.1.number",
            "list.1.more",
            "list.2.number",
            "day",
            "at",
            "id",
            "code",
            "title",
            "secret",
            "unknown",
            "inner.number",
        ] {
            assert!(fields.contains(&field), "{field} in {body:?}");
        }
        assert!(body.iter().all(|fault| !fault.message.contains("yesterday") && !fault.message.contains("<b>")));
    }

    #[test]
    fn each_kind_is_refused_alone() {
        for (field, value) in [
            ("email", json!("a@b")),
            ("phone", json!("+12")),
            ("address", json!("javascript:alert(1)")),
            ("name", json!("123456")),
            ("colour", json!("Red")),
            ("day", json!("2026-02-30")),
            ("at", json!("2026-11-21")),
            ("id", json!("not-an-id")),
            ("code", json!("a b")),
            ("title", json!("a\u{7}b")),
            ("list", json!("x")),
        ] {
            let mut body = good();
            body[field] = value;
            let Err(problem) = from_value::<All>(body) else { panic!("{field} accepted") };
            assert_eq!(problem.faults().len(), 1, "{field}: {:?}", problem.faults());
            assert_eq!(problem.faults()[0].field, field);
        }
    }

    #[test]
    fn nesting_is_limited_and_brackets_in_text_do_not_count() {
        assert_eq!(depth(br#"{"a":[1,{"b":"[[[\"{{"}]}"#), 3);
        let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
        assert!(matches!(from_bytes::<Inner>(deep.as_bytes()), Err(p) if p.code == Code::MalformedBody));
        assert!(matches!(from_bytes::<Inner>(b"{\"number\":"), Err(p) if p.code == Code::MalformedBody));
        assert!(
            from_bytes::<Listing>(br#"{"colour":"\u0000"}"#).is_err() && from_query::<Listing>("colour=%00").is_err()
        );
    }

    #[derive(Debug, Deserialize, PartialEq, ToSchema)]
    #[serde(deny_unknown_fields)]
    struct Listing {
        #[schema(minimum = 1, maximum = 200)]
        limit: Option<u32>,
        colour: Option<Colour>,
    }

    #[test]
    fn queries_are_read_by_the_same_rules() {
        let listing: Listing = from_query("limit=20&colour=green").expect("fits");
        assert_eq!(listing, Listing { limit: Some(20), colour: Some(Colour::Green) });
        for query in ["limit=0", "limit=201", "limit=x", "colour=blue", "more=1", "limit=1&limit=2"] {
            assert!(from_query::<Listing>(query).is_err(), "{query}");
        }
    }
}
