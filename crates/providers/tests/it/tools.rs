//! Tools of agents, against services that behave and services that do not.

mod attacks;
mod http;
mod lookup;
mod mcp;

use model::{TenantId, ToolConfig};
use providers::egress::{Allowed, Egress, Lookup};
use providers::http::{Http, HttpSettings};
use providers::keys::Keys;
use providers::tools::{ToolClients, ToolError, ToolOutput, Toolbox};
use providers::{BoxFuture, Error};
use secrecy::SecretString;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use uuid::Uuid;

/// The organisation's key at its services.
const KEY: &str = "sk-tools-1";

/// It has one key, for servers on this machine.
struct OneKey;

impl Keys for OneKey {
    fn key<'a>(&'a self, _: TenantId, name: &'a str) -> BoxFuture<'a, Result<Option<SecretString>, Error>> {
        Box::pin(async move { Ok(name.starts_with("127.0.0.1:").then(|| SecretString::from(KEY))) })
    }
}

/// Names that resolve as they say: `private.…` is not public, all others are this machine.
struct Names;

impl Lookup for Names {
    fn lookup(&self, name: String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>> {
        let addresses: &[&str] = match name.split('.').next().unwrap_or_default() {
            "private" => &["10.0.0.1"],
            "metadata" => &["169.254.169.254"],
            "mapped" => &["::ffff:10.0.0.1"],
            "mixed" => &["127.0.0.1", "192.168.1.1"],
            "nowhere" => &[],
            _ => &["127.0.0.1"],
        };
        let addresses = addresses.iter().map(|text| text.parse().expect("an address")).collect();
        Box::pin(async move { Ok(addresses) })
    }
}

fn clients_for(allowed: Allowed) -> ToolClients {
    let http = Http::new(&HttpSettings::default()).expect("a client");
    let egress = Egress::with_lookup(&http, allowed, Arc::new(Names)).expect("a client");
    ToolClients::new(egress, Arc::new(OneKey))
}

fn clients() -> ToolClients {
    clients_for(Allowed::LoopbackToo)
}

fn tenant() -> TenantId {
    TenantId::from(Uuid::from_u128(7))
}

fn variables() -> BTreeMap<String, String> {
    let known = [("customer", "C-77"), ("evil", "a\r\nHost: evil.example"), ("path", "../../admin?x=1#y")];
    known.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn toolbox(clients: &ToolClients, tools: Value) -> Toolbox {
    let tools: BTreeMap<String, ToolConfig> = serde_json::from_value(tools).expect("tools");
    Toolbox::new(clients, tenant(), &tools, &variables())
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().cloned().expect("an object")
}

async fn run(tools: &Toolbox, name: &str, arguments: Value) -> Result<ToolOutput, ToolError> {
    tools.run(name, object(arguments)).await
}

/// The configuration at the top of docs/tools.md works as it stands.
#[test]
fn the_documents_example_has_no_faults() {
    let text = include_str!("../../../../docs/tools.md");
    let example = text.split("```json").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let config: Value = serde_json::from_str(example).expect("JSON");
    let tools: BTreeMap<String, ToolConfig> = serde_json::from_value(config["tools"].clone()).expect("tools");
    assert_eq!(providers::tools::check(&tools, Allowed::PublicOnly), []);
    let offered = toolbox(&clients_for(Allowed::PublicOnly), config["tools"].clone()).specs();
    assert_eq!(offered.len(), tools.len() - 1, "all but the server's, which was not asked yet");
}

/// The name of the key for a server: its host and port.
fn key_of(url: &str) -> String {
    url.split('/').nth(2).unwrap_or_default().to_owned()
}
