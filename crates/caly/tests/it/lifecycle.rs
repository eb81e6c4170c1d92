//! Stopping: at once when nothing goes on, after the calls when there are some, now when told twice.

use crate::place::{Place, eventually};
use crate::post::{CALL_START, announce, get, signed, start};
use crate::program::Server;
use crate::telephone::{self, Line};
use crate::world::{World, colours, talker};
use model::{CallStatus, EndedReason, TurnRole};
use rustix::process::Signal;
use std::time::Duration;
use testkit::carrier::{Closed, RecordedCaller};

const ONE_SECOND: Duration = Duration::from_secs(1);

/// The server hears the signal: new calls are refused from now on.
async fn tell_to_stop(server: &Server) {
    server.signal(Signal::TERM);
    let answer = eventually("not ready any more", ONE_SECOND, async || {
        Some(get(server, "/health/ready").await).filter(|answer| answer.status == 503)
    })
    .await;
    assert_eq!(answer.body["status"], "stopping");
}

/// A live call on a line of the test's own, the agent speaking.
async fn live_call(server: &Server, sid: &str) -> Line {
    let mut line = Line::open(&announce(server, sid).await, sid).await.expect("accepted");
    line.start().await;
    line.event("media").await;
    line
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_calls_it_stops_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let place = Place::sqlite();
        let mut server = Server::start(&place, &[]).await;
        server.signal(signal);
        let ended = tokio::time::timeout(Duration::from_secs(5), server.ended()).await.expect("at once");
        assert!(ended.success(), "{ended}: {}", server.output());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_call_may_finish_while_new_ones_are_refused() {
    let place = Place::sqlite();
    let world = World::new(&place, talker(20)).await;
    let mut server = world.serve(&[]).await;
    let waiting = announce(&server, "call-waiting").await;
    let mut caller = RecordedCaller::new(Vec::new(), 4_000);
    let (seen, ()) = tokio::join!(Box::pin(telephone::call(&server, &mut caller, |_| {})), async {
        eventually("a live call", Duration::from_secs(10), async || {
            world.calls().await.into_iter().find(|call| call.status == CallStatus::InProgress)
        })
        .await;
        tell_to_stop(&server).await;
        let refused = signed(&server, CALL_START, &start("call-2")).await;
        refused.is_problem(503, "stopping");
        assert!(refused.headers.contains_key("retry-after"));
        assert_eq!(Line::open(&waiting, "call-waiting").await.err(), Some(503));
        assert_eq!(get(&server, "/health/live").await.status, 200);
    });
    assert_eq!(seen.closed, Closed::ByCaller { answered: true });
    assert!(seen.duration_ms >= 4_000, "it was not cut short");
    assert!(server.ended().await.success(), "{}", server.output());
    assert!(server.output().contains("Stopping: 1 calls may finish"), "{}", server.output());
    let call = world.ended(&seen.call_id).await;
    assert_eq!(call.ended_reason, Some(EndedReason::CallerHungUp));
    assert_eq!(world.call("call-2").await, None);
    // Its recording is stored now, or at the next start.
    let server = world.serve(&[]).await;
    world.stored_recording(call.id).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_signal_ends_at_once_and_nothing_is_lost() {
    let place = Place::sqlite();
    let world = World::new(&place, talker(100)).await;
    let mut server = world.serve(&[]).await;
    let mut line = live_call(&server, "call-1").await;
    for _ in 0..3 {
        assert!(line.silence(8_000).await);
        line.event("media").await;
    }
    tell_to_stop(&server).await;
    server.signal(Signal::TERM);
    assert!(line.closed().await);
    assert!(server.ended().await.success(), "{}", server.output());
    let call = world.call("call-1").await.expect("a call");
    assert_eq!((call.status, call.ended_reason), (CallStatus::Completed, Some(EndedReason::CalyDrained)));
    let turns = world.turns(call.id).await;
    assert_eq!(turns.len(), 1, "{turns:?}");
    assert!(
        turns[0].interrupted && turns[0].text.len() < turns[0].intended.as_deref().map_or(0, str::len),
        "{turns:?}"
    );
    let server = world.serve(&[]).await;
    let (_, wav) = world.stored_recording(call.id).await;
    assert_eq!(wav.channels, 2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_patience_is_over_the_agent_says_goodbye() {
    let place = Place::sqlite();
    let world = World::new(&place, talker(100)).await;
    let mut server = world.serve(&[("CALY_DRAIN_S", "1")]).await;
    let mut caller = RecordedCaller::new(Vec::new(), 30_000);
    let (seen, ()) = tokio::join!(Box::pin(telephone::call(&server, &mut caller, |o| o.report_end = false)), async {
        eventually("the agent speaks", Duration::from_secs(10), async || {
            let live = world.calls().await.into_iter().any(|call| call.status == CallStatus::InProgress);
            live.then_some(())
        })
        .await;
        tell_to_stop(&server).await;
    });
    assert!(matches!(seen.closed, Closed::ByServer { .. }), "{:?}", seen.closed);
    assert!(server.ended().await.success(), "{}", server.output());
    let call = world.call(&seen.call_id).await.expect("a call");
    assert_eq!(call.ended_reason, Some(EndedReason::CalyDrained));
    let turns = world.turns(call.id).await;
    let last = turns.last().expect("a goodbye");
    assert!(last.role == TurnRole::Agent && last.text.ends_with("Goodbye."), "{turns:?}");
    assert!(!last.interrupted, "it was heard to its end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_was_announced_survives_a_restart() {
    let place = Place::sqlite();
    let world = World::new(&place, colours()).await;
    let server = world.serve(&[]).await;
    let url = announce(&server, "call-1").await;
    server.stop().await;
    let server = world.serve(&[]).await;
    let (_, token) = url.rsplit_once('/').expect("a path");
    let url = format!("{}/media/exotel/{token}", server.url.replace("http://", "ws://"));
    let mut line = Line::open(&url, "call-1").await.expect("the token is in the database");
    line.start().await;
    line.event("media").await;
    line.close().await;
    assert_eq!(world.reason("call-1").await, "caller/hung-up");
    server.stop().await;
}
