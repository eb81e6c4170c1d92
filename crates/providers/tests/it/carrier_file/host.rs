//! A host that gives recordings, in every way in which carriers' hosts do: over a real socket, with or without TLS.
//! Used by the tests of other crates too.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

/// A request that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
}

/// What is said to a request.
#[derive(Clone, Debug)]
pub(crate) enum Say {
    /// A status and a body.
    Answer(u16, Vec<u8>),
    /// The same, with a header.
    With(u16, &'static str, String, Vec<u8>),
    /// 200, and the connection breaks after so many bytes of the body.
    Cut(Vec<u8>, usize),
    /// 200, and a byte of the body every so often.
    Drip(Vec<u8>, Duration),
    /// 200, half of the body, and then nothing.
    Stop(Vec<u8>),
    /// Nothing at all.
    Silence,
    /// 200, and this without end.
    Endless(Vec<u8>),
}

type Handler = dyn Fn(&Asked, usize) -> Say + Send + Sync;

/// A running host.
pub(crate) struct Host {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// Takes a connection over before HTTP is spoken, for TLS.
pub(crate) type Wrap = Arc<
    dyn Fn(tokio::net::TcpStream) -> std::pin::Pin<Box<dyn Future<Output = Option<Box<dyn Socket>>> + Send>>
        + Send
        + Sync,
>;

/// What HTTP is spoken over.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Socket for T {}

impl Host {
    /// Answers each request as the handler says; it is told how many came before.
    pub(crate) async fn start(handler: impl Fn(&Asked, usize) -> Say + Send + Sync + 'static) -> Self {
        Self::wrapped(Arc::new(|socket| Box::pin(async { Some(Box::new(socket) as Box<dyn Socket>) })), handler).await
    }

    pub(crate) async fn wrapped(wrap: Wrap, handler: impl Fn(&Asked, usize) -> Say + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it has one");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, handler): (_, Arc<Handler>) = (asked.clone(), Arc::new(handler));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (wrap, log, handler) = (wrap.clone(), log.clone(), handler.clone());
                tokio::spawn(async move {
                    if let Some(socket) = wrap(socket).await {
                        // Whoever hangs up early is no failure of the host.
                        let _ = serve(socket, &log, &*handler).await;
                    }
                });
            }
        });
        Self { address, asked }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Every request so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no holder panics").clone()
    }
}

async fn serve(mut socket: Box<dyn Socket>, log: &Mutex<Vec<Asked>>, handler: &Handler) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let header = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).next()
    };
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let asked = Asked { path, authorization: header("authorization") };
    let before = {
        let mut log = log.lock().expect("no holder panics");
        log.push(asked.clone());
        log.len() - 1
    };
    let start = |status: u16, more: &str, length: usize| {
        format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n{more}\r\n").into_bytes()
    };
    match handler(&asked, before) {
        Say::Answer(status, body) => socket.write_all(&[start(status, "", body.len()), body].concat()).await?,
        Say::With(status, name, value, body) => {
            let head = start(status, &format!("{name}: {value}\r\n"), body.len());
            socket.write_all(&[head, body].concat()).await?;
        }
        Say::Cut(body, after) => {
            socket.write_all(&[&start(200, "", body.len())[..], &body[..after]].concat()).await?;
        }
        Say::Drip(body, every) => {
            socket.write_all(&start(200, "", body.len())).await?;
            for byte in body {
                socket.write_all(&[byte]).await?;
                socket.flush().await?;
                tokio::time::sleep(every).await;
            }
        }
        Say::Stop(body) => {
            socket.write_all(&[&start(200, "", body.len())[..], &body[..body.len() / 2]].concat()).await?;
            socket.flush().await?;
            std::future::pending::<()>().await;
        }
        Say::Silence => std::future::pending::<()>().await,
        Say::Endless(body) => {
            socket.write_all(b"HTTP/1.1 200 X\r\nconnection: close\r\n\r\n").await?;
            loop {
                socket.write_all(&body).await?;
            }
        }
    }
    socket.flush().await?;
    socket.shutdown().await
}

/// A silent MP3 of so many milliseconds (to the next frame of 26 ms): MPEG-1 layer 3, 32 kbit/s, 44.1 kHz, one channel.
/// An empty side information decodes to silence.
pub(crate) fn mp3(duration_ms: usize) -> Vec<u8> {
    let mut frame = vec![0xff, 0xfb, 0x10, 0xc4];
    frame.resize(104, 0);
    frame.repeat((duration_ms * 44_100).div_ceil(1_152 * 1_000))
}
