//! Recordings while the bucket is away for an hour, slow, refuses digests, is full, asks for less: all of them arrive, each
//! once, and the bucket is not pestered meanwhile. The hours pass on a clock of the test's own.

use chrono::{DateTime, Duration, Utc};
use identity::Passwords;
use jobs::{Context, Runner};
use model::{AgentConfig, AgentId, CallDirection, CallStatus, CarrierKind, RecordingId, RecordingStatus, TenantId};
use providers::carrier_file::{CarrierFiles, FileLimits, FileSettings};
use providers::egress::{Allowed, Egress};
use providers::exotel::ExotelClient;
use providers::http::{Http, HttpSettings};
use providers::mail::{Mailer, SmtpSettings, SmtpTls};
use providers::objects::{ObjectSettings, Objects, S3Settings};
use providers::resilience::{BREAKER_OPEN_MS, Targets};
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use store::calls::NewCall;
use store::jobs::{self as jobs_rows, Job, JobState};
use store::recordings::{self, NewRecording, Recording};
use store::{Keyring, PageRequest, Store, StoreConfig, agents, calls, organisations, outbox};
use testkit::vendors::bucket::{BucketFault, FakeBucket};
use tokio::sync::Notify;

/// Recordings that end when a trouble begins.
const PER_TROUBLE: usize = 2;
/// How long each trouble lasts.
const TROUBLE: Duration = Duration::hours(1);
/// Attempts of one job within an hour: after 1 to 2 s, then doubling, up to half an hour to an hour.
const ATTEMPTS_PER_HOUR_MAX: u32 = 13;
/// Requests of one attempt that fails: three tries, each repeated twice by the client of the store.
const REQUESTS_PER_ATTEMPT_MAX: u64 = 9;
/// The first wait after a failure and the longest, in seconds.
const BACKOFF_S: (i64, i64) = (2, 3_600);

/// What is the matter with the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Away,
    Refuses(BucketFault),
    Slow,
}

/// A recording on its way.
struct Spooled {
    recording: RecordingId,
    path: PathBuf,
    sha256: [u8; 32],
}

struct World {
    folder: tempfile::TempDir,
    store: Store,
    tenant: TenantId,
    agent: AgentId,
    bucket: FakeBucket,
    targets: Targets,
    runner: Runner,
    clock: Arc<Mutex<DateTime<Utc>>>,
}

impl World {
    async fn new() -> Self {
        // Whoever came first has installed the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}/caly.db", folder.path().display());
        let store = Store::open(&StoreConfig::new(url, Keyring::new([7; 32], None))).await.expect("opens");
        let clock = Arc::new(Mutex::new(DateTime::from_timestamp(1_790_000_000, 0).expect("a time")));
        let now = *clock.lock().expect("no holder panics");
        store.migrate_up(now).await.expect("migrated");
        let made = store.system("test.tenant", async |tx| {
            let tenant = organisations::create(tx, "Clinic", now).await?.id;
            let tx = tx.tenant(tenant).await?;
            Ok::<_, store::Error>((tenant, agents::create(tx, "Asha", &agent(), now).await?.agent.id))
        });
        let (tenant, agent) = made.await.expect("a tenant");
        let bucket = FakeBucket::start().await.expect("a port");
        let shared = clock.clone();
        let clock_of_jobs: jobs::Clock = Arc::new(move || *shared.lock().expect("no holder panics"));
        let context = context(store.clone(), &folder, &bucket, clock_of_jobs);
        let targets = context.targets.clone();
        let runner = Runner::new(context, "node", "node/1".to_owned());
        Self { folder, store, tenant, agent, bucket, targets, runner, clock }
    }

    fn now(&self) -> DateTime<Utc> {
        *self.clock.lock().expect("no holder panics")
    }

    fn set(&self, now: DateTime<Utc>) {
        *self.clock.lock().expect("no holder panics") = now;
    }

    /// A call ends; its recording is on disk and its job enqueued.
    async fn recorded(&self, name: &str) -> Spooled {
        let now = self.now();
        let path = self.folder.path().join(format!("{name}.wav"));
        let samples = vec![0x11_u8; 32_000];
        let mut file = audio::wav::header(8_000, 2, samples.len() as u64).to_vec();
        file.extend(samples);
        std::fs::write(&path, &file).expect("written");
        let made = self.store.write(self.tenant, "test.recording", async |tx| {
            let new = NewCall {
                agent: self.agent,
                phone_number: None,
                carrier: CarrierKind::Exotel,
                carrier_call_id: Some(name.to_owned()),
                direction: CallDirection::Incoming,
                from: None,
                to: None,
                status: CallStatus::Ringing,
                variables: serde_json::Map::new(),
            };
            let call = calls::create(tx, &new, now).await?.into_call().id;
            let new = NewRecording {
                call,
                node: "node".to_owned(),
                spool_path: path.display().to_string(),
                channels: 2,
                sample_rate_hz: 8_000,
            };
            let recording = recordings::create(tx, &new, now).await?.id;
            recordings::enqueue_storing(tx, recording, "node", now).await?;
            Ok::<_, store::Error>(recording)
        });
        Spooled { recording: made.await.expect("made"), path, sha256: Sha256::digest(&file).into() }
    }

    async fn recording(&self, id: RecordingId) -> Recording {
        let read = self.store.read(self.tenant, "test.recording", async |tx| recordings::get(tx, id).await);
        read.await.expect("there")
    }

    /// The jobs, by recording.
    async fn jobs(&self) -> BTreeMap<String, Job> {
        let page = PageRequest { after: None, limit: 200 };
        let all = self.store.system("test.jobs", async |tx| jobs_rows::list(tx, None, None, page).await).await;
        let key = |job: Job| (job.dedup_key.clone().expect("one for each recording"), job);
        all.expect("read").items.into_iter().map(key).collect()
    }

    /// Lets time pass until `end`, stopping wherever a job is due; every wait is as long as it should be.
    async fn pass_until(&self, end: DateTime<Utc>) {
        loop {
            let before = self.jobs().await;
            self.runner.run_due().await;
            let now = self.now();
            let jobs = self.jobs().await;
            for (id, job) in &jobs {
                check_wait(job, before.get(id), now);
            }
            let queued = jobs.values().filter(|job| job.state == JobState::Queued);
            match queued.map(|job| job.run_at).min().filter(|at| *at < end) {
                Some(at) => self.set(at.max(now + Duration::milliseconds(1))),
                None => break,
            }
        }
        self.set(end);
    }

    /// What was told of recordings, by kind.
    async fn told(&self) -> BTreeMap<String, usize> {
        let page = PageRequest { after: None, limit: 200 };
        let all = self.store.read(self.tenant, "test.outbox", async |tx| outbox::list(tx, page).await).await;
        let mut told = BTreeMap::new();
        for message in all.expect("read").items {
            *told.entry(message.kind).or_default() += 1;
        }
        told
    }
}

/// A job that has just failed comes again after a wait that doubles, with half of it at random. One that found the
/// bucket's breaker open waits for it, which costs no attempt.
fn check_wait(job: &Job, before: Option<&Job>, now: DateTime<Utc>) {
    if job.state != JobState::Queued || before.is_some_and(|before| before.run_at == job.run_at) {
        return;
    }
    let (wait, earlier) = (job.run_at - now, before.map_or(0, |before| before.attempts));
    if job.attempts == earlier {
        let most = Duration::milliseconds(i64::try_from(BREAKER_OPEN_MS).expect("small"));
        assert!(wait > Duration::zero() && wait <= most, "{wait}: {:?}", job.last_error);
        return;
    }
    let (first, longest) = BACKOFF_S;
    let whole = (first << (job.attempts - 1).min(20)).min(longest);
    let right = wait >= Duration::milliseconds(whole * 500) && wait <= Duration::seconds(whole);
    assert!(right, "attempt {}: {wait} instead of {whole} s: {:?}", job.attempts, job.last_error);
}

fn agent() -> AgentConfig {
    let config = serde_json::json!({
        "brain": { "kind": "flow", "text": "x" }, "speech": { "transcriber": "a", "speaker": "b" },
    });
    serde_json::from_value(config).expect("a configuration")
}

fn context(store: Store, folder: &tempfile::TempDir, bucket: &FakeBucket, clock: jobs::Clock) -> Context {
    let http = Http::new(&HttpSettings::default()).expect("a client");
    let files = FileSettings {
        folder: folder.path().join("fetched"),
        hosts: Vec::new(),
        allowed: Allowed::LoopbackToo,
        limits: FileLimits::default(),
    };
    let mail = SmtpSettings {
        host: "127.0.0.1".to_owned(),
        port: 9,
        user: None,
        password: None,
        from: "Caly <caly@example.org>".to_owned(),
        tls: SmtpTls::None,
        extra_roots_pem: None,
        timeout: None,
    };
    let s3 = S3Settings {
        endpoint: Some(bucket.endpoint()),
        region: "ap-south-1".to_owned(),
        bucket: bucket.bucket().to_owned(),
        access_key: SecretString::from(bucket.access_key()),
        secret_key: SecretString::from("hunter2-hidden"),
        virtual_host: false,
    };
    Context {
        store,
        objects: Objects::open(&ObjectSettings::S3(s3), &http).expect("settings"),
        clock,
        mailer: Mailer::smtp(mail).expect("settings"),
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
    }
}

impl Trouble {
    async fn begin(self, bucket: &FakeBucket) {
        match self {
            Self::Away => bucket.close().await,
            Self::Refuses(fault) => bucket.fault(Some(fault)),
            Self::Slow => bucket.fault(Some(BucketFault::Slow(1_000))),
        }
    }

    /// What opens a breaker: no answer, or one that says so. A refusal is an answer.
    const fn is_an_outage(self) -> bool {
        match self {
            Self::Away => true,
            Self::Refuses(BucketFault::RefuseWrites(status, _) | BucketFault::Status(status, _)) => status >= 500,
            Self::Slow | Self::Refuses(_) => false,
        }
    }

    async fn end(self, bucket: &FakeBucket) {
        match self {
            Self::Away => bucket.reopen().await.expect("the port is free"),
            Self::Refuses(_) | Self::Slow => bucket.fault(None),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_the_bucket_each_recording_arrives_once() {
    let world = World::new().await;
    let mut all: Vec<Spooled> = Vec::new();
    for (n, trouble) in [
        Trouble::Away,
        Trouble::Slow,
        Trouble::Refuses(BucketFault::RefuseWrites(400, "BadDigest")),
        Trouble::Refuses(BucketFault::RefuseWrites(507, "InsufficientStorage")),
        Trouble::Refuses(BucketFault::Status(503, u32::MAX)),
    ]
    .into_iter()
    .enumerate()
    {
        trouble.begin(&world.bucket).await;
        let waiting: Vec<RecordingId> = waiting(&world, &all).await;
        let (attempts, requests) = (attempts(&world).await, world.bucket.requests());
        let opened = world.targets.stats().circuit_breaker_triggered;
        for i in 0..PER_TROUBLE {
            all.push(world.recorded(&format!("call-{n}-{i}")).await);
        }
        let end = world.now() + TROUBLE;
        world.pass_until(end).await;
        if trouble == Trouble::Slow {
            assert_eq!(self::waiting(&world, &all).await, [], "slow, and all arrive");
        } else {
            // Nothing arrived, nothing was given up, and the bucket was asked as often as the schedule says.
            assert_eq!(self::waiting(&world, &all).await.len(), waiting.len() + PER_TROUBLE, "{trouble:?}");
            nothing_lost(&world, &all).await;
            let tried = self::attempts(&world).await - attempts;
            let most = ATTEMPTS_PER_HOUR_MAX * u32::try_from(waiting.len() + PER_TROUBLE).expect("few");
            assert!(tried <= most, "{trouble:?}: {tried} attempts in an hour");
            let asked = world.bucket.requests() - requests;
            assert!(asked <= u64::from(tried) * REQUESTS_PER_ATTEMPT_MAX, "{trouble:?}: {asked} requests");
            let opened = world.targets.stats().circuit_breaker_triggered > opened;
            assert_eq!(opened, trouble.is_an_outage(), "{trouble:?}");
        }
        trouble.end(&world.bucket).await;
    }
    world.pass_until(world.now() + TROUBLE + TROUBLE).await;
    arrived_once(&world, &all).await;
    assert_eq!(world.targets.states(), [], "every breaker is closed");
}

/// Attempts of all jobs.
async fn attempts(world: &World) -> u32 {
    world.jobs().await.values().map(|job| job.attempts).sum()
}

/// Those that are not in the bucket yet.
async fn waiting(world: &World, all: &[Spooled]) -> Vec<RecordingId> {
    let mut waiting = Vec::new();
    for one in all {
        if world.recording(one.recording).await.status != RecordingStatus::Ready {
            waiting.push(one.recording);
        }
    }
    waiting
}

/// What waits has its file, says why it waits, and has a job.
async fn nothing_lost(world: &World, all: &[Spooled]) {
    let jobs = world.jobs().await;
    for one in all {
        let recording = world.recording(one.recording).await;
        if recording.status == RecordingStatus::Ready {
            continue;
        }
        assert_eq!((recording.status, recording.sha256), (RecordingStatus::Spooled, Some(one.sha256)));
        assert!(recording.recording_error.is_some() && one.path.exists(), "{recording:?}");
        assert_eq!(jobs[&one.recording.to_string()].state, JobState::Queued);
    }
}

async fn arrived_once(world: &World, all: &[Spooled]) {
    let stored = world.bucket.stored();
    assert_eq!(stored.len(), all.len());
    for one in all {
        let recording = world.recording(one.recording).await;
        assert_eq!((recording.status, &recording.recording_error), (RecordingStatus::Ready, &None), "{recording:?}");
        let key = recording.object_key.expect("ready");
        let object = world.bucket.object(&key).expect("the object");
        assert_eq!(<[u8; 32]>::from(Sha256::digest(&object)), one.sha256);
        assert_eq!(stored[&key], 1, "{key}");
        assert!(!one.path.exists(), "the spool file goes when the bucket has it");
    }
    assert!(world.jobs().await.values().all(|job| job.state == JobState::Done));
    assert_eq!(world.told().await, BTreeMap::from([("recording.ready".to_owned(), all.len())]));
}
