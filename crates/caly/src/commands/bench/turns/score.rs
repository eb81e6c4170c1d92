//! What the decisions came to: tables for people and documents, JSON for programs.

use super::PAUSES_MS;
use super::activity::{Activity, Wordless};
use super::cases::Kind;
use crate::commands::bench::figures::Summary;
use serde::Serialize;

/// Kinds of turns that are not over, in the order of the tables. After a whole sentence nobody can know; it is shown and
/// not counted with the others.
const UNFINISHED: [Kind; 3] = [Kind::InnerPause, Kind::LeftOpen, Kind::MidFlow];

/// One decision.
#[derive(Debug, Serialize)]
pub(super) struct Played {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) snr_db: f32,
    pub(super) frame_ms: u64,
    /// Which of the report's rules.
    pub(super) rule: usize,
    /// The caller goes on after so much silence; none: they do not.
    pub(super) pause_ms: Option<u64>,
    /// From the last loud moment to the decision; none: there was none before the caller went on.
    pub(super) delay_ms: Option<i64>,
    /// The agent was heard before the caller went on.
    pub(super) heard: bool,
    pub(super) text: String,
    pub(super) dangling: bool,
    pub(super) score: Option<f32>,
}

/// Turns that are over.
#[derive(Debug, Serialize)]
struct FinishedRow {
    n: usize,
    /// Taken for finished in a pause before their end.
    cut_in: usize,
    /// And the agent was heard there.
    heard: usize,
    /// Not taken for finished at all.
    undecided: usize,
    /// From the last loud moment to the decision, where it was not too early.
    delay_ms: Option<Summary>,
}

/// Turns that are not over, of one kind, with pauses of one length.
#[derive(Debug, Serialize)]
struct UnfinishedRow {
    kind: Kind,
    pause_ms: u64,
    n: usize,
    cut_in: usize,
    heard: usize,
}

/// A rule at a level of noise, with frames of one length.
#[derive(Debug, Serialize)]
struct Row {
    rule: String,
    snr_db: f32,
    frame_ms: u64,
    finished: FinishedRow,
    unfinished: Vec<UnfinishedRow>,
    /// How long it waits when a turn that is not over is followed by nothing.
    waits_ms: Option<Summary>,
}

/// See the module.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    version: &'static str,
    recordings: usize,
    missing: Vec<String>,
    transcriptions: usize,
    scores: usize,
    rules: Vec<String>,
    rows: Vec<Row>,
    activity: Vec<Activity>,
    wordless: Vec<Wordless>,
    decisions: Vec<Played>,
}

impl Report {
    pub(super) fn new(
        recordings: usize,
        missing: Vec<String>,
        (transcriptions, scores): (usize, usize),
        rules: &[String],
        decisions: Vec<Played>,
        activity: Vec<Activity>,
        wordless: Vec<Wordless>,
    ) -> Self {
        let mut settings: Vec<(f32, u64)> = Vec::new();
        for played in &decisions {
            if !settings.contains(&(played.snr_db, played.frame_ms)) {
                settings.push((played.snr_db, played.frame_ms));
            }
        }
        settings.sort_by(|(a, frame_a), (b, frame_b)| frame_b.cmp(frame_a).then(b.total_cmp(a)));
        let mut rows = Vec::new();
        for (snr_db, frame_ms) in settings {
            for (number, rule) in rules.iter().enumerate() {
                let of = |played: &&Played| {
                    played.rule == number && played.frame_ms == frame_ms && played.snr_db.total_cmp(&snr_db).is_eq()
                };
                let of: Vec<&Played> = decisions.iter().filter(of).collect();
                rows.push(Row::new(rule, snr_db, frame_ms, &of));
            }
        }
        let version = env!("CARGO_PKG_VERSION");
        let rules = rules.to_vec();
        Self { version, recordings, missing, transcriptions, scores, rules, rows, activity, wordless, decisions }
    }

    /// Tables as documents have them.
    pub(super) fn markdown(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "{} recordings; {} transcriptions and {} judgements of the sound computed",
            self.recordings, self.transcriptions, self.scores
        )];
        for (number, row) in self.rows.iter().enumerate() {
            if number % self.rules.len().max(1) == 0 {
                lines.extend(row.head());
            }
            lines.push(row.line());
        }
        lines.extend(self.activity_lines());
        lines
    }

    fn activity_lines(&self) -> Vec<String> {
        let mut lines = vec![
            String::new(),
            "| speech over noise dB | frames missed / false alarms % | the same, plain level % | stretches | missed | \
             beginning clipped | false beginnings | beginning noticed after p50 / p95 ms | end noticed after p50 / p95 ms |"
                .to_owned(),
            "|---|---|---|---|---|---|---|---|---|".to_owned(),
        ];
        for of in &self.activity {
            lines.push(format!(
                "| {} | {:.1} / {:.1} | {:.1} / {:.1} | {} | {} | {} | {} in {} s | {} | {} |",
                of.snr_db,
                of.missed * 100.0,
                of.false_alarms * 100.0,
                of.plain_missed * 100.0,
                of.plain_false_alarms * 100.0,
                of.stretches,
                of.stretches_missed,
                of.clipped,
                of.false_beginnings,
                of.seconds,
                range(of.onset_ms.as_ref()),
                range(of.end_ms.as_ref()),
            ));
        }
        for sound in &self.wordless {
            lines.push(format!("without words: {}, taken for speech for {} ms", sound.name, sound.taken_for_speech_ms));
        }
        lines
    }
}

fn range(summary: Option<&Summary>) -> String {
    summary.map_or_else(|| "–".to_owned(), |summary| format!("{:.0} / {:.0}", summary.p50, summary.p95))
}

impl Row {
    fn new(rule: &str, snr_db: f32, frame_ms: u64, of: &[&Played]) -> Self {
        let finished = FinishedRow::of(of);
        let mut unfinished = Vec::new();
        for kind in UNFINISHED.into_iter().chain([Kind::SentenceEnd]) {
            for pause_ms in PAUSES_MS {
                let these = of.iter().filter(|played| played.kind == kind && played.pause_ms == Some(pause_ms));
                let mut row = UnfinishedRow { kind, pause_ms, n: 0, cut_in: 0, heard: 0 };
                // Taken for finished in an earlier pause of the recording: this one was not reached.
                for played in these.filter(|played| played.delay_ms.is_none_or(|delay| delay >= 0)) {
                    row.n += 1;
                    row.cut_in += usize::from(played.delay_ms.is_some());
                    row.heard += usize::from(played.heard);
                }
                unfinished.push(row);
            }
        }
        let alone = of.iter().filter(|played| played.pause_ms.is_none() && UNFINISHED.contains(&played.kind));
        let waits: Vec<u64> = alone.filter_map(|played| u64::try_from(played.delay_ms?).ok()).collect();
        let waits_ms = Summary::of(&waits, 1.0, 0.0);
        Self { rule: rule.to_owned(), snr_db, frame_ms, finished, unfinished, waits_ms }
    }

    /// Head of the table of these settings.
    fn head(&self) -> [String; 4] {
        let count = |kind: Kind| self.unfinished.iter().find(|row| row.kind == kind).map_or(0, |row| row.n);
        let pauses = PAUSES_MS.map(|ms| ms.to_string()).join(" / ");
        let kinds = UNFINISHED.into_iter().chain([Kind::SentenceEnd]);
        let kinds = kinds.map(|kind| format!(" {} ({}): % |", kind.name(), count(kind))).collect::<String>();
        [
            String::new(),
            format!("{} dB of speech over noise, frames of {} ms", self.snr_db, self.frame_ms),
            format!(
                "| rule | {} finished turns: cut in % | end told after p50 / p95 ms | unfinished: cut in, pause of {pauses} \
                 ms, % | agent heard over them % |{kinds}",
                self.finished.n
            ),
            format!("|---|---|---|---|---|{}", "---|".repeat(UNFINISHED.len() + 1)),
        ]
    }

    fn line(&self) -> String {
        let sum = |which: &dyn Fn(&UnfinishedRow) -> bool, what: &dyn Fn(&UnfinishedRow) -> usize| {
            let rows = self.unfinished.iter().filter(|row| which(row));
            let (n, wrong) = rows.fold((0, 0), |(n, wrong), row| (n + row.n, wrong + what(row)));
            percent(wrong, n)
        };
        let counted = |row: &UnfinishedRow| UNFINISHED.contains(&row.kind);
        let by_pause = |what: &dyn Fn(&UnfinishedRow) -> usize| {
            PAUSES_MS.map(|pause| sum(&|row| counted(row) && row.pause_ms == pause, what)).join(" / ")
        };
        let kinds = UNFINISHED.into_iter().chain([Kind::SentenceEnd]);
        let by_kind: String =
            kinds.map(|kind| format!(" {} |", sum(&|row| row.kind == kind, &|row| row.cut_in))).collect();
        format!(
            "| {} | {} | {} | {} | {} |{by_kind}",
            self.rule,
            percent(self.finished.cut_in, self.finished.n),
            range(self.finished.delay_ms.as_ref()),
            by_pause(&|row| row.cut_in),
            by_pause(&|row| row.heard),
        )
    }
}

impl FinishedRow {
    fn of(of: &[&Played]) -> Self {
        let finished: Vec<&&Played> = of.iter().filter(|played| played.kind == Kind::Finished).collect();
        let early = |played: &&&&Played| played.delay_ms.is_some_and(|delay| delay < 0);
        let delays: Vec<u64> = finished.iter().filter_map(|played| u64::try_from(played.delay_ms?).ok()).collect();
        Self {
            n: finished.len(),
            cut_in: finished.iter().filter(early).count(),
            heard: finished.iter().filter(early).filter(|played| played.heard).count(),
            undecided: finished.iter().filter(|played| played.delay_ms.is_none()).count(),
            delay_ms: Summary::of(&delays, 1.0, 0.0),
        }
    }
}

fn percent(part: usize, whole: usize) -> String {
    if whole == 0 { "–".to_owned() } else { format!("{:.0}", part as f64 * 100.0 / whole as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played(kind: Kind, pause_ms: Option<u64>, delay_ms: Option<i64>) -> Played {
        let name = "x".to_owned();
        let heard = pause_ms.is_some() && delay_ms.is_some();
        let (text, score) = (String::new(), None);
        Played {
            name,
            kind,
            snr_db: 20.0,
            frame_ms: 100,
            rule: 0,
            pause_ms,
            delay_ms,
            heard,
            text,
            dangling: false,
            score,
        }
    }

    #[test]
    fn shares_and_delays() {
        let decisions = vec![
            played(Kind::Finished, None, Some(300)),
            played(Kind::Finished, None, Some(500)),
            played(Kind::Finished, None, Some(-900)),
            played(Kind::Finished, None, None),
            played(Kind::InnerPause, Some(400), None),
            played(Kind::InnerPause, Some(400), Some(300)),
            played(Kind::LeftOpen, Some(700), Some(300)),
            played(Kind::SentenceEnd, Some(700), Some(300)),
            played(Kind::MidFlow, None, Some(1_100)),
        ];
        let report = Report::new(1, Vec::new(), (1, 1), &["auto".to_owned()], decisions, Vec::new(), Vec::new());
        let row = &report.rows[0];
        assert_eq!((row.finished.n, row.finished.cut_in, row.finished.undecided), (4, 1, 1));
        assert_eq!(row.finished.delay_ms.as_ref().unwrap().n, 2);
        assert_eq!(row.waits_ms.as_ref().unwrap().p50, 1_100.0);
        let table = report.markdown().join("\n");
        assert!(
            table.contains("| auto | 25 | 300 / 500 | 50 / 100 / – | 50 / 100 / – | 50 | 100 | – | 100 |"),
            "{table}"
        );
    }
}
