//! Clients that hold a connection without using it, or speak something else.

use crate::place::Place;
use crate::post::get;
use crate::program::Server;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The server loses its patience within this time.
const PATIENCE: Duration = Duration::from_secs(15);

/// Sends this and nothing more; what came back until the server closed.
async fn raw(server: &Server, what: &str, bytes: &[u8]) -> String {
    let address = server.url.strip_prefix("http://").expect("http");
    let mut stream = TcpStream::connect(address).await.expect("connected");
    // It may not even want to read all of it.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    // A reset is an end, too.
    let _ = read.unwrap_or_else(|_| panic!("the server holds the connection: {what}"));
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_and_unreadable_requests_hold_nothing() {
    let place = Place::sqlite();
    let server = Server::start(&place, &[]).await;
    let slow: &[u8] = b"GET /health HTTP/1.1\r\nHost: caly\r\nX-Slow: ";
    let body =
        b"POST /webhooks/exotel/call-start HTTP/1.1\r\nHost: caly\r\nConnection: close\r\nContent-Length: 100\r\n\r\n{";
    let large = [b"GET /health HTTP/1.1\r\nX-Large: ".as_slice(), &[b'x'; 600_000], b"\r\n\r\n"].concat();
    let (slow, nothing, body, garbage, large) = tokio::join!(
        raw(&server, "half a header", slow),
        raw(&server, "nothing", b""),
        raw(&server, "half a body", body),
        raw(&server, "TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 this is TLS\r\n\r\n"),
        raw(&server, "a large header", &large),
    );
    for answer in [&slow, &nothing] {
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
    assert!(body.starts_with("HTTP/1.1 503") && body.contains("request_timeout"), "{body}");
    assert!(garbage.is_empty() || garbage.starts_with("HTTP/1.1 400"), "{garbage}");
    assert!(large.is_empty() || large.starts_with("HTTP/1.1 431"), "{large}");
    assert_eq!(get(&server, "/health").await.status, 200);
    server.stop().await;
}
