//! One node, wired: settings → folders → database → services → keeper → switchboard → jobs → HTTP, in this order and
//! in this function. Stopping goes the other way.

use crate::config::Config;
use crate::{clock, edge, knowledge, services};
use anyhow::{Context, bail};
use identity::Passwords;
use jobs::prices::Prices;
use jobs::{Runner, reconcile};
use providers::http::Http;
use providers::objects::Objects;
use providers::resilience::Targets;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use store::calls::Owner;
use switchboard::{Keeper, Settings, StoreRecall, Switchboard};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The keeper's last writes, and the runner's last jobs, are given this long when the node stops.
const LAST_WRITES: Duration = Duration::from_secs(20);
/// What the kernel may hold of what the other side does not read: some seconds of a call. Left to itself it holds
/// megabytes, and a carrier that has stopped reading is noticed after minutes.
const SEND_BUFFER_BYTES: u32 = 64 * 1024;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;

/// A running node.
pub(crate) struct Node {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its calls.
    pub board: Arc<Switchboard>,
    /// Its database.
    pub store: Store,
    /// What jobs need; for commands that wait for jobs.
    pub jobs: jobs::Context,
    /// One sentence for each built-in model that is not there.
    pub missing: Vec<String>,
    stopping: CancellationToken,
    stop_background: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    drain: Duration,
}

impl Node {
    /// Starts everything. `progress` hears what is being loaded.
    ///
    /// # Errors
    /// One sentence about what could not be started.
    pub(crate) async fn start(config: &Config, progress: impl Fn(&str) + Send + 'static) -> anyhow::Result<Self> {
        // The port first: a taken one should be told before models are loaded.
        let listener = listen(config.listen)
            .with_context(|| format!("cannot listen on {}; set PORT to a free port", config.listen))?;
        let address = listener.local_addr().context("the listening address is unknown")?;
        // With port 0 the system has chosen one: links and media addresses must have it.
        let config = &Config { listen: address, ..config.clone() };
        let spool_dir = folder(&config.data_dir, "spool")?;
        let call_log_dir = config.call_logs.then(|| folder(&config.data_dir, "calls")).transpose()?;
        let node = node_name(config)?;

        let store = open_store(config).await?;
        let http = services::http()?;
        let mut context = jobs_context(config, &store, &http)?;
        let recall = Arc::new(StoreRecall::new(store.clone(), context.embedder.clone()));
        let loading = config.clone();
        let shared = services::Shared {
            http,
            store: store.clone(),
            egress: context.egress.clone(),
            targets: context.targets.clone(),
            recall: Some(recall.clone()),
            began: Instant::now(),
        };
        let loaded = tokio::task::spawn_blocking(move || services::load(&loading, shared, &progress))
            .await
            .context("loading the built-in models failed")??;

        context.models = Some(loaded.services.models.clone());
        let started_at = clock::now();
        let owner = Owner { node: node.clone(), run: run_id()? };
        let run = owner.run;
        let (keeper, keep) = {
            let prices = context.prices.clone();
            Keeper::new(store.clone(), owner.clone(), Arc::new(move |usage| prices.cost(usage)))
        };
        let settings = Settings {
            node: node.clone(),
            spool_dir,
            call_log_dir,
            calls_max: config.calls_max,
            local_offset_s: config.local_offset_s,
        };
        let board = Switchboard::new(settings, loaded.services, keeper);
        let stopping = CancellationToken::new();
        let stop_background = CancellationToken::new();
        let runner = Runner::new(context.clone(), &node, format!("{node}/{run}"));

        let shared = edge::Shared {
            store: store.clone(),
            objects: context.objects.clone(),
            recall,
            mailer: context.mailer.clone(),
            targets: context.targets.clone(),
            passwords: context.passwords.clone(),
            wake: context.wake.clone(),
            stopping: stopping.clone(),
        };
        let app = edge::app(config, shared)?;
        let router = api::router(Arc::new(app), switchboard::router(board.clone(), clock::shared()));

        let tended = board.clone();
        let tasks = vec![
            tokio::spawn(keep),
            tokio::spawn(api::server::serve(listener, router, stop_background.clone())),
            tokio::spawn(runner.run(stop_background.clone())),
            tokio::spawn(jobs::events::run(context.clone(), stop_background.clone())),
            tokio::spawn(reconcile::run(context.clone(), owner, started_at, stop_background.clone())),
            tokio::spawn(until(stop_background.clone(), async move { tended.tend(clock::now).await })),
        ];
        tracing::info!(%address, node = %node, database = ?store.dialect(), "ready");
        let missing = loaded.missing;
        let drain = config.drain;
        Ok(Self { address, board, store, jobs: context, missing, stopping, stop_background, tasks, drain })
    }

    /// Refuses new calls, lets live ones finish, stops. When `now` is cancelled, ends at once.
    pub(crate) async fn stop(self, now: CancellationToken) {
        self.stopping.cancel();
        tokio::select! {
            () = self.board.drain(self.drain) => {}
            () = now.cancelled() => self.board.stop_now().await,
        }
        self.stop_background.cancel();
        let Self { board, store, mut tasks, jobs, .. } = self;
        // The keeper ends when nobody can give it anything any more: the board goes before it.
        let keeper = tasks.remove(0);
        let others = async {
            for task in tasks {
                report(task.await);
            }
        };
        if tokio::time::timeout(LAST_WRITES, others).await.is_err() {
            tracing::warn!("some work was still under way when the node stopped; it is taken up at the next start");
        }
        drop(board);
        drop(jobs);
        if tokio::time::timeout(LAST_WRITES, keeper).await.is_err() {
            tracing::error!("the last notes of calls could not be kept: the database did not take them");
        }
        store.close().await;
    }
}

/// What jobs reach; the API shares parts of it.
fn jobs_context(config: &Config, store: &Store, http: &Http) -> anyhow::Result<jobs::Context> {
    Ok(jobs::Context {
        store: store.clone(),
        objects: Objects::open(&config.objects, http).context("the store of recordings cannot be opened")?,
        clock: clock::shared(),
        mailer: edge::mailer(config)?,
        egress: services::egress(config, http)?,
        carrier_files: services::carrier_files(config, http, folder(&config.data_dir, "fetched")?)?,
        exotel: services::exotel(config, http)?,
        models: None,
        prices: prices(config)?.into(),
        targets: Targets::new(),
        embedder: knowledge::embedder(config, http),
        media_url: media_url(&config.base_url()).into(),
        passwords: Passwords::new(),
        public_url: config.base_url().into(),
        audit_keep_days: config.audit_keep_days,
        wake: Arc::new(Notify::new()),
    })
}

/// The price table that comes with the program, and the operator's.
fn prices(config: &Config) -> anyhow::Result<Prices> {
    let prices = Prices::built_in()?;
    let Some(path) = &config.prices else { return Ok(prices) };
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("the price table {} cannot be read; see CALY_PRICES", path.display()))?;
    prices.with(&text).with_context(|| format!("the price table {} cannot be used", path.display()))
}

/// Where carriers open media sockets: the same host, by `wss` where it is reached by `https`.
fn media_url(base_url: &str) -> String {
    match base_url.strip_prefix("http") {
        Some(rest) => format!("ws{rest}"),
        None => base_url.to_owned(),
    }
}

/// Accepted sockets take the buffer over.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // The port of a node that has just ended is free.
    socket.set_reuseaddr(true)?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Opens the database and brings its schema up to date.
///
/// # Errors
/// When it cannot be opened, has a schema that this version does not know, lacks a role, or was used with another key.
pub(crate) async fn open_store(config: &Config) -> anyhow::Result<Store> {
    create_folder(&config.data_dir)?;
    let store = Store::open(&config.store()?).await?;
    store.migrate_up(clock::now()).await.context("the database's schema cannot be used")?;
    store.migrate_check().await.context("the database cannot be used")?;
    Ok(store)
}

fn folder(base: &Path, name: &str) -> anyhow::Result<std::path::PathBuf> {
    let path = base.join(name);
    create_folder(&path)?;
    std::path::absolute(&path).with_context(|| format!("the folder {} cannot be used", path.display()))
}

/// Makes a folder and tries to write into it: a read-only one is told now, not in the first call.
fn create_folder(path: &Path) -> anyhow::Result<()> {
    let probe = path.join(".caly-probe");
    // Recordings and password hashes lie here: nobody else's business. A folder that is there stays as it is.
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .and_then(|()| std::fs::write(&probe, b""))
        .and_then(|()| std::fs::remove_file(&probe))
        .with_context(|| format!("the folder {} cannot be written; set CALY_DATA_DIR to one that can", path.display()))
}

/// The node's name: given, or made once and kept with its data.
fn node_name(config: &Config) -> anyhow::Result<String> {
    if let Some(name) = &config.node {
        return Ok(name.clone());
    }
    let path = config.data_dir.join("node");
    match std::fs::read_to_string(&path) {
        Ok(name) if !name.trim().is_empty() => Ok(name.trim().to_owned()),
        Ok(_) => bail!("{} is empty; remove it or set CALY_NODE", path.display()),
        Err(_) => {
            let name = format!("node-{}", &run_id()?.simple().to_string()[..8]);
            std::fs::write(&path, &name).with_context(|| format!("{} cannot be written", path.display()))?;
            Ok(name)
        }
    }
}

fn run_id() -> anyhow::Result<uuid::Uuid> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).ok().context("the operating system gives no randomness")?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid())
}

async fn until(stop: CancellationToken, work: impl Future<Output = ()>) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(error = %error, "a part of the node ended badly");
    }
}
