//! The services of this node: built-in models and the vendors that are set up.

use crate::config::{Config, Environment};
pub(crate) use crate::vendors::ModelAddresses;
use crate::vendors::{StoreKeys, VendorClients};
use anyhow::Context;
use model::SpeechModelConfig;
use providers::carrier_file::{CarrierFiles, FileLimits, FileSettings};
use providers::egress::{Allowed, Egress};
use providers::exotel::ExotelClient;
use providers::http::{Http, HttpSettings};
use providers::keys::Keys;
use providers::local::{Builtin, InferencePool, PoolSettings};
use providers::models::Models;
use providers::recall::Recall;
use providers::resilience::Targets;
use providers::speaker::Speaker;
use providers::tools::ToolClients;
use providers::transcriber::Transcriber;
use providers::turn::TurnDetector;
use secrecy::SecretString;
use std::path::PathBuf;
use std::sync::Arc;
use store::Store;
use switchboard::{Services, SpeechParts};
use tokio::time::Instant;

/// The client for addresses that tenants choose. In development this machine is one of them.
///
/// # Errors
/// When it cannot be built.
pub(crate) fn egress(config: &Config, http: &Http) -> anyhow::Result<Egress> {
    Egress::new(http, allowed(config)).context("the client for webhook endpoints cannot be made")
}

/// How carriers' recordings are fetched; what an earlier run left unfinished is removed.
///
/// # Errors
/// When the folder cannot be used or the client cannot be built.
pub(crate) fn carrier_files(config: &Config, http: &Http, folder: PathBuf) -> anyhow::Result<CarrierFiles> {
    let settings = FileSettings {
        folder,
        hosts: config.recording_hosts.clone(),
        allowed: allowed(config),
        limits: FileLimits::default(),
    };
    let files = CarrierFiles::new(http, &settings).context("carriers' recordings cannot be fetched")?;
    let removed = files.clear().context("the folder of unfinished recordings cannot be read")?;
    if removed > 0 {
        tracing::info!(removed, "unfinished files of an earlier run removed");
    }
    Ok(files)
}

/// Exotel's API.
///
/// # Errors
/// When its address cannot be used.
pub(crate) fn exotel(config: &Config, http: &Http) -> anyhow::Result<ExotelClient> {
    ExotelClient::new(http, config.exotel_url.clone()).context("the client for Exotel's API cannot be made")
}

/// What tenants may choose as an address. In development this machine is one of them.
pub(crate) const fn allowed(config: &Config) -> Allowed {
    match config.environment {
        Environment::Development => Allowed::LoopbackToo,
        Environment::Production => Allowed::PublicOnly,
    }
}

/// The services, and what is missing of the built-in ones.
pub(crate) struct Loaded {
    /// For the switchboard.
    pub services: Services,
    /// One sentence for each built-in model that is not there.
    pub missing: Vec<String>,
}

/// What services share with other parts of the node.
pub(crate) struct Shared {
    pub(crate) http: Http,
    pub(crate) store: Store,
    pub(crate) egress: Egress,
    pub(crate) targets: Targets,
    pub(crate) recall: Option<Arc<dyn Recall>>,
    /// The zero of the breakers' time.
    pub(crate) began: Instant,
}

/// Loads the models and sets up the vendors. Computes for a second: not for an asynchronous thread.
///
/// # Errors
/// When the pool's threads or the HTTP client cannot be made.
pub(crate) fn load(config: &Config, shared: Shared, progress: &dyn Fn(&str)) -> anyhow::Result<Loaded> {
    let mut pool_settings = PoolSettings::default();
    if let Some(threads) = config.inference_threads {
        pool_settings.workers = threads;
    }
    let pool =
        InferencePool::start(pool_settings).context("the threads of the built-in models could not be started")?;
    let (builtin, missing) = match Builtin::load(&config.models, &pool, progress) {
        Ok(mut builtin) => {
            let missing = std::mem::take(&mut builtin.missing);
            (Some(builtin), missing)
        }
        Err(missing) => (None, missing),
    };
    let (transcriber, speaker, turn, silero) = match builtin {
        Some(Builtin { transcriber, speaker, turn, silero, .. }) => (transcriber, speaker, turn, silero),
        None => (None, None, None, None),
    };
    let Shared { http, store, egress, targets, recall, began } = shared;
    let keys: Arc<dyn Keys> = Arc::new(StoreKeys::new(store));
    let clients = Arc::new(VendorClients::new(config, &http, Arc::clone(&keys), Some(Arc::new(speech_model))));
    let services = Services {
        transcriber: transcriber.map(|one| Arc::new(one) as Arc<dyn Transcriber>),
        speaker: speaker.map(|one| Arc::new(one) as Arc<dyn Speaker>),
        turn: turn.map(|one| Arc::new(one) as Arc<dyn TurnDetector>),
        silero: silero.map(Arc::new),
        inference: pool,
        tools: ToolClients::new(egress, Arc::clone(&keys)),
        keys,
        models: Arc::clone(&clients) as Arc<dyn Models>,
        clients,
        recall,
        targets,
        began,
    };
    Ok(Loaded { services, missing: missing.iter().map(ToString::to_string).collect() })
}

/// A model that hears and speaks by itself, as the three parts that a call knows.
fn speech_model(
    http: &Http,
    config: &SpeechModelConfig,
    key: Option<SecretString>,
    rate_hz: u32,
) -> Result<SpeechParts, providers::Error> {
    let call = providers::realtime::speech_model(http, config, key, rate_hz)?;
    // Some can be told about their job only when the connection is made.
    call.prepare(&config.system_prompt, &[]);
    Ok(SpeechParts { transcriber: call.clone(), model: call.clone(), speaker: call })
}

/// The shared HTTP client.
///
/// # Errors
/// When TLS cannot be set up.
pub(crate) fn http() -> anyhow::Result<Http> {
    Http::new(&HttpSettings::default()).context("the HTTP client could not be made")
}
