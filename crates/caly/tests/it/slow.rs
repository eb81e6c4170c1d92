//! Clients that are slow on purpose are closed, and nobody else notices.

use crate::place::Place;
use crate::post::get;
use crate::program::Server;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// More than one slow client, so that a lock they all held would show.
const CLIENTS: usize = 50;
/// Later than every deadline of a request together.
const CLOSED_WITHIN: Duration = Duration::from_secs(25);
/// Between two bytes of a slow client.
const DRIP: Duration = Duration::from_millis(500);

/// Sends this, then byte after byte for as long as it is let; the answer, and how long it took to be closed.
async fn drip(server: &str, begin: &str) -> (String, Duration) {
    let began = Instant::now();
    let mut socket = TcpStream::connect(server).await.expect("connected");
    socket.write_all(begin.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    let mut buffer = [0; 1024];
    while began.elapsed() < CLOSED_WITHIN {
        match timeout(DRIP, socket.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => return (String::from_utf8_lossy(&answer).into_owned(), began.elapsed()),
            Ok(Ok(count)) => answer.extend_from_slice(&buffer[..count]),
            Err(_) => {
                if socket.write_all(b"a").await.is_err() {
                    return (String::from_utf8_lossy(&answer).into_owned(), began.elapsed());
                }
            }
        }
    }
    panic!("still open after {CLOSED_WITHIN:?}: {}", String::from_utf8_lossy(&answer));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_headers_and_slow_bodies_are_closed_while_others_are_answered() {
    let place = Place::sqlite();
    let server = Server::start(&place, &[]).await;
    let address = server.url.trim_start_matches("http://").to_owned();
    let headers = "GET /health HTTP/1.1\r\nhost: x\r\nx-slow: ";
    let body =
        "POST /api/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n";
    let slow: Vec<_> = (0..CLIENTS)
        .map(|n| {
            let (address, begin) = (address.clone(), if n % 2 == 0 { headers } else { body });
            tokio::spawn(async move { drip(&address, begin).await })
        })
        .collect();
    for _ in 0..20 {
        let began = Instant::now();
        assert_eq!(get(&server, "/health/live").await.status, 200);
        assert!(began.elapsed() < Duration::from_secs(2), "others wait for the slow ones");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for (n, client) in slow.into_iter().enumerate() {
        let (answer, _) = client.await.expect("closed");
        if n % 2 == 1 && !answer.is_empty() {
            assert!(answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 503"), "{answer}");
        }
    }
    server.stop().await;
}
