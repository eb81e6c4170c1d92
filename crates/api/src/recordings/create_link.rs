//! `POST /api/recordings/{id}/links`.

use super::sound::stored;
use crate::auth::path_id::PathId;
use crate::caller::Who;
use crate::caller::scopes::RecordingsRead;
use crate::problem::ProblemBody;
use crate::{Caller, Problem, Valid};
use axum::Json;
use axum::http::{HeaderMap, StatusCode};
use chrono::{DateTime, Duration, SubsecRound, Utc};
use identity::{LinkMaker, RecordingLink};
use model::{AuditKind, RecordingId};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};
use store::recordings;
use utoipa::ToSchema;

/// How long a link works when nothing else is asked for, seconds: to begin to play, and to seek while it plays.
const LINK_TTL_S: u32 = 300;

/// A link to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CreateRecordingLink, example = json!({ "ttl_s": 120 }))]
pub(crate) struct CreateRecordingLinkBody {
    /// For how long it works, seconds; 300 when absent.
    #[schema(minimum = 30, maximum = 900, example = 120)]
    ttl_s: Option<u32>,
}

/// A link by which a recording can be heard.
#[derive(Serialize, ToSchema)]
#[schema(as = RecordingLink)]
pub(crate) struct RecordingLinkView {
    /// Whoever has it can hear the recording, without credentials, until it ends: keep it like a password.
    #[schema(example = "https://caly.example.org/api/recordings/audio/AQAB…")]
    url: String,
    /// When it ends.
    expires_at: DateTime<Utc>,
}

/// Makes a link that plays a recording in a browser for some minutes, without credentials.
///
/// That it was made is on record, and so is every hearing by it. It cannot be taken back.
#[utoipa::path(
    post,
    path = "/api/recordings/{id}/links",
    tag = "calls",
    security(("bearer" = ["recordings:read"])),
    params(("id" = RecordingId, Path, description = "The recording")),
    request_body = CreateRecordingLinkBody,
    responses(
        (status = 201, description = "The link", body = RecordingLinkView),
        (status = 409, description = "It is not stored yet, or never will be: see its status",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn create_recording_link(
    caller: Caller<RecordingsRead>,
    PathId(id): PathId<RecordingId>,
    headers: HeaderMap,
    Valid(body): Valid<CreateRecordingLinkBody>,
) -> Result<(StatusCode, Json<RecordingLinkView>), Problem> {
    let base = caller.app.base_url(&headers)?;
    let maker = match caller.identity.who {
        Who::User { id, .. } => LinkMaker::User(id),
        Who::Key { id, .. } => LinkMaker::Key(id),
    };
    let ttl_s = body.ttl_s.unwrap_or(LINK_TTL_S);
    let expires_at = caller.now.trunc_subsecs(0) + Duration::seconds(i64::from(ttl_s));
    let link = RecordingLink { tenant: caller.tenant(), recording: id, maker, expires_at };
    caller
        .write("recordings.create_link", async |tx| {
            stored(&recordings::get(tx, id).await?)?;
            let data = Map::from_iter([("expires_at".to_owned(), json!(expires_at))]);
            caller.audit(tx, AuditKind::RecordingLinkCreated, Some(("recording", id.to_string())), data).await
        })
        .await?;
    let url = format!("{base}/api/recordings/audio/{}", link.sign(&caller.app.pepper).expose_secret());
    Ok((StatusCode::CREATED, Json(RecordingLinkView { url, expires_at })))
}
