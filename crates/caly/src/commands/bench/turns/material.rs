//! The recordings and their words, as `scripts/fetch-speech` lays them down: folders of mono WAV files, each with a
//! `transcripts.txt` of lines `name: words`.

use super::sound;
use anyhow::{Context, ensure};
use std::path::Path;

/// Folders that belong to the whole measurement: name, what is in it.
const FOLDERS: [(&str, &str); 3] = [
    ("prompts", "announcements in English, one speaker"),
    ("read", "read and spoken English, several speakers"),
    ("hindi", "Hindi"),
];
const TRANSCRIPTS: &str = "transcripts.txt";
/// Words of a recording that can be a turn. Shorter ones are names and digits.
const WORDS_MIN: usize = 5;
/// Longest recording.
const CLIP_S_MAX: usize = 14;
/// Shortest recording.
const CLIP_S_MIN: usize = 1;
/// Most recordings taken of a folder.
const CLIPS_MAX: usize = 5_000;
/// Announcements that are the beginning of a sentence, although their text does not say so: a number or a name follows.
const LEFT_OPEN: [&str; 5] =
    ["conf-enteringno", "priv-callpending", "queue-holdtime", "queue-thereare", "vm-num-i-have"];
/// Announcements that are the end of a sentence only.
const ENDS_ONLY: [&str; 8] = [
    "astcc-followed-by-the-pound-key",
    "conf-hasjoin",
    "conf-otherinparty",
    "conf-userswilljoin",
    "conf-userwilljoin",
    "dir-first",
    "unidentified-no-callback",
    "vm-savemessage",
];

/// A recording.
#[derive(Debug)]
pub(super) struct Clip {
    pub(super) name: String,
    pub(super) pcm: Vec<i16>,
    /// As written.
    pub(super) words: Vec<String>,
    /// It can be a turn: long enough, English, from the beginning of a sentence.
    pub(super) is_turn: bool,
    /// Its sentence is not finished, and sounds like it.
    pub(super) left_open: bool,
}

/// See the module.
pub(super) struct Material {
    pub(super) clips: Vec<Clip>,
    /// Sounds without words.
    pub(super) wordless: Vec<Clip>,
    /// What is not there.
    pub(super) missing: Vec<String>,
}

impl Material {
    /// Reads what is there.
    ///
    /// # Errors
    /// When there is nothing, or a recording cannot be read.
    pub(super) fn read(folder: &Path) -> anyhow::Result<Self> {
        let mut material = Self { clips: Vec::new(), wordless: Vec::new(), missing: Vec::new() };
        for (name, what) in FOLDERS {
            let folder = folder.join(name);
            match std::fs::read_to_string(folder.join(TRANSCRIPTS)) {
                Ok(text) => material.read_folder(&folder, &text)?,
                Err(_) => material.missing.push(format!("{name} ({what})")),
            }
        }
        let hint = "run scripts/fetch-speech";
        ensure!(!material.clips.is_empty(), "there are no recordings in {}; {hint}", folder.display());
        Ok(material)
    }

    fn read_folder(&mut self, folder: &Path, transcripts: &str) -> anyhow::Result<()> {
        let mut lines: Vec<(&str, &str)> = transcripts.lines().filter_map(|line| line.split_once(':')).collect();
        lines.sort_unstable();
        lines.dedup_by_key(|(name, _)| *name);
        for (name, text) in lines.into_iter().take(CLIPS_MAX) {
            let path = folder.join(format!("{}.wav", name.trim()));
            if !path.is_file() {
                continue;
            }
            let wordless = text.trim_start().starts_with('[');
            let Ok(pcm) = sound::read(&path) else {
                // A recording of silence.
                continue;
            };
            let clip = clip(name.trim(), text.trim(), pcm).with_context(|| path.display().to_string())?;
            if wordless {
                self.wordless.push(clip);
            } else if (sound::samples(1_000) * CLIP_S_MIN..=sound::samples(1_000) * CLIP_S_MAX)
                .contains(&clip.pcm.len())
            {
                self.clips.push(clip);
            }
        }
        Ok(())
    }

    /// At most so many recordings that are turns, spread evenly over all; those left open are all there.
    pub(super) fn turns(&self, finished_max: usize) -> Vec<&Clip> {
        let (open, finished): (Vec<_>, Vec<_>) =
            self.clips.iter().filter(|clip| clip.is_turn).partition(|clip| clip.left_open);
        let step = finished.len().div_ceil(finished_max.max(1)).max(1);
        finished.into_iter().step_by(step).chain(open).collect()
    }
}

fn clip(name: &str, text: &str, pcm: Vec<i16>) -> anyhow::Result<Clip> {
    ensure!(text.len() < 4_000, "its text is too long");
    let words: Vec<String> =
        text.split_whitespace().filter(|word| !plain(word).is_empty()).map(str::to_owned).collect();
    let from_the_beginning = !text.starts_with("...") && !ENDS_ONLY.contains(&name);
    let is_turn = words.len() >= WORDS_MIN && text.is_ascii() && !text.contains(['(', '[']) && from_the_beginning;
    let left_open = text.trim_end().ends_with("...") || LEFT_OPEN.contains(&name);
    Ok(Clip { name: name.to_owned(), pcm, words, is_turn, left_open })
}

/// A word as it is compared: «1,» is «one», «*» is «star».
pub(super) fn plain(word: &str) -> String {
    const DIGITS: [&str; 10] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
    match word.trim_matches([',', '.', ';', ':', '"']) {
        "*" => return "star".to_owned(),
        "#" => return "pound".to_owned(),
        _ => {}
    }
    let plain: String = word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    match plain.parse::<usize>().ok().and_then(|digit| DIGITS.get(digit)) {
        Some(word) if plain.len() == 1 => (*word).to_owned(),
        Some(_) | None => plain,
    }
}

/// How many of the words were heard, if what was heard is exactly their beginning.
pub(super) fn words_heard(words: &[String], heard: &str) -> Option<usize> {
    let heard: Vec<String> =
        heard.split(|c: char| c.is_whitespace() || c == '-').map(plain).filter(|word| !word.is_empty()).collect();
    let same = heard.len() <= words.len() && words.iter().zip(&heard).all(|(word, heard)| plain(word) == *heard);
    (same && !heard.is_empty()).then_some(heard.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_heard_is_found_in_the_words() {
        let words: Vec<String> = "Press 1 now, or wait.".split_whitespace().map(str::to_owned).collect();
        assert_eq!(words_heard(&words, "Press one now."), Some(3));
        assert_eq!(words_heard(&words, "press 1"), Some(2));
        assert_eq!(words_heard(&words, "Press won"), None);
        assert_eq!(words_heard(&words, ""), None);
        assert_eq!(words_heard(&words, "Press one now or wait a while"), None);
    }

    #[test]
    fn which_recordings_are_turns() {
        let clip = |text: &str| clip("x", text, Vec::new()).unwrap();
        assert!(clip("Please hold while we connect.").is_turn);
        assert!(!clip("Please hold.").is_turn);
        assert!(!clip("... to mute or unmute yourself.").is_turn, "no beginning");
        assert!(!clip("नमस्ते दुनिया आप कैसे हैं").is_turn, "the built-in transcriber knows English only");
        let open = clip("To mute or unmute yourself...");
        assert!(open.is_turn && open.left_open);
    }

    #[test]
    fn what_is_missing_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let error = Material::read(folder.path()).err().unwrap();
        assert!(error.to_string().ends_with("run scripts/fetch-speech"), "{error}");
    }
}
