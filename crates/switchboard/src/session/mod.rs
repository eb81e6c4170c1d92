//! One live call: the only task that touches it. It reads the socket, keeps the time, feeds the pure call, performs
//! its effects and paces its audio out.
//!
//! There is no queue of our own between the socket and the call: the task reads as fast as it can, and what it has not
//! read waits in the kernel's bounded buffer, where the carrier feels it.

mod behind;
mod counts;
mod effects;
mod gather;
mod hearing;
mod line;
mod opening;
mod own_voice;
mod speaking;
mod thinking;
mod told;
mod tools;
mod work;

use crate::Switchboard;
use crate::accept::Clock;
use crate::call_log::CallLog;
use crate::keeper::{CallEnd, Grant};
use crate::live::{Live, LiveEvent};
use crate::recorder::Recorder;
use crate::services::Chosen;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use call::log::{Line, Step};
use call::{Call, Command, Effect, Effects, Input, Note};
use futures_util::StreamExt;
use hearing::Hearing;
use model::{CallCounts, CallTime, CallUsage, CarrierKind, E164, EndedReason, RecordingId};
use opening::Early;
use providers::alarm::Alarm;
use providers::tools::Toolbox;
use speaking::Speaking;
use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;
use thinking::Recalling;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;
use tokio_util::sync::WaitForCancellationFutureOwned;
use work::{Work, WorkEvent};

/// The carrier's start message must come within this time after the upgrade; Exotel's own budget is 10 s.
const START_DEADLINE: Duration = Duration::from_secs(10);
/// A carrier sends audio all the time, silence too. Without any for this long the line is dead.
const SILENT_LINE_MS: u64 = 10_000;
/// A transfer is decided before the socket closes, since the carrier asks whom to call as soon as it is closed. A caller
/// waits in silence meanwhile.
const TRANSFER_DEADLINE: Duration = Duration::from_secs(3);
/// The close handshake is given this long.
const CLOSE_DEADLINE: Duration = Duration::from_millis(500);
/// Inputs that one input may lead to (cleared playback, failed work). More is a loop of ours.
const CASCADE_MAX: usize = 64;

/// What the door hands over.
pub(crate) struct Start {
    pub(crate) carrier: CarrierKind,
    pub(crate) grant: Grant,
    pub(crate) permit: OwnedSemaphorePermit,
    pub(crate) clock: Clock,
}

/// Everything of one call.
struct Session {
    board: Arc<Switchboard>,
    grant: Grant,
    clock: Clock,
    began: Instant,
    call: Call,
    log: CallLog,
    inputs: VecDeque<Input>,
    hearing: Hearing,
    speaking: Speaking,
    work: Work,
    services: Chosen,
    /// What the agent can do besides talking; none when it can do nothing.
    toolbox: Option<Toolbox>,
    recalling: Option<Recalling>,
    recorder: Option<Recorder>,
    recording: Option<RecordingId>,
    /// Who shall talk to the caller next.
    transfer_to: Option<E164>,
    collected: serde_json::Map<String, serde_json::Value>,
    /// Unreadable messages in a row.
    bad_frames: u32,
    counts: CallCounts,
    /// As far as watchers know.
    told_fallbacks: CallCounts,
    last_audio_ms: u64,
    ended: Option<EndedReason>,
    alarm: Alarm,
}

/// Runs a call from the upgraded socket to its last record.
pub(crate) async fn run(board: Arc<Switchboard>, start: Start, mut socket: WebSocket) {
    let call_id = start.grant.call;
    let carrier = start.carrier;
    let permit = start.permit;
    let (grant, clock) = (start.grant, start.clock);
    // On the heap: what opening a call takes is not carried by the call.
    match Box::pin(opening::open(&board, carrier, grant.clone(), clock.clone(), &mut socket)).await {
        Ok((session, early)) => session.run(socket, early).await,
        Err(reason) => {
            tracing::info!(call.id = %call_id, reason = %reason, "a media stream did not become a call");
            let end = CallEnd::without_media(grant.tenant, call_id, reason, clock());
            board.keeper.finish(end).await;
            close(socket).await;
        }
    }
    drop(permit);
}

async fn close(mut socket: WebSocket) {
    // Closing the socket is how a call is ended with the carrier; a peer that does not answer is dropped.
    let _ = tokio::time::timeout(CLOSE_DEADLINE, async {
        let normal = CloseFrame { code: close_code::NORMAL, reason: Utf8Bytes::from_static("") };
        let _ = socket.send(Message::Close(Some(normal))).await;
        while let Some(Ok(_)) = socket.recv().await {}
    })
    .await;
}

/// What woke the session.
enum Wake {
    Socket(Option<Result<Message, axum::Error>>),
    Command(Option<Command>),
    Work(WorkEvent),
    Speech(speaking::Chunk),
    Transcript(Option<providers::transcriber::TranscriberOutput>),
    Timer,
    HardStop,
}

impl Session {
    async fn run(mut self: Box<Self>, mut socket: WebSocket, early: Early) {
        let call_id = self.grant.call;
        let mut commands = self.board.register(call_id, self.grant.tenant);
        self.tell(Live::Began);
        self.input(Input::Connected);
        for (came_at, message) in early {
            if self.ended.is_none() {
                let at = came_at.saturating_duration_since(self.began);
                self.message(message, CallTime(u64::try_from(at.as_millis()).unwrap_or(u64::MAX)));
            }
        }
        // For the whole call: to wait anew in each round takes a lock that all calls share.
        let mut hard_stop = pin!(self.board.hard_stop.clone().cancelled_owned());
        while self.ended.is_none() {
            if let Err(reason) = self.send_due(&mut socket).await {
                self.leave(reason);
                break;
            }
            if self.ended.is_some() {
                break;
            }
            let wake = self.next(&mut socket, &mut commands, hard_stop.as_mut()).await;
            self.woken(wake);
        }
        self.board.unregister(call_id);
        self.finish(socket).await;
    }

    async fn next(
        &mut self,
        socket: &mut WebSocket,
        commands: &mut mpsc::Receiver<Command>,
        mut hard_stop: Pin<&mut WaitForCancellationFutureOwned>,
    ) -> Wake {
        let due = self.began + Duration::from_millis(self.due_ms());
        tokio::select! {
            biased;
            () = &mut hard_stop => Wake::HardStop,
            command = commands.recv(), if !commands.is_closed() => Wake::Command(command),
            message = socket.next() => Wake::Socket(message),
            event = self.work.next() => Wake::Work(event),
            output = self.hearing.next_output() => Wake::Transcript(output),
            chunk = self.speaking.next_chunk() => Wake::Speech(chunk),
            () = self.alarm.at(due) => Wake::Timer,
        }
    }

    fn woken(&mut self, wake: Wake) {
        match wake {
            Wake::HardStop => self.leave(EndedReason::CalyDrained),
            Wake::Command(Some(command)) => {
                // The others clear what must be cleared themselves; a report would make the call believe it is silent.
                if command == Command::HangUp {
                    self.report_playback();
                }
                self.input(Input::Command(command));
            }
            Wake::Command(None) | Wake::Timer => self.input_if_due(),
            Wake::Socket(message) => self.message(message, self.now()),
            Wake::Work(event) => self.work_done(event),
            Wake::Transcript(output) => self.transcript(output),
            Wake::Speech(chunk) => self.speech(chunk),
        }
        let now = self.now();
        if let Some(recorder) = &mut self.recorder {
            recorder.flush(now.ms());
        }
        if self.ended.is_none() && now.since(CallTime(self.last_audio_ms)) > SILENT_LINE_MS {
            self.leave(EndedReason::CarrierSilent);
        }
    }

    /// When the session must wake by itself, in ms since the media began.
    fn due_ms(&self) -> u64 {
        let mut due = self.last_audio_ms + SILENT_LINE_MS + 1;
        due = due.min(self.call.deadline().map_or(u64::MAX, CallTime::ms));
        due.min(self.speaking.due_ms().unwrap_or(u64::MAX))
    }

    fn now(&self) -> CallTime {
        CallTime(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn input_if_due(&mut self) {
        if self.call.deadline().is_some_and(|deadline| deadline <= self.now()) {
            self.input(Input::Tick);
        }
    }

    /// Feeds one input to the call and performs what follows, including the inputs that the effects lead to.
    fn input(&mut self, input: Input) {
        self.inputs.push_back(input);
        self.handle_inputs();
    }

    /// Feeds what waits to the call, in order.
    fn handle_inputs(&mut self) {
        let mut rounds = 0;
        while let Some(input) = self.inputs.pop_front() {
            rounds += 1;
            if rounds > CASCADE_MAX {
                tracing::error!(call.id = %self.grant.call, "inputs lead to inputs without an end");
                self.inputs.clear();
                self.ended.get_or_insert(EndedReason::CalyError);
                return;
            }
            let now = self.now();
            let mut effects = Effects::new();
            if self.log.is_on() {
                self.call.handle(now, input.clone(), &mut effects);
                self.log.push(Line::Step(Box::new(Step { at: now, input, effects: effects.clone() })));
            } else {
                self.call.handle(now, input, &mut effects);
            }
            for effect in effects {
                self.perform(effect, now);
            }
        }
    }

    /// The other side is gone, or we must go.
    fn leave(&mut self, reason: EndedReason) {
        self.report_playback();
        self.input(Input::CallerLeft { reason });
        self.ended.get_or_insert(reason);
    }

    /// Tells the call how far its words were heard, before something ends it.
    fn report_playback(&mut self) {
        if self.speaking.is_busy() {
            let heard = self.speaking.position(self.now().ms());
            self.input(Input::PlaybackCleared { heard });
        }
    }

    fn tell(&self, what: Live) {
        let event = LiveEvent { tenant: self.grant.tenant, call: self.grant.call, at_ms: self.now().ms(), what };
        // Nobody watches: nothing to do.
        let _ = self.board.live.send(event);
    }

    /// Closes the socket and everything that belongs to the call, then keeps its end.
    async fn finish(mut self: Box<Self>, socket: WebSocket) {
        let reason = self.decide_transfer().await;
        let end_ms = self.now().ms();
        self.work.cancel_all();
        self.log = CallLog::off();
        close(socket).await;
        if let Some(recorder) = self.recorder.take()
            && let Err(error) = recorder.finish(end_ms).await
        {
            tracing::error!(call.id = %self.grant.call, error = %error, "a recording could not be written to its end");
        }
        let collected = self.collected();
        let usage = self.usage();
        self.tell(Live::Ended(reason));
        let end = CallEnd {
            tenant: self.grant.tenant,
            call: self.grant.call,
            began: true,
            reason,
            at: (self.clock)(),
            duration_ms: end_ms,
            collected,
            recording: self.recording,
            usage,
        };
        self.board.keeper.finish(end).await;
    }

    /// What the call used, and what went on in it.
    fn usage(&mut self) -> CallUsage {
        let skipped = self.speaking.behind.skipped();
        if skipped > 0 {
            tracing::info!(call.id = %self.grant.call, skipped, "the sound behind the agent had gaps");
        }
        self.counts.dropped_ms = self.hearing.dropped_ms();
        counts::together(self.services.meter.usage(), std::mem::take(&mut self.counts))
    }

    /// Puts on record who is called next, while the carrier cannot ask for it yet. Why the call ends: a transfer that is
    /// not on record is none.
    async fn decide_transfer(&mut self) -> EndedReason {
        let reason = self.ended.unwrap_or(EndedReason::CalyError);
        let Some(to) = self.transfer_to.take() else { return reason };
        let (tenant, call, now) = (self.grant.tenant, self.grant.call, (self.clock)());
        // On the heap: few calls are transferred, and each would carry the room for it.
        let decided = Box::pin(self.board.keeper.decide_transfer(tenant, call, &to, now));
        match tokio::time::timeout(TRANSFER_DEADLINE, decided).await {
            Ok(Ok(())) => reason,
            Ok(Err(error)) => {
                tracing::error!(call.id = %call, error = %error, "a transfer could not be kept: the call ends instead");
                EndedReason::CalyError
            }
            Err(_) => {
                tracing::error!(call.id = %call, "a transfer could not be kept in time: the call ends instead");
                EndedReason::CalyError
            }
        }
    }

    fn collected(&mut self) -> serde_json::Map<String, serde_json::Value> {
        let mut data = std::mem::take(&mut self.collected);
        if let serde_json::Value::Object(slots) = self.call.collected()
            && !slots.is_empty()
        {
            data.insert("slots".to_owned(), serde_json::Value::Object(slots));
        }
        data
    }

    fn note(&mut self, note: Note, now: CallTime) {
        counts::count(&mut self.counts, &note);
        match &note {
            Note::Turn(turn) => {
                self.tell(Live::Turn(turn.clone()));
                self.tell_fallbacks();
            }
            Note::BargeIn { .. } => self.tell(Live::BargeIn),
            Note::Backchannel { text, .. } => self.tell(Live::Backchannel(text.clone())),
            Note::ToolStarted { name } => self.tell(Live::Tool(name.clone())),
            Note::Filler => self.tell(Live::Filler),
            Note::LanguageSwitched { tag } => self.tell(Live::Language(tag.clone())),
            Note::StageFailed { .. } => self.tell_fallbacks(),
            Note::Withdrawn
            | Note::Reminded { .. }
            | Note::ToolFinished { .. }
            | Note::MarkMissing
            | Note::Echo
            | Note::AnsweredByMachine { .. } => {}
        }
        self.board.keeper.note(self.grant.tenant, self.grant.call, now.ms(), (self.clock)(), note);
    }

    /// Looked at once a turn: who watches needs no more, and nobody else pays for it.
    fn tell_fallbacks(&mut self) {
        if self.board.live.receiver_count() == 0 {
            return;
        }
        let now = self.services.meter.usage().counts;
        for stage in counts::new_fallbacks(&mut self.told_fallbacks, &now) {
            self.tell(Live::Fallback(stage));
        }
    }

    fn hang_up(&mut self, reason: EndedReason) {
        self.ended.get_or_insert(reason);
    }

    fn perform(&mut self, effect: Effect, now: CallTime) {
        effects::perform(self, effect, now);
    }
}
