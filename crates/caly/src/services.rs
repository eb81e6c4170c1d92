//! The services of this node: built-in models and the vendors that are set up.

use crate::config::{Config, Environment};
use crate::vendors::Vendors;
use anyhow::Context;
use model::{LanguageModelConfig, ModelProtocol};
use providers::anthropic::{AnthropicModel, AnthropicSettings};
use providers::carrier_file::{CarrierFiles, FileLimits, FileSettings};
use providers::egress::{Allowed, Egress};
use providers::exotel::ExotelClient;
use providers::http::{Http, HttpSettings};
use providers::language_model::LanguageModel;
use providers::local::{Builtin, InferencePool, PoolSettings};
use providers::openai::{ModelSettings, OpenAiModel};
use providers::speaker::Speaker;
use providers::transcriber::Transcriber;
use providers::turn::TurnDetector;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use switchboard::{Services, ThinkerFactory};
use url::{Origin, Url};
use wire::destination::{self, Refused};

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

const fn allowed(config: &Config) -> Allowed {
    match config.environment {
        Environment::Development => Allowed::LoopbackToo,
        Environment::Production => Allowed::PublicOnly,
    }
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
    let vendors = Vendors::of(config, http);
    for transcriber in [
        vendors.deepgram.map(|one| one as Arc<dyn Transcriber>),
        vendors.sarvam_transcriber.map(|one| one as Arc<dyn Transcriber>),
        vendors.transcription.map(|one| one as Arc<dyn Transcriber>),
    ]
    .into_iter()
    .flatten()
    {
        transcribers.insert(transcriber.name().to_owned(), transcriber);
    }
    for speaker in [
        vendors.aura.map(|one| one as Arc<dyn Speaker>),
        vendors.sarvam_speaker.map(|one| one as Arc<dyn Speaker>),
        vendors.elevenlabs.map(|one| one as Arc<dyn Speaker>),
        vendors.cartesia.map(|one| one as Arc<dyn Speaker>),
        vendors.speech.map(|one| one as Arc<dyn Speaker>),
    ]
    .into_iter()
    .flatten()
    {
        speakers.insert(speaker.name().to_owned(), speaker);
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

/// The vendors that keys are for when nothing else is said.
const OPENAI_URL: &str = "https://api.openai.com";
const SARVAM_URL: &str = "https://api.sarvam.ai";
const ANTHROPIC_URL: &str = "https://api.anthropic.com";

fn thinker(config: &Config, http: &Http) -> ThinkerFactory {
    let http = http.clone();
    let addresses = ModelAddresses::of(config);
    Arc::new(move |model: &LanguageModelConfig| {
        let key = addresses.key(model.protocol, &model.base_url);
        Ok(match model.protocol {
            ModelProtocol::Openai => {
                let mut settings = ModelSettings::new(model.model.clone(), key);
                settings.base_url.clone_from(&model.base_url);
                Arc::new(OpenAiModel::new(http.clone(), settings)) as Arc<dyn LanguageModel>
            }
            ModelProtocol::Anthropic => {
                let mut settings = AnthropicSettings::new(model.model.clone(), key);
                settings.base_url.clone_from(&model.base_url);
                Arc::new(AnthropicModel::new(http.clone(), settings))
            }
        })
    })
}

/// Which language models agents may name, and which of them get the installation's keys.
pub(crate) struct ModelAddresses {
    ours: Vec<(Origin, ModelProtocol, Option<SecretString>)>,
    allowed: Option<Allowed>,
}

impl ModelAddresses {
    pub(crate) fn of(config: &Config) -> Self {
        let vendors = &config.vendors;
        let named = config.speech_url.iter().chain(&config.model_urls).map(String::as_str);
        let openai =
            std::iter::once(OPENAI_URL).chain(named).map(|url| (url, ModelProtocol::Openai, config.openai_key.clone()));
        let sarvam = std::iter::once((SARVAM_URL, ModelProtocol::Openai, vendors.sarvam.key.clone()));
        let anthropic = std::iter::once(ANTHROPIC_URL)
            .chain(vendors.anthropic.url.as_deref())
            .map(|url| (url, ModelProtocol::Anthropic, vendors.anthropic.key.clone()));
        let ours = openai
            .chain(sarvam)
            .chain(anthropic)
            .filter_map(|(url, protocol, key)| Some((Url::parse(url).ok()?.origin(), protocol, key)));
        // On one's own machine a model may be anywhere.
        let production = config.environment == Environment::Production;
        Self { ours: ours.collect(), allowed: production.then_some(Allowed::PublicOnly) }
    }

    /// Agents name any address: the installation's keys go only where the operator, or the vendor, said.
    fn key(&self, protocol: ModelProtocol, base_url: &str) -> Option<SecretString> {
        let origin = Url::parse(base_url).ok()?.origin();
        let ours = self.ours.iter().find(|(known, speaks, _)| *known == origin && *speaks == protocol);
        ours.and_then(|(_, _, key)| key.clone())
    }

    /// The operator has named it: it gets the key and may lie in the private network.
    fn is_ours(&self, base_url: &str) -> bool {
        Url::parse(base_url).is_ok_and(|url| self.ours.iter().any(|(known, _, _)| *known == url.origin()))
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
    use secrecy::ExposeSecret as _;

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
    fn each_vendor_gets_its_own_key_and_no_other() {
        let names = ["OPENAI_API_KEY", "SARVAM_API_KEY", "ANTHROPIC_API_KEY"];
        let values = names.map(|name| (name.to_owned(), format!("{name}-value"))).into();
        let config = Config::from_values(&values, None, Vec::new()).expect("settings");
        let addresses = ModelAddresses::of(&config);
        let (openai, anthropic) = (ModelProtocol::Openai, ModelProtocol::Anthropic);
        for (protocol, url, want) in [
            (openai, "https://api.openai.com/v1", Some("OPENAI_API_KEY-value")),
            (openai, "https://api.sarvam.ai/v1", Some("SARVAM_API_KEY-value")),
            (anthropic, "https://api.anthropic.com/v1", Some("ANTHROPIC_API_KEY-value")),
            (openai, "https://api.anthropic.com/v1", None),
            (anthropic, "https://api.openai.com/v1", None),
            (openai, "https://api.sarvam.ai.evil.example/v1", None),
        ] {
            let key = addresses.key(protocol, url);
            assert_eq!(key.as_ref().map(|key| key.expose_secret()), want, "{url}");
        }
    }

    #[test]
    fn in_production_agents_name_public_models_and_those_of_the_operator() {
        let origin = Url::parse("http://10.0.0.7:8000").expect("an address").origin();
        let ours = vec![(origin, ModelProtocol::Openai, None)];
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
