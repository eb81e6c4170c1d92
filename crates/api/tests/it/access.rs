//! Every route, as described: who gets in, and that an id which names nothing answers 404.

use crate::app::{Answer, OPERATOR_TOKEN, TestApp};
use crate::description::{Described, described};
use model::{Role, Scope};
use reqwest::Method;
use serde_json::{Value, json};

const NOBODY: &str = "01940b6e-0000-7000-8000-000000000001";

async fn ask(app: &TestApp, api: &Value, one: &Described, id: &str, token: Option<&str>) -> Answer {
    let method = Method::from_bytes(one.method.to_uppercase().as_bytes()).expect("a method");
    let path: Vec<&str> = one.path.split('/').map(|part| if part.starts_with('{') { id } else { part }).collect();
    let mut request = app.request(method, &path.join("/"));
    if let Some(token) = token {
        request = request.token(token);
    }
    match one.example(api) {
        Some(example) => request.json(&example).send().await,
        None if one.operation["requestBody"].is_object() => request.json(&json!({})).send().await,
        None => request.send().await,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_guarded_route_is_guarded() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let (api, all) = described();
    let mut guarded = 0;
    for one in &all {
        let (name, Some((scheme, scopes))) = (one.name(), one.security()) else { continue };
        if scheme != "bearer" {
            continue;
        }
        guarded += 1;
        ask(&app, &api, one, NOBODY, None).await.expect_problem(401, "unauthenticated");
        ask(&app, &api, one, NOBODY, Some("not-a-token")).await.expect_problem(401, "unauthenticated");
        ask(&app, &api, one, NOBODY, Some("caly_key_x")).await.expect_problem(401, "unauthenticated");
        ask(&app, &api, one, NOBODY, Some(OPERATOR_TOKEN)).await.expect_problem(401, "unauthenticated");
        // A key with every other scope does not open it.
        let scope = scopes.first().map(|scope| scope.parse::<Scope>().expect("a scope"));
        let others: Vec<Scope> =
            Scope::ALL.iter().copied().filter(|other| other.for_api_keys() && Some(*other) != scope).collect();
        let (_, key) = app.api_key(&asha, &others).await;
        ask(&app, &api, one, NOBODY, Some(&key)).await.expect_problem(403, "forbidden");
        if let Some(scope) = scope.filter(|scope| scope.for_api_keys()) {
            let (_, key) = app.api_key(&asha, &[scope]).await;
            let answer = ask(&app, &api, one, NOBODY, Some(&key)).await;
            assert!(!matches!(answer.status, 401 | 403 | 500..), "{name}: {} {}", answer.status, answer.body);
        }
    }
    assert!(guarded > 25, "{guarded}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_opens_what_it_holds_and_nothing_else() {
    let app = TestApp::start().await;
    let (api, all) = described();
    for role in Role::ALL.iter().copied() {
        // Of his own: what he opens may change him.
        let person = app.signed_up(&format!("Of {role}")).await;
        let person = if role == Role::Owner { person } else { app.member(person.tenant, role.as_str(), role).await };
        let mut denied = 0;
        for one in &all {
            let Some((scheme, scopes)) = one.security() else { continue };
            let (name, Some(scope)) = (one.name(), scopes.first().and_then(|scope| scope.parse::<Scope>().ok())) else {
                continue;
            };
            assert_eq!(scheme, "bearer", "{name}");
            let answer = ask(&app, &api, one, NOBODY, Some(&person.access_token)).await;
            if role.holds(scope) {
                assert!(
                    !matches!(answer.status, 401 | 403 | 500..),
                    "{role} {name}: {} {}",
                    answer.status,
                    answer.body
                );
            } else {
                answer.expect_problem(403, "forbidden");
                denied += 1;
            }
        }
        let on_record = app.audited(person.tenant).await.iter().filter(|(kind, _, _)| kind == "access.denied").count();
        assert_eq!(on_record, denied, "each refusal is on record: {role}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_names_nothing_answers_404_whatever_it_looks_like() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let (api, all) = described();
    let mut tried = 0;
    for one in all.iter().filter(|one| one.path.contains('{')) {
        let Some((scheme, _)) = one.security() else { continue };
        if scheme != "bearer" {
            continue;
        }
        tried += 1;
        for id in [NOBODY, "x", "0", "%00", "..%2F..", "01940b6e-0000-7000-8000-00000000000g", "%F0%9F%98%80"] {
            let answer = ask(&app, &api, one, id, Some(&asha.access_token)).await;
            let problem = answer.expect_problem(404, "not_found");
            assert_eq!(problem["detail"], "there is no such thing", "{} {id}", one.name());
        }
    }
    assert!(tried > 12, "{tried}");
}
