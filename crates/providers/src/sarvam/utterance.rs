//! What was said since the last `Discard`, put together from the vendor's own utterances ("pieces" here: what lies
//! between two pauses). Pure: positions are samples of the call's audio, times are passed in.
//!
//! Their texts do not say which request they answer, and text for a request may have come before it. So a request is
//! answered when nothing is on its way any more: no piece is open, and there is text; or nothing was noticed for a
//! while, on a connection that is known to work.

use crate::live::{Answer, Replay, join};
use crate::transcriber::Pcm;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;
use wire::sarvam::{Protocol, Transcript, bcp47};

/// Requests kept. The call asks again only when an answer is late.
const REQUESTS_MAX: usize = 8;
/// Pieces kept that have no final text. Text follows each pause at once; more are pieces without text to come.
const PIECES_MAX: usize = 16;

#[derive(Debug)]
struct Request {
    work: u64,
    /// With nothing noticed until then, nothing was said.
    quiet_at: Instant,
    due: Instant,
    /// The connection answered after the request: it works.
    alive: bool,
}

/// One of their utterances.
#[derive(Debug)]
struct Piece {
    number: u64,
    text: String,
    /// Where they noticed its end.
    ended_at: Option<u64>,
    is_final: bool,
    /// So many words at its beginning were said before the last `Discard`.
    words_before: usize,
    /// All of it was said before the last `Discard`.
    over: bool,
}

impl Piece {
    fn visible(&self) -> String {
        if self.over {
            return String::new();
        }
        if self.words_before == 0 {
            return self.text.clone();
        }
        self.text.split_whitespace().skip(self.words_before).collect::<Vec<_>>().join(" ")
    }
}

#[derive(Debug)]
pub(super) struct Utterance {
    protocol: Protocol,
    /// The language is to be found out.
    detect: bool,
    quiet_wait: Duration,
    audio: Replay,
    /// The utterance begins here.
    begin: u64,
    /// Position of the first sample that the present connection got.
    base: u64,
    fixed: String,
    /// Oldest first; the first is not final.
    pieces: VecDeque<Piece>,
    /// Number of the next piece, where they do not number them.
    next_number: u64,
    /// Pieces before this number are done with.
    done_before: u64,
    /// Some text (or the news that there is none) came for this utterance.
    heard: bool,
    /// The present connection has said something.
    spoke: bool,
    /// Audio was sent again all at once, and nothing of it has come back yet.
    behind: bool,
    language: String,
    requests: VecDeque<Request>,
}

impl Utterance {
    pub(super) fn new(protocol: Protocol, detect: bool, sample_rate_hz: u32, quiet_wait: Duration) -> Self {
        Self {
            protocol,
            detect,
            quiet_wait,
            audio: Replay::new(sample_rate_hz),
            begin: 0,
            base: 0,
            fixed: String::new(),
            pieces: VecDeque::new(),
            next_number: 0,
            done_before: 0,
            heard: false,
            spoke: false,
            behind: false,
            language: String::new(),
            requests: VecDeque::new(),
        }
    }

    pub(super) fn audio(&mut self, pcm: impl Into<Pcm>) {
        let pcm = pcm.into();
        self.audio.push(pcm);
    }

    pub(super) fn silence(&mut self, pcm: Pcm) {
        self.audio.rest(pcm);
    }

    pub(super) fn discard(&mut self) {
        self.begin = self.audio.given();
        self.audio.forget();
        self.fixed.clear();
        (self.heard, self.behind) = (false, false);
        self.requests.clear();
        for piece in &mut self.pieces {
            piece.over |= piece.ended_at.is_some() || piece.is_final;
            piece.words_before = piece.text.split_whitespace().count();
        }
    }

    pub(super) fn request(&mut self, work: u64, now: Instant, due: Instant, out: &mut Vec<Answer>) {
        if self.requests.len() == REQUESTS_MAX
            && let Some(oldest) = self.requests.pop_front()
        {
            out.push(Answer::Silent { work: oldest.work });
        }
        if self.protocol == Protocol::Streaming {
            // The flush that goes with the request ends what is being said.
            let here = self.audio.given();
            for piece in &mut self.pieces {
                piece.ended_at.get_or_insert(here);
            }
        }
        let alive = self.protocol == Protocol::Streaming && self.spoke;
        self.requests.push_back(Request { work, quiet_at: due.min(now + self.quiet_wait), due, alive });
        self.answer(out);
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        let open = self.is_open();
        self.requests.iter().map(|r| if r.alive && !open { r.quiet_at } else { r.due }).min()
    }

    pub(super) fn overdue(&mut self, now: Instant, out: &mut Vec<Answer>) -> bool {
        let (open, text, mut late) = (self.is_open(), self.text(), false);
        let heard = self.heard;
        self.requests.retain(|request| {
            let work = request.work;
            if !open && request.alive && request.quiet_at <= now {
                out.push(Answer::Final { work, text: text.clone() });
                return false;
            }
            if request.due <= now {
                late = true;
                out.push(if heard { Answer::Final { work, text: text.clone() } } else { Answer::Silent { work } });
                return false;
            }
            true
        });
        late
    }

    pub(super) fn give_up(&mut self) -> Vec<u64> {
        self.requests.drain(..).map(|r| r.work).collect()
    }

    pub(super) fn is_wanted(&self) -> bool {
        !self.requests.is_empty()
    }

    /// A new connection: it knows nothing of the pieces that had no final text, and gets their audio again.
    pub(super) fn replay(&mut self) -> Vec<i16> {
        let pcm = self.audio.again();
        self.base = self.audio.given() - pcm.len() as u64;
        self.pieces.clear();
        (self.next_number, self.done_before) = (0, 0);
        self.spoke = false;
        self.behind = !pcm.is_empty();
        for request in &mut self.requests {
            request.alive = false;
        }
        pcm
    }

    /// Any message of theirs.
    pub(super) fn sign_of_life(&mut self) {
        self.spoke = true;
        if self.protocol == Protocol::Streaming {
            self.requests.iter_mut().for_each(|request| request.alive = true);
        }
    }

    /// The answer to the ping that went with a request.
    pub(super) fn pong(&mut self, now: Instant, out: &mut Vec<Answer>) {
        self.requests.iter_mut().for_each(|request| request.alive = true);
        if !self.is_open() && self.requests.iter().any(|request| request.quiet_at <= now) {
            self.overdue(now, out);
        }
    }

    pub(super) fn speech_started(&mut self, number: Option<u64>) {
        self.piece(number.unwrap_or(self.next_number));
    }

    pub(super) fn speech_ended(&mut self, number: Option<u64>, out: &mut Vec<Answer>) {
        let here = self.audio.given();
        let piece = match number {
            Some(number) => self.pieces.iter_mut().find(|piece| piece.number == number),
            None => self.pieces.iter_mut().rfind(|piece| !piece.is_final),
        };
        let Some(piece) = piece else { return };
        piece.ended_at.get_or_insert(here);
        if !piece.over {
            out.push(Answer::EndOfUtterance { sure: false });
        }
    }

    pub(super) fn partial(&mut self, said: &Transcript, out: &mut Vec<Answer>) {
        self.notice(said, out);
        let before = self.text();
        let number = self.number_of(said);
        let Some(piece) = self.piece(number).filter(|piece| !piece.is_final) else { return };
        piece.text.clone_from(&said.text);
        self.heard |= !piece.over;
        self.show(&before, out);
    }

    /// The final text of a piece.
    pub(super) fn done(&mut self, said: &Transcript, out: &mut Vec<Answer>) {
        self.notice(said, out);
        let before = self.text();
        let number = self.number_of(said);
        let (base, begin, here) = (self.base, self.begin, self.audio.given());
        let end = said.end_s.map(|seconds| base.saturating_add(self.audio.samples_in_s(seconds)).min(here));
        let Some(piece) = self.piece(number) else { return };
        piece.is_final = true;
        piece.text.clone_from(&said.text);
        piece.ended_at = Some(end.or(piece.ended_at).unwrap_or(here));
        piece.over |= end.is_some_and(|end| end <= begin);
        self.heard |= !piece.over;
        self.behind = false;
        self.settle();
        self.show(&before, out);
        self.answer(out);
    }

    /// The piece that a text is about. Without numbers it is the oldest that waits for one.
    fn number_of(&self, said: &Transcript) -> u64 {
        let oldest = || self.pieces.iter().find(|piece| !piece.is_final).map(|piece| piece.number);
        said.utterance.or_else(oldest).unwrap_or(self.next_number)
    }

    /// The piece of this number, a new one if need be; `None` when it is done with.
    fn piece(&mut self, number: u64) -> Option<&mut Piece> {
        if number < self.done_before {
            return None;
        }
        let found = self.pieces.iter().position(|piece| piece.number >= number);
        if let Some(at) = found.filter(|at| self.pieces[*at].number == number) {
            return self.pieces.get_mut(at);
        }
        self.next_number = self.next_number.max(number.saturating_add(1));
        let new = Piece { number, text: String::new(), ended_at: None, is_final: false, words_before: 0, over: false };
        self.pieces.insert(found.unwrap_or(self.pieces.len()), new);
        if self.pieces.len() > PIECES_MAX
            && let Some(lost) = self.pieces.pop_front()
        {
            self.done_before = lost.number.saturating_add(1);
            self.settle();
        }
        self.pieces.iter_mut().find(|piece| piece.number == number)
    }

    /// The final text of the oldest pieces goes where it stays.
    fn settle(&mut self) {
        while let Some(first) = self.pieces.pop_front_if(|piece| piece.is_final) {
            join(&mut self.fixed, &first.visible());
            self.audio.settle(first.ended_at.unwrap_or(0));
            self.done_before = first.number.saturating_add(1);
        }
    }

    /// Is text on its way?
    fn is_open(&self) -> bool {
        self.pieces.iter().any(|piece| !piece.is_final && !piece.over)
    }

    fn text(&self) -> String {
        let mut text = self.fixed.clone();
        for piece in &self.pieces {
            join(&mut text, &piece.visible());
        }
        text
    }

    fn show(&self, before: &str, out: &mut Vec<Answer>) {
        let now = self.text();
        if now != before && !now.is_empty() {
            out.push(Answer::Partial(now));
        }
    }

    fn notice(&mut self, said: &Transcript, out: &mut Vec<Answer>) {
        let Some(code) = said.language.as_deref().filter(|_| self.detect) else { return };
        let tag = bcp47(code);
        if tag != self.language {
            self.language = tag.into_owned();
            out.push(Answer::Language(self.language.clone()));
        }
    }

    /// Answers all requests when there is text and nothing more is on its way.
    fn answer(&mut self, out: &mut Vec<Answer>) {
        if !self.heard || self.behind || self.is_open() {
            return;
        }
        let text = self.text();
        for request in self.requests.drain(..) {
            out.push(Answer::Final { work: request.work, text: text.clone() });
        }
    }
}

#[cfg(test)]
mod tests;
