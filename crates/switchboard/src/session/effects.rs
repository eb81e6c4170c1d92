//! The call's effects, performed. In order, and none of them waits.

use super::Session;
use super::work::WorkEvent;
use crate::live::Live;
use call::{Effect, Input, Message, WorkId};
use model::{Brain, CallTime, E164, EndedReason, TurnRole};
use providers::language_model::{Message as PromptMessage, Prompt, Thought};

pub(super) fn perform(session: &mut Session, effect: Effect, now: CallTime) {
    match effect {
        Effect::Transcribe { work } => session.transcribe(work),
        Effect::ScoreTurn { work } => score_turn(session, work),
        Effect::DiscardUtterance => session.hearing.discard(),
        Effect::Think { work, messages } => think(session, work, messages),
        Effect::RunTool { work, name, arguments } => super::tools::run(session, work, &name, &arguments),
        Effect::Cancel { work } => session.work.cancel(work),
        Effect::Speak { speech, text } => {
            session.tell(Live::Saying(text.clone()));
            session.speaking.say(speech, text);
        }
        Effect::CancelSpeech { speech } => session.speaking.give_up(speech),
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

fn think(session: &mut Session, work: WorkId, messages: Vec<Message>) {
    let (Some(thinker), Brain::LanguageModel(config)) = (session.services.thinker.clone(), &session.grant.agent.brain)
    else {
        session.inputs.push_back(Input::ThinkFailed { work });
        return;
    };
    let prompt = Prompt {
        system: config.system_prompt.clone(),
        messages: messages
            .into_iter()
            .map(|message| match message.role {
                TurnRole::Caller => PromptMessage::Caller(message.text),
                TurnRole::Agent => PromptMessage::agent(message.text),
            })
            .collect(),
        temperature: config.temperature,
        tools: Vec::new(),
    };
    session.work.start(work, move |events| async move {
        let mut pieces = thinker.think(prompt);
        while let Some(piece) = pieces.recv().await {
            let last = matches!(piece, Ok(Thought::Done) | Err(_));
            if events.send(WorkEvent::Thought { work, piece }).await.is_err() || last {
                return;
            }
        }
        let _ = events.send(WorkEvent::Thought { work, piece: Ok(Thought::Done) }).await;
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
            WorkEvent::Voices(outcome) => self.hearing.second_opinion(outcome),
            WorkEvent::TranscriberOpened(opened) => self.transcriber_opened(opened),
        }
    }

    fn thought(&mut self, work: WorkId, piece: Result<Thought, providers::Error>) {
        let input = match piece {
            Ok(Thought::Text(text)) => Input::ThoughtText { work, text },
            Ok(Thought::Done) => Input::ThoughtDone { work },
            // No tools are offered; what an answer cost is not kept yet.
            Ok(Thought::ToolCall(_) | Thought::Usage(_)) => return,
            Err(error) => {
                tracing::warn!(call.id = %self.grant.call, error = %error, "the language model failed");
                Input::ThinkFailed { work }
            }
        };
        if !matches!(input, Input::ThoughtText { .. }) {
            self.work.finished(work);
        }
        self.input(input);
    }
}
