//! What every request passes, outermost first:
//!
//! 1. request id: made here, in the response and in every problem
//! 2. log: one line per request, without query, body or numbers
//! 3. panic to 500: a fault in one request does not end the node
//! 4. time limit
//! 5. load shed: beyond the limit of requests at once, 503 at once
//! 6. body limit
//!
//! Connection limits and the header time limit come before all of them, in [`crate::server`].

use crate::problem::{Code, IsProblem, Problem};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;

/// Longest a request may take. Carriers give us 10 s at most, their own way to us included, and hang up on slower
/// answers.
const REQUEST_DEADLINE: Duration = Duration::from_secs(8);
/// Requests at once. Each holds at most a body and a database connection's turn; more would only wait.
const REQUESTS_MAX: usize = 512;
/// A request slower than this is flagged in the log.
const SLOW: Duration = Duration::from_millis(1_000);
/// Largest answer of an error that is rewritten into a problem.
const REWRITE_BYTES_MAX: usize = 4 * 1024;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of the request being handled.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) Arc<str>);

pub(crate) fn around(routes: Router) -> Router {
    let room = Arc::new(Semaphore::new(REQUESTS_MAX));
    routes
        .layer(DefaultBodyLimit::max(wire::fields::BODY_BYTES_MAX))
        .layer(middleware::from_fn(move |request, next| shed(room.clone(), request, next)))
        .layer(middleware::from_fn(in_time))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(log_and_name))
}

async fn log_and_name(mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = RequestId(new_request_id());
    request.extensions_mut().insert(id.clone());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let response = next.run(request).await;
    let mut response = as_problem(response, &id).await;
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let elapsed = began.elapsed();
    tracing::info!(
        request.id = %id.0, http.method = %method, http.route = route.as_deref().unwrap_or("-"),
        http.status = response.status().as_u16(), duration_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        slow = elapsed > SLOW, "request"
    );
    response
}

/// Errors of the framework itself (a body too large, a bad path) become problems, too; ours get the request's id.
async fn as_problem(response: Response, id: &RequestId) -> Response {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let ours = response.extensions().get::<IsProblem>().is_some();
    // The framework's errors are plain text; an answer in JSON (a node that is not ready) is a handler's own.
    let json = |kind: &HeaderValue| kind.as_bytes().starts_with(b"application/json");
    if !ours && response.headers().get(CONTENT_TYPE).is_some_and(json) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let bytes = to_bytes(body, REWRITE_BYTES_MAX).await.unwrap_or_default();
    if ours {
        let mut value: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
        value["request_id"] = serde_json::Value::String(id.0.to_string());
        parts.headers.remove("content-length");
        return Response::from_parts(parts, Body::from(value.to_string()));
    }
    let code = match status.as_u16() {
        404 => Code::NotFound,
        405 => Code::MethodNotAllowed,
        413 => Code::BodyTooLarge,
        500.. => Code::Internal,
        _ => Code::MalformedBody,
    };
    Problem::new(code, "the request could not be read").answered_with(status).in_request(&id.0).into_response()
}

async fn in_time(request: Request, next: Next) -> Response {
    tokio::time::timeout(REQUEST_DEADLINE, next.run(request))
        .await
        .unwrap_or_else(|_| Problem::new(Code::RequestTimeout, "the request took too long").into_response())
}

async fn shed(room: Arc<Semaphore>, request: Request, next: Next) -> Response {
    match room.try_acquire() {
        Ok(_permit) => next.run(request).await,
        Err(_) => Problem::new(Code::Overloaded, "too many requests at once").into_response(),
    }
}

fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    // The panic itself is logged by the panic hook, with its place; the client learns nothing of it.
    Problem::new(Code::Internal, "something went wrong on our side").into_response()
}

/// 128 bits of randomness as 32 hexadecimal digits.
fn new_request_id() -> Arc<str> {
    let mut bytes = [0u8; 16];
    if getrandom::fill(&mut bytes).is_err() {
        return "unknown".into();
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
}
