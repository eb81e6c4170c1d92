//! What is kept of a call, over HTTP.

use crate::app::{Person, TestApp};
use crate::calls::call;
use chrono::Duration;
use model::{CallUsage, EndedReason, Stage, UsageLine};
use serde_json::{Map, Value, json};
use store::call_records::{self, ANALYSES_PER_CALL_MAX, CallAnalysis, Cost, CostLine, CostPart, Currency, Judgement};
use store::calls::{self, Call, Owner};

/// An agent that has its calls analysed; its id.
async fn agent(app: &TestApp, person: &Person, analysis: Value) -> String {
    let body = json!({ "name": "Asha", "config": {
        "brain": { "kind": "language-model", "base_url": "http://127.0.0.1:1/v1", "model": "m", "system_prompt": "Hi." },
        "analysis": analysis,
    } });
    let made = app.post("/api/agents", &person.access_token, &body).await.expect(201);
    made["id"].as_str().expect("an id").to_owned()
}

fn usage() -> CallUsage {
    let mut usage = CallUsage::default();
    usage.counts.barge_ins = 2;
    usage.line(Stage::Transcribing, "deepgram", "nova-3").expect("room").audio_ms = 61_000;
    usage
}

fn cost() -> Cost {
    let line = |part, micros| CostLine {
        part,
        stage: Stage::Thinking,
        provider: "openai".to_owned(),
        model: "m".to_owned(),
        micros,
    };
    Cost { currency: Currency::Inr, lines: vec![line(CostPart::Call, Some(1_500)), line(CostPart::Analysis, None)] }
}

/// The call is over, and what it used is kept.
async fn end(app: &TestApp, person: &Person, call: &Call) {
    let (owner, now) = (Owner { node: "test".to_owned(), run: uuid::Uuid::from_u128(1) }, app.now());
    let ended = app.store().write(person.tenant, "test.end", async |tx| {
        calls::begin_media(tx, call.id, &owner, now, Duration::seconds(60)).await?;
        calls::finish(tx, call.id, EndedReason::AgentCompleted, now, 61_000, &Map::new()).await?;
        call_records::keep(tx, call.id, &usage(), Some(&cost())).await?;
        call_records::after_end(tx, call.id, &Map::new(), now).await
    });
    ended.await.expect("ended");
}

async fn analysed(app: &TestApp, person: &Person, call: &Call, disposition: &str, succeeded: bool) {
    let judgement = Judgement { criterion: "It was told".into(), met: succeeded, reason: "So it was.".into() };
    let now = app.now();
    let analysis = CallAnalysis {
        summary: Some("About an order.".to_owned()),
        data: Some(Map::from_iter([("order".to_owned(), json!(7))])),
        disposition: Some(disposition.to_owned()),
        success: vec![judgement],
        succeeded: Some(succeeded),
        usage: Some(UsageLine { requests: 1, ..usage().lines[0].clone() }),
        at: now,
    };
    let kept = app
        .store()
        .write(person.tenant, "test.kept", async |tx| call_records::analyzed(tx, call.id, &analysis, now).await);
    assert!(kept.await.expect("kept"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_shows_what_it_used_what_that_cost_and_what_was_made_of_it() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let agent = agent(&app, &asha, json!({ "summary": true })).await;
    let made = call(&app, &asha, &agent, "sid-1", |_| {}).await;
    let path = format!("/api/calls/{}", made.id);
    let shown = app.get(&path, &asha.access_token).await.expect(200);
    for (field, want) in [
        ("usage", Value::Null),
        ("cost", Value::Null),
        ("cost_lines", json!([])),
        ("analysis", Value::Null),
        ("analysis_state", json!("none")),
        ("analyses", json!(0)),
    ] {
        assert_eq!(shown[field], want, "{field} while it is live");
    }
    end(&app, &asha, &made).await;
    let shown = app.get(&path, &asha.access_token).await.expect(200);
    assert_eq!((&shown["analysis_state"], &shown["analyses"]), (&json!("pending"), &json!(1)));
    assert_eq!(shown["usage"]["counts"]["barge_ins"], 2);
    assert_eq!(shown["usage"]["lines"][0]["audio_ms"], 61_000);
    assert_eq!(shown["cost"], json!({ "currency": "INR", "micros": 1_500 }));
    assert_eq!(shown["cost_lines"][1]["micros"], Value::Null, "what is not known is not 0");
    assert_eq!(shown["cost_lines"][1]["part"], "analysis");
    analysed(&app, &asha, &made, "done", true).await;
    let shown = app.get(&path, &asha.access_token).await.expect(200);
    for (pointer, want) in [
        ("/summary", json!("About an order.")),
        ("/analysis/summary", json!("About an order.")),
        ("/analysis/data", json!({ "order": 7 })),
        ("/analysis/success/0/met", json!(true)),
        ("/analysis/usage/requests", json!(1)),
        ("/analysis_state", json!("ready")),
        ("/disposition", json!("done")),
        ("/succeeded", json!(true)),
        ("/data", json!({})),
    ] {
        assert_eq!(shown.pointer(pointer), Some(&want), "{pointer}");
    }
    let listed = app.get("/api/calls", &asha.access_token).await.expect(200);
    assert_eq!(listed["items"][0]["disposition"], "done");
    assert!(listed["items"][0].get("analysis").is_none(), "a list shows nothing of the content");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_found_by_how_they_turned_out() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let agent = agent(&app, &asha, json!({ "summary": true })).await;
    for (sid, disposition, succeeded) in [("a", "paid", true), ("b", "lost", false)] {
        let made = call(&app, &asha, &agent, sid, |_| {}).await;
        end(&app, &asha, &made).await;
        analysed(&app, &asha, &made, disposition, succeeded).await;
    }
    for (query, want) in [
        ("disposition=paid", "a"),
        ("disposition=sold", ""),
        ("succeeded=true", "a"),
        ("succeeded=false", "b"),
        ("succeeded=false&disposition=paid", ""),
    ] {
        let list = app.get(&format!("/api/calls?{query}"), &asha.access_token).await.expect(200);
        let found: String =
            list["items"].as_array().unwrap().iter().filter_map(|c| c["carrier_call_id"].as_str()).collect();
        assert_eq!(found, want, "{query}");
    }
    for (query, field) in [("disposition=A%20b", "disposition"), ("succeeded=perhaps", "succeeded")] {
        let answer = app.get(&format!("/api/calls?{query}"), &asha.access_token).await;
        assert_eq!((answer.status, answer.fields()), (400, vec![field]), "{query} {}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_analysed_again_a_number_of_times() {
    let app = TestApp::start().await;
    let (asha, ravi) = (app.signed_up("Asha").await, app.signed_up("Ravi").await);
    let agent = agent(&app, &asha, json!({ "summary": true })).await;
    let made = call(&app, &asha, &agent, "sid-1", |_| {}).await;
    let path = format!("/api/calls/{}/analyze", made.id);
    let again = async || app.post(&path, &asha.access_token, &json!({})).await;
    again().await.expect_problem(409, "conflict");
    end(&app, &asha, &made).await;
    again().await.expect_problem(409, "conflict");
    for n in 2..=ANALYSES_PER_CALL_MAX {
        analysed(&app, &asha, &made, "done", true).await;
        let view = again().await.expect(202);
        assert_eq!(view["analysis_state"], "pending", "{n}");
    }
    analysed(&app, &asha, &made, "done", true).await;
    again().await.expect_problem(409, "conflict");
    app.post(&path, &ravi.access_token, &json!({})).await.expect_problem(404, "not_found");
    let times = app.audited_times(asha.tenant, "call.analysis_asked", &made.id.to_string()).await;
    assert_eq!(times, ANALYSES_PER_CALL_MAX as usize - 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_wants_nothing_has_nothing_analysed() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let agent = agent(&app, &asha, json!({})).await;
    let made = call(&app, &asha, &agent, "sid-1", |_| {}).await;
    end(&app, &asha, &made).await;
    let path = format!("/api/calls/{}", made.id);
    assert_eq!(app.get(&path, &asha.access_token).await.expect(200)["analysis_state"], "none");
    app.post(&format!("{path}/analyze"), &asha.access_token, &json!({})).await.expect_problem(409, "conflict");
}
