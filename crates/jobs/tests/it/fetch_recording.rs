//! Carriers' recordings from a host on this machine into a bucket on this machine; the days pass on a clock of the test's
//! own.

#[path = "../../../providers/tests/it/carrier_file/host.rs"]
#[expect(dead_code, reason = "another crate's tests use the rest of it")]
mod host;

use chrono::{DateTime, Duration, Utc};
use host::{Asked, Host, Say, mp3};
use identity::Passwords;
use jobs::{Context, Runner, reconcile};
use model::{
    AgentConfig, CallDirection, CallId, CallStatus, CarrierKind, EmailAddress, EndedReason, Mail, MailKind,
    RecordingId, RecordingSource, RecordingStatus, TenantId,
};
use providers::carrier_file::{AudioFormat, CarrierFiles, FileLimits, FileSettings};
use providers::egress::{Allowed, Egress};
use providers::exotel::ExotelClient;
use providers::http::{Http, HttpSettings};
use providers::mail::Mailer;
use providers::objects::{ObjectKey, ObjectSettings, Objects, S3Settings};
use providers::resilience::Targets;
use serde_json::{Map, Value, json};
use std::sync::{Arc, Mutex};
use store::calls::{CarrierWord, NewCall, Owner};
use store::carrier_accounts::NewCarrierAccount;
use store::carrier_events::NewCarrierEvent;
use store::errands::{self, Errand};
use store::jobs::{self as rows, Job, JobState, NewJob};
use store::recordings::{self, NewRecording, Recording};
use store::{
    Keyring, PageRequest, Store, StoreConfig, agents, calls, carrier_accounts, carrier_events, organisations, outbox,
};
use testkit::vendors::bucket::{BucketFault, FakeBucket};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// `key-of-the-clinic:token-of-the-clinic` in base64.
const BASIC: &str = "Basic a2V5LW9mLXRoZS1jbGluaWM6dG9rZW4tb2YtdGhlLWNsaW5pYw==";
/// The call of every test is as long.
const CALL_MS: usize = 60_000;
const SID: &str = "5f1a2b3c4d5e6f708192a3b4c5d6e7f8";

struct World {
    folder: tempfile::TempDir,
    store: Store,
    tenant: TenantId,
    bucket: FakeBucket,
    host: Host,
    context: Context,
    runner: Runner,
    clock: Arc<Mutex<DateTime<Utc>>>,
}

impl World {
    /// The host gives recordings, and is the carrier's API too.
    async fn new(handler: impl Fn(&Asked, usize) -> Say + Send + Sync + 'static) -> Self {
        // Whoever came first has installed the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}/caly.db", folder.path().display());
        let store = Store::open(&StoreConfig::new(url, Keyring::new([7; 32], None))).await.expect("opens");
        let clock = Arc::new(Mutex::new(DateTime::from_timestamp(1_790_000_000, 0).expect("a time")));
        let now = *clock.lock().expect("no holder panics");
        store.migrate_up(now).await.expect("migrated");
        let made = store.system("test.tenant", async |tx| {
            Ok::<_, store::Error>(organisations::create(tx, "Clinic", now).await?.id)
        });
        let tenant = made.await.expect("a tenant");
        let (bucket, host) = (FakeBucket::start().await.expect("a port"), Host::start(handler).await);
        let context = context(&store, folder.path(), &bucket, &host, &clock);
        let runner = Runner::new(context.clone(), "node", "node/1".to_owned());
        Self { folder, store, tenant, bucket, host, context, runner, clock }
    }

    fn now(&self) -> DateTime<Utc> {
        *self.clock.lock().expect("no holder panics")
    }

    fn wait(&self, time: Duration) {
        *self.clock.lock().expect("no holder panics") += time;
    }

    /// The clinic has an account at the carrier.
    async fn account(&self) {
        let now = self.now();
        let new = NewCarrierAccount {
            carrier: CarrierKind::Exotel,
            account_id: "clinic1",
            region: Some("mumbai"),
            api_key: Some("key-of-the-clinic"),
            flow_id: None,
            token: &"token-of-the-clinic".into(),
        };
        let made = self.store.write(self.tenant, "test", async |tx| carrier_accounts::create(tx, &new, now).await);
        made.await.expect("made");
    }

    /// A call ended, and the carrier says where its recording will be.
    async fn ended(&self, url: &str) -> (CallId, RecordingId) {
        let agent: AgentConfig =
            serde_json::from_value(json!({ "brain": { "kind": "flow", "text": "x" } })).expect("a configuration");
        let now = self.now();
        let owner = Owner { node: "node".to_owned(), run: uuid::Uuid::from_u128(1) };
        let made = self.store.write(self.tenant, "test.call", async |tx| {
            let agent = agents::create(tx, "Asha", &agent, now).await?.agent.id;
            let new = NewCall {
                agent,
                phone_number: None,
                carrier: CarrierKind::Exotel,
                carrier_call_id: Some(SID.to_owned()),
                direction: CallDirection::Incoming,
                from: None,
                to: None,
                status: CallStatus::Ringing,
                variables: Map::new(),
            };
            let call = calls::create(tx, &new, now).await?.into_call().id;
            calls::begin_media(tx, call, &owner, now, Duration::seconds(60)).await?;
            let length_ms = CALL_MS as u64;
            calls::finish(tx, call, EndedReason::CallerHungUp, now, length_ms, &Map::new()).await?;
            let word = CarrierWord { recording_url: Some(url), duration_s: Some(61), ..CarrierWord::default() };
            let event = NewCarrierEvent { kind: "passthru", key: [1; 32], data: Map::new(), word };
            carrier_events::take(tx, call, &event, now).await?;
            let awaited = recordings::of_call(tx, call).await?.pop().expect("one is awaited");
            Ok::<_, store::Error>((call, awaited.id))
        });
        made.await.expect("made")
    }

    async fn recording(&self, id: RecordingId) -> Recording {
        let read = self.store.read(self.tenant, "test.recording", async |tx| recordings::get(tx, id).await);
        read.await.expect("there")
    }

    async fn url(&self, id: CallId) -> Option<String> {
        let read = self.store.read(self.tenant, "test.call", async |tx| calls::get(tx, id).await);
        read.await.expect("there").carrier_recording_url
    }

    async fn job(&self) -> Job {
        let page = PageRequest { after: None, limit: 10 };
        let all = self.store.system("test.jobs", async |tx| rows::list(tx, None, None, page).await).await;
        let mut all = all.expect("read").items;
        assert_eq!(all.len(), 1, "one job");
        all.remove(0)
    }

    /// What was told, by kind.
    async fn told(&self) -> Vec<(String, Map<String, Value>)> {
        let page = PageRequest { after: None, limit: 50 };
        let read = self.store.read(self.tenant, "test.outbox", async |tx| outbox::list(tx, page).await).await;
        let all = read.expect("read").items.into_iter().map(|message| (message.kind, message.data));
        all.filter(|(kind, _)| kind.starts_with("recording.")).collect()
    }

    /// Goes to when the job is due and runs it. How long it had waited.
    async fn next_run(&self) -> Duration {
        let job = self.job().await;
        assert_eq!(job.state, JobState::Queued, "{:?}", job.last_error);
        let waited = job.run_at - self.now();
        self.wait(waited.max(Duration::zero()));
        assert_eq!(self.runner.run_due().await, 1);
        assert_eq!(self.unfinished(), 0, "temporary files go with their run");
        waited
    }

    /// Temporary files.
    fn unfinished(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("fetched")).expect("a folder").count()
    }

    /// It is in the bucket, once, and everybody may know.
    async fn is_kept(&self, id: RecordingId, content: &[u8]) {
        let recording = self.recording(id).await;
        assert_eq!((recording.status, recording.source), (RecordingStatus::Ready, RecordingSource::Carrier));
        let key = recording.object_key.expect("a key");
        assert!(key.ends_with("-carrier.mp3"), "{key}");
        assert!(self.bucket.object(&key).expect("stored") == content);
        assert_eq!(self.bucket.stored().get(&key), Some(&1), "uploaded once");
        assert_eq!((recording.bytes, recording.content_type.as_str()), (Some(content.len() as u64), "audio/mpeg"));
        assert_eq!((recording.channels, recording.sample_rate_hz), (1, 44_100));
        let told = self.told().await;
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((told[0].0.as_str(), &told[0].1["source"]), ("recording.ready", &json!("carrier")));
        assert_eq!(told[0].1["bytes"], json!(content.len()));
        assert_eq!(self.job().await.state, JobState::Done);
        assert_eq!(self.unfinished(), 0);
    }
}

fn context(
    store: &Store,
    folder: &std::path::Path,
    bucket: &FakeBucket,
    host: &Host,
    clock: &Arc<Mutex<DateTime<Utc>>>,
) -> Context {
    let http = Http::new(&HttpSettings::default()).expect("a client");
    let s3 = S3Settings {
        endpoint: Some(bucket.endpoint()),
        region: "ap-south-1".to_owned(),
        bucket: bucket.bucket().to_owned(),
        access_key: bucket.access_key().into(),
        secret_key: "very-secret".into(),
        virtual_host: false,
    };
    let files = FileSettings {
        folder: folder.join("fetched"),
        hosts: Vec::new(),
        allowed: Allowed::LoopbackToo,
        limits: FileLimits::default(),
    };
    let clock = clock.clone();
    Context {
        store: store.clone(),
        objects: Objects::open(&ObjectSettings::S3(s3), &http).expect("open"),
        clock: Arc::new(move || *clock.lock().expect("no holder panics")),
        mailer: Mailer::folder(folder.join("mails")),
        egress: Egress::new(&http, Allowed::LoopbackToo).expect("a client"),
        carrier_files: CarrierFiles::new(&http, &files).expect("a folder"),
        exotel: ExotelClient::new(&http, Some(host.url(""))).expect("an address"),
        models: None,
        prices: Arc::new(jobs::prices::Prices::built_in().expect("reads")),
        targets: Targets::new(),
        embedder: None,
        media_url: "wss://caly.example.org".into(),
        passwords: Passwords::new(),
        public_url: "https://caly.example.org".into(),
        audit_keep_days: None,
        wake: Arc::new(Notify::new()),
    }
}

fn not_found() -> Say {
    Say::Answer(404, Vec::new())
}

/// What call details say.
fn details(recording_url: &str) -> Say {
    let call = json!({ "Sid": SID, "Status": "completed", "Direction": "inbound", "RecordingUrl": recording_url });
    let body = json!({ "Metadata": { "Total": 1 }, "Calls": [call] }).to_string();
    Say::With(200, "content-type", "application/json".to_owned(), body.into_bytes())
}

#[tokio::test]
async fn a_recording_is_waited_for_until_it_is_there() {
    let world = World::new(|_, before| if before < 3 { not_found() } else { Say::Answer(200, mp3(CALL_MS)) }).await;
    let (_, id) = world.ended(&world.host.url("/a.mp3")).await;
    let mut waits_s = Vec::new();
    for _ in 0..3 {
        waits_s.push(world.next_run().await.num_seconds());
        let recording = world.recording(id).await;
        assert_eq!(recording.status, RecordingStatus::Awaited);
        assert!(recording.recording_error.expect("noted").contains("404"));
    }
    assert_eq!(world.job().await.attempts, 0, "waiting costs no attempt");
    world.next_run().await;
    assert_eq!(waits_s[0], 30);
    assert!((60..=66).contains(&waits_s[1]) && (120..=132).contains(&waits_s[2]), "{waits_s:?}");
    world.is_kept(id, &mp3(CALL_MS)).await;
    assert_eq!(world.recording(id).await.recording_error, None);
    assert_eq!(world.host.asked().len(), 4);
}

#[tokio::test]
async fn a_key_that_is_asked_for_is_given() {
    let world = World::new(|asked, _| match asked.authorization.as_deref() {
        Some(BASIC) => Say::Answer(200, mp3(CALL_MS)),
        _ => Say::Answer(401, Vec::new()),
    })
    .await;
    let (_, id) = world.ended(&world.host.url("/a.mp3")).await;
    world.next_run().await;
    assert!(world.recording(id).await.recording_error.expect("noted").contains("key"), "the tenant gave none");
    world.account().await;
    world.next_run().await;
    world.is_kept(id, &mp3(CALL_MS)).await;
}

#[tokio::test]
async fn an_address_that_expired_is_asked_for_anew_and_kept() {
    let fresh: Arc<Mutex<String>> = Arc::default();
    let named = fresh.clone();
    let world = World::new(move |asked, _| match asked.path.as_str() {
        "/old.mp3" => Say::Answer(403, b"<Error><Code>AccessDenied</Code></Error>".to_vec()),
        "/fresh.mp3" => Say::Answer(200, mp3(CALL_MS)),
        api => {
            assert!(api.starts_with("/v1/Accounts/clinic1/Calls"), "{api}");
            assert_eq!(asked.authorization.as_deref(), Some(BASIC));
            details(&named.lock().expect("no holder panics"))
        }
    })
    .await;
    *fresh.lock().expect("no holder panics") = world.host.url("/fresh.mp3");
    world.account().await;
    let (call, id) = world.ended(&world.host.url("/old.mp3")).await;
    world.next_run().await;
    world.is_kept(id, &mp3(CALL_MS)).await;
    assert_eq!(world.url(call).await, Some(world.host.url("/fresh.mp3")));
}

#[tokio::test]
async fn one_that_never_comes_fails_after_a_day_and_ours_stands_in() {
    let world = World::new(|asked, _| match asked.path.as_str() {
        "/a.mp3" => Say::Answer(200, b"<html>please sign in</html>".to_vec()),
        _ => not_found(),
    })
    .await;
    let (call, id) = world.ended(&world.host.url("/a.mp3")).await;
    let now = world.now();
    let own = NewRecording {
        call,
        node: "node".to_owned(),
        spool_path: "/nowhere".to_owned(),
        channels: 2,
        sample_rate_hz: 8_000,
    };
    let own = world.store.write(world.tenant, "test", async |tx| recordings::create(tx, &own, now).await);
    let own = own.await.expect("made").id;
    let mut runs = 0;
    while world.job().await.state == JobState::Queued {
        world.next_run().await;
        runs += 1;
    }
    assert!((25..40).contains(&runs), "{runs} runs");
    let lasted = world.now() - now;
    assert!((Duration::hours(24)..Duration::hours(26)).contains(&lasted), "{lasted}");
    let recording = world.recording(id).await;
    assert_eq!(recording.status, RecordingStatus::Failed);
    assert!(recording.recording_error.expect("noted").contains("web page"));
    let told = world.told().await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].0, "recording.failed");
    assert_eq!(told[0].1["stand_in_recording_id"], json!(own));
    assert_eq!(world.job().await.state, JobState::Dead);
    assert!(world.bucket.stored().is_empty());
}

#[tokio::test]
async fn half_a_recording_is_kept_when_no_more_of_it_comes() {
    let world = World::new(|_, _| Say::Answer(200, mp3(CALL_MS / 3))).await;
    let (_, id) = world.ended(&world.host.url("/a.mp3")).await;
    let begun = world.now();
    while world.job().await.state == JobState::Queued {
        world.next_run().await;
    }
    assert!(world.now() - begun >= Duration::hours(1));
    world.is_kept(id, &mp3(CALL_MS / 3)).await;
    let note = world.recording(id).await.recording_error.expect("a note");
    assert_eq!(note, "the carrier's file is much shorter than the call: 20 s of 61 s");
}

#[tokio::test]
async fn one_that_is_still_growing_is_waited_for() {
    let world = World::new(|_, before| match before {
        0 => Say::Answer(200, Vec::new()),
        1 => Say::Answer(200, mp3(CALL_MS / 3)),
        _ => Say::Answer(200, mp3(CALL_MS)),
    })
    .await;
    let (_, id) = world.ended(&world.host.url("/a.mp3")).await;
    for _ in 0..3 {
        world.next_run().await;
    }
    world.is_kept(id, &mp3(CALL_MS)).await;
}

#[tokio::test]
async fn what_breaks_once_is_tried_again_at_once_and_counted() {
    let world = World::new(|_, before| match before {
        0 => Say::Answer(503, Vec::new()),
        1 => Say::Cut(mp3(CALL_MS), 5_000),
        _ => Say::Answer(200, mp3(CALL_MS)),
    })
    .await;
    let (_, id) = world.ended(&world.host.url("/a.mp3")).await;
    world.next_run().await;
    world.is_kept(id, &mp3(CALL_MS)).await;
    let stats = world.context.targets.stats();
    assert_eq!((stats.total_retries, stats.successful_retries, stats.failed_retries), (2, 1, 1));
}

#[tokio::test]
async fn a_carrier_that_fails_is_left_alone() {
    let world = World::new(|_, _| Say::Answer(500, Vec::new())).await;
    world.ended(&world.host.url("/a.mp3")).await;
    for _ in 0..2 {
        world.next_run().await;
    }
    assert_eq!(world.host.asked().len(), 5, "three tries, then two, and the breaker opens");
    assert_eq!(world.context.targets.stats().circuit_breaker_triggered, 1);
    // Somebody brings the job forward: nothing is asked.
    let job = world.job().await;
    let now = world.now();
    let forward = world.store.system("test", async |tx| {
        let claimed = rows::claim(tx, &["default"], "test", job.run_at, Duration::seconds(1), 1).await?;
        rows::wait(tx, claimed[0].id, "test", "now", now, now).await
    });
    assert!(forward.await.expect("written"));
    world.next_run().await;
    assert_eq!(world.host.asked().len(), 5);
    let job = world.job().await;
    assert!((Duration::zero()..=Duration::seconds(60)).contains(&(job.run_at - world.now())), "{job:?}");
    world.next_run().await;
    assert_eq!(world.host.asked().len(), 6, "one trial");
}

#[tokio::test]
async fn a_bucket_that_is_away_loses_nothing() {
    let world = World::new(|_, _| Say::Answer(200, mp3(CALL_MS))).await;
    let (_, id) = world.ended(&world.host.url("/a.mp3")).await;
    world.bucket.fault(Some(BucketFault::Status(503, u32::MAX)));
    for _ in 0..4 {
        world.next_run().await;
    }
    let recording = world.recording(id).await;
    assert_eq!(recording.status, RecordingStatus::Awaited);
    assert!(recording.recording_error.expect("noted").contains("objects unavailable"));
    assert!(world.context.targets.stats().circuit_breaker_triggered >= 1);
    let downloads = world.host.asked().len();
    assert!(downloads < 4, "nothing is downloaded while nothing can be stored: {downloads}");
    world.bucket.fault(None);
    while world.job().await.state == JobState::Queued {
        world.next_run().await;
    }
    world.is_kept(id, &mp3(CALL_MS)).await;
}

#[tokio::test]
async fn what_was_uploaded_before_a_crash_is_not_uploaded_again() {
    let world = World::new(|_, _| Say::Answer(200, mp3(CALL_MS))).await;
    let (call, id) = world.ended(&world.host.url("/a.mp3")).await;
    // An earlier run came as far as this.
    let day = world.recording(id).await.created_at.date_naive();
    let key = ObjectKey::carrier_recording(world.tenant, day, call, AudioFormat::Mp3);
    world.context.objects.put_bytes(&key, mp3(CALL_MS).into()).await.expect("stored");
    world.next_run().await;
    world.is_kept(id, &mp3(CALL_MS)).await;
}

#[tokio::test]
async fn our_own_is_not_uploaded_twice_either_and_its_bucket_is_left_alone() {
    let world = World::new(|_, _| not_found()).await;
    let (call, _) = world.ended(&world.host.url("/a.mp3")).await;
    let (path, now) = (world.folder.path().join("own.wav"), world.now());
    let mut content = audio::wav::header(8_000, 2, 32_000).to_vec();
    content.extend([0x11; 32_000]);
    std::fs::write(&path, &content).expect("written");
    let new = NewRecording {
        call,
        node: "node".to_owned(),
        spool_path: path.display().to_string(),
        channels: 2,
        sample_rate_hz: 8_000,
    };
    let made = world.store.write(world.tenant, "test", async |tx| {
        let id = recordings::create(tx, &new, now).await?.id;
        recordings::enqueue_storing(tx, id, "node", now).await?;
        Ok::<_, store::Error>(id)
    });
    let id = made.await.expect("made");
    world.bucket.fault(Some(BucketFault::Status(503, u32::MAX)));
    let mut asked = Vec::new();
    for _ in 0..3 {
        assert_eq!(world.runner.run_due().await, 1);
        asked.push(world.bucket.requests());
        world.wait(Duration::seconds(5));
    }
    assert_eq!(asked[2], asked[1], "after five failures nothing is asked");
    assert_eq!(world.runner.run_due().await, 0, "for a minute");
    world.bucket.fault(None);
    // An earlier run came as far as the upload.
    let key = ObjectKey::recording(world.tenant, now.date_naive(), call);
    world.context.objects.put_bytes(&key, content.into()).await.expect("stored");
    world.wait(Duration::seconds(61));
    world.runner.run_due().await;
    assert_eq!(world.recording(id).await.status, RecordingStatus::Ready);
    assert_eq!(world.bucket.stored().get(key.as_str()), Some(&1), "uploaded once");
    assert!(!path.exists());
    let told = world.told().await;
    assert_eq!((told[0].0.as_str(), &told[0].1["source"]), ("recording.ready", &json!("own")));
}

#[tokio::test]
async fn what_another_run_left_half_is_replaced() {
    let world = World::new(|_, _| Say::Answer(200, mp3(CALL_MS))).await;
    let (call, id) = world.ended(&world.host.url("/a.mp3")).await;
    let day = world.recording(id).await.created_at.date_naive();
    let key = ObjectKey::carrier_recording(world.tenant, day, call, AudioFormat::Mp3);
    let mut other = mp3(CALL_MS);
    other[50] = 1;
    world.context.objects.put_bytes(&key, other.into()).await.expect("stored");
    world.next_run().await;
    assert_eq!(world.recording(id).await.status, RecordingStatus::Ready);
    assert!(world.bucket.object(key.as_str()).expect("stored") == mp3(CALL_MS));
}

#[tokio::test]
async fn one_that_was_given_up_and_is_tried_again_has_its_whole_schedule() {
    let world = World::new(|_, _| not_found()).await;
    let (_, id) = world.ended(&world.host.url("/a.mp3")).await;
    let runs = async || {
        let (begun, mut runs) = (world.now(), 0);
        while world.job().await.state == JobState::Queued {
            world.next_run().await;
            runs += 1;
        }
        (runs, world.now() - begun)
    };
    runs().await;
    world.wait(Duration::days(3));
    let (job, now) = (world.job().await.id, world.now());
    let again = world.store.write(world.tenant, "test", async |tx| {
        rows::requeue_own(tx, job, now).await?;
        recordings::retry(tx, id, now).await
    });
    assert!(again.await.expect("written"));
    let (runs, lasted) = runs().await;
    assert!((25..40).contains(&runs), "{runs} runs");
    assert!((Duration::hours(24)..Duration::hours(26)).contains(&lasted), "{lasted}");
    assert_eq!(world.recording(id).await.status, RecordingStatus::Failed);
}

#[tokio::test]
async fn an_installation_that_was_down_for_days_tries_all_the_same() {
    let world = World::new(|_, before| if before < 6 { not_found() } else { Say::Answer(200, mp3(CALL_MS)) }).await;
    let (_, id) = world.ended(&world.host.url("/a.mp3")).await;
    world.wait(Duration::days(2));
    let mut waits_min = Vec::new();
    while world.job().await.state == JobState::Queued {
        waits_min.push(world.next_run().await.num_minutes());
    }
    assert_eq!(waits_min[1..], [15; 6]);
    world.is_kept(id, &mp3(CALL_MS)).await;
}

#[tokio::test]
async fn what_says_wrongly_how_long_it_is_is_kept_after_an_hour() {
    // Its first frame counts ten times as many as there are.
    let mut content = mp3(CALL_MS);
    content[21..25].copy_from_slice(b"Xing");
    content[25..29].copy_from_slice(&1u32.to_be_bytes());
    content[29..33].copy_from_slice(&22_970u32.to_be_bytes());
    let says = content.clone();
    let world = World::new(move |_, _| Say::Answer(200, says.clone())).await;
    let (_, id) = world.ended(&world.host.url("/a.mp3")).await;
    let begun = world.now();
    world.next_run().await;
    assert_eq!(world.recording(id).await.recording_error.as_deref(), Some("it is cut short"));
    while world.job().await.state == JobState::Queued {
        world.next_run().await;
    }
    assert!(world.now() - begun >= Duration::hours(1));
    world.is_kept(id, &content).await;
    let note = world.recording(id).await.recording_error.expect("a note");
    assert_eq!(note, "the carrier's file is cut short, or says wrongly how long it is: it has 59 s");
}

#[tokio::test]
async fn a_refused_address_is_waited_out_while_the_carrier_has_none_of_its_own() {
    let named: Arc<Mutex<Option<String>>> = Arc::default();
    let names = named.clone();
    let world = World::new(move |asked, _| match asked.path.as_str() {
        "/fresh.mp3" => Say::Answer(200, mp3(CALL_MS)),
        _ => details(names.lock().expect("no holder panics").as_deref().unwrap_or_default()),
    })
    .await;
    world.account().await;
    let (_, id) = world.ended("https://files.example.org/a.mp3").await;
    for _ in 0..2 {
        world.next_run().await;
        let recording = world.recording(id).await;
        assert_eq!(recording.status, RecordingStatus::Awaited);
        assert!(recording.recording_error.expect("noted").contains("files.example.org"));
    }
    *named.lock().expect("no holder panics") = Some(world.host.url("/fresh.mp3"));
    world.next_run().await;
    world.is_kept(id, &mp3(CALL_MS)).await;
}

#[tokio::test]
async fn mails_and_orders_do_not_stand_behind_downloads() {
    let world = World::new(|_, _| Say::Silence).await;
    let (_, id) = world.ended(&world.host.url("/a.mp3")).await;
    world.wait(Duration::seconds(30));
    let (now, mut more) = (world.now(), Map::new());
    more.insert("tenant_id".to_owned(), json!(world.tenant));
    more.insert("recording_id".to_owned(), json!(id));
    let made = world.store.write(world.tenant, "test", async |tx| {
        for n in 0..20 {
            let job = NewJob {
                queue: rows::DEFAULT_QUEUE,
                name: recordings::FETCH_JOB,
                dedup_key: Some(format!("another-{n}")),
                payload: more.clone(),
                sealed: None,
                attempts_max: 9,
                run_at: now - Duration::hours(1),
            };
            rows::enqueue(tx, &job, now).await?;
        }
        Ok::<_, store::Error>(())
    });
    made.await.expect("enqueued");
    let (stop, context) = (CancellationToken::new(), world.context.clone());
    let running = tokio::spawn(Runner::new(context, "node", "node/2".to_owned()).run(stop.clone()));
    let until = async |done: &dyn Fn() -> bool| {
        while !done() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let soon = std::time::Duration::from_secs(20);
    let full = tokio::time::timeout(soon, until(&|| world.host.asked().len() >= 4)).await;
    full.expect("all places are taken by downloads");
    let mail =
        Mail { to: EmailAddress::parse("asha@example.org").expect("an address"), kind: MailKind::AlreadyRegistered };
    let sent = world.store.system("test", async |tx| errands::enqueue(tx, &Errand::Mail(mail), now).await).await;
    sent.expect("enqueued");
    world.context.wake.notify_one();
    let mails = world.folder.path().join("mails");
    let arrived = || std::fs::read_dir(&mails).is_ok_and(|mut found| found.next().is_some());
    tokio::time::timeout(soon, until(&arrived)).await.expect("the mail went out");
    assert_eq!(world.host.asked().len(), 4, "and no download more");
    running.abort();
}

#[tokio::test]
async fn a_file_that_was_given_up_stays_on_the_disk_until_it_is_stored() {
    let world = World::new(|_, _| not_found()).await;
    let (call, _) = world.ended(&world.host.url("/a.mp3")).await;
    let (path, now) = (world.folder.path().join("own.wav"), world.now());
    let whole = [&audio::wav::header(8_000, 2, 32_000)[..], &[0x11; 32_000]].concat();
    std::fs::write(&path, &whole).expect("written");
    let new = NewRecording {
        call,
        node: "node".to_owned(),
        spool_path: path.display().to_string(),
        channels: 2,
        sample_rate_hz: 8_000,
    };
    // It was given up before it was closed, and its node died before its job was.
    let made = world.store.write(world.tenant, "test", async |tx| {
        let id = recordings::create(tx, &new, now).await?.id;
        recordings::enqueue_storing(tx, id, "node", now).await?;
        recordings::failed(tx, id, "the disk failed", now).await?;
        Ok::<_, store::Error>(id)
    });
    let id = made.await.expect("made");
    assert_eq!(world.runner.run_due().await, 1);
    assert!(path.exists(), "the only copy");
    let page = PageRequest { after: None, limit: 10 };
    let jobs = world.store.system("test", async |tx| rows::list(tx, Some(JobState::Dead), None, page).await).await;
    let dead = jobs.expect("read").items.remove(0).id;
    let again = world.store.write(world.tenant, "test", async |tx| {
        rows::requeue_own(tx, dead, now).await?;
        recordings::retry(tx, id, now).await
    });
    assert!(again.await.expect("written"));
    // A disk that cannot be read now is no lost recording.
    std::fs::rename(&path, path.with_extension("aside")).expect("moved");
    std::fs::create_dir(&path).expect("in its way");
    assert_eq!(world.runner.run_due().await, 1);
    assert_eq!(world.recording(id).await.status, RecordingStatus::Recording);
    std::fs::remove_dir(&path).expect("gone");
    std::fs::rename(path.with_extension("aside"), &path).expect("back");
    world.wait(Duration::seconds(5));
    assert_eq!(world.runner.run_due().await, 1);
    let recording = world.recording(id).await;
    assert_eq!(recording.status, RecordingStatus::Ready);
    assert!(world.bucket.object(&recording.object_key.expect("a key")).expect("stored") == whole);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_foreign_host_is_told_at_once() {
    let world = World::new(|_, _| not_found()).await;
    let (_, id) = world.ended("https://files.example.org/a.mp3").await;
    world.next_run().await;
    let recording = world.recording(id).await;
    assert_eq!(recording.status, RecordingStatus::Failed);
    let error = recording.recording_error.expect("noted");
    assert!(error.contains("files.example.org") && error.contains("CALY_RECORDING_HOSTS"), "{error}");
    assert_eq!(world.told().await[0].1["stand_in_recording_id"], Value::Null);
}

#[tokio::test]
async fn a_dead_runners_job_is_taken_up_at_the_start_of_the_next() {
    let world = World::new(|_, _| Say::Answer(200, mp3(CALL_MS))).await;
    let (_, id) = world.ended(&world.host.url("/a.mp3")).await;
    world.wait(Duration::seconds(30));
    let now = world.now();
    let claim = world
        .store
        .system("test", async |tx| rows::claim(tx, &["default"], "node/0", now, Duration::seconds(60), 10).await);
    assert_eq!(claim.await.expect("claimed").len(), 1);
    assert_eq!(world.runner.run_due().await, 0, "its lease still runs");
    world.runner.release().await;
    assert_eq!(world.runner.run_due().await, 1);
    world.is_kept(id, &mp3(CALL_MS)).await;
}

#[tokio::test]
async fn one_that_lost_its_job_gets_another() {
    let world = World::new(|_, _| Say::Answer(200, mp3(CALL_MS))).await;
    let (_, id) = world.ended(&world.host.url("/a.mp3")).await;
    world.wait(Duration::seconds(30));
    let now = world.now();
    let lost = world.store.system("test", async |tx| {
        let claimed = rows::claim(tx, &["default"], "test", now, Duration::seconds(60), 10).await?;
        rows::complete(tx, claimed[0].id, "test", now).await
    });
    assert!(lost.await.expect("written"));
    let owner = Owner { node: "node".to_owned(), run: uuid::Uuid::from_u128(2) };
    let repaired = reconcile::once(&world.context, &owner, now).await.expect("the database answers");
    assert_eq!(repaired.recordings, 0, "it may be under way");
    world.wait(Duration::hours(4));
    for want in [1, 0] {
        let repaired = reconcile::once(&world.context, &owner, now).await.expect("the database answers");
        assert_eq!(repaired.recordings, want, "one job is enough");
    }
    assert_eq!(world.runner.run_due().await, 1);
    assert_eq!(world.recording(id).await.status, RecordingStatus::Ready);
}
