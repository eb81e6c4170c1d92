//! What must be true at the end of a round. Everything that is not is one sentence, with the call and the kills around it.

use crate::figures::Figures;
use crate::ledger::Kept;
use crate::node::said;
use crate::program::run;
use crate::round::SETTLED_WITHIN;
use crate::scene::Scene;
use model::{CallId, EventKind, RecordingSource, RecordingStatus};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use store::calls::{self, Call, CallFilter};
use store::carrier_events::{self, CarrierEvent};
use store::jobs::{self, Job, JobState};
use store::outbox::{self, Message};
use store::recordings::{self, Recording};
use store::{Page, PageRequest};

/// What must be nothing once everything is put right.
pub(crate) const UNSETTLED: [(&str, &str); 4] = [
    ("open calls", "select count(*) from calls where status in ('queued', 'ringing', 'in-progress')"),
    ("jobs", "select count(*) from jobs where state in ('queued', 'running')"),
    ("events", "select count(*) from outbox where taken_at is null"),
    ("deliveries", "select count(*) from deliveries where state = 'pending'"),
];
/// A call's audio is on disk at most this late; what is younger dies with the process.
const LOST_MS_MAX: u64 = 2_000;
/// A recording may be that much longer than the call by the carrier's clock.
const LONGER_MS_MAX: u64 = 1_500;
/// What a listener keeps.
const RECEIVED_MAX: usize = 10_000;
/// Rows asked for at once.
const PAGE: u32 = 200;

/// Every row of a list.
async fn all<T>(mut page: impl AsyncFnMut(PageRequest) -> Page<T>) -> Vec<T> {
    let mut rows = Vec::new();
    let mut after = None;
    loop {
        let next = page(PageRequest { after, limit: PAGE }).await;
        rows.extend(next.items);
        after = next.next;
        if after.is_none() {
            return rows;
        }
    }
}

async fn every_call(scene: &Scene<'_>) -> Vec<Call> {
    let (store, tenant) = (&scene.world.store, scene.world.tenant);
    let page = async |page| {
        let read = store.read(tenant, "test.calls", async |tx| calls::list(tx, &CallFilter::default(), page).await);
        read.await.expect("read")
    };
    all(page).await
}

async fn every_message(scene: &Scene<'_>) -> Vec<Message> {
    let (store, tenant) = (&scene.world.store, scene.world.tenant);
    let page =
        async |page| store.read(tenant, "test.outbox", async |tx| outbox::list(tx, page).await).await.expect("read");
    let mut messages = all(page).await;
    messages.reverse();
    messages
}

/// Calls that are open and whose announcement was never answered.
pub(crate) async fn unknown_to_the_carrier(scene: &Scene<'_>) -> Vec<String> {
    let open = every_call(scene).await.into_iter().filter(|call| !call.status.is_final());
    let kept = scene.ledger.kept();
    open.filter_map(|call| call.carrier_call_id).filter(|id| !kept.calls.contains_key(id)).collect()
}

/// Everything that is wrong.
pub(crate) async fn find(scene: &Scene<'_>, figures: &mut Figures) -> Vec<String> {
    let mut problems: Vec<String> = figures
        .settled
        .iter()
        .filter(|(_, at)| at.is_none())
        .map(|(what, _)| format!("{what} are left {SETTLED_WITHIN:?} after the last start"))
        .collect();
    let calls = every_call(scene).await;
    let messages = every_message(scene).await;
    let kept = std::mem::take(&mut *scene.ledger.kept());
    problems.extend(of_answers(&kept));
    problems.extend(of_calls(&kept, &calls, &messages));
    problems.extend(of_reports(scene, &kept, &calls).await);
    let (empty, wrong) = of_recordings(scene, &kept, &calls, figures).await;
    problems.extend(wrong);
    problems.extend(of_jobs(scene, &empty, figures).await);
    problems.extend(of_events(scene, &messages, figures));
    if said(scene.place).contains("panicked") {
        problems.push("a server panicked".to_owned());
    }
    *scene.ledger.kept() = kept;
    problems
}

fn of_answers(kept: &Kept) -> Vec<String> {
    kept.refused.iter().map(|(what, times)| format!("refused {times} times: {what}")).collect()
}

/// Which call, for people.
fn named(kept: &Kept, call: &Call) -> String {
    let id = call.carrier_call_id.as_deref().unwrap_or("-");
    match kept.calls.get(id) {
        Some(promised) => {
            format!(
                "call {} ({id}, kills {} to {}, {} ms)",
                call.id, promised.kills.0, promised.kills.1, promised.duration_ms
            )
        }
        None => format!("call {} ({id}, its announcement was not answered)", call.id),
    }
}

fn of_calls(kept: &Kept, calls: &[Call], messages: &[Message]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut times: HashMap<&str, u32> = HashMap::new();
    for call in calls {
        *times.entry(call.carrier_call_id.as_deref().unwrap_or_default()).or_default() += 1;
    }
    for (id, promised) in &kept.calls {
        match times.get(id.as_str()).copied().unwrap_or(0) {
            1 => {}
            found => problems.push(format!("call {id} (kills {:?}) is there {found} times", promised.kills)),
        }
    }
    let told = told_of(messages);
    for call in calls {
        let name = named(kept, call);
        if call.started_at.is_none() && ran_ms(kept, call) > Some(LOST_MS_MAX) {
            problems.push(format!("{name} has never begun: {:?}", call.ended_reason));
        }
        if !call.status.is_final() {
            problems.push(format!("{name} is still {}", call.status));
            continue;
        }
        if call.ended_reason.is_none() || call.ended_at.is_none() || call.duration_ms.is_none() {
            problems.push(format!("{name} ended and does not say how: {call:?}"));
        }
        let kinds = told.get(&call.id).cloned().unwrap_or_default();
        let count = |kind: EventKind| kinds.iter().filter(|one| **one == kind).count();
        let want = (usize::from(call.started_at.is_some()), 1);
        if (count(EventKind::CallStarted), count(EventKind::CallEnded)) != want {
            problems.push(format!("{name}, {:?}: told {kinds:?}", call.ended_reason));
        }
    }
    problems
}

/// What was told of each call, in order.
fn told_of(messages: &[Message]) -> HashMap<CallId, Vec<EventKind>> {
    let mut told: HashMap<CallId, Vec<EventKind>> = HashMap::new();
    for message in messages {
        let call = message.data.get("call_id").and_then(Value::as_str).and_then(|text| text.parse().ok());
        if let (Some(call), Ok(kind)) = (call, message.kind.parse()) {
            told.entry(call).or_default().push(kind);
        }
    }
    told
}

async fn of_reports(scene: &Scene<'_>, kept: &Kept, calls: &[Call]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut expected: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for report in &kept.reports {
        expected.entry(&report.call_id).or_default().push(report);
    }
    let by_name: HashMap<&str, &Call> =
        calls.iter().filter_map(|call| Some((call.carrier_call_id.as_deref()?, call))).collect();
    for (id, reports) in expected {
        let Some(call) = by_name.get(id) else { continue };
        let (store, tenant) = (&scene.world.store, scene.world.tenant);
        let read = store.read(tenant, "test.reports", async |tx| carrier_events::of_call(tx, call.id).await);
        let found: Vec<CarrierEvent> = read.await.expect("read");
        for report in reports {
            let times = found.iter().filter(|event| event.kind == report.kind).count();
            if times != 1 {
                let at = report.kills;
                problems.push(format!("{}: its {} of kill {at} is kept {times} times", named(kept, call), report.kind));
            }
        }
    }
    problems
}

/// Those that have nothing to keep, and what is wrong.
async fn of_recordings(
    scene: &Scene<'_>,
    kept: &Kept,
    calls: &[Call],
    figures: &mut Figures,
) -> (BTreeSet<String>, Vec<String>) {
    let (mut empty, mut keys, mut problems) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for call in calls {
        let (store, tenant) = (&scene.world.store, scene.world.tenant);
        let read = store.read(tenant, "test.recordings", async |tx| recordings::of_call(tx, call.id).await);
        let found = read.await.expect("read");
        if let Err(problem) = of_their_number(kept, call, &found) {
            problems.push(format!("{}: {problem}", named(kept, call)));
        }
        for recording in &found {
            *figures.recordings.entry(format!("{} {}", recording.source, recording.status)).or_default() += 1;
            if has_nothing(kept, call, recording) {
                empty.insert(recording.id.to_string());
            } else if let Err(problem) = of_recording(scene, kept, call, recording) {
                problems.push(format!("{}: {problem}", named(kept, call)));
            }
            keys.extend(recording.object_key.clone());
        }
    }
    problems.extend(of_the_bucket(scene, &keys));
    for folder in ["spool", "fetched"] {
        problems.extend(scene.place.files(folder).iter().map(|name| format!("{name} is left in the folder {folder}")));
    }
    (empty, problems)
}

/// One of our own for each call that was connected, and one of the carrier's when it told of one.
fn of_their_number(kept: &Kept, call: &Call, found: &[Recording]) -> Result<(), String> {
    let count = |source| found.iter().filter(|recording| recording.source == source).count();
    let (own, carrier) = (count(RecordingSource::Own), count(RecordingSource::Carrier));
    let id = call.carrier_call_id.as_deref();
    let told = kept.reports.iter().any(|report| report.kind == "recording" && Some(report.call_id.as_str()) == id);
    let connected = call.started_at.is_some();
    if own != usize::from(connected) || carrier > 1 || (connected && told && carrier != 1) {
        return Err(format!("{own} recordings of its own, {carrier} of the carrier, which told of it: {told}"));
    }
    Ok(())
}

fn of_the_bucket(scene: &Scene<'_>, keys: &BTreeSet<String>) -> Vec<String> {
    let mut problems = Vec::new();
    let stored = scene.bucket.stored();
    let again: Vec<(&String, &u32)> = stored.iter().filter(|(_, times)| **times != 1).collect();
    if let [(key, times), ..] = again.as_slice() {
        problems.push(format!("{} recordings were uploaded again, such as {key}: {times} times", again.len()));
    }
    for key in stored.keys().filter(|key| !keys.contains(*key)) {
        problems.push(format!("{key} is in the bucket and belongs to no recording"));
    }
    if scene.bucket.open_uploads() > 0 {
        problems.push(format!("{} uploads in parts are neither complete nor aborted", scene.bucket.open_uploads()));
    }
    problems
}

fn ran_ms(kept: &Kept, call: &Call) -> Option<u64> {
    Some(kept.calls.get(call.carrier_call_id.as_deref()?)?.duration_ms)
}

/// The process died before the first piece of it was on disk.
fn has_nothing(kept: &Kept, call: &Call, recording: &Recording) -> bool {
    let own = recording.source == RecordingSource::Own;
    own && recording.status == RecordingStatus::Failed && ran_ms(kept, call).unwrap_or(0) < LOST_MS_MAX
}

fn of_recording(scene: &Scene<'_>, kept: &Kept, call: &Call, recording: &Recording) -> Result<(), String> {
    if recording.status != RecordingStatus::Ready {
        let (source, error) = (recording.source, &recording.recording_error);
        return Err(format!("its {source} recording is {}: {error:?}", recording.status));
    }
    let key = recording.object_key.as_deref().ok_or("its recording is ready and has no key")?;
    let bytes = scene.bucket.object(key).ok_or_else(|| format!("{key} is not in the bucket"))?;
    if recording.sha256 != Some(Sha256::digest(&bytes).into()) || recording.bytes != Some(bytes.len() as u64) {
        return Err(format!("{key} is not what its row says: {} bytes, {:?}", bytes.len(), recording.bytes));
    }
    if recording.source == RecordingSource::Carrier {
        return Ok(());
    }
    let wav = audio::wav::read(&bytes).map_err(|error| format!("{key}: {error}"))?;
    let length_ms = crate::world::length_ms(&wav);
    match ran_ms(kept, call) {
        Some(ran_ms) if length_ms + LOST_MS_MAX < ran_ms || length_ms > ran_ms + LONGER_MS_MAX => {
            Err(format!("its recording has {length_ms} ms of {ran_ms} ms"))
        }
        Some(_) | None => Ok(()),
    }
}

/// Each is done; those of recordings with nothing in them may be given up.
async fn of_jobs(scene: &Scene<'_>, empty: &BTreeSet<String>, figures: &mut Figures) -> Vec<String> {
    let store = &scene.world.store;
    let page =
        async |page| store.system("test.jobs", async |tx| jobs::list(tx, None, None, page).await).await.expect("read");
    let all = all(page).await;
    figures.jobs = (all.len(), all.iter().filter(|job| job.attempts > 1).count());
    let provoked =
        |job: &Job| job.state == JobState::Dead && job.dedup_key.as_ref().is_some_and(|id| empty.contains(id));
    let failed = all.iter().filter(|job| job.state != JobState::Done && !provoked(job));
    failed
        .map(|job| {
            let (id, name, attempts) = (job.id, &job.name, job.attempts);
            format!("job {id} {name} is {} after {attempts} attempts: {:?}", job.state, job.last_error)
        })
        .collect()
}

/// Each event arrived at whoever wants it, those of a call in order.
fn of_events(scene: &Scene<'_>, messages: &[Message], figures: &mut Figures) -> Vec<String> {
    let mut problems = Vec::new();
    for listener in &scene.listeners {
        let received = listener.receiver.received_at("/hooks");
        if received.len() >= RECEIVED_MAX {
            problems.push(format!("more than {RECEIVED_MAX} events: ask for fewer kills"));
        }
        let mut first: HashMap<&str, usize> = HashMap::new();
        for (n, one) in received.iter().enumerate() {
            first.entry(one.header("webhook-id").unwrap_or_default()).or_insert(n);
        }
        figures.events = (figures.events.0 + first.len(), figures.events.1 + received.len() - first.len());
        let mut last: HashMap<&Value, usize> = HashMap::new();
        for message in messages {
            let Ok(kind) = message.kind.parse::<EventKind>() else { continue };
            if !listener.wants(kind) {
                continue;
            }
            let (id, call) = (format!("msg_{}", message.id.simple()), &message.data["call_id"]);
            let Some(at) = first.get(id.as_str()).copied() else {
                problems.push(format!("{kind} of call {call} did not arrive at endpoint {}", listener.endpoint));
                continue;
            };
            if last.insert(call, at).is_some_and(|earlier| earlier > at) {
                problems.push(format!("{kind} of call {call} arrived too early at endpoint {}", listener.endpoint));
            }
        }
    }
    problems
}

/// It is as it was written, and each call ended once.
pub(crate) async fn of_the_audit_log(scene: &Scene<'_>) -> Vec<String> {
    let mut problems = Vec::new();
    let verified = run(scene.place, &["audit", "verify"], &[]).await;
    if verified.code != Some(0) {
        problems.push(format!("caly audit verify: {verified:?}"));
    }
    for (what, count) in [
        (
            "calls ended, and ends audited",
            "select (select count(*) from calls) - (select count(*) from audit_logs where kind = 'call.ended')",
        ),
        (
            "calls announced, and announcements audited",
            "select (select count(*) from calls) - (select count(*) from audit_logs where kind = 'call.announced')",
        ),
        (
            "calls whose end was audited twice",
            "select count(*) from (select object_id from audit_logs where kind in ('call.ended', 'call.announced', 'call.started') group by kind, object_id having count(*) > 1) as twice",
        ),
    ] {
        let difference = scene.place.number(count).await;
        if difference != 0 {
            problems.push(format!("{what}: {difference} too many or too few"));
        }
    }
    problems
}
