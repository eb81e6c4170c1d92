//! The answer of requests that tell nobody whether an address has an account.

use crate::origin::Origin;
use crate::{App, Problem};
use axum::Json;
use axum::http::StatusCode;
use serde::Serialize;
use store::errands::{self, Errand, ErrandOrigin};
use utoipa::ToSchema;

/// What happens next. The same for every address.
#[derive(Serialize, ToSchema)]
#[schema(as = Accepted)]
pub(crate) struct AcceptedBody {
    /// `verification_required`: a code may be on its way by mail. `accepted`: a mail may be.
    #[schema(example = "accepted")]
    status: &'static str,
}

/// 202.
pub(crate) type Accepted = (StatusCode, Json<AcceptedBody>);

/// Leaves the rest to a job and answers. Whoever asks cannot tell what the job finds.
pub(crate) async fn accept(app: &App, errand: &Errand, status: &'static str) -> Result<Accepted, Problem> {
    let now = app.now();
    app.store.system("auth.errand", async |tx| errands::enqueue(tx, errand, now).await).await?;
    app.jobs_wake.notify_one();
    Ok((StatusCode::ACCEPTED, Json(AcceptedBody { status })))
}

/// For the audit of what the job does.
pub(crate) fn errand_origin(origin: &Origin) -> ErrandOrigin {
    ErrandOrigin { ip: origin.ip, request_id: origin.request_id.as_deref().map(str::to_owned) }
}
