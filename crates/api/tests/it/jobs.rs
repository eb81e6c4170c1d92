//! An organisation's jobs over HTTP: what is shown of them, and what can be done with those that were given up.

use crate::agents::agent;
use crate::app::{Person, TestApp};
use crate::calls::{call, recording};
use chrono::Duration;
use model::{JobId, RecordingStatus, Role, Scope};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use store::jobs::{self, JobState, NewJob};
use store::{PageRequest, outbox, recordings};

/// What a job works with that nobody is to see.
const HIDDEN: &str = "nobody-sees-this";

/// A job of this organisation, as far as it has come.
pub(crate) async fn job(app: &TestApp, person: &Person, name: &'static str, state: JobState, about: Value) -> JobId {
    let now = app.now();
    let mut payload = Map::from_iter([("hidden".to_owned(), json!(HIDDEN))]);
    if let Value::Object(about) = about {
        payload.extend(about);
    }
    let new = NewJob {
        queue: "default",
        name,
        dedup_key: None,
        payload,
        sealed: Some(json!({ "sealed": HIDDEN })),
        attempts_max: 3,
        run_at: now,
    };
    let made = app.store().write(person.tenant, "test.job", async |tx| jobs::enqueue(tx, &new, now).await);
    let jobs::Enqueued::New(id) = made.await.expect("enqueued") else { panic!("there was one") };
    if state == JobState::Queued {
        return id;
    }
    app.store()
        .system("test.job", async |tx| {
            let claimed = jobs::claim(tx, &["default"], "test", now, Duration::hours(1), 100).await?;
            for other in claimed.iter().filter(|job| job.id != id) {
                jobs::retry(tx, other.id, "test", "not this one", now, now).await?;
            }
            match state {
                JobState::Queued | JobState::Running => {}
                JobState::Done => drop(jobs::complete(tx, id, "test", now).await?),
                JobState::Dead | JobState::Discarded => {
                    jobs::dead(tx, id, "test", "the bucket is full", now).await?;
                }
            }
            if state == JobState::Discarded {
                jobs::discard_own(tx.tenant(person.tenant).await?, id, now).await?;
            }
            Ok::<_, store::Error>(())
        })
        .await
        .expect("as far as that");
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_listed_by_state_and_name_without_what_they_work_with() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let token = &asha.access_token;
    let mut ids = BTreeMap::new();
    for (name, state) in [
        ("store_recording", JobState::Dead),
        ("errand", JobState::Dead),
        ("errand", JobState::Discarded),
        ("errand", JobState::Done),
        ("errand", JobState::Running),
        ("store_recording", JobState::Queued),
    ] {
        app.clock.advance(Duration::seconds(1));
        let id = job(&app, &asha, name, state, json!({})).await;
        ids.insert(id.to_string(), format!("{name} {state}"));
    }
    for (query, want) in [
        (
            "",
            "store_recording queued, errand running, errand done, errand discarded, errand dead, store_recording dead",
        ),
        ("?state=queued", "store_recording queued"),
        ("?state=running", "errand running"),
        ("?state=done", "errand done"),
        ("?state=dead", "errand dead, store_recording dead"),
        ("?state=discarded", "errand discarded"),
        ("?name=store_recording", "store_recording queued, store_recording dead"),
        ("?state=dead&name=errand", "errand dead"),
        ("?state=queued&name=errand", ""),
        ("?name=nothing", ""),
    ] {
        let list = app.get(&format!("/api/jobs{query}"), token).await.expect(200);
        let found: Vec<&str> =
            list["items"].as_array().unwrap().iter().map(|job| ids[job["id"].as_str().unwrap()].as_str()).collect();
        assert_eq!(found.join(", "), want, "{query}");
        assert!(!list.to_string().contains(HIDDEN), "{list}");
    }
    let first = app.get("/api/jobs?limit=4", token).await.expect(200);
    let cursor = first["next_cursor"].as_str().expect("more");
    let second = app.get(&format!("/api/jobs?limit=4&cursor={cursor}"), token).await.expect(200);
    assert_eq!(second["items"].as_array().map(Vec::len), Some(2));
    for query in ["state=lost", "name=", "limit=0", "cursor=x", "queue=default"] {
        app.get(&format!("/api/jobs?{query}"), token).await.expect_problem(400, "invalid_fields");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_says_what_it_is_about_and_what_went_wrong() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let about = "01940b6e-0000-7000-8000-000000000007";
    let dead = job(&app, &asha, "store_recording", JobState::Dead, json!({ "recording_id": about })).await;
    let shown = app.get(&format!("/api/jobs/{dead}"), &asha.access_token).await.expect(200);
    for (field, want) in [
        ("id", json!(dead)),
        ("name", json!("store_recording")),
        ("state", json!("dead")),
        ("attempts", json!(1)),
        ("attempts_max", json!(3)),
        ("last_error", json!("the bucket is full")),
        ("recording_id", json!(about)),
        ("call_id", Value::Null),
    ] {
        assert_eq!(shown[field], want, "{field}");
    }
    assert!(!shown.to_string().contains(HIDDEN) && shown.get("payload").is_none(), "{shown}");
    let of_call = job(&app, &asha, "place_call", JobState::Queued, json!({ "call_id": about })).await;
    let shown = app.get(&format!("/api/jobs/{of_call}"), &asha.access_token).await.expect(200);
    assert_eq!((&shown["call_id"], &shown["recording_id"]), (&json!(about), &Value::Null));
    let odd = job(&app, &asha, "place_call", JobState::Queued, json!({ "call_id": 7, "recording_id": "x" })).await;
    let shown = app.get(&format!("/api/jobs/{odd}"), &asha.access_token).await.expect(200);
    assert_eq!((&shown["call_id"], &shown["recording_id"]), (&Value::Null, &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_is_tried_again_at_once_and_that_is_on_record() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let dead = job(&app, &asha, "errand", JobState::Dead, json!({})).await;
    app.clock.advance(Duration::minutes(5));
    let path = format!("/api/jobs/{dead}/retry");
    let tried = app.post(&path, &asha.access_token, &json!({})).await.expect(202);
    assert_eq!((&tried["state"], &tried["attempts"]), (&json!("queued"), &json!(0)));
    assert_eq!(tried["run_at"], json!(app.now()));
    tokio::time::timeout(std::time::Duration::from_secs(5), app.app.jobs_wake.notified()).await.expect("woken");
    app.post(&path, &asha.access_token, &json!({})).await.expect_problem(409, "conflict");
    assert_eq!(app.audited_times(asha.tenant, "job.retried", &dead.to_string()).await, 1);
    let actor = app.audited(asha.tenant).await.into_iter().find(|(kind, _, _)| kind == "job.retried").expect("it").1;
    assert_eq!(actor, format!("user:{}", asha.user));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_that_was_given_up_with_its_job_waits_again() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let agent = agent(&app, &asha, "Reception").await;
    let made = call(&app, &asha, &agent, "sid-1", |_| {}).await;
    let given_up = recording(&app, &asha, &made, None).await;
    let now = app.now();
    let fail = app
        .store()
        .write(asha.tenant, "test.failed", async |tx| recordings::failed(tx, given_up.id, "no space", now).await);
    assert!(fail.await.expect("noted"));
    let about = json!({ "recording_id": given_up.id });
    let dead = job(&app, &asha, "store_recording", JobState::Dead, about).await;
    app.post(&format!("/api/jobs/{dead}/retry"), &asha.access_token, &json!({})).await.expect(202);
    let read = app.store().read(asha.tenant, "test.get", async |tx| recordings::get(tx, given_up.id).await);
    assert_eq!(read.await.expect("there").status, RecordingStatus::Spooled);
    // One that is gone is the job's to judge.
    let about = json!({ "recording_id": "01940b6e-0000-7000-8000-000000000007" });
    let dead = job(&app, &asha, "store_recording", JobState::Dead, about).await;
    app.post(&format!("/api/jobs/{dead}/retry"), &asha.access_token, &json!({})).await.expect(202);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_can_be_taken_off_the_list() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let token = &asha.access_token;
    let dead = job(&app, &asha, "errand", JobState::Dead, json!({})).await;
    let path = format!("/api/jobs/{dead}/discard");
    let gone = app.post(&path, token, &json!({})).await.expect(200);
    assert_eq!((&gone["state"], &gone["last_error"]), (&json!("discarded"), &json!("the bucket is full")));
    assert_eq!(app.get("/api/jobs?state=dead", token).await.expect(200)["items"], json!([]));
    app.post(&path, token, &json!({})).await.expect_problem(409, "conflict");
    app.post(&format!("/api/jobs/{dead}/retry"), token, &json!({})).await.expect_problem(409, "conflict");
    assert_eq!(app.audited_times(asha.tenant, "job.discarded", &dead.to_string()).await, 1);
    assert_eq!(app.audited_times(asha.tenant, "job.retried", &dead.to_string()).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_whose_job_is_discarded_has_failed() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let agent = agent(&app, &asha, "Reception").await;
    let made = call(&app, &asha, &agent, "sid-1", |_| {}).await;
    let unfinished = recording(&app, &asha, &made, None).await;
    let about = json!({ "recording_id": unfinished.id });
    let dead = job(&app, &asha, "store_recording", JobState::Dead, about).await;
    app.post(&format!("/api/jobs/{dead}/discard"), &asha.access_token, &json!({})).await.expect(200);
    let page = PageRequest { after: None, limit: 50 };
    let read = app.store().read(asha.tenant, "test.get", async |tx| {
        let found = recordings::get(tx, unfinished.id).await?;
        Ok::<_, store::Error>((found.status, outbox::list(tx, page).await?.items))
    });
    let (status, told) = read.await.expect("there");
    assert_eq!(status, RecordingStatus::Failed);
    let told: Vec<_> = told.iter().filter(|message| message.kind == "recording.failed").collect();
    assert_eq!((told.len(), &told[0].data["recording_id"]), (1, &json!(unfinished.id)));
    // One that is gone keeps nobody from it.
    let about = json!({ "recording_id": "01940b6e-0000-7000-8000-000000000007" });
    let dead = job(&app, &asha, "fetch_recording", JobState::Dead, about).await;
    app.post(&format!("/api/jobs/{dead}/discard"), &asha.access_token, &json!({})).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_was_given_up_can_be_acted_on() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    for state in JobState::ALL.iter().copied().filter(|state| *state != JobState::Dead) {
        let id = job(&app, &asha, "errand", state, json!({})).await;
        for act in ["retry", "discard"] {
            let answer = app.post(&format!("/api/jobs/{id}/{act}"), &asha.access_token, &json!({})).await;
            answer.expect_problem(409, "conflict");
        }
        let shown = app.get(&format!("/api/jobs/{id}"), &asha.access_token).await.expect(200);
        assert_eq!(shown["state"], state.as_str(), "nothing has changed");
    }
    let kinds: Vec<String> = app.audited(asha.tenant).await.into_iter().map(|(kind, _, _)| kind).collect();
    assert!(!kinds.iter().any(|kind| kind.starts_with("job.")), "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_organisations_jobs_and_the_houses_are_not_there() {
    let app = TestApp::start().await;
    let (asha, ravi) = (app.signed_up("Asha").await, app.signed_up("Ravi").await);
    let hers = job(&app, &asha, "errand", JobState::Dead, json!({})).await;
    let now = app.now();
    let new = NewJob {
        queue: "default",
        name: "errand",
        dedup_key: None,
        payload: Map::new(),
        sealed: None,
        attempts_max: 1,
        run_at: now,
    };
    let houses = app.store().system("test.job", async |tx| jobs::enqueue(tx, &new, now).await).await.expect("enqueued");
    let jobs::Enqueued::New(houses) = houses else { panic!("there was one") };
    assert_eq!(app.get("/api/jobs", &ravi.access_token).await.expect(200)["items"], json!([]));
    let nobody = "01940b6e-0000-7000-8000-000000000001";
    for id in [hers.to_string(), houses.to_string(), nobody.to_owned(), "x".to_owned()] {
        app.get(&format!("/api/jobs/{id}"), &ravi.access_token).await.expect_problem(404, "not_found");
        for act in ["retry", "discard"] {
            let path = format!("/api/jobs/{id}/{act}");
            app.post(&path, &ravi.access_token, &json!({})).await.expect_problem(404, "not_found");
        }
    }
    let shown = app.get(&format!("/api/jobs/{hers}"), &asha.access_token).await.expect(200);
    assert_eq!(shown["state"], "dead");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_see_and_who_may_act() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let dead = job(&app, &asha, "errand", JobState::Dead, json!({})).await;
    let (one, retry) = (format!("/api/jobs/{dead}"), format!("/api/jobs/{dead}/retry"));
    for (name, role) in [("Mira", Role::Member), ("Vik", Role::Viewer)] {
        let person = app.member(asha.tenant, name, role).await;
        for path in ["/api/jobs", &one] {
            app.get(path, &person.access_token).await.expect_problem(403, "forbidden");
        }
        app.post(&retry, &person.access_token, &json!({})).await.expect_problem(403, "forbidden");
    }
    let (_, reads) = app.api_key(&asha, &[Scope::JobsRead]).await;
    app.get("/api/jobs", &reads).await.expect(200);
    app.post(&retry, &reads, &json!({})).await.expect_problem(403, "forbidden");
    app.post(&format!("{one}/discard"), &reads, &json!({})).await.expect_problem(403, "forbidden");
    let (_, writes) = app.api_key(&asha, &[Scope::JobsWrite]).await;
    app.get(&one, &writes).await.expect_problem(403, "forbidden");
    app.post(&retry, &writes, &json!({})).await.expect(202);
}
