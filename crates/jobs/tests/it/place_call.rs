//! Placing calls at a carrier on this machine, with a clock that tests move.

use chrono::{DateTime, Duration, Utc};
use identity::Passwords;
use jobs::follow_call::FollowCall;
use jobs::place_call::PlaceCall;
use jobs::{Context, Job, JobError};
use model::{
    AgentConfig, AgentId, CallDirection, CallId, CallStatus, CarrierKind, E164, EndedReason, PhoneNumberId, TenantId,
};
use providers::carrier_file::{CarrierFiles, FileLimits, FileSettings};
use providers::egress::{Allowed, Egress};
use providers::exotel::ExotelClient;
use providers::http::{Http, HttpSettings};
use providers::mail::Mailer;
use providers::objects::{ObjectSettings, Objects};
use providers::resilience::Targets;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use store::audit::AuditFilter;
use store::calls::{Call, NewCall};
use store::carrier_accounts::{self, NewCarrierAccount};
use store::carrier_events::CarrierEvent;
use store::phone_numbers::NewPhoneNumber;
use store::stream_tokens::Consumed;
use store::{
    Keyring, PageRequest, Store, StoreConfig, agents, audit, calls, carrier_events, jobs as jobs_rows, organisations,
    phone_numbers, stream_tokens, token_hash,
};
use testkit::receiver::{Received, Receiver, Reply};
use tokio::sync::Notify;

const CONNECT: &str = "/v1/Accounts/clinic1/Calls/connect.json";
pub(crate) const LIST: &str = "/v1/Accounts/clinic1/Calls.json";
pub(crate) const CUSTOMER: &str = "+919876543210";
const OURS: &str = "+918047491899";
const MEDIA: &str = "wss://caly.example.org";
const PUBLIC: &str = "https://caly.example.org";

/// An organisation with a carrier that is on this machine.
pub(crate) struct World {
    _folder: tempfile::TempDir,
    pub(crate) store: Store,
    pub(crate) tenant: TenantId,
    pub(crate) context: Context,
    pub(crate) carrier: Receiver,
    clock: Arc<Mutex<DateTime<Utc>>>,
    agent: AgentId,
    number: PhoneNumberId,
}

impl World {
    /// Its calls are streamed.
    pub(crate) async fn new() -> Self {
        Self::with(Some(None)).await
    }

    /// With an account whose calls run through this flow, or with none at all.
    async fn with(account: Option<Option<&str>>) -> Self {
        let carrier = Receiver::start(Reply::status(404)).await;
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}/caly.db", folder.path().display());
        let store = Store::open(&StoreConfig::new(url, Keyring::new([7; 32], None))).await.expect("opens");
        let clock = Arc::new(Mutex::new(DateTime::from_timestamp(1_790_000_000, 0).expect("a time")));
        let now = *clock.lock().expect("no holder panics");
        store.migrate_up(now).await.expect("migrated");
        let config: AgentConfig = serde_json::from_value(json!({
            "brain": { "kind": "flow", "text": "x" }, "max_duration_s": 600,
        }))
        .expect("a configuration");
        let made = store.system("test.tenant", async |tx| {
            let tenant = organisations::create(tx, "Clinic", now).await?.id;
            let tx = tx.tenant(tenant).await?;
            let agent = agents::create(tx, "Asha", &config, now).await?.agent.id;
            let number = E164::parse(OURS).expect("a number");
            let new = NewPhoneNumber { carrier: CarrierKind::Exotel, number, agent, path_token_hash: None };
            let number = phone_numbers::create(tx, &new, now).await?.id;
            if let Some(flow_id) = account {
                let new = NewCarrierAccount {
                    carrier: CarrierKind::Exotel,
                    account_id: "clinic1",
                    region: Some("mumbai"),
                    api_key: Some("key-of-the-clinic"),
                    flow_id,
                    token: &"token-of-the-clinic".into(),
                };
                carrier_accounts::create(tx, &new, now).await?;
            }
            Ok::<_, store::Error>((tenant, agent, number))
        });
        let (tenant, agent, number) = made.await.expect("made");
        let context = context(&store, folder.path(), &clock, &carrier.url(""));
        Self { _folder: folder, store, tenant, context, carrier, clock, agent, number }
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        *self.clock.lock().expect("no holder panics")
    }

    pub(crate) fn wait(&self, time: Duration) {
        *self.clock.lock().expect("no holder panics") += time;
    }

    /// Asks for a call, as the API does.
    pub(crate) async fn asked(&self) -> CallId {
        let new = NewCall {
            agent: self.agent,
            phone_number: Some(self.number),
            carrier: CarrierKind::Exotel,
            carrier_call_id: None,
            direction: CallDirection::Outgoing,
            from: E164::parse(OURS).ok(),
            to: E164::parse(CUSTOMER).ok(),
            status: CallStatus::Queued,
            variables: Map::new(),
        };
        let now = self.now();
        let made = self.store.write(self.tenant, "test.call", async |tx| {
            let id = calls::create(tx, &new, now).await?.into_call().id;
            calls::enqueue_placing(tx, id, now).await?;
            Ok::<_, store::Error>(id)
        });
        made.await.expect("made")
    }

    /// A call that the carrier took under this name.
    pub(crate) async fn placed(&self, sid: &str) -> CallId {
        let id = self.asked().await;
        self.carrier.answer(CONNECT, taken(sid));
        self.place(id).await.expect("placed");
        assert_eq!(self.call(id).await.carrier_call_id.as_deref(), Some(sid));
        id
    }

    pub(crate) async fn place(&self, id: CallId) -> Result<(), JobError> {
        let job: PlaceCall = serde_json::from_value(self.payload(id)).expect("a payload");
        job.run(&self.context).await
    }

    pub(crate) async fn follow(&self, id: CallId) -> Result<(), JobError> {
        let job: FollowCall = serde_json::from_value(self.payload(id)).expect("a payload");
        job.run(&self.context).await
    }

    fn payload(&self, id: CallId) -> Value {
        json!({ "tenant_id": self.tenant.to_string(), "call_id": id.to_string() })
    }

    pub(crate) async fn call(&self, id: CallId) -> Call {
        self.store.read(self.tenant, "test.call", async |tx| calls::get(tx, id).await).await.expect("a call")
    }

    /// How it stands: status, reason.
    pub(crate) async fn stands(&self, id: CallId) -> (CallStatus, Option<EndedReason>) {
        let call = self.call(id).await;
        (call.status, call.ended_reason)
    }

    /// What the carrier said of it.
    pub(crate) async fn said(&self, id: CallId) -> Vec<CarrierEvent> {
        let found = self.store.read(self.tenant, "test.said", async |tx| carrier_events::of_call(tx, id).await).await;
        found.expect("events")
    }

    /// How often its end is on record.
    pub(crate) async fn ends(&self, id: CallId) -> usize {
        let id = id.to_string();
        let filter = AuditFilter { object_id: Some(&id), ..AuditFilter::default() };
        let page = PageRequest { after: None, limit: 200 };
        let found = self.store.read(self.tenant, "test.audit", async |tx| audit::list(tx, &filter, page).await).await;
        found.expect("events").items.iter().filter(|event| event.kind.as_str() == "call.ended").count()
    }

    /// Orders that reached the carrier.
    fn orders(&self) -> Vec<BTreeMap<String, String>> {
        self.carrier.received_at(CONNECT).iter().map(form).collect()
    }

    /// Names of the jobs that wait, and when they are due.
    pub(crate) async fn jobs(&self) -> Vec<(String, DateTime<Utc>)> {
        let page = PageRequest { after: None, limit: 200 };
        let found = self.store.system_read("test.jobs", async |tx| jobs_rows::list(tx, None, None, page).await).await;
        found.expect("jobs").items.into_iter().map(|job| (job.name, job.run_at)).collect()
    }

    /// The run is killed when its order is at the carrier.
    async fn killed_while_ordering(&self, id: CallId) {
        self.carrier.answer(CONNECT, Reply::never());
        let before = self.orders().len();
        let arrived = async {
            while self.orders().len() == before {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            done = self.place(id) => panic!("answered: {done:?}"),
            () = arrived => {}
        }
        self.carrier.answer(CONNECT, taken("a-second-call"));
    }
}

/// What a node has.
fn context(store: &Store, folder: &std::path::Path, clock: &Arc<Mutex<DateTime<Utc>>>, carrier: &str) -> Context {
    let http = Http::new(&HttpSettings::default()).expect("a client");
    let shared = clock.clone();
    let files = FileSettings {
        folder: folder.join("fetched"),
        hosts: Vec::new(),
        allowed: Allowed::LoopbackToo,
        limits: FileLimits::default(),
    };
    Context {
        store: store.clone(),
        objects: Objects::open(&ObjectSettings::Local { folder: folder.join("objects") }, &http).expect("open"),
        clock: Arc::new(move || *shared.lock().expect("no holder panics")),
        mailer: Mailer::folder(folder.join("mails")),
        egress: Egress::new(&http, Allowed::LoopbackToo).expect("a client"),
        passwords: Passwords::new(),
        public_url: PUBLIC.into(),
        media_url: MEDIA.into(),
        audit_keep_days: None,
        wake: Arc::new(Notify::new()),
        exotel: ExotelClient::new(&http, Some(carrier.to_owned())).expect("a client"),
        models: None,
        prices: Arc::new(jobs::prices::Prices::built_in().expect("reads")),
        targets: Targets::new(),
        embedder: None,
        carrier_files: CarrierFiles::new(&http, &files).expect("a client"),
    }
}

/// The carrier's client, which has not heard anything yet.
fn client(carrier: &str) -> ExotelClient {
    let http = Http::new(&HttpSettings::default()).expect("a client");
    ExotelClient::new(&http, Some(carrier.to_owned())).expect("a client")
}

fn form(request: &Received) -> BTreeMap<String, String> {
    let text = String::from_utf8(request.body.clone()).expect("text");
    let read = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            bytes.push(match byte {
                b'+' => b' ',
                b'%' => {
                    let hex = [rest.next().expect("a digit"), rest.next().expect("a digit")];
                    u8::from_str_radix(std::str::from_utf8(&hex).expect("text"), 16).expect("hex")
                }
                other => other,
            });
        }
        String::from_utf8(bytes).expect("text")
    };
    text.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (read(name), read(value))).collect()
}

/// The carrier takes the order.
pub(crate) fn taken(sid: &str) -> Reply {
    answer(&details(sid, "in-progress", Map::new()))
}

pub(crate) fn answer(call: &Value) -> Reply {
    Reply::status(200).header("content-type", "application/json").body(&json!({ "Call": call }).to_string())
}

/// A list of calls.
pub(crate) fn listed(calls: &[Value]) -> Reply {
    let body = json!({ "Metadata": { "Total": calls.len() }, "Calls": calls });
    Reply::status(200).header("content-type", "application/json").body(&body.to_string())
}

/// A call as the carrier describes it. It was made when the clocks of these tests begin: 1 790 000 000 is
/// 2026-09-21 19:43:20 in India.
pub(crate) fn details(sid: &str, status: &str, more: Map<String, Value>) -> Value {
    let mut call = json!({
        "Sid": sid, "ParentCallSid": null, "DateCreated": "2026-09-21 19:43:20", "DateUpdated": "2026-09-21 19:43:22",
        "AccountSid": "clinic1", "To": null, "From": "09876543210", "PhoneNumberSid": "08047491899", "Status": status,
        "StartTime": "2026-09-21 19:43:22", "EndTime": null, "Duration": null, "Price": null,
        "Direction": "outbound-api", "AnsweredBy": null, "RecordingUrl": null,
    });
    for (name, value) in more {
        call[name] = value;
    }
    call
}

fn with(pairs: &[(&str, &str)]) -> Map<String, Value> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_says_who_rings_whom_and_where_the_media_goes() {
    let world = World::new().await;
    let id = world.asked().await;
    world.carrier.answer(CONNECT, taken("sid-1"));
    world.place(id).await.expect("placed");
    let orders = world.orders();
    let [order] = orders.as_slice() else { panic!("{} orders", orders.len()) };
    let name = id.to_string();
    for (field, want) in [
        ("From", CUSTOMER),
        ("CallerId", "08047491899"),
        ("StreamType", "bidirectional"),
        ("TimeLimit", "660"),
        ("TimeOut", "60"),
        ("Record", "true"),
        ("RecordingChannels", "dual"),
        ("CustomField", name.as_str()),
        ("StatusCallbackContentType", "application/json"),
    ] {
        assert_eq!(order.get(field).map(String::as_str), Some(want), "{field}");
    }
    assert!(!order.contains_key("Url") && !order.contains_key("To"));
    let request = &world.carrier.received_at(CONNECT)[0];
    assert!(request.header("authorization").is_some_and(|value| value.starts_with("Basic ")));
    let call = world.call(id).await;
    assert_eq!((call.status, call.carrier_call_id.as_deref()), (CallStatus::Ringing, Some("sid-1")));
    assert_eq!(call.dialed_at, Some(world.now()));
    // The addresses that the carrier was given lead to this call.
    let media = order["StreamUrl"].strip_prefix("wss://caly.example.org/media/exotel/").expect("our address");
    let back = order["StatusCallback"].strip_prefix("https://caly.example.org/webhooks/exotel/call/").expect("ours");
    let (media, back, now) = (token_hash(media), token_hash(back), world.now());
    let found = world.store.system("test.tokens", async |tx| {
        let called_back = calls::find_by_callback_token(tx, back).await?;
        Ok::<_, store::Error>((called_back, stream_tokens::consume(tx, media, now + Duration::seconds(179)).await?))
    });
    let (called_back, consumed) = found.await.expect("found");
    assert_eq!(called_back.map(|call| call.id), Some(id));
    assert!(matches!(consumed, Consumed::Granted(grant) if grant.call == id));
    assert!(world.jobs().await.contains(&("follow_call".to_owned(), now + Duration::seconds(45))));
    // Again, by mistake: nothing.
    world.place(id).await.expect("nothing to do");
    assert_eq!(world.orders().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_may_run_through_a_flow() {
    let world = World::with(Some(Some("4711"))).await;
    let id = world.placed("sid-1").await;
    let order = &world.orders()[0];
    assert_eq!(order["Url"], "http://my.exotel.com/clinic1/exoml/start_voice/4711");
    assert_eq!(order["CustomField"], id.to_string());
    assert_eq!(order["TimeLimit"], "4305", "with the person that the caller may be handed to");
    assert!(!order.contains_key("StreamUrl"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_dies_while_it_orders_is_not_followed_by_a_second_order() {
    let world = World::new().await;
    let other = details("sid-other", "completed", with(&[("From", "09876500000")]));
    let early = details("sid-early", "completed", with(&[("DateCreated", "2026-09-21 19:43:10")]));
    let incoming = details("sid-in", "completed", with(&[("Direction", "incoming")]));
    let through = details("sid-through", "completed", with(&[("PhoneNumberSid", "08047491800")]));
    let ours = details("sid-ours", "in-progress", Map::new());
    let twin = details("sid-twin", "in-progress", Map::new());
    let unfitting = [other, early, incoming, through];
    for (what, list, want) in [
        ("nothing", vec![], None),
        ("others", unfitting.to_vec(), None),
        ("two that fit", vec![ours.clone(), twin], None),
        ("one that fits", [unfitting.to_vec(), vec![ours]].concat(), Some("sid-ours")),
    ] {
        let id = world.asked().await;
        world.killed_while_ordering(id).await;
        let orders = world.orders().len();
        let call = world.call(id).await;
        assert_eq!((call.status, call.dialed_at), (CallStatus::Queued, Some(world.now())), "{what}");
        world.carrier.answer(LIST, listed(&list));
        for _ in 0..3 {
            world.place(id).await.expect("looked for");
        }
        assert_eq!(world.orders().len(), orders, "{what}: no second order");
        assert_eq!(world.call(id).await.carrier_call_id.as_deref(), want, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_any_word_of_the_carrier_is_over_after_three_minutes() {
    let world = World::new().await;
    let id = world.asked().await;
    world.killed_while_ordering(id).await;
    world.place(id).await.expect("not found");
    world.wait(Duration::seconds(180));
    let now = world.now();
    let expired = world.store.system("test.expire", async |tx| calls::expire_ringing(tx, now).await).await;
    assert_eq!(expired.expect("expired").len(), 1);
    assert_eq!(world.stands(id).await, (CallStatus::Failed, Some(EndedReason::CarrierUnconfirmed)));
    world.place(id).await.expect("nothing to do");
    assert_eq!(world.orders().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_carrier_refuses_is_over_with_its_words() {
    let world = World::new().await;
    let exception = |code: u16, text: &str| {
        let body = json!({ "RestException": { "Status": code, "Code": 34_001, "Message": text } }).to_string();
        Reply::status(code).header("content-type", "application/json").body(&body)
    };
    // With a status that says otherwise.
    let hidden = Reply::status(200).header("content-type", "application/xml").body(
        "<TwilioResponse><RestException><Status>402</Status><Message>Balance is low</Message></RestException></TwilioResponse>",
    );
    for (reply, words) in [(exception(400, "Wrong caller id"), "Wrong caller id"), (hidden, "Balance is low")] {
        let id = world.asked().await;
        let before = world.orders().len();
        world.carrier.answer(CONNECT, reply);
        for _ in 0..2 {
            world.place(id).await.expect("over");
        }
        assert_eq!(world.orders().len(), before + 1, "{words}");
        assert_eq!(world.stands(id).await, (CallStatus::Failed, Some(EndedReason::CarrierRefused)), "{words}");
        assert_eq!(world.ends(id).await, 1, "{words}");
        let said = world.said(id).await;
        assert_eq!((said.len(), said[0].kind.as_str()), (1, "order"));
        assert!(said[0].data["detail"].as_str().is_some_and(|detail| detail.contains(words)), "{:?}", said[0].data);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_came_too_soon_is_sent_again_when_the_carrier_wants_it() {
    let world = World::new().await;
    world.carrier.answer(CONNECT, Reply::status(429).header("retry-after", "1"));
    let id = world.asked().await;
    let waits = world.place(id).await;
    assert!(matches!(&waits, Err(JobError::Wait(wait, _)) if *wait == Duration::seconds(1)), "{waits:?}");
    let call = world.call(id).await;
    assert_eq!((call.status, call.dialed_at, world.ends(id).await), (CallStatus::Queued, None, 0));
    // Whoever was told to be slower does not let the next one be refused, too.
    let other = world.asked().await;
    assert!(matches!(world.place(other).await, Err(JobError::Wait(..))));
    assert_eq!((world.orders().len(), world.call(other).await.dialed_at), (1, None));
    // The pause is counted by the machine's own clock.
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    world.carrier.answer(CONNECT, taken("sid-1"));
    world.place(id).await.expect("placed");
    assert_eq!(world.stands(id).await, (CallStatus::Ringing, None));
    let orders = world.orders();
    assert_eq!(orders.len(), 2);
    assert_ne!(orders[0]["StatusCallback"], orders[1]["StatusCallback"], "reports of the first are nobody's");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_cannot_be_sent_in_time_is_over() {
    let world = World::new().await;
    for (wait, waited) in [("601", 0), ("25", 580)] {
        world.carrier.answer(CONNECT, Reply::status(429).header("retry-after", wait));
        let id = world.asked().await;
        world.wait(Duration::seconds(waited));
        let fresh = Context { exotel: client(&world.carrier.url("")), ..world.context.clone() };
        let job: PlaceCall = serde_json::from_value(world.payload(id)).expect("a payload");
        job.run(&fresh).await.expect("over");
        assert_eq!(world.stands(id).await, (CallStatus::Failed, Some(EndedReason::CarrierFailed)), "{wait}");
        assert_eq!((world.call(id).await.dialed_at, world.ends(id).await), (None, 1), "{wait}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_did_not_get_out_is_sent_again() {
    let world = World::new().await;
    let nowhere = Context { exotel: client("http://127.0.0.1:9"), ..world.context.clone() };
    let id = world.asked().await;
    for n in 1..=5 {
        let job: PlaceCall = serde_json::from_value(world.payload(id)).expect("a payload");
        let waits = job.run(&nowhere).await;
        assert!(matches!(&waits, Err(JobError::Wait(wait, _)) if *wait == Duration::seconds(20)), "{n}: {waits:?}");
        assert_eq!(world.call(id).await.dialed_at, None, "{n}");
    }
    world.carrier.answer(CONNECT, taken("sid-1"));
    assert!(matches!(world.place(id).await, Err(JobError::Wait(..))), "left alone after five failures");
    world.wait(Duration::seconds(61));
    world.place(id).await.expect("placed");
    assert_eq!((world.stands(id).await, world.orders().len()), ((CallStatus::Ringing, None), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_job_dies_is_over() {
    let world = World::new().await;
    let (id, now) = (world.asked().await, world.now());
    let spoiled = world.store.system("test.spoil", async |tx| {
        let page = PageRequest { after: None, limit: 9 };
        let job = jobs_rows::list(tx, None, None, page).await?.items.remove(0);
        let mut payload = job.payload.as_object().cloned().unwrap_or_default();
        payload.insert("more".to_owned(), json!(1));
        jobs_rows::amend(tx.tenant(world.tenant).await?, job.id, payload).await
    });
    assert!(spoiled.await.expect("written"));
    let runner = jobs::Runner::new(world.context.clone(), "node", "node/1".to_owned());
    assert_eq!(runner.run_due().await, 1);
    assert_eq!(world.stands(id).await, (CallStatus::Failed, Some(EndedReason::CalyError)));
    assert_eq!((world.call(id).await.ended_at, world.ends(id).await), (Some(now), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_answer_is_none_is_found_later() {
    let world = World::new().await;
    for (n, reply) in
        [Reply::status(500), Reply::status(200), Reply::status(200).body("<html>")].into_iter().enumerate()
    {
        let id = world.asked().await;
        let before = world.orders().len();
        world.carrier.answer(CONNECT, reply);
        for _ in 0..2 {
            world.carrier.answer(LIST, listed(&[]));
            world.place(id).await.expect("left");
        }
        assert_eq!(world.stands(id).await, (CallStatus::Queued, None), "{n}");
        let sid = format!("sid-{n}");
        world.carrier.answer(LIST, listed(&[details(&sid, "in-progress", Map::new())]));
        assert!(matches!(world.follow(id).await, Err(JobError::Wait(..))), "{n}");
        let call = world.call(id).await;
        assert_eq!((call.status, call.carrier_call_id), (CallStatus::Ringing, Some(sid)), "{n}");
        assert_eq!(world.orders().len(), before + 1, "{n}: one order");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_at_once_order_once() {
    let world = World::new().await;
    let id = world.asked().await;
    world.carrier.answer(CONNECT, taken("sid-1"));
    world.carrier.answer(LIST, listed(&[]));
    let runs = [world.place(id), world.place(id), world.place(id)];
    let [a, b, c] = runs;
    let (a, b, c) = tokio::join!(a, b, c);
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    assert_eq!(world.orders().len(), 1);
    assert_eq!(world.call(id).await.carrier_call_id.as_deref(), Some("sid-1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_that_is_away_is_left_alone_and_calls_wait_ten_minutes() {
    let world = World::new().await;
    world.carrier.answer(CONNECT, Reply::status(503));
    for _ in 0..5 {
        let id = world.asked().await;
        world.place(id).await.expect("left");
    }
    let id = world.asked().await;
    let waits = world.place(id).await;
    assert!(matches!(&waits, Err(JobError::Wait(wait, _)) if *wait == Duration::seconds(20)), "{waits:?}");
    assert_eq!((world.orders().len(), world.call(id).await.dialed_at), (5, None), "nothing has left");
    // A minute later one is tried, and is taken.
    world.carrier.answer(CONNECT, taken("sid-6"));
    world.wait(Duration::seconds(61));
    world.place(id).await.expect("placed");
    assert_eq!(world.stands(id).await, (CallStatus::Ringing, None));
    // Away again, for longer than a call may wait.
    world.carrier.answer(CONNECT, Reply::status(503));
    for _ in 0..5 {
        let id = world.asked().await;
        world.place(id).await.expect("left");
    }
    let id = world.asked().await;
    world.wait(Duration::seconds(59));
    assert!(matches!(world.place(id).await, Err(JobError::Wait(..))));
    // One is tried a minute later, in vain.
    world.wait(Duration::seconds(535));
    let trial = world.asked().await;
    world.place(trial).await.expect("left");
    let orders = world.orders().len();
    world.place(id).await.expect("over");
    assert_eq!(world.stands(id).await, (CallStatus::Failed, Some(EndedReason::CarrierFailed)));
    assert_eq!((world.orders().len(), world.ends(id).await), (orders, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_to_its_turn_too_late_rings_nobody_up() {
    let world = World::new().await;
    world.carrier.answer(CONNECT, taken("sid-1"));
    let id = world.asked().await;
    world.wait(Duration::seconds(601));
    world.place(id).await.expect("over");
    assert_eq!(world.stands(id).await, (CallStatus::Failed, Some(EndedReason::CalyError)));
    assert_eq!((world.orders().len(), world.ends(id).await), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_back_or_has_no_account_rings_nobody_up() {
    let world = World::new().await;
    world.carrier.answer(CONNECT, taken("sid-1"));
    let (id, now) = (world.asked().await, world.now());
    let canceled = world.store.write(world.tenant, "test.cancel", async |tx| calls::cancel(tx, id, now).await).await;
    assert!(canceled.expect("canceled"));
    world.place(id).await.expect("nothing to do");
    assert_eq!(world.orders().len(), 0);
    let without = World::with(None).await;
    let id = without.asked().await;
    without.place(id).await.expect("over");
    assert_eq!(without.stands(id).await, (CallStatus::Failed, Some(EndedReason::CarrierRefused)));
    assert_eq!(without.orders().len(), 0);
}
