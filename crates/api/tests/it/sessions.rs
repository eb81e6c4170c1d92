//! Sessions: their tokens, and their end.

use crate::app::{Answer, PASSWORD, Person, TestApp};
use crate::auth::{login, mails, me};
use chrono::Duration;
use identity::RefreshToken;
use model::{MailKind, Role, UserId};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use store::users;

async fn refresh(app: &TestApp, token: &str) -> Answer {
    app.post_public("/api/auth/refresh", &json!({ "refresh_token": token })).await
}

fn text<'a>(body: &'a Value, field: &str) -> &'a str {
    body[field].as_str().expect("text")
}

async fn sessions(app: &TestApp, token: &str) -> Vec<Value> {
    let body = app.get("/api/auth/sessions", token).await.expect(200);
    body["items"].as_array().expect("items").clone()
}

#[tokio::test]
async fn a_refresh_gives_new_tokens_and_spends_the_old_one() {
    let app = TestApp::start().await;
    let person = app.signed_up("Asha").await;
    let mut current = person.refresh_token.clone();
    for _ in 0..3 {
        app.clock.advance(Duration::minutes(9));
        let tokens = refresh(&app, &current).await.expect(200);
        assert_ne!(text(&tokens, "refresh_token"), current);
        assert_eq!(me(&app, text(&tokens, "access_token")).await, 200);
        assert_eq!(tokens["organisation"]["id"], json!(person.tenant));
        assert_eq!(tokens["user"]["id"], json!(person.user));
        current = text(&tokens, "refresh_token").to_owned();
    }
    assert_eq!(me(&app, &person.access_token).await, 401, "ten minutes are over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_simultaneous_refreshes_give_one_successor_and_log_nobody_out() {
    let app = TestApp::start().await;
    let person = app.signed_up("Asha").await;
    let answers = futures_util::future::join_all((0..20).map(|_| refresh(&app, &person.refresh_token))).await;
    let mut successors = BTreeSet::new();
    for answer in answers {
        let tokens = answer.expect(200);
        assert_eq!(me(&app, text(&tokens, "access_token")).await, 200);
        successors.insert(text(&tokens, "refresh_token").to_owned());
    }
    assert_eq!(successors.len(), 1);
    let successor = successors.first().expect("one");
    refresh(&app, successor).await.expect(200);
    assert_eq!(app.audited_times(person.tenant, "session.token_reused", &person.user.to_string()).await, 0);
}

#[tokio::test]
async fn a_lost_answer_is_given_again_for_ten_seconds() {
    let app = TestApp::start().await;
    let person = app.signed_up("Asha").await;
    let first = refresh(&app, &person.refresh_token).await.expect(200);
    app.clock.advance(Duration::seconds(10));
    let again = refresh(&app, &person.refresh_token).await.expect(200);
    assert_eq!(first["refresh_token"], again["refresh_token"]);
    app.clock.advance(Duration::seconds(1));
    refresh(&app, &person.refresh_token).await.expect_problem(401, "invalid_token");
    refresh(&app, text(&first, "refresh_token")).await.expect_problem(401, "invalid_token");
}

#[tokio::test]
async fn a_token_that_comes_back_ends_its_session_and_no_other() {
    let app = TestApp::start().await;
    let person = app.signed_up("Asha").await;
    let other = app.logged_in(person.tenant, person.user, &person.email, Role::Owner).await;
    let second = refresh(&app, &person.refresh_token).await.expect(200);
    let third = refresh(&app, text(&second, "refresh_token")).await.expect(200);
    // Two generations old: no grace, however soon.
    refresh(&app, &person.refresh_token).await.expect_problem(401, "invalid_token");
    assert_eq!(me(&app, text(&third, "access_token")).await, 401);
    for token in [text(&third, "refresh_token"), text(&second, "refresh_token"), &person.refresh_token] {
        refresh(&app, token).await.expect_problem(401, "invalid_token");
    }
    assert_eq!(me(&app, &other.access_token).await, 200);
    refresh(&app, &other.refresh_token).await.expect(200);

    let told = mails(&app).await;
    assert!(matches!(&told[..], [(to, MailKind::TokenReused)] if *to == person.email), "once: {told:?}");
    assert_eq!(app.audited_times(person.tenant, "session.token_reused", &person.user.to_string()).await, 1);
}

#[tokio::test]
async fn tokens_of_nobody_are_refused() {
    let app = TestApp::start().await;
    let person = app.signed_up("Asha").await;
    let random = RefreshToken::random().expect("randomness");
    let other_case = person.refresh_token.to_uppercase();
    for token in [random.expose(), "x", &other_case, &person.access_token[..150], &format!("{} ", person.refresh_token)]
    {
        refresh(&app, token).await.expect_problem(401, "invalid_token");
    }
    refresh(&app, &person.refresh_token).await.expect(200);
}

#[tokio::test]
async fn sessions_end_when_unused_for_a_week_and_after_thirty_days() {
    let app = TestApp::start().await;
    let idle = app.signed_up("Idle").await;
    let busy = app.signed_up("Busy").await;
    let mut current = busy.refresh_token.clone();
    let began = app.now();
    for day in [4, 8, 12, 16, 20, 24, 28] {
        app.clock.advance(Duration::days(4));
        let tokens = refresh(&app, &current).await.expect(200);
        current = text(&tokens, "refresh_token").to_owned();
        let over = (app.now() + Duration::days(7)).min(began + Duration::days(30));
        assert_eq!(tokens["refresh_expires_at"], json!(over), "{day}");
        if day == 8 {
            refresh(&app, &idle.refresh_token).await.expect_problem(401, "invalid_token");
            let again = login(&app, &idle.email, PASSWORD).await.expect(200);
            let listed = sessions(&app, text(&again, "access_token")).await;
            assert_eq!(listed.len(), 1, "what cannot be renewed is no session any more");
            assert_eq!(listed[0]["expires_at"], json!(over));
        }
    }
    app.clock.advance(Duration::days(2));
    refresh(&app, &current).await.expect_problem(401, "invalid_token");
}

#[tokio::test]
async fn a_logout_kills_both_tokens_at_once() {
    let app = TestApp::start().await;
    let person = app.signed_up("Asha").await;
    let other = app.logged_in(person.tenant, person.user, &person.email, Role::Owner).await;
    app.post("/api/auth/logout", &person.access_token, &json!({})).await.expect(204);
    app.get("/api/auth/me", &person.access_token).await.expect_problem(401, "token_expired");
    refresh(&app, &person.refresh_token).await.expect_problem(401, "invalid_token");
    assert_eq!(me(&app, &other.access_token).await, 200);
    assert_eq!(app.audited_times(person.tenant, "session.logged_out", &person.session.to_string()).await, 1);
    assert!(mails(&app).await.is_empty(), "an ended session's token is no theft");
}

#[tokio::test]
async fn logging_out_everywhere_ends_all_of_one_and_none_of_others() {
    let app = TestApp::start().await;
    let (person, stranger) = (app.signed_up("Asha").await, app.signed_up("Ravi").await);
    let other = app.logged_in(person.tenant, person.user, &person.email, Role::Owner).await;
    app.post("/api/auth/logout-all", &person.access_token, &json!({})).await.expect(204);
    for session in [&person, &other] {
        assert_eq!(me(&app, &session.access_token).await, 401);
        refresh(&app, &session.refresh_token).await.expect_problem(401, "invalid_token");
    }
    assert_eq!(me(&app, &stranger.access_token).await, 200);
    assert_eq!(app.audited_times(person.tenant, "session.all_ended", &person.user.to_string()).await, 1);
}

#[tokio::test]
async fn one_sees_and_ends_ones_own_sessions_only() {
    let app = TestApp::start().await;
    let person = app.signed_up("Asha").await;
    let colleague = app.member(person.tenant, "Colleague", Role::Admin).await;
    let stranger = app.signed_up("Stranger").await;
    app.clock.advance(Duration::seconds(5));
    login(&app, &person.email, PASSWORD).await.expect(200);

    let listed = sessions(&app, &person.access_token).await;
    assert_eq!(listed.len(), 2);
    assert_eq!((&listed[0]["current"], &listed[1]["current"]), (&json!(false), &json!(true)));
    assert_eq!(listed[1]["id"], json!(person.session));
    assert_eq!(listed[0]["user_agent"], "caly-tests/1");
    assert!(listed[0]["ip"].is_string() && !listed[0].to_string().contains("token"));

    let end = async |who: &Person, id: &str| app.delete(&format!("/api/auth/sessions/{id}"), &who.access_token).await;
    for who in [&colleague, &stranger] {
        end(who, text(&listed[0], "id")).await.expect_problem(404, "not_found");
    }
    let (unknown, nonsense) = ("0192a000-0000-7000-8000-000000000001", "nonsense");
    let same = |mut body: Value| {
        body["request_id"] = Value::Null;
        body
    };
    assert_eq!(
        same(end(&person, unknown).await.expect_problem(404, "not_found")),
        same(end(&person, nonsense).await.expect_problem(404, "not_found")),
    );
    end(&person, text(&listed[0], "id")).await.expect(204);
    end(&person, text(&listed[0], "id")).await.expect(204);
    assert_eq!(sessions(&app, &person.access_token).await.len(), 1);
    assert_eq!(app.audited_times(person.tenant, "session.ended", text(&listed[0], "id")).await, 1);
}

#[tokio::test]
async fn of_more_than_ten_sessions_the_least_used_ends() {
    let app = TestApp::start().await;
    let person = app.signed_up("Asha").await;
    let mut last = String::new();
    for _ in 0..10 {
        app.clock.advance(Duration::seconds(1));
        let tokens = login(&app, &person.email, PASSWORD).await.expect(200);
        last = text(&tokens, "access_token").to_owned();
    }
    assert_eq!(me(&app, &person.access_token).await, 401);
    refresh(&app, &person.refresh_token).await.expect_problem(401, "invalid_token");
    assert_eq!(sessions(&app, &last).await.len(), 10);
}

#[tokio::test]
async fn a_removed_member_refreshes_nothing() {
    let app = TestApp::start().await;
    let owner = app.signed_up("Owner").await;
    let member = app.member(owner.tenant, "Member", Role::Member).await;
    app.delete(&format!("/api/members/{}", member.user), &owner.access_token).await.expect(204);
    assert_eq!(me(&app, &member.access_token).await, 401);
    refresh(&app, &member.refresh_token).await.expect_problem(401, "invalid_token");
}

#[tokio::test]
async fn what_a_session_may_do_follows_the_role_at_once() {
    let app = TestApp::start().await;
    let owner = app.signed_up("Owner").await;
    let admin = app.member(owner.tenant, "Admin", Role::Admin).await;
    app.get("/api/api-keys", &admin.access_token).await.expect(200);
    let body = json!({ "role": "viewer" });
    app.patch(&format!("/api/members/{}", admin.user), &owner.access_token, &body).await.expect(200);
    app.get("/api/api-keys", &admin.access_token).await.expect_problem(403, "forbidden");
    let tokens = refresh(&app, &admin.refresh_token).await.expect(200);
    assert_eq!(tokens["organisation"]["role"], "viewer");
}

#[tokio::test]
async fn neither_row_holds_a_token() {
    let app = TestApp::start().await;
    let person = app.signed_up("Asha").await;
    let tokens = login(&app, &person.email, PASSWORD).await.expect(200);
    let user: UserId = person.user;
    let found = app.store().system("test.user", async |tx| users::get(tx, user).await).await.expect("a user");
    let shown = format!("{found:?}");
    assert!(!shown.contains("argon2") && !shown.contains(PASSWORD));
    let listed = sessions(&app, text(&tokens, "access_token")).await;
    assert!(listed.iter().all(|session| !session.to_string().contains(text(&tokens, "refresh_token"))));
}
