//! The media socket of one call, in real time on an absolute schedule: the frame of `[k, k+1)` is sent when its time is
//! over, so lateness never adds up.

use super::announce::CallIds;
use super::observation::EventKind;
use super::playback::MarkReached;
use super::{
    CallObservation, CallerAction, CallerSide, Closed, Fault, LOUD_DBFS, MarkSeen, MarksAfterClear, Options, Playback,
    Received, rms_dbfs,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message, protocol::CloseFrame};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Exotel's budget for opening the socket; it tries once more.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TRIES: u32 = 2;
/// A frame not taken by the server's side within this means it has stopped reading.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the server may take to close its side.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long [`Fault::NeverClose`] and [`Fault::NoStart`] wait for the server to lose patience.
const PATIENCE: Duration = Duration::from_secs(40);
/// Frame rules, support article 3000108630.
const FRAME_MULTIPLE_BYTES: usize = 320;
const FRAME_BYTES_MAX: usize = 100_000;
/// What a URL may hand over to the start message, same article.
const CUSTOM_PARAMETERS_MAX: usize = 3;
const CUSTOM_PARAMETERS_CHARS_MAX: usize = 256;
/// What the platform waits after a frame off the grid.
const SHORT_FRAME_GAP_MS: u64 = 20;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

struct Session<'a> {
    options: &'a Options,
    ids: &'a CallIds,
    sink: SplitSink<Socket, Message>,
    stream: SplitStream<Socket>,
    began: Instant,
    playback: Playback,
    seen: CallObservation,
    sequence: u64,
    chunk: u64,
    faults: Vec<Fault>,
    reading: bool,
    /// How far the caller has listened, in samples of the playback.
    heard: usize,
    /// What of the URL's query reaches the start message.
    custom_parameters: serde_json::Map<String, Value>,
}

/// Runs the socket of one call to its end.
pub(super) async fn run(options: &Options, ids: &CallIds, url: &str, caller: &mut dyn CallerSide) -> CallObservation {
    let mut seen = empty(options, ids);
    let asked = Instant::now();
    let mut socket = None;
    let mut error = String::new();
    while socket.is_none() && seen.connect_tries < CONNECT_TRIES {
        seen.connect_tries += 1;
        match timeout(CONNECT_TIMEOUT, connect(url, options.strip_query)).await {
            Ok(Ok(open)) => socket = Some(open),
            Ok(Err(failure)) => error = failure,
            Err(_) => error = "no answer to the handshake within 10 s".to_owned(),
        }
    }
    seen.connect_ms = asked.elapsed().as_millis() as u64;
    let Some(socket) = socket else {
        seen.closed = Closed::NeverConnected { error };
        return seen;
    };
    let (sink, stream) = socket.split();
    let mut session = Session {
        options,
        ids,
        sink,
        stream,
        began: Instant::now(),
        playback: Playback::new(options.sample_rate_hz, options.prebuffer_ms),
        seen,
        sequence: 0,
        chunk: 0,
        faults: options.faults.clone(),
        reading: true,
        heard: 0,
        custom_parameters: serde_json::Map::new(),
    };
    session.read_query(url);
    let closed = session.call(caller).await;
    session.finish(closed)
}

fn empty(options: &Options, ids: &CallIds) -> CallObservation {
    CallObservation {
        call_id: ids.call_id.clone(),
        stream_id: ids.stream_id.clone(),
        sample_rate_hz: options.sample_rate_hz,
        frame_ms: options.frame_ms,
        announce_ms: 0,
        connect_ms: 0,
        connect_tries: 0,
        events: Vec::new(),
        first_agent_audio_ms: None,
        media_in_count: 0,
        media_out_count: 0,
        received: Vec::new(),
        violations: Vec::new(),
        gaps: Vec::new(),
        gap_total_ms: 0,
        pauses: Vec::new(),
        max_ahead_ms: 0,
        clear_at_ms: Vec::new(),
        marks: Vec::new(),
        closed: Closed::Dropped,
        duration_ms: 0,
        late_frame_max_ms: 0,
        end_report: None,
        agent_timeline: Vec::new(),
        caller_timeline: Vec::new(),
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
enum Step {
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
        if let Step::End(closed) = self.send(json!({"event": "connected"})).await {
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

    async fn send(&mut self, message: Value) -> Step {
        self.send_raw(Message::text(message.to_string())).await
    }

    async fn send_raw(&mut self, message: Message) -> Step {
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

    /// A counter as the options want it written.
    fn id(&self, number: u64) -> Value {
        if self.options.numeric_ids { number.into() } else { number.to_string().into() }
    }

    fn next_sequence(&mut self) -> Value {
        self.sequence += 1;
        self.id(self.sequence)
    }

    async fn start(&mut self) -> Step {
        let sequence = self.next_sequence();
        let start = json!({
            "stream_sid": self.ids.stream_id,
            "call_sid": self.ids.call_id,
            "account_sid": self.options.account_id,
            "from": self.options.caller_number,
            "to": self.options.called_number,
            "custom_parameters": self.custom_parameters,
            "media_format": {
                "encoding": "base64",
                "sample_rate": self.options.sample_rate_hz.to_string(),
                "bit_rate": "128kbps",
            },
        });
        let message =
            json!({"event": "start", "sequence_number": sequence, "stream_sid": self.ids.stream_id, "start": start});
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
                let sequence = self.next_sequence();
                let message = json!({"event": "dtmf", "sequence_number": sequence, "stream_sid": self.ids.stream_id,
                    "dtmf": {"digit": digit.to_string(), "duration": "100"}});
                if let Step::End(closed) = self.send(message).await {
                    return Step::End(closed);
                }
            }
            CallerAction::Stay => {}
        }
        self.media(&pcm, at_ms).await
    }

    async fn media(&mut self, pcm: &[i16], at_ms: u64) -> Step {
        self.chunk += 1;
        let bytes: Vec<u8> = pcm.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let sequence = self.next_sequence();
        let message = json!({"event": "media", "sequence_number": sequence, "stream_sid": self.ids.stream_id,
            "media": {"chunk": self.id(self.chunk), "timestamp": self.id(at_ms), "payload": STANDARD.encode(bytes)}});
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
            let sequence = self.next_sequence();
            let message = json!({"event": "mark", "sequence_number": sequence, "stream_sid": self.ids.stream_id,
                "mark": {"name": name}});
            if let Step::End(closed) = self.send(message).await {
                return Step::End(closed);
            }
        }
        Step::On
    }

    async fn play_faults(&mut self, at_ms: u64) -> Step {
        let (now, later): (Vec<Fault>, Vec<Fault>) = self.faults.drain(..).partition(|fault| match fault {
            Fault::NoStart | Fault::NeverClose => false,
            Fault::StopReading { at_ms: at }
            | Fault::GarbageFrames { at_ms: at, .. }
            | Fault::OversizedFrame { at_ms: at }
            | Fault::DuplicatedStart { at_ms: at }
            | Fault::DropMidCall { at_ms: at } => *at <= at_ms,
        });
        self.faults = later;
        for fault in now {
            self.seen.event(at_ms, EventKind::Fault { name: format!("{fault:?}") });
            let step = match fault {
                Fault::NoStart | Fault::NeverClose => Step::On,
                Fault::StopReading { .. } => {
                    self.reading = false;
                    Step::On
                }
                Fault::GarbageFrames { count, .. } => self.garbage(count).await,
                Fault::OversizedFrame { .. } => {
                    let message = json!({"event": "media", "stream_sid": self.ids.stream_id,
                        "media": {"chunk": "0", "timestamp": "0", "payload": "A".repeat(1 << 20)}});
                    self.send(message).await
                }
                Fault::DuplicatedStart { .. } => self.start().await,
                Fault::DropMidCall { .. } => Step::End(Closed::Dropped),
            };
            if let Step::End(closed) = step {
                return Step::End(closed);
            }
        }
        Step::On
    }

    async fn garbage(&mut self, count: u32) -> Step {
        const GARBAGE: [&str; 5] =
            ["", "not json", "{\"event\":", "{\"event\":\"media\",\"media\":{\"payload\":\"%%\"}}", "[1,2,3]"];
        for text in GARBAGE.iter().cycle().take(count as usize) {
            if let Step::End(closed) = self.send_raw(Message::text(*text)).await {
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
            Some("media") => self.agent_media(at_ms, &message),
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

    fn agent_media(&mut self, at_ms: u64, message: &Value) {
        let Some(payload) = message.pointer("/media/payload").and_then(Value::as_str) else {
            self.seen.violation(at_ms, "media without a payload");
            return;
        };
        let Ok(bytes) = STANDARD.decode(payload) else {
            self.seen.violation(at_ms, "a payload that is not base64");
            return;
        };
        if bytes.len() > FRAME_BYTES_MAX {
            self.seen.violation(at_ms, format_args!("a frame of {} bytes, more than {FRAME_BYTES_MAX}", bytes.len()));
            return;
        }
        if bytes.is_empty() {
            self.seen.violation(at_ms, "an empty frame");
            return;
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
        let at_ms = self.now_ms();
        self.seen.event(at_ms, EventKind::HungUp);
        let sequence = self.next_sequence();
        let message = json!({"event": "stop", "sequence_number": sequence, "stream_sid": self.ids.stream_id,
            "stop": {"call_sid": self.ids.call_id, "account_sid": self.options.account_id, "reason": "callended"}});
        if let Step::End(closed) = self.send(message).await {
            return Step::End(closed);
        }
        if self.options.faults.contains(&Fault::NeverClose) {
            return Step::End(self.wait_for_server().await);
        }
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        let _ = timeout(SEND_TIMEOUT, self.sink.send(Message::Close(Some(frame)))).await;
        let answered = timeout(CLOSE_TIMEOUT, self.read_to_end()).await.is_ok();
        Step::End(Closed::ByCaller { answered })
    }

    /// Says nothing more and waits for the server to end it.
    async fn wait_for_server(&mut self) -> Closed {
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
