use super::{http, key, nobody, until};
use bytes::Bytes;
use chrono::NaiveDate;
use futures_util::StreamExt;
use model::{CallId, TenantId};
use providers::objects::{
    ObjectErrorKind, ObjectKey, ObjectSettings, Objects, PART_BYTES, RANGE_BYTES_MAX, S3Settings,
};
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use tempfile::TempDir;
use testkit::vendors::bucket::{BucketFault, FakeBucket};

fn s3_settings(bucket: &FakeBucket) -> S3Settings {
    S3Settings {
        endpoint: Some(bucket.endpoint()),
        region: "ap-south-1".into(),
        bucket: bucket.bucket().into(),
        access_key: key(bucket.access_key()),
        secret_key: key("very-secret"),
        virtual_host: false,
    }
}

fn s3(bucket: &FakeBucket) -> Objects {
    Objects::open(&ObjectSettings::S3(s3_settings(bucket)), &http()).expect("it opens")
}

fn local(folder: &TempDir) -> Objects {
    let settings = ObjectSettings::Local { folder: folder.path().join("deep/objects") };
    Objects::open(&settings, &http()).expect("it opens")
}

fn a_key() -> ObjectKey {
    let tenant: TenantId = TenantId::from("018f0000-0000-7000-8000-000000000001".parse::<uuid::Uuid>().expect("an id"));
    let call: CallId = CallId::from("018f0000-0000-7000-8000-000000000002".parse::<uuid::Uuid>().expect("an id"));
    ObjectKey::recording(tenant, NaiveDate::from_ymd_opt(2026, 3, 7).expect("a day"), call)
}

/// A file whose every byte depends on its place.
fn a_file(folder: &TempDir, size: usize) -> (PathBuf, Vec<u8>) {
    let content: Vec<u8> = (0..size).map(|n| (n * 31 % 251) as u8).collect();
    let path = folder.path().join("source.wav");
    std::fs::write(&path, &content).expect("written");
    (path, content)
}

async fn read(objects: &Objects, key: &ObjectKey) -> Vec<u8> {
    let mut download = objects.get_stream(key, None).await.expect("it is there");
    let mut all = Vec::new();
    while let Some(piece) = download.pieces.next().await {
        all.extend_from_slice(&piece.expect("no error"));
    }
    all
}

#[test]
fn keys_say_whose_and_when() {
    assert_eq!(
        a_key().as_str(),
        "recordings/018f0000-0000-7000-8000-000000000001/2026/03/07/018f0000-0000-7000-8000-000000000002.wav"
    );
    assert_eq!(ObjectKey::parse(a_key().as_str()).expect("ours"), a_key());
}

#[tokio::test]
async fn files_of_all_sizes_come_back_as_they_were() {
    let folder = TempDir::new().expect("a folder");
    let bucket = FakeBucket::start().await.expect("a free port");
    for objects in [local(&folder), s3(&bucket)] {
        objects.check().await.expect("it lets us in");
        for (size, parts) in
            [(0, 0), (1, 0), (PART_BYTES - 1, 0), (PART_BYTES, 1), (PART_BYTES + 5, 2), (2 * PART_BYTES, 2)]
        {
            let (path, content) = a_file(&folder, size);
            let before = bucket.parts();
            let stored = objects.put_file(&a_key(), &path).await.expect("stored");
            let sha256: [u8; 32] = Sha256::digest(&content).into();
            assert_eq!((stored.bytes, stored.sha256), (size as u64, sha256), "{size} {}", objects.describe());
            assert_eq!(objects.head(&a_key()).await.expect("there").bytes, size as u64);
            assert!(read(&objects, &a_key()).await == content, "{size} {}", objects.describe());
            if objects.describe().starts_with("S3") {
                assert_eq!(bucket.parts() - before, parts, "{size}");
                assert_eq!(bucket.object(a_key().as_str()).expect("there").len(), size);
            }
        }
    }
    assert_eq!(bucket.open_uploads(), 0);
    assert!(folder.path().join("deep/objects").join(a_key().as_str()).is_file());
}

#[tokio::test]
async fn ranges_are_cut_at_the_end_and_refused_beyond_it() {
    let folder = TempDir::new().expect("a folder");
    let bucket = FakeBucket::start().await.expect("a free port");
    for objects in [local(&folder), s3(&bucket)] {
        let content = Bytes::from_static(b"0123456789");
        objects.put_bytes(&a_key(), content.clone()).await.expect("stored");
        for (range, want) in [(0..10, &b"0123456789"[..]), (2..5, b"234"), (9..10, b"9"), (7..100, b"789")] {
            let got = objects.get_range(&a_key(), range.clone()).await.expect("there");
            assert_eq!(&got[..], want, "{range:?} {}", objects.describe());
        }
        let download = objects.get_stream(&a_key(), Some(7..100)).await.expect("there");
        assert_eq!((download.info.bytes, download.range), (10, 7..10));
        #[expect(clippy::reversed_empty_ranges, reason = "that is what must be refused")]
        for range in [10..11, 5..5, 6..5, 0..RANGE_BYTES_MAX + 1] {
            let error = objects.get_range(&a_key(), range.clone()).await.expect_err("refused");
            assert_eq!(error.kind, ObjectErrorKind::Range, "{range:?} {}", objects.describe());
        }
    }
}

#[tokio::test]
async fn what_is_gone_is_gone_and_can_be_deleted_again() {
    let folder = TempDir::new().expect("a folder");
    let bucket = FakeBucket::start().await.expect("a free port");
    for objects in [local(&folder), s3(&bucket)] {
        objects.put_bytes(&a_key(), Bytes::from_static(b"x")).await.expect("stored");
        for _ in 0..2 {
            objects.delete(&a_key()).await.expect("deleted");
        }
        for error in [
            objects.head(&a_key()).await.expect_err("gone"),
            objects.get_range(&a_key(), 0..1).await.expect_err("gone"),
            objects.get_stream(&a_key(), None).await.expect_err("gone"),
        ] {
            assert_eq!((error.kind, error.is_transient()), (ObjectErrorKind::NotFound, false));
        }
        let missing = folder.path().join("missing.wav");
        assert_eq!(objects.put_file(&a_key(), &missing).await.expect_err("no file").kind, ObjectErrorKind::File);
        let large = Bytes::from(vec![0; PART_BYTES + 1]);
        assert_eq!(objects.put_bytes(&a_key(), large).await.expect_err("too large").kind, ObjectErrorKind::Settings);
    }
}

#[tokio::test]
async fn a_failure_that_heals_is_not_noticed_and_one_that_stays_is_transient() {
    let folder = TempDir::new().expect("a folder");
    let (path, _) = a_file(&folder, 1_000);
    let bucket = FakeBucket::start().await.expect("a free port");
    let objects = s3(&bucket);
    bucket.fault(Some(BucketFault::Status(503, 2)));
    objects.put_file(&a_key(), &path).await.expect("stored at the third try");
    bucket.fault(Some(BucketFault::Status(503, 1_000)));
    let error = objects.put_file(&a_key(), &path).await.expect_err("it stays away");
    assert_eq!((error.kind, error.is_transient()), (ObjectErrorKind::Unavailable, true), "{error:?}");
    bucket.fault(Some(BucketFault::Status(403, 1_000)));
    for error in [
        objects.put_file(&a_key(), &path).await.expect_err("not let in"),
        objects.check().await.expect_err("not let in"),
    ] {
        assert_eq!((error.kind, error.is_transient()), (ObjectErrorKind::Denied, false), "{error:?}");
    }
}

#[tokio::test]
async fn an_upload_that_fails_leaves_no_parts_behind() {
    let folder = TempDir::new().expect("a folder");
    let (path, _) = a_file(&folder, 2 * PART_BYTES + 1);
    let bucket = FakeBucket::start().await.expect("a free port");
    bucket.fault(Some(BucketFault::RefusePart(2)));
    s3(&bucket).put_file(&a_key(), &path).await.expect_err("refused");
    assert_eq!(bucket.open_uploads(), 0);
    assert!(bucket.object(a_key().as_str()).is_none());
}

#[tokio::test]
async fn a_store_that_loses_bytes_is_found_out() {
    let folder = TempDir::new().expect("a folder");
    let (path, _) = a_file(&folder, 1_000);
    let bucket = FakeBucket::start().await.expect("a free port");
    bucket.fault(Some(BucketFault::LoseByte));
    let error = s3(&bucket).put_file(&a_key(), &path).await.expect_err("found out");
    assert_eq!((error.kind, error.is_transient()), (ObjectErrorKind::SizeMismatch, true));
}

#[tokio::test]
async fn a_wrong_key_and_nobody_there_are_told_apart() {
    let bucket = FakeBucket::start().await.expect("a free port");
    let wrong = S3Settings { access_key: key("AKIAWRONG"), ..s3_settings(&bucket) };
    let objects = Objects::open(&ObjectSettings::S3(wrong), &http()).expect("it opens");
    assert_eq!(objects.check().await.expect_err("not let in").kind, ObjectErrorKind::Denied);
    let away = S3Settings { endpoint: Some(format!("http://{}", nobody())), ..s3_settings(&bucket) };
    let objects = Objects::open(&ObjectSettings::S3(away), &http()).expect("it opens");
    let error = objects.check().await.expect_err("nobody there");
    assert!(error.is_transient(), "{error:?}");
}

#[tokio::test]
async fn a_missing_bucket_is_no_missing_object() {
    let bucket = FakeBucket::start().await.expect("a free port");
    let settings = S3Settings { bucket: "elsewhere".into(), ..s3_settings(&bucket) };
    let objects = Objects::open(&ObjectSettings::S3(settings), &http()).expect("it opens");
    assert_eq!(objects.check().await.expect_err("no bucket").kind, ObjectErrorKind::Settings);
    assert_eq!(objects.delete(&a_key()).await.expect_err("no bucket").kind, ObjectErrorKind::Settings);
}

#[tokio::test]
async fn descriptions_and_errors_tell_no_secret() {
    let bucket = FakeBucket::start().await.expect("a free port");
    let settings = s3_settings(&bucket);
    let objects = s3(&bucket);
    assert_eq!(
        objects.describe(),
        format!("S3 at {}, bucket {}, region ap-south-1", bucket.endpoint(), bucket.bucket())
    );
    bucket.fault(Some(BucketFault::Status(403, 1_000)));
    let error = objects.check().await.expect_err("not let in");
    let shown = format!("{objects:?} {settings:?} {error} {error:?}");
    assert!(!shown.contains("very-secret") && !shown.contains("AKIAFAKE"), "{shown}");
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused() {
    let bucket = FakeBucket::start().await.expect("a free port");
    let good = s3_settings(&bucket);
    for bad in [
        S3Settings { region: String::new(), ..good.clone() },
        S3Settings { bucket: " ".into(), ..good.clone() },
        S3Settings { endpoint: Some("ftp://x".into()), ..good.clone() },
        S3Settings { endpoint: Some("https://key:secret@x".into()), ..good.clone() },
        S3Settings { endpoint: Some("https://".into()), ..good.clone() },
    ] {
        let error = Objects::open(&ObjectSettings::S3(bad.clone()), &http()).expect_err("refused");
        assert_eq!(error.kind, ObjectErrorKind::Settings, "{bad:?}");
    }
    let hosted = S3Settings { endpoint: Some("s3.ap-south-1.wasabisys.com/".into()), virtual_host: true, ..good };
    let objects = Objects::open(&ObjectSettings::S3(hosted), &http()).expect("it opens");
    assert!(
        objects.describe().starts_with("S3 at https://recordings-test.s3.ap-south-1.wasabisys.com,"),
        "{}",
        objects.describe()
    );
    until("nothing is sent by opening", || bucket.parts() == 0).await;
}
