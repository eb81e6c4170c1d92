//! What a run left in the database.

use super::outcome::Rows;
use crate::config::Config;
use crate::demo_tenant;
use crate::node::open_store;
use model::{CarrierKind, E164, TenantId};
use store::audit::AuditFilter;
use store::calls::CallFilter;
use store::{PageRequest, Store, audit, calls, phone_numbers, turns};

/// Calls read at a time.
const PAGE: u32 = 200;

/// Rows of calls, turns and the audit log.
///
/// # Errors
/// When the database cannot be read.
pub(super) async fn rows(own: &Config) -> anyhow::Result<Rows> {
    let store = open_store(own).await?;
    let rows = count(&store).await;
    store.close().await;
    rows
}

async fn count(store: &Store) -> anyhow::Result<Rows> {
    let Some(tenant) = tenant(store).await? else { return Ok(Rows::default()) };
    let mut rows = Rows::default();
    let mut page = PageRequest { after: None, limit: PAGE };
    loop {
        let read = store.read(tenant, "bench.calls", async |tx| {
            let listed = calls::list(tx, &CallFilter::default(), page).await?;
            let mut said = 0;
            for call in &listed.items {
                said += turns::list(tx, call.id).await?.len() as u64;
            }
            Ok::<_, store::Error>((listed.items.len() as u64, said, listed.next))
        });
        let (listed, said, next) = read.await?;
        rows.calls += listed;
        rows.turns += said;
        let Some(next) = next else { break };
        page.after = Some(next);
    }
    let newest = PageRequest { after: None, limit: 1 };
    let last = store.read(tenant, "bench.audit", async |tx| audit::list(tx, &AuditFilter::default(), newest).await);
    // The links of a tenant's chain are counted from 0.
    rows.audit = last.await?.items.first().and_then(|event| event.index).map_or(0, |index| index + 1);
    Ok(rows)
}

/// Whose number it is.
async fn tenant(store: &Store) -> anyhow::Result<Option<TenantId>> {
    let number = E164::parse(demo_tenant::NUMBER)?;
    let found = store.system_read("bench.tenant", async |tx| {
        for carrier in [CarrierKind::Exotel, CarrierKind::Twilio] {
            if let Some(found) = phone_numbers::find_called(tx, carrier, &number).await? {
                return Ok(Some(found.tenant));
            }
        }
        Ok::<_, store::Error>(None)
    });
    Ok(found.await?)
}
