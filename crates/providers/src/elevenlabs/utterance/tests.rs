use super::*;
use proptest::prelude::*;
use std::time::Duration;

/// One second of audio.
const S: usize = 8_000;

fn utterance() -> Utterance {
    Utterance::new(S as u32)
}

fn ask(u: &mut Utterance, work: u64) -> Vec<Answer> {
    let mut out = Vec::new();
    u.request(work, Instant::now() + Duration::from_secs(1), &mut out);
    out
}

fn partial(u: &mut Utterance, text: &str) -> Vec<Answer> {
    let mut out = Vec::new();
    u.partial(text, &mut out);
    out
}

fn committed(u: &mut Utterance, text: &str) -> Vec<Answer> {
    let mut out = Vec::new();
    u.committed(text, &mut out);
    out
}

fn shown(text: &str) -> Answer {
    Answer::Partial(text.into())
}

fn last(work: u64, text: &str) -> Answer {
    Answer::Final { work, text: text.into() }
}

#[test]
fn text_grows_and_is_answered() {
    let mut u = utterance();
    u.audio(vec![0; S]);
    assert_eq!(partial(&mut u, "where is"), [shown("where is")]);
    assert_eq!(partial(&mut u, "where is"), [], "nothing new");
    assert_eq!(ask(&mut u, 1), []);
    assert_eq!(committed(&mut u, "Where is it?"), [shown("Where is it?"), last(1, "Where is it?")]);
    assert!(!u.is_wanted() && u.replay().is_empty(), "nothing need be sent again");
    u.audio(vec![0; S]);
    ask(&mut u, 2);
    assert_eq!(committed(&mut u, "Please."), [shown("Where is it? Please."), last(2, "Where is it? Please.")]);
}

#[test]
fn short_commits_bring_silence_with_them() {
    let mut u = utterance();
    u.audio(vec![0; S / 10]);
    ask(&mut u, 1);
    assert_eq!(u.padding(), 8 * 250, "0.35 s in all");
    u.audio(vec![0; S]);
    ask(&mut u, 2);
    assert_eq!(u.padding(), 0);
    ask(&mut u, 3);
    assert_eq!(u.padding(), 8 * 350, "no new audio at all");
}

#[test]
fn what_was_discarded_is_not_said_again() {
    let mut u = utterance();
    u.audio(vec![0; S]);
    partial(&mut u, "haan haan");
    u.discard();
    u.audio(vec![0; S]);
    assert_eq!(partial(&mut u, "haan haan where"), [shown("where")]);
    ask(&mut u, 1);
    assert_eq!(committed(&mut u, "Haan haan. Where is it?"), [shown("Where is it?"), last(1, "Where is it?")]);
    u.audio(vec![0; S]);
    ask(&mut u, 2);
    u.discard();
    u.audio(vec![0; S]);
    assert_eq!(partial(&mut u, "about the old one"), [], "it is not known which it is about");
    ask(&mut u, 3);
    assert_eq!(committed(&mut u, "the old one"), [], "its utterance is over");
    assert_eq!(committed(&mut u, "thank you"), [shown("thank you"), last(3, "thank you")]);
}

#[test]
fn final_text_that_nobody_asked_for_is_kept() {
    let mut u = utterance();
    u.audio(vec![0; 9 * S]);
    assert_eq!(committed(&mut u, "a long story"), [shown("a long story")]);
    u.audio(vec![0; S]);
    ask(&mut u, 1);
    assert_eq!(committed(&mut u, "ends"), [shown("a long story ends"), last(1, "a long story ends")]);
}

#[test]
fn late_answers_are_not_taken_for_the_next() {
    let mut u = utterance();
    u.audio(vec![0; S]);
    let mut out = Vec::new();
    u.request(1, Instant::now(), &mut out);
    assert!(u.overdue(Instant::now(), &mut out));
    assert_eq!(out, [Answer::Silent { work: 1 }]);
    u.audio(vec![0; S]);
    ask(&mut u, 2);
    assert_eq!(committed(&mut u, "one"), [shown("one")], "the late answer to the first");
    assert_eq!(committed(&mut u, "two"), [shown("one two"), last(2, "one two")]);
}

#[test]
fn after_a_break_one_commit_answers_all_that_wait() {
    let mut u = utterance();
    u.audio(vec![0; S / 10]);
    ask(&mut u, 1);
    u.audio(vec![0; S / 10]);
    ask(&mut u, 2);
    assert_eq!(u.replay().len(), S / 5);
    assert_eq!(u.padding(), 8 * 150);
    ask(&mut u, 3);
    assert_eq!(committed(&mut u, "yes"), [shown("yes"), last(1, "yes"), last(2, "yes")]);
    assert_eq!(committed(&mut u, ""), [last(3, "yes")]);
}

#[test]
fn too_many_requests_let_go_of_the_oldest() {
    let mut u = utterance();
    for work in 0..COMMITS_MAX as u64 {
        assert_eq!(ask(&mut u, work), []);
    }
    assert_eq!(ask(&mut u, 99), [Answer::Silent { work: 0 }]);
    assert_eq!(u.give_up().len(), COMMITS_MAX);
}

proptest! {
    /// Whatever comes in whatever order: each request is answered at most once, and give-up gives the rest.
    #[test]
    fn requests_are_answered_once(steps in prop::collection::vec((0u8..7, 0usize..4_000), 0..60)) {
        let (mut u, mut out, mut asked) = (utterance(), Vec::new(), 0u64);
        let (mut open, now) = (std::collections::BTreeSet::new(), Instant::now());
        for (step, n) in steps {
            match step {
                0 => u.audio(vec![0; n]),
                1 => { u.discard(); open.clear(); }
                2 => { asked += 1; open.insert(asked); u.request(asked, now, &mut out); }
                3 => u.partial(&"word ".repeat(n % 5), &mut out),
                4 => u.committed(&"word ".repeat(n % 5), &mut out),
                5 => { u.overdue(now, &mut out); }
                _ => { u.replay(); }
            }
            for answer in out.drain(..) {
                if let Answer::Final { work, .. } | Answer::Silent { work } = answer {
                    prop_assert!(open.remove(&work), "{work} was answered twice, or after its utterance");
                }
            }
        }
        let rest: std::collections::BTreeSet<u64> = u.give_up().into_iter().collect();
        prop_assert_eq!(rest, open);
    }
}
