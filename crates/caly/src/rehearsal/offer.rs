//! The tools that a real language model is offered in a rehearsal: as in a call, except that nobody is asked for them.

use crate::config::Config;
use crate::services;
use model::{AgentConfig, CallId, TenantId};
use providers::http::Http;
use providers::keys::Keys;
use providers::language_model::ToolSpec;
use providers::tools::{ToolClients, Toolbox};
use providers::{BoxFuture, Error};
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Describes agents' tools to language models.
pub(crate) struct Offer {
    clients: ToolClients,
}

/// A rehearsal asks no tool, so it needs no key for one.
struct NoKeys;

impl Keys for NoKeys {
    fn key<'a>(&'a self, _tenant: TenantId, _name: &'a str) -> BoxFuture<'a, Result<Option<SecretString>, Error>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}

impl Offer {
    /// Nothing is asked.
    ///
    /// # Errors
    /// When there can be no HTTP client.
    pub(crate) fn new(config: &Config, http: &Http) -> anyhow::Result<Self> {
        Ok(Self { clients: ToolClients::new(services::egress(config, http)?, Arc::new(NoKeys)) })
    }

    /// What this agent can ask for. Tools of MCP servers are not among them: only the servers know them.
    pub(crate) fn tools(&self, agent: &AgentConfig, variables: &BTreeMap<String, String>) -> Vec<ToolSpec> {
        let (tenant, call) = (TenantId::from(uuid::Uuid::nil()), CallId(uuid::Uuid::nil()));
        Toolbox::for_call(&self.clients, tenant, call, &agent.tools, variables).specs()
    }
}
