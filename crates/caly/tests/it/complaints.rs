//! What users of other voice agents leave for, each as a call over real sockets, named after the complaint.

use crate::account::{NO_LIMITS, Person};
use crate::place::{Place, eventually};
use crate::program::Server;
use crate::telephone;
use crate::voice;
use crate::world::{World, talker, vendors};
use model::{
    AgentConfig, CallCounts, EndedReason, HttpTool, ToolConfig, TranscriptTurn, TransferDestination, TransferTool,
    TurnRole, Voicemail,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use store::call_records;
use store::calls::Call;
use testkit::carrier::{
    ApiCall, ApiOptions, CallObservation, CallerSide, Closed, FakeExotelApi, Fault, LOUD_DBFS, RecordedCaller, rms_dbfs,
};
use testkit::receiver::{Receiver, Reply};
use testkit::vendors::{Answers, FakeVendors, ToolStyle, Transcripts, VendorSettings, Way, WayFault};

/// The greeting is heard within this, from the carrier's start message.
const GREETED_WITHIN_MS: u64 = 1_000;
/// A socket that is open and dead is noticed within this.
const DEAD_LINE_NOTICED_WITHIN_MS: i64 = 30_000;
/// A call that has had its time is over after this much more: a goodbye.
const GOODBYE_WITHIN_MS: u64 = 15_000;
/// A word of the fake voice.
const WORD_MS: u64 = 200;
/// A call that we placed is over within this.
const OVER_WITHIN: Duration = Duration::from_secs(40);
/// Twenty-four words, each said once: what was heard, lost or said twice shows.
const LONG: &str = "Alpha bravo charlie delta echo foxtrot golf hotel. India juliet kilo lima mike november oscar \
                    papa. Quebec romeo sierra tango uniform victor whiskey zulu.";

/// Somebody who says something at these times, for so long, ms.
fn says(at: &[(usize, usize)], hangs_up_at_ms: u64) -> RecordedCaller {
    let mut pcm = Vec::new();
    for (from_ms, length_ms) in at {
        pcm.resize(pcm.len().max(from_ms * 8), 0);
        pcm.extend(voice::say(8_000, *length_ms));
    }
    RecordedCaller::new(pcm, hangs_up_at_ms)
}

fn hears(texts: &[&str], answers: Answers) -> VendorSettings {
    let texts = texts.iter().map(|text| (*text).to_owned()).collect();
    VendorSettings { transcripts: Transcripts::Script(texts), answers, ..vendors() }
}

fn answers(text: &str) -> Answers {
    Answers::Script(vec![text.to_owned()])
}

/// A model that asks for this tool, and then says what it gave.
fn asks_for(tool: &str, arguments: Value) -> Answers {
    let calls = vec![(tool.to_owned(), arguments.to_string())];
    Answers::Tools { text: String::new(), calls, style: ToolStyle::Pieces }
}

fn greeting(text: &str) -> AgentConfig {
    AgentConfig { greeting: Some(text.to_owned()), record: false, ..talker(1) }
}

async fn called(world: &World<'_>, server: &Server, mut caller: RecordedCaller) -> (CallObservation, Call) {
    let seen = Box::pin(telephone::call(server, &mut caller, |_| {})).await;
    assert_eq!(seen.violations, Vec::<String>::new());
    let call = world.ended(&seen.call_id).await;
    (seen, call)
}

async fn counts(world: &World<'_>, call: &Call) -> CallCounts {
    let read = world.store.read(world.tenant, "test.record", async |tx| call_records::get(tx, call.id).await);
    read.await.expect("read").usage.expect("a call with media has a usage").counts
}

/// Everything that was heard of the agent before the caller's first turn that was answered.
fn heard_of(turns: &[TranscriptTurn]) -> Vec<&str> {
    turns.iter().filter(|turn| turn.role == TurnRole::Agent).map(|turn| turn.text.as_str()).collect()
}

fn prompt(world: &World<'_>) -> Vec<Value> {
    let chat: Value = serde_json::from_str(&world.vendors.last_chat()).expect("JSON");
    chat["messages"].as_array().cloned().expect("messages")
}

/// When the caller first hears the agent.
fn first_sound_ms(seen: &CallObservation) -> u64 {
    let window = seen.sample_rate_hz as usize / 50;
    let at = seen.agent_timeline.chunks(window).position(|part| rms_dbfs(part) > LOUD_DBFS);
    at.expect("the agent is heard") as u64 * 20
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_seconds_before_the_welcome() {
    let place = Place::sqlite();
    let world = World::with_vendors(&place, greeting(LONG), hears(&["hello"], Answers::Order)).await;
    let server = world.serve(&[]).await;
    let (seen, _) = called(&world, &server, says(&[], 2_500)).await;
    let first = first_sound_ms(&seen);
    assert!(first <= GREETED_WITHIN_MS, "{first} ms");
    server.stop().await;
}

/// Nobody who greets needs to hear: the greeting does not wait for a transcriber that hangs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn welcome_not_playing() {
    let place = Place::sqlite();
    let deaf = FakeVendors::start(vendors()).await.expect("a port");
    let way = Way::to(deaf.address()).await.expect("a port");
    way.fail(WayFault::Silent, u32::MAX);
    let world = World::new(&place, greeting(LONG)).await;
    let listen = format!("ws://{}/v1/listen", way.address());
    let server = world.serve(&[("CALY_DEEPGRAM_URL", &listen)]).await;
    let (seen, _) = called(&world, &server, says(&[], 2_500)).await;
    let first = first_sound_ms(&seen);
    assert!(first <= GREETED_WITHIN_MS, "{first} ms");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cough_cuts_the_agent_and_it_never_answers() {
    let place = Place::sqlite();
    let settings = hears(&[""], answers("We are open on Tuesday."));
    let world = World::with_vendors(&place, greeting(LONG), settings).await;
    world.vendors.speak_at(&[(0, ""), (6_000, "what about Tuesday please")]);
    let server = world.serve(&[]).await;
    // A cough in the first sentence, a question after the last.
    let (seen, call) = called(&world, &server, says(&[(1_200, 300), (9_500, 900)], 14_000)).await;
    let turns = world.turns(call.id).await;
    let heard = heard_of(&turns);
    assert_eq!(heard.last(), Some(&"We are open on Tuesday."), "{turns:?}");
    let greeted = heard[..heard.len() - 1].join(" ");
    assert_eq!(greeted, LONG, "nothing is lost, and nothing said twice: {turns:?} {:?}", seen.clear_at_ms);
    assert_eq!(counts(&world, &call).await.barge_ins, u32::try_from(seen.clear_at_ms.len()).expect("few"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agent_stops_for_haan() {
    let place = Place::sqlite();
    let settings = hears(&["haan ji"], answers("We are open on Tuesday."));
    let world = World::with_vendors(&place, greeting(LONG), settings).await;
    world.vendors.speak_at(&[(0, "haan ji"), (6_000, "what about Tuesday please")]);
    let server = world.serve(&[]).await;
    let (seen, call) = called(&world, &server, says(&[(1_200, 450), (8_000, 900)], 12_500)).await;
    let turns = world.turns(call.id).await;
    assert_eq!(seen.clear_at_ms, Vec::<u64>::new(), "it goes on");
    let said: Vec<(TurnRole, &str)> = turns.iter().map(|turn| (turn.role, turn.text.as_str())).collect();
    let want = [
        (TurnRole::Agent, LONG),
        (TurnRole::Caller, "what about Tuesday please"),
        (TurnRole::Agent, "We are open on Tuesday."),
    ];
    assert_eq!(said, want, "«haan» is no turn");
    assert!(counts(&world, &call).await.backchannels >= 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_interruption_it_thinks_it_said_everything() {
    let place = Place::sqlite();
    let settings = hears(&["stop I have a question about Tuesday"], answers("We are open on Tuesday."));
    let world = World::with_vendors(&place, greeting(LONG), settings).await;
    let server = world.serve(&[]).await;
    let (seen, call) = called(&world, &server, says(&[(2_000, 900)], 7_000)).await;
    let [cleared] = seen.clear_at_ms[..] else { panic!("{:?}", seen.clear_at_ms) };
    let heard_ms = cleared - first_sound_ms(&seen);
    let prompt = prompt(&world);
    let held = prompt[1]["content"].as_str().expect("what the agent said");
    assert_eq!(prompt[1]["role"], "assistant", "{prompt:?}");
    assert!(LONG.starts_with(held) && held.len() < LONG.len(), "«{held}»");
    // To the word, one more or less: the far end plays a little later than we know.
    let words = held.split_whitespace().count() as u64;
    assert!(words.abs_diff(heard_ms / WORD_MS) <= 1, "{words} words are held, and {heard_ms} ms were heard: «{held}»");
    // The transcript says the same.
    let turns = world.turns(call.id).await;
    assert_eq!((turns[0].text.as_str(), turns[0].interrupted), (held, true), "{turns:?}");
    assert_eq!(heard_of(&turns).last(), Some(&"We are open on Tuesday."), "{turns:?}");
    server.stop().await;
}

fn slow_tool(url: &str) -> ToolConfig {
    let tool: HttpTool = serde_json::from_value(json!({
        "description": "When a doctor is free.", "url": url, "timeout_ms": 2_500,
        "say": "One moment while I have a look at what is free on that day.",
    }))
    .expect("a tool");
    ToolConfig::Http(tool)
}

/// The fake model refuses a conversation with a tool's result that nobody asked for, or without one that was, as the
/// vendor does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interrupted_in_a_tool_call_the_model_answers_400() {
    let place = Place::sqlite();
    let clinic = Receiver::start(Reply::never()).await;
    let mut agent = greeting("Hello there.");
    agent.tools = BTreeMap::from([("slots".to_owned(), slow_tool(&clinic.url("/slots")))]);
    let settings = hears(&[""], asks_for("slots", json!({})));
    let world = World::with_vendors(&place, agent, settings).await;
    world.vendors.speak_at(&[(0, "what about Tuesday please"), (3_500, "no wait I mean Friday")]);
    let server = world.serve(&[]).await;
    let (seen, call) = called(&world, &server, says(&[(1_500, 900), (4_200, 900)], 14_000)).await;
    assert!(!clinic.received_at("/slots").is_empty(), "the tool ran");
    assert_eq!(world.vendors.stats().refused, 0, "{:?}", prompt(&world));
    assert!(!seen.clear_at_ms.is_empty(), "it was interrupted");
    let turns = world.turns(call.id).await;
    let friday = turns.iter().position(|turn| turn.text.contains("Friday")).expect("heard");
    assert!(turns[friday..].iter().any(|turn| turn.role == TurnRole::Agent), "and answered: {turns:?}");
    let prompt = prompt(&world);
    assert!(prompt.iter().any(|message| message["role"] == "tool"), "{prompt:?}");
    assert_eq!(counts(&world, &call).await.failed_thinking, 0);
    server.stop().await;
}

/// A line without a flow behind it can hand over to nobody: the model learns so, and says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transfer_is_stuck() {
    let to = TransferDestination {
        name: "doctor".to_owned(),
        description: String::new(),
        number: "+918045671234".to_owned(),
    };
    let transfer = TransferTool { description: None, destinations: vec![to], say: Some("Please hold.".to_owned()) };
    let mut agent = greeting("Hello there.");
    agent.tools = BTreeMap::from([("person".to_owned(), ToolConfig::TransferCall(transfer))]);
    let settings = hears(&["give me the doctor please"], asks_for("person", json!({ "to": "doctor" })));
    let (call, _, said) = Box::pin(placed(agent, settings, || says(&[(1_500, 900)], 9_000))).await;
    assert_eq!(call["ended_reason"], json!("caller/hung-up"), "nobody was handed to nobody: {call}");
    let last = said.last().expect("it answers");
    assert!(last.contains("cannot hand over") && !last.contains("Please hold"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_dead_carrier_socket_hangs_the_call() {
    let place = Place::sqlite();
    let world = World::new(&place, greeting("Hello there.")).await;
    let server = world.serve(&[]).await;
    for fault in [Fault::Freeze { at_ms: 1_500 }, Fault::SilentAfterStart] {
        let seen =
            Box::pin(telephone::call(&server, &mut says(&[], 60_000), |options| options.faults = vec![fault])).await;
        let call = world.ended(&seen.call_id).await;
        assert_eq!(call.ended_reason, Some(EndedReason::CarrierSilent), "{fault:?}");
        // The carrier's own clock goes on: it has noticed nothing.
        let lasted = call.ended_at.zip(call.started_at).map(|(ended, started)| (ended - started).num_milliseconds());
        let lasted = lasted.expect("it began and ended");
        assert!(lasted <= DEAD_LINE_NOTICED_WITHIN_MS, "{fault:?}: {lasted} ms");
    }
    server.stop().await;
}

/// Also when the caller never stops talking.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_cap_on_the_duration() {
    let place = Place::sqlite();
    let agent = AgentConfig { max_duration_s: 4, ..greeting("Hello there.") };
    let world = World::with_vendors(&place, agent, hears(&["and another thing"], Answers::Order)).await;
    let server = world.serve(&[]).await;
    let (seen, call) = called(&world, &server, says(&[(800, 40_000)], 45_000)).await;
    assert_eq!(call.ended_reason, Some(EndedReason::AgentMaxDuration));
    assert!(matches!(seen.closed, Closed::ByServer { .. }), "{:?}", seen.closed);
    assert!(seen.duration_ms <= 4_000 + GOODBYE_WITHIN_MS, "{} ms", seen.duration_ms);
    server.stop().await;
}

/// Orders a call of this agent that is answered so, and waits for its end: the call, its media, and what the agent said.
async fn placed(
    agent: AgentConfig,
    settings: VendorSettings,
    answers: fn() -> RecordedCaller,
) -> (Value, CallObservation, Vec<String>) {
    const OURS_AS_SENT: &str = "08047490000";
    let place = Place::sqlite();
    let world = World::with_vendors(&place, talker(1), settings).await;
    let options = ApiOptions { exophones: vec![OURS_AS_SENT.to_owned()], ..ApiOptions::default() };
    let answers = move |_: &ApiCall| -> Box<dyn CallerSide> { Box::new(answers()) };
    let api = FakeExotelApi::start(options, Arc::new(answers)).await.expect("a port");
    let (name, value) = NO_LIMITS;
    let server = world.serve(&[("CALY_EXOTEL_URL", &api.url()), (name, value)]).await;
    let person = Person::sign_up(&server, &place, "asha").await;
    let mut config = serde_json::to_value(agent).expect("JSON");
    config["brain"]["base_url"] = json!(world.vendors.openai_url());
    let agent = person.make(&server, "/api/agents", json!({ "name": "Asha", "config": config })).await;
    let number = json!({ "number": "+918047490000", "carrier": "exotel", "agent_id": agent });
    let number = person.make(&server, "/api/phone-numbers", number).await;
    let account = json!({
        "carrier": "exotel", "account_id": "exotelaccount", "region": "mumbai", "api_key": "api-key",
        "token": "api-token",
    });
    person.make(&server, "/api/carrier-accounts", account).await;
    let order = json!({ "agent_id": agent, "to": "+919812345678", "from": number });
    let id = person.make(&server, "/api/calls", order).await;
    let call = eventually("the call is over", OVER_WITHIN, async || {
        let answer = person.get(&server, &format!("/api/calls/{id}")).await;
        Some(answer.body).filter(|call| !call["ended_reason"].is_null())
    })
    .await;
    let transcript = person.get(&server, &format!("/api/calls/{id}/turns")).await.body;
    let turns = transcript.as_array().or(transcript["items"].as_array());
    let said = turns.into_iter().flatten().filter(|turn| turn["role"] == "agent");
    let said = said.filter_map(|turn| turn["text"].as_str().map(str::to_owned)).collect();
    let ordered = api.finished(1).await;
    let seen = ordered[0].observation.as_deref().cloned().expect("its media");
    server.stop().await;
    (call, seen, said)
}

/// An agent that listens for machines, and what answers: it speaks from 300 ms on for two seconds.
async fn machine(says_there: &str, message: Option<&str>) -> (Value, CallObservation, Vec<String>) {
    let voicemail = Voicemail { detect: true, message: message.map(str::to_owned) };
    let agent = AgentConfig { voicemail, ..greeting("Hello, this is the clinic.") };
    let settings = hears(&[says_there], Answers::Order);
    Box::pin(placed(agent, settings, || says(&[(300, 2_000)], 30_000))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn talks_to_voicemail() {
    const MESSAGE: &str = "This is the clinic. Please call us back.";
    let greets = "The person you are calling is not available. Please leave a message after the tone.";
    let (call, seen, said) = Box::pin(machine(greets, Some(MESSAGE))).await;
    assert_eq!(call["ended_reason"], json!("agent/voicemail"), "{call}");
    assert_eq!(said.last().map(String::as_str), Some(MESSAGE), "{said:?}");
    // All of it is said after the machine's own words, which end at 2.3 s.
    let loud = |from_ms: usize| {
        let after = seen.agent_timeline.get(from_ms * 8..).unwrap_or_default();
        after.chunks(160).filter(|part| rms_dbfs(part) > LOUD_DBFS).count() as u64 * 20
    };
    let words = MESSAGE.split_whitespace().count() as u64;
    assert!(loud(2_300) + WORD_MS >= words * WORD_MS, "{} ms of {words} words", loud(2_300));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn talks_to_the_networks_announcement() {
    let greets = "The number you are calling is currently switched off. Please try again later.";
    let (call, seen, _) = Box::pin(machine(greets, None)).await;
    assert_eq!(call["ended_reason"], json!("caller/unreachable"), "{call}");
    assert!(seen.duration_ms < 6_000, "{} ms", seen.duration_ms);
}
