//! A server of tools, as a client of the Model Context Protocol. Both eras are spoken: the stateless revision first, and a
//! session with `initialize` where the server knows nothing newer. What it says is a stranger's text: bounded everywhere.
//!
//! The messages are in `wire::mcp`, with their sources.

mod exchange;

use super::clients::{ToolClients, Trouble};
use super::http::TIMEOUT_MS;
use super::schema::Arguments;
use super::{Failure, ToolError, ToolOutput, answer, names};
use crate::language_model::ToolSpec;
use exchange::{Exchange, Fault, Link, Posted};
use futures_util::FutureExt as _;
use model::{McpServer, TenantId};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use wire::destination;
use wire::mcp::{self, Era, Initialized, Mirrored, RpcError, ToolDefinition, ToolPage, ToolResult};

/// Tools offered of one server that names none.
const TOOLS_MAX: usize = 20;
/// Pages read of a server's list.
const PAGES_MAX: usize = 10;
/// Largest descriptions and schemas of one server, together: they stand in every prompt.
const SPECS_BYTES_MAX: usize = 48 * 1_024;
/// Most of an error of a server that a model reads.
const ERROR_BYTES_MAX: usize = 300;
/// Saying goodbye takes no longer.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);

/// A tool of a server.
pub(super) struct McpTool {
    /// As the server calls it.
    name: String,
    spec: ToolSpec,
    pub(super) arguments: Arguments,
    mirrored: Vec<Mirrored>,
    /// The server says so. It is believed only so far that the same may be asked twice, which is the model's wish.
    pub(super) reads_only: bool,
}

/// See the module.
pub(super) struct Server {
    name: String,
    config: McpServer,
    /// The agent's own tools, whose names are taken.
    own: Arc<BTreeSet<String>>,
    exchange: Option<Exchange>,
    state: Mutex<State>,
    /// Held while a session begins: two tools at once must not begin two.
    opening: tokio::sync::Mutex<()>,
    next_id: AtomicU64,
}

#[derive(Default)]
struct State {
    link: Option<Link>,
    tools: Vec<Arc<McpTool>>,
    fault: Option<ToolError>,
}

impl Server {
    pub(super) fn new(
        clients: &ToolClients,
        tenant: TenantId,
        name: &str,
        config: &McpServer,
        own: Arc<BTreeSet<String>>,
    ) -> Self {
        let url = destination::parse(&config.url, clients.allowed()).ok();
        let exchange = url.map(|url| Exchange::new(clients.clone(), tenant, url, config.key.clone()));
        Self {
            name: name.to_owned(),
            config: config.clone(),
            own,
            exchange,
            state: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
            next_id: AtomicU64::new(1),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn fault(&self) -> Option<ToolError> {
        self.state().fault.clone()
    }

    pub(super) fn specs(&self) -> Vec<ToolSpec> {
        self.state().tools.iter().map(|tool| tool.spec.clone()).collect()
    }

    /// The tool that is offered under this name.
    pub(super) fn tool(&self, offered: &str) -> Option<Arc<McpTool>> {
        self.state().tools.iter().find(|tool| tool.spec.name == offered).cloned()
    }

    /// Asks for the tools, if they are not known.
    pub(super) async fn prepare(&self) {
        if !self.state().tools.is_empty() {
            return;
        }
        let outcome = match tokio::time::timeout(self.timeout(), Box::pin(self.load())).await {
            Ok(outcome) => outcome.map_err(|fault| Failure::from(fault).error),
            Err(_) => Err(ToolError::TimedOut),
        };
        match outcome {
            Ok(tools) => {
                let mut state = self.state();
                state.fault = None;
                state.tools = tools;
            }
            Err(error) => {
                tracing::warn!(server = self.name, %error, "the tools of a server are not known");
                self.state().fault = Some(error);
            }
        }
    }

    /// Runs a tool whose arguments were checked.
    pub(super) async fn run(&self, tool: &McpTool, arguments: &Map<String, Value>) -> Result<ToolOutput, Failure> {
        let id = self.id();
        match tokio::time::timeout(self.timeout(), Box::pin(self.call(id, tool, arguments))).await {
            Ok(result) => self.output(result.map_err(Failure::from)?),
            Err(_) => {
                self.cancel(id);
                Err(Failure::after(ToolError::TimedOut))
            }
        }
    }

    /// Ends the session, if there is one.
    pub(super) async fn close(&self) {
        if let Some(farewell) = self.farewell() {
            farewell.await;
        }
    }

    fn farewell(&self) -> Option<impl Future<Output = ()> + Send + 'static> {
        let link = self.state().link.take().filter(Link::has_session)?;
        let exchange = self.exchange.clone()?;
        Some(async move {
            // 405 says that the server ends sessions by itself; whatever it says, we are gone.
            let _ = tokio::time::timeout(FAREWELL_TIMEOUT, exchange.delete(&link)).await;
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    fn timeout(&self) -> Duration {
        Duration::from_millis(self.config.timeout_ms.clamp(*TIMEOUT_MS.start(), *TIMEOUT_MS.end()))
    }

    fn exchange(&self) -> Result<&Exchange, Fault> {
        self.exchange.as_ref().ok_or(Fault::Protocol("its address may not be asked"))
    }

    async fn load(&self) -> Result<Vec<Arc<McpTool>>, Fault> {
        let (link, mut page) = self.open().await?;
        let mut taken = Taken { bytes: 0, names: BTreeSet::new(), tools: Vec::new() };
        for pages in 1..=PAGES_MAX {
            let cursor = page.next.take();
            self.take(page.tools, &mut taken);
            let wants_more = pages < PAGES_MAX && taken.tools.len() < self.wanted();
            let Some(cursor) = cursor.filter(|_| wants_more) else { break };
            page = self.page(&link, Some(&cursor)).await?;
            // A server that turns in a circle.
            if page.next.as_ref() == Some(&cursor) {
                page.next = None;
            }
        }
        Ok(taken.tools)
    }

    fn wanted(&self) -> usize {
        if self.config.only.is_empty() { TOOLS_MAX } else { self.config.only.len() }
    }

    fn take(&self, definitions: Vec<ToolDefinition>, taken: &mut Taken) {
        for definition in definitions {
            let is_wanted = self.config.only.is_empty() || self.config.only.contains(&definition.name);
            let is_known = taken.tools.iter().any(|tool| tool.name == definition.name);
            if !is_wanted || is_known || taken.tools.len() == self.wanted() {
                continue;
            }
            let name = definition.name.clone();
            if let Err(reason) = self.take_one(definition, taken) {
                tracing::warn!(server = self.name, tool = name, reason, "a tool of a server is left out");
            }
        }
    }

    fn take_one(&self, definition: ToolDefinition, taken: &mut Taken) -> Result<(), String> {
        let schema = Value::Object(definition.schema);
        let mirrored = mcp::mirrored(&schema).map_err(|fault| fault.to_string())?;
        let arguments = Arguments::new(schema.as_object(), |_| false).map_err(|fault| format!("its schema {fault}"))?;
        let bytes = arguments.schema.to_string().len() + definition.description.len();
        if taken.bytes + bytes > SPECS_BYTES_MAX {
            return Err("the server's tools are too large together".to_owned());
        }
        let is_taken = |name: &str| self.own.contains(name) || taken.names.contains(name);
        let offered = names::offered(&self.name, &definition.name, is_taken);
        taken.bytes += bytes;
        taken.names.insert(offered.clone());
        let parameters = arguments.schema.clone();
        let spec = ToolSpec { name: offered, description: definition.description, parameters };
        let reads_only = definition.reads_only;
        taken.tools.push(Arc::new(McpTool { name: definition.name, spec, arguments, mirrored, reads_only }));
        Ok(())
    }

    /// Finds out which era the server is of, and gives its first page.
    async fn open(&self) -> Result<(Link, ToolPage), Fault> {
        let exchange = self.exchange()?;
        // An earlier try may have begun a session and got no further.
        if let Some(link) = self.link() {
            match self.page(&link, None).await {
                Err(Fault::Lost) => self.state().link = None,
                outcome => return outcome.map(|page| (link, page)),
            }
        }
        let mut version = mcp::WITH_SESSION[0];
        if exchange.era() != Some(Era::WithSession) {
            match self.page(&Link::Stateless, None).await {
                Ok(page) => {
                    exchange.found_era(Some(Era::Stateless));
                    self.state().link = Some(Link::Stateless);
                    return Ok((Link::Stateless, page));
                }
                Err(fault) => version = older(&fault).ok_or(fault)?,
            }
        }
        let link = match self.initialize(version).await {
            Ok(link) => link,
            Err(fault) => {
                // It may have learned the newer way.
                exchange.found_era(None);
                return Err(fault);
            }
        };
        exchange.found_era(Some(Era::WithSession));
        let page = self.page(&link, None).await?;
        Ok((link, page))
    }

    async fn initialize(&self, version: &str) -> Result<Link, Fault> {
        let exchange = self.exchange()?;
        let id = self.id();
        let answered = exchange.request(None, Posted::new(id, "initialize", mcp::initialize(id, version))).await?;
        let begun =
            Initialized::read(&answered.result).ok_or(Fault::Protocol("it speaks no revision that is known here"))?;
        let link = Link::Session { version: begun.version, id: answered.session };
        // Kept first: whatever comes now, the session is to be ended.
        self.state().link = Some(link.clone());
        if !begun.has_tools {
            return Err(Fault::Protocol("it has no tools"));
        }
        exchange.notify(&link, mcp::initialized()).await?;
        Ok(link)
    }

    async fn page(&self, link: &Link, cursor: Option<&str>) -> Result<ToolPage, Fault> {
        let id = self.id();
        let posted = Posted::new(id, mcp::LIST, mcp::list(id, cursor, link.era()));
        let answered = self.exchange()?.request(Some(link), posted).await?;
        ToolPage::read(&answered.result).ok_or(Fault::Protocol("its list of tools cannot be read"))
    }

    async fn call(&self, id: u64, tool: &McpTool, arguments: &Map<String, Value>) -> Result<ToolResult, Fault> {
        let link = match self.link() {
            Some(link) => link,
            None => self.begin_again(None).await?,
        };
        let answered = match self.call_once(&link, id, tool, arguments).await {
            // A session that is over has done nothing; a second one that is over at once is no session.
            Err(Fault::Lost) => {
                let link = self.begin_again(Some(&link)).await?;
                self.call_once(&link, id, tool, arguments).await?
            }
            other => other?,
        };
        ToolResult::read(&answered).ok_or(Fault::Protocol("its answer cannot be read"))
    }

    fn link(&self) -> Option<Link> {
        self.state().link.clone()
    }

    async fn begin_again(&self, lost: Option<&Link>) -> Result<Link, Fault> {
        let _turn = self.opening.lock().await;
        // Somebody else was faster.
        if let Some(link) = self.link().filter(|link| Some(link) != lost) {
            return Ok(link);
        }
        self.state().link = None;
        match lost {
            Some(Link::Session { version, .. }) => self.initialize(version).await,
            Some(Link::Stateless) | None => Ok(self.open().await?.0),
        }
    }

    async fn call_once(
        &self,
        link: &Link,
        id: u64,
        tool: &McpTool,
        arguments: &Map<String, Value>,
    ) -> Result<Map<String, Value>, Fault> {
        let mut posted = Posted::new(id, mcp::CALL, mcp::call(id, &tool.name, arguments, link.era()));
        posted.name = Some(mcp::header_value(&tool.name));
        posted.mirrored =
            tool.mirrored.iter().filter_map(|one| Some((one.header.clone(), one.value(arguments)?))).collect();
        Ok(self.exchange()?.request(Some(link), posted).await?.result)
    }

    fn output(&self, result: ToolResult) -> Result<ToolOutput, Failure> {
        let bytes_max = self.config.result_bytes_max as usize;
        match result {
            ToolResult::NeedsInput => {
                let said = "it wants to ask somebody first, which is not possible on a call";
                Err(Failure::before(ToolError::Failed(said.to_owned())))
            }
            // Its own words about what went wrong: a model may do better with them.
            ToolResult::Done { text, is_error: true, .. } => {
                Err(Failure::before(ToolError::Failed(answer::cut(&text, bytes_max))))
            }
            ToolResult::Done { text, structured, is_error: false } => {
                let structured = structured.or_else(|| serde_json::from_str(&text).ok());
                let values = structured.map(|value| answer::output(&value, 0).values).unwrap_or_default();
                let text = if text.trim().is_empty() { "done".to_owned() } else { answer::cut(&text, bytes_max) };
                Ok(ToolOutput { text, values })
            }
        }
    }

    /// Says that an answer is not waited for any more; in the stateless revision the closed connection says it.
    fn cancel(&self, id: u64) {
        let Some((link, exchange)) = self.link().filter(Link::has_session).zip(self.exchange.clone()) else { return };
        tokio::spawn(async move {
            let _ = tokio::time::timeout(FAREWELL_TIMEOUT, exchange.notify(&link, mcp::cancelled(id))).await;
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Outside a runtime there is nobody to say it with.
        if let (Some(farewell), Ok(runtime)) = (self.farewell(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(farewell.boxed());
        }
    }
}

struct Taken {
    bytes: usize,
    names: BTreeSet<String>,
    tools: Vec<Arc<McpTool>>,
}

/// The revision to begin a session with, when a stateless request failed so that the server may be an older one.
fn older(fault: &Fault) -> Option<&'static str> {
    let newest = Some(mcp::WITH_SESSION[0]);
    match fault {
        Fault::Rpc(error) | Fault::Status(_, Some(error)) if error.is_stateless() => {
            let offers = |version: &str| error.supported.iter().any(|known| known == version);
            let unsupported = error.code == mcp::UNSUPPORTED_VERSION;
            mcp::WITH_SESSION.into_iter().find(|version| unsupported && offers(version))
        }
        // Not for lack of a key, or because it has too much to do.
        Fault::Status(401 | 403 | 407 | 429, _) => None,
        Fault::Status(status, _) => {
            if (400..500).contains(status) {
                newest
            } else {
                None
            }
        }
        Fault::Rpc(_) => newest,
        Fault::Trouble(_) | Fault::Lost | Fault::Protocol(_) | Fault::TooLarge => None,
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let said = |error: &RpcError| {
            let end = error.message.floor_char_boundary(ERROR_BYTES_MAX);
            ToolError::Failed(format!("the server said: {} (code {})", &error.message[..end], error.code))
        };
        match fault {
            Fault::Trouble(trouble) => Self::from(trouble),
            // Not even begun.
            Fault::Rpc(error) => Self::before(said(&error)),
            Fault::Status(status, Some(error)) if status < 500 => Self::before(said(&error)),
            Fault::Status(status, _) => {
                let error = ToolError::Failed(format!("the server answered with status {status}"));
                if status < 500 { Self::before(error) } else { Self::after(error) }
            }
            Fault::Lost => Self::before(ToolError::Failed("the server has lost its session".to_owned())),
            Fault::Protocol(what) => Self::after(ToolError::Failed(format!("the server: {what}"))),
            Fault::TooLarge => Self::after(ToolError::TooLarge),
        }
    }
}

impl From<Trouble> for Fault {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}
