//! People with accounts, made over HTTP as they would: with the code from their mail.

use crate::place::{Place, eventually};
use crate::post::{Answer, request};
use crate::program::Server;
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use testkit::mail_sink::Received;

/// No list of common passwords has it.
pub(crate) const PASSWORD: &str = "seven yellow buffaloes dance";
/// A mail is there within this time.
const MAILED_WITHIN: Duration = Duration::from_secs(20);
/// Limits so high that a test which is not about limits never meets them.
pub(crate) const NO_LIMITS: (&str, &str) = (
    "CALY_RATE_LIMITS",
    "login=100000/1m,register=100000/1m,email_verification=100000/1m,code_resend=100000/1m,password_reset=100000/1m,\
     uploads=100000/1m,unauthenticated=1000000/1m,webhooks=1000000/1m,organisation=1000000/1m",
);

/// Somebody with an organisation of their own, logged in.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) email: String,
    pub(crate) access: String,
    pub(crate) user: String,
    pub(crate) organisation: String,
}

/// A request in JSON, as somebody or as nobody.
pub(crate) async fn ask(
    server: &Server,
    method: Method,
    path: &str,
    token: Option<&str>,
    body: Option<&Value>,
) -> Answer {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers = Vec::new();
    if let Some(bearer) = &bearer {
        headers.push(("authorization", bearer.as_str()));
    }
    if body.is_some() {
        headers.push(("content-type", "application/json"));
    }
    let text = body.map(Value::to_string).unwrap_or_default();
    request(server, method, path, &headers, &text).await
}

/// A POST as nobody.
pub(crate) async fn tell(server: &Server, path: &str, body: Value) -> Answer {
    ask(server, Method::POST, path, None, Some(&body)).await
}

/// The newest mail to somebody whose subject has this word, from the folder of a development server.
pub(crate) async fn mail(folder: &Path, to: &str, word: &str) -> Received {
    eventually(&format!("a mail about {word}"), MAILED_WITHIN, async || {
        let mut files: Vec<_> = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
        files.sort();
        let mails = files.iter().rev().filter_map(|path| Received::parse(&std::fs::read(path).ok()?));
        mails.into_iter().find(|mail| mail.to == to && mail.subject.to_lowercase().contains(word))
    })
    .await
}

impl Person {
    /// Signs up, verifies, logs in.
    pub(crate) async fn sign_up(server: &Server, place: &Place, name: &str) -> Self {
        let email = format!("{name}@clinic.example.org");
        let body = json!({
            "organisation_name": format!("Clinic of {name}"), "name": name, "email": email, "password": PASSWORD,
        });
        let answer = tell(server, "/api/auth/register", body).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        let code = mail(&place.data("mails"), &email, "confirm").await.code().expect("a code").to_owned();
        let answer = tell(server, "/api/auth/verify-email", json!({ "email": email, "code": code })).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        Self::log_in(server, &email, PASSWORD).await
    }

    pub(crate) async fn log_in(server: &Server, email: &str, password: &str) -> Self {
        let answer = tell(server, "/api/auth/login", json!({ "email": email, "password": password })).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let text = |pointer: &str| answer.body.pointer(pointer).and_then(Value::as_str).expect(pointer).to_owned();
        Self {
            email: email.to_owned(),
            access: text("/access_token"),
            user: text("/user/id"),
            organisation: text("/organisation/id"),
        }
    }

    pub(crate) async fn get(&self, server: &Server, path: &str) -> Answer {
        ask(server, Method::GET, path, Some(&self.access), None).await
    }

    pub(crate) async fn post(&self, server: &Server, path: &str, body: Value) -> Answer {
        ask(server, Method::POST, path, Some(&self.access), Some(&body)).await
    }

    /// Makes something: its id.
    pub(crate) async fn make(&self, server: &Server, path: &str, body: Value) -> String {
        let answer = self.post(server, path, body).await;
        assert_eq!(answer.status, 201, "{path}: {answer:?}");
        answer.body["id"].as_str().expect("an id").to_owned()
    }
}
