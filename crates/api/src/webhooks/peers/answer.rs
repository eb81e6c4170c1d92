//! A call has arrived; where shall its media go? The token in the socket's address opens one socket, once, within a
//! minute. A repeated question about the same call is the same call with another token; once its media has begun, 409.

use super::{Asked, Peer, Reply};
use crate::webhooks::media_base;
use crate::{App, Code, Problem};
use chrono::{DateTime, Duration, Utc};
use identity::token::PathToken;
use model::{AuditKind, CallDirection, CallStatus, Severity};
use serde_json::Map;
use store::calls::{self, Created, NewCall};
use store::phone_numbers::PhoneNumber;
use store::{SystemTx, audit, stream_tokens, token_hash};
use wire::WireError;
use wire::report::Arrival;

/// Writes the answer: the socket's address, and where to ask when it has closed.
pub(in crate::webhooks) type Write = fn(&str, &str) -> Result<Reply, WireError>;

/// Creates the call (or finds it) and answers with its media address.
///
/// # Errors
/// 401 unless it is authentic, 404 for an address that nobody has, 409 when the call's media has begun.
pub(in crate::webhooks) async fn answer(peer: &Peer, app: &App, asked: &Asked, write: Write) -> Result<Reply, Problem> {
    let number = peer.number(app, asked).await?;
    let token = PathToken::random().map_err(|error| {
        tracing::error!(error = %error, "no randomness");
        Problem::new(Code::Internal, "something went wrong on our side")
    })?;
    let announce = Announce {
        peer,
        asked,
        url: asked.url(app)?,
        number: &number,
        token_hash: token_hash(token.expose()),
        stopping: app.stopping.is_cancelled(),
        now: app.now(),
    };
    let announced = app.store.system("calls.announce", async |tx| announce.run(tx).await).await;
    peer.on_record(app, asked, announced).await?;
    let stream_url = format!("{}/media/{}/{}", media_base(app, &asked.headers)?, peer.kind.as_str(), token.expose());
    let base = app.base_url(&asked.headers)?;
    let after_url = format!("{base}/webhooks/{}/after/{}", peer.kind.as_str(), asked.token);
    write(&stream_url, &after_url).map_err(|error| {
        tracing::error!(error = %error, "the answer to a call cannot be written");
        Problem::new(Code::Internal, "something went wrong on our side")
    })
}

struct Announce<'a> {
    peer: &'a Peer,
    asked: &'a Asked,
    url: String,
    number: &'a PhoneNumber,
    token_hash: [u8; 32],
    stopping: bool,
    now: DateTime<Utc>,
}

impl Announce<'_> {
    async fn run(&self, tx: &mut SystemTx) -> Result<(), Problem> {
        let (peer, number, now) = (self.peer, self.number, self.now);
        let tx = tx.tenant(number.tenant).await?;
        peer.prove(tx, self.asked, &self.url, number, now).await?;
        let arrival = (peer.arrival)(&self.asked.fields()?)?;
        if self.stopping {
            return Err(Problem::new(Code::Stopping, "this node takes no new calls"));
        }
        let created = calls::create(tx, &self.arrived(arrival), now).await?;
        let first = matches!(created, Created::Created(_));
        let call = created.into_call();
        if call.status != CallStatus::Ringing {
            return Err(Problem::new(Code::CallAlreadyStarted, "this call has been started before"));
        }
        let ttl = Duration::seconds(model::limits::STREAM_TOKEN_TTL_S);
        stream_tokens::issue(tx, call.id, self.token_hash, now, ttl).await?;
        if first {
            let object_id = call.id.to_string();
            let name = call.carrier_call_id.unwrap_or_default();
            let data = Map::from_iter([("carrier_call_id".to_owned(), name.into())]);
            let object = Some(("call", object_id.as_str()));
            let origin = &self.asked.origin;
            let event = origin.event(AuditKind::CallAnnounced, Severity::Info, peer.actor, object, data);
            audit::record(tx, &event, now).await?;
        }
        Ok(())
    }

    fn arrived(&self, arrival: Arrival) -> NewCall {
        let to = match arrival.direction {
            CallDirection::Incoming => self.number.number.clone(),
            CallDirection::Outgoing => arrival.to,
        };
        NewCall {
            agent: self.number.agent,
            phone_number: Some(self.number.id),
            carrier: self.peer.kind,
            carrier_call_id: Some(arrival.call_id),
            direction: arrival.direction,
            from: arrival.from,
            to: Some(to),
            status: CallStatus::Ringing,
            variables: Map::new(),
        }
    }
}
