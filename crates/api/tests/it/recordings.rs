//! The sound of recordings: parts of it, and links that play it for some minutes.

use crate::agents::agent;
use crate::app::{Answer, PUBLIC_URL, Person, TestApp};
use crate::calls::{call, recording};
use chrono::{DateTime, Duration, Utc};
use model::{RecordingId, Role, Scope};
use reqwest::Method;
use serde_json::json;
use store::calls::Call;
use store::recordings::{self, Fetched};

/// Bytes of the files here, as `calls::recording` says.
const BYTES: usize = 5_000;

struct World {
    app: TestApp,
    asha: Person,
    call: Call,
    id: RecordingId,
    sound: Vec<u8>,
    /// Of a program that may hear recordings: it lasts longer than an access token.
    key: String,
}

impl World {
    async fn new() -> Self {
        let app = TestApp::start().await;
        let asha = app.signed_up("Asha").await;
        let agent = agent(&app, &asha, "Reception").await;
        let call = call(&app, &asha, &agent, "sid-1", |_| {}).await;
        let sound: Vec<u8> = (0..BYTES as u32).map(|n| (n / 7).to_le_bytes()[0]).collect();
        app.files.files.lock().expect("nobody panicked").insert("key.wav".to_owned(), sound.clone());
        let id = recording(&app, &asha, &call, Some("key.wav")).await.id;
        let key = app.api_key(&asha, &[Scope::RecordingsRead]).await.1;
        Self { app, asha, call, id, sound, key }
    }

    fn audio(&self) -> String {
        format!("/api/recordings/{}/audio", self.id)
    }

    async fn heard(&self) -> usize {
        self.app.audited_times(self.asha.tenant, "recording.accessed", &self.id.to_string()).await
    }

    /// With these headers; with credentials unless it is a link.
    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.app.request(method, path);
        if !path.contains("/recordings/audio/") {
            request = request.token(&self.key);
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.send().await
    }

    /// A link's path, and when it ends.
    async fn link(&self, body: serde_json::Value) -> (String, DateTime<Utc>) {
        self.link_by(&self.key, body).await
    }

    async fn link_by(&self, token: &str, body: serde_json::Value) -> (String, DateTime<Utc>) {
        let path = format!("/api/recordings/{}/links", self.id);
        let link = self.app.post(&path, token, &body).await.expect(201);
        let url = link["url"].as_str().expect("an address");
        let path = url.strip_prefix(PUBLIC_URL).expect("ours").to_owned();
        (path, link["expires_at"].as_str().expect("a time").parse().expect("a time"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_are_given_as_they_are_asked_for() {
    let world = World::new().await;
    let (link, _) = world.link(json!({})).await;
    let etag = format!("\"{}\"", "ab".repeat(32));
    let other = format!("\"{}\"", "cd".repeat(32));
    for path in [world.audio(), link] {
        for (range, if_range, status, part) in [
            (None, None, 200, 0..BYTES),
            (Some("bytes=0-"), None, 206, 0..BYTES),
            (Some("bytes=0-0"), None, 206, 0..1),
            (Some("bytes=100-1999"), None, 206, 100..2_000),
            (Some("bytes=4999-"), None, 206, 4_999..BYTES),
            (Some("bytes=4000-99999"), None, 206, 4_000..BYTES),
            (Some("bytes=-500"), None, 206, 4_500..BYTES),
            (Some("bytes=-99999"), None, 206, 0..BYTES),
            (Some("bytes=10-19"), Some(etag.as_str()), 206, 10..20),
            (Some("bytes=10-19"), Some(other.as_str()), 200, 0..BYTES),
            (Some("bytes=10-19"), Some("Sat, 21 Nov 2026 09:00:00 GMT"), 200, 0..BYTES),
            (Some("bytes=0-1,5-6"), None, 200, 0..BYTES),
            (Some("bytes=9-5"), None, 200, 0..BYTES),
            (Some("lines=1-2"), None, 200, 0..BYTES),
            (Some("bytes=5000-"), None, 416, 0..0),
            (Some("bytes=5000-6000"), None, 416, 0..0),
            (Some("bytes=-0"), None, 416, 0..0),
            (Some("bytes=5000-"), Some(other.as_str()), 200, 0..BYTES),
        ] {
            let headers: Vec<(&str, &str)> =
                range.map(|range| ("range", range)).into_iter().chain(if_range.map(|tag| ("if-range", tag))).collect();
            let answer = world.ask(Method::GET, &path, &headers).await;
            assert_eq!(answer.status, status, "{path} {headers:?} {}", answer.body);
            assert_eq!(answer.header("accept-ranges"), "bytes", "{headers:?}");
            assert!(answer.header("cache-control").contains("no-store"), "{headers:?}");
            if status == 416 {
                assert_eq!(answer.header("content-range"), format!("bytes */{BYTES}"));
                answer.expect_problem(416, "range_not_satisfiable");
                continue;
            }
            assert_eq!(answer.bytes, world.sound[part.clone()], "{headers:?}");
            assert_eq!(answer.header("content-length"), part.len().to_string(), "{headers:?}");
            assert_eq!((answer.header("content-type"), answer.header("etag")), ("audio/wav", etag.as_str()));
            let range = (status == 206).then(|| format!("bytes {}-{}/{BYTES}", part.start, part.end - 1));
            assert_eq!(answer.header("content-range"), range.unwrap_or_default(), "{headers:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_head_tells_all_but_the_sound() {
    let world = World::new().await;
    let (link, _) = world.link(json!({})).await;
    // The file need not even be there.
    world.app.files.files.lock().unwrap().clear();
    for path in [world.audio(), link] {
        for headers in [&[] as &[(&str, &str)], &[("range", "bytes=0-99")], &[("range", "bytes=9999-")]] {
            let answer = world.ask(Method::HEAD, &path, headers).await;
            assert_eq!((answer.status, answer.bytes.len()), (200, 0), "{path} {headers:?}");
            assert_eq!((answer.header("content-length"), answer.header("accept-ranges")), ("5000", "bytes"));
            assert_eq!(answer.header("content-type"), "audio/wav");
            assert_eq!(answer.header("etag"), format!("\"{}\"", "ab".repeat(32)));
            assert_eq!(answer.header("content-range"), "");
        }
    }
    assert_eq!(world.heard().await, 0, "nobody has heard anything");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hearing_in_parts_is_on_record_once_and_none_goes_without() {
    let world = World::new().await;
    let (link, _) = world.link(json!({ "ttl_s": 900 })).await;
    for path in [world.audio(), link] {
        let before = world.heard().await;
        for (range, heard) in [
            ("bytes=4000-", 1),
            ("bytes=1-", 1),
            ("bytes=0-99", 2),
            ("bytes=100-199", 2),
            ("bytes=9999-", 2),
            ("bytes=0-", 3),
        ] {
            world.ask(Method::GET, &path, &[("range", range)]).await;
            assert_eq!(world.heard().await - before, heard, "{path} {range}");
        }
        world.ask(Method::GET, &path, &[]).await;
        assert_eq!(world.heard().await - before, 4);
    }
    // Much later is another hearing.
    world.app.clock.advance(Duration::minutes(20));
    let before = world.heard().await;
    world.ask(Method::GET, &world.audio(), &[("range", "bytes=7-")]).await;
    assert_eq!(world.heard().await - before, 1);
    // Somebody else's is, too.
    let vik = world.app.member(world.asha.tenant, "Vik", Role::Viewer).await;
    let request = world.app.request(Method::GET, &world.audio()).token(&vik.access_token);
    assert_eq!(request.header("range", "bytes=7-").send().await.status, 206);
    assert_eq!(world.heard().await - before, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carriers_recording_is_given_out_as_what_it_is() {
    let world = World::new().await;
    let (tenant, call, now) = (world.asha.tenant, world.call.id, world.app.now());
    let store = world.app.store();
    let awaited = store.write(tenant, "test.await", async |tx| recordings::await_carrier(tx, call, now).await);
    let awaited = awaited.await.expect("kept").expect("a new one").id;
    let path = format!("/api/recordings/{awaited}");
    let shown = world.app.get(&path, &world.asha.access_token).await.expect(200);
    assert_eq!((&shown["source"], &shown["status"]), (&json!("carrier"), &json!("awaited")));
    let audio = format!("{path}/audio");
    world.ask(Method::GET, &audio, &[]).await.expect_problem(409, "conflict");
    let note = store.write(tenant, "test.error", async |tx| {
        recordings::note_error(tx, awaited, "the carrier answered 404", now).await
    });
    assert!(note.await.expect("noted"));
    let shown = world.app.get(&path, &world.asha.access_token).await.expect(200);
    assert_eq!(shown["recording_error"], "the carrier answered 404");
    let file = Fetched {
        content_type: "audio/mpeg",
        channels: 1,
        sample_rate_hz: 8_000,
        duration_ms: 4_000,
        bytes: 3,
        sha256: [1; 32],
        object_key: "key.mp3",
    };
    let fetched = store.write(tenant, "test.fetched", async |tx| recordings::fetched(tx, awaited, &file, now).await);
    assert!(fetched.await.expect("kept"));
    world.app.files.files.lock().unwrap().insert("key.mp3".to_owned(), vec![7, 8, 9]);
    let shown = world.app.get(&path, &world.asha.access_token).await.expect(200);
    assert_eq!((&shown["content_type"], &shown["recording_error"]), (&json!("audio/mpeg"), &json!(null)));
    let answer = world.ask(Method::GET, &audio, &[("range", "bytes=1-")]).await;
    assert_eq!((answer.status, answer.bytes.as_slice()), (206, [8, 9].as_slice()));
    assert_eq!(answer.header("content-type"), "audio/mpeg");
    let name = format!("attachment; filename=\"caly-call-{call}.mp3\"");
    assert_eq!(answer.header("content-disposition"), name);
    let own = world.app.get(&format!("/api/recordings/{}", world.id), &world.asha.access_token).await.expect(200);
    assert_eq!((&own["source"], &own["content_type"]), (&json!("own"), &json!("audio/wav")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_plays_without_credentials_and_says_who_made_it() {
    let world = World::new().await;
    let (link, expires_at) = world.link_by(&world.asha.access_token, json!({})).await;
    assert_eq!(expires_at - world.app.now(), Duration::seconds(300));
    assert_eq!(world.app.audited_times(world.asha.tenant, "recording.link_created", &world.id.to_string()).await, 1);
    assert_eq!(world.heard().await, 0);
    let answer = world.ask(Method::GET, &link, &[("origin", "https://crm.example.org")]).await;
    assert_eq!((answer.status, &answer.bytes), (200, &world.sound));
    for (name, want) in [
        ("content-disposition", format!("inline; filename=\"caly-call-{}.wav\"", world.call.id)),
        ("cache-control", "private, no-store".to_owned()),
        ("referrer-policy", "no-referrer".to_owned()),
        ("x-content-type-options", "nosniff".to_owned()),
        ("cross-origin-resource-policy", "cross-origin".to_owned()),
    ] {
        assert_eq!(answer.header(name), want, "{name}");
    }
    assert!(answer.header("content-security-policy").contains("media-src 'self'"));
    let heard = world.app.audited(world.asha.tenant).await;
    let heard = heard.into_iter().find(|(kind, _, _)| kind == "recording.accessed").expect("on record");
    assert_eq!((heard.1, heard.2), (format!("link:user:{}", world.asha.user), Some(world.id.to_string())));
    // Credentials beside it change nothing, right or wrong.
    let with_wrong = world.app.request(Method::GET, &link).token("not-a-token").send().await;
    assert_eq!(with_wrong.status, 200);

    let (key, text) = world.app.api_key(&world.asha, &[Scope::RecordingsRead]).await;
    let (link, _) = world.link_by(&text, json!({})).await;
    assert_eq!(world.ask(Method::GET, &link, &[]).await.status, 200);
    let actors: Vec<String> =
        world.app.audited(world.asha.tenant).await.into_iter().map(|(_, actor, _)| actor).collect();
    assert!(actors.contains(&format!("link:key:{key}")), "{actors:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_ends() {
    let world = World::new().await;
    for (body, ttl_s) in [
        (json!({}), 300),
        (json!({ "ttl_s": null }), 300),
        (json!({ "ttl_s": 30 }), 30),
        (json!({ "ttl_s": 900 }), 900),
    ] {
        let (link, _) = world.link(body).await;
        world.app.clock.advance(Duration::seconds(ttl_s - 1));
        assert_eq!(world.ask(Method::GET, &link, &[]).await.status, 200, "{ttl_s}");
        world.app.clock.advance(Duration::seconds(1));
        let heard = world.heard().await;
        for range in [&[] as &[(&str, &str)], &[("range", "bytes=5-")]] {
            world.ask(Method::GET, &link, range).await.expect_problem(410, "link_expired");
            assert_eq!(world.ask(Method::HEAD, &link, range).await.status, 410);
        }
        assert_eq!(world.heard().await, heard);
    }
    let path = format!("/api/recordings/{}/links", world.id);
    for ttl_s in [json!(29), json!(901), json!(0), json!(-30), json!("60"), json!(60.5)] {
        let answer = world.app.post(&path, &world.key, &json!({ "ttl_s": ttl_s })).await;
        answer.expect_problem_fields(&["ttl_s"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_link_is_none() {
    let world = World::new().await;
    let (link, _) = world.link(json!({})).await;
    let start = link.rfind('/').expect("a token") + 1;
    for place in start..link.len() {
        let mut other = link.clone().into_bytes();
        other[place] = if other[place] == b'A' { b'B' } else { b'A' };
        let other = String::from_utf8(other).expect("text");
        world.ask(Method::GET, &other, &[]).await.expect_problem(404, "not_found");
    }
    for other in [format!("{link}A"), link[..link.len() - 1].to_owned(), format!("{}x", &link[..start])] {
        world.ask(Method::GET, &other, &[]).await.expect_problem(404, "not_found");
    }
    // Not text at all.
    world.ask(Method::GET, &format!("{}%ff", &link[..start]), &[]).await.expect_problem(404, "not_found");
    assert_eq!(world.heard().await, 0);
    assert_eq!(world.ask(Method::GET, &link, &[]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_hear_a_stored_recording_makes_a_link_to_it() {
    let world = World::new().await;
    let ravi = world.app.signed_up("Ravi").await;
    let path = format!("/api/recordings/{}/links", world.id);
    world.app.post(&path, &ravi.access_token, &json!({})).await.expect_problem(404, "not_found");
    world.app.post_public(&path, &json!({})).await.expect_problem(401, "unauthenticated");
    let (_, key) = world.app.api_key(&world.asha, &[Scope::CallsRead]).await;
    world.app.post(&path, &key, &json!({})).await.expect_problem(403, "forbidden");
    let unstored = recording(&world.app, &world.asha, &world.call, None).await;
    let path = format!("/api/recordings/{}/links", unstored.id);
    world.app.post(&path, &world.asha.access_token, &json!({})).await.expect_problem(409, "conflict");
    assert_eq!(world.app.audited_times(world.asha.tenant, "recording.link_created", &unstored.id.to_string()).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_as_it_was_stored_is_not_given_out() {
    let world = World::new().await;
    world.app.files.files.lock().unwrap().insert("key.wav".to_owned(), vec![1, 2, 3]);
    let problem = world.ask(Method::GET, &world.audio(), &[]).await;
    problem.expect_problem(502, "external_service_failed");
    assert_eq!(world.heard().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn playing_is_counted_by_recording_and_guessing_by_client() {
    let app = TestApp::start_with(|app| {
        let minute = std::time::Duration::from_secs(60);
        app.policies.set("unauthenticated", 3, minute).expect("a policy");
        app.policies.set("organisation", 10, minute).expect("a policy");
    })
    .await;
    let asha = app.signed_up("Asha").await;
    let key = app.api_key(&asha, &[Scope::RecordingsRead, Scope::AgentsWrite]).await.1;
    let agent = agent(&app, &asha, "Reception").await;
    let call = call(&app, &asha, &agent, "sid-1", |_| {}).await;
    app.files.files.lock().unwrap().insert("key.wav".to_owned(), vec![1; BYTES]);
    let id = recording(&app, &asha, &call, Some("key.wav")).await.id;
    let made = app.post(&format!("/api/recordings/{id}/links"), &key, &json!({})).await.expect(201);
    let link = made["url"].as_str().and_then(|url| url.strip_prefix(PUBLIC_URL)).expect("ours").to_owned();
    let get = async |path: &str| app.request(Method::GET, path).send().await;
    for n in 0..10 {
        assert_eq!(get(&link).await.status, 200, "part {n}");
    }
    get(&link).await.expect_problem(429, "rate_limited");
    // Her organisation's own count is not used up by it.
    app.get(&format!("/api/recordings/{id}"), &key).await.expect(200);
    for _ in 0..3 {
        get(&format!("{link}A")).await.expect_problem(404, "not_found");
    }
    get(&format!("{link}A")).await.expect_problem(429, "rate_limited");
}
