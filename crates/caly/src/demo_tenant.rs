//! The tenant of the demo: a clinic with one agent and one number, made through the same code as any other.

use crate::clock;
use model::{
    AgentConfig, Brain, CarrierKind, E164, LanguageModelConfig, SpeechConfig, TenantId, ToolConfig, TurnTaking,
};
use std::collections::BTreeMap;
use store::phone_numbers::NewPhoneNumber;
use store::{Store, agents, organisations, phone_numbers};

/// The clinic's receptionist.
pub(crate) const FLOW: &str = include_str!("../../../flows/clinic.toml");
/// The same receptionist for a language model.
const PROMPT: &str = include_str!("../../../flows/clinic.prompt.md");
/// The clinic's number. From the range that India's regulator keeps for fiction there is none; this one is Exotel's
/// own example.
pub(crate) const NUMBER: &str = "+918047491899";
const CLINIC: &str = "Sunrise Clinic";
const AGENT: &str = "Receptionist";
const GREETING: &str = "Hello, this is Sunrise Clinic. You are talking to an automated assistant, and this call is \
                        recorded. Which day would you like to visit us?";
/// Low: a receptionist has no need of surprises.
const TEMPERATURE: f64 = 0.3;

/// The agent that answers the demo's number: this flow, or a language model at this address.
pub(crate) fn agent(flow: &str, model: Option<(&str, &str)>) -> AgentConfig {
    let (greeting, brain) = match model {
        None => (None, Brain::Flow { text: flow.to_owned() }),
        Some((base_url, model)) => (
            Some(GREETING.to_owned()),
            Brain::LanguageModel(LanguageModelConfig {
                base_url: base_url.to_owned(),
                model: model.to_owned(),
                system_prompt: PROMPT.to_owned(),
                temperature: TEMPERATURE,
            }),
        ),
    };
    AgentConfig {
        language: "en-IN".to_owned(),
        greeting,
        brain,
        speech: SpeechConfig::default(),
        turn_taking: TurnTaking::default(),
        tools: BTreeMap::from([("book_visit".to_owned(), ToolConfig::Record)]),
        max_duration_s: 300,
        record: true,
    }
}

/// Makes the clinic, or brings its agent up to date. Its tenant.
///
/// # Errors
/// When the database fails.
pub(crate) async fn ensure(store: &Store, config: &AgentConfig) -> anyhow::Result<TenantId> {
    let now = clock::now();
    let number = E164::parse(NUMBER)?;
    let found = store
        .system("demo.find", async |tx| phone_numbers::find_called(tx, CarrierKind::Exotel, &number).await)
        .await?;
    if let Some(found) = found {
        store
            .write(found.tenant, "demo.update", async |tx| agents::update(tx, found.agent, AGENT, config, now).await)
            .await?;
        return Ok(found.tenant);
    }
    let tenant = store.system("demo.create", async |tx| organisations::create(tx, CLINIC, now).await).await?.id;
    store
        .write(tenant, "demo.create_agent", async |tx| {
            let agent = agents::create(tx, AGENT, config, now).await?.agent.id;
            let number = NewPhoneNumber { carrier: CarrierKind::Exotel, number, agent, path_token_hash: None };
            phone_numbers::create(tx, &number, now).await
        })
        .await?;
    Ok(tenant)
}
