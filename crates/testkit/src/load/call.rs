//! One telephone line: announces a call, opens its media socket, plays the caller, listens, hangs up, reports; then calls
//! again or is done.

use super::carrier::{Ids, Said, Target, said};
use super::context::{Context, Group, Timer, What, clock};
use super::figures::Figures;
use super::frame::{Frame, Kind, Reader, Side, write};
use super::http;
use super::line::Line;
use super::socket::{Got, Socket};
use super::sound::{decoded_bytes, level_of_base64};
use super::wheel::Micros;
use mio::net::TcpStream;
use mio::{Interest, Token};
use std::net::SocketAddr;
use std::sync::Arc;

const MS: Micros = 1_000;
const S: Micros = 1_000 * MS;
/// How long the server has for each step before the media, and for closing its side. Exotel's own budget is 10 s.
const PATIENCE: Micros = 10 * S;
/// The next caller after a call that did not come about.
const AGAIN_AFTER: Micros = S;
/// Playback in the carrier's unit: what is no multiple of it is heard as a click.
const UNIT_BYTES: usize = 320;

/// How long calls take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Until all hang up.
    Open,
    /// So many milliseconds, and not again.
    Once {
        /// The length.
        ms: u64,
    },
    /// Anything from one to the other, in milliseconds; then the next call begins at once.
    Renewed {
        /// The shortest.
        min_ms: u64,
        /// The longest.
        max_ms: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Not yet, or not any more.
    Idle,
    Asking,
    Joining,
    Talking,
    Leaving,
    Reporting,
}

/// Whether there is more to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Stay,
    Gone,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Call {
    slot: usize,
    group: Group,
    life: Life,
    target: Arc<Target>,
    phase: Phase,
    /// Counts the sockets and calls of this line: older timers are void.
    leg: u64,
    socket: Option<Socket>,
    head: Vec<u8>,
    reader: Reader,
    ids: Ids,
    placed: Micros,
    began: Micros,
    counted_from: Micros,
    frames: u64,
    line: Line,
    done: bool,
}

impl Call {
    pub(super) fn new(slot: usize, leg: u64, group: Group, life: Life, target: Arc<Target>) -> Self {
        let line = Line::new(target.script.lengths(), target.lead_ms, 0);
        let ids = Ids::of(0, target.script.format);
        Self {
            slot,
            group,
            life,
            target,
            phase: Phase::Idle,
            leg,
            socket: None,
            head: Vec::new(),
            reader: Reader::default(),
            ids,
            placed: 0,
            began: 0,
            counted_from: 0,
            frames: 0,
            line,
            done: false,
        }
    }

    pub(super) const fn timer(&self, what: What) -> Timer {
        Timer { slot: self.slot, leg: self.leg, what }
    }

    /// Announces a call.
    fn begin(&mut self, context: &mut Context) {
        self.leg += 1;
        if context.hanging_up {
            self.done = true;
            return;
        }
        self.ids = Ids::of(context.next_call(), self.target.script.format);
        self.placed = context.now;
        context.figures(self.group).placed += 1;
        match self.target.announcement(&self.ids, clock()) {
            Some(request) => self.dial(Phase::Asking, self.target.server, &request, context),
            None => self.join(self.target.server, &self.target.direct_path(), context),
        }
    }

    fn dial(&mut self, phase: Phase, to: SocketAddr, bytes: &[u8], context: &mut Context) {
        self.head.clear();
        self.phase = phase;
        self.leg += 1;
        let opened = TcpStream::connect(to).and_then(|mut stream| {
            let both = Interest::READABLE | Interest::WRITABLE;
            context.registry.register(&mut stream, Token(self.slot), both)?;
            stream.set_nodelay(true)?;
            Ok(Socket::new(stream))
        });
        match opened {
            Ok(mut socket) => {
                socket.send(bytes);
                self.socket = Some(socket);
                context.wheel.set(context.now + PATIENCE, self.timer(What::Deadline));
            }
            Err(error) => self.fail(&format!("no socket: {error}"), context),
        }
    }

    fn join(&mut self, to: SocketAddr, path: &str, context: &mut Context) {
        let request = http::upgrade(&to.to_string(), path);
        self.dial(Phase::Joining, to, &request, context);
    }

    /// Bytes may have come, or there may be room for some.
    pub(super) fn ready(&mut self, ended: bool, buffer: &mut [u8], context: &mut Context) -> Next {
        let leg = self.leg;
        if let Some(socket) = &mut self.socket {
            socket.writable();
        }
        while self.leg == leg
            && let Some(socket) = &mut self.socket
        {
            match socket.read(buffer) {
                Got::Bytes(count) => {
                    self.bytes(&buffer[..count], context);
                    // A short read has emptied the socket, unless its end stands behind it.
                    if count < buffer.len() && !ended {
                        break;
                    }
                }
                Got::Nothing => break,
                Got::End => self.lost("the server closed the connection", context),
            }
        }
        self.next(context)
    }

    fn next(&mut self, context: &mut Context) -> Next {
        if self.socket.as_ref().is_some_and(Socket::is_broken) {
            self.lost("the server does not take what is sent", context);
        }
        if self.done { Next::Gone } else { Next::Stay }
    }

    fn bytes(&mut self, bytes: &[u8], context: &mut Context) {
        match self.phase {
            Phase::Talking | Phase::Leaving => self.frames_in(bytes, context),
            Phase::Asking | Phase::Joining | Phase::Reporting => {
                self.head.extend_from_slice(bytes);
                let head = std::mem::take(&mut self.head);
                match http::response(&head) {
                    Ok(Some(response)) => self.answered(&response, &head[response.length..], context),
                    Ok(None) => self.head = head,
                    Err(error) => self.fail(&error.to_string(), context),
                }
            }
            Phase::Idle => {}
        }
    }

    fn answered(&mut self, response: &http::Response<'_>, rest: &[u8], context: &mut Context) {
        match (self.phase, response.status) {
            (Phase::Asking, 200) => match self.target.media_address(response.body) {
                Some((to, path)) => self.join(to, &path, context),
                // The carrier was told what else to do with the call.
                None => self.refuse(200, context),
            },
            (Phase::Joining, 101) => {
                self.talk(context);
                self.frames_in(rest, context);
            }
            (Phase::Reporting, 200..300) => self.over(context),
            (Phase::Reporting, status) => self.fail(&format!("the report was answered with {status}"), context),
            (_, status) => self.refuse(status, context),
        }
    }

    fn refuse(&mut self, status: u16, context: &mut Context) {
        *context.figures(self.group).refused.entry(status).or_default() += 1;
        self.away(context);
    }

    fn fail(&mut self, why: &str, context: &mut Context) {
        context.figures(self.group).error(why);
        self.away(context);
    }

    /// This call did not come about, or broke.
    fn away(&mut self, context: &mut Context) {
        self.close();
        match self.life {
            Life::Renewed { .. } if !context.hanging_up => {
                context.wheel.set(context.now + AGAIN_AFTER, self.timer(What::Begin));
            }
            Life::Renewed { .. } | Life::Open | Life::Once { .. } => self.done = true,
        }
    }

    fn close(&mut self) {
        self.socket = None;
        self.phase = Phase::Idle;
        self.leg += 1;
    }

    fn talk(&mut self, context: &mut Context) {
        self.phase = Phase::Talking;
        self.leg += 1;
        (self.began, self.counted_from, self.frames) = (context.now, context.now, 0);
        self.reader = Reader::default();
        self.line = Line::new(self.target.script.lengths(), self.target.lead_ms, context.now);
        context.live += 1;
        let setup = context.now - self.placed;
        let figures = context.figures(self.group);
        figures.begun += 1;
        Figures::keep(&mut figures.setup, setup);
        context.scratch.clear();
        self.target.hello(&self.ids, &mut context.scratch);
        self.send_scratch(context);
        context.wheel.set(self.frame_due(), self.timer(What::Frame));
        let length_ms = match self.life {
            Life::Open => return,
            Life::Once { ms } => ms,
            Life::Renewed { min_ms, max_ms } => context.between(min_ms, max_ms),
        };
        context.wheel.set(context.now + length_ms * MS, self.timer(What::End));
    }

    fn send_scratch(&mut self, context: &Context) {
        if let Some(socket) = &mut self.socket {
            socket.send(&context.scratch);
        }
    }

    /// A frame is sent when its time is over.
    fn frame_due(&self) -> Micros {
        self.began + (self.frames + 1) * self.target.script.frame_ms * MS
    }

    pub(super) fn fired(&mut self, timer: Timer, context: &mut Context) -> Next {
        if timer.leg != self.leg {
            return Next::Stay;
        }
        match timer.what {
            What::Begin => self.begin(context),
            What::Frame => self.frame_out(context),
            What::Mark => self.marks(context),
            What::Deadline => match self.phase {
                Phase::Idle | Phase::Talking => {}
                Phase::Asking => self.fail("the webhook was not answered", context),
                Phase::Joining => self.fail("the media socket was not opened", context),
                Phase::Leaving => self.fail("the server did not close its side", context),
                Phase::Reporting => self.fail("the report was not answered", context),
            },
            What::End if self.phase == Phase::Talking => self.leave(context),
            What::End | What::Due => {}
        }
        self.next(context)
    }

    fn frame_out(&mut self, context: &mut Context) {
        if context.hangs_up(self.slot) {
            self.leave(context);
            return;
        }
        let (now, in_window) = (context.now, context.in_window());
        let due = self.frame_due();
        let figures = &mut context.figures[self.group as usize];
        let piece = self.line.frame(now, in_window, figures);
        if in_window {
            figures.frames_sent += 1;
            figures.late.add(now.saturating_sub(due));
        }
        context.scratch.clear();
        self.target.script.media(piece, self.frames, &self.ids.stream, &mut context.scratch);
        self.send_scratch(context);
        self.frames += 1;
        context.wheel.set(self.frame_due(), self.timer(What::Frame));
    }

    fn frames_in(&mut self, bytes: &[u8], context: &mut Context) {
        let mut reader = std::mem::take(&mut self.reader);
        let mut closed = false;
        let read = reader.feed(bytes, |frame| closed |= self.frame_in(frame, context));
        self.reader = reader;
        match read {
            Err(error) => self.lost(&error.to_string(), context),
            Ok(()) if closed => self.lost("the server ended the call", context),
            Ok(()) => {}
        }
    }

    /// True = the server closes.
    fn frame_in(&mut self, frame: Frame<'_>, context: &mut Context) -> bool {
        match frame.kind {
            Kind::Text if self.phase == Phase::Talking => self.heard(frame.payload, context),
            Kind::Ping => {
                context.scratch.clear();
                write(Side::Client, Kind::Pong, frame.payload, &mut context.scratch);
                self.send_scratch(context);
            }
            Kind::Close => return true,
            Kind::Text | Kind::Binary | Kind::Pong => {}
        }
        false
    }

    fn heard(&mut self, text: &[u8], context: &mut Context) {
        let now = context.now;
        let figures = &mut context.figures[self.group as usize];
        match said(text) {
            Said::Media(sound) => {
                let coding = self.target.script.format.coding();
                let bytes = decoded_bytes(sound);
                let length = (bytes as u64 * MS) / coding.bytes_a_ms() as u64;
                figures.odd_frames += u64::from(!(bytes * 16 / coding.bytes_a_ms()).is_multiple_of(UNIT_BYTES));
                self.line.heard(now, length, level_of_base64(sound, coding), figures);
            }
            Said::Clear => {
                self.line.clear(now, figures);
                self.marks(context);
            }
            Said::Mark(name) => match self.line.mark(now, &name) {
                Some(at) => context.wheel.set(at, self.timer(What::Mark)),
                None => figures.error("too many marks"),
            },
            Said::Other => {}
        }
    }

    /// Tells the server of the marks that have been reached.
    fn marks(&mut self, context: &mut Context) {
        context.scratch.clear();
        while let Some(name) = self.line.reached(context.now) {
            self.target.mark(&self.ids.stream, &name, self.frames + 2, &mut context.scratch);
        }
        if !context.scratch.is_empty() {
            self.send_scratch(context);
        }
    }

    /// The caller hangs up.
    fn leave(&mut self, context: &mut Context) {
        self.silent(context);
        self.phase = Phase::Leaving;
        self.leg += 1;
        context.scratch.clear();
        self.target.goodbye(&self.ids, self.frames + 2, &mut context.scratch);
        self.send_scratch(context);
        context.wheel.set(context.now + PATIENCE, self.timer(What::Deadline));
    }

    /// Nothing more is heard.
    fn silent(&mut self, context: &mut Context) {
        context.live -= 1;
        self.count(context);
        let now = context.now;
        let figures = context.figures(self.group);
        figures.lived_s += (now - self.began) as f64 / S as f64;
        self.line.finish(now, figures);
    }

    /// Counts the call's seconds within the window up to now.
    pub(super) fn count(&mut self, context: &mut Context) {
        if self.phase == Phase::Talking {
            let (opens, closes) = context.window;
            let within = context.now.min(closes).saturating_sub(self.counted_from.max(opens));
            context.figures(self.group).call_s += within as f64 / S as f64;
            self.counted_from = context.now;
        }
    }

    /// The connection is over.
    fn lost(&mut self, why: &str, context: &mut Context) {
        match self.phase {
            Phase::Leaving => {
                let seconds = (context.now - self.began) / S;
                match self.target.report(&self.ids, seconds, clock()) {
                    Some(report) => self.dial(Phase::Reporting, self.target.server, &report, context),
                    None => self.over(context),
                }
            }
            Phase::Talking => {
                self.silent(context);
                self.fail(why, context);
            }
            Phase::Idle | Phase::Asking | Phase::Joining | Phase::Reporting => self.fail(why, context),
        }
    }

    /// The call has ended as it should.
    fn over(&mut self, context: &mut Context) {
        context.figures(self.group).ended += 1;
        self.close();
        match self.life {
            Life::Renewed { .. } => self.begin(context),
            Life::Open | Life::Once { .. } => self.done = true,
        }
    }
}
