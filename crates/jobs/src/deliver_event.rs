//! One attempt to send an event to an endpoint, and what follows from the answer.
//!
//! 2xx is success; everything else is not, redirects included. 410 disables the endpoint, and so do
//! [`store::webhook_endpoints::DISABLED_AFTER_DAYS`] days without a success. 429 and 503 with `Retry-After` pause it.

use crate::job::Context;
use chrono::{DateTime, Duration, Utc};
use model::{AuditKind, Mail, MailKind, Role, Severity};
use providers::egress::{Answer, EgressError, Post};
use providers::resilience::random01;
use serde_json::Map;
use store::audit::{self, NewAuditEvent};
use store::deliveries::{self, Attempt, Delivery};
use store::errands::{self, Errand};
use store::webhook_endpoints::{self, Addressed, DisabledReason};
use store::{Error, PageRequest, Tx, memberships};
use wire::standard_webhooks::{ID_HEADER, SIGNATURE_HEADER, Secret, TIMESTAMP_HEADER, sign};

/// Wait before each attempt, in seconds (the schedule that the specification recommends): 10 attempts within three days.
const SCHEDULE_S: [i64; 10] = [0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
/// So much of a wait is added at random at most: what failed together does not return together.
const JITTER: f64 = 0.1;
/// A longer pause than this is not granted.
const PAUSE_MAX_S: i64 = 86_400;

/// Members looked through for owners to write to.
const MEMBERS_MAX: u32 = 200;

/// What an attempt means.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Taken,
    /// Again later, and the whole endpoint not before this pause.
    Later {
        pause: Option<Duration>,
    },
    /// No more events, please.
    Gone,
}

/// Makes one attempt and notes it. An error means that it is made again when the claim is over.
///
/// # Errors
/// When the database fails.
pub(crate) async fn deliver(context: &Context, claimed: &Delivery) -> Result<(), Error> {
    let now = context.now();
    let load = async |tx: &mut Tx| webhook_endpoints::addressed(tx, claimed.endpoint, now).await;
    let (answer, duration_ms) = match context.store.read(claimed.tenant, "webhook_endpoints.addressed", load).await {
        Ok(addressed) if addressed.disabled => return Ok(()),
        Ok(addressed) => send(context, claimed, &addressed, now).await,
        Err(Error::NotFound) => return Ok(()),
        Err(Error::Broken(cause)) => {
            tracing::error!(delivery.id = %claimed.id, error = %cause, "an endpoint's secret does not open");
            (Err("the endpoint's secret cannot be read: rotate it".to_owned()), 0)
        }
        Err(error) => return Err(error),
    };
    let now = context.now();
    let (verdict, attempt) = judge(answer, duration_ms, now);
    let noted = context
        .store
        .write(claimed.tenant, "deliveries.attempted", async |tx| note(tx, claimed, &verdict, &attempt, now).await)
        .await?;
    if noted == Noted::GivenUp {
        // There may be a mail to send.
        context.wake.notify_one();
    }
    match (noted, &verdict) {
        (Noted::Lost, _) => {}
        (_, Verdict::Taken) => {
            tracing::debug!(delivery.id = %claimed.id, kind = %claimed.kind, attempts = claimed.attempts, "event taken");
        }
        (Noted::GivenUp, _) => tracing::warn!(
            delivery.id = %claimed.id, endpoint.id = %claimed.endpoint, kind = %claimed.kind,
            attempts = claimed.attempts, error = attempt.error.as_deref(), "an event could not be delivered; given up"
        ),
        (Noted::Kept, _) => tracing::info!(
            delivery.id = %claimed.id, endpoint.id = %claimed.endpoint, kind = %claimed.kind,
            attempts = claimed.attempts, error = attempt.error.as_deref(), "an event could not be delivered yet"
        ),
    }
    Ok(())
}

async fn send(
    context: &Context,
    claimed: &Delivery,
    addressed: &Addressed,
    now: DateTime<Utc>,
) -> (Result<Answer, String>, u64) {
    let secrets: Vec<Secret> = addressed.secrets.iter().filter_map(|text| Secret::parse(text).ok()).collect();
    if secrets.is_empty() {
        return (Err("the endpoint's secret cannot be used: rotate it".to_owned()), 0);
    }
    let id = format!("msg_{}", claimed.event.simple());
    let headers = [
        (SIGNATURE_HEADER, sign(&secrets, &id, now.timestamp(), claimed.body.as_bytes())),
        (TIMESTAMP_HEADER, now.timestamp().to_string()),
        (ID_HEADER, id),
    ];
    let post = Post { url: &addressed.url, headers: &headers, body: &claimed.body };
    let (answer, took) = context.egress.post(&post).await;
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    (answer.map_err(|error: EgressError| error.to_string()), duration_ms)
}

fn judge(answer: Result<Answer, String>, duration_ms: u64, now: DateTime<Utc>) -> (Verdict, Attempt) {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            let attempt = Attempt { status: None, error: Some(error), response: None, duration_ms };
            return (Verdict::Later { pause: None }, attempt);
        }
    };
    let (verdict, error) = match answer.status {
        200..=299 => (Verdict::Taken, None),
        300..=399 => {
            (Verdict::Later { pause: None }, Some("redirects are not followed: give the final address".into()))
        }
        410 => (Verdict::Gone, Some("the endpoint wants no more events".to_owned())),
        status @ (429 | 503) => {
            let pause = answer.retry_after.as_deref().and_then(|value| pause(value, now));
            (Verdict::Later { pause }, Some(format!("the endpoint answered {status}")))
        }
        status => (Verdict::Later { pause: None }, Some(format!("the endpoint answered {status}"))),
    };
    (verdict, Attempt { status: Some(answer.status), error, response: Some(answer.body), duration_ms })
}

/// `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date.
fn pause(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    let seconds = match value.trim().parse::<i64>() {
        Ok(seconds) => seconds,
        Err(_) => (DateTime::parse_from_rfc2822(value.trim()).ok()?.with_timezone(&Utc) - now).num_seconds(),
    };
    (seconds > 0).then(|| Duration::seconds(seconds.min(PAUSE_MAX_S)))
}

/// How long after attempt number `attempts` (from 1) the next one is made; `None` = that was the last.
fn wait(attempts: u32, random01: f64) -> Option<Duration> {
    let wait_s = *SCHEDULE_S.get(usize::try_from(attempts).ok()?)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a day in ms is far below 2^52")]
    let jitter_ms = (wait_s as f64 * 1_000.0 * JITTER * random01.clamp(0.0, 1.0)) as i64;
    Some(Duration::seconds(wait_s) + Duration::milliseconds(jitter_ms))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Noted {
    Kept,
    GivenUp,
    /// Somebody else has it, or it is gone.
    Lost,
}

async fn note(
    tx: &mut Tx,
    claimed: &Delivery,
    verdict: &Verdict,
    attempt: &Attempt,
    now: DateTime<Utc>,
) -> Result<Noted, Error> {
    let endpoint = claimed.endpoint;
    let pause = match verdict {
        Verdict::Taken => {
            if !deliveries::delivered(tx, claimed, attempt, now).await? {
                return Ok(Noted::Lost);
            }
            webhook_endpoints::succeeded(tx, endpoint, now).await?;
            return Ok(Noted::Kept);
        }
        Verdict::Gone => {
            if !deliveries::not_delivered(tx, claimed, attempt, None, now).await? {
                return Ok(Noted::Lost);
            }
            disable(tx, claimed, DisabledReason::Gone, now).await?;
            return Ok(Noted::GivenUp);
        }
        Verdict::Later { pause } => pause.map(|pause| now + pause),
    };
    let next_at =
        wait(claimed.attempts, random01()).map(|wait| pause.map_or(now + wait, |pause| pause.max(now + wait)));
    if !deliveries::not_delivered(tx, claimed, attempt, next_at, now).await? {
        return Ok(Noted::Lost);
    }
    if webhook_endpoints::failed(tx, endpoint, pause, now).await? {
        disable(tx, claimed, DisabledReason::Failing, now).await?;
        return Ok(Noted::GivenUp);
    }
    Ok(if next_at.is_some() { Noted::Kept } else { Noted::GivenUp })
}

/// Nothing more is sent there; it is on record, and the owners are told.
async fn disable(tx: &mut Tx, claimed: &Delivery, why: DisabledReason, now: DateTime<Utc>) -> Result<(), Error> {
    if !webhook_endpoints::disable(tx, claimed.endpoint, why, now).await? {
        return Ok(());
    }
    let id = claimed.endpoint.to_string();
    let event = NewAuditEvent {
        kind: AuditKind::WebhookEndpointDisabled,
        severity: Severity::Warning,
        actor: "system",
        ip: None,
        request_id: None,
        object_kind: Some("webhook_endpoint"),
        object_id: Some(&id),
        data: Map::from_iter([("reason".to_owned(), why.as_str().into())]),
    };
    audit::record(tx, &event, now).await?;
    let members = memberships::list(tx, PageRequest { after: None, limit: MEMBERS_MAX }).await?.items;
    for owner in members.into_iter().filter(|member| member.role == Role::Owner && member.email_verified) {
        let mail = Mail { to: owner.email, kind: MailKind::WebhookEndpointDisabled };
        errands::enqueue(tx, &Errand::Mail(mail), now).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_is_ten_attempts_in_three_days() {
        let waits: Vec<Duration> = (1..).map_while(|attempts| wait(attempts, 0.0)).collect();
        let want = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400].map(Duration::seconds);
        assert_eq!(waits, want);
        assert_eq!(wait(0, 0.0), Some(Duration::zero()));
        assert_eq!(wait(2, 1.0), Some(Duration::seconds(330)));
        assert_eq!(wait(2, f64::INFINITY), Some(Duration::seconds(330)));
        assert_eq!(wait(u32::MAX, 0.5), None);
    }

    #[test]
    fn only_2xx_is_success() {
        let now = DateTime::from_timestamp(1_795_000_000, 0).expect("a time");
        let later = |pause_s: Option<i64>| Verdict::Later { pause: pause_s.map(Duration::seconds) };
        for (status, retry_after, want) in [
            (200, None, Verdict::Taken),
            (204, None, Verdict::Taken),
            (299, None, Verdict::Taken),
            (100, None, later(None)),
            (301, None, later(None)),
            (308, Some("5"), later(None)),
            (400, Some("5"), later(None)),
            (404, None, later(None)),
            (410, None, Verdict::Gone),
            (429, None, later(None)),
            (429, Some("120"), later(Some(120))),
            (503, Some(" 30 "), later(Some(30))),
            (503, Some("0"), later(None)),
            (503, Some("-5"), later(None)),
            (503, Some("soon"), later(None)),
            (503, Some("999999999"), later(Some(PAUSE_MAX_S))),
            (503, Some("Tue, 18 Nov 2025 15:08:20 GMT"), later(None)),
            (500, Some("30"), later(None)),
            (502, None, later(None)),
        ] {
            let answer = Answer { status, retry_after: retry_after.map(str::to_owned), body: "x".to_owned() };
            let (verdict, attempt) = judge(Ok(answer), 7, now);
            assert_eq!(verdict, want, "{status} {retry_after:?}");
            assert_eq!(attempt.error.is_none(), want == Verdict::Taken, "{status}");
            assert_eq!(
                (attempt.status, attempt.response.as_deref(), attempt.duration_ms),
                (Some(status), Some("x"), 7)
            );
        }
        let (verdict, attempt) = judge(Err("no connection".to_owned()), 7, now);
        assert_eq!((verdict, attempt.status), (later(None), None));
    }

    #[test]
    fn a_pause_may_be_a_date() {
        let now = DateTime::parse_from_rfc3339("2026-11-18T15:00:00Z").expect("a time").with_timezone(&Utc);
        assert_eq!(pause("Wed, 18 Nov 2026 15:02:00 GMT", now), Some(Duration::seconds(120)));
        assert_eq!(pause("Wed, 18 Nov 2026 14:59:00 GMT", now), None);
        assert_eq!(pause("Wed, 18 Nov 2099 14:59:00 GMT", now), Some(Duration::seconds(PAUSE_MAX_S)));
    }
}
