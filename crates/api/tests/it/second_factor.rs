//! The second factor: codes of an app, and recovery codes.

use crate::app::{Answer, PASSWORD, Person, TestApp};
use crate::auth::{login, mails, me};
use chrono::Duration;
use model::MailKind;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use totp_rs::Totp;

/// An authenticator app: all it knows is the address it scanned.
struct Phone(Totp);

impl Phone {
    fn scanned(begun: &Value) -> Self {
        let url = begun["otpauth_url"].as_str().expect("an address");
        let totp = Totp::from_url(url).expect("an address that apps read");
        assert_eq!(totp.secret().to_base32(), begun["secret"].as_str().expect("a secret"));
        Self(totp)
    }

    fn code(&self, app: &TestApp) -> String {
        self.0.generate(u64::try_from(app.now().timestamp()).expect("after 1970")).to_string()
    }
}

fn next_code(app: &TestApp) {
    app.clock.advance(Duration::seconds(31));
}

async fn begin(app: &TestApp, person: &Person) -> Answer {
    app.post("/api/auth/second-factor", &person.access_token, &json!({ "password": PASSWORD })).await
}

async fn confirm(app: &TestApp, person: &Person, code: &str) -> Answer {
    app.post("/api/auth/second-factor/confirm", &person.access_token, &json!({ "code": code })).await
}

async fn both(app: &TestApp, person: &Person, what: &str, password: &str, code: &str) -> Answer {
    let path = format!("/api/auth/second-factor/{what}");
    app.post(&path, &person.access_token, &json!({ "password": password, "code": code })).await
}

async fn login_with(app: &TestApp, person: &Person, code: &str) -> Answer {
    let body = json!({ "email": person.email, "password": PASSWORD, "code": code });
    app.post_public("/api/auth/login", &body).await
}

fn codes(body: &Value) -> Vec<String> {
    let codes = body["recovery_codes"].as_array().expect("codes").iter();
    codes.map(|code| code.as_str().expect("text").to_owned()).collect()
}

/// Somebody whose second factor is enabled, with the telephone and the recovery codes.
async fn enabled(app: &TestApp, name: &str) -> (Person, Phone, Vec<String>) {
    let person = app.signed_up(name).await;
    let phone = Phone::scanned(&begin(app, &person).await.expect(200));
    let shown = codes(&confirm(app, &person, &phone.code(app)).await.expect(200));
    mails(app).await;
    next_code(app);
    (person, phone, shown)
}

#[tokio::test]
async fn it_is_asked_for_from_its_confirmation_to_its_end() {
    let app = TestApp::start().await;
    let person = app.signed_up("Asha").await;
    let state = async || app.get("/api/auth/me", &person.access_token).await.expect(200)["second_factor"].clone();

    let wrong = json!({ "password": "wrong wrong wrong" });
    let refused = app.post("/api/auth/second-factor", &person.access_token, &wrong).await;
    refused.expect_problem(401, "invalid_credentials");
    confirm(&app, &person, "123456").await.expect_problem(409, "conflict");
    let phone = Phone::scanned(&begin(&app, &person).await.expect(200));
    assert_eq!(state().await, json!({ "enabled": false, "pending": true, "recovery_codes_left": 0 }));
    login(&app, &person.email, PASSWORD).await.expect(200);

    // Begun again: the secret before is worth nothing.
    let other = Phone::scanned(&begin(&app, &person).await.expect(200));
    confirm(&app, &person, &phone.code(&app)).await.expect_problem(400, "invalid_code");
    let shown = codes(&confirm(&app, &person, &other.code(&app)).await.expect(200));
    assert_eq!(shown.iter().collect::<BTreeSet<_>>().len(), 10);
    assert_eq!(state().await, json!({ "enabled": true, "pending": false, "recovery_codes_left": 10 }));
    assert!(matches!(&mails(&app).await[..], [(_, MailKind::SecondFactorChanged { enabled: true })]));
    begin(&app, &person).await.expect_problem(409, "conflict");
    confirm(&app, &person, &other.code(&app)).await.expect_problem(409, "conflict");

    next_code(&app);
    login(&app, &person.email, PASSWORD).await.expect_problem(401, "second_factor_required");
    login(&app, &person.email, "wrong wrong wrong").await.expect_problem(401, "invalid_credentials");
    login_with(&app, &person, "000000").await.expect_problem(401, "invalid_credentials");
    let tokens = login_with(&app, &person, &other.code(&app)).await.expect(200);
    assert_eq!(tokens["user"]["second_factor"], true);

    next_code(&app);
    both(&app, &person, "disable", "wrong wrong wrong", &other.code(&app))
        .await
        .expect_problem(401, "invalid_credentials");
    both(&app, &person, "disable", PASSWORD, "000000").await.expect_problem(401, "invalid_credentials");
    both(&app, &person, "disable", PASSWORD, &other.code(&app)).await.expect(204);
    assert_eq!(state().await, json!({ "enabled": false, "pending": false, "recovery_codes_left": 0 }));
    assert!(matches!(&mails(&app).await[..], [(_, MailKind::SecondFactorChanged { enabled: false })]));
    login(&app, &person.email, PASSWORD).await.expect(200);
    both(&app, &person, "disable", PASSWORD, "123456").await.expect_problem(409, "conflict");

    let id = person.user.to_string();
    assert_eq!(app.audited_times(person.tenant, "second_factor.enabled", &id).await, 1);
    assert_eq!(app.audited_times(person.tenant, "second_factor.disabled", &id).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_works_once() {
    let app = TestApp::start().await;
    let (person, phone, _) = enabled(&app, "Asha").await;
    let code = phone.code(&app);
    let answers = futures_util::future::join_all((0..6).map(|_| login_with(&app, &person, &code))).await;
    let entered = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(entered, 1, "{:?}", answers.iter().map(|answer| answer.status).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_code_seen_over_the_shoulder_is_refused() {
    let app = TestApp::start().await;
    let person = app.signed_up("Asha").await;
    let phone = Phone::scanned(&begin(&app, &person).await.expect(200));
    let code = phone.code(&app);
    confirm(&app, &person, &code).await.expect(200);
    login_with(&app, &person, &code).await.expect_problem(401, "invalid_credentials");
    next_code(&app);
    let code = phone.code(&app);
    login_with(&app, &person, &code).await.expect(200);
    login_with(&app, &person, &code).await.expect_problem(401, "invalid_credentials");
    both(&app, &person, "disable", PASSWORD, &code).await.expect_problem(401, "invalid_credentials");
}

#[tokio::test]
async fn guesses_of_the_code_are_failed_logins() {
    let app = TestApp::start().await;
    let (person, phone, _) = enabled(&app, "Asha").await;
    for guess in 0..6 {
        login_with(&app, &person, &format!("{guess:06}")).await.expect_problem(401, "invalid_credentials");
        // Asking without a code does not set the count to zero.
        if guess < 5 {
            login(&app, &person.email, PASSWORD).await.expect_problem(401, "second_factor_required");
        }
    }
    login_with(&app, &person, &phone.code(&app)).await.expect_problem(429, "rate_limited");
    app.clock.advance(Duration::seconds(31));
    login_with(&app, &person, &phone.code(&app)).await.expect(200);
}

#[tokio::test]
async fn a_recovery_code_lets_in_once() {
    let app = TestApp::start().await;
    let (person, _, shown) = enabled(&app, "Asha").await;
    let typed = shown[3].to_lowercase().replace('-', " ");
    login_with(&app, &person, &typed).await.expect(200);
    login_with(&app, &person, &shown[3]).await.expect_problem(401, "invalid_credentials");
    login_with(&app, &person, "AAAAA-AAAAA-AAAAA-AAAAA-AAAAA").await.expect_problem(401, "invalid_credentials");
    let me = app.get("/api/auth/me", &person.access_token).await.expect(200);
    assert_eq!(me["second_factor"]["recovery_codes_left"], 9);
    let id = person.user.to_string();
    assert_eq!(app.audited_times(person.tenant, "second_factor.recovery_code_used", &id).await, 1);
}

#[tokio::test]
async fn new_recovery_codes_replace_the_old_ones() {
    let app = TestApp::start().await;
    let (person, phone, shown) = enabled(&app, "Asha").await;
    both(&app, &person, "recovery-codes", PASSWORD, "000000").await.expect_problem(401, "invalid_credentials");
    let renewed = codes(&both(&app, &person, "recovery-codes", PASSWORD, &phone.code(&app)).await.expect(200));
    assert!(shown.iter().all(|code| !renewed.contains(code)));
    login_with(&app, &person, &shown[0]).await.expect_problem(401, "invalid_credentials");
    login_with(&app, &person, &renewed[0]).await.expect(200);
    // A recovery code will do where a code is asked for.
    both(&app, &person, "disable", PASSWORD, &renewed[1]).await.expect(204);
    let id = person.user.to_string();
    assert_eq!(app.audited_times(person.tenant, "second_factor.recovery_codes_renewed", &id).await, 1);
}

#[tokio::test]
async fn codes_of_others_open_nothing() {
    let app = TestApp::start().await;
    let (asha, _, _) = enabled(&app, "Asha").await;
    let (_, other_phone, other_codes) = enabled(&app, "Ravi").await;
    login_with(&app, &asha, &other_phone.code(&app)).await.expect_problem(401, "invalid_credentials");
    login_with(&app, &asha, &other_codes[0]).await.expect_problem(401, "invalid_credentials");
}

#[tokio::test]
async fn a_password_reset_leaves_it_on() {
    let app = TestApp::start().await;
    let (person, _, _) = enabled(&app, "Asha").await;
    let change = json!({ "current_password": PASSWORD, "password": crate::auth::OTHER_PASSWORD });
    app.post("/api/auth/change-password", &person.access_token, &change).await.expect(204);
    let again = login(&app, &person.email, crate::auth::OTHER_PASSWORD).await;
    again.expect_problem(401, "second_factor_required");
    assert_eq!(me(&app, &person.access_token).await, 200);
}

#[tokio::test]
async fn switching_it_on_ends_every_other_session() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let thief = app.logged_in(asha.tenant, asha.user, &asha.email, asha.role).await;
    let phone = Phone::scanned(&begin(&app, &asha).await.expect(200));
    confirm(&app, &asha, &phone.code(&app)).await.expect(200);
    app.get("/api/agents", &thief.access_token).await.expect_problem(401, "token_expired");
    app.get("/api/agents", &asha.access_token).await.expect(200);
}
