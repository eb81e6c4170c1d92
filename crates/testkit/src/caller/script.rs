//! The script: what is said, and when. TOML, so that it is easily changed.

use serde::{Deserialize, Serialize};
use std::path::Path;

/// Most turns of a script.
pub(super) const TURNS_MAX: usize = 200;
/// Most pieces of one turn: a telephone number in single digits, with gaps, has 20.
pub(super) const PIECES_MAX: usize = 100;
/// Longest gap, pause or wait a script may ask for.
pub(super) const WAIT_MS_MAX: u64 = 120_000;

/// The script used when none is given: an appointment at a clinic.
const CLINIC: &str = include_str!("../../scripts/clinic.toml");

/// A whole call, from the caller's side.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Its name.
    pub name: String,
    /// The agent has finished when it has been silent for so long.
    #[serde(default = "default_agent_silence_ms")]
    pub agent_silence_ms: u64,
    /// An agent that says nothing for so long has not understood that it is its turn; the script goes on.
    #[serde(default = "default_patience_ms")]
    pub patience_ms: u64,
    /// After the last turn the caller waits for the agent's farewell, so long at most, and hangs up.
    #[serde(default = "default_linger_ms")]
    pub linger_ms: u64,
    /// Loudness of the speech.
    #[serde(default = "default_speech_dbfs")]
    pub speech_dbfs: f32,
    /// Loudness of the line when nobody speaks: never digital silence.
    #[serde(default = "default_noise_dbfs")]
    pub noise_dbfs: f32,
    /// What is said, in order.
    #[serde(rename = "turn")]
    pub turns: Vec<Turn>,
}

const fn default_agent_silence_ms() -> u64 {
    600
}
const fn default_patience_ms() -> u64 {
    15_000
}
const fn default_linger_ms() -> u64 {
    8_000
}
const fn default_speech_dbfs() -> f32 {
    -20.0
}
const fn default_noise_dbfs() -> f32 {
    -65.0
}

/// One utterance.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// The words, for the word error rate.
    pub text: String,
    /// What it is for.
    #[serde(default)]
    pub kind: TurnKind,
    /// When it begins.
    #[serde(default)]
    pub when: When,
    /// `agent-finished`: pause after the agent has finished, the time a person thinks.
    #[serde(default)]
    pub pause_ms: u64,
    /// `during-agent`: time since the agent's first audio of that reply.
    #[serde(default)]
    pub after_ms: u64,
    /// The recordings it is put together from.
    pub say: Vec<Piece>,
    /// What the server should make of it: a note for whoever judges the run; not read here.
    #[serde(default)]
    pub expect: Option<String>,
}

/// What an utterance is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TurnKind {
    /// An answer: the agent replies.
    #[default]
    Turn,
    /// "Oh", "hm": the agent goes on speaking.
    Backchannel,
    /// An interruption: the agent stops, then replies.
    BargeIn,
}

/// When an utterance begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// When the agent has said what it had to say.
    #[default]
    AgentFinished,
    /// While it speaks.
    DuringAgent,
}

/// A piece of an utterance.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Piece {
    /// A recording, or a part of it.
    Clip {
        /// The file, within the voice's folder.
        clip: String,
        /// Where the part begins.
        from_ms: Option<u64>,
        /// Where it ends.
        to_ms: Option<u64>,
    },
    /// Nothing.
    Gap {
        /// How long.
        gap_ms: u64,
    },
}

/// Why a script cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// The file cannot be read.
    #[error("script {path}: {source}")]
    Unreadable {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is not a script.
    #[error("not a script: {0}")]
    Malformed(#[from] toml::de::Error),
    /// It is one, but makes no sense.
    #[error("turn {turn} of the script: {problem}")]
    Senseless {
        /// Which turn, from 1.
        turn: usize,
        /// What is wrong.
        problem: &'static str,
    },
}

impl Script {
    /// The appointment at a clinic.
    #[must_use]
    pub fn clinic() -> Self {
        Self::parse(CLINIC).expect("the script in the binary is a script: a test reads it")
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`ScriptError`].
    pub fn load(path: &Path) -> Result<Self, ScriptError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ScriptError::Unreadable { path: path.display().to_string(), source })?;
        Self::parse(&text)
    }

    /// Reads a script.
    ///
    /// # Errors
    /// [`ScriptError`].
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        let script: Self = toml::from_str(text)?;
        let senseless = |turn, problem| Err(ScriptError::Senseless { turn, problem });
        if script.turns.is_empty() || script.turns.len() > TURNS_MAX {
            return senseless(0, "a script has 1 to 200 turns");
        }
        for (i, turn) in script.turns.iter().enumerate() {
            if turn.say.is_empty() || turn.say.len() > PIECES_MAX {
                return senseless(i + 1, "a turn says 1 to 100 pieces");
            }
            if !turn.say.iter().any(|piece| matches!(piece, Piece::Clip { .. })) {
                return senseless(i + 1, "nothing is said");
            }
            if turn.pause_ms.max(turn.after_ms) > WAIT_MS_MAX {
                return senseless(i + 1, "a wait of more than two minutes");
            }
            if turn.kind != TurnKind::Turn && turn.when == When::AgentFinished {
                return senseless(i + 1, "a backchannel or barge-in is said during-agent");
            }
            for piece in &turn.say {
                match piece {
                    Piece::Gap { gap_ms } if *gap_ms > WAIT_MS_MAX => {
                        return senseless(i + 1, "a gap of more than two minutes");
                    }
                    Piece::Clip { from_ms: Some(from), to_ms: Some(to), .. } if from >= to => {
                        return senseless(i + 1, "a clip that ends before it begins");
                    }
                    Piece::Clip { .. } | Piece::Gap { .. } => {}
                }
            }
        }
        Ok(script)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clinic_script_is_one() {
        let script = Script::clinic();
        assert!(script.turns.len() >= 6);
        for kind in [TurnKind::Turn, TurnKind::Backchannel, TurnKind::BargeIn] {
            assert!(script.turns.iter().any(|turn| turn.kind == kind), "{kind:?}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_turn_named() {
        let turn = |body: &str| format!("name='x'\n[[turn]]\ntext='hello'\n{body}\n");
        for (text, want) in [
            (turn("say=[{clip='a.wav'}]"), None),
            (turn("say=[{clip='a.wav', from_ms=1, to_ms=2},{gap_ms=3}]"), None),
            (turn("say=[]"), Some("turn 1")),
            (turn("say=[{gap_ms=100}]"), Some("turn 1")),
            (turn("say=[{clip='a.wav', from_ms=5, to_ms=5}]"), Some("turn 1")),
            (turn("say=[{clip='a.wav'}]\nkind='barge-in'"), Some("turn 1")),
            (turn("say=[{clip='a.wav'}]\nkind='shout'"), Some("not a script")),
            (turn("say=[{clip='a.wav'}]\nloud=true"), Some("not a script")),
            (turn("say=[{clip='a.wav'}]\npause_ms=999999"), Some("turn 1")),
            ("name='x'\nturn=[]".to_owned(), Some("turn 0")),
            ("name=".to_owned(), Some("not a script")),
        ] {
            let got = Script::parse(&text);
            match want {
                None => assert!(got.is_ok(), "{text} {got:?}"),
                Some(want) => {
                    let message = got.expect_err(&text).to_string();
                    assert!(message.contains(want), "{text} {message}");
                }
            }
        }
    }
}
