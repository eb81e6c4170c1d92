//! `GET /api/recordings/audio/{token}`.

use super::sound::{Disposition, Sound};
use crate::layers::Limits;
use crate::origin::Origin;
use crate::problem::ProblemBody;
use crate::{App, Code, Problem};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use identity::RecordingLink;
use model::{AuditKind, Severity};
use serde_json::Map;
use std::sync::Arc;
use store::{Tx, audit, recordings};

/// Plays the sound of a recording to whoever has a link to it. Each hearing is on record.
#[utoipa::path(
    get,
    path = "/api/recordings/audio/{token}",
    tag = "calls",
    params(("token" = String, Path, description = "The end of a link's address")),
    responses(
        (status = 200, description = "The file; `audio/mpeg` for a carrier's MP3",
            body = Vec<u8>, content_type = "audio/wav"),
        (status = 206, description = "The range of bytes that was asked for",
            body = Vec<u8>, content_type = "audio/wav"),
        (status = 409, description = "The recording is not stored any more",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 410, description = "The link is over",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 416, description = "The range lies beyond the end; `Content-Range` tells the length",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 502, description = "The store of recordings does not answer",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn get_linked_audio(
    State(app): State<Arc<App>>,
    limits: Limits,
    origin: Origin,
    token: Result<Path<String>, PathRejection>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let now = app.now();
    let link = token.ok().and_then(|Path(token)| RecordingLink::read(&token, &app.pepper));
    let Some(link) = link.filter(|link| !link.is_over(now)) else {
        limits.charge(&app.policies.unauthenticated, &origin.address()).await?;
        return Err(match link {
            Some(_) => Problem::new(Code::LinkExpired, "the link is over; make another"),
            None => Problem::new(Code::NotFound, "there is no such thing"),
        });
    };
    // By the recording: a player asks many times, and people who share an address are many. Not by the organisation:
    // whoever has a link must not use up what its people may ask.
    limits.charge(&app.policies.organisation, &format!("recording {}", link.recording)).await?;
    let id = link.recording;
    let load = async |tx: &mut Tx| recordings::get(tx, id).await;
    let recording = app.store.read(link.tenant, "recordings.get", load).await?;
    let sound = Sound::open(&app, &recording, &method, &headers).await?;
    if let Some(first_byte) = sound.first_byte() {
        // Who hears it is not known; who made the link is.
        let actor = format!("link:{}", link.maker);
        if !app.hearings.goes_on(&actor, id, first_byte, now) {
            let object = id.to_string();
            let object = Some(("recording", object.as_str()));
            let event = origin.event(AuditKind::RecordingAccessed, Severity::Info, &actor, object, Map::new());
            let work = async |tx: &mut Tx| audit::record(tx, &event, now).await;
            app.store.write(link.tenant, "recordings.accessed", work).await?;
            app.hearings.began(&actor, id, now);
        }
    }
    Ok(sound.answer(Disposition::Inline))
}
