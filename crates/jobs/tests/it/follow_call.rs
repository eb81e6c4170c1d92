//! Asking a carrier what became of calls.

use crate::place_call::{LIST, World, answer, details, listed};
use chrono::Duration;
use jobs::JobError;
use model::{CallId, CallStatus, EndedReason, RecordingSource, RecordingStatus};
use serde_json::{Map, Value, json};
use store::calls::{self, CarrierWord, Owner};
use store::carrier_events::{self, NewCarrierEvent};
use store::{call_ends, recordings};
use testkit::receiver::Reply;

const SID: &str = "sid-1";
const DETAILS: &str = "/v1/Accounts/clinic1/Calls/sid-1.json";

/// How long a run asks to wait; panics when it is done.
#[track_caller]
fn waits(outcome: Result<(), JobError>) -> i64 {
    match outcome {
        Err(JobError::Wait(wait, _)) => wait.num_seconds(),
        other => panic!("{other:?}"),
    }
}

fn more(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        other => panic!("{other}"),
    }
}

impl World {
    fn carrier_says(&self, status: &str, fields: Value) {
        self.carrier.answer(DETAILS, answer(&details(SID, status, more(fields))));
    }

    fn questions(&self) -> usize {
        self.carrier.received_at(DETAILS).len()
    }

    async fn media_begins(&self, id: CallId) {
        let owner = Owner { node: "test".to_owned(), run: uuid::Uuid::from_u128(1) };
        let now = self.now();
        let begun = self.store.write(self.tenant, "test.media", async |tx| {
            calls::begin_media(tx, id, &owner, now, Duration::hours(5)).await
        });
        assert!(begun.await.expect("begun"));
    }

    async fn media_ends(&self, id: CallId) {
        let (reason, now) = (EndedReason::AgentCompleted, self.now());
        let ended = self.store.write(self.tenant, "test.finish", async |tx| {
            calls::finish(tx, id, reason, now, 30_000, &Map::new()).await?;
            call_ends::tell(tx, id, reason, 30_000, call_ends::Teller::system(model::Severity::Info), now).await
        });
        ended.await.expect("ended");
    }

    async fn called_back(&self, id: CallId, status: CallStatus) {
        let now = self.now();
        let event = NewCarrierEvent {
            kind: "status",
            key: [status.as_str().len().try_into().expect("short"); 32],
            data: Map::new(),
            word: CarrierWord { status: Some(status), ..CarrierWord::default() },
        };
        let taken = self.store.write(self.tenant, "test.callback", async |tx| {
            if carrier_events::take(tx, id, &event, now).await? == carrier_events::Taken::Closed {
                let reason = calls::get(tx, id).await?.ended_reason.expect("closed");
                call_ends::tell(tx, id, reason, 0, call_ends::Teller::system(model::Severity::Info), now).await?;
            }
            Ok::<_, store::Error>(())
        });
        taken.await.expect("taken");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn polling_closes_a_call_whose_callbacks_never_came() {
    let world = World::new().await;
    let id = world.placed(SID).await;
    world.wait(Duration::seconds(45));
    world.carrier_says("in-progress", json!({}));
    assert_eq!(waits(world.follow(id).await), 75, "two minutes after the order");
    assert_eq!(world.stands(id).await, (CallStatus::Ringing, None), "in progress is no answer yet");
    world.wait(Duration::seconds(75));
    world.carrier_says("busy", json!({ "EndTime": "2026-09-21 19:44:00", "Price": "0.500" }));
    assert_eq!(waits(world.follow(id).await), 12 * 60, "twelve minutes after the end");
    assert_eq!(world.stands(id).await, (CallStatus::Busy, Some(EndedReason::CallerBusy)));
    let said = world.said(id).await;
    assert_eq!(said.last().map(|event| event.data["price"].clone()), Some(json!("0.500")));
    // Once more when the figures are right, and then never again.
    world.wait(Duration::minutes(12));
    world.follow(id).await.expect("settled");
    assert_eq!((world.ends(id).await, world.said(id).await.len()), (1, 2), "told once, kept once");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_carriers_recording_is_learnt_of_by_details() {
    let world = World::new().await;
    let id = world.placed(SID).await;
    world.media_begins(id).await;
    world.wait(Duration::seconds(45));
    let url = "https://recordings.exotel.com/exotelrecordings/clinic1/sid-1.mp3";
    world.carrier_says("in-progress", json!({ "RecordingUrl": url }));
    waits(world.follow(id).await);
    assert_eq!(recordings_of(&world, id).await, 0, "not before the call is over");
    world.media_ends(id).await;
    world.wait(Duration::seconds(75));
    world.carrier_says("completed", json!({ "Duration": "31", "RecordingUrl": url, "EndTime": "2026-09-21 19:44:05" }));
    assert_eq!(waits(world.follow(id).await), 12 * 60 - 75, "twelve minutes after the end");
    assert_eq!(recordings_of(&world, id).await, 1);
    assert!(world.jobs().await.iter().any(|(name, _)| name == recordings::FETCH_JOB));
    world.wait(Duration::seconds(12 * 60 - 75));
    world.follow(id).await.expect("settled");
    assert_eq!(recordings_of(&world, id).await, 1);
    let call = world.call(id).await;
    assert_eq!((call.carrier_duration_s, call.carrier_status), (Some(31), Some(CallStatus::Completed)));
    assert_eq!((call.ended_reason, world.ends(id).await), (Some(EndedReason::AgentCompleted), 1));
}

/// The carrier's, awaited.
async fn recordings_of(world: &World, id: CallId) -> usize {
    let found = world.store.read(world.tenant, "test.recordings", async |tx| recordings::of_call(tx, id).await).await;
    let found = found.expect("recordings");
    assert!(found.iter().all(|one| one.source == RecordingSource::Carrier && one.status == RecordingStatus::Awaited));
    found.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn callbacks_and_details_may_come_in_any_order() {
    for order in [["callback", "details", "media"], ["details", "callback", "media"], ["details", "media", "callback"]]
    {
        let world = World::new().await;
        let id = world.placed(SID).await;
        world.carrier_says("no-answer", json!({}));
        for what in order {
            match what {
                "callback" => world.called_back(id, CallStatus::Busy).await,
                "details" => drop(world.follow(id).await),
                _ => {
                    let owner = Owner { node: "test".to_owned(), run: uuid::Uuid::from_u128(2) };
                    let now = world.now();
                    let begun = world.store.write(world.tenant, "test.media", async |tx| {
                        calls::begin_media(tx, id, &owner, now, Duration::seconds(60)).await
                    });
                    assert!(!begun.await.expect("refused"), "what is over does not begin");
                }
            }
        }
        let first = if order[0] == "callback" { EndedReason::CallerBusy } else { EndedReason::CallerNoAnswer };
        assert_eq!(world.stands(id).await.1, Some(first), "the first word counts: {order:?}");
        assert_eq!(world.ends(id).await, 1, "{order:?}");
    }
    // While media flows, nobody but its owner ends a call.
    let world = World::new().await;
    let id = world.placed(SID).await;
    world.media_begins(id).await;
    world.carrier_says("completed", json!({}));
    waits(world.follow(id).await);
    assert_eq!(world.stands(id).await, (CallStatus::InProgress, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_call_is_asked_about_each_quarter_of_an_hour_until_it_must_be_over() {
    let world = World::new().await;
    let id = world.placed(SID).await;
    let begun = world.now();
    world.media_begins(id).await;
    world.carrier_says("in-progress", json!({}));
    world.wait(Duration::seconds(45));
    let mut asked: Vec<i64> = Vec::new();
    loop {
        asked.push((world.now() - begun).num_seconds());
        match world.follow(id).await {
            Err(JobError::Wait(wait, _)) => world.wait(wait),
            Ok(()) => break,
            Err(error) => panic!("{error:?}"),
        }
    }
    // The agent ends its calls after ten minutes; a quarter of an hour later nobody asks any more.
    assert_eq!(asked, [45, 120, 300, 600, 900]);
    assert_eq!(world.questions(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_that_does_not_answer_is_asked_until_the_end_and_then_it_is_told() {
    let world = World::new().await;
    let id = world.placed(SID).await;
    world.wait(Duration::seconds(45));
    // No such call: no reason to try three times at once, and none to call the carrier dead.
    world.carrier.answer(DETAILS, Reply::status(404));
    let mut runs = 0;
    let error = loop {
        runs += 1;
        match world.follow(id).await {
            Err(JobError::Wait(wait, _)) => {
                assert!(wait >= Duration::seconds(60), "not in a hurry");
                world.wait(wait);
            }
            other => break other,
        }
        assert!(runs < 20, "without end");
    };
    assert!(matches!(error, Err(JobError::Fail(_))), "{error:?}");
    // Asked again by somebody, it looks once more.
    world.carrier_says("failed", json!({}));
    assert!(!matches!(world.follow(id).await, Err(JobError::Fail(_))));
    assert_eq!(world.stands(id).await, (CallStatus::Failed, Some(EndedReason::CarrierFailed)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_call_that_is_known_as_another_is_not_taken_for_this_one() {
    let world = World::new().await;
    let known = world.placed("sid-known").await;
    let id = world.asked().await;
    world.carrier.answer("/v1/Accounts/clinic1/Calls/connect.json", Reply::status(500));
    world.place(id).await.expect("left");
    // Two to the same person at the same time; one of them is known.
    let list = [details("sid-known", "in-progress", Map::new()), details("sid-new", "in-progress", Map::new())];
    world.carrier.answer(LIST, listed(&list));
    waits(world.follow(id).await);
    assert_eq!(world.call(id).await.carrier_call_id.as_deref(), Some("sid-new"));
    assert_eq!(world.call(known).await.carrier_call_id.as_deref(), Some("sid-known"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_when_there_is_nobody_to_ask() {
    let world = World::new().await;
    let id = world.placed(SID).await;
    let removed = world.store.write(world.tenant, "test.account", async |tx| {
        let page = store::PageRequest { after: None, limit: 10 };
        for account in store::carrier_accounts::list(tx, page).await?.items {
            store::carrier_accounts::delete(tx, account.id).await?;
        }
        Ok::<_, store::Error>(())
    });
    removed.await.expect("removed");
    world.follow(id).await.expect("nobody to ask");
    let waiting = world.asked().await;
    world.follow(waiting).await.expect("nothing to ask about");
    assert_eq!(world.questions(), 0);
}
