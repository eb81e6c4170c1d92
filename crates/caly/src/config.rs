//! Settings: one typed struct, from environment variables and an optional TOML file with the same names in lower case.
//! The only place that reads the environment. Everything that is wrong is reported at once.

mod embedding;
mod security;
mod vendors;

pub(crate) use embedding::EmbeddingModel;
pub(crate) use security::Security;
pub(crate) use vendors::Vendors;

use providers::carrier_file::HOSTS_MAX;
use providers::local::ModelPaths;
use providers::objects::{ObjectSettings, S3Settings};
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use store::{Keyring, StoreConfig};

/// Live calls of a node unless a setting says otherwise: what one core holds with vendors that stream
/// (docs/measurements.md). A node that is late refuses calls before.
const CALLS_MAX: usize = 1_000;

/// Every setting, with what it is for. What is not here is refused.
pub(crate) const SETTINGS: &[(&str, &str)] = &[
    (
        "DATABASE_URL",
        "sqlite:///path/caly.db or postgres://user:password@host/database; default: a file in CALY_DATA_DIR",
    ),
    ("DB_POOL_MAX", "most connections to PostgreSQL (20)"),
    ("DB_POOL_MIN", "connections kept open (5)"),
    ("DB_IDLE_TIMEOUT", "seconds after which an idle connection is closed (30)"),
    ("PORT", "port of the server (3000)"),
    ("NODE_ENV", "as CALY_ENV, for those who have it set"),
    ("LOG_LEVEL", "error, warn, info, debug or trace (info)"),
    ("EXOTEL_WEBHOOK_SECRET", "signs Exotel's webhooks; without it every signed webhook is refused"),
    ("JWT_SECRET", "signs access tokens, 32 characters or more; needed in production"),
    ("ENCRYPTION_KEY", "protects keys at rest, 64 hexadecimal digits; needed in production"),
    ("SMTP_HOST", "mail server; needed in production, else mails go into CALY_DATA_DIR/mails"),
    ("SMTP_PORT", "its port (587; with SMTP_TLS=tls 465, with none 25)"),
    ("SMTP_USER", "who signs in there, if anybody"),
    ("SMTP_PASSWORD", "with which password"),
    ("SMTP_FROM", "who mails are from: Caly <caly@example.org>"),
    ("SMTP_TLS", "starttls, tls or none (starttls)"),
    ("REDIS_URL", "redis://host:6379: counts requests of all nodes together; default: each node for itself"),
    ("DEV_TEST_TOKEN", "opens /api/test/* in development"),
    ("WASABI_ACCESS_KEY", "with the four below: recordings go to this S3-compatible service instead of CALY_DATA_DIR"),
    ("WASABI_SECRET_KEY", "its secret"),
    ("WASABI_BUCKET", "its bucket"),
    ("WASABI_ENDPOINT", "its address"),
    ("WASABI_REGION", "its region"),
    ("DEEPGRAM_API_KEY", "makes the transcriber and the speaker «deepgram» available to agents"),
    (
        "SARVAM_API_KEY",
        "makes the transcriber and the speaker «sarvam» available; also for language models at api.sarvam.ai",
    ),
    ("ELEVENLABS_API_KEY", "makes the speaker «elevenlabs» available"),
    ("CARTESIA_API_KEY", "makes the speaker «cartesia» available"),
    ("ANTHROPIC_API_KEY", "key for language models with the protocol «anthropic»; goes to api.anthropic.com only"),
    (
        "OPENAI_API_KEY",
        "key for language models and speech; goes to api.openai.com, CALY_SPEECH_URL and CALY_MODEL_URLS only",
    ),
    ("CALY_ENV", "development or production (development)"),
    ("CALY_CONFIG", "a TOML file with these settings in lower case; the environment wins"),
    ("CALY_HOST", "address to listen on (127.0.0.1; in production 0.0.0.0)"),
    ("CALY_PUBLIC_URL", "https://host under which carriers reach this installation; needed in production"),
    ("CALY_JWT_SECRET_PREVIOUS", "the JWT_SECRET before this one: its tokens count until they are over"),
    ("CALY_ENCRYPTION_KEY_PREVIOUS", "the ENCRYPTION_KEY before this one, until `caly keys rotate` has run"),
    ("CALY_OPERATOR_TOKEN", "opens /api/monitoring/* to who runs the installation"),
    (
        "CALY_TRUSTED_PROXIES",
        "addresses of proxies in front, 10.0.0.0/8, 192.0.2.7: their forwarded headers are believed",
    ),
    (
        "CALY_RATE_LIMITS",
        "limits other than the usual ones: login=6/15m, organisation=600/1m; docs/limits.md names them",
    ),
    ("CALY_AUDIT_KEEP_DAYS", "days after which audit events are deleted; default: never"),
    (
        "CALY_RECORDING_HOSTS",
        "hosts besides the carriers' and S3 that their recordings may be on: files.example.org, *.example.org",
    ),
    ("CALY_DATA_DIR", "folder for the database file, recordings and spools (data)"),
    ("CALY_MODELS_DIR", "folder of the built-in models (~/.cache/caly/models)"),
    ("CALY_MODEL_MOONSHINE", "folder of other weights for speech to text"),
    ("CALY_MODEL_HIBARI", "folder of other weights for text to speech"),
    ("CALY_MODEL_SMART_TURN", "file of other weights for the end of turn"),
    ("CALY_MODEL_SILERO", "file of other weights for voice activity"),
    ("CALY_INFERENCE_THREADS", "threads for the built-in models (number of cores)"),
    ("CALY_VOICES_DIR", "folder of the recorded caller's voice for `caly demo` and `caly call`"),
    ("CALY_NODE", "name of this node; default: made once and kept in CALY_DATA_DIR"),
    ("CALY_CALLS_MAX", "most live calls of this node (1000); it refuses new ones before, when it is late"),
    ("CALY_CALL_LOGS", "true: keep the inputs of every call for `caly replay` (true in development)"),
    ("CALY_UTC_OFFSET", "local time of the businesses (+05:30)"),
    ("CALY_DRAIN_S", "how long live calls may go on when the node stops (600)"),
    ("CALY_DEEPGRAM_URL", "another address of the Deepgram protocol"),
    ("CALY_AURA_URL", "another address of Deepgram's voices"),
    ("CALY_SARVAM_URL", "another address of Sarvam's sockets"),
    ("CALY_ELEVENLABS_URL", "another address of ElevenLabs' sockets"),
    ("CALY_CARTESIA_URL", "another address of Cartesia's sockets"),
    ("CALY_ANTHROPIC_URL", "another address of the Anthropic protocol that gets ANTHROPIC_API_KEY"),
    (
        "CALY_TRANSCRIPTION_URL",
        "base address of an OpenAI-compatible transcription service: makes the transcriber «openai» available",
    ),
    ("CALY_TRANSCRIPTION_MODEL", "its model (whisper-1)"),
    ("CALY_EXOTEL_URL", "another address of Exotel's API, such as a simulated one; accounts' credentials go there"),
    (
        "CALY_MODEL_URLS",
        "other addresses of language models that get OPENAI_API_KEY: https://api.groq.com, http://10.0.0.7:8000",
    ),
    ("CALY_SPEECH_URL", "base address of an OpenAI-compatible speech service: makes the speaker «openai» available"),
    ("CALY_SPEECH_MODEL", "its model (tts-1)"),
    ("CALY_PRICES", "a TOML file with prices of vendors that come before the built-in list: docs/analysis.md"),
    (
        "CALY_EMBEDDING_URL",
        "base address of an OpenAI-compatible embedding service: documents are searched by meaning, too",
    ),
    ("CALY_EMBEDDING_MODEL", "its model"),
    ("CALY_EMBEDDING_KEY", "its key, if it wants one"),
];

/// The environment this runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Environment {
    /// A person's own machine.
    Development,
    /// Real calls.
    Production,
}

/// All settings, checked.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Development or production.
    pub environment: Environment,
    /// Where to listen.
    pub listen: SocketAddr,
    /// How carriers reach us.
    pub public_url: Option<String>,
    /// The database.
    pub database: Database,
    /// Files of this node.
    pub data_dir: PathBuf,
    /// Recordings.
    pub objects: ObjectSettings,
    /// Built-in models.
    pub(crate) models: ModelPaths,
    /// Threads for them; none = one for each core.
    pub inference_threads: Option<usize>,
    /// Recorded callers.
    pub voices_dir: PathBuf,
    /// Signs Exotel's webhooks.
    pub exotel_webhook_secret: Option<SecretString>,
    /// What protects the installation.
    pub security: Security,
    /// Audit events are kept this long; none = for ever.
    pub audit_keep_days: Option<u32>,
    /// This node's name, if given.
    pub node: Option<String>,
    /// Most live calls.
    pub calls_max: usize,
    /// Keep call logs.
    pub call_logs: bool,
    /// Local time, seconds east of UTC.
    pub local_offset_s: i32,
    /// Patience when stopping.
    pub drain: Duration,
    /// Log level.
    pub log_level: String,
    /// Deepgram.
    pub deepgram_key: Option<SecretString>,
    /// Another address of its protocol.
    pub deepgram_url: Option<String>,
    /// Instead of the address of an account's region.
    pub exotel_url: Option<String>,
    /// Keys and addresses of vendors.
    pub vendors: Vendors,
    /// Hosts of carriers' recordings besides those that are known.
    pub recording_hosts: Vec<String>,
    /// OpenAI-compatible services.
    pub openai_key: Option<SecretString>,
    /// Language models of the operator's own choice: they get the key.
    pub model_urls: Vec<String>,
    /// OpenAI-compatible speech.
    pub speech_url: Option<String>,
    /// Its model.
    pub speech_model: String,
    /// The operator's price table.
    pub prices: Option<PathBuf>,
    /// What makes vectors of documents.
    pub embedding: Option<EmbeddingModel>,
}

/// Which database, and how many connections to it; none = the store's own defaults.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    /// Its address.
    pub url: SecretString,
    /// Most connections.
    pub pool_max: Option<u32>,
    /// Connections kept open.
    pub pool_min: Option<u32>,
    /// When others are closed.
    pub idle_timeout: Option<Duration>,
}

/// Everything that is wrong with the settings.
#[derive(Debug)]
pub(crate) struct ConfigError(pub Vec<String>);

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::from("the settings cannot be used:");
        for problem in &self.0 {
            let _ = write!(text, "\n  {problem}");
        }
        f.write_str(&text)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Where an object is, for people: a path, or a bucket's address.
    pub(crate) fn object_place(&self, key: &str) -> String {
        match &self.objects {
            ObjectSettings::Local { folder } => folder.join(key).display().to_string(),
            ObjectSettings::S3(s3) => format!("s3://{}/{key}", s3.bucket),
        }
    }

    /// How to open the database. In development the key of secrets at rest is made at first use.
    ///
    /// # Errors
    /// When the key can be neither read nor made.
    pub(crate) fn store(&self) -> anyhow::Result<StoreConfig> {
        let current = match &self.security.encryption_key {
            Some(key) => key.clone(),
            None => crate::secrets::development(&self.data_dir, "encryption-key")?,
        };
        let keys = Keyring::from_hex(&current, self.security.encryption_key_previous.as_ref())?;
        let mut store = StoreConfig::new(self.database.url.expose_secret(), keys);
        store.pool_max = self.database.pool_max.unwrap_or(store.pool_max);
        store.pool_min = self.database.pool_min.unwrap_or(store.pool_min);
        store.idle_timeout = self.database.idle_timeout.unwrap_or(store.idle_timeout);
        Ok(store)
    }

    /// What signs access tokens. In development it is made at first use.
    ///
    /// # Errors
    /// When it can be neither read nor made.
    pub(crate) fn jwt_secret(&self) -> anyhow::Result<SecretString> {
        match &self.security.jwt_secret {
            Some(secret) => Ok(secret.clone()),
            None => crate::secrets::development(&self.data_dir, "jwt-secret"),
        }
    }

    /// Where people and carriers reach this installation, without a slash at the end.
    pub(crate) fn base_url(&self) -> String {
        let own = || format!("http://{}", self.listen);
        self.public_url.clone().unwrap_or_else(own).trim_end_matches('/').to_owned()
    }

    /// From the process's environment and the file it names.
    ///
    /// # Errors
    /// [`ConfigError`] with everything that is wrong.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub(crate) fn load() -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let environment: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let mut values = match environment.get("CALY_CONFIG") {
            Some(path) => from_file(path, &mut problems),
            None => BTreeMap::new(),
        };
        for (name, value) in &environment {
            let known = SETTINGS.iter().any(|(setting, _)| setting == name);
            // Test harnesses of ours have settings of their own.
            if name.starts_with("CALY_") && !known && !name.starts_with("CALY_TEST_") {
                problems.push(unknown(name));
            } else if known {
                values.insert(name.clone(), value.clone());
            }
        }
        let home = environment
            .get("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| environment.get("HOME").map(|home| PathBuf::from(home).join(".cache")));
        Self::from_values(&values, home, problems)
    }

    /// From names and values; `cache` is the user's cache folder.
    ///
    /// # Errors
    /// [`ConfigError`] with everything that is wrong, `problems` included.
    pub(crate) fn from_values(
        values: &BTreeMap<String, String>,
        cache: Option<PathBuf>,
        problems: Vec<String>,
    ) -> Result<Self, ConfigError> {
        let mut read = Reader { values, problems };
        let environment = read.environment();
        let production = environment == Environment::Production;
        let data_dir = PathBuf::from(read.text("CALY_DATA_DIR").unwrap_or_else(|| "data".to_owned()));
        let cache = cache.unwrap_or_else(|| data_dir.clone()).join("caly");
        let host = read.parsed("CALY_HOST", "an IP address").unwrap_or(IpAddr::V4(if production {
            Ipv4Addr::UNSPECIFIED
        } else {
            Ipv4Addr::LOCALHOST
        }));
        let port = read.parsed("PORT", "a port number").unwrap_or(3000);
        let config = Self {
            environment,
            listen: SocketAddr::new(host, port),
            public_url: read.url("CALY_PUBLIC_URL"),
            database: read.database(&data_dir),
            objects: read.objects(&data_dir),
            models: read.models(&cache),
            inference_threads: read.parsed("CALY_INFERENCE_THREADS", "a number"),
            voices_dir: read.text("CALY_VOICES_DIR").map_or_else(|| cache.join("voices/asterisk-en"), PathBuf::from),
            exotel_webhook_secret: read.text("EXOTEL_WEBHOOK_SECRET").map(SecretString::from),
            security: read.security(production),
            audit_keep_days: read.parsed("CALY_AUDIT_KEEP_DAYS", "a number of days"),
            node: read.text("CALY_NODE"),
            calls_max: read.parsed("CALY_CALLS_MAX", "a number").unwrap_or(CALLS_MAX),
            call_logs: read.parsed("CALY_CALL_LOGS", "true or false").unwrap_or(!production),
            local_offset_s: read.offset(),
            drain: Duration::from_secs(read.parsed("CALY_DRAIN_S", "a number of seconds").unwrap_or(600)),
            log_level: read.log_level(),
            deepgram_key: read.text("DEEPGRAM_API_KEY").map(SecretString::from),
            deepgram_url: read.text("CALY_DEEPGRAM_URL"),
            exotel_url: read.text("CALY_EXOTEL_URL"),
            vendors: read.vendors(),
            recording_hosts: read.hosts("CALY_RECORDING_HOSTS"),
            openai_key: read.text("OPENAI_API_KEY").map(SecretString::from),
            model_urls: read.urls("CALY_MODEL_URLS"),
            speech_url: read.url("CALY_SPEECH_URL"),
            speech_model: read.text("CALY_SPEECH_MODEL").unwrap_or_else(|| "tts-1".to_owned()),
            prices: read.text("CALY_PRICES").map(PathBuf::from),
            embedding: read.embedding(),
            data_dir,
        };
        if config.audit_keep_days == Some(0) {
            read.problems
                .push("CALY_AUDIT_KEEP_DAYS must be at least 1; leave it out to keep audit events for ever".into());
        }
        if production && config.public_url.is_none() {
            read.problems
                .push("CALY_PUBLIC_URL is missing: in production carriers must be told where to connect".into());
        }
        if production && config.exotel_webhook_secret.is_none() {
            read.problems.push("EXOTEL_WEBHOOK_SECRET is missing: in production webhooks must be authentic".into());
        }
        if read.problems.is_empty() { Ok(config) } else { Err(ConfigError(read.problems)) }
    }
}

fn from_file(path: &str, problems: &mut Vec<String>) -> BTreeMap<String, String> {
    let table = match std::fs::read_to_string(path)
        .map_err(|error| error.to_string())
        .and_then(|text| text.parse::<toml::Table>().map_err(|error| error.message().to_owned()))
    {
        Ok(table) => table,
        Err(error) => {
            problems.push(format!("CALY_CONFIG: {path}: {error}"));
            return BTreeMap::new();
        }
    };
    let mut values = BTreeMap::new();
    for (key, value) in table {
        let name = key.to_uppercase();
        if SETTINGS.iter().all(|(setting, _)| *setting != name) {
            problems.push(unknown(&key));
            continue;
        }
        let text = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(truth) => truth.to_string(),
            toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_) => {
                problems.push(format!("{key} in {path} must be a text, a whole number, true or false"));
                continue;
            }
        };
        values.insert(name, text);
    }
    values
}

fn is_web_address(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// A name with a dot in it, or all below one.
fn is_host(text: &str) -> bool {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    name.contains('.') && name.split('.').all(is_label)
}

fn unknown(name: &str) -> String {
    format!("{name} is no setting of Caly; `caly check-config --list` names them all")
}

struct Reader<'a> {
    values: &'a BTreeMap<String, String>,
    problems: Vec<String>,
}

impl Reader<'_> {
    fn text(&self, name: &str) -> Option<String> {
        self.values.get(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn parsed<T: std::str::FromStr>(&mut self, name: &str, expected: &str) -> Option<T> {
        let text = self.text(name)?;
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.problems.push(format!("{name} must be {expected}"));
        }
        parsed
    }

    fn environment(&mut self) -> Environment {
        match self.text("CALY_ENV").or_else(|| self.text("NODE_ENV")).as_deref() {
            None | Some("development" | "test") => Environment::Development,
            Some("production") => Environment::Production,
            Some(_) => {
                self.problems.push("CALY_ENV must be development or production".to_owned());
                Environment::Production
            }
        }
    }

    fn url(&mut self, name: &str) -> Option<String> {
        let text = self.text(name)?;
        let fine = is_web_address(&text);
        if !fine {
            self.problems.push(format!("{name} must be an address like https://example.org"));
        }
        fine.then_some(text)
    }

    fn urls(&mut self, name: &str) -> Vec<String> {
        let text = self.text(name).unwrap_or_default();
        let all: Vec<String> = text.split(',').map(|url| url.trim().to_owned()).filter(|url| !url.is_empty()).collect();
        if all.iter().any(|url| !is_web_address(url)) {
            self.problems.push(format!("{name} must be addresses like https://example.org, with commas between them"));
        }
        all
    }

    fn hosts(&mut self, name: &str) -> Vec<String> {
        let text = self.text(name).unwrap_or_default();
        let all: Vec<String> = text.split(',').map(|host| host.trim().to_lowercase()).collect();
        let all: Vec<String> = all.into_iter().filter(|host| !host.is_empty()).collect();
        if all.len() > HOSTS_MAX || !all.iter().all(|host| is_host(host)) {
            self.problems.push(format!(
                "{name} must be at most {HOSTS_MAX} hosts like files.example.org or *.example.org, with commas between them"
            ));
        }
        all
    }

    fn database(&mut self, data_dir: &std::path::Path) -> Database {
        let url =
            self.text("DATABASE_URL").unwrap_or_else(|| format!("sqlite://{}", data_dir.join("caly.db").display()));
        Database {
            url: SecretString::from(url),
            pool_max: self.parsed("DB_POOL_MAX", "a number"),
            pool_min: self.parsed("DB_POOL_MIN", "a number"),
            idle_timeout: self.parsed("DB_IDLE_TIMEOUT", "a number of seconds").map(Duration::from_secs),
        }
    }

    fn objects(&mut self, data_dir: &std::path::Path) -> ObjectSettings {
        let names = ["WASABI_ACCESS_KEY", "WASABI_SECRET_KEY", "WASABI_BUCKET", "WASABI_REGION"];
        let [access_key, secret_key, bucket, region] = names.map(|name| self.text(name));
        let endpoint = self.url("WASABI_ENDPOINT");
        match (access_key, secret_key, bucket, region) {
            (None, None, None, None) if endpoint.is_none() => {
                ObjectSettings::Local { folder: data_dir.join("objects") }
            }
            (Some(access_key), Some(secret_key), Some(bucket), Some(region)) => ObjectSettings::S3(S3Settings {
                endpoint,
                region,
                bucket,
                access_key: SecretString::from(access_key),
                secret_key: SecretString::from(secret_key),
                virtual_host: false,
            }),
            _ => {
                self.problems.push(format!("of {}, all or none must be set", names.join(", ")));
                ObjectSettings::Local { folder: data_dir.join("objects") }
            }
        }
    }

    fn models(&self, cache: &std::path::Path) -> ModelPaths {
        let folder = self.text("CALY_MODELS_DIR").map_or_else(|| cache.join("models"), PathBuf::from);
        let mut paths = ModelPaths::in_folder(folder);
        paths.moonshine = self.text("CALY_MODEL_MOONSHINE").map(PathBuf::from);
        paths.hibari = self.text("CALY_MODEL_HIBARI").map(PathBuf::from);
        paths.smart_turn = self.text("CALY_MODEL_SMART_TURN").map(PathBuf::from);
        paths.silero = self.text("CALY_MODEL_SILERO").map(PathBuf::from);
        paths
    }

    fn offset(&mut self) -> i32 {
        const INDIA_S: i32 = 19_800;
        let Some(text) = self.text("CALY_UTC_OFFSET") else { return INDIA_S };
        let offset = text.parse::<chrono::FixedOffset>();
        offset.map_or_else(
            |_| {
                self.problems.push("CALY_UTC_OFFSET must be like +05:30".to_owned());
                INDIA_S
            },
            |offset| offset.local_minus_utc(),
        )
    }

    fn log_level(&mut self) -> String {
        let level = self.text("LOG_LEVEL").unwrap_or_else(|| "info".to_owned()).to_lowercase();
        if !matches!(level.as_str(), "error" | "warn" | "info" | "debug" | "trace") {
            self.problems.push("LOG_LEVEL must be error, warn, info, debug or trace".to_owned());
        }
        level
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(values: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let values = values.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Config::from_values(&values, Some("/cache".into()), Vec::new())
    }

    #[test]
    fn nothing_set_is_a_working_development_machine() {
        let config = config(&[]).expect("the defaults");
        assert_eq!(config.listen.to_string(), "127.0.0.1:3000");
        assert_eq!(config.environment, Environment::Development);
        assert!(matches!(config.objects, ObjectSettings::Local { .. }));
        assert_eq!(config.models.folder, PathBuf::from("/cache/caly/models"));
    }

    #[test]
    fn every_problem_is_named_at_once() {
        let error = config(&[
            ("PORT", "99999"),
            ("CALY_ENV", "staging"),
            ("CALY_PUBLIC_URL", "example.org"),
            ("WASABI_BUCKET", "recordings"),
            ("CALY_UTC_OFFSET", "IST"),
            ("LOG_LEVEL", "loud"),
        ])
        .expect_err("nothing of this is right");
        let text = error.to_string();
        for name in ["PORT", "CALY_ENV", "CALY_PUBLIC_URL", "WASABI_SECRET_KEY", "CALY_UTC_OFFSET", "LOG_LEVEL"] {
            assert!(text.contains(name), "{name} is missing in:\n{text}");
        }
    }

    #[test]
    fn production_is_not_open_by_omission() {
        let error = config(&[("CALY_ENV", "production")]).expect_err("no secret, no address");
        assert!(error.to_string().contains("EXOTEL_WEBHOOK_SECRET"));
        assert!(error.to_string().contains("CALY_PUBLIC_URL"));
        let fine = [
            ("NODE_ENV", "production"),
            ("CALY_PUBLIC_URL", "https://caly.example"),
            ("EXOTEL_WEBHOOK_SECRET", "0123456789abcdef"),
            ("JWT_SECRET", "0123456789abcdef0123456789abcdef"),
            ("ENCRYPTION_KEY", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
            ("SMTP_HOST", "mail.example.org"),
            ("SMTP_FROM", "Caly <caly@example.org>"),
        ];
        for (missing, _) in &fine[2..] {
            let rest: Vec<_> = fine.iter().copied().filter(|(name, _)| name != missing).collect();
            let error = config(&rest).expect_err(missing);
            assert!(error.to_string().contains(missing), "{error}");
        }
        assert_eq!(config(&fine).expect("complete").environment, Environment::Production);
    }

    #[test]
    fn hosts_of_recordings_are_names_and_not_addresses() {
        let set = |value| config(&[("CALY_RECORDING_HOSTS", value)]);
        let hosts = set("Files.Example.org, *.example.net,").expect("hosts").recording_hosts;
        assert_eq!(hosts, ["files.example.org", "*.example.net"]);
        assert!(config(&[]).expect("none").recording_hosts.is_empty());
        for wrong in ["https://files.example.org", "files.example.org/x", "localhost", "*", "*.org*", "a..b", "a b.org"]
        {
            let error = set(wrong).expect_err(wrong).to_string();
            assert!(error.contains("CALY_RECORDING_HOSTS"), "{error}");
        }
    }

    #[test]
    fn printing_settings_prints_no_secret() {
        let config = config(&[
            ("EXOTEL_WEBHOOK_SECRET", "hunter2-webhook"),
            ("DATABASE_URL", "postgres://caly:hunter2@localhost/caly"),
            ("WASABI_ACCESS_KEY", "AKIA"),
            ("WASABI_SECRET_KEY", "hunter2-s3"),
            ("WASABI_BUCKET", "b"),
            ("WASABI_REGION", "ap-south-1"),
            ("JWT_SECRET", "hunter2-jwt-0123456789abcdef0123456789"),
            ("SMTP_HOST", "localhost"),
            ("SMTP_FROM", "caly@example.org"),
            ("SMTP_USER", "caly"),
            ("SMTP_PASSWORD", "hunter2-smtp"),
            ("REDIS_URL", "redis://:hunter2@localhost"),
            ("CALY_OPERATOR_TOKEN", "hunter2-operator-0123456789"),
        ])
        .expect("fine");
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
