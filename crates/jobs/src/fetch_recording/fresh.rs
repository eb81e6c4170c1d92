//! A fresh address of a recording, from the carrier's call details.

use super::Work;
use crate::attempts::{Tried, attempts};
use crate::follow_call::account_of;
use crate::job::Context;
use model::{CarrierKind, TenantId};
use providers::Error;
use providers::exotel::ExotelAccount;
use providers::resilience::{CARRIER_API, RetryPolicy};
use store::Tx;
use store::calls::{self, CarrierWord};

/// What the carrier says of where a recording is.
pub(super) enum Fresh {
    /// Here, which was not known.
    At(String),
    /// Where it was known to be.
    Same,
    /// It has no address of it yet.
    NotYet,
    /// There is nobody to ask.
    NotAsked,
}

/// The address that the carrier names now; another than the known one is kept with the call. The error says why the
/// carrier could not be asked.
pub(super) async fn address(context: &Context, tenant: TenantId, work: &Work) -> Result<Fresh, String> {
    let Some(carrier_call_id) = work.call.carrier_call_id.as_deref() else { return Ok(Fresh::NotAsked) };
    let Some(account) = exotel_account(work)? else { return Ok(Fresh::NotAsked) };
    // The client tries its questions again by itself.
    let policy = RetryPolicy { attempts: 1, ..RetryPolicy::default() };
    let once = || context.exotel.recording_url(&account, carrier_call_id);
    let answered = attempts(context, tenant, CARRIER_API, policy, Error::is_transient, once).await;
    let url = match answered {
        Ok(Some(url)) if Some(&url) == work.call.carrier_recording_url.as_ref() => return Ok(Fresh::Same),
        Ok(Some(url)) => url,
        Ok(None) => return Ok(Fresh::NotYet),
        Err(Tried::Open(_)) => return Err("the carrier's API fails and is left alone for a minute".to_owned()),
        Err(Tried::Failed(error)) => return Err(format!("a fresh address could not be asked for: {error}")),
    };
    let (call, now) = (work.call.id, context.now());
    let word = CarrierWord { recording_url: Some(&url), ..CarrierWord::default() };
    let keep = async |tx: &mut Tx| calls::carrier_reported(tx, call, &word, now).await;
    context.store.write(tenant, "calls.carrier_reported", keep).await.map_err(|error| error.to_string())?;
    Ok(Fresh::At(url))
}

/// The account to ask with; none when the tenant has given none, or the carrier is one that is not asked.
fn exotel_account(work: &Work) -> Result<Option<ExotelAccount>, String> {
    match work.call.carrier {
        CarrierKind::Exotel => {}
        CarrierKind::Twilio | CarrierKind::Plivo | CarrierKind::Vobiz | CarrierKind::Smartflo => return Ok(None),
    }
    let Some((account, token)) = &work.account else { return Ok(None) };
    Ok(Some(account_of(account, token.clone())?))
}
