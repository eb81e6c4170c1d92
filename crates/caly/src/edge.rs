//! What the HTTP edge is given: secrets, limits, mail, recordings, and the judgement of an agent's configuration.

use crate::clock;
use crate::config::{Config, Environment};
use crate::services::ModelAddresses;
use anyhow::Context;
use api::{
    App, EdgeSettings, ExotelSettings, FieldFault, Hearings, Latencies, MailCheck, Pending, RecordingFile,
    RecordingFiles, RetryStats, Strangers,
};
use call::flow::Flow;
use futures_util::StreamExt;
use identity::{AccessTokens, Passwords, TokenPepper};
use limiter::Limiter;
use model::{AgentConfig, Brain, EmailAddress, Mail, MailKind};
use providers::mail::Mailer;
use providers::objects::{ObjectErrorKind, ObjectKey, Objects};
use providers::resilience::Targets;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use store::Store;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Parts of the node that the edge shares with others.
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) objects: Objects,
    pub(crate) mailer: Mailer,
    pub(crate) targets: Targets,
    pub(crate) passwords: Passwords,
    pub(crate) wake: Arc<Notify>,
    pub(crate) stopping: CancellationToken,
    /// Names of the services that agents may choose.
    pub(crate) transcribers: BTreeSet<String>,
    pub(crate) speakers: BTreeSet<String>,
}

/// Makes the state of the edge.
///
/// # Errors
/// When a secret cannot be made or used.
pub(crate) fn app(config: &Config, shared: Shared) -> anyhow::Result<App> {
    let secret = config.jwt_secret()?;
    let mut tokens = AccessTokens::new(&secret).context("JWT_SECRET cannot be used")?;
    if let Some(previous) = &config.security.jwt_secret_previous {
        tokens = tokens.with_previous(previous).context("CALY_JWT_SECRET_PREVIOUS cannot be used")?;
    }
    let addresses = ModelAddresses::of(config);
    let policies = config.security.policies.clone();
    let limiter = match &config.security.redis_url {
        Some(url) => Limiter::shared(url, policies.clone()).context("REDIS_URL cannot be used")?,
        None => Limiter::local(policies.clone()),
    };
    Ok(App {
        store: shared.store,
        clock: clock::shared(),
        tokens,
        pepper: TokenPepper::derive(&secret),
        passwords: shared.passwords,
        strangers: Strangers::default(),
        limiter,
        policies,
        mail: Arc::new(TestMail(shared.mailer)),
        recordings: Arc::new(Stored(shared.objects)),
        hearings: Hearings::default(),
        retry_stats: Arc::new(move || retry_stats(&shared.targets)),
        check_agent: Arc::new(move |agent| check_agent(agent, &shared.transcribers, &shared.speakers, &addresses)),
        edge: EdgeSettings {
            production: config.environment == Environment::Production,
            public_url: config.public_url.clone(),
            links_url: config.base_url(),
            trusted_proxies: config.security.trusted_proxies.clone(),
            dev_test_token: config.security.dev_test_token.clone(),
            operator_token: config.security.operator_token.clone(),
        },
        exotel: ExotelSettings { webhook_secret: config.exotel_webhook_secret.clone() },
        latencies: Latencies::default(),
        stopping: shared.stopping,
        jobs_wake: shared.wake,
        version: env!("CARGO_PKG_VERSION"),
    })
}

/// How mail leaves: over SMTP, or in development into a folder.
///
/// # Errors
/// When the settings cannot be used.
pub(crate) fn mailer(config: &Config) -> anyhow::Result<Mailer> {
    match &config.security.smtp {
        Some(smtp) => Mailer::smtp(smtp.clone()).context("the SMTP settings cannot be used"),
        None => Ok(Mailer::folder(config.data_dir.join("mails"))),
    }
}

struct TestMail(Mailer);

impl MailCheck for TestMail {
    fn send_test(&self, to: EmailAddress) -> Pending<'_, Result<(), String>> {
        Box::pin(async move {
            let mail = Mail { to, kind: MailKind::Test };
            self.0.send(&mail, clock::now()).await.map_err(|error| error.to_string())
        })
    }
}

fn retry_stats(targets: &Targets) -> RetryStats {
    let stats = targets.stats();
    // While one is on trial, all other requests are refused, too.
    let refusing = targets.states().into_iter().map(|state| (state.target, (state.open + state.half_open) as u64));
    RetryStats {
        total_retries: stats.total_retries,
        successful_retries: stats.successful_retries,
        failed_retries: stats.failed_retries,
        circuit_breaker_triggered: stats.circuit_breaker_triggered,
        open_breakers: refusing.filter(|(_, open)| *open > 0).collect(),
    }
}

struct Stored(Objects);

impl RecordingFiles for Stored {
    fn open<'a>(
        &'a self,
        object_key: &'a str,
        part: Option<Range<u64>>,
    ) -> Pending<'a, Result<Option<RecordingFile>, String>> {
        Box::pin(async move {
            let key = ObjectKey::parse(object_key).map_err(|error| error.to_string())?;
            let download = match self.0.get_stream(&key, part).await {
                Ok(download) => download,
                Err(error) if error.kind == ObjectErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error.to_string()),
            };
            let bytes = download.info.bytes;
            let content = download.pieces.map(|piece| piece.map_err(std::io::Error::other));
            Ok(Some(RecordingFile { bytes, content: Box::pin(content) }))
        })
    }
}

/// What a schema cannot say: the flow can be read, and the services exist here.
fn check_agent(
    agent: &AgentConfig,
    transcribers: &BTreeSet<String>,
    speakers: &BTreeSet<String>,
    addresses: &ModelAddresses,
) -> Result<(), Vec<FieldFault>> {
    let mut faults = Vec::new();
    let mut fault = |field: &str, message: String| faults.push(FieldFault { field: field.to_owned(), message });
    match &agent.brain {
        Brain::Flow { text } => match Flow::parse(text) {
            Ok(flow) => {
                for tool in flow.tool_names().filter(|name| !agent.tools.contains_key(*name)) {
                    fault("tools", format!("lacks `{tool}`, which the flow uses"));
                }
            }
            Err(error) => {
                for problem in &error.problems {
                    // The first line: the others would quote the text.
                    let what = problem.what.lines().next().unwrap_or_default();
                    fault("brain.text", format!("{}: {what}", problem.place));
                }
            }
        },
        Brain::LanguageModel(model) => {
            if let Err(refused) = addresses.check(&model.base_url) {
                fault("brain.base_url", refused.to_string());
            }
        }
    }
    let known = |names: &BTreeSet<String>| {
        let others = names.iter().map(String::as_str).filter(|name| *name != "builtin");
        std::iter::once("builtin").chain(others).collect::<Vec<_>>().join(", ")
    };
    for (field, chosen, there) in [
        ("speech.transcriber", &agent.speech.transcriber, transcribers),
        ("speech.speaker", &agent.speech.speaker, speakers),
    ] {
        // The built-in ones may be installed later; every other name must exist now.
        if chosen != "builtin" && !there.contains(chosen) {
            fault(field, format!("is not set up here; there is: {}", known(there)));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn agent(text: &str, speaker: &str) -> AgentConfig {
        serde_json::from_value(serde_json::json!({
            "brain": { "kind": "flow", "text": text }, "speech": { "speaker": speaker },
            "tools": { "book_visit": { "kind": "record" } },
        }))
        .expect("an agent")
    }

    #[test]
    fn a_flow_must_be_readable_and_services_must_exist() {
        let flow = include_str!("../../../flows/clinic.toml");
        let speakers = BTreeSet::from(["openai".to_owned()]);
        let none = BTreeSet::new();
        let config = Config::from_values(&BTreeMap::new(), None, Vec::new()).expect("the defaults");
        let anywhere = ModelAddresses::of(&config);
        assert!(check_agent(&agent(flow, "builtin"), &none, &none, &anywhere).is_ok());
        assert!(check_agent(&agent(flow, "openai"), &none, &speakers, &anywhere).is_ok());
        let faults =
            check_agent(&agent("nonsense", "elevenlabs"), &none, &speakers, &anywhere).expect_err("two faults");
        let fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["brain.text", "speech.speaker"]);
    }
}
