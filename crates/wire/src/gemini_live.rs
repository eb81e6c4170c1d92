//! Gemini Live (`BidiGenerateContent`) over a WebSocket: a model that hears and speaks. The server's own activity
//! detection is switched off. Audio is 16 kHz to it and 24 kHz from it.
//!
//! Reading is lenient: unknown messages and fields are skipped, nothing panics.
//! Sources: ai.google.dev/api/live (messages and fields), ai.google.dev/gemini-api/docs/live-guide (activity signals, audio
//! formats) and …/live-session (connections end after about ten minutes, told by `goAway`);
//! github.com/googleapis/js-genai src/live.ts and src/converters/_live_converters.ts (path, header, field names); seen
//! November 2026. Newer models take `clientContent` only as the beginning of a session, so there words are sent as
//! `realtimeInput.text` (ai.google.dev/gemini-api/docs/live-guide).

use crate::WireError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Rate of the audio that is sent.
pub const INPUT_RATE_HZ: u32 = 16_000;
/// Rate of the audio that comes, when it does not say.
pub const OUTPUT_RATE_HZ: u32 = 24_000;
/// The path of the address.
pub const PATH: &str = "ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";
/// The header of the key.
pub const KEY_HEADER: &str = "x-goog-api-key";
/// Longest id or name that is kept, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// Most function calls of one message that are read.
const CALLS_MAX: usize = 16;

/// How a session is set up. It cannot be changed afterwards.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup<'a> {
    /// Model name, with or without `models/`.
    pub model: &'a str,
    /// Name of the voice.
    pub voice: &'a str,
    /// What the model is told about its job, and what was said before this connection.
    pub instructions: &'a str,
    /// Longest answer in tokens, those of sound included.
    pub output_tokens_max: u32,
    /// What the model can ask for.
    pub functions: &'a [Function<'a>],
}

/// A function that the model can ask for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Function<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it is for.
    pub description: &'a str,
    /// JSON schema of its arguments.
    pub parameters: &'a Value,
}

/// The first message. It is answered by `setupComplete`.
#[must_use]
pub fn setup(setup: &Setup<'_>) -> String {
    let declarations: Vec<Value> = setup
        .functions
        .iter()
        .map(|f| json!({"name": f.name, "description": f.description, "parametersJsonSchema": f.parameters}))
        .collect();
    let model = setup.model.trim();
    let model = if model.starts_with("models/") { model.to_owned() } else { format!("models/{model}") };
    let mut value = json!({
        "model": model,
        "generationConfig": {
            "responseModalities": ["AUDIO"],
            "maxOutputTokens": setup.output_tokens_max,
            "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": setup.voice}}},
        },
        "systemInstruction": {"parts": [{"text": setup.instructions}]},
        "realtimeInputConfig": {"automaticActivityDetection": {"disabled": true}},
        "inputAudioTranscription": {},
        "outputAudioTranscription": {},
        // Without it a session with audio ends after a quarter of an hour.
        "contextWindowCompression": {"slidingWindow": {}},
    });
    if !declarations.is_empty() {
        value["tools"] = json!([{"functionDeclarations": declarations}]);
    }
    json!({"setup": value}).to_string()
}

/// The caller begins to speak.
pub const ACTIVITY_START: &str = r#"{"realtimeInput":{"activityStart":{}}}"#;
/// The caller has finished: an answer follows.
pub const ACTIVITY_END: &str = r#"{"realtimeInput":{"activityEnd":{}}}"#;

/// Samples of the caller, at [`INPUT_RATE_HZ`].
#[must_use]
pub fn audio(pcm: &[i16]) -> String {
    let mut out = String::from(r#"{"realtimeInput":{"audio":{"data":""#);
    crate::pcm::encode_into(pcm, crate::pcm::Encoding::Pcm16, 0, &mut out);
    out.push_str(r#"","mimeType":"audio/pcm;rate=16000"}}}"#);
    out
}

/// Words instead of sound: an answer follows.
#[must_use]
pub fn words(model: &str, text: &str) -> String {
    if model.trim_start_matches("models/").starts_with("gemini-2") {
        json!({"clientContent": {"turns": [{"role": "user", "parts": [{"text": text}]}], "turnComplete": true}})
            .to_string()
    } else {
        json!({"realtimeInput": {"text": text}}).to_string()
    }
}

/// What functions gave back: an answer follows. Each is (id, name, text).
#[must_use]
pub fn tool_response(results: &[(&str, &str, &str)]) -> String {
    let responses: Vec<Value> =
        results.iter().map(|(id, name, text)| json!({"id": id, "name": name, "response": {"output": text}})).collect();
    json!({"toolResponse": {"functionResponses": responses}}).to_string()
}

/// The model asks for a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionCall {
    /// The call's id; the answer repeats it.
    pub id: String,
    /// Which.
    pub name: String,
    /// JSON.
    pub arguments: String,
}

/// What a message says. Several things can come at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerMessage {
    /// The session is set up.
    pub is_ready: bool,
    /// More words of the caller.
    pub caller: Option<String>,
    /// More words of the model.
    pub agent: Option<String>,
    /// More sound of the model, and its rate.
    pub audio: Vec<i16>,
    /// Rate of the sound.
    pub rate_hz: u32,
    /// Functions that the model asks for; it waits for what they give back.
    pub calls: Vec<FunctionCall>,
    /// The answer was ended by the caller's activity.
    pub interrupted: bool,
    /// The answer is complete.
    pub turn_complete: bool,
    /// The connection ends soon.
    pub goes_away: bool,
    /// Tokens read and written for the answer.
    pub tokens: Option<Tokens>,
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

fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}

fn name(value: &Value, field: &str) -> String {
    text(value, field).filter(|name| name.len() <= NAME_BYTES_MAX).unwrap_or_default().to_owned()
}

impl ServerMessage {
    /// Reads a message, which comes as bytes or as text.
    ///
    /// # Errors
    /// When it is not a JSON object, or its audio is not base64 of whole samples.
    pub fn parse(message: &[u8]) -> Result<Self, WireError> {
        let value: Value = serde_json::from_slice(message)?;
        if !value.is_object() {
            return Err(WireError::Malformed { column: 0 });
        }
        let mut read = Self { rate_hz: OUTPUT_RATE_HZ, ..Self::default() };
        read.is_ready = value.get("setupComplete").is_some();
        read.goes_away = value.get("goAway").is_some();
        if let Some(content) = value.get("serverContent") {
            read.content(content)?;
        }
        let calls = value.get("toolCall").and_then(|call| call.get("functionCalls")).and_then(Value::as_array);
        for call in calls.into_iter().flatten().take(CALLS_MAX) {
            let arguments = call.get("args").filter(|args| args.is_object()).map_or("{}".to_owned(), Value::to_string);
            read.calls.push(FunctionCall { id: name(call, "id"), name: name(call, "name"), arguments });
        }
        read.tokens = value.get("usageMetadata").filter(|usage| usage.is_object()).map(|usage| {
            let number = |name: &str| usage.get(name).and_then(Value::as_u64).unwrap_or(0);
            Tokens {
                input: number("promptTokenCount"),
                cached: number("cachedContentTokenCount"),
                output: number("responseTokenCount") + number("thoughtsTokenCount"),
            }
        });
        Ok(read)
    }

    fn content(&mut self, content: &Value) -> Result<(), WireError> {
        let flag = |name: &str| content.get(name).and_then(Value::as_bool) == Some(true);
        (self.interrupted, self.turn_complete) = (flag("interrupted"), flag("turnComplete"));
        let words = |name: &str| content.get(name).and_then(|said| text(said, "text")).map(str::to_owned);
        (self.caller, self.agent) = (words("inputTranscription"), words("outputTranscription"));
        let parts = content.get("modelTurn").and_then(|turn| turn.get("parts")).and_then(Value::as_array);
        for data in parts.into_iter().flatten().filter_map(|part| part.get("inlineData")) {
            let kind = text(data, "mimeType").unwrap_or_default();
            if !kind.starts_with("audio/pcm") {
                continue;
            }
            let rate = kind.split("rate=").nth(1).and_then(|rate| rate.split(';').next()?.trim().parse().ok());
            self.rate_hz = rate.unwrap_or(OUTPUT_RATE_HZ);
            let bytes =
                STANDARD.decode(text(data, "data").unwrap_or_default()).map_err(|_| WireError::AudioNotBase64)?;
            let (pairs, rest) = bytes.as_chunks::<2>();
            if !rest.is_empty() {
                return Err(WireError::OddAudio(bytes.len()));
            }
            self.audio.extend(pairs.iter().map(|pair| i16::from_le_bytes(*pair)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(text: &str) -> Value {
        serde_json::from_str(text).expect("JSON")
    }

    #[test]
    fn what_is_sent_has_their_shape() {
        let parameters = json!({"type": "object"});
        let functions = [Function { name: "book", description: "Books.", parameters: &parameters }];
        let options = Setup {
            model: "gemini-2.5-flash-native-audio-preview-12-2025",
            voice: "Kore",
            instructions: "Be kind.",
            output_tokens_max: 2_048,
            functions: &functions,
        };
        let want = json!({"setup": {
            "model": "models/gemini-2.5-flash-native-audio-preview-12-2025",
            "generationConfig": {"responseModalities": ["AUDIO"], "maxOutputTokens": 2048,
                "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}}},
            "systemInstruction": {"parts": [{"text": "Be kind."}]},
            "realtimeInputConfig": {"automaticActivityDetection": {"disabled": true}},
            "inputAudioTranscription": {}, "outputAudioTranscription": {},
            "contextWindowCompression": {"slidingWindow": {}},
            "tools": [{"functionDeclarations":
                [{"name": "book", "description": "Books.", "parametersJsonSchema": {"type": "object"}}]}],
        }});
        assert_eq!(value(&setup(&options)), want);
        let bare = Setup { functions: &[], model: "models/x", ..options };
        assert!(value(&setup(&bare))["setup"].get("tools").is_none());
        assert_eq!(value(&setup(&bare))["setup"]["model"], "models/x");
        for (given, want) in [
            (ACTIVITY_START.to_owned(), json!({"realtimeInput": {"activityStart": {}}})),
            (ACTIVITY_END.to_owned(), json!({"realtimeInput": {"activityEnd": {}}})),
            (
                audio(&[1, -1]),
                json!({"realtimeInput": {"audio": {"data": "AQD//w==", "mimeType": "audio/pcm;rate=16000"}}}),
            ),
            (
                words("gemini-2.5-flash", "Hi"),
                json!({"clientContent": {"turns": [{"role": "user", "parts": [{"text": "Hi"}]}], "turnComplete": true}}),
            ),
            (words("models/gemini-3.1-flash-live-preview", "Hi"), json!({"realtimeInput": {"text": "Hi"}})),
            (
                tool_response(&[("1", "book", "done")]),
                json!({"toolResponse": {"functionResponses": [{"id": "1", "name": "book", "response": {"output": "done"}}]}}),
            ),
        ] {
            assert_eq!(value(&given), want);
        }
    }

    #[test]
    fn messages_are_read() {
        let none = ServerMessage { rate_hz: OUTPUT_RATE_HZ, ..ServerMessage::default() };
        let call = FunctionCall { id: "1".into(), name: "book".into(), arguments: r#"{"day":"Monday"}"#.into() };
        for (given, want) in [
            (r#"{"setupComplete":{}}"#, ServerMessage { is_ready: true, ..none.clone() }),
            (
                r#"{"serverContent":{"inputTranscription":{"text":"Where"}}}"#,
                ServerMessage { caller: Some("Where".into()), ..none.clone() },
            ),
            (
                r#"{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm;rate=24000","data":"AQD//w=="}}]},"outputTranscription":{"text":"It"}}}"#,
                ServerMessage { agent: Some("It".into()), audio: vec![1, -1], ..none.clone() },
            ),
            (
                r#"{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm;rate=16000","data":"AQA="}},{"text":"x"}]}}}"#,
                ServerMessage { audio: vec![1], rate_hz: 16_000, ..none.clone() },
            ),
            (r#"{"serverContent":{"interrupted":true}}"#, ServerMessage { interrupted: true, ..none.clone() }),
            (
                r#"{"serverContent":{"turnComplete":true},"usageMetadata":{"promptTokenCount":9,"responseTokenCount":5,"thoughtsTokenCount":1}}"#,
                ServerMessage {
                    turn_complete: true,
                    tokens: Some(Tokens { input: 9, cached: 0, output: 6 }),
                    ..none.clone()
                },
            ),
            (
                r#"{"toolCall":{"functionCalls":[{"id":"1","name":"book","args":{"day":"Monday"}}]}}"#,
                ServerMessage { calls: vec![call], ..none.clone() },
            ),
            (r#"{"goAway":{"timeLeft":"10s"}}"#, ServerMessage { goes_away: true, ..none.clone() }),
            (r#"{"sessionResumptionUpdate":{}}"#, none.clone()),
            ("{}", none),
        ] {
            assert_eq!(ServerMessage::parse(given.as_bytes()), Ok(want), "{given}");
        }
        let odd =
            r#"{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm","data":"AQ=="}}]}}}"#;
        for bad in ["", "{oops", "[]", odd, &odd.replace("AQ==", "!")] {
            assert!(ServerMessage::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[a-z\":{}\\[\\],]{0,100}") {
            let _ = ServerMessage::parse(&bytes);
            let _ = ServerMessage::parse(format!(r#"{{"serverContent":{{"modelTurn":{text}}},"toolCall":[7]}}"#).as_bytes());
        }
    }
}
