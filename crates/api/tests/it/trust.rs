//! Who has lost what he had: roles, sessions, the word he gave for others.

use crate::app::{Person, TestApp};
use chrono::Duration;
use limiter::{Limiter, Policies};
use model::Role;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// With the limits of every installation.
async fn strict() -> TestApp {
    TestApp::start_with(|app| {
        app.policies = Policies::default();
        app.limiter = Limiter::local(Policies::default());
    })
    .await
}

/// Sends the head of a request and the first byte of its body: the server knows who asks, and waits.
async fn begun(app: &TestApp, person: &Person, method: &str, path: &str, body: &str) -> TcpStream {
    let address = app.url.trim_start_matches("http://");
    let mut socket = TcpStream::connect(address).await.expect("connected");
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{}",
        person.access_token,
        body.len(),
        &body[..1],
    );
    socket.write_all(head.as_bytes()).await.expect("sent");
    socket
}

/// Sends the rest; the status of the answer.
async fn finished(mut socket: TcpStream, body: &str) -> u16 {
    socket.write_all(&body.as_bytes()[1..]).await.expect("sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.expect("an answer");
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
}

#[tokio::test]
async fn a_role_that_is_lost_while_the_body_arrives_changes_nothing_any_more() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let ravi = app.member(asha.tenant, "Ravi", Role::Owner).await;
    let path = format!("/api/members/{}", ravi.user);
    let body = json!({ "role": "owner" }).to_string();
    let pending = begun(&app, &ravi, "PATCH", &path, &body).await;
    // The server has seen who asks once it waits for the body: a later request on another connection is answered.
    app.get("/api/members", &ravi.access_token).await.expect(200);
    app.patch(&path, &asha.access_token, &json!({ "role": "viewer" })).await.expect(200);
    assert_eq!(finished(pending, &body).await, 403);
    let members = app.get("/api/members", &asha.access_token).await.expect(200);
    let role = members["items"].as_array().expect("items").iter().find(|member| member["name"] == "Ravi");
    assert_eq!(role.map(|member| &member["role"]), Some(&json!("viewer")));
}

#[tokio::test]
async fn an_office_behind_one_address_refreshes_without_being_taken_for_a_guesser() {
    let app = strict().await;
    let asha = app.signed_up("Asha").await;
    let mut refresh = asha.refresh_token.clone();
    for _ in 0..40 {
        app.clock.advance(Duration::minutes(11));
        // Expired tokens of many tabs, then one refresh; three times what a stranger may ask.
        for _ in 0..3 {
            app.get("/api/agents", &asha.access_token).await.expect_problem(401, "token_expired");
        }
        let body = json!({ "refresh_token": refresh });
        refresh = app.post_public("/api/auth/refresh", &body).await.expect(200)["refresh_token"]
            .as_str()
            .map(str::to_owned)
            .expect("a token");
    }
}

#[tokio::test]
async fn guesses_of_refresh_tokens_are_counted() {
    let app = strict().await;
    let body = |n: usize| json!({ "refresh_token": format!("caly_rt_{n:043}") });
    let mut limited = 0;
    for n in 0..110 {
        let answer = app.post_public("/api/auth/refresh", &body(n)).await;
        limited += usize::from(answer.status == 429);
    }
    assert!(limited >= 5, "{limited}");
}

#[tokio::test]
async fn whom_a_member_invited_does_not_come_in_with_a_word_that_is_worth_nothing_any_more() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    for (leaving, name) in [(None, "Ravi"), (Some("viewer"), "Meera")] {
        let other = app.member(asha.tenant, name, Role::Owner).await;
        let guest = format!("guest-of-{}@example.org", name.to_lowercase());
        let invitation = json!({ "email": guest, "role": "owner" });
        app.post("/api/invitations", &other.access_token, &invitation).await.expect(201);
        let mails = app.errands().await;
        let token = mails.iter().find(|mail| mail.to == guest).expect("a mail").token();
        let path = format!("/api/members/{}", other.user);
        match leaving {
            None => app.delete(&path, &asha.access_token).await.expect(204),
            Some(role) => app.patch(&path, &asha.access_token, &json!({ "role": role })).await.expect(200),
        };
        let body = json!({ "token": token, "name": "Guest", "password": "seven yellow buffaloes dance" });
        app.post_public("/api/auth/accept-invitation", &body).await.expect_problem(401, "invalid_token");
    }
}

#[tokio::test]
async fn no_text_with_nul_reaches_the_database() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    app.get("/api/audit-logs?actor=%00", &asha.access_token).await.expect_problem(400, "invalid_fields");
    let body: Value = json!({ "name": "a\u{0}b" });
    let answer = app.request(Method::PATCH, "/api/auth/me").token(&asha.access_token).json(&body).send().await;
    answer.expect_problem(400, "invalid_fields");
}
