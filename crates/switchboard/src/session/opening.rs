//! From an upgraded socket to a running call: the carrier's start message, the database, the services.

use super::hearing::Hearing;
use super::speaking::Speaking;
use super::work::{Work, WorkEvent};
use super::{START_DEADLINE, Session};
use crate::Switchboard;
use crate::accept::Clock;
use crate::call_log::CallLog;
use crate::keeper::Grant;
use crate::recorder::{Recorder, spool_path};
use crate::services::Chosen;
use axum::extract::ws::{Message, WebSocket};
use call::log::Line;
use call::{Call, CallSetup};
use chrono::TimeDelta;
use model::{CallId, CarrierKind, EndedReason, RecordingId};
use providers::transcriber::TranscriberOptions;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::time::Instant;
use wire::carrier::{CarrierMessage, StreamStart};

/// Messages looked at before the start: `connected`, and some slack.
const MESSAGES_BEFORE_START_MAX: usize = 16;
/// Rate of the line when the carrier does not say: Exotel's default.
const DEFAULT_RATE_HZ: u32 = 8_000;

/// Opens a call, or says why there is none.
pub(super) async fn open(
    board: &Arc<Switchboard>,
    carrier: CarrierKind,
    grant: Grant,
    clock: Clock,
    socket: &mut WebSocket,
) -> Result<Session, EndedReason> {
    let start = tokio::time::timeout(START_DEADLINE, wait_for_start(carrier, socket))
        .await
        .map_err(|_| EndedReason::CarrierNoStart)??;
    // The media clock starts here: everything after it is on the caller's time.
    let began = Instant::now();
    let now = clock();
    if names_another_call(&start, &grant) {
        tracing::warn!(call.id = %grant.call, "the stream names another call than its token was issued for");
        return Err(EndedReason::CarrierNoStart);
    }
    let services = board.services.choose(&grant.agent).map_err(|error| {
        tracing::error!(call.id = %grant.call, error = %error, "the agent's services are not available");
        EndedReason::ProviderFailed
    })?;
    let local_time = (now + TimeDelta::seconds(i64::from(board.settings.local_offset_s))).naive_utc();
    let setup = CallSetup {
        agent: grant.agent.clone(),
        local_time,
        caller_number: grant.person.clone(),
        variables: grant.variables.clone(),
    };
    let call = Call::new(setup.clone()).map_err(|error| {
        tracing::error!(call.id = %grant.call, error = %error, "the agent cannot be used");
        EndedReason::CalyError
    })?;
    let rate = start.sample_rate_hz.unwrap_or(DEFAULT_RATE_HZ);
    let recording = begin_records(board, &grant, &start, rate, now).await?;
    let recorder = match recording {
        Some(id) => begin_recorder(board, id, grant.call, rate).await,
        None => None,
    };
    let mut work = Work::new();
    open_transcriber(&mut work, &services, rate, &grant.agent.language);
    let mut log =
        board.settings.call_log_dir.as_deref().map_or_else(CallLog::off, |dir| CallLog::open(dir, grant.call));
    log.push(Line::Setup { setup: Box::new(setup) });
    Ok(Session {
        hearing: Hearing::new(rate, start.encoding, services.transcriber.audio_wanted(), services.silero.clone()),
        speaking: Speaking::new(
            carrier,
            &start.stream_id,
            rate,
            services.speaker.clone(),
            &grant.agent.language,
            &grant.agent.speech,
        ),
        board: board.clone(),
        clock,
        began,
        call,
        log,
        inputs: VecDeque::new(),
        work,
        services,
        recording: recorder.as_ref().and(recording),
        recorder,
        transfer_to: None,
        collected: serde_json::Map::new(),
        bad_frames: 0,
        last_audio_ms: 0,
        ended: None,
        grant,
    })
}

/// Both must be known to differ; a carrier may leave the name out of either.
fn names_another_call(start: &StreamStart, grant: &Grant) -> bool {
    matches!((&start.call_id, &grant.carrier_call_id), (Some(given), Some(known)) if given != known)
}

async fn wait_for_start(carrier: CarrierKind, socket: &mut WebSocket) -> Result<StreamStart, EndedReason> {
    for _ in 0..MESSAGES_BEFORE_START_MAX {
        match socket.recv().await {
            Some(Ok(Message::Text(text))) => match wire::carrier::decode(carrier, text.as_str()) {
                Ok(CarrierMessage::Start(start)) => return Ok(start),
                Ok(CarrierMessage::Stopped { .. }) => return Err(EndedReason::CallerHungUp),
                Ok(_) | Err(_) => {}
            },
            Some(Ok(Message::Close(_))) => return Err(EndedReason::CallerHungUp),
            Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => {}
            Some(Err(_)) | None => return Err(EndedReason::CarrierLost),
        }
    }
    Err(EndedReason::CarrierNoStart)
}

/// The call is in progress and owned by this node: written before the first word is said.
async fn begin_records(
    board: &Arc<Switchboard>,
    grant: &Grant,
    start: &StreamStart,
    rate: u32,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<Option<RecordingId>, EndedReason> {
    let name = start.call_id.as_deref();
    board.keeper.begin(grant, &board.settings, rate, name, now).await.map_err(|error| {
        tracing::error!(call.id = %grant.call, error = %error, "a call could not be begun");
        EndedReason::CalyError
    })
}

/// A call without its recording is better than no call; the missing recording is on record.
async fn begin_recorder(board: &Arc<Switchboard>, id: RecordingId, call: CallId, rate: u32) -> Option<Recorder> {
    match Recorder::begin(&spool_path(&board.settings.spool_dir, call), rate).await {
        Ok(recorder) => Some(recorder),
        Err(error) => {
            tracing::error!(recording.id = %id, error = %error, "a recording could not be begun");
            None
        }
    }
}

fn open_transcriber(work: &mut Work, services: &Chosen, rate: u32, language: &str) {
    let transcriber = services.transcriber.clone();
    let options = TranscriberOptions { sample_rate_hz: rate, language: language.to_owned() };
    work.start_unnamed(move |events| async move {
        let opened = transcriber.open(options).await;
        // The call is gone: dropping the stream ends it.
        let _ = events.send(WorkEvent::TranscriberOpened(opened)).await;
    });
}
