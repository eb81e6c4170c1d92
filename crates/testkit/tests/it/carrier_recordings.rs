//! The recording host: late, closed, moved, broken; and what it hands out is audio.

use reqwest::redirect::Policy;
use std::io::Cursor;
use std::time::{Duration, Instant};
use symphonia_bundle_mp3::{MpaDecoder, MpaReader};
use testkit::carrier::{Access, Content, RecordedFile, RecordingHost, Storage, silent_mp3};

fn client(policy: Policy) -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().redirect(policy).timeout(Duration::from_secs(10)).build().unwrap()
}

async fn status(client: &reqwest::Client, url: &str) -> u16 {
    client.get(url).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_recording_is_there_later() {
    let (host, client) = (RecordingHost::start().await.unwrap(), client(Policy::none()));
    let counted = host.put("a", "1.mp3", RecordedFile { missing_requests: 2, ..RecordedFile::mp3(48) });
    for want in [404, 404, 200, 200] {
        assert_eq!(status(&client, &counted).await, want);
    }
    let timed = host.put("a", "2.mp3", RecordedFile { ready_after: Duration::from_secs(1), ..RecordedFile::mp3(48) });
    assert_eq!(status(&client, &timed).await, 404);
    tokio::time::sleep(Duration::from_millis(1_050)).await;
    let response = client.get(&timed).send().await.unwrap();
    assert_eq!((response.status().as_u16(), response.headers()["content-type"].to_str().unwrap()), (200, "audio/mpeg"));
    assert_eq!(response.bytes().await.unwrap(), silent_mp3(48, 1, false));
    assert_eq!(status(&client, &timed.replace("2.mp3", "3.mp3")).await, 404);
    assert_eq!(host.requests().iter().map(|one| one.status).collect::<Vec<_>>(), [404, 404, 200, 200, 404, 200, 404]);
}

#[tokio::test]
async fn passwords_are_asked_for_and_links_expire() {
    let (host, client) = (RecordingHost::start().await.unwrap(), client(Policy::none()));
    let access = Access::Basic { user: "key".to_owned(), password: "token".to_owned() };
    let closed = host.put("a", "1.mp3", RecordedFile { access, ..RecordedFile::mp3(48) });
    assert_eq!(status(&client, &closed).await, 401);
    let get = async |password| client.get(&closed).basic_auth("key", Some(password)).send().await.unwrap().status();
    assert_eq!((get("no").await.as_u16(), get("token").await.as_u16()), (401, 200));
    let gone = host.put("a", "2.mp3", RecordedFile { access: Access::Expired, ..RecordedFile::mp3(48) });
    assert_eq!(status(&client, &gone).await, 403);
    let fresh = host.presigned(&gone, Duration::from_secs(60)).unwrap();
    assert_eq!(status(&client, &fresh).await, 200);
    assert_eq!(status(&client, &fresh.replace("X-Amz-Signature=0", "X-Amz-Signature=f")).await, 403);
    let stale = host.presigned(&gone, Duration::ZERO).unwrap();
    assert_eq!(status(&client, &stale).await, 403);
    assert!(host.presigned("http://127.0.0.1:1/other.mp3", Duration::from_secs(1)).is_none());
}

#[tokio::test]
async fn a_password_that_reaches_the_storage_is_seen() {
    let host = RecordingHost::start().await.unwrap();
    let access = Access::Basic { user: "key".to_owned(), password: "token".to_owned() };
    let url = host.put("a", "1.mp3", RecordedFile { access, redirect: true, ..RecordedFile::mp3(48) });
    let hop = client(Policy::none()).get(&url).basic_auth("key", Some("token")).send().await.unwrap();
    assert_eq!(hop.status().as_u16(), 302);
    let location = hop.headers()["location"].to_str().unwrap().to_owned();
    assert!(location.contains(&host.hosts()[1]) && !location.contains(&host.hosts()[0]));
    assert_eq!(status(&client(Policy::none()), &location).await, 200);
    assert!(!host.password_leaked());
    // A client that takes its password along.
    let leaky = client(Policy::none()).get(&location).basic_auth("key", Some("token")).send().await.unwrap();
    assert_eq!(leaky.status().as_u16(), 400);
    assert!(host.password_leaked());
    assert_eq!(host.requests().iter().filter(|one| one.host == Storage::Bucket).count(), 2);
}

#[tokio::test]
async fn what_comes_may_be_no_audio_or_not_all_of_it() {
    let (host, client) = (RecordingHost::start().await.unwrap(), client(Policy::none()));
    let body = async |file: RecordedFile| {
        let url = host.put("a", "x.mp3", file);
        client.get(url).send().await.unwrap().bytes().await
    };
    assert!(body(RecordedFile::new(Content::Html)).await.unwrap().starts_with(b"<!DOCTYPE"));
    assert!(body(RecordedFile::new(Content::Empty)).await.unwrap().is_empty());
    assert!(body(RecordedFile { cut_at_bytes: Some(500), ..RecordedFile::mp3(2_400) }).await.is_err());
    let began = Instant::now();
    let slow = RecordedFile { pause: Some(Duration::from_millis(50)), ..RecordedFile::mp3(2_400) };
    assert_eq!(body(slow).await.unwrap().len(), 9_600);
    assert!(began.elapsed() >= Duration::from_millis(150), "three pieces");
    let pcm = vec![1, -1, 2, -2];
    let wav =
        body(RecordedFile::new(Content::Wav { pcm: pcm.clone(), channels: 2, sample_rate_hz: 8_000 })).await.unwrap();
    let read = audio::wav::read(&wav).unwrap();
    assert_eq!((read.samples, read.channels, read.rate), (pcm, 2, 8_000));
}

/// An independent decoder finds every frame, and silence in it.
#[test]
fn the_silent_mp3_is_one() {
    use symphonia_core::codecs::audio::AudioDecoder as _;
    use symphonia_core::formats::FormatReader as _;
    for (channels, tagged) in [(1, false), (2, false), (1, true)] {
        let source = Cursor::new(silent_mp3(2_400, channels, tagged));
        let stream = symphonia_core::io::MediaSourceStream::new(Box::new(source), Default::default());
        let mut reader = MpaReader::try_new(stream, Default::default()).unwrap();
        let parameters = reader.tracks()[0].codec_params.clone().unwrap();
        let parameters = parameters.audio().unwrap().clone();
        let mut decoder = MpaDecoder::try_new(&parameters, &Default::default()).unwrap();
        let mut frames = 0;
        while let Ok(Some(packet)) = reader.next_packet() {
            let decoded = decoder.decode(&packet).unwrap();
            frames += decoded.frames();
            assert_eq!(decoded.spec().channels().count(), usize::from(channels));
            let mut samples: Vec<f32> = Vec::new();
            decoded.copy_to_vec_interleaved(&mut samples);
            assert!(samples.iter().all(|sample| *sample == 0.0));
        }
        assert_eq!(frames, 100 * 1_152, "{channels} {tagged}");
    }
}
