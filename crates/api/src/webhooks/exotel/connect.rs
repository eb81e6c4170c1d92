//! `GET /webhooks/exotel/connect/{token}`: the dynamic URL of a Connect applet behind the Voicebot applet: whom shall the
//! caller be handed to? Whoever the agent decided on before it closed the media, or nobody. A flow goes astray with any
//! other answer than 200, so that what cannot be looked up in time is answered with nobody, too.

use super::proof::Offered;
use super::report::{is_of, once};
use super::{is_refusal, number_at, on_record, read, rejected};
use crate::origin::Origin;
use crate::{App, Code, Problem};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use chrono::{DateTime, Utc};
use model::limits::{TRANSFER_CONVERSATION_S, TRANSFER_RINGING_S};
use model::{CarrierKind, E164};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use store::calls;
use store::phone_numbers::PhoneNumber;
use store::{SystemTx, agents};
use utoipa::ToSchema;
use wire::exotel::report::Routing;
use wire::fields::{BodyError, Fields};

/// The caller waits for the answer, in silence.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

/// Whom to hand the caller to.
#[derive(Serialize, ToSchema)]
#[schema(as = ExotelConnect)]
pub(crate) struct ConnectBody {
    /// Whether to ask again when nobody takes the call.
    #[schema(example = false)]
    fetch_after_attempt: bool,
    /// Whom to call.
    destination: DestinationBody,
    /// Whether the carrier records the conversation.
    #[schema(example = true)]
    record: bool,
    /// `dual`: each side on its own channel.
    #[schema(example = "dual")]
    recording_channels: &'static str,
    /// How long to ring, seconds.
    #[schema(example = 45)]
    max_ringing_duration: u32,
    /// How long the conversation may take, seconds.
    #[schema(example = 3600)]
    max_conversation_duration: u32,
}

/// Numbers to call.
#[derive(Serialize, ToSchema)]
#[schema(as = ExotelDestination)]
pub(crate) struct DestinationBody {
    /// None: nobody, and the flow goes on.
    numbers: Vec<E164>,
}

/// Whom the agent decided on.
#[derive(Debug, Default)]
struct Decision {
    to: Option<E164>,
    record: bool,
}

impl From<Decision> for ConnectBody {
    fn from(decision: Decision) -> Self {
        Self {
            fetch_after_attempt: false,
            destination: DestinationBody { numbers: decision.to.into_iter().collect() },
            record: decision.record,
            recording_channels: "dual",
            max_ringing_duration: TRANSFER_RINGING_S,
            max_conversation_duration: TRANSFER_CONVERSATION_S,
        }
    }
}

/// Whom shall the caller be handed to?
#[utoipa::path(
    get, path = "/webhooks/exotel/connect/{token}", tag = "webhooks", operation_id = "exotel_connect",
    params(
        ("token" = String, Path, description = "The unguessable part of the number's address"),
        ("CallSid" = Option<String>, Query, description = "The carrier's id of the call"),
    ),
    responses(
        (status = 200, description = "Whom to call, or nobody", body = ConnectBody),
        (status = 401, description = "The number takes other proofs", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn connect(
    State(app): State<Arc<App>>,
    origin: Origin,
    Path(token): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Json<ConnectBody>, Problem> {
    let fields = Fields::from_urlencoded(query.unwrap_or_default().as_bytes());
    answer(&app, &origin, &token, fields, Offered::without_body(&headers, &origin)).await
}

/// Whom shall the caller be handed to? Asked in a body.
#[utoipa::path(
    post, path = "/webhooks/exotel/connect/{token}", tag = "webhooks", operation_id = "exotel_connect_post",
    params(("token" = String, Path, description = "The unguessable part of the number's address")),
    responses(
        (status = 200, description = "Whom to call, or nobody", body = ConnectBody),
        (status = 401, description = "The number takes other proofs", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn connect_post(
    State(app): State<Arc<App>>,
    origin: Origin,
    Path(token): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<ConnectBody>, Problem> {
    let (fields, offered) = read(&app, &headers, &body, &origin);
    answer(&app, &origin, &token, fields, offered).await
}

async fn answer(
    app: &App,
    origin: &Origin,
    token: &str,
    fields: Result<Fields, BodyError>,
    offered: Offered,
) -> Result<Json<ConnectBody>, Problem> {
    let decided = tokio::time::timeout(ANSWERED_WITHIN, decided(app, origin, token, fields, offered)).await;
    let Ok(decided) = decided else {
        tracing::error!("whom to hand a caller to could not be looked up in time");
        return Ok(Json(Decision::default().into()));
    };
    match on_record(app, origin, decided).await {
        Ok(decision) => {
            tracing::info!(somebody = decision.to.is_some(), "the carrier asked whom to hand a caller to");
            Ok(Json(decision.into()))
        }
        Err(problem) if problem.code == Code::NotFound || is_refusal(problem.code) => Err(problem),
        Err(problem) => {
            tracing::error!(reason = problem.code.as_str(), "whom to hand a caller to could not be looked up");
            Ok(Json(Decision::default().into()))
        }
    }
}

async fn decided(
    app: &App,
    origin: &Origin,
    token: &str,
    fields: Result<Fields, BodyError>,
    offered: Offered,
) -> Result<Decision, Problem> {
    let number = match number_at(app, token).await {
        Ok(number) => number,
        Err(problem) => {
            if problem.code == Code::NotFound {
                rejected(app, origin, problem.code).await;
            }
            return Err(problem);
        }
    };
    let (offered, now) = (offered.at_its_address(), app.now());
    app.store
        .system("calls.find_transfer", async |tx| look_up(tx, &number, fields.as_ref().ok(), &offered, now).await)
        .await
}

async fn look_up(
    tx: &mut SystemTx,
    number: &PhoneNumber,
    fields: Option<&Fields>,
    offered: &Offered,
    now: DateTime<Utc>,
) -> Result<Decision, Problem> {
    let proven = offered.judge(Some(&number.webhook_proofs))?;
    let Some(name) = fields.and_then(|fields| Routing::read(fields).call_id) else { return Ok(Decision::default()) };
    let call = calls::find_carried(tx, CarrierKind::Exotel, &name).await?.filter(|call| is_of(call, number));
    let tx = tx.tenant(number.tenant).await?;
    if let Some(key) = proven.request_key {
        once(tx, key, now).await?;
    }
    let Some((agent, to)) = call.and_then(|call| Some((call.agent, call.hands_over_to(now)?.clone()))) else {
        return Ok(Decision::default());
    };
    let record = agents::get(tx, agent).await?.agent.config.record;
    Ok(Decision { to: Some(to), record })
}
