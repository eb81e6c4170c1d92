//! A tenant's accounts at carriers: what outgoing calls are placed with and recordings are fetched with. The token is
//! kept sealed, used by Caly, and shown to nobody again but for its last four characters.

use crate::sql::{Row, sql, statements};
use crate::vault::{self, Place};
use crate::{Error, Page, PageRequest, Tx, ids};
use chrono::{DateTime, Utc};
use model::{CarrierAccountId, CarrierKind};
use secrecy::{ExposeSecret as _, SecretString};

/// Fewest characters of a token: the last four of a shorter one would tell half of it.
pub const TOKEN_CHARS_MIN: usize = 8;
/// Most characters of a token; the longest are signed ones with claims in them.
pub const TOKEN_CHARS_MAX: usize = 2_048;
const LAST_CHARS: usize = 4;

macro_rules! columns {
    () => {
        "id, carrier, account_id, region, api_key, flow_id, last4, created_at, updated_at"
    };
}

statements! {
    CREATE = "carrier_accounts.create" ["insert into carrier_accounts
        (id, tenant_id, carrier, account_id, region, api_key, flow_id, last4, sealed, created_at, updated_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10) returning ", columns!()];
    GET = "carrier_accounts.get" ["select ", columns!(), " from carrier_accounts where tenant_id = $1 and id = $2"];
    LIST = "carrier_accounts.list" ["select ", columns!(), " from carrier_accounts
        where tenant_id = $1 and (created_at, id) < ($2, $3) order by created_at desc, id desc limit $4"];
    UPDATE = "carrier_accounts.update" ["update carrier_accounts set
        account_id = coalesce($3, account_id),
        region = case when $4 then $5 else region end,
        api_key = case when $6 then $7 else api_key end,
        flow_id = case when $8 then $9 else flow_id end,
        last4 = coalesce($10, last4), sealed = coalesce($11, sealed), updated_at = $12
        where tenant_id = $1 and id = $2 returning ", columns!()];
    DELETE = "carrier_accounts.delete" ["delete from carrier_accounts where tenant_id = $1 and id = $2"];
    SEALED = "carrier_accounts.sealed" ["select ", columns!(), ", sealed from carrier_accounts
        where tenant_id = $1 and carrier = $2"];
    FLOW = "carrier_accounts.flow" ["select flow_id from carrier_accounts where tenant_id = $1 and carrier = $2"];
    HAS = "carrier_accounts.has" ["select 1 as one from carrier_accounts where tenant_id = $1 and carrier = $2"];
}

/// An account, without its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarrierAccount {
    /// Its id.
    pub id: CarrierAccountId,
    /// At which carrier.
    pub carrier: CarrierKind,
    /// What the carrier calls it: Exotel's account sid, Twilio's `AC…`, Plivo's auth id.
    pub account_id: String,
    /// Where the carrier keeps it; Exotel: `mumbai` or `singapore`.
    pub region: Option<String>,
    /// Exotel's API key: a name, no secret by itself.
    pub api_key: Option<String>,
    /// Exotel's flow that outgoing calls run through; none: they are streamed without one.
    pub flow_id: Option<String>,
    /// The token's last four characters.
    pub last4: String,
    /// When it was first kept.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// An account to keep. Printing it does not print the token.
#[derive(Clone, Debug)]
pub struct NewCarrierAccount<'a> {
    /// At which carrier. A tenant has one account at each.
    pub carrier: CarrierKind,
    /// What the carrier calls it.
    pub account_id: &'a str,
    /// Where the carrier keeps it.
    pub region: Option<&'a str>,
    /// Exotel's API key.
    pub api_key: Option<&'a str>,
    /// Exotel's flow for outgoing calls.
    pub flow_id: Option<&'a str>,
    /// The token: 8 to 2048 characters.
    pub token: &'a SecretString,
}

/// What to change; `None` leaves it, `Some(None)` removes it. Printing it does not print the token.
#[derive(Clone, Debug, Default)]
pub struct Change<'a> {
    /// What the carrier calls it.
    pub account_id: Option<&'a str>,
    /// Where the carrier keeps it.
    pub region: Option<Option<&'a str>>,
    /// Exotel's API key.
    pub api_key: Option<Option<&'a str>>,
    /// Exotel's flow for outgoing calls.
    pub flow_id: Option<Option<&'a str>>,
    /// The token: 8 to 2048 characters.
    pub token: Option<&'a SecretString>,
}

fn carrier_account(row: &Row) -> Result<CarrierAccount, Error> {
    Ok(CarrierAccount {
        id: row.id("id")?,
        carrier: row.word("carrier")?,
        account_id: row.get("account_id")?,
        region: row.get("region")?,
        api_key: row.get("api_key")?,
        flow_id: row.get("flow_id")?,
        last4: row.get("last4")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

fn place(row: CarrierAccountId) -> Place {
    Place { table: "carrier_accounts", column: "sealed", row: row.into() }
}

/// The last characters of a token of the right length.
fn last4(token: &SecretString) -> Result<String, Error> {
    let token = token.expose_secret();
    let count = token.chars().count();
    if !(TOKEN_CHARS_MIN..=TOKEN_CHARS_MAX).contains(&count) {
        return Err(Error::Conflict("a carrier's token has 8 to 2048 characters"));
    }
    Ok(token.chars().skip(count - LAST_CHARS).collect())
}

/// Keeps an account.
///
/// # Errors
/// [`Error::Conflict`] when the tenant has one at this carrier, or when the token is too short or too long.
pub async fn create(tx: &mut Tx, new: &NewCarrierAccount<'_>, now: DateTime<Utc>) -> Result<CarrierAccount, Error> {
    let last4 = last4(new.token)?;
    let id = CarrierAccountId::from(ids::new(now)?);
    let sealed = vault::seal(tx, place(id), new.token.expose_secret().as_bytes(), now).await?;
    sql(&CREATE)
        .conflict("there is an account at this carrier already")
        .bind(id)
        .bind(tx.tenant())
        .bind(new.carrier)
        .bind(new.account_id)
        .bind(new.region)
        .bind(new.api_key)
        .bind(new.flow_id)
        .bind(last4)
        .bind(sealed)
        .bind(now)
        .required(tx, carrier_account)
        .await
}

/// One by id.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(tx: &mut Tx, id: CarrierAccountId) -> Result<CarrierAccount, Error> {
    sql(&GET).bind(tx.tenant()).bind(id).required(tx, carrier_account).await
}

/// A page, newest first.
///
/// # Errors
/// When the database fails.
pub async fn list(tx: &mut Tx, page: PageRequest) -> Result<Page<CarrierAccount>, Error> {
    let list = sql(&LIST).bind(tx.tenant());
    page.fetch(list, tx, carrier_account, |account| (account.created_at, account.id.into())).await
}

/// Changes an account.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Conflict`] when the token is too short or too long.
pub async fn update(
    tx: &mut Tx,
    id: CarrierAccountId,
    change: &Change<'_>,
    now: DateTime<Utc>,
) -> Result<CarrierAccount, Error> {
    let (last4, sealed) = match change.token {
        None => (None, None),
        Some(token) => {
            let last4 = last4(token)?;
            (Some(last4), Some(vault::seal(tx, place(id), token.expose_secret().as_bytes(), now).await?))
        }
    };
    sql(&UPDATE)
        .bind(tx.tenant())
        .bind(id)
        .bind(change.account_id)
        .bind(change.region.is_some())
        .bind(change.region.flatten())
        .bind(change.api_key.is_some())
        .bind(change.api_key.flatten())
        .bind(change.flow_id.is_some())
        .bind(change.flow_id.flatten())
        .bind(last4)
        .bind(sealed)
        .bind(now)
        .required(tx, carrier_account)
        .await
}

/// Forgets an account.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn delete(tx: &mut Tx, id: CarrierAccountId) -> Result<(), Error> {
    let deleted = sql(&DELETE).bind(tx.tenant()).bind(id).run(tx).await?;
    if deleted == 0 { Err(Error::NotFound) } else { Ok(()) }
}

/// The flow that outgoing calls at this carrier run through; none also without an account.
///
/// # Errors
/// When the database fails.
pub async fn flow(tx: &mut Tx, carrier: CarrierKind) -> Result<Option<String>, Error> {
    Ok(sql(&FLOW).bind(tx.tenant()).bind(carrier).one(tx, |row| row.get::<Option<String>>("flow_id")).await?.flatten())
}

/// Whether the tenant has an account at this carrier.
///
/// # Errors
/// When the database fails.
pub async fn has(tx: &mut Tx, carrier: CarrierKind) -> Result<bool, Error> {
    Ok(sql(&HAS).bind(tx.tenant()).bind(carrier).one(tx, |_| Ok(())).await?.is_some())
}

/// The account at this carrier with its token, for use.
///
/// # Errors
/// [`Error::Broken`] when the token does not open; when the database fails.
pub async fn reveal(tx: &mut Tx, carrier: CarrierKind) -> Result<Option<(CarrierAccount, SecretString)>, Error> {
    let found = sql(&SEALED)
        .bind(tx.tenant())
        .bind(carrier)
        .one(tx, |row| Ok((carrier_account(row)?, row.get::<Vec<u8>>("sealed")?)))
        .await?;
    let Some((account, sealed)) = found else { return Ok(None) };
    let opened = vault::open(tx, place(account.id), &sealed).await?;
    let token =
        std::str::from_utf8(opened.expose_secret()).map_err(|_| Error::broken("a carrier's token is no text"))?;
    Ok(Some((account, SecretString::from(token))))
}
