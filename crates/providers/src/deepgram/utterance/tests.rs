use super::*;
use model::limits::TURN_TEXT_BYTES_MAX;
use proptest::prelude::*;
use std::time::Duration;
use wire::deepgram::Word;

/// One second of audio.
const S: usize = 8_000;

fn utterance() -> Utterance {
    Utterance::new(S as u32)
}

fn result(text: &str, from_s: f64, to_s: f64, is_final: bool) -> Results {
    Results { is_final, transcript: text.into(), start_s: from_s, duration_s: to_s - from_s, ..Results::default() }
}

fn finalized(text: &str, from_s: f64, to_s: f64) -> Results {
    Results { from_finalize: true, ..result(text, from_s, to_s, true) }
}

fn take(utterance: &mut Utterance, result: &Results) -> Vec<Answer> {
    let mut out = Vec::new();
    utterance.result(result, &mut out);
    out
}

fn partial(text: &str) -> Answer {
    Answer::Partial(text.into())
}

fn answer(work: u64, text: &str) -> Answer {
    Answer::Final { work, text: text.into() }
}

#[test]
fn text_grows_and_is_answered() {
    let mut u = utterance();
    u.audio(vec![0; 3 * S]);
    assert_eq!(take(&mut u, &result("I would", 0.0, 1.0, false)), [partial("I would")]);
    assert_eq!(take(&mut u, &result("I would", 0.0, 1.1, false)), [], "nothing new");
    assert_eq!(take(&mut u, &result("I would like", 0.0, 1.5, true)), [partial("I would like")]);
    assert_eq!(take(&mut u, &result("to", 1.5, 2.0, false)), [partial("I would like to")]);
    u.request(7, Instant::now());
    assert_eq!(
        take(&mut u, &finalized("to go.", 1.5, 3.0)),
        [partial("I would like to go."), answer(7, "I would like to go.")]
    );
    assert!(!u.is_wanted());
}

#[test]
fn a_second_request_gets_everything_since_the_discard() {
    let mut u = utterance();
    u.audio(vec![0; S]);
    u.request(1, Instant::now());
    assert_eq!(take(&mut u, &finalized("one", 0.0, 1.0)), [partial("one"), answer(1, "one")]);
    u.audio(vec![0; S]);
    u.request(2, Instant::now());
    assert_eq!(take(&mut u, &finalized("two", 1.0, 2.0)), [partial("one two"), answer(2, "one two")]);
}

#[test]
fn what_was_said_before_the_discard_is_not_heard_again() {
    let mut u = utterance();
    u.audio(vec![0; 2 * S]);
    take(&mut u, &result("old", 0.0, 1.0, true));
    u.discard();
    assert_eq!(take(&mut u, &result("late old", 1.0, 2.0, true)), []);
    u.audio(vec![0; 2 * S]);
    let mut both = result("old new words", 1.0, 4.0, true);
    assert_eq!(take(&mut u, &both), [partial("old new words")], "without times there is no telling them apart");
    let mut v = utterance();
    v.audio(vec![0; 2 * S]);
    v.discard();
    v.audio(vec![0; 2 * S]);
    both.words = [("old", 1.2), ("new", 2.3), ("words", 3.0)]
        .map(|(text, at)| Word { text: text.into(), start_s: at, end_s: at + 0.3 })
        .into();
    assert_eq!(take(&mut v, &both), [partial("new words")]);
}

#[test]
fn a_late_answer_is_not_taken_for_the_next() {
    let (mut u, now) = (utterance(), Instant::now());
    u.audio(vec![0; 5 * S]);
    u.request(1, now);
    let mut out = Vec::new();
    take(&mut u, &result("a", 0.0, 1.0, false));
    assert!(u.overdue(now, &mut out));
    assert_eq!(out, [answer(1, "a")]);
    u.audio(vec![0; 3 * S]);
    u.request(2, now + Duration::from_secs(1));
    assert_eq!(take(&mut u, &finalized("a b", 0.0, 5.0)), [partial("a b")], "this is the late answer to 1");
    assert_eq!(take(&mut u, &finalized("c", 5.0, 8.0)), [partial("a b c"), answer(2, "a b c")]);
}

#[test]
fn an_answer_that_never_came_does_not_hold_up_the_next() {
    let (mut u, now) = (utterance(), Instant::now());
    u.audio(vec![0; S]);
    u.request(1, now);
    u.overdue(now, &mut Vec::new());
    u.audio(vec![0; S]);
    u.request(2, now + Duration::from_secs(1));
    assert_eq!(take(&mut u, &finalized("x", 0.0, 2.0)), [partial("x"), answer(2, "x")]);
}

#[test]
fn positions_that_disagree_do_not_lose_an_answer() {
    let mut u = utterance();
    u.audio(vec![0; 2 * S]);
    u.request(1, Instant::now());
    assert_eq!(take(&mut u, &finalized("", 0.0, 0.5)), [answer(1, "")]);
}

#[test]
fn overdue_requests_tell_silence_from_text() {
    let (mut u, now) = (utterance(), Instant::now());
    let mut out = Vec::new();
    u.audio(vec![0; S]);
    u.request(1, now);
    u.request(2, now + Duration::from_secs(1));
    assert_eq!(u.next_due(), Some(now));
    assert!(u.overdue(now, &mut out));
    assert_eq!(out, [Answer::Silent { work: 1 }]);
    take(&mut u, &result("", 0.0, 1.0, true));
    out.clear();
    assert!(!u.overdue(now, &mut out));
    assert!(u.overdue(now + Duration::from_secs(1), &mut out));
    assert_eq!(out, [answer(2, "")], "it was looked at, and there were no words");
    assert_eq!(u.next_due(), None);
}

#[test]
fn a_discard_makes_requests_void() {
    let mut u = utterance();
    u.audio(vec![0; S]);
    u.request(1, Instant::now());
    u.discard();
    assert!(!u.is_wanted() && u.give_up().is_empty());
}

#[test]
fn giving_up_names_what_still_waits() {
    let (mut u, now) = (utterance(), Instant::now());
    u.request(1, now);
    u.request(2, now + Duration::from_secs(1));
    u.overdue(now, &mut Vec::new());
    assert_eq!(u.give_up(), [2]);
}

#[test]
fn only_what_has_no_final_text_is_sent_again() {
    let mut u = utterance();
    for second in 0..4 {
        u.audio(vec![second; S]);
    }
    take(&mut u, &result("a b", 0.0, 1.5, true));
    let again = u.replay();
    assert_eq!(again.len(), 2 * S + S / 2);
    assert_eq!((again[0], again[S / 2], again[S + S / 2]), (1, 2, 3));
    // The new connection counts from there.
    u.audio(vec![4; S]);
    u.request(1, Instant::now());
    assert_eq!(take(&mut u, &finalized("c", 0.0, 3.5)), [partial("a b c"), answer(1, "a b c")]);
    assert!(u.replay().is_empty(), "all is final");
}

#[test]
fn nothing_that_was_discarded_is_sent_again() {
    let mut u = utterance();
    u.audio(vec![1; S]);
    u.discard();
    u.audio(vec![2; 10]);
    assert_eq!(u.replay(), vec![2; 10]);
}

#[test]
fn memory_is_bounded() {
    let mut u = utterance();
    let long = "word ".repeat(500);
    for n in 0..100 {
        u.audio(vec![0; S]);
        take(&mut u, &result(&long, f64::from(n), f64::from(n + 1), true));
        u.request(n as u64, Instant::now());
    }
    assert!(u.text().len() <= TURN_TEXT_BYTES_MAX);
    assert!(u.requests.len() <= REQUESTS_MAX);
}

#[derive(Clone, Debug)]
enum Step {
    Audio(usize),
    Discard,
    Request,
    Result { from: f64, len: f64, is_final: bool, from_finalize: bool },
    Break,
    Late,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0usize..5_000).prop_map(Step::Audio),
        1 => Just(Step::Discard),
        2 => Just(Step::Request),
        4 => (-10.0f64..1e4, -5.0f64..10.0, any::<bool>(), any::<bool>())
            .prop_map(|(from, len, is_final, from_finalize)| Step::Result { from, len, is_final, from_finalize }),
        1 => Just(Step::Break),
        1 => Just(Step::Late),
    ]
}

proptest! {
    #[test]
    fn each_request_is_answered_at_most_once_whatever_comes(steps in prop::collection::vec(step(), 0..80)) {
        let (mut u, now) = (utterance(), Instant::now());
        let (mut asked, mut out) = (0u64, Vec::new());
        for step in steps {
            match step {
                Step::Audio(samples) => u.audio(vec![0; samples]),
                Step::Discard => u.discard(),
                Step::Request => { asked += 1; u.request(asked, now); }
                Step::Result { from, len, is_final, from_finalize } => {
                    let r = Results { from_finalize, ..result("word", from, from + len, is_final) };
                    u.result(&r, &mut out);
                }
                Step::Break => { let again = u.replay(); prop_assert!(again.len() as u64 <= u.audio.given()); }
                Step::Late => { u.overdue(now, &mut out); }
            }
            prop_assert!(u.begin <= u.audio.given() && u.base <= u.audio.given());
        }
        let mut answered: Vec<u64> = out.iter().filter_map(|a| match a {
            Answer::Final { work, .. } | Answer::Silent { work } => Some(*work),
            Answer::Partial(_) | Answer::EndOfUtterance { .. } | Answer::Language(_) => None,
        }).collect();
        let count = answered.len();
        answered.sort_unstable();
        answered.dedup();
        prop_assert_eq!(answered.len(), count);
    }
}
