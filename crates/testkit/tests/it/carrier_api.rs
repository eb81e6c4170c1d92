//! The REST interface: strict with orders, honest about calls, unreliable when asked.

use crate::carrier_bot::{Bot, Media};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use testkit::carrier::{
    ApiCall, ApiFault, ApiOptions, Callee, CallerFactory, ConnectApplet, Content, FakeExotelApi, OrderMode, RecordAs,
    RecordedCaller, RecordingHost, Refusal,
};

const CUSTOMER: &str = "+919876543210";
const FLOW: &str = "http://my.exotel.com/exotelaccount/exoml/start_voice/123";
/// Of the two orders of two callbacks this seed makes the wrong one.
const WRONG_ORDER: u64 = 2;
const STREAM_TYPE: (&str, &str) = ("StreamType", "bidirectional");

fn caller(length_ms: u64) -> CallerFactory {
    Arc::new(move |_: &ApiCall| Box::new(RecordedCaller::new(vec![1_000; 800], length_ms)))
}

struct Client {
    http: reqwest::Client,
    url: String,
    password: &'static str,
}

impl Client {
    fn of(api: &FakeExotelApi) -> Self {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(2)).build().unwrap();
        Self { http, url: format!("{}/v1/Accounts/exotelaccount", api.url()), password: "api-token" }
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<(u16, String), reqwest::Error> {
        let response = request.basic_auth("api-key", Some(self.password)).send().await?;
        let status = response.status().as_u16();
        Ok((status, response.text().await?))
    }

    async fn order(&self, path: &str, more: &[(&str, &str)]) -> Result<(u16, String), reqwest::Error> {
        let fields = [("From", CUSTOMER), ("CallerId", "08047491899")];
        let body =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields.iter().chain(more)).finish();
        let request = self.http.post(format!("{}/Calls/{path}", self.url));
        self.send(request.header("content-type", "application/x-www-form-urlencoded").body(body)).await
    }

    async fn ordered(&self, more: &[(&str, &str)]) -> Value {
        let (status, body) = self.order("connect.json", more).await.unwrap();
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()["Call"].clone()
    }

    async fn get(&self, path: &str) -> (u16, String) {
        self.send(self.http.get(format!("{}/{path}", self.url))).await.unwrap()
    }

    async fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }
}

fn options() -> ApiOptions {
    let mut options = ApiOptions { ring: Duration::from_millis(20), ..ApiOptions::default() };
    options.carrier.frame_ms = 20;
    options.delivery.time_scale = 0.000_01;
    options
}

async fn start(options: ApiOptions, length_ms: u64) -> (FakeExotelApi, Client) {
    let api = FakeExotelApi::start(options, caller(length_ms)).await.unwrap();
    let client = Client::of(&api);
    (api, client)
}

#[tokio::test]
async fn a_stream_order_dials_and_tells_and_records() {
    let bot = Bot::plain(Media::Listen).await;
    let host = Arc::new(RecordingHost::start().await.unwrap());
    let (api, client) =
        start(ApiOptions { recordings: Some(host.clone()), record_as: RecordAs::Wav, ..options() }, 300).await;
    let status_url = format!("{}/status", bot.url);
    let call = client
        .ordered(&[
            ("StreamUrl", &bot.media()),
            STREAM_TYPE,
            ("CustomField", "order 1"),
            ("Record", "true"),
            ("RecordingChannels", "dual"),
            ("StatusCallback", &status_url),
            ("StatusCallbackEvents[0]", "terminal"),
            ("StatusCallbackEvents[1]", "answered"),
            ("StatusCallbackEvents[2]", "ringing"),
            ("StatusCallbackContentType", "application/json"),
            ("Foo", "bar"),
        ])
        .await;
    // Long before anybody has answered.
    assert_eq!((&call["Status"], &call["To"], &call["EndTime"]), (&"in-progress".into(), &Value::Null, &Value::Null));
    assert_eq!((&call["From"], &call["Direction"]), (&"09876543210".into(), &"outbound-api".into()));
    let id = call["Sid"].as_str().unwrap().to_owned();
    assert_eq!(call["Uri"], format!("/v1/Accounts/exotelaccount/Calls.json/{id}"));
    let [done] = &api.finished(1).await[..] else { panic!("one call") };
    assert_eq!(
        (done.call_id.as_str(), done.status.as_str(), api.dialled("09876543210")),
        (id.as_str(), "completed", 1)
    );
    let events: Vec<(String, String)> = bot
        .at("/status")
        .iter()
        .map(|told| {
            (told.json()["EventType"].as_str().unwrap().to_owned(), told.json()["Status"].as_str().unwrap().to_owned())
        })
        .collect();
    let pair = |event: &str, status: &str| (event.to_owned(), status.to_owned());
    assert_eq!(events, [pair("ringing", "ringing"), pair("answered", "in-progress"), pair("terminal", "completed")]);
    let terminal = bot.at("/status")[2].json();
    assert_eq!((&terminal["CallSid"], &terminal["CustomField"]), (&id.as_str().into(), &"order 1".into()));
    assert_eq!(terminal["RecordingUrl"].as_str(), done.recording_url.as_deref());
    let start = &bot.texts()[1]["start"];
    assert_eq!(
        (&start["call_sid"], &start["from"], &start["to"]),
        (&id.as_str().into(), &"09876543210".into(), &"08047491899".into())
    );
    let bytes = client.http.get(done.recording_url.as_ref().unwrap()).send().await.unwrap().bytes().await.unwrap();
    let wav = audio::wav::read(&bytes).unwrap();
    assert!(wav.channels == 2 && wav.samples[..1600].iter().step_by(2).all(|sample| *sample == 1_000));
    assert_eq!(api.requests()[0].unknown_fields, ["Foo"]);

    let details = client.json(&format!("Calls/{id}.json?details=true")).await["Call"].clone();
    assert_eq!((&details["Status"], &details["Duration"]), (&"completed".into(), &done.duration_s.to_string().into()));
    assert_eq!(details["Details"]["Legs"][1]["Leg"]["Id"], 2);
    let bulk = client.json("Calls.json?From=%2B919876543210&RecordingUrlValidity=60").await;
    let link = bulk["Calls"][0]["RecordingUrl"].as_str().unwrap();
    assert!(link.contains("X-Amz-Signature") && link.contains(&host.hosts()[1]), "{link}");
    let (_, xml) = client.get(&format!("Calls/{id}")).await;
    assert!(xml.starts_with("<?xml") && xml.contains(&format!("<Sid>{id}</Sid>")) && xml.contains("<To/>"), "{xml}");
}

#[tokio::test]
async fn a_flow_order_asks_the_dynamic_url_with_its_own_data() {
    let bot = Bot::plain(Media::Listen).await;
    let (api, client) = start(options(), 100).await;
    api.set_flow(&format!("{}/voicebot", bot.url), Some(&format!("{}/passthru", bot.url)), None);
    let status_url = format!("{}/status", bot.url);
    let call = client.ordered(&[("Url", FLOW), ("CustomField", "id 7"), ("StatusCallback", &status_url)]).await;
    let done = api.finished(1).await.remove(0);
    let asked = &bot.at("/voicebot")[0];
    assert_eq!(asked.field("CallSid").as_deref(), call["Sid"].as_str());
    assert_eq!(
        (asked.field("CustomField").unwrap(), asked.field("Direction").unwrap()),
        ("id 7".to_owned(), "outbound-dial".to_owned())
    );
    assert_eq!(
        (asked.field("CallFrom").unwrap(), asked.field("CallTo").unwrap()),
        ("09876543210".to_owned(), "08047491899".to_owned())
    );
    assert_eq!(bot.at("/passthru")[0].field("Stream[Status]").as_deref(), Some("cancelled"));
    assert_eq!(done.mode, OrderMode::Flow { app_id: "123".to_owned() });
    // No events were asked for: four fields at most, in parts.
    let [told] = &bot.at("/status")[..] else { panic!("told once") };
    assert!(told.headers["content-type"].to_str().unwrap().starts_with("multipart/form-data"));
    assert!(
        told.body.contains("name=\"Status\"\r\n\r\ncompleted") && !told.body.contains("EventType"),
        "{}",
        told.body
    );
    assert!(done.callbacks[0].taken());
}

#[tokio::test]
async fn numbers_do_what_was_set() {
    let bot = Bot::plain(Media::Listen).await;
    let (api, client) = start(options(), 100).await;
    for (callee, status) in [(Callee::Busy, "busy"), (Callee::NoAnswer, "no-answer"), (Callee::Fails, "failed")] {
        api.set_callee("09876543210", callee);
        let count = api.calls().len() + 1;
        let status_url = format!("{}/{status}", bot.url);
        client
            .ordered(&[
                ("StreamUrl", &bot.media()),
                STREAM_TYPE,
                ("StatusCallback", &status_url),
                ("StatusCallbackEvents[]", "terminal"),
                ("StatusCallbackContentType", "application/json"),
            ])
            .await;
        let done = api.finished(count).await.pop().unwrap();
        assert_eq!((done.status.as_str(), done.answered_at), (status, None));
        assert_eq!(bot.at(&format!("/{status}"))[0].json()["Status"], status);
    }
    assert!(bot.handshakes.lock().unwrap().is_empty());
    api.set_callee(CUSTOMER, Callee::Answers);
    client.ordered(&[("To", "09812345678")]).await;
    assert_eq!(api.finished(4).await[3].status, "completed");
    assert_eq!((api.dialled(CUSTOMER), api.dialled("+919812345678")), (4, 0));
}

#[tokio::test]
async fn refusals_in_both_codings() {
    let (api, mut client) = start(options(), 100).await;
    let (status, body) = client.order("connect.json", &[]).await.unwrap();
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (status, &body["RestException"]["Status"], &body["RestException"]["Code"]),
        (400, &400.into(), &34_001.into())
    );
    let (status, body) = client.order("connect", &[]).await.unwrap();
    assert!(status == 400 && body.contains("<TwilioResponse><RestException><Code>34001</Code>"), "{body}");
    assert_eq!(client.get("Calls/nobody.json").await.0, 404);
    assert_eq!(client.get("Nothing.json").await.0, 404);
    for refusal in [
        Refusal::new(403, "KYC"),
        Refusal::new(429, "slow").retry_after(7),
        Refusal::new(402, "no balance").in_success(),
    ] {
        api.fail_order(ApiFault::Refused(refusal.clone()));
        let (status, body) = client.order("connect.json", &[("To", "09812345678")]).await.unwrap();
        assert!(
            status == refusal.http_status && body.contains("RestException") && body.contains(&refusal.message),
            "{body}"
        );
    }
    client.password = "wrong";
    assert_eq!(client.order("connect.json", &[("To", "09812345678")]).await.unwrap().0, 401);
    assert!(!api.requests().last().unwrap().authorized);
    client.password = "api-token";
    client.url = client.url.replace("exotelaccount", "other");
    assert_eq!(client.get("ActiveStreams").await.0, 404);
    assert_eq!((api.dialled(CUSTOMER), api.calls().len()), (0, 0), "nobody was dialled");
}

#[tokio::test]
async fn an_answer_may_be_lost_after_the_dialling_or_before() {
    let (api, client) = start(options(), 100).await;
    let mut dialled = 0;
    for number in 0..10 {
        let was = number % 2 == 0;
        let fault = match number / 2 {
            0 => ApiFault::Cut { dialled: was },
            1 => ApiFault::Hang { dialled: was },
            2 => ApiFault::ServerError { dialled: was },
            3 => ApiFault::Empty { dialled: was },
            _ => ApiFault::Html { dialled: was },
        };
        api.fail_order(fault.clone());
        let begun = std::time::Instant::now();
        let answer = client.order("connect.json", &[("To", "09812345678")]).await;
        match &fault {
            ApiFault::Cut { .. } => assert!(answer.is_err() && begun.elapsed() < Duration::from_secs(1)),
            ApiFault::Hang { .. } => assert!(answer.unwrap_err().is_timeout()),
            ApiFault::ServerError { .. } => assert_eq!(answer.unwrap().0, 500),
            ApiFault::Empty { .. } => assert_eq!(answer.unwrap(), (200, String::new())),
            ApiFault::Html { .. } => assert!(answer.unwrap().1.starts_with("<html>")),
            ApiFault::Refused(_) => unreachable!(),
        }
        dialled += u32::from(was);
        assert_eq!(api.dialled(CUSTOMER), dialled, "{fault:?}");
    }
    assert_eq!(api.requests().iter().filter(|request| request.status.is_none()).count(), 4);
    api.fail_question(ApiFault::Refused(Refusal::new(500, "no")));
    assert_eq!(client.get("Calls.json").await.0, 500);
    assert_eq!(client.get("Calls.json").await.0, 200);
}

#[tokio::test]
async fn requests_streams_and_lists_have_limits() {
    let bot = Bot::plain(Media::Listen).await;
    let (api, client) = start(ApiOptions { per_minute: 3, ..options() }, 100).await;
    for want in [200, 200, 200, 429] {
        assert_eq!(client.get("ActiveStreams").await.0, want);
    }
    drop(api);
    let (api, client) =
        start(ApiOptions { streams_max: 1, details_lag: Duration::from_secs(60), ..options() }, 60_000).await;
    let order = [("StreamUrl", bot.media()), (STREAM_TYPE.0, STREAM_TYPE.1.to_owned())];
    let order: Vec<(&str, &str)> = order.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let first = client.ordered(&order).await;
    while bot.handshakes.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    client.ordered(&order).await;
    let throttled = api.finished(1).await.remove(1);
    assert_eq!(throttled.error.as_deref(), Some("Streaming_call_throttled"));
    let (_, xml) = client.get("ActiveStreams").await;
    assert!(
        xml.contains("<Stream><ActiveStreamCount>1</ActiveStreamCount><ThrottleLimit>1</ThrottleLimit></Stream>"),
        "{xml}"
    );
    assert_eq!(client.json("ActiveStreams.json").await["active_streams"], 1);
    let details = client.json(&format!("Calls/{}.json", throttled.call_id)).await;
    assert_eq!(details["Call"]["Status"], "in-progress", "details lag behind");
    let page = client.json("Calls.json?PageSize=1").await;
    assert_eq!((&page["Metadata"]["Total"], &page["Calls"][0]["Sid"]), (&2.into(), &throttled.call_id.as_str().into()));
    let next = page["Metadata"]["NextPageUri"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    assert_eq!(client.json(&next).await["Calls"][0]["Sid"], first["Sid"]);
    for (query, status) in [
        ("RecordingUrlValidity=4", 400),
        ("PageSize=101", 400),
        ("From=1", 400),
        ("DateCreated=gte:yesterday", 400),
        ("DateCreated=gte%3A2020-01-01+00%3A00%3A00%3Blte%3A2020-01-02+00%3A00%3A00", 200),
    ] {
        assert_eq!(client.get(&format!("Calls.json?{query}")).await.0, status, "{query}");
    }
    let url = client.url.replace("/v1/", "/v2_beta/") + "/IncomingPhoneNumbers";
    let (status, body) = client.send(client.http.get(url)).await.unwrap();
    assert!(status == 200 && body.contains("\"phone_number\":\"08047491899\""), "{body}");
    assert!(client.get("Numbers/09876543210").await.1.contains("<Circle>KA</Circle>"));
}

#[tokio::test]
async fn a_recording_follows_the_template() {
    let bot = Bot::plain(Media::Listen).await;
    let host = Arc::new(RecordingHost::start().await.unwrap());
    let mut late = testkit::carrier::RecordedFile::new(Content::Empty);
    late.missing_requests = 1;
    let settings =
        ApiOptions { recordings: Some(host), recorded_file: late, recording_in_callback: false, ..options() };
    let (api, client) = start(settings, 100).await;
    let status_url = format!("{}/status", bot.url);
    client
        .ordered(&[("StreamUrl", &bot.media()), STREAM_TYPE, ("Record", "true"), ("StatusCallback", &status_url)])
        .await;
    let done = api.finished(1).await.remove(0);
    assert!(!bot.at("/status")[0].body.contains("RecordingUrl"));
    let url = done.recording_url.unwrap();
    let get = async || client.http.get(&url).send().await.unwrap();
    assert_eq!(get().await.status().as_u16(), 404);
    let bytes = get().await.bytes().await.unwrap();
    assert_eq!(bytes, testkit::carrier::silent_mp3(u64::from(done.duration_s) * 1000, 1, false));
}

#[tokio::test]
async fn a_flow_hands_over_to_a_human_and_callbacks_may_come_in_any_order() {
    let known = Arc::new(std::sync::Mutex::new(String::new()));
    let url = known.clone();
    let bot = Bot::start(Media::CloseAfter(3), move |request, _| match request.path.as_str() {
        "/voicebot" => (200, serde_json::json!({"url": *url.lock().unwrap()}).to_string()),
        "/connect" => (200, r#"{"destination":{"numbers":["+919812345678"]}}"#.to_owned()),
        _ => (200, String::new()),
    })
    .await;
    *known.lock().unwrap() = bot.media();
    let mut settings = ApiOptions { callbacks_at_end: true, ..options() };
    settings.delivery.shuffle_seed = Some(WRONG_ORDER);
    let (api, client) = start(settings, 5_000).await;
    api.set_flow(&format!("{}/voicebot", bot.url), None, Some(ConnectApplet::new(format!("{}/connect", bot.url))));
    let status_url = format!("{}/status", bot.url);
    client
        .ordered(&[
            ("Url", FLOW),
            ("StatusCallback", &status_url),
            ("StatusCallbackEvents[0]", "answered"),
            ("StatusCallbackEvents[1]", "terminal"),
            ("StatusCallbackContentType", "application/json"),
        ])
        .await;
    let done = api.finished(1).await.remove(0);
    let transfer = done.observation.unwrap().transfer.clone().unwrap();
    assert_eq!((transfer.status(), transfer.dialled[0].talk_s), (Some("completed"), 60));
    assert_eq!(bot.at("/connect")[0].headers["exotel-version"], "1.0");
    let told: Vec<Value> = bot.at("/status").iter().map(|told| told.json()["EventType"].clone()).collect();
    assert_eq!(told, ["terminal", "answered"]);
    assert_eq!(done.callbacks.iter().map(|one| one.event.clone().unwrap()).collect::<Vec<_>>(), told);
}
