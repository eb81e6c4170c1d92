//! What this carrier does wrong, at its time.

use super::messages::Messages;
use super::observation::EventKind;
use super::session::{Session, Step};
use super::{Closed, Fault};
use tokio_tungstenite::tungstenite::Message;

/// When a fault is due on the call's clock; none for those that belong to a message.
fn due_ms(fault: Fault) -> Option<u64> {
    match fault {
        Fault::NoStart | Fault::NeverClose => None,
        Fault::SilentAfterStart => Some(0),
        Fault::Freeze { at_ms }
        | Fault::StopReading { at_ms }
        | Fault::GarbageFrames { at_ms, .. }
        | Fault::UnknownEvents { at_ms, .. }
        | Fault::OversizedFrame { at_ms }
        | Fault::OddFrame { at_ms }
        | Fault::Clear { at_ms }
        | Fault::DuplicatedStart { at_ms }
        | Fault::StreamStopped { at_ms }
        | Fault::CloseWithoutStop { at_ms }
        | Fault::DropMidCall { at_ms } => Some(at_ms),
    }
}

impl Session<'_> {
    pub(super) async fn play_faults(&mut self, at_ms: u64) -> Step {
        let (now, later): (Vec<Fault>, Vec<Fault>) =
            self.faults.drain(..).partition(|fault| due_ms(*fault).is_some_and(|due_ms| due_ms <= at_ms));
        self.faults = later;
        for fault in now {
            self.seen.event(at_ms, EventKind::Fault { name: format!("{fault:?}") });
            if let Step::End(closed) = self.play_fault(fault, at_ms).await {
                return Step::End(closed);
            }
        }
        Step::On
    }

    async fn play_fault(&mut self, fault: Fault, at_ms: u64) -> Step {
        match fault {
            Fault::NoStart | Fault::NeverClose => Step::On,
            Fault::SilentAfterStart => Step::End(self.wait_for_server().await),
            Fault::Freeze { .. } => Step::End(self.freeze().await),
            Fault::StopReading { .. } => {
                self.reading = false;
                Step::On
            }
            Fault::GarbageFrames { count, .. } => self.send_all(Messages::garbage(count)).await,
            Fault::UnknownEvents { count, .. } => self.send_all(Messages::unknown(count)).await,
            Fault::OversizedFrame { .. } => {
                let message = self.messages.oversized(at_ms);
                self.send(message).await
            }
            Fault::OddFrame { .. } => {
                let message = self.messages.odd(at_ms);
                self.send(message).await
            }
            Fault::Clear { .. } => self.send(self.messages.clear()).await,
            Fault::DuplicatedStart { .. } => self.start().await,
            Fault::StreamStopped { .. } => self.stop("stopped").await,
            Fault::CloseWithoutStop { .. } => Step::End(self.leave().await),
            Fault::DropMidCall { .. } => Step::End(Closed::Dropped),
        }
    }

    async fn send_all(&mut self, texts: impl Iterator<Item = &'static str>) -> Step {
        for text in texts {
            if let Step::End(closed) = self.send_raw(Message::text(text)).await {
                return Step::End(closed);
            }
        }
        Step::On
    }
}
