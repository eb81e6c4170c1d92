//! Documents into the index, with an embedder and without.

use chrono::{DateTime, Duration, Utc};
use identity::Passwords;
use jobs::{Context, Runner};
use model::{DocumentId, DocumentState, TenantId};
use providers::carrier_file::{CarrierFiles, FileLimits, FileSettings};
use providers::egress::{Allowed, Egress};
use providers::embedding::{EmbeddingSettings, OpenAiEmbedder};
use providers::exotel::ExotelClient;
use providers::http::{Http, HttpSettings};
use providers::mail::Mailer;
use providers::objects::{ObjectSettings, Objects};
use providers::recall::Embedder;
use providers::resilience::Targets;
use secrecy::SecretString;
use std::sync::{Arc, Mutex};
use store::document_chunks::{self, Chunk, Words};
use store::documents::{self, Document, NewDocument};
use store::{Keyring, Store, StoreConfig, organisations};
use testkit::vendors::embeddings::{EMBEDDINGS_KEY, EMBEDDINGS_MODEL, EmbeddingFault, FakeEmbeddings};
use tokio::sync::Notify;

struct World {
    _folder: tempfile::TempDir,
    store: Store,
    context: Context,
    tenant: TenantId,
    clock: Arc<Mutex<DateTime<Utc>>>,
}

impl World {
    async fn new(embedder: Option<Arc<dyn Embedder>>) -> Self {
        // Whoever came first has installed the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}/caly.db", folder.path().display());
        let store = Store::open(&StoreConfig::new(url, Keyring::new([7; 32], None))).await.expect("opens");
        let begin = DateTime::from_timestamp(1_790_000_000, 0).expect("a time");
        store.migrate_up(begin).await.expect("migrated");
        let clock = Arc::new(Mutex::new(begin));
        let shared = clock.clone();
        let http = http();
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
            mailer: Mailer::folder(folder.path().join("mails")),
            egress: Egress::new(&http, Allowed::LoopbackToo).expect("a client"),
            carrier_files: CarrierFiles::new(&http, &files).expect("a folder"),
            exotel: ExotelClient::new(&http, None).expect("a client"),
            models: None,
            prices: Arc::new(jobs::prices::Prices::built_in().expect("reads")),
            targets: Targets::new(),
            embedder,
            media_url: "wss://caly.example.org".into(),
            passwords: Passwords::new(),
            public_url: "https://caly.example.org".into(),
            audit_keep_days: None,
            wake: Arc::new(Notify::new()),
        };
        let made = store.system("test", async |tx| organisations::create(tx, "Clinic", begin).await).await;
        let tenant = made.expect("made").id;
        Self { _folder: folder, store, context, tenant, clock }
    }

    fn now(&self) -> DateTime<Utc> {
        *self.clock.lock().expect("no holder panics")
    }

    fn wait(&self, time: Duration) {
        *self.clock.lock().expect("no holder panics") += time;
    }

    async fn run(&self) {
        Runner::new(self.context.clone(), "node", "node/1".to_owned()).run_due().await;
    }

    async fn add(&self, text: &str) -> DocumentId {
        let new = NewDocument { collection: "clinic", title: "Handbook", source_url: None, text };
        let now = self.now();
        let made = self.store.write(self.tenant, "test", async |tx| documents::create(tx, &new, now).await).await;
        made.expect("made").id
    }

    async fn replace(&self, id: DocumentId, text: &str) {
        let new = NewDocument { collection: "clinic", title: "Handbook", source_url: None, text };
        let now = self.now();
        let done = self.store.write(self.tenant, "test", async |tx| documents::replace(tx, id, &new, now).await).await;
        done.expect("replaced");
    }

    async fn reindex(&self, id: DocumentId) {
        let now = self.now();
        let done = self.store.write(self.tenant, "test", async |tx| documents::reindex(tx, id, now).await).await;
        done.expect("asked");
    }

    async fn document(&self, id: DocumentId) -> Document {
        self.store.read(self.tenant, "test", async |tx| documents::get(tx, id).await).await.expect("there")
    }

    async fn found(&self, query: &str) -> Vec<Chunk> {
        let find = async |tx: &mut store::Tx| {
            let numbers = document_chunks::find(tx, &Words::of(query), &[]).await?;
            document_chunks::read(tx, &numbers).await
        };
        self.store.read(self.tenant, "test", find).await.expect("read")
    }

    async fn vectors(&self, embedder: &str) -> usize {
        let read = async |tx: &mut store::Tx| document_chunks::vectors(tx, embedder).await;
        self.store.read(self.tenant, "test", read).await.expect("read").len()
    }
}

fn http() -> Http {
    Http::new(&HttpSettings::default()).expect("a client")
}

async fn fake() -> FakeEmbeddings {
    FakeEmbeddings::start(&[&["tooth"]]).await.expect("a port")
}

fn embedder(fake: &FakeEmbeddings) -> Arc<dyn Embedder> {
    let key = Some(SecretString::from(EMBEDDINGS_KEY));
    Arc::new(OpenAiEmbedder::new(http(), EmbeddingSettings::new(fake.url(), EMBEDDINGS_MODEL, key)))
}

#[tokio::test]
async fn without_an_embedder_a_document_is_found_by_its_words() {
    let world = World::new(None).await;
    let id = world.add("# Prices\n\nA filling costs 900 rupees.\n\n# Hours\n\nWe open at nine.").await;
    assert_eq!(world.document(id).await.state, DocumentState::Pending);
    world.run().await;
    let ready = world.document(id).await;
    assert_eq!((ready.state, ready.chunks, ready.embedder, ready.error), (DocumentState::Ready, 2, None, None));
    let found = world.found("what does a filling cost").await;
    assert_eq!((found.len(), found[0].heading.as_str()), (1, "Handbook › Prices"));
    assert_eq!(found[0].text, "A filling costs 900 rupees.");
    // Found by its headings, too.
    assert_eq!(world.found("hours").await[0].text, "We open at nine.");
}

#[tokio::test]
async fn every_piece_gets_a_vector_and_another_text_others() {
    let fake = fake().await;
    let embedder = embedder(&fake);
    let name = embedder.name().to_owned();
    let world = World::new(Some(embedder)).await;
    let id = world.add("# A\nOne.\n# B\nTwo.").await;
    world.run().await;
    let ready = world.document(id).await;
    assert_eq!((ready.state, ready.embedder.as_deref()), (DocumentState::Ready, Some(name.as_str())));
    assert_eq!(world.vectors(&name).await, 2);
    assert_eq!(world.vectors("another").await, 0);
    assert_eq!(fake.inputs(), ["Handbook › A\nOne.", "Handbook › B\nTwo."]);
    world.replace(id, "Three.").await;
    world.run().await;
    assert_eq!((world.vectors(&name).await, world.found("one").await.len()), (1, 0));
    assert_eq!(world.found("three").await.len(), 1);
    // The same text once more costs nothing; who asks for it gets it.
    world.replace(id, "Three.").await;
    world.run().await;
    assert_eq!(fake.inputs().len(), 3);
    world.reindex(id).await;
    world.run().await;
    assert_eq!((fake.inputs().len(), world.vectors(&name).await), (4, 1));
}

#[tokio::test]
async fn an_embedder_that_is_away_is_waited_for_and_words_are_found_meanwhile() {
    let fake = fake().await;
    let embedder = embedder(&fake);
    let name = embedder.name().to_owned();
    let world = World::new(Some(embedder)).await;
    fake.break_it(EmbeddingFault::Status(503), 2);
    let id = world.add("A filling costs 900 rupees.").await;
    world.run().await;
    let waiting = world.document(id).await;
    assert_eq!(waiting.state, DocumentState::Pending);
    assert!(waiting.error.as_deref().is_some_and(|error| error.contains("words only")), "{waiting:?}");
    assert_eq!((world.found("filling").await.len(), world.vectors(&name).await), (1, 0));
    for _ in 0..2 {
        world.wait(Duration::minutes(5));
        world.run().await;
    }
    let ready = world.document(id).await;
    assert_eq!((ready.state, ready.error), (DocumentState::Ready, None));
    assert_eq!((world.found("filling").await.len(), world.vectors(&name).await), (1, 1));
}

#[tokio::test]
async fn what_no_try_helps_is_given_up_and_shown_and_can_be_asked_for_again() {
    let fake = fake().await;
    let world = World::new(Some(embedder(&fake))).await;
    fake.break_it(EmbeddingFault::Status(401), 1);
    let id = world.add("A filling costs 900 rupees.").await;
    world.run().await;
    let failed = world.document(id).await;
    assert_eq!(failed.state, DocumentState::Failed);
    assert!(failed.error.as_deref().is_some_and(|error| error.contains("unauthorized")), "{failed:?}");
    assert!(!format!("{failed:?}").contains(EMBEDDINGS_KEY));
    assert_eq!(world.found("filling").await.len(), 1);
    world.reindex(id).await;
    world.run().await;
    assert_eq!(world.document(id).await.state, DocumentState::Ready);
    // It waits as long as it takes, and then says so.
    fake.break_it(EmbeddingFault::Status(500), 1_000);
    world.replace(id, "A filling costs 950 rupees.").await;
    for _ in 0..20 {
        world.run().await;
        world.wait(Duration::hours(2));
    }
    let failed = world.document(id).await;
    assert_eq!(failed.state, DocumentState::Failed);
    assert_eq!(world.found("950").await.len(), 1);
}

#[tokio::test]
async fn what_is_gone_is_no_failure_and_twice_is_once() {
    let world = World::new(None).await;
    let id = world.add("One.").await;
    let tenant = world.tenant;
    world.store.write(tenant, "test", async |tx| documents::delete(tx, id).await).await.expect("deleted");
    world.run().await;
    let other = world.add("Two.").await;
    world.run().await;
    world.reindex(other).await;
    world.run().await;
    assert_eq!((world.document(other).await.chunks, world.found("two").await.len()), (1, 1));
}
