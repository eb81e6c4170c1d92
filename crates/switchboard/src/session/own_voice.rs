//! What a model says by itself: its audio, kept until the call wants it heard. The model may begin to speak before the
//! call knows that there is an answer.

use call::WorkId;
use std::collections::VecDeque;

/// Longest answer that is kept, in seconds; nobody on the telephone listens longer. What comes after it is not heard.
const ANSWER_S_MAX: u32 = 60;
/// Answers at once: one that is heard, one that is thought of already, and one that was taken back.
const ANSWERS_MAX: usize = 4;

/// See the module.
pub(super) struct OwnVoice {
    rate: u32,
    answers: VecDeque<Answer>,
}

struct Answer {
    work: WorkId,
    waiting: Vec<i16>,
    samples: u64,
    /// The call wants it heard.
    claimed: bool,
    /// Nothing more will come.
    over: bool,
}

impl OwnVoice {
    pub(super) const fn new(rate: u32) -> Self {
        Self { rate, answers: VecDeque::new() }
    }

    /// The model has been asked.
    pub(super) fn begin(&mut self, work: WorkId) {
        while self.answers.len() >= ANSWERS_MAX {
            self.answers.pop_front();
        }
        self.answers.push_back(Answer { work, waiting: Vec::new(), samples: 0, claimed: false, over: false });
    }

    /// More of what it says. An answer that nobody asked for, or that was given up, is not kept.
    pub(super) fn push(&mut self, work: WorkId, pcm: &[i16]) {
        let limit = u64::from(self.rate * ANSWER_S_MAX);
        if let Some(answer) = self.answer(work) {
            let room = usize::try_from(limit - answer.samples.min(limit)).unwrap_or(0).min(pcm.len());
            answer.waiting.extend(&pcm[..room]);
            answer.samples += room as u64;
        }
    }

    /// The model has finished, or failed, or is no longer wanted to go on. What nobody wanted to hear until now goes when
    /// it was `given_up`.
    pub(super) fn over(&mut self, work: WorkId, given_up: bool) {
        if let Some(answer) = self.answer(work) {
            answer.over = true;
            if given_up && !answer.claimed {
                self.forget(work);
            }
        }
    }

    /// The call wants it heard. False when there is no such answer.
    pub(super) fn claim(&mut self, work: WorkId) -> bool {
        self.answer(work).map(|answer| answer.claimed = true).is_some()
    }

    /// What has come and was not taken yet, and whether that was all.
    pub(super) fn take(&mut self, work: WorkId) -> (Vec<i16>, bool) {
        let Some(answer) = self.answer(work) else { return (Vec::new(), true) };
        let taken = (std::mem::take(&mut answer.waiting), answer.over);
        if taken.1 {
            self.forget(work);
        }
        taken
    }

    pub(super) fn forget(&mut self, work: WorkId) {
        self.answers.retain(|answer| answer.work != work);
    }

    /// Nothing that was to be heard is to be heard any more.
    pub(super) fn forget_claimed(&mut self) {
        self.answers.retain(|answer| !answer.claimed);
    }

    fn answer(&mut self, work: WorkId) -> Option<&mut Answer> {
        self.answers.iter_mut().find(|answer| answer.work == work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: WorkId = WorkId(1);
    const SECOND: WorkId = WorkId(2);

    #[test]
    fn what_comes_before_it_is_wanted_is_kept() {
        let mut voice = OwnVoice::new(8_000);
        voice.begin(FIRST);
        voice.push(FIRST, &[1; 80]);
        assert!(voice.claim(FIRST));
        assert_eq!(voice.take(FIRST), (vec![1; 80], false));
        voice.push(FIRST, &[2; 80]);
        voice.over(FIRST, false);
        assert_eq!(voice.take(FIRST), (vec![2; 80], true));
        assert_eq!(voice.take(FIRST), (vec![], true), "it is over and gone");
        assert!(!voice.claim(FIRST));
    }

    #[test]
    fn what_was_given_up_is_not_kept() {
        let mut voice = OwnVoice::new(8_000);
        voice.begin(FIRST);
        voice.begin(SECOND);
        voice.push(FIRST, &[1; 80]);
        voice.over(FIRST, true);
        assert!(!voice.claim(FIRST));
        voice.claim(SECOND);
        voice.push(SECOND, &[1; 80]);
        // What the caller hears already ends with what has come.
        voice.over(SECOND, true);
        assert_eq!(voice.take(SECOND), (vec![1; 80], true));
        voice.push(WorkId(9), &[1; 80]);
        assert!(!voice.claim(WorkId(9)), "nobody asked for it");
    }

    #[test]
    fn a_cleared_line_forgets_what_was_to_be_heard_only() {
        let mut voice = OwnVoice::new(8_000);
        voice.begin(FIRST);
        voice.begin(SECOND);
        voice.claim(FIRST);
        voice.forget_claimed();
        assert!(!voice.claim(FIRST) && voice.claim(SECOND));
    }

    #[test]
    fn an_answer_without_end_and_answers_without_number_are_bounded() {
        let mut voice = OwnVoice::new(8_000);
        for work in 0..20 {
            voice.begin(WorkId(work));
        }
        assert_eq!(voice.answers.len(), ANSWERS_MAX);
        let minute = 60 * 8_000;
        for _ in 0..5 {
            voice.push(WorkId(19), &vec![1; minute / 3]);
        }
        assert_eq!(voice.take(WorkId(19)).0.len(), minute);
        voice.push(WorkId(19), &[1; 80]);
        assert_eq!(voice.take(WorkId(19)).0.len(), 0);
    }
}
