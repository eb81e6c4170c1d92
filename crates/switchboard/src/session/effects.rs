//! The call's effects, performed. In order, and none of them waits.

use super::Session;
use super::speaking::Say;
use super::work::WorkEvent;
use crate::live::Live;
use call::{Effect, Input, WorkId};
use model::{CallTime, E164, EndedReason};

pub(super) fn perform(session: &mut Session, effect: Effect, now: CallTime) {
    match effect {
        Effect::Transcribe { work } => session.transcribe(work),
        Effect::ScoreTurn { work } => score_turn(session, work),
        Effect::DiscardUtterance => session.hearing.discard(),
        Effect::Think { work, messages, language } => session.think(work, messages, &language),
        Effect::RunTool { work, name, arguments } => session.run_tool(work, &name, arguments),
        Effect::Cancel { work } => {
            session.work.cancel(work);
            session.speaking.thought_over(work, true, &mut session.inputs);
        }
        Effect::Speak { speech, text, language } => {
            session.tell(Live::Saying(text.clone()));
            session.speaking.say(speech, Say::Text { text, language }, &mut session.inputs);
        }
        Effect::SpeakThought { speech, work } => {
            session.speaking.say(speech, Say::Thought(work), &mut session.inputs);
        }
        Effect::PlayKeys { speech, keys } => session.speaking.say(speech, Say::Keys(keys), &mut session.inputs),
        Effect::PlayTone { speech, tone } => session.speaking.say(speech, Say::Tone(tone), &mut session.inputs),
        Effect::SetLanguage { tag } => session.set_language(tag),
        Effect::CancelSpeech { speech } => session.speaking.give_up(speech, &mut session.inputs),
        Effect::ClearPlayback => {
            let heard = session.speaking.clear(now.ms());
            if let Some(recorder) = &mut session.recorder {
                recorder.cut_agent(now.ms());
            }
            session.inputs.push_back(Input::PlaybackCleared { heard });
        }
        Effect::Note(note) => session.note(note, now),
        Effect::Transfer { to } => transfer(session, &to),
        Effect::HangUp { reason } => session.hang_up(reason),
    }
}

/// The number comes from the agent, perhaps from what was said: one that cannot be called is no transfer.
fn transfer(session: &mut Session, to: &str) {
    match E164::parse(to) {
        Ok(_) if !session.grant.can_transfer => {
            tracing::error!(call.id = %session.grant.call, "this call cannot be handed over: its carrier asks nobody");
            session.hang_up(EndedReason::CalyError);
        }
        Ok(number) => session.transfer_to = Some(number),
        Err(_) => {
            tracing::error!(call.id = %session.grant.call, "the agent transfers to what is no phone number");
            session.hang_up(EndedReason::CalyError);
        }
    }
}

fn score_turn(session: &mut Session, work: WorkId) {
    let Some(detector) = session.services.turn.clone() else {
        session.inputs.push_back(Input::TurnScoreFailed { work });
        return;
    };
    let pcm = session.hearing.utterance_16k();
    session.work.start(work, move |events| async move {
        let score = detector.score(pcm).await;
        // The call is gone: nobody asks any more.
        let _ = events.send(WorkEvent::Scored { work, score }).await;
    });
}

impl Session {
    pub(super) fn work_done(&mut self, event: WorkEvent) {
        match event {
            WorkEvent::Scored { work, score } => {
                self.work.finished(work);
                self.input(match score {
                    Ok(probability) if probability.is_finite() => Input::TurnScored { work, probability },
                    Ok(_) => Input::TurnScoreFailed { work },
                    Err(error) => {
                        tracing::debug!(call.id = %self.grant.call, error = %error, "no judgement of a turn");
                        Input::TurnScoreFailed { work }
                    }
                });
            }
            WorkEvent::Thought { work, piece } => self.thought(work, piece),
            WorkEvent::Tool { work, outcome } => self.tool_done(work, outcome),
            WorkEvent::Voices(outcome) => self.hearing.second_opinion(outcome),
            WorkEvent::TranscriberOpened { language, opened } => self.transcriber_opened(&language, opened),
            WorkEvent::Ambience(sound) => self.speaking.behind.begin(*sound),
        }
    }
}
