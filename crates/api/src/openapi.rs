//! The description of the API ([OpenAPI 3.1](https://spec.openapis.org/oas/v3.1.0)), made from the handlers themselves,
//! and the pages that show it, served from the binary.

use crate::App;
use crate::problem::ProblemBody;
use axum::Router;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::{Arc, LazyLock};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, ResponseBuilder};
use utoipa::{PartialSchema, ToSchema};
use utoipa_swagger_ui::{Config, SwaggerUi};

/// Where the description is.
const PATH: &str = "/openapi.json";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Caly",
        description = "AI phone agents: accounts, agents, phone numbers, calls, recordings, audit.\n\n\
                       Log in with `POST /api/auth/login` and send the access token as `Authorization: Bearer`, or make \
                       an API key and send that. Errors are problems (RFC 9457) with a stable `code`. Lists are newest \
                       first; `next_cursor` leads to the next page. Times are UTC (RFC 3339), phone numbers E.164.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "/", description = "this installation")),
    tags(
        (name = "auth", description = "Accounts, sessions, second factor"),
        (name = "organisation", description = "The organisation, its members and invitations"),
        (name = "keys", description = "API keys, keys of ours at providers, accounts at carriers"),
        (name = "agents", description = "How calls are answered"),
        (name = "knowledge", description = "Documents that agents look things up in"),
        (name = "phone-numbers", description = "Which agent answers which number"),
        (name = "calls", description = "Calls, transcripts, recordings"),
        (name = "jobs", description = "Work behind the requests, and what was given up"),
        (name = "audit", description = "Who did what"),
        (name = "monitoring", description = "The installation itself"),
        (name = "events", description = "Events sent to your own addresses"),
        (name = "webhooks", description = "What carriers send"),
        (name = "health", description = "Probes"),
        (name = "test", description = "Development only"),
    ),
)]
struct Base;

/// The description without its routes: what the router begins with.
pub(crate) fn base() -> OpenApi {
    let mut api = <Base as utoipa::OpenApi>::openapi();
    // The version of the API's promises, not of the program: the description must not change with every release.
    "1".clone_into(&mut api.info.version);
    api
}

/// Adds what all operations have: the ways they refuse, and how callers identify themselves.
pub(crate) fn complete(api: &mut OpenApi) {
    let components = api.components.get_or_insert_default();
    let mut schemas = vec![(ProblemBody::name().to_string(), ProblemBody::schema())];
    ProblemBody::schemas(&mut schemas);
    components.schemas.extend(schemas);
    let bearer = |text: &str| {
        SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(text)).build())
    };
    components.add_security_scheme("bearer", bearer("An access token from `POST /api/auth/login`, or an API key"));
    components.add_security_scheme("operator", bearer("The installation's own token, `CALY_OPERATOR_TOKEN`"));
    components.add_security_scheme("development", bearer("The developer's token, `DEV_TEST_TOKEN`"));
    for (path, item) in &mut api.paths.paths {
        let in_path = path.contains('{');
        for operation in operations(item) {
            refusals(operation, in_path);
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    [get, put, post, delete, patch].into_iter().filter_map(Option::as_mut)
}

/// What an operation may answer besides its own: by what it takes.
fn refusals(operation: &mut Operation, in_path: bool) {
    let mut statuses = vec![(400, "Something in the request cannot be used")];
    if operation.security.as_ref().is_some_and(|needs| !needs.is_empty()) {
        statuses.push((401, "No credentials, or none that are ours"));
        statuses.push((403, "Not allowed"));
    }
    if in_path {
        statuses.push((404, "There is no such thing"));
    }
    if operation.request_body.is_some() {
        statuses.push((413, "The body is too large"));
        statuses.push((415, "The body is of a kind that this route does not take"));
    }
    statuses.extend([
        (429, "Too often; again after `Retry-After`"),
        (500, "A fault of ours"),
        (503, "Overloaded, stopping, or the database is away; again after `Retry-After`"),
    ]);
    for (status, text) in statuses {
        let name = status.to_string();
        operation.responses.responses.entry(name).or_insert_with(|| RefOr::T(problem(text)));
    }
}

fn problem(text: &str) -> utoipa::openapi::Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(ProblemBody::name()))).build();
    ResponseBuilder::new().description(text).content("application/problem+json", content).build()
}

/// The description as text, with a line end, as it lies in `openapi.json`.
#[must_use]
pub fn text() -> String {
    let mut text = crate::description().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

static TEXT: LazyLock<String> = LazyLock::new(text);

/// The routes that show it.
pub(crate) fn pages() -> Router<Arc<App>> {
    let viewer =
        SwaggerUi::new("/docs").config(Config::new([PATH]).try_it_out_enabled(true).display_request_duration(true));
    Router::new().route(PATH, get(document)).merge(viewer)
}

async fn document() -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], TEXT.as_str()).into_response()
}
