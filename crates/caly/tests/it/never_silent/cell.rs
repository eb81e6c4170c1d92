//! One call of the table: an agent whose one stage goes wrong, a caller with three questions, and what came of it.

use super::asker::{Asker, Turn};
use super::heard::{Wait, waits};
use super::{Fault, Row, Stage, Then};
use crate::place::now;
use crate::telephone;
use crate::world::{World, talker, vendors};
use model::{
    AgentConfig, Brain, CallCounts, CarrierKind, E164, LanguageModelConfig, ModelChoice, ModelProtocol, SpeakerChoice,
    ToolConfig, TranscriberChoice, TurnRole,
};
use secrecy::SecretString;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;
use store::phone_numbers::NewPhoneNumber;
use store::provider_keys::NewProviderKey;
use store::{agents, call_records, phone_numbers, provider_keys};
use testkit::carrier::{CallObservation, Closed};
use testkit::receiver::{Receiver, Reply};
use testkit::vendors::{
    Answers, ChatFault, FakeVendors, ListenFault, SpeechFault, ToolStyle, TranscriptionFault, Transcripts,
    VendorSettings, VoiceFault, Voices, VoicesSettings, Way, WayFault,
};

/// Calls at a time: they mostly wait.
pub(super) const AT_ONCE: usize = 8;
/// A wait for an answer is bridged after this: `turn_taking.filler_after_ms`.
const FILLER_AFTER_MS: u64 = 2_500;
/// The turn is over after this much silence at the latest: `turn_taking.pause_long_ms`.
const TURN_END_MS: u64 = 1_100;
/// Whoever transcribes, the text is there or has failed after this: docs/vendors.md.
const TEXT_WITHIN_MS: u64 = 3_800;
/// The voice and its fallback together begin within this: docs/vendors.md.
const VOICE_WITHIN_MS: u64 = 1_800;
/// Where there is no voice, a tone is heard within this: what a sentence is given to begin, and the end of the turn.
const TONE_WITHIN_MS: u64 = TURN_END_MS + 4_800;
/// The far end's buffer, the grid of frames, and a machine that is busy.
const SLACK_MS: u64 = 1_200;
/// A call whose voice is dead ends within this after the first question: three sentences of 4.8 s, and the caller, who
/// says «hello?» between them.
const DEAD_VOICE_ENDS_WITHIN_MS: u64 = 40_000;
/// No call of these is longer.
const CALL_MAX: Duration = Duration::from_secs(90);
/// Questions of a caller, and of one whose call should end by itself.
const TURNS: usize = 3;
const TURNS_UNTIL_THE_END: usize = 5;
/// Of a fault that is for good.
const ALWAYS: u32 = u32::MAX;

const KEY: &str = "a key of the tests";
const QUESTION: &str = "what about Tuesday please";
const ANSWER: &str = "Here is what I found for you today.";
const FREE: &str = r#"{"free": "nine or ten or eleven or twelve"}"#;
const TOOL_PATH: &str = "/slots";
/// In the answer, when the tool has worked.
const FREE_WORDS: &str = "nine or ten";
/// One word, so that it cannot be taken for an answer.
const FILLER: &str = "Wait.";

/// How it goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variant {
    /// For good, and there is somebody else.
    Fallback,
    /// For good, and there is nobody else.
    Alone,
    /// Once, in the second turn, and there is nobody else.
    Once,
}

impl Variant {
    pub(super) const ALL: [Self; 3] = [Self::Fallback, Self::Alone, Self::Once];
}

/// How the fake vendors of a stage behave.
pub(super) fn settings(stage: Stage) -> VendorSettings {
    let slots = vec![("slots".to_owned(), json!({ "doctor": "rao" }).to_string())];
    let answers = match stage {
        Stage::Tool => Answers::Tools { text: String::new(), calls: slots, style: ToolStyle::Pieces },
        Stage::Streaming | Stage::Batch | Stage::Openai | Stage::Anthropic | Stage::HttpVoice | Stage::SocketVoice => {
            Answers::Script(vec![ANSWER.to_owned()])
        }
    };
    VendorSettings { transcripts: Transcripts::Script(vec![QUESTION.to_owned()]), answers, ..vendors() }
}

/// The service under test, and the way to it.
struct Service {
    stage: Stage,
    vendors: FakeVendors,
    voices: Voices,
    desk: Receiver,
    way: Way,
}

impl Service {
    async fn start(stage: Stage) -> Self {
        let vendors = FakeVendors::start(settings(stage)).await.expect("a port");
        let voice = VoicesSettings { word_ms: 200, ..VoicesSettings::instant(KEY) };
        let voices = Voices::start(voice).await.expect("a port");
        let desk = Receiver::start(Reply::status(404)).await;
        desk.answer(TOOL_PATH, good());
        let to = match stage {
            Stage::SocketVoice => address(&voices.url("")),
            Stage::Tool => address(&desk.url("")),
            Stage::Streaming | Stage::Batch | Stage::Openai | Stage::Anthropic | Stage::HttpVoice => vendors.address(),
        };
        let way = Way::to(to).await.expect("a port");
        Self { stage, vendors, voices, desk, way }
    }

    fn url(&self, scheme: &str, path: &str) -> String {
        format!("{scheme}://{}{path}", self.way.address())
    }

    /// From now on it goes wrong, so often.
    fn breaks(&self, fault: Fault, times: u32) {
        let way = match fault {
            Fault::Refused => WayFault::Refuse,
            Fault::HangsAtOnce => WayFault::Silent,
            Fault::HangsMidway => WayFault::StallAfter(self.beginning()),
            Fault::Drips => WayFault::Drip,
            Fault::Cut => WayFault::CutAfter(self.beginning()),
            Fault::Status401 => WayFault::Status(401),
            Fault::Status429 => WayFault::Status(429),
            Fault::Status500 => WayFault::Status(500),
            Fault::Malformed => WayFault::Malformed,
            Fault::WrongKind => return self.is_of_the_wrong_kind(times),
        };
        self.way.fail(way, times);
    }

    /// What the service itself does wrong.
    fn is_of_the_wrong_kind(&self, times: u32) {
        let (vendors, voices) = (&self.vendors, &self.voices);
        // What the vendor does with audio of another rate than it was told: it cannot be decoded.
        let undecodable = ListenFault::CloseAfter { audio_ms: 300, code: 1008 };
        match self.stage {
            Stage::Streaming if times == ALWAYS => vendors.break_listen(undecodable, times),
            Stage::Streaming => vendors.break_open_listen(undecodable, times),
            Stage::Batch => vendors.break_transcription(TranscriptionFault::Html, times),
            Stage::Openai => vendors.break_chat(ChatFault::Html, times),
            Stage::Anthropic => vendors.break_messages(ChatFault::Html, times),
            Stage::HttpVoice => vendors.break_speech(SpeechFault::Wav, times),
            Stage::SocketVoice => voices.break_sentences(VoiceFault::Wav, times),
            Stage::Tool => {
                let page = Reply::status(200).header("content-type", "image/png").body("\u{fffd}PNG\r\n\u{1a}");
                self.desk.answer(TOOL_PATH, page);
            }
        }
    }

    fn heals(&self) {
        self.desk.answer(TOOL_PATH, good());
    }

    /// Bytes of a body that are less than an answer: some words of a sentence, a fifth of a second of sound.
    const fn beginning(&self) -> usize {
        match self.stage {
            Stage::Streaming => 100,
            Stage::Batch => 10,
            Stage::Openai => 500,
            Stage::Anthropic => 900,
            Stage::HttpVoice => 9_700,
            Stage::SocketVoice => 4_000,
            Stage::Tool => 5,
        }
    }
}

fn good() -> Reply {
    Reply::status(200).header("content-type", "application/json").body(FREE)
}

/// The address in a URL.
fn address(url: &str) -> SocketAddr {
    let (_, rest) = url.split_once("://").expect("a scheme");
    rest.split('/').next().expect("a host").parse().expect("an address with a port")
}

/// An agent that uses the service, and healthy ones else.
fn agent(service: &Service, healthy: &FakeVendors, variant: Variant) -> AgentConfig {
    let fallback = variant == Variant::Fallback;
    let mut agent = AgentConfig { greeting: Some("Hello, this is the clinic.".to_owned()), record: false, ..talker(1) };
    agent.turn_taking.fillers = vec![FILLER.to_owned()];
    let mut model = model_of(healthy.openai_url(), ModelProtocol::Openai);
    let speech = &mut agent.speech;
    match service.stage {
        Stage::Streaming => {
            speech.transcriber_url = Some(service.url("ws", "/v1/listen"));
            let other =
                TranscriberChoice { name: "openai".into(), model: String::new(), base_url: Some(healthy.openai_url()) };
            speech.transcriber_fallbacks.extend(fallback.then_some(other));
        }
        Stage::Batch => {
            speech.transcriber = "openai".to_owned();
            speech.transcriber_url = Some(service.url("http", "/v1"));
            let other = TranscriberChoice { name: "deepgram".into(), model: String::new(), base_url: None };
            speech.transcriber_fallbacks.extend(fallback.then_some(other));
        }
        Stage::Openai => model = model_of(service.url("http", "/v1"), ModelProtocol::Openai),
        Stage::Anthropic => model = model_of(service.url("http", "/anthropic/v1"), ModelProtocol::Anthropic),
        Stage::HttpVoice => speech.speaker_url = Some(service.url("http", "/v1")),
        Stage::SocketVoice => {
            speech.speaker = "elevenlabs".to_owned();
            speech.speaker_url = Some(service.url("ws", "/elevenlabs"));
        }
        Stage::Tool => {
            agent.tools = BTreeMap::from([("slots".to_owned(), slots(&service.url("http", TOOL_PATH)))]);
        }
    }
    if fallback && matches!(service.stage, Stage::Openai | Stage::Anthropic) {
        let (protocol, base_url) = (ModelProtocol::Openai, healthy.openai_url());
        model.fallbacks.push(ModelChoice { protocol, base_url, model: "fake".to_owned() });
    }
    if fallback && service.stage.is_voice() {
        let (name, base_url) = ("openai".to_owned(), Some(healthy.openai_url()));
        let other = SpeakerChoice { name, model: String::new(), voice: String::new(), base_url };
        agent.speech.speaker_fallbacks.push(other);
    }
    agent.brain = Brain::LanguageModel(model);
    agent
}

fn model_of(base_url: String, protocol: ModelProtocol) -> LanguageModelConfig {
    LanguageModelConfig {
        protocol,
        base_url,
        model: "fake".to_owned(),
        system_prompt: "You take orders.".to_owned(),
        temperature: 0.2,
        fallbacks: Vec::new(),
        hedge_after_ms: 0,
        tokens_max: 0,
    }
}

fn slots(url: &str) -> ToolConfig {
    let tool = json!({
        "kind": "http", "description": "When a doctor is free.", "url": url,
        "parameters": { "type": "object", "properties": { "doctor": { "type": "string" } }, "required": ["doctor"] },
    });
    serde_json::from_value(tool).expect("a tool")
}

/// The call with this number of the table.
pub(super) async fn run(world: &World<'_>, url: &str, row: &Row, variant: Variant, n: usize) -> Outcome {
    let service = Service::start(row.stage).await;
    let agent = agent(&service, &world.vendors, variant);
    let called = format!("080474920{n:02}");
    set_up(world, &agent, &called, &service).await;
    // Heard before it breaks: a greeting, which a voice that is dead from the beginning could not say.
    let from_the_first_turn = variant == Variant::Alone && row.stage.is_voice();
    if variant != Variant::Once && !from_the_first_turn {
        service.breaks(row.fault, ALWAYS);
    }
    let ends = expected(row, variant) == Then::Ends;
    let mut caller = Asker::new(if ends { TURNS_UNTIL_THE_END } else { TURNS }, |turn| match (turn, variant) {
        (0, _) if from_the_first_turn => service.breaks(row.fault, ALWAYS),
        (1, Variant::Once) => service.breaks(row.fault, 1),
        (2, Variant::Once) => service.heals(),
        _ => {}
    });
    let seen = Box::pin(telephone::call_at(url, &mut caller, |options| {
        options.called_number.clone_from(&called);
        options.call_max = CALL_MAX;
    }))
    .await;
    let turns = std::mem::take(&mut caller.turns);
    drop(caller);
    outcome(world, seen, &turns, service).await
}

async fn set_up(world: &World<'_>, agent: &AgentConfig, called: &str, service: &Service) {
    let number = E164::parse(&format!("+91{}", &called[1..])).expect("a number");
    let addresses = [service.way.address(), service.vendors.address()];
    let key = SecretString::from(KEY);
    let made = world.store.system("test.cell", async |tx| {
        let tx = tx.tenant(world.tenant).await?;
        let agent = agents::create(tx, called, agent, now()).await?.agent.id;
        let number = NewPhoneNumber { carrier: CarrierKind::Exotel, number, agent, path_token_hash: None };
        phone_numbers::create(tx, &number, now()).await?;
        for provider in addresses.map(|address| address.to_string()) {
            let new = NewProviderKey { provider: &provider, label: "of the test", key: &key };
            provider_keys::create(tx, &new, now()).await?;
        }
        Ok::<_, store::Error>(())
    });
    made.await.expect("an agent with a number and keys");
}

const fn expected(row: &Row, variant: Variant) -> Then {
    match variant {
        Variant::Fallback => Then::GoesOn,
        Variant::Alone => row.for_good,
        Variant::Once => row.once,
    }
}

/// How a call went.
pub(super) struct Outcome {
    waits: Vec<Wait>,
    /// What was said last is the answer that was asked for.
    found: bool,
    reason: String,
    by_server: bool,
    /// From the end of the first turn to the end of the call.
    ended_after_ms: u64,
    counts: CallCounts,
    violations: Vec<String>,
    /// How late the carrier's own frames were.
    late_ms: u64,
    /// Its port is nobody else's as long as the server runs: breakers and keys go by addresses.
    _service: Service,
}

async fn outcome(world: &World<'_>, seen: CallObservation, turns: &[Turn], service: Service) -> Outcome {
    let call = world.ended(&seen.call_id).await;
    let record = world.store.read(world.tenant, "test.record", async |tx| call_records::get(tx, call.id).await);
    let counts = record.await.expect("read").usage.unwrap_or_default().counts;
    let said = world.turns(call.id).await;
    let last = said.last().filter(|turn| turn.role == TurnRole::Agent);
    Outcome {
        waits: waits(&seen, turns),
        found: last.is_some_and(|turn| turn.text.contains(ANSWER) || turn.text.contains(FREE_WORDS)),
        reason: call.ended_reason.expect("it is over").to_string(),
        by_server: matches!(seen.closed, Closed::ByServer { .. }),
        ended_after_ms: seen.duration_ms.saturating_sub(turns.first().map_or(0, |turn| turn.to_ms)),
        counts,
        violations: seen.violations,
        late_ms: seen.late_frame_max_ms,
        _service: service,
    }
}

/// Something is heard within this after a turn, and no silence is longer while the caller waits.
const fn within_ms(stage: Stage) -> u64 {
    SLACK_MS
        + match stage {
            Stage::Streaming | Stage::Batch => TEXT_WITHIN_MS,
            Stage::Openai | Stage::Anthropic | Stage::Tool => TURN_END_MS + FILLER_AFTER_MS,
            Stage::HttpVoice | Stage::SocketVoice => TURN_END_MS + VOICE_WITHIN_MS,
        }
}

impl Outcome {
    /// What is not as it must be.
    pub(super) fn complaints(&self, row: &Row, variant: Variant) -> Vec<String> {
        let mut wrong: Vec<String> = self.violations.clone();
        let then = expected(row, variant);
        let reason = if then == Then::Ends { "provider/failed" } else { "caller/hung-up" };
        if self.reason != reason || self.by_server != (then == Then::Ends) {
            wrong.push(format!("it ended as {}, not {reason}", self.reason));
        }
        // A tool that is dead for good finds nothing: the model says so.
        let found = self.found || row.stage == Stage::Tool && variant != Variant::Once;
        if then == Then::GoesOn && !(self.waits.len() == TURNS && found) {
            wrong.push(format!("{} turns, and the last was not answered", self.waits.len()));
        }
        if variant == Variant::Fallback && self.took_over(row.stage) == 0 {
            wrong.push("no count says that another took over".to_owned());
        }
        let within_ms = within_ms(row.stage) + self.late_ms;
        for (n, wait) in self.waits.iter().enumerate() {
            // Without a voice nothing can be said: not for good, and not where one sentence is lost. A tone is heard.
            let lost = variant == Variant::Once
                && n > 0
                && matches!(row.fault, Fault::Malformed | Fault::WrongKind | Fault::Status401);
            let heard = if row.stage.is_voice() && (variant == Variant::Alone || lost) {
                wait.first_ms.is_some_and(|first_ms| first_ms <= TONE_WITHIN_MS + self.late_ms)
            } else {
                wait.answered && wait.silence_ms <= within_ms
            };
            if !heard {
                wrong.push(format!("turn {}: not heard within {within_ms} ms: {wait:?}", n + 1));
            }
        }
        if row.stage.is_voice() && then == Then::Ends && self.ended_after_ms > DEAD_VOICE_ENDS_WITHIN_MS {
            wrong.push(format!("a voice that is dead for {} ms", self.ended_after_ms));
        }
        wrong
    }

    /// How often somebody else did it; of a tool, how often the model said that it failed.
    const fn took_over(&self, stage: Stage) -> u32 {
        match stage {
            Stage::Streaming | Stage::Batch => self.counts.fallbacks_transcribing,
            Stage::Openai | Stage::Anthropic => self.counts.fallbacks_thinking,
            Stage::HttpVoice | Stage::SocketVoice => self.counts.fallbacks_speaking,
            Stage::Tool => self.counts.tools_failed,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for wait in &self.waits {
            match wait.first_ms {
                Some(first_ms) => write!(f, "{:>5} ms", first_ms)?,
                None => write!(f, "  nothing")?,
            }
            write!(f, " (silence {:>5}){} ", wait.silence_ms, if wait.answered { "" } else { " no answer" })?;
        }
        let CallCounts { fillers, reconnects, tools_failed, .. } = self.counts;
        let counts = &self.counts;
        let fallbacks = counts.fallbacks_transcribing + counts.fallbacks_thinking + counts.fallbacks_speaking;
        let failed = counts.failed_transcribing + counts.failed_thinking + counts.failed_speaking;
        write!(
            f,
            "| {} after {} ms | fallbacks {fallbacks} failed {failed} reconnects {reconnects} fillers {fillers} \
             tools failed {tools_failed}",
            self.reason, self.ended_after_ms
        )
    }
}
