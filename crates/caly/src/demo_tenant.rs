//! The tenant of the demo: a clinic with one agent and one number, made through the same code as any other.

use crate::clock;
use api::{Author, Problem, change_agent, connect_number, make_agent};
use model::{
    AgentConfig, Analysis, Brain, CarrierKind, E164, Knowledge, LanguageModelConfig, Silence, SpeechConfig, TenantId,
    ToolConfig, TurnTaking, Voicemail,
};
use std::collections::BTreeMap;
use store::phone_numbers::NewPhoneNumber;
use store::{Store, organisations, phone_numbers};

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
                protocol: model::ModelProtocol::Openai,
                base_url: base_url.to_owned(),
                model: model.to_owned(),
                system_prompt: PROMPT.to_owned(),
                temperature: TEMPERATURE,
                fallbacks: Vec::new(),
                hedge_after_ms: 0,
                tokens_max: 0,
            }),
        ),
    };
    AgentConfig {
        language: "en-IN".to_owned(),
        greeting,
        notice: None,
        languages: Vec::new(),
        brain,
        speech: SpeechConfig::default(),
        turn_taking: TurnTaking::default(),
        tools: BTreeMap::from([("book_visit".to_owned(), ToolConfig::Record)]),
        lookup: None,
        voicemail: Voicemail::default(),
        silence: Silence::default(),
        ambience: None,
        knowledge: Knowledge::default(),
        analysis: Analysis::default(),
        max_duration_s: 300,
        record: true,
    }
}

/// Makes the clinic, or brings its agent up to date. Its tenant.
///
/// # Errors
/// When the database fails.
pub(crate) async fn ensure(store: &Store, config: &AgentConfig) -> anyhow::Result<TenantId> {
    let (now, author) = (clock::now(), Author::command("demo"));
    let number = E164::parse(NUMBER)?;
    let tenant = store
        .system("demo.ensure", async |tx| {
            if let Some(found) = phone_numbers::find_called(tx, CarrierKind::Exotel, &number).await? {
                let of_clinic = tx.tenant(found.tenant).await?;
                change_agent(of_clinic, &author, found.agent, AGENT, config, now).await?;
                return Ok::<_, Problem>(found.tenant);
            }
            let tenant = organisations::create(tx, CLINIC, now).await?.id;
            let of_clinic = tx.tenant(tenant).await?;
            let agent = make_agent(of_clinic, &author, AGENT, config, now).await?.agent.id;
            let number = NewPhoneNumber { carrier: CarrierKind::Exotel, number, agent, path_token_hash: None };
            connect_number(of_clinic, &author, &number, now).await?;
            Ok(tenant)
        })
        .await?;
    Ok(tenant)
}
