//! `fetch_recording`: the carrier's recording of a call, from where the carrier has it into the object store.
//!
//! awaited → (fetched, decoded, uploaded) → ready. Carriers need minutes to make a file and hours when they are ill, and
//! their addresses expire meanwhile: the job waits by [`SCHEDULE`] and asks for a fresh address when it needs one. What it
//! downloads lies in a temporary file that goes with the run; what it uploads is found again by the next run.

mod failure;
mod fresh;

use crate::attempts::{Tried, attempts, upload};
use crate::job::{Context, JobError};
use chrono::{DateTime, Duration, Utc};
use failure::Unfetched;
use fresh::Fresh;
use model::{JobId, RecordingId, RecordingSource, RecordingStatus, TenantId};
use providers::carrier_file::{FetchedFile, FileError, FileKey, FileRequest};
use providers::objects::{ObjectKey, Stored};
use providers::resilience::{CARRIER_FILES, OBJECTS, RetryPolicy, random01};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use store::calls::{self, Call};
use store::carrier_accounts::{self, CarrierAccount};
use store::recordings::{self, Fetched, Recording};
use store::{Tx, jobs, outbox};

/// How long to wait for the next try, by how long the recording has been waited for, both in seconds. The first try is
/// made when the carrier says that the file is there, else 30 s after the call.
const SCHEDULE: [(i64, i64); 8] = [
    // A short call's file is often there at the first try or a minute later.
    (60, 60),
    (180, 120),
    // Exotel says five minutes («RecordingAvailableBy»),
    (420, 300),
    // and its documents 10 to 15 before its call details are right.
    (900, 600),
    (1_800, 900),
    // From here on the carrier has a disturbance, or the account has no recordings.
    (3_600, 1_800),
    (86_400, 3_600),
    // A day has gone by: no carrier is known to bring a file after it.
    (i64::MAX, 0),
];
/// It is tried at least so often, however long it was waited for: an installation that was down for a day has not tried.
const TRIES_MIN: u32 = 8;
/// How long to wait for a try that is owed.
const OWED_TRY_AFTER: Duration = Duration::minutes(15);
/// So much of a wait is added at random at most: calls that ended together do not ask together.
const JITTER: f64 = 0.1;
/// A file much shorter than its call, or than it says itself, is taken as one that is still being made for so long, s.
/// After it the carrier has no more of it, and half a recording is better than none.
const SHORT_FILE_WAITED_FOR_S: i64 = 3_600;
/// A recording may be shorter than its call by this share, in a hundred,
const SHORTER_PERCENT: u64 = 20;
/// and by this: the carrier counts its ringing, and seconds as begun ones.
const SHORTER_MS: u64 = 10_000;
/// It may be longer by this: what the caller hears before and after our part (music, menus, a transfer) is in it.
const LONGER_PERCENT: u64 = 50;
/// and by this.
const LONGER_MS: u64 = 60_000;

/// The payload.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FetchRecording {
    tenant_id: TenantId,
    recording_id: RecordingId,
    /// When it began to be waited for anew, after it was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<DateTime<Utc>>,
    /// Tries that found no recording. Waits are no attempts of the job, so that it counts them itself.
    #[serde(default)]
    tries: u32,
}

/// The job that a run is of.
#[derive(Clone, Copy, Debug)]
pub struct ThisJob {
    /// Its id.
    pub id: JobId,
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
}

/// What a run knows.
struct Work {
    recording: Recording,
    call: Call,
    account: Option<(CarrierAccount, SecretString)>,
}

impl FetchRecording {
    /// Its stable name, in rows and logs.
    pub const NAME: &'static str = recordings::FETCH_JOB;

    /// Does the work. The schedule begins when the job was made, or was retried.
    ///
    /// # Errors
    /// [`JobError::Wait`] until the carrier has the file, [`JobError::Retry`] when the database or this machine's disk
    /// fails, [`JobError::Fail`] when the recording was given up.
    pub async fn run(self, context: &Context, job: ThisJob) -> Result<(), JobError> {
        let waiting_since = self.since.map_or(job.created_at, |since| since.max(job.created_at));
        let Some(work) = self.load(context).await? else { return Ok(()) };
        // A file that cannot be stored now need not be downloaded now.
        let wait_ms = context.targets.refused_for_ms(Some(self.tenant_id), OBJECTS, context.now_ms());
        if wait_ms > 0 {
            let wait = Duration::milliseconds(i64::try_from(wait_ms).unwrap_or(i64::MAX));
            return Err(JobError::Wait(wait, "the object store fails; it is left alone for a minute".to_owned()));
        }
        let fetched = match self.fetch(context, &work).await {
            Ok(fetched)
                if self.waited_s(context, waiting_since) < SHORT_FILE_WAITED_FOR_S
                    && (fetched.measured.is_cut_short || is_short(&work.call, &fetched)) =>
            {
                let what = if fetched.measured.is_cut_short { "cut short" } else { "much shorter than the call" };
                Err(Unfetched::Later(format!("it is {what}")))
            }
            other => other,
        };
        match fetched {
            Ok(fetched) => self.keep(context, &work, &fetched).await,
            Err(Unfetched::Open(wait)) => {
                Err(JobError::Wait(wait, "the carrier fails; it is left alone for a minute".to_owned()))
            }
            Err(Unfetched::Later(error)) => self.later(context, &error, job.id, waiting_since).await,
            Err(Unfetched::Never(error)) => self.give_up(context, &error).await,
            Err(Unfetched::Disk(error)) => {
                self.note(context, &error).await?;
                Err(JobError::Retry(error))
            }
        }
    }

    /// What is to be done; none when it is done or given up.
    async fn load(&self, context: &Context) -> Result<Option<Work>, JobError> {
        let id = self.recording_id;
        let load = async |tx: &mut Tx| {
            let recording = recordings::get(tx, id).await?;
            let call = calls::get(tx, recording.call).await?;
            Ok::<_, store::Error>((recording, call))
        };
        let (recording, call) = context.store.read(self.tenant_id, "recordings.get", load).await?;
        match (recording.source, recording.status) {
            (RecordingSource::Carrier, RecordingStatus::Awaited) => {}
            (RecordingSource::Carrier, _) => return Ok(None),
            (RecordingSource::Own, _) => return Err(JobError::Fail("it is our own recording".to_owned())),
        }
        let carrier = call.carrier;
        let reveal = async |tx: &mut Tx| carrier_accounts::reveal(tx, carrier).await;
        let account = match context.store.read(self.tenant_id, "carrier_accounts.reveal", reveal).await {
            Ok(account) => account,
            // Recordings of most accounts need no key: what can be fetched without is fetched.
            Err(store::Error::Broken(cause)) => {
                tracing::error!(recording.id = %id, error = %cause, "a carrier account's token does not open");
                None
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Some(Work { recording, call, account }))
    }

    /// From the address that is known, or from a fresh one.
    async fn fetch(&self, context: &Context, work: &Work) -> Result<FetchedFile, Unfetched> {
        let error = match &work.call.carrier_recording_url {
            Some(url) => match self.download(context, work, url).await {
                Ok(fetched) => return Ok(fetched),
                Err(Tried::Failed(error)) if failure::wants_fresh_address(&error) => Unfetched::from(error),
                Err(error) => return Err(error.into()),
            },
            None => Unfetched::Later("the carrier has not said where it is".to_owned()),
        };
        match fresh::address(context, self.tenant_id, work).await {
            Ok(Fresh::At(url)) => Ok(self.download(context, work, &url).await?),
            Ok(Fresh::NotYet) => Err(error.and("the carrier has no address of it yet")),
            Ok(Fresh::Same | Fresh::NotAsked) => Err(error),
            Err(why) => Err(error.and(&why)),
        }
    }

    async fn download(&self, context: &Context, work: &Work, url: &str) -> Result<FetchedFile, Tried<FileError>> {
        let key = work.account.as_ref().map(|(account, token)| {
            let user = account.api_key.as_deref().unwrap_or(&account.account_id);
            FileKey { user, password: token }
        });
        let request = FileRequest { url, carrier: work.call.carrier, key };
        let once = || context.carrier_files.fetch(&request);
        let policy = RetryPolicy::default();
        attempts(context, self.tenant_id, CARRIER_FILES, policy, FileError::is_transient, once).await
    }

    async fn keep(&self, context: &Context, work: &Work, fetched: &FetchedFile) -> Result<(), JobError> {
        let recording = &work.recording;
        let day = recording.created_at.date_naive();
        let key = ObjectKey::carrier_recording(self.tenant_id, day, recording.call, fetched.format);
        let content = Stored { bytes: fetched.bytes, sha256: fetched.sha256 };
        match upload(context, self.tenant_id, &key, fetched.path(), content).await {
            Ok(stored) if stored == content => {}
            Ok(_) => return Err(JobError::Retry("the file changed while it was uploaded".to_owned())),
            Err(Tried::Open(wait)) => {
                return Err(JobError::Wait(wait, "the object store fails; it is left alone for a minute".to_owned()));
            }
            Err(Tried::Failed(error)) => {
                let text = error.to_string();
                self.note(context, &text).await?;
                return Err(JobError::Retry(text));
            }
        }
        let (id, now, note) = (self.recording_id, context.now(), remark(&work.call, fetched));
        let file = Fetched {
            content_type: fetched.format.content_type(),
            channels: fetched.measured.channels,
            sample_rate_hz: fetched.measured.sample_rate_hz,
            duration_ms: fetched.measured.duration_ms,
            bytes: fetched.bytes,
            sha256: fetched.sha256,
            object_key: key.as_str(),
        };
        let ready = json!({
            "call_id": recording.call,
            "recording_id": id,
            "bytes": file.bytes,
            "source": RecordingSource::Carrier.as_str(),
        });
        context
            .store
            .write(self.tenant_id, "recordings.fetched", async |tx| {
                if !recordings::fetched(tx, id, &file, now).await? {
                    return Ok(());
                }
                if let Some(note) = &note {
                    recordings::remark(tx, id, note, now).await?;
                }
                if let Value::Object(ready) = ready {
                    outbox::push(tx, "recording.ready", ready, now).await?;
                }
                Ok::<_, store::Error>(())
            })
            .await?;
        Ok(())
    }

    /// Again by the schedule; given up at its end, when it was tried often enough.
    async fn later(
        &self,
        context: &Context,
        error: &str,
        job: JobId,
        waiting_since: DateTime<Utc>,
    ) -> Result<(), JobError> {
        let tried = Self { tries: self.tries.saturating_add(1), ..*self };
        let owed = (tried.tries < TRIES_MIN).then_some(OWED_TRY_AFTER);
        let Some(wait) = next_try(self.waited_s(context, waiting_since), random01()).or(owed) else {
            return self.give_up(context, error).await;
        };
        let (id, now) = (self.recording_id, context.now());
        let payload = tried.payload();
        let note = async |tx: &mut Tx| {
            recordings::note_error(tx, id, error, now).await?;
            jobs::amend(tx, job, payload).await
        };
        context.store.write(self.tenant_id, "recordings.note_error", note).await?;
        Err(JobError::Wait(wait, error.to_owned()))
    }

    /// As its row has it.
    fn payload(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(payload)) => payload,
            // It is a struct of plain fields, and has no other form.
            Ok(_) | Err(_) => Map::new(),
        }
    }

    /// The recording is lost.
    async fn give_up(&self, context: &Context, error: &str) -> Result<(), JobError> {
        let (id, now) = (self.recording_id, context.now());
        let give_up = async |tx: &mut Tx| recordings::give_up(tx, id, error, now).await;
        context.store.write(self.tenant_id, "recordings.failed", give_up).await?;
        Err(JobError::Fail(error.to_owned()))
    }

    async fn note(&self, context: &Context, error: &str) -> Result<(), JobError> {
        let (id, now) = (self.recording_id, context.now());
        let note = async |tx: &mut Tx| recordings::note_error(tx, id, error, now).await;
        context.store.write(self.tenant_id, "recordings.note_error", note).await?;
        Ok(())
    }

    fn waited_s(&self, context: &Context, waiting_since: DateTime<Utc>) -> i64 {
        (context.now() - waiting_since).num_seconds().max(0)
    }
}

/// How long to wait after a try, once the recording has been waited for so long; `None` = that was the last.
fn next_try(waited_s: i64, random01: f64) -> Option<Duration> {
    let (_, wait_s) = SCHEDULE.iter().find(|(until_s, _)| waited_s < *until_s).filter(|(_, wait_s)| *wait_s > 0)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "an hour in ms is far below 2^52")]
    let jitter_ms = (*wait_s as f64 * 1_000.0 * JITTER * random01.clamp(0.0, 1.0)) as i64;
    Some(Duration::seconds(*wait_s) + Duration::milliseconds(jitter_ms))
}

/// The lengths that are known of a call, ms: of the media that came here, and by the carrier's count.
fn lengths(call: &Call) -> impl Iterator<Item = u64> {
    let by_carrier = call.carrier_duration_s.map(|seconds| seconds.saturating_mul(1_000));
    [call.duration_ms, by_carrier].into_iter().flatten().filter(|length_ms| *length_ms > 0)
}

/// Much shorter than the call, by either count.
fn is_short(call: &Call, fetched: &FetchedFile) -> bool {
    let shortest = lengths(call).min().unwrap_or(0);
    fetched.measured.duration_ms + shortest / 100 * SHORTER_PERCENT + SHORTER_MS < shortest
}

/// What a person should know of a recording.
fn remark(call: &Call, fetched: &FetchedFile) -> Option<String> {
    let cut_short = fetched.measured.is_cut_short.then(|| {
        let file_s = fetched.measured.duration_ms / 1_000;
        format!("the carrier's file is cut short, or says wrongly how long it is: it has {file_s} s")
    });
    cut_short.or_else(|| odd_length(call, fetched))
}

/// The same of one whose length is not that of its call.
fn odd_length(call: &Call, fetched: &FetchedFile) -> Option<String> {
    let longest = lengths(call).max()?;
    let is_long = fetched.measured.duration_ms > longest + longest / 100 * LONGER_PERCENT + LONGER_MS;
    let is_short = is_short(call, fetched);
    (is_long || is_short).then(|| {
        let (file_s, call_s) = (fetched.measured.duration_ms / 1_000, longest / 1_000);
        let word = if is_short { "shorter" } else { "longer" };
        format!("the carrier's file is much {word} than the call: {file_s} s of {call_s} s")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_begins_with_a_minute_and_ends_after_a_day() {
        let (mut at_s, mut waits_min) = (30, Vec::new());
        while let Some(wait) = next_try(at_s, 0.0) {
            at_s += wait.num_seconds();
            waits_min.push(wait.num_minutes());
        }
        assert_eq!(waits_min[..8], [1, 2, 5, 10, 15, 30, 60, 60]);
        assert!((86_400..=86_400 + 3_600).contains(&at_s), "{at_s} s");
        assert!(waits_min.len() < 35, "{} tries", waits_min.len());
    }

    #[test]
    fn jitter_only_lengthens_and_little() {
        assert_eq!(next_try(0, 1.0), Some(Duration::milliseconds(66_000)));
        assert_eq!(next_try(0, f64::INFINITY), Some(Duration::milliseconds(66_000)));
        assert_eq!(next_try(0, -1.0), Some(Duration::seconds(60)));
        assert_eq!(next_try(86_400, 0.5), None);
        assert_eq!(next_try(i64::MAX, 0.5), None);
    }
}
