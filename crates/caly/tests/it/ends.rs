//! Ends that the agent brings about itself.

use crate::place::Place;
use crate::telephone;
use crate::world::{World, colours, talker, transferring};
use model::{AgentConfig, CallStatus, TranscriptTurn, TurnTaking};
use store::calls::Call;
use testkit::carrier::{Closed, RecordedCaller};

/// A silent caller stays until the agent ends the call.
async fn waited_for(agent: AgentConfig) -> (Call, Vec<TranscriptTurn>) {
    let place = Place::sqlite();
    let world = World::new(&place, agent).await;
    let server = world.serve(&[]).await;
    let seen = Box::pin(telephone::call(&server, &mut RecordedCaller::new(Vec::new(), 40_000), |_| {})).await;
    assert!(matches!(seen.closed, Closed::ByServer { .. }), "{:?}", seen.closed);
    let call = world.ended(&seen.call_id).await;
    assert_eq!(call.status, CallStatus::Completed);
    let turns = world.turns(call.id).await;
    world.stored_recording(call.id).await;
    server.stop().await;
    (call, turns)
}

fn reason(call: &Call) -> &'static str {
    call.ended_reason.expect("it is over").as_str()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_caller_is_reminded_and_let_go() {
    let turn_taking = TurnTaking { reminder_after_ms: 700, reminders_max: 1, ..TurnTaking::default() };
    let (call, turns) = waited_for(AgentConfig { turn_taking, ..colours() }).await;
    assert_eq!(reason(&call), "agent/silence");
    let said: Vec<&str> = turns.iter().map(|turn| turn.text.as_str()).collect();
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(
        said[0] == "Red or blue?" && said[1].starts_with("Are you there?") && said[2].ends_with("Goodbye."),
        "{said:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_over_when_its_time_is() {
    let (call, turns) = waited_for(AgentConfig { max_duration_s: 2, ..talker(100) }).await;
    assert_eq!(reason(&call), "agent/max-duration");
    assert_eq!(turns.len(), 2, "{turns:?}");
    assert!(turns[0].interrupted && turns[1].text.ends_with("Goodbye."), "{turns:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_is_handed_over() {
    let (call, turns) = waited_for(transferring()).await;
    assert_eq!(reason(&call), "agent/transferred");
    assert_eq!(call.transfer_to.map(|to| to.as_str().to_owned()).as_deref(), Some("+918045671234"));
    assert_eq!(turns.iter().map(|turn| turn.text.as_str()).collect::<Vec<_>>(), ["Please hold."]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_shall_not_be_recorded_is_not() {
    let place = Place::sqlite();
    let world = World::new(&place, AgentConfig { record: false, ..colours() }).await;
    let server = world.serve(&[]).await;
    let seen = Box::pin(telephone::call(&server, &mut RecordedCaller::new(Vec::new(), 1_000), |_| {})).await;
    world.ended(&seen.call_id).await;
    server.stop().await;
    assert_eq!(place.number("select count(*) from recordings").await, 0);
    assert_eq!((place.files("spool"), place.files("objects")), (Vec::<String>::new(), Vec::<String>::new()));
}
