//! OpenAI-compatible language models, speech and transcription: OpenAI itself, and the many servers that speak its
//! protocol.
//!
//! Sources: platform.openai.com/docs/api-reference/chat/streaming, …/audio/createSpeech, …/audio/createTranscription,
//! …/docs/guides/error-codes.

mod model;
mod speaker;
mod transcriber;

pub use crate::answer::{Deadlines, FIRST_PIECE_TIMEOUT, IDLE_TIMEOUT, TOTAL_TIMEOUT, USAGE_TIMEOUT};
pub use model::{ModelSettings, OpenAiModel};
pub use speaker::{OpenAiSpeaker, SpeechSettings};
pub use transcriber::{OpenAiTranscriber, TRANSCRIPTION_TIMEOUT, TranscriptionSettings, UTTERANCE_S_MAX};

use crate::http::{join_url, transport_error};
use crate::refusal::refusal;
use crate::{Error, ErrorKind, http::Http};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;

/// OpenAI's own address.
pub const BASE_URL: &str = "https://api.openai.com/v1";
/// Longest wait of a check whether service and key work.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

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
        self.post_as(path, "application/json", body.into()).await
    }

    /// Sends a body of any type; gives the answer when its status is 200.
    async fn post_as(&self, path: &str, content_type: &str, body: Vec<u8>) -> Result<reqwest::Response, Error> {
        let request = self.http.client().post(join_url(&self.base_url, path)).header(CONTENT_TYPE, content_type);
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
            Ok(response)
        } else {
            Err(refusal(self.name, response).await)
        }
    }
}
