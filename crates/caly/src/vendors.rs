//! The vendors of speech and language that this installation has keys for, under the names that agents use.

use crate::config::{Config, VendorSettings};
use providers::aura::{AuraSettings, AuraSpeaker};
use providers::cartesia::{CartesiaSettings, CartesiaSpeaker};
use providers::deepgram::{DeepgramSettings, DeepgramTranscriber};
use providers::elevenlabs::{ElevenLabsSettings, ElevenLabsSpeaker};
use providers::http::Http;
use providers::openai::{OpenAiSpeaker, OpenAiTranscriber, SpeechSettings, TranscriptionSettings};
use providers::sarvam::{SarvamSpeaker, SarvamTranscriber, SpeakerSettings, TranscriberSettings};
use secrecy::SecretString;
use std::sync::Arc;

/// One of each that is set up.
#[derive(Default)]
pub(crate) struct Vendors {
    /// Speech to text, named `deepgram`.
    pub deepgram: Option<Arc<DeepgramTranscriber>>,
    /// Speech to text, named `sarvam`.
    pub sarvam_transcriber: Option<Arc<SarvamTranscriber>>,
    /// Speech to text, named `openai`.
    pub transcription: Option<Arc<OpenAiTranscriber>>,
    /// Text to speech, named `deepgram`.
    pub aura: Option<Arc<AuraSpeaker>>,
    /// Text to speech, named `sarvam`.
    pub sarvam_speaker: Option<Arc<SarvamSpeaker>>,
    /// Text to speech, named `elevenlabs`.
    pub elevenlabs: Option<Arc<ElevenLabsSpeaker>>,
    /// Text to speech, named `cartesia`.
    pub cartesia: Option<Arc<CartesiaSpeaker>>,
    /// Text to speech, named `openai`.
    pub speech: Option<Arc<OpenAiSpeaker>>,
    /// Language models of the protocol `anthropic`, at the vendor's own address.
    pub anthropic: Option<SecretString>,
}

impl Vendors {
    /// Nothing is sent yet.
    pub(crate) fn of(config: &Config, http: &Http) -> Self {
        let known = &config.vendors;
        Self {
            deepgram: config.deepgram_key.clone().map(|key| {
                let mut settings = DeepgramSettings::new(key);
                replace(&mut settings.listen_url, config.deepgram_url.as_ref());
                Arc::new(DeepgramTranscriber::new(http.clone(), settings))
            }),
            sarvam_transcriber: made(&known.sarvam, |key, url| {
                let mut settings = TranscriberSettings::new(key);
                replace(&mut settings.base_url, url);
                SarvamTranscriber::new(http.clone(), settings)
            }),
            transcription: known.transcription.url.as_ref().map(|url| {
                let model = known.transcription_model.clone();
                let mut settings = TranscriptionSettings::new(model, known.transcription.key.clone());
                settings.base_url.clone_from(url);
                Arc::new(OpenAiTranscriber::new(http.clone(), settings))
            }),
            aura: made(&known.aura, |key, url| {
                let mut settings = AuraSettings::new(key);
                replace(&mut settings.base_url, url);
                AuraSpeaker::new(http.clone(), settings)
            }),
            sarvam_speaker: made(&known.sarvam, |key, url| {
                let mut settings = SpeakerSettings::new(key);
                replace(&mut settings.base_url, url);
                SarvamSpeaker::new(http.clone(), settings)
            }),
            elevenlabs: made(&known.elevenlabs, |key, url| {
                let mut settings = ElevenLabsSettings::new(key);
                replace(&mut settings.base_url, url);
                ElevenLabsSpeaker::new(http.clone(), settings)
            }),
            cartesia: made(&known.cartesia, |key, url| {
                let mut settings = CartesiaSettings::new(key);
                replace(&mut settings.base_url, url);
                CartesiaSpeaker::new(http.clone(), settings)
            }),
            speech: config.speech_url.as_ref().map(|url| {
                let mut settings = SpeechSettings::new(config.speech_model.clone(), config.openai_key.clone());
                settings.base_url.clone_from(url);
                Arc::new(OpenAiSpeaker::new(http.clone(), settings))
            }),
            anthropic: known.anthropic.key.clone(),
        }
    }
}

fn made<T>(vendor: &VendorSettings, make: impl FnOnce(SecretString, Option<&String>) -> T) -> Option<Arc<T>> {
    vendor.key.clone().map(|key| Arc::new(make(key, vendor.url.as_ref())))
}

fn replace(own: &mut String, other: Option<&String>) {
    if let Some(other) = other {
        own.clone_from(other);
    }
}
