//! What was said since the last `Discard`, put together from their texts. Pure: positions are samples of the audio sent,
//! times are passed in.
//!
//! A text is about everything since the last final one. Each request is a commit, and each commit is answered by one
//! final text, in order; final text that nobody asked for comes after half a minute of speech.

use crate::live::{Answer, Replay, join};
use crate::transcriber::Pcm;
use std::collections::VecDeque;
use tokio::time::Instant;
use wire::elevenlabs::listen::COMMIT_MS_MIN;

/// Commits kept that were not answered. The call asks again only when an answer is late.
const COMMITS_MAX: usize = 8;
/// On top of what a commit needs, in milliseconds: their count and ours may differ by a frame.
const COMMIT_SPARE_MS: u64 = 50;

#[derive(Debug)]
struct Commit {
    work: u64,
    /// The message it was asked with; after a break one message asks for several.
    message: u64,
    /// All audio up to here is what it is about.
    at: u64,
    due: Instant,
    /// Already answered (late) or forgotten: its text belongs to no request.
    over: bool,
    /// Its text belongs to an utterance that was discarded.
    void: bool,
}

#[derive(Debug)]
pub(super) struct Utterance {
    audio: Replay,
    fixed: String,
    /// Text since the last final one, as they sent it.
    open: String,
    /// So many words at its beginning were said before the last `Discard`.
    words_before: usize,
    /// Some text (or the news that there is none) came for this utterance.
    heard: bool,
    commits: VecDeque<Commit>,
    messages: u64,
    /// Samples sent since the last commit.
    uncommitted: u64,
    /// Silence that the next commit brings with it, in samples.
    padding: u64,
}

impl Utterance {
    pub(super) fn new(sample_rate_hz: u32) -> Self {
        Self {
            audio: Replay::new(sample_rate_hz),
            fixed: String::new(),
            open: String::new(),
            words_before: 0,
            heard: false,
            commits: VecDeque::new(),
            messages: 0,
            uncommitted: 0,
            padding: 0,
        }
    }

    pub(super) fn audio(&mut self, pcm: impl Into<Pcm>) {
        let pcm = pcm.into();
        self.uncommitted += pcm.len() as u64;
        self.audio.push(pcm);
    }

    pub(super) fn silence(&mut self, pcm: Pcm) {
        self.uncommitted += pcm.len() as u64;
        self.audio.rest(pcm);
    }

    pub(super) fn discard(&mut self) {
        self.audio.forget();
        self.fixed.clear();
        self.words_before = self.open.split_whitespace().count();
        self.heard = false;
        for commit in &mut self.commits {
            (commit.over, commit.void) = (true, true);
        }
    }

    pub(super) fn request(&mut self, work: u64, due: Instant, out: &mut Vec<Answer>) {
        if self.commits.len() == COMMITS_MAX
            && let Some(oldest) = self.commits.pop_front().filter(|oldest| !oldest.over)
        {
            out.push(Answer::Silent { work: oldest.work });
        }
        self.pad();
        let (message, at) = (self.messages, self.audio.given());
        self.commits.push_back(Commit { work, message, at, due, over: false, void: false });
    }

    /// Samples of silence that go with the commit.
    pub(super) const fn padding(&self) -> u64 {
        self.padding
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.commits.iter().filter(|c| !c.over).map(|c| c.due).min()
    }

    pub(super) fn overdue(&mut self, now: Instant, out: &mut Vec<Answer>) -> bool {
        let (text, heard) = (self.text(), self.heard);
        let mut any = false;
        for commit in self.commits.iter_mut().filter(|c| !c.over && c.due <= now) {
            any = true;
            commit.over = true;
            let work = commit.work;
            out.push(if heard { Answer::Final { work, text: text.clone() } } else { Answer::Silent { work } });
        }
        any
    }

    pub(super) fn give_up(&mut self) -> Vec<u64> {
        self.commits.drain(..).filter(|c| !c.over).map(|c| c.work).collect()
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.commits.iter().any(|c| !c.over)
    }

    /// A new connection: it knows nothing of what has no final text. All that still wait are answered by one commit.
    pub(super) fn replay(&mut self) -> Vec<i16> {
        let pcm = self.audio.again();
        self.open.clear();
        self.words_before = 0;
        self.uncommitted = pcm.len() as u64;
        self.commits.retain(|c| !c.over);
        if !self.commits.is_empty() {
            self.pad();
        }
        let (message, given) = (self.messages, self.audio.given());
        self.commits.iter_mut().for_each(|c| (c.message, c.at) = (message, given));
        pcm
    }

    pub(super) fn partial(&mut self, text: &str, out: &mut Vec<Answer>) {
        // It may still be about what was discarded.
        if self.commits.iter().any(|c| c.void) {
            return;
        }
        let before = self.text();
        text.clone_into(&mut self.open);
        self.heard |= !self.visible().is_empty();
        self.show(&before, out);
    }

    /// Final text: of the oldest commit, or unasked.
    pub(super) fn committed(&mut self, text: &str, out: &mut Vec<Answer>) {
        let before = self.text();
        text.clone_into(&mut self.open);
        let said = self.visible();
        self.open.clear();
        self.words_before = 0;
        let Some(first) = self.commits.pop_front() else {
            // Unasked, after much speech: what of the audio it covers is not known, but most of it.
            join(&mut self.fixed, &said);
            self.heard = true;
            self.audio.forget();
            self.show(&before, out);
            return;
        };
        self.audio.settle(first.at);
        if first.void {
            return;
        }
        join(&mut self.fixed, &said);
        self.heard = true;
        self.show(&before, out);
        let text = self.text();
        // After a break several wait for the same commit.
        let mut answered = vec![first];
        while self.commits.front().is_some_and(|next| next.message == answered[0].message) {
            answered.extend(self.commits.pop_front());
        }
        for commit in answered.into_iter().filter(|commit| !commit.over) {
            out.push(Answer::Final { work: commit.work, text: text.clone() });
        }
    }

    fn pad(&mut self) {
        let needed = self.audio.samples_in_ms(COMMIT_MS_MIN + COMMIT_SPARE_MS);
        self.padding = needed.saturating_sub(self.uncommitted);
        self.uncommitted = 0;
        self.messages += 1;
    }

    fn visible(&self) -> String {
        if self.words_before == 0 {
            return self.open.clone();
        }
        self.open.split_whitespace().skip(self.words_before).collect::<Vec<_>>().join(" ")
    }

    fn text(&self) -> String {
        let mut text = self.fixed.clone();
        join(&mut text, &self.visible());
        text
    }

    fn show(&self, before: &str, out: &mut Vec<Answer>) {
        let now = self.text();
        if now != before && !now.is_empty() {
            out.push(Answer::Partial(now));
        }
    }
}

#[cfg(test)]
mod tests;
