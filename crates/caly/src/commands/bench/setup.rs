//! What the server under measurement finds when it starts: a database with a tenant and its agent, settings, vendors.

use super::{Arguments, SECONDS_MAX, SpeechKind, TurnEnd};
use crate::config::Config;
use crate::demo_tenant;
use crate::node::open_store;
use anyhow::Context;
use model::{AgentConfig, Brain, EndOfTurn, LanguageModelConfig, SpeechConfig, TurnTaking};
use secrecy::SecretString;
use std::ffi::OsString;
use std::path::Path;
use testkit::vendors::{FakeVendors, VendorSettings};

/// Both sides of a webhook know it; the server listens on this machine only, for as long as this runs.
pub(super) const WEBHOOK_SECRET: &str = "bench-webhook-secret";
/// Length of a word of the vendors' speech: the whole answer is over before the caller's next turn.
const WORD_MS: u64 = 160;

/// See the module. Dropping it ends the vendors.
pub(super) struct Setup {
    vendors: Option<FakeVendors>,
}

impl Setup {
    /// Starts the vendors, if there are any, and makes the database in this folder.
    pub(super) async fn prepare(config: &Config, arguments: &Arguments, folder: &Path) -> anyhow::Result<Self> {
        let vendors = match arguments.speech {
            SpeechKind::Stub => {
                let settings = VendorSettings { speech_word_ms: WORD_MS, ..VendorSettings::default() };
                Some(FakeVendors::start(settings).await.context("no port for the vendors")?)
            }
            SpeechKind::Builtin => None,
        };
        let mut own = config.clone();
        own.data_dir = folder.to_owned();
        own.database.url = SecretString::from(format!("sqlite://{}", folder.join("caly.db").display()));
        let store = open_store(&own).await?;
        let made = demo_tenant::ensure(&store, &agent(arguments, vendors.as_ref())).await;
        store.close().await;
        made?;
        Ok(Self { vendors })
    }

    /// Every setting of the server.
    pub(super) fn settings(&self, config: &Config, folder: &Path, calls: usize) -> Vec<(&'static str, OsString)> {
        let mut settings: Vec<(&'static str, OsString)> = vec![
            ("PORT", "0".into()),
            ("CALY_DATA_DIR", folder.into()),
            ("EXOTEL_WEBHOOK_SECRET", WEBHOOK_SECRET.into()),
            // A caller who calls again does so while the call before is still being put away.
            ("CALY_CALLS_MAX", (2 * calls).to_string().into()),
            // As in production.
            ("CALY_CALL_LOGS", "false".into()),
            // A server whose bench is gone does not wait for its calls.
            ("CALY_DRAIN_S", "0".into()),
        ];
        if let Some(vendors) = &self.vendors {
            // Without the built-in models: their threads and memory are not what is measured.
            settings.push(("CALY_MODELS_DIR", folder.join("no-models").into()));
            settings.push(("DEEPGRAM_API_KEY", "bench".into()));
            settings.push(("CALY_DEEPGRAM_URL", vendors.listen_url().into()));
            settings.push(("OPENAI_API_KEY", "bench".into()));
            settings.push(("CALY_SPEECH_URL", vendors.openai_url().into()));
            return settings;
        }
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
}

/// The clinic's receptionist; with vendors, an agent that asks their language model.
fn agent(arguments: &Arguments, vendors: Option<&FakeVendors>) -> AgentConfig {
    let mut agent = demo_tenant::agent(demo_tenant::FLOW, None);
    agent.record = !arguments.no_record;
    let Some(vendors) = vendors else { return agent };
    agent.brain = Brain::LanguageModel(LanguageModelConfig {
        protocol: model::ModelProtocol::Openai,
        base_url: vendors.openai_url(),
        model: "fake".to_owned(),
        system_prompt: "You are the receptionist of a shop. Answer in one or two short sentences.".to_owned(),
        temperature: 0.4,
        fallbacks: Vec::new(),
        hedge_after_ms: 0,
        tokens_max: 0,
    });
    agent.speech =
        SpeechConfig { transcriber: "deepgram".to_owned(), speaker: "openai".to_owned(), ..SpeechConfig::default() };
    let pause_ms = arguments.pause_ms;
    agent.turn_taking = match arguments.turn_end {
        TurnEnd::Transcriber => TurnTaking { end_of_turn: EndOfTurn::Transcriber, ..TurnTaking::default() },
        TurnEnd::Silence => TurnTaking { pause_short_ms: pause_ms, pause_long_ms: pause_ms, ..TurnTaking::default() },
    };
    agent.tools.clear();
    // The caller hangs up first.
    agent.max_duration_s = 2 * SECONDS_MAX;
    agent
}
