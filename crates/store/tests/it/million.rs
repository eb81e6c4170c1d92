//! What a million finished calls cost, beside a thousand: times of what a call does, of what runs every few seconds and of
//! the pages that people open. Figures for `docs/measurements.md`, not a test:
//!
//! `scripts/with-postgres cargo nextest run -p store --run-ignored only --no-capture a_million_finished_calls`

use crate::bulk::{Amount, Kind, NEWEST_S};
use crate::database::{Tenant, TestDatabase, object, owner, phone};
use chrono::{DateTime, Duration, Utc};
use model::{
    AgentId, CallDirection, CallStatus, CarrierKind, EndedReason, OrganisationId, PhoneNumberId, TranscriptTurn,
    TurnRole,
};
use std::time::Instant;
use store::calls::{self, CallFilter, CarrierWord, Owner};
use store::jobs::{self, NewJob};
use store::{
    Cursor, Error, PageRequest, audit, call_ends, carrier_events, deliveries, idempotency, outbox, phone_numbers,
    recordings, stream_tokens, turns,
};
use uuid::Uuid;

/// Ten calls on the line in each: what differs is what is over.
const FEW: Amount = Amount { calls: 1_000, turns_each: 3, live_every: 100 };
const MANY: Amount = Amount { calls: 1_000_000, turns_each: 1, live_every: 100_000 };
/// How often each thing is done.
const TIMES: i64 = 30;
const LEASE: Duration = Duration::seconds(30);

/// Median and longest time of each thing, milliseconds.
type Times = Vec<(&'static str, f64, f64)>;

/// The `n`th row's id: see [`TestDatabase::nth`].
fn id(kind: Kind, n: i64) -> Uuid {
    let text = format!("01900000-0000-7000-80{:02x}-{n:012x}", kind as i64);
    Uuid::parse_str(&text).expect("an id")
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(NEWEST_S + seconds, 0).expect("a time")
}

/// A token, or what a report says.
fn hash(n: i64) -> [u8; 32] {
    let mut hash = [9; 32];
    hash[..8].copy_from_slice(&n.to_be_bytes());
    hash
}

/// The call that was the `n`th to be announced.
async fn announced(db: &TestDatabase, n: i64) -> Result<model::CallId, Error> {
    let name = format!("new-{n}");
    let found = db.system(async |tx| calls::find_carried(tx, CarrierKind::Exotel, &name).await).await?;
    found.map(|call| call.id).ok_or(Error::NotFound)
}

struct Measuring<'a> {
    db: &'a TestDatabase,
    tenant: Tenant,
    calls: i64,
    times: Times,
}

impl Measuring<'_> {
    /// Does it again and again; `work` is given how often it was done before.
    async fn time<T>(
        &mut self,
        what: &'static str,
        work: impl AsyncFn(&TestDatabase, &Tenant, i64) -> Result<T, Error>,
    ) {
        let mut each = Vec::new();
        for n in 0..TIMES {
            let began = Instant::now();
            work(self.db, &self.tenant, n).await.unwrap_or_else(|error| panic!("{what}: {error}"));
            each.push(began.elapsed().as_secs_f64() * 1_000.0);
        }
        each.sort_by(f64::total_cmp);
        self.times.push((what, each[each.len() / 2], each[each.len() - 1]));
    }

    async fn page(&mut self, what: &'static str, filter: CallFilter, after: Option<Cursor>) {
        let page = PageRequest { after, limit: 50 };
        self.time(what, async |db, tenant, _| {
            db.read(tenant.id, async |tx| calls::list(tx, &filter, page).await).await
        })
        .await;
    }

    async fn pages(&mut self) {
        let all = CallFilter::default;
        // Five in eight of the tenant's calls are newer.
        let middle = self.calls * 3 / 8;
        let second = NEWEST_S - self.calls + middle;
        let cursor = format!("{:x}-{}", second * 1_000_000, id(Kind::Call, middle).simple()).parse().expect("a cursor");
        let from = DateTime::from_timestamp(second, 0);
        let before = DateTime::from_timestamp(second + 3_600, 0);
        let agent = Some(self.tenant.agent);
        let own = Some(phone("+918037000010"));
        self.page("calls: first page", all(), None).await;
        self.page("calls: a page in the middle", all(), Some(cursor)).await;
        self.page("calls: of one hour", CallFilter { created_from: from, created_before: before, ..all() }, None).await;
        let hour = CallFilter { created_from: from, created_before: before, agent, to: own.clone(), ..all() };
        self.page("calls: of one hour, agent and called number", hour, None).await;
        for (what, filter) in [
            ("calls: on the line", CallFilter { status: Some(CallStatus::InProgress), ..all() }),
            ("calls: failed (0.1 %)", CallFilter { status: Some(CallStatus::Failed), ..all() }),
            ("calls: completed", CallFilter { status: Some(CallStatus::Completed), ..all() }),
            ("calls: of an agent", CallFilter { agent, ..all() }),
            ("calls: of a number of ours", CallFilter { phone_number: Some(self.tenant.number.id), ..all() }),
            ("calls: from a caller", CallFilter { from: Some(phone("+919810000007")), ..all() }),
            ("calls: to a number", CallFilter { to: own, ..all() }),
            ("calls: outgoing (0.02 %)", CallFilter { direction: Some(CallDirection::Outgoing), ..all() }),
            ("calls: of a frequent disposition", CallFilter { disposition: Some("booked".into()), ..all() }),
            ("calls: of a rare disposition (0.05 %)", CallFilter { disposition: Some("complaint".into()), ..all() }),
            ("calls: without success (0.05 %)", CallFilter { succeeded: Some(false), ..all() }),
            ("calls: of an agent and failed (0.1 %)", CallFilter { agent, status: Some(CallStatus::Failed), ..all() }),
            (
                "calls: of an agent and outgoing (0.02 %), row by row",
                CallFilter { agent, direction: Some(CallDirection::Outgoing), ..all() },
            ),
        ] {
            self.page(what, filter, None).await;
        }
        self.time("a call with turns, events and recordings", async |db, tenant, n| {
            let call = id(Kind::Call, n * 5).into();
            db.read(tenant.id, async |tx| {
                calls::get(tx, call).await?;
                turns::list(tx, call).await?;
                store::call_events::list(tx, call, None, 50).await?;
                recordings::of_call(tx, call).await
            })
            .await
        })
        .await;
        let event = audit::AuditFilter::default;
        for (what, filter) in [
            ("audit: first page", event()),
            ("audit: of a rare kind", audit::AuditFilter { kind: Some(audit::AuditKind::AgentUpdated), ..event() }),
            ("audit: warnings", audit::AuditFilter { severity: Some(audit::Severity::Warning), ..event() }),
            ("audit: by a person", audit::AuditFilter { actor: Some("user:1"), ..event() }),
            ("audit: of an object", audit::AuditFilter { object_id: Some("call-5"), ..event() }),
        ] {
            let page = PageRequest::default();
            self.time(what, async |db, tenant, _| {
                db.read(tenant.id, async |tx| audit::list(tx, &filter, page).await).await
            })
            .await;
        }
    }

    /// What one call does, from its announcement to the carrier's last word.
    async fn call(&mut self) {
        let carrier = CarrierKind::Exotel;
        self.time("announced: number, call, stream token", async |db, tenant, n| {
            let new = tenant.new_call(&format!("new-{n}"));
            db.system(async |tx| {
                let number = phone_numbers::find_called(tx, carrier, &tenant.number.number).await?;
                assert_eq!(number.map(|number| number.tenant), Some(tenant.id));
                let tx = tx.tenant(tenant.id).await?;
                let call = calls::create(tx, &new, at(n)).await?.into_call();
                stream_tokens::issue(tx, call.id, hash(n), at(n), LEASE).await
            })
            .await
        })
        .await;
        let here = &owner("b", 2);
        self.time("media begins: token, lease", async |db, _, n| {
            db.system(async |tx| {
                let stream_tokens::Consumed::Granted(grant) = stream_tokens::consume(tx, hash(n), at(n)).await? else {
                    panic!("not granted")
                };
                calls::begin_media(tx.tenant(grant.tenant).await?, grant.call, here, at(n), LEASE).await
            })
            .await
        })
        .await;
        self.talk_and_end().await;
    }

    async fn talk_and_end(&mut self) {
        self.time("a turn", async |db, tenant, n| {
            let call = announced(db, n).await?;
            let turn = TranscriptTurn {
                index: 0,
                role: TurnRole::Agent,
                text: "Namaste".to_owned(),
                intended: None,
                interrupted: false,
                started_ms: 0,
                ended_ms: 1,
                latency: None,
            };
            db.write(tenant.id, async |tx| turns::append(tx, call, &[turn], at(n)).await).await
        })
        .await;
        self.time("the call ends: result, audit, outbox", async |db, tenant, n| {
            let call = announced(db, n).await?;
            let data = object(serde_json::json!({ "name": "Ravi" }));
            let reason = EndedReason::CalyCrash;
            db.write(tenant.id, async |tx| {
                calls::finish(tx, call, reason, at(n + 60), 60_000, &data).await?;
                let teller = call_ends::Teller::system(audit::Severity::Info);
                call_ends::tell(tx, call, reason, 60_000, teller, at(n + 60)).await
            })
            .await
        })
        .await;
        self.time("the carrier reports its end", async |db, tenant, n| {
            let call = announced(db, n).await?;
            let word =
                CarrierWord { status: Some(CallStatus::Completed), duration_s: Some(60), ..CarrierWord::default() };
            let event = carrier_events::NewCarrierEvent {
                kind: "status",
                key: hash(n),
                data: object(serde_json::json!({})),
                word,
            };
            db.write(tenant.id, async |tx| carrier_events::take(tx, call, &event, at(n + 61)).await).await
        })
        .await;
    }

    /// What runs by itself.
    async fn rounds(&mut self) {
        self.time("job: enqueued", async |db, _, n| {
            let new = NewJob {
                queue: "measured",
                name: "work",
                dedup_key: Some(format!("work-{n}")),
                payload: object(serde_json::json!({})),
                sealed: None,
                attempts_max: 3,
                run_at: at(n),
            };
            db.system(async |tx| jobs::enqueue(tx, &new, at(n)).await).await
        })
        .await;
        self.time("job: claimed and done", async |db, _, _| {
            db.system(async |tx| {
                let claimed = jobs::claim(tx, &["measured"], "b/1", at(99), LEASE, 1).await?;
                jobs::complete(tx, claimed.first().expect("one").id, "b/1", at(99)).await
            })
            .await
        })
        .await;
        self.time("job: nothing to claim", async |db, _, _| {
            db.system(async |tx| jobs::claim(tx, &["measured"], "b/1", at(99), LEASE, 10).await).await
        })
        .await;
        self.time("jobs counted, for an operator", async |db, _, _| db.system(jobs::counts).await).await;
        self.sweeps().await;
    }

    async fn sweeps(&mut self) {
        let here: &Owner = &Owner { node: "a".to_owned(), run: id(Kind::Call, 0) };
        self.time("leases of 10 calls renewed", async |db, _, n| {
            db.system(async |tx| calls::renew_leases(tx, here, at(n), LEASE).await).await
        })
        .await;
        self.time("orphans looked for", async |db, _, n| {
            db.system(async |tx| calls::orphans(tx, here, at(n)).await).await
        })
        .await;
        self.time("ringing expired", async |db, _, _| {
            db.system(async |tx| calls::expire_ringing(tx, at(-2_000_000)).await).await
        })
        .await;
        self.time("recordings looked for", async |db, _, _| {
            db.system(async |tx| {
                recordings::unfinished(tx, "a", at(0)).await?;
                recordings::awaited(tx, at(0)).await
            })
            .await
        })
        .await;
        self.time("outbox: nothing waits", async |db, _, n| {
            db.system(async |tx| outbox::take(tx, 100, at(n)).await).await
        })
        .await;
        self.time("deliveries: one endpoint's claimed", async |db, tenant, n| {
            db.system(async |tx| deliveries::due_endpoints(tx, at(-2_000_000 + n)).await).await?;
            let endpoint = id(Kind::Endpoint, 0).into();
            db.write(tenant.id, async |tx| deliveries::claim(tx, endpoint, 10, at(-2_000_000 + n)).await).await
        })
        .await;
        self.time("retention: nothing is old enough", async |db, _, _| {
            let before = at(-2_000_000);
            db.system(async |tx| {
                jobs::purge(tx, before).await?;
                idempotency::purge(tx, before).await?;
                stream_tokens::purge(tx, before).await?;
                outbox::purge(tx, before).await?;
                deliveries::purge(tx, before).await
            })
            .await
        })
        .await;
    }
}

async fn measured(db: &TestDatabase, amount: Amount) -> Times {
    db.fill(amount).await;
    let tenant: OrganisationId = id(Kind::Organisation, 0).into();
    let number: PhoneNumberId = id(Kind::Number, 0).into();
    let number = db.read(tenant, async |tx| phone_numbers::get(tx, number).await).await.expect("there");
    let agent: AgentId = id(Kind::Agent, 0).into();
    let tenant = Tenant { id: tenant, agent, number };
    let mut measuring = Measuring { db, tenant, calls: amount.calls, times: Vec::new() };
    measuring.pages().await;
    measuring.call().await;
    measuring.rounds().await;
    measuring.times
}

#[expect(clippy::print_stdout, reason = "the figures are what this is for")]
fn show(database: &str, few: &Times, many: &Times) {
    println!(
        "\n{database}\n| what | 1 000 calls, ms: median (longest) | 1 000 000 calls, ms: median (longest) |\n|---|---|---|"
    );
    for ((what, median, longest), (_, median_many, longest_many)) in few.iter().zip(many) {
        println!("| {what} | {median:.2} ({longest:.1}) | {median_many:.2} ({longest_many:.1}) |");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement of ten minutes that fills 8 GB of the disk"]
async fn a_million_finished_calls_on_sqlite() {
    let few = measured(&TestDatabase::sqlite().await, FEW).await;
    let many = measured(&TestDatabase::sqlite().await, MANY).await;
    show("SQLite", &few, &many);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement of ten minutes that fills 8 GB of the disk"]
async fn a_million_finished_calls_on_postgres() {
    let (Some(few), Some(many)) = (TestDatabase::postgres().await, TestDatabase::postgres().await) else { return };
    let times = (measured(&few, FEW).await, measured(&many, MANY).await);
    show("PostgreSQL", &times.0, &times.1);
    few.remove().await;
    many.remove().await;
}
