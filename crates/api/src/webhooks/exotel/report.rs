//! What a carrier reports of a call that is there, by whichever message: taken once, harmless when it comes again, late
//! or out of order. Reports that come at the same time are taken together, in one transaction ([`Gatherer`]): what one
//! costs is mostly its round trips and its commit.

use super::ACTOR;
use super::proof::{Offered, Proven};
use crate::layers::Edge;
use crate::origin::Origin;
use crate::webhooks::gather::{Gatherer, NoAnswer, Work};
use crate::webhooks::report::{event_of, follow, replayed, speaks_for};
use crate::{App, Code, Problem};
use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use chrono::{DateTime, Utc};
use model::{CarrierKind, TenantId};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use store::calls::Call;
use store::carrier_events::{self, Telling, Told};
use store::phone_numbers::{self, PhoneNumber};
use store::{SystemTx, Tx};
use tokio::time::Instant;
use wire::exotel::report::{Message, Report, Routing};
use wire::fields::{BodyError, Fields};

pub(crate) use crate::webhooks::report::TakenBody;
pub(super) use crate::webhooks::report::{OK, is_of, never_timed, once};

/// When a batch has failed so late, its members are not tried one by one: there is no time left for that, and what made
/// it fail is no single one of them but the database. Within it, deadlocks are found (PostgreSQL looks after a second).
const ALONE_WITHIN: Duration = Duration::from_secs(2);
/// A full line empties within moments, or the database is away.
const RETRY_AFTER_S: u64 = 1;

/// Where reports gather; made once, with the layers.
pub(crate) type Reports = Gatherer<App>;

/// The way to [`Reports`].
pub(crate) struct Together(Arc<Edge>);

impl FromRequestParts<Arc<App>> for Together {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Problem> {
        parts.extensions.get::<Arc<Edge>>().cloned().map(Self).ok_or_else(|| {
            tracing::error!("a route stands outside the layers");
            Problem::new(Code::Internal, "something went wrong on our side")
        })
    }
}

/// A message on its way in.
pub(super) struct Incoming {
    pub(super) message: Message,
    pub(super) offered: Offered,
    pub(super) fields: Result<Fields, BodyError>,
    /// The number to whose address it came.
    pub(super) number: Option<PhoneNumber>,
    pub(super) origin: Origin,
}

/// A message that has been read, but not judged.
pub(crate) struct Arrived {
    offered: Offered,
    routing: Routing,
    report: Result<Report, Problem>,
    number: Option<PhoneNumber>,
    origin: Origin,
}

/// Whether the call is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// The report is on record, now or since it came first.
    Call,
    /// There is no such call, or not of this number.
    NoCall,
}

/// Takes a report. It is on record, durably, when this returns.
///
/// # Errors
/// 401 unless it is authentic; 400 when it cannot be read; 503 when too many wait, or the database fails.
pub(super) async fn take(together: &Together, incoming: Incoming) -> Result<Known, Problem> {
    let Together(edge) = together;
    match edge.reports.submit(&edge.app, incoming.read()).await {
        Ok(answer) => answer,
        Err(NoAnswer::Full) => {
            Err(Problem::new(Code::Overloaded, "too many reports at once").retry_after_s(RETRY_AFTER_S))
        }
        Err(NoAnswer::Lost) => Err(Problem::new(Code::Internal, "something went wrong on our side")),
    }
}

/// The same, where an unknown call is the sender's fault.
///
/// # Errors
/// As [`take`]; 404 for an unknown call.
pub(super) async fn take_of_call(together: &Together, incoming: Incoming) -> Result<Json<TakenBody>, Problem> {
    match take(together, incoming).await? {
        Known::Call => Ok(OK),
        Known::NoCall => Err(Problem::new(Code::NotFound, "there is no such call")),
    }
}

impl Incoming {
    fn read(self) -> Arrived {
        let Self { message, offered, fields, number, origin } = self;
        let (routing, report) = match &fields {
            Ok(fields) => (Routing::read(fields), Report::read(message, fields).map_err(Problem::from)),
            Err(error) => (Routing::default(), Err((*error).into())),
        };
        Arrived { offered, routing, report, number, origin }
    }
}

impl Work for App {
    type Item = Arrived;
    type Answer = Result<Known, Problem>;

    /// What is told of one call is taken in the order in which it came.
    fn key(item: &Arrived) -> Option<&str> {
        item.routing.call_id.as_deref()
    }

    async fn run(self: Arc<Self>, batch: Vec<Arrived>) -> Vec<Result<Known, Problem>> {
        let began = Instant::now();
        match take_batch(&self, &batch).await {
            Ok(answers) => answers,
            Err(error) if batch.len() > 1 && is_of_one(&error) && began.elapsed() < ALONE_WITHIN => {
                tracing::warn!(error = %error, reports = batch.len(), "reports are taken one by one");
                let mut answers = Vec::with_capacity(batch.len());
                for one in &batch {
                    let alone = take_batch(&self, std::slice::from_ref(one)).await;
                    answers.push(alone.map_or_else(|error| Err(error.into()), |mut one| one.remove(0)));
                }
                answers
            }
            Err(error) => {
                let problem = Problem::from(error);
                batch.iter().map(|_| Err(problem.clone())).collect()
            }
        }
    }
}

/// Whether one of many may be to blame. A database that is away is away for each of them.
const fn is_of_one(error: &store::Error) -> bool {
    match error {
        store::Error::NotFound | store::Error::Conflict(_) | store::Error::Broken(_) | store::Error::Busy => true,
        store::Error::Unavailable => false,
    }
}

async fn take_batch(app: &App, batch: &[Arrived]) -> Result<Vec<Result<Known, Problem>>, store::Error> {
    let now = app.now();
    app.store.system("calls.carrier_reported", async |tx| take_all(tx, batch, now).await).await
}

/// A report that is to be taken.
struct Admitted<'a> {
    /// Its place in the batch.
    place: usize,
    told: &'a Told,
    report: Cow<'a, Report>,
    proven: Proven,
}

/// Takes all of them, or none.
async fn take_all(
    tx: &mut SystemTx,
    batch: &[Arrived],
    now: DateTime<Utc>,
) -> Result<Vec<Result<Known, Problem>>, store::Error> {
    let names = batch.iter().filter_map(|arrived| arrived.routing.call_id.as_deref());
    let calls = carrier_events::find_together(tx, CarrierKind::Exotel, names).await?;
    let mut answers: Vec<Result<Known, Problem>> = Vec::with_capacity(batch.len());
    let mut admitted: BTreeMap<TenantId, Vec<Admitted<'_>>> = BTreeMap::new();
    for (place, arrived) in batch.iter().enumerate() {
        let told = arrived.routing.call_id.as_ref().and_then(|name| calls.get(name));
        answers.push(match arrived.judge(tx, told).await? {
            Ok(Some((told, report, proven))) => {
                let one = Admitted { place, told, report: of_call(told, report), proven };
                admitted.entry(told.tenant).or_default().push(one);
                Ok(Known::Call)
            }
            Ok(None) => Ok(Known::NoCall),
            Err(problem) => Err(problem),
        });
    }
    for (tenant, mut those) in admitted {
        // Whoever else takes reports of the same calls locks them in the same order.
        those.sort_by_key(|one| one.told.call);
        let tx = tx.tenant(tenant).await?;
        for place in take_of_tenant(tx, &those, batch, now).await? {
            if let Some(answer) = answers.get_mut(place) {
                *answer = Err(replayed());
            }
        }
    }
    Ok(answers)
}

/// Takes reports of one tenant's calls; the places of those that came before.
async fn take_of_tenant(
    tx: &mut Tx,
    those: &[Admitted<'_>],
    batch: &[Arrived],
    now: DateTime<Utc>,
) -> Result<Vec<usize>, store::Error> {
    let tellings: Vec<Telling<'_>> = those
        .iter()
        .map(|one| Telling { of: one.told, event: event_of(&one.report), request_key: one.proven.request_key })
        .collect();
    let taken = carrier_events::take_together(tx, &tellings, now).await?;
    let mut came_before = Vec::new();
    for (one, taken) in those.iter().zip(taken) {
        match (taken, batch.get(one.place)) {
            (Some(taken), Some(arrived)) => {
                follow(tx, one.told.call, &one.report, taken, ACTOR, &arrived.origin, now).await?;
            }
            (None, _) | (_, None) => came_before.push(one.place),
        }
    }
    Ok(came_before)
}

type Judged<'a> = Result<Option<(&'a Told, &'a Report, Proven)>, Problem>;

impl Arrived {
    /// Whether it is authentic and can be read; `None` when its call is not known, or not this number's.
    async fn judge<'a>(&'a self, tx: &mut SystemTx, told: Option<&'a Told>) -> Result<Judged<'a>, store::Error> {
        // Whose proofs count: the number to whose address it came; that of the call; or else the number that was called.
        let called = match (&self.number, told) {
            (None, None) => find_called(tx, &self.routing).await?,
            (Some(_), _) | (None, Some(_)) => None,
        };
        let number = self.number.as_ref().or(called.as_ref()).map(|number| &number.webhook_proofs);
        let proofs = number.or_else(|| told.and_then(|told| told.proofs.as_ref()));
        let proven = match self.offered.judge(proofs) {
            Ok(proven) => proven,
            Err(problem) => return Ok(Err(problem)),
        };
        let report = match &self.report {
            Ok(report) => report,
            Err(problem) => return Ok(Err(problem.clone())),
        };
        // An address speaks for its own number's calls only.
        let ours = |told: &&Told| {
            let number = self.number.as_ref();
            number.is_none_or(|number| speaks_for(number, told.tenant, told.direction, told.phone_number))
        };
        Ok(Ok(told.filter(ours).map(|told| (told, report, proven))))
    }
}

/// Puts a report of a call on record, once, and closes the call if it is over by it.
///
/// # Errors
/// When the database fails.
pub(super) async fn keep(
    tx: &mut Tx,
    call: &Call,
    report: &Report,
    origin: &Origin,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    let report = said_of_call(call.transferred_at.is_some(), report);
    crate::webhooks::report::keep(tx, call, &report, ACTOR, origin, now).await
}

fn of_call<'a>(told: &Told, report: &'a Report) -> Cow<'a, Report> {
    said_of_call(told.transferred_at.is_some(), report)
}

/// What is said of the call itself. Between the Voicebot and the Connect applet the stream is over, and the caller, who
/// was handed to a person, talks on: the end of that is told by the call's own status, or by its details.
fn said_of_call(transferred: bool, report: &Report) -> Cow<'_, Report> {
    if !transferred || !report.of_stream {
        return Cow::Borrowed(report);
    }
    Cow::Owned(Report { status: None, ended_at: None, ..report.clone() })
}

/// The first of the called numbers that is somebody's. `CallTo` first: in captured requests `To` was the same number for
/// different customers.
pub(super) async fn find_called(tx: &mut SystemTx, routing: &Routing) -> Result<Option<PhoneNumber>, store::Error> {
    for called in &routing.called {
        if let Some(number) = phone_numbers::find_called(tx, CarrierKind::Exotel, called).await? {
            return Ok(Some(number));
        }
    }
    Ok(None)
}
