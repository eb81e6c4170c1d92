//! A tenant with an agent and a number, the vendors its speech comes from, and what the database says afterwards.

use crate::place::{Place, eventually, now};
use crate::program::Server;
use audio::wav::Wav;
use model::{
    AgentConfig, AgentId, Analysis, Brain, CallId, CarrierKind, E164, Knowledge, LanguageModelConfig, RecordingSource,
    RecordingStatus, Silence, SpeechConfig, TenantId, ToolConfig, TranscriptTurn, TurnTaking, Voicemail,
};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::time::Duration;
use store::audit::{AuditEvent, AuditFilter};
use store::call_events::CallEvent;
use store::calls::{Call, CallFilter};
use store::phone_numbers::NewPhoneNumber;
use store::recordings::Recording;
use store::{PageRequest, Store, agents, audit, call_events, calls, organisations, phone_numbers, recordings, turns};
use testkit::vendors::{FakeVendors, VendorSettings};

/// The number of the tenant, and how Indian webhooks write it.
pub(crate) const NUMBER: &str = "+918047491899";
pub(crate) const NUMBER_AS_SENT: &str = "08047491899";
/// The unguessable part of the number's dynamic URL.
pub(crate) const PATH_TOKEN: &str = "path-token-of-the-tests";
/// The database knows of an end within this time.
const KNOWN_WITHIN: Duration = Duration::from_secs(25);

/// A question, a tool, a goodbye.
const FLOW: &str = r#"
name = "Colours"
language = "en-IN"
[business]
name = "Colours"
[listening]
reminders = ["Are you there?"]
goodbye = "Goodbye."
not_understood = "Sorry."
[[step]]
id = "colour"
ask = "Red or blue?"
slot = "colour"
kind = "choice"
[step.options]
red = ["crimson"]
blue = ["navy"]
[[step]]
id = "keep"
tool = "keep_colour"
arguments = { colour = "{colour}" }
on_success = "bye"
on_failure = "bye"
[[step]]
id = "bye"
hang_up = "Thank you and goodbye."
"#;

/// An agent that asks one question, keeps the answer and hangs up.
pub(crate) fn colours() -> AgentConfig {
    AgentConfig {
        language: "en-IN".to_owned(),
        greeting: None,
        notice: None,
        languages: Vec::new(),
        brain: Brain::Flow { text: FLOW.to_owned() },
        speech: SpeechConfig { transcriber: "deepgram".into(), speaker: "openai".into(), ..SpeechConfig::default() },
        turn_taking: TurnTaking::default(),
        tools: BTreeMap::from([("keep_colour".to_owned(), ToolConfig::Record)]),
        lookup: None,
        voicemail: Voicemail::default(),
        silence: Silence::default(),
        ambience: None,
        knowledge: Knowledge::default(),
        analysis: Analysis::default(),
        max_duration_s: 300,
        record: true,
    }
}

/// An agent that hands every caller over.
pub(crate) fn transferring() -> AgentConfig {
    let text = FLOW.split("[[step]]").next().expect("a head").to_owned()
        + "[[step]]\nid = \"person\"\ntransfer = \"+918045671234\"\nsay = \"Please hold.\"\n";
    AgentConfig { brain: Brain::Flow { text }, ..colours() }
}

/// An agent that begins by saying this many words, and then answers as its model does. `{model}` in its address is
/// where the fake vendors are.
pub(crate) fn talker(words: usize) -> AgentConfig {
    let model = LanguageModelConfig {
        protocol: model::ModelProtocol::Openai,
        base_url: "{model}".to_owned(),
        model: "fake".to_owned(),
        system_prompt: "You take orders.".to_owned(),
        temperature: 0.2,
        fallbacks: Vec::new(),
        hedge_after_ms: 0,
        tokens_max: 0,
    };
    let greeting: Vec<String> =
        (1..=words).map(|n| if n % 6 == 0 { "words.".into() } else { "words".into() }).collect();
    AgentConfig { greeting: Some(greeting.join(" ")), brain: Brain::LanguageModel(model), ..colours() }
}

/// Vendors that answer at once; a word lasts a fifth of a second.
pub(crate) fn vendors() -> VendorSettings {
    VendorSettings { speech_word_ms: 200, ..VendorSettings::instant() }
}

/// See the module.
pub(crate) struct World<'a> {
    pub(crate) place: &'a Place,
    pub(crate) store: Store,
    pub(crate) tenant: TenantId,
    pub(crate) agent: AgentId,
    pub(crate) vendors: FakeVendors,
}

impl<'a> World<'a> {
    pub(crate) async fn new(place: &'a Place, agent: AgentConfig) -> Self {
        Self::with_vendors(place, agent, vendors()).await
    }

    pub(crate) async fn with_vendors(place: &'a Place, mut agent: AgentConfig, settings: VendorSettings) -> Self {
        let vendors = FakeVendors::start(settings).await.expect("a port");
        if let Brain::LanguageModel(model) = &mut agent.brain {
            model.base_url = model.base_url.replace("{model}", &vendors.openai_url());
        }
        let store = place.open().await;
        let made = store.system("test.tenant", async |tx| {
            let tenant = organisations::create(tx, "Colours", now()).await?.id;
            let tx = tx.tenant(tenant).await?;
            let agent = agents::create(tx, "Asha", &agent, now()).await?.agent.id;
            let number = NewPhoneNumber {
                carrier: CarrierKind::Exotel,
                number: E164::parse(NUMBER).expect("a number"),
                agent,
                path_token_hash: Some(Sha256::digest(PATH_TOKEN).into()),
            };
            phone_numbers::create(tx, &number, now()).await?;
            Ok::<_, store::Error>((tenant, agent))
        });
        let (tenant, agent) = made.await.expect("a tenant");
        Self { place, store, tenant, agent, vendors }
    }

    /// The server, with the vendors set up and these settings on top.
    pub(crate) async fn serve(&self, more: &[(&str, &str)]) -> Server {
        let (listen, speech) = (self.vendors.listen_url(), self.vendors.openai_url());
        let mut settings = vec![
            ("DEEPGRAM_API_KEY", "key"),
            ("OPENAI_API_KEY", "key"),
            ("CALY_DEEPGRAM_URL", listen.as_str()),
            ("CALY_SPEECH_URL", speech.as_str()),
        ];
        settings.extend_from_slice(more);
        Server::start(self.place, &settings).await
    }

    pub(crate) async fn calls(&self) -> Vec<Call> {
        let all = self.store.read(self.tenant, "test.calls", async |tx| {
            calls::list(tx, &CallFilter::default(), PageRequest::default()).await
        });
        all.await.expect("read").items
    }

    /// The call that the carrier calls so.
    pub(crate) async fn call(&self, sid: &str) -> Option<Call> {
        self.calls().await.into_iter().find(|call| call.carrier_call_id.as_deref() == Some(sid))
    }

    /// The call, once it is over.
    pub(crate) async fn ended(&self, sid: &str) -> Call {
        let look = async || self.call(sid).await.filter(|call| call.status.is_final());
        eventually("the call is over in the database", KNOWN_WITHIN, look).await
    }

    /// The reason for which a call ended.
    pub(crate) async fn reason(&self, sid: &str) -> String {
        self.ended(sid).await.ended_reason.expect("a call that is over has a reason").to_string()
    }

    pub(crate) async fn turns(&self, call: CallId) -> Vec<TranscriptTurn> {
        self.store.read(self.tenant, "test.turns", async |tx| turns::list(tx, call).await).await.expect("read")
    }

    pub(crate) async fn events(&self, call: CallId) -> Vec<CallEvent> {
        let read =
            self.store.read(self.tenant, "test.events", async |tx| call_events::list(tx, call, None, 1_000).await);
        read.await.expect("read")
    }

    /// The audit events of a kind, newest first.
    pub(crate) async fn audited(&self, kind: &str) -> Vec<AuditEvent> {
        let filter = AuditFilter { kind: Some(kind.parse().expect("a kind of event")), ..AuditFilter::default() };
        let read = self
            .store
            .read(self.tenant, "test.audit", async |tx| audit::list(tx, &filter, PageRequest::default()).await);
        read.await.expect("read").items
    }

    /// The messages in the outbox about a call, by kind, oldest first, whether they have been handed out or not.
    pub(crate) async fn messages(&self, call: CallId) -> Vec<(String, Map<String, Value>)> {
        let list = async |tx: &mut store::Tx| store::outbox::list(tx, PageRequest { after: None, limit: 200 }).await;
        let kept = self.store.read(self.tenant, "test.outbox", list).await.expect("read").items;
        let about = |data: &Map<String, Value>| data.get("call_id") == Some(&Value::String(call.to_string()));
        kept.into_iter().rev().filter(|m| about(&m.data)).map(|message| (message.kind, message.data)).collect()
    }

    /// The only recording of ours of a call, once it is stored and nothing is left in the spool, and what its file says.
    pub(crate) async fn stored_recording(&self, call: CallId) -> (Recording, Wav) {
        let look = async || {
            let all = self.store.read(self.tenant, "test.recordings", async |tx| recordings::of_call(tx, call).await);
            let mut all = all.await.expect("read");
            all.retain(|recording| recording.source == RecordingSource::Own);
            assert_eq!(all.len(), 1, "{all:?}");
            all.into_iter().find(|r| r.status == RecordingStatus::Ready && self.place.files("spool").is_empty())
        };
        let recording = eventually("the recording is stored", KNOWN_WITHIN, look).await;
        let key = recording.object_key.clone().expect("ready");
        let bytes = std::fs::read(self.place.data("objects").join(key)).expect("the stored file");
        assert_eq!(recording.sha256, Some(Sha256::digest(&bytes).into()), "the digest is the file's");
        assert_eq!(recording.bytes, Some(bytes.len() as u64));
        let wav = audio::wav::read(&bytes).expect("a WAV file");
        (recording, wav)
    }
}

/// Length of a recording, in ms.
pub(crate) fn length_ms(wav: &Wav) -> u64 {
    wav.samples.len() as u64 / u64::from(wav.channels) * 1_000 / u64::from(wav.rate)
}

/// How loud a channel of a recording is, as a whole.
pub(crate) fn channel_dbfs(wav: &Wav, channel: usize) -> f32 {
    let samples: Vec<i16> = wav.samples.iter().skip(channel).step_by(usize::from(wav.channels)).copied().collect();
    audio::level::rms_dbfs(&samples)
}
