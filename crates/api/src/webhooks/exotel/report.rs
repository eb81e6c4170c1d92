//! What a carrier reports of a call that is there, by whichever message: taken once, harmless when it comes again, late
//! or out of order.

use super::ACTOR;
use super::proof::Offered;
use crate::origin::Origin;
use crate::{App, Code, Problem};
use axum::Json;
use chrono::{DateTime, Utc};
use model::CarrierKind;
use std::borrow::Cow;
use store::calls::{self, Call};
use store::phone_numbers::{self, PhoneNumber};
use store::{SystemTx, Tx};
use wire::exotel::report::{Message, Report, Routing};
use wire::fields::{BodyError, Fields};

pub(crate) use crate::webhooks::report::TakenBody;
pub(super) use crate::webhooks::report::{OK, is_of, never_timed, once};

/// A message on its way in.
pub(super) struct Incoming<'a> {
    pub(super) message: Message,
    pub(super) offered: Offered,
    pub(super) fields: Result<Fields, BodyError>,
    /// The number to whose address it came.
    pub(super) number: Option<PhoneNumber>,
    pub(super) origin: &'a Origin,
}

/// Whether the call is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// The report is on record, now or since it came first.
    Call,
    /// There is no such call, or not of this number.
    NoCall,
}

/// Takes a report.
///
/// # Errors
/// 401 unless it is authentic; 400 when it cannot be read; when the database fails.
pub(super) async fn take(app: &App, incoming: Incoming<'_>) -> Result<Known, Problem> {
    let now = app.now();
    app.store.system("calls.carrier_reported", async |tx| incoming.take(tx, now).await).await
}

/// The same, where an unknown call is the sender's fault.
///
/// # Errors
/// As [`take`]; 404 for an unknown call.
pub(super) async fn take_of_call(app: &App, incoming: Incoming<'_>) -> Result<Json<TakenBody>, Problem> {
    match take(app, incoming).await? {
        Known::Call => Ok(OK),
        Known::NoCall => Err(Problem::new(Code::NotFound, "there is no such call")),
    }
}

impl Incoming<'_> {
    async fn take(&self, tx: &mut SystemTx, now: DateTime<Utc>) -> Result<Known, Problem> {
        let routing = self.fields.as_ref().map(Routing::read).unwrap_or_default();
        let call = match &routing.call_id {
            Some(id) => calls::find_carried(tx, CarrierKind::Exotel, id).await?,
            None => None,
        };
        let looked_up = match &self.number {
            Some(_) => None,
            None => number_of(tx, call.as_ref(), &routing).await?,
        };
        let number = self.number.as_ref().or(looked_up.as_ref());
        let proven = self.offered.judge(number.map(|number| &number.webhook_proofs))?;
        let report = Report::read(self.message, self.fields.as_ref().map_err(|error| *error)?)?;
        // An address speaks for its own number's calls only.
        let Some(call) = call.filter(|call| self.number.as_ref().is_none_or(|number| is_of(call, number))) else {
            return Ok(Known::NoCall);
        };
        let tx = tx.tenant(call.tenant).await?;
        if let Some(key) = proven.request_key {
            once(tx, key, now).await?;
        }
        keep(tx, &call, &report, self.origin, now).await?;
        Ok(Known::Call)
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
    crate::webhooks::report::keep(tx, call, &of_call(call, report), ACTOR, origin, now).await
}

/// What is said of the call itself. Between the Voicebot and the Connect applet the stream is over, and the caller, who
/// was handed to a person, talks on: the end of that is told by the call's own status, or by its details.
fn of_call<'a>(call: &Call, report: &'a Report) -> Cow<'a, Report> {
    if call.transferred_at.is_none() || !report.of_stream {
        return Cow::Borrowed(report);
    }
    Cow::Owned(Report { status: None, ended_at: None, ..report.clone() })
}

/// Whose proofs count: the number of the call, or else the number that was called.
async fn number_of(
    tx: &mut SystemTx,
    call: Option<&Call>,
    routing: &Routing,
) -> Result<Option<PhoneNumber>, store::Error> {
    match call {
        Some(Call { phone_number: Some(id), .. }) => phone_numbers::find(tx, *id).await,
        Some(_) => Ok(None),
        None => find_called(tx, routing).await,
    }
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
