//! The whole API on a socket of its own, over a fresh SQLite file, with a clock that tests move and mail that stays here.

use api::{App, EdgeSettings, ExotelSettings, Latencies, MailCheck, Pending, RecordingFile, RecordingFiles};
use chrono::{DateTime, Duration, Utc};
use identity::access::{AccessTokens, Subject};
use identity::password::Passwords;
use identity::token::{self, ApiKey, RefreshToken, TokenPepper};
use limiter::{Limiter, NAMES, Policies};
use model::{ApiKeyId, EmailAddress, Role, Scope, SessionId, TenantId, UserId};
use providers::carrier_file::{CarrierFiles, FileLimits, FileSettings};
use providers::egress::{Allowed, Egress};
use providers::exotel::ExotelClient;
use providers::http::{Http, HttpSettings};
use providers::mail::Mailer;
use providers::objects::{ObjectSettings, Objects};
use providers::resilience::Targets;
use reqwest::Method;
use reqwest::header::HeaderMap;
use secrecy::SecretString;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};
use store::{Keyring, Store, StoreConfig, api_keys, memberships, organisations, sessions, users};
use tokio::net::TcpListener;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

/// The password of everybody made by [`TestApp::signed_up`] and [`TestApp::member`].
pub(crate) const PASSWORD: &str = "nine purple kettles sing at dawn";
/// The operator's token.
pub(crate) const OPERATOR_TOKEN: &str = "operator-token-of-the-tests-0123456789";
/// The developer's token.
pub(crate) const DEV_TEST_TOKEN: &str = "developer-token-of-the-tests-0123456789";
/// What signs Exotel's webhooks.
pub(crate) const WEBHOOK_SECRET: &str = "webhook-secret-of-the-tests";
/// Where carriers and people reach it.
pub(crate) const PUBLIC_URL: &str = "https://caly.example.org";
const JWT_SECRET: &str = "the tests sign their access tokens with this and nothing else does";
/// Uses of each limit: many, so that a limit is met only by tests that lower it.
const QUOTA: u32 = 100_000;
/// The folder of mails.
const MAILS: &str = "mails";
/// No request takes longer, whatever the machine does.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);
/// How long a session of [`TestApp::signed_up`] lasts.
const SESSION_DAYS: i64 = 30;

/// The time, as tests set it.
#[derive(Clone)]
pub(crate) struct TestClock(Arc<Mutex<DateTime<Utc>>>);

impl TestClock {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(DateTime::from_timestamp(1_795_000_000, 0).expect("a time"))))
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        *self.0.lock().expect("nobody panicked")
    }

    pub(crate) fn advance(&self, by: Duration) {
        *self.0.lock().expect("nobody panicked") += by;
    }
}

/// Mail that goes nowhere.
#[derive(Default)]
pub(crate) struct TestMail {
    /// Said instead of sending.
    pub(crate) refuses: Mutex<Option<String>>,
    /// To whom test mails went.
    pub(crate) sent: Mutex<Vec<EmailAddress>>,
}

impl MailCheck for TestMail {
    fn send_test(&self, to: EmailAddress) -> Pending<'_, Result<(), String>> {
        let refused = self.refuses.lock().expect("nobody panicked").clone();
        Box::pin(async move {
            match refused {
                Some(why) => Err(why),
                None => {
                    self.sent.lock().expect("nobody panicked").push(to);
                    Ok(())
                }
            }
        })
    }
}

/// Recordings in memory, by object key.
#[derive(Default)]
pub(crate) struct TestFiles {
    pub(crate) files: Mutex<BTreeMap<String, Vec<u8>>>,
    /// The object store does not answer.
    pub(crate) away: Mutex<bool>,
}

impl RecordingFiles for TestFiles {
    fn open<'a>(
        &'a self,
        object_key: &'a str,
        part: Option<Range<u64>>,
    ) -> Pending<'a, Result<Option<RecordingFile>, String>> {
        let away = *self.away.lock().expect("nobody panicked");
        let found = self.files.lock().expect("nobody panicked").get(object_key).cloned();
        Box::pin(async move {
            if away {
                return Err("the object store does not answer".to_owned());
            }
            Ok(found.map(|bytes| {
                let part = part.map_or(0..bytes.len(), |part| part.start as usize..part.end as usize);
                let pieces: Vec<io::Result<bytes::Bytes>> =
                    bytes[part].chunks(1_000).map(|piece| Ok(bytes::Bytes::copy_from_slice(piece))).collect();
                RecordingFile { bytes: bytes.len() as u64, content: Box::pin(futures_util::stream::iter(pieces)) }
            }))
        })
    }
}

/// Somebody with an account, logged in.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) tenant: TenantId,
    pub(crate) user: UserId,
    pub(crate) session: SessionId,
    pub(crate) email: String,
    pub(crate) role: Role,
    pub(crate) access_token: String,
    pub(crate) refresh_token: String,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// The JSON, or the text as a JSON string, or null.
    pub(crate) body: Value,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The stable word of a problem.
    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// The fields a problem names.
    pub(crate) fn fields(&self) -> Vec<&str> {
        self.body["errors"].as_array().into_iter().flatten().filter_map(|error| error["field"].as_str()).collect()
    }

    /// The body, when the status is this one.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    /// A problem with this status and code, whole.
    #[track_caller]
    pub(crate) fn expect_problem(self, status: u16, code: &str) -> Value {
        assert_eq!((self.status, self.code()), (status, code), "{}", self.body);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert!(self.body["request_id"].is_string() && self.body["detail"].is_string(), "{}", self.body);
        self.body
    }
}

impl Answer {
    /// A refusal that names exactly these fields.
    #[track_caller]
    pub(crate) fn expect_problem_fields(self, fields: &[&str]) {
        assert_eq!(
            self.fields().into_iter().collect::<BTreeSet<_>>(),
            fields.iter().copied().collect(),
            "{}",
            self.body
        );
        self.expect_problem(400, "invalid_fields");
    }
}

/// A request being made.
pub(crate) struct Asking {
    request: reqwest::RequestBuilder,
}

impl Asking {
    pub(crate) fn token(self, token: &str) -> Self {
        Self { request: self.request.bearer_auth(token) }
    }

    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        Self { request: self.request.header(name, value) }
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").text(body.to_string())
    }

    pub(crate) fn text(self, body: String) -> Self {
        Self { request: self.request.body(body) }
    }

    /// As a proxy says for a client of this address.
    pub(crate) fn from(self, address: &str) -> Self {
        self.header("x-forwarded-for", address).header("x-forwarded-proto", "https")
    }

    pub(crate) async fn send(self) -> Answer {
        let response = self.request.send().await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.expect("a body").to_vec();
        let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| match String::from_utf8(bytes.clone()) {
            Ok(text) if !text.is_empty() => Value::String(text),
            Ok(_) | Err(_) => Value::Null,
        });
        Answer { status, headers, body, bytes }
    }
}

/// A mail that was written.
#[derive(Debug)]
pub(crate) struct SentMail {
    pub(crate) to: String,
    /// `verify-email` and the like: [`model::MailKind::as_str`].
    pub(crate) kind: String,
    pub(crate) text: String,
    number: u32,
}

impl SentMail {
    /// Files are named `20261121T090000Z-verify-email-1.eml`.
    fn read(name: &str, content: &[u8]) -> Self {
        let (front, number) = name.trim_end_matches(".eml").rsplit_once('-').expect("a number");
        let (_, kind) = front.split_once('-').expect("a kind");
        let mail = mail_parser::MessageParser::default().parse(content).expect("a mail");
        let to = mail.to().and_then(|to| to.first()).and_then(|to| to.address()).expect("somebody");
        Self {
            to: to.to_owned(),
            kind: kind.to_owned(),
            text: mail.body_text(0).expect("text").into_owned(),
            number: number.parse().expect("a number"),
        }
    }

    /// The code in it.
    #[track_caller]
    pub(crate) fn code(&self) -> String {
        let mut digits = self.text.split(|c: char| !c.is_ascii_digit());
        digits.find(|digits| digits.len() == 6).expect("a code of six digits").to_owned()
    }

    /// The link in it.
    #[track_caller]
    pub(crate) fn link(&self) -> String {
        let mut words = self.text.split_whitespace();
        words.find(|word| word.starts_with(PUBLIC_URL)).expect("a link").to_owned()
    }

    /// The token in its link.
    #[track_caller]
    pub(crate) fn token(&self) -> String {
        self.link().split_once("token=").expect("a token").1.to_owned()
    }
}

/// The API, running.
pub(crate) struct TestApp {
    pub(crate) app: Arc<App>,
    pub(crate) url: String,
    pub(crate) clock: TestClock,
    pub(crate) mail: Arc<TestMail>,
    pub(crate) files: Arc<TestFiles>,
    http: reqwest::Client,
    runner: jobs::Runner,
    mails_seen: Mutex<BTreeSet<String>>,
    stop: CancellationToken,
    folder: tempfile::TempDir,
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl TestApp {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// With something set otherwise.
    pub(crate) async fn start_with(change: impl FnOnce(&mut App)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}/caly.db", folder.path().display());
        let store = Store::open(&StoreConfig::new(url, Keyring::new([7; 32], None))).await.expect("opens");
        let clock = TestClock::new();
        store.migrate_up(clock.now()).await.expect("migrated");
        let (mail, files) = (Arc::new(TestMail::default()), Arc::new(TestFiles::default()));
        let mut app = app(store, &clock, mail.clone(), files.clone());
        change(&mut app);
        let app = Arc::new(app);
        let stop = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(api::server::serve(listener, api::router(app.clone(), axum::Router::new()), stop.clone()));
        // Whoever came first has installed the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent("caly-tests/1")
            .build()
            .expect("a client");
        let runner = runner(&app, &clock, folder.path());
        let mails_seen = Mutex::default();
        Self { app, url, clock, mail, files, http, runner, mails_seen, stop, folder }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.app.store
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> Asking {
        Asking { request: self.http.request(method, format!("{}{path}", self.url)) }
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Answer {
        self.request(Method::GET, path).token(token).send().await
    }

    pub(crate) async fn post(&self, path: &str, token: &str, body: &Value) -> Answer {
        self.request(Method::POST, path).token(token).json(body).send().await
    }

    pub(crate) async fn put(&self, path: &str, token: &str, body: &Value) -> Answer {
        self.request(Method::PUT, path).token(token).json(body).send().await
    }

    pub(crate) async fn patch(&self, path: &str, token: &str, body: &Value) -> Answer {
        self.request(Method::PATCH, path).token(token).json(body).send().await
    }

    pub(crate) async fn delete(&self, path: &str, token: &str) -> Answer {
        self.request(Method::DELETE, path).token(token).send().await
    }

    /// Without credentials.
    pub(crate) async fn post_public(&self, path: &str, body: &Value) -> Answer {
        self.request(Method::POST, path).json(body).send().await
    }

    /// An organisation and its owner: address verified, logged in. Names are unique within a test.
    pub(crate) async fn signed_up(&self, name: &str) -> Person {
        let now = self.now();
        let tenant = self
            .store()
            .system("test.organisation", async |tx| organisations::create(tx, name, now).await)
            .await
            .expect("an organisation")
            .id;
        self.member(tenant, name, Role::Owner).await
    }

    /// Another member of an organisation, logged in. Names are unique within a test.
    pub(crate) async fn member(&self, tenant: TenantId, name: &str, role: Role) -> Person {
        let now = self.now();
        let email = format!("{}@example.org", name.to_lowercase().replace(' ', "."));
        let address = EmailAddress::parse(&email).expect("an address");
        let hash = password_hash().await;
        let user = self
            .store()
            .system("test.member", async |tx| {
                let new = users::NewUser { email: address, name: name.to_owned(), password_hash: hash.into() };
                let user = users::create(tx, &new, now).await?;
                users::verify_email(tx, user, now).await?;
                memberships::add(tx.tenant(tenant).await?, user, role, now).await?;
                Ok::<_, store::Error>(user)
            })
            .await
            .expect("a member");
        self.logged_in(tenant, user, &email, role).await
    }

    /// Another session of somebody.
    pub(crate) async fn logged_in(&self, tenant: TenantId, user: UserId, email: &str, role: Role) -> Person {
        let now = self.now();
        let refresh = RefreshToken::random().expect("randomness");
        let new = sessions::NewSession {
            user,
            token_hash: refresh.hash(),
            token_salt: token::session_salt().expect("randomness"),
            expires_at: now + Duration::days(SESSION_DAYS),
            ip: None,
            user_agent: None,
        };
        let session = self
            .store()
            .write(tenant, "test.session", async |tx| sessions::create(tx, new, now).await)
            .await
            .expect("a session")
            .id;
        let access = self.app.tokens.issue(Subject { user, tenant, session }, now).expect("a token");
        Person {
            tenant,
            user,
            session,
            email: email.to_owned(),
            role,
            access_token: secrecy::ExposeSecret::expose_secret(&access.text).to_owned(),
            refresh_token: refresh.expose().to_owned(),
        }
    }

    /// A key of the organisation with these scopes: its id and its text.
    pub(crate) async fn api_key(&self, person: &Person, scopes: &[Scope]) -> (ApiKeyId, String) {
        let (now, key) = (self.now(), ApiKey::random().expect("randomness"));
        let new = api_keys::NewApiKey {
            name: "Of a test",
            key_hash: key.hash(),
            last4: key.last4(),
            scopes,
            created_by: person.user,
            expires_at: None,
        };
        let made = self
            .store()
            .write(person.tenant, "test.api_key", async |tx| api_keys::create(tx, &new, now).await)
            .await
            .expect("a key");
        (made.id, key.expose().to_owned())
    }

    /// The audit events of an organisation, newest first: kind, actor, id of the object.
    pub(crate) async fn audited(&self, tenant: TenantId) -> Vec<(String, String, Option<String>)> {
        let page = self
            .store()
            .read(tenant, "test.audit", async |tx| {
                let page = store::PageRequest { after: None, limit: 200 };
                store::audit::list(tx, &store::audit::AuditFilter::default(), page).await
            })
            .await
            .expect("events");
        page.items.into_iter().map(|event| (event.kind.to_string(), event.actor, event.object_id)).collect()
    }

    /// How many events of this kind there are about this object.
    pub(crate) async fn audited_times(&self, tenant: TenantId, kind: &str, object: &str) -> usize {
        let events = self.audited(tenant).await;
        events.iter().filter(|(found, _, id)| found == kind && id.as_deref() == Some(object)).count()
    }

    /// Does what waits to be done, as a node does, and gives the mails that were written meanwhile, in order.
    pub(crate) async fn errands(&self) -> Vec<SentMail> {
        self.runner.run_due().await;
        let mut sent = Vec::new();
        let Ok(folder) = std::fs::read_dir(self.folder.path().join(MAILS)) else { return sent };
        let mut seen = self.mails_seen.lock().expect("nobody panicked");
        for file in folder {
            let path = file.expect("a file").path();
            let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
            if seen.insert(name.clone()) {
                sent.push(SentMail::read(&name, &std::fs::read(&path).expect("a mail")));
            }
        }
        sent.sort_by_key(|mail| mail.number);
        sent
    }
}

/// One hash for all: the function is slow on purpose.
async fn password_hash() -> String {
    static HASH: OnceCell<String> = OnceCell::const_new();
    HASH.get_or_init(async || Passwords::new().hash(&SecretString::from(PASSWORD)).await.expect("a hash")).await.clone()
}

/// As a node has it; mails go into a folder.
fn runner(app: &App, clock: &TestClock, folder: &Path) -> jobs::Runner {
    let http = Http::new(&HttpSettings::default()).expect("a client");
    let objects = ObjectSettings::Local { folder: folder.join("objects") };
    let files = FileSettings {
        folder: folder.join("fetched"),
        hosts: Vec::new(),
        allowed: Allowed::LoopbackToo,
        limits: FileLimits::default(),
    };
    let time = clock.clone();
    let context = jobs::Context {
        store: app.store.clone(),
        objects: Objects::open(&objects, &http).expect("a folder"),
        clock: Arc::new(move || time.now()),
        mailer: Mailer::folder(folder.join(MAILS)),
        egress: Egress::new(&http, Allowed::LoopbackToo).expect("a client"),
        passwords: app.passwords.clone(),
        public_url: PUBLIC_URL.into(),
        audit_keep_days: None,
        wake: app.jobs_wake.clone(),
        exotel: ExotelClient::new(&http, None).expect("a client"),
        models: None,
        prices: Arc::new(jobs::prices::Prices::built_in().expect("reads")),
        targets: Targets::new(),
        embedder: None,
        carrier_files: CarrierFiles::new(&http, &files).expect("a client"),
        media_url: PUBLIC_URL.into(),
    };
    jobs::Runner::new(context, "test", "test".to_owned())
}

fn app(store: Store, clock: &TestClock, mail: Arc<TestMail>, files: Arc<TestFiles>) -> App {
    let secret = SecretString::from(JWT_SECRET);
    let mut policies = Policies::default();
    for name in NAMES {
        policies.set(name, QUOTA, std::time::Duration::from_secs(60)).expect("a policy");
    }
    let time = clock.clone();
    App {
        store,
        clock: Arc::new(move || time.now()),
        tokens: AccessTokens::new(&secret).expect("long enough"),
        pepper: TokenPepper::derive(&secret),
        passwords: Passwords::new(),
        strangers: api::Strangers::default(),
        limiter: Limiter::local(policies.clone()),
        policies,
        mail,
        recordings: files,
        passages: Arc::new(crate::documents::Echo),
        hearings: api::Hearings::default(),
        retry_stats: Arc::new(api::RetryStats::default),
        edge: EdgeSettings {
            production: false,
            public_url: Some(PUBLIC_URL.to_owned()),
            links_url: PUBLIC_URL.to_owned(),
            trusted_proxies: vec!["127.0.0.0/8".parse().expect("a network")],
            dev_test_token: Some(DEV_TEST_TOKEN.into()),
            operator_token: Some(OPERATOR_TOKEN.into()),
        },
        exotel: ExotelSettings { webhook_secret: Some(WEBHOOK_SECRET.into()) },
        check_agent: Arc::new(check_agent),
        latencies: Latencies::new(),
        stopping: CancellationToken::new(),
        jobs_wake: Arc::new(tokio::sync::Notify::new()),
        version: "test",
    }
}

/// Stands in for the reader of flows: a flow must begin with a name, a speech service must be built in.
fn check_agent(agent: &model::AgentConfig) -> Result<(), Vec<api::FieldFault>> {
    let fault = |field: &str, message: &str| api::FieldFault { field: field.to_owned(), message: message.to_owned() };
    let mut faults = Vec::new();
    match &agent.brain {
        model::Brain::Flow { text } if !text.starts_with("name") => faults.push(fault("brain.text", "has no name")),
        model::Brain::Flow { .. } | model::Brain::LanguageModel(_) | model::Brain::SpeechModel(_) => {}
    }
    if agent.speech.transcriber != "builtin" {
        faults.push(fault("speech.transcriber", "is not there"));
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}
