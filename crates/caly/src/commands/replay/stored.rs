//! A past call, read from this installation's database or over the API of another: its turns, and what is kept of it.

use super::past::{Ending, Item, Past, arrange};
use crate::config::Config;
use crate::node;
use crate::rehearsal::{Refused, Remote, RemoteCall, ToolAnswers};
use call::CallSetup;
use call::variables::Variables;
use chrono::TimeDelta;
use model::{AgentConfig, CallDirection, CallId, TranscriptTurn};
use serde_json::{Map, Value};
use store::calls::Call;
use store::{Store, agents, calls, organisations, turns};

/// What is kept of a call, wherever it is kept.
struct Kept {
    call: RemoteCall,
    turns: Vec<TranscriptTurn>,
    agent: AgentConfig,
}

/// A call of another installation.
///
/// # Errors
/// Why there is none.
pub(super) async fn remote(config: &Config, remote: &Remote, id: CallId) -> Result<Past, Refused> {
    let call = remote.call(id).await?;
    let turns = remote.turns(id).await?;
    let agent = remote.agent(call.agent_id).await?;
    Kept { call, turns, agent }.past(config)
}

/// A call in the database of this installation.
///
/// # Errors
/// Why there is none.
pub(super) async fn local(config: &Config, id: CallId) -> Result<Past, Refused> {
    let store = node::open_store(config).await.map_err(|error| Refused(format!("{error:#}")))?;
    let found = find(&store, id).await;
    store.close().await;
    match found {
        Ok(Some(kept)) => kept.past(config),
        Ok(None) => Err(Refused(format!("there is no call {id} in the database"))),
        Err(error) => Err(Refused(format!("the database cannot be asked: {error}"))),
    }
}

/// The operator looks through all organisations: a call's id says nothing about whose it is.
async fn find(store: &Store, id: CallId) -> Result<Option<Kept>, store::Error> {
    let all = store.system_read("replay.organisations", async |tx| organisations::list(tx).await).await?;
    for organisation in all {
        let found = store
            .read(organisation.id, "replay.call", async |tx| {
                let call = calls::get(tx, id).await?;
                let turns = turns::list(tx, id).await?;
                let agent = agents::get(tx, call.agent).await?.agent.config;
                Ok::<_, store::Error>(Kept { call: of_store(call), turns, agent })
            })
            .await;
        match found {
            Ok(kept) => return Ok(Some(kept)),
            Err(store::Error::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn of_store(call: Call) -> RemoteCall {
    RemoteCall {
        agent_id: call.agent,
        direction: call.direction,
        from: call.from,
        to: call.to,
        ended_reason: call.ended_reason,
        created_at: call.created_at,
        started_at: call.started_at,
        data: call.data,
        variables: call.variables,
    }
}

impl Kept {
    fn past(self, config: &Config) -> Result<Past, Refused> {
        let Self { call, turns, agent } = self;
        if turns.is_empty() {
            return Err(Refused("nothing was said in this call".to_owned()));
        }
        let began = call.started_at.unwrap_or(call.created_at);
        let variables = texts(&call.variables);
        let mut agent = agent;
        call::variables::fill_agent(&mut agent, &variables);
        let setup = CallSetup {
            agent,
            local_time: (began + TimeDelta::seconds(i64::from(config.local_offset_s))).naive_utc(),
            direction: call.direction,
            can_transfer: true,
            caller_number: match call.direction {
                CallDirection::Incoming => call.from,
                CallDirection::Outgoing => call.to,
            },
            variables,
        };
        let at_ms = turns.iter().map(|turn| turn.ended_ms).max().unwrap_or(0);
        let collected = call.data.get("slots").cloned().unwrap_or(Value::Null);
        let items = turns.into_iter().map(Item::of_turn).collect();
        let (seen, script) = arrange(items, Ending { collected, reason: call.ended_reason, at_ms });
        Ok(Past { setup, answers: ToolAnswers::default(), seen, script })
    }
}

fn texts(variables: &Map<String, Value>) -> Variables {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    variables.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}
