//! What an agent can do besides talking: web services and servers of the Model Context Protocol as tools of its model, and
//! the look-up before a call.
//!
//! What a model may do is fixed outside its prompt: only the tools that the agent has, at the addresses that the agent
//! names, with arguments that their schemas let through. Everything that comes back is text to read, bounded, and nothing
//! that is obeyed here.

mod answer;
mod builtins;
mod check;
mod clients;
mod http;
mod lookup;
mod mcp;
mod names;
mod repeats;
mod schema;
mod template;

pub use check::check;
pub use clients::{REQUESTS_PER_MINUTE, ToolClients, key_name};
pub use lookup::{LOOKUP_VALUE_BYTES_MAX, LOOKUP_VARIABLES_MAX, LookupRequest, look_up};
pub use schema::read_arguments;

use crate::language_model::{ARGUMENTS_BYTES_MAX, TOOLS_MAX, ToolSpec};
use crate::{BoxFuture, resilience};
use futures_util::future::join_all;
use http::HttpCall;
use mcp::Server;
use model::{CallId, TenantId, ToolConfig};
use repeats::Repeats;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a tool gave back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolOutput {
    /// What the model reads, cut to its limit.
    pub text: String,
    /// The texts, numbers and truths at the top of the answer, by name, for flows.
    pub values: BTreeMap<String, String>,
}

/// Why there is no output. What it says is read by the model: plain, without secrets and addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// The agent has no such tool.
    #[error("there is no tool of this name")]
    Unknown,
    /// The arguments do not fit.
    #[error("the arguments are wrong: {0}")]
    Arguments(String),
    /// It was not tried: a budget is used up, it was done already, or the address may not be asked.
    #[error("it was not done: {0}")]
    Refused(String),
    /// No answer in time. What was asked may have been done.
    #[error("there was no answer in time, and it is not known whether it was done")]
    TimedOut,
    /// The service failed, or said no.
    #[error("it failed: {0}")]
    Failed(String),
    /// The answer cannot be read without reading too much.
    #[error("the answer is too large")]
    TooLarge,
}

/// A failure, and whether the service may have done what it was asked for.
#[derive(Debug)]
struct Failure {
    error: ToolError,
    maybe_done: bool,
}

impl Failure {
    /// Surely nothing was done.
    const fn before(error: ToolError) -> Self {
        Self { error, maybe_done: false }
    }

    /// Something may have been done.
    const fn after(error: ToolError) -> Self {
        Self { error, maybe_done: true }
    }
}

/// The tools of one call. Clones share it.
#[derive(Clone)]
pub struct Toolbox(Arc<Inner>);

struct Inner {
    clients: ToolClients,
    tenant: TenantId,
    /// Names this call to services, so that they can tell a repeated request.
    call: String,
    variables: BTreeMap<String, String>,
    builtins: Vec<ToolSpec>,
    http: BTreeMap<String, HttpCall>,
    servers: Vec<Arc<Server>>,
    repeats: Repeats,
}

impl Toolbox {
    /// `variables` fill `{{name}}` in addresses, headers and fixed arguments. Nothing is sent yet. A tool whose address or
    /// schema cannot be used is left out; [`check()`] tells when the agent is kept.
    #[must_use]
    pub fn new(
        clients: &ToolClients,
        tenant: TenantId,
        tools: &BTreeMap<String, ToolConfig>,
        variables: &BTreeMap<String, String>,
    ) -> Self {
        let call = format!("{:016x}", resilience::random01().to_bits());
        Self::build(clients, tenant, call, tools, variables)
    }

    /// The same, for a call with a name: its id begins the `Idempotency-Key` of requests that change something.
    #[must_use]
    pub fn for_call(
        clients: &ToolClients,
        tenant: TenantId,
        call: CallId,
        tools: &BTreeMap<String, ToolConfig>,
        variables: &BTreeMap<String, String>,
    ) -> Self {
        Self::build(clients, tenant, call.to_string(), tools, variables)
    }

    fn build(
        clients: &ToolClients,
        tenant: TenantId,
        call: String,
        tools: &BTreeMap<String, ToolConfig>,
        variables: &BTreeMap<String, String>,
    ) -> Self {
        let own: Arc<BTreeSet<String>> = Arc::new(tools.keys().cloned().collect());
        let mut http = BTreeMap::new();
        let mut servers = Vec::new();
        let mut specs = Vec::new();
        for (name, config) in tools {
            match config {
                ToolConfig::Http(tool) => match HttpCall::new(tool, clients.allowed()) {
                    Ok(tool) => drop(http.insert(name.clone(), tool)),
                    Err(error) => tracing::warn!(%tenant, tool = name, error, "a tool cannot be used"),
                },
                ToolConfig::Mcp(server) => {
                    let server = Server::new(clients, tenant, name, server, own.clone());
                    servers.push(Arc::new(server));
                }
                ToolConfig::Record
                | ToolConfig::EndCall(_)
                | ToolConfig::TransferCall(_)
                | ToolConfig::SendDtmf(_)
                | ToolConfig::CollectDtmf(_)
                | ToolConfig::Voicemail(_) => specs.extend(builtins::spec(name, config)),
            }
        }
        let variables = variables.clone();
        let clients = clients.clone();
        let repeats = Repeats::default();
        Self(Arc::new(Inner { clients, tenant, call, variables, builtins: specs, http, servers, repeats }))
    }

    /// Asks the MCP servers for their tools, all at once, each within its time-out. A server that fails is left out, and
    /// asked again when this is called again.
    pub fn prepare(&self) -> BoxFuture<'static, ()> {
        let inner = self.0.clone();
        Box::pin(async move {
            join_all(inner.servers.iter().map(|server| server.prepare())).await;
        })
    }

    /// Which MCP servers could not be asked, and why.
    #[must_use]
    pub fn faults(&self) -> Vec<(String, ToolError)> {
        self.0.servers.iter().filter_map(|server| Some((server.name().to_owned(), server.fault()?))).collect()
    }

    /// What a language model is offered now, by name: HTTP tools, tools of MCP servers that are known (`SERVER_TOOL`), and
    /// the built-in ones with their fixed schemas.
    #[must_use]
    pub fn specs(&self) -> Vec<ToolSpec> {
        let inner = &self.0;
        let http = inner.http.iter().map(|(name, tool)| tool.spec(name));
        let mut specs: Vec<ToolSpec> = inner.builtins.iter().cloned().chain(http).collect();
        // The agent's own come first where there are too many, and where two have one name.
        specs.extend(inner.servers.iter().flat_map(|server| server.specs()));
        let mut seen = BTreeSet::new();
        specs.retain(|spec| seen.insert(spec.name.clone()));
        specs.truncate(TOOLS_MAX);
        specs.sort_by(|a, b| a.name.cmp(&b.name));
        specs
    }

    /// Runs an HTTP or MCP tool. Arguments are checked against its schema first. Built-in tools are the call's own: here
    /// they are unknown.
    pub fn run(&self, name: &str, arguments: Map<String, Value>) -> BoxFuture<'static, Result<ToolOutput, ToolError>> {
        let (inner, name) = (self.0.clone(), name.to_owned());
        Box::pin(async move { inner.run(&name, arguments).await })
    }

    /// Ends the sessions with MCP servers. Dropping the last clone does it, too, without waiting.
    pub fn close(&self) -> BoxFuture<'static, ()> {
        let inner = self.0.clone();
        Box::pin(async move {
            join_all(inner.servers.iter().map(|server| server.close())).await;
        })
    }
}

impl std::fmt::Debug for Toolbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Toolbox").field("http", &self.0.http.keys()).finish_non_exhaustive()
    }
}

impl Inner {
    async fn run(&self, name: &str, arguments: Map<String, Value>) -> Result<ToolOutput, ToolError> {
        // Only what a model can have written; a flow writes less.
        if serde_json::to_string(&arguments).map_or(true, |text| text.len() > ARGUMENTS_BYTES_MAX) {
            return Err(ToolError::Arguments("they are too long".to_owned()));
        }
        if let Some(tool) = self.http.get(name) {
            let arguments = tool.arguments(arguments, &self.variables)?;
            let hash = repeats::hash(name, &arguments);
            let turn = if tool.reads_only() { None } else { Some(self.repeats.begin(hash.clone())?) };
            let idempotency = format!("{}-{hash}", self.call);
            let asked = tool.run(&self.clients, self.tenant, &self.variables, &arguments, &idempotency);
            return finish(turn, Box::pin(asked).await);
        }
        let found = self.servers.iter().find_map(|server| Some((server, server.tool(name)?)));
        let (server, tool) = found.ok_or(ToolError::Unknown)?;
        tool.arguments.check(&arguments)?;
        let hash = repeats::hash(name, &arguments);
        let turn = if tool.reads_only { None } else { Some(self.repeats.begin(hash)?) };
        finish(turn, Box::pin(server.run(&tool, &arguments)).await)
    }
}

fn finish(turn: Option<repeats::Turn<'_>>, outcome: Result<ToolOutput, Failure>) -> Result<ToolOutput, ToolError> {
    match (&outcome, turn) {
        (Ok(output), Some(turn)) => turn.done(&output.text),
        (Err(failure), Some(turn)) if !failure.maybe_done => turn.not_done(),
        // Dropped: nobody knows.
        (Ok(_) | Err(_), _) => {}
    }
    outcome.map_err(|failure| failure.error)
}
