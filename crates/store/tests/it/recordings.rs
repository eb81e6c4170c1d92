//! Recordings: from the disk of a node to the object store.

use crate::database::{Tenant, TestDatabase, at, both_databases};
use model::{RecordingId, RecordingStatus};
use store::recordings::{self, NewRecording, Recording, SpooledFile};
use store::{Error, Tx};

const FILE: SpooledFile = SpooledFile { duration_ms: 61_000, bytes: 1_952_044, sha256: [9; 32] };

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

    async fn without_a_complete_file_there_is_no_retry(db) {
        let tenant = db.tenant("+918037091588").await?;
        let id = begin(db, &tenant, "sid-1", "a").await?;
        db.write(tenant.id, async |tx| recordings::failed(tx, id, "disk full", at(2)).await).await?;
        assert!(!db.write(tenant.id, async |tx| recordings::retry(tx, id, at(3)).await).await?);
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
}
