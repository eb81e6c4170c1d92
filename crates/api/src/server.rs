//! The listener: connections are counted, by all and by address; headers must come in time; idle connections end;
//! nobody may leave an answer unread for ever; and draining lets requests finish.
//!
//! `axum::serve` has no time limit for request headers; a client that sends them byte by byte would hold its
//! connection for ever.

mod places;
mod pulse;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use places::{Place, Places};
use pulse::{Pulse, Pulsing};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

/// Connections at once. A media socket is one of them until it is accepted; then the switchboard counts it. Each costs
/// some kilobytes; the operating system's limit of open files is usually reached first.
const CONNECTIONS_MAX: usize = 8_192;
/// Connections at once of one address, or of one network of IPv6: a quarter of all, so that nobody alone takes them all.
/// It is high on purpose: carriers come from a few addresses, a thousand calls may begin at the same moment, and behind
/// a proxy everybody has its address.
const CONNECTIONS_OF_ONE_MAX: usize = 2_048;
/// The request line and the headers of one request. Access tokens have about 500 bytes. More is answered with 431, as
/// are more than 100 headers (the library's own limit).
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// What is read or written at once. A body of 1 MiB passes in pieces of this.
const BUFFER_BYTES_MAX: usize = 64 * 1024;
/// A client that takes nothing of its answer for so long is gone. Media sockets have it, too.
const WRITE_STALL: Duration = Duration::from_secs(30);
/// Requests under way are given this long when the node stops. Media sockets are not among them.
const FINISH_DEADLINE: Duration = Duration::from_secs(15);
/// After a failed accept (no file descriptors left) the next try waits.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who is at the other end of the connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Serves until `stop` is cancelled, then lets requests finish.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let places = Places::new(CONNECTIONS_OF_ONE_MAX);
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &room) => accepted,
        };
        let Some((stream, peer, permit)) = accepted else { continue };
        let Some(place) = places.take(peer.ip()) else {
            // Closed without a word: an answer would cost more than the connection.
            tracing::debug!("an address has too many connections");
            continue;
        };
        let connection = connection(stream, peer, router.clone(), stop.clone());
        connections.spawn(async move {
            connection.await;
            let _: (OwnedSemaphorePermit, Place) = (permit, place);
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(FINISH_DEADLINE, connections.wait()).await.is_err() {
        tracing::warn!("requests were still under way when the node stopped");
    }
}

/// One connection, until it ends or becomes a socket.
async fn connection<S>(stream: S, peer: SocketAddr, router: Router, stopping: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let pulse = Pulse::new(Instant::now());
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_STALL));
    let stream = Pulsing::new(Box::pin(stream), pulse.clone());
    let beats = pulse.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        beats.request_began();
        let (beats, answer) = (beats.clone(), router.clone().oneshot(request));
        async move {
            let answer = answer.await;
            beats.request_ended(Instant::now());
            answer
        }
    });
    // HTTP/1 said outright: hyper-util's automatic choice waits for the first bytes without any time limit. hyper's own
    // limit for headers counts the pause between two requests as well, and would end connections that proxies keep; so
    // the pulse has both.
    let mut builder = http1::Builder::new();
    builder.header_read_timeout(None).max_header_size(HEAD_BYTES_MAX).max_buf_size(BUFFER_BYTES_MAX);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
    let mut draining = false;
    loop {
        let look_at = pulse.look_at(Instant::now());
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(error = %error, "a connection ended badly");
                }
                return;
            }
            () = stopping.cancelled(), if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
            () = tokio::time::sleep_until(look_at) => {
                if pulse.is_over(Instant::now()) {
                    return;
                }
            }
        }
    }
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = room.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => {
            // Small frames of audio must not wait for larger ones.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(error = %error, "no TCP_NODELAY");
            }
            Some((stream, peer, permit))
        }
        Err(error) => {
            tracing::warn!(error = %error, "a connection could not be accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::extract::ws::WebSocketUpgrade;
    use axum::routing::{any, get};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::task::JoinHandle;

    /// What the network holds of what the other side does not read.
    const WIRE_BYTES: usize = 4 * 1024;
    const S: Duration = Duration::from_secs(1);
    const OPENING: &[u8] = b"GET /socket HTTP/1.1\r\nHost: caly\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    fn router() -> Router {
        let echo = |upgrade: WebSocketUpgrade| async {
            upgrade.on_upgrade(|mut socket| async move {
                while let Some(Ok(message)) = socket.recv().await {
                    if socket.send(message).await.is_err() {
                        break;
                    }
                }
            })
        };
        let slow = || async { tokio::time::sleep(4 * S).await };
        Router::new()
            .route("/", get(|| async { "hello" }))
            .route("/long", get(|| async { Body::from(vec![b'x'; 1_000_000]) }))
            .route("/slow", get(slow))
            .route("/socket", any(echo))
    }

    fn open() -> (DuplexStream, JoinHandle<()>, CancellationToken) {
        let (client, server) = duplex(WIRE_BYTES);
        let stop = CancellationToken::new();
        let peer = SocketAddr::from(([203, 0, 113, 9], 4_711));
        (client, tokio::spawn(connection(server, peer, router(), stop.clone())), stop)
    }

    /// Reads until this is there.
    async fn until(client: &mut DuplexStream, wanted: &[u8]) -> Vec<u8> {
        let mut read = Vec::new();
        while !read.windows(wanted.len()).any(|window| window == wanted) {
            assert_ne!(client.read_buf(&mut read).await.expect("open"), 0, "{}", String::from_utf8_lossy(&read));
        }
        read
    }

    /// How long it takes until the server has closed.
    async fn closed_after(task: JoinHandle<()>) -> Duration {
        let began = Instant::now();
        task.await.expect("ends");
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_or_speaks_too_slowly_is_let_go() {
        let (_client, task, _stop) = open();
        assert_eq!(closed_after(task).await.as_secs(), 5);

        let (mut client, task, _stop) = open();
        let drip = tokio::spawn(async move {
            client.write_all(b"GET / HTTP/1.1\r\n").await?;
            loop {
                tokio::time::sleep(S).await;
                client.write_all(b"X-A: b\r\n").await?;
            }
            #[expect(unreachable_code, reason = "gives the block its type")]
            Ok::<(), std::io::Error>(())
        });
        assert_eq!(closed_after(task).await.as_secs(), 5);
        assert!(drip.await.expect("ends").is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_is_kept_for_a_minute_and_then_closed() {
        let (mut client, task, _stop) = open();
        for _ in 0..3 {
            client.write_all(b"GET / HTTP/1.1\r\nHost: caly\r\n\r\n").await.expect("open");
            until(&mut client, b"hello").await;
            tokio::time::sleep(60 * S).await;
        }
        // The next request has five seconds for its headers, wherever the minute stands.
        client.write_all(b"GET / HT").await.expect("open");
        assert_eq!(closed_after(task).await.as_secs(), 5);
        let (mut client, task, _stop) = open();
        client.write_all(b"GET / HTTP/1.1\r\nHost: caly\r\n\r\n").await.expect("open");
        until(&mut client, b"hello").await;
        assert_eq!(closed_after(task).await.as_secs(), 65);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_is_given_up_and_a_slow_taker_is_not() {
        let (mut client, task, _stop) = open();
        client.write_all(b"GET /long HTTP/1.1\r\nHost: caly\r\n\r\n").await.expect("open");
        assert_eq!(closed_after(task).await.as_secs(), 30);

        let (mut client, task, _stop) = open();
        client.write_all(b"GET /long HTTP/1.1\r\nHost: caly\r\nConnection: close\r\n\r\n").await.expect("open");
        let mut piece = vec![0; WIRE_BYTES];
        let mut taken = 0;
        loop {
            tokio::time::sleep(10 * S).await;
            match client.read(&mut piece).await.expect("open") {
                0 => break,
                bytes => taken += bytes,
            }
        }
        assert!(taken > 1_000_000, "{taken}");
        task.await.expect("ends");
    }

    #[tokio::test(start_paused = true)]
    async fn a_socket_has_none_of_these_limits() {
        let (mut client, task, _stop) = open();
        client.write_all(OPENING).await.expect("open");
        let answer = until(&mut client, b"\r\n\r\n").await;
        assert!(answer.starts_with(b"HTTP/1.1 101"));
        // The connection has become a socket, and no longer counts as one.
        task.await.expect("ends");
        for _ in 0..3 {
            tokio::time::sleep(600 * S).await;
            client.write_all(b"\x82\x82\0\0\0\0hi").await.expect("open");
            assert_eq!(until(&mut client, b"hi").await, b"\x82\x02hi");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn headers_have_a_size_and_a_number() {
        let long = format!("GET / HTTP/1.1\r\nHost: caly\r\nX-Long: {}\r\n\r\n", "x".repeat(HEAD_BYTES_MAX));
        let many = format!("GET / HTTP/1.1\r\nHost: caly\r\n{}\r\n", "X-A: b\r\n".repeat(101));
        let fits = format!("GET / HTTP/1.1\r\nHost: caly\r\nX-Long: {}\r\n\r\n", "x".repeat(HEAD_BYTES_MAX - 100));
        for (head, status) in [(long, "431"), (many, "431"), (fits, "200")] {
            let (client, _task, _stop) = open();
            let (mut read, mut write) = tokio::io::split(client);
            let send = tokio::spawn(async move { write.write_all(head.as_bytes()).await });
            let mut answer = [0; 12];
            read.read_exact(&mut answer).await.expect("an answer");
            assert_eq!(String::from_utf8_lossy(&answer), format!("HTTP/1.1 {status}"));
            send.abort();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn draining_lets_the_request_finish_and_closes_the_idle() {
        let (_client, idle, stop) = open();
        stop.cancel();
        assert_eq!(closed_after(idle).await.as_secs(), 0);
        let (mut client, task, stop) = open();
        client.write_all(b"GET /slow HTTP/1.1\r\nHost: caly\r\n\r\n").await.expect("open");
        tokio::time::sleep(S).await;
        stop.cancel();
        let answer = until(&mut client, b"\r\n\r\n").await;
        assert!(answer.starts_with(b"HTTP/1.1 200"));
        assert!(closed_after(task).await < S);
    }
}
