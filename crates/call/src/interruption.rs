//! Who speaks over the agent: looked at, let through or taken for the noise that it is, and what becomes of the answer.

use crate::ear::{EarState, Probe};
use crate::hearing::NOBODY_ASKED;
use crate::mouth::Rest;
use crate::timing::{ANSWERS_BEFORE_END_MS, PROBE_DEADLINE_MS};
use crate::{Call, Closing, Effect, Effects, HeardSpeech, Message, Note};
use language::backchannel::is_backchannel;
use language::sentence::SentenceCutter;
use model::CallTime;

/// What a model is told of a caller who only made a noise.
const GO_ON: &str = "(listens; go on where you stopped)";

impl Call {
    /// The agent speaks, and the caller may stop it now.
    pub(crate) fn may_interrupt(&self) -> bool {
        let guarded = self.now.ms() < self.setup.agent.turn_taking.barge_in_guard_ms;
        !guarded && self.closing == Closing::Open && self.mouth.is_busy() && self.mouth.may_be_interrupted()
    }

    pub(crate) fn probe(&mut self, since: CallTime, length_ms: u64, effects: &mut Effects) {
        // A transcriber that tells words as they come needs no asking, which would cut words in two.
        let work = if self.ear.streams { NOBODY_ASKED } else { self.work() };
        self.ear.probe = Probe::Asked { work, since, length_ms, due: self.now + PROBE_DEADLINE_MS };
        if work != NOBODY_ASKED {
            effects.push(Effect::Transcribe { work });
        } else if !self.ear.partial.is_empty() {
            let words = self.ear.partial.clone();
            self.probed(Some(&words), since, length_ms, effects);
        }
    }

    /// Words of the utterance so far, from a transcriber that tells them as they come.
    pub(crate) fn partial(&mut self, text: &str, effects: &mut Effects) {
        let text = text.trim();
        self.ear.streams = true;
        text[..text.floor_char_boundary(model::limits::TURN_TEXT_BYTES_MAX)].clone_into(&mut self.ear.partial);
        if self.hears_announcement(text, effects) || text.is_empty() {
            return;
        }
        if !matches!(self.ear.state, EarState::Hearing { .. }) || !self.may_interrupt() {
            return;
        }
        let Some((since, until)) = self.ear.loud else { return };
        if until.since(since) >= self.setup.agent.turn_taking.barge_in_min_ms {
            self.probed(Some(text), since, until.since(since), effects);
        }
    }

    /// The first words of somebody who speaks over the agent.
    pub(crate) fn probed(&mut self, words: Option<&str>, since: CallTime, length_ms: u64, effects: &mut Effects) {
        let noise = words.is_some_and(|words| self.is_no_interruption(words, effects));
        self.ear.probe = if noise { Probe::Noise { length_ms } } else { Probe::None };
        if !noise && self.may_interrupt() {
            self.interrupt(since, effects);
        }
    }

    /// Words over the agent that do not stop it: none, a listening noise, its own voice, or fewer than it takes.
    fn is_no_interruption(&self, words: &str, effects: &mut Effects) -> bool {
        let words_min = usize::try_from(self.setup.agent.turn_taking.barge_in_words_min).unwrap_or(0);
        if words.is_empty() || is_backchannel(words) || words.split_whitespace().count() < words_min {
            return true;
        }
        let echo = self.is_echo(words);
        if echo {
            effects.push(Effect::Note(Note::Echo));
        }
        echo
    }

    fn is_echo(&self, words: &str) -> bool {
        if !self.setup.agent.turn_taking.echo_guard {
            return false;
        }
        // Judged sentence by sentence: part of a question may be its answer.
        let saying: Vec<String> = self.mouth.saying(self.now).into_iter().flat_map(sentences).collect();
        language::echo::is_echo(words, &saying.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The caller speaks over the agent: stop, and remember only what was heard.
    pub(crate) fn interrupt(&mut self, voice_began: CallTime, effects: &mut Effects) {
        self.interrupted_answer = self.mind.is_thinking();
        self.cancel_thinking(effects);
        self.mouth.begin_clearing(self.now);
        effects.push(Effect::ClearPlayback);
        let decided_after_ms = self.now.since(voice_began);
        effects.push(Effect::Note(Note::BargeIn { voice_began_ms: voice_began.ms(), decided_after_ms }));
    }

    pub(crate) fn playback_cleared(&mut self, heard: &[HeardSpeech], effects: &mut Effects) {
        let lookup = |speech| heard.iter().find(|h| h.speech == speech).copied();
        let asked = self.mouth.is_clearing();
        // Nothing was said when only keys were pressed.
        if let Some(said) = self.mouth.cut(lookup, self.now) {
            let interrupted = !said.rest.is_empty();
            self.interrupted_rest = said.rest.clone();
            self.agent_turn(said, interrupted, effects);
        }
        self.quiet_since = self.now;
        if !asked {
            // Told before the call ends: nothing is answered any more.
            return;
        }
        if let Some((words, reason)) = self.goodbye_when_cleared.take() {
            self.interrupted_rest.clear();
            self.say_goodbye(&words, reason, effects);
            return;
        }
        self.take_pending_turn(effects);
    }

    /// A noise for which the agent stopped turned out to be no turn: go on where it stopped.
    fn resume(&mut self, rest: Vec<Rest>, effects: &mut Effects) {
        for part in rest {
            self.speak(&part.text, part.interruptible, effects);
        }
    }

    /// A cough, or «hmm» while the agent speaks, is no turn. Decided as soon as the words are known.
    pub(crate) fn consider_noise(&mut self, effects: &mut Effects) {
        let EarState::Paused(pause) = &self.ear.state else { return };
        let Some(text) = &pause.text else { return };
        let words = text.words.clone();
        // «Okay» to words that only bridge a wait does not end the wait.
        let bridged = self.mind.is_thinking() && self.fillers > 0;
        let speaking = self.mouth.is_busy() || self.mind.tool_started() || bridged;
        let stopped = !self.interrupted_rest.is_empty();
        let echo = !words.is_empty() && self.is_echo(&words);
        let listens = (speaking || stopped) && !self.answers_the_end(pause.began) && is_backchannel(&words);
        let noise = echo || words.is_empty() || listens;
        if noise && self.ear.carried.is_none() {
            let rest = std::mem::take(&mut self.interrupted_rest);
            if echo {
                effects.push(Effect::Note(Note::Echo));
            } else if !words.is_empty() || stopped {
                effects.push(Effect::Note(Note::Backchannel { text: words, resumed: stopped }));
            }
            self.forget_utterance(effects);
            self.resume(rest, effects);
            self.think_on(effects);
        }
    }

    /// The agent had stopped for a noise while its answer was still being made: the rest is asked for again.
    fn think_on(&mut self, effects: &mut Effects) {
        if !std::mem::take(&mut self.interrupted_answer) || self.closing != Closing::Open || self.mind.is_busy() {
            return;
        }
        let mut messages = self.mind.messages();
        if !matches!(messages.last(), Some(Message::Caller { .. } | Message::ToolResult { .. })) {
            messages.push(Message::Caller { text: GO_ON.to_owned() });
        }
        self.ask(messages, effects);
    }

    /// «Yes» that begins while the last word of a question is still being said is its answer, and no listening noise.
    pub(crate) fn answers_the_end(&self, began: CallTime) -> bool {
        !self.mind.is_busy()
            && self.mouth.saying(self.now).last().is_some_and(|said| said.trim_end().ends_with('?'))
            && self.mouth.ends_at().is_some_and(|end| began + ANSWERS_BEFORE_END_MS >= end)
    }
}

fn sentences(text: &str) -> Vec<String> {
    let mut cutter = SentenceCutter::new();
    let mut sentences = cutter.push(text);
    sentences.extend(cutter.finish());
    sentences
}
