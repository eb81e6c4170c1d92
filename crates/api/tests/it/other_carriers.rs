//! What Twilio, Plivo, Vobiz and Smartflo ask and tell over HTTP: what they are answered, what makes them authentic, and
//! that nothing is done twice.

use crate::agents::agent;
use crate::app::{Answer, PUBLIC_URL, Person, TestApp};
use chrono::Duration;
use model::{CallStatus, CarrierKind, E164, EndedReason};
use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};
use store::calls::{self, Call, CallFilter, Owner};
use store::carrier_accounts::{self, NewCarrierAccount};
use store::{PageRequest, carrier_events};
use wire::signature::vobiz::Version;
use wire::signature::{plivo, twilio, vobiz};

const NUMBER: &str = "+918047491899";
const PERSON: &str = "+918045671234";
const TOKEN: &str = "the auth token of an account";
const CARRIERS: [CarrierKind; 4] = [CarrierKind::Twilio, CarrierKind::Plivo, CarrierKind::Vobiz, CarrierKind::Smartflo];
/// Those that sign, and ask what comes next.
const SIGNING: [CarrierKind; 3] = [CarrierKind::Twilio, CarrierKind::Plivo, CarrierKind::Vobiz];

/// An organisation with a number of a carrier.
struct Office {
    app: TestApp,
    person: Person,
    carrier: CarrierKind,
    number: String,
    /// The unguessable part of its addresses.
    path_token: String,
}

type Fields<'a> = Vec<(&'a str, &'a str)>;
type Headers = Vec<(&'static str, String)>;

impl Office {
    async fn open(carrier: CarrierKind) -> Self {
        let app = TestApp::start().await;
        let person = app.signed_up("Asha").await;
        let agent = agent(&app, &person, "Reception").await;
        let body = json!({ "number": NUMBER, "carrier": carrier.as_str(), "agent_id": agent });
        let made = app.post("/api/phone-numbers", &person.access_token, &body).await.expect(201);
        let number = made["id"].as_str().expect("an id").to_owned();
        let path = format!("/api/phone-numbers/{number}/webhook-address");
        let address = app.request(Method::POST, &path).token(&person.access_token).send().await.expect(201);
        let front = format!("{PUBLIC_URL}/webhooks/{}/answer/", carrier.as_str());
        let path_token = address["url"].as_str().expect("an address").strip_prefix(&front).expect("ours").to_owned();
        let status = format!("{PUBLIC_URL}/webhooks/{}/status/{path_token}", carrier.as_str());
        assert_eq!(address, json!({ "url": format!("{front}{path_token}"), "status_url": status }));
        Self { app, person, carrier, number, path_token }
    }

    async fn with_account(carrier: CarrierKind) -> Self {
        let office = Self::open(carrier).await;
        let (now, token) = (office.app.now(), SecretString::from(TOKEN));
        let new = NewCarrierAccount {
            carrier,
            account_id: "account",
            region: None,
            api_key: None,
            flow_id: None,
            token: &token,
        };
        let made = office
            .app
            .store()
            .write(office.person.tenant, "test.account", async |tx| carrier_accounts::create(tx, &new, now).await);
        made.await.expect("an account");
        office
    }

    fn path(&self, what: &str) -> String {
        format!("/webhooks/{}/{what}/{}", self.carrier.as_str(), self.path_token)
    }

    /// The carrier's signature of a POST.
    fn signed(&self, what: &str, fields: &Fields<'_>, nonce: &str) -> Headers {
        let (token, url) = (SecretString::from(TOKEN), format!("{PUBLIC_URL}{}", self.path(what)));
        match self.carrier {
            CarrierKind::Twilio => vec![("x-twilio-signature", twilio::sign(&token, &url, fields))],
            CarrierKind::Plivo => vec![
                ("x-plivo-signature-v3", plivo::sign(&token, plivo::Method::Post, &url, fields, nonce)),
                ("x-plivo-signature-v3-nonce", nonce.to_owned()),
            ],
            CarrierKind::Vobiz => vec![
                ("x-vobiz-signature-v3", vobiz::sign(&token, Version::V3, &url, nonce)),
                ("x-vobiz-signature-v3-nonce", nonce.to_owned()),
            ],
            CarrierKind::Smartflo | CarrierKind::Exotel => Vec::new(),
        }
    }

    async fn send(&self, what: &str, fields: &Fields<'_>, headers: &Headers) -> Answer {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut request = self
            .app
            .request(Method::POST, &self.path(what))
            .header("content-type", "application/x-www-form-urlencoded")
            .text(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.send().await
    }

    /// Rightly signed.
    async fn post(&self, what: &str, fields: &Fields<'_>, nonce: &str) -> Answer {
        self.send(what, fields, &self.signed(what, fields, nonce)).await
    }

    fn fields<'a>(&self, sid: &'a str) -> Fields<'a> {
        match self.carrier {
            CarrierKind::Twilio | CarrierKind::Exotel => {
                vec![("CallSid", sid), ("From", "+14155551234"), ("To", NUMBER), ("Direction", "inbound")]
            }
            CarrierKind::Plivo | CarrierKind::Vobiz => {
                vec![("CallUUID", sid), ("From", "14155551234"), ("To", "918047491899"), ("Direction", "inbound")]
            }
            CarrierKind::Smartflo => {
                vec![("callId", sid), ("fromNumber", "+14155551234"), ("toNumber", "918047491899")]
            }
        }
    }

    /// The same and more.
    fn with<'a>(&self, sid: &'a str, more: &[(&'a str, &'a str)]) -> Fields<'a> {
        self.fields(sid).into_iter().chain(more.iter().copied()).collect()
    }

    async fn calls(&self) -> Vec<Call> {
        let read = self.app.store().read(self.person.tenant, "test.calls", async |tx| {
            calls::list(tx, &CallFilter::default(), PageRequest { after: None, limit: 50 }).await
        });
        read.await.expect("calls").items
    }

    async fn reports(&self, call: &Call) -> usize {
        let id = call.id;
        let read =
            self.app.store().read(self.person.tenant, "test.reports", async |tx| carrier_events::of_call(tx, id).await);
        read.await.expect("reports").len()
    }

    /// The proofs of its number from now on.
    async fn takes(&self, proofs: Value) {
        let path = format!("/api/phone-numbers/{}", self.number);
        let change = json!({ "webhook_proofs": proofs });
        self.app.patch(&path, &self.person.access_token, &change).await.expect(200);
    }

    /// A call whose agent has decided on a person.
    async fn handed_over(&self, sid: &str) -> Call {
        self.post("answer", &self.fields(sid), &format!("nonce-{sid}")).await.expect(200);
        let calls = self.calls().await;
        let call = calls.into_iter().find(|call| call.carrier_call_id.as_deref() == Some(sid)).expect("a call");
        let owner = Owner { node: "test".to_owned(), run: uuid::Uuid::from_u128(1) };
        let (now, to) = (self.app.now(), E164::parse(PERSON).expect("a number"));
        let decided = self.app.store().write(self.person.tenant, "test.transfer", async |tx| {
            calls::begin_media(tx, call.id, &owner, now, Duration::seconds(60)).await?;
            calls::decide_transfer(tx, call.id, &to, now).await
        });
        assert!(decided.await.expect("decided"));
        call
    }
}

fn text(answer: Answer) -> (String, String) {
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    (answer.header("content-type").to_owned(), String::from_utf8(answer.bytes).expect("text"))
}

/// What stands between two texts.
#[track_caller]
fn between<'a>(text: &'a str, before: &str, behind: &str) -> &'a str {
    let rest = text.split_once(before).unwrap_or_else(|| panic!("no {before} in {text}")).1;
    rest.split_once(behind).unwrap_or_else(|| panic!("no {behind} in {rest}")).0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_answered_in_the_carriers_own_format() {
    for carrier in CARRIERS {
        let office = Office::open(carrier).await;
        let name = carrier.as_str();
        let socket = format!("wss://caly.example.org/media/{name}/");
        let after = format!("{PUBLIC_URL}/webhooks/{name}/after/{}", office.path_token);
        let mut tokens = Vec::new();
        for _ in 0..2 {
            let (kind, text) = text(office.send("answer", &office.fields("call-1"), &Vec::new()).await);
            let token = between(
                &text,
                &socket,
                if carrier == CarrierKind::Plivo || carrier == CarrierKind::Vobiz { "<" } else { "\"" },
            );
            assert_eq!(token.len(), 43, "256 bits");
            let want = match carrier {
                CarrierKind::Twilio => format!(
                    "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Connect><Stream url=\"{socket}{token}\"></Stream>\
                     </Connect><Redirect method=\"POST\">{after}</Redirect></Response>"
                ),
                CarrierKind::Plivo | CarrierKind::Vobiz => format!(
                    "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Stream bidirectional=\"true\" \
                     keepCallAlive=\"true\" contentType=\"audio/x-mulaw;rate=8000\">{socket}{token}</Stream>\
                     <Redirect method=\"POST\">{after}</Redirect></Response>"
                ),
                CarrierKind::Smartflo | CarrierKind::Exotel => format!("{{\"url\":\"{socket}{token}\"}}"),
            };
            assert_eq!(text, want, "{carrier:?}");
            let json = carrier == CarrierKind::Smartflo;
            assert_eq!(kind, if json { "application/json" } else { "application/xml" }, "{carrier:?}");
            tokens.push(token.to_owned());
        }
        assert_ne!(tokens[0], tokens[1], "another address for the same call");
        let calls = office.calls().await;
        assert_eq!(calls.len(), 1, "{carrier:?}");
        let call = &calls[0];
        assert_eq!((call.carrier, call.status), (carrier, CallStatus::Ringing), "{carrier:?}");
        assert_eq!(call.from.as_ref().map(E164::as_str), Some("+14155551234"), "{carrier:?}");
        assert_eq!(call.to.as_ref().map(E164::as_str), Some(NUMBER), "{carrier:?}");
        let audited = office.app.audited(office.person.tenant).await;
        let announced: Vec<_> = audited.iter().filter(|(kind, ..)| kind == "call.announced").collect();
        assert_eq!(announced.len(), 1, "{carrier:?}");
        assert_eq!(announced[0].1, format!("carrier:{name}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn smartflo_may_ask_in_a_query_or_in_json() {
    let office = Office::open(CarrierKind::Smartflo).await;
    let query = format!("{}?callId=1.1&toNumber=918047491899&fromNumber=XXXX", office.path("answer"));
    office.app.request(Method::GET, &query).send().await.expect(200);
    let body = json!({ "call_id": "1.2", "call_to_number": NUMBER, "caller_id_number": null });
    office.app.request(Method::POST, &office.path("answer")).json(&body).send().await.expect(200);
    assert!(office.calls().await.iter().all(|call| call.from.is_none()), "masked");
    assert_eq!(office.calls().await.len(), 2);
    let bare = office.app.request(Method::GET, &office.path("answer")).send().await;
    bare.expect_problem_fields(&["callId", "toNumber"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_an_account_the_signature_must_be_there_and_right() {
    for carrier in SIGNING {
        let office = Office::with_account(carrier).await;
        let fields = office.fields("call-1");
        for what in ["answer", "after", "status"] {
            office.send(what, &fields, &Vec::new()).await.expect_problem(401, "signature_missing");
            let mut wrong = office.signed(what, &fields, "nonce-1");
            wrong[0].1 = wrong[0].1.chars().rev().collect();
            office.send(what, &fields, &wrong).await.expect_problem(401, "signature_wrong");
            // That of another address.
            let other = office.signed(if what == "after" { "answer" } else { "after" }, &fields, "nonce-1");
            office.send(what, &fields, &other).await.expect_problem(401, "signature_wrong");
            if carrier != CarrierKind::Vobiz {
                let signed = office.signed(what, &fields, "nonce-1");
                let changed = office.with("call-1", &[("Extra", "1")]);
                office.send(what, &changed, &signed).await.expect_problem(401, "signature_wrong");
            }
        }
        assert_eq!(office.calls().await.len(), 0, "{carrier:?}");
        office.post("answer", &fields, "nonce-2").await.expect(200);
        // The same once more does no harm, but for the one whose signature says too little.
        let again = office.post("answer", &fields, "nonce-2").await;
        if carrier == CarrierKind::Vobiz {
            again.expect_problem(401, "signature_replayed");
        } else {
            again.expect(200);
        }
        office.post("answer", &fields, "nonce-3").await.expect(200);
        assert_eq!(office.calls().await.len(), 1, "{carrier:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_versions_of_the_signatures_count_too() {
    let office = Office::with_account(CarrierKind::Vobiz).await;
    let (token, fields) = (SecretString::from(TOKEN), office.fields("call-1"));
    let url = format!("{PUBLIC_URL}{}", office.path("answer"));
    let older = |nonce: &str| -> Headers {
        let signature = vobiz::sign(&token, Version::V2, &url, nonce);
        vec![("x-vobiz-signature-v2", signature), ("x-vobiz-signature-v2-nonce", nonce.to_owned())]
    };
    office.send("answer", &fields, &older("1")).await.expect(200);
    office.send("answer", &fields, &older("1")).await.expect_problem(401, "signature_replayed");
    // Without its nonce.
    office.send("answer", &fields, &older("2")[..1].to_vec()).await.expect_problem(401, "signature_missing");
    let office = Office::with_account(CarrierKind::Plivo).await;
    let url = format!("{PUBLIC_URL}{}", office.path("answer"));
    let signature = plivo::sign(&token, plivo::Method::Post, &url, &office.fields("call-1"), "7");
    let main: Headers = vec![
        ("x-plivo-signature-v3", "bm90IGl0".to_owned()),
        ("x-plivo-signature-ma-v3", format!("bm90IGl0,{signature}")),
        ("x-plivo-signature-v3-nonce", "7".to_owned()),
    ];
    office.send("answer", &office.fields("call-1"), &main).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proofs_of_the_number_count_besides() {
    for (carrier, account) in
        [(CarrierKind::Smartflo, false), (CarrierKind::Twilio, false), (CarrierKind::Twilio, true)]
    {
        let office = if account { Office::with_account(carrier).await } else { Office::open(carrier).await };
        let fields = office.fields("call-1");
        let basic = json!({ "username": "carrier", "password": "correct horse battery staple" });
        office.takes(json!({ "signature": false, "path_token": false, "basic": basic })).await;
        let refused = office.post("answer", &fields, "1").await;
        refused.expect_problem(401, if account { "signature_wrong" } else { "signature_missing" });
        let mut headers = if account { office.signed("answer", &fields, "1") } else { Vec::new() };
        // carrier:correct horse battery staple
        headers.push(("authorization", "Basic Y2Fycmllcjpjb3JyZWN0IGhvcnNlIGJhdHRlcnkgc3RhcGxl".to_owned()));
        office.send("answer", &fields, &headers).await.expect(200);
        if account {
            // A password stands in for no signature.
            office.send("answer", &fields, &headers[1..].to_vec()).await.expect_problem(401, "signature_missing");
        }
        office.takes(json!({ "signature": false, "path_token": false, "addresses": ["203.0.113.0/24"] })).await;
        headers.truncate(usize::from(account));
        office.send("answer", &fields, &headers).await;
        headers.push(("x-forwarded-for", "203.0.113.9".to_owned()));
        headers.push(("x-forwarded-proto", "https".to_owned()));
        office.send("answer", &fields, &headers).await.expect(200);
        assert_eq!(office.calls().await.len(), 1, "{carrier:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_belongs_to_one_number_of_one_carrier() {
    let office = Office::open(CarrierKind::Plivo).await;
    let fields = office.fields("call-1");
    for path in [
        format!("/webhooks/vobiz/answer/{}", office.path_token),
        format!("/webhooks/twilio/answer/{}", office.path_token),
        format!("/webhooks/smartflo/answer/{}", office.path_token),
        format!("/webhooks/plivo/answer/{}x", office.path_token),
        format!("/webhooks/exotel/status/{}", office.path_token),
    ] {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&fields).finish();
        let answer = office.app.request(Method::POST, &path).text(body).send().await;
        answer.expect_problem(404, "not_found");
    }
    office.send("answer", &fields, &Vec::new()).await.expect(200);
    // Another number's address says nothing about its calls.
    let agent = agent(&office.app, &office.person, "Other").await;
    let body = json!({ "number": "+918047491898", "carrier": "plivo", "agent_id": agent });
    let other = office.app.post("/api/phone-numbers", &office.person.access_token, &body).await.expect(201);
    let path = format!("/api/phone-numbers/{}/webhook-address", other["id"].as_str().expect("an id"));
    let made = office.app.request(Method::POST, &path).token(&office.person.access_token).send().await.expect(201);
    let status = made["status_url"].as_str().expect("an address").strip_prefix(PUBLIC_URL).expect("ours").to_owned();
    let body = "CallUUID=call-1&Event=Hangup&CallStatus=completed";
    office.app.request(Method::POST, &status).text(body.to_owned()).send().await.expect_problem(404, "not_found");
    assert_eq!(office.calls().await[0].status, CallStatus::Ringing);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_is_acted_on_for_two_minutes() {
    for carrier in SIGNING {
        let office = Office::with_account(carrier).await;
        let call = office.handed_over("call-1").await;
        let fields = office.with("call-1", &[("CallStatus", "in-progress")]);
        let (number, person) = match carrier {
            CarrierKind::Twilio => (NUMBER, PERSON),
            CarrierKind::Plivo | CarrierKind::Vobiz | CarrierKind::Smartflo | CarrierKind::Exotel => {
                ("918047491899", "918045671234")
            }
        };
        let dial = format!(
            "<Response><Dial callerId=\"{number}\" timeout=\"45\" timeLimit=\"3600\"><Number>{person}</Number></Dial>\
             </Response>"
        );
        for nonce in ["1", "2"] {
            let (kind, xml) = text(office.post("after", &fields, nonce).await);
            assert_eq!(kind, "application/xml");
            assert!(xml.ends_with(&dial), "{carrier:?}: {xml}");
        }
        assert_eq!(office.reports(&call).await, 1, "{carrier:?}: said twice, kept once");
        let hang_up = "<Response><Hangup/></Response>";
        // Unknown, or nothing that can be read.
        for fields in [office.fields("call-2"), vec![("CallStatus", "in-progress")], Vec::new()] {
            let nonce = format!("3-{}-{}", fields.len(), fields.first().map_or("", |(_, value)| value));
            assert!(text(office.post("after", &fields, &nonce).await).1.ends_with(hang_up), "{carrier:?} {fields:?}");
        }
        // A word that cannot be read keeps nobody from being put through.
        let odd = office.with("call-1", &[("CallStatus", "odd"), ("Duration", "?")]);
        assert!(text(office.post("after", &odd, "4").await).1.ends_with(&dial), "{carrier:?}");
        office.app.clock.advance(Duration::seconds(121));
        assert!(text(office.post("after", &fields, "5").await).1.ends_with(hang_up), "{carrier:?}: too late");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_are_kept_once_and_close_calls_without_media() {
    for carrier in CARRIERS {
        let office = Office::with_account(carrier).await;
        office.post("answer", &office.fields("call-1"), "1").await.expect(200);
        let url = "https://recordings.example.com/a.mp3";
        let (ended, recording): (Fields<'_>, Fields<'_>) = match carrier {
            CarrierKind::Twilio | CarrierKind::Exotel => (
                office.with("call-1", &[("CallStatus", "busy"), ("CallDuration", "0")]),
                vec![("CallSid", "call-1"), ("RecordingUrl", url), ("RecordingStatus", "completed")],
            ),
            CarrierKind::Plivo | CarrierKind::Vobiz => (
                office.with("call-1", &[("CallStatus", "busy"), ("Event", "Hangup"), ("HangupCause", "USER_BUSY")]),
                vec![("CallUUID", "call-1"), ("RecordUrl", url), ("Event", "RecordStop")],
            ),
            CarrierKind::Smartflo => (
                office.with("call-1", &[("callStatus", "busy"), ("endStamp", "2026-11-21 10:00:00")]),
                vec![("callId", "call-1"), ("recordingUrl", url)],
            ),
        };
        for nonce in ["2", "3", "4"] {
            let answer = office.post("status", &ended, nonce).await.expect(200);
            assert_eq!(answer, json!({ "status": "ok" }), "{carrier:?}");
        }
        for nonce in ["5", "6"] {
            office.post("status", &recording, nonce).await.expect(200);
        }
        let calls = office.calls().await;
        let call = &calls[0];
        assert_eq!((call.status, call.carrier_status), (CallStatus::Busy, Some(CallStatus::Busy)), "{carrier:?}");
        assert_eq!(call.ended_reason, Some(EndedReason::CallerNeverJoined), "{carrier:?}");
        assert_eq!(call.carrier_recording_url.as_deref(), Some(url), "{carrier:?}");
        assert_eq!(office.reports(call).await, 2, "{carrier:?}");
        let actors: Vec<String> = office
            .app
            .audited(office.person.tenant)
            .await
            .into_iter()
            .filter(|(kind, ..)| kind == "call.reported" || kind == "call.ended")
            .map(|(_, actor, _)| actor)
            .collect();
        assert_eq!(actors, vec![format!("carrier:{}", carrier.as_str()); 3], "{carrier:?}");
        // It is over: it cannot be started, and is not known otherwise.
        office.post("answer", &office.fields("call-1"), "7").await.expect_problem(409, "call_already_started");
        office.post("status", &office.fields("call-2"), "8").await;
        assert_eq!(office.calls().await.len(), 1, "{carrier:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_node_takes_no_calls() {
    for carrier in CARRIERS {
        let office = Office::open(carrier).await;
        office.app.app.stopping.cancel();
        office.send("answer", &office.fields("call-1"), &Vec::new()).await.expect_problem(503, "stopping");
        assert_eq!(office.calls().await.len(), 0);
    }
}
