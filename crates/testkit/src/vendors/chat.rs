//! `POST /v1/chat/completions` as platform.openai.com/docs/api-reference/chat describes it, streamed only.

mod request;

use super::answer::{Answers, Reply, Script, ToolStyle, stream};
use super::faults::ChatFault;
use super::{Shared, add, authorized};
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use request::Request;
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) async fn models(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    if !authorized(&shared, &headers, "Bearer") {
        return refuse(&shared, 401, "invalid_api_key", "Incorrect API key provided.");
    }
    Json(json!({"object":"list","data":[{"id":"fake","object":"model","created":1,"owned_by":"testkit"}]}))
        .into_response()
}

pub(super) async fn completions(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    if !authorized(&shared, &headers, "Bearer") {
        return refuse(&shared, 401, "invalid_api_key", "Incorrect API key provided.");
    }
    let request = match request::read(&headers, &body) {
        Ok(request) => request,
        Err(message) => return refuse(&shared, 400, "invalid_value", &message),
    };
    let fault = shared.faults.chat.take();
    if let Some(ChatFault::Status(status)) = fault {
        return refuse(&shared, status, "fault", "This was asked for.");
    }
    add(&shared.counters.chat_requests, 1);
    *shared.last_chat.lock().expect("no holder panics") = String::from_utf8_lossy(&body).into_owned();
    let reply = shared.settings.answers.reply(&request.asked);
    let style = match &shared.settings.answers {
        Answers::Tools { style, .. } => *style,
        Answers::Order | Answers::Echo | Answers::Script(_) => ToolStyle::Pieces,
    };
    let script = script(&request, &reply, style);
    stream(shared, script, fault, |c| &c.chat_aborted).await
}

/// Refuses in the vendor's shape.
pub(super) fn refuse(shared: &Shared, status: u16, code: &str, message: &str) -> Response {
    add(&shared.counters.refused, 1);
    let kind = match status {
        401 | 403 => "authentication_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    };
    let status = StatusCode::from_u16(status).expect("tests name real statuses");
    let body = json!({"error":{"message":message,"type":kind,"param":null,"code":code}});
    let mut response = (status, Json(body)).into_response();
    if status == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    }
    response
}

fn script(request: &Request, reply: &Reply, style: ToolStyle) -> Script {
    let head = json!({"id":"chatcmpl-fake","object":"chat.completion.chunk","created":1,"model":request.model});
    let event = |delta: Value, reason: Option<&str>| {
        let mut chunk = head.clone();
        chunk["choices"] = json!([{"index":0,"delta":delta,"logprobs":null,"finish_reason":reason}]);
        format!("data: {chunk}\n\n")
    };
    let token = |(n, token): (usize, &String)| {
        event(if n == 0 { json!({"role":"assistant","content":token}) } else { json!({"content":token}) }, None)
    };
    let mut finish: String = tool_deltas(&reply.calls, style).into_iter().map(|delta| event(delta, None)).collect();
    finish.push_str(&event(json!({}), Some(if reply.calls.is_empty() { "stop" } else { "tool_calls" })));
    let mut end = String::new();
    if request.usage {
        let written = reply.tokens.len();
        let mut chunk = head.clone();
        chunk["choices"] = json!([]);
        chunk["usage"] = json!({"prompt_tokens":50,"completion_tokens":written,"total_tokens":50 + written,
            "prompt_tokens_details":{"cached_tokens":10,"audio_tokens":0},
            "completion_tokens_details":{"reasoning_tokens":0}});
        end.push_str(&format!("data: {chunk}\n\n"));
    }
    end.push_str("data: [DONE]\n\n");
    let error = json!({"error":{"message":"The server had an error","type":"server_error","code":null}});
    Script {
        tokens: reply.tokens.iter().enumerate().map(token).collect(),
        finish,
        end,
        error: format!("data: {error}\n\n"),
    }
}

fn tool_deltas(calls: &[(String, String)], style: ToolStyle) -> Vec<Value> {
    let mut deltas = Vec::new();
    for (n, (name, arguments)) in calls.iter().enumerate() {
        let id = format!("call_fake{n}");
        let whole = json!({"id":id,"type":"function","function":{"name":name,"arguments":arguments}});
        match style {
            ToolStyle::Pieces | ToolStyle::NoId => {
                let mut first = json!({"index":n,"type":"function","function":{"name":name,"arguments":""}});
                if style == ToolStyle::Pieces {
                    first["id"] = json!(id);
                }
                deltas.push(json!([first]));
                let (left, right) = arguments.split_at(arguments.floor_char_boundary(arguments.len() / 2));
                deltas.extend([left, right].map(|a| json!([{"index":n,"function":{"arguments":a}}])));
            }
            ToolStyle::AtOnce => {
                let mut whole = whole;
                whole["index"] = json!(n);
                match deltas.first_mut().and_then(Value::as_array_mut) {
                    Some(all) => all.push(whole),
                    None => deltas.push(json!([whole])),
                }
            }
            ToolStyle::NoIndex => deltas.push(json!([whole])),
        }
    }
    deltas.into_iter().map(|calls| json!({"tool_calls":calls})).collect()
}
