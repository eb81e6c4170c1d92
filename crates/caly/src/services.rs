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
use wire::destination::{self, Refused};

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
    let addresses = ModelAddresses::of(config);
    Arc::new(move |model: &LanguageModelConfig| {
        // Agents name any address: the installation's key goes only where the operator said.
        let key = key.clone().filter(|_| addresses.is_ours(&model.base_url));
        let mut settings = ModelSettings::new(model.model.clone(), key);
        settings.base_url.clone_from(&model.base_url);
        Ok(Arc::new(OpenAiModel::new(http.clone(), settings)) as Arc<dyn LanguageModel>)
    })
}

/// Which language models agents may name, and which of them get `OPENAI_API_KEY`.
pub(crate) struct ModelAddresses {
    ours: Vec<Origin>,
    allowed: Option<Allowed>,
}

impl ModelAddresses {
    pub(crate) fn of(config: &Config) -> Self {
        let named = config.speech_url.iter().chain(&config.model_urls).map(String::as_str);
        let ours = std::iter::once(OPENAI_URL).chain(named).filter_map(|url| Some(Url::parse(url).ok()?.origin()));
        // On one's own machine a model may be anywhere.
        let production = config.environment == Environment::Production;
        Self { ours: ours.collect(), allowed: production.then_some(Allowed::PublicOnly) }
    }

    /// The operator has named it: it gets the key and may lie in the private network.
    fn is_ours(&self, base_url: &str) -> bool {
        Url::parse(base_url).is_ok_and(|url| self.ours.contains(&url.origin()))
    }

    /// Whether an agent may name it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn check(&self, base_url: &str) -> Result<(), Refused> {
        match self.allowed {
            Some(allowed) if !self.is_ours(base_url) => destination::parse(base_url, allowed).map(|_| ()),
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_goes_to_nobody_whom_the_operator_did_not_name() {
        let values = BTreeMap::from([
            ("CALY_SPEECH_URL".to_owned(), "http://127.0.0.1:8880/v1".to_owned()),
            ("CALY_MODEL_URLS".to_owned(), "https://api.groq.com/openai, http://10.0.0.7:8000".to_owned()),
        ]);
        let config = Config::from_values(&values, None, Vec::new()).expect("settings");
        let addresses = ModelAddresses::of(&config);
        for url in [
            "https://api.openai.com/v1",
            "http://127.0.0.1:8880/v1",
            "https://api.groq.com/openai/v1",
            "http://10.0.0.7:8000/v1",
        ] {
            assert!(addresses.is_ours(url), "{url}");
        }
        for url in [
            "https://evil.example/v1",
            "http://api.openai.com/v1",
            "https://api.openai.com.evil.example/v1",
            "https://api.openai.com:444/v1",
            "https://api.openai.com@evil.example/v1",
            "http://127.0.0.1:8881/v1",
            "not an address",
        ] {
            assert!(!addresses.is_ours(url), "{url}");
        }
    }

    #[test]
    fn in_production_agents_name_public_models_and_those_of_the_operator() {
        let ours = vec![Url::parse("http://10.0.0.7:8000").expect("an address").origin()];
        let addresses = ModelAddresses { ours, allowed: Some(Allowed::PublicOnly) };
        for url in ["https://models.example.org/v1", "http://10.0.0.7:8000/v1"] {
            assert_eq!(addresses.check(url), Ok(()), "{url}");
        }
        for url in [
            "http://169.254.169.254/latest",
            "https://127.0.0.1/v1",
            "http://models.example.org/v1",
            "https://10.0.0.7/",
        ] {
            assert!(addresses.check(url).is_err(), "{url}");
        }
        assert_eq!(ModelAddresses { ours: Vec::new(), allowed: None }.check("http://127.0.0.1:11434/v1"), Ok(()));
    }
}
