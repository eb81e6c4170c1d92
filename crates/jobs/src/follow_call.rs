//! `follow_call`: asks the carrier for the details of a call, now and then, until both sides say that it is over. Callbacks
//! come late or not at all; this is the net below them. It closes a call that nobody took, learns the name of one whose
//! order was cut off, and hears of the carrier's recording.
//!
//! Asked 45 s, 2, 5, 10 and 15 min after the order, then each quarter of an hour until the call cannot last any longer, nor
//! the conversation with whom the caller was handed to; and once more 12 min after its end, since the carrier's figures are
//! right only 10 to 15 min afterwards (support article 48283).

use crate::job::{Context, Job, JobError};
use chrono::{DateTime, Duration, Utc};
use model::limits::{TRANSFER_CONVERSATION_S, TRANSFER_HOLDS_S, TRANSFER_RINGING_S};
use model::{CallDirection, CallId, CarrierKind, EndedReason, Severity, TenantId};
use providers::exotel::ExotelAccount;
use providers::resilience::CARRIER_API;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use store::call_ends::{self, Teller};
use store::calls::{self, Call, CarrierWord};
use store::carrier_accounts::{self, CarrierAccount};
use store::carrier_events::{self, NewCarrierEvent, Taken};
use store::{Tx, agents};
use wire::exotel::rest::{CallDetails, CallsQuery};

/// When to ask, seconds after the order.
const STEPS_S: [i64; 5] = [45, 120, 300, 600, 900];
/// And then this often.
const STEP_LAST_S: i64 = 900;
/// The carrier's figures are right this long after the end.
const SETTLED_AFTER: Duration = Duration::minutes(12);
/// A call may be reported this long after the time when it must be over.
const LATEST_AFTER: Duration = Duration::minutes(15);
/// A call that was handed to a person is over so long after the decision: the carrier asks for it, the person's telephone
/// rings, and they talk.
const TRANSFER_LASTS: Duration =
    Duration::seconds((TRANSFER_HOLDS_S + TRANSFER_RINGING_S + TRANSFER_CONVERSATION_S) as i64);
/// A listed call may seem to have begun this long before its order: clocks differ.
const LISTED_BEFORE: Duration = Duration::seconds(5);
/// And this long after it: the carrier answers an order within its deadline, or not at all.
const LISTED_AFTER: Duration = Duration::minutes(2);
/// A breaker that is open is asked again after this.
const BREAKER_WAIT: Duration = Duration::seconds(60);

/// The payload.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FollowCall {
    tenant_id: TenantId,
    call_id: CallId,
}

impl Job for FollowCall {
    const NAME: &'static str = calls::FOLLOW_JOB;

    async fn run(self, context: &Context) -> Result<(), JobError> {
        let id = self.call_id;
        let found =
            context.store.write(self.tenant_id, "calls.to_follow", async |tx| Followed::read(tx, id).await).await?;
        let Some((followed, token)) = found else { return Ok(()) };
        let Ok(exotel) = account_of(&followed.account, token) else { return Ok(()) };
        let asked = self.ask(context, &exotel, &followed.call).await;
        let call = context.store.read(self.tenant_id, "calls.get", async |tx| calls::get(tx, id).await).await?;
        let now = context.now();
        let (next, why) = match &asked {
            Ok(()) => (next_at(&call, followed.longest, now), "the call is not settled at the carrier"),
            Err(_) => (retry_at(&call, followed.longest, now), "the carrier did not say"),
        };
        match (next, asked) {
            (Some(at), Ok(())) => Err(JobError::Wait(at - now, why.to_owned())),
            (Some(at), Err(error)) => Err(JobError::Wait(at - now, format!("{why}: {error}"))),
            (None, Ok(())) => Ok(()),
            (None, Err(error)) => Err(JobError::Fail(error)),
        }
    }
}

/// A call with what is needed to ask for it.
struct Followed {
    call: Call,
    account: CarrierAccount,
    /// The agent's limit.
    longest: Duration,
}

impl Followed {
    /// None = there is nobody to ask.
    async fn read(tx: &mut Tx, id: CallId) -> Result<Option<(Self, SecretString)>, store::Error> {
        let call = calls::get(tx, id).await?;
        if call.carrier != CarrierKind::Exotel || (call.carrier_call_id.is_none() && call.dialed_at.is_none()) {
            return Ok(None);
        }
        let Some((account, token)) = carrier_accounts::reveal(tx, call.carrier).await? else { return Ok(None) };
        let agent = agents::get(tx, call.agent).await?.agent.config;
        let longest = Duration::seconds(i64::try_from(agent.max_duration_s).unwrap_or(i64::from(u32::MAX)));
        Ok(Some((Self { call, account, longest }, token)))
    }
}

impl FollowCall {
    /// Asks, and keeps what is said. The error is for operators.
    async fn ask(&self, context: &Context, exotel: &ExotelAccount, call: &Call) -> Result<(), String> {
        let tenant = Some(self.tenant_id);
        if !context.targets.allow(tenant, CARRIER_API, context.now_ms()) {
            return Err("the carrier has not answered several times".to_owned());
        }
        let answer = match &call.carrier_call_id {
            Some(name) => context.exotel.call(exotel, name).await.map(Some),
            None => find(context, exotel, call).await,
        };
        let details = match answer {
            Ok(details) => {
                context.targets.succeeded(tenant, CARRIER_API);
                details
            }
            Err(error) => {
                if error.is_transient() {
                    context.targets.failed(tenant, CARRIER_API, context.now_ms());
                } else {
                    context.targets.succeeded(tenant, CARRIER_API);
                }
                return Err(error.to_string());
            }
        };
        let Some(details) = details else { return Ok(()) };
        let now = context.now();
        context
            .store
            .write(self.tenant_id, "calls.details", async |tx| {
                let call = match call.carrier_call_id {
                    Some(_) => calls::get(tx, call.id).await?,
                    None => calls::dialed(tx, call.id, &details.call_id).await?,
                };
                apply(tx, &call, &details, now).await
            })
            .await
            .map_err(|error| error.to_string())
    }
}

/// Keeps what the details say, once.
///
/// # Errors
/// When the database fails.
pub(crate) async fn apply(
    tx: &mut Tx,
    call: &Call,
    details: &CallDetails,
    now: DateTime<Utc>,
) -> Result<(), store::Error> {
    let over = details.status.is_some_and(model::CallStatus::is_final);
    let data = said([
        ("status", json!(details.status.map(model::CallStatus::as_str))),
        ("duration_s", json!(details.duration_s)),
        ("started_at", json!(details.started_at)),
        ("ended_at", json!(details.ended_at.filter(|_| over))),
        ("answered_by", json!(details.answered_by.map(|by| by.as_str()))),
        ("price", json!(details.price)),
        ("recording", if details.recording_url.is_some() { json!(true) } else { Value::Null }),
    ]);
    let event = NewCarrierEvent {
        kind: "details",
        key: Sha256::digest(format!("details\u{1f}{}", Value::Object(data.clone()))).into(),
        data,
        word: CarrierWord {
            status: details.status,
            duration_s: details.duration_s.map(u64::from),
            ended_at: details.ended_at.filter(|_| over),
            recording_url: details.recording_url.as_deref().filter(|_| over),
            recording_due_at: None,
        },
    };
    match carrier_events::take(tx, call.id, &event, now).await? {
        Taken::Noted | Taken::Repeated => Ok(()),
        Taken::TooMany => {
            tracing::warn!(call.id = %call.id, "the carrier's details of a call change more often than can be");
            Ok(())
        }
        Taken::Closed => {
            let reason = calls::get(tx, call.id).await?.ended_reason.unwrap_or(EndedReason::CarrierFailed);
            call_ends::tell(tx, call.id, reason, 0, Teller::system(Severity::Info), now).await
        }
    }
}

/// The call in the carrier's list that the order of this one must have made: to the same person, from the same number,
/// at the time of the order, and not known as another call. None when there is none, or more than one.
///
/// # Errors
/// When the carrier or the database does not answer.
pub(crate) async fn find(
    context: &Context,
    exotel: &ExotelAccount,
    call: &Call,
) -> Result<Option<CallDetails>, providers::Error> {
    let (Some(dialed_at), Some(person)) = (call.dialed_at, &call.to) else { return Ok(None) };
    let query = CallsQuery { from: person, since: dialed_at - LISTED_BEFORE };
    let listed = context.exotel.find_calls(exotel, &query).await?;
    let mut fitting = Vec::new();
    for details in listed.into_iter().filter(|details| fits(call, dialed_at, details)) {
        let known = context
            .store
            .system_read("calls.find_carried", async |tx| calls::find_carried(tx, call.carrier, &details.call_id).await)
            .await
            .map_err(|error| providers::Error::new(providers::ErrorKind::Unavailable, "database", error.to_string()))?;
        if known.is_none_or(|known| known.id == call.id) {
            fitting.push(details);
        }
    }
    Ok(if fitting.len() == 1 { fitting.pop() } else { None })
}

/// What is not said does not speak against it.
fn fits(call: &Call, dialed_at: DateTime<Utc>, details: &CallDetails) -> bool {
    let person = details.from.is_none() || details.from == call.to;
    let number = details.exophone.is_none() || details.exophone == call.from;
    let outgoing = details.direction.is_none_or(|direction| direction == CallDirection::Outgoing);
    let at = details.created_at.or(details.started_at);
    let in_time = at.is_none_or(|at| at >= dialed_at - LISTED_BEFORE && at <= dialed_at + LISTED_AFTER);
    person && number && outgoing && in_time
}

/// The account as the client wants it; otherwise what it lacks.
pub(crate) fn account_of(account: &CarrierAccount, token: SecretString) -> Result<ExotelAccount, &'static str> {
    let api_key = account.api_key.clone().ok_or("the carrier account has no API key")?;
    let region = account.region.as_deref().ok_or("the carrier account has no region")?;
    let region = region.parse().map_err(|_| "the carrier account has an unknown region")?;
    Ok(ExotelAccount { account_id: account.account_id.clone(), api_key, token, region })
}

/// When to ask next; none = it has been asked often enough.
fn next_at(call: &Call, longest: Duration, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let settled = settled_at(call, now).filter(|at| *at > now);
    let carrier_over = call.carrier_status.is_some_and(model::CallStatus::is_final) || call.carrier_call_id.is_none();
    if call.status.is_final() && carrier_over {
        return settled;
    }
    let step = step_at(call, longest, now);
    step.into_iter().chain(settled).min()
}

/// The same after a question that was not answered: what would have been the last is asked again.
fn retry_at(call: &Call, longest: Duration, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let again = now + BREAKER_WAIT;
    next_at(call, longest, now).or_else(|| step_at(call, longest, now)).map(|at| at.max(again))
}

/// The first step after now, while the call can last.
fn step_at(call: &Call, longest: Duration, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let begun = call.dialed_at.unwrap_or(call.created_at);
    let over = match call.transferred_at {
        Some(at) => at.checked_add_signed(TRANSFER_LASTS),
        None => begun.checked_add_signed(longest),
    };
    let last = over.and_then(|at| at.checked_add_signed(LATEST_AFTER));
    let passed_s = (now - begun).num_seconds();
    let after_s = match STEPS_S.iter().find(|step| **step > passed_s) {
        Some(step) => *step,
        None => (passed_s.div_euclid(STEP_LAST_S) + 1).saturating_mul(STEP_LAST_S),
    };
    let at = begun.checked_add_signed(Duration::try_seconds(after_s)?)?;
    last.is_none_or(|last| at <= last).then_some(at)
}

/// When the carrier's figures are right; none while the call goes on.
fn settled_at(call: &Call, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let ended = call.ended_at.filter(|_| call.status.is_final())?;
    // A clock that goes ahead of ours must not keep us waiting.
    let carrier = call.carrier_ended_at.filter(|at| *at <= now).unwrap_or(ended);
    Some(ended.max(carrier) + SETTLED_AFTER)
}

fn said<const N: usize>(pairs: [(&str, Value); N]) -> Map<String, Value> {
    pairs.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{CallStatus, E164};

    /// A call that was ordered at second 0 and has a name.
    fn call() -> Call {
        let dialed_at = at(0);
        Call {
            id: CallId::from(uuid::Uuid::from_u128(1)),
            tenant: TenantId::from(uuid::Uuid::from_u128(2)),
            agent: model::AgentId::from(uuid::Uuid::from_u128(3)),
            phone_number: None,
            carrier: CarrierKind::Exotel,
            carrier_call_id: Some("sid-1".to_owned()),
            direction: CallDirection::Outgoing,
            from: E164::parse("+918047491899").ok(),
            to: E164::parse("+919876543210").ok(),
            status: CallStatus::Ringing,
            ended_reason: None,
            created_at: at(-3),
            started_at: None,
            ended_at: None,
            duration_ms: None,
            carrier_duration_s: None,
            carrier_status: None,
            carrier_ended_at: None,
            carrier_recording_url: None,
            carrier_recording_due_at: None,
            data: json!({}),
            summary: None,
            owner_node: None,
            variables: Map::new(),
            dialed_at: Some(dialed_at),
            transfer_to: None,
            transferred_at: None,
            outcome: store::call_records::Outcome::default(),
        }
    }

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + second, 0).expect("a time")
    }

    fn ended(second: i64) -> Call {
        Call { status: CallStatus::Completed, ended_at: Some(at(second)), ..call() }
    }

    fn carrier(status: CallStatus, second: i64, call: Call) -> Call {
        Call { carrier_status: Some(status), carrier_ended_at: Some(at(second)), ..call }
    }

    #[test]
    fn questions_come_on_their_schedule() {
        let longest = Duration::seconds(3_600);
        let transferred = Call { transferred_at: Some(at(3_600)), ..ended(3_601) };
        let handed_on_late = Call { transferred_at: Some(at(860)), ..ended(861) };
        let unnamed = Call { carrier_call_id: None, ..call() };
        let both = carrier(CallStatus::Completed, 100, ended(100));
        let talks_on = Call { carrier_ended_at: None, ..carrier(CallStatus::InProgress, 0, ended(100)) };
        for (what, call, now, want) in [
            ("waits", call(), 0, Some(45)),
            ("waits", call(), 44, Some(45)),
            ("waits", call(), 45, Some(120)),
            ("waits", call(), 899, Some(900)),
            ("waits", call(), 900, Some(1_800)),
            ("waits", call(), 4_499, Some(4_500)),
            ("its time is over", call(), 4_500, None),
            ("handed on", transferred.clone(), 4_500, Some(5_400)),
            ("handed on", transferred.clone(), 7_200, Some(8_100)),
            ("handed on, its time is over", transferred, 8_100, None),
            // An hour and 45 s with the person: until 4 625 s, and asked once after that.
            ("handed on late", handed_on_late.clone(), 4_500, Some(5_400)),
            ("handed on late, its time is over", handed_on_late, 5_400, None),
            ("before its order", call(), -10, Some(45)),
            ("not named", unnamed.clone(), 60, Some(120)),
            ("both are over", both.clone(), 120, Some(820)),
            ("both are over, long ago", both, 820, None),
            ("the carrier ended later", carrier(CallStatus::Completed, 700, ended(100)), 800, Some(1_420)),
            ("the carrier's clock is ahead", carrier(CallStatus::Completed, 9_000, ended(100)), 800, Some(820)),
            ("the carrier goes on", talks_on.clone(), 650, Some(820)),
            ("the carrier goes on", talks_on, 830, Some(900)),
            ("only the carrier is over", carrier(CallStatus::Completed, 100, call()), 130, Some(300)),
            ("over, and never named", Call { carrier_call_id: None, ..ended(180) }, 300, Some(900)),
            ("over, and never named", Call { carrier_call_id: None, ..ended(180) }, 900, None),
        ] {
            assert_eq!(next_at(&call, longest, at(now)), want.map(at), "{what} at {now}");
        }
        assert_eq!(next_at(&call(), Duration::MAX, at(0)), Some(at(45)), "no limit is no panic");
        let handed_on = Call { transferred_at: Some(at(860)), ..ended(861) };
        let agents = Duration::seconds(860);
        assert_eq!(next_at(&handed_on, agents, at(4_500)), Some(at(5_400)), "asked once after the conversation");
    }

    #[test]
    fn a_question_without_an_answer_is_asked_again_in_no_hurry() {
        let longest = Duration::seconds(3_600);
        let both = carrier(CallStatus::Completed, 100, ended(100));
        for (call, now, want) in [
            (call(), 45, Some(120)),
            (call(), 100, Some(160)),
            (both.clone(), 820, Some(900)),
            (both, 4_500, None),
            (call(), 4_500, None),
        ] {
            assert_eq!(retry_at(&call, longest, at(now)), want.map(at), "at {now}");
        }
    }

    #[test]
    fn a_listed_call_must_fit() {
        let number = |text: &str| E164::parse(text).ok();
        let good = CallDetails {
            call_id: "sid-1".to_owned(),
            from: number("+919876543210"),
            exophone: number("+918047491899"),
            created_at: Some(at(2)),
            direction: Some(CallDirection::Outgoing),
            ..CallDetails::default()
        };
        let fits = |details: &CallDetails| fits(&call(), at(0), details);
        assert!(fits(&good) && fits(&CallDetails { call_id: "sid-1".to_owned(), ..CallDetails::default() }));
        for (what, wrong) in [
            ("person", CallDetails { from: number("+919876500000"), ..good.clone() }),
            ("number", CallDetails { exophone: number("+918047491800"), ..good.clone() }),
            ("direction", CallDetails { direction: Some(CallDirection::Incoming), ..good.clone() }),
            ("early", CallDetails { created_at: Some(at(-6)), ..good.clone() }),
            ("late", CallDetails { created_at: Some(at(121)), ..good.clone() }),
            ("late start", CallDetails { created_at: None, started_at: Some(at(121)), ..good.clone() }),
        ] {
            assert!(!fits(&wrong), "{what}");
        }
    }
}
