//! Recordings go to an S3-compatible bucket when one is set up, and wait when it is away.

use crate::place::{Place, eventually};
use crate::telephone;
use crate::world::{World, length_ms, talker};
use model::{CallId, RecordingSource, RecordingStatus};
use std::time::Duration;
use store::recordings::{self, Recording};
use testkit::carrier::RecordedCaller;
use testkit::vendors::bucket::{BucketFault, FakeBucket};

const A_WHILE: Duration = Duration::from_secs(20);

async fn recording(world: &World<'_>, call: CallId) -> Option<Recording> {
    let read = world.store.read(world.tenant, "test.recordings", async |tx| recordings::of_call(tx, call).await);
    read.await.expect("read").into_iter().find(|recording| recording.source == RecordingSource::Own)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_is_tried_again_until_the_bucket_takes_it() {
    let place = Place::sqlite();
    let world = World::new(&place, talker(5)).await;
    let bucket = FakeBucket::start().await.expect("a port");
    // More failures than the client's own tries: the job itself must come again.
    bucket.fault(Some(BucketFault::Status(503, 100)));
    let endpoint = bucket.endpoint();
    let settings = [
        ("WASABI_ENDPOINT", endpoint.as_str()),
        ("WASABI_REGION", "ap-south-1"),
        ("WASABI_BUCKET", bucket.bucket()),
        ("WASABI_ACCESS_KEY", bucket.access_key()),
        ("WASABI_SECRET_KEY", "hunter2-hidden"),
    ];
    let server = world.serve(&settings).await;
    let seen = Box::pin(telephone::call(&server, &mut RecordedCaller::new(Vec::new(), 1_500), |_| {})).await;
    let call = world.ended(&seen.call_id).await;
    let waiting = eventually("an error is on record", A_WHILE, async || {
        recording(&world, call.id).await.filter(|recording| recording.recording_error.is_some())
    })
    .await;
    assert_eq!(waiting.status, RecordingStatus::Spooled);
    assert_eq!(place.files("spool").len(), 1, "the file is kept until the bucket has it");
    bucket.fault(None);
    let stored = eventually("the bucket has it", A_WHILE, async || {
        recording(&world, call.id).await.filter(|recording| recording.status == RecordingStatus::Ready)
    })
    .await;
    assert_eq!(stored.recording_error, None);
    let bytes = bucket.object(stored.object_key.as_deref().expect("ready")).expect("the object");
    let wav = audio::wav::read(&bytes).expect("a WAV file");
    assert_eq!((wav.channels, stored.bytes), (2, Some(bytes.len() as u64)));
    assert!(length_ms(&wav).abs_diff(seen.duration_ms) <= 1_500);
    eventually("the spool is empty", A_WHILE, async || place.files("spool").is_empty().then_some(())).await;
    assert!(!server.output().contains("hunter2"), "{}", server.output());
    server.stop().await;
}
