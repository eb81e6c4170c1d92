//! Events to tenants' endpoints: hands out what is in the outbox and sends what is due.
//!
//! Each endpoint with something due has a lane, a task of its own, so that one that is slow or dead holds up nobody else.

use crate::deliver_event::deliver;
use crate::dispatch_events::dispatch;
use crate::job::Context;
use model::{TenantId, WebhookEndpointId};
use std::collections::HashMap;
use std::time::Duration;
use store::deliveries;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

/// The database is asked this often.
const POLL: Duration = Duration::from_millis(500);
/// Endpoints at once. They wait for the network; each holds a few connections.
const LANES_MAX: usize = 64;
/// Requests at once to one endpoint.
pub const PER_ENDPOINT_MAX: u32 = 4;
/// Claims in a row before a lane makes room for others.
const CLAIMS_MAX: usize = 50;

/// Lanes under way, by task.
#[derive(Default)]
struct Lanes {
    tasks: JoinSet<usize>,
    endpoints: HashMap<Id, WebhookEndpointId>,
}

impl Lanes {
    fn note(&mut self, ended: Result<(Id, usize), tokio::task::JoinError>) -> usize {
        let (id, attempted) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                tracing::error!(error = %error, "sending events ended badly");
                (error.id(), 0)
            }
        };
        self.endpoints.remove(&id);
        attempted
    }

    /// Forgets those that have ended; how many attempts they made.
    fn reap(&mut self) -> usize {
        let mut attempted = 0;
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            attempted += self.note(ended);
        }
        attempted
    }

    /// Waits for all.
    async fn finish(&mut self) -> usize {
        let mut attempted = 0;
        while let Some(ended) = self.tasks.join_next_with_id().await {
            attempted += self.note(ended);
        }
        attempted
    }

    /// A lane for each of these that has none, while there is room.
    fn start(&mut self, context: &Context, due: Vec<(TenantId, WebhookEndpointId)>, stop: &CancellationToken) {
        for (tenant, endpoint) in due {
            if self.endpoints.len() >= LANES_MAX {
                break;
            }
            if self.endpoints.values().any(|busy| *busy == endpoint) {
                continue;
            }
            let task = self.tasks.spawn(lane(context.clone(), tenant, endpoint, stop.clone()));
            self.endpoints.insert(task.id(), endpoint);
        }
    }
}

/// Hands out and sends until `stop`; requests under way are finished.
pub async fn run(context: Context, stop: CancellationToken) {
    let mut lanes = Lanes::default();
    while !stop.is_cancelled() {
        lanes.reap();
        if let Err(error) = round(&context, &mut lanes, &stop).await {
            tracing::warn!(error = %error, "events could not be handed out; they wait");
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(POLL) => {}
        }
    }
    lanes.finish().await;
}

/// Does everything that is due now; for tests and for the end of a demo. How many attempts were made.
///
/// # Errors
/// When the database fails.
pub async fn run_due(context: &Context) -> Result<usize, store::Error> {
    let (mut lanes, stop) = (Lanes::default(), CancellationToken::new());
    let mut all = 0;
    loop {
        round(context, &mut lanes, &stop).await?;
        match lanes.finish().await {
            0 => return Ok(all),
            attempted => all += attempted,
        }
    }
}

async fn round(context: &Context, lanes: &mut Lanes, stop: &CancellationToken) -> Result<(), store::Error> {
    dispatch(context).await?;
    let now = context.now();
    let due = context
        .store
        .system_read("deliveries.due_endpoints", async |tx| deliveries::due_endpoints(tx, now).await)
        .await?;
    lanes.start(context, due, stop);
    Ok(())
}

/// Sends what is due for one endpoint; how many attempts were made.
async fn lane(context: Context, tenant: TenantId, endpoint: WebhookEndpointId, stop: CancellationToken) -> usize {
    let mut attempted = 0;
    for _ in 0..CLAIMS_MAX {
        if stop.is_cancelled() {
            break;
        }
        let now = context.now();
        let claim = context
            .store
            .write(tenant, "deliveries.claim", async |tx| deliveries::claim(tx, endpoint, PER_ENDPOINT_MAX, now).await);
        let claimed = match claim.await {
            Ok(claimed) => claimed,
            Err(error) => {
                tracing::warn!(endpoint.id = %endpoint, error = %error, "no events could be claimed");
                break;
            }
        };
        if claimed.is_empty() {
            break;
        }
        let mut sending = JoinSet::new();
        for delivery in claimed {
            attempted += 1;
            let context = context.clone();
            sending.spawn(async move {
                if let Err(error) = Box::pin(deliver(&context, &delivery)).await {
                    tracing::warn!(delivery.id = %delivery.id, error = %error, "an attempt could not be noted");
                }
            });
        }
        while let Some(ended) = sending.join_next().await {
            if let Err(error) = ended {
                tracing::error!(error = %error, "sending an event ended badly");
            }
        }
    }
    attempted
}
