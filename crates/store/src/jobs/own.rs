//! A tenant's own jobs, for its people: what is under way, and what was given up.

use super::{Job, JobState, begun_anew, job};
use crate::sql::{sql, statements};
use crate::{Error, Page, PageRequest, Tx};
use chrono::{DateTime, Utc};
use model::JobId;

// Those that were given up, and those that are not done, each have an index of their own: they are few among many.
macro_rules! listed {
    ($state:literal) => {
        concat!(
            "select ",
            columns!(),
            " from jobs where tenant_id = $1 and ",
            $state,
            " and (name = $3 or $3 is null) and (created_at, id) < ($4, $5)
            order by created_at desc, id desc limit $6"
        )
    };
}

statements! {
    LIST_OWN = "jobs.list_own" [listed!("(state = $2 or $2 is null)")];
    LIST_OWN_DEAD = "jobs.list_own_dead" [listed!("state = 'dead' and (state = $2 or $2 is null)")];
    LIST_OWN_UNFINISHED = "jobs.list_own_unfinished" [listed!("state in ('queued', 'running') and state = $2")];
    GET_OWN = "jobs.get_own" ["select ", columns!(), " from jobs where tenant_id = $1 and id = $2"];
    REQUEUE_OWN = "jobs.requeue_own" ["update jobs set state = 'queued', attempts = 0, run_at = $3, updated_at = $3,
            payload = $4
        where tenant_id = $1 and id = $2 and state = 'dead' returning ", columns!()];
    DISCARD_OWN = "jobs.discard_own" ["update jobs set state = 'discarded', sealed = null, updated_at = $3
        where tenant_id = $1 and id = $2 and state = 'dead' returning ", columns!()];
}

/// A page of the tenant's jobs, newest first; only of this state, only of this name. Without their sealed parts.
///
/// # Errors
/// When the database fails.
pub async fn list_own(
    tx: &mut Tx,
    state: Option<JobState>,
    name: Option<&str>,
    page: PageRequest,
) -> Result<Page<Job>, Error> {
    let list = match state {
        Some(JobState::Dead) => &LIST_OWN_DEAD,
        Some(JobState::Queued | JobState::Running) => &LIST_OWN_UNFINISHED,
        Some(JobState::Done | JobState::Discarded) | None => &LIST_OWN,
    };
    let list = sql(list).bind(tx.tenant()).bind(state.map(JobState::as_str)).bind(name);
    page.fetch(list, tx, job, |job| (job.created_at, job.id.into())).await
}

/// One of the tenant's by id, without its sealed part.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get_own(tx: &mut Tx, id: JobId) -> Result<Job, Error> {
    sql(&GET_OWN).bind(tx.tenant()).bind(id).required(tx, job).await
}

/// A dead job of the tenant's is to be run again, with all its attempts. The caller puts it on record.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Conflict`] when it is not dead, or another with its key is unfinished.
pub async fn requeue_own(tx: &mut Tx, id: JobId, now: DateTime<Utc>) -> Result<Job, Error> {
    let payload = begun_anew(&get_own(tx, id).await?, now);
    let requeued = sql(&REQUEUE_OWN)
        .conflict("a job with the same key is unfinished")
        .bind(tx.tenant())
        .bind(id)
        .bind(now)
        .bind(payload)
        .one(tx, job)
        .await?;
    was_given_up(tx, id, requeued).await
}

/// A dead job of the tenant's is taken off the list: dead → discarded. The caller puts it on record.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Conflict`] when it is not dead.
pub async fn discard_own(tx: &mut Tx, id: JobId, now: DateTime<Utc>) -> Result<Job, Error> {
    let discarded = sql(&DISCARD_OWN).bind(tx.tenant()).bind(id).bind(now).one(tx, job).await?;
    was_given_up(tx, id, discarded).await
}

/// What was changed; if nothing was, whether the job exists at all.
async fn was_given_up(tx: &mut Tx, id: JobId, changed: Option<Job>) -> Result<Job, Error> {
    if let Some(job) = changed {
        return Ok(job);
    }
    get_own(tx, id).await?;
    Err(Error::Conflict("the job has not been given up"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::{AssertSqlSafe, Connection as _, Executor as _, Row as _, SqliteConnection};

    #[tokio::test]
    async fn each_list_is_read_from_its_index_in_order() {
        let mut database = SqliteConnection::connect("sqlite::memory:").await.expect("opens");
        for text in [
            include_str!("../../../../migrations/0001_calls.up.sql"),
            include_str!("../../../../migrations/0003_secrets.up.sql"),
            include_str!("../../../../migrations/0010_carriers.up.sql"),
        ] {
            database.execute(text).await.expect("made");
        }
        for (statement, index) in [(&LIST_OWN, "jobs_newest"), (&LIST_OWN_DEAD, "jobs_given_up")] {
            let text = format!("explain query plan {}", statement.text(crate::Dialect::Sqlite));
            let rows = sqlx::query(AssertSqlSafe(text)).fetch_all(&mut database).await.expect("a plan");
            let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
            assert_eq!(plan, [format!("SEARCH jobs USING INDEX {index} (tenant_id=? AND (created_at,id)<(?,?))")]);
        }
    }
}
