//! `place_call`: asks the carrier to ring somebody up, once.
//!
//! queued → (it is noted that the order leaves) → (the order) → ringing. The note is in the database before the request is
//! on the wire. It is undone only by the run that made it, when the order surely was not carried out: it did not get out,
//! or the carrier wants it later. Whatever else happens, no second order leaves. A run that finds the note and no
//! name of the carrier's does not know whether the order was taken. It looks into the carrier's list of calls, and leaves
//! the rest to callbacks, to [`follow_call`](crate::follow_call) and to the time after which a call without any word is
//! over.

use crate::follow_call::{self, account_of, apply};
use crate::job::{Context, Job, JobError};
use chrono::{DateTime, Duration, Utc};
use identity::token::PathToken;
use model::limits::{CALL_DURATION_S_MAX, OUTGOING_STREAM_TOKEN_TTL_S, TRANSFER_CONVERSATION_S, TRANSFER_RINGING_S};
use model::{AgentConfig, CallId, CallStatus, CarrierKind, E164, EndedReason, Severity, TenantId};
use providers::ErrorKind;
use providers::exotel::{DialError, ExotelAccount};
use providers::resilience::CARRIER_API;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use store::call_ends::{self, Teller};
use store::calls::{self, Call, CarrierWord};
use store::carrier_accounts::{self, CarrierAccount};
use store::carrier_events::{self, NewCarrierEvent};
use store::{Tx, agents, stream_tokens};
use wire::exotel::rest::{CallDetails, Connect, Target};

/// A call is ordered within this time after it was asked for, or never: nobody wants a telephone to ring at night
/// because the carrier was away in the evening.
const PLACED_WITHIN: Duration = Duration::minutes(10);
/// Wait before another look whether the carrier can be asked, and before another order when one did not get out or came
/// too soon and the carrier does not say how long to wait.
const AGAIN_AFTER: Duration = Duration::seconds(20);
/// The client waits so long for room among the account's requests, with the order already noted; it is surely there then.
const ROOM_WITHIN: std::time::Duration = std::time::Duration::from_millis(500);
/// The telephone rings so long: the carrier's own limit.
const RING_S: u32 = 60;
/// The carrier ends the call this long after the agent should have: the agent says goodbye, the carrier does not.
const GRACE_S: u64 = 60;
/// No carrier's «come back at once» is taken at its word.
const AGAIN_AFTER_MIN: Duration = Duration::seconds(1);
/// In a flow the agent may hand the call on: the person's telephone rings, and they talk. The limit is of the whole call.
const TRANSFER_S: u64 = (TRANSFER_RINGING_S + TRANSFER_CONVERSATION_S) as u64;
/// The details are asked for this long after the order, if nothing was heard until then.
const FOLLOWED_AFTER: Duration = Duration::seconds(45);

/// The payload.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaceCall {
    tenant_id: TenantId,
    call_id: CallId,
}

impl Job for PlaceCall {
    const NAME: &'static str = calls::PLACE_JOB;

    async fn run(self, context: &Context) -> Result<(), JobError> {
        let now = context.now();
        let read = async |tx: &mut Tx| Found::read(tx, self.call_id).await;
        let (call, agent) = match context.store.read(self.tenant_id, "calls.to_place", read).await? {
            Found::Settled => return Ok(()),
            Found::Left(call) => return self.look_for(context, &call).await,
            Found::Waiting(call, agent) => (call, agent),
        };
        if now - call.created_at > PLACED_WITHIN {
            return self.end(context, EndedReason::CalyError, "it could not be placed in time").await;
        }
        if call.carrier != CarrierKind::Exotel {
            return self.end(context, EndedReason::CarrierRefused, "calls cannot be placed through this carrier").await;
        }
        let (account, token) = match self.account(context, call.carrier).await {
            Ok(Some(account)) => account,
            Ok(None) => {
                let why = "there is no account at the carrier any more";
                return self.end(context, EndedReason::CarrierRefused, why).await;
            }
            Err(error) if error.is_transient() => return Err(error.into()),
            Err(error) => {
                tracing::error!(call.id = %self.call_id, error = %error, "a carrier account cannot be read");
                return self.end(context, EndedReason::CalyError, "the carrier account cannot be read").await;
            }
        };
        let exotel = match account_of(&account, token) {
            Ok(exotel) => exotel,
            Err(why) => return self.end(context, EndedReason::CarrierRefused, why).await,
        };
        let (Some(from), Some(to)) = (&call.from, &call.to) else {
            return self.end(context, EndedReason::CalyError, "it has no numbers").await;
        };
        if context.exotel.room_in(&exotel) > ROOM_WITHIN {
            return self
                .wait_or_end(context, &call, AGAIN_AFTER, "the account has made all its requests for now")
                .await;
        }
        // Last: who is let through must ask.
        if !context.targets.allow(Some(self.tenant_id), CARRIER_API, context.now_ms()) {
            return self.wait_or_end(context, &call, AGAIN_AFTER, "the carrier does not answer").await;
        }
        let order = Order { call: &call, from, to, agent: &agent, account: &account, exotel: &exotel };
        self.dial(context, &order).await
    }
}

/// What the rows say.
enum Found {
    /// Nothing to do.
    Settled,
    /// A run before this one died, or was cut off, with the order on its way.
    Left(Call),
    /// To be placed.
    Waiting(Call, Box<AgentConfig>),
}

impl Found {
    async fn read(tx: &mut Tx, id: CallId) -> Result<Self, store::Error> {
        let call = calls::get(tx, id).await?;
        if call.status != CallStatus::Queued || call.carrier_call_id.is_some() {
            return Ok(Self::Settled);
        }
        if call.dialed_at.is_some() {
            return Ok(Self::Left(call));
        }
        let agent = Box::new(agents::get(tx, call.agent).await?.agent.config);
        Ok(Self::Waiting(call, agent))
    }
}

/// What is ordered.
struct Order<'a> {
    call: &'a Call,
    from: &'a E164,
    to: &'a E164,
    agent: &'a AgentConfig,
    account: &'a CarrierAccount,
    exotel: &'a ExotelAccount,
}

impl Order<'_> {
    /// Longest length of the call at the carrier.
    fn time_limit_s(&self) -> u32 {
        let transfer_s = if self.account.flow_id.is_some() { TRANSFER_S } else { 0 };
        let limit = self.agent.max_duration_s.saturating_add(GRACE_S + transfer_s).min(CALL_DURATION_S_MAX);
        u32::try_from(limit).unwrap_or(u32::MAX)
    }
}

impl PlaceCall {
    /// Notes that the order leaves, and lets it.
    async fn dial(&self, context: &Context, order: &Order<'_>) -> Result<(), JobError> {
        let no_randomness = |error| JobError::Retry(format!("no token could be made: {error}"));
        let callback = PathToken::random().map_err(no_randomness)?;
        let stream = PathToken::random().map_err(no_randomness)?;
        let now = context.now();
        let begun = context
            .store
            .write(self.tenant_id, "calls.begin_dialing", async |tx| {
                if !calls::begin_dialing(tx, order.call.id, callback.hash(), now).await? {
                    return Ok::<_, store::Error>(false);
                }
                let ttl = Duration::seconds(OUTGOING_STREAM_TOKEN_TTL_S);
                if order.account.flow_id.is_none() {
                    stream_tokens::issue(tx, order.call.id, stream.hash(), now, ttl).await?;
                }
                calls::enqueue_following(tx, order.call.id, now + FOLLOWED_AFTER, now).await?;
                Ok(true)
            })
            .await?;
        if !begun {
            return Ok(());
        }
        let media = format!("{}/media/{}/{}", context.media_url, order.account.carrier, stream.expose());
        let status = format!("{}/webhooks/{}/call/{}", context.public_url, order.account.carrier, callback.expose());
        let name = order.call.id.to_string();
        let connect = Connect {
            from: order.to,
            caller_id: order.from,
            to: match &order.account.flow_id {
                Some(flow_id) => Target::Flow { account_id: &order.account.account_id, flow_id },
                None => Target::Stream { url: &media, name: None },
            },
            time_limit_s: order.time_limit_s(),
            ring_s: RING_S,
            record: order.agent.record,
            custom_field: Some(&name),
            status_callback: Some(&status),
        };
        let answer = context.exotel.connect(order.exotel, &connect).await;
        self.answered(context, order.call, callback.hash(), answer).await
    }

    async fn answered(
        &self,
        context: &Context,
        call: &Call,
        token_hash: [u8; 32],
        answer: Result<CallDetails, DialError>,
    ) -> Result<(), JobError> {
        let (tenant, now) = (Some(self.tenant_id), context.now());
        match answer {
            Ok(details) => {
                context.targets.succeeded(tenant, CARRIER_API);
                taken(context, self.tenant_id, self.call_id, &details, now).await
            }
            Err(DialError::Refused(refusal, retry_after)) => {
                context.targets.succeeded(tenant, CARRIER_API);
                if refusal.status == 429 || retry_after.is_some() {
                    let wait = retry_after.and_then(|wait| Duration::from_std(wait).ok()).unwrap_or(AGAIN_AFTER);
                    return self.wait_anew(context, call, token_hash, wait, &refusal.to_string()).await;
                }
                self.end(context, EndedReason::CarrierRefused, &refusal.to_string()).await
            }
            Err(DialError::NotSent(error)) => {
                // Our own count of the account's requests is no failure of the carrier's.
                if error.is_transient() && error.kind != ErrorKind::Overloaded {
                    context.targets.failed(tenant, CARRIER_API, context.now_ms());
                }
                if error.is_transient() {
                    let why = format!("the order did not get out: {error}");
                    return self.wait_anew(context, call, token_hash, AGAIN_AFTER, &why).await;
                }
                self.end(context, EndedReason::CarrierRefused, &format!("the order did not get out: {error}")).await
            }
            Err(DialError::Unknown(error)) => {
                context.targets.failed(tenant, CARRIER_API, context.now_ms());
                tracing::warn!(call.id = %self.call_id, error = %error, "whether the carrier took a call is not known");
                Ok(())
            }
        }
    }

    async fn account(
        &self,
        context: &Context,
        carrier: CarrierKind,
    ) -> Result<Option<(CarrierAccount, SecretString)>, store::Error> {
        let reveal = async |tx: &mut Tx| carrier_accounts::reveal(tx, carrier).await;
        context.store.write(self.tenant_id, "carrier_accounts.reveal", reveal).await
    }

    /// The order left, or nearly: whether it was taken, the carrier's list may tell.
    async fn look_for(&self, context: &Context, call: &Call) -> Result<(), JobError> {
        let Some((account, token)) = self.account(context, call.carrier).await? else { return Ok(()) };
        let Ok(exotel) = account_of(&account, token) else { return Ok(()) };
        match follow_call::find(context, &exotel, call).await {
            Ok(Some(details)) => taken(context, self.tenant_id, self.call_id, &details, context.now()).await,
            Ok(None) => {
                tracing::warn!(call.id = %self.call_id, "a call was being ordered when its node stopped; the carrier does not list it");
                Ok(())
            }
            // It is looked for again with the next question about the call.
            Err(error) => {
                tracing::warn!(call.id = %self.call_id, error = %error, "a call whose order was cut off could not be looked for");
                Ok(())
            }
        }
    }

    /// An order left, or nearly, and surely was not carried out: the note of it is undone, and it is tried again while
    /// there is time.
    async fn wait_anew(
        &self,
        context: &Context,
        call: &Call,
        token_hash: [u8; 32],
        wait: Duration,
        why: &str,
    ) -> Result<(), JobError> {
        let undo = async |tx: &mut Tx| calls::not_dialed(tx, call.id, token_hash).await;
        if !context.store.write(self.tenant_id, "calls.not_dialed", undo).await? {
            return Ok(());
        }
        self.wait_or_end(context, call, wait.max(AGAIN_AFTER_MIN), why).await
    }

    /// Nothing left: it is tried again while there is time.
    async fn wait_or_end(&self, context: &Context, call: &Call, wait: Duration, why: &str) -> Result<(), JobError> {
        let in_time = wait <= PLACED_WITHIN && context.now() + wait - call.created_at <= PLACED_WITHIN;
        if !in_time {
            return self.end(context, EndedReason::CarrierFailed, why).await;
        }
        Err(JobError::Wait(wait, why.to_owned()))
    }

    /// The call is over before it began. What was said of it is kept with the call, and is not for logs.
    async fn end(&self, context: &Context, reason: EndedReason, words: &str) -> Result<(), JobError> {
        let (id, now) = (self.call_id, context.now());
        let event = NewCarrierEvent {
            kind: "order",
            key: Sha256::digest(format!("order\u{1f}{reason}\u{1f}{words}")).into(),
            data: Map::from_iter([
                ("ended_reason".to_owned(), Value::from(reason.as_str())),
                ("detail".to_owned(), Value::from(words)),
            ]),
            word: CarrierWord::default(),
        };
        let ended = context
            .store
            .write(self.tenant_id, "calls.not_placed", async |tx| {
                if !calls::finish_if_waiting(tx, id, reason, now).await? {
                    return Ok::<_, store::Error>(false);
                }
                carrier_events::take(tx, id, &event, now).await?;
                call_ends::tell(tx, id, reason, 0, Teller::system(Severity::Warning), now).await?;
                Ok(true)
            })
            .await?;
        if ended {
            tracing::warn!(call.id = %id, reason = reason.as_str(), "a call was not placed");
        }
        Ok(())
    }
}

/// The carrier took the call, and calls it so.
async fn taken(
    context: &Context,
    tenant: TenantId,
    id: CallId,
    details: &CallDetails,
    now: DateTime<Utc>,
) -> Result<(), JobError> {
    let named = context
        .store
        .write(tenant, "calls.dialed", async |tx| {
            let call = calls::dialed(tx, id, &details.call_id).await?;
            // "In progress" means no more here than that the order was taken; what is over is over.
            if details.status.is_some_and(CallStatus::is_final) {
                apply(tx, &call, details, now).await?;
            }
            Ok::<_, store::Error>(())
        })
        .await;
    match named {
        Ok(()) => Ok(()),
        Err(store::Error::Conflict(_)) => {
            tracing::error!(call.id = %id, "the carrier gave a call the name of another");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_payload_is_read_strictly() {
        let id = "01940b6e-0000-7000-8000-000000000001";
        assert!(serde_json::from_value::<PlaceCall>(json!({ "tenant_id": id, "call_id": id })).is_ok());
        for bad in [json!({}), json!({ "call_id": id }), json!({ "tenant_id": id, "call_id": id, "more": 1 })] {
            assert!(serde_json::from_value::<PlaceCall>(bad).is_err());
        }
    }
}
