//! What callers do, cut out of the recordings: turns that are finished, and turns that are not.

use super::material::{Clip, words_heard};
use super::minds::Minds;
use super::sound::{FRAME, Run, loud_frames, ms, runs, samples};
use serde::Serialize;

/// A pause between words, not the closure of a «t».
const PAUSE_MS_MIN: u64 = 150;
/// The closure between two words of flowing speech.
const DIP_MS_MIN: u64 = 32;
/// Pauses, and places in flowing speech, that are tried in one recording.
const TRIES: usize = 4;
/// Fewer words before a cut are not looked at.
const WORDS_BEFORE_MIN: usize = 2;
/// Sound kept after the last loud frame: the end of the last sound.
const KEEP_AFTER_MS: u64 = 40;
/// Sound kept before the first loud frame.
const KEEP_BEFORE_MS: u64 = 30;
/// A cut fades over this time.
const FADE_MS: u64 = 10;

/// What a piece of speech is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// A whole recording. The turn is over after it.
    Finished,
    /// Up to a pause that the speaker made inside a sentence.
    InnerPause,
    /// Recorded as the beginning of a sentence («to leave a message …»), and spoken so.
    LeftOpen,
    /// Up to a word in the middle of flowing speech. Nobody who pauses there sounds like it.
    MidFlow,
    /// Up to a pause between two sentences. By words and sound the turn may be over.
    SentenceEnd,
}

impl Kind {
    /// As tables name it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::InnerPause => "pause in a sentence",
            Self::LeftOpen => "left open",
            Self::MidFlow => "cut in flowing speech",
            Self::SentenceEnd => "pause between sentences",
        }
    }
}

/// What a caller says before they fall silent, and afterwards.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) before: Vec<i16>,
    /// End of the last loud frame of `before`.
    pub(super) before_end_ms: u64,
    /// Nothing, when the turn is finished.
    pub(super) after: Vec<i16>,
}

impl Case {
    /// The caller falls silent for so long (from loud to loud) and goes on. Sound, and where the caller goes on.
    pub(super) fn with_pause(&self, pause_ms: u64) -> (Vec<i16>, u64) {
        let mut sound = self.before[..samples(self.before_end_ms + KEEP_AFTER_MS).min(self.before.len())].to_vec();
        let goes_on_ms = self.before_end_ms + pause_ms;
        sound.resize(samples(goes_on_ms - KEEP_BEFORE_MS), 0);
        sound.extend(&self.after);
        (sound, goes_on_ms)
    }
}

/// All cases that a recording gives. Where words end is known from the transcriber: a cut is taken when what it hears
/// before it is exactly the beginning of the recording's words.
///
/// # Errors
/// When the transcriber fails.
pub(super) async fn cases(minds: &Minds, clip: &Clip) -> anyhow::Result<Vec<Case>> {
    let loud = loud_frames(&clip.pcm);
    let speech = runs(&loud, true);
    let (Some(first), Some(last)) = (speech.first().copied(), speech.last().copied()) else { return Ok(Vec::new()) };
    let from = (first.from * FRAME).saturating_sub(samples(KEEP_BEFORE_MS));
    let mut cases = Vec::new();
    let whole = |kind, after: Vec<i16>| Case {
        name: clip.name.clone(),
        kind,
        before: clip.pcm[from..].to_vec(),
        before_end_ms: ms(last.to * FRAME - from),
        after,
    };
    if clip.left_open {
        // The same speaker goes on; what they say makes no difference any more.
        cases.push(whole(Kind::LeftOpen, clip.pcm[from..].to_vec()));
    } else {
        cases.push(whole(Kind::Finished, Vec::new()));
    }
    let inner: Vec<Run> =
        runs(&loud, false).into_iter().filter(|gap| gap.from > first.from && gap.to < last.to).collect();
    let mut pauses: Vec<Run> = inner.iter().copied().filter(|gap| gap.ms() >= PAUSE_MS_MIN).collect();
    pauses.sort_by_key(|gap| (std::cmp::Reverse(gap.frames()), gap.from));
    let mut taken = 0;
    for gap in pauses.into_iter().take(TRIES) {
        if let Some((case, heard)) = cut(minds, clip, from, gap).await? {
            let ends = clip.words[heard - 1].ends_with(['.', '?', '!']) && !clip.words[heard - 1].ends_with("...");
            cases.push(Case { kind: if ends { Kind::SentenceEnd } else { Kind::InnerPause }, ..case });
            taken += 1;
        }
        if taken == 2 {
            break;
        }
    }
    let third = first.from + (last.to - first.from) * 2 / 3;
    let dips = inner.into_iter().rev().filter(|gap| (DIP_MS_MIN..PAUSE_MS_MIN).contains(&gap.ms()) && gap.from < third);
    for gap in dips.take(TRIES) {
        if let Some((case, heard)) = cut(minds, clip, from, gap).await?
            && !clip.words[heard - 1].ends_with(['.', '?', '!', ',', ';', ':'])
        {
            cases.push(case);
            break;
        }
    }
    Ok(cases)
}

/// The recording up to this gap, if the words before it are known, and how many.
async fn cut(minds: &Minds, clip: &Clip, from: usize, gap: Run) -> anyhow::Result<Option<(Case, usize)>> {
    let end = gap.from * FRAME;
    let kept = (end + samples(KEEP_AFTER_MS)).min(gap.to * FRAME);
    let mut before = clip.pcm[from..kept].to_vec();
    let fade = samples(FADE_MS).min(before.len());
    let tail = before.len() - fade;
    for (at, sample) in before[tail..].iter_mut().enumerate() {
        *sample = (i32::from(*sample) * (fade - at) as i32 / fade as i32) as i16;
    }
    let heard = minds.transcribe(&before).await?;
    let known = words_heard(&clip.words, &heard).filter(|n| (WORDS_BEFORE_MIN..clip.words.len()).contains(n));
    let after = clip.pcm[(gap.to * FRAME).saturating_sub(samples(KEEP_BEFORE_MS))..].to_vec();
    let before_end_ms = ms(end - from);
    let case = Case { name: clip.name.clone(), kind: Kind::MidFlow, before, before_end_ms, after };
    Ok(known.map(|n| (case, n)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_as_long_as_asked_from_loud_to_loud() {
        let case = Case {
            name: "x".to_owned(),
            kind: Kind::MidFlow,
            before: vec![100; samples(1_040)],
            before_end_ms: 1_000,
            after: vec![200; samples(500)],
        };
        let (sound, goes_on_ms) = case.with_pause(400);
        assert_eq!(goes_on_ms, 1_400);
        assert_eq!((sound[samples(1_039)], sound[samples(1_041)]), (100, 0));
        assert_eq!((sound[samples(1_369)], sound[samples(1_371)]), (0, 200));
        assert_eq!(sound.len(), samples(1_370 + 500));
    }
}
