//! Settings of speech and language vendors: the installation's keys, and other addresses of their protocols.

use super::Reader;
use secrecy::SecretString;

/// A vendor's key and, for servers that speak its protocol elsewhere, their address.
#[derive(Clone, Debug, Default)]
pub(crate) struct VendorSettings {
    /// The installation's key; none = the vendor is not available.
    pub key: Option<SecretString>,
    /// Instead of the vendor's own address.
    pub url: Option<String>,
}

/// Every vendor that is known by one key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Vendors {
    /// Hears and speaks Indian languages.
    pub sarvam: VendorSettings,
    /// Speaks.
    pub elevenlabs: VendorSettings,
    /// Speaks.
    pub cartesia: VendorSettings,
    /// Deepgram's voices; the key is that of its transcriber.
    pub aura: VendorSettings,
    /// Language models.
    pub anthropic: VendorSettings,
    /// An OpenAI-compatible transcription service: it has an address, the key is OpenAI's.
    pub transcription: VendorSettings,
    /// Its model.
    pub transcription_model: String,
}

impl Reader<'_> {
    pub(super) fn vendors(&self) -> Vendors {
        let vendor = |key: &str, url: &str| VendorSettings {
            key: self.text(key).map(SecretString::from),
            // The address of a socket begins with ws, not http: checked where it is used.
            url: self.text(url),
        };
        Vendors {
            sarvam: vendor("SARVAM_API_KEY", "CALY_SARVAM_URL"),
            elevenlabs: vendor("ELEVENLABS_API_KEY", "CALY_ELEVENLABS_URL"),
            cartesia: vendor("CARTESIA_API_KEY", "CALY_CARTESIA_URL"),
            aura: vendor("DEEPGRAM_API_KEY", "CALY_AURA_URL"),
            anthropic: vendor("ANTHROPIC_API_KEY", "CALY_ANTHROPIC_URL"),
            transcription: vendor("OPENAI_API_KEY", "CALY_TRANSCRIPTION_URL"),
            transcription_model: self.text("CALY_TRANSCRIPTION_MODEL").unwrap_or_else(|| "whisper-1".to_owned()),
        }
    }
}
