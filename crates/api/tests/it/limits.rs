//! Every limit that a route has: the last use, the one too many, and whom they count.

use crate::app::{OPERATOR_TOKEN, PASSWORD};
use crate::direct::{Direct, PROXY, Told, eventually};
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::http::request::Builder;
use limiter::Policies;
use model::Scope;
use serde_json::{Value, json};
use std::ops::Deref;
use std::time::Duration;

/// The API with the limits of a fresh installation.
struct Counted {
    direct: Direct,
}

/// An answer, for what it says of limits.
#[derive(Debug)]
struct Answer(Told);

impl Answer {
    #[track_caller]
    fn is_limited(&self, policy: &str) {
        assert_eq!((self.status, self.body["code"].as_str()), (429, Some("rate_limited")), "{}", self.body);
        assert!(self.header("ratelimit").contains(&format!("\"{policy}\";r=0;t=")), "{:?}", self.headers);
        assert_eq!(self.header("x-ratelimit-remaining"), "0");
        let wait_s: u64 = self.header("retry-after").parse().expect("seconds");
        assert!(wait_s >= 1);
        assert!(
            self.body["detail"].as_str().is_some_and(|detail| detail.contains(&wait_s.to_string())),
            "{}",
            self.body
        );
    }
}

impl Deref for Answer {
    type Target = Told;

    fn deref(&self) -> &Told {
        &self.0
    }
}

impl Counted {
    async fn new(change: impl FnOnce(&mut Policies)) -> Self {
        let direct = Direct::new(Router::new(), |app| {
            app.policies = Policies::default();
            change(&mut app.policies);
        })
        .await;
        Self { direct }
    }

    async fn ask(&self, from: &str, token: Option<&str>, request: Builder, body: Body) -> Answer {
        let mut request = request.header("x-forwarded-for", from);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        Answer(self.direct.ask(PROXY, request, body).await)
    }

    async fn get(&self, from: &str, token: Option<&str>, path: &str) -> Answer {
        self.ask(from, token, Request::get(path), Body::empty()).await
    }

    async fn post(&self, from: &str, path: &str, body: &Value) -> Answer {
        let request = Request::post(path).header("content-type", "application/json");
        self.ask(from, None, request, Body::from(body.to_string())).await
    }

    /// So many uses are taken, the next is refused.
    #[track_caller]
    fn check(answers: &[Answer], policy: &str, quota: usize) {
        assert_eq!(answers.len(), quota + 1);
        for (used, answer) in answers[..quota].iter().enumerate() {
            assert_ne!(answer.status, 429, "{policy}: {used}");
            assert!(
                answer.header("ratelimit").contains(&format!("\"{policy}\";r={};t=", quota - used - 1)),
                "{answer:?}"
            );
            assert!(answer.header("ratelimit-policy").contains(&format!("\"{policy}\";q={quota};w=")));
            assert!(!answer.headers.contains_key("retry-after"));
        }
        answers[quota].is_limited(policy);
    }
}

const A: &str = "198.51.100.1";
const B: &str = "198.51.100.2";

#[tokio::test]
async fn logins_are_counted_by_address_and_client() {
    let api = Counted::new(|_| {}).await;
    api.direct.test.signed_up("Asha").await;
    let wrong = json!({ "email": "asha@example.org", "password": "this is not the password" });
    let mut answers = Vec::new();
    for _ in 0..7 {
        answers.push(api.post(A, "/api/auth/login", &wrong).await);
    }
    Counted::check(&answers, "login", 6);
    assert!(answers[..6].iter().all(|answer| answer.status == 401));
    // Not even with the right password; another client and another address have their own.
    let right = json!({ "email": "asha@example.org", "password": PASSWORD });
    api.post(A, "/api/auth/login", &right).await.is_limited("login");
    // (An account that was tried this often makes everybody wait a while; that is another count.)
    api.direct.test.clock.advance(chrono::Duration::hours(2));
    assert_ne!(api.post(B, "/api/auth/login", &wrong).await.status, 429);
    let other = json!({ "email": "nobody@example.org", "password": "this is not the password" });
    assert_ne!(api.post(A, "/api/auth/login", &other).await.status, 429);
}

#[tokio::test]
async fn registrations_are_counted_by_client() {
    let api = Counted::new(|_| {}).await;
    let mut answers = Vec::new();
    for number in 0..6 {
        let body = json!({
            "organisation_name": "Clinic", "name": "Asha", "email": format!("asha{number}@example.org"),
            "password": PASSWORD,
        });
        answers.push(api.post(A, "/api/auth/register", &body).await);
    }
    Counted::check(&answers, "register", 5);
    let body = json!({
        "organisation_name": "Clinic", "name": "Asha", "email": "asha@example.org", "password": PASSWORD,
    });
    assert_ne!(api.post(B, "/api/auth/register", &body).await.status, 429);
}

#[tokio::test]
async fn codes_are_counted_by_address_whoever_asks() {
    let api = Counted::new(|_| {}).await;
    let mut answers = Vec::new();
    for number in 0..6 {
        let body = json!({ "email": "asha@example.org", "code": "123456" });
        answers.push(api.post(if number % 2 == 0 { A } else { B }, "/api/auth/verify-email", &body).await);
    }
    Counted::check(&answers, "email_verification", 5);
    let mut answers = Vec::new();
    for number in 0..4 {
        let body = json!({ "email": "asha@example.org" });
        answers.push(api.post(if number % 2 == 0 { A } else { B }, "/api/auth/resend-otp", &body).await);
    }
    Counted::check(&answers, "code_resend", 3);
    assert_ne!(api.post(A, "/api/auth/resend-otp", &json!({ "email": "b@example.org" })).await.status, 429);
}

#[tokio::test]
async fn password_resets_are_counted_by_address_and_client() {
    let api = Counted::new(|_| {}).await;
    let body = json!({ "email": "asha@example.org" });
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(api.post(A, "/api/auth/forgot-password", &body).await);
    }
    Counted::check(&answers, "password_reset", 5);
    assert_ne!(api.post(B, "/api/auth/forgot-password", &body).await.status, 429);
}

#[tokio::test]
async fn nobody_in_particular_is_counted_by_client() {
    let api = Counted::new(|_| {}).await;
    let mut answers = Vec::new();
    for number in 0..101 {
        // Without a token, with wrong ones of each kind; wherever there is no route.
        let (token, path) = match number % 5 {
            0 => (None, "/api/agents"),
            1 => (Some("wrong"), "/api/agents"),
            2 => (Some("caly_key_wrong"), "/api/calls"),
            3 => (Some("wrong"), "/api/monitoring/requests"),
            _ => (None, "/api/nothing"),
        };
        answers.push(api.get(A, token, path).await);
    }
    Counted::check(&answers, "unauthenticated", 100);
    // A guess that is one too many learns nothing.
    api.get(A, Some("wrong"), "/api/agents").await.is_limited("unauthenticated");
    // Who runs the installation is no stranger.
    assert_eq!(api.get(A, Some(OPERATOR_TOKEN), "/api/monitoring/requests").await.status, 200);
    assert_eq!(api.get(B, None, "/api/agents").await.status, 401);
    // Whoever is known is not counted here.
    let asha = api.direct.test.signed_up("Asha").await;
    assert_eq!(api.get(A, Some(&asha.access_token), "/api/agents").await.status, 200);
}

#[tokio::test]
async fn a_network_of_ipv6_is_one_client() {
    let api =
        Counted::new(|policies| policies.set("unauthenticated", 2, Duration::from_secs(60)).expect("a policy")).await;
    for from in ["2001:db8:1:2::1", "2001:db8:1:2::2"] {
        assert_eq!(api.get(from, None, "/api/agents").await.status, 401);
    }
    api.get("2001:db8:1:2:3::4", None, "/api/agents").await.is_limited("unauthenticated");
    assert_eq!(api.get("2001:db8:1:3::1", None, "/api/agents").await.status, 401);
}

#[tokio::test]
async fn an_organisation_is_counted_as_one() {
    let api =
        Counted::new(|policies| policies.set("organisation", 6, Duration::from_secs(60)).expect("a policy")).await;
    let asha = api.direct.test.signed_up("Asha").await;
    let (_, key) = api.direct.test.api_key(&asha, &[Scope::AgentsRead]).await;
    let mut answers = Vec::new();
    for number in 0..7 {
        // From anywhere, as a person and as a program, allowed or not.
        let (from, token) = if number % 2 == 0 { (A, &asha.access_token) } else { (B, &key) };
        let path = if number == 3 { "/api/calls" } else { "/api/agents" };
        answers.push(api.get(from, Some(token), path).await);
    }
    Counted::check(&answers, "organisation", 6);
    assert_eq!((answers[0].status, answers[3].status), (200, 403));
    let ravi = api.direct.test.signed_up("Ravi").await;
    assert_eq!(api.get(A, Some(&ravi.access_token), "/api/agents").await.status, 200);
    let events = eventually("the refusal is on record", async || {
        let events = api.direct.test.audited(asha.tenant).await;
        let refused: Vec<_> = events.into_iter().filter(|event| event.0 == "request.rate_limited").collect();
        (!refused.is_empty()).then_some(refused)
    })
    .await;
    assert_eq!(events[0].1, format!("user:{}", asha.user));
    for _ in 0..20 {
        api.get(A, Some(&asha.access_token), "/api/agents").await.is_limited("organisation");
    }
    let events = api.direct.test.audited(asha.tenant).await;
    assert_eq!(events.iter().filter(|event| event.0 == "request.rate_limited").count(), 1, "once per window");
}

#[tokio::test]
async fn webhooks_are_counted_by_client_and_probes_and_pages_are_not() {
    let api = Counted::new(|policies| policies.set("webhooks", 10, Duration::from_secs(60)).expect("a policy")).await;
    let mut answers = Vec::new();
    for number in 0..11 {
        answers.push(match number % 2 {
            0 => api.post(A, "/webhooks/exotel/call-start", &json!({})).await,
            _ => api.get(A, None, "/webhooks/exotel/voicebot/nobody").await,
        });
    }
    Counted::check(&answers, "webhooks", 10);
    assert_eq!(api.post(B, "/webhooks/exotel/call-start", &json!({})).await.status, 401);
    for path in ["/health", "/health/live", "/health/ready", "/openapi.json", "/docs/", "/nothing"] {
        for _ in 0..110 {
            let answer = api.get(A, None, path).await;
            assert_ne!(answer.status, 429);
            assert!(!answer.headers.contains_key("ratelimit"), "{path}");
        }
    }
}

#[tokio::test]
async fn a_request_that_counts_twice_says_both() {
    let api = Counted::new(|_| {}).await;
    let answer = api.post(A, "/api/auth/forgot-password", &json!({ "email": "asha@example.org" })).await;
    assert_eq!(answer.header("ratelimit-policy"), r#""unauthenticated";q=100;w=900, "password_reset";q=5;w=900"#);
    assert_eq!(answer.header("ratelimit"), r#""unauthenticated";r=99;t=9, "password_reset";r=4;t=180"#);
    // Of the one that is nearer to its end.
    assert_eq!((answer.header("x-ratelimit-limit"), answer.header("x-ratelimit-remaining")), ("5", "4"));
    assert_eq!(answer.header("x-ratelimit-reset"), "180");
}
