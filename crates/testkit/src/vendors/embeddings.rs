//! `POST /v1/embeddings` as platform.openai.com/docs/api-reference/embeddings/create describes it, on a server of its own.
//!
//! Its vectors stand for meaning as tests need it: words of one concept point the same way, whatever their language;
//! every other word has a direction of its own.

use super::faults::FaultLine;
use super::serve;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The one key that is accepted.
pub const EMBEDDINGS_KEY: &str = "sk-embeddings";
/// The one model there is.
pub const EMBEDDINGS_MODEL: &str = "embed-fake";
/// Numbers in a vector.
pub const EMBEDDINGS_DIMENSIONS: usize = 96;
/// Texts in a request.
const INPUTS_MAX: usize = 2_048;
/// Longest text, in characters; about 8192 tokens.
const TEXT_CHARS_MAX: usize = 32 * 1024;
/// Largest request.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Fields that the reference knows.
const FIELDS: [&str; 5] = ["input", "model", "encoding_format", "dimensions", "user"];

/// How a request for vectors goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmbeddingFault {
    /// Refused with this status and the vendor's body for it.
    Status(u16),
    /// No answer at all, not even a status.
    Hang,
    /// A page for people, with status 200.
    Html,
    /// JSON that ends in the middle.
    Malformed,
    /// One vector too few.
    Short,
    /// The same index twice.
    Twice,
    /// Vectors with a number less than usual.
    OtherDimensions,
    /// Vectors of zeros.
    Zero,
    /// A body without end.
    Endless,
    /// The vectors in another order, each with its right index.
    Shuffled,
}

struct Shared {
    concepts: Vec<Vec<String>>,
    faults: FaultLine<EmbeddingFault>,
    requests: AtomicU64,
    refused: AtomicU64,
    inputs: Mutex<Vec<String>>,
}

/// A running fake; dropping ends it.
pub struct FakeEmbeddings {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
}

impl FakeEmbeddings {
    /// Starts it on a free port. Each concept is a list of words, in lower case, that mean the same.
    ///
    /// # Errors
    /// When there is no port to listen on.
    pub async fn start(concepts: &[&[&str]]) -> std::io::Result<Self> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let own = |words: &&[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let shared = Arc::new(Shared {
            concepts: concepts.iter().map(own).collect(),
            faults: FaultLine::default(),
            requests: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            inputs: Mutex::default(),
        });
        let stop = CancellationToken::new();
        let router = Router::new()
            .route("/v1/embeddings", post(embeddings).layer(DefaultBodyLimit::max(BODY_BYTES_MAX)))
            .with_state(Arc::clone(&shared));
        serve(listener, router, stop.clone());
        Ok(Self { address, shared, stop })
    }

    /// Base URL for the OpenAI protocol.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Requests accepted.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// Requests that a strict vendor refuses.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// Every text that vectors were made of, in order.
    #[must_use]
    pub fn inputs(&self) -> Vec<String> {
        self.shared.inputs.lock().expect("no holder panics").clone()
    }

    /// The next `times` requests go wrong.
    pub fn break_it(&self, fault: EmbeddingFault, times: u32) {
        self.shared.faults.set(fault, times);
    }
}

impl Drop for FakeEmbeddings {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn embeddings(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if bearer.strip_prefix("Bearer ") != Some(EMBEDDINGS_KEY) {
        return refuse(&shared, 401, "Incorrect API key provided.");
    }
    let texts = match read(&headers, &body) {
        Ok(texts) => texts,
        Err((status, message)) => return refuse(&shared, status, &message),
    };
    let fault = shared.faults.take();
    match fault {
        Some(EmbeddingFault::Status(status)) => return refuse(&shared, status, "This was asked for."),
        Some(EmbeddingFault::Hang) => std::future::pending::<()>().await,
        Some(EmbeddingFault::Html) => return super::answer::page(),
        Some(EmbeddingFault::Endless) => {
            let spaces = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 65_536])));
            return ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(spaces)).into_response();
        }
        Some(
            EmbeddingFault::Malformed
            | EmbeddingFault::Short
            | EmbeddingFault::Twice
            | EmbeddingFault::OtherDimensions
            | EmbeddingFault::Zero
            | EmbeddingFault::Shuffled,
        )
        | None => {}
    }
    shared.requests.fetch_add(1, Ordering::Relaxed);
    let item = |(index, text): (usize, &String)| {
        let mut vector = vector(&shared.concepts, text);
        if fault == Some(EmbeddingFault::OtherDimensions) {
            vector.pop();
        }
        if fault == Some(EmbeddingFault::Zero) {
            vector.fill(0.0);
        }
        let index = if fault == Some(EmbeddingFault::Twice) { 0 } else { index };
        json!({"object":"embedding","index":index,"embedding":vector})
    };
    let mut data: Vec<Value> = texts.iter().enumerate().map(item).collect();
    if fault == Some(EmbeddingFault::Short) {
        data.pop();
    }
    if fault == Some(EmbeddingFault::Shuffled) {
        data.reverse();
    }
    shared.inputs.lock().expect("no holder panics").extend(texts);
    let answer =
        json!({"object":"list","data":data,"model":EMBEDDINGS_MODEL,"usage":{"prompt_tokens":1,"total_tokens":1}});
    if fault == Some(EmbeddingFault::Malformed) {
        let text = answer.to_string();
        return ([(header::CONTENT_TYPE, "application/json")], text[..text.len() / 2].to_owned()).into_response();
    }
    Json(answer).into_response()
}

fn read(headers: &HeaderMap, body: &[u8]) -> Result<Vec<String>, (u16, String)> {
    let invalid = |message: &str| (400, message.to_owned());
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("application/json") {
        return Err(invalid("Invalid Content-Type header."));
    }
    let value: Value = serde_json::from_slice(body).map_err(|_| invalid("We could not parse the JSON body."))?;
    let fields = value.as_object().ok_or_else(|| invalid("The body must be an object."))?;
    if let Some(unknown) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        return Err((400, format!("Unrecognized request argument supplied: {unknown}")));
    }
    if fields.get("model").and_then(Value::as_str) != Some(EMBEDDINGS_MODEL) {
        return Err((404, "The model does not exist or you do not have access to it.".to_owned()));
    }
    if fields.get("encoding_format").is_some_and(|format| format != "float") {
        return Err(invalid("This fake makes floats only."));
    }
    let inputs: Option<Vec<String>> = match fields.get("input") {
        Some(Value::String(text)) => Some(vec![text.clone()]),
        Some(Value::Array(texts)) => texts.iter().map(|text| text.as_str().map(str::to_owned)).collect(),
        _ => None,
    };
    let inputs = inputs.filter(|texts| (1..=INPUTS_MAX).contains(&texts.len()));
    let inputs = inputs.ok_or_else(|| invalid("'$.input' is invalid."))?;
    if inputs.iter().any(|text| text.is_empty() || text.chars().count() > TEXT_CHARS_MAX) {
        return Err(invalid("'$.input' is invalid: a text is empty or too long."));
    }
    Ok(inputs)
}

fn refuse(shared: &Shared, status: u16, message: &str) -> Response {
    shared.refused.fetch_add(1, Ordering::Relaxed);
    let body = json!({"error":{"message":message,"type":"invalid_request_error","param":null,"code":null}});
    (StatusCode::from_u16(status).expect("tests name real statuses"), Json(body)).into_response()
}

/// The sum of the directions of its words.
fn vector(concepts: &[Vec<String>], text: &str) -> Vec<f32> {
    let mut vector = vec![0.0_f32; EMBEDDINGS_DIMENSIONS];
    // No text is without direction.
    vector[EMBEDDINGS_DIMENSIONS - 1] = 0.01;
    let letters = |c: char| c.is_alphanumeric() || ('\u{0900}'..='\u{0963}').contains(&c);
    for word in text.to_lowercase().split(|c| !letters(c)).filter(|word| !word.is_empty()) {
        match concepts.iter().position(|words| words.iter().any(|one| one == word)) {
            Some(concept) => vector[concept % EMBEDDINGS_DIMENSIONS] += 3.0,
            None => vector[concepts.len() + sum(word) % (EMBEDDINGS_DIMENSIONS - concepts.len() - 1)] += 0.3,
        }
    }
    vector
}

/// The same for the same word, everywhere.
fn sum(word: &str) -> usize {
    word.bytes().fold(5_381_usize, |sum, byte| sum.wrapping_mul(33) ^ usize::from(byte)) % 10_007
}
