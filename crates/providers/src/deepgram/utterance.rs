//! What was said since the last `Discard`, put together from results. Pure: positions are samples of the call's audio,
//! times are passed in.
//!
//! A result says which piece of the stream it is about. That decides whether it belongs to this utterance, which
//! audio need not be sent again after a break, and which `Finalize` it answers.

use crate::live::{Answer, Replay, join};
use crate::transcriber::Pcm;
use std::collections::VecDeque;
use tokio::time::Instant;
use wire::deepgram::Results;

/// Positions of two ends that are this close are the same, in milliseconds: they round to their own frames.
const NEAR_MS: u64 = 100;
/// Requests kept that were not answered, so that a late answer is not taken for the answer to the next.
const REQUESTS_MAX: usize = 8;

#[derive(Debug)]
struct Request {
    work: u64,
    at: u64,
    due: Instant,
    /// Already answered (late) or forgotten.
    over: bool,
}

#[derive(Debug)]
pub(super) struct Utterance {
    audio: Replay,
    /// The utterance begins here.
    begin: u64,
    /// Position of the first sample that the present connection got.
    base: u64,
    fixed: String,
    open: String,
    /// Some result came for this utterance.
    heard: bool,
    requests: VecDeque<Request>,
}

impl Utterance {
    pub(super) fn new(sample_rate_hz: u32) -> Self {
        Self {
            audio: Replay::new(sample_rate_hz),
            begin: 0,
            base: 0,
            fixed: String::new(),
            open: String::new(),
            heard: false,
            requests: VecDeque::new(),
        }
    }

    /// Audio that was (or, while there is no connection, will be) sent.
    pub(super) fn audio(&mut self, pcm: impl Into<Pcm>) {
        let pcm = pcm.into();
        self.audio.push(pcm);
    }

    pub(super) fn silence(&mut self, pcm: Pcm) {
        self.audio.rest(pcm);
    }

    /// The audio so far is of no interest any more. Unanswered requests are void.
    pub(super) fn discard(&mut self) {
        self.begin = self.audio.given();
        self.audio.forget();
        self.fixed.clear();
        self.open.clear();
        self.heard = false;
        for request in &mut self.requests {
            request.over = true;
        }
    }

    /// The text is wanted, at the latest at `due`.
    pub(super) fn request(&mut self, work: u64, due: Instant) {
        if self.requests.len() == REQUESTS_MAX {
            self.requests.pop_front();
        }
        self.requests.push_back(Request { work, at: self.audio.given(), due, over: false });
    }

    /// When the next request is overdue.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.requests.iter().filter(|r| !r.over).map(|r| r.due).min()
    }

    /// Answers what is overdue with what is there. True = there was something overdue.
    pub(super) fn overdue(&mut self, now: Instant, out: &mut Vec<Answer>) -> bool {
        let text = self.text();
        let mut any = false;
        for request in self.requests.iter_mut().filter(|r| !r.over && r.due <= now) {
            any = true;
            request.over = true;
            let work = request.work;
            out.push(if self.heard { Answer::Final { work, text: text.clone() } } else { Answer::Silent { work } });
        }
        any
    }

    /// The numbers of all requests without an answer; they are void then.
    pub(super) fn give_up(&mut self) -> Vec<u64> {
        self.requests.drain(..).filter(|r| !r.over).map(|r| r.work).collect()
    }

    /// Is somebody waiting for text?
    pub(super) fn is_wanted(&self) -> bool {
        self.requests.iter().any(|r| !r.over)
    }

    /// Takes a result of the present connection.
    pub(super) fn result(&mut self, result: &Results, out: &mut Vec<Answer>) {
        let (start, end) = (self.position(result.start_s), self.position(result.end_s()));
        let text = self.text_of(result, start, end);
        if result.is_final {
            self.audio.settle(end);
        }
        if end > self.begin {
            self.heard = true;
            let before = self.text();
            if result.is_final {
                join(&mut self.fixed, &text);
                self.open.clear();
            } else {
                self.open = text;
            }
            let now = self.text();
            if now != before && !now.is_empty() {
                out.push(Answer::Partial(now));
            }
        }
        if result.from_finalize {
            self.answer(end, out);
        } else if result.speech_final && end > self.begin && !self.text().is_empty() {
            out.push(Answer::EndOfUtterance { sure: true });
        }
    }

    /// A new connection: gives what has to be sent again, oldest first. Its time begins there.
    pub(super) fn replay(&mut self) -> Vec<i16> {
        let pcm = self.audio.again();
        self.base = self.audio.given() - pcm.len() as u64;
        self.open.clear();
        pcm
    }

    fn text(&self) -> String {
        let mut text = self.fixed.clone();
        join(&mut text, &self.open);
        text
    }

    fn position(&self, seconds: f64) -> u64 {
        self.base.saturating_add(self.audio.samples_in_s(seconds))
    }

    fn near(&self) -> u64 {
        self.audio.samples_in_ms(NEAR_MS)
    }

    /// The part of a result's text that belongs to this utterance.
    fn text_of(&self, result: &Results, start: u64, end: u64) -> String {
        if end <= self.begin {
            return String::new();
        }
        if start + self.near() >= self.begin || result.words.is_empty() {
            return result.transcript.clone();
        }
        let mut text = String::new();
        for word in result.words.iter().filter(|w| self.position(w.start_s) + self.near() >= self.begin) {
            join(&mut text, &word.text);
        }
        text
    }

    /// A `from_finalize` about the stream up to `end`.
    fn answer(&mut self, end: u64, out: &mut Vec<Answer>) {
        let reach = end.saturating_add(self.near());
        let mut covered = self.requests.iter().take_while(|r| r.at <= reach).count();
        // Positions can disagree; then the order counts, unless an old request is still out.
        if covered == 0 && self.requests.front().is_some_and(|r| !r.over) {
            covered = 1;
        }
        let text = self.text();
        for request in self.requests.drain(..covered).filter(|r| !r.over) {
            out.push(Answer::Final { work: request.work, text: text.clone() });
        }
    }
}

#[cfg(test)]
mod tests;
