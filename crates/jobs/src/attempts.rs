//! Tries within one run of a job: a breaker for each tenant and dependency, a few tries with growing waits, and the
//! count of what they came to.

use crate::job::Context;
use chrono::Duration as Span;
use model::TenantId;
use providers::objects::{ObjectError, ObjectKey, Stored};
use providers::resilience::{OBJECTS, RetryPolicy, Target, random01};
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// No try is begun so long after the first: what takes this long is left to the job's next run.
const BEGUN_WITHIN: Duration = Duration::from_secs(120);

/// Why there is no outcome.
#[derive(Debug)]
pub(crate) enum Tried<E> {
    /// The dependency has failed too often; nothing was tried. It may be asked again after this.
    Open(Span),
    /// The last try failed so.
    Failed(E),
}

/// Tries until it works, the error is not the dependency's fault, or the tries of `policy` are used up.
pub(crate) async fn attempts<T, E, Trying>(
    context: &Context,
    tenant: TenantId,
    target: impl Into<Target>,
    policy: RetryPolicy,
    is_its_fault: impl Fn(&E) -> bool,
    mut once: impl FnMut() -> Trying,
) -> Result<T, Tried<E>>
where
    Trying: Future<Output = Result<T, E>>,
{
    let (targets, tenant, target, began) = (&context.targets, Some(tenant), target.into(), Instant::now());
    for attempt in 1..=policy.attempts.max(1) {
        let now_ms = context.now_ms();
        if !targets.allow(tenant, target, now_ms) {
            return Err(Tried::Open(open_for(context, tenant, target)));
        }
        let outcome = once().await;
        let error = match outcome {
            Err(error) if is_its_fault(&error) => error,
            answered => {
                targets.succeeded(tenant, target);
                note_retry(context, attempt, true);
                return answered.map_err(Tried::Failed);
            }
        };
        targets.failed(tenant, target, context.now_ms());
        note_retry(context, attempt, false);
        let wait = policy.next(attempt, random01()).filter(|wait| began.elapsed() + *wait < BEGUN_WITHIN);
        match wait {
            Some(wait) if open_for(context, tenant, target).is_zero() => tokio::time::sleep(wait).await,
            Some(_) | None => return Err(Tried::Failed(error)),
        }
    }
    // Not reached: the policy has no wait after its last attempt.
    Err(Tried::Open(open_for(context, tenant, target)))
}

/// How long the dependency is left alone from now on.
fn open_for(context: &Context, tenant: Option<TenantId>, target: Target) -> Span {
    let wait_ms = context.targets.refused_for_ms(tenant, target, context.now_ms());
    Span::milliseconds(i64::try_from(wait_ms).unwrap_or(i64::MAX))
}

/// The dependency's answer counts, whether it is the one hoped for or not.
fn note_retry(context: &Context, attempt: u32, answered: bool) {
    if attempt > 1 {
        context.targets.retried(answered);
    }
}

/// Takes a file whose digest is known into the object store, unless it is there already: a run that ended between the
/// upload and the note of it is not repeated.
pub(crate) async fn upload(
    context: &Context,
    tenant: TenantId,
    key: &ObjectKey,
    path: &Path,
    content: Stored,
) -> Result<Stored, Tried<ObjectError>> {
    let once = || async {
        if context.objects.holds(key, &content).await? {
            return Ok(content);
        }
        context.objects.put_file(key, path).await
    };
    attempts(context, tenant, OBJECTS, RetryPolicy::default(), ObjectError::is_transient, once).await
}
