//! What an agent with a language model does besides talking: tools of every kind, what is known of the caller, another
//! language; and what is counted of it.

use crate::place::{Place, both_databases};
use crate::program::Server;
use crate::telephone;
use crate::transfers::through_a_flow;
use crate::voice;
use crate::world::{World, channel_dbfs, talker, vendors};
use model::{
    AgentConfig, Ambience, AmbienceSound, Brain, CallUsage, CollectDtmfTool, EndCallTool, EndedReason, Lookup,
    SendDtmfTool, Stage, ToolConfig, TranscriptTurn, TransferDestination, TransferTool, TurnRole,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use store::call_records;
use store::calls::Call;
use testkit::carrier::{CallObservation, Closed, Human, RecordedCaller};
use testkit::receiver::{Receiver, Reply};
use testkit::vendors::{Answers, ToolStyle, Transcripts, VendorSettings};

/// Somebody who listens for two seconds, says something, and listens again until then.
fn speaks_once(hangs_up_at_ms: u64) -> RecordedCaller {
    let mut pcm = vec![0; 8_000 * 2];
    pcm.extend(voice::say(8_000, 900));
    RecordedCaller::new(pcm, hangs_up_at_ms)
}

/// An agent with these tools.
fn with_tools(tools: &[(&str, ToolConfig)]) -> AgentConfig {
    let tools: BTreeMap<String, ToolConfig> =
        tools.iter().map(|(name, tool)| ((*name).to_owned(), tool.clone())).collect();
    AgentConfig { greeting: Some("Hello there.".to_owned()), tools, ..talker(1) }
}

/// A model that says this and asks for these tools, and then says what they gave.
fn asks_for(text: &str, calls: &[(&str, Value)]) -> VendorSettings {
    let calls = calls.iter().map(|(name, arguments)| ((*name).to_owned(), arguments.to_string())).collect();
    let answers = Answers::Tools { text: text.to_owned(), calls, style: ToolStyle::Pieces };
    hears("what about Tuesday please", answers)
}

fn hears(text: &str, answers: Answers) -> VendorSettings {
    VendorSettings { transcripts: Transcripts::Script(vec![text.to_owned()]), answers, ..vendors() }
}

fn said(turns: &[TranscriptTurn]) -> Vec<(TurnRole, &str)> {
    turns.iter().map(|turn| (turn.role, turn.text.as_str())).collect()
}

async fn called(world: &World<'_>, server: &Server, mut caller: RecordedCaller) -> (CallObservation, Call) {
    let seen = Box::pin(telephone::call(server, &mut caller, |_| {})).await;
    assert_eq!(seen.violations, Vec::<String>::new());
    let call = world.ended(&seen.call_id).await;
    (seen, call)
}

async fn usage(world: &World<'_>, call: &Call) -> CallUsage {
    let read = world.store.read(world.tenant, "test.record", async |tx| call_records::get(tx, call.id).await);
    read.await.expect("read").usage.expect("a call with media has a usage")
}

/// The roles and texts of the last request to the model.
fn last_chat(world: &World<'_>) -> Value {
    serde_json::from_str(&world.vendors.last_chat()).expect("JSON")
}

fn system(chat: &Value) -> &str {
    chat["messages"][0]["content"].as_str().unwrap_or_default()
}

fn http_tool(url: &str) -> ToolConfig {
    let tool = json!({
        "kind": "http", "description": "When a doctor is free.", "url": url, "say": "One moment.",
        "fixed": { "clinic": "{{clinic}}" },
        "parameters": { "type": "object", "properties": { "doctor": { "type": "string" } }, "required": ["doctor"] },
    });
    serde_json::from_value(tool).expect("a tool")
}

both_databases! {
    async fn a_tool_is_asked_and_answered_in_the_same_turn(place) {
        let clinic = Receiver::start(Reply::status(404)).await;
        clinic.answer("/slots", Reply::status(200).header("content-type", "application/json").body(r#"{"free":"nine"}"#));
        let agent = with_tools(&[("slots", http_tool(&clinic.url("/slots")))]);
        let settings = asks_for("", &[("slots", json!({ "doctor": "rao" }))]);
        let world = World::with_vendors(place, agent, settings).await;
        let server = world.serve(&[]).await;
        let (_, call) = called(&world, &server, speaks_once(9_000)).await;

        let asked = clinic.received_at("/slots");
        assert_eq!(asked.len(), 1, "{asked:?}");
        assert_eq!((asked[0].method.as_str(), &asked[0].json()["doctor"]), ("POST", &json!("rao")));
        let turns = world.turns(call.id).await;
        let [greeting, question, answer] = said(&turns)[..] else { panic!("{turns:?}") };
        assert_eq!(greeting, (TurnRole::Agent, "Hello there."));
        assert_eq!(question, (TurnRole::Caller, "what about Tuesday please"));
        assert!(answer.0 == TurnRole::Agent && answer.1.starts_with("One moment.") && answer.1.contains("nine"), "{turns:?}");

        let chat = last_chat(&world);
        let messages = chat["messages"].as_array().expect("messages");
        let roles: Vec<&str> = messages.iter().filter_map(|m| m["role"].as_str()).collect();
        assert_eq!(roles, ["system", "assistant", "user", "assistant", "tool"], "{chat}");
        assert_eq!(chat["tools"][0]["function"]["name"], "slots");
        assert!(!chat["tools"].to_string().contains("clinic"), "what is fixed is not the model's: {chat}");

        let usage = usage(&world, &call).await;
        assert_eq!((usage.counts.tools, usage.counts.tools_failed, usage.counts.bad_frames), (1, 0, 0), "{usage:?}");
        let line = |stage| usage.lines.iter().find(|line| line.stage == stage).unwrap_or_else(|| panic!("{usage:?}"));
        assert!(line(Stage::Transcribing).audio_ms > 0, "{usage:?}");
        assert!(line(Stage::Thinking).requests >= 2 && line(Stage::Thinking).prompt_tokens >= 100, "{usage:?}");
        assert!(line(Stage::Speaking).characters > 0, "{usage:?}");
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_that_the_agent_does_not_have_never_runs() {
    let place = Place::sqlite();
    let clinic = Receiver::start(Reply::status(200)).await;
    // The fake model asks only for what is offered: a flow asks for what it likes.
    let mut agent = crate::world::colours();
    agent.tools = BTreeMap::from([("slots".to_owned(), http_tool(&clinic.url("/slots")))]);
    let world = World::with_vendors(&place, agent, hears("red please", Answers::Order)).await;
    let server = world.serve(&[]).await;
    let (_, call) = called(&world, &server, speaks_once(12_000)).await;
    let usage = usage(&world, &call).await;
    assert_eq!((usage.counts.tools, usage.counts.tools_failed), (1, 1), "{usage:?}");
    assert_eq!(clinic.received_at("/slots").len(), 0);
    assert!(call.data.get("keep_colour").is_none(), "{:?}", call.data);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_can_end_the_call() {
    let place = Place::sqlite();
    let agent = with_tools(&[("bye", ToolConfig::EndCall(EndCallTool::default()))]);
    let world = World::with_vendors(&place, agent, asks_for("Goodbye then.", &[("bye", json!({}))])).await;
    let server = world.serve(&[]).await;
    let (seen, call) = called(&world, &server, speaks_once(15_000)).await;
    assert_eq!(call.ended_reason, Some(EndedReason::AgentCompleted));
    assert!(matches!(seen.closed, Closed::ByServer { .. }), "{:?}", seen.closed);
    let turns = world.turns(call.id).await;
    assert_eq!(said(&turns).last(), Some(&(TurnRole::Agent, "Goodbye then.")), "{turns:?}");
    assert_eq!(usage(&world, &call).await.counts.tools, 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_can_hand_the_caller_over_by_name_only() {
    let place = Place::sqlite();
    let destination = |name: &str, number: &str| TransferDestination {
        name: name.to_owned(),
        description: String::new(),
        number: number.to_owned(),
    };
    let destinations = vec![destination("billing", "+918045671234"), destination("doctor", "+918045675678")];
    let transfer = TransferTool { description: None, destinations, say: Some("Please hold.".to_owned()) };
    let agent = with_tools(&[("person", ToolConfig::TransferCall(transfer))]);
    let world = World::with_vendors(&place, agent, asks_for("", &[("person", json!({ "to": "doctor" }))])).await;
    let server = world.serve(&[]).await;
    let humans = vec![Human::Answers { talk: Duration::from_secs(30) }];
    let seen = Box::pin(through_a_flow(&server.url, humans, &mut speaks_once(15_000))).await;
    let transfer = seen.transfer.as_ref().expect("the flow goes on to the Connect applet");
    assert_eq!(transfer.dialled.iter().map(|d| d.number.as_str()).collect::<Vec<_>>(), ["+918045675678"]);
    let call = world.ended(&seen.call_id).await;
    assert_eq!(call.ended_reason, Some(EndedReason::AgentTransferred));
    let turns = world.turns(call.id).await;
    assert_eq!(said(&turns).last(), Some(&(TurnRole::Agent, "Please hold.")), "{turns:?}");
    assert!(!world.vendors.last_chat().contains("8045675678"), "a model never sees a number");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn typed_digits_reach_the_model() {
    let place = Place::sqlite();
    let tool = CollectDtmfTool { say: Some("Type it now.".to_owned()), ..CollectDtmfTool::default() };
    let agent = with_tools(&[("pin", ToolConfig::CollectDtmf(tool))]);
    let world = World::with_vendors(&place, agent, asks_for("", &[("pin", json!({}))])).await;
    let server = world.serve(&[]).await;
    let mut caller = speaks_once(13_000);
    caller.keys = [(7_000, '4'), (7_300, '2'), (7_600, '#')].to_vec();
    let (_, call) = called(&world, &server, caller).await;
    let chat = last_chat(&world);
    let last = chat["messages"].as_array().and_then(|all| all.last()).cloned().unwrap_or_default();
    assert_eq!(last["role"], "tool", "{chat}");
    assert!(last["content"].as_str().is_some_and(|text| text.contains("\"42\"")), "{chat}");
    let turns = world.turns(call.id).await;
    assert!(turns.iter().any(|turn| turn.role == TurnRole::Agent && turn.text.contains("42")), "{turns:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pressed_keys_are_heard_as_tones() {
    let place = Place::sqlite();
    let agent = with_tools(&[("keys", ToolConfig::SendDtmf(SendDtmfTool::default()))]);
    let world = World::with_vendors(&place, agent, asks_for("", &[("keys", json!({ "digits": "5" }))])).await;
    let server = world.serve(&[]).await;
    let (_, call) = called(&world, &server, speaks_once(9_000)).await;
    let (_, wav) = world.stored_recording(call.id).await;
    let agent: Vec<i16> = wav.samples.iter().skip(1).step_by(2).copied().collect();
    // Somewhere 50 ms of nothing but the two frequencies of the key.
    let heard = agent.windows(400).step_by(80).any(|window| {
        let [low, high] = audio::dtmf::frequencies('5').expect("a key");
        let all = audio::level::power(window);
        all > 1e-4 && power_at(window, low) + power_at(window, high) > 0.9 * all
    });
    assert!(heard, "no tone of the key");
    assert_eq!(usage(&world, &call).await.counts.tools, 1);
    server.stop().await;
}

/// Power of one frequency in 8 kHz sound, relative to full scale.
fn power_at(window: &[i16], hz: f64) -> f32 {
    let (mut cosine, mut sine) = (0.0, 0.0);
    for (n, sample) in window.iter().enumerate() {
        let turn = std::f64::consts::TAU * hz * n as f64 / 8_000.0;
        cosine += f64::from(*sample) / 32_768.0 * turn.cos();
        sine += f64::from(*sample) / 32_768.0 * turn.sin();
    }
    (2.0 * (cosine * cosine + sine * sine) / (window.len() as f64).powi(2)) as f32
}

fn looking_up(url: String, timeout_ms: u64) -> AgentConfig {
    let mut agent = with_tools(&[]);
    agent.greeting = Some("Hello {{name}}.".to_owned());
    agent.lookup = Some(Lookup { url, timeout_ms, key: String::new() });
    if let Brain::LanguageModel(model) = &mut agent.brain {
        model.system_prompt = "You talk to {{name}}, a {{kind}} customer.".to_owned();
    }
    agent
}

both_databases! {
    async fn what_is_known_of_the_caller_is_spoken_and_told_to_the_model(place) {
        let desk = Receiver::start(Reply::status(404)).await;
        let known = r#"{"variables":{"name":"Asha","kind":"gold"}}"#;
        desk.answer("/known", Reply::status(200).header("content-type", "application/json").body(known));
        let settings = hears("where is my order please", Answers::Order);
        let world = World::with_vendors(place, looking_up(desk.url("/known"), 2_000), settings).await;
        let server = world.serve(&[]).await;
        let (_, call) = called(&world, &server, speaks_once(6_000)).await;
        let asked = desk.received_at("/known");
        assert_eq!(asked.len(), 1, "{asked:?}");
        let told = asked[0].json();
        assert_eq!(
            (&told["call_id"], &told["direction"], &told["caller_number"], &told["agent_number"]),
            (&json!(call.id.to_string()), &json!("incoming"), &json!("+919876543210"), &json!("+918047491899"))
        );
        let turns = world.turns(call.id).await;
        assert_eq!(said(&turns)[0], (TurnRole::Agent, "Hello Asha."), "{turns:?}");
        assert_eq!(system(&last_chat(&world)), "You talk to Asha, a gold customer.");
        assert!(!server.output().contains("Asha"), "what is known of callers is not logged");
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_up_that_hangs_costs_its_time_and_no_more() {
    let place = Place::sqlite();
    let desk = Receiver::start(Reply::never()).await;
    let settings = hears("where is my order please", Answers::Order);
    let world = World::with_vendors(&place, looking_up(desk.url("/known"), 900), settings).await;
    let server = world.serve(&[]).await;
    // Speaks at once: what is said during the look-up is not lost.
    let caller = RecordedCaller::new(voice::say(8_000, 700), 7_000);
    let (seen, call) = called(&world, &server, caller).await;
    assert_eq!(desk.received_at("/known").len(), 1);
    let first = seen.first_agent_audio_ms.expect("the agent speaks");
    assert!((800..5_000).contains(&first), "{first} ms");
    let turns = world.turns(call.id).await;
    assert!(said(&turns).contains(&(TurnRole::Caller, "where is my order please")), "{turns:?}");
    assert_eq!(system(&last_chat(&world)), "You talk to , a  customer.", "what is not known vanishes");
    // The caller's words stand in the recording where they were said.
    let (_, wav) = world.stored_recording(call.id).await;
    let early: Vec<i16> = wav.samples.iter().step_by(2).take(8_000 * 7 / 10).copied().collect();
    assert!(audio::level::rms_dbfs(&early) > -35.0, "{} dBFS", audio::level::rms_dbfs(&early));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_leaves_during_the_look_up_has_left() {
    let place = Place::sqlite();
    let desk = Receiver::start(Reply::never()).await;
    let world = World::new(&place, looking_up(desk.url("/known"), 1_500)).await;
    let server = world.serve(&[]).await;
    let (_, call) = called(&world, &server, RecordedCaller::new(Vec::new(), 300)).await;
    assert_eq!(call.ended_reason, Some(EndedReason::CallerHungUp));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_conversation_goes_over_to_the_callers_language() {
    let place = Place::sqlite();
    let mut agent = with_tools(&[]);
    agent.languages = vec!["hi-IN".to_owned()];
    let text = "मुझे आज शाम की अपॉइंटमेंट चाहिए और मैं हिंदी में बात करना चाहता हूं";
    let world = World::with_vendors(&place, agent, hears(text, Answers::Order)).await;
    let server = world.serve(&[]).await;
    let (_, call) = called(&world, &server, speaks_once(7_000)).await;
    let chat = last_chat(&world);
    assert!(system(&chat).starts_with("You take orders."), "{chat}");
    assert!(system(&chat).ends_with("The caller now speaks Hindi (hi-IN). Answer in that language."), "{chat}");
    assert_eq!(usage(&world, &call).await.counts.language_switches, 1);
    assert_eq!(world.vendors.stats().listen_streams, 2, "the caller is heard in the other language from then on");
    let kinds: Vec<String> = world.events(call.id).await.into_iter().map(|event| event.kind).collect();
    assert!(kinds.iter().any(|kind| kind == "language-switched"), "{kinds:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sound_behind_the_agent_is_heard_between_sentences_and_in_nobodys_way() {
    let place = Place::sqlite();
    let mut agent = with_tools(&[]);
    agent.ambience = Some(Ambience { sound: AmbienceSound::Office, below_db: 30 });
    let world = World::with_vendors(&place, agent, hears("where is my order please", Answers::Order)).await;
    let server = world.serve(&[]).await;
    let (seen, call) = called(&world, &server, speaks_once(9_000)).await;
    let turns = world.turns(call.id).await;
    assert_eq!(turns.len(), 3, "{turns:?}");
    assert!(turns.iter().all(|turn| !turn.interrupted), "{turns:?}");
    assert!(seen.marks.iter().all(|mark| mark.echoed_ms.is_some() && !mark.cleared), "{:?}", seen.marks);
    let (_, wav) = world.stored_recording(call.id).await;
    // The agent's side of the second before the caller speaks: nobody says anything in it.
    let quiet: Vec<i16> =
        wav.samples[8_000 * 2 * 2 - 8_000..8_000 * 2 * 2].iter().skip(1).step_by(2).copied().collect();
    let dbfs = audio::level::rms_dbfs(&quiet);
    assert!((-50.0..-20.0).contains(&dbfs), "{dbfs} dBFS");
    assert!(channel_dbfs(&wav, 1) > -45.0);
    server.stop().await;
}
