//! Gemini Live. It answers as soon as the caller's activity ends, and its memory cannot be changed: an answer nobody asked
//! for yet is kept until the call asks; where its memory is not what was really said and heard, the connection is replaced
//! by one that is told the conversation so far, and the caller's last words are asked as text.

use super::EXACT;
use super::conversation::{Edit, Unit, edits, units};
use super::engine::{Ask, Engine, Out};
use super::listening::Listening;
use crate::http::{Http, join_url};
use crate::language_model::{Prompt, ToolCall, ToolSpec, Usage};
use crate::live::{Address, Frame, Vendor};
use crate::{Error, ErrorKind};
use http::header::HeaderName;
use model::SpeechModelConfig;
use secrecy::{ExposeSecret, SecretString};
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Duration;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use wire::ApiError;
use wire::gemini_live::{
    ACTIVITY_END, ACTIVITY_START, Function, INPUT_RATE_HZ, KEY_HEADER, PATH, ServerMessage, Setup, audio, setup,
    tool_response, words,
};

const NAME: &str = "gemini-live";
/// Google's own address.
pub const BASE_URL: &str = "wss://generativelanguage.googleapis.com";
/// The model when none is named.
pub const MODEL: &str = "gemini-2.5-flash-native-audio-preview-12-2025";
/// The voice when none is named.
pub const VOICE: &str = "Kore";
/// Longest answer in tokens, sound included.
const OUTPUT_TOKENS_MAX: u32 = 4_096;
/// Longest message that is read: some seconds of sound in base64.
const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// After the caller has finished, no more words for so long: these were all.
const QUIET: Duration = Duration::from_millis(300);
/// Sound of an answer that nobody has asked for yet, in samples: a minute.
const KEPT_SAMPLES_MAX: usize = 24_000 * 60;
/// Answers on their way. One is usual, two when the caller goes on.
const TURNS_MAX: usize = 8;
/// What is asked when the last words of the conversation are not the caller's.
const GO_ON: &str = "(Go on from the end of the conversation so far.)";

static VENDOR: Vendor = Vendor { name: NAME, refusal, closed };

fn refusal(body: &[u8]) -> String {
    let said = ApiError::parse(body);
    format!("{} {}", said.kind, said.code)
}

/// They close with 1007 and 1008 for what is wrong with the setup, the key included; the sentence says which.
fn closed(code: u16, reason: &str) -> ErrorKind {
    let reason = reason.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    match code {
        1007 | 1008 | 1011 if says(&["api key", "permission", "unauthenticated"]) => ErrorKind::Unauthorized,
        1007 | 1008 | 1011 if says(&["quota", "exhausted", "rate"]) => ErrorKind::Overloaded,
        1003 | 1007..=1009 => ErrorKind::Rejected,
        _ => ErrorKind::Unavailable,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// Nobody has asked for it yet.
    Free,
    /// This was asked.
    For(u64),
    /// Nobody wants it.
    Nobody,
}

/// An answer under way.
#[derive(Debug)]
struct Turn {
    target: Target,
    /// What waits for somebody to ask.
    kept: Vec<Out>,
    kept_samples: usize,
    said: String,
    began: bool,
    interrupted: bool,
    /// Follows what a function gave back.
    after_tool: bool,
    /// The exact words that were wanted.
    exact: Option<String>,
    /// What it asked for at its end.
    calls: Vec<ToolCall>,
}

impl Turn {
    const fn new(target: Target) -> Self {
        Self {
            target,
            kept: Vec::new(),
            kept_samples: 0,
            said: String::new(),
            began: false,
            interrupted: false,
            after_tool: false,
            exact: None,
            calls: Vec::new(),
        }
    }

    /// A piece for whoever asked; 0 stands for nobody yet.
    fn give(&mut self, samples: usize, piece: impl FnOnce(u64) -> Out, out: &mut Vec<Out>) {
        match self.target {
            Target::For(id) => out.push(piece(id)),
            Target::Free if self.kept_samples + samples <= KEPT_SAMPLES_MAX => {
                self.kept_samples += samples;
                self.kept.push(piece(0));
            }
            Target::Free => {
                (self.target, self.kept) = (Target::Nobody, Vec::new());
            }
            Target::Nobody => {}
        }
    }
}

fn to(id: u64, piece: Out) -> Out {
    match piece {
        Out::Audio { pcm, rate_hz, .. } => Out::Audio { id, pcm, rate_hz },
        Out::Text { text, .. } => Out::Text { id, text },
        Out::Tool { call, .. } => Out::Tool { id, call },
        Out::Usage { usage, .. } => Out::Usage { id, usage },
        Out::Done { .. } => Out::Done { id },
        Out::Fail { error, .. } => Out::Fail { id, error },
        other @ (Out::Send(_) | Out::Partial(_) | Out::Final { .. } | Out::Failed { .. } | Out::Reopen) => other,
    }
}

pub(super) struct Gemini {
    address: Address,
    model: String,
    voice: String,
    system: String,
    tools: Vec<ToolSpec>,
    ready: bool,
    goes_away: bool,
    listening: Listening,
    /// The caller is speaking.
    activity: bool,
    /// The part that words of the caller belong to, and its name.
    part: Option<(u64, String)>,
    quiet_at: Option<Instant>,
    turns: VecDeque<Turn>,
    /// An answer that is complete, and that nobody has asked for yet.
    finished: Option<Turn>,
    /// What the vendor remembers, as far as is known.
    held: Vec<Unit>,
}

impl Gemini {
    pub(super) fn new(http: &Http, config: &SpeechModelConfig, key: Option<SecretString>) -> Result<Self, Error> {
        if key.is_none() && config.base_url.is_none() {
            return Err(VENDOR.error(ErrorKind::Unauthorized, "there is no key"));
        }
        let key = key.as_ref().map_or("none", |key| key.expose_secret().trim());
        let base = join_url(config.base_url.as_deref().unwrap_or(BASE_URL), PATH);
        let address =
            Address::new(&VENDOR, http, &base, "alt=ws", (HeaderName::from_static(KEY_HEADER), key.to_owned()))?;
        let or =
            |given: &str, usual: &str| if given.trim().is_empty() { usual.to_owned() } else { given.trim().to_owned() };
        Ok(Self {
            address: address.with_message_bytes_max(MESSAGE_BYTES_MAX),
            model: or(&config.model, MODEL),
            voice: or(&config.voice, VOICE),
            system: config.system_prompt.clone(),
            tools: Vec::new(),
            ready: false,
            goes_away: false,
            listening: Listening::new(NAME, INPUT_RATE_HZ),
            activity: false,
            part: None,
            quiet_at: None,
            turns: VecDeque::new(),
            finished: None,
            held: Vec::new(),
        })
    }

    /// What the model is told: its job, and what was said before this connection.
    fn instructions(&self) -> String {
        let mut text = self.system.clone();
        if self.held.is_empty() {
            return text;
        }
        text.push_str("\n\nThe conversation so far:\n");
        for unit in &self.held {
            // Writing to a string cannot fail.
            let _ = match unit {
                Unit::Caller(said) => writeln!(text, "Caller: {said}"),
                Unit::Agent(said) => writeln!(text, "You: {said}"),
                Unit::Call(call) => writeln!(text, "You asked for {} with {}", call.name, call.arguments),
                Unit::Result { name, text: result, .. } => writeln!(text, "{name} gave back: {result}"),
            };
        }
        text
    }

    fn send(message: impl Into<String>, out: &mut Vec<Out>) {
        out.push(Out::Send(Message::text(message.into())));
    }

    fn expect(&mut self, turn: Turn) {
        if self.turns.len() == TURNS_MAX {
            self.turns.pop_front();
        }
        self.turns.push_back(turn);
    }

    fn begin_activity(&mut self, out: &mut Vec<Out>) {
        Self::send(ACTIVITY_START, out);
        self.activity = true;
        self.unclaimed();
        let number = self.listening.part();
        let name = format!("part-{number}");
        self.listening.named(&name);
        self.part = Some((number, name));
        self.quiet_at = None;
    }

    /// The caller goes on: an answer that nobody asked for was never heard, but the vendor remembers it.
    fn unclaimed(&mut self) {
        if let Some(turn) = self.finished.take() {
            self.remember(turn);
        }
        for turn in self.turns.iter_mut().filter(|turn| turn.target == Target::Free) {
            (turn.target, turn.kept) = (Target::Nobody, Vec::new());
        }
    }

    fn end_activity(&mut self, target: Target, out: &mut Vec<Out>) {
        Self::send(ACTIVITY_END, out);
        self.activity = false;
        self.listening.extend();
        self.held.push(Unit::Caller(String::new()));
        self.expect(Turn::new(target));
    }

    /// The caller's words are complete.
    fn words_done(&mut self, out: &mut Vec<Out>) {
        self.quiet_at = None;
        if self.activity {
            return;
        }
        let Some((_, name)) = self.part.take() else { return };
        if let Some(text) = self.listening.text_of(&name)
            && let Some(Unit::Caller(said)) =
                self.held.iter_mut().rfind(|unit| matches!(unit, Unit::Caller(said) if said.is_empty()))
        {
            *said = text;
        }
        self.listening.done(&name, None, out);
    }

    fn think(&mut self, id: u64, prompt: &Prompt, out: &mut Vec<Out>) {
        let wanted = units(&prompt.messages);
        let same = prompt.system == self.system && prompt.tools == self.tools;
        let plan = edits(&self.held, &wanted);
        let kept = plan.iter().take_while(|edit| matches!(edit, Edit::Keep { .. })).count();
        let missing = &wanted[wanted.len().min(kept)..];
        let agrees = same && plan[kept..].iter().all(|edit| matches!(edit, Edit::Create { .. }));
        let results: Vec<(&str, &str, &str)> = missing
            .iter()
            .filter_map(|unit| match unit {
                Unit::Result { id, name, text } => Some((id.as_str(), name.as_str(), text.as_str())),
                Unit::Caller(_) | Unit::Agent(_) | Unit::Call(_) => None,
            })
            .collect();
        let free = self.finished.is_some() || self.turns.back().is_some_and(|turn| turn.target == Target::Free);
        if agrees && missing.is_empty() && free {
            return self.claim(id, out);
        }
        if agrees && self.turns.is_empty() && self.finished.is_none() && !self.activity {
            if !results.is_empty() && results.len() == missing.len() && self.waits_for(&results) {
                Self::send(tool_response(&results), out);
                let after_tool = true;
                self.held = wanted;
                return self.expect(Turn { after_tool, ..Turn::new(Target::For(id)) });
            }
            let ask = match missing {
                [] => Some(GO_ON.to_owned()),
                [Unit::Caller(text)] => Some(text.clone()),
                _ => None,
            };
            if let Some(ask) = ask {
                Self::send(words(&self.model, &ask), out);
                self.held = wanted;
                return self.expect(Turn::new(Target::For(id)));
            }
        }
        // Another connection is told the conversation; there it is asked again.
        (self.system, self.tools) = (prompt.system.clone(), prompt.tools.clone());
        self.held = wanted;
        self.held.pop_if(|unit| matches!(unit, Unit::Caller(_)));
        (self.turns, self.finished) = (VecDeque::new(), None);
        out.push(Out::Reopen);
    }

    /// The vendor waits for just these.
    fn waits_for(&self, results: &[(&str, &str, &str)]) -> bool {
        let calls = self.held.iter().rev().map_while(|unit| match unit {
            Unit::Call(call) => Some(call.id.as_str()),
            Unit::Caller(_) | Unit::Agent(_) | Unit::Result { .. } => None,
        });
        let calls: Vec<&str> = calls.collect();
        calls.len() == results.len() && results.iter().all(|(id, _, _)| calls.contains(id))
    }

    /// What came already, and what will come, is for this.
    fn claim(&mut self, id: u64, out: &mut Vec<Out>) {
        if let Some(mut turn) = self.finished.take() {
            out.extend(std::mem::take(&mut turn.kept).into_iter().map(|piece| to(id, piece)));
            out.push(Out::Done { id });
            self.remember(turn);
            return;
        }
        if let Some(turn) = self.turns.back_mut() {
            turn.target = Target::For(id);
            out.extend(std::mem::take(&mut turn.kept).into_iter().map(|piece| to(id, piece)));
        }
    }

    fn say(&mut self, id: u64, text: &str, out: &mut Vec<Out>) {
        let busy = self.activity || self.turns.iter().any(|turn| matches!(turn.target, Target::For(_)));
        if busy {
            let error = VENDOR.error(ErrorKind::Overloaded, "it is listening or answering");
            return out.push(Out::Fail { id, error });
        }
        self.unclaimed();
        Self::send(words(&self.model, &format!("({EXACT})\n{text}")), out);
        self.expect(Turn { exact: Some(text.to_owned()), ..Turn::new(Target::For(id)) });
    }

    fn piece(&mut self, message: &mut ServerMessage, out: &mut Vec<Out>) {
        self.words_done(out);
        if self.turns.front().is_some_and(|turn| turn.interrupted) {
            self.end_turn(out);
        }
        let Some(turn) = self.turns.front_mut() else { return };
        turn.began = true;
        if let Some(text) = message.agent.take().filter(|text| !text.is_empty()) {
            if turn.said.len() + text.len() <= crate::language_model::ANSWER_BYTES_MAX {
                turn.said.push_str(&text);
            }
            turn.give(0, |id| Out::Text { id, text }, out);
        }
        let pcm = std::mem::take(&mut message.audio);
        if !pcm.is_empty() {
            let rate_hz = message.rate_hz;
            turn.give(pcm.len(), |id| Out::Audio { id, pcm, rate_hz }, out);
        }
        let calls: Vec<ToolCall> = std::mem::take(&mut message.calls)
            .into_iter()
            .map(|call| ToolCall { id: call.id, name: call.name, arguments: call.arguments })
            .collect();
        for call in &calls {
            let call = call.clone();
            turn.give(0, |id| Out::Tool { id, call }, out);
        }
        if !calls.is_empty() {
            // It waits for what they give back: this answer is over.
            turn.calls = calls;
            self.end_turn(out);
        }
    }

    /// The oldest answer is over.
    fn end_turn(&mut self, out: &mut Vec<Out>) {
        let Some(turn) = self.turns.pop_front() else { return };
        match turn.target {
            Target::Free => {
                self.finished = Some(turn);
                return;
            }
            Target::For(id) if turn.began => out.push(Out::Done { id }),
            Target::For(id) => {
                out.push(Out::Fail { id, error: VENDOR.error(ErrorKind::Unavailable, "answered nothing") });
            }
            Target::Nobody => {}
        }
        self.remember(turn);
    }

    /// The vendor does.
    fn remember(&mut self, turn: Turn) {
        let said = match turn.exact {
            Some(exact) if !turn.interrupted => exact,
            Some(_) | None => turn.said,
        };
        if !said.is_empty() {
            self.held.push(Unit::Agent(said));
        }
        self.held.extend(turn.calls.into_iter().map(Unit::Call));
    }

    fn message(&mut self, mut message: ServerMessage, now: Instant, out: &mut Vec<Out>) {
        self.ready |= message.is_ready;
        self.goes_away |= message.goes_away;
        if let Some(text) = message.caller.take().filter(|text| !text.is_empty())
            && let Some((_, name)) = &self.part
        {
            let name = name.clone();
            self.listening.more(&name, &text, out);
            self.quiet_at = (!self.activity).then(|| now + QUIET);
        }
        if let Some(tokens) = message.tokens.filter(|tokens| tokens.output > 0)
            && let Some(turn) = self.turns.front_mut()
        {
            let usage =
                Usage { prompt_tokens: tokens.input, cached_tokens: tokens.cached, completion_tokens: tokens.output };
            turn.give(0, |id| Out::Usage { id, usage }, out);
        }
        if message.agent.is_some() || !message.audio.is_empty() || !message.calls.is_empty() {
            self.piece(&mut message, out);
        }
        if message.interrupted
            && let Some(turn) = self.turns.front_mut()
        {
            turn.interrupted = true;
        }
        if message.turn_complete {
            self.words_done(out);
            let stray = |turn: &Turn| turn.after_tool && !turn.began;
            if !self.turns.front().is_some_and(stray) {
                self.end_turn(out);
            }
        }
        let idle = self.turns.is_empty() && self.finished.is_none() && !self.activity && !self.listening.is_wanted();
        if self.goes_away && idle {
            out.push(Out::Reopen);
        }
    }
}

impl Engine for Gemini {
    fn name(&self) -> &'static str {
        NAME
    }

    fn address(&self) -> Result<Address, Error> {
        Ok(self.address.clone())
    }

    fn rate_hz(&self) -> u32 {
        INPUT_RATE_HZ
    }

    fn prepare(&mut self, system: String, tools: Vec<ToolSpec>) {
        (self.system, self.tools) = (system, tools);
    }

    fn language(&mut self, _tag: &str) {
        // It finds out by itself, and refuses to be told for most voices.
    }

    fn begin(&mut self, out: &mut Vec<Out>) {
        (self.ready, self.goes_away, self.activity) = (false, false, false);
        self.turns.clear();
        self.finished = None;
        self.part = None;
        self.quiet_at = None;
        self.held.retain(|unit| !matches!(unit, Unit::Caller(said) if said.is_empty()));
        let functions: Vec<Function<'_>> = self
            .tools
            .iter()
            .map(|tool| Function { name: &tool.name, description: &tool.description, parameters: &tool.parameters })
            .collect();
        let options = Setup {
            model: &self.model,
            voice: &self.voice,
            instructions: &self.instructions(),
            output_tokens_max: OUTPUT_TOKENS_MAX,
            functions: &functions,
        };
        Self::send(setup(&options), out);
    }

    fn is_ready(&self) -> bool {
        self.ready
    }

    fn resume(&mut self, out: &mut Vec<Out>) {
        let wanted = self.listening.is_wanted();
        let (pcm, part) = self.listening.again();
        if pcm.is_empty() && part.is_none() {
            return;
        }
        match part {
            Some(number) => {
                Self::send(ACTIVITY_START, out);
                self.activity = true;
                let name = format!("part-{number}");
                self.listening.named(&name);
                self.part = Some((number, name));
            }
            None => self.begin_activity(out),
        }
        for piece in pcm.chunks(INPUT_RATE_HZ as usize) {
            Self::send(audio(piece), out);
        }
        if wanted {
            self.end_activity(Target::Free, out);
        }
    }

    fn audio(&mut self, pcm: Vec<i16>, out: &mut Vec<Out>) {
        if pcm.is_empty() {
            return;
        }
        if !self.activity {
            self.words_done(out);
            self.begin_activity(out);
        }
        Self::send(audio(&pcm), out);
        self.listening.audio(pcm);
    }

    fn finalize(&mut self, work: u64, _now: Instant, due: Instant, out: &mut Vec<Out>) {
        if self.activity {
            self.end_activity(Target::Free, out);
        }
        self.listening.request(work, due, out);
    }

    fn discard(&mut self, out: &mut Vec<Out>) {
        if self.activity {
            self.end_activity(Target::Nobody, out);
        }
        self.words_done(out);
        self.listening.discard();
    }

    fn ask(&mut self, id: u64, ask: &Ask, out: &mut Vec<Out>) {
        match ask {
            Ask::Think(prompt) => self.think(id, prompt, out),
            Ask::Say(text) => self.say(id, text, out),
        }
    }

    fn cancel(&mut self, id: u64, _out: &mut Vec<Out>) {
        for turn in self.turns.iter_mut().filter(|turn| turn.target == Target::For(id)) {
            turn.target = Target::Nobody;
        }
    }

    fn heard(&mut self, frame: &Frame, now: Instant, out: &mut Vec<Out>) -> Result<(), Error> {
        let read = match frame {
            Frame::Text(text) => ServerMessage::parse(text.as_bytes()),
            Frame::Binary(bytes) => ServerMessage::parse(bytes),
            Frame::SignOfLife => return Ok(()),
        };
        match read {
            Ok(message) => self.message(message, now, out),
            // One unreadable message loses its piece; the connection may be fine.
            Err(error) => tracing::debug!(provider = NAME, %error, "message skipped"),
        }
        Ok(())
    }

    fn next_due(&self) -> Option<Instant> {
        [self.quiet_at, self.listening.next_due()].into_iter().flatten().min()
    }

    fn overdue(&mut self, now: Instant, out: &mut Vec<Out>) {
        if self.quiet_at.is_some_and(|at| at <= now) {
            self.words_done(out);
        }
        self.listening.overdue(now, out);
    }

    fn give_up(&mut self) -> Vec<u64> {
        self.listening.give_up()
    }
}
