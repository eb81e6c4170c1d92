//! Recordings: from the disk of a node to the object store.

use crate::database::{Tenant, TestDatabase, at, both_databases};
use model::{CallId, RecordingId, RecordingSource, RecordingStatus};
use store::jobs::{self, Enqueued};
use store::recordings::{self, FETCH_JOB, Fetched, NewRecording, Recording, SpooledFile};
use store::{Error, PageRequest, Tx, outbox};

const FILE: SpooledFile = SpooledFile { duration_ms: 61_000, bytes: 1_952_044, sha256: [9; 32] };

const FETCHED: Fetched<'static> = Fetched {
    content_type: "audio/wav",
    channels: 1,
    sample_rate_hz: 16_000,
    duration_ms: 62_000,
    bytes: 248_000,
    sha256: [3; 32],
    object_key: "t/2026/carrier.wav",
};

async fn awaited(db: &TestDatabase, tenant: &Tenant, call: CallId) -> Result<Option<Recording>, Error> {
    db.write(tenant.id, async |tx| recordings::await_carrier(tx, call, at(1)).await).await
}

async fn fetched(db: &TestDatabase, tenant: &Tenant, id: RecordingId, now: i64) -> Result<bool, Error> {
    db.write(tenant.id, async |tx| recordings::fetched(tx, id, &FETCHED, at(now)).await).await
}

async fn begin(db: &TestDatabase, tenant: &Tenant, sid: &str, node: &str) -> Result<RecordingId, Error> {
    let call = db.call(tenant, sid, at(0)).await?.id;
    let new = NewRecording {
        call,
        node: node.to_owned(),
        spool_path: format!("/var/lib/caly/spool/{sid}.wav"),
        channels: 2,
        sample_rate_hz: 8_000,
    };
    db.write(tenant.id, async |tx| Ok(recordings::create(tx, &new, at(1)).await?.id)).await
}

async fn get(db: &TestDatabase, tenant: &Tenant, id: RecordingId) -> Result<Recording, Error> {
    db.read(tenant.id, async |tx| recordings::get(tx, id).await).await
}

both_databases! {
    async fn a_recording_becomes_ready_step_by_step(db) {
        let tenant = db.tenant("+918037091588").await?;
        let id = begin(db, &tenant, "sid-1", "a").await?;
        assert_eq!(get(db, &tenant, id).await?.status, RecordingStatus::Recording);
        let steps: (bool, bool, bool, bool, bool) = db
            .write(tenant.id, async |tx: &mut Tx| {
                Ok((
                    recordings::stored(tx, id, "too/early", at(2)).await?,
                    recordings::spooled(tx, id, &FILE, at(3)).await?,
                    recordings::spooled(tx, id, &FILE, at(4)).await?,
                    recordings::stored(tx, id, "t/2026/x.wav", at(5)).await?,
                    recordings::stored(tx, id, "t/again.wav", at(6)).await?,
                ))
            })
            .await?;
        assert_eq!(steps, (false, true, false, true, false));
        let ready = get(db, &tenant, id).await?;
        assert_eq!((ready.status, ready.object_key.as_deref()), (RecordingStatus::Ready, Some("t/2026/x.wav")));
        assert_eq!((ready.duration_ms, ready.bytes, ready.sha256), (Some(61_000), Some(1_952_044), Some([9; 32])));
        assert_eq!((ready.channels, ready.sample_rate_hz, ready.updated_at), (2, 8_000, at(5)));
        let of_call = db.read(tenant.id, async |tx| recordings::of_call(tx, ready.call).await).await?;
        assert_eq!(of_call, [ready]);
        Ok(())
    }

    async fn errors_are_kept_until_it_is_stored(db) {
        let tenant = db.tenant("+918037091588").await?;
        let id = begin(db, &tenant, "sid-1", "a").await?;
        db.write(tenant.id, async |tx| {
            recordings::spooled(tx, id, &FILE, at(2)).await?;
            recordings::note_error(tx, id, &"e".repeat(5_000), at(3)).await
        })
        .await?;
        let noted = get(db, &tenant, id).await?;
        assert_eq!((noted.status, noted.recording_error.map(|e| e.len())), (RecordingStatus::Spooled, Some(1_000)));
        db.write(tenant.id, async |tx| recordings::failed(tx, id, "bucket gone", at(4)).await).await?;
        let failed = get(db, &tenant, id).await?;
        assert_eq!((failed.status, failed.recording_error.as_deref()), (RecordingStatus::Failed, Some("bucket gone")));
        let steps: (bool, bool, bool) = db
            .write(tenant.id, async |tx| {
                Ok((
                    recordings::retry(tx, id, at(5)).await?,
                    recordings::retry(tx, id, at(5)).await?,
                    recordings::stored(tx, id, "key", at(6)).await?,
                ))
            })
            .await?;
        assert_eq!(steps, (true, false, true));
        assert_eq!(get(db, &tenant, id).await?.recording_error, None);
        Ok(())
    }

    async fn one_whose_file_was_not_closed_is_closed_by_its_next_try(db) {
        let tenant = db.tenant("+918037091588").await?;
        let id = begin(db, &tenant, "sid-1", "a").await?;
        db.write(tenant.id, async |tx| recordings::failed(tx, id, "disk full", at(2)).await).await?;
        assert!(db.write(tenant.id, async |tx| recordings::retry(tx, id, at(3)).await).await?);
        assert_eq!(get(db, &tenant, id).await?.status, RecordingStatus::Recording);
        Ok(())
    }

    async fn giving_up_is_told_once_with_what_stands_in(db) {
        let tenant = db.tenant("+918037091588").await?;
        let own = begin(db, &tenant, "sid-1", "a").await?;
        let call = get(db, &tenant, own).await?.call;
        let carriers = awaited(db, &tenant, call).await?.expect("a row").id;
        let give_up = async |id: RecordingId| {
            db.write(tenant.id, async |tx| recordings::give_up(tx, id, "gone", at(3)).await).await
        };
        assert!(give_up(carriers).await? && !give_up(carriers).await?);
        assert!(give_up(own).await? && !give_up(own).await?);
        assert_eq!(get(db, &tenant, own).await?.recording_error.as_deref(), Some("gone"));
        let told = db.read(tenant.id, async |tx| outbox::list(tx, PageRequest::default()).await).await?.items;
        let mut told: Vec<_> = told.into_iter().map(|message| (message.kind, message.data)).collect();
        told.sort_by_key(|(_, data)| data["source"].to_string());
        let about = |id: RecordingId| serde_json::json!({ "call_id": call, "recording_id": id });
        let mut want = [about(carriers), about(own)];
        want[0]["source"] = "carrier".into();
        want[0]["stand_in_recording_id"] = serde_json::json!(own);
        want[1]["source"] = "own".into();
        assert_eq!(told, want.map(|data| ("recording.failed".to_owned(), crate::database::object(data))));
        Ok(())
    }

    async fn a_node_finds_what_it_left_unfinished(db) {
        let tenant = db.tenant("+918037091588").await?;
        let recording = begin(db, &tenant, "sid-1", "a").await?;
        let spooled = begin(db, &tenant, "sid-2", "a").await?;
        let ready = begin(db, &tenant, "sid-3", "a").await?;
        begin(db, &tenant, "sid-4", "b").await?;
        db.write(tenant.id, async |tx| {
            recordings::spooled(tx, spooled, &FILE, at(2)).await?;
            recordings::spooled(tx, ready, &FILE, at(2)).await?;
            recordings::stored(tx, ready, "key", at(2)).await
        })
        .await?;
        let mut found: Vec<_> = db
            .system(async |tx| recordings::unfinished(tx, "a", at(1)).await)
            .await?
            .into_iter()
            .map(|r| r.id)
            .collect();
        found.sort();
        let mut want = [recording, spooled];
        want.sort();
        assert_eq!(found, want);
        assert_eq!(db.system(async |tx| recordings::unfinished(tx, "a", at(0)).await).await?, []);
        Ok(())
    }

    async fn the_carriers_recording_is_awaited_once_beside_our_own(db) {
        let tenant = db.tenant("+918037091588").await?;
        let own = begin(db, &tenant, "sid-1", "a").await?;
        let own = get(db, &tenant, own).await?;
        assert_eq!((own.source, own.content_type.as_str()), (RecordingSource::Own, "audio/wav"));
        let row = awaited(db, &tenant, own.call).await?.expect("a row");
        assert_eq!((row.source, row.status), (RecordingSource::Carrier, RecordingStatus::Awaited));
        assert_eq!((row.node.as_str(), row.spool_path.as_str(), row.channels, row.sample_rate_hz), ("", "", 0, 0));
        assert_eq!((row.created_at, row.sha256, row.object_key.as_deref()), (at(1), None, None));
        assert_eq!(awaited(db, &tenant, own.call).await?, None);
        let all = db.read(tenant.id, async |tx| recordings::of_call(tx, own.call).await).await?;
        assert_eq!(all.len(), 2);
        let other = db.call(&tenant, "sid-2", at(0)).await?.id;
        assert!(awaited(db, &tenant, other).await?.is_some(), "one of each call");
        let theirs = db.tenant("+918037091589").await?;
        let refused = awaited(db, &theirs, other).await;
        assert!(matches!(refused, Err(Error::NotFound)), "{refused:?}");
        // Nobody takes it for a file on a node's disk.
        let none = db.system(async |tx| recordings::unfinished(tx, "", at(9)).await).await?;
        assert_eq!(none, []);
        assert!(!db.write(tenant.id, async |tx| recordings::spooled(tx, row.id, &FILE, at(2)).await).await?);
        assert!(!db.write(tenant.id, async |tx| recordings::stored(tx, row.id, "key", at(2)).await).await?);
        Ok(())
    }

    async fn simultaneous_reports_await_one_recording(db) {
        let tenant = db.tenant("+918037091588").await?;
        let call = db.call(&tenant, "sid-1", at(0)).await?.id;
        let waits = (0..12).map(|_| awaited(db, &tenant, call));
        let mut made = 0;
        for wait in futures_util::future::join_all(waits).await {
            made += i32::from(wait?.is_some());
        }
        assert_eq!(made, 1);
        Ok(())
    }

    async fn the_carriers_file_arrives_once(db) {
        let tenant = db.tenant("+918037091588").await?;
        let call = db.call(&tenant, "sid-1", at(0)).await?.id;
        let id = awaited(db, &tenant, call).await?.expect("a row").id;
        assert!(db.write(tenant.id, async |tx| recordings::note_error(tx, id, "404", at(2)).await).await?);
        assert_eq!(get(db, &tenant, id).await?.recording_error.as_deref(), Some("404"));
        assert!(fetched(db, &tenant, id, 5).await?);
        assert!(!fetched(db, &tenant, id, 6).await?);
        let ready = get(db, &tenant, id).await?;
        assert_eq!((ready.status, ready.source), (RecordingStatus::Ready, RecordingSource::Carrier));
        assert_eq!((ready.content_type.as_str(), ready.channels, ready.sample_rate_hz), ("audio/wav", 1, 16_000));
        assert_eq!((ready.duration_ms, ready.bytes, ready.sha256), (Some(62_000), Some(248_000), Some([3; 32])));
        assert_eq!((ready.object_key.as_deref(), ready.recording_error), (Some("t/2026/carrier.wav"), None));
        assert_eq!(ready.updated_at, at(5));
        assert!(!db.write(tenant.id, async |tx| recordings::failed(tx, id, "late", at(7)).await).await?);
        let own = begin(db, &tenant, "sid-2", "a").await?;
        assert!(!fetched(db, &tenant, own, 8).await?, "our own is not fetched");
        let theirs = db.tenant("+918037091589").await?;
        assert!(matches!(fetched(db, &theirs, id, 9).await, Err(Error::NotFound)));
        Ok(())
    }

    async fn one_that_was_given_up_can_be_fetched_again(db) {
        let tenant = db.tenant("+918037091588").await?;
        let call = db.call(&tenant, "sid-1", at(0)).await?.id;
        let id = awaited(db, &tenant, call).await?.expect("a row").id;
        assert!(db.write(tenant.id, async |tx| recordings::failed(tx, id, "never came", at(2)).await).await?);
        let failed = get(db, &tenant, id).await?;
        assert_eq!((failed.status, failed.recording_error.as_deref()), (RecordingStatus::Failed, Some("never came")));
        assert!(!fetched(db, &tenant, id, 3).await?, "it was given up");
        assert_eq!(awaited(db, &tenant, call).await?, None, "it is still the one");
        let retry = async || db.write(tenant.id, async |tx| recordings::retry(tx, id, at(4)).await).await;
        assert!(retry().await?);
        assert!(!retry().await?);
        assert_eq!(get(db, &tenant, id).await?.status, RecordingStatus::Awaited);
        assert!(fetched(db, &tenant, id, 5).await?);
        Ok(())
    }

    async fn those_that_nobody_touches_any_more_are_found(db) {
        let tenant = db.tenant("+918037091588").await?;
        let mut ids = Vec::new();
        for sid in ["sid-1", "sid-2", "sid-3"] {
            let call = db.call(&tenant, sid, at(0)).await?.id;
            ids.push(awaited(db, &tenant, call).await?.expect("a row").id);
        }
        assert!(fetched(db, &tenant, ids[1], 2).await?);
        assert!(db.write(tenant.id, async |tx| recordings::note_error(tx, ids[2], "404", at(50)).await).await?);
        let found = async |since: i64| -> Result<Vec<RecordingId>, Error> {
            let found = db.system(async |tx| recordings::awaited(tx, at(since)).await).await?;
            Ok(found.into_iter().map(|recording| recording.id).collect())
        };
        assert_eq!(found(0).await?, []);
        assert_eq!(found(49).await?, [ids[0]]);
        assert_eq!(found(50).await?, [ids[0], ids[2]], "oldest first");
        Ok(())
    }

    async fn a_remark_is_for_one_that_is_ready(db) {
        let tenant = db.tenant("+918037091588").await?;
        let call = db.call(&tenant, "sid-1", at(0)).await?.id;
        let id = awaited(db, &tenant, call).await?.expect("a row").id;
        let remark = async || db.write(tenant.id, async |tx| recordings::remark(tx, id, "short", at(3)).await).await;
        assert!(!remark().await?);
        assert!(fetched(db, &tenant, id, 2).await?);
        assert!(remark().await?);
        assert_eq!(get(db, &tenant, id).await?.recording_error.as_deref(), Some("short"));
        let theirs = db.tenant("+918037091589").await?;
        let foreign = db.write(theirs.id, async |tx| recordings::remark(tx, id, "x", at(3)).await).await;
        assert!(matches!(foreign, Err(Error::NotFound)));
        Ok(())
    }

    async fn fetching_is_one_job_of_any_node(db) {
        let tenant = db.tenant("+918037091588").await?;
        let call = db.call(&tenant, "sid-1", at(0)).await?.id;
        let id = awaited(db, &tenant, call).await?.expect("a row").id;
        let enqueue = async |due: i64| {
            db.write(tenant.id, async |tx| recordings::enqueue_fetching(tx, id, at(due), at(2)).await).await
        };
        let Enqueued::New(job) = enqueue(60).await? else { panic!("new") };
        assert_eq!(enqueue(90).await?, Enqueued::Existing(job));
        let job = db.system(async |tx| jobs::get(tx, job).await).await?;
        assert_eq!((job.queue.as_str(), job.name.as_str(), job.run_at), ("default", FETCH_JOB, at(60)));
        assert_eq!((job.attempts_max, job.tenant), (40, Some(tenant.id)));
        let about = serde_json::json!({ "tenant_id": tenant.id.to_string(), "recording_id": id.to_string() });
        assert_eq!(job.payload, about);
        Ok(())
    }
}
