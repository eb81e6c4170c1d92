//! A caller is handed to a person: the decision is there when the carrier asks for it, right after the socket has closed.

use crate::place::both_databases;
use crate::world::{NUMBER_AS_SENT, PATH_TOKEN, World, colours, transferring};
use serde_json::json;
use std::time::Duration;
use testkit::carrier::{
    Announce, CallObservation, CallerSide, ConnectApplet, FakeExotel, Human, Options, RecordedCaller,
};

/// Longer than the agent needs to say that somebody else comes.
const STAYS_MS: u64 = 15_000;

async fn call_through_a_flow(url: &str, humans: Vec<Human>) -> CallObservation {
    Box::pin(through_a_flow(url, humans, &mut RecordedCaller::new(Vec::new(), STAYS_MS))).await
}

/// A call of this caller, through a flow that connects whom the agent hands over.
pub(crate) async fn through_a_flow(url: &str, humans: Vec<Human>, caller: &mut dyn CallerSide) -> CallObservation {
    let webhook = |name: &str| format!("{url}/webhooks/exotel/{name}/{PATH_TOKEN}");
    let announce = Announce::DynamicUrl { url: webhook("voicebot"), passthru_url: Some(webhook("passthru")) };
    let mut options = Options::new(url, announce);
    options.called_number = NUMBER_AS_SENT.to_owned();
    options.call_max = Duration::from_secs(30);
    let mut connect = ConnectApplet::new(webhook("connect"));
    connect.passthru_url = Some(webhook("passthru"));
    connect.humans = humans;
    options.connect = Some(connect);
    FakeExotel::new(options).place_call(caller).await.expect("taken")
}

both_databases! {
    async fn a_caller_is_handed_to_a_person(place) {
        let world = World::new(place, transferring()).await;
        let server = world.serve(&[]).await;
        for (human, status) in [
            (Human::Answers { talk: Duration::from_secs(75) }, "completed"),
            (Human::Busy, "busy"),
            (Human::NoAnswer, "no-answer"),
        ] {
            let seen = call_through_a_flow(&server.url, vec![human]).await;
            let transfer = seen.transfer.as_ref().expect("the flow goes on to the Connect applet");
            // Asked once: the decision was there before the socket was closed.
            assert_eq!((transfer.asked, transfer.http_status), (1, Some(200)), "{transfer:?}");
            assert_eq!(transfer.violations, Vec::<String>::new());
            assert_eq!(transfer.dialled.iter().map(|d| d.number.as_str()).collect::<Vec<_>>(), ["+918045671234"]);
            assert_eq!(transfer.status(), Some(status));
            assert_eq!(transfer.passthru, Some(Ok(200)));
            assert_eq!(transfer.answer["recording_channels"], json!("dual"), "the agent records");
            let call = world.ended(&seen.call_id).await;
            assert_eq!(call.ended_reason.map(|r| r.as_str()), Some("agent/transferred"));
            assert!(call.transfer_to.is_some() && call.transferred_at.is_some());
        }
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_not_handed_over_reaches_nobody() {
    let place = crate::place::Place::sqlite();
    let mut agent = colours();
    agent.max_duration_s = 10;
    agent.turn_taking.reminder_after_ms = 1_000;
    agent.turn_taking.reminders_max = 0;
    let world = World::new(&place, agent).await;
    let server = world.serve(&[]).await;
    let seen = call_through_a_flow(&server.url, vec![Human::Busy]).await;
    let transfer = seen.transfer.as_ref().expect("the flow goes on");
    assert_eq!((transfer.http_status, transfer.dialled.len()), (Some(200), 0), "{transfer:?}");
    assert_eq!(world.reason(&seen.call_id).await, "agent/silence");
    server.stop().await;
}
