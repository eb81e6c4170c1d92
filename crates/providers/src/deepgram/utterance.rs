//! What was said since the last `Discard`, put together from results. Pure: positions are samples of the call's audio,
//! times are passed in.
//!
//! A result says which piece of the stream it is about. That decides whether it belongs to this utterance, which
//! audio need not be sent again after a break, and which `Finalize` it answers.

use super::REPLAY_S;
use model::limits::TURN_TEXT_BYTES_MAX;
use std::collections::VecDeque;
use tokio::time::Instant;
use wire::deepgram::Results;

/// Positions of two ends that are this close are the same, in milliseconds: they round to their own frames.
const NEAR_MS: u64 = 100;
/// Requests kept that were not answered, so that a late answer is not taken for the answer to the next.
const REQUESTS_MAX: usize = 8;

/// Text for the call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Words so far.
    Partial(String),
    /// The answer to a request.
    Final { work: u64, text: String },
    /// A request without an answer, and without any sign that the audio was looked at.
    Silent { work: u64 },
}

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
    sample_rate_hz: u64,
    /// Samples the call has given so far.
    given: u64,
    /// Up to here the text is final, or nobody wants it.
    settled: u64,
    /// The utterance begins here.
    begin: u64,
    /// Position of the first sample that the present connection got.
    base: u64,
    fixed: String,
    open: String,
    /// Some result came for this utterance.
    heard: bool,
    requests: VecDeque<Request>,
    replay: VecDeque<Vec<i16>>,
    replay_samples: u64,
}

impl Utterance {
    pub(super) fn new(sample_rate_hz: u32) -> Self {
        Self {
            sample_rate_hz: u64::from(sample_rate_hz),
            given: 0,
            settled: 0,
            begin: 0,
            base: 0,
            fixed: String::new(),
            open: String::new(),
            heard: false,
            requests: VecDeque::new(),
            replay: VecDeque::new(),
            replay_samples: 0,
        }
    }

    /// Audio that was (or, while there is no connection, will be) sent.
    pub(super) fn audio(&mut self, pcm: Vec<i16>) {
        self.given += pcm.len() as u64;
        self.replay_samples += pcm.len() as u64;
        self.replay.push_back(pcm);
        let most = u64::from(REPLAY_S) * self.sample_rate_hz;
        self.trim(self.settled.max(self.given.saturating_sub(most)));
    }

    /// The audio so far is of no interest any more. Unanswered requests are void.
    pub(super) fn discard(&mut self) {
        self.begin = self.given;
        self.settled = self.given;
        self.fixed.clear();
        self.open.clear();
        self.heard = false;
        self.replay.clear();
        self.replay_samples = 0;
        for request in &mut self.requests {
            request.over = true;
        }
    }

    /// The text is wanted, at the latest at `due`.
    pub(super) fn request(&mut self, work: u64, due: Instant) {
        if self.requests.len() == REQUESTS_MAX {
            self.requests.pop_front();
        }
        self.requests.push_back(Request { work, at: self.given, due, over: false });
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
            self.settled = self.settled.max(end.min(self.given));
            self.trim(self.settled);
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
        }
    }

    /// A new connection: gives what has to be sent again, oldest first. Its time begins there.
    pub(super) fn replay(&mut self) -> Vec<i16> {
        let first = self.given - self.replay_samples;
        let skip = usize::try_from(self.settled.saturating_sub(first)).unwrap_or(usize::MAX);
        let mut pcm: Vec<i16> = self.replay.iter().flatten().copied().collect();
        pcm.drain(..skip.min(pcm.len()));
        self.base = self.given - pcm.len() as u64;
        self.open.clear();
        pcm
    }

    fn text(&self) -> String {
        let mut text = self.fixed.clone();
        join(&mut text, &self.open);
        text
    }

    fn position(&self, seconds: f64) -> u64 {
        // A float cast saturates; nonsense becomes a position at one of the ends.
        self.base.saturating_add((seconds * self.sample_rate_hz as f64).round() as u64)
    }

    fn near(&self) -> u64 {
        self.sample_rate_hz * NEAR_MS / 1_000
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

    /// Lets go of audio before `until`, by whole messages.
    fn trim(&mut self, until: u64) {
        while let Some(first) = self.replay.front() {
            let len = first.len() as u64;
            if self.given - self.replay_samples + len > until {
                return;
            }
            self.replay_samples -= len;
            self.replay.pop_front();
        }
    }
}

/// Adds words with a space between, as far as there is room.
fn join(text: &mut String, more: &str) {
    let more = more.trim();
    if more.is_empty() || text.len() + more.len() >= TURN_TEXT_BYTES_MAX {
        return;
    }
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(more);
}

#[cfg(test)]
mod tests;
