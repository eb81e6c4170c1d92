//! Whole calls: what the caller hears, and everything that is kept of them.

use crate::place::both_databases;
use crate::program::Server;
use crate::telephone;
use crate::voice;
use crate::world::{World, channel_dbfs, colours, length_ms, talker, vendors};
use model::{CallStatus, EndedReason, TranscriptTurn, TurnRole};
use std::collections::BTreeMap;
use store::PageRequest;
use store::calls::Call;
use store::jobs::{self, JobState};
use testkit::caller::{Script, ScriptedCaller};
use testkit::carrier::{CallObservation, Closed, EventKind, RecordedCaller};
use testkit::vendors::{Answers, ChatFault, ListenFault, SpeechFault, Transcripts, VendorSettings};

/// Answers the first question, then waits for the agent to hang up.
fn answering_caller() -> ScriptedCaller {
    let script =
        "name = 'answer'\nlinger_ms = 8000\n[[turn]]\ntext = 'red please'\npause_ms = 200\nsay = [{ clip = 'x' }]";
    let script = Script::parse(script).expect("a script");
    ScriptedCaller::with_speech(script, vec![voice::say(8_000, 800)], 8_000, 7)
}

/// What the vendors make of it.
fn hears(text: &str) -> VendorSettings {
    VendorSettings { transcripts: Transcripts::Script(vec![text.to_owned()]), ..vendors() }
}

fn said(turns: &[TranscriptTurn]) -> Vec<(TurnRole, &str)> {
    turns.iter().map(|turn| (turn.role, turn.text.as_str())).collect()
}

async fn answered(world: &World<'_>, server: &Server) -> (CallObservation, Call) {
    let seen = Box::pin(telephone::call(server, &mut answering_caller(), |_| {})).await;
    let call = world.ended(&seen.call_id).await;
    (seen, call)
}

/// The recording holds both sides where they were said, from the start of the call to its end.
async fn recording_is_whole(world: &World<'_>, seen: &CallObservation, call: &Call) {
    let (recording, wav) = world.stored_recording(call.id).await;
    assert_eq!((wav.channels, wav.rate), (2, 8_000));
    assert_eq!(recording.duration_ms, Some(length_ms(&wav)));
    let length = length_ms(&wav);
    assert!(length.abs_diff(seen.duration_ms) <= 1_500, "{length} ms of {} ms", seen.duration_ms);
    for channel in [0, 1] {
        assert!(channel_dbfs(&wav, channel) > -45.0, "channel {channel}: {} dBFS", channel_dbfs(&wav, channel));
    }
    assert!(recording.object_key.expect("ready").ends_with(&format!("/{}.wav", call.id)));
}

both_databases! {
    async fn a_whole_call_is_kept(place) {
        let world = World::with_vendors(place, colours(), hears("red please")).await;
        let server = world.serve(&[]).await;
        let (seen, call) = answered(&world, &server).await;
        assert!(matches!(seen.closed, Closed::ByServer { .. }), "{:?}", seen.closed);
        assert_eq!(seen.violations, Vec::<String>::new());
        assert_eq!(seen.end_report, Some(Ok(200)));
        assert_eq!(seen.marks.iter().filter(|mark| mark.echoed_ms.is_some()).count(), 2, "{:?}", seen.marks);

        assert_eq!((call.status, call.ended_reason), (CallStatus::Completed, Some(EndedReason::AgentCompleted)));
        assert!(call.started_at.is_some() && call.ended_at >= call.started_at && call.owner_node.is_some());
        assert!(call.duration_ms.is_some_and(|ms| ms.abs_diff(seen.duration_ms) < 1_500), "{call:?}");
        assert!(call.carrier_duration_s.is_some_and(|s| s > 0));
        assert_eq!(call.data["keep_colour"]["colour"], "red");
        assert_eq!(call.data["keep_colour"]["reference"].as_str().map(str::len), Some(4));

        let turns = world.turns(call.id).await;
        let want = [
            (TurnRole::Agent, "Red or blue?"),
            (TurnRole::Caller, "red please"),
            (TurnRole::Agent, "Thank you and goodbye."),
        ];
        assert_eq!(said(&turns), want);
        assert_eq!(turns.iter().map(|turn| turn.index).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(turns.iter().all(|turn| turn.started_ms <= turn.ended_ms && !turn.interrupted), "{turns:?}");
        assert!(turns[2].latency.is_some_and(|latency| latency.end_to_end_ms.is_some()), "{turns:?}");
        let kinds: Vec<String> = world.events(call.id).await.into_iter().map(|event| event.kind).collect();
        assert_eq!(kinds, ["tool-started", "tool-finished"]);

        recording_is_whole(&world, &seen, &call).await;
        for kind in ["call.announced", "call.started", "call.ended"] {
            let id = call.id.to_string();
            let audited = world.audited(kind).await;
            assert_eq!(audited.iter().map(|e| e.object_id.as_deref()).collect::<Vec<_>>(), [Some(id.as_str())], "{kind}");
        }
        let messages = world.messages(call.id).await;
        let kinds: Vec<&str> = messages.iter().map(|(kind, _)| kind.as_str()).collect();
        assert_eq!(kinds, ["call.started", "call.ended", "recording.ready"]);
        assert_eq!(messages[1].1["ended_reason"], "agent/completed");
        let all = async |tx: &mut store::SystemTx| jobs::list(tx, None, None, PageRequest::default()).await;
        let jobs = world.store.system("test.jobs", all).await.expect("read").items;
        let states: BTreeMap<&str, JobState> = jobs.iter().map(|job| (job.name.as_str(), job.state)).collect();
        // The carrier names a recording of its own, which takes minutes to be there.
        let want = [("fetch_recording", JobState::Queued), ("store_recording", JobState::Done)];
        assert_eq!((states, jobs.len()), (BTreeMap::from(want), 2), "{jobs:?}");

        let stats = world.vendors.stats();
        assert_eq!((stats.refused, stats.listen_streams, stats.speech_requests), (0, 1, 2), "{stats:?}");
        assert!(!server.output().contains("9876543210") && !server.output().contains("red please"), "no numbers, no words");
        server.stop().await;
    }

    async fn a_language_model_answers(place) {
        let answers = Answers::Script(vec!["Your order is on its way.".to_owned()]);
        let settings = VendorSettings { answers, ..hears("where is my order please") };
        let world = World::with_vendors(place, talker(3), settings).await;
        let server = world.serve(&[]).await;
        let mut pcm = vec![0; 8_000 * 2];
        pcm.extend(voice::say(8_000, 900));
        let mut caller = RecordedCaller::new(pcm, 7_000);
        let seen = Box::pin(telephone::call(&server, &mut caller, |_| {})).await;
        let call = world.ended(&seen.call_id).await;
        assert_eq!(call.ended_reason, Some(EndedReason::CallerHungUp));
        let want = [
            (TurnRole::Agent, "words words words"),
            (TurnRole::Caller, "where is my order please"),
            (TurnRole::Agent, "Your order is on its way."),
        ];
        assert_eq!(said(&world.turns(call.id).await), want);
        let chat: serde_json::Value = serde_json::from_str(&world.vendors.last_chat()).expect("JSON");
        let roles: Vec<&str> = chat["messages"].as_array().expect("messages").iter().filter_map(|m| m["role"].as_str()).collect();
        assert_eq!(roles, ["system", "assistant", "user"], "{chat}");
        recording_is_whole(&world, &seen, &call).await;
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_can_interrupt() {
    let place = crate::place::Place::sqlite();
    // The first words are asked for while the caller still speaks, so that they come in two parts.
    let parts = ["stop please", "I have a question"].map(str::to_owned).to_vec();
    let settings = VendorSettings {
        answers: Answers::Script(vec!["Of course.".to_owned()]),
        transcripts: Transcripts::Script(parts),
        ..vendors()
    };
    let world = World::with_vendors(&place, talker(60), settings).await;
    let server = world.serve(&[]).await;
    let mut pcm = vec![0; 8_000 * 3];
    pcm.extend(voice::say(8_000, 1_200));
    let seen = Box::pin(telephone::call(&server, &mut RecordedCaller::new(pcm, 8_000), |_| {})).await;
    let call = world.ended(&seen.call_id).await;
    let turns = world.turns(call.id).await;
    assert!(turns[0].interrupted, "{turns:?}");
    let (heard, intended) = (turns[0].text.len(), turns[0].intended.as_deref().map_or(0, str::len));
    assert!(heard > 0 && heard < intended, "only what was heard: {turns:?}");
    assert_eq!(
        said(&turns[1..]),
        [(TurnRole::Caller, "stop please I have a question"), (TurnRole::Agent, "Of course.")]
    );
    assert_eq!(seen.clear_at_ms.len(), 1);
    assert!(seen.events.iter().any(|event| matches!(event.kind, EventKind::Clear { .. })));
    assert!(world.events(call.id).await.iter().any(|event| event.kind == "barge-in"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_model_fails_hears_an_apology() {
    let place = crate::place::Place::sqlite();
    let world = World::with_vendors(&place, talker(2), hears("where is my order please")).await;
    world.vendors.break_chat(ChatFault::Status(500), u32::MAX);
    let server = world.serve(&[]).await;
    let mut pcm = vec![0; 8_000 * 2];
    pcm.extend(voice::say(8_000, 900));
    let seen = Box::pin(telephone::call(&server, &mut RecordedCaller::new(pcm, 7_000), |_| {})).await;
    let call = world.ended(&seen.call_id).await;
    let turns = world.turns(call.id).await;
    assert!(
        turns.last().is_some_and(|turn| turn.role == TurnRole::Agent && turn.text.starts_with("Sorry")),
        "{turns:?}"
    );
    assert!(world.events(call.id).await.iter().any(|event| event.kind == "stage-failed"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_without_a_voice_ends_as_the_providers_doing() {
    let place = crate::place::Place::sqlite();
    let world = World::new(&place, talker(18)).await;
    world.vendors.break_speech(SpeechFault::Status(400), u32::MAX);
    world.vendors.break_listen(ListenFault::Status(401), u32::MAX);
    let server = world.serve(&[]).await;
    let mut caller = RecordedCaller::new(voice::say(8_000, 30_000), 30_000);
    let seen = Box::pin(telephone::call(&server, &mut caller, |_| {})).await;
    let call = world.ended(&seen.call_id).await;
    assert_eq!(call.ended_reason, Some(EndedReason::ProviderFailed));
    assert!(matches!(seen.closed, Closed::ByServer { .. }), "{:?}", seen.closed);
    server.stop().await;
}
