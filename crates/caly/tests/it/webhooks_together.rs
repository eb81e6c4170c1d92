//! Reports that come at the same moment: each is on record when it is answered, once, whatever becomes of the others.

use crate::place::{Place, both_databases};
use crate::post::{CALL_END, announce, hex, post, signed};
use crate::program::{SECRET, Server};
use crate::world::{World, colours};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use model::CallStatus;
use serde_json::{Value, json};

/// Calls in a burst.
const CALLS: u32 = 40;

fn end(n: u32) -> Value {
    json!({ "CallSid": format!("call-{n}"), "Status": "completed", "Duration": n.to_string() })
}

async fn calls(server: &Server) {
    let all: FuturesUnordered<_> =
        (0..CALLS).map(|n| async move { announce(server, &format!("call-{n}")).await }).collect();
    assert_eq!(all.count().await, CALLS as usize);
}

async fn count(place: &Place, of: &'static str) -> i64 {
    place.number(of).await
}

const EVENTS: &str = "select count(*) from carrier_events";
const REPORTED: &str = "select count(*) from audit_logs where kind = 'call.reported'";

both_databases! {
    async fn what_comes_at_once_and_more_than_once_is_on_record_once(place) {
        let world = World::new(place, colours()).await;
        let server = world.serve(&[]).await;
        calls(&server).await;
        let server = &server;
        // Without a time nothing but what it says makes a report new.
        let send = async |n: u32| {
            let body = end(n).to_string();
            let signature = hex(SECRET, &body);
            post(server, CALL_END, &[("x-exotel-signature", &signature)], &body).await.status
        };
        let mut sent: FuturesUnordered<_> = (0..4 * CALLS).map(|n| send(n % CALLS)).collect();
        while let Some(status) = sent.next().await {
            assert_eq!(status, 200);
        }
        drop(sent);
        assert_eq!(count(place, EVENTS).await, i64::from(CALLS));
        assert_eq!(count(place, REPORTED).await, i64::from(CALLS));
        assert_eq!(world.audited("call.ended").await.len(), CALLS as usize, "each is told once");
        for n in 0..CALLS {
            let call = world.call(&format!("call-{n}")).await.expect("a call");
            assert_eq!((call.status, call.carrier_duration_s), (CallStatus::NoAnswer, Some(u64::from(n))));
        }
    }

    async fn each_among_many_has_its_own_answer(place) {
        let world = World::new(place, colours()).await;
        let server = world.serve(&[]).await;
        calls(&server).await;
        let server = &server;
        let mut sent: FuturesUnordered<_> = (0..CALLS)
            .map(|n| async move {
                let body = match n % 4 {
                    1 => json!({ "CallSid": format!("nobody-{n}") }),
                    2 => json!({ "CallSid": format!("call-{n}"), "Status": "purple" }),
                    _ => end(n),
                };
                let answer = match n % 4 {
                    3 => {
                        let signature = hex("another secret", &body.to_string());
                        post(server, CALL_END, &[("x-exotel-signature", &signature)], &body.to_string()).await
                    }
                    _ => signed(server, CALL_END, &body).await,
                };
                (n, answer.status)
            })
            .collect();
        while let Some((n, status)) = sent.next().await {
            assert_eq!(status, [200, 404, 400, 401][n as usize % 4], "{n}");
        }
        assert_eq!(count(place, EVENTS).await, i64::from(CALLS / 4));
    }

    /// A row that the database refuses is its own sender's trouble.
    async fn one_that_cannot_be_kept_fails_alone(place) {
        let world = World::new(place, colours()).await;
        let server = world.serve(&[]).await;
        calls(&server).await;
        // As a fault of ours would look like: a statement that fails for one row.
        if place.url.starts_with("sqlite:") {
            place
                .run("create trigger refuses before insert on carrier_events when new.data like '%poison%'
                      begin select raise(abort, 'as asked'); end")
                .await;
        } else {
            place.run("alter table carrier_events add constraint refuses check (data::text not like '%poison%')").await;
        }
        let server = &server;
        let mut sent: FuturesUnordered<_> = (0..CALLS)
            .map(|n| async move {
                let mut body = end(n);
                if n % 10 == 7 {
                    body["StreamSID"] = json!("poison");
                }
                (n, signed(server, CALL_END, &body).await.status)
            })
            .collect();
        while let Some((n, status)) = sent.next().await {
            assert_eq!(status == 200, n % 10 != 7, "{n}: {status}");
        }
        drop(sent);
        assert_eq!(count(place, EVENTS).await, i64::from(CALLS - CALLS / 10));
        for n in 0..CALLS {
            let call = world.call(&format!("call-{n}")).await.expect("a call");
            assert_eq!(call.carrier_duration_s.is_some(), n % 10 != 7, "{n}");
        }
        let report = world.place.open().await.verify_audit().await.expect("read");
        assert!(report.is_intact(), "{report:?}");
    }

    /// The node dies at once after some answers: what was acknowledged is there.
    async fn after_kill_9_every_acknowledged_report_is_on_record(place) {
        let world = World::new(place, colours()).await;
        let mut server = world.serve(&[]).await;
        calls(&server).await;
        let url = format!("{}{CALL_END}", server.url);
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let mut sent: FuturesUnordered<_> = (0..CALLS)
            .map(|n| {
                let body = end(n).to_string();
                let request = client.post(&url).header("content-type", "application/json");
                let request = request.header("x-exotel-signature", hex(SECRET, &body)).body(body);
                async move { (n, request.send().await.is_ok_and(|answer| answer.status().as_u16() == 200)) }
            })
            .collect();
        let mut acknowledged = Vec::new();
        while let Some((n, is_ok)) = sent.next().await {
            if is_ok {
                acknowledged.push(n);
            }
            if acknowledged.len() == 1 {
                server.signal(rustix::process::Signal::KILL);
            }
        }
        drop(sent);
        server.kill().await;
        assert!(!acknowledged.is_empty());
        for n in acknowledged {
            let call = world.call(&format!("call-{n}")).await.expect("a call");
            assert_eq!(call.carrier_duration_s, Some(u64::from(n)), "call-{n}");
        }
        let server = world.serve(&[]).await;
        assert_eq!(signed(&server, CALL_END, &end(0)).await.status, 200, "the carrier sends it again");
        server.stop().await;
    }
}
