//! Our socket has closed; what comes then? The caller is put through to whom the agent decided on before it closed the
//! socket, or the call ends. A carrier reads any other answer than 200 as a fault of ours that the caller hears, so that
//! what cannot be looked up in time ends the call, too.

use super::{Asked, Peer, Reply};
use crate::webhooks::is_refusal;
use crate::webhooks::report::{is_of, keep};
use crate::{App, Code, Problem};
use chrono::{DateTime, Utc};
use model::E164;
use std::time::Duration;
use store::SystemTx;
use store::calls;
use store::phone_numbers::PhoneNumber;
use wire::report::Message;

/// The caller waits for the answer, in silence.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

/// Whom to put the caller through to.
#[derive(Debug)]
pub(in crate::webhooks) struct Dial {
    /// The person.
    pub(in crate::webhooks) to: E164,
    /// What they see: our number, the only one that is surely the account's.
    pub(in crate::webhooks) caller_id: E164,
}

/// Writes the answer; without anybody the call ends.
pub(in crate::webhooks) type Write = fn(Option<&Dial>) -> Reply;

/// Puts the caller through, or ends the call.
///
/// # Errors
/// 401 unless it is authentic, 404 for an address that nobody has; nothing else.
pub(in crate::webhooks) async fn after(peer: &Peer, app: &App, asked: &Asked, write: Write) -> Result<Reply, Problem> {
    let Ok(decided) = tokio::time::timeout(ANSWERED_WITHIN, decided(peer, app, asked)).await else {
        tracing::error!("whom to put a caller through to could not be looked up in time");
        return Ok(write(None));
    };
    match peer.on_record(app, asked, decided).await {
        Ok(dial) => {
            tracing::info!(somebody = dial.is_some(), "the carrier asked what comes after our socket");
            Ok(write(dial.as_ref()))
        }
        Err(problem) if problem.code == Code::NotFound || is_refusal(problem.code) => Err(problem),
        Err(problem) => {
            tracing::error!(reason = problem.code.as_str(), "whom to put a caller through to could not be looked up");
            Ok(write(None))
        }
    }
}

async fn decided(peer: &Peer, app: &App, asked: &Asked) -> Result<Option<Dial>, Problem> {
    let number = peer.number(app, asked).await?;
    let (url, now) = (asked.url(app)?, app.now());
    app.store.system("calls.find_transfer", async |tx| look_up(tx, peer, asked, &url, &number, now).await).await
}

async fn look_up(
    tx: &mut SystemTx,
    peer: &Peer,
    asked: &Asked,
    url: &str,
    number: &PhoneNumber,
    now: DateTime<Utc>,
) -> Result<Option<Dial>, Problem> {
    let fields = asked.fields();
    let name = fields.as_ref().ok().and_then(|fields| (peer.routing)(fields).call_id);
    let call = match name {
        Some(name) => calls::find_carried(tx, peer.kind, &name).await?.filter(|call| is_of(call, number)),
        None => None,
    };
    let tx = tx.tenant(number.tenant).await?;
    peer.prove(tx, asked, url, number, now).await?;
    let (Some(call), Ok(fields)) = (call, &fields) else { return Ok(None) };
    // A word of the carrier's that cannot be read keeps nobody from being put through.
    if let Ok(report) = (peer.report)(Message::Passthru, fields) {
        keep(tx, &call, &report, peer.actor, &asked.origin, now).await?;
    }
    Ok(call.hands_over_to(now).map(|to| Dial { to: to.clone(), caller_id: number.number.clone() }))
}
