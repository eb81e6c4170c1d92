//! OpenAI Realtime over a WebSocket (the generally available protocol): a model that hears and speaks. The server's own
//! turn detection is switched off, and audio is 24 kHz both ways.
//!
//! Reading is lenient: unknown events and fields are skipped, nothing panics.
//! Sources: github.com/openai/openai-python src/openai/types/realtime/*.py, which is made from their API description
//! (realtime_session_create_request_param, realtime_audio_config_input_param, response_create_event_param,
//! realtime_response, conversation_item_truncate_event_param …), and developers.openai.com/api/reference/resources/realtime;
//! seen November 2026. That a commit needs 100 ms of audio, and a truncation at 0 is refused, was reported by others
//! (github.com/betalgo/openai/issues/674, github.com/livekit/agents/pull/6158).

use crate::{ApiError, WireError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// Rate of the audio, both ways.
pub const RATE_HZ: u32 = 24_000;
/// Audio that a commit needs, in milliseconds.
pub const COMMIT_MS_MIN: u64 = 100;
/// Longest id of theirs that is kept, in bytes.
const ID_BYTES_MAX: usize = 128;

/// How a session is set up.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionOptions<'a> {
    /// What the model is told about its job.
    pub instructions: &'a str,
    /// Name of the voice. Cannot be changed once it was heard.
    pub voice: &'a str,
    /// The model that writes down what the caller says.
    pub transcription_model: &'a str,
    /// Its language, ISO 639-1; `None` = it finds out.
    pub language: Option<&'a str>,
    /// Longest answer in tokens, those of sound included.
    pub output_tokens_max: u32,
    /// What the model can ask for.
    pub tools: &'a [FunctionTool<'a>],
}

/// A function that the model can ask for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FunctionTool<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it is for.
    pub description: &'a str,
    /// JSON schema of its arguments.
    pub parameters: &'a Value,
}

impl FunctionTool<'_> {
    fn value(&self) -> Value {
        json!({"type": "function", "name": self.name, "description": self.description, "parameters": self.parameters})
    }
}

/// The first message: everything about the session.
#[must_use]
pub fn session_update(options: &SessionOptions<'_>) -> String {
    let tools: Vec<Value> = options.tools.iter().map(FunctionTool::value).collect();
    let format = json!({"type": "audio/pcm", "rate": RATE_HZ});
    let mut transcription = json!({"model": options.transcription_model});
    if let Some(language) = options.language {
        transcription["language"] = language.into();
    }
    json!({"type": "session.update", "session": {
        "type": "realtime",
        "output_modalities": ["audio"],
        "instructions": options.instructions,
        "max_output_tokens": options.output_tokens_max,
        "audio": {
            "input": {"format": format, "transcription": transcription, "turn_detection": null, "noise_reduction": null},
            "output": {"format": format, "voice": options.voice},
        },
        "tools": tools,
        "tool_choice": "auto",
    }})
    .to_string()
}

/// Other instructions and tools from now on.
#[must_use]
pub fn session_change(instructions: &str, tools: &[FunctionTool<'_>]) -> String {
    let tools: Vec<Value> = tools.iter().map(FunctionTool::value).collect();
    json!({"type": "session.update", "session": {"type": "realtime", "instructions": instructions, "tools": tools}})
        .to_string()
}

/// Samples of the caller.
#[must_use]
pub fn append(pcm: &[i16]) -> String {
    let mut out = String::from(r#"{"type":"input_audio_buffer.append","audio":""#);
    crate::pcm::encode_into(pcm, crate::pcm::Encoding::Pcm16, 0, &mut out);
    out.push_str(r#""}"#);
    out
}

/// What was appended becomes an item of the conversation, and is written down. `event_id` comes back with an error.
#[must_use]
pub fn commit(event_id: &str) -> String {
    json!({"type": "input_audio_buffer.commit", "event_id": event_id}).to_string()
}

/// Forgets what was appended and not committed.
pub const CLEAR: &str = r#"{"type":"input_audio_buffer.clear"}"#;

/// An item of the conversation that is written, not spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewItem<'a> {
    /// The caller's words.
    Caller(&'a str),
    /// The agent's words.
    Agent(&'a str),
    /// A function that the model asked for.
    FunctionCall {
        /// The call's id.
        call_id: &'a str,
        /// Which.
        name: &'a str,
        /// JSON.
        arguments: &'a str,
    },
    /// What it gave back.
    FunctionResult {
        /// The call's id.
        call_id: &'a str,
        /// What the model reads.
        output: &'a str,
    },
}

impl NewItem<'_> {
    fn value(&self, id: Option<&str>) -> Value {
        let message = |role: &str, kind: &str, text: &str| json!({"type": "message", "role": role, "content": [{"type": kind, "text": text}]});
        let mut value = match self {
            Self::Caller(text) => message("user", "input_text", text),
            Self::Agent(text) => message("assistant", "output_text", text),
            Self::FunctionCall { call_id, name, arguments } => {
                json!({"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments})
            }
            Self::FunctionResult { call_id, output } => {
                json!({"type": "function_call_output", "call_id": call_id, "output": output})
            }
        };
        if let Some(id) = id {
            value["id"] = id.into();
        }
        value
    }
}

/// Puts an item into the conversation: behind `after`, or first with `None`. `id` is ours, at most 32 characters.
#[must_use]
pub fn create_item(event_id: &str, id: &str, after: Option<&str>, item: &NewItem<'_>) -> String {
    json!({"type": "conversation.item.create", "event_id": event_id, "previous_item_id": after.unwrap_or("root"),
        "item": item.value(Some(id))})
    .to_string()
}

/// Takes an item out of the conversation.
#[must_use]
pub fn delete_item(event_id: &str, id: &str) -> String {
    json!({"type": "conversation.item.delete", "event_id": event_id, "item_id": id}).to_string()
}

/// Cuts spoken words of the model after so many milliseconds; at least 1, and not more than there are.
#[must_use]
pub fn truncate_item(event_id: &str, id: &str, audio_end_ms: u64) -> String {
    json!({"type": "conversation.item.truncate", "event_id": event_id, "item_id": id, "content_index": 0,
        "audio_end_ms": audio_end_ms})
    .to_string()
}

/// Asks for the next answer. `name` comes back with it.
#[must_use]
pub fn create_response(event_id: &str, name: &str) -> String {
    json!({"type": "response.create", "event_id": event_id, "response": {"metadata": {"name": name}}}).to_string()
}

/// Asks for these words in the session's voice, beside the conversation.
#[must_use]
pub fn say_response(event_id: &str, name: &str, instructions: &str, words: &str) -> String {
    json!({"type": "response.create", "event_id": event_id, "response": {
        "conversation": "none",
        "output_modalities": ["audio"],
        "instructions": instructions,
        "input": [NewItem::Caller(words).value(None)],
        "tools": [],
        "tool_choice": "none",
        "metadata": {"name": name},
    }})
    .to_string()
}

/// Ends an answer under way.
#[must_use]
pub fn cancel_response(response_id: &str) -> String {
    json!({"type": "response.cancel", "response_id": response_id}).to_string()
}

/// What an answer cost, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Read.
    pub input: u64,
    /// Of these from the cache.
    pub cached: u64,
    /// Written, sound included.
    pub output: u64,
}

/// How an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Complete, or cut at the longest answer.
    Completed,
    /// By us.
    Cancelled,
    /// It went wrong.
    Failed(ApiError),
}

/// A finished item of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemKind {
    /// Words.
    Message,
    /// The model asks for a function.
    FunctionCall {
        /// The call's id.
        call_id: String,
        /// Which.
        name: String,
        /// JSON as the model wrote it; empty until it is complete.
        arguments: String,
    },
    /// Something else.
    Other,
}

/// What the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerEvent {
    /// The connection is there; the session has its defaults.
    SessionCreated,
    /// The session is as it was wanted.
    SessionUpdated,
    /// A commit became this item.
    Committed {
        /// The item.
        item: String,
    },
    /// Words of the caller, more of them.
    TranscriptDelta {
        /// Of which item.
        item: String,
        /// More text.
        text: String,
    },
    /// The words of the caller, all of them.
    Transcript {
        /// Of which item.
        item: String,
        /// The text.
        text: String,
    },
    /// There are no words of this item.
    TranscriptFailed {
        /// Of which item.
        item: String,
        /// Why.
        error: ApiError,
    },
    /// An answer begins.
    ResponseCreated {
        /// Its id.
        response: String,
        /// The name it was asked for with.
        name: Option<String>,
    },
    /// An item of an answer begins.
    ItemAdded {
        /// Of which answer.
        response: String,
        /// The item.
        item: String,
        /// What it is.
        kind: ItemKind,
    },
    /// An item of an answer is complete.
    ItemDone {
        /// Of which answer.
        response: String,
        /// The item.
        item: String,
        /// What it is.
        kind: ItemKind,
    },
    /// More sound of an answer.
    Audio {
        /// Of which answer.
        response: String,
        /// Of which item.
        item: String,
        /// Samples.
        pcm: Vec<i16>,
    },
    /// More words of an answer: of its sound, or written.
    Text {
        /// Of which answer.
        response: String,
        /// Of which item.
        item: String,
        /// More text.
        text: String,
    },
    /// An answer is over.
    ResponseDone {
        /// Which.
        response: String,
        /// How.
        outcome: Outcome,
        /// What it cost, when it is said.
        tokens: Option<Tokens>,
    },
    /// Something is wrong; the session goes on unless it is closed.
    Error {
        /// With which message of ours; `None` = not said.
        event_id: Option<String>,
        /// What.
        error: ApiError,
    },
    /// An event that does not matter here, or that this version does not know.
    Other,
}

fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}

fn id(value: &Value, name: &str) -> Option<String> {
    text(value, name).filter(|id| (1..=ID_BYTES_MAX).contains(&id.len())).map(str::to_owned)
}

fn kind(item: &Value) -> ItemKind {
    match text(item, "type") {
        Some("message") => ItemKind::Message,
        Some("function_call") => ItemKind::FunctionCall {
            call_id: id(item, "call_id").unwrap_or_default(),
            name: text(item, "name").unwrap_or_default().to_owned(),
            arguments: text(item, "arguments").unwrap_or_default().to_owned(),
        },
        _ => ItemKind::Other,
    }
}

impl ServerEvent {
    /// Reads a text message.
    ///
    /// # Errors
    /// When it is not a JSON object, or its audio is not base64 of whole samples.
    pub fn parse(message: &str) -> Result<Self, WireError> {
        let value: Map<String, Value> = serde_json::from_str(message)?;
        let value = Value::Object(value);
        let Some(event) = text(&value, "type") else { return Ok(Self::Other) };
        Ok(Self::read(event, &value)?.unwrap_or(Self::Other))
    }

    fn read(event: &str, value: &Value) -> Result<Option<Self>, WireError> {
        let response = || id(value, "response_id");
        let item = || id(value, "item_id");
        let delta = || text(value, "delta").map(str::to_owned);
        let error = || value.get("error").map(ApiError::from_value).unwrap_or_default();
        let nothing = Value::Null;
        let inner = |name: &str| value.get(name).unwrap_or(&nothing).clone();
        let read = || {
            Some(match event {
                "session.created" => Self::SessionCreated,
                "session.updated" => Self::SessionUpdated,
                "input_audio_buffer.committed" => Self::Committed { item: item()? },
                "conversation.item.input_audio_transcription.delta" => {
                    Self::TranscriptDelta { item: item()?, text: delta()? }
                }
                "conversation.item.input_audio_transcription.completed" => {
                    Self::Transcript { item: item()?, text: text(value, "transcript")?.trim().to_owned() }
                }
                "conversation.item.input_audio_transcription.failed" => {
                    Self::TranscriptFailed { item: item()?, error: error() }
                }
                "response.created" => {
                    let inner = inner("response");
                    let name = inner.get("metadata").and_then(|metadata| id(metadata, "name"));
                    Self::ResponseCreated { response: id(&inner, "id")?, name }
                }
                "response.output_item.added" => {
                    let inner = inner("item");
                    Self::ItemAdded { response: response()?, item: id(&inner, "id")?, kind: kind(&inner) }
                }
                "response.output_item.done" => {
                    let inner = inner("item");
                    Self::ItemDone { response: response()?, item: id(&inner, "id")?, kind: kind(&inner) }
                }
                "response.output_audio_transcript.delta" | "response.output_text.delta" => {
                    Self::Text { response: response()?, item: item()?, text: delta()? }
                }
                "response.done" => done(&inner("response"))?,
                "error" => Self::Error { event_id: id(&inner("error"), "event_id"), error: error() },
                _ => Self::Other,
            })
        };
        if event != "response.output_audio.delta" {
            return Ok(read());
        }
        let (Some(response), Some(item), Some(audio)) = (response(), item(), text(value, "delta")) else {
            return Ok(None);
        };
        let bytes = STANDARD.decode(audio).map_err(|_| WireError::AudioNotBase64)?;
        let (pairs, rest) = bytes.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(WireError::OddAudio(bytes.len()));
        }
        let pcm = pairs.iter().map(|pair| i16::from_le_bytes(*pair)).collect();
        Ok(Some(Self::Audio { response, item, pcm }))
    }
}

fn done(response: &Value) -> Option<ServerEvent> {
    let outcome = match text(response, "status") {
        Some("cancelled") => Outcome::Cancelled,
        Some("failed") => {
            let error = response.get("status_details").and_then(|details| details.get("error"));
            Outcome::Failed(error.map(ApiError::from_value).unwrap_or_default())
        }
        // `incomplete` is an answer cut at its longest.
        _ => Outcome::Completed,
    };
    let number = |value: &Value, name: &str| value.get(name).and_then(Value::as_u64).unwrap_or(0);
    let tokens = response.get("usage").filter(|usage| usage.is_object()).map(|usage| Tokens {
        input: number(usage, "input_tokens"),
        cached: usage.get("input_token_details").map_or(0, |details| number(details, "cached_tokens")),
        output: number(usage, "output_tokens"),
    });
    Some(ServerEvent::ResponseDone { response: id(response, "id")?, outcome, tokens })
}

#[cfg(test)]
mod tests;
