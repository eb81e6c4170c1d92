//! Calls that are placed: asked for, taken back, reported of, handed on.

use crate::agents::agent;
use crate::app::{Answer, PUBLIC_URL, Person, TestApp};
use crate::calls::call;
use crate::phone_numbers::phone_number;
use chrono::Duration;
use model::{AgentConfig, AgentId, CallDirection, CallId, CallStatus, CarrierKind, E164, Role, Scope};
use reqwest::Method;
use serde_json::{Map, Value, json};
use store::calls::{self, Call, Owner};
use store::carrier_accounts::{self, NewCarrierAccount};
use store::{PageRequest, agents, carrier_events, jobs, sightings, token_hash};

const PATH: &str = "/api/calls";
const CUSTOMER: &str = "+919876543210";
const OURS: &str = "+918047491899";
const CALLBACK: &str = "callback-token-of-a-test";

/// An organisation that can place calls.
struct Office {
    person: Person,
    agent: String,
    number: String,
}

impl Office {
    async fn open(app: &TestApp, name: &str, number: &str) -> Self {
        let person = app.signed_up(name).await;
        let agent = agent(app, &person, "Reception").await;
        let number = phone_number(app, &person, number, &agent).await;
        Self { person, agent, number }
    }

    async fn with_account(app: &TestApp, name: &str, number: &str) -> Self {
        let office = Self::open(app, name, number).await;
        let now = app.now();
        let new = NewCarrierAccount {
            carrier: CarrierKind::Exotel,
            account_id: "clinic1",
            region: Some("mumbai"),
            api_key: Some("key-of-the-clinic"),
            flow_id: None,
            token: &"token-of-the-clinic".into(),
        };
        app.store()
            .write(office.person.tenant, "test.account", async |tx| carrier_accounts::create(tx, &new, now).await)
            .await
            .expect("an account");
        office
    }

    fn body(&self) -> Value {
        json!({ "agent_id": self.agent, "to": CUSTOMER, "from": self.number, "variables": { "name": "Asha" } })
    }

    fn token(&self) -> &str {
        &self.person.access_token
    }

    async fn place(&self, app: &TestApp) -> CallId {
        let placed = app.post(PATH, self.token(), &self.body()).await.expect(201);
        placed["id"].as_str().expect("an id").parse().expect("an id")
    }

    /// A call whose order has left.
    async fn ordered(&self, app: &TestApp, callback: &str) -> CallId {
        let (id, now) = (self.place(app).await, app.now());
        let begun = app.store().write(self.person.tenant, "test.dial", async |tx| {
            calls::begin_dialing(tx, id, token_hash(callback), now).await
        });
        assert!(begun.await.expect("noted"));
        id
    }

    async fn call(&self, app: &TestApp, id: CallId) -> Call {
        app.store().read(self.person.tenant, "test.call", async |tx| calls::get(tx, id).await).await.expect("a call")
    }

    /// How many calls it has.
    async fn calls(&self, app: &TestApp) -> usize {
        app.get("/api/calls?limit=200", self.token()).await.expect(200)["items"].as_array().map_or(0, Vec::len)
    }

    /// The unguessable part of its number's address.
    async fn address(&self, app: &TestApp) -> String {
        self.address_of(app, &self.number).await
    }

    async fn address_of(&self, app: &TestApp, number: &str) -> String {
        let path = format!("/api/phone-numbers/{number}/webhook-address");
        let made = app.request(Method::POST, &path).token(self.token()).send().await.expect(201);
        let front = format!("{PUBLIC_URL}/webhooks/exotel/voicebot/");
        made["url"].as_str().expect("an address").strip_prefix(&front).expect("our address").to_owned()
    }
}

/// Names and payloads of the jobs that wait.
async fn jobs_waiting(app: &TestApp) -> Vec<(String, Value)> {
    let page = PageRequest { after: None, limit: 200 };
    let found = app.store().system_read("test.jobs", async |tx| jobs::list(tx, None, None, page).await).await;
    found.expect("jobs").items.into_iter().map(|job| (job.name, job.payload)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_asked_for_and_a_job_will_place_it() {
    let app = TestApp::start().await;
    let office = Office::with_account(&app, "Asha", OURS).await;
    let placed = app.post(PATH, office.token(), &office.body()).await.expect(201);
    let id = placed["id"].as_str().expect("an id");
    for (field, want) in [
        ("agent_id", json!(office.agent)),
        ("phone_number_id", json!(office.number)),
        ("carrier", json!("exotel")),
        ("carrier_call_id", Value::Null),
        ("direction", json!("outgoing")),
        ("from", json!(OURS)),
        ("to", json!(CUSTOMER)),
        ("status", json!("queued")),
        ("ended_reason", Value::Null),
        ("dialed_at", Value::Null),
    ] {
        assert_eq!(placed[field], want, "{field}");
    }
    let shown = app.get(&format!("{PATH}/{id}"), office.token()).await.expect(200);
    assert_eq!(shown["variables"], json!({ "name": "Asha" }));
    let tenant = office.person.tenant;
    let wanted = ("place_call".to_owned(), json!({ "tenant_id": tenant.to_string(), "call_id": id }));
    assert_eq!(jobs_waiting(&app).await, [wanted]);
    assert_eq!(app.audited_times(tenant, "call.placed", id).await, 1);
    let log = app.get("/api/audit-logs", office.token()).await.expect(200).to_string();
    assert!(!log.contains("9876543210") && !log.contains("\"Asha\""), "neither numbers nor variables: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_placed_is_refused_with_its_reason() {
    let app = TestApp::start().await;
    let office = Office::with_account(&app, "Asha", OURS).await;
    let ravi = Office::with_account(&app, "Ravi", "+918047491898").await;
    let unusable = unusable_agent(&app, &office).await;
    let nobody = "01940b6e-0000-7000-8000-000000000001";
    let many: Map<String, Value> = (0..65).map(|n| (format!("v{n}"), json!(1))).collect();
    for (field, value, faults) in [
        ("agent_id", json!(nobody), vec!["agent_id"]),
        ("agent_id", json!(ravi.agent), vec!["agent_id"]),
        ("agent_id", json!(unusable.to_string()), vec!["agent_id"]),
        ("agent_id", json!("x"), vec!["agent_id"]),
        ("from", json!(nobody), vec!["from"]),
        ("from", json!(ravi.number), vec!["from"]),
        ("from", json!(OURS), vec!["from"]),
        ("to", json!("12"), vec!["to"]),
        ("to", json!(OURS), vec!["to"]),
        ("to", json!(null), vec!["to"]),
        ("variables", json!(many), vec!["variables"]),
        ("variables", json!({ "Name": "x" }), vec!["variables"]),
        ("variables", json!({ "1st": "x" }), vec!["variables"]),
        ("variables", json!({ "n".repeat(65): "x" }), vec!["variables"]),
        ("variables", json!({ "name": "x".repeat(1_001) }), vec!["variables.name"]),
        ("variables", json!(["name"]), vec!["variables"]),
        ("ring", json!(3), vec!["ring"]),
    ] {
        let mut body = office.body();
        body[field] = value;
        let answer = app.post(PATH, office.token(), &body).await;
        assert_eq!((answer.status, answer.fields()), (400, faults), "{field} {}", answer.body);
    }
    for value in [json!(null), json!({}), json!([1])] {
        let mut body = office.body();
        body["variables"] = json!({ "name": value });
        app.post(PATH, office.token(), &body).await.expect_problem(400, "invalid_fields");
    }
    assert_eq!((office.calls(&app).await, jobs_waiting(&app).await.len()), (0, 0), "nothing took effect");
    let mut longest = office.body();
    longest["variables"] = json!({ "n".repeat(64): "x".repeat(1_000), "count": -1.5, "yes": true });
    app.post(PATH, office.token(), &longest).await.expect(201);
}

/// An agent that has become unusable since it was made.
async fn unusable_agent(app: &TestApp, office: &Office) -> AgentId {
    let config: AgentConfig = serde_json::from_value(json!({ "brain": { "kind": "flow", "text": "x" } })).expect("one");
    let now = app.now();
    let made =
        app.store().write(office.person.tenant, "test.agent", async |tx| agents::create(tx, "Old", &config, now).await);
    made.await.expect("an agent").agent.id
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_account_or_the_right_nothing_is_placed() {
    let app = TestApp::start().await;
    let office = Office::open(&app, "Asha", OURS).await;
    let problem = app.post(PATH, office.token(), &office.body()).await.expect_problem(409, "conflict");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("exotel")), "{problem}");
    let able = Office::with_account(&app, "Ravi", "+918047491898").await;
    let viewer = app.member(able.person.tenant, "Vera", Role::Viewer).await;
    app.post(PATH, &viewer.access_token, &able.body()).await.expect_problem(403, "forbidden");
    let (_, reads) = app.api_key(&able.person, &[Scope::CallsRead]).await;
    app.post(PATH, &reads, &able.body()).await.expect_problem(403, "forbidden");
    let (_, writes) = app.api_key(&able.person, &[Scope::CallsWrite]).await;
    app.post(PATH, &writes, &able.body()).await.expect(201);
    app.post_public(PATH, &able.body()).await.expect_problem(401, "unauthenticated");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_asked_for_twice_is_placed_once() {
    let app = TestApp::start().await;
    let office = Office::with_account(&app, "Asha", OURS).await;
    let body = office.body();
    let ask = |body: Value| {
        let request = app.request(Method::POST, PATH).token(office.token()).header("idempotency-key", "visit-17");
        request.json(&body).send()
    };
    let answers: Vec<Answer> = futures_util::future::join_all((0..10).map(|_| ask(body.clone()))).await;
    assert!(answers.iter().all(|answer| answer.status == 201 && answer.body == answers[0].body));
    assert_eq!(answers.iter().filter(|answer| answer.header("idempotency-replayed") == "true").count(), 9);
    assert_eq!((office.calls(&app).await, jobs_waiting(&app).await.len()), (1, 1));
    let mut other = body;
    other["variables"] = json!({ "name": "Ravi" });
    ask(other).await.expect_problem(422, "idempotency_key_reused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waits_can_be_taken_back_once() {
    let app = TestApp::start().await;
    let office = Office::with_account(&app, "Asha", OURS).await;
    let stranger = app.signed_up("Ravi").await;
    let id = office.place(&app).await.to_string();
    let path = format!("{PATH}/{id}/cancel");
    let cancel = |token: &str| app.request(Method::POST, &path).token(token).send();
    cancel(&stranger.access_token).await.expect_problem(404, "not_found");
    let viewer = app.member(office.person.tenant, "Vera", Role::Viewer).await;
    cancel(&viewer.access_token).await.expect_problem(403, "forbidden");
    let canceled = cancel(office.token()).await.expect(200);
    assert_eq!((&canceled["status"], &canceled["ended_reason"]), (&json!("canceled"), &json!("operator/canceled")));
    cancel(office.token()).await.expect_problem(409, "conflict");
    for kind in ["call.canceled", "call.ended"] {
        assert_eq!(app.audited_times(office.person.tenant, kind, &id).await, 1, "{kind}");
    }
    // Neither one whose order has left nor one that came in.
    let ordered = office.ordered(&app, CALLBACK).await;
    let came = call(&app, &office.person, &office.agent, "sid-1", |_| {}).await.id;
    for id in [ordered, came] {
        let path = format!("{PATH}/{id}/cancel");
        let answer = app.request(Method::POST, &path).token(office.token()).send().await;
        answer.expect_problem(409, "conflict");
    }
    assert_eq!(office.call(&app, ordered).await.status, CallStatus::Queued);
}

/// One report in each coding.
async fn report(app: &TestApp, token: &str, coding: &str, fields: &[(&str, &str)]) -> Answer {
    let request = app.request(Method::POST, &format!("/webhooks/exotel/call/{token}"));
    match coding {
        "json" => {
            let body: Map<String, Value> =
                fields.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
            request.json(&Value::Object(body)).send().await
        }
        "form" => {
            let body: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request.header("content-type", "application/x-www-form-urlencoded").text(body.join("&")).send().await
        }
        _ => {
            let part = |(name, value): &(&str, &str)| {
                format!("--odd-boundary-1\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
            };
            let body = format!("{}--odd-boundary-1--\r\n", fields.iter().map(part).collect::<String>());
            request.header("content-type", "multipart/form-data; boundary=odd-boundary-1").text(body).send().await
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_carrier_tells_what_became_of_a_call_in_any_coding_and_order() {
    let app = TestApp::start().await;
    let office = Office::with_account(&app, "Asha", OURS).await;
    for (coding, status, want, reason) in [
        ("json", "busy", CallStatus::Busy, "caller/busy"),
        ("form", "no-answer", CallStatus::NoAnswer, "caller/no-answer"),
        ("multipart", "failed", CallStatus::Failed, "carrier/failed"),
        ("multipart", "completed", CallStatus::NoAnswer, "caller/no-answer"),
    ] {
        let (token, sid) = (format!("{CALLBACK}-{coding}-{status}"), format!("sid-{coding}-{status}"));
        let id = office.ordered(&app, &token).await;
        let last = [("CallSid", sid.as_str()), ("Status", status), ("DateUpdated", "2026-11-18 14:30:45")];
        let first = [("CallSid", sid.as_str()), ("Status", "in-progress"), ("EventType", "answered")];
        // The last one first, twice, in the middle of what was before it.
        for fields in [&last[..], &last, &first, &last] {
            assert_eq!(report(&app, &token, coding, fields).await.expect(200)["status"], "ok");
        }
        let call = office.call(&app, id).await;
        assert_eq!((call.status, call.carrier_call_id.as_deref()), (want, Some(sid.as_str())), "{coding} {status}");
        assert_eq!(call.ended_reason.map(|reason| reason.as_str()), Some(reason));
        let tenant = office.person.tenant;
        assert_eq!(app.audited_times(tenant, "call.ended", &id.to_string()).await, 1, "{coding} {status}");
        let kept = app.store().read(tenant, "test.events", async |tx| carrier_events::of_call(tx, id).await).await;
        assert_eq!(kept.expect("events").len(), 2, "each once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_calls_address_speaks_for_that_call_alone() {
    let app = TestApp::start().await;
    let office = Office::with_account(&app, "Asha", OURS).await;
    let (one, other) = (office.ordered(&app, "token-one").await, office.ordered(&app, "token-other").await);
    let say = async |token: &str, sid: &str, status: &str| {
        report(&app, token, "json", &[("CallSid", sid), ("Status", status)]).await
    };
    say("token-one", "sid-one", "ringing").await.expect(200);
    assert_eq!(office.call(&app, one).await.status, CallStatus::Ringing);
    let refused = async || {
        let since = app.now() - Duration::hours(1);
        let of = async |carrier: CarrierKind| {
            let found =
                app.store().system_read("test.refused", async |tx| sightings::refused(tx, carrier, since).await).await;
            found.expect("sightings").iter().map(|seen| seen.count).sum::<u64>()
        };
        (of(CarrierKind::Exotel).await, of(CarrierKind::Twilio).await)
    };
    assert_eq!(refused().await, (0, 0));
    say("token-nobody", "sid-one", "busy").await.expect_problem(404, "not_found");
    let twilio = "/webhooks/twilio/answer/token-nobody";
    app.request(Method::POST, twilio).text("CallSid=sid-one".to_owned()).send().await.expect_problem(404, "not_found");
    assert_eq!(refused().await, (1, 1), "on record, each carrier's for itself");
    // Another call's name, and a name that differs from the first.
    say("token-other", "sid-one", "busy").await.expect_problem(404, "not_found");
    say("token-one", "sid-two", "busy").await.expect_problem(404, "not_found");
    for (id, status) in [(one, CallStatus::Ringing), (other, CallStatus::Queued)] {
        assert_eq!(office.call(&app, id).await.status, status);
    }
    let thin = report(&app, "token-one", "json", &[("CallSid", "sid-one")]).await;
    assert_eq!((thin.status, thin.fields()), (400, vec!["Status"]), "{}", thin.body);
    report(&app, "token-one", "json", &[("Status", "busy")]).await.expect_problem(400, "invalid_fields");
}

/// The dynamic URL of a Voicebot applet, asked for a call that a flow has placed.
async fn asks_for_media(app: &TestApp, address: &str, sid: &str, custom: &str) -> Answer {
    let query = format!(
        "CallSid={sid}&CallFrom=09876543210&CallTo=08047491899&Direction=outbound-dial&From=09876543210&To=09513886363&CustomField={custom}"
    );
    app.request(Method::GET, &format!("/webhooks/exotel/voicebot/{address}?{query}")).send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_leads_to_the_call_that_was_ordered() {
    let app = TestApp::start().await;
    let office = Office::with_account(&app, "Asha", OURS).await;
    let address = office.address(&app).await;
    let id = office.ordered(&app, CALLBACK).await;
    let mut urls = Vec::new();
    // Its handshake failed the first time, and it asks again.
    for _ in 0..2 {
        let media = asks_for_media(&app, &address, "sid-1", &id.to_string()).await.expect(200);
        urls.push(media["url"].as_str().expect("an address").to_owned());
    }
    assert!(urls[0].starts_with("wss://caly.example.org/media/exotel/") && urls[0] != urls[1]);
    let call = office.call(&app, id).await;
    assert_eq!((call.status, call.carrier_call_id.as_deref()), (CallStatus::Ringing, Some("sid-1")));
    assert_eq!(call.direction, CallDirection::Outgoing);
    assert_eq!(office.calls(&app).await, 1, "and no other");
    // Once its media flows it is started.
    let owner = Owner { node: "test".to_owned(), run: uuid::Uuid::from_u128(1) };
    let (tenant, now) = (office.person.tenant, app.now());
    let begun = app
        .store()
        .write(tenant, "test.media", async |tx| calls::begin_media(tx, id, &owner, now, Duration::seconds(60)).await);
    assert!(begun.await.expect("begun"));
    asks_for_media(&app, &address, "sid-1", &id.to_string()).await.expect_problem(409, "call_already_started");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_may_have_the_address_of_another_number_of_its_organisation() {
    let app = TestApp::start().await;
    let (office, ravi) =
        (Office::with_account(&app, "Asha", OURS).await, Office::with_account(&app, "Ravi", "+918047491898").await);
    let other = phone_number(&app, &office.person, "+918047491897", &office.agent).await;
    let (address, his) = (office.address_of(&app, &other).await, ravi.address(&app).await);
    let id = office.ordered(&app, CALLBACK).await;
    asks_for_media(&app, &address, "sid-1", &id.to_string()).await.expect(200);
    assert_eq!(office.call(&app, id).await.carrier_call_id.as_deref(), Some("sid-1"));
    let passes = async |address: &str| {
        let query = "CallSid=sid-1&CallStatus=busy&Direction=outbound-dial";
        app.request(Method::GET, &format!("/webhooks/exotel/passthru/{address}?{query}")).send().await.expect(200)
    };
    passes(&his).await;
    assert_eq!(office.call(&app, id).await.status, CallStatus::Ringing, "another organisation's address says nothing");
    passes(&address).await;
    assert_eq!(office.call(&app, id).await.ended_reason.map(|reason| reason.as_str()), Some("caller/busy"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_flow_says_of_somebody_elses_making_touches_no_call() {
    let app = TestApp::start().await;
    let (office, ravi) =
        (Office::with_account(&app, "Asha", OURS).await, Office::with_account(&app, "Ravi", "+918047491898").await);
    let address = office.address(&app).await;
    let foreign = ravi.ordered(&app, "token-of-ravi").await;
    let waiting = office.place(&app).await;
    let named = office.ordered(&app, CALLBACK).await;
    report(&app, CALLBACK, "json", &[("CallSid", "sid-named"), ("Status", "ringing")]).await.expect(200);
    let came = call(&app, &office.person, &office.agent, "sid-came", |_| {}).await.id;
    let before = office.calls(&app).await;
    let customs = [foreign, waiting, named, came].map(|id| id.to_string());
    let others = ["7e9095cd-1111-2222", "order_12345", "", "..%2F"].map(str::to_owned);
    for (n, custom) in customs.into_iter().chain(others).enumerate() {
        asks_for_media(&app, &address, &format!("sid-{n}"), &custom).await.expect(200);
        assert_eq!(office.calls(&app).await, before + n + 1, "a call of its own: {custom}");
    }
    assert_eq!(ravi.call(&app, foreign).await.carrier_call_id, None);
    assert_eq!(office.call(&app, waiting).await.carrier_call_id, None, "its order has not left");
    assert_eq!(office.call(&app, named).await.carrier_call_id.as_deref(), Some("sid-named"));
    assert_eq!(office.call(&app, came).await.carrier_call_id.as_deref(), Some("sid-came"));
}

/// A call whose agent has decided to hand the caller on.
async fn handed_on(app: &TestApp, office: &Office, sid: &str) -> CallId {
    let number = office.number.parse().expect("an id");
    let made = call(app, &office.person, &office.agent, sid, |new| new.phone_number = Some(number)).await;
    let owner = Owner { node: "test".to_owned(), run: uuid::Uuid::from_u128(1) };
    let to = E164::parse("+919812345678").expect("a number");
    let now = app.now();
    let decided = app.store().write(office.person.tenant, "test.transfer", async |tx| {
        calls::begin_media(tx, made.id, &owner, now, Duration::seconds(60)).await?;
        calls::decide_transfer(tx, made.id, &to, now).await
    });
    assert!(decided.await.expect("decided"));
    made.id
}

#[tokio::test(flavor = "multi_thread")]
async fn the_carrier_is_told_whom_a_caller_is_handed_to() {
    let app = TestApp::start().await;
    let (office, ravi) =
        (Office::with_account(&app, "Asha", OURS).await, Office::with_account(&app, "Ravi", "+918047491898").await);
    let (hers, his) = (office.address(&app).await, ravi.address(&app).await);
    let id = handed_on(&app, &office, "sid-1").await;
    let ask = async |address: &str, sid: &str| {
        let query = format!("CallSid={sid}&CallFrom=09876543210&CallTo=08047491899&Direction=incoming");
        app.request(Method::GET, &format!("/webhooks/exotel/connect/{address}?{query}")).send().await
    };
    let want = |numbers: Value, record: bool| {
        json!({
            "fetch_after_attempt": false,
            "destination": { "numbers": numbers },
            "record": record,
            "recording_channels": "dual",
            "max_ringing_duration": 45,
            "max_conversation_duration": 3_600,
        })
    };
    let answer = ask(&hers, "sid-1").await;
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.expect(200), want(json!(["+919812345678"]), true));
    let path = format!("/webhooks/exotel/connect/{hers}");
    let form = app.request(Method::POST, &path).header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(form.text("CallSid=sid-1".to_owned()).send().await.expect(200), want(json!(["+919812345678"]), true));
    // Somebody else's number, another call, no call: nobody.
    let nobody = want(json!([]), false);
    assert_eq!(ask(&his, "sid-1").await.expect(200), nobody);
    assert_eq!(ask(&hers, "sid-2").await.expect(200), nobody);
    for body in ["", "CallSid=", "{", "%%%"] {
        let answer = app.request(Method::POST, &path).text(body.to_owned()).send().await;
        assert_eq!(answer.expect(200), nobody, "{body:?}");
    }
    ask("no-such-address", "sid-1").await.expect_problem(404, "not_found");
    let shown = app.get(&format!("{PATH}/{id}"), office.token()).await.expect(200);
    assert_eq!(shown["transferred_to"], "+919812345678");
    // A decision holds for two minutes.
    app.clock.advance(Duration::seconds(120));
    assert_eq!(ask(&hers, "sid-1").await.expect(200), want(json!(["+919812345678"]), true));
    app.clock.advance(Duration::seconds(1));
    assert_eq!(ask(&hers, "sid-1").await.expect(200), nobody);
}
