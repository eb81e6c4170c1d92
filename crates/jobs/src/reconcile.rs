//! Puts right what a crash or a lost message left behind. It takes no input: it looks at the store and repairs what it
//! finds, at the start and every half minute.

use crate::job::Context;
use chrono::{DateTime, Utc};
use model::{CallId, EndedReason, RecordingSource, RecordingStatus};
use serde_json::{Map, Value};
use std::time::Duration;
use store::audit::Severity;
use store::call_ends::{self, Teller};
use store::calls::{self, Call, Owner};
use store::recordings::Recording;
use store::{
    SystemTx, Tx, audit, call_events, call_records, deliveries, idempotency, jobs, outbox, recordings, sessions,
    stream_tokens, turns,
};
use tokio_util::sync::CancellationToken;

/// How often. A call whose node died is closed within its lease and this.
const EVERY: Duration = Duration::from_secs(30);
/// Stream tokens are kept this long after their end: a late use is told that it is late.
const TOKENS_KEPT_S: i64 = 3_600;
/// Jobs that are done are kept this long, for people who ask what happened.
const JOBS_KEPT_DAYS: i64 = 7;
/// Each deletion of audit events is an audit event: once a day is enough.
const AUDIT_PURGED_EVERY: chrono::Duration = chrono::Duration::hours(24);
/// Answers to requests with an idempotency key are kept this long.
const REPLIES_KEPT_H: i64 = 24;
/// Messages of the outbox that were handed out are kept this long, for people who ask what happened.
const MESSAGES_KEPT_DAYS: i64 = 7;
/// Events that were delivered or given up are kept this long: they can be sent again, and hold numbers of callers.
const DELIVERIES_KEPT_DAYS: i64 = 30;
/// A carrier's recording that is waited for is asked for at least hourly, and each try is noted: one that nothing was
/// heard of for so long has no job.
const CARRIERS_FORGOTTEN_AFTER_H: i64 = 3;
/// Pages of events looked through for the last one: a hundred thousand events are no call.
const EVENT_PAGES_MAX: usize = 100;

/// What one round repaired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Calls that nobody held, closed as `caly/crash`.
    pub orphaned_calls: usize,
    /// Calls that were announced and never came.
    pub expired_calls: usize,
    /// Recordings that waited for nobody, given to a job.
    pub recordings: usize,
}

/// Repairs now, then every half minute until `stop`.
pub async fn run(context: Context, owner: Owner, started_at: DateTime<Utc>, stop: CancellationToken) {
    let mut audit_purged_at: Option<DateTime<Utc>> = None;
    loop {
        let now = context.now();
        if audit_purged_at.is_none_or(|at| now - at >= AUDIT_PURGED_EVERY) {
            purge_audit(&context, now).await;
            audit_purged_at = Some(now);
        }
        match once(&context, &owner, started_at).await {
            Ok(repaired) if repaired != Repaired::default() => {
                tracing::warn!(
                    orphaned_calls = repaired.orphaned_calls,
                    expired_calls = repaired.expired_calls,
                    recordings = repaired.recordings,
                    "repaired what was left behind"
                );
            }
            Ok(_) => {}
            Err(error) => tracing::error!(error = %error, "what was left behind could not be repaired"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// One round. `started_at` is when this process began: recordings of this node from before it are nobody's.
///
/// # Errors
/// When the database fails; what was repaired before stays repaired.
pub async fn once(context: &Context, owner: &Owner, started_at: DateTime<Utc>) -> Result<Repaired, store::Error> {
    let now = context.now();
    let mut repaired = Repaired::default();
    let orphans = context.store.system("calls.orphans", async |tx| calls::orphans(tx, owner, now).await).await?;
    for orphan in orphans {
        close_orphan(context, &orphan, now).await?;
        repaired.orphaned_calls += 1;
    }
    repaired.expired_calls =
        context.store.system("calls.expire_ringing", async |tx| expire_ringing(tx, now).await).await?;
    let left = context
        .store
        .system("recordings.unfinished", async |tx| recordings::unfinished(tx, &owner.node, started_at).await)
        .await?;
    for recording in left {
        repaired.recordings += usize::from(enqueue(context, &recording, now).await?);
    }
    let forgotten_before = now - chrono::Duration::hours(CARRIERS_FORGOTTEN_AFTER_H);
    let forgotten =
        context.store.system("recordings.awaited", async |tx| recordings::awaited(tx, forgotten_before).await).await?;
    for recording in forgotten {
        repaired.recordings += usize::from(enqueue_fetching(context, &recording, now).await?);
    }
    let done_before = now - chrono::Duration::days(JOBS_KEPT_DAYS);
    context.store.system("jobs.purge", async |tx| jobs::purge(tx, done_before).await).await?;
    context.store.system("sessions.purge", async |tx| sessions::purge_expired(tx, now).await).await?;
    let replies_before = now - chrono::Duration::hours(REPLIES_KEPT_H);
    context.store.system("idempotency.purge", async |tx| idempotency::purge(tx, replies_before).await).await?;
    purge_events(context, now).await?;
    let purge_before = now - chrono::Duration::seconds(TOKENS_KEPT_S);
    context.store.system("stream_tokens.purge", async |tx| stream_tokens::purge(tx, purge_before).await).await?;
    Ok(repaired)
}

async fn purge_events(context: &Context, now: DateTime<Utc>) -> Result<(), store::Error> {
    let messages_before = now - chrono::Duration::days(MESSAGES_KEPT_DAYS);
    context.store.system("outbox.purge", async |tx| outbox::purge(tx, messages_before).await).await?;
    let deliveries_before = now - chrono::Duration::days(DELIVERIES_KEPT_DAYS);
    context.store.system("deliveries.purge", async |tx| deliveries::purge(tx, deliveries_before).await).await?;
    Ok(())
}

/// Deletes audit events that have been kept long enough.
async fn purge_audit(context: &Context, now: DateTime<Utc>) {
    let Some(days) = context.audit_keep_days else { return };
    let before = now - chrono::Duration::days(i64::from(days));
    match audit::purge_all_before(&context.store, before, now).await {
        Ok(purged) => tracing::info!(purged, "old audit events deleted"),
        Err(error) => tracing::error!(error = %error, "old audit events could not be deleted"),
    }
}

/// Ends a call whose process died. Its length is that of what was kept of it.
async fn close_orphan(context: &Context, orphan: &Call, now: DateTime<Utc>) -> Result<(), store::Error> {
    let reason = EndedReason::CalyCrash;
    context
        .store
        .write(orphan.tenant, "calls.close_orphan", async |tx| {
            let last_turn = turns::list(tx, orphan.id).await?.iter().map(|turn| turn.ended_ms).max();
            let last_event = last_event_ms(tx, orphan.id).await?;
            let duration_ms = last_turn.max(last_event).unwrap_or(0);
            let data = match &orphan.data {
                Value::Object(data) => data.clone(),
                _ => Map::new(),
            };
            if !calls::finish(tx, orphan.id, reason, now, duration_ms, &data).await? {
                return Ok(());
            }
            call_ends::tell(tx, orphan.id, reason, duration_ms, Teller::system(Severity::Warning), now).await?;
            call_records::after_end(tx, orphan.id, &data, now).await?;
            let recordings = recordings::of_call(tx, orphan.id).await?;
            for recording in recordings.iter().filter(|recording| recording.source == RecordingSource::Own) {
                recordings::enqueue_storing(tx, recording.id, &recording.node, now).await?;
            }
            Ok(())
        })
        .await
}

/// Ends calls that were announced and never came; how many.
async fn expire_ringing(tx: &mut SystemTx, now: DateTime<Utc>) -> Result<usize, store::Error> {
    let expired = calls::expire_ringing(tx, now).await?;
    for call in &expired {
        let tx = tx.tenant(call.tenant).await?;
        let teller = Teller::system(Severity::Info);
        let reason = call.ended_reason.unwrap_or(EndedReason::CallerNeverJoined);
        call_ends::tell(tx, call.id, reason, 0, teller, now).await?;
    }
    Ok(expired.len())
}

/// Events come in pages; the last of them says how far the call had got.
async fn last_event_ms(tx: &mut Tx, call: CallId) -> Result<Option<u64>, store::Error> {
    let mut last: Option<call_events::CallEvent> = None;
    for _ in 0..EVENT_PAGES_MAX {
        match call_events::list(tx, call, last.as_ref(), u32::MAX).await?.pop() {
            Some(event) => last = Some(event),
            None => break,
        }
    }
    Ok(last.map(|event| event.at_ms))
}

async fn enqueue_fetching(context: &Context, recording: &Recording, now: DateTime<Utc>) -> Result<bool, store::Error> {
    let enqueued = context
        .store
        .write(recording.tenant, "recordings.enqueue_fetching", async |tx| {
            recordings::enqueue_fetching(tx, recording.id, now, now).await
        })
        .await?;
    Ok(matches!(enqueued, jobs::Enqueued::New(_)))
}

async fn enqueue(context: &Context, recording: &Recording, now: DateTime<Utc>) -> Result<bool, store::Error> {
    if matches!(recording.status, RecordingStatus::Ready | RecordingStatus::Failed) {
        return Ok(false);
    }
    let enqueued = context
        .store
        .write(recording.tenant, "recordings.enqueue", async |tx| {
            recordings::enqueue_storing(tx, recording.id, &recording.node, now).await
        })
        .await?;
    Ok(matches!(enqueued, jobs::Enqueued::New(_)))
}
