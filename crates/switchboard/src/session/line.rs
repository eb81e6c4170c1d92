//! The carrier's line: what comes in over the socket and what goes out.

use super::Session;
use axum::extract::ws::{Message, WebSocket};
use call::Input;
use futures_util::SinkExt;
use model::{CallTime, EndedReason};
use std::time::Duration;
use tokio_tungstenite::tungstenite;
use wire::carrier::{CarrierMessage, StopReason};

/// A message that the carrier does not take within this time: its side of the socket is dead.
const SEND_DEADLINE: Duration = Duration::from_secs(5);
/// Unreadable messages in a row that end the call: two seconds of audio.
const BAD_FRAMES_MAX: u32 = 20;

/// Why a socket cannot be read any more: it broke, or it carries what no carrier sends.
fn broken(error: axum::Error) -> EndedReason {
    use tungstenite::error::{Error, ProtocolError};
    let error = error.into_inner();
    match error.downcast_ref::<Error>() {
        Some(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) | None => EndedReason::CarrierLost,
        Some(Error::Capacity(_) | Error::Utf8(_) | Error::Protocol(_) | Error::AttackAttempt) => {
            EndedReason::CarrierBadFrames
        }
        Some(_) => EndedReason::CarrierLost,
    }
}

impl Session {
    /// What the socket gave, and when it came.
    pub(super) fn message(&mut self, message: Option<Result<Message, axum::Error>>, at: CallTime) {
        match message {
            Some(Ok(Message::Text(text))) => self.carrier_message(text.as_str(), at),
            Some(Ok(Message::Binary(_))) => self.bad_frame(),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            // A socket that closes without a stop: the carrier's way of hanging up when it is in a hurry.
            Some(Ok(Message::Close(_))) => self.leave(EndedReason::CallerHungUp),
            Some(Err(error)) => self.leave(broken(error)),
            None => self.leave(EndedReason::CarrierLost),
        }
    }

    fn carrier_message(&mut self, text: &str, at: CallTime) {
        let message = match wire::carrier::decode(self.speaking.carrier(), text) {
            Ok(message) => message,
            Err(error) => {
                tracing::debug!(call.id = %self.grant.call, error = %error, "unreadable message");
                self.bad_frame();
                return;
            }
        };
        match message {
            CarrierMessage::Audio(frame) => {
                if self.hear(&frame, at).is_err() {
                    self.bad_frame();
                    return;
                }
            }
            CarrierMessage::Played { mark } => {
                if let Some(speech) = self.speaking.played(&mark) {
                    self.input(Input::Played { speech });
                }
            }
            CarrierMessage::Dtmf { digit, .. } => self.input(Input::Dtmf { digit }),
            CarrierMessage::Stopped { reason } => self.leave(match reason {
                StopReason::Stopped => EndedReason::CarrierStopped,
                StopReason::CallEnded | StopReason::Unknown => EndedReason::CallerHungUp,
            }),
            CarrierMessage::Flush | CarrierMessage::Connected | CarrierMessage::Start(_) | CarrierMessage::Ignored => {}
        }
        self.bad_frames = 0;
    }

    fn bad_frame(&mut self) {
        self.bad_frames += 1;
        self.counts.bad_frames = self.counts.bad_frames.saturating_add(1);
        if self.bad_frames > BAD_FRAMES_MAX {
            self.leave(EndedReason::CarrierBadFrames);
        }
    }

    /// Sends what is due now. A carrier that does not take it is stalled; a broken socket is lost.
    pub(super) async fn send_due(&mut self, socket: &mut WebSocket) -> Result<(), EndedReason> {
        let now = self.now();
        let mut sent = false;
        while let Some(message) = self.next_message(now) {
            match tokio::time::timeout(SEND_DEADLINE, socket.feed(Message::Text(message.into()))).await {
                Ok(Ok(())) => sent = true,
                Ok(Err(_)) => return Err(EndedReason::CarrierLost),
                Err(_) => return Err(EndedReason::CarrierStalled),
            }
        }
        if sent {
            match tokio::time::timeout(SEND_DEADLINE, socket.flush()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(EndedReason::CarrierLost),
                Err(_) => return Err(EndedReason::CarrierStalled),
            }
        }
        Ok(())
    }
}
