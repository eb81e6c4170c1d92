//! Everything that lives longer than the server: its data, the carrier, the bucket, the tenant's own programs.

use crate::ledger::Ledger;
use crate::node::free_port;
use crate::place::{Place, now};
use crate::world::{PATH_TOKEN, World, talker, vendors};
use model::{AgentConfig, Brain, CarrierKind, E164, EventKind, WebhookEndpointId};
use sha2::{Digest, Sha256};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use store::phone_numbers::NewPhoneNumber;
use store::webhook_endpoints::{self, EndpointSettings};
use store::{agents, phone_numbers};
use testkit::carrier::RecordingHost;
use testkit::receiver::{Receiver, Reply};
use testkit::vendors::bucket::{BucketFault, FakeBucket};
use tokio::sync::Notify;
use wire::standard_webhooks::Secret;

/// A request to the bucket takes so long, so that a kill can come in between.
const BUCKET_MS: u64 = 40;
/// Longest wait for an answer of the server.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// Says two words and hangs up.
const GOODBYE: &str = r#"
name = "Goodbye"
language = "en-IN"
[business]
name = "Goodbye"
[listening]
reminders = ["Are you there?"]
goodbye = "Goodbye."
not_understood = "Sorry."
[[step]]
id = "bye"
hang_up = "Thank you."
"#;

/// A number of the tenant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number {
    /// As Indian webhooks write it.
    pub(crate) as_sent: &'static str,
    /// The unguessable part of its addresses.
    pub(crate) token: &'static str,
}

/// The first one's agent talks until the caller hangs up, the second one's hangs up itself.
pub(crate) const NUMBERS: [Number; 2] = [
    Number { as_sent: crate::world::NUMBER_AS_SENT, token: PATH_TOKEN },
    Number { as_sent: "08047491900", token: "path-token-of-the-second-number" },
];

/// A program of the tenant that wants to hear of events.
pub(crate) struct Listener {
    pub(crate) endpoint: WebhookEndpointId,
    pub(crate) kinds: Vec<EventKind>,
    pub(crate) receiver: Receiver,
}

/// What a kill can be aimed at.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    pub(crate) call_ended: Notify,
    pub(crate) webhook_sent: Notify,
}

/// See the module.
pub(crate) struct Scene<'a> {
    pub(crate) place: &'a Place,
    pub(crate) world: World<'a>,
    pub(crate) bucket: FakeBucket,
    /// Where the carrier's own recordings lie.
    pub(crate) recordings: RecordingHost,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) ledger: Ledger,
    pub(crate) signals: Signals,
    pub(crate) http: reqwest::Client,
    port: u16,
    kills: AtomicU32,
    closing: AtomicBool,
}

impl<'a> Scene<'a> {
    pub(crate) async fn new(place: &'a Place) -> Self {
        // Whoever came first has installed the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let world = World::with_vendors(place, talker(12), vendors()).await;
        second_number(&world).await;
        let bucket = FakeBucket::start().await.expect("a port");
        bucket.fault(Some(BucketFault::Slow(BUCKET_MS)));
        let mut listeners = Vec::new();
        for kinds in [vec![], vec![EventKind::CallEnded], vec![EventKind::RecordingReady, EventKind::RecordingFailed]] {
            listeners.push(Listener::new(&world, kinds).await);
        }
        let http = reqwest::Client::builder().timeout(ANSWERED_WITHIN).no_proxy().build().expect("a client");
        Self {
            place,
            world,
            bucket,
            recordings: RecordingHost::start().await.expect("a port"),
            listeners,
            ledger: Ledger::default(),
            signals: Signals::default(),
            http,
            port: free_port(),
            kills: AtomicU32::new(0),
            closing: AtomicBool::new(false),
        }
    }

    /// Where the server is, whenever it lives.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What the server is told.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        let vendors = &self.world.vendors;
        vec![
            ("PORT", self.port.to_string()),
            ("LOG_LEVEL", "info".to_owned()),
            ("CALY_RATE_LIMITS", "webhooks=1000000/1m,unauthenticated=1000000/1m".to_owned()),
            ("DEEPGRAM_API_KEY", "key".to_owned()),
            ("OPENAI_API_KEY", "key".to_owned()),
            ("CALY_DEEPGRAM_URL", vendors.listen_url()),
            ("CALY_SPEECH_URL", vendors.openai_url()),
            ("WASABI_ENDPOINT", self.bucket.endpoint()),
            ("WASABI_REGION", "ap-south-1".to_owned()),
            ("WASABI_BUCKET", self.bucket.bucket().to_owned()),
            ("WASABI_ACCESS_KEY", self.bucket.access_key().to_owned()),
            ("WASABI_SECRET_KEY", "hunter2-hidden".to_owned()),
        ]
    }

    /// How often the server was killed so far.
    pub(crate) fn kills(&self) -> u32 {
        self.kills.load(Ordering::Relaxed)
    }

    pub(crate) fn killed(&self) {
        self.kills.fetch_add(1, Ordering::Relaxed);
    }

    /// No new calls are placed.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }
}

impl Listener {
    async fn new(world: &World<'_>, kinds: Vec<EventKind>) -> Self {
        let receiver = Receiver::start(Reply::status(200)).await;
        let (url, secret) = (receiver.url("/hooks"), Secret::new(&[9; 32]).expect("a secret"));
        let made = world.store.write(world.tenant, "test.endpoints", async |tx| {
            let new = EndpointSettings { url: &url, description: "CRM", events: &kinds };
            webhook_endpoints::create(tx, &new, &secret.text(), now()).await
        });
        let endpoint = made.await.expect("an endpoint").id;
        Self { endpoint, kinds, receiver }
    }

    pub(crate) fn wants(&self, kind: EventKind) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&kind)
    }
}

async fn second_number(world: &World<'_>) {
    let [_, number] = NUMBERS;
    let agent = AgentConfig { brain: Brain::Flow { text: GOODBYE.to_owned() }, ..crate::world::colours() };
    let made = world.store.write(world.tenant, "test.number", async |tx| {
        let agent = agents::create(tx, "Ravi", &agent, now()).await?.agent.id;
        let new = NewPhoneNumber {
            carrier: CarrierKind::Exotel,
            number: E164::parse("+918047491900").expect("a number"),
            agent,
            path_token_hash: Some(Sha256::digest(number.token).into()),
        };
        phone_numbers::create(tx, &new, now()).await
    });
    made.await.expect("a second number");
}
