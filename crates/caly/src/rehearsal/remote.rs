//! A running Caly, asked over its API.

use super::Refused;
use chrono::{DateTime, Utc};
use clap::Args;
use model::limits::{AGENT_CONFIG_BYTES_MAX, TURNS_PER_CALL_MAX};
use model::{AgentConfig, AgentId, CallDirection, CallId, E164, EndedReason, TranscriptTurn};
use providers::http::Http;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::path::Path;
use std::time::Duration;

/// An answer of the API must be there after this time.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Largest answer: an agent, or a page of turns with 16 KiB each.
const BODY_BYTES_MAX: usize = 2 * AGENT_CONFIG_BYTES_MAX + PAGE * 20 * 1024;
/// Turns asked for at once.
const PAGE: usize = 200;
/// Longest key file.
const KEY_BYTES_MAX: usize = 4_096;

/// Which installation, and with which key.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct RemoteOptions {
    /// Address of a running Caly, for agents and calls that are named by their id: https://caly.example.org
    #[arg(long)]
    pub url: Option<String>,
    /// Its API key; @FILE reads it from a file.
    #[arg(long)]
    pub key: Option<String>,
}

/// See the module.
pub(crate) struct Remote {
    http: Http,
    url: String,
    key: SecretString,
}

/// An agent as the API shows it; the rest of it is not of interest.
#[derive(Deserialize)]
struct AgentAnswer {
    config: AgentConfig,
}

/// A call as the API shows it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RemoteCall {
    /// Who answered.
    pub agent_id: AgentId,
    /// Who placed it.
    pub direction: CallDirection,
    /// The caller.
    pub from: Option<E164>,
    /// The called number.
    pub to: Option<E164>,
    /// Why it ended.
    pub ended_reason: Option<EndedReason>,
    /// When it was announced.
    pub created_at: DateTime<Utc>,
    /// When media began.
    pub started_at: Option<DateTime<Utc>>,
    /// What it collected.
    #[serde(default)]
    pub data: Value,
    /// What the agent was told.
    #[serde(default)]
    pub variables: Map<String, Value>,
}

#[derive(Deserialize)]
struct TurnsAnswer {
    items: Vec<TranscriptTurn>,
    next_cursor: Option<String>,
}

impl RemoteOptions {
    /// An installation is named.
    pub(crate) const fn is_given(&self) -> bool {
        self.url.is_some()
    }

    fn key(&self) -> Result<SecretString, Refused> {
        let given = self.key.as_deref().ok_or_else(|| Refused("give --key, a key of that Caly's API".to_owned()))?;
        match given.strip_prefix('@') {
            Some(path) => Ok(super::agent::text(Path::new(path), KEY_BYTES_MAX)?.trim().to_owned().into()),
            None => Ok(given.to_owned().into()),
        }
    }
}

impl Remote {
    /// A client; nothing is asked yet.
    ///
    /// # Errors
    /// When address or key are not given or cannot be used.
    pub(crate) fn new(http: &Http, options: &RemoteOptions) -> Result<Self, Refused> {
        let given =
            options.url.as_deref().ok_or_else(|| Refused("give --url, the address of a running Caly".to_owned()))?;
        let url = url::Url::parse(given).map_err(|error| Refused(format!("--url is no address: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some() {
            return Err(Refused("--url must begin with http:// or https://, without a name and password".to_owned()));
        }
        Ok(Self { http: http.clone(), url: given.trim_end_matches('/').to_owned(), key: options.key()? })
    }

    /// An agent.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn agent(&self, id: AgentId) -> Result<AgentConfig, Refused> {
        Ok(self.get::<AgentAnswer>(&format!("/api/agents/{id}")).await?.config)
    }

    /// A call.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn call(&self, id: CallId) -> Result<RemoteCall, Refused> {
        self.get(&format!("/api/calls/{id}")).await
    }

    /// The turns of a call.
    ///
    /// # Errors
    /// Why there are none.
    pub(crate) async fn turns(&self, id: CallId) -> Result<Vec<TranscriptTurn>, Refused> {
        let mut turns = Vec::new();
        let mut cursor = String::new();
        let pages_max = usize::try_from(TURNS_PER_CALL_MAX).unwrap_or(usize::MAX).div_ceil(PAGE) + 1;
        for _ in 0..pages_max {
            let page: TurnsAnswer = self.get(&format!("/api/calls/{id}/turns?limit={PAGE}{cursor}")).await?;
            turns.extend(page.items);
            match page.next_cursor.filter(|next| next.bytes().all(|byte| byte.is_ascii_alphanumeric())) {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        Ok(turns)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Refused> {
        let body = tokio::time::timeout(TIMEOUT, self.body(path))
            .await
            .map_err(|_| Refused(format!("{}{path} did not answer within {} s", self.url, TIMEOUT.as_secs())))??;
        serde_json::from_slice(&body)
            .map_err(|error| Refused(format!("{}{path} answered something else: {error}", self.url)))
    }

    async fn body(&self, path: &str) -> Result<Vec<u8>, Refused> {
        let failed = |what: String| Refused(format!("{}{path}: {what}", self.url));
        let request = self.http.client().get(format!("{}{path}", self.url)).bearer_auth(self.key.expose_secret());
        let mut answer = request.send().await.map_err(|error| failed(error.without_url().to_string()))?;
        let status = answer.status();
        if !status.is_success() {
            let why = match status.as_u16() {
                401 => " (is the key right?)",
                403 => " (the key may not do this)",
                404 => " (there is nothing of this id, or it is another organisation's)",
                _ => "",
            };
            return Err(failed(format!("{status}{why}")));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| failed(error.without_url().to_string()))? {
            if body.len() + chunk.len() > BODY_BYTES_MAX {
                return Err(failed(format!("the answer has more than {BODY_BYTES_MAX} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}
