//! Events to real receivers on this machine, with a clock that tests move.

use chrono::{DateTime, Duration, Utc};
use identity::Passwords;
use jobs::{Context, events};
use model::{
    AgentConfig, Brain, CallDirection, CallId, CallStatus, CarrierKind, DeliveryState, EmailAddress, EventKind, Role,
    TenantId, WebhookEndpointId,
};
use providers::carrier_file::{CarrierFiles, FileLimits, FileSettings};
use providers::egress::{Allowed, Egress};
use providers::exotel::ExotelClient;
use providers::http::{Http, HttpSettings};
use providers::mail::{Mailer, SmtpSettings, SmtpTls};
use providers::objects::{ObjectSettings, Objects};
use providers::resilience::Targets;
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use std::sync::{Arc, Mutex};
use store::audit::AuditFilter;
use store::calls::NewCall;
use store::deliveries::{self, Delivery, DeliveryFilter};
use store::users::NewUser;
use store::webhook_endpoints::{self, DisabledReason, EndpointSettings};
use store::{
    Keyring, PageRequest, Store, StoreConfig, agents, audit, calls, jobs as jobs_rows, memberships, organisations,
    outbox, users,
};
use testkit::receiver::{Receiver, Reply};
use tokio::sync::Notify;
use wire::standard_webhooks::{Secret, verify};

struct World {
    _folder: tempfile::TempDir,
    store: Store,
    tenant: TenantId,
    context: Context,
    clock: Arc<Mutex<DateTime<Utc>>>,
}

/// An endpoint and what signs for it.
struct Endpoint {
    id: WebhookEndpointId,
    secret: SecretString,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}/caly.db", folder.path().display());
        let store = Store::open(&StoreConfig::new(url, Keyring::new([7; 32], None))).await.expect("opens");
        let clock = Arc::new(Mutex::new(DateTime::from_timestamp(1_790_000_000, 0).expect("a time")));
        let now = *clock.lock().expect("no holder panics");
        store.migrate_up(now).await.expect("migrated");
        let made = store
            .system("test.tenant", async |tx| {
                let made = organisations::create(tx, "Clinic", now).await?;
                for (name, role) in [("asha", Role::Owner), ("ravi", Role::Viewer)] {
                    let email = EmailAddress::parse(&format!("{name}@example.org")).expect("an address");
                    let new = NewUser { email, name: name.to_owned(), password_hash: "x".to_owned().into() };
                    let user = users::create(tx, &new, now).await?;
                    users::verify_email(tx, user, now).await?;
                    memberships::add(tx.tenant(made.id).await?, user, role, now).await?;
                }
                Ok::<_, store::Error>(made)
            })
            .await;
        let http = Http::new(&HttpSettings::default()).expect("a client");
        let shared = clock.clone();
        let settings = SmtpSettings {
            host: "127.0.0.1".to_owned(),
            port: 9,
            user: None,
            password: None,
            from: "Caly <caly@example.org>".to_owned(),
            tls: SmtpTls::None,
            extra_roots_pem: None,
            timeout: None,
        };
        let files = FileSettings {
            folder: folder.path().join("fetched"),
            hosts: Vec::new(),
            allowed: Allowed::LoopbackToo,
            limits: FileLimits::default(),
        };
        let context = Context {
            store: store.clone(),
            objects: Objects::open(&ObjectSettings::Local { folder: folder.path().join("objects") }, &http)
                .expect("open"),
            clock: Arc::new(move || *shared.lock().expect("no holder panics")),
            mailer: Mailer::smtp(settings).expect("settings"),
            egress: Egress::new(&http, Allowed::LoopbackToo).expect("a client"),
            carrier_files: CarrierFiles::new(&http, &files).expect("a folder"),
            exotel: ExotelClient::new(&http, None).expect("a client"),
            models: None,
            prices: Arc::new(jobs::prices::Prices::built_in().expect("reads")),
            targets: Targets::new(),
            embedder: None,
            media_url: "wss://caly.example.org".into(),
            passwords: Passwords::new(),
            public_url: "https://caly.example.org".into(),
            audit_keep_days: None,
            wake: Arc::new(Notify::new()),
        };
        Self { _folder: folder, store, tenant: made.expect("made").id, context, clock }
    }

    fn now(&self) -> DateTime<Utc> {
        *self.clock.lock().expect("no holder panics")
    }

    fn wait(&self, time: Duration) {
        *self.clock.lock().expect("no holder panics") += time;
    }

    async fn run(&self) -> usize {
        events::run_due(&self.context).await.expect("the database answers")
    }

    async fn endpoint(&self, url: &str, kinds: &[EventKind], byte: u8) -> Endpoint {
        let secret = Secret::new(&[byte; 32]).expect("a secret").text();
        let new = EndpointSettings { url, description: "CRM", events: kinds };
        let now = self.now();
        let made = self
            .store
            .write(self.tenant, "test.endpoint", async |tx| webhook_endpoints::create(tx, &new, &secret, now).await);
        Endpoint { id: made.await.expect("made").id, secret }
    }

    async fn call(&self, sid: &str) -> CallId {
        let agent: AgentConfig = serde_json::from_value(json!({
            "language": "en-IN", "brain": { "kind": "flow", "text": "x" },
        }))
        .expect("a configuration");
        assert!(matches!(agent.brain, Brain::Flow { .. }));
        let now = self.now();
        let made = self.store.write(self.tenant, "test.call", async |tx| {
            let agent = agents::create(tx, "Asha", &agent, now).await?.agent.id;
            let new = NewCall {
                agent,
                phone_number: None,
                carrier: CarrierKind::Exotel,
                carrier_call_id: Some(sid.to_owned()),
                direction: CallDirection::Incoming,
                from: model::E164::parse("+919876543210").ok(),
                to: None,
                status: CallStatus::Ringing,
                variables: serde_json::Map::new(),
            };
            Ok::<_, store::Error>(calls::create(tx, &new, now).await?.into_call().id)
        });
        made.await.expect("made")
    }

    /// Something happened, a second after what happened before.
    async fn happened(&self, kind: &str, call: CallId) {
        self.wait(Duration::seconds(1));
        let data = Map::from_iter([("call_id".to_owned(), json!(call))]);
        let now = self.now();
        let pushed = self.store.write(self.tenant, "test.push", async |tx| outbox::push(tx, kind, data, now).await);
        pushed.await.expect("pushed");
    }

    /// What an endpoint was sent, oldest event first.
    async fn deliveries(&self, endpoint: &Endpoint) -> Vec<Delivery> {
        let page = PageRequest { after: None, limit: 200 };
        let all = self.store.read(self.tenant, "test.deliveries", async |tx| {
            deliveries::list(tx, endpoint.id, &DeliveryFilter::default(), page).await
        });
        let mut all = all.await.expect("read").items;
        all.sort_by_key(|delivery| (delivery.occurred_at, delivery.event));
        all
    }

    async fn only(&self, endpoint: &Endpoint) -> Delivery {
        let mut all = self.deliveries(endpoint).await;
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    async fn disabled(&self, endpoint: &Endpoint) -> Option<DisabledReason> {
        let got =
            self.store.read(self.tenant, "test.endpoint", async |tx| webhook_endpoints::get(tx, endpoint.id).await);
        got.await.expect("there").disabled_reason
    }

    async fn audited(&self, kind: &str) -> usize {
        let filter = AuditFilter { kind: Some(kind.parse().expect("a kind")), ..AuditFilter::default() };
        let read = self
            .store
            .read(self.tenant, "test.audit", async |tx| audit::list(tx, &filter, PageRequest::default()).await);
        read.await.expect("read").items.len()
    }
}

fn believed(endpoint: &Endpoint, got: &testkit::receiver::Received, now: DateTime<Utc>) -> bool {
    let secret = Secret::parse(&endpoint.secret).expect("a secret");
    let header = |name: &str| got.header(name).unwrap_or_default().to_owned();
    let (id, at, signature) = (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"));
    verify(&secret, &id, &at, &signature, &got.body, now.timestamp()).is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_calls_events_arrive_signed_in_order_and_once() {
    let world = World::new().await;
    let receiver = Receiver::start(Reply::status(204)).await;
    let all = world.endpoint(&receiver.url("/all"), &[], 1).await;
    let some = world.endpoint(&receiver.url("/some"), &[EventKind::CallEnded], 2).await;
    let call = world.call("sid-1").await;
    for kind in ["call.started", "call.announced", "call.ended", "recording.ready", "recording.failed"] {
        world.happened(kind, call).await;
    }
    assert_eq!(world.run().await, 5);
    let got = receiver.received_at("/all");
    let kinds: Vec<Value> = got.iter().map(|one| one.json()["type"].clone()).collect();
    assert_eq!(kinds, ["call.started", "call.ended", "recording.ready", "recording.failed"]);
    for one in &got {
        assert!(believed(&all, one, world.now()), "{one:?}");
        assert!(!believed(&some, one, world.now()), "another endpoint's secret");
        assert_eq!((one.header("content-type"), one.method.as_str()), (Some("application/json"), "POST"));
        let (body, id) = (one.json(), one.header("webhook-id").expect("an id"));
        assert_eq!(body["data"]["call_id"], json!(call));
        assert!(body["timestamp"].as_str().is_some_and(|at| at.ends_with('Z')), "{body}");
        assert!(id.starts_with("msg_") && !id.contains('.'), "{id}");
        assert_eq!(body.as_object().map(Map::len), Some(3), "{body}");
    }
    assert_eq!(got[0].json()["data"]["call"]["from"], "+919876543210");
    assert!(got[0].json()["data"]["call"].get("ended_reason").is_none());
    assert!(got[1].json()["data"]["call"].get("ended_reason").is_some());
    assert!(got[2].json()["data"].get("call").is_none());
    let got = receiver.received_at("/some");
    assert_eq!(got.iter().map(|one| one.json()["type"].clone()).collect::<Vec<_>>(), ["call.ended"]);
    assert!(believed(&some, &got[0], world.now()));
    assert_eq!(world.run().await, 0);
    for delivery in world.deliveries(&all).await {
        assert_eq!((delivery.state, delivery.attempts), (DeliveryState::Delivered, 1), "{delivery:?}");
        assert_eq!((delivery.last_status, delivery.last_error), (Some(204), None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn how_far_a_transcript_has_come_is_told_and_never_what_was_said() {
    let world = World::new().await;
    let receiver = Receiver::start(Reply::status(204)).await;
    world.endpoint(&receiver.url("/all"), &[], 1).await;
    world.endpoint(&receiver.url("/transcripts"), &[EventKind::TranscriptUpdated], 2).await;
    world.endpoint(&receiver.url("/analyses"), &[EventKind::CallAnalyzed], 3).await;
    let call = world.call("sid-1").await;
    let now = world.now();
    let pushed = world.store.write(world.tenant, "test.push", async |tx| {
        for (kind, turns) in [("transcript.updated", 2), ("transcript.updated", 5), ("call.analyzed", 0)] {
            // More than there should be: whoever pushes it, it does not leave.
            let data = json!({ "call_id": call, "turns": turns, "text": "my card is", "collected": { "a": "b" } });
            let Value::Object(data) = data else { panic!("an object") };
            outbox::push(tx, kind, data, now).await?;
        }
        Ok::<_, store::Error>(())
    });
    pushed.await.expect("pushed");
    world.run().await;
    let told = |path: &str| receiver.received_at(path).iter().map(|one| one.json()).collect::<Vec<_>>();
    assert_eq!(told("/all").len(), 3);
    let mut transcripts: Vec<Value> = told("/transcripts").into_iter().map(|one| one["data"].clone()).collect();
    // Both are of one moment: which of them comes first is left to chance.
    transcripts.sort_by_key(|one| one["turns"].as_u64());
    assert_eq!(
        transcripts,
        [
            json!({ "call_id": call, "turns": 2, "last_index": 1 }),
            json!({ "call_id": call, "turns": 5, "last_index": 4 }),
        ]
    );
    let analyses = told("/analyses");
    assert_eq!(analyses.len(), 1);
    let data = analyses[0]["data"].as_object().expect("an object");
    assert_eq!((data.len(), &data["call_id"]), (2, &json!(call)));
    assert_eq!((&data["call"]["id"], &data["call"]["from"]), (&json!(call), &json!("+919876543210")));
    assert!(data["call"].get("data").is_none() && data["call"].get("ended_reason").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_tried_on_schedule_with_the_same_id_and_a_new_time() {
    let world = World::new().await;
    let receiver = Receiver::start(Reply::status(500).body("out of order")).await;
    let endpoint = world.endpoint(&receiver.url("/"), &[], 1).await;
    let call = world.call("sid-1").await;
    world.happened("call.started", call).await;
    assert_eq!(world.run().await, 1);
    for (attempt, wait_s) in [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400].into_iter().enumerate() {
        let delivery = world.only(&endpoint).await;
        assert_eq!((delivery.state, delivery.attempts), (DeliveryState::Pending, attempt as u32 + 1));
        let wait = delivery.next_at - world.now();
        let (least, most) = (Duration::seconds(wait_s), Duration::milliseconds(wait_s * 1_100));
        assert!(wait >= least && wait <= most, "attempt {attempt}: {wait}");
        world.wait(least - Duration::seconds(1));
        assert_eq!(world.run().await, 0, "attempt {attempt} came early");
        world.wait(most - least + Duration::seconds(2));
        assert_eq!(world.run().await, 1, "attempt {attempt}");
    }
    let delivery = world.only(&endpoint).await;
    assert_eq!((delivery.state, delivery.attempts), (DeliveryState::Failed, 10), "{delivery:?}");
    assert_eq!(delivery.last_response.as_deref(), Some("out of order"));
    assert_eq!(delivery.last_error.as_deref(), Some("the endpoint answered 500"));
    let got = receiver.received_at("/");
    assert_eq!(got.len(), 10);
    let ids: std::collections::BTreeSet<_> = got.iter().map(|one| one.header("webhook-id")).collect();
    let times: std::collections::BTreeSet<_> = got.iter().map(|one| one.header("webhook-timestamp")).collect();
    assert_eq!((ids.len(), times.len()), (1, 10));
    // Given up, and still there to be sent again.
    receiver.answer("/", Reply::status(200));
    let (id, now) = (delivery.id, world.now());
    let replayed =
        world.store.write(world.tenant, "test.replay", async |tx| deliveries::replay(tx, id, now).await).await;
    assert_eq!(replayed.expect("replayed").attempts, 0);
    assert_eq!(world.run().await, 1);
    assert_eq!(world.only(&endpoint).await.state, DeliveryState::Delivered);
    let again = receiver.received_at("/").pop().expect("sent again");
    assert_eq!(again.header("webhook-id"), got[0].header("webhook-id"));
    assert!(believed(&endpoint, &again, world.now()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_event_of_a_call_waits_for_the_earlier_and_other_calls_do_not() {
    let world = World::new().await;
    let receiver = Receiver::start(Reply::status(200)).await;
    let endpoint = world.endpoint(&receiver.url("/"), &[], 1).await;
    let (stuck, free) = (world.call("sid-1").await, world.call("sid-2").await);
    receiver.fail_bodies_with(&stuck.to_string());
    world.happened("call.started", stuck).await;
    assert_eq!(world.run().await, 1);
    for (kind, call) in
        [("call.ended", stuck), ("call.started", free), ("recording.ready", stuck), ("call.ended", free)]
    {
        world.happened(kind, call).await;
    }
    assert!(world.run().await >= 2);
    let about = |call: CallId| {
        let all = receiver.received_at("/");
        let mine = all.iter().filter(|one| one.json()["data"]["call_id"] == json!(call));
        mine.map(|one| one.json()["type"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(about(free), ["call.started", "call.ended"]);
    assert!(about(stuck).iter().all(|kind| kind == "call.started"), "{:?}", about(stuck));
    receiver.fail_bodies_with("nothing");
    world.wait(Duration::minutes(10));
    assert_eq!(world.run().await, 3);
    let seen = about(stuck);
    assert_eq!(seen[seen.len() - 3..], ["call.started", "call.ended", "recording.ready"]);
    assert!(world.deliveries(&endpoint).await.iter().all(|one| one.state == DeliveryState::Delivered));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_event_that_is_given_up_lets_the_later_pass() {
    let world = World::new().await;
    let receiver = Receiver::start(Reply::status(200)).await;
    let endpoint = world.endpoint(&receiver.url("/"), &[], 1).await;
    let call = world.call("sid-1").await;
    receiver.fail_bodies_with("call.started");
    world.happened("call.started", call).await;
    world.happened("call.ended", call).await;
    for _ in 0..10 {
        world.run().await;
        world.wait(Duration::hours(27));
        receiver.answer("/", Reply::status(200));
    }
    let states: Vec<DeliveryState> = world.deliveries(&endpoint).await.iter().map(|one| one.state).collect();
    // Five days of failure come before ten days of attempts: then all of it is given up.
    assert_eq!(states, [DeliveryState::Failed, DeliveryState::Failed]);
    assert_eq!(world.disabled(&endpoint).await, Some(DisabledReason::Failing));
    // On the schedule proper, three days, the later one passes.
    let world = World::new().await;
    let endpoint = world.endpoint(&receiver.url("/"), &[], 1).await;
    let call = world.call("sid-1").await;
    world.happened("call.started", call).await;
    world.happened("call.ended", call).await;
    for wait_s in [0, 6, 331, 1_981, 7_921, 19_801, 39_601, 55_441, 79_201, 95_041] {
        world.wait(Duration::seconds(wait_s));
        world.run().await;
    }
    let states: Vec<DeliveryState> = world.deliveries(&endpoint).await.iter().map(|one| one.state).collect();
    assert_eq!(states, [DeliveryState::Failed, DeliveryState::Delivered]);
    assert_eq!(world.disabled(&endpoint).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_answers_mean() {
    let world = World::new().await;
    let receiver = Receiver::start(Reply::status(200)).await;
    for (n, (status, state)) in [
        (200, DeliveryState::Delivered),
        (299, DeliveryState::Delivered),
        (301, DeliveryState::Pending),
        (307, DeliveryState::Pending),
        (400, DeliveryState::Pending),
        (502, DeliveryState::Pending),
        (410, DeliveryState::Failed),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/{status}");
        receiver.answer(&path, Reply::status(status).header("location", &receiver.url("/elsewhere")));
        let endpoint = world.endpoint(&receiver.url(&path), &[], 1).await;
        let call = world.call(&format!("sid-{n}")).await;
        world.happened("call.started", call).await;
        world.run().await;
        let last = world.deliveries(&endpoint).await.pop().expect("a delivery");
        assert_eq!((last.state, last.last_status), (state, Some(status)), "{status}");
        let want = (status == 410).then_some(DisabledReason::Gone);
        assert_eq!(world.disabled(&endpoint).await, want, "{status}");
    }
    assert!(receiver.received_at("/elsewhere").is_empty(), "a redirect was followed");
    assert_eq!(world.audited("webhook_endpoint.disabled").await, 1);
    // The owner is told, the viewer is not.
    let queued =
        world.store.system("test.jobs", async |tx| jobs_rows::list(tx, None, None, PageRequest::default()).await);
    assert_eq!(queued.await.expect("read").items.len(), 1);
    // The one that is gone gets nothing more.
    let call = world.call("sid-9").await;
    world.happened("call.started", call).await;
    world.run().await;
    assert_eq!(receiver.received_at("/410").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_asks_for_a_pause_gets_one() {
    let world = World::new().await;
    let receiver = Receiver::start(Reply::status(429).header("retry-after", "600")).await;
    let endpoint = world.endpoint(&receiver.url("/"), &[], 1).await;
    let (first, second) = (world.call("sid-1").await, world.call("sid-2").await);
    world.happened("call.started", first).await;
    assert_eq!(world.run().await, 1);
    receiver.answer("/", Reply::status(200));
    world.happened("call.started", second).await;
    world.wait(Duration::seconds(590));
    assert_eq!(world.run().await, 0, "the pause is the whole endpoint's");
    world.wait(Duration::seconds(20));
    assert_eq!(world.run().await, 2);
    assert!(world.deliveries(&endpoint).await.iter().all(|one| one.state == DeliveryState::Delivered));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_secrets_change_both_are_right_for_a_day() {
    let world = World::new().await;
    let receiver = Receiver::start(Reply::status(200)).await;
    let old = world.endpoint(&receiver.url("/"), &[], 1).await;
    let secret = Secret::new(&[2; 32]).expect("a secret").text();
    let now = world.now();
    let rotated = world.store.write(world.tenant, "test.rotate", async |tx| {
        webhook_endpoints::rotate_secret(tx, old.id, &secret, now).await
    });
    assert_eq!(rotated.await.expect("rotated").previous_until, Some(now + Duration::hours(24)));
    let new = Endpoint { id: old.id, secret };
    for (wait, signatures) in [(Duration::zero(), 2), (Duration::hours(23), 2), (Duration::hours(1), 1)] {
        world.wait(wait);
        let call = world.call(&format!("sid-{}", world.now())).await;
        world.happened("call.started", call).await;
        world.run().await;
        let got = receiver.received_at("/").pop().expect("received");
        let header = got.header("webhook-signature").expect("signed");
        assert_eq!(header.split(' ').count(), signatures, "{header}");
        assert!(believed(&new, &got, world.now()));
        assert_eq!(believed(&old, &got, world.now()), signatures == 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_endpoint_holds_up_nobody_and_is_disabled_after_five_days() {
    let world = World::new().await;
    let (well, hanging) = (Receiver::start(Reply::status(200)).await, Receiver::start(Reply::never()).await);
    let alive = world.endpoint(&well.url("/"), &[], 1).await;
    let slow = world.endpoint(&hanging.url("/"), &[], 2).await;
    let dead = world.endpoint("http://127.0.0.1:1/", &[], 3).await;
    for n in 0..30 {
        let call = world.call(&format!("sid-{n}")).await;
        world.happened("call.started", call).await;
    }
    let runs = tokio::spawn({
        let context = world.context.clone();
        async move { events::run_due(&context).await }
    });
    // All of it arrives while the slow one's first requests still hang.
    let all = async {
        while well.received_at("/").len() < 30 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), all).await.expect("nobody is held up");
    assert!(hanging.received_at("/").len() <= events::PER_ENDPOINT_MAX as usize, "a few at once");
    assert!(world.deliveries(&alive).await.len() == 30);
    runs.abort();
    assert!(world.deliveries(&dead).await.iter().all(|one| one.last_status.is_none()));
    assert!(world.disabled(&slow).await.is_none());
    let remove = async |tx: &mut store::Tx| webhook_endpoints::delete(tx, slow.id).await;
    world.store.write(world.tenant, "test.delete", remove).await.expect("deleted");
    for _ in 0..5 {
        assert_eq!(world.disabled(&dead).await, None);
        world.wait(Duration::hours(25));
        let call = world.call(&format!("sid-{}", world.now())).await;
        world.happened("call.started", call).await;
        world.run().await;
    }
    assert_eq!(world.disabled(&dead).await, Some(DisabledReason::Failing));
    assert!(world.deliveries(&dead).await.iter().all(|one| one.state == DeliveryState::Failed));
    assert_eq!(world.disabled(&alive).await, None);
    assert_eq!(world.audited("webhook_endpoint.disabled").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_never_ends_is_kept_in_part() {
    let world = World::new().await;
    let receiver = Receiver::start(Reply::endless()).await;
    let endpoint = world.endpoint(&receiver.url("/"), &[], 1).await;
    let call = world.call("sid-1").await;
    world.happened("call.started", call).await;
    assert_eq!(world.run().await, 1);
    let delivery = world.only(&endpoint).await;
    assert_eq!((delivery.state, delivery.last_status), (DeliveryState::Delivered, Some(200)));
    assert_eq!(delivery.last_response.map(|text| text.len()), Some(1_024));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runners_send_each_event_once() {
    let world = World::new().await;
    let receiver = Receiver::start(Reply::status(200)).await;
    world.endpoint(&receiver.url("/"), &[], 1).await;
    let mut calls = Vec::new();
    for n in 0..10 {
        calls.push(world.call(&format!("sid-{n}")).await);
    }
    for kind in ["call.started", "call.ended", "recording.ready"] {
        for call in &calls {
            world.happened(kind, *call).await;
        }
    }
    let runners = (0..4).map(|_| {
        let context = world.context.clone();
        tokio::spawn(async move { events::run_due(&context).await.expect("the database answers") })
    });
    let mut attempts = 0;
    for runner in runners.collect::<Vec<_>>() {
        attempts += runner.await.expect("no panic");
    }
    attempts += world.run().await;
    let got = receiver.received_at("/");
    assert_eq!((attempts, got.len()), (30, 30));
    for call in calls {
        let mine = got.iter().filter(|one| one.json()["data"]["call_id"] == json!(call));
        let kinds: Vec<Value> = mine.map(|one| one.json()["type"].clone()).collect();
        assert_eq!(kinds, ["call.started", "call.ended", "recording.ready"]);
    }
}
