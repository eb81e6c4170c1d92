//! From an upgraded socket to a running call: the carrier's start message, the database, the services, what is known of
//! the caller.
//!
//! What the carrier sends meanwhile is read and kept with its time: a look-up may take a second, and the caller's first
//! words, their place in the recording, and a caller who has left are not to be missed.

use super::behind;
use super::hearing::{Hearing, open_transcriber};
use super::speaking::Speaking;
use super::work::{Work, WorkEvent};
use super::{START_DEADLINE, Session};
use crate::Switchboard;
use crate::accept::Clock;
use crate::call_log::CallLog;
use crate::keeper::Grant;
use crate::recorder::{Recorder, spool_path};
use crate::services::Chosen;
use audio::ambience::Ambience;
use axum::extract::ws::{Message, WebSocket};
use call::log::Line;
use call::variables::{Variables, fill_agent};
use call::{Call, CallSetup};
use chrono::{DateTime, TimeDelta, Utc};
use model::{AgentConfig, CallCounts, CallId, CarrierKind, E164, EndedReason, RecordingId};
use providers::alarm::Alarm;
use providers::tools::{LookupRequest, Toolbox};
use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use wire::carrier::{CarrierMessage, StreamStart};

/// Messages looked at before the start: `connected`, and some slack.
const MESSAGES_BEFORE_START_MAX: usize = 16;
/// Rate of the line when the carrier does not say: Exotel's default.
const DEFAULT_RATE_HZ: u32 = 8_000;
/// Messages kept while a call is opened: the longest look-up (5 s) in frames of 20 ms, and some. What comes then waits in
/// the kernel.
const EARLY_MAX: usize = 300;

/// What the socket gave while the call was opened, and when.
pub(super) type Early = Vec<(Instant, Option<Result<Message, axum::Error>>)>;

/// Opens a call, or says why there is none.
pub(super) async fn open(
    board: &Arc<Switchboard>,
    carrier: CarrierKind,
    mut grant: Grant,
    clock: Clock,
    socket: &mut WebSocket,
) -> Result<(Box<Session>, Early), EndedReason> {
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
    let rate = start.sample_rate_hz.unwrap_or(DEFAULT_RATE_HZ);
    let unfilled = grant.agent.lookup.is_some().then(|| grant.agent.clone());
    fill_agent(&mut grant.agent, &grant.variables);
    // Before anything is on record: an agent that cannot be used begins no call.
    let (mut setup, mut call) = prepare(board, &grant, now)?;
    let mut early = Early::new();
    let served = Box::pin(serve(board, &grant, &start, rate, now));
    // On the heap: few calls look anything up, and each would carry the room for it.
    let known = Box::pin(async { Ok(look_up(board, &grant).await) });
    let ((services, mut work, recording), known) =
        meanwhile(socket, &mut early, async { tokio::try_join!(served, known) }).await?;
    if let Some(unfilled) = unfilled.filter(|_| !known.is_empty()) {
        know(&mut grant, unfilled, known);
        (setup, call) = prepare(board, &grant, now)?;
    }
    let recorder = match recording {
        Some(id) => begin_recorder(board, id, grant.call, rate).await,
        None => None,
    };
    let toolbox = open_toolbox(board, &mut work, &grant);
    let mut log =
        board.settings.call_log_dir.as_deref().map_or_else(CallLog::off, |dir| CallLog::open(dir, grant.call));
    log.push(Line::Setup { setup: Box::new(setup) });
    let (wanted, silero) = (services.transcriber.audio_wanted(), services.silero.clone());
    let speaker = services.speaker.clone();
    let session = Box::new(Session {
        hearing: Hearing::new(rate, start.encoding, &grant.agent.language, wanted, silero),
        speaking: Speaking::new(carrier, &start.stream_id, rate, speaker, &grant.agent.speech),
        board: board.clone(),
        clock,
        began,
        call,
        log,
        inputs: VecDeque::new(),
        work,
        services,
        toolbox,
        recalling: None,
        recording: recorder.as_ref().and(recording),
        recorder,
        transfer_to: None,
        collected: serde_json::Map::new(),
        bad_frames: 0,
        counts: CallCounts::default(),
        told_fallbacks: CallCounts::default(),
        last_audio_ms: 0,
        ended: None,
        alarm: Alarm::default(),
        grant,
    });
    Ok((session, early))
}

/// The services, and the records of a call that has them; the transcriber is being opened.
async fn serve(
    board: &Arc<Switchboard>,
    grant: &Grant,
    start: &StreamStart,
    rate: u32,
    now: DateTime<Utc>,
) -> Result<(Chosen, Work, Option<RecordingId>), EndedReason> {
    // The semaphore is never closed.
    let _turn = board.openings.acquire().await;
    let services = board.services.choose(grant.tenant, &grant.agent, rate).await.map_err(|error| {
        tracing::error!(call.id = %grant.call, error = %error, "the agent's services are not available");
        EndedReason::ProviderFailed
    })?;
    let mut work = Work::new();
    open_transcriber(&mut work, services.transcriber.clone(), rate, grant.agent.language.clone());
    begin_ambience(&mut work, grant, rate);
    let recording = begin_records(board, grant, start, rate, now).await?;
    Ok((services, work, recording))
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

/// Does this, and keeps what the socket gives meanwhile.
async fn meanwhile<T>(socket: &mut WebSocket, early: &mut Early, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    let mut open = true;
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            message = socket.recv(), if open && early.len() < EARLY_MAX => {
                open = matches!(message, Some(Ok(Message::Text(_) | Message::Binary(_) | Message::Ping(_) | Message::Pong(_))));
                early.push((Instant::now(), message));
            }
        }
    }
}

/// What the organisation knows of the caller. A call without it is better than no call.
async fn look_up(board: &Arc<Switchboard>, grant: &Grant) -> Variables {
    let Some(lookup) = &grant.agent.lookup else { return Variables::new() };
    let number = |number: &Option<E164>| number.as_ref().map(|known| known.as_str().to_owned()).unwrap_or_default();
    let asked = LookupRequest {
        call_id: grant.call,
        direction: grant.direction,
        caller_number: number(&grant.person),
        agent_number: number(&grant.our_number),
        variables: grant.variables.clone(),
    };
    let looking = providers::tools::look_up(&board.services.tools, grant.tenant, lookup, &asked);
    match tokio::time::timeout(Duration::from_millis(lookup.timeout_ms), looking).await {
        Ok(Ok(known)) => known,
        Ok(Err(error)) => {
            tracing::warn!(call.id = %grant.call, error = %error, "the caller could not be looked up");
            Variables::new()
        }
        Err(_) => {
            tracing::warn!(call.id = %grant.call, "the caller was not looked up in time");
            Variables::new()
        }
    }
}

/// What was looked up stands beside what the order said, which wins; the agent's texts are filled with both.
fn know(grant: &mut Grant, unfilled: AgentConfig, mut known: Variables) {
    known.append(&mut grant.variables);
    grant.variables = known;
    grant.agent = unfilled;
    fill_agent(&mut grant.agent, &grant.variables);
}

fn prepare(board: &Arc<Switchboard>, grant: &Grant, now: DateTime<Utc>) -> Result<(CallSetup, Call), EndedReason> {
    let setup = CallSetup {
        agent: grant.agent.clone(),
        local_time: (now + TimeDelta::seconds(i64::from(board.settings.local_offset_s))).naive_utc(),
        caller_number: grant.person.clone(),
        direction: grant.direction,
        can_transfer: grant.can_transfer,
        variables: grant.variables.clone(),
    };
    let call = Call::new(setup.clone()).map_err(|error| {
        tracing::error!(call.id = %grant.call, error = %error, "the agent cannot be used");
        EndedReason::CalyError
    })?;
    Ok((setup, call))
}

/// The tools of the agent; servers of tools are asked what they have while the caller is greeted.
fn open_toolbox(board: &Arc<Switchboard>, work: &mut Work, grant: &Grant) -> Option<Toolbox> {
    if grant.agent.tools.is_empty() {
        return None;
    }
    let (clients, agent) = (&board.services.tools, &grant.agent);
    // What a service is told about the call is ours to say, whatever the order or the look-up said.
    let mut variables = grant.variables.clone();
    let person = grant.person.as_ref().map(|number| number.as_str().to_owned());
    let ours = grant.our_number.as_ref().map(|number| number.as_str().to_owned());
    variables.insert("caller_number".to_owned(), person.unwrap_or_default());
    variables.insert("agent_number".to_owned(), ours.unwrap_or_default());
    variables.insert("call_id".to_owned(), grant.call.to_string());
    let toolbox = Toolbox::for_call(clients, grant.tenant, grant.call, &agent.tools, &variables);
    let preparing = toolbox.prepare();
    work.start_unnamed(move |_| preparing);
    Some(toolbox)
}

/// The sound behind the agent takes some milliseconds to make: not on a thread that calls share.
fn begin_ambience(work: &mut Work, grant: &Grant, rate: u32) {
    let Some(chosen) = grant.agent.ambience.clone() else { return };
    // The same call sounds the same, and two calls do not.
    let seed = grant.call.0.as_u64_pair().1;
    work.start_unnamed(move |events| async move {
        let make = move || Ambience::new(behind::sound(chosen.sound), chosen.below_db, rate, seed);
        if let Ok(sound) = tokio::task::spawn_blocking(make).await {
            // The call is gone: nobody listens.
            let _ = events.send(WorkEvent::Ambience(Box::new(sound))).await;
        }
    });
}

/// The call is in progress and owned by this node: written before the first word is said.
async fn begin_records(
    board: &Arc<Switchboard>,
    grant: &Grant,
    start: &StreamStart,
    rate: u32,
    now: DateTime<Utc>,
) -> Result<Option<RecordingId>, EndedReason> {
    let name = start.call_id.as_deref();
    board.keeper.begin(grant, &board.settings, rate, name, now).await.map_err(|error| {
        tracing::error!(call.id = %grant.call, error = %error, "a call could not be begun");
        EndedReason::CalyError
    })
}

/// A call without its recording is better than no call; the missing recording is on record.
async fn begin_recorder(board: &Arc<Switchboard>, id: RecordingId, call: CallId, rate: u32) -> Option<Recorder> {
    match Recorder::begin(&board.spool, &spool_path(&board.settings.spool_dir, call), rate).await {
        Ok(recorder) => Some(recorder),
        Err(error) => {
            tracing::error!(recording.id = %id, error = %error, "a recording could not be begun");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Brain, CallDirection, OrganisationId};

    #[test]
    fn what_the_order_said_wins_over_what_was_looked_up() {
        let agent: AgentConfig = serde_json::from_value(serde_json::json!({
            "greeting": "Hello {{name}}, {{kind}}, {{nothing}}.",
            "brain": { "kind": "language-model", "base_url": "http://127.0.0.1:1", "model": "m",
                "system_prompt": "About {{name}} and {{kind}}." },
        }))
        .expect("an agent");
        let texts = |pairs: &[(&str, &str)]| -> Variables {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let mut grant = Grant {
            tenant: OrganisationId(uuid::Uuid::from_u128(1)),
            call: CallId(uuid::Uuid::from_u128(2)),
            agent: agent.clone(),
            direction: CallDirection::Outgoing,
            person: None,
            our_number: None,
            carrier_call_id: None,
            variables: texts(&[("name", "Asha")]),
            can_transfer: false,
        };
        know(&mut grant, agent, texts(&[("name", "Somebody"), ("kind", "gold")]));
        assert_eq!(grant.variables, texts(&[("name", "Asha"), ("kind", "gold")]));
        assert_eq!(grant.agent.greeting.as_deref(), Some("Hello Asha, gold, ."));
        let Brain::LanguageModel(model) = &grant.agent.brain else { panic!("a language model") };
        assert_eq!(model.system_prompt, "About Asha and gold.");
    }
}
