//! The carrier's media socket: by hand, message by message, or as the fake carrier does it.

use crate::program::{SECRET, Server};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use testkit::carrier::{Announce, CallObservation, CallerSide, FakeExotel, Options};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Whatever the server does by itself, it has done within this time.
const PATIENCE: Duration = Duration::from_secs(30);
/// One frame.
const FRAME_MS: u64 = 100;

/// A socket that the test drives.
pub(crate) struct Line {
    socket: WebSocketStream<TcpStream>,
    sid: String,
    sequence: u64,
}

impl Line {
    /// Opens a media address, or says with which status it was refused.
    pub(crate) async fn open(url: &str, sid: &str) -> Result<Self, u16> {
        Self::open_with(url, sid, None).await
    }

    /// The same, with a small buffer for what the server sends.
    pub(crate) async fn open_with(url: &str, sid: &str, receive_bytes: Option<u32>) -> Result<Self, u16> {
        let host = url.strip_prefix("ws://").and_then(|rest| rest.split('/').next()).expect("a ws:// address");
        let address: SocketAddr = host.parse().expect("an address with a port");
        let socket = TcpSocket::new_v4().expect("a socket");
        if let Some(bytes) = receive_bytes {
            socket.set_recv_buffer_size(bytes).expect("a buffer");
        }
        let stream = socket.connect(address).await.expect("connected");
        stream.set_nodelay(true).expect("set");
        match tokio_tungstenite::client_async(url, stream).await {
            Ok((socket, _)) => Ok(Self { socket, sid: sid.to_owned(), sequence: 0 }),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{url}: {error}"),
        }
    }

    pub(crate) async fn send(&mut self, message: Message) -> bool {
        self.socket.send(message).await.is_ok()
    }

    pub(crate) async fn text(&mut self, message: Value) -> bool {
        self.send(Message::text(message.to_string())).await
    }

    /// `connected` and `start`.
    pub(crate) async fn start(&mut self) {
        assert!(self.text(json!({"event": "connected"})).await);
        let sid = self.sid.clone();
        assert!(self.start_of(&sid, 8_000).await);
    }

    pub(crate) async fn start_of(&mut self, sid: &str, rate_hz: u32) -> bool {
        self.sequence += 1;
        let start = json!({"event": "start", "sequence_number": self.sequence.to_string(), "stream_sid": "stream-1",
            "start": {"stream_sid": "stream-1", "call_sid": sid, "account_sid": "account", "from": "09876543210",
                "to": "08047491899",
                "media_format": {"encoding": "base64", "sample_rate": rate_hz.to_string(), "bit_rate": "128kbps"}}});
        self.text(start).await
    }

    pub(crate) async fn stop(&mut self, reason: &str) {
        self.text(json!({"event": "stop", "stream_sid": "stream-1", "stop": {"reason": reason}})).await;
    }

    /// A frame of silence.
    pub(crate) async fn silence(&mut self, rate_hz: u32) -> bool {
        self.sequence += 1;
        let payload = STANDARD.encode(vec![0; rate_hz as usize / 10 * 2]);
        let sequence = self.sequence.to_string();
        self.text(json!({"event": "media", "sequence_number": sequence, "stream_sid": "stream-1",
            "media": {"chunk": sequence, "timestamp": (self.sequence * FRAME_MS).to_string(), "payload": payload}}))
            .await
    }

    /// The next event of the server that is named so.
    pub(crate) async fn event(&mut self, name: &str) -> Value {
        let wait = async {
            while let Some(Ok(message)) = self.socket.next().await {
                let event: Value = serde_json::from_str(message.to_text().unwrap_or_default()).unwrap_or_default();
                if event["event"] == name {
                    return event;
                }
            }
            panic!("the line ended before «{name}»")
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("no «{name}»"))
    }

    /// Reads on until the server closes; false when it never does.
    pub(crate) async fn closed(&mut self) -> bool {
        let read = async { while let Some(Ok(_)) = self.socket.next().await {} };
        tokio::time::timeout(PATIENCE, read).await.is_ok()
    }

    /// Goes on sending silence, in real time and without ever reading, until the server no longer takes it.
    pub(crate) async fn talk_without_listening(&mut self, rate_hz: u32) -> bool {
        let talk = async {
            let mut clock = tokio::time::interval(Duration::from_millis(FRAME_MS));
            loop {
                clock.tick().await;
                if !self.silence(rate_hz).await {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, talk).await.is_ok()
    }

    /// Hangs up without a word.
    pub(crate) async fn close(mut self) {
        // The server may have closed before.
        let _ = self.socket.close(None).await;
        self.closed().await;
    }
}

/// A call of the fake carrier, from the webhook to the report of its end.
pub(crate) async fn call(
    server: &Server,
    caller: &mut dyn CallerSide,
    edit: impl FnOnce(&mut Options),
) -> CallObservation {
    call_at(&server.url, caller, edit).await
}

/// The same, of a server somewhere.
pub(crate) async fn call_at(
    url: &str,
    caller: &mut dyn CallerSide,
    edit: impl FnOnce(&mut Options),
) -> CallObservation {
    let mut options = Options::new(url, Announce::Signed { secret: SecretString::from(SECRET) });
    options.call_max = Duration::from_secs(60);
    edit(&mut options);
    FakeExotel::new(options).place_call(caller).await.expect("the call is taken")
}
