//! What went on in a call, counted as it happens.

use call::Note;
use model::{CallCounts, CallUsage, Stage};

/// Adds a note of the call to its counts.
pub(super) fn count(counts: &mut CallCounts, note: &Note) {
    let counter = match note {
        Note::BargeIn { .. } => &mut counts.barge_ins,
        Note::Backchannel { .. } => &mut counts.backchannels,
        Note::Echo => &mut counts.echoes,
        Note::Withdrawn => &mut counts.withdrawn,
        Note::Reminded { .. } => &mut counts.reminders,
        Note::Filler => &mut counts.fillers,
        Note::LanguageSwitched { .. } => &mut counts.language_switches,
        Note::ToolStarted { .. } => &mut counts.tools,
        Note::ToolFinished { succeeded: false } => &mut counts.tools_failed,
        Note::StageFailed { stage: Stage::Transcribing } => &mut counts.failed_transcribing,
        Note::StageFailed { stage: Stage::Thinking } => &mut counts.failed_thinking,
        Note::StageFailed { stage: Stage::Speaking } => &mut counts.failed_speaking,
        Note::MarkMissing => &mut counts.marks_missing,
        // A tool's failure is counted when it has finished.
        Note::StageFailed { stage: Stage::Tool }
        | Note::ToolFinished { succeeded: true }
        | Note::AnsweredByMachine { .. }
        | Note::Turn(_) => return,
    };
    *counter = counter.saturating_add(1);
}

/// What providers noted of themselves, and what was counted here.
pub(super) fn together(providers: CallUsage, counted: CallCounts) -> CallUsage {
    let CallCounts { fallbacks_transcribing, fallbacks_thinking, fallbacks_speaking, reconnects, .. } =
        providers.counts;
    let counts = CallCounts { fallbacks_transcribing, fallbacks_thinking, fallbacks_speaking, reconnects, ..counted };
    CallUsage { lines: providers.lines, counts }
}

/// The stages in which more fallbacks have taken over than `known`, which is brought up to date.
pub(super) fn new_fallbacks(known: &mut CallCounts, now: &CallCounts) -> Vec<Stage> {
    let stages = [
        (Stage::Transcribing, &mut known.fallbacks_transcribing, now.fallbacks_transcribing),
        (Stage::Thinking, &mut known.fallbacks_thinking, now.fallbacks_thinking),
        (Stage::Speaking, &mut known.fallbacks_speaking, now.fallbacks_speaking),
    ];
    stages
        .into_iter()
        .filter_map(|(stage, known, now)| (std::mem::replace(known, now) < now).then_some(stage))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use call::Machine;

    #[test]
    fn every_note_is_counted_where_it_belongs() {
        let failed = |stage| Note::StageFailed { stage };
        type Counter = fn(&CallCounts) -> u32;
        let cases: [(Note, Counter); 13] = [
            (Note::BargeIn { voice_began_ms: 1, decided_after_ms: 2 }, |c| c.barge_ins),
            (Note::Backchannel { text: "haan".to_owned(), resumed: true }, |c| c.backchannels),
            (Note::Echo, |c| c.echoes),
            (Note::Withdrawn, |c| c.withdrawn),
            (Note::Reminded { count: 1 }, |c| c.reminders),
            (Note::Filler, |c| c.fillers),
            (Note::LanguageSwitched { tag: "hi-IN".to_owned() }, |c| c.language_switches),
            (Note::ToolStarted { name: "slots".to_owned() }, |c| c.tools),
            (Note::ToolFinished { succeeded: false }, |c| c.tools_failed),
            (failed(Stage::Transcribing), |c| c.failed_transcribing),
            (failed(Stage::Thinking), |c| c.failed_thinking),
            (failed(Stage::Speaking), |c| c.failed_speaking),
            (Note::MarkMissing, |c| c.marks_missing),
        ];
        let mut all = CallCounts::default();
        for (note, counter) in &cases {
            let mut counts = CallCounts::default();
            count(&mut counts, note);
            assert_eq!(counter(&counts), 1, "{note:?}");
            // And nowhere else.
            let told = serde_json::to_value(&counts).expect("JSON");
            let sum: u64 = told.as_object().expect("an object").values().filter_map(serde_json::Value::as_u64).sum();
            assert_eq!(sum, 1, "{note:?}");
            count(&mut all, note);
        }
        let before = all.clone();
        for note in [
            failed(Stage::Tool),
            Note::ToolFinished { succeeded: true },
            Note::AnsweredByMachine { what: Machine::Voicemail },
        ] {
            count(&mut all, &note);
        }
        assert_eq!(all, before);
    }

    #[test]
    fn both_halves_of_the_counts_are_kept() {
        let mut providers = CallUsage::default();
        providers.line(Stage::Thinking, "openai", "small").expect("room").requests = 3;
        providers.counts = CallCounts { fallbacks_thinking: 2, reconnects: 1, barge_ins: 9, ..CallCounts::default() };
        let counted = CallCounts { barge_ins: 4, dropped_ms: 30, ..CallCounts::default() };
        let usage = together(providers, counted);
        assert_eq!((usage.lines.len(), usage.counts.barge_ins, usage.counts.dropped_ms), (1, 4, 30));
        assert_eq!((usage.counts.fallbacks_thinking, usage.counts.reconnects), (2, 1));
    }

    #[test]
    fn fallbacks_are_told_once() {
        let mut known = CallCounts::default();
        let now = CallCounts { fallbacks_thinking: 2, fallbacks_speaking: 1, ..CallCounts::default() };
        assert_eq!(new_fallbacks(&mut known, &now), [Stage::Thinking, Stage::Speaking]);
        assert_eq!(new_fallbacks(&mut known, &now), []);
        let later = CallCounts { fallbacks_speaking: 2, ..now };
        assert_eq!(new_fallbacks(&mut known, &later), [Stage::Speaking]);
    }
}
