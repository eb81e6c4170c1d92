//! A web service as a tool.

use super::clients::{Asked, ToolClients, Trouble};
use super::schema::Arguments;
use super::template::{Template, Values, fill_text, scalar};
use super::{Failure, ToolError, ToolOutput, answer};
use crate::egress::Allowed;
use crate::language_model::ToolSpec;
use model::{HttpMethod, HttpTool, TenantId};
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;
use url::Url;

/// Longest and shortest time for an answer; the agent's schema says the same.
pub(super) const TIMEOUT_MS: std::ops::RangeInclusive<u64> = 50..=10_000;
/// The wait before the second try, when the service names none.
const RETRY_WAIT: Duration = Duration::from_millis(100);
/// Longest query that is written.
const QUERY_BYTES_MAX: usize = 6 * 1_024;
/// Name of the header that lets a service see a repetition (draft-ietf-httpapi-idempotency-key-header).
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A tool, made ready for a call.
pub(super) struct HttpCall {
    tool: HttpTool,
    template: Template,
    arguments: Arguments,
}

impl HttpCall {
    /// # Errors
    /// What cannot be used, for people.
    pub(super) fn new(tool: &HttpTool, allowed: Allowed) -> Result<Self, String> {
        let template = Template::parse(&tool.url, allowed).map_err(|fault| format!("its address {fault}"))?;
        let arguments = Arguments::new(tool.parameters.as_ref(), |name| tool.fixed.contains_key(name))
            .map_err(|fault| format!("its schema {fault}"))?;
        Ok(Self { tool: tool.clone(), template, arguments })
    }

    pub(super) fn spec(&self, name: &str) -> ToolSpec {
        ToolSpec {
            name: name.to_owned(),
            description: self.tool.description.clone(),
            parameters: self.arguments.schema.clone(),
        }
    }

    pub(super) const fn reads_only(&self) -> bool {
        self.tool.reads_only
    }

    /// What is sent for what the model says: checked, and with what is fixed.
    pub(super) fn arguments(
        &self,
        mut arguments: Map<String, Value>,
        variables: &BTreeMap<String, String>,
    ) -> Result<Map<String, Value>, ToolError> {
        arguments.retain(|name, _| !self.tool.fixed.contains_key(name));
        self.arguments.check(&arguments)?;
        for (name, value) in &self.tool.fixed {
            arguments.insert(name.clone(), Value::from(fill_text(value, variables)));
        }
        Ok(arguments)
    }

    /// Asks, for these arguments, which have come from [`HttpCall::arguments`].
    pub(super) async fn run(
        &self,
        clients: &ToolClients,
        tenant: TenantId,
        variables: &BTreeMap<String, String>,
        arguments: &Map<String, Value>,
        idempotency: &str,
    ) -> Result<ToolOutput, Failure> {
        let values = Values { arguments, variables };
        let mut url = self.template.fill(&values, clients.allowed()).map_err(Failure::before)?;
        let body = self.rest(arguments, &mut url).map_err(Failure::before)?;
        let headers = self.headers(variables, idempotency, body.is_some()).map_err(Failure::before)?;
        let asked = || Asked {
            tenant,
            method: method(self.tool.method),
            url: url.clone(),
            headers: headers.clone(),
            body: body.clone(),
            key: &self.tool.key,
        };
        let timeout = Duration::from_millis(self.tool.timeout_ms.clamp(*TIMEOUT_MS.start(), *TIMEOUT_MS.end()));
        let exchange = async {
            let first = clients.send(asked()).await;
            let response = match self.wait_before_retry(&first) {
                Some(wait) if wait < timeout => {
                    drop(first);
                    tokio::time::sleep(wait).await;
                    clients.send(asked()).await?
                }
                Some(_) | None => first?,
            };
            let status = response.status();
            if status.is_success() {
                return answer::success(response, self.tool.result_bytes_max as usize).await;
            }
            let error = answer::failure(response).await;
            // A service that says what is wrong with the request has not done it.
            Err(if status.is_server_error() { Failure::after(error) } else { Failure::before(error) })
        };
        match tokio::time::timeout(timeout, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::after(ToolError::TimedOut)),
        }
    }

    /// Only what changes nothing is tried again, once, when that may help.
    fn wait_before_retry(&self, first: &Result<reqwest::Response, Trouble>) -> Option<Duration> {
        if !self.tool.reads_only {
            return None;
        }
        match first {
            Err(trouble) => trouble.is_transient().then_some(RETRY_WAIT),
            Ok(response) if matches!(response.status().as_u16(), 429 | 500 | 502 | 503 | 504) => {
                let named = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
                let named = named.and_then(|value| value.trim().parse().ok()).map(Duration::from_secs);
                Some(named.map_or(RETRY_WAIT, |named| named.max(RETRY_WAIT)))
            }
            Ok(_) => None,
        }
    }

    /// The arguments that are not in the address go into the query or the body, as the method wants.
    fn rest(&self, arguments: &Map<String, Value>, url: &mut Url) -> Result<Option<String>, ToolError> {
        let used: Vec<&str> = self.template.arguments().collect();
        let rest = arguments.iter().filter(|(name, _)| !used.contains(&name.as_str()));
        match self.tool.method {
            HttpMethod::Post | HttpMethod::Put | HttpMethod::Patch => {
                let body: Map<String, Value> = rest.map(|(name, value)| (name.clone(), value.clone())).collect();
                Ok(Some(Value::Object(body).to_string()))
            }
            HttpMethod::Get | HttpMethod::Delete => {
                let taken = self.template.query_names();
                for (name, value) in rest {
                    if taken.contains(name) {
                        return Err(ToolError::Arguments(format!("`{name}` may not be given")));
                    }
                    append(url, name, value);
                }
                if url.query().is_some_and(|query| query.len() > QUERY_BYTES_MAX) {
                    return Err(ToolError::Arguments("they are too long".to_owned()));
                }
                Ok(None)
            }
        }
    }

    fn headers(
        &self,
        variables: &BTreeMap<String, String>,
        idempotency: &str,
        has_body: bool,
    ) -> Result<HeaderMap, ToolError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/plain;q=0.9, */*;q=0.1"));
        if has_body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if self.tool.method != HttpMethod::Get {
            let key = HeaderValue::from_str(idempotency).map_err(|_| odd("Idempotency-Key"))?;
            headers.insert(IDEMPOTENCY_KEY, key);
        }
        for (name, value) in &self.tool.headers {
            if is_reserved(name) {
                continue;
            }
            let value = fill_text(value, variables);
            // A line feed would begin another header.
            if !value.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) {
                return Err(odd(name));
            }
            let value = HeaderValue::from_str(&value).map_err(|_| odd(name))?;
            headers.insert(HeaderName::from_bytes(name.as_bytes()).map_err(|_| odd(name))?, value);
        }
        Ok(headers)
    }
}

fn odd(name: &str) -> ToolError {
    ToolError::Failed(format!("what this call knows does not fit into the header {name}"))
}

/// Headers that are ours, the connection's, or would make a request seem to come from somewhere else.
pub(super) fn is_reserved(name: &str) -> bool {
    const RESERVED: [&str; 13] = [
        "authorization",
        "host",
        "content-length",
        "content-encoding",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "upgrade",
        "te",
        "trailer",
        "expect",
        "cookie",
        "forwarded",
    ];
    let name = name.to_ascii_lowercase();
    RESERVED.contains(&name.as_str()) || name.starts_with("x-forwarded-") || name.starts_with("proxy-")
}

const fn method(method: HttpMethod) -> Method {
    match method {
        HttpMethod::Get => Method::GET,
        HttpMethod::Post => Method::POST,
        HttpMethod::Put => Method::PUT,
        HttpMethod::Patch => Method::PATCH,
        HttpMethod::Delete => Method::DELETE,
    }
}

/// A list of scalars is its name again and again; what is deeper is JSON.
fn append(url: &mut Url, name: &str, value: &Value) {
    let mut pairs = url.query_pairs_mut();
    match value {
        Value::Null => {}
        Value::Array(items) if items.iter().all(|item| scalar(item).is_some()) => {
            for item in items {
                pairs.append_pair(name, &scalar(item).unwrap_or_default());
            }
        }
        Value::Array(_) | Value::Object(_) => {
            pairs.append_pair(name, &value.to_string());
        }
        Value::String(_) | Value::Number(_) | Value::Bool(_) => {
            pairs.append_pair(name, &scalar(value).unwrap_or_default());
        }
    }
}
