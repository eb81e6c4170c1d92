//! What whoever runs the installation sees of its jobs and of repeated requests.

use crate::app::{OPERATOR_TOKEN, TestApp};
use crate::jobs::job;
use api::RetryStats;
use chrono::Duration;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use store::jobs::JobState;

#[tokio::test(flavor = "multi_thread")]
async fn figures_are_the_operators() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    for path in ["/api/monitoring/jobs", "/api/monitoring/retry-stats"] {
        app.request(reqwest::Method::GET, path).send().await.expect_problem(401, "unauthenticated");
        app.get(path, &asha.access_token).await.expect_problem(403, "forbidden");
        app.get(path, OPERATOR_TOKEN).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_counted_by_name_queue_and_state() {
    let app = TestApp::start().await;
    let (asha, ravi) = (app.signed_up("Asha").await, app.signed_up("Ravi").await);
    let figures = app.get("/api/monitoring/jobs", OPERATOR_TOKEN).await.expect(200);
    assert_eq!(figures, json!({ "jobs": [], "oldest_due_s": null }));
    job(&app, &asha, "errand", JobState::Dead, json!({})).await;
    job(&app, &ravi, "errand", JobState::Dead, json!({})).await;
    job(&app, &ravi, "errand", JobState::Done, json!({})).await;
    job(&app, &ravi, "errand", JobState::Queued, json!({})).await;
    app.clock.advance(Duration::seconds(40));
    job(&app, &ravi, "store_recording", JobState::Queued, json!({})).await;
    app.clock.advance(Duration::seconds(2));
    let figures = app.get("/api/monitoring/jobs", OPERATOR_TOKEN).await.expect(200);
    let mut found: Vec<(&str, &str, u64, &Value)> = Vec::new();
    for count in figures["jobs"].as_array().expect("a list") {
        assert_eq!(count["queue"], "default");
        let word = |field: &str| count[field].as_str().expect("a word");
        found.push((word("name"), word("state"), count["count"].as_u64().expect("a number"), &count["oldest_due_s"]));
    }
    found.sort_by_key(|(name, state, _, _)| (*name, *state));
    let (none, long, short) = (Value::Null, json!(42), json!(2));
    let want = [
        ("errand", "dead", 2, &none),
        ("errand", "done", 1, &none),
        ("errand", "queued", 1, &long),
        ("store_recording", "queued", 1, &short),
    ];
    assert_eq!(found, want);
    assert_eq!(figures["oldest_due_s"], 42);
    let text = figures.to_string();
    assert!(!text.contains(&asha.tenant.to_string()) && !text.contains(&ravi.tenant.to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_for_later_is_not_due() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    job(&app, &asha, "errand", JobState::Queued, json!({})).await;
    app.clock.advance(Duration::seconds(-5));
    let figures = app.get("/api/monitoring/jobs", OPERATOR_TOKEN).await.expect(200);
    assert_eq!((&figures["jobs"][0]["count"], &figures["oldest_due_s"]), (&json!(1), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_requests_are_told_as_they_stand() {
    let retries = Arc::new(AtomicU64::new(0));
    let counted = retries.clone();
    let app = TestApp::start_with(|app| {
        app.retry_stats = Arc::new(move || {
            let total_retries = counted.load(Ordering::Relaxed);
            RetryStats {
                total_retries,
                successful_retries: total_retries / 4 * 3,
                failed_retries: total_retries / 4,
                circuit_breaker_triggered: 2,
                open_breakers: vec![("objects", 1), ("carrier-recordings", 3)],
            }
        });
    })
    .await;
    let path = "/api/monitoring/retry-stats";
    assert_eq!(app.get(path, OPERATOR_TOKEN).await.expect(200)["retrySuccessRate"], Value::Null);
    retries.store(8, Ordering::Relaxed);
    assert_eq!(
        app.get(path, OPERATOR_TOKEN).await.expect(200),
        json!({
            "totalRetries": 8, "successfulRetries": 6, "failedRetries": 2, "circuitBreakerTriggered": 2,
            "retrySuccessRate": 0.75,
            "breakers": [{ "target": "objects", "open": 1 }, { "target": "carrier-recordings", "open": 3 }],
        })
    );
}
