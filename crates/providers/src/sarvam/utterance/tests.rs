use super::*;
use proptest::prelude::*;

/// One second of audio.
const S: usize = 8_000;
const QUIET: Duration = Duration::from_millis(600);
const LONG: Duration = Duration::from_millis(1_500);

fn realtime() -> Utterance {
    Utterance::new(Protocol::Realtime, true, S as u32, QUIET)
}

fn streaming() -> Utterance {
    Utterance::new(Protocol::Streaming, true, S as u32, QUIET)
}

fn said(utterance: u64, text: &str) -> Transcript {
    Transcript { utterance: Some(utterance), text: text.into(), ..Transcript::default() }
}

fn ending(utterance: u64, text: &str, end_s: f64) -> Transcript {
    Transcript { end_s: Some(end_s), ..said(utterance, text) }
}

fn data(text: &str) -> Transcript {
    Transcript { text: text.into(), ..Transcript::default() }
}

fn take(act: impl FnOnce(&mut Vec<Answer>)) -> Vec<Answer> {
    let mut out = Vec::new();
    act(&mut out);
    out
}

fn partial(text: &str) -> Answer {
    Answer::Partial(text.into())
}

fn answer(work: u64, text: &str) -> Answer {
    Answer::Final { work, text: text.into() }
}

const END: Answer = Answer::EndOfUtterance { sure: false };

#[test]
fn text_grows_and_is_answered_when_its_piece_is_done() {
    let (mut u, now) = (realtime(), Instant::now());
    u.audio(vec![0; 2 * S]);
    u.speech_started(Some(0));
    assert_eq!(take(|out| u.partial(&said(0, "where is"), out)), [partial("where is")]);
    assert_eq!(take(|out| u.partial(&said(0, "where is"), out)), [], "nothing new");
    assert_eq!(take(|out| u.request(7, now, now + LONG, out)), [], "its final text is on its way");
    assert_eq!(take(|out| u.speech_ended(Some(0), out)), [END]);
    assert_eq!(
        take(|out| u.done(&said(0, "Where is my order?"), out)),
        [partial("Where is my order?"), answer(7, "Where is my order?")]
    );
    assert!(!u.is_wanted());
}

#[test]
fn text_that_is_there_is_answered_at_once() {
    let (mut u, now) = (realtime(), Instant::now());
    u.audio(vec![0; S]);
    take(|out| u.done(&said(0, "yes"), out));
    assert_eq!(take(|out| u.request(1, now, now + LONG, out)), [answer(1, "yes")]);
    u.speech_started(Some(1));
    take(|out| u.partial(&said(1, "please"), out));
    assert_eq!(take(|out| u.request(2, now, now + LONG, out)), []);
    assert_eq!(take(|out| u.done(&said(1, "please."), out)), [partial("yes please."), answer(2, "yes please.")]);
}

#[test]
fn pieces_keep_their_order_whichever_is_done_first() {
    let (mut u, now) = (realtime(), Instant::now());
    u.audio(vec![0; 4 * S]);
    u.speech_started(Some(0));
    take(|out| u.speech_ended(Some(0), out));
    u.speech_started(Some(1));
    assert_eq!(take(|out| u.partial(&said(1, "two"), out)), [partial("two")]);
    u.request(1, now, now + LONG, &mut Vec::new());
    assert_eq!(take(|out| u.done(&said(1, "two"), out)), [], "the first is still on its way");
    assert_eq!(take(|out| u.done(&said(0, "one"), out)), [partial("one two"), answer(1, "one two")]);
}

#[test]
fn silence_on_a_connection_that_works_has_no_words() {
    let (mut u, now) = (realtime(), Instant::now());
    u.audio(vec![0; S]);
    assert_eq!(take(|out| u.request(1, now, now + LONG, out)), []);
    assert_eq!(u.next_due(), Some(now + LONG), "whether it works is not known yet");
    assert_eq!(take(|out| u.pong(now + QUIET / 2, out)), []);
    assert_eq!(u.next_due(), Some(now + QUIET));
    assert_eq!(take(|out| assert!(!u.overdue(now + QUIET, out), "that is no failure")), [answer(1, "")]);
    // The pong came late.
    u.request(2, now, now + LONG, &mut Vec::new());
    assert_eq!(take(|out| u.pong(now + QUIET, out)), [answer(2, "")]);
    // Speech is noticed just in time.
    u.request(3, now, now + LONG, &mut Vec::new());
    u.pong(now, &mut Vec::new());
    u.speech_started(Some(0));
    assert_eq!(u.next_due(), Some(now + LONG));
    assert_eq!(take(|out| assert!(!u.overdue(now + QUIET, out))), []);
    assert_eq!(take(|out| u.done(&said(0, "yes"), out)), [partial("yes"), answer(3, "yes")]);
}

#[test]
fn requests_that_wait_too_long_tell_text_from_nothing() {
    let (mut u, now) = (realtime(), Instant::now());
    u.request(1, now, now + LONG, &mut Vec::new());
    assert_eq!(take(|out| assert!(u.overdue(now + LONG, out))), [Answer::Silent { work: 1 }], "no pong");
    u.speech_started(Some(0));
    u.request(2, now, now + LONG, &mut Vec::new());
    u.pong(now, &mut Vec::new());
    assert_eq!(take(|out| assert!(u.overdue(now + LONG, out))), [Answer::Silent { work: 2 }], "speech without text");
    take(|out| u.partial(&said(0, "where is"), out));
    u.request(3, now, now + LONG, &mut Vec::new());
    assert_eq!(take(|out| assert!(u.overdue(now + LONG, out))), [answer(3, "where is")]);
    assert_eq!(u.next_due(), None);
}

#[test]
fn a_flush_is_answered_by_the_text_that_follows_it() {
    let (mut u, now) = (streaming(), Instant::now());
    u.audio(vec![0; S]);
    u.sign_of_life();
    u.speech_started(None);
    u.request(1, now, now + LONG, &mut Vec::new());
    assert_eq!(take(|out| u.speech_ended(None, out)), [END]);
    assert_eq!(take(|out| u.done(&data("yes"), out)), [partial("yes"), answer(1, "yes")]);
    // Nothing was noticed, and the flush is not answered.
    u.discard();
    u.request(2, now, now + LONG, &mut Vec::new());
    assert_eq!(u.next_due(), Some(now + QUIET));
    assert_eq!(take(|out| assert!(!u.overdue(now + QUIET, out))), [answer(2, "")]);
    // Nothing was noticed, and yet the flush is answered.
    u.request(3, now, now + LONG, &mut Vec::new());
    assert_eq!(take(|out| u.done(&data("no"), out)), [partial("no"), answer(3, "no")]);
}

#[test]
fn a_connection_that_never_spoke_is_not_believed() {
    let (mut u, now) = (streaming(), Instant::now());
    u.request(1, now, now + LONG, &mut Vec::new());
    assert_eq!(u.next_due(), Some(now + LONG));
    assert_eq!(take(|out| assert!(u.overdue(now + LONG, out))), [Answer::Silent { work: 1 }]);
}

#[test]
fn what_was_said_before_the_discard_is_not_heard_again() {
    let mut u = realtime();
    u.audio(vec![0; 2 * S]);
    u.speech_started(Some(0));
    take(|out| u.partial(&said(0, "old words"), out));
    take(|out| u.speech_ended(Some(0), out));
    u.discard();
    assert_eq!(take(|out| u.partial(&said(0, "old words late"), out)), []);
    assert_eq!(take(|out| u.done(&said(0, "Old words, late."), out)), []);
    assert!(!u.heard);
    u.speech_started(Some(1));
    assert_eq!(take(|out| u.partial(&said(1, "new"), out)), [partial("new")]);
}

#[test]
fn who_speaks_through_a_discard_is_heard_from_there() {
    let (mut u, now) = (realtime(), Instant::now());
    u.audio(vec![0; 2 * S]);
    u.speech_started(Some(0));
    take(|out| u.partial(&said(0, "where is my"), out));
    u.discard();
    u.audio(vec![0; 2 * S]);
    assert_eq!(take(|out| u.partial(&said(0, "where is my order number"), out)), [partial("order number")]);
    u.request(1, now, now + LONG, &mut Vec::new());
    assert_eq!(
        take(|out| u.done(&ending(0, "Where is my order number five?", 3.5), out)),
        [partial("order number five?"), answer(1, "order number five?")]
    );
}

#[test]
fn a_text_that_ends_before_the_discard_is_old_whatever_was_noticed() {
    let mut u = realtime();
    u.audio(vec![0; 2 * S]);
    u.speech_started(Some(0));
    u.discard();
    u.audio(vec![0; S]);
    assert_eq!(take(|out| u.done(&ending(0, "old", 1.5), out)), []);
    assert_eq!(u.text(), "");
}

#[test]
fn a_flush_that_was_too_late_is_not_heard_in_the_next_turn() {
    let (mut u, now) = (streaming(), Instant::now());
    u.audio(vec![0; S]);
    u.speech_started(None);
    u.request(1, now, now + LONG, &mut Vec::new());
    u.overdue(now + LONG, &mut Vec::new());
    u.discard();
    assert_eq!(take(|out| u.done(&data("late"), out)), []);
    u.speech_started(None);
    assert_eq!(take(|out| u.done(&data("new"), out)), [partial("new")]);
}

#[test]
fn only_what_has_no_final_text_is_sent_again() {
    let (mut u, now) = (realtime(), Instant::now());
    for second in 0..4 {
        u.audio(vec![second; S]);
    }
    u.speech_started(Some(0));
    take(|out| u.done(&ending(0, "a b", 1.5), out));
    u.speech_started(Some(1));
    take(|out| u.partial(&said(1, "c"), out));
    u.request(1, now, now + LONG, &mut Vec::new());
    let again = u.replay();
    assert_eq!(again.len(), 2 * S + S / 2);
    assert_eq!((again[0], again[S / 2], again[S + S / 2]), (1, 2, 3));
    assert_eq!(u.text(), "a b", "what was open is heard again");
    // The new connection counts from there, time and pieces.
    u.audio(vec![4; S]);
    u.speech_started(Some(0));
    assert_eq!(take(|out| u.done(&ending(0, "c d", 3.5), out)), [partial("a b c d"), answer(1, "a b c d")]);
    assert!(u.replay().is_empty(), "all is final");
}

#[test]
fn after_a_break_old_text_is_no_answer_before_the_rest_was_looked_at() {
    let (mut u, now) = (realtime(), Instant::now());
    u.audio(vec![0; 2 * S]);
    take(|out| u.done(&ending(0, "a", 1.0), out));
    assert_eq!(u.replay().len(), S);
    assert_eq!(take(|out| u.request(1, now, now + LONG, out)), [], "more may be in it");
    u.pong(now, &mut Vec::new());
    assert_eq!(take(|out| assert!(!u.overdue(now + QUIET, out))), [answer(1, "a")]);
    u.speech_started(Some(0));
    assert_eq!(take(|out| u.done(&ending(0, "b", 1.0), out)), [partial("a b")]);
    assert_eq!(take(|out| u.request(2, now, now + LONG, out)), [answer(2, "a b")]);
}

#[test]
fn without_times_a_piece_ends_where_its_end_was_noticed() {
    let mut u = streaming();
    u.audio(vec![1; S]);
    u.speech_started(None);
    take(|out| u.speech_ended(None, out));
    u.audio(vec![2; S]);
    take(|out| u.done(&data("a"), out));
    assert_eq!(u.replay(), vec![2; S]);
}

#[test]
fn the_language_is_told_when_it_changes() {
    let in_language = |code: &str| Transcript { language: Some(code.into()), ..said(0, "x") };
    let told = |code: &str| Answer::Language(code.into());
    let mut u = realtime();
    assert_eq!(take(|out| u.partial(&in_language("hi-IN"), out)), [told("hi-IN"), partial("x")]);
    assert_eq!(take(|out| u.partial(&in_language("hi-IN"), out)), []);
    assert_eq!(take(|out| u.done(&in_language("od-IN"), out)), [told("or-IN")]);
    let mut asked = Utterance::new(Protocol::Streaming, false, S as u32, QUIET);
    assert_eq!(take(|out| asked.done(&in_language("hi-IN"), out)), [partial("x")], "it was not to be found out");
}

#[test]
fn too_many_requests_are_still_answered_once_each() {
    let (mut u, now) = (realtime(), Instant::now());
    let mut out = Vec::new();
    for work in 0..REQUESTS_MAX as u64 + 2 {
        u.request(work, now, now + LONG, &mut out);
    }
    assert_eq!(out, [Answer::Silent { work: 0 }, Answer::Silent { work: 1 }]);
    assert_eq!(u.give_up().len(), REQUESTS_MAX);
}

#[test]
fn a_piece_that_is_done_with_stays_so() {
    let (mut u, now) = (realtime(), Instant::now());
    take(|out| u.done(&said(0, "yes"), out));
    assert_eq!(take(|out| u.partial(&said(0, "yes yes"), out)), []);
    assert_eq!(take(|out| u.done(&said(0, "yes yes"), out)), []);
    u.speech_started(Some(0));
    assert_eq!(take(|out| u.request(1, now, now + LONG, out)), [answer(1, "yes")]);
}

#[test]
fn memory_is_bounded() {
    let mut u = realtime();
    let long = "word ".repeat(500);
    for n in 0..100 {
        u.audio(vec![0; S]);
        u.speech_started(Some(n * 2));
        take(|out| u.partial(&said(n * 2 + 1, &long), out));
    }
    assert!(u.pieces.len() <= PIECES_MAX);
    for n in 0..100 {
        take(|out| u.done(&said(n, &long), out));
    }
    assert!(u.text().len() <= model::limits::TURN_TEXT_BYTES_MAX);
}

#[derive(Clone, Debug)]
enum Step {
    Audio(usize),
    Discard,
    Request,
    Started(Option<u64>),
    Ended(Option<u64>),
    Partial(Option<u64>),
    Done(Option<u64>, Option<f64>),
    Pong,
    Break,
    Later(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let number = || prop::option::of(0u64..6);
    prop_oneof![
        4 => (0usize..5_000).prop_map(Step::Audio),
        1 => Just(Step::Discard),
        2 => Just(Step::Request),
        2 => number().prop_map(Step::Started),
        2 => number().prop_map(Step::Ended),
        3 => number().prop_map(Step::Partial),
        3 => (number(), prop::option::of(-10.0f64..1e4)).prop_map(|(number, end)| Step::Done(number, end)),
        1 => Just(Step::Pong),
        1 => Just(Step::Break),
        2 => (0u64..2_000).prop_map(Step::Later),
    ]
}

proptest! {
    #[test]
    fn each_request_is_answered_at_most_once_and_in_time(
        steps in prop::collection::vec(step(), 0..80),
        older in any::<bool>(),
    ) {
        let protocol = if older { Protocol::Streaming } else { Protocol::Realtime };
        let mut u = Utterance::new(protocol, true, S as u32, QUIET);
        let (mut now, mut asked, mut out) = (Instant::now(), 0u64, Vec::new());
        for step in steps {
            match step {
                Step::Audio(samples) => u.audio(vec![0; samples]),
                Step::Discard => u.discard(),
                Step::Request => { asked += 1; u.request(asked, now, now + LONG, &mut out); }
                Step::Started(number) => u.speech_started(number),
                Step::Ended(number) => u.speech_ended(number, &mut out),
                Step::Partial(number) =>
                    u.partial(&Transcript { utterance: number, ..data("some words") }, &mut out),
                Step::Done(number, end_s) =>
                    u.done(&Transcript { utterance: number, end_s, ..data("some words more") }, &mut out),
                Step::Pong => u.pong(now, &mut out),
                Step::Break => { let again = u.replay(); prop_assert!(again.len() as u64 <= u.audio.given()); }
                Step::Later(ms) => {
                    now += Duration::from_millis(ms);
                    u.overdue(now, &mut out);
                    prop_assert!(u.next_due().is_none_or(|due| due > now), "what is due was answered");
                }
            }
            prop_assert!(u.begin <= u.audio.given() && u.base <= u.audio.given());
            prop_assert!(u.pieces.len() <= PIECES_MAX && u.requests.len() <= REQUESTS_MAX);
            prop_assert!(u.pieces.front().is_none_or(|piece| !piece.is_final));
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
