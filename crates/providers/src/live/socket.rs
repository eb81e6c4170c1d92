//! One WebSocket to a vendor: the handshake, and its errors put into ours.

use super::SEND_TIMEOUT;
use crate::egress::refusal;
use crate::http::{Http, kind_of_status};
use crate::{Error, ErrorKind};
use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

/// Read buffer of a connection. Results are about 1 kB; the library's own 128 KiB would be most of a call's memory.
const READ_BUFFER_BYTES: usize = 4 * 1024;
/// So much is gathered before it is written: messages that belong together are one system call.
const WRITE_BUFFER_BYTES: usize = 8 * 1024;
/// Longest message that is read. A result with hundreds of words is 100 kB, a second of speech in base64 64 kB.
const MESSAGE_BYTES_MAX: usize = 512 * 1024;
/// The handshake is given this much on top of the connect timeout, for the answer to the upgrade.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest farewell.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Most of a close reason that is shown, in characters.
const REASON_CHARS_MAX: usize = 60;

/// What is particular to a vendor's connections.
#[derive(Debug)]
pub(crate) struct Vendor {
    /// Its stable short name.
    pub(crate) name: &'static str,
    /// What the body of a refused handshake says, for an operator.
    pub(crate) refusal: fn(&[u8]) -> String,
    /// What a close code and its reason mean.
    pub(crate) closed: fn(u16, &str) -> ErrorKind,
}

impl Vendor {
    /// A failure of this vendor.
    pub(crate) fn error(&self, kind: ErrorKind, detail: impl Into<String>) -> Error {
        Error::new(kind, self.name, detail)
    }
}

/// Where to connect, with key and roots; to connect again it is used again.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    pub(super) vendor: &'static Vendor,
    url: String,
    header: (HeaderName, HeaderValue),
    http: Http,
    timeout: Duration,
    message_bytes_max: usize,
}

impl Address {
    /// `base` without query; `header` carries the key.
    pub(crate) fn new(
        vendor: &'static Vendor,
        http: &Http,
        base: &str,
        query: &str,
        header: (HeaderName, String),
    ) -> Result<Self, Error> {
        let base = base.trim().trim_end_matches(['/', '?']);
        let url = match base.split_once("://") {
            Some(("wss" | "ws", _)) => format!("{base}?{query}"),
            Some(("https", rest)) => format!("wss://{rest}?{query}"),
            Some(("http", rest)) => format!("ws://{rest}?{query}"),
            Some(_) | None => return Err(vendor.error(ErrorKind::Rejected, "the address must begin with wss://")),
        };
        let (name, value) = header;
        let mut value = HeaderValue::try_from(value)
            .map_err(|_| vendor.error(ErrorKind::Unauthorized, "the key has characters no key has"))?;
        value.set_sensitive(true);
        let timeout = http.connect_timeout() + UPGRADE_TIMEOUT;
        let http = http.clone();
        Ok(Self { vendor, url, header: (name, value), http, timeout, message_bytes_max: MESSAGE_BYTES_MAX })
    }

    /// For a vendor whose messages are longer than those of most.
    pub(crate) const fn with_message_bytes_max(mut self, bytes: usize) -> Self {
        self.message_bytes_max = bytes;
        self
    }

    /// Where it leads. The key is not in it.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) async fn connect(&self) -> Result<Socket, Error> {
        let mut request = self
            .url
            .as_str()
            .into_client_request()
            .map_err(|e| self.vendor.error(ErrorKind::Rejected, "the address is no URL").caused_by(e))?;
        request.headers_mut().insert(self.header.0.clone(), self.header.1.clone());
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(WRITE_BUFFER_BYTES)
            .max_message_size(Some(self.message_bytes_max))
            .max_frame_size(Some(self.message_bytes_max));
        let connector = Connector::Rustls(Arc::clone(self.http.tls()));
        let connecting = Box::pin(async {
            let no_host = || tungstenite::Error::Url(tungstenite::error::UrlError::NoHostName);
            let host = request.uri().host().ok_or_else(no_host)?.to_owned();
            let port =
                request.uri().port_u16().unwrap_or(if request.uri().scheme_str() == Some("ws") { 80 } else { 443 });
            let stream = self.http.dial(&host, port).await?;
            client_async_tls_with_config(request, stream, Some(config), Some(connector)).await
        });
        match timeout(self.timeout, connecting).await {
            Ok(Ok((stream, _))) => Ok(Socket { vendor: self.vendor, stream }),
            Ok(Err(error)) => Err(socket_error(self.vendor, error)),
            Err(_) => Err(self.vendor.error(ErrorKind::TimedOut, "no connection in time")),
        }
    }
}

/// What comes over a connection.
#[derive(Debug)]
pub(crate) enum Frame {
    /// Text.
    Text(tungstenite::Utf8Bytes),
    /// Bytes.
    Binary(Bytes),
    /// Nothing but a sign of life.
    SignOfLife,
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Socket {
    vendor: &'static Vendor,
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Socket {
    pub(crate) async fn send(&mut self, message: Message) -> Result<(), Error> {
        match timeout(SEND_TIMEOUT, self.stream.send(message)).await {
            Ok(result) => result.map_err(|error| socket_error(self.vendor, error)),
            Err(_) => Err(self.vendor.error(ErrorKind::TimedOut, "a message is not taken")),
        }
    }

    /// A message that others follow at once: it goes out with the next [`Self::send`].
    pub(crate) async fn feed(&mut self, message: Message) -> Result<(), Error> {
        match timeout(SEND_TIMEOUT, self.stream.feed(message)).await {
            Ok(result) => result.map_err(|error| socket_error(self.vendor, error)),
            Err(_) => Err(self.vendor.error(ErrorKind::TimedOut, "a message is not taken")),
        }
    }

    pub(crate) async fn ping(&mut self) -> Result<(), Error> {
        self.send(Message::Ping(Bytes::new())).await
    }

    /// The next text; `None` for what is only a sign of life. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Option<tungstenite::Utf8Bytes>, Error> {
        Ok(match self.next_frame().await? {
            Frame::Text(text) => Some(text),
            Frame::Binary(_) | Frame::SignOfLife => None,
        })
    }

    /// The next message. Cancel-safe.
    pub(crate) async fn next_frame(&mut self) -> Result<Frame, Error> {
        match self.stream.next().await {
            Some(Ok(Message::Text(text))) => Ok(Frame::Text(text)),
            Some(Ok(Message::Binary(bytes))) => Ok(Frame::Binary(bytes)),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(Frame::SignOfLife),
            Some(Ok(Message::Close(Some(frame)))) => {
                let code = u16::from(frame.code);
                let kind = (self.vendor.closed)(code, &frame.reason);
                let reason: String = frame.reason.chars().take(REASON_CHARS_MAX).collect();
                Err(self.vendor.error(kind, format!("closed with {code} {reason}").trim_end()))
            }
            Some(Ok(Message::Close(None))) | None => Err(self.vendor.error(ErrorKind::Unavailable, "closed")),
            Some(Err(error)) => Err(socket_error(self.vendor, error)),
        }
    }

    /// Reads what has come while nobody looked. False = the connection is over.
    pub(crate) fn is_alive(&mut self) -> bool {
        while let Some(next) = self.next().now_or_never() {
            if next.is_err() {
                return false;
            }
        }
        true
    }

    /// Says good-bye, so that they stop counting time.
    pub(crate) async fn close(mut self, farewell: Option<Message>) {
        let farewell = async {
            if let Some(message) = farewell {
                self.stream.send(message).await?;
            }
            self.stream.close(None).await
        };
        // Nobody waits for the result of a conversation that is over.
        let _ = timeout(CLOSE_TIMEOUT, farewell).await;
    }
}

fn socket_error(vendor: &'static Vendor, error: tungstenite::Error) -> Error {
    use tungstenite::Error as Ws;
    let (kind, detail) = match &error {
        Ws::Http(response) => {
            let status = response.status().as_u16();
            // Their text explains a refused parameter, and never quotes a key.
            let said = (vendor.refusal)(response.body().as_deref().unwrap_or_default());
            let wait = response.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse::<u32>().ok());
            let wait = wait.map(|seconds| format!(" (retry after {seconds} s)")).unwrap_or_default();
            let detail = format!("HTTP {status} {}", said.trim());
            return vendor.error(kind_of_status(status), format!("{}{wait}", detail.trim_end()));
        }
        Ws::ConnectionClosed | Ws::AlreadyClosed => (ErrorKind::Unavailable, "closed"),
        Ws::Io(error) if refusal(error).is_some() => (ErrorKind::Rejected, "the address must lead to a public address"),
        Ws::Io(_) => (ErrorKind::Unavailable, "the connection broke"),
        Ws::Tls(_) => (ErrorKind::Unavailable, "no trusted connection"),
        Ws::Url(_) | Ws::HttpFormat(_) => (ErrorKind::Rejected, "the address is no URL"),
        Ws::Protocol(
            tungstenite::error::ProtocolError::ResetWithoutClosingHandshake
            | tungstenite::error::ProtocolError::SendAfterClosing,
        ) => (ErrorKind::Unavailable, "the connection broke"),
        _ => (ErrorKind::Protocol, "not a WebSocket as expected"),
    };
    vendor.error(kind, detail).caused_by(error)
}
