//! Keeps what calls produce: turns and events as they happen, the end exactly once. One task a node, which gathers
//! what many calls produce into few transactions; a call never waits for it until its own end.

use crate::{LEASE, Settings, recorder};
use call::Note;
use call::variables::Variables;
use chrono::{DateTime, Utc};
use model::{
    AgentConfig, CallDirection, CallId, CallUsage, CarrierKind, E164, EndedReason, EventKind, RecordingId, TenantId,
    TranscriptTurn,
};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use store::audit::{AuditKind, Severity};
use store::call_ends::{self, Teller};
use store::call_records::{self, Cost};
use store::calls::Owner;
use store::{Store, Tx, audit, call_events, calls, carrier_accounts, outbox, recordings, stream_tokens, turns};
use tokio::sync::{mpsc, oneshot};

/// Notes waiting for the database. A second of a thousand calls; beyond it notes are lost and counted, ends wait.
const QUEUE: usize = 4_096;
/// Notes written in one go.
const BATCH_MAX: usize = 256;
/// Notes are gathered for so long before they are written: to write one note or fifty is the same commit. What a crash
/// takes with it is that much more.
const GATHER: Duration = Duration::from_millis(100);
/// After a failure the same batch is tried again after this, doubling.
const RETRY_FIRST: Duration = Duration::from_millis(250);
/// The carrier's figures of a call are right after ten to fifteen minutes (its own advice).
const FIGURES_AFTER: chrono::Duration = chrono::Duration::minutes(12);
/// Longest wait between two tries: a database that is back is noticed soon.
const RETRY_MAX: Duration = Duration::from_secs(10);

/// A media socket may be opened for this call.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) tenant: TenantId,
    pub(crate) call: CallId,
    /// Its variables are filled in when all of them are known.
    pub(crate) agent: AgentConfig,
    pub(crate) direction: CallDirection,
    /// Who is on the other side, whoever called.
    pub(crate) person: Option<E164>,
    pub(crate) our_number: Option<E164>,
    pub(crate) carrier_call_id: Option<String>,
    pub(crate) variables: Variables,
    /// The carrier asks whom to call when the media is over.
    pub(crate) can_transfer: bool,
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
    /// What it used of its providers, and what went on in it.
    pub(crate) usage: CallUsage,
    pub(crate) recording: Option<RecordingId>,
}

impl CallEnd {
    /// Of a call whose media never began.
    pub(crate) fn without_media(tenant: TenantId, call: CallId, reason: EndedReason, at: DateTime<Utc>) -> Self {
        let (collected, usage) = (Map::new(), CallUsage::default());
        Self { tenant, call, began: false, reason, at, duration_ms: 0, collected, usage, recording: None }
    }
}

enum Item {
    Note { tenant: TenantId, call: CallId, at_ms: u64, at: DateTime<Utc>, note: Box<Note> },
    End(Box<CallEnd>, oneshot::Sender<()>),
}

/// What a call cost, by the price table of this node; none when it used nothing that is bought.
pub type Pricing = Arc<dyn Fn(&CallUsage) -> Option<Cost> + Send + Sync>;

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
    pub fn new(store: Store, owner: Owner, pricing: Pricing) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (items, receiver) = mpsc::channel(QUEUE);
        let owner = Arc::new(owner);
        let task = keep(store.clone(), owner.clone(), pricing, receiver);
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

    /// Who is called when the media of this call has ended. Not through the queue: the call waits for it.
    pub(crate) async fn decide_transfer(
        &self,
        tenant: TenantId,
        call: CallId,
        to: &E164,
        now: DateTime<Utc>,
    ) -> Result<(), store::Error> {
        self.store
            .write(tenant, "calls.decide_transfer", async |tx| calls::decide_transfer(tx, call, to, now).await)
            .await
            .map(|_| ())
    }

    /// The calls of this node that their people want to end.
    pub(crate) async fn hang_ups(&self) -> Result<Vec<(TenantId, CallId)>, store::Error> {
        self.store.system_read("calls.hang_ups", async |tx| calls::hang_ups(tx, &self.owner).await).await
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
                let row = calls::get(tx, granted.call).await?;
                let variables = texts(&row.variables);
                let direction = row.direction;
                let (person, our_number) = match direction {
                    CallDirection::Incoming => (row.from, row.to),
                    CallDirection::Outgoing => (row.to, row.from),
                };
                let can_transfer = can_transfer(tx, row.carrier, direction).await?;
                let (tenant, call, carrier_call_id) = (granted.tenant, granted.call, granted.carrier_call_id);
                Ok(Grant {
                    tenant,
                    call,
                    agent,
                    direction,
                    person,
                    our_number,
                    carrier_call_id,
                    variables,
                    can_transfer,
                })
            })
            .await
    }

    /// The call is in progress and ours, and its recording begins. `Err(Conflict)` when it had begun or ended before.
    pub(crate) async fn begin(
        &self,
        grant: &Grant,
        settings: &Settings,
        rate: u32,
        carrier_call_id: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Option<RecordingId>, store::Error> {
        self.store
            .write(grant.tenant, "calls.begin_media", async |tx| {
                if !calls::begin_media(tx, grant.call, &self.owner, now, LEASE).await? {
                    return Err(store::Error::Conflict("the call's media has begun before"));
                }
                // The media of a call that Caly ordered can be here before the answer to the order.
                if let (None, Some(name)) = (&grant.carrier_call_id, carrier_call_id) {
                    calls::dialed(tx, grant.call, name).await?;
                }
                audit_call(tx, AuditKind::CallStarted, grant.call, Map::new(), now).await?;
                outbox::push(tx, EventKind::CallStarted.as_str(), of_call(grant.call), now).await?;
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

async fn keep(store: Store, owner: Arc<Owner>, pricing: Pricing, mut items: mpsc::Receiver<Item>) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while gather(&mut items, &mut batch).await {
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
            let (cost, mut patience) = (pricing(&end.usage), Patience::new("calls.finish"));
            while patience.judge(write_end(&store, &owner, &end, cost.as_ref()).await).await.is_none() {}
            // Nobody waits any more: the node is ending.
            let _ = done.send(());
        }
    }
}

/// The next items, in their order; false when there are none any more. Somebody waits for an end, and nobody for a note.
async fn gather(items: &mut mpsc::Receiver<Item>, batch: &mut Vec<Item>) -> bool {
    if items.recv_many(batch, BATCH_MAX).await == 0 {
        return false;
    }
    let until = tokio::time::Instant::now() + GATHER;
    let is_end = |item: &Item| matches!(item, Item::End(..));
    let mut awaited = batch.iter().any(is_end);
    while batch.len() < BATCH_MAX && !awaited {
        let Ok(Some(item)) = tokio::time::timeout_at(until, items.recv()).await else { break };
        awaited = is_end(&item);
        batch.push(item);
    }
    true
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
            let Some(now) = calls.iter().filter_map(|(_, produced)| produced.at).max() else { return Ok(()) };
            let said: Vec<_> = calls.iter().map(|(call, produced)| (*call, produced.turns.as_slice())).collect();
            turns::append_together(tx, &said, now).await?;
            let happened: Vec<_> = calls.iter().map(|(call, produced)| (*call, produced.events.as_slice())).collect();
            call_events::append_together(tx, &happened, now).await?;
            if said.iter().all(|(_, turns)| turns.is_empty())
                || !outbox::is_wanted(tx, EventKind::TranscriptUpdated).await?
            {
                return Ok(());
            }
            for (call, turns) in said {
                let Some(last) = turns.last() else { continue };
                let mut update = of_call(call);
                update.insert("turns".to_owned(), (last.index + 1).into());
                outbox::push(tx, EventKind::TranscriptUpdated.as_str(), update, now).await?;
            }
            Ok(())
        })
        .await
}

async fn write_end(store: &Store, owner: &Owner, end: &CallEnd, cost: Option<&Cost>) -> Result<(), store::Error> {
    store
        .write(end.tenant, "calls.finish", async |tx| {
            // A carrier that asked twice has two tokens: the end of the socket that came to nothing is not the call's.
            let first = if end.began {
                calls::finish(tx, end.call, end.reason, end.at, end.duration_ms, &end.collected).await?
            } else {
                calls::finish_if_waiting(tx, end.call, end.reason, end.at).await?
            };
            if !first {
                return Ok(());
            }
            let teller = Teller::system(Severity::Info);
            call_ends::tell(tx, end.call, end.reason, end.duration_ms, teller, end.at).await?;
            follow(tx, end).await?;
            if end.began {
                call_records::keep(tx, end.call, &end.usage, cost).await?;
                call_records::after_end(tx, end.call, &end.collected, end.at).await?;
            }
            if let Some(recording) = &end.recording {
                recordings::enqueue_storing(tx, *recording, &owner.node, end.at).await?;
            }
            Ok(())
        })
        .await
}

/// Exotel asks in a flow only, and calls may be placed without one; Smartflo never asks.
async fn can_transfer(tx: &mut Tx, carrier: CarrierKind, direction: CallDirection) -> Result<bool, store::Error> {
    match (carrier, direction) {
        (CarrierKind::Smartflo, _) => Ok(false),
        (CarrierKind::Exotel, CallDirection::Outgoing) => Ok(carrier_accounts::flow(tx, carrier).await?.is_some()),
        (CarrierKind::Exotel, CallDirection::Incoming)
        | (CarrierKind::Twilio | CarrierKind::Plivo | CarrierKind::Vobiz, _) => Ok(true),
    }
}

/// Variables as they are spoken and written: a text without its quotation marks.
fn texts(variables: &Map<String, Value>) -> Variables {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    variables.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

/// The beginning of every event of a call.
fn of_call(call: CallId) -> Map<String, Value> {
    Map::from_iter([("call_id".to_owned(), call.to_string().into())])
}

/// The carrier's own figures of an incoming call are asked for once they are right; of an outgoing one that is under way
/// since it was ordered.
async fn follow(tx: &mut Tx, end: &CallEnd) -> Result<(), store::Error> {
    let call = calls::get(tx, end.call).await?;
    if call.direction == CallDirection::Incoming
        && call.carrier_call_id.is_some()
        && carrier_accounts::has(tx, call.carrier).await?
    {
        calls::enqueue_following(tx, end.call, end.at + FIGURES_AFTER, end.at).await?;
    }
    Ok(())
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
