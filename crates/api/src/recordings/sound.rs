//! The sound of a stored recording as an answer: whole or a part of it, or its head only.

use super::hex;
use super::range::{Wanted, wanted};
use crate::{App, Code, Problem, RecordingFile};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::{RecordingId, RecordingStatus};
use std::ops::Range;
use store::recordings::Recording;

/// What browsers do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disposition {
    /// Keep it as a file.
    Attachment,
    /// Play it.
    Inline,
}

/// The sound, ready to be given out.
pub(super) struct Sound {
    /// Of all of it, bytes.
    bytes: u64,
    etag: Option<String>,
    content_type: &'static str,
    filename: String,
    what: What,
}

enum What {
    /// The head only.
    Head,
    /// All of it.
    Whole(RecordingFile),
    /// These bytes.
    Part(Range<u64>, RecordingFile),
    /// Nothing: what was asked for lies beyond the end.
    Beyond,
}

impl Sound {
    /// Opens what the request wants.
    ///
    /// # Errors
    /// 409 when it is not stored, 404 when its file is not there, 502 when the object store does not do its part.
    pub(super) async fn open(
        app: &App,
        recording: &Recording,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Self, Problem> {
        let (key, bytes) = stored(recording)?;
        let etag = recording.sha256.as_ref().map(|hash| format!("\"{}\"", hex(hash)));
        let what = match (method, wanted(headers, etag.as_deref(), bytes)) {
            // A range speaks of what GET gives.
            (&Method::HEAD, _) => What::Head,
            (_, Wanted::Whole) => What::Whole(file(app, recording.id, key, None, bytes).await?),
            (_, Wanted::Part(part)) => {
                let file = file(app, recording.id, key, Some(part.clone()), bytes).await?;
                What::Part(part, file)
            }
            (_, Wanted::Beyond) => What::Beyond,
        };
        let (content_type, extension) = match recording.content_type.as_str() {
            "audio/wav" => ("audio/wav", "wav"),
            "audio/mpeg" => ("audio/mpeg", "mp3"),
            _ => ("application/octet-stream", "bin"),
        };
        let filename = format!("caly-call-{}.{extension}", recording.call);
        Ok(Self { bytes, etag, content_type, filename, what })
    }

    /// Where what is heard begins; none when nothing is.
    pub(super) fn first_byte(&self) -> Option<u64> {
        match &self.what {
            What::Head | What::Beyond => None,
            What::Whole(_) => Some(0),
            What::Part(part, _) => Some(part.start),
        }
    }

    pub(super) fn answer(self, disposition: Disposition) -> Response {
        let mut headers = HeaderMap::new();
        let mut set = |field: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(field, value);
            }
        };
        set(header::ACCEPT_RANGES, "bytes");
        set(header::CACHE_CONTROL, "private, no-store");
        let (status, length, body) = match self.what {
            What::Beyond => {
                set(header::CONTENT_RANGE, &format!("bytes */{}", self.bytes));
                let problem = Problem::new(Code::RangeNotSatisfiable, "the range lies beyond the end");
                return (headers, problem).into_response();
            }
            What::Head => (StatusCode::OK, self.bytes, Body::empty()),
            What::Whole(file) => (StatusCode::OK, self.bytes, Body::from_stream(file.content)),
            What::Part(part, file) => {
                let last = part.end.saturating_sub(1);
                set(header::CONTENT_RANGE, &format!("bytes {}-{last}/{}", part.start, self.bytes));
                let length = part.end.saturating_sub(part.start);
                (StatusCode::PARTIAL_CONTENT, length, Body::from_stream(file.content))
            }
        };
        set(header::CONTENT_TYPE, self.content_type);
        set(header::CONTENT_LENGTH, &length.to_string());
        if let Some(etag) = &self.etag {
            set(header::ETAG, etag);
        }
        let disposition = match disposition {
            Disposition::Attachment => "attachment",
            Disposition::Inline => "inline",
        };
        set(header::CONTENT_DISPOSITION, &format!("{disposition}; filename=\"{}\"", self.filename));
        (status, headers, body).into_response()
    }
}

/// Its key in the object store, and its size.
///
/// # Errors
/// 409 when it has none.
pub(super) fn stored(recording: &Recording) -> Result<(&str, u64), Problem> {
    let why = match recording.status {
        RecordingStatus::Ready => match (&recording.object_key, recording.bytes) {
            (Some(key), Some(bytes)) => return Ok((key, bytes)),
            (None, _) | (_, None) => "the recording is not stored",
        },
        RecordingStatus::Recording | RecordingStatus::Spooled | RecordingStatus::Awaited => {
            "the recording is not stored yet; try again later"
        }
        RecordingStatus::Failed => "the recording could not be stored",
    };
    Err(Problem::new(Code::Conflict, why))
}

async fn file(
    app: &App,
    id: RecordingId,
    key: &str,
    part: Option<Range<u64>>,
    bytes: u64,
) -> Result<RecordingFile, Problem> {
    let unusable = || Problem::new(Code::ExternalServiceFailed, "the store of recordings does not answer; try again");
    let file = app.recordings.open(key, part).await.map_err(|error| {
        tracing::error!(recording = %id, error = %error, "a recording could not be opened");
        unusable()
    })?;
    let Some(file) = file else {
        tracing::error!(recording = %id, "the file of a stored recording is not there");
        return Err(Problem::new(Code::NotFound, "the file of this recording is not there"));
    };
    if file.bytes != bytes {
        tracing::error!(recording = %id, bytes = file.bytes, stored = bytes, "a file is not as it was stored");
        return Err(unusable());
    }
    Ok(file)
}
