//! OpenAI Realtime: each item of the conversation can be deleted, cut and written, and answers beside the conversation
//! say exact words.

use super::conversation::{Edit, Unit, edits, units};
use super::engine::{Ask, Engine, Out, kind_of};
use super::listening::Listening;
use super::{EXACT, primary};
use crate::http::{Http, join_url};
use crate::language_model::{Prompt, ToolCall, ToolSpec, Usage};
use crate::live::{Address, Frame, Vendor};
use crate::{Error, ErrorKind};
use http::header::AUTHORIZATION;
use model::SpeechModelConfig;
use secrecy::{ExposeSecret, SecretString};
use std::collections::VecDeque;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use wire::ApiError;
use wire::openai_realtime::{
    CLEAR, COMMIT_MS_MIN, FunctionTool, ItemKind, NewItem, Outcome, RATE_HZ, ServerEvent, SessionOptions, Tokens,
    append, cancel_response, commit, create_item, create_response, delete_item, say_response, session_change,
    session_update, truncate_item,
};

const NAME: &str = "openai-realtime";
/// OpenAI's own address.
pub const BASE_URL: &str = "wss://api.openai.com/v1";
/// The model when none is named.
pub const MODEL: &str = "gpt-realtime";
/// The voice when none is named.
pub const VOICE: &str = "marin";
/// What writes down the caller's words.
pub const TRANSCRIPTION_MODEL: &str = "gpt-4o-mini-transcribe";
/// Longest answer in tokens, sound included: over a minute.
const OUTPUT_TOKENS_MAX: u32 = 2_048;
/// Longest message that is read: some seconds of sound in base64.
const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// On top of what a commit needs, in milliseconds.
const COMMIT_SPARE_MS: u64 = 20;
/// Things said and done that are held by the vendor. A call of an hour has fewer.
const HELD_MAX: usize = 1_000;

static VENDOR: Vendor = Vendor { name: NAME, refusal, closed };

fn refusal(body: &[u8]) -> String {
    let said = ApiError::parse(body);
    format!("{} {}", said.kind, said.code)
}

const fn closed(code: u16, _reason: &str) -> ErrorKind {
    match code {
        1003 | 1007..=1009 | 3_000 => ErrorKind::Rejected,
        _ => ErrorKind::Unavailable,
    }
}

fn told(said: &ApiError) -> Error {
    let word =
        |text: &str| text.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(60).collect::<String>();
    let (kind, code) = (word(&said.kind), word(&said.code));
    VENDOR.error(kind_of(&said.kind, &said.code), format!("said error {kind} {code}").trim_end())
}

/// Something the vendor holds.
#[derive(Debug)]
struct Held {
    /// Its names there.
    ids: Vec<String>,
    unit: Unit,
    /// Sound of an answer, in samples.
    samples: u64,
    /// Which utterance of the caller.
    utterance: Option<u64>,
}

/// An answer under way.
#[derive(Debug)]
struct Active {
    id: u64,
    response: Option<String>,
    /// Not wanted any more: its end is waited for.
    cancelled: bool,
}

pub(super) struct OpenAi {
    address: Address,
    voice: String,
    language: Option<String>,
    system: String,
    tools: Vec<ToolSpec>,
    ready: bool,
    listening: Listening,
    held: Vec<Held>,
    active: Option<Active>,
    waiting: VecDeque<(u64, Box<Prompt>)>,
    says: Vec<Active>,
    events: u64,
}

impl OpenAi {
    pub(super) fn new(http: &Http, config: &SpeechModelConfig, key: Option<SecretString>) -> Result<Self, Error> {
        if key.is_none() && config.base_url.is_none() {
            return Err(VENDOR.error(ErrorKind::Unauthorized, "there is no key"));
        }
        let key = key.as_ref().map_or("none", |key| key.expose_secret().trim());
        let base = join_url(config.base_url.as_deref().unwrap_or(BASE_URL), "realtime");
        let model = if config.model.trim().is_empty() { MODEL } else { config.model.trim() };
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("model", model).finish();
        let address = Address::new(&VENDOR, http, &base, &query, (AUTHORIZATION, format!("Bearer {key}")))?;
        Ok(Self {
            address: address.with_message_bytes_max(MESSAGE_BYTES_MAX),
            voice: if config.voice.trim().is_empty() { VOICE.to_owned() } else { config.voice.trim().to_owned() },
            language: None,
            system: config.system_prompt.clone(),
            tools: Vec::new(),
            ready: false,
            listening: Listening::new(NAME, RATE_HZ),
            held: Vec::new(),
            active: None,
            waiting: VecDeque::new(),
            says: Vec::new(),
            events: 0,
        })
    }

    fn event(&mut self, what: &str) -> String {
        self.events += 1;
        format!("{what}-{}", self.events)
    }

    /// Commits what was appended, made long enough.
    fn commit(&mut self, number: u64, samples: u64, out: &mut Vec<Out>) {
        let needed = self.listening.samples_in_ms(COMMIT_MS_MIN + COMMIT_SPARE_MS).saturating_sub(samples);
        if needed > 0 {
            let silence = vec![0; usize::try_from(needed).unwrap_or(0)];
            out.push(Out::Send(Message::text(append(&silence))));
        }
        out.push(Out::Send(Message::text(commit(&format!("commit-{number}")))));
    }

    fn start(&mut self, id: u64, prompt: &Prompt, out: &mut Vec<Out>) {
        if prompt.system != self.system || prompt.tools != self.tools {
            self.system.clone_from(&prompt.system);
            self.tools.clone_from(&prompt.tools);
            out.push(Out::Send(Message::text(session_change(&self.system, &functions(&self.tools)))));
        }
        self.agree(&units(&prompt.messages), out);
        out.push(Out::Send(Message::text(create_response(&format!("ask-{id}"), &id.to_string()))));
        self.active = Some(Active { id, response: None, cancelled: false });
    }

    /// Makes the vendor's conversation the one that is wanted.
    fn agree(&mut self, wanted: &[Unit], out: &mut Vec<Out>) {
        let held: Vec<Unit> = self.held.iter().map(|held| held.unit.clone()).collect();
        let mut old: Vec<Option<Held>> = std::mem::take(&mut self.held).into_iter().map(Some).collect();
        for edit in edits(&held, wanted) {
            match edit {
                Edit::Keep { at, count } => self.held.extend(old[at..at + count].iter_mut().filter_map(Option::take)),
                Edit::Cut { at, wanted: index, share } => {
                    if let Some(mut held) = old[at].take() {
                        held.unit = wanted[index].clone();
                        self.cut(&held, share, out);
                        self.held.push(held);
                    }
                }
                Edit::Delete { at } => {
                    for id in old[at].take().into_iter().flat_map(|held| held.ids) {
                        let event = self.event("edit");
                        out.push(Out::Send(Message::text(delete_item(&event, &id))));
                    }
                }
                Edit::Create { wanted: index } => {
                    let created = self.create(wanted[index].clone(), out);
                    self.held.push(created);
                }
            }
        }
    }

    /// What was heard of an answer: so much of its sound.
    fn cut(&mut self, held: &Held, share: u32, out: &mut Vec<Out>) {
        let sound_ms = held.samples * 1_000 / u64::from(RATE_HZ);
        let end_ms = sound_ms * u64::from(share) / 1_000;
        if end_ms >= 1
            && let Some(id) = held.ids.first().cloned()
        {
            let event = self.event("edit");
            out.push(Out::Send(Message::text(truncate_item(&event, &id, end_ms))));
        }
    }

    fn create(&mut self, unit: Unit, out: &mut Vec<Out>) -> Held {
        let event = self.event("edit");
        let id = format!("caly_{}", self.events);
        let after = self.held.last().and_then(|held| held.ids.last()).cloned();
        let item = match &unit {
            Unit::Caller(text) => NewItem::Caller(text),
            Unit::Agent(text) => NewItem::Agent(text),
            Unit::Call(call) => {
                NewItem::FunctionCall { call_id: &call.id, name: &call.name, arguments: &call.arguments }
            }
            Unit::Result { id, name: _, text } => NewItem::FunctionResult { call_id: id, output: text },
        };
        out.push(Out::Send(Message::text(create_item(&event, &id, after.as_deref(), &item))));
        Held { ids: vec![id], unit, samples: 0, utterance: None }
    }

    fn hold(&mut self, held: Held) {
        if self.held.len() < HELD_MAX {
            self.held.push(held);
        }
    }

    /// The answer that a message is about: `true` = the conversation's own.
    fn find(&mut self, response: &str) -> Option<(&mut Active, bool)> {
        let is_it = |active: &&mut Active| active.response.as_deref() == Some(response);
        if let Some(active) = self.active.as_mut().filter(is_it) {
            return Some((active, true));
        }
        self.says.iter_mut().find(is_it).map(|active| (active, false))
    }

    /// The number of the answer, unless nobody wants it.
    fn wanted(&mut self, response: &str) -> Option<u64> {
        self.find(response).filter(|(active, _)| !active.cancelled).map(|(active, _)| active.id)
    }

    fn created(&mut self, response: String, name: Option<&str>, out: &mut Vec<Out>) {
        let number = name.and_then(|name| name.parse::<u64>().ok());
        let mut open = self.active.iter_mut().chain(&mut self.says).filter(|active| active.response.is_none());
        // A server that does not repeat the name answers in order.
        let found = match number {
            Some(number) => open.find(|active| active.id == number),
            None => open.next(),
        };
        match found {
            Some(active) => {
                if active.cancelled {
                    out.push(Out::Send(Message::text(cancel_response(&response))));
                }
                active.response = Some(response);
            }
            // Nobody asked for it.
            None => out.push(Out::Send(Message::text(cancel_response(&response)))),
        }
    }

    fn item_added(&mut self, response: &str, item: String, kind: &ItemKind) {
        if !self.find(response).is_some_and(|(_, in_conversation)| in_conversation) {
            return;
        }
        let unit = match kind {
            ItemKind::Message => Unit::Agent(String::new()),
            ItemKind::FunctionCall { call_id, name, arguments } => {
                Unit::Call(ToolCall { id: call_id.clone(), name: name.clone(), arguments: arguments.clone() })
            }
            ItemKind::Other => return,
        };
        self.hold(Held { ids: vec![item], unit, samples: 0, utterance: None });
    }

    fn held_mut(&mut self, item: &str) -> Option<&mut Held> {
        self.held.iter_mut().rfind(|held| held.ids.iter().any(|id| id == item))
    }

    fn over(&mut self, response: &str, outcome: Outcome, tokens: Option<Tokens>, out: &mut Vec<Out>) {
        let Some((active, in_conversation)) = self.find(response) else { return };
        let (id, cancelled) = (active.id, active.cancelled);
        if in_conversation {
            self.active = None;
        } else {
            self.says.retain(|say| say.id != id);
        }
        if !cancelled {
            if let Some(Tokens { input, cached, output }) = tokens {
                let usage = Usage { prompt_tokens: input, cached_tokens: cached, completion_tokens: output };
                out.push(Out::Usage { id, usage });
            }
            out.push(match outcome {
                Outcome::Completed => Out::Done { id },
                Outcome::Cancelled => {
                    Out::Fail { id, error: VENDOR.error(ErrorKind::Unavailable, "the answer was ended") }
                }
                Outcome::Failed(said) => Out::Fail { id, error: told(&said) },
            });
        }
        self.next(out);
    }

    fn next(&mut self, out: &mut Vec<Out>) {
        if self.active.is_none()
            && let Some((id, prompt)) = self.waiting.pop_front()
        {
            self.start(id, &prompt, out);
        }
    }

    fn failed(&mut self, event_id: Option<&str>, said: &ApiError, out: &mut Vec<Out>) -> Result<(), Error> {
        if !self.ready {
            return Err(told(said));
        }
        let (what, number) = event_id.and_then(|id| id.split_once('-')).unwrap_or_default();
        let number = number.parse::<u64>().unwrap_or(0);
        match what {
            "commit" => self.listening.done_number(number, Some(""), out),
            "ask" => {
                if self.active.as_ref().is_some_and(|active| active.id == number) {
                    self.active = None;
                }
                self.says.retain(|say| say.id != number);
                out.push(Out::Fail { id: number, error: told(said) });
                self.next(out);
            }
            _ if matches!(said.code.as_str(), "session_expired" | "insufficient_quota" | "invalid_api_key") => {
                return Err(told(said));
            }
            // An edit of something that is not there any more, a cancellation that came too late.
            _ => tracing::debug!(provider = NAME, error = %told(said), "the session goes on"),
        }
        Ok(())
    }

    fn event_of(&mut self, event: ServerEvent, out: &mut Vec<Out>) -> Result<(), Error> {
        match event {
            ServerEvent::SessionUpdated => self.ready = true,
            ServerEvent::Committed { item } => {
                let utterance = self.listening.named(&item);
                match self.held.last_mut().filter(|held| utterance.is_some() && held.utterance == utterance) {
                    Some(held) => held.ids.push(item),
                    None => {
                        self.hold(Held { ids: vec![item], unit: Unit::Caller(String::new()), samples: 0, utterance })
                    }
                }
            }
            ServerEvent::TranscriptDelta { item, text } => self.listening.more(&item, &text, out),
            ServerEvent::Transcript { item, text } => {
                if let Some(Held { unit: Unit::Caller(said), .. }) = self.held_mut(&item) {
                    crate::live::join(said, &text);
                }
                self.listening.done(&item, Some(&text), out);
            }
            ServerEvent::TranscriptFailed { item, error } => {
                tracing::debug!(provider = NAME, error = %told(&error), "no words of a piece");
                self.listening.done(&item, None, out);
            }
            ServerEvent::ResponseCreated { response, name } => self.created(response, name.as_deref(), out),
            ServerEvent::ItemAdded { response, item, kind } => self.item_added(&response, item, &kind),
            ServerEvent::ItemDone { response, item, kind } => self.item_done(&response, &item, kind, out),
            ServerEvent::Audio { response, item, pcm } => {
                if let Some(held) = self.held_mut(&item) {
                    held.samples += pcm.len() as u64;
                }
                if let Some(id) = self.wanted(&response) {
                    out.push(Out::Audio { id, pcm, rate_hz: RATE_HZ });
                }
            }
            ServerEvent::Text { response, item, text } => {
                if let Some(Held { unit: Unit::Agent(said), .. }) = self.held_mut(&item)
                    && said.len() + text.len() <= crate::language_model::ANSWER_BYTES_MAX
                {
                    said.push_str(&text);
                }
                if let Some(id) = self.wanted(&response) {
                    out.push(Out::Text { id, text });
                }
            }
            ServerEvent::ResponseDone { response, outcome, tokens } => self.over(&response, outcome, tokens, out),
            ServerEvent::Error { event_id, error } => return self.failed(event_id.as_deref(), &error, out),
            ServerEvent::SessionCreated | ServerEvent::Other => {}
        }
        Ok(())
    }

    fn item_done(&mut self, response: &str, item: &str, kind: ItemKind, out: &mut Vec<Out>) {
        let ItemKind::FunctionCall { call_id, name, arguments } = kind else { return };
        let call = ToolCall { id: call_id, name, arguments };
        if let Some(held) = self.held_mut(item) {
            held.unit = Unit::Call(call.clone());
        }
        if let Some(id) = self.wanted(response) {
            out.push(Out::Tool { id, call });
        }
    }
}

fn functions(tools: &[ToolSpec]) -> Vec<FunctionTool<'_>> {
    tools
        .iter()
        .map(|tool| FunctionTool { name: &tool.name, description: &tool.description, parameters: &tool.parameters })
        .collect()
}

impl Engine for OpenAi {
    fn name(&self) -> &'static str {
        NAME
    }

    fn address(&self) -> Result<Address, Error> {
        Ok(self.address.clone())
    }

    fn rate_hz(&self) -> u32 {
        RATE_HZ
    }

    fn prepare(&mut self, system: String, tools: Vec<ToolSpec>) {
        (self.system, self.tools) = (system, tools);
    }

    fn language(&mut self, tag: &str) {
        self.language = primary(tag);
    }

    fn begin(&mut self, out: &mut Vec<Out>) {
        self.ready = false;
        self.held.clear();
        self.active = None;
        self.waiting.clear();
        self.says.clear();
        let options = SessionOptions {
            instructions: &self.system,
            voice: &self.voice,
            transcription_model: TRANSCRIPTION_MODEL,
            language: self.language.as_deref(),
            output_tokens_max: OUTPUT_TOKENS_MAX,
            tools: &functions(&self.tools),
        };
        out.push(Out::Send(Message::text(session_update(&options))));
    }

    fn is_ready(&self) -> bool {
        self.ready
    }

    fn resume(&mut self, out: &mut Vec<Out>) {
        let (pcm, part) = self.listening.again();
        for piece in pcm.chunks(RATE_HZ as usize) {
            out.push(Out::Send(Message::text(append(piece))));
        }
        if let Some(number) = part {
            self.commit(number, pcm.len() as u64, out);
        }
    }

    fn audio(&mut self, pcm: Vec<i16>, out: &mut Vec<Out>) {
        if !pcm.is_empty() {
            out.push(Out::Send(Message::text(append(&pcm))));
            self.listening.audio(pcm);
        }
    }

    fn finalize(&mut self, work: u64, _now: Instant, due: Instant, out: &mut Vec<Out>) {
        let fresh = self.listening.fresh;
        if fresh > 0 {
            let number = self.listening.part();
            self.commit(number, fresh, out);
        }
        self.listening.request(work, due, out);
    }

    fn discard(&mut self, out: &mut Vec<Out>) {
        if self.listening.discard() {
            out.push(Out::Send(Message::text(CLEAR)));
        }
    }

    fn ask(&mut self, id: u64, ask: &Ask, out: &mut Vec<Out>) {
        match ask {
            Ask::Think(prompt) if self.active.is_some() => self.waiting.push_back((id, prompt.clone())),
            Ask::Think(prompt) => self.start(id, prompt, out),
            Ask::Say(words) => {
                let say = say_response(&format!("ask-{id}"), &id.to_string(), EXACT, words);
                out.push(Out::Send(Message::text(say)));
                self.says.push(Active { id, response: None, cancelled: false });
            }
        }
    }

    fn cancel(&mut self, id: u64, out: &mut Vec<Out>) {
        self.waiting.retain(|(waiting, _)| *waiting != id);
        let Some(active) = self.active.iter_mut().chain(&mut self.says).find(|active| active.id == id) else { return };
        if !std::mem::replace(&mut active.cancelled, true)
            && let Some(response) = &active.response
        {
            out.push(Out::Send(Message::text(cancel_response(response))));
        }
    }

    fn heard(&mut self, frame: &Frame, _now: Instant, out: &mut Vec<Out>) -> Result<(), Error> {
        let Frame::Text(text) = frame else {
            return Err(VENDOR.error(ErrorKind::Protocol, "sent bytes instead of text"));
        };
        match ServerEvent::parse(text) {
            Ok(event) => self.event_of(event, out),
            // One unreadable message loses its piece; the connection may be fine.
            Err(error) => {
                tracing::debug!(provider = NAME, %error, "message skipped");
                Ok(())
            }
        }
    }

    fn next_due(&self) -> Option<Instant> {
        self.listening.next_due()
    }

    fn overdue(&mut self, now: Instant, out: &mut Vec<Out>) {
        self.listening.overdue(now, out);
    }

    fn give_up(&mut self) -> Vec<u64> {
        self.listening.give_up()
    }
}
