//! Recordings of calls.

mod audio;
mod create_link;
mod get;
mod hearings;
mod linked_audio;
mod range;
mod sound;

pub use hearings::Hearings;

use crate::App;
use chrono::{DateTime, Utc};
use model::{CallId, RecordingId, RecordingSource, RecordingStatus};
use serde::Serialize;
use std::fmt::Write as _;
use std::sync::Arc;
use store::recordings::Recording;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// A recording.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Recording)]
pub(crate) struct RecordingView {
    /// Its id.
    id: RecordingId,
    /// Of which call.
    call_id: CallId,
    /// Who made it.
    source: RecordingSource,
    /// Where it stands; its sound can be had when it is `ready`.
    status: RecordingStatus,
    /// What went wrong last, while it is not `ready`.
    recording_error: Option<String>,
    /// `audio/wav`, or `audio/mpeg` for a carrier's MP3.
    #[schema(example = "audio/wav")]
    content_type: String,
    /// Our own have 2: caller left, agent right. 0 while a carrier's has not come.
    #[schema(example = 2)]
    channels: u32,
    /// Samples a second of each channel; 0 while a carrier's has not come.
    #[schema(example = 8000)]
    sample_rate_hz: u32,
    /// Its length, ms; null while it is being written.
    #[schema(example = 73_420)]
    duration_ms: Option<u64>,
    /// Size of the file; null while it is being written.
    #[schema(example = 2_349_484)]
    bytes: Option<u64>,
    /// SHA-256 of the file, hexadecimal; null while it is being written.
    #[schema(example = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    sha256: Option<String>,
    /// When it began.
    created_at: DateTime<Utc>,
    /// When its state last changed.
    updated_at: DateTime<Utc>,
}

impl From<Recording> for RecordingView {
    fn from(recording: Recording) -> Self {
        Self {
            id: recording.id,
            call_id: recording.call,
            source: recording.source,
            status: recording.status,
            recording_error: recording.recording_error,
            content_type: recording.content_type,
            channels: recording.channels,
            sample_rate_hz: recording.sample_rate_hz,
            duration_ms: recording.duration_ms,
            bytes: recording.bytes,
            sha256: recording.sha256.as_ref().map(|hash| hex(hash)),
            created_at: recording.created_at,
            updated_at: recording.updated_at,
        }
    }
}

/// `00ff…`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes what is written");
        text
    })
}

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(get::get_recording))
        .routes(routes!(audio::get_recording_audio))
        .routes(routes!(create_link::create_recording_link))
        .routes(routes!(linked_audio::get_linked_audio))
}
