//! What a case came to, as it is written down.

use super::case::{Profile, Shape, System};
use super::figures::Summary;
use super::server::Usage;
use serde::Serialize;
use std::collections::BTreeMap;
use testkit::load::{Figures, Taken};

/// The generator's own frames, and the vendors' answers, may be late by this much at the 99th percentile; beyond it a run
/// says little about the server.
const LATE_MS_MAX: f64 = 10.0;
/// So much overhead at the 99th percentile is more than a caller should bear.
const OVERHEAD_MS_MAX: f64 = 100.0;

/// What the server used within the window.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ServerFigures {
    /// Processor seconds in its own code for a second of one call.
    pub(super) user_s_per_call_s: f64,
    /// The same in the system's.
    pub(super) system_s_per_call_s: f64,
    /// Both.
    pub(super) processor_s_per_call_s: f64,
    /// Part of one core.
    pub(super) core_share: f64,
    /// So many calls fill a core, were processor time all that counts.
    pub(super) calls_per_core: f64,
    /// Seconds that its threads waited for a processor, for each second.
    pub(super) waited_share: f64,
    pub(super) resident_before_kib: u64,
    pub(super) resident_end_kib: u64,
    pub(super) resident_peak_kib: u64,
    /// What a call added.
    pub(super) resident_per_call_kib: f64,
    pub(super) threads: u64,
    pub(super) files: u64,
    /// To storage, recordings included, for a second of one call.
    pub(super) written_kib_per_call_s: f64,
}

/// When the server was looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Looks {
    pub(super) idle: Usage,
    pub(super) opens: Usage,
    pub(super) closes: Usage,
    pub(super) peak_kib: u64,
}

impl ServerFigures {
    pub(super) fn between(looks: &Looks, calls: usize, call_s: f64, window_s: f64) -> Self {
        let Looks { idle, opens, closes, peak_kib } = looks;
        // The system counts both in hundredths of a second; what the threads ran is finer, unless one of them has ended.
        let ticks_s = closes.cpu_s() - opens.cpu_s();
        let ran_s = closes.ran_s - opens.ran_s;
        let processor_s = if closes.threads == opens.threads && ran_s > 0.0 { ran_s } else { ticks_s };
        let user_part = if ticks_s > 0.0 { (closes.user_s - opens.user_s) / ticks_s } else { 0.0 };
        let (user_s, system_s) = (processor_s * user_part, processor_s * (1.0 - user_part));
        Self {
            user_s_per_call_s: user_s / call_s,
            system_s_per_call_s: system_s / call_s,
            processor_s_per_call_s: processor_s / call_s,
            core_share: processor_s / window_s,
            calls_per_core: call_s / processor_s.max(1e-6),
            waited_share: (closes.waited_s - opens.waited_s).max(0.0) / window_s,
            resident_before_kib: idle.resident_kib,
            resident_end_kib: closes.resident_kib,
            resident_peak_kib: *peak_kib,
            resident_per_call_kib: (closes.resident_kib as f64 - idle.resident_kib as f64) / calls as f64,
            threads: closes.threads,
            files: closes.files,
            written_kib_per_call_s: closes.written_kib.saturating_sub(opens.written_kib) as f64 / call_s,
        }
    }
}

/// What a group of callers heard.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Heard {
    pub(super) placed: u64,
    pub(super) begun: u64,
    /// Refused, by HTTP status.
    pub(super) refused: BTreeMap<u16, u64>,
    pub(super) errors: u64,
    pub(super) notes: Vec<String>,
    pub(super) call_s: f64,
    /// Announcement to open socket.
    pub(super) setup_ms: Option<Summary>,
    /// The caller's last speech frame to the agent's first sound, less the vendors' fixed latencies.
    pub(super) overhead_ms: Option<Summary>,
    pub(super) unanswered: u64,
    pub(super) unexpected: u64,
    pub(super) barge_ins: u64,
    pub(super) barge_in_missed: u64,
    /// The interruption's first frame to the agent's clear.
    pub(super) barge_in_ms: Option<Summary>,
    pub(super) stale_after_clear: u64,
    pub(super) replies: u64,
    pub(super) replies_with_gap: u64,
    pub(super) gaps: usize,
    pub(super) gap_ms: Option<Summary>,
    /// Frames that came when playback had run dry.
    pub(super) late_frames: u64,
    pub(super) frames_heard: u64,
    /// Frames that are no multiple of the carrier's unit.
    pub(super) odd_frames: u64,
}

fn ms(micros: &[u32], less: f64) -> Option<Summary> {
    let values: Vec<u64> = micros.iter().map(|value| u64::from(*value)).collect();
    Summary::of(&values, 1_000.0, less)
}

impl Heard {
    fn new(figures: &Figures, vendors_ms: u64) -> Self {
        Self {
            placed: figures.placed,
            begun: figures.begun,
            refused: figures.refused.clone(),
            errors: figures.errors,
            notes: figures.notes.clone(),
            call_s: figures.call_s,
            setup_ms: ms(&figures.setup, 0.0),
            overhead_ms: ms(&figures.answers, vendors_ms as f64),
            unanswered: figures.unanswered,
            unexpected: figures.unexpected,
            barge_ins: figures.barge_ins,
            barge_in_missed: figures.missed,
            barge_in_ms: ms(&figures.reactions, 0.0),
            stale_after_clear: figures.stale,
            replies: figures.replies,
            replies_with_gap: figures.replies_with_gap,
            gaps: figures.gaps.len(),
            gap_ms: ms(&figures.gaps, 0.0),
            late_frames: figures.late_frames,
            frames_heard: figures.frames_heard,
            odd_frames: figures.odd_frames,
        }
    }

    pub(super) fn refusals(&self) -> u64 {
        self.refused.values().sum()
    }
}

/// Callers and vendors: whether they were in time.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Generator {
    pub(super) late_p50_ms: Option<f64>,
    pub(super) late_p99_ms: Option<f64>,
    pub(super) vendors_late_p99_ms: Option<f64>,
    /// Part of one core.
    pub(super) core_share: Option<f64>,
    pub(super) processor_s_per_call_s: Option<f64>,
    /// Part of the time that it waited for a processor.
    pub(super) waited_share: Option<f64>,
}

impl Generator {
    /// Too late to judge a server.
    fn is_late(&self) -> bool {
        let late = |late: Option<f64>| late.is_none_or(|ms| ms > LATE_MS_MAX);
        // Where nobody was answered, no vendor was asked.
        late(self.late_p99_ms) || (self.vendors_late_p99_ms.is_some() && late(self.vendors_late_p99_ms))
    }
}

/// Rows that the run left in the database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Rows {
    pub(super) calls: u64,
    pub(super) turns: u64,
    pub(super) audit: u64,
}

/// A look at the server during a long run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Sample {
    pub(super) at_s: f64,
    pub(super) resident_kib: u64,
    pub(super) files: u64,
    pub(super) live: u64,
}

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Run {
    pub(super) system: System,
    pub(super) profile: Profile,
    pub(super) shape: Shape,
    pub(super) calls: usize,
    pub(super) recorded: bool,
    pub(super) window_s: f64,
    /// None where the system does not tell.
    pub(super) server: Option<ServerFigures>,
    /// Its processor time a call second by the relay's.
    pub(super) times_relay: Option<f64>,
    pub(super) heard: Heard,
    /// Of the calls that came all at once.
    pub(super) storm: Option<Heard>,
    pub(super) rows: Option<Rows>,
    /// Seconds of calls of the whole run, in and out of the window, as near as is known.
    pub(super) lived_s: f64,
    pub(super) generator: Generator,
    /// The generator was too late to judge the server.
    pub(super) discard: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) samples: Vec<Sample>,
    /// How memory grew over the samples but the first fifth of them, in kB a minute.
    pub(super) memory_kib_per_min: Option<f64>,
}

/// What is known of a run besides what was counted.
pub(super) struct Facts {
    pub(super) system: System,
    pub(super) profile: Profile,
    pub(super) shape: Shape,
    pub(super) calls: usize,
    pub(super) recorded: bool,
    pub(super) window_s: f64,
    pub(super) vendors_ms: u64,
    pub(super) samples: Vec<Sample>,
}

impl Run {
    pub(super) fn new(facts: Facts, looks: Option<&Looks>, taken: &Taken) -> Self {
        let [live, storm] = &taken.groups;
        let window_s = facts.window_s;
        let heard = Heard::new(live, facts.vendors_ms);
        let call_s = live.call_s + storm.call_s;
        let generator = Generator {
            late_p50_ms: live.late.percentile_ms(50),
            late_p99_ms: live.late.percentile_ms(99),
            vendors_late_p99_ms: taken.vendors_late.percentile_ms(99),
            core_share: taken.processor_s.map(|used| used / window_s),
            processor_s_per_call_s: taken.processor_s.map(|used| used / call_s),
            waited_share: taken.waited_s.map(|waited| waited / window_s),
        };
        let at_once = facts.calls + storm.begun as usize;
        Self {
            system: facts.system,
            profile: facts.profile,
            shape: facts.shape,
            calls: facts.calls,
            recorded: facts.recorded,
            window_s,
            server: looks.map(|looks| ServerFigures::between(looks, at_once, call_s, window_s)),
            times_relay: None,
            heard,
            storm: (facts.shape == Shape::Storm).then(|| Heard::new(storm, facts.vendors_ms)),
            rows: None,
            lived_s: live.lived_s + storm.lived_s,
            discard: generator.is_late(),
            generator,
            memory_kib_per_min: slope(&facts.samples),
            samples: facts.samples,
        }
    }

    /// Calls broke that should not have.
    pub(super) fn failed(&self) -> bool {
        self.heard.errors > 0 || self.storm.as_ref().is_some_and(|storm| storm.errors > 0)
    }

    /// The server kept up: nobody was refused, dropped, left without an answer or heard a gap.
    pub(super) fn holds(&self) -> bool {
        let heard = &self.heard;
        let in_time = heard.overhead_ms.is_some_and(|overhead| overhead.p99 <= OVERHEAD_MS_MAX);
        heard.errors + heard.refusals() + heard.unanswered == 0 && heard.gaps == 0 && in_time
    }

    /// The same thing measured.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        (self.profile, self.shape, self.calls) == (other.profile, other.shape, other.calls)
    }
}

/// kB a minute by least squares; the first fifth, when everything is first used, is left out. None of too few.
fn slope(samples: &[Sample]) -> Option<f64> {
    let samples = samples.get(samples.len() / 5..).filter(|samples| samples.len() >= 5)?;
    let count = samples.len() as f64;
    let mean = |of: fn(&Sample) -> f64| samples.iter().map(of).sum::<f64>() / count;
    let (mean_min, mean_kib) = (mean(|sample| sample.at_s / 60.0), mean(|sample| sample.resident_kib as f64));
    let (mut together, mut alone) = (0.0, 0.0);
    for sample in samples {
        let minutes = sample.at_s / 60.0 - mean_min;
        together += minutes * (sample.resident_kib as f64 - mean_kib);
        alone += minutes * minutes;
    }
    (alone > 0.0).then(|| together / alone)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn taken(answers: usize, gaps: usize) -> Taken {
        let mut live = Figures { placed: 10, begun: 10, call_s: 200.0, replies: answers as u64, ..Figures::default() };
        live.answers = (0..answers).map(|n| 420_000 + n as u32 * 1_000).collect();
        live.gaps = vec![30_000; gaps];
        live.setup = vec![12_000; 10];
        Taken {
            groups: [live, Figures::default()],
            vendors: testkit::load::VendorCounts::default(),
            vendors_late: testkit::load::Lateness::default(),
            processor_s: Some(0.1),
            waited_s: Some(0.0),
        }
    }

    pub(in super::super) fn run(system: System, profile: Profile, calls: usize, processor_s: f64) -> Run {
        let facts = Facts {
            system,
            profile,
            shape: Shape::Steady,
            calls,
            recorded: true,
            window_s: 20.0,
            vendors_ms: 410,
            samples: Vec::new(),
        };
        let idle = Usage { resident_kib: 40_000, ..Usage::default() };
        let closes = Usage { user_s: processor_s / 4.0, system_s: processor_s * 0.75, resident_kib: 42_000, ..idle };
        let looks = Looks { idle, opens: idle, closes, peak_kib: 43_000 };
        Run::new(facts, Some(&looks), &taken(20, 0))
    }

    #[test]
    fn a_run_is_summed_up() {
        let run = run(System::Caly, Profile::Exotel100, 10, 0.4);
        let server = run.server.as_ref().expect("looked at");
        assert!((server.processor_s_per_call_s - 0.002).abs() < 1e-9);
        assert!((server.user_s_per_call_s - 0.0005).abs() < 1e-9);
        assert!((server.calls_per_core - 500.0).abs() < 1e-6);
        assert!((server.resident_per_call_kib - 200.0).abs() < 1e-9);
        let overhead = run.heard.overhead_ms.expect("answers");
        assert_eq!((overhead.n, overhead.p50, overhead.max), (20, 19.0, 29.0));
        assert_eq!(run.heard.setup_ms.map(|setup| setup.p99), Some(12.0));
        assert!(run.holds() && !run.failed());
        assert!(run.discard, "nothing was sent: nothing to judge by");
    }

    #[test]
    fn what_does_not_hold() {
        let good = run(System::Caly, Profile::Exotel100, 10, 0.4);
        let mut bad = [good.clone(), good.clone(), good.clone(), good.clone(), good];
        bad[0].heard.gaps = 1;
        bad[1].heard.refused.insert(503, 1);
        bad[2].heard.unanswered = 1;
        bad[3].heard.overhead_ms = Summary::of(&[500], 1.0, 0.0);
        bad[4].heard.errors = 1;
        assert!(bad.iter().all(|run| !run.holds()));
    }

    #[test]
    fn memory_that_grows_has_a_slope() {
        let sample = |n: u64, kib| Sample { at_s: n as f64 * 10.0, resident_kib: kib, files: 10, live: 5 };
        let flat: Vec<Sample> = (0..20).map(|n| sample(n, if n < 4 { n * 9_000 } else { 50_000 })).collect();
        assert!(slope(&flat).is_some_and(|slope| slope.abs() < 1e-6));
        let grows: Vec<Sample> = (0..20).map(|n| sample(n, 50_000 + n * 100)).collect();
        assert!(slope(&grows).is_some_and(|slope| (slope - 600.0).abs() < 1e-6));
        assert_eq!(slope(&grows[..4]), None);
    }
}
