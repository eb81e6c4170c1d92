//! Which addresses belong to whom: who gets which key, and what an agent may name.
//!
//! A key goes to its vendor's own address, to those the operator named for that vendor, and nowhere else, whoever's it
//! is: who may write an agent is not always who may see a key. A server elsewhere gets the organisation's key of that
//! host's name.

use crate::config::{Config, Environment};
use model::ModelProtocol;
use secrecy::SecretString;
use url::{Origin, Url};
use wire::destination::{self, Allowed, Refused};

/// Vendors that are known, and the addresses that are theirs. Names are those of keys.
const KNOWN: &[(&str, &[&str])] = &[
    ("openai", &["https://api.openai.com"]),
    ("sarvam", &["https://api.sarvam.ai"]),
    ("anthropic", &["https://api.anthropic.com"]),
    ("deepgram", &["https://api.deepgram.com"]),
    ("elevenlabs", &["https://api.elevenlabs.io"]),
    ("cartesia", &["https://api.cartesia.ai"]),
    ("google", &["https://generativelanguage.googleapis.com"]),
];
/// Whose language models speak OpenAI's protocol.
const OPENAI_SPEAKERS: &[&str] = &["openai", "sarvam", "google"];
/// Whose language models speak Anthropic's.
const ANTHROPIC_SPEAKERS: &[&str] = &["anthropic"];

/// Which addresses agents may name, and which of them get the installation's keys.
#[derive(Clone, Debug)]
pub(crate) struct ModelAddresses {
    places: Vec<Place>,
    /// What tenants may choose; none = anything: on one's own machine a model may be anywhere.
    pub(super) allowed: Option<Allowed>,
}

#[derive(Clone, Debug)]
struct Place {
    origin: Origin,
    vendor: &'static str,
    key: Option<SecretString>,
}

/// What an address gets, and how it is reached.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    /// Name of the key that goes there.
    pub(crate) key_name: String,
    /// The installation's key, when it may go there.
    pub(crate) key: Option<SecretString>,
    /// The vendor's own, or the operator has named it: it may lie in the private network.
    pub(crate) ours: bool,
}

impl ModelAddresses {
    pub(crate) fn of(config: &Config) -> Self {
        let vendors = &config.vendors;
        let keys = [
            ("openai", &config.openai_key),
            ("sarvam", &vendors.sarvam.key),
            ("anthropic", &vendors.anthropic.key),
            ("deepgram", &config.deepgram_key),
            ("elevenlabs", &vendors.elevenlabs.key),
            ("cartesia", &vendors.cartesia.key),
        ];
        let key = |vendor: &str| keys.iter().find(|(name, _)| *name == vendor).and_then(|(_, key)| (*key).clone());
        let own = KNOWN.iter().flat_map(|(vendor, urls)| urls.iter().map(|url| (*vendor, (*url).to_owned())));
        let named = [
            ("openai", &config.speech_url),
            ("openai", &vendors.transcription.url),
            ("sarvam", &vendors.sarvam.url),
            ("anthropic", &vendors.anthropic.url),
            ("deepgram", &config.deepgram_url),
            ("deepgram", &vendors.aura.url),
            ("elevenlabs", &vendors.elevenlabs.url),
            ("cartesia", &vendors.cartesia.url),
        ];
        let named = named.into_iter().filter_map(|(vendor, url)| Some((vendor, url.clone()?)));
        let models = config.model_urls.iter().map(|url| ("openai", url.clone()));
        let places = own
            .chain(named)
            .chain(models)
            .filter_map(|(vendor, url)| Some(Place { origin: origin(&url)?, vendor, key: key(vendor) }))
            .collect();
        let production = config.environment == Environment::Production;
        Self { places, allowed: production.then_some(Allowed::PublicOnly) }
    }

    /// As in production.
    #[cfg(test)]
    pub(crate) const fn restrict(&mut self) {
        self.allowed = Some(Allowed::PublicOnly);
    }

    /// For a language model of this protocol.
    pub(crate) fn model(&self, protocol: ModelProtocol, base_url: &str) -> Reach {
        self.reach(
            base_url,
            match protocol {
                ModelProtocol::Openai => OPENAI_SPEAKERS,
                ModelProtocol::Anthropic => ANTHROPIC_SPEAKERS,
            },
        )
    }

    /// For a vendor's speech service.
    pub(crate) fn speech(&self, vendor: &'static str, base_url: &str) -> Reach {
        self.reach(base_url, &[vendor])
    }

    /// The installation's key for a language model, if it may go there.
    pub(crate) fn key(&self, protocol: ModelProtocol, base_url: &str) -> Option<SecretString> {
        self.model(protocol, base_url).key
    }

    fn reach(&self, base_url: &str, vendors: &[&str]) -> Reach {
        let origin = origin(base_url);
        let here = |place: &&Place| origin.as_ref() == Some(&place.origin) && vendors.contains(&place.vendor);
        match self.places.iter().find(here) {
            Some(place) => Reach { key_name: place.vendor.to_owned(), key: place.key.clone(), ours: true },
            None => Reach { key_name: host(base_url), key: None, ours: self.is_ours(base_url) },
        }
    }

    /// The operator has named it: it may lie in the private network.
    fn is_ours(&self, base_url: &str) -> bool {
        origin(base_url).is_some_and(|origin| self.places.iter().any(|place| place.origin == origin))
    }

    /// Whether an agent may name it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn check(&self, base_url: &str) -> Result<(), Refused> {
        let url = Url::parse(&as_http(base_url)).map_err(|_| Refused::Unreadable)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refused::Scheme);
        }
        // Whoever sees the agent would see the password.
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::Credentials);
        }
        match self.allowed {
            Some(allowed) if !self.is_ours(base_url) => destination::parse(url.as_str(), allowed).map(|_| ()),
            Some(_) | None => Ok(()),
        }
    }
}

/// An address with the scheme that a WebSocket's handshake has.
fn as_http(url: &str) -> String {
    let url = url.trim();
    match url.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("wss") => format!("https://{rest}"),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("ws") => format!("http://{rest}"),
        Some(_) | None => url.to_owned(),
    }
}

fn origin(url: &str) -> Option<Origin> {
    Some(Url::parse(&as_http(url)).ok()?.origin()).filter(Origin::is_tuple)
}

/// The host, and the port if it is not the usual one.
fn host(url: &str) -> String {
    Url::parse(&as_http(url)).map_or_else(|_| String::new(), |url| providers::tools::key_name(&url))
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;
    use std::collections::BTreeMap;

    fn addresses(values: &[(&str, &str)]) -> ModelAddresses {
        let values: BTreeMap<String, String> =
            values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        ModelAddresses::of(&Config::from_values(&values, None, Vec::new()).expect("settings"))
    }

    const KEYS: &[(&str, &str)] = &[
        ("OPENAI_API_KEY", "of-openai"),
        ("SARVAM_API_KEY", "of-sarvam"),
        ("ANTHROPIC_API_KEY", "of-anthropic"),
        ("DEEPGRAM_API_KEY", "of-deepgram"),
        ("ELEVENLABS_API_KEY", "of-elevenlabs"),
        ("CALY_SPEECH_URL", "http://127.0.0.1:8880/v1"),
        ("CALY_MODEL_URLS", "https://api.groq.com/openai, http://10.0.0.7:8000"),
        ("CALY_DEEPGRAM_URL", "ws://10.0.0.8:9000/v1/listen"),
    ];

    #[test]
    fn the_key_goes_to_nobody_whom_the_operator_did_not_name() {
        let addresses = addresses(KEYS);
        for url in [
            "https://api.openai.com/v1",
            "http://127.0.0.1:8880/v1",
            "https://api.groq.com/openai/v1",
            "http://10.0.0.7:8000/v1",
        ] {
            let reach = addresses.model(ModelProtocol::Openai, url);
            assert!(reach.ours && reach.key.is_some() && reach.key_name == "openai", "{url}");
        }
        for (url, host) in [
            ("https://evil.example/v1", "evil.example"),
            ("http://api.openai.com/v1", "api.openai.com"),
            ("https://api.openai.com.evil.example/v1", "api.openai.com.evil.example"),
            ("https://api.openai.com:444/v1", "api.openai.com:444"),
            ("https://api.openai.com@evil.example/v1", "evil.example"),
            ("http://127.0.0.1:8881/v1", "127.0.0.1:8881"),
            ("not an address", ""),
        ] {
            let reach = addresses.model(ModelProtocol::Openai, url);
            assert!(!reach.ours && reach.key.is_none(), "{url}");
            assert_eq!(reach.key_name, host, "an organisation's key of a vendor's name does not go there either");
        }
    }

    #[test]
    fn each_vendor_gets_its_own_key_and_no_other() {
        let addresses = addresses(KEYS);
        let (openai, anthropic) = (ModelProtocol::Openai, ModelProtocol::Anthropic);
        for (protocol, url, want) in [
            (openai, "https://api.openai.com/v1", Some("of-openai")),
            (openai, "https://api.sarvam.ai/v1", Some("of-sarvam")),
            (anthropic, "https://api.anthropic.com/v1", Some("of-anthropic")),
            (openai, "https://api.anthropic.com/v1", None),
            (anthropic, "https://api.openai.com/v1", None),
            (openai, "https://api.sarvam.ai.evil.example/v1", None),
        ] {
            let key = addresses.key(protocol, url);
            assert_eq!(key.as_ref().map(|key| key.expose_secret()), want, "{url}");
        }
        for (vendor, url, want) in [
            ("deepgram", "wss://api.deepgram.com/v1/listen", Some("of-deepgram")),
            ("deepgram", "https://api.deepgram.com", Some("of-deepgram")),
            ("deepgram", "ws://10.0.0.8:9000", Some("of-deepgram")),
            ("elevenlabs", "wss://api.elevenlabs.io", Some("of-elevenlabs")),
            ("elevenlabs", "wss://api.deepgram.com", None),
            ("elevenlabs", "ws://api.elevenlabs.io", None),
            ("elevenlabs", "ws://10.0.0.8:9000", None),
        ] {
            let reach = addresses.speech(vendor, url);
            assert_eq!(reach.key.as_ref().map(|key| key.expose_secret()), want, "{vendor} {url}");
        }
    }

    #[test]
    fn in_production_agents_name_public_services_and_those_of_the_operator() {
        let mut addresses = addresses(KEYS);
        assert_eq!(addresses.check("http://127.0.0.1:11434/v1"), Ok(()), "anything in development");
        assert_eq!(addresses.check("http://user:secret@127.0.0.1/v1"), Err(Refused::Credentials));
        assert_eq!(addresses.check("file:///etc/passwd"), Err(Refused::Scheme));
        addresses.restrict();
        for url in [
            "https://models.example.org/v1",
            "wss://speech.example.org",
            "http://10.0.0.7:8000/v1",
            "ws://10.0.0.8:9000/v1/listen",
        ] {
            assert_eq!(addresses.check(url), Ok(()), "{url}");
        }
        for url in [
            "http://169.254.169.254/latest",
            "https://127.0.0.1/v1",
            "http://models.example.org/v1",
            "ws://speech.example.org",
            "wss://127.0.0.1/v1",
            "wss://[::1]/v1",
            "wss://10.0.0.8",
            "https://10.0.0.7/",
            "file:///etc/passwd",
            "nonsense",
        ] {
            assert!(addresses.check(url).is_err(), "{url}");
        }
    }
}
