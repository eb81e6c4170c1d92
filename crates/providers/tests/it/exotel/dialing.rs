//! Placing calls: one request each, and what is known of a failure.

use super::{Act, BASIC, Fake, PATIENCE, account, client, json, number, order, shows_nothing, status};
use model::{CallDirection, CallStatus};
use providers::ErrorKind;
use providers::exotel::{CallDetails, Connect, DialError, ExotelAccount, ExotelClient, Target};
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};

const PLACED: &str = r#"{"Call":{"Sid":"c1","Status":"in-progress","From":"09876543210","Direction":"outbound-api"}}"#;
const PLACED_XML: &str =
    "<?xml version=\"1.0\"?><TwilioResponse><Call><Sid>c1</Sid><Status>queued</Status></Call></TwilioResponse>";

/// Places a call to a media address.
async fn dial(client: &ExotelClient) -> Result<CallDetails, DialError> {
    dial_as(client, &account()).await
}

async fn dial_as(client: &ExotelClient, account: &ExotelAccount) -> Result<CallDetails, DialError> {
    let (from, ours) = (number("09876543210"), number("08047491899"));
    let order = order(&from, &ours, Target::Stream { url: "wss://caly.example/media/exotel/str3am", name: None });
    timeout(PATIENCE, client.connect(account, &order)).await.expect("an end")
}

/// The word for how it failed, and the kind of the error or the status.
fn sorted(result: Result<CallDetails, DialError>) -> String {
    let error = match result {
        Ok(call) => return format!("placed {}", call.call_id),
        Err(error) => error,
    };
    shows_nothing(&error);
    match error {
        DialError::Refused(said, wait) => {
            let code = said.code.unwrap_or_default();
            format!("refused {} {code} {wait:?}", said.status).replace("  ", " ")
        }
        DialError::NotSent(error) => format!("not sent {}", error.kind.as_str()),
        DialError::Unknown(error) => format!("unknown {}", error.kind.as_str()),
    }
}

#[tokio::test]
async fn the_order_is_sent_as_documented_in_each_mode() {
    let fake = Fake::start([json(PLACED)]).await;
    let (from, ours, other) = (number("+919876543210"), number("+918047491899"), number("+919812345678"));
    let stream = Target::Stream { url: "wss://caly.example/media/exotel/str3am", name: Some("caly") };
    let full = Connect {
        record: true,
        custom_field: Some("call 1 & more"),
        status_callback: Some("https://caly.example/webhooks/exotel/call/t1?a=b"),
        ..order(&from, &ours, stream)
    };
    let flow = order(&from, &ours, Target::Flow { account_id: "acme1", flow_id: "29281" });
    let two = order(&from, &ours, Target::Number(&other));
    for order in [&full, &flow, &two] {
        let call = fake.client().connect(&account(), order).await.unwrap();
        assert_eq!((call.call_id.as_str(), call.status), ("c1", Some(CallStatus::InProgress)));
        assert_eq!((call.from, call.direction), (Some(from.clone()), Some(CallDirection::Outgoing)));
    }
    let requests = fake.requests();
    assert_eq!(requests.len(), 3);
    for (request, order) in requests.iter().zip([&full, &flow, &two]) {
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/v1/Accounts/acme1/Calls/connect.json"));
        assert_eq!(request.header("authorization"), Some(BASIC));
        assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
        assert_eq!(request.form, order.form().unwrap());
    }
    let get = |name: &str| requests[0].form.iter().find(|(sent, _)| sent == name).map(|(_, value)| value.as_str());
    assert_eq!((get("From"), get("CallerId")), (Some("+919876543210"), Some("08047491899")));
    assert_eq!((get("StatusCallbackEvents[0]"), get("StatusCallbackEvents[1]")), (Some("terminal"), Some("answered")));
    assert_eq!((get("CustomField"), get("StreamType")), (Some("call 1 & more"), Some("bidirectional")));
}

#[tokio::test]
async fn each_answer_is_sorted_by_what_is_known() {
    let exception = |status: &str| {
        format!(r#"{{"RestException":{{"Status":{status},"Code":34001,"Message":"From 09876543210 is bad"}}}}"#)
    };
    let xml =
        "<TwilioResponse><RestException><Status>403</Status><Message>no</Message></RestException></TwilioResponse>";
    let envelope = r#"{"http_code":402,"response":{"error_data":{"code":1002,"message":"balance of 08047491899"}}}"#;
    let big = "x".repeat(600 * 1024);
    let retry = |status| Act::Answer(status, "retry-after: 7\r\n", "slow down".to_owned());
    for (act, want) in [
        (json(PLACED), "placed c1"),
        (status(200, PLACED_XML), "placed c1"),
        (status(201, PLACED), "placed c1"),
        (status(400, &exception("400")), "refused 400 34001 None"),
        (status(400, "not even a body that can be read"), "refused 400 None"),
        (status(401, ""), "refused 401 None"),
        (status(403, xml), "refused 403 None"),
        (status(404, "<html>"), "refused 404 None"),
        (status(400, &big), "refused 400 None"),
        (json(&exception("400")), "refused 400 34001 None"),
        (status(200, xml), "refused 403 None"),
        (json(envelope), "refused 402 1002 None"),
        (retry(429), "refused 429 Some(7s)"),
        (status(408, ""), "unknown timed-out"),
        (retry(503), "unknown overloaded"),
        (status(500, &exception("400")), "unknown unavailable"),
        (status(502, "<html>502</html>"), "unknown unavailable"),
        (json(&exception("500")), "unknown unavailable"),
        (json(&exception("null")), "unknown protocol"),
        (status(200, ""), "unknown unavailable"),
        (status(204, ""), "unknown unavailable"),
        (status(200, "OK"), "unknown protocol"),
        (status(200, "<html>welcome</html>"), "unknown protocol"),
        (json(r#"{"Call":{"Status":"queued"}}"#), "unknown protocol"),
        (status(200, &big), "unknown protocol"),
        (status(302, ""), "unknown protocol"),
        (Act::Close, "unknown unavailable"),
        (Act::Cut, "unknown unavailable"),
    ] {
        let shown = format!("{act:.200?}");
        let fake = Fake::start([act]).await;
        assert_eq!(sorted(dial(&fake.client()).await), want, "{shown:.200}");
        assert_eq!(fake.count(), 1, "one request, never another: {shown:.200}");
    }
}

#[tokio::test]
async fn who_cannot_be_reached_was_not_sent_anything() {
    let refusing = testkit::nobody::nobody();
    assert_eq!(sorted(dial(&client(&format!("http://{refusing}"))).await), "not sent unavailable");
    // No resolver asks for a label of 64 letters.
    let nameless = format!("http://{}.invalid", "a".repeat(64));
    assert_eq!(sorted(dial(&client(&nameless)).await), "not sent unavailable");
    // Speaks, but not TLS.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = socket.read(&mut [0; 512]).await;
            drop(socket);
        }
    });
    assert_eq!(sorted(dial(&client(&format!("https://127.0.0.1:{port}"))).await), "not sent unavailable");
}

/// The clock stands still until the server has what it waits for, and then runs ahead.
async fn then_time_flies(fake: &Fake, client: ExotelClient, requests: usize) -> (String, Duration) {
    let began = Instant::now();
    let dialing = tokio::spawn(async move { dial_patiently(&client).await });
    fake.busy(requests, 1).await;
    tokio::time::pause();
    let result = sorted(dialing.await.unwrap());
    let took = began.elapsed();
    tokio::time::resume();
    (result, took)
}

async fn dial_patiently(client: &ExotelClient) -> Result<CallDetails, DialError> {
    let (from, ours) = (number("09876543210"), number("08047491899"));
    client.connect(&account(), &order(&from, &ours, Target::Flow { account_id: "acme1", flow_id: "1" })).await
}

#[tokio::test]
async fn a_connection_that_does_not_come_about_in_5_s_was_not_used() {
    let fake = Fake::start([Act::Hang]).await;
    let (result, took) = then_time_flies(&fake, client(&format!("https://127.0.0.1:{}", fake.port)), 0).await;
    assert_eq!(result, "not sent unavailable");
    assert!((Duration::from_secs(4)..Duration::from_secs(8)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_15_s_leaves_it_open() {
    for act in [Act::Hang, Act::Drip] {
        let fake = Fake::start([act.clone()]).await;
        let (result, took) = then_time_flies(&fake, fake.client(), 1).await;
        assert_eq!((result.as_str(), fake.count()), ("unknown timed-out", 1), "{act:?}");
        assert!((Duration::from_secs(14)..Duration::from_secs(18)).contains(&took), "{act:?} {took:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_takes_no_credentials_along() {
    let elsewhere = Fake::start([json(PLACED)]).await;
    for code in [301, 302, 303, 307, 308] {
        let location = format!("location: http://127.0.0.1:{}/v1/x\r\n", elsewhere.port).leak();
        let fake = Fake::start([Act::Answer(code, location, String::new())]).await;
        assert_eq!(sorted(dial(&fake.client()).await), "unknown protocol", "{code}");
        assert_eq!(fake.client().active_streams(&account()).await.unwrap_err().kind, ErrorKind::Protocol, "{code}");
        assert_eq!(fake.count(), 2, "{code}");
    }
    assert_eq!(*elsewhere.connected.lock().unwrap(), 0);
}

#[tokio::test]
async fn an_order_or_account_that_cannot_work_is_not_sent() {
    let fake = Fake::start([json(PLACED)]).await;
    let (from, ours) = (number("09876543210"), number("08047491899"));
    let good = order(&from, &ours, Target::Flow { account_id: "acme1", flow_id: "1" });
    let long = "x".repeat(129);
    let orders = [
        Connect { ring_s: 61, ..good },
        Connect { time_limit_s: 0, ..good },
        Connect { custom_field: Some(&long), ..good },
        order(&from, &ours, Target::Stream { url: "https://caly.example", name: None }),
    ];
    for order in &orders {
        let Err(DialError::NotSent(error)) = fake.client().connect(&account(), order).await else {
            panic!("{order:?}")
        };
        assert!(error.kind == ErrorKind::Rejected && !error.is_transient(), "{error}");
    }
    for (account_id, api_key) in [("../x", "k3y"), ("", "k3y"), ("acme1", ""), ("acme1", "a:b"), ("acme1", "a\nb")] {
        let account = ExotelAccount { account_id: account_id.to_owned(), api_key: api_key.to_owned(), ..account() };
        let Err(DialError::NotSent(error)) = dial_as(&fake.client(), &account).await else { panic!("{account_id}") };
        assert!(!error.is_transient(), "{error}");
    }
    assert_eq!(*fake.connected.lock().unwrap(), 0);
}

#[tokio::test]
async fn after_too_many_requests_the_account_pauses_and_others_do_not() {
    let fake = Fake::start([Act::Answer(429, "retry-after: 30\r\n", String::new()), json(PLACED)]).await;
    let client = fake.client();
    assert_eq!(sorted(dial(&client).await), "refused 429 Some(30s)");
    assert_eq!(sorted(dial(&client.clone()).await), "not sent overloaded", "clones know it, too");
    assert_eq!(fake.count(), 1, "and do not ask");
    let other = ExotelAccount { account_id: "other2".to_owned(), ..account() };
    assert_eq!(sorted(dial_as(&client, &other).await), "placed c1");
    let named_by_another = ExotelAccount { token: "a-guess".into(), ..account() };
    assert_eq!(sorted(dial_as(&client, &named_by_another).await), "refused 401 None", "it has asked");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    tokio::time::resume();
    assert_eq!(sorted(dial(&client).await), "placed c1");
}

#[tokio::test]
async fn wrong_credentials_are_a_refusal() {
    let fake = Fake::start([json(PLACED)]).await;
    let account = ExotelAccount { api_key: "other".to_owned(), ..account() };
    assert_eq!(sorted(dial_as(&fake.client(), &account).await), "refused 401 None");
    let error = fake.client().exophones(&account).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unauthorized);
    shows_nothing(&error);
}
