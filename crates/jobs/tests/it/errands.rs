//! What follows from a request: accounts, codes, links, mails.

use chrono::{DateTime, Duration, Utc};
use identity::one_time_code::{OneTimeCode, Purpose};
use identity::{Passwords, ResetToken, Verdict};
use jobs::{Context, Runner};
use model::{AuditKind, EmailAddress, Mail, MailKind};
use providers::carrier_file::{CarrierFiles, FileLimits, FileSettings};
use providers::egress::{Allowed, Egress};
use providers::exotel::ExotelClient;
use providers::http::{Http, HttpSettings};
use providers::mail::{Mailer, SmtpSettings, SmtpTls};
use providers::objects::{ObjectSettings, Objects};
use providers::resilience::Targets;
use secrecy::SecretString;
use std::sync::{Arc, Mutex};
use store::audit::AuditFilter;
use store::errands::{self, Errand, ErrandOrigin};
use store::users::User;
use store::{Keyring, PageRequest, Store, StoreConfig, audit, memberships, one_time_codes, password_resets, users};
use testkit::mail_sink::MailSink;
use tokio::sync::Notify;

const ADDRESS: &str = "asha@clinic.example.org";
const PASSWORD: &str = "seven yellow buffaloes dance";

struct World {
    _folder: tempfile::TempDir,
    store: Store,
    sink: MailSink,
    passwords: Passwords,
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
        let begin = *clock.lock().expect("no holder panics");
        store.migrate_up(begin).await.expect("migrated");
        let sink = MailSink::start().await.expect("a port");
        let settings = SmtpSettings {
            host: "127.0.0.1".to_owned(),
            port: sink.address().port(),
            user: None,
            password: None,
            from: "Caly <caly@example.org>".to_owned(),
            tls: SmtpTls::None,
            extra_roots_pem: None,
            timeout: None,
        };
        let http = Http::new(&HttpSettings::default()).expect("a client");
        let passwords = Passwords::new();
        let shared = clock.clone();
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
            passwords: passwords.clone(),
            public_url: "https://caly.example.org".into(),
            audit_keep_days: None,
            wake: Arc::new(Notify::new()),
        };
        let runner = Runner::new(context, "node", "node/1".to_owned());
        Self { _folder: folder, store, sink, passwords, runner, clock }
    }

    fn now(&self) -> DateTime<Utc> {
        *self.clock.lock().expect("no holder panics")
    }

    fn wait(&self, time: Duration) {
        *self.clock.lock().expect("no holder panics") += time;
    }

    async fn run(&self, errand: Errand) {
        let now = self.now();
        let enqueued = self.store.system("test", async |tx| errands::enqueue(tx, &errand, now).await).await;
        enqueued.expect("enqueued");
        self.runner.run_due().await;
    }

    async fn register(&self, organisation: &str, password: &str) {
        let hash = self.passwords.hash(&SecretString::from(password)).await.expect("hashed");
        self.run(Errand::Register {
            organisation: organisation.to_owned(),
            name: "Asha".to_owned(),
            email: address(),
            password_hash: hash.into(),
            from: ErrandOrigin { ip: Some([192, 0, 2, 7].into()), request_id: Some("r1".to_owned()) },
        })
        .await;
    }

    async fn user(&self) -> User {
        let found = self.store.system("test", async |tx| users::find_by_email(tx, &address()).await).await;
        found.expect("read").expect("a user")
    }

    async fn password_is(&self, password: &str) -> bool {
        let user = self.user().await;
        let verdict = self.passwords.verify(&SecretString::from(password), user.password_hash.as_str()).await;
        matches!(verdict.expect("compared"), Verdict::Right { .. })
    }

    async fn code_opens(&self, code: &str) -> bool {
        let user = self.user().await;
        let kept = self
            .store
            .system("test", async |tx| one_time_codes::current(tx, user.id, Purpose::VerifyEmail.as_str()).await);
        let Some(kept) = kept.await.expect("read") else { return false };
        let code = OneTimeCode::parse(code).expect("six digits");
        self.passwords.verify_code(Purpose::VerifyEmail, user.id, &code, &kept.code_hash).await.expect("compared")
    }

    async fn verify(&self) {
        let (user, now) = (self.user().await.id, self.now());
        let verified = self.store.system("test", async |tx| users::verify_email(tx, user, now).await).await;
        assert!(verified.expect("written"));
    }

    async fn mail(&self, word: &str) -> testkit::mail_sink::Received {
        let mail = self.sink.next(ADDRESS).await;
        assert!(mail.subject.to_lowercase().contains(word), "{mail:?}");
        mail
    }

    async fn audited(&self, kind: AuditKind) -> usize {
        let user = self.user().await.id;
        let tenant =
            self.store.system("test", async |tx| memberships::of_user(tx, user).await).await.expect("read")[0].tenant;
        let filter = AuditFilter { kind: Some(kind), ..AuditFilter::default() };
        let read = self.store.read(tenant, "test", async |tx| audit::list(tx, &filter, PageRequest::default()).await);
        read.await.expect("read").items.len()
    }
}

fn address() -> EmailAddress {
    EmailAddress::parse(ADDRESS).expect("an address")
}

#[tokio::test]
async fn a_new_address_becomes_an_owner_with_a_code() {
    let world = World::new().await;
    world.register("Sunrise Clinic", PASSWORD).await;
    let mail = world.mail("confirm").await;
    assert!(world.code_opens(mail.code().expect("a code")).await);
    let user = world.user().await;
    assert_eq!((user.name.as_str(), user.email_verified_at), ("Asha", None));
    let memberships =
        world.store.system("test", async |tx| memberships::of_user(tx, user.id).await).await.expect("read");
    assert_eq!(memberships.len(), 1);
    assert_eq!(
        (memberships[0].organisation_name.as_str(), memberships[0].role),
        ("Sunrise Clinic", model::Role::Owner)
    );
    assert_eq!(world.audited(AuditKind::UserRegistered).await, 1);
    assert_eq!(world.sink.taken(), 1);
}

#[tokio::test]
async fn a_verified_address_is_told_and_nothing_changes() {
    let world = World::new().await;
    world.register("Sunrise Clinic", PASSWORD).await;
    world.mail("confirm").await;
    world.verify().await;
    world.register("Evil", "a password of somebody else").await;
    let mail = world.mail("already").await;
    assert_eq!(mail.code(), None);
    assert!(world.password_is(PASSWORD).await);
    assert_eq!(world.audited(AuditKind::UserRegistered).await, 1);
}

/// Who writes somebody else's address first, or last, does not choose the password of the account.
#[tokio::test]
async fn a_contested_address_belongs_to_who_reads_its_mail() {
    let world = World::new().await;
    world.register("Sunrise Clinic", PASSWORD).await;
    let first = world.mail("confirm").await;
    world.register("Evil", "a password of somebody else").await;
    let link = world.mail("password").await;
    assert!(!world.code_opens(first.code().expect("a code")).await, "the earlier code opens nothing");
    for password in [PASSWORD, "a password of somebody else"] {
        assert!(!world.password_is(password).await);
    }
    let token = link.link().expect("a link").split_once("#token=").expect("a token").1.to_owned();
    let token = ResetToken::parse(&token).expect("a token of ours");
    let (hash, now) = (token.hash(), world.now());
    let found = world.store.system("test", async |tx| password_resets::peek(tx, hash, now).await).await.expect("read");
    assert_eq!(found, Some(world.user().await.id));
}

#[tokio::test]
async fn codes_are_sent_again_to_who_waits_for_one_and_to_nobody_else() {
    let world = World::new().await;
    let resend = || Errand::ResendCode { email: address(), from: ErrandOrigin::default() };
    world.run(resend()).await;
    world.register("Sunrise Clinic", PASSWORD).await;
    let first = world.mail("confirm").await.code().expect("a code").to_owned();
    world.wait(Duration::minutes(2));
    world.run(resend()).await;
    let second = world.mail("confirm").await.code().expect("a code").to_owned();
    assert!(world.code_opens(&second).await);
    assert!(first == second || !world.code_opens(&first).await);
    world.verify().await;
    world.run(resend()).await;
    assert_eq!(world.sink.taken(), 2, "an unknown and a verified address get nothing");
}

#[tokio::test]
async fn a_forgotten_password_is_a_link_for_who_has_an_account() {
    let world = World::new().await;
    let forgot = || Errand::ForgotPassword { email: address(), from: ErrandOrigin::default() };
    world.run(forgot()).await;
    assert_eq!(world.sink.taken(), 0);
    world.register("Sunrise Clinic", PASSWORD).await;
    world.mail("confirm").await;
    world.run(forgot()).await;
    let first = world.mail("password").await;
    let link = first.link().expect("a link").to_owned();
    assert!(link.starts_with("https://caly.example.org/reset-password#token="), "{link}");
    world.run(forgot()).await;
    assert_eq!(world.sink.taken(), 2, "what was just sent stays good");
    world.wait(Duration::minutes(2));
    world.run(forgot()).await;
    let again = world.mail("password").await;
    assert_ne!(again.link().expect("a link"), link);
    assert_eq!(world.audited(AuditKind::PasswordResetRequested).await, 2);
}

#[tokio::test]
async fn a_mail_waits_for_a_server_that_is_away_and_is_not_sent_to_a_refused_address_twice() {
    let world = World::new().await;
    let mail = || Errand::Mail(Mail { to: address(), kind: MailKind::PasswordChanged });
    world.sink.refuse_with(451, 2);
    world.run(mail()).await;
    assert_eq!(world.sink.taken(), 0);
    for _ in 0..3 {
        world.wait(Duration::hours(2));
        world.runner.run_due().await;
    }
    world.mail("changed").await;
    world.sink.refuse_with(550, 1);
    world.run(mail()).await;
    world.wait(Duration::days(1));
    world.runner.run_due().await;
    assert_eq!(world.sink.taken(), 1, "a refused address is not tried again");
}
