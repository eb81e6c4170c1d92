//! OpenAI-compatible language models and speech: OpenAI itself, and the many servers that speak its protocol.
//!
//! Sources: platform.openai.com/docs/api-reference/chat/streaming, …/audio/createSpeech, …/docs/guides/error-codes.

mod model;
mod speaker;

pub use model::{ModelSettings, OpenAiModel};
pub use speaker::{OpenAiSpeaker, SpeechSettings};

use crate::http::{error_body, join_url, kind_of_status, transport_error};
use crate::{Error, ErrorKind, http::Http};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;
use wire::openai::ApiError;

/// OpenAI's own address.
pub const BASE_URL: &str = "https://api.openai.com/v1";
/// Longest wait for the first piece of an answer. A caller has long said "hello?" by then.
pub const FIRST_PIECE_TIMEOUT: Duration = Duration::from_secs(8);
/// Longest wait between two pieces.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// Longest answer in time, whatever comes.
pub const TOTAL_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest wait of a check whether service and key work.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an answer may take, piece by piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// From the request to the first piece.
    pub first: Duration,
    /// From one piece to the next.
    pub idle: Duration,
    /// From the request to the end.
    pub total: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { first: FIRST_PIECE_TIMEOUT, idle: IDLE_TIMEOUT, total: TOTAL_TIMEOUT }
    }
}

/// Where the service is and how it is reached.
#[derive(Clone, Debug)]
struct Endpoint {
    name: &'static str,
    http: Http,
    base_url: String,
    key: Option<SecretString>,
}

impl Endpoint {
    /// Sends a JSON body; gives the answer when its status is 200.
    async fn post(&self, path: &str, body: String) -> Result<reqwest::Response, Error> {
        let request = self.http.client().post(join_url(&self.base_url, path)).header(CONTENT_TYPE, "application/json");
        self.send(request.body(body)).await
    }

    /// Asks for the list of models: the cheapest request that needs a valid key. Also opens a connection, which the
    /// first answer then finds ready.
    async fn check(&self) -> Result<(), Error> {
        let request = self.http.client().get(join_url(&self.base_url, "models")).timeout(CHECK_TIMEOUT);
        // The body is read so that the connection can be used again.
        let mut response = self.send(request).await?;
        while let Ok(Some(_)) = response.chunk().await {}
        Ok(())
    }

    async fn send(&self, mut request: reqwest::RequestBuilder) -> Result<reqwest::Response, Error> {
        if let Some(key) = &self.key {
            let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose_secret().trim()))
                .map_err(|_| Error::new(ErrorKind::Unauthorized, self.name, "the key has characters no key has"))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let response = request.send().await.map_err(|e| transport_error(self.name, e))?;
        if response.status() == reqwest::StatusCode::OK {
            return Ok(response);
        }
        Err(self.refusal(response).await)
    }

    async fn refusal(&self, response: reqwest::Response) -> Error {
        let status = response.status().as_u16();
        let wait =
            response.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u32>().ok());
        let said = ApiError::parse(&error_body(response).await);
        let mut detail = describe(&format!("HTTP {status}"), &said);
        // Model names and limits are for the operator. Other messages may quote the request or part of the key.
        if matches!(status, 404 | 429 | 500..=599) && !said.message.is_empty() {
            detail = format!("{detail}: {}", said.message);
        }
        if let Some(seconds) = wait {
            detail = format!("{detail} (retry after {seconds} s)");
        }
        Error::new(kind_of_status(status), self.name, detail)
    }
}

/// `what`, with the vendor's own words for the kind of error, which never quote anybody.
fn describe(what: &str, said: &ApiError) -> String {
    match (said.kind.as_str(), said.code.as_str()) {
        ("", "") => what.to_owned(),
        (one, "") | ("", one) => format!("{what} {one}"),
        (kind, code) if kind == code => format!("{what} {kind}"),
        (kind, code) => format!("{what} {kind}/{code}"),
    }
}
