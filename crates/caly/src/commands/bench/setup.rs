//! What the server under measurement finds when it starts: a database with a tenant and its agent, and its settings.

use super::TurnEnd;
use super::case::Profile;
use crate::clock;
use crate::config::Config;
use crate::demo_tenant;
use crate::node::open_store;
use api::{Author, make_agent};
use model::{
    AgentConfig, Brain, CarrierKind, E164, EndOfTurn, LanguageModelConfig, ModelProtocol, SpeechConfig, TurnTaking,
};
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use store::carrier_accounts::{self, NewCarrierAccount};
use store::phone_numbers::{self, NewPhoneNumber};
use store::{Store, organisations};

/// Both sides of a webhook know it; the server listens on this machine only, for as long as this runs.
pub(super) const WEBHOOK_SECRET: &str = "bench-webhook-secret";
/// The unguessable part of the number's address at the other carrier.
pub(super) const PATH_TOKEN: &str = "bench-path-token";
/// The token of the account there.
pub(super) const AUTH_TOKEN: &str = "bench-auth-token";
/// Longest call; the caller hangs up first.
const CALL_S_MAX: u64 = 14_400;
/// Webhooks of all callers come from one address here.
const RATE_LIMITS: &str = "webhooks=1000000/1m";

/// An agent whose speech and words come from the vendors beside it.
pub(super) struct Stubbed {
    pub(super) profile: Profile,
    pub(super) vendors: SocketAddr,
    pub(super) record: bool,
    pub(super) turn_end: TurnEnd,
    pub(super) pause_ms: u64,
}

/// The configuration of a server with a database in this folder.
pub(super) fn own(config: &Config, folder: &Path) -> Config {
    let mut own = config.clone();
    folder.clone_into(&mut own.data_dir);
    own.database.url = SecretString::from(format!("sqlite://{}", folder.join("caly.db").display()));
    // The server makes one for itself, in this folder.
    (own.security.encryption_key, own.security.encryption_key_previous) = (None, None);
    own
}

/// Makes a database with the clinic.
pub(super) async fn clinic(config: &Config, folder: &Path, record: bool) -> anyhow::Result<()> {
    let store = open_store(&own(config, folder)).await?;
    let mut agent = demo_tenant::agent(demo_tenant::FLOW, None);
    agent.record = record;
    let made = demo_tenant::ensure(&store, &agent).await;
    store.close().await;
    made.map(|_| ())
}

/// Makes a database with an agent for the vendors.
pub(super) async fn stubbed(config: &Config, folder: &Path, how: &Stubbed) -> anyhow::Result<()> {
    let store = open_store(&own(config, folder)).await?;
    let made = match how.profile {
        Profile::Exotel100 | Profile::Exotel20 => demo_tenant::ensure(&store, &how.agent()).await.map(|_| ()),
        Profile::Twilio20 => how.connect_twilio(&store).await,
    };
    store.close().await;
    made
}

impl Stubbed {
    fn agent(&self) -> AgentConfig {
        let mut agent = demo_tenant::agent(demo_tenant::FLOW, None);
        agent.record = self.record;
        agent.brain = Brain::LanguageModel(LanguageModelConfig {
            protocol: ModelProtocol::Openai,
            base_url: format!("http://{}/v1", self.vendors),
            model: "stub".to_owned(),
            system_prompt: "You are the receptionist of a shop. Answer in one or two short sentences.".to_owned(),
            temperature: 0.4,
            fallbacks: Vec::new(),
            hedge_after_ms: 0,
            tokens_max: 0,
        });
        let (transcriber, speaker) = ("deepgram".to_owned(), "deepgram".to_owned());
        agent.speech = SpeechConfig { transcriber, speaker, ..SpeechConfig::default() };
        let pause_ms = self.pause_ms;
        agent.turn_taking = match self.turn_end {
            TurnEnd::Transcriber => TurnTaking { end_of_turn: EndOfTurn::Transcriber, ..TurnTaking::default() },
            TurnEnd::Silence => {
                TurnTaking { pause_short_ms: pause_ms, pause_long_ms: pause_ms, ..TurnTaking::default() }
            }
        };
        agent.tools.clear();
        agent.max_duration_s = CALL_S_MAX;
        agent
    }

    /// A tenant with an account at Twilio and a number there.
    async fn connect_twilio(&self, store: &Store) -> anyhow::Result<()> {
        let (now, author) = (clock::now(), Author::command("bench"));
        let token = SecretString::from(AUTH_TOKEN);
        let number = E164::parse(demo_tenant::NUMBER)?;
        store
            .system("bench.tenant", async |tx| {
                let tenant = organisations::create(tx, "Bench", now).await?.id;
                let tx = tx.tenant(tenant).await?;
                let agent = make_agent(tx, &author, "Receptionist", &self.agent(), now).await?.agent.id;
                let path_token_hash = Some(Sha256::digest(PATH_TOKEN).into());
                let number = NewPhoneNumber { carrier: CarrierKind::Twilio, number, agent, path_token_hash };
                phone_numbers::create(tx, &number, now).await?;
                let account = NewCarrierAccount {
                    carrier: CarrierKind::Twilio,
                    account_id: "benchacct",
                    region: None,
                    api_key: None,
                    flow_id: None,
                    token: &token,
                };
                carrier_accounts::create(tx, &account, now).await?;
                Ok::<_, api::Problem>(())
            })
            .await?;
        Ok(())
    }
}

/// What every server under measurement is told.
fn settings(folder: &Path, calls_max: usize) -> Vec<(&'static str, OsString)> {
    vec![
        ("PORT", "0".into()),
        ("CALY_DATA_DIR", folder.into()),
        ("EXOTEL_WEBHOOK_SECRET", WEBHOOK_SECRET.into()),
        ("CALY_RATE_LIMITS", RATE_LIMITS.into()),
        ("CALY_CALLS_MAX", calls_max.to_string().into()),
        // As in production.
        ("CALY_CALL_LOGS", "false".into()),
        // A server whose bench is gone does not wait for its calls.
        ("CALY_DRAIN_S", "0".into()),
    ]
}

/// Every setting of a server that asks the vendors.
pub(super) fn with_vendors(folder: &Path, calls_max: usize, vendors: SocketAddr) -> Vec<(&'static str, OsString)> {
    let mut settings = settings(folder, calls_max);
    settings.extend([
        // Without the built-in models: their threads and memory are not what is measured.
        ("CALY_MODELS_DIR", folder.join("no-models").into()),
        ("DEEPGRAM_API_KEY", "bench".into()),
        ("CALY_DEEPGRAM_URL", format!("ws://{vendors}/v1/listen").into()),
        ("CALY_AURA_URL", format!("ws://{vendors}").into()),
        ("OPENAI_API_KEY", "bench".into()),
        ("CALY_MODEL_URLS", format!("http://{vendors}/v1").into()),
    ]);
    settings
}

/// Every setting of a server with the built-in models.
pub(super) fn with_models(config: &Config, folder: &Path, calls: usize) -> Vec<(&'static str, OsString)> {
    // A caller who calls again does so while the call before is still being put away.
    let mut settings = settings(folder, 2 * calls);
    let models = &config.models;
    settings.push(("CALY_MODELS_DIR", models.folder.clone().into()));
    let named = [
        ("CALY_MODEL_MOONSHINE", &models.moonshine),
        ("CALY_MODEL_HIBARI", &models.hibari),
        ("CALY_MODEL_SMART_TURN", &models.smart_turn),
        ("CALY_MODEL_SILERO", &models.silero),
    ];
    settings.extend(named.into_iter().filter_map(|(name, path)| Some((name, path.clone()?.into()))));
    if let Some(threads) = config.inference_threads {
        settings.push(("CALY_INFERENCE_THREADS", threads.to_string().into()));
    }
    settings
}
