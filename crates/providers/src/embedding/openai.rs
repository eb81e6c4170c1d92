//! OpenAI-compatible `/v1/embeddings`: OpenAI itself, Ollama, vLLM, llama.cpp, Text Embeddings Inference.
//!
//! Sources: platform.openai.com/docs/api-reference/embeddings/create, github.com/ollama/ollama docs/openai.md,
//! docs.vllm.ai "OpenAI-Compatible Server", github.com/ggml-org/llama.cpp tools/server/README.md.

use crate::http::{Http, join_url, transport_error};
use crate::recall::Embedder;
use crate::refusal::refusal;
use crate::{BoxFuture, Error, ErrorKind};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Name of this provider.
const NAME: &str = "embedding";
/// Texts in one request. OpenAI takes 2048; servers on one's own machine are given less at once.
pub const INPUTS_MAX: usize = 64;
/// Longest text that is sent, in bytes; the rest of a longer one is left out. OpenAI takes 8192 tokens, small models 512.
pub const TEXT_BYTES_MAX: usize = 8 * 1024;
/// Longest wait for one request. A question of a live call is given less by who asks.
pub const EMBEDDING_TIMEOUT: Duration = Duration::from_secs(30);
/// Most numbers in a vector; the largest known model has 4096.
pub const VECTOR_NUMBERS_MAX: usize = 4_096;
/// Longest answer: 64 vectors of 4096 numbers as text.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Vectors shorter than this have no direction.
const LENGTH_MIN: f32 = 1e-6;

/// How to reach a service.
#[derive(Clone, Debug)]
pub struct EmbeddingSettings {
    /// Address up to and with `/v1`; a slash at its end does not matter.
    pub base_url: String,
    /// The model.
    pub model: String,
    /// The key; `None` for servers without.
    pub key: Option<SecretString>,
    /// Longest wait for one request.
    pub timeout: Duration,
}

impl EmbeddingSettings {
    /// With the usual time limit.
    #[must_use]
    pub fn new(base_url: impl Into<String>, model: impl Into<String>, key: Option<SecretString>) -> Self {
        Self { base_url: base_url.into(), model: model.into(), key, timeout: EMBEDDING_TIMEOUT }
    }
}

/// A service that makes vectors.
#[derive(Debug)]
pub struct OpenAiEmbedder {
    http: Http,
    settings: EmbeddingSettings,
    name: String,
    /// As many as the first answer had; 0 = there was none yet.
    dimensions: AtomicUsize,
}

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    input: Vec<&'a str>,
    encoding_format: &'static str,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    index: usize,
    embedding: Vec<f32>,
}

impl OpenAiEmbedder {
    /// An embedder; nothing is sent yet.
    #[must_use]
    pub fn new(http: Http, settings: EmbeddingSettings) -> Self {
        // Another address of the same model may be another model.
        let name = format!("{} at {}", settings.model, settings.base_url.trim().trim_end_matches('/'));
        Self { http, settings, name, dimensions: AtomicUsize::new(0) }
    }

    async fn batch(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, Error> {
        let input = texts.iter().map(|text| &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]).collect();
        let request = Request { model: &self.settings.model, input, encoding_format: "float" };
        let body = serde_json::to_vec(&request).map_err(|e| protocol("the request cannot be written").caused_by(e))?;
        let answer = tokio::time::timeout(self.settings.timeout, self.ask(body))
            .await
            .map_err(|_| Error::new(ErrorKind::TimedOut, NAME, "no vectors in time"))??;
        let answer: Answer =
            serde_json::from_slice(&answer).map_err(|_| protocol("the answer is no list of vectors"))?;
        self.checked(answer, texts.len())
    }

    async fn ask(&self, body: Vec<u8>) -> Result<Vec<u8>, Error> {
        let url = join_url(&self.settings.base_url, "embeddings");
        let mut request = self.http.client().post(url).header(CONTENT_TYPE, "application/json").body(body);
        if let Some(key) = &self.settings.key {
            let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose_secret().trim()))
                .map_err(|_| Error::new(ErrorKind::Unauthorized, NAME, "the key has characters no key has"))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let mut response = request.send().await.map_err(|e| transport_error(NAME, e))?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(refusal(NAME, response).await);
        }
        let mut answer = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|e| transport_error(NAME, e))? {
            if answer.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(protocol("the answer is too long"));
            }
            answer.extend_from_slice(&piece);
        }
        Ok(answer)
    }

    /// The vectors in the order of the texts, each of length one.
    fn checked(&self, answer: Answer, count: usize) -> Result<Vec<Vec<f32>>, Error> {
        if answer.data.len() != count {
            return Err(protocol("there are not as many vectors as texts"));
        }
        let mut vectors: Vec<Option<Vec<f32>>> = vec![None; count];
        for Item { index, embedding } in answer.data {
            let Some(place @ None) = vectors.get_mut(index) else {
                return Err(protocol("a vector belongs to no text, or two to one"));
            };
            if embedding.is_empty() || embedding.len() > VECTOR_NUMBERS_MAX {
                return Err(protocol("a vector is empty or too long"));
            }
            let known = match self.dimensions.compare_exchange(0, embedding.len(), Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => embedding.len(),
                Err(known) => known,
            };
            if known != embedding.len() {
                return Err(protocol("a vector has another number of dimensions than those before"));
            }
            *place = Some(unit(embedding).ok_or_else(|| protocol("a vector has no direction"))?);
        }
        vectors.into_iter().map(|vector| vector.ok_or_else(|| protocol("a text has no vector"))).collect()
    }
}

impl Embedder for OpenAiEmbedder {
    fn name(&self) -> &str {
        &self.name
    }

    fn dimensions(&self) -> usize {
        self.dimensions.load(Ordering::Relaxed)
    }

    fn embed<'a>(&'a self, texts: &'a [String]) -> BoxFuture<'a, Result<Vec<Vec<f32>>, Error>> {
        Box::pin(async move {
            let mut vectors = Vec::with_capacity(texts.len());
            for batch in texts.chunks(INPUTS_MAX) {
                vectors.extend(self.batch(batch).await?);
            }
            Ok(vectors)
        })
    }
}

/// Of length one; none when it has no length or is not finite.
fn unit(mut vector: Vec<f32>) -> Option<Vec<f32>> {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if !length.is_finite() || length < LENGTH_MIN {
        return None;
    }
    vector.iter_mut().for_each(|value| *value /= length);
    Some(vector)
}

fn protocol(detail: &str) -> Error {
    Error::new(ErrorKind::Protocol, NAME, detail)
}
