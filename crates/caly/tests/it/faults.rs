//! Carriers that misbehave: what ends a call, as whose doing, and what does not.

use crate::place::Place;
use crate::post::announce;
use crate::telephone::{self, Line};
use crate::world::{World, colours, talker};
use model::SpeechConfig;
use serde_json::json;
use testkit::carrier::{CallObservation, Closed, Fault, Options, RecordedCaller};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

/// A silent caller who hangs up after two seconds, at a carrier that is edited; what it saw and how the call ended.
async fn short_call(edit: impl FnOnce(&mut Options)) -> (CallObservation, String) {
    let place = Place::sqlite();
    let world = World::new(&place, talker(30)).await;
    let server = world.serve(&[]).await;
    let seen = Box::pin(telephone::call(&server, &mut RecordedCaller::new(Vec::new(), 2_000), edit)).await;
    let call = world.ended(&seen.call_id).await;
    assert_eq!(seen.end_report, Some(Ok(200)));
    // Whatever the carrier did, the recording is there and the spool is empty.
    if call.started_at.is_some() {
        world.stored_recording(call.id).await;
    }
    assert_eq!(place.files("spool").len(), 0);
    let reason = call.ended_reason.expect("it is over").to_string();
    server.stop().await;
    (seen, reason)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_hangs_up_did_so() {
    let (seen, reason) = short_call(|_| {}).await;
    assert_eq!(reason, "caller/hung-up");
    assert_eq!(seen.closed, Closed::ByCaller { answered: true });
    assert!(seen.first_agent_audio_ms.is_some());
    assert_eq!(seen.violations, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_frames_and_rates_are_fine() {
    for (frame_ms, rate_hz) in [(20, 8_000), (100, 16_000), (60, 24_000)] {
        let (seen, reason) = short_call(|options| {
            options.frame_ms = frame_ms;
            options.sample_rate_hz = rate_hz;
            options.numeric_ids = true;
        })
        .await;
        assert_eq!((reason.as_str(), seen.violations.as_slice()), ("caller/hung-up", &[][..]), "{frame_ms} {rate_hz}");
        assert!(seen.first_agent_audio_ms.is_some(), "{frame_ms} {rate_hz}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn some_garbage_is_skipped() {
    let (seen, reason) = short_call(|o| o.faults = vec![Fault::GarbageFrames { at_ms: 500, count: 20 }]).await;
    assert_eq!(reason, "caller/hung-up");
    assert_eq!(seen.closed, Closed::ByCaller { answered: true });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_without_end_ends_the_call() {
    let (seen, reason) = short_call(|o| o.faults = vec![Fault::GarbageFrames { at_ms: 500, count: 21 }]).await;
    assert_eq!(reason, "carrier/bad-frames");
    assert!(matches!(seen.closed, Closed::ByServer { .. }), "{:?}", seen.closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oversized_frame_closes_the_socket() {
    let (seen, reason) = short_call(|o| o.faults = vec![Fault::OversizedFrame { at_ms: 500 }]).await;
    assert_eq!(reason, "carrier/bad-frames");
    assert!(matches!(seen.closed, Closed::ByServer { .. } | Closed::Failed { .. }), "{:?}", seen.closed);
    assert!(seen.duration_ms < 2_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_start_does_no_harm() {
    let (seen, reason) = short_call(|o| o.faults = vec![Fault::DuplicatedStart { at_ms: 500 }]).await;
    assert_eq!(reason, "caller/hung-up");
    assert_eq!(seen.violations, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_connection_is_the_carriers() {
    let (_, reason) = short_call(|o| o.faults = vec![Fault::DropMidCall { at_ms: 1_000 }]).await;
    assert_eq!(reason, "carrier/lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_carrier_that_never_closes_is_closed() {
    let (seen, reason) = short_call(|o| o.faults = vec![Fault::NeverClose]).await;
    assert_eq!(reason, "caller/hung-up");
    assert!(matches!(seen.closed, Closed::ByServer { .. }), "{:?}", seen.closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_start_message_is_no_call() {
    let (seen, reason) = short_call(|o| o.faults = vec![Fault::NoStart]).await;
    assert_eq!(reason, "carrier/no-start");
    assert!(matches!(seen.closed, Closed::ByServer { .. }), "{:?}", seen.closed);
    assert_eq!(seen.media_in_count, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_goes_silent_is_ended() {
    let place = Place::sqlite();
    let world = World::new(&place, colours()).await;
    let server = world.serve(&[]).await;
    let mut line = Line::open(&announce(&server, "call-1").await, "call-1").await.expect("accepted");
    line.start().await;
    assert!(line.silence(8_000).await);
    assert!(line.closed().await);
    assert_eq!(world.reason("call-1").await, "carrier/silent");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_without_any_audio_is_ended() {
    let place = Place::sqlite();
    let world = World::new(&place, colours()).await;
    let server = world.serve(&[]).await;
    let mut line = Line::open(&announce(&server, "call-1").await, "call-1").await.expect("accepted");
    line.start().await;
    assert!(line.closed().await);
    assert_eq!(world.reason("call-1").await, "carrier/silent");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_carrier_that_stops_reading_has_stalled() {
    let place = Place::sqlite();
    // Longer than any buffer between the two.
    let world = World::new(&place, talker(150)).await;
    let server = world.serve(&[]).await;
    let url = announce(&server, "call-1").await;
    let mut line = Line::open_with(&url, "call-1", Some(2_048)).await.expect("accepted");
    assert!(line.start_of("call-1", 24_000).await);
    assert!(line.talk_without_listening(24_000).await);
    assert_eq!(world.reason("call-1").await, "carrier/stalled");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn binary_frames_are_bad_frames() {
    let place = Place::sqlite();
    let world = World::new(&place, colours()).await;
    let server = world.serve(&[]).await;
    let mut line = Line::open(&announce(&server, "call-1").await, "call-1").await.expect("accepted");
    line.start().await;
    for _ in 0..3 {
        for _ in 0..20 {
            assert!(line.send(Message::binary(vec![0_u8; 1_600])).await);
        }
        // A good one in between: they are counted in a row.
        assert!(line.silence(8_000).await);
    }
    line.event("media").await;
    for _ in 0..21 {
        line.send(Message::binary(vec![0_u8; 1_600])).await;
    }
    assert!(line.closed().await);
    assert_eq!(world.reason("call-1").await, "carrier/bad-frames");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_events_are_ignored() {
    let place = Place::sqlite();
    let world = World::new(&place, colours()).await;
    let server = world.serve(&[]).await;
    let mut line = Line::open(&announce(&server, "call-1").await, "call-1").await.expect("accepted");
    line.start().await;
    for _ in 0..40 {
        assert!(line.text(json!({"event": "novelty", "stream_sid": "stream-1", "novelty": {"x": 1}})).await);
    }
    assert!(line.text(json!({"event": "dtmf", "stream_sid": "stream-1", "dtmf": {"digit": "5"}})).await);
    assert!(line.text(json!({"event": "mark", "stream_sid": "stream-1", "mark": {"name": "s999999"}})).await);
    line.event("media").await;
    line.stop("stopped").await;
    assert!(line.closed().await);
    assert_eq!(world.reason("call-1").await, "carrier/stopped");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_for_another_call_is_refused() {
    let place = Place::sqlite();
    let world = World::new(&place, colours()).await;
    let server = world.serve(&[]).await;
    let mut line = Line::open(&announce(&server, "call-1").await, "call-1").await.expect("accepted");
    assert!(line.start_of("call-2", 8_000).await);
    assert!(line.closed().await);
    let call = world.ended("call-1").await;
    assert_eq!(call.ended_reason.map(|reason| reason.as_str()), Some("carrier/no-start"));
    assert_eq!(call.started_at, None);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_speech_services_are_missing_ends_as_the_providers_doing() {
    let place = Place::sqlite();
    let mut agent = colours();
    agent.speech = SpeechConfig::default();
    let world = World::new(&place, agent).await;
    let server = world.serve(&[]).await;
    let mut line = Line::open(&announce(&server, "call-1").await, "call-1").await.expect("accepted");
    line.start().await;
    assert!(line.closed().await);
    assert_eq!(world.reason("call-1").await, "provider/failed");
    server.stop().await;
}

/// Calls of each kind of misbehaviour in one round, all at once.
const OF_EACH_KIND: usize = 8;
/// Rounds. What a process has goes up and down by some megabytes; what it never gives back shows in the lowest.
const ROUNDS: usize = 8;
/// The first and the last so many are compared.
const COMPARED: usize = 3;
/// What the process may have grown by between them: a tenth of a megabyte for each call would be twice as much.
const GROWTH_KB_MAX: u64 = 8 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn misbehaving_carriers_leave_no_memory_behind() {
    let place = Place::sqlite();
    let world = World::new(&place, colours()).await;
    let server = world.serve(&[("CALY_RATE_LIMITS", "webhooks=100000/1m")]).await;
    let mut resident_kb = Vec::new();
    for round in 1..=ROUNDS {
        let mut calls = JoinSet::new();
        for faults in [
            vec![Fault::GarbageFrames { at_ms: 300, count: 30 }],
            vec![Fault::OversizedFrame { at_ms: 300 }],
            vec![Fault::DropMidCall { at_ms: 600 }],
            vec![Fault::NeverClose],
        ] {
            for _ in 0..OF_EACH_KIND {
                let (url, faults) = (server.url.clone(), faults.clone());
                calls.spawn(async move {
                    let mut caller = RecordedCaller::new(Vec::new(), 1_000);
                    let edit = |options: &mut Options| options.faults = faults;
                    Box::pin(telephone::call_at(&url, &mut caller, edit)).await.call_id
                });
            }
        }
        for call_id in calls.join_all().await {
            let call = world.ended(&call_id).await;
            world.stored_recording(call.id).await;
        }
        resident_kb.push(server.resident_kb());
        eprintln!("round {round}: {} kB resident", server.resident_kb());
    }
    let lowest = |rounds: &[u64]| rounds.iter().copied().min().expect("some rounds");
    let (first, last) = (lowest(&resident_kb[..COMPARED]), lowest(&resident_kb[ROUNDS - COMPARED..]));
    assert!(last <= first + GROWTH_KB_MAX, "{first} kB became {last} kB: {resident_kb:?}");
    server.stop().await;
}
