//! What the HTTP edge is given: secrets, limits, mail, recordings, and the judgement of an agent's configuration.

use crate::clock;
use crate::config::{Config, Environment};
use crate::knowledge::ShownToPeople;
use crate::services;
use crate::vendors::{self, ModelAddresses};
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
use std::ops::Range;
use std::sync::Arc;
use store::Store;
use switchboard::BUILTIN;
use switchboard::StoreRecall;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use wire::destination::{self, Allowed};

/// Parts of the node that the edge shares with others.
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) objects: Objects,
    pub(crate) recall: Arc<StoreRecall>,
    pub(crate) mailer: Mailer,
    pub(crate) targets: Targets,
    pub(crate) passwords: Passwords,
    pub(crate) wake: Arc<Notify>,
    pub(crate) stopping: CancellationToken,
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
    let allowed = services::allowed(config);
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
        passages: Arc::new(ShownToPeople(shared.recall)),
        hearings: Hearings::default(),
        retry_stats: Arc::new(move || retry_stats(&shared.targets)),
        check_agent: Arc::new(move |agent| check_agent(agent, &addresses, allowed)),
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

/// What a schema cannot say: the flow can be read, the services are known, tools can be used as they stand, and addresses
/// may be reached. Whether there is a key is not asked: an organisation may keep its own, and take it away again.
fn check_agent(agent: &AgentConfig, addresses: &ModelAddresses, allowed: Allowed) -> Result<(), Vec<FieldFault>> {
    let mut faults = Vec::new();
    let mut fault = |field: &str, message: String| faults.push(FieldFault { field: field.to_owned(), message });
    check_brain(agent, addresses, &mut fault);
    check_speech(agent, addresses, &mut fault);
    check_analysis(agent, addresses, &mut fault);
    if let Some(Err(refused)) = agent.lookup.as_ref().map(|lookup| destination::parse(&lookup.url, allowed)) {
        fault("lookup.url", refused.to_string());
    }
    for (field, message) in providers::tools::check(&agent.tools, allowed) {
        fault(&field, message);
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

fn check_brain(agent: &AgentConfig, addresses: &ModelAddresses, fault: &mut dyn FnMut(&str, String)) {
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
            let fallbacks = model.fallbacks.iter().enumerate();
            let fallbacks = fallbacks.map(|(n, one)| (format!("brain.fallbacks.{n}.base_url"), &one.base_url));
            for (field, url) in std::iter::once(("brain.base_url".to_owned(), &model.base_url)).chain(fallbacks) {
                if let Err(refused) = addresses.check(url) {
                    fault(&field, refused.to_string());
                }
            }
        }
        Brain::SpeechModel(model) => {
            if let Some(Err(refused)) = model.base_url.as_deref().map(|url| addresses.check(url)) {
                fault("brain.base_url", refused.to_string());
            }
        }
    }
}

/// After the call another model than the agent's may be asked, and must be where the agent's cannot.
fn check_analysis(agent: &AgentConfig, addresses: &ModelAddresses, fault: &mut dyn FnMut(&str, String)) {
    match (&agent.analysis.model, &agent.brain) {
        (Some(model), _) => {
            if let Err(refused) = addresses.check(&model.base_url) {
                fault("analysis.model.base_url", refused.to_string());
            }
        }
        (None, Brain::SpeechModel(_)) if agent.analysis.is_wanted() => {
            fault(
                "analysis.model",
                "is needed: a model that hears and speaks cannot be asked after the call".to_owned(),
            );
        }
        // A flow without one gives what it collected.
        (None, Brain::Flow { .. } | Brain::LanguageModel(_) | Brain::SpeechModel(_)) => {}
    }
}

fn check_speech(agent: &AgentConfig, addresses: &ModelAddresses, fault: &mut dyn FnMut(&str, String)) {
    let transcribers = agent.speech.transcribers().map(|choice| (choice.name, choice.base_url)).enumerate();
    let speakers = agent.speech.speakers().map(|choice| (choice.name, choice.base_url)).enumerate();
    let known = |names: &mut dyn Iterator<Item = &'static str>| {
        std::iter::once(BUILTIN).chain(names).collect::<Vec<&'static str>>()
    };
    let transcriber_names = known(&mut vendors::transcriber_names());
    let speaker_names = known(&mut vendors::speaker_names());
    let chosen = transcribers
        .map(|(n, choice)| ("transcriber", n, choice, &transcriber_names))
        .chain(speakers.map(|(n, choice)| ("speaker", n, choice, &speaker_names)));
    for (part, n, (name, url), there) in chosen {
        if !there.contains(&name.as_str()) {
            fault(&field(part, n, false), format!("is not known here; there is: {}", there.join(", ")));
        }
        if let Some(Err(refused)) = url.as_deref().map(|url| addresses.check(url)) {
            fault(&field(part, n, true), refused.to_string());
        }
    }
}

/// Where the name or the address of a speech service stands: the chosen one's, or a fallback's.
fn field(part: &str, n: usize, url: bool) -> String {
    match (n.checked_sub(1), url) {
        (None, false) => format!("speech.{part}"),
        (None, true) => format!("speech.{part}_url"),
        (Some(n), false) => format!("speech.{part}_fallbacks.{n}.name"),
        (Some(n), true) => format!("speech.{part}_fallbacks.{n}.base_url"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    const FLOW: &str = include_str!("../../../flows/clinic.toml");

    fn agent(brain: Value, speech: Value) -> AgentConfig {
        serde_json::from_value(json!({
            "brain": brain, "speech": speech, "tools": { "book_visit": { "kind": "record" } },
        }))
        .expect("an agent")
    }

    fn faults(agent: &AgentConfig, production: bool) -> Vec<String> {
        let config = Config::from_values(&BTreeMap::new(), None, Vec::new()).expect("the defaults");
        let (mut addresses, mut allowed) = (ModelAddresses::of(&config), services::allowed(&config));
        if production {
            addresses.restrict();
            allowed = Allowed::PublicOnly;
        }
        let faults = check_agent(agent, &addresses, allowed).err().unwrap_or_default();
        faults.into_iter().map(|fault| fault.field).collect()
    }

    #[test]
    fn a_flow_must_be_readable_and_services_known() {
        let flow = json!({ "kind": "flow", "text": FLOW });
        for (speech, want) in [
            (json!({}), vec![]),
            (json!({ "speaker": "openai", "transcriber": "sarvam" }), vec![]),
            (json!({ "speaker": "elevenlab" }), vec!["speech.speaker"]),
            (json!({ "transcriber": "cartesia" }), vec!["speech.transcriber"]),
            (
                json!({ "transcriber": "deepgram", "transcriber_fallbacks": [{ "name": "builtin" }, { "name": "x" }],
                        "speaker_fallbacks": [{ "name": "y" }] }),
                vec!["speech.transcriber_fallbacks.1.name", "speech.speaker_fallbacks.0.name"],
            ),
        ] {
            assert_eq!(faults(&agent(flow.clone(), speech.clone()), false), want, "{speech}");
        }
        assert_eq!(faults(&agent(json!({ "kind": "flow", "text": "nonsense" }), json!({})), false), ["brain.text"]);
    }

    #[test]
    fn every_address_is_looked_at() {
        let (private, public) = ("http://10.0.0.7:8000/v1", "https://models.example.org/v1");
        let brain = |url: &str, fallback: &str| {
            json!({ "kind": "language-model", "base_url": url, "model": "m", "system_prompt": "",
                    "fallbacks": [{ "base_url": fallback, "model": "n" }] })
        };
        let speech = |url: &str| {
            json!({ "transcriber": "openai", "transcriber_url": url, "speaker": "openai", "speaker_url": url,
                    "transcriber_fallbacks": [{ "name": "deepgram", "base_url": url }],
                    "speaker_fallbacks": [{ "name": "deepgram", "base_url": url }] })
        };
        assert!(faults(&agent(brain(public, public), speech(public)), true).is_empty());
        assert!(faults(&agent(brain(private, private), speech(private)), false).is_empty());
        assert_eq!(
            faults(&agent(brain(private, private), speech(private)), true),
            [
                "brain.base_url",
                "brain.fallbacks.0.base_url",
                "speech.transcriber_url",
                "speech.transcriber_fallbacks.0.base_url",
                "speech.speaker_url",
                "speech.speaker_fallbacks.0.base_url",
            ]
        );
        let model = json!({ "kind": "speech-model", "vendor": "openai", "base_url": "wss://127.0.0.1/v1", "system_prompt": "" });
        assert_eq!(faults(&agent(model, json!({})), true), ["brain.base_url"]);
    }

    fn changed(change: impl FnOnce(&mut Value)) -> AgentConfig {
        let mut agent = serde_json::to_value(agent(json!({ "kind": "flow", "text": FLOW }), json!({}))).expect("JSON");
        change(&mut agent);
        serde_json::from_value(agent).expect("an agent")
    }

    #[test]
    fn tools_must_be_usable_as_they_stand() {
        for (tool, production, want) in [
            (json!({ "kind": "end-call" }), true, vec![]),
            (
                json!({ "kind": "http", "description": "x", "url": "https://c.example.org/{a}" }),
                true,
                vec!["tools.ask.url"],
            ),
            (json!({ "kind": "http", "description": "x", "url": "http://127.0.0.1:9/" }), true, vec!["tools.ask.url"]),
            (json!({ "kind": "http", "description": "x", "url": "http://127.0.0.1:9/" }), false, vec![]),
            (json!({ "kind": "mcp", "url": "https://10.0.0.7/mcp" }), false, vec!["tools.ask.url"]),
            (
                json!({ "kind": "transfer-call", "destinations": [{ "name": "desk", "number": "+9180471" }] }),
                true,
                vec!["tools.ask.destinations.0.number"],
            ),
        ] {
            let agent = changed(|agent| agent["tools"]["ask"] = tool.clone());
            assert_eq!(faults(&agent, production), want, "{tool}");
        }
    }

    #[test]
    fn the_look_up_goes_to_an_address_that_is_allowed() {
        for (url, production, want) in [
            ("https://clinic.example.org/caly", true, vec![]),
            ("http://clinic.example.org/caly", true, vec!["lookup.url"]),
            ("https://169.254.169.254/latest", true, vec!["lookup.url"]),
            ("https://a:b@clinic.example.org/", true, vec!["lookup.url"]),
            ("nonsense", false, vec!["lookup.url"]),
            ("http://127.0.0.1:9/caly", true, vec!["lookup.url"]),
            ("http://127.0.0.1:9/caly", false, vec![]),
        ] {
            let agent = changed(|agent| agent["lookup"] = json!({ "url": url }));
            assert_eq!(faults(&agent, production), want, "{url}");
        }
    }

    #[test]
    fn a_model_that_can_be_asked_after_the_call_is_there() {
        let speaks = json!({ "kind": "speech-model", "vendor": "openai", "system_prompt": "" });
        let flow = json!({ "kind": "flow", "text": FLOW });
        let (public, private) = ("https://models.example.org/v1", "http://10.0.0.7:8000/v1");
        for (brain, analysis, want) in [
            (&speaks, json!({}), vec![]),
            (&speaks, json!({ "summary": true }), vec!["analysis.model"]),
            (&speaks, json!({ "success": ["An appointment was made."] }), vec!["analysis.model"]),
            (&speaks, json!({ "summary": true, "model": { "base_url": public, "model": "m" } }), vec![]),
            (&flow, json!({ "summary": true }), vec![]),
            (
                &flow,
                json!({ "summary": true, "model": { "base_url": private, "model": "m" } }),
                vec!["analysis.model.base_url"],
            ),
        ] {
            let agent = changed(|agent| {
                agent["brain"] = brain.clone();
                agent["analysis"] = analysis.clone();
            });
            assert_eq!(faults(&agent, true), want, "{analysis}");
        }
    }
}
