//! What Twilio, Plivo, Vobiz and Smartflo have in common. Each asks an address of the number, with its unguessable part
//! in the path, where a call's media goes; those that read XML ask another when our socket has closed; all report to a
//! third. What differs, a [`Peer`] says: names, words, signature. Each answer is written by its carrier's own file.
//!
//! Authenticity first, then the fields, then the store.

mod after;
mod answer;
mod asked;
mod status;

pub(super) use after::{Dial, after};
pub(super) use answer::answer;
pub(super) use asked::Asked;
pub(super) use status::status;

use super::proof::Offered;
use super::report::once;
use super::{is_refusal, number_at, rejected};
use crate::{App, Code, Problem};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use model::CarrierKind;
use secrecy::SecretString;
use store::phone_numbers::PhoneNumber;
use store::{Tx, carrier_accounts};
use wire::fields::{FieldErrors, Fields};
use wire::report::{Arrival, Message, Report, Routing};
use wire::signature::Verdict;

/// One carrier.
pub(super) struct Peer {
    /// Which.
    pub(super) kind: CarrierKind,
    /// Who does what its webhooks tell, in the audit log.
    pub(super) actor: &'static str,
    /// Verifies a request to this public address with the token of the tenant's account; none where nothing is signed.
    pub(super) verify: Option<fn(&Asked, &str, &SecretString) -> Signature>,
    /// Reads who calls.
    pub(super) arrival: fn(&Fields) -> Result<Arrival, FieldErrors>,
    /// Which message a report is: all come to one address.
    pub(super) message: fn(&Fields) -> Message,
    /// Reads a report.
    pub(super) report: fn(Message, &Fields) -> Result<Report, FieldErrors>,
    /// Finds the call.
    pub(super) routing: fn(&Fields) -> Routing,
}

/// What a request's signature says.
pub(super) struct Signature {
    /// Whether it is right.
    pub(super) verdict: Verdict,
    /// What must not have come before, where the signature does not cover all that the request says.
    pub(super) request_key: Option<[u8; 32]>,
}

/// An answer in the carrier's own format.
pub(crate) struct Reply {
    content_type: &'static str,
    text: String,
}

impl Reply {
    /// An XML document.
    pub(super) fn xml(text: String) -> Self {
        Self { content_type: "application/xml", text }
    }

    /// A JSON text.
    pub(super) fn json(text: String) -> Self {
        Self { content_type: "application/json", text }
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, self.content_type)], self.text).into_response()
    }
}

impl Peer {
    /// The number to whose address it came; an address that nobody has is on record.
    async fn number(&self, app: &App, asked: &Asked) -> Result<PhoneNumber, Problem> {
        let found = number_at(app, self.kind, &asked.token).await;
        if let Err(problem) = &found
            && problem.code == Code::NotFound
        {
            rejected(app, self.actor, &asked.origin, problem.code).await;
        }
        found
    }

    /// Whether a request to a number's address is authentic. Where the tenant has an account at a carrier that signs,
    /// its signature must be there and right, besides what the number wants.
    ///
    /// # Errors
    /// 401; when the database fails.
    async fn prove(
        &self,
        tx: &mut Tx,
        asked: &Asked,
        url: &str,
        number: &PhoneNumber,
        now: DateTime<Utc>,
    ) -> Result<(), Problem> {
        let signature = match self.verify {
            Some(verify) => carrier_accounts::reveal(tx, self.kind).await?.map(|(_, token)| verify(asked, url, &token)),
            None => None,
        };
        let (headers, origin) = (&asked.headers, &asked.origin);
        let (offered, request_key) = match signature {
            None => (Offered::without_body(headers, origin), None),
            Some(Signature { verdict: Verdict::Valid, request_key }) => {
                (Offered::signed(headers, origin, Verdict::Valid, None), request_key)
            }
            Some(Signature { verdict: Verdict::Missing, .. }) => {
                return Err(Problem::new(Code::SignatureMissing, "Missing webhook signature"));
            }
            Some(Signature { verdict: Verdict::Wrong | Verdict::TooOld, .. }) => {
                return Err(Problem::new(Code::SignatureWrong, "Wrong webhook signature"));
            }
        };
        offered.at_its_address().judge(Some(&number.webhook_proofs))?;
        match request_key {
            Some(key) => once(tx, key, now).await,
            None => Ok(()),
        }
    }

    /// An answer on its way out; if it refuses what was not authentic, that is on record with its address.
    async fn on_record<T>(&self, app: &App, asked: &Asked, answer: Result<T, Problem>) -> Result<T, Problem> {
        if let Err(problem) = &answer
            && is_refusal(problem.code)
        {
            rejected(app, self.actor, &asked.origin, problem.code).await;
        }
        answer
    }
}
