//! `GET /v1/listen` as developers.deepgram.com/reference/speech-to-text/listen-streaming describes it: 16-bit sound in,
//! results out. What counts as speech is told from a few samples of every ten milliseconds.

use super::super::context::Context;
use super::super::frame::Frame;
use super::super::sound::level_of_masked;
use super::super::wheel::Micros;
use super::{Line, MS, rate, value};
use std::collections::VecDeque;
use std::fmt::Write as _;

/// Silence that ends an utterance.
pub(super) const SILENCE_MS: u64 = 100;
/// From that to the final text.
pub(super) const FINAL_MS: u64 = 50;
/// From one interim result to the next, in milliseconds of speech.
const INTERIM_MS: u64 = 300;
/// Sound that must be there before it counts as speech.
const SPEECH_MS: u64 = 50;
/// Mean size of samples above which sound counts as speech.
const LOUD: u32 = 200;
/// Finals on their way; one more is not sent.
const DUE_MAX: usize = 8;

/// A final result on its way.
#[derive(Debug)]
struct Final {
    at: Micros,
    from_finalize: bool,
    text: String,
    from_ms: u64,
    to_ms: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Listen {
    number: u64,
    /// Samples of ten milliseconds.
    window: usize,
    interim: bool,
    speaking: bool,
    speech_ms: u64,
    silence_ms: u64,
    total_ms: u64,
    began_ms: u64,
    next_interim_ms: u64,
    utterances: u64,
    due: VecDeque<Final>,
}

impl Listen {
    pub(super) fn new(query: &str, context: &mut Context) -> Self {
        context.counts.listens += 1;
        Self {
            number: context.counts.listens,
            window: rate(query) / 100,
            interim: value(query, "interim_results") == Some("true"),
            speaking: false,
            speech_ms: 0,
            silence_ms: 0,
            total_ms: 0,
            began_ms: 0,
            next_interim_ms: INTERIM_MS,
            utterances: 0,
            due: VecDeque::new(),
        }
    }

    pub(super) fn audio(&mut self, frame: &Frame<'_>, line: &mut Line<'_>, context: &mut Context) {
        for from in (0..frame.payload.len()).step_by(self.window * 2) {
            let loud = level_of_masked(frame.payload, frame.key, from, self.window) > LOUD;
            self.total_ms += 10;
            if loud { self.speech(line, context) } else { self.silence(line, context) }
        }
    }

    fn speech(&mut self, line: &mut Line<'_>, context: &mut Context) {
        self.silence_ms = 0;
        self.speech_ms += 10;
        if !self.speaking && self.speech_ms >= SPEECH_MS {
            self.speaking = true;
            self.utterances += 1;
            self.began_ms = self.total_ms - self.speech_ms;
            self.next_interim_ms = INTERIM_MS;
        }
        if self.speaking && self.interim && self.speech_ms >= self.next_interim_ms {
            self.next_interim_ms += INTERIM_MS;
            let text = result("I would like to", Mark::Interim, self.began_ms, self.total_ms);
            line.text(&text, context);
        }
    }

    fn silence(&mut self, line: &Line<'_>, context: &mut Context) {
        self.silence_ms += 10;
        if self.silence_ms < SILENCE_MS {
            return;
        }
        if self.speaking {
            self.end(false, line, context);
        } else {
            self.speech_ms = 0;
        }
    }

    /// The utterance is over.
    fn end(&mut self, from_finalize: bool, line: &Line<'_>, context: &mut Context) {
        (self.speaking, self.speech_ms) = (false, 0);
        context.counts.finals += 1;
        let text =
            format!("I would like to check my order please this is call {} turn {}", self.number, self.utterances);
        let at = context.now + FINAL_MS * MS;
        self.say(Final { at, from_finalize, text, from_ms: self.began_ms, to_ms: self.total_ms }, line, context);
    }

    fn say(&mut self, result: Final, line: &Line<'_>, context: &mut Context) {
        if self.due.len() < DUE_MAX {
            line.wake(result.at, context);
            self.due.push_back(result);
        }
    }

    pub(super) fn told(&mut self, kind: &str, line: &mut Line<'_>, context: &mut Context) {
        match kind {
            "Finalize" if self.speaking => self.end(true, line, context),
            "Finalize" => match self.due.back_mut() {
                Some(last) => last.from_finalize = true,
                None => {
                    let (at, ms) = (context.now, self.total_ms);
                    let nothing = Final { at, from_finalize: true, text: String::new(), from_ms: ms, to_ms: ms };
                    self.say(nothing, line, context);
                }
            },
            "CloseStream" => {
                let seconds = self.total_ms as f64 / 1_000.0;
                let text = format!(
                    r#"{{"type":"Metadata","transaction_key":"deprecated","request_id":"stub","sha256":"0","created":"2026-01-01T00:00:00.000Z","duration":{seconds},"channels":1}}"#
                );
                line.text(&text, context);
                line.close(context);
            }
            // A keep-alive; what nobody sends.
            _ => {}
        }
    }

    pub(super) fn due(&mut self, line: &mut Line<'_>, context: &mut Context) {
        while self.due.front().is_some_and(|next| next.at <= context.now + MS)
            && let Some(next) = self.due.pop_front()
        {
            context.vendors_late.add(context.now.saturating_sub(next.at));
            let mark = if next.from_finalize { Mark::Finalize } else { Mark::SpeechFinal };
            let text = result(&next.text, mark, next.from_ms, next.to_ms);
            line.text(&text, context);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Interim,
    SpeechFinal,
    Finalize,
}

/// A result as they write it, with its words' times.
fn result(text: &str, mark: Mark, from_ms: u64, to_ms: u64) -> String {
    let (start, duration) = (from_ms as f64 / 1_000.0, (to_ms - from_ms) as f64 / 1_000.0);
    let step = duration / text.split(' ').count() as f64;
    let mut words = String::new();
    for (n, word) in text.split(' ').filter(|word| !word.is_empty()).enumerate() {
        let (at, separator) = (start + step * n as f64, if n == 0 { "" } else { "," });
        let end = at + step;
        // Writing to a text cannot fail.
        let _ = write!(
            words,
            r#"{separator}{{"word":"{word}","start":{at:.3},"end":{end:.3},"confidence":0.99,"punctuated_word":"{word}"}}"#
        );
    }
    let (is_final, from_finalize) = (mark != Mark::Interim, mark == Mark::Finalize);
    format!(
        r#"{{"type":"Results","channel_index":[0,1],"duration":{duration:.3},"start":{start:.3},"is_final":{is_final},"speech_final":{is_final},"from_finalize":{from_finalize},"channel":{{"alternatives":[{{"transcript":"{text}","confidence":0.99,"words":[{words}]}}]}},"metadata":{{"request_id":"stub","model_info":{{"name":"stub","version":"1","arch":"stub"}},"model_uuid":"00000000-0000-0000-0000-000000000000"}}}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_what_they_send() {
        for (mark, is_final, from_finalize) in
            [(Mark::Interim, false, false), (Mark::SpeechFinal, true, false), (Mark::Finalize, true, true)]
        {
            let text = result("my order please", mark, 1_000, 2_500);
            let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!((&value["is_final"], &value["speech_final"]), (&is_final.into(), &is_final.into()));
            assert_eq!(value["from_finalize"], from_finalize);
            let said = &value["channel"]["alternatives"][0];
            assert_eq!(
                (&said["transcript"], said["words"].as_array().map(Vec::len)),
                (&"my order please".into(), Some(3))
            );
            assert_eq!((&said["words"][1]["start"], &value["duration"]), (&1.5.into(), &1.5.into()));
        }
        let nothing: serde_json::Value = serde_json::from_str(&result("", Mark::Finalize, 9, 9)).expect("JSON");
        assert_eq!(nothing["channel"]["alternatives"][0]["words"], serde_json::json!([]));
    }
}
