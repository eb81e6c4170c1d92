//! The media socket of one call, in real time on an absolute schedule: the frame of `[k, k+1)` is sent when its time is
//! over, so lateness never adds up.

use super::announce::CallIds;
use super::messages::Messages;
use super::observation::EventKind;
use super::playback::MarkReached;
use super::{
    CallObservation, CallerAction, CallerSide, Closed, Fault, LOUD_DBFS, MarkSeen, MarksAfterClear, Options,
    OversizePolicy, Playback, Received, rms_dbfs,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message, protocol::CloseFrame};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// A frame not taken by the server's side within this means it has stopped reading.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the server may take to close its side.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a carrier that does not go on waits for the server to lose patience: [`Fault::NeverClose`],
/// [`Fault::NoStart`] and the like.
const PATIENCE: Duration = Duration::from_secs(40);
/// Frame rules, support article 3000108630.
const FRAME_MULTIPLE_BYTES: usize = 320;
const FRAME_BYTES_MAX: usize = 100_000;
const FRAME_BYTES_MIN: usize = 3_200;
/// What a URL may hand over to the start message, same article.
const CUSTOM_PARAMETERS_MAX: usize = 3;
const CUSTOM_PARAMETERS_CHARS_MAX: usize = 256;
/// What the platform waits after a frame off the grid.
const SHORT_FRAME_GAP_MS: u64 = 20;

pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub(super) struct Session<'a> {
    pub(super) options: &'a Options,
    ids: &'a CallIds,
    pub(super) messages: Messages<'a>,
    sink: SplitSink<Socket, Message>,
    stream: SplitStream<Socket>,
    began: Instant,
    playback: Playback,
    pub(super) seen: CallObservation,
    pub(super) faults: Vec<Fault>,
    pub(super) reading: bool,
    /// How far the caller has listened, in samples of the playback.
    heard: usize,
    /// What of the URL's query reaches the start message.
    custom_parameters: serde_json::Map<String, Value>,
}

/// Runs the open socket of one call to its end.
pub(super) async fn run(
    options: &Options,
    ids: &CallIds,
    url: &str,
    socket: Socket,
    seen: CallObservation,
    caller: &mut dyn CallerSide,
) -> CallObservation {
    let (sink, stream) = socket.split();
    let mut session = Session {
        options,
        ids,
        messages: Messages::new(options, ids),
        sink,
        stream,
        began: Instant::now(),
        playback: Playback::new(options.sample_rate_hz, options.prebuffer_ms),
        seen,
        faults: options.faults.clone(),
        reading: true,
        heard: 0,
        custom_parameters: serde_json::Map::new(),
    };
    session.read_query(url);
    let closed = session.call(caller).await;
    session.finish(closed)
}

/// One try to open the socket.
pub(super) async fn open(options: &Options, url: &str) -> Result<Socket, String> {
    match timeout(options.handshake_timeout, connect(url, options.strip_query)).await {
        Ok(opened) => opened,
        Err(_) => Err(format!("no answer to the handshake within {:?}", options.handshake_timeout)),
    }
}

/// Opens the socket: user and password of the URL become an `Authorization` header, as Exotel does.
async fn connect(url: &str, strip_query: bool) -> Result<Socket, String> {
    let mut url = url::Url::parse(url).map_err(|error| format!("unusable URL: {error}"))?;
    let authorization = (!url.username().is_empty()).then(|| {
        let pair = format!("{}:{}", url.username(), url.password().unwrap_or_default());
        format!("Basic {}", STANDARD.encode(pair))
    });
    let _ = (url.set_username(""), url.set_password(None));
    if strip_query {
        url.set_query(None);
    }
    let mut request = url.as_str().into_client_request().map_err(|error| error.to_string())?;
    if let Some(authorization) = authorization {
        let value = authorization.parse().map_err(|_| "user or password cannot be a header".to_owned())?;
        request.headers_mut().insert("authorization", value);
    }
    match connect_async(request).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => Err(format!("bad handshake: HTTP {}", response.status())),
        Err(error) => Err(error.to_string()),
    }
}

/// What ends the loop.
pub(super) enum Step {
    On,
    End(Closed),
}

impl Session<'_> {
    /// `sample-rate` is for the carrier; up to three others, 256 characters together, are passed on.
    fn read_query(&mut self, url: &str) {
        let Ok(url) = url::Url::parse(url) else { return };
        if self.options.strip_query {
            return;
        }
        if url.query().is_some_and(|query| query.len() > CUSTOM_PARAMETERS_CHARS_MAX) {
            self.seen.violation(0, "more than 256 characters of parameters in the URL");
            return;
        }
        for (name, value) in url.query_pairs() {
            if name == "sample-rate" {
                if value != self.options.sample_rate_hz.to_string() {
                    let have = self.options.sample_rate_hz;
                    self.seen.violation(0, format_args!("the URL asks for {value} Hz, this carrier is set to {have}"));
                }
            } else if self.custom_parameters.len() < CUSTOM_PARAMETERS_MAX {
                self.custom_parameters.insert(name.into_owned(), value.into_owned().into());
            } else {
                self.seen.violation(0, "more than three parameters in the URL");
            }
        }
    }

    fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    async fn call(&mut self, caller: &mut dyn CallerSide) -> Closed {
        if let Step::End(closed) = self.send(self.messages.connected()).await {
            return closed;
        }
        if self.options.faults.contains(&Fault::NoStart) {
            self.seen.event(0, EventKind::Fault { name: "NoStart".to_owned() });
            return self.wait_for_server().await;
        }
        self.began = Instant::now();
        if let Step::End(closed) = self.start().await {
            return closed;
        }
        self.seen.event(0, EventKind::Started);
        let mut frame_number = 0;
        loop {
            let due = self.began + Duration::from_millis((frame_number + 1) * self.options.frame_ms);
            let mark_due = self.playback.next_mark_ms().map(|ms| self.began + Duration::from_millis(ms));
            let step = tokio::select! {
                biased;
                () = sleep_until(due) => {
                    let step = self.frame(frame_number, due, caller).await;
                    frame_number += 1;
                    step
                }
                () = sleep_until(mark_due.unwrap_or(due)), if mark_due.is_some_and(|at| at < due) => self.play().await,
                message = self.stream.next(), if self.reading => self.receive(message).await,
            };
            if let Step::End(closed) = step {
                return closed;
            }
        }
    }

    pub(super) async fn send(&mut self, message: String) -> Step {
        self.send_raw(Message::text(message)).await
    }

    pub(super) async fn send_raw(&mut self, message: Message) -> Step {
        match timeout(SEND_TIMEOUT, self.sink.send(message)).await {
            Ok(Ok(())) => Step::On,
            // The server's close is still to be read: it says why.
            Ok(Err(error)) if self.reading => Step::End(match timeout(CLOSE_TIMEOUT, self.read_to_end()).await {
                Ok(Some(code)) => Closed::ByServer { code: Some(code) },
                Ok(None) => Closed::ByServer { code: None },
                Err(_) => Closed::Failed { error: error.to_string() },
            }),
            Ok(Err(error)) => Step::End(Closed::Failed { error: error.to_string() }),
            Err(_) => Step::End(Closed::ServerStalled),
        }
    }

    pub(super) async fn start(&mut self) -> Step {
        let message = self.messages.start(&self.custom_parameters);
        self.send(message).await
    }

    /// One frame of the caller, and everything else that is due by now.
    async fn frame(&mut self, number: u64, due: Instant, caller: &mut dyn CallerSide) -> Step {
        self.seen.late_frame_max_ms = self.seen.late_frame_max_ms.max(due.elapsed().as_millis() as u64);
        if let Step::End(closed) = self.play().await {
            return Step::End(closed);
        }
        let at_ms = number * self.options.frame_ms;
        if let Step::End(closed) = self.play_faults(at_ms).await {
            return Step::End(closed);
        }
        let heard = &self.playback.timeline()[self.heard..];
        let agent_dbfs = rms_dbfs(heard);
        self.heard = self.playback.timeline().len();
        let rate = u64::from(self.options.sample_rate_hz);
        let samples = ((number + 1) * self.options.frame_ms * rate / 1000 - at_ms * rate / 1000) as usize;
        let mut pcm = Vec::with_capacity(samples);
        let mut action = caller.next_frame(at_ms, agent_dbfs, samples, &mut pcm);
        pcm.resize(samples, 0);
        if u128::from(at_ms) >= self.options.call_max.as_millis() {
            action = CallerAction::HangUp;
        }
        match action {
            CallerAction::HangUp => return self.hang_up().await,
            CallerAction::Press(digit) => {
                self.seen.event(at_ms, EventKind::Dtmf { digit });
                let message = self.messages.dtmf(digit);
                if let Step::End(closed) = self.send(message).await {
                    return Step::End(closed);
                }
            }
            CallerAction::Stay => {}
        }
        self.media(&pcm, at_ms).await
    }

    async fn media(&mut self, pcm: &[i16], at_ms: u64) -> Step {
        let message = self.messages.media(pcm, at_ms);
        self.seen.caller_timeline.extend_from_slice(pcm);
        self.seen.media_out_count += 1;
        self.send(message).await
    }

    /// Brings playback up to now and gives back the marks it has reached.
    async fn play(&mut self) -> Step {
        let reached = self.playback.advance(self.now_ms());
        self.echo(reached).await
    }

    async fn echo(&mut self, reached: Vec<MarkReached>) -> Step {
        for MarkReached { name, at_ms } in reached {
            self.seen.event(at_ms, EventKind::MarkEchoed { name: name.clone() });
            if let Some(mark) = self.seen.marks.iter_mut().find(|mark| mark.name == name && mark.echoed_ms.is_none()) {
                mark.echoed_ms = Some(at_ms);
            }
            let message = self.messages.mark(&name);
            if let Step::End(closed) = self.send(message).await {
                return Step::End(closed);
            }
        }
        Step::On
    }

    async fn receive(&mut self, message: Option<Result<Message, Error>>) -> Step {
        let at_ms = self.now_ms();
        let reached = self.playback.advance(at_ms);
        if let Step::End(closed) = self.echo(reached).await {
            return Step::End(closed);
        }
        match message {
            None => Step::End(Closed::ByServer { code: None }),
            Some(Err(Error::ConnectionClosed | Error::AlreadyClosed | Error::Protocol(_))) => {
                Step::End(Closed::ByServer { code: None })
            }
            Some(Err(error)) => Step::End(Closed::Failed { error: error.to_string() }),
            Some(Ok(Message::Close(frame))) => {
                // Reading on sends the answer to the close.
                let _ = timeout(CLOSE_TIMEOUT, self.read_to_end()).await;
                Step::End(Closed::ByServer { code: frame.map(|frame| frame.code.into()) })
            }
            Some(Ok(Message::Text(text))) => self.message(at_ms, text.as_str()).await,
            Some(Ok(Message::Binary(_))) => {
                self.seen.violation(at_ms, "a binary frame: this protocol is text");
                Step::On
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Step::On,
        }
    }

    async fn message(&mut self, at_ms: u64, text: &str) -> Step {
        let Ok(message) = serde_json::from_str::<Value>(text) else {
            self.seen.violation(at_ms, "a frame that is not JSON");
            return Step::On;
        };
        match message.get("stream_sid").or_else(|| message.get("streamSid")).map(Value::as_str) {
            None => {}
            Some(Some(id)) if id == self.ids.stream_id => {}
            Some(_) => self.seen.violation(at_ms, "the id of another stream"),
        }
        match message.get("event").and_then(Value::as_str) {
            Some("media") => return self.agent_media(at_ms, &message).await,
            Some("mark") => match message.pointer("/mark/name").and_then(Value::as_str) {
                Some(name) => {
                    self.playback.mark(name);
                    self.seen.event(at_ms, EventKind::MarkReceived { name: name.to_owned() });
                    let mark = MarkSeen { name: name.to_owned(), received_ms: at_ms, echoed_ms: None, cleared: false };
                    self.seen.marks.push(mark);
                    return self.play().await;
                }
                None => self.seen.violation(at_ms, "a mark without a name"),
            },
            Some("clear") => return self.clear(at_ms).await,
            Some(_) | None => self.seen.violation(at_ms, "an event that Exotel does not know"),
        }
        Step::On
    }

    async fn clear(&mut self, at_ms: u64) -> Step {
        let (dropped_ms, back, affected) = self.playback.clear(at_ms, self.options.marks_after_clear);
        self.seen.clear_at_ms.push(at_ms);
        self.seen.event(at_ms, EventKind::Clear { dropped_ms });
        for name in affected {
            let mark = self.seen.marks.iter_mut().find(|mark| mark.name == name && mark.echoed_ms.is_none());
            if let Some(mark) = mark {
                mark.cleared = true;
            }
        }
        match self.options.marks_after_clear {
            MarksAfterClear::Echo => self.echo(back).await,
            MarksAfterClear::Drop => Step::On,
        }
    }

    async fn agent_media(&mut self, at_ms: u64, message: &Value) -> Step {
        let Some(payload) = message.pointer("/media/payload").and_then(Value::as_str) else {
            self.seen.violation(at_ms, "media without a payload");
            return Step::On;
        };
        let Ok(bytes) = STANDARD.decode(payload) else {
            self.seen.violation(at_ms, "a payload that is not base64");
            return Step::On;
        };
        if bytes.len() > FRAME_BYTES_MAX {
            self.seen.violation(at_ms, format_args!("a frame of {} bytes, more than {FRAME_BYTES_MAX}", bytes.len()));
            return self.oversize(bytes.len()).await;
        }
        if bytes.is_empty() {
            self.seen.violation(at_ms, "an empty frame");
        } else {
            self.hear(at_ms, &bytes);
        }
        Step::On
    }

    /// What follows on a frame that is too long.
    async fn oversize(&mut self, bytes: usize) -> Step {
        match self.options.oversize {
            OversizePolicy::Ignore => Step::On,
            OversizePolicy::Close => {
                self.close(CloseCode::Size).await;
                Step::End(Closed::Failed { error: format!("closed with 1009: a frame of {bytes} bytes") })
            }
            OversizePolicy::Drop => Step::End(Closed::Failed { error: format!("dropped: a frame of {bytes} bytes") }),
        }
    }

    /// Takes the audio of one message.
    fn hear(&mut self, at_ms: u64, bytes: &[u8]) {
        if bytes.len() < FRAME_BYTES_MIN {
            self.seen.short_frames += 1;
            if self.seen.short_frames == 1 {
                let what = format!("{at_ms} ms: a frame of {} bytes, fewer than {FRAME_BYTES_MIN}", bytes.len());
                self.seen.warnings.push(what);
            }
        }
        let mut pcm: Vec<i16> = bytes.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect();
        let dbfs = rms_dbfs(&pcm);
        let length_ms = pcm.len() as u64 * 1000 / u64::from(self.options.sample_rate_hz);
        if !bytes.len().is_multiple_of(FRAME_MULTIPLE_BYTES) {
            let what = format_args!("a frame of {} bytes, no multiple of {FRAME_MULTIPLE_BYTES}", bytes.len());
            self.seen.violation(at_ms, what);
            let gap = SHORT_FRAME_GAP_MS * u64::from(self.options.sample_rate_hz) / 1000;
            pcm.resize(pcm.len() + gap as usize, 0);
        }
        self.seen.media_in_count += 1;
        self.seen.received.push(Received { at_ms, length_ms, dbfs });
        if dbfs > LOUD_DBFS && self.seen.first_agent_audio_ms.is_none() {
            self.seen.first_agent_audio_ms = Some(at_ms);
        }
        if !self.playback.audio(at_ms, &pcm) {
            self.seen.violation(at_ms, "more audio queued than any call lasts");
        }
    }

    async fn hang_up(&mut self) -> Step {
        self.seen.event(self.now_ms(), EventKind::HungUp);
        self.stop("callended").await
    }

    /// `stop` with this reason, then the close.
    pub(super) async fn stop(&mut self, reason: &str) -> Step {
        let message = self.messages.stop(reason);
        if let Step::End(closed) = self.send(message).await {
            return Step::End(closed);
        }
        if self.options.faults.contains(&Fault::NeverClose) {
            return Step::End(self.wait_for_server().await);
        }
        Step::End(self.leave().await)
    }

    /// Closes, and sees whether the server does.
    pub(super) async fn leave(&mut self) -> Closed {
        self.close(CloseCode::Normal).await;
        Closed::ByCaller { answered: timeout(CLOSE_TIMEOUT, self.read_to_end()).await.is_ok() }
    }

    async fn close(&mut self, code: CloseCode) {
        let frame = CloseFrame { code, reason: "".into() };
        let _ = timeout(SEND_TIMEOUT, self.sink.send(Message::Close(Some(frame)))).await;
    }

    /// Neither speaks nor listens, and keeps the socket: only the server's own limits can end this.
    pub(super) async fn freeze(&mut self) -> Closed {
        let patience = PATIENCE.min(self.options.call_max);
        tokio::time::sleep(patience).await;
        // What came meanwhile says whether the server has given up.
        match timeout(Duration::from_millis(100), self.read_to_end()).await {
            Ok(code) => Closed::ByServer { code },
            Err(_) => Closed::ByCaller { answered: false },
        }
    }

    /// Says nothing more and waits for the server to end it.
    pub(super) async fn wait_for_server(&mut self) -> Closed {
        match timeout(PATIENCE.min(self.options.call_max), self.read_to_end()).await {
            Ok(code) => Closed::ByServer { code },
            Err(_) => Closed::ByCaller { answered: false },
        }
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

    fn finish(mut self, closed: Closed) -> CallObservation {
        let now_ms = self.now_ms();
        self.playback.advance(now_ms);
        self.seen.duration_ms = now_ms;
        self.seen.closed = closed;
        let (timeline, gaps, pauses, max_ahead_ms) = self.playback.finish();
        self.seen.agent_timeline = timeline;
        self.seen.gap_total_ms = gaps.iter().map(|gap| gap.length_ms).sum();
        (self.seen.gaps, self.seen.pauses, self.seen.max_ahead_ms) = (gaps, pauses, max_ahead_ms);
        self.seen
    }
}
