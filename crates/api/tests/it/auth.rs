//! Accounts: signing up, proving the address, logging in, passwords.

use crate::app::{Answer, PASSWORD, PUBLIC_URL, Person, SentMail, TestApp};
use chrono::Duration;
use identity::one_time_code::{self, OneTimeCode, Purpose};
use identity::{ResetToken, login_delay};
use model::{EmailAddress, MailKind, OrganisationId, Role, TenantId, UserId};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use store::errands::{ERRAND_JOB, Errand};
use store::users::{NewUser, User};
use store::{jobs, memberships, one_time_codes, organisations, password_resets, users};

/// A code as the mail would carry it.
pub(crate) const CODE: &str = "048213";
/// A password that the policy takes, and that nobody has.
pub(crate) const OTHER_PASSWORD: &str = "eleven crooked lamps over the canal";

/// [`PASSWORD`], hashed by another program with 8 MiB and one pass.
const WEAK_HASH: &str =
    "$argon2id$v=19$m=8192,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$HwZiE5tmsF1H66+/2Q2LO4011zr4amDRUJ9Ng77RBfc";

/// What waits to be done, as a runner of jobs finds it; it counts as done.
pub(crate) async fn errands(app: &TestApp) -> Vec<Errand> {
    let now = app.now();
    app.store()
        .system("test.errands", async |tx| {
            let mut errands = Vec::new();
            for job in jobs::claim(tx, &[jobs::QUICK_QUEUE], "test", now, Duration::seconds(60), 100).await? {
                assert_eq!(job.name, ERRAND_JOB);
                assert!(job.payload.as_object().is_some_and(serde_json::Map::is_empty), "nothing lies about unsealed");
                assert!(jobs::complete(tx, job.id, "test", now).await?);
                errands.push(serde_json::from_value(job.secret.expect("sealed")).expect("an errand"));
            }
            Ok::<_, store::Error>(errands)
        })
        .await
        .expect("errands")
}

/// The mails that wait to be sent: to whom, and what.
pub(crate) async fn mails(app: &TestApp) -> Vec<(String, MailKind)> {
    let mails = errands(app).await.into_iter().filter_map(|errand| match errand {
        Errand::Mail(mail) => Some((mail.to.as_str().to_owned(), mail.kind)),
        Errand::Register { .. } | Errand::ResendCode { .. } | Errand::ForgotPassword { .. } => None,
    });
    mails.collect()
}

pub(crate) fn address(text: &str) -> EmailAddress {
    EmailAddress::parse(text).expect("an address")
}

pub(crate) async fn find(app: &TestApp, email: &str) -> Option<User> {
    let email = address(email);
    app.store().system("test.find", async |tx| users::find_by_email(tx, &email).await).await.expect("answers")
}

/// A code for this user, sent now.
async fn issue_code(app: &TestApp, user: UserId, code: &str) {
    let code = OneTimeCode::parse(code).expect("a code");
    let hash = app.app.passwords.hash_code(Purpose::VerifyEmail, user, &code).await.expect("a hash");
    let (now, purpose) = (app.now(), Purpose::VerifyEmail.as_str());
    app.store()
        .system("test.code", async |tx| {
            one_time_codes::issue(tx, user, purpose, &hash, now + one_time_code::LIFETIME, now).await
        })
        .await
        .expect("issued");
}

/// Registers over HTTP and does what the job would: the account waits for [`CODE`].
async fn registered(app: &TestApp, email: &str, password: &str) -> (UserId, TenantId) {
    app.post_public("/api/auth/register", &registration(email, password)).await.expect(202);
    let found = errands(app).await;
    let [Errand::Register { organisation, name, email, password_hash, .. }] = &found[..] else {
        panic!("{found:?}");
    };
    let now = app.now();
    let new =
        NewUser { email: email.clone(), name: name.clone(), password_hash: password_hash.expose().to_owned().into() };
    let (user, tenant) = app
        .store()
        .system("test.register", async |tx| {
            let user = users::create(tx, &new, now).await?;
            let tenant = organisations::create(tx, organisation, now).await?.id;
            memberships::add(tx.tenant(tenant).await?, user, Role::Owner, now).await?;
            Ok::<_, store::Error>((user, tenant))
        })
        .await
        .expect("registered");
    issue_code(app, user, CODE).await;
    (user, tenant)
}

/// A token that resets the password of this user, sent now.
async fn issue_reset(app: &TestApp, user: UserId) -> String {
    let (now, token) = (app.now(), ResetToken::random().expect("randomness"));
    app.store()
        .system("test.reset", async |tx| {
            password_resets::issue(tx, user, token.hash(), now + Duration::minutes(15), now).await
        })
        .await
        .expect("issued");
    token.expose().to_owned()
}

fn registration(email: &str, password: &str) -> Value {
    json!({ "organisation_name": "Sunrise Dental", "name": "Asha Rao", "email": email, "password": password })
}

pub(crate) async fn login(app: &TestApp, email: &str, password: &str) -> Answer {
    app.post_public("/api/auth/login", &json!({ "email": email, "password": password })).await
}

async fn verify(app: &TestApp, email: &str, code: &str) -> Answer {
    app.post_public("/api/auth/verify-email", &json!({ "email": email, "code": code })).await
}

async fn reset(app: &TestApp, token: &str, password: &str) -> Answer {
    app.post_public("/api/auth/reset-password", &json!({ "token": token, "password": password })).await
}

pub(crate) async fn me(app: &TestApp, token: &str) -> u16 {
    app.get("/api/auth/me", token).await.status
}

/// Everything of an answer that could tell one address from another.
fn face(answer: &Answer) -> (u16, BTreeSet<String>, Value) {
    let mut body = answer.body.clone();
    if let Some(fields) = body.as_object_mut() {
        fields.remove("request_id");
    }
    let headers = answer.headers.keys().map(|name| name.as_str().to_owned()).collect();
    (answer.status, headers, body)
}

fn kinds(events: &[(String, String, Option<String>)]) -> Vec<&str> {
    events.iter().map(|(kind, _, _)| kind.as_str()).collect()
}

#[tokio::test]
async fn an_account_lives_its_whole_life() {
    let app = TestApp::start().await;
    let email = "asha@clinic.example.org";
    let (user, tenant) = registered(&app, " Asha@Clinic.example.org ", PASSWORD).await;

    login(&app, email, PASSWORD).await.expect_problem(403, "email_not_verified");
    assert_eq!(verify(&app, email, " 048 213 ").await.expect(200)["status"], "verified");
    let tokens = login(&app, email, PASSWORD).await.expect(200);
    assert_eq!((&tokens["token_type"], &tokens["expires_in_s"]), (&json!("Bearer"), &json!(600)));
    assert_eq!(tokens["user"]["email"], email);
    assert_eq!(tokens["user"]["second_factor"], false);
    assert_eq!(tokens["organisation"]["role"], "owner");
    assert_eq!(tokens["organisations"], json!([tokens["organisation"]]));
    let token = tokens["access_token"].as_str().expect("a token").to_owned();

    let me = app.get("/api/auth/me", &token).await.expect(200);
    assert_eq!((&me["id"], &me["organisation"]["id"]), (&json!(user), &json!(tenant)));
    assert_eq!(me["organisation"]["name"], "Sunrise Dental");
    assert!(me["scopes"].as_array().expect("scopes").contains(&json!("members:write")));
    assert_eq!(me["second_factor"], json!({ "enabled": false, "pending": false, "recovery_codes_left": 0 }));
    let renamed = app.patch("/api/auth/me", &token, &json!({ "name": "Asha R." })).await.expect(200);
    assert_eq!(renamed["name"], "Asha R.");

    let change = json!({ "current_password": PASSWORD, "password": OTHER_PASSWORD });
    app.post("/api/auth/change-password", &token, &change).await.expect(204);
    assert!(matches!(&mails(&app).await[..], [(to, MailKind::PasswordChanged)] if to == email));
    login(&app, email, PASSWORD).await.expect_problem(401, "invalid_credentials");

    app.post_public("/api/auth/forgot-password", &json!({ "email": email })).await.expect(202);
    assert!(matches!(&errands(&app).await[..], [Errand::ForgotPassword { email: to, .. }] if to.as_str() == email));
    let link = issue_reset(&app, user).await;
    reset(&app, &link, PASSWORD).await.expect(204);
    assert_eq!(self::me(&app, &token).await, 401, "a reset ends every session");
    login(&app, email, OTHER_PASSWORD).await.expect_problem(401, "invalid_credentials");
    let tokens = login(&app, email, PASSWORD).await.expect(200);
    let token = tokens["access_token"].as_str().expect("a token");
    app.post("/api/auth/logout", token, &json!({})).await.expect(204);
    assert_eq!(self::me(&app, token).await, 401);

    let events = app.audited(tenant).await;
    for kind in [
        "user.email_verified",
        "login.succeeded",
        "login.failed",
        "settings.changed",
        "password.changed",
        "password.reset",
        "session.logged_out",
    ] {
        assert!(kinds(&events).contains(&kind), "{kind} in {events:?}");
    }
    let failed = events.iter().find(|(kind, _, _)| kind == "login.failed").expect("on record");
    assert_eq!((failed.1.as_str(), failed.2.as_deref()), ("anonymous", Some(user.to_string().as_str())));
}

#[tokio::test]
async fn the_whole_way_by_mail() {
    let app = TestApp::start().await;
    let email = "asha@clinic.example.org";
    let only = |mut sent: Vec<SentMail>, kind: &str| {
        assert_eq!(sent.iter().map(|mail| (mail.to.as_str(), mail.kind.as_str())).collect::<Vec<_>>(), [(email, kind)]);
        sent.remove(0)
    };
    app.post_public("/api/auth/register", &registration(email, PASSWORD)).await.expect(202);
    let first = only(app.errands().await, "verify-email").code();
    app.clock.advance(Duration::seconds(61));
    app.post_public("/api/auth/resend-otp", &json!({ "email": email })).await.expect(202);
    let second = only(app.errands().await, "verify-email").code();
    if first != second {
        verify(&app, email, &first).await.expect_problem(400, "invalid_code");
    }
    verify(&app, email, &second).await.expect(200);
    login(&app, email, PASSWORD).await.expect(200);

    app.post_public("/api/auth/register", &registration(email, OTHER_PASSWORD)).await.expect(202);
    only(app.errands().await, "already-registered");
    login(&app, email, OTHER_PASSWORD).await.expect_problem(401, "invalid_credentials");
    app.post_public("/api/auth/forgot-password", &json!({ "email": email })).await.expect(202);
    let mail = only(app.errands().await, "reset-password");
    assert!(mail.link().starts_with(&format!("{PUBLIC_URL}/reset-password#token=")));
    reset(&app, &mail.token(), OTHER_PASSWORD).await.expect(204);
    only(app.errands().await, "password-changed");
    login(&app, email, OTHER_PASSWORD).await.expect(200);
    for path in ["/api/auth/forgot-password", "/api/auth/resend-otp"] {
        app.post_public(path, &json!({ "email": "nobody@example.org" })).await.expect(202);
    }
    assert!(app.errands().await.is_empty());
}

#[tokio::test]
async fn neither_password_counts_when_two_registered_the_same_address() {
    let app = TestApp::start().await;
    let email = "asha@clinic.example.org";
    app.post_public("/api/auth/register", &registration(email, PASSWORD)).await.expect(202);
    let code = app.errands().await.remove(0).code();
    app.post_public("/api/auth/register", &registration(email, OTHER_PASSWORD)).await.expect(202);
    let token = app.errands().await.remove(0).token();
    verify(&app, email, &code).await.expect_problem(400, "invalid_code");
    for password in [PASSWORD, OTHER_PASSWORD] {
        login(&app, email, password).await.expect_problem(401, "invalid_credentials");
    }
    let own = "the mailbox belongs to nobody but me";
    reset(&app, &token, own).await.expect(204);
    login(&app, email, own).await.expect(200);
}

#[tokio::test]
async fn a_password_kept_with_less_effort_is_hashed_anew_at_login() {
    let app = TestApp::start().await;
    let person = app.signed_up("Asha").await;
    let now = app.now();
    app.store()
        .system("test.weak", async |tx| users::set_password(tx, person.user, WEAK_HASH, now).await)
        .await
        .expect("set");
    login(&app, &person.email, "wrong wrong wrong").await.expect(401);
    let kept = async || find(&app, &person.email).await.expect("a user").password_hash.as_str().to_owned();
    assert_eq!(kept().await, WEAK_HASH);
    login(&app, &person.email, PASSWORD).await.expect(200);
    assert!(kept().await.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", kept().await);
    login(&app, &person.email, PASSWORD).await.expect(200);
    assert_eq!(me(&app, &person.access_token).await, 200, "nobody is logged out by it");
}

#[tokio::test]
async fn a_registration_says_what_is_wrong_with_each_field() {
    let app = TestApp::start().await;
    let long = "a".repeat(121);
    for (field, value) in [
        ("password", json!("short")),
        ("password", json!("aaaaaaaaaaaaaaaaaaaaa")),
        ("password", json!("sunrise dental 2026")),
        ("password", json!("asha.rao asha.rao")),
        ("password", json!("x".repeat(2_000))),
        ("password", json!(15)),
        ("email", json!("asha")),
        ("email", json!("asha@example.org\r\nBcc: x@example.org")),
        ("name", json!("")),
        ("name", json!("  ")),
        ("name", json!("Asha\u{7}")),
        ("organisation_name", json!(long)),
        ("organisation_name", json!("<b>Clinic</b>")),
        ("role", json!("owner")),
    ] {
        let mut body = registration("asha.rao@example.org", PASSWORD);
        body[field] = value.clone();
        let answer = app.post_public("/api/auth/register", &body).await;
        assert_eq!(answer.fields(), [field], "{field} {value}: {}", answer.body);
        answer.expect_problem(400, "invalid_fields");
    }
    let all = app.post_public("/api/auth/register", &json!({})).await;
    assert_eq!(all.fields(), ["email", "name", "organisation_name", "password"]);
    assert!(errands(&app).await.is_empty());
}

#[tokio::test]
async fn the_hash_travels_and_the_password_does_not() {
    let app = TestApp::start().await;
    app.post_public("/api/auth/register", &registration("asha@example.org", PASSWORD)).await.expect(202);
    let found = errands(&app).await;
    let [Errand::Register { password_hash, from, .. }] = &found[..] else { panic!("{found:?}") };
    assert!(password_hash.expose().starts_with("$argon2id$"));
    assert!(from.ip.is_some() && from.request_id.is_some());
    assert!(!format!("{found:?}").contains("argon2id"));
}

#[tokio::test]
async fn nobody_learns_whether_an_address_has_an_account() {
    let app = TestApp::start().await;
    let known = app.signed_up("Known").await.email;
    let (waiting, _) = ("waiting@example.org", registered(&app, "waiting@example.org", PASSWORD).await);
    let unknown = "unknown@example.org";
    for (path, rest) in [
        ("/api/auth/register", registration("", PASSWORD)),
        ("/api/auth/resend-otp", json!({})),
        ("/api/auth/forgot-password", json!({})),
        ("/api/auth/verify-email", json!({ "code": "000000" })),
        ("/api/auth/login", json!({ "password": "not the password of anybody" })),
    ] {
        let mut faces = Vec::new();
        for email in [known.as_str(), waiting, unknown] {
            let mut body = rest.clone();
            body["email"] = json!(email);
            faces.push(face(&app.post_public(path, &body).await));
        }
        assert_eq!(faces[0], faces[2], "{path}");
        assert_eq!(faces[1], faces[2], "{path}");
        assert!(faces[0].0 == 202 || faces[0].0 == 400 || faces[0].0 == 401, "{path} {:?}", faces[0]);
    }
}

#[tokio::test]
async fn having_to_wait_does_not_tell_either() {
    let app = TestApp::start().await;
    let known = app.signed_up("Guessed").await.email;
    let unknown = "never.seen.waiting@example.org";
    for round in 0..10 {
        let mut faces = Vec::new();
        for email in [known.as_str(), unknown] {
            let answer = login(&app, email, "not the password of anybody").await;
            faces.push((face(&answer), answer.header("retry-after").to_owned()));
        }
        assert_eq!(faces[0], faces[1], "{round}");
        let waits = round > login_delay::FREE_FAILURES;
        assert_eq!(faces[0].0.0, if waits { 429 } else { 401 }, "{round}");
    }
}

#[tokio::test]
async fn failures_in_a_row_make_an_account_wait_but_not_its_owner() {
    let app = TestApp::start().await;
    let person = app.signed_up("Asha").await;
    let from = async |address: &str, password: &str| {
        let body = json!({ "email": person.email, "password": password });
        app.request(reqwest::Method::POST, "/api/auth/login").from(address).json(&body).send().await
    };
    from("203.0.113.1", PASSWORD).await.expect(200);
    for _ in 0..=login_delay::FREE_FAILURES {
        from("198.51.100.9", "wrong wrong wrong").await.expect_problem(401, "invalid_credentials");
    }
    let refused = from("198.51.100.9", PASSWORD).await;
    assert_eq!(refused.header("retry-after"), "31");
    refused.expect_problem(429, "rate_limited");
    from("203.0.113.1", "wrong wrong wrong").await.expect_problem(401, "invalid_credentials");
    // The owner comes from where he came before; that sets the count to zero for everybody.
    from("203.0.113.1", PASSWORD).await.expect(200);
    from("198.51.100.9", PASSWORD).await.expect(200);

    for _ in 0..=login_delay::FREE_FAILURES {
        from("192.0.2.77", "wrong wrong wrong").await.expect_problem(401, "invalid_credentials");
    }
    from("192.0.2.77", PASSWORD).await.expect_problem(429, "rate_limited");
    app.clock.advance(Duration::seconds(31));
    from("192.0.2.77", PASSWORD).await.expect(200);
}

#[tokio::test]
async fn after_a_hundred_failures_only_a_reset_helps() {
    let app = TestApp::start().await;
    let person = app.signed_up("Asha").await;
    let now = app.now();
    app.store()
        .system("test.failures", async |tx| {
            for _ in 0..login_delay::FAILURES_MAX {
                users::login_failed(tx, person.user, now).await?;
            }
            Ok::<_, store::Error>(())
        })
        .await
        .expect("counted");
    app.clock.advance(Duration::days(30));
    login(&app, &person.email, PASSWORD).await.expect_problem(429, "rate_limited");
    let token = issue_reset(&app, person.user).await;
    reset(&app, &token, OTHER_PASSWORD).await.expect(204);
    login(&app, &person.email, OTHER_PASSWORD).await.expect(200);
}

#[tokio::test]
async fn a_code_is_good_for_five_tries_and_ten_minutes() {
    let app = TestApp::start().await;
    let (user, _) = registered(&app, "asha@example.org", PASSWORD).await;
    for wrong in ["000000", "111111", "abc", "12345", "0482130"] {
        verify(&app, "asha@example.org", wrong).await.expect_problem(400, "invalid_code");
    }
    verify(&app, "asha@example.org", CODE).await.expect_problem(400, "invalid_code");

    issue_code(&app, user, "777111").await;
    verify(&app, "asha@example.org", CODE).await.expect_problem(400, "invalid_code");
    app.clock.advance(Duration::minutes(10));
    verify(&app, "asha@example.org", "777111").await.expect_problem(400, "invalid_code");

    issue_code(&app, user, "222333").await;
    verify(&app, "asha@example.org", "222333").await.expect(200);
    verify(&app, "asha@example.org", "222333").await.expect_problem(400, "invalid_code");
    login(&app, "asha@example.org", PASSWORD).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_simultaneous_uses_of_a_code_one_counts() {
    let app = TestApp::start().await;
    let (user, tenant) = registered(&app, "asha@example.org", PASSWORD).await;
    let answers = futures_util::future::join_all((0..20).map(|_| verify(&app, "asha@example.org", CODE))).await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 400].contains(status)), "{statuses:?}");
    assert_eq!(app.audited_times(tenant, "user.email_verified", &user.to_string()).await, 1);
}

#[tokio::test]
async fn the_password_alone_decides_what_an_unverified_login_learns() {
    let app = TestApp::start().await;
    registered(&app, "asha@example.org", PASSWORD).await;
    login(&app, "asha@example.org", "wrong wrong wrong").await.expect_problem(401, "invalid_credentials");
    login(&app, "asha@example.org", PASSWORD).await.expect_problem(403, "email_not_verified");
}

#[tokio::test]
async fn passwords_are_compared_whole() {
    let app = TestApp::start().await;
    let person = app.signed_up("Asha").await;
    let shorter = &PASSWORD[..PASSWORD.len() - 1];
    for wrong in [shorter, &format!("{PASSWORD} "), &format!(" {PASSWORD}"), &PASSWORD.to_uppercase()] {
        login(&app, &person.email, wrong).await.expect_problem(401, "invalid_credentials");
    }
    login(&app, &person.email.to_uppercase(), PASSWORD).await.expect(200);
}

#[tokio::test]
async fn one_logs_in_to_the_organisation_one_names() {
    let app = TestApp::start().await;
    let (first, other) = (app.signed_up("Asha").await, app.signed_up("Ravi").await);
    let now = app.now() + Duration::seconds(1);
    app.store()
        .write(other.tenant, "test.join", async |tx| memberships::add(tx, first.user, Role::Viewer, now).await)
        .await
        .expect("joined");
    let to = async |organisation: Option<OrganisationId>| {
        let mut body = json!({ "email": first.email, "password": PASSWORD });
        if let Some(id) = organisation {
            body["organisation_id"] = json!(id);
        }
        app.post_public("/api/auth/login", &body).await
    };
    assert_eq!(to(None).await.expect(200)["organisation"]["id"], json!(first.tenant));
    let there = to(Some(other.tenant)).await.expect(200);
    assert_eq!(
        (&there["organisation"]["id"], &there["organisation"]["role"]),
        (&json!(other.tenant), &json!("viewer"))
    );
    assert_eq!(there["organisations"].as_array().map(Vec::len), Some(2));
    let stranger = app.signed_up("Stranger").await;
    to(Some(stranger.tenant)).await.expect_problem(401, "invalid_credentials");
}

#[tokio::test]
async fn without_an_organisation_nobody_gets_in() {
    let app = TestApp::start().await;
    let owner = app.signed_up("Owner").await;
    let member = app.member(owner.tenant, "Member", Role::Member).await;
    app.delete(&format!("/api/members/{}", member.user), &owner.access_token).await.expect(204);
    login(&app, &member.email, PASSWORD).await.expect_problem(401, "invalid_credentials");
}

#[tokio::test]
async fn limits_are_counted_where_they_are_promised() {
    let app = TestApp::start_with(|app| {
        for name in ["login", "register", "email_verification", "code_resend", "password_reset"] {
            app.policies.set(name, 2, std::time::Duration::from_secs(600)).expect("a policy");
        }
    })
    .await;
    for (path, body) in [
        ("/api/auth/register", registration("new@example.org", PASSWORD)),
        ("/api/auth/verify-email", json!({ "email": "a@example.org", "code": "000000" })),
        ("/api/auth/resend-otp", json!({ "email": "a@example.org" })),
        ("/api/auth/login", json!({ "email": "limited@example.org", "password": "x" })),
        ("/api/auth/forgot-password", json!({ "email": "a@example.org" })),
        ("/api/auth/reset-password", json!({ "token": "caly_reset_x", "password": PASSWORD })),
    ] {
        for _ in 0..2 {
            assert_ne!(app.post_public(path, &body).await.status, 429, "{path}");
        }
        let refused = app.post_public(path, &body).await;
        let wait_s: u64 = refused.header("retry-after").parse().expect("seconds");
        assert!((1..=300).contains(&wait_s), "{path} {wait_s}");
        refused.expect_problem(429, "rate_limited");
    }
    // Another address, or another client, is another count.
    let other = json!({ "email": "b@example.org", "password": "x" });
    app.post_public("/api/auth/login", &other).await.expect_problem(401, "invalid_credentials");
}

#[tokio::test]
async fn a_reset_token_is_good_once_and_ends_every_session() {
    let app = TestApp::start().await;
    let person = app.signed_up("Asha").await;
    let second = app.logged_in(person.tenant, person.user, &person.email, Role::Owner).await;
    let token = issue_reset(&app, person.user).await;

    let weak = reset(&app, &token, "short").await;
    assert_eq!(weak.fields(), ["password"]);
    reset(&app, &token, OTHER_PASSWORD).await.expect(204);
    for session in [&person, &second] {
        assert_eq!(me(&app, &session.access_token).await, 401);
        let body = json!({ "refresh_token": session.refresh_token });
        app.post_public("/api/auth/refresh", &body).await.expect_problem(401, "invalid_token");
    }
    assert!(matches!(&mails(&app).await[..], [(to, MailKind::PasswordChanged)] if *to == person.email));
    reset(&app, &token, PASSWORD).await.expect_problem(401, "invalid_token");
    login(&app, &person.email, OTHER_PASSWORD).await.expect(200);
    assert_eq!(app.audited_times(person.tenant, "password.reset", &person.user.to_string()).await, 1);
}

#[tokio::test]
async fn a_reset_token_that_is_over_replaced_or_nobodys_is_refused() {
    let app = TestApp::start().await;
    let person = app.signed_up("Asha").await;
    let first = issue_reset(&app, person.user).await;
    let second = issue_reset(&app, person.user).await;
    reset(&app, &first, OTHER_PASSWORD).await.expect_problem(401, "invalid_token");
    app.clock.advance(Duration::minutes(15));
    let unknown = ResetToken::random().expect("randomness");
    for token in [&second, unknown.expose(), "nonsense", &person.refresh_token] {
        reset(&app, token, OTHER_PASSWORD).await.expect_problem(401, "invalid_token");
    }
    assert_eq!(me(&app, &person.access_token).await, 401, "ten minutes are over");
    login(&app, &person.email, PASSWORD).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_simultaneous_resets_one_counts() {
    let app = TestApp::start().await;
    let person = app.signed_up("Asha").await;
    let token = issue_reset(&app, person.user).await;
    let answers = futures_util::future::join_all((0..8).map(|_| reset(&app, &token, OTHER_PASSWORD))).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 401, 401, 401, 401, 401, 401, 401]);
    assert_eq!(mails(&app).await.len(), 1);
}

#[tokio::test]
async fn a_reset_proves_the_address_as_a_code_does() {
    let app = TestApp::start().await;
    let (user, tenant) = registered(&app, "asha@example.org", PASSWORD).await;
    let token = issue_reset(&app, user).await;
    reset(&app, &token, OTHER_PASSWORD).await.expect(204);
    login(&app, "asha@example.org", OTHER_PASSWORD).await.expect(200);
    assert_eq!(app.audited_times(tenant, "user.email_verified", &user.to_string()).await, 1);
}

#[tokio::test]
async fn changing_the_password_needs_the_old_one_and_ends_the_other_sessions() {
    let app = TestApp::start().await;
    let person = app.signed_up("Asha").await;
    let other = app.logged_in(person.tenant, person.user, &person.email, Role::Owner).await;
    let change = async |current: &str, new: &str| {
        let body = json!({ "current_password": current, "password": new });
        app.post("/api/auth/change-password", &person.access_token, &body).await
    };
    change("wrong wrong wrong", OTHER_PASSWORD).await.expect_problem(401, "invalid_credentials");
    assert_eq!(change(PASSWORD, "short").await.fields(), ["password"]);
    assert_eq!(change(PASSWORD, "asha@example.org").await.fields(), ["password"]);
    assert_eq!(me(&app, &other.access_token).await, 200);
    change(PASSWORD, OTHER_PASSWORD).await.expect(204);
    assert_eq!(me(&app, &other.access_token).await, 401);
    assert_eq!(me(&app, &person.access_token).await, 200);
    let body = json!({ "refresh_token": person.refresh_token });
    app.post_public("/api/auth/refresh", &body).await.expect(200);
    let id = person.user.to_string();
    assert_eq!(app.audited_times(person.tenant, "login.failed", &id).await, 1);
    assert_eq!(app.audited_times(person.tenant, "password.changed", &id).await, 1);
}

#[tokio::test]
async fn guessing_the_current_password_is_limited() {
    let app = TestApp::start_with(|app| {
        app.policies.set("login", 3, std::time::Duration::from_secs(600)).expect("a policy");
    })
    .await;
    let person = app.signed_up("Asha").await;
    let body = json!({ "current_password": "wrong wrong wrong", "password": OTHER_PASSWORD });
    for _ in 0..3 {
        app.post("/api/auth/change-password", &person.access_token, &body).await.expect(401);
    }
    app.post("/api/auth/change-password", &person.access_token, &body).await.expect_problem(429, "rate_limited");
}

#[tokio::test]
async fn an_account_is_no_business_of_api_keys_and_strangers() {
    let app = TestApp::start().await;
    let person: Person = app.signed_up("Asha").await;
    let (_, key) = app.api_key(&person, &[model::Scope::OrganisationRead]).await;
    for (method, path) in [
        ("GET", "/api/auth/me"),
        ("PATCH", "/api/auth/me"),
        ("POST", "/api/auth/logout"),
        ("POST", "/api/auth/logout-all"),
        ("POST", "/api/auth/change-password"),
        ("GET", "/api/auth/sessions"),
        ("DELETE", "/api/auth/sessions/0192a000-0000-7000-8000-000000000001"),
        ("POST", "/api/auth/second-factor"),
        ("POST", "/api/auth/second-factor/confirm"),
        ("POST", "/api/auth/second-factor/recovery-codes"),
        ("POST", "/api/auth/second-factor/disable"),
    ] {
        let method: reqwest::Method = method.parse().expect("a method");
        let ask = || app.request(method.clone(), path).json(&json!({}));
        ask().token(&key).send().await.expect_problem(403, "forbidden");
        ask().send().await.expect_problem(401, "unauthenticated");
        ask().token("caly_key_nonsense").send().await.expect_problem(401, "unauthenticated");
    }
    assert!(kinds(&app.audited(person.tenant).await).contains(&"access.denied"));
}

#[tokio::test]
async fn failed_logins_of_unknown_addresses_are_on_record_without_the_address() {
    let app = TestApp::start().await;
    login(&app, "stranger.on.record@example.org", "wrong wrong wrong").await.expect(401);
    verify(&app, "stranger.on.record@example.org", "000000").await.expect(400);
    let report = app.store().verify_audit().await.expect("a report");
    let system = report.chains.iter().find(|chain| chain.tenant.is_none()).expect("the installation's own chain");
    assert!(system.events >= 2 && system.fault.is_none());
}

#[tokio::test]
async fn links_lead_where_the_installation_is_never_where_the_request_says() {
    let app = TestApp::start().await;
    let owner = app.signed_up("Owner").await;
    let body = json!({ "email": "new@example.org", "role": "member" });
    let asking = app.request(reqwest::Method::POST, "/api/invitations").token(&owner.access_token).json(&body);
    asking.header("x-forwarded-host", "evil.example.net").send().await.expect(201);
    let mails = mails(&app).await;
    let [(_, MailKind::Invitation { link, .. })] = &mails[..] else { panic!("{mails:?}") };
    assert!(link.expose().starts_with(&format!("{PUBLIC_URL}/accept-invitation#token=caly_invite_")));
}
