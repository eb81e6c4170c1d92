//! The services of this node: built-in models and the vendors that are set up.

use crate::config::{Config, Environment};
use anyhow::Context;
use model::LanguageModelConfig;
use providers::deepgram::{DeepgramSettings, DeepgramTranscriber};
use providers::egress::{Allowed, Egress};
use providers::http::{Http, HttpSettings};
use providers::language_model::LanguageModel;
use providers::local::{Builtin, InferencePool, PoolSettings};
use providers::openai::{ModelSettings, OpenAiModel, OpenAiSpeaker, SpeechSettings};
use providers::speaker::Speaker;
use providers::transcriber::Transcriber;
use providers::turn::TurnDetector;
use std::collections::BTreeMap;
use std::sync::Arc;
use switchboard::{Services, ThinkerFactory};
use url::{Origin, Url};

/// The client for addresses that tenants choose. In development this machine is one of them.
///
/// # Errors
/// When it cannot be built.
pub(crate) fn egress(config: &Config, http: &Http) -> anyhow::Result<Egress> {
    let allowed = match config.environment {
        Environment::Development => Allowed::LoopbackToo,
        Environment::Production => Allowed::PublicOnly,
    };
    Egress::new(http, allowed).context("the client for webhook endpoints cannot be made")
}

/// The services, what is missing of the built-in ones, and the pool they run in.
pub(crate) struct Loaded {
    /// For the switchboard.
    pub services: Services,
    /// One sentence for each built-in model that is not there.
    pub missing: Vec<String>,
}

/// Loads the models and sets up the vendors. Computes for a second: not for an asynchronous thread.
///
/// # Errors
/// When the pool's threads or the HTTP client cannot be made.
pub(crate) fn load(config: &Config, http: &Http, progress: &dyn Fn(&str)) -> anyhow::Result<Loaded> {
    let mut pool_settings = PoolSettings::default();
    if let Some(threads) = config.inference_threads {
        pool_settings.workers = threads;
    }
    let pool =
        InferencePool::start(pool_settings).context("the threads of the built-in models could not be started")?;
    let mut transcribers: BTreeMap<String, Arc<dyn Transcriber>> = BTreeMap::new();
    let mut speakers: BTreeMap<String, Arc<dyn Speaker>> = BTreeMap::new();
    let mut turn: Option<Arc<dyn TurnDetector>> = None;
    let mut silero = None;
    let missing = match Builtin::load(&config.models, &pool, progress) {
        Ok(builtin) => {
            if let Some(transcriber) = builtin.transcriber {
                transcribers.insert("builtin".to_owned(), Arc::new(transcriber));
            }
            if let Some(speaker) = builtin.speaker {
                speakers.insert("builtin".to_owned(), Arc::new(speaker));
            }
            turn = builtin.turn.map(|turn| Arc::new(turn) as Arc<dyn TurnDetector>);
            silero = builtin.silero.map(Arc::new);
            builtin.missing
        }
        Err(missing) => missing,
    };
    if let Some(key) = &config.deepgram_key {
        let mut settings = DeepgramSettings::new(key.clone());
        if let Some(url) = &config.deepgram_url {
            settings.listen_url.clone_from(url);
        }
        transcribers.insert("deepgram".to_owned(), Arc::new(DeepgramTranscriber::new(http.clone(), settings)));
    }
    if let Some(url) = &config.speech_url {
        let mut settings = SpeechSettings::new(config.speech_model.clone(), config.openai_key.clone());
        settings.base_url.clone_from(url);
        speakers.insert("openai".to_owned(), Arc::new(OpenAiSpeaker::new(http.clone(), settings)));
    }
    let services = Services { transcribers, speakers, turn, silero, thinker: thinker(config, http) };
    Ok(Loaded { services, missing: missing.iter().map(ToString::to_string).collect() })
}

/// The shared HTTP client.
///
/// # Errors
/// When TLS cannot be set up.
pub(crate) fn http() -> anyhow::Result<Http> {
    Http::new(&HttpSettings::default()).context("the HTTP client could not be made")
}

/// The vendor that the key is for when nothing else is said.
const OPENAI_URL: &str = "https://api.openai.com";

fn thinker(config: &Config, http: &Http) -> ThinkerFactory {
    let (http, key) = (http.clone(), config.openai_key.clone());
    let ours = own_origins(config);
    Arc::new(move |model: &LanguageModelConfig| {
        // Agents name any address: the installation's key goes only where the operator said.
        let key = key.clone().filter(|_| Url::parse(&model.base_url).is_ok_and(|url| ours.contains(&url.origin())));
        let mut settings = ModelSettings::new(model.model.clone(), key);
        settings.base_url.clone_from(&model.base_url);
        Ok(Arc::new(OpenAiModel::new(http.clone(), settings)) as Arc<dyn LanguageModel>)
    })
}

/// Where `OPENAI_API_KEY` may be sent.
fn own_origins(config: &Config) -> Vec<Origin> {
    let named = config.speech_url.iter().chain(&config.model_urls).map(String::as_str);
    std::iter::once(OPENAI_URL).chain(named).filter_map(|url| Some(Url::parse(url).ok()?.origin())).collect()
}
