//! Calls. A call goes queued or ringing → in-progress → a final status, each step once whoever asks and however often.

use crate::call_records::{self, Outcome};
use crate::sql::{Row, Statement, sql, statements, to_json};
use crate::{Error, Page, PageRequest, SystemTx, Tx, ids};
use chrono::{DateTime, Duration, Utc};
use model::limits::TRANSFER_HOLDS_S;
use model::{AgentId, CallDirection, CallId, CallStatus, CarrierKind, E164, EndedReason, PhoneNumberId, TenantId};
use serde_json::{Map, Value};
use uuid::Uuid;

/// A call that was announced or dialled and never had media is over after this: a phone rings 60 s at most in India, and
/// the stream token lives another 60 s. Kept generous, since the carrier's own message normally comes first.
pub const RINGING_EXPIRES_AFTER_S: i64 = 180;
/// A call that was to be placed and was not is given up after this: the job that places it has ended long before, or
/// the installation was away for so long that nobody expects the call any more.
pub const UNDIALED_EXPIRES_AFTER_H: i64 = 24;
/// Calls a reconciler takes at once: its transaction stays short, the next round takes the rest.
const RECONCILE_BATCH_MAX: i64 = 200;
/// Most calls one process can own; the same order as its permits.
const OWNED_MAX: i64 = 10_000;

macro_rules! columns {
    () => {
        "id, tenant_id, agent_id, phone_number_id, carrier, carrier_call_id, direction, from_number, to_number, status,
        ended_reason, created_at, started_at, ended_at, duration_ms, carrier_duration_s, carrier_status, carrier_ended_at,
        carrier_recording_url, carrier_recording_due_at, data, summary, owner_node, variables, dialed_at, transfer_to,
        transferred_at, analysis_state, disposition, succeeded, cost_micros, cost_currency"
    };
}

mod carrier_work;
mod outgoing;
mod reported;
mod reported_together;

pub use carrier_work::{FOLLOW_JOB, PLACE_JOB, enqueue_following, enqueue_placing};
pub(crate) use outgoing::STATEMENTS as OUTGOING_STATEMENTS;
pub use outgoing::{
    ask_hang_up, begin_dialing, cancel, decide_transfer, dialed, find_by_callback_token, hang_ups, not_dialed,
    not_placed,
};
pub(crate) use reported::STATEMENTS as REPORTED_STATEMENTS;
pub use reported::{CarrierWord, Reported, carrier_reported, find_carried};
pub(crate) use reported_together::ROW_STATEMENTS as REPORTED_ROW_STATEMENTS;
pub(crate) use reported_together::carrier_reported_together;

// Placing it is still up to its job.
macro_rules! never_dialed {
    () => {
        "(direction = 'outgoing' and status = 'queued' and dialed_at is null)"
    };
}

// $2: announced or dialled by then; $3: waiting to be dialled since then. A call is dialled after it was made, so that
// the first condition finds all of them in the index of waiting calls. Asked of the rows again when they are changed.
macro_rules! expired {
    () => {
        concat!(
            "status in ('queued', 'ringing') and created_at <= $2 and case when ",
            never_dialed!(),
            " then created_at <= $3 else coalesce(dialed_at, created_at) <= $2 end"
        )
    };
}

macro_rules! listed {
    () => {
        concat!("select ", columns!(), " from calls")
    };
}

// The condition stated first has an index that begins with it; "or null" alone would use none. Both ends of the time bound
// what is read of that index. Left to itself SQLite would then rather read the index of all calls.
macro_rules! of_list {
    ($first:literal) => {
        concat!(
            " where tenant_id = $1",
            $first,
            " and (created_at, id) < ($11, $12) and created_at >= $8
              and (status = $2 or $2 is null) and (agent_id = $3 or $3 is null) and (direction = $4 or $4 is null)
              and (from_number = $5 or $5 is null) and (to_number = $6 or $6 is null)
              and (phone_number_id = $7 or $7 is null) and (disposition = $9 or $9 is null)
              and (succeeded = $10 or $10 is null)
            order by created_at desc, id desc limit $13"
        )
    };
}

statements! {
    CREATE = "calls.create" ["insert into calls
        (id, tenant_id, agent_id, phone_number_id, carrier, carrier_call_id, direction, from_number, to_number, status,
         created_at, data, variables)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
        on conflict (carrier, carrier_call_id) do nothing returning ", columns!()];
    EXISTING = "calls.existing" ["select ", columns!(), " from calls
        where tenant_id = $1 and carrier = $2 and carrier_call_id = $3"];
    GET = "calls.get" ["select ", columns!(), " from calls where tenant_id = $1 and id = $2"];
    LIST = "calls.list" [listed!()] indexed_by "calls_newest" [of_list!("")];
    LIST_FROM = "calls.list_from" [listed!()] indexed_by "calls_from" [of_list!(" and from_number = $5")];
    LIST_TO = "calls.list_to" [listed!()] indexed_by "calls_to" [of_list!(" and to_number = $6")];
    LIST_PHONE_NUMBER = "calls.list_phone_number" [listed!()] indexed_by "calls_phone_number" [of_list!(" and phone_number_id = $7")];
    LIST_AGENT = "calls.list_agent" [listed!()] indexed_by "calls_agent" [of_list!(" and agent_id = $3")];
    LIST_DIRECTION = "calls.list_direction" [listed!()] indexed_by "calls_direction" [of_list!(" and direction = $4")];
    LIST_STATUS = "calls.list_status" [listed!()] indexed_by "calls_status" [of_list!(" and status = $2")];
    LIST_DISPOSITION = "calls.list_disposition" [listed!()] indexed_by "calls_disposition" [of_list!(" and disposition = $9")];
    LIST_SUCCEEDED = "calls.list_succeeded" [listed!()] indexed_by "calls_succeeded" [of_list!(" and succeeded is not null and succeeded = $10")];
    BEGIN_MEDIA = "calls.begin_media" ["update calls
        set status = 'in-progress', started_at = $3, owner_node = $4, owner_run = $5, lease_until = $6
        where tenant_id = $1 and id = $2 and status in ('queued', 'ringing')"];
    FINISH = "calls.finish" ["update calls
        set status = $3, ended_reason = $4, ended_at = $5, duration_ms = $6, data = $7, lease_until = null
        where tenant_id = $1 and id = $2 and status in ('queued', 'ringing', 'in-progress')"];
    FINISH_IF_WAITING = "calls.finish_if_waiting" ["update calls
        set status = $3, ended_reason = $4, ended_at = $5, duration_ms = 0
        where tenant_id = $1 and id = $2 and status in ('queued', 'ringing')"];
    SET_SUMMARY = "calls.set_summary" ["update calls set summary = $3 where tenant_id = $1 and id = $2"];
    RENEW_LEASES = "calls.renew_leases" ["update calls set lease_until = $3
        where owner_node = $1 and owner_run = $2 and status = 'in-progress'"];
    OWNED = "calls.owned" ["select ", columns!(), " from calls
        where owner_node = $1 and owner_run = $2 and status = 'in-progress' order by started_at, id limit $3"];
    ORPHANS = "calls.orphans" ["select ", columns!(), " from calls
        where status = 'in-progress' and (lease_until <= $1 or (owner_node = $2 and owner_run <> $3))
        order by created_at, id limit $4"];
    EXPIRE_RINGING = "calls.expire_ringing" ["update calls set
        status = case when direction = 'outgoing' and (carrier_call_id is null or carrier_status = 'in-progress')
            then 'failed' else 'no-answer' end,
        ended_reason = case when ", never_dialed!(), " then 'caly/error'
            when direction <> 'outgoing' then 'caller/never-joined'
            when carrier_call_id is null then 'carrier/unconfirmed'
            when carrier_status = 'in-progress' then 'carrier/no-start' else 'caller/no-answer' end,
        ended_at = $1, duration_ms = 0
        where ", expired!(), " and id in (select id from calls where ", expired!(), " order by created_at limit $4)
        returning ", columns!()];
}

/// A call.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Its id.
    pub id: CallId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Who answers.
    pub agent: AgentId,
    /// Our number, if it is one of the tenant's.
    pub phone_number: Option<PhoneNumberId>,
    /// Who carries it.
    pub carrier: CarrierKind,
    /// The carrier's name for it (`CallSid`).
    pub carrier_call_id: Option<String>,
    /// Who placed it.
    pub direction: CallDirection,
    /// The caller; `None` when withheld.
    pub from: Option<E164>,
    /// The called number.
    pub to: Option<E164>,
    /// Where it stands.
    pub status: CallStatus,
    /// Why it ended.
    pub ended_reason: Option<EndedReason>,
    /// When we learned of it.
    pub created_at: DateTime<Utc>,
    /// When media began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Length of the media, ms.
    pub duration_ms: Option<u64>,
    /// Length by the carrier's count, s.
    pub carrier_duration_s: Option<u64>,
    /// Where it stands, by the carrier's word; Caly's own is `status`.
    pub carrier_status: Option<CallStatus>,
    /// When it ended, by the carrier's clock.
    pub carrier_ended_at: Option<DateTime<Utc>>,
    /// Where the carrier's own recording is, or will be. May hold a signature: not for logs.
    pub carrier_recording_url: Option<String>,
    /// From when it is there, if the carrier says so.
    pub carrier_recording_due_at: Option<DateTime<Utc>>,
    /// What the call collected: a JSON object.
    pub data: Value,
    /// What it was about.
    pub summary: Option<String>,
    /// The node that holds (or held) its media.
    pub owner_node: Option<String>,
    /// What whoever placed the call told the agent: a JSON object. May hold personal data: not for logs.
    pub variables: Map<String, Value>,
    /// When the order to place it was about to leave; outgoing calls only.
    pub dialed_at: Option<DateTime<Utc>>,
    /// To whom the caller is handed when the media ends, once that is decided.
    pub transfer_to: Option<E164>,
    /// When that was decided.
    pub transferred_at: Option<DateTime<Utc>>,
    /// How it turned out, in short.
    pub outcome: Outcome,
}

/// A call to create.
#[derive(Clone, Debug)]
pub struct NewCall {
    /// Who answers.
    pub agent: AgentId,
    /// Our number, if it is one of the tenant's.
    pub phone_number: Option<PhoneNumberId>,
    /// Who carries it.
    pub carrier: CarrierKind,
    /// The carrier's name for it. One without a name is new each time.
    pub carrier_call_id: Option<String>,
    /// Who placed it.
    pub direction: CallDirection,
    /// The caller; `None` when withheld.
    pub from: Option<E164>,
    /// The called number.
    pub to: Option<E164>,
    /// `Ringing` for an announced call, `Queued` for one to place.
    pub status: CallStatus,
    /// What whoever places the call tells the agent; empty for incoming ones.
    pub variables: Map<String, Value>,
}

/// What [`create`] found.
#[derive(Clone, Debug, PartialEq)]
pub enum Created {
    /// A new call.
    Created(Call),
    /// The carrier announced it before; unchanged.
    Existing(Call),
}

impl Call {
    /// Who the caller is to be handed to, unless that was decided long ago.
    #[must_use]
    pub fn hands_over_to(&self, now: DateTime<Utc>) -> Option<&E164> {
        let holds = Duration::seconds(i64::from(TRANSFER_HOLDS_S));
        self.transferred_at.filter(|at| now - *at <= holds)?;
        self.transfer_to.as_ref()
    }
}

impl Created {
    /// The call, new or not.
    #[must_use]
    pub fn into_call(self) -> Call {
        match self {
            Self::Created(call) | Self::Existing(call) => call,
        }
    }
}

/// A process that holds calls. `run` is new at each start, so that a node knows the calls of its earlier run from its
/// own. Nodes that share a database need names of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The node's name.
    pub node: String,
    /// This start of it.
    pub run: Uuid,
}

/// Which calls to list. `Default` lists all.
#[derive(Clone, Debug, Default)]
pub struct CallFilter {
    /// Only of this status.
    pub status: Option<CallStatus>,
    /// Only of this agent.
    pub agent: Option<AgentId>,
    /// Only placed by this side.
    pub direction: Option<CallDirection>,
    /// Only from this number.
    pub from: Option<E164>,
    /// Only to this number.
    pub to: Option<E164>,
    /// Only of this number of ours.
    pub phone_number: Option<PhoneNumberId>,
    /// Only those that turned out so.
    pub disposition: Option<String>,
    /// Only those that were judged a success, or not.
    pub succeeded: Option<bool>,
    /// Created at or after.
    pub created_from: Option<DateTime<Utc>>,
    /// Created before.
    pub created_before: Option<DateTime<Utc>>,
}

impl CallFilter {
    /// The list that begins with the condition which few calls meet. The other conditions are checked row by row.
    fn statement(&self) -> &'static Statement {
        let unusual = self.status.is_some_and(|status| status != CallStatus::Completed);
        // Called by us: a caller's number. Called by others: one of ours, as many calls are.
        let callee = self.to.is_some() && self.direction == Some(CallDirection::Outgoing);
        if self.from.is_some() {
            &LIST_FROM
        } else if unusual {
            &LIST_STATUS
        } else if callee {
            &LIST_TO
        } else if self.disposition.is_some() {
            &LIST_DISPOSITION
        } else if self.succeeded == Some(false) {
            &LIST_SUCCEEDED
        } else if self.to.is_some() {
            &LIST_TO
        } else if self.phone_number.is_some() {
            &LIST_PHONE_NUMBER
        } else if self.agent.is_some() {
            &LIST_AGENT
        } else if self.direction.is_some() {
            &LIST_DIRECTION
        } else if self.succeeded.is_some() {
            &LIST_SUCCEEDED
        } else if self.status.is_some() {
            &LIST_STATUS
        } else {
            &LIST
        }
    }
}

fn call(row: &Row) -> Result<Call, Error> {
    Ok(Call {
        id: row.id("id")?,
        tenant: row.id("tenant_id")?,
        agent: row.id("agent_id")?,
        phone_number: row.id_opt("phone_number_id")?,
        carrier: row.word("carrier")?,
        carrier_call_id: row.get("carrier_call_id")?,
        direction: row.word("direction")?,
        from: row.phone_opt("from_number")?,
        to: row.phone_opt("to_number")?,
        status: row.word("status")?,
        ended_reason: row.word_opt("ended_reason")?,
        created_at: row.get("created_at")?,
        started_at: row.get("started_at")?,
        ended_at: row.get("ended_at")?,
        duration_ms: row.unsigned_opt("duration_ms")?,
        carrier_duration_s: row.unsigned_opt("carrier_duration_s")?,
        carrier_status: row.word_opt("carrier_status")?,
        carrier_ended_at: row.get("carrier_ended_at")?,
        carrier_recording_url: row.get("carrier_recording_url")?,
        carrier_recording_due_at: row.get("carrier_recording_due_at")?,
        data: row.get("data")?,
        summary: row.get("summary")?,
        owner_node: row.get("owner_node")?,
        variables: row.json("variables")?,
        dialed_at: row.get("dialed_at")?,
        transfer_to: row.phone_opt("transfer_to")?,
        transferred_at: row.get("transferred_at")?,
        outcome: call_records::outcome(row)?,
    })
}

/// Creates a call, or returns the one that the carrier announced under the same name before.
///
/// # Errors
/// [`Error::NotFound`] when agent or number is not this tenant's; [`Error::Conflict`] when the carrier's name belongs
/// to another tenant's call.
pub async fn create(tx: &mut Tx, new: &NewCall, now: DateTime<Utc>) -> Result<Created, Error> {
    let created = sql(&CREATE)
        .bind(ids::new(now)?)
        .bind(tx.tenant())
        .bind(new.agent)
        .bind(new.phone_number)
        .bind(new.carrier)
        .bind(new.carrier_call_id.as_deref())
        .bind(new.direction)
        .bind(new.from.as_ref())
        .bind(new.to.as_ref())
        .bind(new.status)
        .bind(now)
        .bind(serde_json::json!({}))
        .bind(Value::Object(new.variables.clone()))
        .one(tx, call)
        .await?;
    if let Some(created) = created {
        return Ok(Created::Created(created));
    }
    sql(&EXISTING)
        .bind(tx.tenant())
        .bind(new.carrier)
        .bind(new.carrier_call_id.as_deref())
        .one(tx, call)
        .await?
        .map(Created::Existing)
        .ok_or(Error::Conflict("the carrier's call id belongs to another call"))
}

/// One by id.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(tx: &mut Tx, id: CallId) -> Result<Call, Error> {
    sql(&GET).bind(tx.tenant()).bind(id).required(tx, call).await
}

/// A page, newest first.
///
/// # Errors
/// When the database fails.
pub async fn list(tx: &mut Tx, filter: &CallFilter, page: PageRequest) -> Result<Page<Call>, Error> {
    let list = sql(filter.statement())
        .bind(tx.tenant())
        .bind(filter.status)
        .bind(filter.agent)
        .bind(filter.direction)
        .bind(filter.from.as_ref())
        .bind(filter.to.as_ref())
        .bind(filter.phone_number)
        .bind(filter.created_from.unwrap_or(DateTime::UNIX_EPOCH))
        .bind(filter.disposition.as_deref())
        .bind(filter.succeeded);
    page.before(filter.created_before).fetch(list, tx, call, |c| (c.created_at, c.id.into())).await
}

/// Media flows: the call is `owner`'s until the lease runs out. True exactly once; false when it began or ended before.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn begin_media(
    tx: &mut Tx,
    id: CallId,
    owner: &Owner,
    now: DateTime<Utc>,
    lease: Duration,
) -> Result<bool, Error> {
    let changed = sql(&BEGIN_MEDIA)
        .bind(tx.tenant())
        .bind(id)
        .bind(now)
        .bind(owner.node.as_str())
        .bind(owner.run)
        .bind(now + lease)
        .run(tx)
        .await?;
    once(tx, id, changed).await
}

/// The call is over; `data` (a JSON object) is what it collected. True exactly once; false when it was over before, and
/// then nothing changes.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn finish(
    tx: &mut Tx,
    id: CallId,
    reason: EndedReason,
    ended_at: DateTime<Utc>,
    duration_ms: u64,
    data: &Map<String, Value>,
) -> Result<bool, Error> {
    let changed = sql(&FINISH)
        .bind(tx.tenant())
        .bind(id)
        .bind(reason.status())
        .bind(reason)
        .bind(ended_at)
        .bind(duration_ms)
        .bind(to_json(data)?)
        .run(tx)
        .await?;
    once(tx, id, changed).await
}

/// A call whose media never began is over. True exactly once; false when its media had begun (on another socket, say) or
/// it was over before, and then nothing changes.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn finish_if_waiting(tx: &mut Tx, id: CallId, reason: EndedReason, at: DateTime<Utc>) -> Result<bool, Error> {
    let changed =
        sql(&FINISH_IF_WAITING).bind(tx.tenant()).bind(id).bind(reason.status()).bind(reason).bind(at).run(tx).await?;
    once(tx, id, changed).await
}

/// Keeps what the call was about.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn set_summary(tx: &mut Tx, id: CallId, summary: &str) -> Result<(), Error> {
    let changed = sql(&SET_SUMMARY).bind(tx.tenant()).bind(id).bind(summary).run(tx).await?;
    if changed == 0 { Err(Error::NotFound) } else { Ok(()) }
}

/// Says that this process still holds its calls; how many it holds.
///
/// # Errors
/// When the database fails.
pub async fn renew_leases(tx: &mut SystemTx, owner: &Owner, now: DateTime<Utc>, lease: Duration) -> Result<u64, Error> {
    sql(&RENEW_LEASES).bind(owner.node.as_str()).bind(owner.run).bind(now + lease).run(tx).await
}

/// The calls that the database believes this process holds, oldest first, to compare with those it does hold.
///
/// # Errors
/// When the database fails.
pub async fn owned(tx: &mut SystemTx, owner: &Owner) -> Result<Vec<Call>, Error> {
    sql(&OWNED).bind(owner.node.as_str()).bind(owner.run).bind(OWNED_MAX).all(tx, call).await
}

/// Calls in progress that nobody holds: the lease ran out, or this node held them in an earlier run. Oldest first, at
/// most 200; close each with [`finish`], which is exact even when several reconcilers see the same call.
///
/// # Errors
/// When the database fails.
pub async fn orphans(tx: &mut SystemTx, owner: &Owner, now: DateTime<Utc>) -> Result<Vec<Call>, Error> {
    sql(&ORPHANS).bind(now).bind(owner.node.as_str()).bind(owner.run).bind(RECONCILE_BATCH_MAX).all(tx, call).await
}

/// Closes calls that never had media, at most 200 at once, and returns them with their `ended_reason`:
///
/// - incoming, announced [`RINGING_EXPIRES_AFTER_S`] ago: `caller/never-joined`;
/// - outgoing, dialled so long ago: `caller/no-answer`; `carrier/unconfirmed` when the carrier never named it, and
///   `carrier/no-start` when the carrier says that it goes on: nobody's telephone rings so long;
/// - outgoing, made [`UNDIALED_EXPIRES_AFTER_H`] ago and not dialled: `caly/error`.
///
/// # Errors
/// When the database fails.
pub async fn expire_ringing(tx: &mut SystemTx, now: DateTime<Utc>) -> Result<Vec<Call>, Error> {
    sql(&EXPIRE_RINGING)
        .bind(now)
        .bind(now - Duration::seconds(RINGING_EXPIRES_AFTER_S))
        .bind(now - Duration::hours(UNDIALED_EXPIRES_AFTER_H))
        .bind(RECONCILE_BATCH_MAX)
        .all(tx, call)
        .await
}

/// Whether a guarded update took place; if not, whether the call exists at all.
async fn once(tx: &mut Tx, id: CallId, changed: u64) -> Result<bool, Error> {
    if changed == 0 {
        get(tx, id).await?;
    }
    Ok(changed > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::{AssertSqlSafe, Connection as _, Executor as _, Row as _, SqliteConnection};

    /// What SQLite does for a statement.
    async fn plan(database: &mut SqliteConnection, statement: &'static Statement) -> String {
        let text = format!("explain query plan {}", statement.text(crate::Dialect::Sqlite));
        let rows = sqlx::query(AssertSqlSafe(text)).fetch_all(database).await.expect("a plan");
        rows.iter().map(|row| row.get::<String, _>("detail")).collect::<Vec<_>>().join("; ")
    }

    async fn database() -> SqliteConnection {
        let mut database = SqliteConnection::connect("sqlite::memory:").await.expect("opens");
        for text in [
            include_str!("../../../../migrations/0001_calls.up.sql"),
            include_str!("../../../../migrations/0007_call_filters.up.sql"),
            include_str!("../../../../migrations/0008_webhook_endpoints.up.sql"),
            include_str!("../../../../migrations/0009_carrier_events.up.sql"),
            include_str!("../../../../migrations/0010_carriers.up.sql"),
            include_str!("../../../../migrations/0012_call_records.up.sql"),
            include_str!("../../../../migrations/0015_large_tables.up.sql"),
        ] {
            database.execute(text).await.expect("made");
        }
        database
    }

    #[tokio::test]
    async fn each_list_is_read_from_its_index_in_order() {
        let mut database = database().await;
        for (statement, index) in [
            (&LIST, "calls_newest (tenant_id=?"),
            (&LIST_FROM, "calls_from (tenant_id=? AND from_number=?"),
            (&LIST_TO, "calls_to (tenant_id=? AND to_number=?"),
            (&LIST_PHONE_NUMBER, "calls_phone_number (tenant_id=? AND phone_number_id=?"),
            (&LIST_AGENT, "calls_agent (tenant_id=? AND agent_id=?"),
            (&LIST_DIRECTION, "calls_direction (tenant_id=? AND direction=?"),
            (&LIST_STATUS, "calls_status (tenant_id=? AND status=?"),
            (&LIST_DISPOSITION, "calls_disposition (tenant_id=? AND disposition=?"),
            (&LIST_SUCCEEDED, "calls_succeeded (tenant_id=? AND succeeded=?"),
        ] {
            let plan = plan(&mut database, statement).await;
            let want = format!("SEARCH calls USING INDEX {index} AND created_at>? AND (created_at,id)<(?,?))");
            assert_eq!(plan, want, "{}", statement.name);
        }
    }

    #[tokio::test]
    async fn what_is_asked_often_is_read_from_its_index() {
        let mut database = database().await;
        let mut outgoing = OUTGOING_STATEMENTS.iter();
        let find_by_token = outgoing.find(|s| s.name == "calls.find_by_callback_token").expect("there");
        for (statement, index) in [
            (&EXPIRE_RINGING, "calls_waiting (created_at<?)"),
            (find_by_token, "calls_callback_token (callback_token_hash=?)"),
        ] {
            let plan = plan(&mut database, statement).await;
            assert!(plan.contains(&format!("SEARCH calls USING INDEX {index}")), "{plan}");
        }
    }

    #[test]
    fn the_list_begins_with_the_condition_that_few_calls_meet() {
        let number = E164::parse("+919876543210").ok();
        let agent = Some(AgentId::from(Uuid::nil()));
        let of = |filter: &CallFilter| filter.statement().name;
        let live = CallFilter { status: Some(CallStatus::InProgress), agent, to: number.clone(), ..Default::default() };
        assert_eq!(of(&live), "calls.list_status");
        assert_eq!(of(&CallFilter { from: number.clone(), ..live }), "calls.list_from");
        let ended = CallFilter { status: Some(CallStatus::Completed), ..Default::default() };
        assert_eq!(of(&ended), "calls.list_status");
        assert_eq!(of(&CallFilter { agent, ..ended.clone() }), "calls.list_agent");
        let to = CallFilter { to: number, agent, ..ended.clone() };
        assert_eq!(of(&to), "calls.list_to");
        let complaint = CallFilter { disposition: Some("complaint".to_owned()), ..to };
        assert_eq!(of(&complaint), "calls.list_disposition");
        let outgoing = Some(CallDirection::Outgoing);
        assert_eq!(of(&CallFilter { direction: outgoing, ..complaint }), "calls.list_to");
        assert_eq!(of(&CallFilter { direction: outgoing, ..Default::default() }), "calls.list_direction");
        assert_eq!(of(&CallFilter { agent, succeeded: Some(true), ..ended.clone() }), "calls.list_agent");
        assert_eq!(of(&CallFilter { agent, succeeded: Some(false), ..ended }), "calls.list_succeeded");
        assert_eq!(of(&CallFilter { created_from: Some(DateTime::UNIX_EPOCH), ..Default::default() }), "calls.list");
    }
}
