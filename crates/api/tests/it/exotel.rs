//! Exotel's webhooks, where what they say of a call depends on what the call is.

use crate::agents::agent;
use crate::app::{Answer, Person, TestApp, WEBHOOK_SECRET};
use crate::calls::call;
use crate::phone_numbers::phone_number;
use chrono::Duration;
use model::{CallDirection, CallId, CallStatus, CarrierKind, E164};
use reqwest::Method;
use serde_json::{Value, json};
use store::calls::{self, Call, Owner};
use store::{audit, phone_numbers, token_hash};
use wire::signature::sign_hex;

const OURS: &str = "+918047491899";
const CUSTOMER: &str = "+919876543210";
/// The unguessable part of the number's address.
const ADDRESS: &str = "address-of-a-test";

/// An organisation whose number has an address of its own.
struct Office {
    app: TestApp,
    person: Person,
    agent: String,
    number: model::PhoneNumberId,
}

impl Office {
    async fn open() -> Self {
        let app = TestApp::start().await;
        let person = app.signed_up("Asha").await;
        let agent = agent(&app, &person, "Reception").await;
        let number = phone_number(&app, &person, OURS, &agent).await.parse().expect("an id");
        let made = app.store().write(person.tenant, "test.address", async |tx| {
            phone_numbers::set_path_token(tx, number, Some(token_hash(ADDRESS))).await
        });
        made.await.expect("an address");
        Self { app, person, agent, number }
    }

    /// A call whose media flows.
    async fn talking(&self, sid: &str) -> CallId {
        let made = call(&self.app, &self.person, &self.agent, sid, |new| new.phone_number = Some(self.number)).await;
        let (owner, now) = (Owner { node: "test".to_owned(), run: uuid::Uuid::from_u128(1) }, self.app.now());
        let begun = self.app.store().write(self.person.tenant, "test.media", async |tx| {
            calls::begin_media(tx, made.id, &owner, now, Duration::seconds(60)).await
        });
        assert!(begun.await.expect("begun"));
        made.id
    }

    async fn handed_on(&self, id: CallId) {
        let (to, now) = (E164::parse("+919812345678").expect("a number"), self.app.now());
        let decided = self
            .app
            .store()
            .write(self.person.tenant, "test.transfer", async |tx| calls::decide_transfer(tx, id, &to, now).await);
        assert!(decided.await.expect("decided"));
    }

    async fn call(&self, id: CallId) -> Call {
        let read = self.app.store().read(self.person.tenant, "test.call", async |tx| calls::get(tx, id).await).await;
        read.expect("a call")
    }

    async fn passes(&self, query: &str) {
        let path = format!("/webhooks/exotel/passthru/{ADDRESS}?{query}");
        self.app.request(Method::GET, &path).send().await.expect(200);
    }

    /// A call-start with a right signature, and with a time in its header or none.
    async fn starts(&self, body: &Value, time: Option<i64>) -> Answer {
        let body = body.to_string();
        let signature = sign_hex(&WEBHOOK_SECRET.into(), body.as_bytes());
        let request = self.app.request(Method::POST, "/webhooks/exotel/call-start");
        let request = request.header("content-type", "application/json").header("x-exotel-signature", &signature);
        let request = match time {
            Some(time) => request.header("x-exotel-timestamp", &time.to_string()),
            None => request,
        };
        request.text(body).send().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_stream_is_not_the_end_of_a_call_that_was_handed_on() {
    let office = Office::open().await;
    let between = "&CurrentTime=2026-08-25 12:07:09&Stream[StreamSID]=s1&Stream[Status]=completed&Stream[Duration]=28\
        &Stream[RecordingUrl]=https://recordings.exotel.com/a/agent.mp3&Stream[DisconnectedBy]=bot";
    for (n, standing) in ["", "&CallStatus=in-progress"].into_iter().enumerate() {
        let sid = format!("sid-{n}");
        let id = office.talking(&sid).await;
        office.handed_on(id).await;
        office.passes(&format!("CallSid={sid}{standing}{between}")).await;
        let call = office.call(id).await;
        assert_eq!((call.carrier_status, call.carrier_ended_at), (None, None), "{standing}: the caller talks on");
        assert_eq!(call.carrier_duration_s, Some(28), "what else it says is kept");
        // Behind the Connect applet the call itself is over, and the newest recording is that of the person.
        let end = "CallStatus=completed&CurrentTime=2026-08-25 12:20:00&Stream[Status]=completed&ConversationDuration=300\
            &RecordingUrl=https://recordings.exotel.com/a/person.mp3";
        office.passes(&format!("CallSid={sid}&{end}")).await;
        let call = office.call(id).await;
        assert_eq!((call.carrier_status, call.carrier_duration_s), (Some(CallStatus::Completed), Some(300)));
        assert_eq!(call.carrier_ended_at.map(|at| at.to_rfc3339()).as_deref(), Some("2026-08-25T06:50:00+00:00"));
        assert_eq!(call.carrier_recording_url.as_deref(), Some("https://recordings.exotel.com/a/person.mp3"));
    }
    // Of a call that nobody was to take over, the end of its stream is the end.
    let id = office.talking("sid-own").await;
    office.passes(&format!("CallSid=sid-own{between}")).await;
    assert_eq!(office.call(id).await.carrier_status, Some(CallStatus::Completed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_somebody_had_the_carrier_place_is_from_our_number_to_the_customer() {
    let office = Office::open().await;
    for (direction, sid, from, to) in [
        ("incoming", "sid-in", CUSTOMER, OURS),
        ("outbound-dial", "sid-out", OURS, CUSTOMER),
        ("outbound-api", "sid-api", OURS, CUSTOMER),
    ] {
        let query = format!("CallSid={sid}&CallFrom=09876543210&CallTo=08047491899&Direction={direction}");
        office
            .app
            .request(Method::GET, &format!("/webhooks/exotel/voicebot/{ADDRESS}?{query}"))
            .send()
            .await
            .expect(200);
        let found = office
            .app
            .store()
            .system_read("test.carried", async |tx| calls::find_carried(tx, CarrierKind::Exotel, sid).await)
            .await
            .expect("read")
            .expect("a call");
        assert_eq!(found.direction == CallDirection::Incoming, direction == "incoming");
        let numbers = [found.from, found.to].map(|number| number.map(|number| number.as_str().to_owned()));
        assert_eq!(numbers, [Some(from.to_owned()), Some(to.to_owned())], "{direction}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_time_in_the_header_makes_a_signed_call_start_new() {
    let office = Office::open().await;
    let start = |sid: &str, at: &str| json!({ "CallSid": sid, "CallFrom": "09876543210", "CallTo": "08047491899", "CurrentTime": at });
    let now = office.app.now().timestamp();
    let overheard = start("sid-1", "2026-08-25 12:07:09");
    office.starts(&overheard, Some(now)).await.expect(200);
    for time in [Some(now), Some(now + 1), Some(now - 200), None] {
        office.starts(&overheard, time).await.expect_problem(401, "signature_replayed");
    }
    // The carrier asks again, later: what it signs is another body.
    office.starts(&start("sid-1", "2026-08-25 12:07:12"), Some(now + 3)).await.expect(200);
    // Who signs no time has asked for no such care.
    let untimed = start("sid-2", "2026-08-25 12:07:09");
    office.starts(&untimed, None).await.expect(200);
    office.starts(&untimed, None).await.expect(200);
    // What failed was not received.
    let mut unknown = start("sid-3", "2026-08-25 12:07:09");
    unknown["CallTo"] = json!("08047491800");
    office.starts(&unknown, Some(now)).await.expect_problem(404, "unknown_number");
    office.starts(&unknown, Some(now)).await.expect_problem(404, "unknown_number");
}

#[tokio::test(flavor = "multi_thread")]
async fn that_a_live_call_was_ended_is_told_from_taking_back_one_that_waits() {
    let office = Office::open().await;
    let id = office.talking("sid-1").await;
    let path = format!("/api/calls/{id}/hang-up");
    office.app.request(Method::POST, &path).token(&office.person.access_token).send().await.expect(202);
    let listed = office.app.store().read(office.person.tenant, "test.audit", async |tx| {
        let page = store::PageRequest { after: None, limit: 200 };
        audit::list(tx, &audit::AuditFilter::default(), page).await
    });
    let events = listed.await.expect("events").items;
    let object = id.to_string();
    let found: Vec<_> = events.iter().filter(|event| event.object_id.as_deref() == Some(object.as_str())).collect();
    assert_eq!(found.iter().map(|event| event.kind.as_str()).collect::<Vec<_>>(), ["call.canceled"]);
    assert_eq!(found[0].data.get("live"), Some(&json!(true)));
}
