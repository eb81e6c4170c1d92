//! `POST /v1/messages` as platform.claude.com/docs/en/api/messages and …/build-with-claude/streaming describe it,
//! streamed only.

mod request;

use super::answer::{Reply, Script, stream};
use super::faults::ChatFault;
use super::{Shared, add};
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use request::Request;
use serde_json::{Value, json};
use std::sync::Arc;

/// Versions that are taken.
const VERSIONS: [&str; 2] = ["2023-06-01", "2023-01-01"];
/// Tokens of a request besides its instructions.
const PROMPT_TOKENS: u64 = 50;
/// Tokens of instructions, whatever they are.
const SYSTEM_TOKENS: u64 = 1_000;

pub(super) async fn models(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    if let Err(refused) = admit(&shared, &headers) {
        return *refused;
    }
    let model = json!({"type":"model","id":"claude-fake","display_name":"Fake","created_at":"2026-01-01T00:00:00Z"});
    Json(json!({"data":[model],"first_id":"claude-fake","has_more":false,"last_id":"claude-fake"})).into_response()
}

pub(super) async fn messages(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    if let Err(refused) = admit(&shared, &headers) {
        return *refused;
    }
    let request = match request::read(&headers, &body) {
        Ok(request) => request,
        Err(message) => return refuse(&shared, 400, &message),
    };
    let fault = shared.faults.messages.take();
    if let Some(ChatFault::Status(status)) = fault {
        return refuse(&shared, status, "This was asked for.");
    }
    add(&shared.counters.messages_requests, 1);
    *shared.last_messages.lock().expect("no holder panics") = String::from_utf8_lossy(&body).into_owned();
    let reply = shared.settings.answers.reply(&request.asked);
    let script = script(&shared, &request, &reply);
    stream(shared, script, fault, |c| &c.messages_aborted).await
}

/// Version first, then the key, as the vendor does.
fn admit(shared: &Shared, headers: &HeaderMap) -> Result<(), Box<Response>> {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    match text("anthropic-version") {
        Some(version) if VERSIONS.contains(&version) => {}
        Some(version) => {
            let message = format!("anthropic-version: \"{version}\" is not a valid version");
            return Err(Box::new(refuse(shared, 400, &message)));
        }
        None => return Err(Box::new(refuse(shared, 400, "anthropic-version: header is required"))),
    }
    let Some(key) = text("x-api-key").filter(|key| !key.is_empty()) else {
        return Err(Box::new(refuse(shared, 401, "x-api-key header is required")));
    };
    match &shared.settings.key {
        Some(wanted) if key != wanted => Err(Box::new(refuse(shared, 401, "invalid x-api-key"))),
        Some(_) | None => Ok(()),
    }
}

fn refuse(shared: &Shared, status: u16, message: &str) -> Response {
    add(&shared.counters.refused, 1);
    let kind = match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    };
    let message = if status == 529 { "Overloaded" } else { message };
    let status = StatusCode::from_u16(status).expect("tests name real statuses");
    let body = json!({"type":"error","error":{"type":kind,"message":message},"request_id":"req_fake"});
    let mut response = (status, Json(body)).into_response();
    if status == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    }
    response
}

fn event(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or(""))
}

fn script(shared: &Shared, request: &Request, reply: &Reply) -> Script {
    let mut usage = json!({"input_tokens":PROMPT_TOKENS,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,
        "output_tokens":1});
    if let Some(system) = &request.cached_system {
        let mut known = shared.cached_systems.lock().expect("no holder panics");
        let part = if known.contains(system) { "cache_read_input_tokens" } else { "cache_creation_input_tokens" };
        usage[part] = json!(SYSTEM_TOKENS);
        known.insert(system.clone());
    }
    let begin = event(&json!({"type":"message_start","message":{"id":"msg_fake","type":"message","role":"assistant",
        "content":[],"model":request.model,"stop_reason":null,"stop_sequence":null,"usage":usage}}));
    let opened = event(&json!({"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}));
    let ping = event(&json!({"type":"ping"}));
    let delta = |text: &String| {
        event(&json!({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":text}}))
    };
    let mut tokens: Vec<String> = reply.tokens.iter().map(delta).collect();
    if let Some(first) = tokens.first_mut() {
        *first = format!("{begin}{opened}{ping}{first}");
    }
    let mut finish = event(&json!({"type":"content_block_stop","index":0}));
    for (n, (name, arguments)) in reply.calls.iter().enumerate() {
        finish.push_str(&tool_block(n + 1, name, arguments));
    }
    let reason = if reply.calls.is_empty() { "end_turn" } else { "tool_use" };
    finish.push_str(&event(&json!({"type":"message_delta","delta":{"stop_reason":reason,"stop_sequence":null},
        "usage":{"output_tokens":reply.tokens.len()}})));
    Script {
        tokens,
        finish,
        end: event(&json!({"type":"message_stop"})),
        error: event(&json!({"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}})),
    }
}

fn tool_block(index: usize, name: &str, arguments: &str) -> String {
    let block = json!({"type":"tool_use","id":format!("toolu_fake{index}"),"name":name,"input":{}});
    let mut text = event(&json!({"type":"content_block_start","index":index,"content_block":block}));
    let (left, right) = arguments.split_at(arguments.floor_char_boundary(arguments.len() / 2));
    for part in ["", left, right] {
        let delta = json!({"type":"input_json_delta","partial_json":part});
        text.push_str(&event(&json!({"type":"content_block_delta","index":index,"delta":delta})));
    }
    text.push_str(&event(&json!({"type":"content_block_stop","index":index})));
    text
}
