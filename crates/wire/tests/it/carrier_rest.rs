//! Requests to carriers' REST APIs, word for word.

use model::E164;
use serde_json::json;
use wire::rest::{Body, Credentials, Method};
use wire::{WireError, plivo, twilio};

const ACCOUNT: &str = "AC4d1d5c8c8a8e4f0b8a2d5e6f7a8b9c0d";

fn numbers() -> (E164, E164) {
    (E164::parse("+14155551234").unwrap(), E164::parse("+918037091588").unwrap())
}

#[test]
fn a_call_at_twilio() {
    let (to, from) = numbers();
    let order = twilio::rest::PlaceCall {
        to: &to,
        from: &from,
        answer_url: "https://caly.example/webhooks/twilio/answer/tok",
        status_url: "https://caly.example/webhooks/twilio/status/tok",
        ring_s: 45,
        time_limit_s: 3600,
        record: true,
    };
    let request = order.request(ACCOUNT).unwrap();
    assert_eq!((request.method, request.credentials), (Method::Post, Credentials::Basic));
    assert_eq!(request.path, format!("/2010-04-01/Accounts/{ACCOUNT}/Calls.json"));
    let Body::Form(form) = &request.body else { panic!("no form") };
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let want = [
        ("To", "+14155551234"),
        ("From", "+918037091588"),
        ("Url", "https://caly.example/webhooks/twilio/answer/tok"),
        ("Method", "POST"),
        ("StatusCallback", "https://caly.example/webhooks/twilio/status/tok"),
        ("StatusCallbackMethod", "POST"),
        ("Timeout", "45"),
        ("TimeLimit", "3600"),
        ("StatusCallbackEvent", "initiated"),
        ("StatusCallbackEvent", "ringing"),
        ("StatusCallbackEvent", "answered"),
        ("StatusCallbackEvent", "completed"),
        ("Record", "true"),
    ];
    assert_eq!(form, want);
    assert!(!format!("{request:?}").contains("4155551234"), "numbers are not shown");
    for (order, want) in [
        (twilio::rest::PlaceCall { ring_s: 0, ..order }, "ring_s"),
        (twilio::rest::PlaceCall { ring_s: 601, ..order }, "ring_s"),
        (twilio::rest::PlaceCall { time_limit_s: 0, ..order }, "time_limit_s"),
        (twilio::rest::PlaceCall { answer_url: "/answer", ..order }, "answer_url"),
        (twilio::rest::PlaceCall { status_url: "ftp://x/y", ..order }, "status_url"),
    ] {
        assert_eq!(order.request(ACCOUNT), Err(WireError::BadField(want)));
    }
    for account in ["", "AC/../x", "AC?x", "A C", "é"] {
        assert_eq!(order.request(account), Err(WireError::BadField("account_id")), "{account}");
    }
}

#[test]
fn hanging_up_at_twilio() {
    let request = twilio::rest::hang_up(ACCOUNT, "CA1").unwrap();
    assert_eq!(
        (request.method, request.path),
        (Method::Post, format!("/2010-04-01/Accounts/{ACCOUNT}/Calls/CA1.json"))
    );
    assert_eq!(request.body, Body::Form(vec![("Status", "completed".to_owned())]));
    assert_eq!(twilio::rest::hang_up(ACCOUNT, "../x"), Err(WireError::BadField("call_id")));
}

#[test]
fn a_call_at_plivo_and_vobiz() {
    use plivo::rest::{Api, PlaceCall, hang_up};
    let (to, from) = numbers();
    let order = PlaceCall {
        to: &to,
        from: &from,
        answer_url: "https://caly.example/a",
        ring_url: "https://caly.example/r",
        hangup_url: "https://caly.example/h",
        ring_s: 45,
        time_limit_s: 3600,
    };
    let headers = Credentials::Headers { id: "X-Auth-ID", token: "X-Auth-Token" };
    for (api, host, prefix, credentials) in
        [(Api::Plivo, "api.plivo.com", "/v1", Credentials::Basic), (Api::Vobiz, "api.vobiz.ai", "/api/v1", headers)]
    {
        let request = order.request(api, "MA1").unwrap();
        assert_eq!((api.host(), request.method, request.credentials), (host, Method::Post, credentials));
        assert_eq!(request.path, format!("{prefix}/Account/MA1/Call/"));
        let want = json!({"from": "918037091588", "to": "14155551234", "answer_url": "https://caly.example/a",
            "answer_method": "POST", "ring_url": "https://caly.example/r", "ring_method": "POST",
            "hangup_url": "https://caly.example/h", "hangup_method": "POST", "ring_timeout": 45, "time_limit": 3600});
        assert_eq!(request.body, Body::Json(want));
        let request = hang_up(api, "MA1", "12345678-1234-1234-1234-123456789abc").unwrap();
        assert_eq!((request.method, &request.body), (Method::Delete, &Body::None));
        assert_eq!(request.path, format!("{prefix}/Account/MA1/Call/12345678-1234-1234-1234-123456789abc/"));
        assert_eq!(hang_up(api, "MA1", "a/b"), Err(WireError::BadField("call_id")));
        let bad = PlaceCall { hangup_url: "nowhere", ..order };
        assert_eq!(bad.request(api, "MA1"), Err(WireError::BadField("hangup_url")));
        assert_eq!(PlaceCall { ring_s: 0, ..order }.request(api, "MA1"), Err(WireError::BadField("ring_s")));
    }
}
