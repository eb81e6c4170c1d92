//! Clients of vendors, for each organisation its own: with its key, and connections that no other organisation uses.
//! Where the installation's key goes, or none, at an address of the operator's, all use one client.
//!
//! A client is kept while it is used, so that the next call finds its connections open. Its key is part of what it is
//! found by: another key, another client.

mod addresses;
mod cache;
mod keys;
mod speech;

pub(crate) use addresses::ModelAddresses;
pub(crate) use keys::StoreKeys;

use crate::config::Config;
use addresses::Reach;
use cache::Cache;
use model::{
    ModelChoice, ModelProtocol, SpeakerChoice, SpeechModelConfig, SpeechModelVendor, TenantId, TranscriberChoice,
};
use providers::anthropic::{AnthropicModel, AnthropicSettings};
use providers::chain::Link;
use providers::egress::System;
use providers::http::Http;
use providers::keys::Keys;
use providers::language_model::LanguageModel;
use providers::models::Models;
use providers::openai::{ModelSettings, OpenAiModel};
use providers::resilience::Target;
use providers::speaker::Speaker;
use providers::transcriber::Transcriber;
use providers::{BoxFuture, Error, ErrorKind};
use secrecy::{ExposeSecret as _, SecretString};
use speech::{Parts, SPEAKERS, Service, TRANSCRIBERS};
use std::sync::Arc;
use std::time::Duration;
use switchboard::{Clients, SpeechModelFactory, SpeechParts};
use wire::destination::Allowed;

/// A client that nobody has used for so long is dropped, with its connections.
const CLIENT_IDLE: Duration = Duration::from_secs(600);
/// Clients kept: of 500 organisations, with four services each.
const CLIENTS_MAX: usize = 2_000;
/// OpenAI's own address, for models that hear and speak.
const OPENAI_URL: &str = "https://api.openai.com/v1";
/// Google's own address.
const GOOGLE_URL: &str = "https://generativelanguage.googleapis.com";

/// Who uses a client, and its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Owner {
    /// All organisations: it has the installation's key, or goes without one to an address of the operator's.
    Installation,
    /// One.
    Tenant(TenantId),
}

/// What a client is found by. The last is made of the stage, address, model and key; see [`Target`].
type ClientId = (Owner, Target);

/// Clients of one kind.
type Made<T> = Cache<ClientId, Arc<T>>;

/// See the module.
pub(crate) struct VendorClients {
    http: Http,
    addresses: ModelAddresses,
    keys: Arc<dyn Keys>,
    /// Where a service is, and with which model, when an agent names none: of those that the operator has set.
    defaults: Defaults,
    speech_model: Option<SpeechModelFactory>,
    connections: Cache<(Owner, bool), Http>,
    transcribers: Made<dyn Transcriber>,
    speakers: Made<dyn Speaker>,
    models: Made<dyn LanguageModel>,
}

/// What the operator has set, by stage and vendor.
struct Defaults {
    transcribers: Vec<(&'static str, String)>,
    speakers: Vec<(&'static str, String)>,
    transcription_model: String,
    speech_model: String,
}

impl Defaults {
    fn of(config: &Config) -> Self {
        let vendors = &config.vendors;
        let set = |urls: &[(&'static str, &Option<String>)]| {
            urls.iter().filter_map(|(vendor, url)| Some((*vendor, (*url).clone()?))).collect()
        };
        Self {
            transcribers: set(&[
                ("deepgram", &config.deepgram_url),
                ("sarvam", &vendors.sarvam.url),
                ("openai", &vendors.transcription.url),
            ]),
            speakers: set(&[
                ("deepgram", &vendors.aura.url),
                ("sarvam", &vendors.sarvam.url),
                ("elevenlabs", &vendors.elevenlabs.url),
                ("cartesia", &vendors.cartesia.url),
                ("openai", &config.speech_url),
            ]),
            transcription_model: vendors.transcription_model.clone(),
            speech_model: config.speech_model.clone(),
        }
    }
}

fn set<'a>(urls: &'a [(&'static str, String)], vendor: &str) -> Option<&'a str> {
    urls.iter().find(|(name, _)| *name == vendor).map(|(_, url)| url.as_str())
}

/// Names of the vendors that agents may choose to listen.
pub(crate) fn transcriber_names() -> impl Iterator<Item = &'static str> {
    TRANSCRIBERS.iter().map(|service| service.name)
}

/// Names of the vendors that agents may choose to speak.
pub(crate) fn speaker_names() -> impl Iterator<Item = &'static str> {
    SPEAKERS.iter().map(|service| service.name)
}

/// Who is asked, where, with what.
struct Access {
    owner: Owner,
    http: Http,
    key: Option<SecretString>,
}

impl VendorClients {
    /// Nothing is sent yet. `speech_model` makes models that hear and speak by themselves.
    pub(crate) fn new(
        config: &Config,
        http: &Http,
        keys: Arc<dyn Keys>,
        speech_model: Option<SpeechModelFactory>,
    ) -> Self {
        Self {
            http: http.clone(),
            addresses: ModelAddresses::of(config),
            keys,
            defaults: Defaults::of(config),
            speech_model,
            connections: Cache::idle(CLIENTS_MAX, CLIENT_IDLE),
            transcribers: Cache::idle(CLIENTS_MAX, CLIENT_IDLE),
            speakers: Cache::idle(CLIENTS_MAX, CLIENT_IDLE),
            models: Cache::idle(CLIENTS_MAX, CLIENT_IDLE),
        }
    }

    /// The organisation's key before the installation's. The address is checked as it was when the agent was written:
    /// the rules may have changed.
    async fn access(&self, tenant: TenantId, name: &'static str, url: &str, reach: Reach) -> Result<Access, Error> {
        self.addresses
            .check(url)
            .map_err(|refused| Error::new(ErrorKind::Rejected, name, format!("its address {refused}")))?;
        let own = self.keys.key(tenant, &reach.key_name).await?;
        let owner = if own.is_none() && reach.ours { Owner::Installation } else { Owner::Tenant(tenant) };
        let fence = if reach.ours { None } else { self.addresses.allowed };
        Ok(Access { owner, http: self.connections(owner, fence)?, key: own.or(reach.key) })
    }

    fn connections(&self, owner: Owner, fence: Option<Allowed>) -> Result<Http, Error> {
        let id = (owner, fence.is_some());
        match (owner, fence) {
            (Owner::Installation, None) => Ok(self.http.clone()),
            (_, _) => match (self.connections.get(&id), fence) {
                (Some(http), _) => Ok(http),
                (None, None) => Ok(self.connections.put(id, self.http.apart()?)),
                (None, Some(allowed)) => Ok(self.connections.put(id, self.http.fenced(allowed, Arc::new(System))?)),
            },
        }
    }

    async fn speech_client<T: ?Sized>(&self, tenant: TenantId, asked: Asked<'_, T>) -> Result<Link<T>, Error> {
        let Asked { stage, service, url, default_url, model, made } = asked;
        let url = url.or(default_url).unwrap_or(service.url).to_owned();
        let reach = self.addresses.speech(service.name, &url);
        let access = self.access(tenant, service.name, &url, reach).await?;
        if access.key.is_none() && (!service.keyless || url == service.url) {
            return Err(Error::new(ErrorKind::NotInstalled, service.name, "there is no key for it"));
        }
        let target = target(service.name, stage, &url, model, access.key.as_ref());
        let id = (access.owner, target);
        let provider = match made.get(&id) {
            Some(client) => client,
            None => {
                let parts = Parts { http: access.http, key: access.key, url, model: model.to_owned() };
                made.put(id, (service.make)(parts)?)
            }
        };
        let link = Link::new(provider, service.name);
        Ok(Link { model: model.to_owned(), target: Some(target), ..link })
    }

    async fn model_client(&self, tenant: TenantId, choice: &ModelChoice) -> Result<Link<dyn LanguageModel>, Error> {
        let ModelChoice { protocol, base_url, model } = choice;
        let name = match protocol {
            ModelProtocol::Openai => "openai",
            ModelProtocol::Anthropic => "anthropic",
        };
        let reach = self.addresses.model(*protocol, base_url);
        let who = reach.key_name.clone();
        let access = self.access(tenant, name, base_url, reach).await?;
        let target = target(name, "model", base_url, model, access.key.as_ref());
        let id = (access.owner, target);
        let client = match self.models.get(&id) {
            Some(client) => client,
            None => self.models.put(id, language_model(access, *protocol, base_url, model)),
        };
        let link = Link::new(client, who);
        Ok(Link { model: model.clone(), target: Some(target), ..link })
    }

    async fn speech_parts(
        &self,
        tenant: TenantId,
        config: &SpeechModelConfig,
        rate_hz: u32,
    ) -> Result<Link<SpeechParts>, Error> {
        let (name, usual) = match config.vendor {
            SpeechModelVendor::Openai => ("openai", OPENAI_URL),
            SpeechModelVendor::Gemini => ("google", GOOGLE_URL),
        };
        let Some(make) = &self.speech_model else {
            return Err(Error::new(ErrorKind::NotInstalled, name, "no models that hear and speak by themselves here"));
        };
        let url = config.base_url.as_deref().unwrap_or(usual);
        let access = self.access(tenant, name, url, self.addresses.speech(name, url)).await?;
        let target = target(name, "speech model", url, &config.model, access.key.as_ref());
        let parts = make(&access.http, config, access.key, rate_hz)?;
        let link = Link::new(Arc::new(parts), name);
        Ok(Link { model: config.model.clone(), target: Some(target), ..link })
    }

    /// Every speech service that the installation has a key or an address for, with the question whether it works.
    pub(crate) fn checks(config: &Config, http: &Http) -> Vec<(String, BoxFuture<'static, Result<(), Error>>)> {
        let (addresses, defaults) = (ModelAddresses::of(config), Defaults::of(config));
        let mut checks = Vec::new();
        let of = |what, defaults: &[(&'static str, String)], model: &str| {
            let ask = Question { http, addresses: &addresses, what };
            (ask, defaults.to_vec(), model.to_owned())
        };
        let (ask, urls, model) = of("speech to text", &defaults.transcribers, &defaults.transcription_model);
        checks.extend(TRANSCRIBERS.iter().filter_map(|service| ask.check(service, &urls, &model)));
        let (ask, urls, model) = of("text to speech", &defaults.speakers, &defaults.speech_model);
        checks.extend(SPEAKERS.iter().filter_map(|service| ask.check(service, &urls, &model)));
        checks
    }
}

/// How services are asked whether they work.
struct Question<'a> {
    http: &'a Http,
    addresses: &'a ModelAddresses,
    what: &'static str,
}

impl Question<'_> {
    fn check<T: ?Sized>(
        &self,
        service: &'static Service<T>,
        urls: &[(&'static str, String)],
        model: &str,
    ) -> Option<(String, BoxFuture<'static, Result<(), Error>>)> {
        let check = service.check?;
        let named = set(urls, service.name);
        let url = named.unwrap_or(service.url);
        let key = self.addresses.speech(service.name, url).key;
        // The key of one that may do without is for language models, too: it is asked where the operator has put it.
        let wanted = if service.keyless { named.is_some() } else { key.is_some() };
        if !wanted {
            return None;
        }
        let model = if service.keyless { model } else { "" };
        let parts = Parts { http: self.http.clone(), key, url: url.to_owned(), model: model.to_owned() };
        Some((format!("{}, {}", service.name, self.what), check(parts)))
    }
}

/// A speech client that is wanted.
struct Asked<'a, T: ?Sized + 'static> {
    stage: &'static str,
    service: &'static Service<T>,
    url: Option<&'a str>,
    default_url: Option<&'a str>,
    model: &'a str,
    made: &'a Made<T>,
}

fn language_model(access: Access, protocol: ModelProtocol, base_url: &str, model: &str) -> Arc<dyn LanguageModel> {
    match protocol {
        ModelProtocol::Openai => {
            let mut settings = ModelSettings::new(model, access.key);
            base_url.clone_into(&mut settings.base_url);
            Arc::new(OpenAiModel::new(access.http, settings))
        }
        ModelProtocol::Anthropic => {
            let mut settings = AnthropicSettings::new(model, access.key);
            base_url.clone_into(&mut settings.base_url);
            Arc::new(AnthropicModel::new(access.http, settings))
        }
    }
}

/// A key that was refused says nothing about another one.
fn target(name: &'static str, stage: &str, url: &str, model: &str, key: Option<&SecretString>) -> Target {
    Target::at(name, &[stage, url, model, key.map_or("", |key| key.expose_secret())])
}

fn unknown<T>(what: &'static str, name: &str) -> Result<T, Error> {
    Err(Error::new(ErrorKind::NotInstalled, what, format!("«{name}» is not known to this version")))
}

impl Clients for VendorClients {
    fn transcriber<'a>(
        &'a self,
        tenant: TenantId,
        choice: &'a TranscriberChoice,
    ) -> BoxFuture<'a, Result<Link<dyn Transcriber>, Error>> {
        Box::pin(async move {
            let Some(service) = speech::find(TRANSCRIBERS, &choice.name) else {
                return unknown("transcriber", &choice.name);
            };
            let model = match choice.model.as_str() {
                "" if service.name == "openai" => &self.defaults.transcription_model,
                model => model,
            };
            let asked = Asked {
                stage: "transcriber",
                service,
                url: choice.base_url.as_deref(),
                default_url: set(&self.defaults.transcribers, service.name),
                model,
                made: &self.transcribers,
            };
            self.speech_client(tenant, asked).await
        })
    }

    fn speaker<'a>(
        &'a self,
        tenant: TenantId,
        choice: &'a SpeakerChoice,
    ) -> BoxFuture<'a, Result<Link<dyn Speaker>, Error>> {
        Box::pin(async move {
            let Some(service) = speech::find(SPEAKERS, &choice.name) else {
                return unknown("speaker", &choice.name);
            };
            let model = match choice.model.as_str() {
                "" if service.name == "openai" => &self.defaults.speech_model,
                model => model,
            };
            let asked = Asked {
                stage: "speaker",
                service,
                url: choice.base_url.as_deref(),
                default_url: set(&self.defaults.speakers, service.name),
                model,
                made: &self.speakers,
            };
            let link = self.speech_client(tenant, asked).await?;
            Ok(Link { voice: choice.voice.clone(), ..link })
        })
    }

    fn language_model<'a>(
        &'a self,
        tenant: TenantId,
        choice: &'a ModelChoice,
    ) -> BoxFuture<'a, Result<Link<dyn LanguageModel>, Error>> {
        Box::pin(self.model_client(tenant, choice))
    }

    fn speech_model<'a>(
        &'a self,
        tenant: TenantId,
        config: &'a SpeechModelConfig,
        rate_hz: u32,
    ) -> BoxFuture<'a, Result<Link<SpeechParts>, Error>> {
        Box::pin(self.speech_parts(tenant, config, rate_hz))
    }
}

impl Models for VendorClients {
    /// The temperature goes with each prompt.
    fn model<'a>(
        &'a self,
        tenant: TenantId,
        choice: &'a ModelChoice,
        _temperature: f64,
    ) -> BoxFuture<'a, Result<Arc<dyn LanguageModel>, Error>> {
        Box::pin(async move { Ok(self.model_client(tenant, choice).await?.provider) })
    }
}

#[cfg(test)]
mod tests;
