//! One WebSocket to Deepgram: the handshake, and its errors put into ours.

use super::{NAME, SEND_TIMEOUT};
use crate::http::{Http, kind_of_status};
use crate::{Error, ErrorKind};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::header::{AUTHORIZATION, HeaderValue};
use rustls::ClientConfig;
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};
use wire::deepgram::{CLOSE_STREAM, ServerError, close_is_transient};

/// Read buffer of a connection. Results are about 1 kB; the library's own 128 KiB would be most of a call's memory.
const READ_BUFFER_BYTES: usize = 4 * 1024;
/// Longest message that is read. A result with hundreds of words is 100 kB.
const MESSAGE_BYTES_MAX: usize = 512 * 1024;
/// The handshake is given this much on top of the connect timeout, for the answer to the upgrade.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest farewell.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Where to connect, with key and roots; to connect again it is used again.
pub(super) struct Address {
    url: String,
    authorization: HeaderValue,
    tls: Arc<ClientConfig>,
    timeout: Duration,
}

impl Address {
    pub(super) fn new(http: &Http, listen_url: &str, key: &SecretString, query: &str) -> Result<Self, Error> {
        let base = listen_url.trim().trim_end_matches(['/', '?']);
        let url = match base.split_once("://") {
            Some(("wss" | "ws", _)) => format!("{base}?{query}"),
            Some(("https", rest)) => format!("wss://{rest}?{query}"),
            Some(("http", rest)) => format!("ws://{rest}?{query}"),
            Some(_) | None => return Err(Error::new(ErrorKind::Rejected, NAME, "the address must begin with wss://")),
        };
        let mut authorization = HeaderValue::try_from(format!("Token {}", key.expose_secret().trim()))
            .map_err(|_| Error::new(ErrorKind::Unauthorized, NAME, "the key has characters no key has"))?;
        authorization.set_sensitive(true);
        let timeout = http.connect_timeout() + UPGRADE_TIMEOUT;
        Ok(Self { url, authorization, tls: Arc::clone(http.tls()), timeout })
    }

    pub(super) async fn connect(&self) -> Result<Socket, Error> {
        let mut request = self
            .url
            .as_str()
            .into_client_request()
            .map_err(|e| Error::new(ErrorKind::Rejected, NAME, "the address is no URL").caused_by(e))?;
        request.headers_mut().insert(AUTHORIZATION, self.authorization.clone());
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let connector = Connector::Rustls(Arc::clone(&self.tls));
        let connecting = Box::pin(connect_async_tls_with_config(request, Some(config), true, Some(connector)));
        match timeout(self.timeout, connecting).await {
            Ok(Ok((stream, _))) => Ok(Socket { stream }),
            Ok(Err(error)) => Err(socket_error(error)),
            Err(_) => Err(Error::new(ErrorKind::TimedOut, NAME, "no connection in time")),
        }
    }
}

/// An open connection.
pub(super) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Socket {
    pub(super) async fn send_audio(&mut self, pcm: Bytes) -> Result<(), Error> {
        self.send(Message::Binary(pcm)).await
    }

    pub(super) async fn send_text(&mut self, text: &'static str) -> Result<(), Error> {
        self.send(Message::text(text)).await
    }

    pub(super) async fn ping(&mut self) -> Result<(), Error> {
        self.send(Message::Ping(Bytes::new())).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Error> {
        match timeout(SEND_TIMEOUT, self.stream.send(message)).await {
            Ok(result) => result.map_err(socket_error),
            Err(_) => Err(Error::new(ErrorKind::TimedOut, NAME, "audio is not taken")),
        }
    }

    /// The next text; `None` for what is only a sign of life. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Option<tungstenite::Utf8Bytes>, Error> {
        match self.stream.next().await {
            Some(Ok(Message::Text(text))) => Ok(Some(text)),
            Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(None),
            Some(Ok(Message::Close(Some(frame)))) => {
                let code = u16::from(frame.code);
                let kind = if close_is_transient(code) { ErrorKind::Unavailable } else { ErrorKind::Rejected };
                let reason: String = frame.reason.chars().take(60).collect();
                Err(Error::new(kind, NAME, format!("closed with {code} {reason}")))
            }
            Some(Ok(Message::Close(None))) | None => Err(Error::new(ErrorKind::Unavailable, NAME, "closed")),
            Some(Err(error)) => Err(socket_error(error)),
        }
    }

    /// Says good-bye, so that they stop counting time.
    pub(super) async fn close(mut self) {
        let farewell = async {
            self.stream.send(Message::text(CLOSE_STREAM)).await?;
            self.stream.close(None).await
        };
        // Nobody waits for the result of a call that is over.
        let _ = timeout(CLOSE_TIMEOUT, farewell).await;
    }
}

fn socket_error(error: tungstenite::Error) -> Error {
    use tungstenite::Error as Ws;
    let (kind, detail) = match &error {
        Ws::Http(response) => {
            let status = response.status().as_u16();
            let said = ServerError::parse(response.body().as_deref().unwrap_or_default());
            // Their text explains a refused parameter, and never quotes a key.
            let detail = format!("HTTP {status} {} {}", said.code, said.text);
            return Error::new(kind_of_status(status), NAME, detail.trim_end().to_owned());
        }
        Ws::ConnectionClosed | Ws::AlreadyClosed => (ErrorKind::Unavailable, "closed"),
        Ws::Io(_) => (ErrorKind::Unavailable, "the connection broke"),
        Ws::Tls(_) => (ErrorKind::Unavailable, "no trusted connection"),
        Ws::Url(_) | Ws::HttpFormat(_) => (ErrorKind::Rejected, "the address is no URL"),
        Ws::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => {
            (ErrorKind::Unavailable, "the connection broke")
        }
        _ => (ErrorKind::Protocol, "not a WebSocket as expected"),
    };
    Error::new(kind, NAME, detail).caused_by(error)
}
