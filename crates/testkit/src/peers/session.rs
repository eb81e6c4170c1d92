//! The media socket of one call, in real time on an absolute schedule: the frame of `[k, k+1)` is sent when its time is
//! over, so lateness never adds up.

use super::messages::Messages;
use super::observation::{PeerObservation, RATE_HZ};
use super::reading::{self, Heard};
use super::{FakePeer, HANDSHAKE_TIMEOUT, Ids, PeerError};
use crate::carrier::{
    CallerAction, CallerSide, Closed, LOUD_DBFS, MarkSeen, MarksAfterClear, Playback, Received, rms_dbfs,
};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// A frame not taken by the server's side within this means it has stopped reading.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the server may take to close its side.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Opens the socket.
pub(super) async fn open(url: &str) -> Result<Socket, PeerError> {
    match timeout(HANDSHAKE_TIMEOUT, connect_async(url)).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(Error::Http(response))) => Err(PeerError::NoSocket(format!("HTTP {}", response.status()))),
        Ok(Err(error)) => Err(PeerError::NoSocket(error.to_string())),
        Err(_) => Err(PeerError::NoSocket(format!("no answer within {HANDSHAKE_TIMEOUT:?}"))),
    }
}

struct Session<'a> {
    peer: &'a FakePeer,
    ids: &'a Ids,
    messages: Messages<'a>,
    sink: SplitSink<Socket, Message>,
    stream: SplitStream<Socket>,
    began: Instant,
    playback: Playback,
    seen: PeerObservation,
    /// How far the caller has listened, in samples of the playback.
    heard: usize,
}

/// Runs the open socket of one call to its end.
pub(super) async fn run(
    peer: &FakePeer,
    ids: &Ids,
    parameters: &[(String, String)],
    socket: Socket,
    seen: PeerObservation,
    caller: &mut dyn CallerSide,
) -> PeerObservation {
    let (sink, stream) = socket.split();
    let mut session = Session {
        peer,
        ids,
        messages: Messages::new(peer.kind, &peer.options, ids),
        sink,
        stream,
        began: Instant::now(),
        playback: Playback::new(RATE_HZ, peer.options.prebuffer_ms),
        seen,
        heard: 0,
    };
    let closed = match session.call(parameters, caller).await {
        Ok(never) => match never {},
        Err(closed) => closed,
    };
    session.finish(closed)
}

/// The loop ends by its error only.
enum Never {}

impl Session<'_> {
    fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    async fn call(&mut self, parameters: &[(String, String)], caller: &mut dyn CallerSide) -> Result<Never, Closed> {
        if let Some(connected) = self.messages.connected() {
            self.send(connected).await?;
        }
        self.began = Instant::now();
        let start = self.messages.start(parameters);
        self.send(start).await?;
        let mut number = 0;
        loop {
            let due = self.began + Duration::from_millis((number + 1) * self.peer.kind.frame_ms());
            let mark_due = self.playback.next_mark_ms().map(|ms| self.began + Duration::from_millis(ms));
            tokio::select! {
                biased;
                () = sleep_until(due) => {
                    self.frame(number, due, caller).await?;
                    number += 1;
                }
                () = sleep_until(mark_due.unwrap_or(due)), if mark_due.is_some_and(|at| at < due) => self.play().await?,
                message = self.stream.next() => self.receive(message).await?,
            }
        }
    }

    async fn send(&mut self, message: String) -> Result<(), Closed> {
        match timeout(SEND_TIMEOUT, self.sink.send(Message::text(message))).await {
            Ok(Ok(())) => Ok(()),
            // The server's close is still to be read: it says why.
            Ok(Err(error)) => Err(match timeout(CLOSE_TIMEOUT, self.read_to_end()).await {
                Ok(code) => Closed::ByServer { code },
                Err(_) => Closed::Failed { error: error.to_string() },
            }),
            Err(_) => Err(Closed::ServerStalled),
        }
    }

    /// One frame of the caller, and everything else that is due by now.
    async fn frame(&mut self, number: u64, due: Instant, caller: &mut dyn CallerSide) -> Result<(), Closed> {
        self.seen.late_frame_max_ms = self.seen.late_frame_max_ms.max(due.elapsed().as_millis() as u64);
        self.play().await?;
        let at_ms = number * self.peer.kind.frame_ms();
        let agent_dbfs = rms_dbfs(&self.playback.timeline()[self.heard..]);
        self.heard = self.playback.timeline().len();
        let samples = (self.peer.kind.frame_ms() * u64::from(RATE_HZ) / 1_000) as usize;
        let mut pcm = Vec::with_capacity(samples);
        let mut action = caller.next_frame(at_ms, agent_dbfs, samples, &mut pcm);
        pcm.resize(samples, 0);
        if u128::from(at_ms) >= self.peer.options.call_max.as_millis() {
            action = CallerAction::HangUp;
        }
        match action {
            CallerAction::HangUp => return Err(self.hang_up().await),
            CallerAction::Press(digit) => {
                let message = self.messages.dtmf(digit);
                self.send(message).await?;
            }
            CallerAction::Stay => {}
        }
        let message = self.messages.media(&pcm, at_ms);
        self.seen.caller_timeline.append(&mut pcm);
        self.seen.media_out_count += 1;
        self.send(message).await
    }

    async fn hang_up(&mut self) -> Closed {
        if let Some(stop) = self.messages.stop()
            && let Err(closed) = self.send(stop).await
        {
            return closed;
        }
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        let _ = timeout(SEND_TIMEOUT, self.sink.send(Message::Close(Some(frame)))).await;
        Closed::ByCaller { answered: timeout(CLOSE_TIMEOUT, self.read_to_end()).await.is_ok() }
    }

    /// Brings playback up to now and gives back the marks it has reached.
    async fn play(&mut self) -> Result<(), Closed> {
        for reached in self.playback.advance(self.now_ms()) {
            self.give_back(&reached.name, reached.at_ms).await?;
        }
        Ok(())
    }

    async fn give_back(&mut self, name: &str, at_ms: u64) -> Result<(), Closed> {
        if let Some(mark) = self.seen.marks.iter_mut().find(|mark| mark.name == name && mark.echoed_ms.is_none()) {
            mark.echoed_ms = Some(at_ms);
        }
        let message = self.messages.mark(name);
        self.send(message).await
    }

    async fn receive(&mut self, message: Option<Result<Message, Error>>) -> Result<(), Closed> {
        self.play().await?;
        let at_ms = self.now_ms();
        match message {
            None | Some(Err(Error::ConnectionClosed | Error::AlreadyClosed | Error::Protocol(_))) => {
                Err(Closed::ByServer { code: None })
            }
            Some(Err(error)) => Err(Closed::Failed { error: error.to_string() }),
            Some(Ok(Message::Close(frame))) => {
                // Reading on sends the answer to the close.
                let _ = timeout(CLOSE_TIMEOUT, self.read_to_end()).await;
                Err(Closed::ByServer { code: frame.map(|frame| frame.code.into()) })
            }
            Some(Ok(Message::Text(text))) => self.message(at_ms, text.as_str()).await,
            Some(Ok(Message::Binary(_))) => {
                self.seen.violation(at_ms, "a binary frame: this protocol is text");
                Ok(())
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(()),
        }
    }

    async fn message(&mut self, at_ms: u64, text: &str) -> Result<(), Closed> {
        let (heard, wrong) = reading::read(self.peer.kind, self.ids, text);
        for what in wrong {
            self.seen.violation(at_ms, what);
        }
        match heard {
            None => Ok(()),
            Some(Heard::Audio(pcm)) => {
                let dbfs = rms_dbfs(&pcm);
                let length_ms = pcm.len() as u64 * 1_000 / u64::from(RATE_HZ);
                self.seen.received.push(Received { at_ms, length_ms, dbfs });
                if dbfs > LOUD_DBFS && self.seen.first_agent_audio_ms.is_none() {
                    self.seen.first_agent_audio_ms = Some(at_ms);
                }
                if !self.playback.audio(at_ms, &pcm) {
                    self.seen.violation(at_ms, "more audio queued than any call lasts");
                }
                Ok(())
            }
            Some(Heard::Mark(name)) => {
                self.playback.mark(&name);
                self.seen.marks.push(MarkSeen { name, received_ms: at_ms, echoed_ms: None, cleared: false });
                self.play().await
            }
            Some(Heard::Clear) => self.clear(at_ms).await,
        }
    }

    async fn clear(&mut self, at_ms: u64) -> Result<(), Closed> {
        let policy = self.peer.kind.marks_after_clear();
        let (_, back, affected) = self.playback.clear(at_ms, policy);
        self.seen.clear_at_ms.push(at_ms);
        for name in affected {
            let mark = self.seen.marks.iter_mut().find(|mark| mark.name == name && mark.echoed_ms.is_none());
            if let Some(mark) = mark {
                mark.cleared = true;
            }
        }
        if let Some(cleared) = self.messages.cleared() {
            self.send(cleared).await?;
        }
        if policy == MarksAfterClear::Echo {
            for reached in back {
                self.give_back(&reached.name, reached.at_ms).await?;
            }
        }
        Ok(())
    }

    /// Reads, and forgets, to the end of the connection; returns the close code.
    async fn read_to_end(&mut self) -> Option<u16> {
        let mut code = None;
        while let Some(Ok(message)) = self.stream.next().await {
            if let Message::Close(Some(frame)) = message {
                code = Some(frame.code.into());
            }
        }
        code
    }

    fn finish(mut self, closed: Closed) -> PeerObservation {
        let now_ms = self.now_ms();
        self.playback.advance(now_ms);
        self.seen.duration_ms = now_ms;
        self.seen.closed = closed;
        let (timeline, gaps, pauses, max_ahead_ms) = self.playback.finish();
        self.seen.agent_timeline = timeline;
        (self.seen.gaps, self.seen.pauses, self.seen.max_ahead_ms) = (gaps, pauses, max_ahead_ms);
        self.seen
    }
}
