//! Documents that agents look things up in, over HTTP. The index is tested with the jobs, the search with the store.

use crate::app::TestApp;
use api::{FoundPassage, PassageSearch, Pending};
use model::{DocumentId, Role, Scope, TenantId};
use serde_json::{Value, json};

const PATH: &str = "/api/documents";

/// A search that finds what it was asked.
pub(crate) struct Echo;

impl PassageSearch for Echo {
    fn search<'a>(
        &'a self,
        tenant: TenantId,
        query: &'a str,
        collections: &'a [String],
        limit: u32,
    ) -> Pending<'a, Result<Vec<FoundPassage>, String>> {
        let found = FoundPassage {
            document: DocumentId(tenant.0),
            title: "Prices".to_owned(),
            collection: collections.first().cloned().unwrap_or_default(),
            position: limit,
            heading: "Prices".to_owned(),
            text: query.to_owned(),
            score: 0.5,
        };
        let answer = if query == "break" { Err("the database is away".to_owned()) } else { Ok(vec![found]) };
        Box::pin(async move { answer })
    }
}

fn body() -> Value {
    json!({ "title": "Prices", "collection": "clinic", "text": "A filling costs 900 rupees.",
        "source_url": "https://clinic.example.org/prices" })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_made_read_replaced_and_deleted_and_all_of_it_is_on_record() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let token = &asha.access_token;
    let made = app.post(PATH, token, &body()).await.expect(201);
    let id = made["id"].as_str().expect("an id");
    let path = format!("{PATH}/{id}");
    assert_eq!((&made["state"], &made["bytes"], &made["chunks"]), (&json!("pending"), &json!(27), &json!(0)));
    assert!(made.get("text").is_none() && made["content_hash"].as_str().is_some_and(|hash| hash.len() == 64));
    let one = app.get(&path, token).await.expect(200);
    assert_eq!((&one["text"], &one["title"]), (&body()["text"], &json!("Prices")));
    let mut dearer = body();
    dearer["text"] = json!("A filling costs 950 rupees.");
    let changed = app.put(&path, token, &dearer).await.expect(200);
    assert_ne!(changed["content_hash"], made["content_hash"]);
    let again = app.post(&format!("{path}/reindex"), token, &json!({})).await.expect(202);
    assert_eq!(again["state"], json!("pending"));
    for (query, count) in [("", 1), ("?collection=clinic&state=pending", 1), ("?collection=x", 0), ("?state=ready", 0)]
    {
        let page = app.get(&format!("{PATH}{query}"), token).await.expect(200);
        assert_eq!(page["items"].as_array().map(Vec::len), Some(count), "{query}");
    }
    app.get(&format!("{PATH}?state=lost"), token).await.expect_problem_fields(&["state"]);
    app.delete(&path, token).await.expect(204);
    app.get(&path, token).await.expect_problem(404, "not_found");
    app.post(&format!("{path}/reindex"), token, &json!({})).await.expect_problem(404, "not_found");
    for kind in ["document.created", "document.updated", "document.reindexed", "document.deleted"] {
        assert_eq!(app.audited_times(asha.tenant, kind, id).await, 1, "{kind}");
    }
    let log = app.get("/api/audit-logs", token).await.expect(200);
    assert!(!log.to_string().contains("filling"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_right_is_refused_by_its_field() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let token = &asha.access_token;
    for (field, value) in [
        ("title", json!("")),
        ("title", json!("x".repeat(201))),
        ("collection", json!("Clinic Two")),
        ("collection", json!("")),
        ("text", json!("")),
        ("text", json!("x".repeat(1_048_577))),
        // As many characters as are allowed, and too many bytes.
        ("text", json!("अ".repeat(400_000))),
        ("source_url", json!("ftp://x")),
        ("more", json!(1)),
    ] {
        let mut body = body();
        body[field] = value;
        app.post(PATH, token, &body).await.expect_problem_fields(&[field]);
    }
    let mut largest = body();
    largest["text"] = json!("अ".repeat(349_525));
    let made = app.post(PATH, token, &largest).await.expect(201);
    assert_eq!(made["bytes"], json!(1_048_575));
    let least = app.post(PATH, token, &json!({ "title": "x", "text": "y" })).await.expect(201);
    assert_eq!((&least["collection"], &least["source_url"]), (&json!("default"), &Value::Null));
    for body in [json!({ "query": "" }), json!({ "query": "x".repeat(2_001) })] {
        app.post("/api/documents/search", token, &body).await.expect_problem_fields(&["query"]);
    }
    app.post("/api/documents/search", token, &json!({ "query": "x", "limit": 21 }))
        .await
        .expect_problem_fields(&["limit"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_are_limited_and_one_key_is_one_document() {
    let app = TestApp::start_with(|app| {
        app.policies.set("uploads", 3, std::time::Duration::from_secs(3_600)).expect("a policy");
    })
    .await;
    let asha = app.signed_up("Asha").await;
    let token = &asha.access_token;
    let send = async || {
        app.request(reqwest::Method::POST, PATH).token(token).header("idempotency-key", "k1").json(&body()).send().await
    };
    let (first, second) = (send().await.expect(201), send().await.expect(201));
    assert_eq!(first["id"], second["id"]);
    app.post(PATH, token, &body()).await.expect(201);
    app.post(PATH, token, &body()).await.expect_problem(429, "rate_limited");
    assert_eq!(app.get(PATH, token).await.expect(200)["items"].as_array().map(Vec::len), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_cannot_and_another_organisation_sees_nothing() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let viewer = app.member(asha.tenant, "Vik", Role::Viewer).await;
    let stranger = app.signed_up("Sara").await;
    let made = app.post(PATH, &asha.access_token, &body()).await.expect(201);
    let path = format!("{PATH}/{}", made["id"].as_str().expect("an id"));
    app.get(&path, &viewer.access_token).await.expect(200);
    app.post("/api/documents/search", &viewer.access_token, &json!({ "query": "x" })).await.expect(200);
    app.post(PATH, &viewer.access_token, &body()).await.expect_problem(403, "forbidden");
    app.delete(&path, &viewer.access_token).await.expect_problem(403, "forbidden");
    let token = &stranger.access_token;
    app.get(&path, token).await.expect_problem(404, "not_found");
    app.put(&path, token, &body()).await.expect_problem(404, "not_found");
    app.delete(&path, token).await.expect_problem(404, "not_found");
    assert_eq!(app.get(PATH, token).await.expect(200)["items"], json!([]));
    let (_, key) = app.api_key(&asha, &[Scope::KnowledgeRead]).await;
    app.get(&path, &key).await.expect(200);
    app.post(PATH, &key, &body()).await.expect_problem(403, "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_shows_what_calls_find() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let asked = json!({ "query": " How much is a filling? ", "collections": ["clinic"], "limit": 2 });
    let found = app.post("/api/documents/search", &asha.access_token, &asked).await.expect(200);
    let item = &found["items"][0];
    // The tests' search says what it was asked.
    assert_eq!(item["text"], json!("How much is a filling?"));
    assert_eq!((&item["collection"], &item["position"], &item["score"]), (&json!("clinic"), &json!(2), &json!(0.5)));
    let broken = app.post("/api/documents/search", &asha.access_token, &json!({ "query": "break" })).await;
    broken.expect_problem(503, "database_unavailable");
}
