//! Speech vendors by the names that agents use: one line each says how its client is made.

use providers::aura::{self, AuraSettings, AuraSpeaker};
use providers::cartesia::{self, CartesiaSettings, CartesiaSpeaker};
use providers::deepgram::{self, DeepgramSettings, DeepgramTranscriber};
use providers::elevenlabs::{self, ElevenLabsSettings, ElevenLabsSpeaker, ElevenLabsTranscriber, ListenSettings};
use providers::http::Http;
use providers::openai::{self, OpenAiSpeaker, OpenAiTranscriber, SpeechSettings, TranscriptionSettings};
use providers::sarvam::{self, SarvamSpeaker, SarvamTranscriber, SpeakerSettings, TranscriberSettings};
use providers::speaker::Speaker;
use providers::transcriber::Transcriber;
use providers::{BoxFuture, Error, ErrorKind};
use secrecy::SecretString;
use std::sync::Arc;

/// What a client is made of.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) http: Http,
    pub(super) key: Option<SecretString>,
    pub(super) url: String,
    /// Empty = the vendor's usual one.
    pub(super) model: String,
}

/// Makes a client.
type Make<T> = fn(Parts) -> Result<Arc<T>, Error>;
/// Whether service and key work.
type Check = fn(Parts) -> BoxFuture<'static, Result<(), Error>>;

/// A vendor's service.
pub(super) struct Service<T: ?Sized> {
    /// Under which name agents choose it, and organisations keep its key.
    pub(super) name: &'static str,
    /// Where it is.
    pub(super) url: &'static str,
    /// It may be without a key, at an address of one's own.
    pub(super) keyless: bool,
    pub(super) make: Make<T>,
    /// None: another service of the vendor's tells it.
    pub(super) check: Option<Check>,
}

/// Speech to text.
pub(super) const TRANSCRIBERS: &[Service<dyn Transcriber>] = &[
    Service {
        name: "deepgram",
        url: deepgram::LISTEN_URL,
        keyless: false,
        make: |parts| {
            let mut settings = DeepgramSettings::new(needed(&parts, "deepgram")?);
            settings.listen_url = with_path(&parts.url, "/v1/listen");
            replace(&mut settings.model, &parts.model);
            Ok(Arc::new(DeepgramTranscriber::new(parts.http, settings)))
        },
        check: None,
    },
    Service {
        name: "sarvam",
        url: sarvam::BASE_URL,
        keyless: false,
        make: |parts| Ok(Arc::new(sarvam_transcriber(parts)?)),
        check: Some(|parts| Box::pin(async move { sarvam_transcriber(parts)?.check().await })),
    },
    Service {
        name: "openai",
        url: openai::BASE_URL,
        keyless: true,
        make: |parts| Ok(Arc::new(openai_transcriber(parts))),
        check: Some(|parts| Box::pin(async move { openai_transcriber(parts).check().await })),
    },
    Service {
        name: "elevenlabs",
        url: elevenlabs::BASE_URL,
        keyless: false,
        make: |parts| Ok(Arc::new(elevenlabs_transcriber(parts)?)),
        check: Some(|parts| Box::pin(async move { elevenlabs_transcriber(parts)?.check().await })),
    },
];

/// Text to speech.
pub(super) const SPEAKERS: &[Service<dyn Speaker>] = &[
    Service {
        name: "deepgram",
        url: aura::BASE_URL,
        keyless: false,
        make: |parts| Ok(Arc::new(aura_speaker(parts)?)),
        check: Some(|parts| Box::pin(async move { aura_speaker(parts)?.check().await })),
    },
    Service {
        name: "sarvam",
        url: sarvam::BASE_URL,
        keyless: false,
        make: |parts| Ok(Arc::new(sarvam_speaker(parts)?)),
        check: Some(|parts| Box::pin(async move { sarvam_speaker(parts)?.check().await })),
    },
    Service {
        name: "elevenlabs",
        url: elevenlabs::BASE_URL,
        keyless: false,
        make: |parts| Ok(Arc::new(elevenlabs_speaker(parts)?)),
        check: Some(|parts| Box::pin(async move { elevenlabs_speaker(parts)?.check().await })),
    },
    Service {
        name: "cartesia",
        url: cartesia::BASE_URL,
        keyless: false,
        make: |parts| Ok(Arc::new(cartesia_speaker(parts)?)),
        check: Some(|parts| Box::pin(async move { cartesia_speaker(parts)?.check().await })),
    },
    Service {
        name: "openai",
        url: openai::BASE_URL,
        keyless: true,
        make: |parts| Ok(Arc::new(openai_speaker(parts))),
        check: Some(|parts| Box::pin(async move { openai_speaker(parts).check().await })),
    },
];

fn elevenlabs_transcriber(parts: Parts) -> Result<ElevenLabsTranscriber, Error> {
    let mut settings = ListenSettings::new(needed(&parts, "elevenlabs")?);
    settings.base_url = parts.url;
    replace(&mut settings.model, &parts.model);
    Ok(ElevenLabsTranscriber::new(parts.http, settings))
}

fn sarvam_transcriber(parts: Parts) -> Result<SarvamTranscriber, Error> {
    let mut settings = TranscriberSettings::new(needed(&parts, "sarvam")?);
    settings.base_url = parts.url;
    if !parts.model.is_empty() {
        settings.set_model(parts.model);
    }
    Ok(SarvamTranscriber::new(parts.http, settings))
}

fn openai_transcriber(parts: Parts) -> OpenAiTranscriber {
    let mut settings = TranscriptionSettings::new(parts.model, parts.key);
    settings.base_url = parts.url;
    OpenAiTranscriber::new(parts.http, settings)
}

fn aura_speaker(parts: Parts) -> Result<AuraSpeaker, Error> {
    let mut settings = AuraSettings::new(needed(&parts, "deepgram")?);
    settings.base_url = parts.url;
    // The voice is the model.
    replace(&mut settings.voice, &parts.model);
    Ok(AuraSpeaker::new(parts.http, settings))
}

fn sarvam_speaker(parts: Parts) -> Result<SarvamSpeaker, Error> {
    let mut settings = SpeakerSettings::new(needed(&parts, "sarvam")?);
    settings.base_url = parts.url;
    replace(&mut settings.model, &parts.model);
    Ok(SarvamSpeaker::new(parts.http, settings))
}

fn elevenlabs_speaker(parts: Parts) -> Result<ElevenLabsSpeaker, Error> {
    let mut settings = ElevenLabsSettings::new(needed(&parts, "elevenlabs")?);
    settings.base_url = parts.url;
    replace(&mut settings.model, &parts.model);
    Ok(ElevenLabsSpeaker::new(parts.http, settings))
}

fn cartesia_speaker(parts: Parts) -> Result<CartesiaSpeaker, Error> {
    let mut settings = CartesiaSettings::new(needed(&parts, "cartesia")?);
    settings.base_url = parts.url;
    replace(&mut settings.model, &parts.model);
    Ok(CartesiaSpeaker::new(parts.http, settings))
}

fn openai_speaker(parts: Parts) -> OpenAiSpeaker {
    let mut settings = SpeechSettings::new(parts.model, parts.key);
    settings.base_url = parts.url;
    OpenAiSpeaker::new(parts.http, settings)
}

/// The service of that name.
pub(super) fn find<T: ?Sized>(services: &'static [Service<T>], name: &str) -> Option<&'static Service<T>> {
    services.iter().find(|service| service.name == name)
}

fn needed(parts: &Parts, name: &'static str) -> Result<SecretString, Error> {
    parts.key.clone().ok_or_else(|| Error::new(ErrorKind::NotInstalled, name, "there is no key for it"))
}

fn replace(own: &mut String, other: &str) {
    if !other.is_empty() {
        other.clone_into(own);
    }
}

/// The address with a path, unless it has one.
fn with_path(url: &str, path: &str) -> String {
    let bare = url.trim().trim_end_matches('/');
    match bare.split_once("://") {
        Some((_, rest)) if !rest.contains('/') => format!("{bare}{path}"),
        Some(_) | None => bare.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_gets_its_path_once() {
        for (url, want) in [
            ("wss://api.deepgram.com", "wss://api.deepgram.com/v1/listen"),
            ("wss://api.deepgram.com/", "wss://api.deepgram.com/v1/listen"),
            ("wss://api.deepgram.com/v1/listen", "wss://api.deepgram.com/v1/listen"),
            ("ws://10.0.0.8:9000/other", "ws://10.0.0.8:9000/other"),
        ] {
            assert_eq!(with_path(url, "/v1/listen"), want);
        }
    }

    #[test]
    fn the_name_of_a_client_is_the_one_it_is_chosen_by() {
        let http = Http::new(&providers::http::HttpSettings::default()).expect("no network is needed");
        let key = || Some(SecretString::from("a-key".to_owned()));
        for service in TRANSCRIBERS {
            let url = service.url.to_owned();
            let made = (service.make)(Parts { http: http.clone(), key: key(), url: url.clone(), model: String::new() });
            assert_eq!(made.expect("it has a key").name(), service.name);
            let made = (service.make)(Parts { http: http.clone(), key: None, url, model: String::new() });
            assert_eq!(made.is_ok(), service.keyless, "{}", service.name);
        }
        for service in SPEAKERS {
            let url = service.url.to_owned();
            let made = (service.make)(Parts { http: http.clone(), key: key(), url: url.clone(), model: String::new() });
            assert_eq!(made.expect("it has a key").name(), service.name);
            let made = (service.make)(Parts { http: http.clone(), key: None, url, model: String::new() });
            assert_eq!(made.is_ok(), service.keyless, "{}", service.name);
        }
    }
}
