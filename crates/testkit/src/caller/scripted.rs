//! The caller who follows a script. Decisions are taken once a frame, from what was heard at the caller's ear.

use super::{Script, Turn, TurnKind, Voice, VoiceError, When};
use crate::carrier::{CallerAction, CallerSide, LOUD_DBFS, rms_dbfs};
use serde::Serialize;

/// Window of the search for the first and last loud sound of an utterance.
const WINDOW_MS: u64 = 20;

/// One utterance as it was said. Times are on the call's clock, of the caller's mouth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Utterance {
    /// Its turn in the script, from 0.
    pub turn: usize,
    /// The words.
    pub text: String,
    /// What it was for.
    pub kind: TurnKind,
    /// First loud sound.
    pub loud_start_ms: u64,
    /// End of the last loud sound.
    pub loud_end_ms: u64,
    /// When the frame with the first loud sound was sent: no server can know earlier.
    pub first_loud_sent_ms: u64,
    /// The agent was speaking when it began.
    pub agent_was_speaking: bool,
    /// It began because the agent said nothing within the script's patience.
    pub out_of_patience: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// Waiting for the moment of the next turn.
    Waiting,
    /// Saying sample so-and-so of the current turn.
    Speaking { position: usize },
    /// All is said.
    Lingering,
}

/// Follows a script over one call.
#[derive(Clone, Debug)]
pub struct ScriptedCaller {
    script: Script,
    sample_rate_hz: u32,
    speech: Vec<Vec<i16>>,
    state: State,
    next_turn: usize,
    /// When the current state began.
    since_ms: u64,
    /// Since the caller's last real utterance the agent has been heard.
    agent_spoke: bool,
    /// First and last moment of the agent's current reply.
    reply_began_ms: Option<u64>,
    agent_last_loud_ms: Option<u64>,
    noise: u64,
    utterances: Vec<Utterance>,
}

impl ScriptedCaller {
    /// Prepares all utterances, so that nothing can be missing in the middle of a call.
    ///
    /// # Errors
    /// [`VoiceError`].
    pub fn new(script: Script, voice: &Voice, sample_rate_hz: u32, seed: u64) -> Result<Self, VoiceError> {
        let speech = script
            .turns
            .iter()
            .map(|turn| voice.say(&turn.say, sample_rate_hz, script.speech_dbfs))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self::with_speech(script, speech, sample_rate_hz, seed))
    }

    /// With speech from somewhere else, one piece a turn.
    #[must_use]
    pub fn with_speech(script: Script, mut speech: Vec<Vec<i16>>, sample_rate_hz: u32, seed: u64) -> Self {
        speech.resize(script.turns.len(), Vec::new());
        Self {
            script,
            sample_rate_hz,
            speech,
            state: State::Waiting,
            next_turn: 0,
            since_ms: 0,
            agent_spoke: false,
            reply_began_ms: None,
            agent_last_loud_ms: None,
            // Spread over all bits: a xorshift that starts small is quiet for a while.
            noise: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            utterances: Vec::new(),
        }
    }

    /// What has been said so far.
    #[must_use]
    pub fn utterances(&self) -> &[Utterance] {
        &self.utterances
    }

    /// Turns of the script not said yet.
    #[must_use]
    pub fn unsaid(&self) -> usize {
        self.script.turns.len() - self.next_turn
    }

    fn samples_to_ms(&self, samples: usize) -> u64 {
        samples as u64 * 1000 / u64::from(self.sample_rate_hz)
    }

    /// Listens to the frame that ended at `now_ms`.
    fn listen(&mut self, now_ms: u64, frame_ms: u64, agent_dbfs: f32) {
        if agent_dbfs > LOUD_DBFS {
            if self.reply_began_ms.is_none() {
                self.reply_began_ms = Some(now_ms.saturating_sub(frame_ms));
            }
            self.agent_last_loud_ms = Some(now_ms);
            if !matches!(self.state, State::Speaking { .. }) {
                self.agent_spoke = true;
            }
        } else if self.agent_silent_ms(now_ms) >= self.script.agent_silence_ms {
            self.reply_began_ms = None;
        }
    }

    fn agent_silent_ms(&self, now_ms: u64) -> u64 {
        now_ms - self.agent_last_loud_ms.unwrap_or(0).min(now_ms)
    }

    /// Whether the next turn begins now; `Some(true)` when only because patience is at its end.
    fn begins(&self, turn: &Turn, now_ms: u64) -> Option<bool> {
        let since_agent = self.agent_last_loud_ms.unwrap_or(0).max(self.since_ms);
        let out_of_patience = now_ms.saturating_sub(since_agent) >= self.script.patience_ms;
        let due = match turn.when {
            When::AgentFinished => {
                self.agent_spoke && self.agent_silent_ms(now_ms) >= self.script.agent_silence_ms + turn.pause_ms
            }
            When::DuringAgent => {
                // A reply that began before our own last word is the old one, unless we only said "oh".
                self.reply_began_ms.is_some_and(|began| self.agent_spoke && now_ms >= began + turn.after_ms)
            }
        };
        if due {
            Some(false)
        } else if out_of_patience {
            Some(true)
        } else {
            None
        }
    }

    fn begin(&mut self, now_ms: u64, frame_ms: u64, out_of_patience: bool) {
        let turn = &self.script.turns[self.next_turn];
        let speech = &self.speech[self.next_turn];
        let window = (WINDOW_MS * u64::from(self.sample_rate_hz) / 1000) as usize;
        let loud: Vec<usize> =
            speech.chunks(window).enumerate().filter(|(_, part)| rms_dbfs(part) > LOUD_DBFS).map(|(i, _)| i).collect();
        let first = loud.first().copied().unwrap_or(0) * window;
        let end = loud.last().map_or(0, |last| ((last + 1) * window).min(speech.len()));
        let first_ms = self.samples_to_ms(first);
        self.utterances.push(Utterance {
            turn: self.next_turn,
            text: turn.text.clone(),
            kind: turn.kind,
            loud_start_ms: now_ms + first_ms,
            loud_end_ms: now_ms + self.samples_to_ms(end),
            first_loud_sent_ms: now_ms + (first_ms / frame_ms.max(1) + 1) * frame_ms,
            agent_was_speaking: self.agent_last_loud_ms == Some(now_ms),
            out_of_patience,
        });
        self.state = State::Speaking { position: 0 };
        self.since_ms = now_ms;
    }

    fn end(&mut self, now_ms: u64) {
        let kind = self.script.turns[self.next_turn].kind;
        if kind != TurnKind::Backchannel {
            self.agent_spoke = false;
            self.reply_began_ms = None;
        }
        self.next_turn += 1;
        self.since_ms = now_ms;
        self.state = if self.next_turn < self.script.turns.len() { State::Waiting } else { State::Lingering };
    }

    /// The sound of the line: white noise from a xorshift, so that a run can be repeated.
    fn add_noise(&mut self, frame: &mut [i16]) {
        // Uniform noise of amplitude a has a root mean square of a / sqrt(3).
        let amplitude = 32_768.0 * 10_f32.powf(self.script.noise_dbfs / 20.0) * 3_f32.sqrt();
        for sample in frame {
            self.noise ^= self.noise << 13;
            self.noise ^= self.noise >> 7;
            self.noise ^= self.noise << 17;
            let unit = (self.noise >> 40) as f32 / (1_u64 << 23) as f32 - 1.0;
            *sample = sample.saturating_add((unit * amplitude).round() as i16);
        }
    }
}

impl CallerSide for ScriptedCaller {
    fn next_frame(&mut self, now_ms: u64, agent_dbfs: f32, samples: usize, frame: &mut Vec<i16>) -> CallerAction {
        let frame_ms = self.samples_to_ms(samples);
        self.listen(now_ms, frame_ms, agent_dbfs);
        if self.state == State::Waiting
            && let Some(turn) = self.script.turns.get(self.next_turn)
            && let Some(out_of_patience) = self.begins(turn, now_ms)
        {
            self.begin(now_ms, frame_ms, out_of_patience);
        }
        if let State::Speaking { position } = self.state {
            let rest = &self.speech[self.next_turn][position..];
            frame.extend_from_slice(&rest[..samples.min(rest.len())]);
            if rest.len() <= samples {
                self.end(now_ms + frame_ms);
            } else {
                self.state = State::Speaking { position: position + samples };
            }
        }
        frame.resize(samples, 0);
        self.add_noise(frame);
        // An agent that has said goodbye hangs up itself; the caller gives it the time.
        let quiet_since = self.agent_last_loud_ms.unwrap_or(0).max(self.since_ms);
        if self.state == State::Lingering && now_ms.saturating_sub(quiet_since) >= self.script.linger_ms {
            return CallerAction::HangUp;
        }
        CallerAction::Stay
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::carrier::SILENCE_DBFS;

    const FRAME_MS: u64 = 100;

    fn script(turns: &str) -> Script {
        Script::parse(&format!("name='t'\npatience_ms=5000\nlinger_ms=2000\n{turns}")).expect("a script")
    }
    fn turn(more: &str) -> String {
        format!("[[turn]]\ntext='w'\nsay=[{{clip='x.wav'}}]\n{more}\n")
    }
    /// Runs a caller whose utterances last 300 ms against an agent that is loud in the given spans.
    fn run(turns: &[String], agent: &[(u64, u64)], until_ms: u64) -> (ScriptedCaller, Option<u64>) {
        let speech = vec![vec![5000; 2400]; turns.len()];
        let mut caller = ScriptedCaller::with_speech(script(&turns.concat()), speech, 8000, 7);
        for frame in 0..until_ms / FRAME_MS {
            let now_ms = frame * FRAME_MS;
            let loud = agent.iter().any(|(from, to)| now_ms > *from && now_ms <= *to);
            let mut pcm = Vec::new();
            let action = caller.next_frame(now_ms, if loud { -20.0 } else { SILENCE_DBFS }, 800, &mut pcm);
            assert_eq!(pcm.len(), 800);
            if action == CallerAction::HangUp {
                return (caller, Some(now_ms));
            }
        }
        (caller, None)
    }
    fn starts(caller: &ScriptedCaller) -> Vec<u64> {
        caller.utterances().iter().map(|u| u.loud_start_ms).collect()
    }

    #[test]
    fn waits_until_the_agent_has_finished() {
        // A breath of 500 ms is not the end.
        let (caller, _) = run(&[turn(""), turn("pause_ms=400")], &[(200, 1000), (1500, 2000), (3500, 4000)], 6000);
        assert_eq!(starts(&caller), [2600, 5000]);
        assert_eq!(caller.unsaid(), 0);
    }

    #[test]
    fn speaks_into_the_agents_reply_when_told_to() {
        let turns = [turn("when='during-agent'\nkind='barge-in'\nafter_ms=800"), turn("")];
        let (caller, _) = run(&turns, &[(500, 1500), (2500, 3000)], 5000);
        assert_eq!(starts(&caller), [1300, 3600]);
        assert!(caller.utterances()[0].agent_was_speaking);
    }

    #[test]
    fn after_a_backchannel_the_reply_is_still_the_same() {
        let turns = [turn("when='during-agent'\nkind='backchannel'\nafter_ms=300"), turn("")];
        let (caller, _) = run(&turns, &[(500, 3000)], 5000);
        assert_eq!(starts(&caller), [800, 3600]);
    }

    #[test]
    fn an_agent_that_says_nothing_is_not_waited_for_for_ever() {
        let (caller, hung_up) = run(&[turn(""), turn("")], &[], 30_000);
        assert_eq!(starts(&caller), [5000, 10_300]);
        assert!(caller.utterances().iter().all(|u| u.out_of_patience));
        assert_eq!(hung_up, Some(12_600));
    }

    #[test]
    fn times_are_those_of_the_loud_part() {
        let mut speech = vec![0; 8 * 130];
        speech.extend(vec![5000; 8 * 200]);
        speech.extend(vec![0; 8 * 100]);
        let mut caller = ScriptedCaller::with_speech(script(&turn("")), vec![speech], 8000, 7);
        for frame in 0..30 {
            let loud = (2..5).contains(&frame);
            caller.next_frame(frame * 100, if loud { -20.0 } else { SILENCE_DBFS }, 800, &mut Vec::new());
        }
        let said = &caller.utterances()[0];
        assert_eq!((said.loud_start_ms, said.loud_end_ms, said.first_loud_sent_ms), (1000 + 120, 1000 + 340, 1200));
    }

    #[test]
    fn the_line_is_never_digitally_silent_and_a_run_can_be_repeated() {
        let frame = |seed| {
            let mut caller = ScriptedCaller::with_speech(script(&turn("")), Vec::new(), 8000, seed);
            let mut pcm = Vec::new();
            caller.next_frame(0, SILENCE_DBFS, 8000, &mut pcm);
            pcm
        };
        let noise = frame(1);
        assert!((rms_dbfs(&noise) + 65.0).abs() < 1.0, "{}", rms_dbfs(&noise));
        assert_eq!(noise, frame(1));
        assert_ne!(noise, frame(3));
    }
}
