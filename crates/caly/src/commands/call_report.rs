//! What a call was like, from both ends: the telephone's side measures, the database says what was understood.

use model::{CallId, Latency, TenantId, TranscriptTurn, TurnRole};
use providers::objects::{ObjectKey, Objects};
use serde::Serialize;
use store::calls::Call;
use store::{Store, recordings, turns};
use testkit::caller::report::{CallReport, TurnReport, measure};
use testkit::caller::{TurnKind, Utterance};
use testkit::carrier::CallObservation;

/// The two ends' clocks begin at the start message; what the server calls the beginning of an utterance may lie this
/// much before the telephone's.
const CLOCK_SLACK_MS: u64 = 400;
/// Bytes of a WAV header read back from the store.
const WAV_HEADER_BYTES: u64 = 44;

/// One turn of the caller and its answer.
#[derive(Debug, Serialize)]
pub(crate) struct TurnLine {
    /// What the recording says.
    pub caller_said: String,
    /// What was understood.
    pub caller_heard: String,
    /// The answer, as far as it was heard.
    pub agent_said: String,
    /// Caller's last loud sound to the agent's first, at the telephone.
    pub end_to_end_ms: Option<u64>,
    /// To the decision that the turn is over.
    pub end_of_turn_ms: Option<u64>,
    /// Asking for the text to having it.
    pub transcription_ms: Option<u64>,
    /// Decision to first sentence.
    pub thinking_ms: Option<u64>,
    /// First sentence to its first audio.
    pub speaking_ms: Option<u64>,
}

/// How an interruption went.
#[derive(Debug, Serialize)]
pub(crate) struct BargeIn {
    /// The caller's first loud frame to the agent's stop.
    pub reaction_ms: Option<u64>,
    /// What the caller had heard of the interrupted answer.
    pub heard_text: String,
}

/// How a listening noise went.
#[derive(Debug, Serialize)]
pub(crate) struct Backchannel {
    /// The agent stopped because of it.
    pub interrupted: bool,
}

/// The recording.
#[derive(Debug, Serialize)]
pub(crate) struct RecordingLine {
    /// Where it is.
    pub path: String,
    /// Its channels.
    pub channels: u16,
    /// Its length.
    pub duration_s: f64,
}

/// A whole call.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The call.
    pub call_id: CallId,
    /// Length at the telephone.
    pub duration_s: f64,
    /// Turns.
    pub turns: Vec<TurnLine>,
    /// Median of the answers' end-to-end times.
    pub end_to_end_p50_ms: Option<u64>,
    /// Word error rate over everything the caller said.
    pub caller_wer: f64,
    /// Start to the greeting's first sound.
    pub greeting_ms: Option<u64>,
    /// Agent's audio received, in seconds.
    pub agent_audio_s: f64,
    /// Gaps inside the agent's replies.
    pub gaps: usize,
    /// Violations of the carrier's rules.
    pub frame_rule_violations: usize,
    /// The interruption, if there was one.
    pub barge_in: Option<BargeIn>,
    /// The listening noise, if there was one.
    pub backchannel: Option<Backchannel>,
    /// The recording, if there is one.
    pub recording: Option<RecordingLine>,
    /// What the call collected.
    pub booked: serde_json::Value,
    /// Why it ended.
    pub ended_reason: String,
    /// The simulator's own lateness at worst: figures of a late simulator say little.
    pub simulator_late_ms: u64,
}

impl Report {
    /// The agent finished its business.
    #[must_use]
    pub(crate) fn call_completed(&self) -> bool {
        self.ended_reason == "agent/completed"
    }
}

/// Brings both sides together.
///
/// # Errors
/// When database or store of recordings fail.
pub(crate) async fn build(
    store: &Store,
    objects: &Objects,
    tenant: TenantId,
    call: &Call,
    seen: &CallObservation,
    said: &[Utterance],
) -> anyhow::Result<Report> {
    let kept = store.read(tenant, "report.turns", async |tx| turns::list(tx, call.id).await).await?;
    let measured = measure(seen, said);
    let lines = turn_lines(&measured, &kept);
    let (want, got) = lines.iter().fold((String::new(), String::new()), |(want, got), line| {
        (format!("{want} {}", line.caller_said), format!("{got} {}", line.caller_heard))
    });
    Ok(Report {
        call_id: call.id,
        duration_s: measured.duration_ms as f64 / 1_000.0,
        end_to_end_p50_ms: measured.end_to_end_p50_ms,
        caller_wer: language::words::error_rate(&want, &got),
        greeting_ms: measured.greeting_ms,
        agent_audio_s: seen.received.iter().map(|frame| frame.length_ms).sum::<u64>() as f64 / 1_000.0,
        gaps: measured.gaps,
        frame_rule_violations: measured.violations.len(),
        barge_in: barge_in(&measured, &kept),
        backchannel: measured
            .turns
            .iter()
            .find_map(|turn| turn.interrupted.map(|interrupted| Backchannel { interrupted })),
        recording: recording(store, objects, tenant, call.id).await?,
        booked: call.data.get("book_visit").cloned().unwrap_or_default(),
        ended_reason: call.ended_reason.map_or_else(String::new, |reason| reason.as_str().to_owned()),
        simulator_late_ms: measured.late_frame_max_ms,
        turns: lines,
    })
}

fn turn_lines(measured: &CallReport, kept: &[TranscriptTurn]) -> Vec<TurnLine> {
    let spoken: Vec<&TurnReport> =
        measured.turns.iter().filter(|turn| turn.said.kind != TurnKind::Backchannel).collect();
    let begins = |turn: &TurnReport| turn.said.loud_start_ms.saturating_sub(CLOCK_SLACK_MS);
    spoken
        .iter()
        .enumerate()
        .map(|(index, turn)| {
            let from = begins(turn);
            let until = spoken.get(index + 1).map_or(u64::MAX, |next| begins(next));
            let within = |kept: &&TranscriptTurn| kept.started_ms >= from && kept.started_ms < until;
            let of =
                |role| kept.iter().filter(within).filter(move |turn| turn.role == role).map(|turn| turn.text.as_str());
            let latency = kept.iter().filter(within).find_map(|turn| turn.latency).unwrap_or(Latency::default());
            TurnLine {
                caller_said: turn.said.text.clone(),
                caller_heard: of(TurnRole::Caller).collect::<Vec<_>>().join(" "),
                agent_said: of(TurnRole::Agent).collect::<Vec<_>>().join(" "),
                end_to_end_ms: turn.end_to_end_ms,
                end_of_turn_ms: latency.end_of_turn_ms,
                transcription_ms: latency.transcription_ms,
                thinking_ms: latency.thinking_ms,
                speaking_ms: latency.speaking_ms,
            }
        })
        .collect()
}

fn barge_in(measured: &CallReport, kept: &[TranscriptTurn]) -> Option<BargeIn> {
    let turn = measured.turns.iter().find(|turn| turn.said.kind == TurnKind::BargeIn)?;
    let heard = kept.iter().find(|turn| turn.interrupted).map(|turn| turn.text.clone());
    Some(BargeIn { reaction_ms: turn.reaction_ms, heard_text: heard.unwrap_or_default() })
}

/// What the stored file itself says, not the database.
async fn recording(
    store: &Store,
    objects: &Objects,
    tenant: TenantId,
    call: CallId,
) -> anyhow::Result<Option<RecordingLine>> {
    let all = store.read(tenant, "report.recordings", async |tx| recordings::of_call(tx, call).await).await?;
    let Some(key) = all.first().and_then(|recording| recording.object_key.clone()) else { return Ok(None) };
    let parsed = ObjectKey::parse(&key)?;
    let size = objects.head(&parsed).await?.bytes;
    let bytes = objects.get_range(&parsed, 0..size).await?;
    let wav = audio::wav::read(&bytes)?;
    let frames = wav.samples.len() / usize::from(wav.channels.max(1));
    anyhow::ensure!(size > WAV_HEADER_BYTES, "the recording is empty");
    Ok(Some(RecordingLine { path: key, channels: wav.channels, duration_s: frames as f64 / f64::from(wav.rate) }))
}
