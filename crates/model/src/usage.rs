//! What a call used of its providers, and what went on in it, in figures.

use crate::words::words;
use serde::{Deserialize, Serialize};

words! {
    /// A stage of the pipeline.
    Stage {
        /// Speech to text.
        Transcribing = "transcribing",
        /// Language model or flow.
        Thinking = "thinking",
        /// A tool.
        Tool = "tool",
        /// Text to speech.
        Speaking = "speaking",
    }
}

/// Most lines kept of one call: three stages with four providers each, and some.
pub const USAGE_LINES_MAX: usize = 24;

/// What one provider did for a call in one stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UsageLine {
    /// In which stage.
    pub stage: Stage,
    /// Who: `deepgram`.
    pub provider: String,
    /// With which model; empty when it has one only.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// Requests made.
    #[serde(default)]
    pub requests: u64,
    /// Audio sent to it or made by it, ms.
    #[serde(default)]
    pub audio_ms: u64,
    /// Characters given to be spoken.
    #[serde(default)]
    pub characters: u64,
    /// Tokens read, cached ones among them.
    #[serde(default)]
    pub prompt_tokens: u64,
    /// Tokens read from the provider's cache.
    #[serde(default)]
    pub cached_tokens: u64,
    /// Tokens written.
    #[serde(default)]
    pub completion_tokens: u64,
}

/// What went on in a call, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CallCounts {
    /// The caller spoke over the agent, and it stopped.
    pub barge_ins: u32,
    /// Listening noises and coughs that changed nothing.
    pub backchannels: u32,
    /// Echoes of the agent's own voice that were not taken for the caller.
    pub echoes: u32,
    /// Answers taken back because the caller went on.
    pub withdrawn: u32,
    /// Reminders to a silent caller.
    pub reminders: u32,
    /// Words that bridged a slow answer.
    pub fillers: u32,
    /// Changes of language.
    pub language_switches: u32,
    /// Tools run.
    pub tools: u32,
    /// Tools that failed.
    pub tools_failed: u32,
    /// A fallback took over, by stage: transcribing.
    pub fallbacks_transcribing: u32,
    /// A fallback took over: thinking.
    pub fallbacks_thinking: u32,
    /// A fallback took over: speaking.
    pub fallbacks_speaking: u32,
    /// The transcriber's connection was made anew.
    pub reconnects: u32,
    /// Utterances that nobody could transcribe.
    pub failed_transcribing: u32,
    /// Answers that nobody could think of.
    pub failed_thinking: u32,
    /// Sentences that nobody could speak.
    pub failed_speaking: u32,
    /// Sentences whose end the carrier did not tell.
    pub marks_missing: u32,
    /// Audio of the caller that came too late to be heard, ms.
    pub dropped_ms: u64,
    /// Messages of the carrier that could not be read.
    pub bad_frames: u32,
}

/// What a call used and what went on in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CallUsage {
    /// By stage, provider and model.
    pub lines: Vec<UsageLine>,
    /// What went on.
    pub counts: CallCounts,
}

impl CallUsage {
    /// The line of a provider, made when there is none yet. `None` when there are too many.
    pub fn line(&mut self, stage: Stage, provider: &str, model: &str) -> Option<&mut UsageLine> {
        let known = |line: &UsageLine| line.stage == stage && line.provider == provider && line.model == model;
        let at = match self.lines.iter().position(known) {
            Some(at) => at,
            None if self.lines.len() >= USAGE_LINES_MAX => return None,
            None => {
                self.lines.push(UsageLine {
                    stage,
                    provider: provider.to_owned(),
                    model: model.to_owned(),
                    requests: 0,
                    audio_ms: 0,
                    characters: 0,
                    prompt_tokens: 0,
                    cached_tokens: 0,
                    completion_tokens: 0,
                });
                self.lines.len() - 1
            }
        };
        self.lines.get_mut(at)
    }
}
