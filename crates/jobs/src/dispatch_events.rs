//! From the outbox to the endpoints: each message that tenants may hear of becomes one delivery for every endpoint that
//! wants it, in the transaction that takes the message. So an event is neither lost nor made twice, and a call's events
//! are handed out in the order in which they were written.

use crate::job::Context;
use chrono::{DateTime, SecondsFormat, Utc};
use model::{CallId, EventKind};
use serde_json::{Map, Value, json};
use store::calls::{self, Call};
use store::deliveries::{self, NewDelivery};
use store::outbox::{self, Message};
use store::webhook_endpoints::{self, WebhookEndpoint};
use store::{Error, SystemTx, Tx};

/// Messages in one transaction: with 20 endpoints a thousand rows at most.
const BATCH: u32 = 50;
/// Batches in a row, so that a flood does not keep what is due from being sent.
const BATCHES_MAX: usize = 20;
/// Longest body, bytes (the specification's advice).
const BODY_BYTES_MAX: usize = 20_000;

/// What is told of an analysis: nothing in words of a caller or a model.
const ANALYSIS_FACTS: [&str; 5] = ["call_id", "analysis_state", "disposition", "succeeded", "cost"];

/// Hands out what waits; how many messages.
///
/// # Errors
/// When the database fails; what was handed out before stays so.
pub(crate) async fn dispatch(context: &Context) -> Result<usize, Error> {
    let mut all = 0;
    for _ in 0..BATCHES_MAX {
        if !context.store.system_read("outbox.waiting", outbox::waiting).await? {
            break;
        }
        let now = context.now();
        all += context
            .store
            .system("events.dispatch", async |tx| {
                let messages = outbox::take(tx, BATCH, now).await?;
                for message in &messages {
                    hand_out(tx, message, now).await?;
                }
                Ok::<_, Error>(messages.len())
            })
            .await?;
    }
    Ok(all)
}

async fn hand_out(tx: &mut SystemTx, message: &Message, now: DateTime<Utc>) -> Result<(), Error> {
    // Other kinds are for others.
    let Ok(kind) = message.kind.parse::<EventKind>() else { return Ok(()) };
    let tx = tx.tenant(message.tenant).await?;
    let endpoints: Vec<WebhookEndpoint> =
        webhook_endpoints::listening(tx).await?.into_iter().filter(|endpoint| endpoint.wants(kind)).collect();
    if endpoints.is_empty() {
        return Ok(());
    }
    let call = call_of(tx, message).await?;
    let body = body(kind, message.created_at, &message.data, call.as_ref());
    for endpoint in endpoints {
        let new = NewDelivery {
            endpoint: endpoint.id,
            event: message.id,
            kind: kind.as_str(),
            call: call.as_ref().map(|call| call.id),
            occurred_at: message.created_at,
            body: &body,
        };
        deliveries::create(tx, &new, now).await?;
    }
    Ok(())
}

/// The call that the message is about, unless it has been deleted meanwhile.
async fn call_of(tx: &mut Tx, message: &Message) -> Result<Option<Call>, Error> {
    let id = message.data.get("call_id").and_then(Value::as_str).and_then(|text| text.parse::<CallId>().ok());
    let Some(id) = id else { return Ok(None) };
    match calls::get(tx, id).await {
        Ok(call) => Ok(Some(call)),
        Err(Error::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What is signed and sent. Ids and the call's facts; never what was said.
fn body(kind: EventKind, at: DateTime<Utc>, data: &Map<String, Value>, call: Option<&Call>) -> String {
    let mut full = data.clone();
    match kind {
        // What a call collected is what callers said: whoever may see it asks for it.
        EventKind::CallAnalyzed => full.retain(|fact, _| ANALYSIS_FACTS.contains(&fact.as_str())),
        EventKind::TranscriptUpdated => {
            full.retain(|fact, _| fact == "call_id" || fact == "turns");
            let last = full.get("turns").and_then(Value::as_u64).and_then(|turns| turns.checked_sub(1));
            full.insert("last_index".to_owned(), json!(last));
        }
        EventKind::CallStarted | EventKind::CallEnded | EventKind::RecordingReady | EventKind::RecordingFailed => {}
    }
    let facts = call.and_then(|call| match kind {
        EventKind::CallStarted => Some(beginning(call)),
        EventKind::CallEnded | EventKind::CallAnalyzed => Some(whole(call)),
        EventKind::TranscriptUpdated | EventKind::RecordingReady | EventKind::RecordingFailed => None,
    });
    if let Some(facts) = facts {
        full.insert("call".to_owned(), facts.into());
    }
    let text = event(kind.as_str(), at, full);
    // Nothing of ours is that long; a carrier's id could be.
    if text.len() <= BODY_BYTES_MAX { text } else { event(kind.as_str(), at, Map::new()) }
}

/// An event as it is sent: `{"type", "timestamp", "data"}`.
fn event(kind: &str, at: DateTime<Utc>, data: Map<String, Value>) -> String {
    json!({ "type": kind, "timestamp": at.to_rfc3339_opts(SecondsFormat::Micros, true), "data": data }).to_string()
}

fn beginning(call: &Call) -> Map<String, Value> {
    let facts = [
        ("id", json!(call.id)),
        ("agent_id", json!(call.agent)),
        ("phone_number_id", json!(call.phone_number)),
        ("carrier", json!(call.carrier)),
        ("carrier_call_id", json!(call.carrier_call_id)),
        ("direction", json!(call.direction)),
        ("from", json!(call.from)),
        ("to", json!(call.to)),
        ("created_at", json!(call.created_at)),
        ("started_at", json!(call.started_at)),
    ];
    facts.into_iter().map(|(name, fact)| (name.to_owned(), fact)).collect()
}

fn whole(call: &Call) -> Map<String, Value> {
    let mut facts = beginning(call);
    let end = [
        ("status", json!(call.status)),
        ("ended_reason", json!(call.ended_reason)),
        ("ended_at", json!(call.ended_at)),
        ("duration_ms", json!(call.duration_ms)),
        (
            "cost",
            call.outcome.cost.map_or(Value::Null, |cost| json!({ "currency": cost.currency, "micros": cost.micros })),
        ),
    ];
    facts.extend(end.into_iter().map(|(name, fact)| (name.to_owned(), fact)));
    facts
}
