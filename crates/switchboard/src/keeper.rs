//! Keeps what calls produce: turns and events as they happen, the end exactly once. One task a node, which gathers
//! what many calls produce into few transactions; a call never waits for it until its own end.

use crate::{LEASE, Settings, recorder};
use call::Note;
use chrono::{DateTime, Utc};
use model::{AgentConfig, CallId, CallStatus, E164, EndedReason, RecordingId, TenantId, TranscriptTurn};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use store::audit::{AuditKind, Severity};
use store::call_ends::{self, Teller};
use store::calls::Owner;
use store::{Store, Tx, audit, call_events, calls, outbox, recordings, stream_tokens, turns};
use tokio::sync::{mpsc, oneshot};

/// Notes waiting for the database. A second of a thousand calls; beyond it notes are lost and counted, ends wait.
const QUEUE: usize = 4_096;
/// Notes written in one go.
const BATCH_MAX: usize = 256;
/// After a failure the same batch is tried again after this, doubling.
const RETRY_FIRST: Duration = Duration::from_millis(250);
/// Longest wait between two tries: a database that is back is noticed soon.
const RETRY_MAX: Duration = Duration::from_secs(10);

/// A media socket may be opened for this call.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) tenant: TenantId,
    pub(crate) call: CallId,
    pub(crate) agent: AgentConfig,
    pub(crate) from: Option<E164>,
    pub(crate) carrier_call_id: Option<String>,
}

/// Why there is no grant.
#[derive(Debug)]
pub(crate) enum Refused {
    Unknown,
    Used,
    Expired,
    Store(store::Error),
}

impl From<store::Error> for Refused {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

/// The end of a call.
pub(crate) struct CallEnd {
    pub(crate) tenant: TenantId,
    pub(crate) call: CallId,
    /// The media of the call began on the socket that ends.
    pub(crate) began: bool,
    pub(crate) reason: EndedReason,
    pub(crate) at: DateTime<Utc>,
    pub(crate) duration_ms: u64,
    pub(crate) collected: Map<String, Value>,
    pub(crate) recording: Option<RecordingId>,
}

impl CallEnd {
    /// Of a call whose media never began.
    pub(crate) fn without_media(tenant: TenantId, call: CallId, reason: EndedReason, at: DateTime<Utc>) -> Self {
        Self { tenant, call, began: false, reason, at, duration_ms: 0, collected: Map::new(), recording: None }
    }
}

enum Item {
    Note { tenant: TenantId, call: CallId, at_ms: u64, at: DateTime<Utc>, note: Box<Note> },
    End(Box<CallEnd>, oneshot::Sender<()>),
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Keeper {
    store: Store,
    owner: Arc<Owner>,
    items: mpsc::Sender<Item>,
    lost: Arc<AtomicU64>,
}

impl Keeper {
    /// A keeper for this node, and the task that must be running for it. The task ends when the last keeper is dropped.
    pub fn new(store: Store, owner: Owner) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (items, receiver) = mpsc::channel(QUEUE);
        let owner = Arc::new(owner);
        let task = keep(store.clone(), owner.clone(), receiver);
        (Self { store, owner, items, lost: Arc::default() }, task)
    }

    /// Notes that could not be kept because the database was away for too long.
    #[must_use]
    pub fn lost_notes(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    pub(crate) fn note(&self, tenant: TenantId, call: CallId, at_ms: u64, at: DateTime<Utc>, note: Note) {
        if self.items.try_send(Item::Note { tenant, call, at_ms, at, note: Box::new(note) }).is_err() {
            let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
            // Powers of two: the first loss is told at once, a flood does not flood the log.
            if lost.is_power_of_two() {
                tracing::error!(lost, "notes of calls are lost: the database does not keep up");
            }
        }
    }

    /// Keeps the end of a call; returns when it is in the database.
    pub(crate) async fn finish(&self, end: CallEnd) {
        let (done, written) = oneshot::channel();
        if self.items.send(Item::End(Box::new(end), done)).await.is_err() || written.await.is_err() {
            tracing::error!("the end of a call could not be kept: the keeper is gone");
        }
    }

    pub(crate) async fn renew_leases(&self, now: DateTime<Utc>) -> Result<u64, store::Error> {
        self.store.system("calls.renew_leases", async |tx| calls::renew_leases(tx, &self.owner, now, LEASE).await).await
    }

    pub(crate) async fn consume_token(&self, hash: [u8; 32], now: DateTime<Utc>) -> Result<Grant, Refused> {
        self.store
            .system("stream_tokens.consume", async |tx| {
                let granted = match stream_tokens::consume(tx, hash, now).await? {
                    stream_tokens::Consumed::Granted(granted) if granted.status.is_final() => {
                        return Err(Refused::Expired);
                    }
                    stream_tokens::Consumed::Granted(granted) => granted,
                    stream_tokens::Consumed::Unknown => return Err(Refused::Unknown),
                    stream_tokens::Consumed::Used => return Err(Refused::Used),
                    stream_tokens::Consumed::Expired => return Err(Refused::Expired),
                };
                let tx = tx.tenant(granted.tenant).await?;
                let agent = store::agents::get(tx, granted.agent).await?.agent.config;
                let from = calls::get(tx, granted.call).await?.from;
                let (tenant, call, carrier_call_id) = (granted.tenant, granted.call, granted.carrier_call_id);
                Ok(Grant { tenant, call, agent, from, carrier_call_id })
            })
            .await
    }

    /// The call is in progress and ours, and its recording begins. `Err(Conflict)` when it had begun or ended before.
    pub(crate) async fn begin(
        &self,
        grant: &Grant,
        settings: &Settings,
        rate: u32,
        now: DateTime<Utc>,
    ) -> Result<Option<RecordingId>, store::Error> {
        self.store
            .write(grant.tenant, "calls.begin_media", async |tx| {
                if !calls::begin_media(tx, grant.call, &self.owner, now, LEASE).await? {
                    return Err(store::Error::Conflict("the call's media has begun before"));
                }
                audit_call(tx, AuditKind::CallStarted, grant.call, Map::new(), now).await?;
                outbox::push(
                    tx,
                    "call.started",
                    Map::from_iter([("call_id".to_owned(), grant.call.to_string().into())]),
                    now,
                )
                .await?;
                if !grant.agent.record {
                    return Ok(None);
                }
                let recording = recordings::NewRecording {
                    call: grant.call,
                    node: settings.node.clone(),
                    spool_path: recorder::spool_path(&settings.spool_dir, grant.call).display().to_string(),
                    channels: u32::from(recorder::CHANNELS),
                    sample_rate_hz: rate,
                };
                Ok(Some(recordings::create(tx, &recording, now).await?.id))
            })
            .await
    }
}

/// What one call produced since the last write.
#[derive(Default)]
struct Produced {
    turns: Vec<TranscriptTurn>,
    events: Vec<call_events::NewCallEvent>,
    at: Option<DateTime<Utc>>,
}

async fn keep(store: Store, owner: Arc<Owner>, mut items: mpsc::Receiver<Item>) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while items.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let mut produced: BTreeMap<(TenantId, CallId), Produced> = BTreeMap::new();
        let mut ends = Vec::new();
        for item in batch.drain(..) {
            match item {
                Item::Note { tenant, call, at_ms, at, note } => {
                    let produced = produced.entry((tenant, call)).or_default();
                    produced.at = Some(at);
                    produced.add(at_ms, *note);
                }
                Item::End(end, done) => ends.push((end, done)),
            }
        }
        let mut tenants: BTreeMap<TenantId, Vec<(CallId, Produced)>> = BTreeMap::new();
        for ((tenant, call), produced) in produced {
            tenants.entry(tenant).or_default().push((call, produced));
        }
        for (tenant, calls) in tenants {
            write_notes(&store, tenant, &calls).await;
        }
        for (end, done) in ends {
            let mut patience = Patience::new("calls.finish");
            while patience.judge(write_end(&store, &owner, &end).await).await.is_none() {}
            // Nobody waits any more: the node is ending.
            let _ = done.send(());
        }
    }
}

impl Produced {
    fn add(&mut self, at_ms: u64, note: Note) {
        match note {
            Note::Turn(turn) => self.turns.push(turn),
            other => {
                // A note is a record with a name: always an object.
                let Ok(Value::Object(mut data)) = serde_json::to_value(&other) else { return };
                let kind = data.remove("note").and_then(|kind| kind.as_str().map(str::to_owned)).unwrap_or_default();
                self.events.push(call_events::NewCallEvent { at_ms, kind, data });
            }
        }
    }
}

/// All notes of one tenant in one transaction; if a call of them is at fault, each call in its own.
async fn write_notes(store: &Store, tenant: TenantId, calls: &[(CallId, Produced)]) {
    if write_patiently(store, tenant, calls).await || calls.len() == 1 {
        return;
    }
    for call in calls {
        write_patiently(store, tenant, std::slice::from_ref(call)).await;
    }
}

async fn write_patiently(store: &Store, tenant: TenantId, calls: &[(CallId, Produced)]) -> bool {
    let mut patience = Patience::new("calls.notes");
    loop {
        if let Some(done) = patience.judge(write_together(store, tenant, calls).await).await {
            return done;
        }
    }
}

async fn write_together(store: &Store, tenant: TenantId, calls: &[(CallId, Produced)]) -> Result<(), store::Error> {
    store
        .write(tenant, "calls.notes", async |tx| {
            for (call, produced) in calls {
                let Some(now) = produced.at else { continue };
                turns::append(tx, *call, &produced.turns, now).await?;
                call_events::append(tx, *call, &produced.events, now).await?;
            }
            Ok(())
        })
        .await
}

async fn write_end(store: &Store, owner: &Owner, end: &CallEnd) -> Result<(), store::Error> {
    store
        .write(end.tenant, "calls.finish", async |tx| {
            // A carrier that asked twice has two tokens: the end of the socket that came to nothing is not the call's.
            if !end.began && calls::get(tx, end.call).await?.status == CallStatus::InProgress {
                return Ok(());
            }
            let first = calls::finish(tx, end.call, end.reason, end.at, end.duration_ms, &end.collected).await?;
            if !first {
                return Ok(());
            }
            let teller = Teller::system(Severity::Info);
            call_ends::tell(tx, end.call, end.reason, end.duration_ms, teller, end.at).await?;
            if let Some(recording) = &end.recording {
                recordings::enqueue_storing(tx, *recording, &owner.node, end.at).await?;
            }
            Ok(())
        })
        .await
}

async fn audit_call(
    tx: &mut Tx,
    kind: AuditKind,
    call: CallId,
    data: Map<String, Value>,
    now: DateTime<Utc>,
) -> Result<(), store::Error> {
    let object_id = call.to_string();
    let event = audit::NewAuditEvent {
        kind,
        severity: Severity::Info,
        actor: "system",
        ip: None,
        request_id: None,
        object_kind: Some("call"),
        object_id: Some(&object_id),
        data,
    };
    audit::record(tx, &event, now).await.map(|_| ())
}

/// Tries until it is done or cannot be done.
struct Patience {
    what: &'static str,
    wait: Duration,
}

impl Patience {
    const fn new(what: &'static str) -> Self {
        Self { what, wait: RETRY_FIRST }
    }

    /// Whether it is done; `None` after a wait, when it is to be tried again.
    async fn judge(&mut self, outcome: Result<(), store::Error>) -> Option<bool> {
        match outcome {
            Ok(()) => Some(true),
            Err(error) if error.is_transient() => {
                tracing::warn!(what = self.what, error = %error, "the database is away; trying again");
                tokio::time::sleep(self.wait).await;
                self.wait = (self.wait * 2).min(RETRY_MAX);
                None
            }
            Err(error) => {
                tracing::error!(what = self.what, error = %error, cause = ?error, "could not be kept");
                Some(false)
            }
        }
    }
}
