//! Organisations: the tenants.

use crate::sql::{Row, sql, statements};
use crate::{Error, SystemTx, Tx, ids};
use chrono::{DateTime, Utc};
use model::OrganisationId;

/// Most organisations listed at once; an installation has tens.
const LIST_MAX: i64 = 1_000;

statements! {
    CREATE = "organisations.create" ["insert into organisations (id, name, created_at) values ($1, $2, $3)
        returning id, name, created_at"];
    GET = "organisations.get" ["select id, name, created_at from organisations where id = $1"];
    LIST = "organisations.list" ["select id, name, created_at from organisations order by created_at, id limit $1"];
    RENAME = "organisations.rename" ["update organisations set name = $2 where id = $1 returning id, name, created_at"];
    LOCK = "organisations.lock" ["update organisations set name = name where id = $1"];
}

/// An organisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organisation {
    /// Its id, which is the tenant's.
    pub id: OrganisationId,
    /// Shown to people.
    pub name: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

fn organisation(row: &Row) -> Result<Organisation, Error> {
    Ok(Organisation { id: row.id("id")?, name: row.get("name")?, created_at: row.get("created_at")? })
}

/// Makes one.
///
/// # Errors
/// When the database fails.
pub async fn create(tx: &mut SystemTx, name: &str, now: DateTime<Utc>) -> Result<Organisation, Error> {
    sql(&CREATE).bind(ids::new(now)?).bind(name).bind(now).required(tx, organisation).await
}

/// One by id.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(tx: &mut SystemTx, id: OrganisationId) -> Result<Organisation, Error> {
    sql(&GET).bind(id).required(tx, organisation).await
}

/// The oldest first, at most 1000.
///
/// # Errors
/// When the database fails.
pub async fn list(tx: &mut SystemTx) -> Result<Vec<Organisation>, Error> {
    sql(&LIST).bind(LIST_MAX).all(tx, organisation).await
}

/// The transaction's own.
///
/// # Errors
/// [`Error::NotFound`] when the tenant does not exist.
pub async fn get_own(tx: &mut Tx) -> Result<Organisation, Error> {
    sql(&GET).bind(tx.tenant()).required(tx, organisation).await
}

/// Another name for the transaction's own.
///
/// # Errors
/// [`Error::NotFound`] when the tenant does not exist.
pub async fn rename(tx: &mut Tx, name: &str) -> Result<Organisation, Error> {
    sql(&RENAME).bind(tx.tenant()).bind(name).required(tx, organisation).await
}

/// Until the end of the transaction nobody else decides about this organisation's members.
///
/// # Errors
/// [`Error::NotFound`] when the tenant does not exist.
pub async fn lock(tx: &mut Tx) -> Result<(), Error> {
    if sql(&LOCK).bind(tx.tenant()).run(tx).await? == 0 { Err(Error::NotFound) } else { Ok(()) }
}
