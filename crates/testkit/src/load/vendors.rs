//! Vendors with fixed latencies on the thread of the callers: live transcription as Deepgram does it, a chat model as
//! OpenAI does, speech as Aura does. Their messages are theirs; what they say is prepared once.
//!
//! From the end of a caller's words to the first sound of the answer they take 410 ms: silence of 100 ms is waited for,
//! the final text comes 50 ms later, the first sentence of an answer is complete 180 ms after the request, and is heard
//! after another 80 ms.

mod chat;
mod listen;
mod speak;

pub(super) use chat::Answers;

use super::call::Next;
use super::context::{Context, Timer, What};
use super::frame::{Frame, Kind, Reader, Side, write};
use super::http;
use super::socket::{Got, Socket};
use super::wheel::Micros;
use chat::Chat;
use listen::Listen;
use speak::Speak;

const MS: Micros = 1_000;
/// What the vendors' fixed latencies add to every answer, in milliseconds.
pub const VENDORS_MS: u64 = listen::SILENCE_MS + listen::FINAL_MS + chat::SENTENCE_MS + speak::FIRST_MS;

/// What became of a connection.
#[derive(Debug)]
enum Service {
    /// Nothing is known yet.
    Guest,
    Chat(Box<Chat>),
    Listen(Box<Listen>),
    Speak(Box<Speak>),
}

/// One connection to a vendor.
#[derive(Debug)]
pub(super) struct Vendor {
    slot: usize,
    leg: u64,
    socket: Socket,
    head: Vec<u8>,
    reader: Reader,
    service: Service,
    gone: bool,
}

/// What a service has of its connection.
struct Line<'a> {
    slot: usize,
    leg: u64,
    socket: &'a mut Socket,
    gone: &'a mut bool,
}

impl Line<'_> {
    /// Wakes the service at this time.
    fn wake(&self, at: Micros, context: &mut Context) {
        context.wheel.set(at, Timer { slot: self.slot, leg: self.leg, what: What::Due });
    }

    fn text(&mut self, text: &str, context: &mut Context) {
        context.scratch.clear();
        write(Side::Server, Kind::Text, text.as_bytes(), &mut context.scratch);
        self.socket.send(&context.scratch);
    }

    /// Says that it closes, and does.
    fn close(&mut self, context: &mut Context) {
        context.scratch.clear();
        write(Side::Server, Kind::Close, &1_000_u16.to_be_bytes(), &mut context.scratch);
        self.socket.send(&context.scratch);
        *self.gone = true;
    }
}

impl Vendor {
    pub(super) const fn new(slot: usize, leg: u64, socket: Socket) -> Self {
        let reader = Reader::new();
        Self { slot, leg, socket, head: Vec::new(), reader, service: Service::Guest, gone: false }
    }

    /// Bytes may have come, or there may be room for some.
    pub(super) fn ready(&mut self, ended: bool, buffer: &mut [u8], context: &mut Context) -> Next {
        self.socket.writable();
        while !self.gone {
            match self.socket.read(buffer) {
                Got::Bytes(count) => {
                    self.bytes(&buffer[..count], context);
                    // A short read has emptied the socket, unless its end stands behind it.
                    if count < buffer.len() && !ended {
                        break;
                    }
                }
                Got::Nothing => break,
                Got::End => self.gone = true,
            }
        }
        self.next()
    }

    pub(super) fn fired(&mut self, timer: Timer, context: &mut Context) -> Next {
        if timer.leg != self.leg {
            return Next::Stay;
        }
        let mut line = Line { slot: self.slot, leg: self.leg, socket: &mut self.socket, gone: &mut self.gone };
        match &mut self.service {
            Service::Guest => {}
            Service::Chat(chat) => chat.due(&mut line, context),
            Service::Listen(listen) => listen.due(&mut line, context),
            Service::Speak(speak) => speak.due(&mut line, context),
        }
        self.next()
    }

    const fn next(&self) -> Next {
        if self.gone || self.socket.is_broken() { Next::Gone } else { Next::Stay }
    }

    fn bytes(&mut self, bytes: &[u8], context: &mut Context) {
        match self.service {
            Service::Guest | Service::Chat(_) => {
                self.head.extend_from_slice(bytes);
                let head = std::mem::take(&mut self.head);
                match http::request(&head) {
                    Ok(Some(request)) => {
                        self.asked(&request, context);
                        self.head.extend_from_slice(&head[request.length..]);
                    }
                    Ok(None) => self.head = head,
                    Err(_) => self.gone = true,
                }
                if matches!(self.service, Service::Listen(_) | Service::Speak(_)) && !self.head.is_empty() {
                    let rest = std::mem::take(&mut self.head);
                    self.frames(&rest, context);
                }
            }
            Service::Listen(_) | Service::Speak(_) => self.frames(bytes, context),
        }
    }

    fn asked(&mut self, request: &http::Request<'_>, context: &mut Context) {
        let (path, query) = request.target.split_once('?').unwrap_or((request.target, ""));
        if let Some(key) = request.key {
            self.service = if path.ends_with("/listen") {
                Service::Listen(Box::new(Listen::new(query, context)))
            } else {
                Service::Speak(Box::new(Speak::new(query, context)))
            };
            self.socket.send(&http::upgraded(key));
            return;
        }
        if request.method == "POST" && path.ends_with("/chat/completions") {
            if !matches!(self.service, Service::Chat(_)) {
                self.service = Service::Chat(Box::default());
            }
            let mut line = Line { slot: self.slot, leg: self.leg, socket: &mut self.socket, gone: &mut self.gone };
            if let Service::Chat(chat) = &mut self.service {
                chat.asked(request.body, &mut line, context);
            }
            return;
        }
        self.socket.send(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
    }

    fn frames(&mut self, bytes: &[u8], context: &mut Context) {
        let mut reader = std::mem::take(&mut self.reader);
        let read = reader.feed(bytes, |frame| self.frame(frame, context));
        self.reader = reader;
        self.gone |= read.is_err();
    }

    fn frame(&mut self, frame: Frame<'_>, context: &mut Context) {
        let mut line = Line { slot: self.slot, leg: self.leg, socket: &mut self.socket, gone: &mut self.gone };
        match (frame.kind, &mut self.service) {
            (Kind::Binary, Service::Listen(listen)) => listen.audio(&frame, &mut line, context),
            (Kind::Text, Service::Listen(listen)) => {
                let text = message(&frame);
                listen.told(text["type"].as_str().unwrap_or_default(), &mut line, context);
            }
            (Kind::Text, Service::Speak(speak)) => speak.told(&message(&frame), &mut line, context),
            (Kind::Ping, _) => {
                let mut plain = Vec::new();
                context.scratch.clear();
                write(Side::Server, Kind::Pong, frame.plain(&mut plain), &mut context.scratch);
                line.socket.send(&context.scratch);
            }
            (Kind::Close, _) => line.close(context),
            (Kind::Text | Kind::Binary | Kind::Pong, _) => {}
        }
    }
}

/// A client's message; nothing of what is none.
fn message(frame: &Frame<'_>) -> serde_json::Value {
    serde_json::from_slice(frame.plain(&mut Vec::new())).unwrap_or_default()
}

/// A value of a query.
fn value<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.split_once('=').filter(|(given, _)| *given == name)).map(|(_, value)| value)
}

/// The rate in a query.
fn rate(query: &str) -> usize {
    value(query, "sample_rate").and_then(|rate| rate.parse().ok()).filter(|rate| *rate >= 1_000).unwrap_or(8_000)
}
