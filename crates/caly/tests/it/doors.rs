//! The door of the media socket: everything is decided before the upgrade.

use crate::place::{Place, both_databases, eventually, now};
use crate::post::{announce, get};
use crate::telephone::Line;
use crate::world::{World, colours, talker};
use chrono::TimeDelta;
use sha2::{Digest, Sha256};
use std::time::Duration;
use store::stream_tokens;

const A_MOMENT: Duration = Duration::from_secs(10);

both_databases! {
    async fn a_token_opens_one_socket_once(place) {
        let world = World::new(place, colours()).await;
        let server = world.serve(&[]).await;
        let url = announce(&server, "call-1").await;
        let unknown = url.rsplit_once('/').expect("a path").0;
        assert_eq!(Line::open(&format!("{unknown}/nobody"), "call-1").await.err(), Some(404));
        assert_eq!(Line::open(&format!("{unknown}/{}", "x".repeat(4_000)), "call-1").await.err(), Some(404));
        assert_eq!(Line::open(&url.replace("/exotel/", "/nobody/"), "call-1").await.err(), Some(404));
        let line = Line::open(&url, "call-1").await.expect("accepted");
        assert_eq!(Line::open(&url, "call-1").await.err(), Some(410));
        line.close().await;
        world.ended("call-1").await;
        assert_eq!(Line::open(&url, "call-1").await.err(), Some(410));
        let (_, token) = url.rsplit_once('/').expect("a path");
        assert!(!server.output().contains(token), "a log is read by many: {}", server.output());
        server.stop().await;
    }

    async fn a_token_expires(place) {
        let world = World::new(place, colours()).await;
        let server = world.serve(&[]).await;
        let fresh = announce(&server, "call-1").await;
        let call = world.call("call-1").await.expect("a call").id;
        let hash: [u8; 32] = Sha256::digest("issued a minute ago").into();
        let then = now() - TimeDelta::seconds(61);
        let issue = world.store.write(world.tenant, "test.issue", async |tx| {
            stream_tokens::issue(tx, call, hash, then, TimeDelta::seconds(60)).await
        });
        issue.await.expect("issued");
        let (base, _) = fresh.rsplit_once('/').expect("a path");
        assert_eq!(Line::open(&format!("{base}/issued%20a%20minute%20ago"), "call-1").await.err(), Some(410));
        // The call itself is not harmed.
        let mut line = Line::open(&fresh, "call-1").await.expect("accepted");
        line.start().await;
        line.event("media").await;
        line.stop("callended").await;
        assert!(line.closed().await);
        assert_eq!(world.reason("call-1").await, "caller/hung-up");
        server.stop().await;
    }

    /// A carrier that asks twice has two tokens; the call is one all the same.
    async fn a_second_socket_of_a_call_does_not_harm_the_first(place) {
        let world = World::new(place, talker(60)).await;
        let server = world.serve(&[]).await;
        let urls = [announce(&server, "call-1").await, announce(&server, "call-1").await, announce(&server, "call-1").await];
        let mut first = Line::open(&urls[0], "call-1").await.expect("accepted");
        first.start().await;
        first.event("media").await;
        // One that starts, and one that goes away before it starts.
        let mut second = Line::open(&urls[1], "call-1").await.expect("accepted: the token is good");
        second.start().await;
        assert!(second.closed().await);
        Line::open(&urls[2], "call-1").await.expect("accepted: the token is good").close().await;
        first.event("media").await;
        assert!(!world.call("call-1").await.expect("a call").status.is_final());
        first.stop("callended").await;
        assert!(first.closed().await);
        let call = world.ended("call-1").await;
        assert_eq!(call.ended_reason.map(|reason| reason.as_str()), Some("caller/hung-up"));
        assert!(call.duration_ms.is_some_and(|ms| ms > 0));
        world.stored_recording(call.id).await;
        assert_eq!(world.audited("call.ended").await.len(), 1);
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_node_refuses_and_the_token_stays_good() {
    let place = Place::sqlite();
    let world = World::new(&place, colours()).await;
    let server = world.serve(&[("CALY_CALLS_MAX", "1")]).await;
    let (first, second) = (announce(&server, "call-1").await, announce(&server, "call-2").await);
    let mut line = Line::open(&first, "call-1").await.expect("accepted");
    line.start().await;
    line.event("media").await;
    assert_eq!(Line::open(&second, "call-2").await.err(), Some(503));
    line.stop("callended").await;
    assert!(line.closed().await);
    let accepted = eventually("the place is free again", A_MOMENT, async || Line::open(&second, "call-2").await.ok());
    accepted.await.close().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_media_address_is_no_page() {
    let place = Place::sqlite();
    let world = World::new(&place, colours()).await;
    let server = world.serve(&[]).await;
    let url = announce(&server, "call-1").await;
    let path = url.strip_prefix("ws://").and_then(|rest| rest.split_once('/')).expect("a path").1;
    let answer = get(&server, &format!("/{path}")).await;
    assert!((400..500).contains(&answer.status), "{answer:?}");
    // Looking at it has not used it up.
    Line::open(&url, "call-1").await.expect("accepted").close().await;
    server.stop().await;
}
