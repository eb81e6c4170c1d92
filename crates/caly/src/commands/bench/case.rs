//! What is measured: over which carrier, how many calls, how they come and go.

use super::TurnEnd;
use anyhow::ensure;
use clap::ValueEnum;
use serde::Serialize;
use std::time::Duration;
use testkit::load::{CALLS_MAX, Format};

/// A storm breaks within this time.
pub(super) const STORM_OVER: Duration = Duration::from_secs(5);
/// Each of its calls stays so long.
pub(super) const STORM_CALL: Duration = Duration::from_secs(20);
/// Calls that come and go take so long, in milliseconds.
pub(super) const CHURN_MS: (u64, u64) = (20_000, 40_000);
/// Calls that begin evenly within a turn's time; more need another turn's time.
const CALLS_A_TURN: usize = 600;
const TURN: Duration = Duration::from_secs(6);

/// Which carrier, with which frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
pub(super) enum Profile {
    /// Exotel: 16-bit samples, frames of 100 ms.
    #[value(name = "exotel-100")]
    #[serde(rename = "exotel-100")]
    Exotel100,
    /// Exotel with frames of 20 ms.
    #[value(name = "exotel-20")]
    #[serde(rename = "exotel-20")]
    Exotel20,
    /// Twilio: μ-law, frames of 20 ms.
    #[value(name = "twilio-20")]
    #[serde(rename = "twilio-20")]
    Twilio20,
}

impl Profile {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Exotel100 => "exotel-100",
            Self::Exotel20 => "exotel-20",
            Self::Twilio20 => "twilio-20",
        }
    }

    /// For people.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Exotel100 => "Exotel, 100 ms frames",
            Self::Exotel20 => "Exotel, 20 ms frames",
            Self::Twilio20 => "Twilio, 20 ms frames",
        }
    }

    pub(super) const fn frame_ms(self) -> u64 {
        match self {
            Self::Exotel100 => 100,
            Self::Exotel20 | Self::Twilio20 => 20,
        }
    }

    pub(super) const fn format(self) -> Format {
        match self {
            Self::Exotel100 | Self::Exotel20 => Format::Exotel,
            Self::Twilio20 => Format::Twilio,
        }
    }
}

/// How calls come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Shape {
    /// All begin, then all go on.
    Steady,
    /// More and more on one server, until it does not keep up: the largest number that it held.
    Ramp,
    /// Each takes 20 to 40 s, and another begins at once.
    Churn,
    /// Steady calls, and many more within 5 s that stay 20 s each.
    Storm,
    /// Half of them go on, half come and go, for long; memory and open files are watched.
    Soak,
}

impl Shape {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Ramp => "ramp",
            Self::Churn => "churn",
            Self::Storm => "storm",
            Self::Soak => "soak",
        }
    }

    /// The window, unless it is given, in seconds.
    pub(super) const fn seconds(self) -> u64 {
        match self {
            Self::Steady | Self::Ramp => 20,
            Self::Churn => 60,
            // The storm, its calls, and what comes after them.
            Self::Storm => 30,
            Self::Soak => 1_800,
        }
    }
}

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum System {
    /// This program.
    Caly,
    /// The least that passes messages on: a yardstick.
    Relay,
}

/// One thing to measure.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) system: System,
    pub(super) profile: Profile,
    pub(super) shape: Shape,
    /// Steps of a ramp; else one number.
    pub(super) calls: Vec<usize>,
    pub(super) record: bool,
    pub(super) seconds: u64,
    pub(super) ramp_s: Option<u64>,
    pub(super) storm_calls: usize,
    /// Most calls that the server is told to take; by itself as many as there are.
    pub(super) calls_max: Option<usize>,
    pub(super) turn_end: TurnEnd,
    pub(super) pause_ms: u64,
}

impl Case {
    /// So many of those that are measured.
    pub(super) fn calls(&self) -> usize {
        self.calls.iter().copied().max().unwrap_or(0)
    }

    /// So many at once.
    pub(super) fn at_once(&self) -> usize {
        self.calls() + if self.shape == Shape::Storm { self.storm_calls } else { 0 }
    }

    /// These calls begin spread over this time: whole turns, so that their turns are spread as evenly.
    pub(super) fn ramp(&self, calls: usize) -> Duration {
        let turns = calls.div_ceil(CALLS_A_TURN).max(1) as u32;
        self.ramp_s.map_or(TURN * turns, Duration::from_secs)
    }

    /// What it is, in few words.
    pub(super) fn title(&self) -> String {
        let system = match self.system {
            System::Caly => "",
            System::Relay => "relay, ",
        };
        let calls: Vec<String> = self.calls.iter().map(ToString::to_string).collect();
        let storm = if self.shape == Shape::Storm { format!(" + {}", self.storm_calls) } else { String::new() };
        format!("{system}{}, {}, {}{storm} calls", self.profile.name(), self.shape.name(), calls.join(", "))
    }

    /// # Errors
    /// When it is too much for a generator.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        ensure!(!self.calls.is_empty(), "--calls needs a number");
        ensure!(self.calls.iter().all(|calls| *calls > 0), "--calls must be 1 or more");
        ensure!(self.at_once() <= CALLS_MAX, "{} calls at once are too many: {CALLS_MAX} at most", self.at_once());
        Ok(())
    }
}

/// What `make bench` measures: about nine minutes.
pub(super) fn suite(model: &Case) -> Vec<Case> {
    let steady = |profile, calls: &[usize]| -> Vec<Case> {
        let case = |calls| Case { profile, shape: Shape::Steady, calls: vec![calls], ..model.clone() };
        calls.iter().map(|calls| case(*calls)).collect()
    };
    let mut cases = steady(Profile::Exotel100, &[1, 10, 100, 500, 1_000]);
    cases.extend(steady(Profile::Exotel20, &[100, 300, 500]));
    cases.extend(steady(Profile::Twilio20, &[100, 300, 500]));
    let seconds = Shape::Storm.seconds();
    cases.push(Case { shape: Shape::Storm, calls: vec![200], storm_calls: 1_000, seconds, ..model.clone() });
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(shape: Shape, calls: &[usize]) -> Case {
        Case {
            system: System::Caly,
            profile: Profile::Exotel100,
            shape,
            calls: calls.to_vec(),
            record: true,
            seconds: 20,
            ramp_s: None,
            storm_calls: 1_000,
            calls_max: None,
            turn_end: TurnEnd::Transcriber,
            pause_ms: 100,
        }
    }

    #[test]
    fn a_storm_comes_on_top_and_too_much_is_refused() {
        assert_eq!(case(Shape::Storm, &[200]).at_once(), 1_200);
        assert_eq!(case(Shape::Ramp, &[100, 300]).at_once(), 300);
        assert!(case(Shape::Steady, &[2_000]).check().is_ok());
        for (shape, calls) in [
            (Shape::Steady, vec![]),
            (Shape::Steady, vec![0]),
            (Shape::Storm, vec![3_900]),
            (Shape::Churn, vec![9_999]),
        ] {
            assert!(case(shape, &calls).check().is_err(), "{calls:?}");
        }
    }

    #[test]
    fn calls_begin_within_whole_turns() {
        for (calls, want_s) in [(1, 6), (600, 6), (601, 12), (2_000, 24)] {
            assert_eq!(case(Shape::Steady, &[]).ramp(calls), Duration::from_secs(want_s));
        }
        let given = Case { ramp_s: Some(3), ..case(Shape::Steady, &[]) };
        assert_eq!(given.ramp(2_000), Duration::from_secs(3));
    }

    #[test]
    fn the_suite_holds_every_carrier_and_a_storm() {
        let cases = suite(&case(Shape::Steady, &[1]));
        assert_eq!(cases.len(), 12);
        assert_eq!(cases.iter().filter(|case| case.shape == Shape::Storm).count(), 1);
        assert!(cases.iter().all(|case| case.check().is_ok()));
    }
}
