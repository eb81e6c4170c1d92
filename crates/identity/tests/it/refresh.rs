//! The life of refresh tokens: the rules one by one, then random histories against a model that is written differently.

use chrono::{DateTime, Duration, Utc};
use identity::refresh::{ABSOLUTE_LIFETIME, GRACE, IDLE_LIFETIME, decide};
use identity::{Decision, Family, Presented, RefreshToken, Refusal, TokenHash, TokenPepper};
use proptest::prelude::*;
use std::collections::HashMap;

fn begin() -> DateTime<Utc> {
    DateTime::from_timestamp(1_772_366_400, 0).expect("a time")
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    Next(String),
    Refused,
}

/// A session as an API and its database would keep it: rows, hashes, one transaction a request.
struct Kept {
    pepper: TokenPepper,
    family: Family,
    spent: HashMap<TokenHash, u32>,
    reuses: u32,
}

impl Kept {
    fn new(now: DateTime<Utc>) -> (Self, String) {
        let first = RefreshToken::random().expect("randomness");
        let pepper = TokenPepper::derive(&"a secret of more than thirty-two bytes".into());
        let family = Family::begin([9; 16], &first, now);
        (Self { pepper, family, spent: HashMap::new(), reuses: 0 }, first.expose().to_owned())
    }

    fn decide(&self, text: &str, now: DateTime<Utc>) -> Decision {
        let token = RefreshToken::parse(text).expect("a token");
        let place = self.family.place(&token, self.spent.get(&token.hash()).copied());
        decide(&token, place, &self.family, &self.pepper, now)
    }

    fn refresh(&mut self, text: &str, now: DateTime<Utc>) -> Answer {
        match self.decide(text, now) {
            Decision::Rotate { family, spent_generation, next } => {
                self.spent.insert(self.family.current_hash, spent_generation);
                self.family = family;
                Answer::Next(next.expose().to_owned())
            }
            Decision::Repeat { next } => Answer::Next(next.expose().to_owned()),
            Decision::Reuse => {
                self.reuses += 1;
                self.family.ended_at = Some(now);
                Answer::Refused
            }
            Decision::Refuse(_) => Answer::Refused,
        }
    }

    fn rotate(&mut self, text: &str, now: DateTime<Utc>) -> String {
        match self.refresh(text, now) {
            Answer::Next(next) => next,
            Answer::Refused => panic!("refused"),
        }
    }
}

fn refusal(decision: &Decision) -> Option<Refusal> {
    match decision {
        Decision::Refuse(refusal) => Some(*refusal),
        Decision::Rotate { .. } | Decision::Repeat { .. } | Decision::Reuse => None,
    }
}

#[test]
fn each_use_gives_another_token() {
    let (mut kept, mut token) = Kept::new(begin());
    let mut seen = vec![token.clone()];
    for step in 0..50 {
        let now = begin() + Duration::minutes(step);
        token = kept.rotate(&token, now);
        assert!(!seen.contains(&token));
        seen.push(token.clone());
        assert_eq!(kept.family.generation as usize, seen.len() - 1);
        assert_eq!((kept.family.rotated_at, kept.family.last_used_at, kept.family.created_at), (now, now, begin()));
    }
    assert_eq!(kept.spent.len(), 50);
}

#[test]
fn a_lost_answer_is_given_again_for_ten_seconds() {
    for (later_ms, granted) in [(0, true), (1, true), (9_999, true), (10_000, true), (10_001, false), (60_000, false)] {
        let (mut kept, first) = Kept::new(begin());
        let second = kept.rotate(&first, begin());
        let now = begin() + Duration::milliseconds(later_ms);
        let before = kept.family;
        if granted {
            assert_eq!(kept.refresh(&first, now), Answer::Next(second.clone()), "{later_ms}");
            assert_eq!(kept.family, before, "a repeated answer writes nothing");
            assert_eq!(kept.refresh(&first, now), Answer::Next(second.clone()));
            assert!(matches!(kept.refresh(&second, now), Answer::Next(_)));
        } else {
            assert!(matches!(kept.decide(&first, now), Decision::Reuse), "{later_ms}");
            assert_eq!(kept.refresh(&first, now), Answer::Refused);
            assert_eq!(kept.refresh(&second, now), Answer::Refused, "the session is ended for everybody");
        }
    }
}

#[test]
fn a_clock_that_is_behind_has_the_same_grace() {
    let (mut kept, first) = Kept::new(begin());
    let second = kept.rotate(&first, begin());
    assert_eq!(kept.refresh(&first, begin() - GRACE), Answer::Next(second));
    assert!(matches!(kept.decide(&first, begin() - GRACE - Duration::milliseconds(1)), Decision::Reuse));
}

#[test]
fn twenty_at_once_get_one_successor() {
    let (mut kept, first) = Kept::new(begin());
    let answers: Vec<Answer> = (0..20).map(|_| kept.refresh(&first, begin())).collect();
    assert!(answers.iter().all(|answer| *answer == answers[0] && *answer != Answer::Refused));
    assert_eq!((kept.family.generation, kept.reuses, kept.family.ended_at), (1, 0, None));
}

#[test]
fn an_older_one_ends_the_session_even_within_the_grace() {
    let (mut kept, first) = Kept::new(begin());
    let second = kept.rotate(&first, begin());
    let third = kept.rotate(&second, begin());
    assert!(matches!(kept.decide(&first, begin()), Decision::Reuse));
    assert_eq!(kept.refresh(&first, begin()), Answer::Refused);
    for token in [&first, &second, &third] {
        assert_eq!(refusal(&kept.decide(token, begin())), Some(Refusal::Ended));
    }
    assert_eq!(kept.reuses, 1);
}

#[test]
fn a_session_ends_after_seven_idle_days() {
    for (after, want) in [
        (IDLE_LIFETIME - Duration::milliseconds(1), None),
        (IDLE_LIFETIME, Some(Refusal::Idle)),
        (IDLE_LIFETIME + Duration::days(1), Some(Refusal::Idle)),
    ] {
        let (kept, first) = Kept::new(begin());
        assert_eq!(refusal(&kept.decide(&first, begin() + after)), want, "{after}");
        assert_eq!(kept.family.over(begin() + after), want);
        assert_eq!(kept.family.over(begin() + after).is_some(), begin() + after >= kept.family.expires_at());
    }
}

#[test]
fn a_session_ends_after_thirty_days_however_busy() {
    let (mut kept, first) = Kept::new(begin());
    let mut token = first.clone();
    for day in 1..30 {
        token = kept.rotate(&token, begin() + Duration::days(day));
    }
    let end = begin() + ABSOLUTE_LIFETIME;
    assert_eq!(kept.family.expires_at(), end);
    assert_eq!(refusal(&kept.decide(&token, end - Duration::milliseconds(1))), None);
    assert_eq!(refusal(&kept.decide(&token, end)), Some(Refusal::TooOld));
    // A copy that turns up when all is over is no news.
    assert_eq!(refusal(&kept.decide(&first, end)), Some(Refusal::TooOld));
}

#[test]
fn a_logout_ends_grace_and_current_alike() {
    let (mut kept, first) = Kept::new(begin());
    let second = kept.rotate(&first, begin());
    kept.family.ended_at = Some(begin());
    for token in [&first, &second] {
        assert_eq!(refusal(&kept.decide(token, begin())), Some(Refusal::Ended));
    }
}

#[test]
fn times_at_the_edge_of_the_calendar_do_no_harm() {
    let (min, max) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
    for (kept_at, now) in [(min, max), (max, min), (max, max), (min, min)] {
        let (mut kept, first) = Kept::new(kept_at);
        let answer = kept.refresh(&first, now);
        assert_eq!(answer == Answer::Refused, (kept_at, now) == (min, max));
        let _no_panic = (kept.refresh(&first, now), kept.family.expires_at());
    }
}

#[test]
fn a_strange_token_neither_passes_nor_ends_anything() {
    let (mut kept, first) = Kept::new(begin());
    let stranger = RefreshToken::random().unwrap();
    assert_eq!(kept.family.place(&stranger, None), Presented::Unknown);
    assert_eq!(refusal(&kept.decide(stranger.expose(), begin())), Some(Refusal::Unknown));
    assert!(matches!(kept.refresh(&first, begin()), Answer::Next(_)));
}

#[test]
fn places_follow_from_generations() {
    let (mut kept, first) = Kept::new(begin());
    let mut token = first;
    for _ in 0..5 {
        token = kept.rotate(&token, begin());
    }
    let other = RefreshToken::random().unwrap();
    for (spent, want) in [
        (Some(4), Presented::Previous),
        (Some(3), Presented::Older),
        (Some(0), Presented::Older),
        (Some(5), Presented::Older),
        (Some(6), Presented::Older),
        (Some(u32::MAX), Presented::Older),
        (None, Presented::Unknown),
    ] {
        assert_eq!(kept.family.place(&other, spent), want, "{spent:?}");
    }
    let current = RefreshToken::parse(&token).unwrap();
    assert_eq!(kept.family.place(&current, Some(0)), Presented::Current);
}

#[test]
fn a_changed_secret_costs_a_login_at_worst() {
    let (mut kept, first) = Kept::new(begin());
    let second = kept.rotate(&first, begin());
    kept.pepper = TokenPepper::derive(&"the next secret of more than thirty-two bytes".into());
    // The answer that was lost cannot be made again; nobody is accused, and no second branch grows.
    assert_eq!(refusal(&kept.decide(&first, begin())), Some(Refusal::SuccessorLost));
    assert_eq!(kept.refresh(&first, begin()), Answer::Refused);
    assert_eq!(kept.family.ended_at, None);
    // Whoever has the current token goes on.
    let third = kept.rotate(&second, begin());
    assert_eq!(kept.refresh(&second, begin()), Answer::Next(third));
}

/// One thing that happens to a session.
#[derive(Clone, Debug)]
enum Step {
    /// Somebody presents the token issued as the n-th from the end (0 = newest; beyond the first: a strange one).
    Present(usize),
    Wait(i64),
    Logout,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => Just(Step::Present(0)),
        4 => Just(Step::Present(1)),
        1 => (2_usize..6).prop_map(Step::Present),
        3 => (0_i64..12_000).prop_map(Step::Wait),
        2 => prop_oneof![Just(9_999_i64), Just(10_000), Just(10_001), Just(1)].prop_map(Step::Wait),
        2 => (0_i64..8 * 86_400_000).prop_map(Step::Wait),
        1 => Just(Step::Logout),
    ]
}

/// The rules told as a list: every token ever issued and when, and whether anybody still gets in.
struct Model {
    issued: Vec<(String, DateTime<Utc>)>,
    alive: bool,
}

impl Model {
    /// What must be answered; `None` stands for a new token, whose text the model cannot know.
    fn present(&mut self, text: &str, now: DateTime<Utc>) -> Option<Answer> {
        let (begun, newest) = (self.issued[0].1, self.issued.last().expect("the first at least").1);
        // Each token's issue is a use, so the newest's issue is the last use.
        if !self.alive || now - begun >= Duration::days(30) || now - newest >= Duration::days(7) {
            return Some(Answer::Refused);
        }
        let from_end = self.issued.iter().rev().position(|(known, _)| known == text);
        match from_end {
            None => Some(Answer::Refused),
            Some(0) => None,
            Some(1) if now - newest <= Duration::seconds(10) => {
                Some(Answer::Next(self.issued.last().expect("the first at least").0.clone()))
            }
            Some(_) => {
                self.alive = false;
                Some(Answer::Refused)
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_history_follows_the_rules(steps in prop::collection::vec(step(), 1..60)) {
        let mut now = begin();
        let (mut kept, first) = Kept::new(now);
        let mut model = Model { issued: vec![(first, now)], alive: true };
        let stranger = RefreshToken::random().unwrap().expose().to_owned();
        for step in steps {
            match step {
                Step::Wait(ms) => now += Duration::milliseconds(ms),
                Step::Logout => {
                    kept.family.ended_at = Some(now);
                    model.alive = false;
                }
                Step::Present(from_end) => {
                    let text = model.issued.iter().rev().nth(from_end).map_or(&stranger, |(text, _)| text).clone();
                    let want = model.present(&text, now);
                    let answer = kept.refresh(&text, now);
                    match (want, &answer) {
                        (Some(want), _) => prop_assert_eq!(&want, &answer),
                        (None, Answer::Next(next)) => {
                            prop_assert!(model.issued.iter().all(|(known, _)| known != next), "an old token again");
                            model.issued.push((next.clone(), now));
                        }
                        (None, Answer::Refused) => prop_assert!(false, "the good token was refused"),
                    }
                }
            }
            // Never two good tokens, and the good one is the newest.
            let good: Vec<&String> = model
                .issued
                .iter()
                .map(|(text, _)| text)
                .filter(|text| matches!(kept.decide(text, now), Decision::Rotate { .. }))
                .collect();
            prop_assert!(good.len() <= 1);
            if let [good] = good[..] {
                prop_assert_eq!(good, &model.issued.last().unwrap().0);
                prop_assert!(model.alive);
            }
            prop_assert_eq!(kept.family.ended_at.is_some(), !model.alive);
        }
    }
}
