//! The caller's utterance on its way to text: audio kept until its text is there, and the requests for that text. Pure.

use super::engine::Out;
use crate::live::{Replay, join};
use crate::{Error, ErrorKind};
use std::collections::VecDeque;
use tokio::time::Instant;

/// Requests kept. The call asks again only when an answer is late.
const REQUESTS_MAX: usize = 8;
/// Pieces of the conversation whose text is not there yet, or belongs to the present utterance.
const PARTS_MAX: usize = 64;

#[derive(Debug)]
struct Request {
    work: u64,
    /// All parts up to this number.
    upto: u64,
    due: Instant,
}

/// What was asked for with one message.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) number: u64,
    pub(super) utterance: u64,
    /// The vendor's name for it.
    pub(super) item: Option<String>,
    at: u64,
    text: String,
    is_done: bool,
}

#[derive(Debug)]
pub(super) struct Listening {
    name: &'static str,
    audio: Replay,
    /// Number of the present utterance.
    pub(super) utterance: u64,
    parts: VecDeque<Part>,
    numbers: u64,
    requests: VecDeque<Request>,
    /// Samples since the last part.
    pub(super) fresh: u64,
    shown: String,
}

impl Listening {
    pub(super) fn new(name: &'static str, rate_hz: u32) -> Self {
        Self {
            name,
            audio: Replay::new(rate_hz),
            utterance: 0,
            parts: VecDeque::new(),
            numbers: 0,
            requests: VecDeque::new(),
            fresh: 0,
            shown: String::new(),
        }
    }

    pub(super) fn audio(&mut self, pcm: Vec<i16>) {
        self.fresh += pcm.len() as u64;
        self.audio.push(pcm.into());
    }

    /// So many samples are this long.
    pub(super) const fn samples_in_ms(&self, ms: u64) -> u64 {
        self.audio.samples_in_ms(ms)
    }

    /// The utterance is over. Returns whether audio was left that no part is about.
    pub(super) fn discard(&mut self) -> bool {
        self.utterance += 1;
        self.audio.forget();
        self.requests.clear();
        self.shown.clear();
        let utterance = self.utterance;
        self.parts.retain(|part| !part.is_done && part.utterance + PARTS_MAX as u64 > utterance);
        std::mem::take(&mut self.fresh) > 0
    }

    /// The audio since the last part becomes one; its number.
    pub(super) fn part(&mut self) -> u64 {
        self.fresh = 0;
        self.numbers += 1;
        if self.parts.len() == PARTS_MAX {
            self.parts.pop_front();
        }
        let (number, utterance, at) = (self.numbers, self.utterance, self.audio.given());
        self.parts.push_back(Part { number, utterance, item: None, at, text: String::new(), is_done: false });
        number
    }

    /// All audio up to here belongs to the last part.
    pub(super) fn extend(&mut self) {
        self.fresh = 0;
        let given = self.audio.given();
        if let Some(part) = self.parts.back_mut() {
            part.at = given;
        }
    }

    /// The text of all parts so far is wanted.
    pub(super) fn request(&mut self, work: u64, due: Instant, out: &mut Vec<Out>) {
        if self.requests.len() == REQUESTS_MAX
            && let Some(oldest) = self.requests.pop_front()
        {
            out.push(Out::Failed { work: oldest.work, error: self.late() });
        }
        self.requests.push_back(Request { work, upto: self.numbers, due });
        self.answer(out);
    }

    /// The vendor's name for the oldest part that has none. Returns its utterance.
    pub(super) fn named(&mut self, item: &str) -> Option<u64> {
        let part = self.parts.iter_mut().find(|part| part.item.is_none() && !part.is_done)?;
        part.item = Some(item.to_owned());
        Some(part.utterance)
    }

    fn find(&mut self, item: &str) -> Option<&mut Part> {
        self.parts.iter_mut().find(|part| part.item.as_deref() == Some(item))
    }

    /// More text of a part.
    pub(super) fn more(&mut self, item: &str, text: &str, out: &mut Vec<Out>) {
        let Some(part) = self.find(item).filter(|part| !part.is_done) else { return };
        if part.text.len() + text.len() <= model::limits::TURN_TEXT_BYTES_MAX {
            part.text.push_str(text);
        }
        self.show(out);
    }

    /// All text of a part; `None` = as it was told piece by piece.
    pub(super) fn done(&mut self, item: &str, text: Option<&str>, out: &mut Vec<Out>) {
        let Some(number) = self.find(item).map(|part| part.number) else { return };
        self.done_number(number, text, out);
    }

    /// The same, by number.
    pub(super) fn done_number(&mut self, number: u64, text: Option<&str>, out: &mut Vec<Out>) {
        let utterance = self.utterance;
        let Some(part) = self.parts.iter_mut().find(|part| part.number == number) else { return };
        part.is_done = true;
        if let Some(text) = text {
            text.clone_into(&mut part.text);
        }
        let (at, present) = (part.at, part.utterance == utterance);
        if !present {
            self.parts.retain(|part| part.number != number);
            return;
        }
        self.audio.settle(at);
        self.show(out);
        self.answer(out);
    }

    /// Text of a part.
    pub(super) fn text_of(&self, item: &str) -> Option<String> {
        self.parts.iter().find(|part| part.item.as_deref() == Some(item)).map(|part| part.text.trim().to_owned())
    }

    /// Text of the present utterance.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for part in self.parts.iter().filter(|part| part.utterance == self.utterance) {
            join(&mut text, &part.text);
        }
        text
    }

    pub(super) fn is_wanted(&self) -> bool {
        !self.requests.is_empty()
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.requests.iter().map(|request| request.due).min()
    }

    pub(super) fn overdue(&mut self, now: Instant, out: &mut Vec<Out>) {
        while let Some(request) = self.requests.pop_front_if(|request| request.due <= now) {
            let (work, text) = (request.work, self.text());
            out.push(if text.is_empty() {
                Out::Failed { work, error: self.late() }
            } else {
                Out::Final { work, text }
            });
        }
    }

    pub(super) fn give_up(&mut self) -> Vec<u64> {
        self.requests.drain(..).map(|request| request.work).collect()
    }

    /// A new connection: the audio without text, and the number of the part that it becomes when text is wanted.
    pub(super) fn again(&mut self) -> (Vec<i16>, Option<u64>) {
        let pcm = self.audio.again();
        self.parts.retain(|part| part.is_done);
        self.fresh = pcm.len() as u64;
        if !self.is_wanted() {
            return (pcm, None);
        }
        let number = self.part();
        self.requests.iter_mut().for_each(|request| request.upto = number);
        (pcm, Some(number))
    }

    fn late(&self) -> Error {
        Error::new(ErrorKind::TimedOut, self.name, "no text in time")
    }

    fn show(&mut self, out: &mut Vec<Out>) {
        let text = self.text();
        if text != self.shown && !text.is_empty() {
            self.shown.clone_from(&text);
            out.push(Out::Partial(text));
        }
    }

    fn answer(&mut self, out: &mut Vec<Out>) {
        let utterance = self.utterance;
        while let Some(upto) = self.requests.front().map(|request| request.upto) {
            let open = |part: &Part| part.utterance == utterance && part.number <= upto && !part.is_done;
            if self.parts.iter().any(open) {
                return;
            }
            if let Some(request) = self.requests.pop_front() {
                out.push(Out::Final { work: request.work, text: self.text() });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn listening() -> Listening {
        Listening::new("test", 8_000)
    }

    fn lines(out: &mut Vec<Out>) -> Vec<String> {
        out.drain(..)
            .map(|out| match out {
                Out::Partial(text) => format!("partial {text}"),
                Out::Final { work, text } => format!("final {work} {text}"),
                Out::Failed { work, error } => format!("failed {work} {}", error.kind.as_str()),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn ask(l: &mut Listening, work: u64, out: &mut Vec<Out>) {
        l.request(work, Instant::now() + Duration::from_secs(1), out);
    }

    #[test]
    fn parts_make_an_utterance() {
        let (mut l, mut out) = (listening(), Vec::new());
        ask(&mut l, 9, &mut out);
        assert_eq!(lines(&mut out), ["final 9 "], "nothing was said");
        l.audio(vec![0; 800]);
        l.part();
        l.named("a");
        ask(&mut l, 1, &mut out);
        l.more("a", "whe", &mut out);
        l.done("a", Some("where"), &mut out);
        assert_eq!(lines(&mut out), ["partial whe", "partial where", "final 1 where"]);
        l.audio(vec![0; 800]);
        l.part();
        l.named("b");
        ask(&mut l, 2, &mut out);
        l.done("b", Some("is it"), &mut out);
        assert_eq!(lines(&mut out), ["partial where is it", "final 2 where is it"]);
        assert!(!l.discard() && l.text().is_empty());
    }

    #[test]
    fn texts_out_of_order_wait_for_each_other() {
        let (mut l, mut out) = (listening(), Vec::new());
        for name in ["a", "b"] {
            l.audio(vec![0; 800]);
            l.part();
            l.named(name);
        }
        ask(&mut l, 1, &mut out);
        l.done("b", Some("two"), &mut out);
        l.done("a", Some("one"), &mut out);
        assert_eq!(lines(&mut out), ["partial two", "partial one two", "final 1 one two"]);
    }

    #[test]
    fn what_was_discarded_is_not_said_again() {
        let (mut l, mut out) = (listening(), Vec::new());
        l.audio(vec![0; 800]);
        l.part();
        l.named("a");
        ask(&mut l, 1, &mut out);
        assert!(!l.discard(), "all of it is a part");
        l.done("a", Some("old"), &mut out);
        l.audio(vec![0; 800]);
        assert!(l.discard(), "this is none");
        assert_eq!(lines(&mut out), [""; 0]);
    }

    #[test]
    fn late_texts_are_failures_and_some_text_is_text() {
        let (mut l, mut out) = (listening(), Vec::new());
        l.audio(vec![0; 800]);
        l.part();
        l.named("a");
        ask(&mut l, 1, &mut out);
        let late = Instant::now() + Duration::from_secs(2);
        l.overdue(late, &mut out);
        assert_eq!(lines(&mut out), ["failed 1 timed-out"]);
        ask(&mut l, 2, &mut out);
        l.more("a", "wh", &mut out);
        l.overdue(late, &mut out);
        assert_eq!(lines(&mut out), ["partial wh", "final 2 wh"]);
        for work in 0..=REQUESTS_MAX as u64 {
            ask(&mut l, work, &mut out);
        }
        assert_eq!(lines(&mut out), ["failed 0 timed-out"]);
        assert_eq!(l.give_up().len(), REQUESTS_MAX);
    }

    #[test]
    fn a_new_connection_gets_the_audio_without_text() {
        let (mut l, mut out) = (listening(), Vec::new());
        l.audio(vec![0; 800]);
        l.part();
        l.named("a");
        l.done("a", Some("one"), &mut out);
        l.audio(vec![1; 400]);
        l.part();
        ask(&mut l, 1, &mut out);
        let (pcm, part) = l.again();
        assert_eq!((pcm.len(), part.is_some()), (400, true));
        l.named("b");
        l.done("b", Some("two"), &mut out);
        assert_eq!(lines(&mut out), ["partial one", "partial one two", "final 1 one two"]);
        assert_eq!(l.again(), (Vec::new(), None));
    }
}
