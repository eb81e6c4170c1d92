//! Nobody reaches what is another's: every operation of `openapi.json`, with every id it takes, asked by another
//! organisation and by nobody. An operation with an id that this test does not know fails it.

use crate::account::{NO_LIMITS, Person, ask};
use crate::place::{Place, both_databases, now};
use crate::post::{Answer, get};
use crate::program::Server;
use crate::world::colours;
use model::{
    AgentId, CallDirection, CallStatus, CarrierKind, E164, OrganisationId, PhoneNumberId, SpeechConfig, TranscriptTurn,
    TurnRole,
};
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use store::calls::{self, NewCall};
use store::jobs::Enqueued;
use store::recordings::{self, NewRecording};
use store::turns;

/// Operations that need no credentials. This list may only become shorter, but for webhooks that bring a proof of their
/// own.
const OPEN: &[&str] = &[
    "GET /health",
    "GET /health/live",
    "GET /health/ready",
    "POST /api/auth/accept-invitation",
    "POST /api/auth/forgot-password",
    "POST /api/auth/login",
    "POST /api/auth/refresh",
    "POST /api/auth/register",
    "POST /api/auth/resend-otp",
    "POST /api/auth/reset-password",
    "POST /api/auth/verify-email",
    // The link is signed, names one recording and ends in minutes.
    "GET /api/recordings/audio/{token}",
    // Their own signature or path token stands in for credentials.
    "GET /webhooks/exotel/connect/{token}",
    "GET /webhooks/exotel/passthru/{token}",
    "GET /webhooks/exotel/voicebot/{token}",
    "POST /webhooks/exotel/call/{token}",
    "POST /webhooks/exotel/call-end",
    "POST /webhooks/exotel/call-start",
    "POST /webhooks/exotel/call-status",
    "POST /webhooks/exotel/connect/{token}",
    "POST /webhooks/exotel/passthru/{token}",
    "POST /webhooks/exotel/recording",
    "POST /webhooks/exotel/status/{token}",
    "POST /webhooks/plivo/after/{token}",
    "POST /webhooks/plivo/answer/{token}",
    "POST /webhooks/plivo/status/{token}",
    "GET /webhooks/smartflo/answer/{token}",
    "POST /webhooks/smartflo/answer/{token}",
    "POST /webhooks/smartflo/status/{token}",
    "POST /webhooks/twilio/after/{token}",
    "POST /webhooks/twilio/answer/{token}",
    "POST /webhooks/twilio/status/{token}",
    "POST /webhooks/vobiz/after/{token}",
    "POST /webhooks/vobiz/answer/{token}",
    "POST /webhooks/vobiz/status/{token}",
];

/// What one organisation has, by the type of its id.
struct Belongings {
    ids: BTreeMap<&'static str, String>,
    /// Words that stand nowhere else.
    words: Vec<String>,
}

impl Belongings {
    async fn of(server: &Server, place: &Place, person: &Person) -> Self {
        let mut config = colours();
        config.speech = SpeechConfig::default();
        let config = serde_json::to_value(config).expect("JSON");
        let name = format!("agent-of-{}", person.user);
        let agent = person.make(server, "/api/agents", json!({ "name": name, "config": plain(config) })).await;
        let number = format!("+9180{:08}", u32::from_str_radix(&person.user[28..], 16).expect("hex") % 100_000_000);
        let phone_number = person
            .make(server, "/api/phone-numbers", json!({ "number": number, "carrier": "exotel", "agent_id": agent }))
            .await;
        let key = person.make(server, "/api/api-keys", json!({ "name": "crm", "scopes": ["agents:read"] })).await;
        let provider_key = person
            .make(
                server,
                "/api/provider-keys",
                json!({ "provider": "deepgram", "label": "ours", "key": "0123456789abcdef" }),
            )
            .await;
        let carrier_account = person
            .make(
                server,
                "/api/carrier-accounts",
                json!({ "carrier": "plivo", "account_id": person.user.replace('-', ""), "token": "0123456789abcdef" }),
            )
            .await;
        let url = format!("https://crm.example.org/{}", person.user);
        let endpoint = person.make(server, "/api/webhook-endpoints", json!({ "url": url })).await;
        let sent = person.post(server, &format!("/api/webhook-endpoints/{endpoint}/test"), json!({})).await;
        let delivery = sent.body["id"].as_str().expect("a delivery").to_owned();
        let title = format!("title-of-{}", person.user);
        let text = format!("written-by-{}", person.user);
        let document = person.make(server, "/api/documents", json!({ "title": title, "text": text })).await;
        let invited = format!("guest-{}@example.org", person.user);
        let invitation = person.make(server, "/api/invitations", json!({ "email": invited, "role": "viewer" })).await;
        let sessions = person.get(server, "/api/auth/sessions").await;
        let session = sessions.body.pointer("/items/0/id").and_then(Value::as_str).expect("a session").to_owned();
        let (call, recording, job) = call_of(place, person, &agent, &phone_number).await;
        let ids = BTreeMap::from([
            ("AgentId", agent),
            ("ApiKeyId", key),
            ("CallId", call),
            ("CarrierAccountId", carrier_account),
            ("DeliveryId", delivery),
            ("DocumentId", document),
            ("InvitationId", invitation),
            ("JobId", job),
            ("OrganisationId", person.organisation.clone()),
            ("PhoneNumberId", phone_number),
            ("ProviderKeyId", provider_key),
            ("RecordingId", recording),
            ("SessionId", session),
            ("UserId", person.user.clone()),
            ("WebhookEndpointId", endpoint),
        ]);
        let mut words: Vec<String> = ids.values().cloned().collect();
        words.extend([
            name,
            number,
            invited,
            url,
            person.email.clone(),
            format!("said-by-{}", person.user),
            title,
            text,
        ]);
        Self { ids, words }
    }

    /// Nothing of it stands in this answer.
    #[track_caller]
    fn absent_from(&self, operation: &str, answer: &Answer) {
        let text = answer.body.to_string();
        for word in &self.words {
            assert!(!text.contains(word.as_str()), "{operation} shows {word}: {text}");
        }
    }
}

/// Nulls away: an optional field is left out.
fn plain(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            fields.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, plain(v))).collect::<Map<_, _>>().into()
        }
        other => other,
    }
}

/// A call with a word said in it, a recording, and a job about that.
async fn call_of(place: &Place, person: &Person, agent: &str, phone_number: &str) -> (String, String, String) {
    let store = place.open().await;
    let tenant: OrganisationId = person.organisation.parse().expect("an id");
    let new = NewCall {
        agent: agent.parse::<AgentId>().expect("an id"),
        phone_number: Some(phone_number.parse::<PhoneNumberId>().expect("an id")),
        carrier: CarrierKind::Exotel,
        carrier_call_id: Some(format!("sid-{}", person.user)),
        direction: CallDirection::Incoming,
        from: E164::parse("+919812345678").ok(),
        to: None,
        status: CallStatus::Ringing,
        variables: serde_json::Map::new(),
    };
    let turn = TranscriptTurn {
        index: 0,
        role: TurnRole::Caller,
        text: format!("said-by-{}", person.user),
        intended: None,
        interrupted: false,
        started_ms: 0,
        ended_ms: 900,
        latency: None,
    };
    let made = store.write(tenant, "test.call", async |tx| {
        let call = calls::create(tx, &new, now()).await?.into_call().id;
        turns::append(tx, call, std::slice::from_ref(&turn), now()).await?;
        let spool_path = "x".to_owned();
        let new = NewRecording { call, node: "n".to_owned(), spool_path, channels: 2, sample_rate_hz: 8_000 };
        let recording = recordings::create(tx, &new, now()).await?.id;
        // Of a node that is not there: nobody takes it.
        let job = match recordings::enqueue_storing(tx, recording, "n", now()).await? {
            Enqueued::New(job) | Enqueued::Existing(job) => job,
        };
        Ok::<_, store::Error>((call.to_string(), recording.to_string(), job.to_string()))
    });
    let made = made.await.expect("made");
    store.close().await;
    made
}

/// One operation of the description.
struct Operation {
    method: Method,
    path: String,
    secured: bool,
    about: Value,
}

impl Operation {
    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Types of ids in path and query, by the parameter's name.
    fn ids(&self) -> BTreeMap<(String, String), String> {
        let parameters = self.about["parameters"].as_array().cloned().unwrap_or_default();
        let reference = |parameter: &Value| {
            let schema = &parameter["schema"];
            let direct = schema["$ref"].as_str().map(str::to_owned);
            let optional =
                || schema["oneOf"].as_array()?.iter().find_map(|one| one["$ref"].as_str().map(str::to_owned));
            let name = direct.or_else(optional)?;
            name.rsplit('/').next().filter(|name| name.ends_with("Id")).map(str::to_owned)
        };
        parameters
            .iter()
            .filter_map(|parameter| {
                let place = parameter["in"].as_str()?.to_owned();
                Some(((place, parameter["name"].as_str()?.to_owned()), reference(parameter)?))
            })
            .collect()
    }

    /// The path with these ids; a placeholder without one keeps the operation from being covered.
    fn at(&self, ids: &BTreeMap<&'static str, String>) -> String {
        let mut path = self.path.clone();
        for ((place, name), kind) in self.ids() {
            let id = ids
                .get(kind.as_str())
                .unwrap_or_else(|| panic!("{}: no {kind} to try; add one to this test", self.name()));
            if place == "path" {
                path = path.replace(&format!("{{{name}}}"), id);
            } else {
                let mark = if path.contains('?') { '&' } else { '?' };
                path.push_str(&format!("{mark}{name}={id}"));
            }
        }
        assert!(!path.contains('{'), "{}: a path parameter without the type of an id", self.name());
        path
    }

    /// The example body, with every id in it replaced by these.
    fn body(&self, document: &Value, ids: &BTreeMap<&'static str, String>) -> Option<Value> {
        let content = self.about.pointer("/requestBody/content/application~1json")?;
        let mut body = content.get("example").cloned().unwrap_or_else(|| json!({}));
        let schema = content["schema"]["$ref"].as_str().and_then(|r| document.pointer(r.trim_start_matches('#')));
        let properties = schema.and_then(|schema| schema["properties"].as_object()).cloned().unwrap_or_default();
        for (name, schema) in properties {
            let kind = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
            if let Some(id) = kind.and_then(|kind| ids.get(kind)) {
                body[&name] = json!(id);
            }
        }
        Some(body)
    }
}

fn operations(document: &Value) -> Vec<Operation> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, about) in item.as_object().expect("operations") {
            let Ok(method) = method.to_uppercase().parse::<Method>() else { continue };
            let secured = about["security"].as_array().is_some_and(|needs| !needs.is_empty());
            all.push(Operation { method, path: path.clone(), secured, about: about.clone() });
        }
    }
    all
}

/// These end the session of whoever asks; they take no ids.
const ENDS_THE_SESSION: &[&str] = &["POST /api/auth/logout", "POST /api/auth/logout-all"];

both_databases! {
    async fn no_operation_shows_or_changes_what_is_anothers(place) {
        let server = Server::start(place, &[NO_LIMITS]).await;
        let asha = Person::sign_up(&server, place, "asha").await;
        let ravi = Person::sign_up(&server, place, "ravi").await;
        let hers = Belongings::of(&server, place, &asha).await;
        let _his = Belongings::of(&server, place, &ravi).await;
        let document = get(&server, "/openapi.json").await.body;
        let operations = operations(&document);
        assert!(operations.len() > 40, "the description is there");

        let open: BTreeSet<String> = operations.iter().filter(|o| !o.secured).map(Operation::name).collect();
        let known: BTreeSet<String> = OPEN.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(open, known, "operations without credentials");

        let mut asked = 0;
        for operation in operations.iter().filter(|o| o.secured) {
            let name = operation.name();
            let path = operation.at(&hers.ids);
            let body = operation.body(&document, &hers.ids);
            let nobody = ask(&server, operation.method.clone(), &path, None, body.as_ref()).await;
            assert_eq!(nobody.status, 401, "{name} as nobody: {nobody:?}");
            for made_up in ["caly_key_0000000000000000000000000000000000000000000", "a.b.c"] {
                let forged = ask(&server, operation.method.clone(), &path, Some(made_up), body.as_ref()).await;
                // The installation's own tokens: a wrong one is told from none.
                let own = operation.path.starts_with("/api/monitoring") || operation.path.starts_with("/api/test");
                assert_eq!(forged.status, if own { 403 } else { 401 }, "{name} with made-up credentials: {forged:?}");
            }
            if ENDS_THE_SESSION.contains(&name.as_str()) {
                continue;
            }
            let other = ask(&server, operation.method.clone(), &path, Some(&ravi.access), body.as_ref()).await;
            hers.absent_from(&name, &other);
            if operation.ids().keys().any(|(place, _)| place == "path") {
                // As if it did not exist; or the body is refused before anything is looked for.
                let fine = other.status == 404 || (other.status == 400 && body.is_some());
                assert!(fine, "{name} as another organisation: {other:?}");
            } else {
                assert!(other.status < 500, "{name} as another organisation: {other:?}");
            }
            asked += 1;
        }
        assert!(asked > 35, "only {asked} operations were asked");

        // All of hers is still there, and hers.
        for (kind, path) in [
            ("AgentId", "/api/agents/"),
            ("PhoneNumberId", "/api/phone-numbers/"),
            ("CallId", "/api/calls/"),
            ("RecordingId", "/api/recordings/"),
            ("CarrierAccountId", "/api/carrier-accounts/"),
            ("JobId", "/api/jobs/"),
            ("DocumentId", "/api/documents/"),
            ("WebhookEndpointId", "/api/webhook-endpoints/"),
        ] {
            let answer = asha.get(&server, &format!("{path}{}", hers.ids[kind])).await;
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
        }
        let number = asha.get(&server, &format!("/api/phone-numbers/{}", hers.ids["PhoneNumberId"])).await;
        assert_eq!(number.body["agent_id"], hers.ids["AgentId"].as_str());
        for list in ["/api/api-keys", "/api/provider-keys", "/api/invitations", "/api/members"] {
            let answer = asha.get(&server, list).await;
            assert_eq!(answer.body["items"].as_array().map(Vec::len), Some(1), "{list}: {answer:?}");
        }
        server.stop().await;
    }
}
