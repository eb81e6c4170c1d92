//! `caly connect`: lets an agent answer a phone number, and says what to paste at the carrier.

use crate::config::Config;
use crate::terminal::{bold, say};
use crate::{clock, node};
use anyhow::{Context, bail};
use api::{Author, change_agent, connect_number, make_agent, replace_webhook_address};
use call::flow::Flow;
use chrono::{DateTime, Utc};
use clap::Args;
use identity::PathToken;
use model::{AgentConfig, AgentId, Brain, CarrierKind, E164, TenantId, ToolConfig};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use store::phone_numbers::NewPhoneNumber;
use store::{Store, SystemTx, agents, organisations, phone_numbers};

/// What `caly connect` takes.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Whose number it is: the name of the organisation; made when it is new.
    #[arg(long)]
    organisation: String,
    /// The number, `+918047491899`.
    #[arg(long)]
    number: String,
    /// What the agent says: a flow file (docs/flows.md).
    #[arg(long)]
    flow: PathBuf,
}

/// Connects a number, or gives a connected one a new flow and a new address.
///
/// # Errors
/// When the flow has faults, the number is another organisation's, or the database fails.
pub(crate) async fn run(config: &Config, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let number = E164::parse(&arguments.number)?;
    let agent = read_agent(&arguments.flow)?;
    let name = arguments.organisation.trim();
    anyhow::ensure!(
        !name.is_empty() && name.chars().count() <= model::limits::NAME_CHARS_MAX,
        "the organisation's name must have 1 to {} characters",
        model::limits::NAME_CHARS_MAX
    );
    let token = PathToken::random()?;
    let hash = token.hash();
    let store = node::open_store(config).await?;
    let connected = connect(&store, name, &number, &agent, hash).await;
    store.close().await;
    connected?;
    let base = config.public_url.clone().unwrap_or_else(|| format!("http://{}", config.listen));
    let base = base.trim_end_matches('/');
    say(bold(&format!("{} is answered for {name}.", number.as_str())));
    if flow_speaks_other_than_english(&agent) {
        say("The built-in speech knows English only: this flow needs another transcriber and speaker.");
    }
    say("In the carrier's flow of this number put a Voicebot applet with this URL; it is shown only now:");
    say(format!("  {base}/webhooks/exotel/voicebot/{}", token.expose()));
    say("and behind it a Passthru applet with this one, which tells how the call went:");
    say(format!("  {base}/webhooks/exotel/passthru/{}", token.expose()));
    if config.public_url.is_none() {
        say("CALY_PUBLIC_URL is not set: a carrier cannot reach this address.");
    }
    Ok(ExitCode::SUCCESS)
}

fn read_agent(path: &Path) -> anyhow::Result<AgentConfig> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let flow = Flow::parse(&text).with_context(|| format!("{} cannot be used", path.display()))?;
    let config = serde_json::json!({ "brain": Brain::Flow { text }, "language": flow.tongue.tag() });
    let mut agent: AgentConfig = serde_json::from_value(config)?;
    agent.tools = flow.tool_names().map(|name| (name.to_owned(), ToolConfig::Record)).collect();
    Ok(agent)
}

fn flow_speaks_other_than_english(agent: &AgentConfig) -> bool {
    !agent.language.starts_with("en")
}

async fn connect(store: &Store, name: &str, number: &E164, agent: &AgentConfig, hash: [u8; 32]) -> anyhow::Result<()> {
    let (now, author) = (clock::now(), Author::command("connect"));
    // One transaction: a number that cannot be connected leaves no organisation behind.
    store
        .system("connect", async |tx| {
            let tenant = organisation(tx, name, now).await?;
            let found = phone_numbers::find_called(tx, CarrierKind::Exotel, number).await?;
            let tx = tx.tenant(tenant).await?;
            match found {
                Some(found) if found.tenant != tenant => bail!("this number is connected to another organisation"),
                Some(found) => {
                    let name = agents::get(tx, found.agent).await?.agent.name;
                    change_agent(tx, &author, found.agent, &name, agent, now).await?;
                    replace_webhook_address(tx, &author, found.id, hash, now).await?;
                }
                None => {
                    let agent: AgentId = make_agent(tx, &author, number.as_str(), agent, now).await?.agent.id;
                    let carrier = CarrierKind::Exotel;
                    let new = NewPhoneNumber { carrier, number: number.clone(), agent, path_token_hash: Some(hash) };
                    connect_number(tx, &author, &new, now).await?;
                }
            }
            Ok(())
        })
        .await
}

async fn organisation(tx: &mut SystemTx, name: &str, now: DateTime<Utc>) -> Result<TenantId, store::Error> {
    let found = organisations::list(tx).await?.into_iter().find(|organisation| organisation.name == name);
    match found {
        Some(found) => Ok(found.id),
        None => Ok(organisations::create(tx, name, now).await?.id),
    }
}
