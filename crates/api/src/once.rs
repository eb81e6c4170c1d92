//! Requests that may be sent twice and take effect once: `Idempotency-Key`.
//!
//! The key stands for one request of one organisation on one route. The answer is kept in the transaction of the effect;
//! a request that failed leaves nothing behind and may be sent again. Twenty at once with one key: one takes effect, the
//! others wait for it and get its answer.

use crate::caller::Caller;
use crate::{Code, Problem};
use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use store::Tx;
use store::idempotency::{self, Begun, KEY_CHARS_MAX};

const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The header, for the description.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only describes the header that `IdempotencyKey` reads")]
pub(crate) struct IdempotencyHeader {
    /// Any text of yours that stands for this one request, for example a random id. Sent again within 24 hours with the
    /// same body, the first answer comes back, with the header `Idempotency-Replayed: true`, and nothing else happens.
    #[param(rename = "Idempotency-Key", value_type = String, required = false, min_length = 1, max_length = 255, pattern = "^[!-~]+$")]
    idempotency_key: Option<String>,
}

/// The key of the request, if it has one.
pub(crate) struct IdempotencyKey(Option<String>);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut values = parts.headers.get_all(HEADER).iter();
        let Some(value) = values.next() else { return Ok(Self(None)) };
        if values.next().is_some() {
            return Err(Problem::field("Idempotency-Key", "is given twice"));
        }
        let key = value
            .to_str()
            .ok()
            .filter(|key| (1..=KEY_CHARS_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()));
        match key {
            Some(key) => Ok(Self(Some(key.to_owned()))),
            None => Err(Problem::field("Idempotency-Key", "must have 1 to 255 visible ASCII characters")),
        }
    }
}

/// An answer that can be given again.
pub(crate) struct Answer {
    status: u16,
    body: Value,
    replayed: bool,
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        // What is kept was a status once.
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let mut response = (status, Json(self.body)).into_response();
        if self.replayed {
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

impl IdempotencyKey {
    /// The answer to the same request, if there was one. `route` names the route: `agents.create`. With none, whoever
    /// calls does what is asked, and then [`IdempotencyKey::created`], in this transaction.
    ///
    /// # Errors
    /// [`Code::IdempotencyKeyReused`] when the key came with another body; when the database fails.
    pub(crate) async fn replay<S>(
        &self,
        caller: &Caller<S>,
        tx: &mut Tx,
        route: &str,
        request: &impl Serialize,
    ) -> Result<Option<Answer>, Problem> {
        let Some(key) = &self.0 else { return Ok(None) };
        match idempotency::begin(tx, route, key, hash(request)?, caller.now).await? {
            Begun::First => Ok(None),
            Begun::Replay { status, body } => Ok(Some(Answer { status, body, replayed: true })),
            Begun::OtherBody => {
                Err(Problem::new(Code::IdempotencyKeyReused, "this idempotency key came with another body before"))
            }
        }
    }

    /// Answers 201 with what was made, and keeps the answer when there is a key.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn created(&self, tx: &mut Tx, route: &str, made: &impl Serialize) -> Result<Answer, Problem> {
        let status = StatusCode::CREATED.as_u16();
        let body = serde_json::to_value(made).map_err(|error| unwritable(&error))?;
        if let Some(key) = &self.0 {
            idempotency::finish(tx, route, key, status, &body).await?;
        }
        Ok(Answer { status, body, replayed: false })
    }
}

/// Of the request as it was understood: neither spaces nor the order of fields make it another one.
fn hash(request: &impl Serialize) -> Result<[u8; 32], Problem> {
    let bytes = serde_json::to_vec(request).map_err(|error| unwritable(&error))?;
    Ok(Sha256::digest(bytes).into())
}

fn unwritable(error: &serde_json::Error) -> Problem {
    tracing::error!(error = %error, "something of ours cannot be written as JSON");
    Problem::new(Code::Internal, "something went wrong on our side").caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    async fn read(values: &[&[u8]]) -> Result<Option<String>, Problem> {
        let mut request = Request::builder();
        for value in values {
            request = request.header(HEADER, HeaderValue::from_bytes(value).expect("a header"));
        }
        let (mut parts, ()) = request.body(()).expect("a request").into_parts();
        IdempotencyKey::from_request_parts(&mut parts, &()).await.map(|key| key.0)
    }

    #[tokio::test]
    async fn keys_are_visible_ascii() {
        let longest = "k".repeat(255);
        for (given, want) in [("a", "a"), ("9f3c-~!", "9f3c-~!"), (longest.as_str(), longest.as_str())] {
            assert_eq!(read(&[given.as_bytes()]).await.expect("a key").as_deref(), Some(want));
        }
        assert_eq!(read(&[]).await.expect("none"), None);
        let long = "k".repeat(256);
        for values in [&[b"".as_slice()][..], &[b"a b"], &["é".as_bytes()], &[long.as_bytes()], &[b"a", b"a"]] {
            let problem = read(values).await.expect_err("refused");
            assert_eq!((problem.code, problem.faults()[0].field.as_str()), (Code::InvalidFields, "Idempotency-Key"));
        }
    }
}
