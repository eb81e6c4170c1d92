//! The way to a service, which can go wrong: connections are carried byte by byte, and broken, held back or answered in
//! the service's place as a test says.
//!
//! Knows only so much of HTTP as it needs: where the head of an answer ends, and whether the connection is a WebSocket
//! from then on. A fault that begins while connections are open hits the open WebSockets, too.

use super::faults::WayFault;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Between two bytes of [`WayFault::Drip`].
const DRIP: Duration = Duration::from_secs(1);
/// A service that is gone once is back after this.
const GONE_ONCE: Duration = Duration::from_secs(1);
/// What was sent has left by then, and is read before the connection breaks.
const FLUSHED: Duration = Duration::from_millis(30);
/// Whoever was refused has read why by then.
const REFUSAL_READ: Duration = Duration::from_secs(2);
/// Connections that wait to be taken.
const BACKLOG: u32 = 64;
/// Longest head of an answer.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// See the module. It ends when it is dropped.
pub struct Way {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    to: SocketAddr,
    fault: Mutex<Option<(WayFault, u32)>>,
    changed: watch::Sender<u64>,
    stop: CancellationToken,
}

impl Way {
    /// A way to this address, without faults.
    ///
    /// # Errors
    /// When there is no port to listen on.
    pub async fn to(to: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (changed, _) = watch::channel(0);
        let shared = Arc::new(Shared { to, fault: Mutex::new(None), changed, stop: CancellationToken::new() });
        let stop = shared.stop.clone();
        tokio::spawn(stop.run_until_cancelled_owned(listen(Arc::clone(&shared), listener, address)));
        Ok(Self { address, shared })
    }

    /// Where it begins.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next `times` connections go wrong, open WebSockets first. Once refused is refused for a second.
    pub fn fail(&self, fault: WayFault, times: u32) {
        *self.shared.lock() = Some((fault, times));
        self.shared.changed.send_modify(|change| *change += 1);
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Option<(WayFault, u32)>> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Option<WayFault> {
        self.lock().filter(|(_, times)| *times > 0).map(|(fault, _)| fault)
    }

    fn take(&self) -> Option<WayFault> {
        let mut line = self.lock();
        let (fault, times) = line.as_mut().filter(|(_, times)| *times > 0)?;
        // For ever is not counted down.
        *times -= u32::from(*times != u32::MAX);
        Some(*fault)
    }
}

/// Takes connections, while somebody is there to take them.
async fn listen(shared: Arc<Shared>, listener: TcpListener, address: SocketAddr) {
    let mut changed = shared.changed.subscribe();
    let mut listener = Some(listener);
    loop {
        if shared.now() == Some(WayFault::Refuse) {
            drop(listener.take());
            // Bound, and not listening: the port stays ours, and whoever connects is refused.
            let held = held(address);
            let for_ever = shared.lock().is_some_and(|(_, times)| times == u32::MAX);
            let healed = async { if for_ever { std::future::pending().await } else { sleep(GONE_ONCE).await } };
            tokio::select! {
                () = healed => drop(shared.take()),
                _ = changed.changed() => {}
            }
            match held.and_then(|held| held.listen(BACKLOG)) {
                Ok(open) => listener = Some(open),
                Err(error) => return tracing::error!(%error, "the port of a faulty way is gone"),
            }
            continue;
        }
        let Some(open) = listener.take() else { return };
        tokio::select! {
            accepted = open.accept() => if let Ok((inside, _)) = accepted {
                let carried = carry(Arc::clone(&shared), inside);
                tokio::spawn(shared.stop.clone().run_until_cancelled_owned(carried));
            },
            _ = changed.changed() => {}
        }
        listener = Some(open);
    }
}

fn held(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// One connection.
async fn carry(shared: Arc<Shared>, mut inside: TcpStream) {
    let mut changed = shared.changed.subscribe();
    changed.mark_unchanged();
    let mut first = vec![0; 4_096];
    // A connection that is made and not used has no fault yet.
    let read = tokio::select! {
        read = inside.read(&mut first) => read,
        _ = changed.changed() => return,
    };
    let Ok(count) = read else { return };
    first.truncate(count);
    if count == 0 {
        return;
    }
    let fault = shared.take();
    match fault {
        Some(WayFault::Refuse) => return,
        Some(WayFault::Silent) => return swallow(inside).await,
        Some(WayFault::Status(status)) => return refuse(inside, &refusal(status)).await,
        Some(WayFault::Malformed) => return refuse(inside, "220 mail.example.org ESMTP ready\r\n").await,
        Some(WayFault::StallAfter(_) | WayFault::Drip | WayFault::CutAfter(_)) | None => {}
    }
    let Ok(mut outside) = TcpStream::connect(shared.to).await else { return };
    // Small messages must leave at once.
    let ready = inside.set_nodelay(true).and_then(|()| outside.set_nodelay(true));
    if ready.is_err() || outside.write_all(&first).await.is_err() {
        return;
    }
    let ((inside_reads, inside_writes), (outside_reads, outside_writes)) = (inside.into_split(), outside.into_split());
    let back = Back { shared, changed, from: outside_reads, to: inside_writes, fault, body: None, live: false };
    tokio::select! {
        () = forward(inside_reads, outside_writes) => {}
        () = back.run() => {}
    }
}

async fn swallow(mut inside: TcpStream) {
    let mut read = vec![0; 4_096];
    while let Ok(1..) = inside.read(&mut read).await {}
}

/// Answers in the service's place.
async fn refuse(mut inside: TcpStream, answer: &str) {
    if inside.write_all(answer.as_bytes()).await.is_ok() && inside.shutdown().await.is_ok() {
        // Closed with something unread, it would take the answer back.
        let _ = timeout(REFUSAL_READ, swallow(inside)).await;
    }
}

fn refusal(status: u16) -> String {
    let body = r#"{"error":{"message":"This was asked for.","type":"fault","code":"fault"}}"#;
    let wait = if status == 429 { "retry-after: 1\r\n" } else { "" };
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Asked For\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{wait}\
         connection: close\r\n\r\n{body}"
    )
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    // Either side may be gone at any time.
    let _ = tokio::io::copy(&mut from, &mut to).await;
}

/// The way back, from the service.
struct Back {
    shared: Arc<Shared>,
    changed: watch::Receiver<u64>,
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    fault: Option<WayFault>,
    /// Bytes of the body (since the fault began) that have passed; `None` = still in the head.
    body: Option<usize>,
    /// It is a WebSocket.
    live: bool,
}

enum Step {
    On,
    Over,
}

impl Back {
    async fn run(mut self) {
        let mut head = Vec::new();
        let mut read = vec![0; 4_096];
        loop {
            let step = tokio::select! {
                biased;
                _ = self.changed.changed() => self.changes(),
                count = self.from.read(&mut read) => match count {
                    Ok(0) | Err(_) => Step::Over,
                    Ok(count) => self.pass(&read[..count], &mut head).await,
                },
            };
            if matches!(step, Step::Over) {
                return;
            }
        }
    }

    /// A fault begins.
    fn changes(&mut self) -> Step {
        match self.shared.now() {
            None => Step::On,
            Some(WayFault::Silent | WayFault::StallAfter(_) | WayFault::Drip | WayFault::CutAfter(_)) if self.live => {
                self.fault = self.shared.take();
                self.body = Some(0);
                Step::On
            }
            Some(_) => Step::Over,
        }
    }

    async fn pass(&mut self, bytes: &[u8], head: &mut Vec<u8>) -> Step {
        if self.body.is_some() {
            return self.pass_body(bytes).await;
        }
        let before = head.len();
        head.extend_from_slice(bytes);
        let end = head.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
        let Some(end) = end.filter(|end| *end <= HEAD_BYTES_MAX) else { return self.write(bytes).await };
        self.live = head.starts_with(b"HTTP/1.1 101");
        // Later answers on a connection without a fault are of no interest.
        self.body = Some(0);
        let (of_head, of_body) = bytes.split_at(end.saturating_sub(before));
        match self.write(of_head).await {
            Step::On => self.pass_body(of_body).await,
            Step::Over => Step::Over,
        }
    }

    async fn pass_body(&mut self, bytes: &[u8]) -> Step {
        let passed = self.body.unwrap_or(0);
        let most = match self.fault {
            Some(WayFault::Silent) => 0,
            Some(WayFault::StallAfter(most) | WayFault::CutAfter(most)) => most,
            Some(WayFault::Drip) => return self.drip(bytes).await,
            Some(WayFault::Refuse | WayFault::Status(_) | WayFault::Malformed) | None => usize::MAX,
        };
        let let_through = bytes.len().min(most.saturating_sub(passed));
        self.body = Some(passed.saturating_add(let_through));
        if let Step::Over = self.write(&bytes[..let_through]).await {
            return Step::Over;
        }
        if let_through < bytes.len() && matches!(self.fault, Some(WayFault::CutAfter(_))) {
            sleep(FLUSHED).await;
            return Step::Over;
        }
        Step::On
    }

    async fn drip(&mut self, bytes: &[u8]) -> Step {
        for byte in bytes {
            sleep(DRIP).await;
            if let Step::Over = self.write(&[*byte]).await {
                return Step::Over;
            }
        }
        Step::On
    }

    async fn write(&mut self, bytes: &[u8]) -> Step {
        if self.to.write_all(bytes).await.is_ok() { Step::On } else { Step::Over }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    /// A service that answers each connection with this, and keeps it open.
    async fn service(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut read = [0; 1_024];
                    while let Ok(1..) = socket.read(&mut read).await {
                        if socket.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        address
    }

    /// What a question gets, up to the end or a moment of silence; whether it ended.
    async fn ask(way: &Way) -> Option<(String, bool)> {
        let mut socket = TcpStream::connect(way.address()).await.ok()?;
        socket.write_all(b"GET / HTTP/1.1\r\n\r\n").await.ok()?;
        Some(read(&mut socket).await)
    }

    async fn read(socket: &mut TcpStream) -> (String, bool) {
        let mut text = String::new();
        let mut bytes = [0; 1_024];
        loop {
            match timeout(Duration::from_millis(300), socket.read(&mut bytes)).await {
                Ok(Ok(0) | Err(_)) => return (text, true),
                Ok(Ok(count)) => text.push_str(&String::from_utf8_lossy(&bytes[..count])),
                Err(_) => return (text, false),
            }
        }
    }

    #[tokio::test]
    async fn each_fault_does_what_it_says_once() {
        const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n0123456789";
        let head = &ANSWER[..ANSWER.len() - 10];
        let way = Way::to(service(ANSWER).await).await.expect("a port");
        let (whole, half) = (ANSWER.to_owned(), format!("{head}0123"));
        assert_eq!(ask(&way).await, Some((whole.clone(), false)));
        for (fault, want) in [
            (WayFault::Silent, Some((String::new(), false))),
            (WayFault::StallAfter(4), Some((half.clone(), false))),
            (WayFault::Drip, Some((head.to_owned(), false))),
            (WayFault::CutAfter(4), Some((half, true))),
            (WayFault::Status(500), Some((refusal(500), true))),
            (WayFault::Status(429), Some((refusal(429), true))),
            (WayFault::Malformed, Some(("220 mail.example.org ESMTP ready\r\n".to_owned(), true))),
        ] {
            way.fail(fault, 1);
            assert_eq!(ask(&way).await, want, "{fault:?}");
            assert_eq!(ask(&way).await, Some((whole.clone(), false)), "after {fault:?}");
        }
        let began = Instant::now();
        way.fail(WayFault::Refuse, 1);
        sleep(FLUSHED).await;
        assert_eq!(ask(&way).await, None, "nobody listens");
        while ask(&way).await.is_none() {
            assert!(began.elapsed() < Duration::from_secs(20), "it is back");
            sleep(FLUSHED).await;
        }
    }

    #[tokio::test]
    async fn open_websockets_are_hit_and_idle_connections_broken() {
        for (answer, fault, on, ended) in [
            ("HTTP/1.1 101 X\r\n\r\n", WayFault::Silent, "", false),
            ("HTTP/1.1 101 X\r\n\r\n", WayFault::CutAfter(4), "HTTP", true),
            ("HTTP/1.1 101 X\r\n\r\n", WayFault::Status(401), "", true),
            ("HTTP/1.1 101 X\r\n\r\n", WayFault::Refuse, "", true),
            ("HTTP/1.1 200 X\r\n\r\n", WayFault::Silent, "", true),
        ] {
            let way = Way::to(service(answer).await).await.expect("a port");
            let mut socket = TcpStream::connect(way.address()).await.expect("taken");
            socket.write_all(b"x").await.expect("sent");
            assert_eq!(read(&mut socket).await, (answer.to_owned(), false));
            way.fail(fault, 1);
            sleep(FLUSHED).await;
            // It may be broken already.
            let _ = socket.write_all(b"x").await;
            assert_eq!(read(&mut socket).await, (on.to_owned(), ended), "{fault:?} {answer:?}");
        }
    }
}
