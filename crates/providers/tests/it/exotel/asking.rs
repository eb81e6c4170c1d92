//! Questions: what is asked, what is tried again, and how often an account asks.

use super::{Act, BASIC, Fake, account, json, number, shows_nothing, status};
use chrono::{DateTime, Utc};
use model::CallStatus;
use providers::ErrorKind;
use providers::exotel::{CallsQuery, ExotelClient};
use std::time::Duration;
use tokio::time::Instant;

const CALL: &str = r#"{"Call":{"Sid":"c1","Status":"completed","Duration":"17",
    "RecordingUrl":"https://recordings.exotel.com/exotelrecordings/acme1/c1.mp3"}}"#;
const STREAMS: &str = "<?xml version=\"1.0\"?><TwilioResponse><Stream><ActiveStreamCount>2</ActiveStreamCount><ThrottleLimit>100</ThrottleLimit></Stream></TwilioResponse>";

fn since() -> DateTime<Utc> {
    DateTime::parse_from_rfc3339("2026-08-24T18:37:09Z").unwrap().to_utc()
}

#[tokio::test]
async fn each_question_is_asked_as_documented() {
    let fake = Fake::deciding(|seen| match (seen.method.as_str(), seen.path.as_str()) {
        ("GET", "/v1/Accounts/acme1/Calls/c1.json") => json(CALL),
        ("GET", "/v1/Accounts/acme1/Calls.json") => {
            json(r#"{"Metadata":{"Total":1},"Calls":[{"Sid":"c1"},{"Sid":"c2"}]}"#)
        }
        ("GET", "/v2_beta/Accounts/acme1/IncomingPhoneNumbers") => {
            json(r#"{"incoming_phone_numbers":[{"phone_number":"08047491899","friendly_name":"Desk"}]}"#)
        }
        ("GET", "/v1/Accounts/acme1/ActiveStreams") => status(200, STREAMS),
        _ => status(404, "no such path"),
    })
    .await;
    let (client, account, from) = (fake.client(), account(), number("09876543210"));
    let call = client.call(&account, "c1").await.unwrap();
    assert_eq!((call.call_id.as_str(), call.status, call.duration_s), ("c1", Some(CallStatus::Completed), Some(17)));
    let query = CallsQuery { from: &from, since: since() };
    let ids: Vec<String> = client.find_calls(&account, &query).await.unwrap().into_iter().map(|c| c.call_id).collect();
    assert_eq!(ids, ["c1", "c2"]);
    let phones = client.exophones(&account).await.unwrap();
    assert_eq!(phones[0].number, Some(number("+918047491899")));
    let streams = client.active_streams(&account).await.unwrap();
    assert_eq!((streams.active, streams.max), (2, 100));
    let requests = fake.requests();
    assert_eq!(requests.len(), 4);
    assert!(requests.iter().all(|request| request.header("authorization") == Some(BASIC)));
    let query = |n: usize| -> Vec<(&str, &str)> {
        requests[n].query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    };
    assert_eq!(query(0), [("details", "true")]);
    let created = "gte:2026-08-25 00:07:09;lte:2026-08-26 00:07:09";
    assert_eq!(query(1), [("From", "+919876543210"), ("DateCreated", created), ("PageSize", "100")]);
}

#[tokio::test]
async fn a_recording_is_asked_for_in_the_list_and_then_in_the_details() {
    const SIGNED: &str = "https://s3.ap-south-1.amazonaws.com/c1.mp3?X-Amz-Signature=ab";
    const LASTING: &str = "https://recordings.exotel.com/exotelrecordings/acme1/c1.mp3";
    let signed = format!(r#"{{"Calls":[{{"Sid":"c0"}},{{"Sid":"c1","RecordingUrl":"{SIGNED}"}}]}}"#);
    for (list, details, want, asked) in [
        (json(&signed), json(CALL), Some(SIGNED), 1),
        (json(r#"{"Calls":[]}"#), json(CALL), Some(LASTING), 2),
        (json(r#"{"Calls":[{"Sid":"c1","RecordingUrl":null}]}"#), json(CALL), Some(LASTING), 2),
        (json(r#"{"Calls":[{"Sid":"c2","RecordingUrl":"https://x.example/other"}]}"#), json(CALL), Some(LASTING), 2),
        (status(400, "no such filter"), json(CALL), Some(LASTING), 2),
        (json(r#"{"Calls":[]}"#), json(r#"{"Call":{"Sid":"c1","RecordingUrl":"null"}}"#), None, 2),
    ] {
        let fake = Fake::start([list, details]).await;
        let got = fake.client().recording_url(&account(), "c1").await.unwrap();
        assert_eq!((got.as_deref(), fake.count()), (want, asked));
        for request in fake.requests() {
            assert!(request.query.contains(&("RecordingUrlValidity".to_owned(), "60".to_owned())), "{request:?}");
        }
    }
}

#[tokio::test]
async fn what_may_heal_is_asked_again_at_most_three_times() {
    let retry = |status, header| Act::Answer(status, header, String::new());
    let wrong = r#"{"RestException":{"Status":404,"Message":"Call of 09876543210 not found"}}"#;
    let refused = |kind| Err(kind);
    for (script, want, asked) in [
        (vec![status(503, ""), status(500, ""), json(CALL)], Ok(()), 3),
        (vec![Act::Close, Act::Cut, json(CALL)], Ok(()), 3),
        (vec![status(200, ""), json(CALL)], Ok(()), 2),
        (vec![retry(429, "retry-after: 1\r\n"), json(CALL)], Ok(()), 2),
        (vec![retry(429, "retry-after: 11\r\n"), json(CALL)], refused(ErrorKind::Overloaded), 1),
        (vec![status(503, "")], refused(ErrorKind::Overloaded), 3),
        (vec![Act::Close], refused(ErrorKind::Unavailable), 3),
        (vec![status(404, wrong), json(CALL)], refused(ErrorKind::Rejected), 1),
        (vec![json(wrong), json(CALL)], refused(ErrorKind::Rejected), 1),
        (vec![status(401, ""), json(CALL)], refused(ErrorKind::Unauthorized), 1),
        (vec![status(200, "<html>welcome</html>"), json(CALL)], refused(ErrorKind::Protocol), 1),
        (vec![json(r#"{"Call":{"Sid":"c2"}}"#), json(CALL)], refused(ErrorKind::Protocol), 1),
        (vec![status(200, &"x".repeat(600 * 1024)), json(CALL)], refused(ErrorKind::Protocol), 1),
    ] {
        let shown = format!("{script:.200?}");
        let fake = Fake::start(script).await;
        let client = fake.client();
        let asking = tokio::spawn(async move { client.call(&account(), "c1").await });
        while !asking.is_finished() {
            settle(&asking).await;
        }
        let got = asking.await.unwrap().map(|call| assert_eq!(call.call_id, "c1")).map_err(|error| {
            shows_nothing(&error);
            error.kind
        });
        assert_eq!((got, fake.count()), (want, asked), "{shown:.200}");
    }
}

/// Lets what is under way happen, and then a little time go by: much less than any deadline.
async fn settle<T>(task: &tokio::task::JoinHandle<T>) {
    for _ in 0..200 {
        if task.is_finished() {
            return;
        }
        tokio::task::yield_now().await;
    }
    tokio::time::pause();
    tokio::time::advance(Duration::from_millis(100)).await;
    tokio::time::resume();
}

#[tokio::test(start_paused = true)]
async fn an_account_never_asks_more_than_200_times_a_minute() {
    // With the clock running ahead whenever nobody is busy: a request that it overtakes is asked again.
    const MINUTE: Duration = Duration::from_secs(60);
    let fake = Fake::start([json(CALL)]).await;
    let client = fake.client();
    let clones: [ExotelClient; 3] = [client.clone(), client.clone(), client];
    let began = Instant::now();
    for n in 0..205 {
        let call = clones[n % 3].call(&account(), "c1").await;
        assert!(call.is_ok(), "{n}: {call:?}");
    }
    assert!(began.elapsed() > MINUTE, "205 do not fit into one minute");
    let times: Vec<Instant> = fake.requests().iter().map(|request| request.at).collect();
    assert!(times.len() >= 205);
    for (n, first) in times.iter().enumerate() {
        let within = times[n..].iter().take_while(|at| **at - *first < MINUTE).count();
        assert!(within <= 200, "{within} in one minute");
    }
}

#[tokio::test]
async fn ids_that_lead_elsewhere_are_not_asked_for() {
    let fake = Fake::start([json(CALL)]).await;
    for id in ["", "..", "../connect", "c1?x=y", "c1/x"] {
        let error = fake.client().call(&account(), id).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Rejected, "{id}");
        assert_eq!(fake.client().recording_url(&account(), id).await.unwrap_err().kind, ErrorKind::Rejected, "{id}");
    }
    assert_eq!(*fake.connected.lock().unwrap(), 0);
}
