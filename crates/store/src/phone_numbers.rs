//! Phone numbers: which agent answers which number.

use crate::sql::{Row, sql, statements, to_json};
use crate::{Error, Page, PageRequest, SystemTx, Tx, ids};
use chrono::{DateTime, Utc};
use model::{AgentId, CarrierKind, E164, PhoneNumberId, TenantId};
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! columns {
    () => {
        "id, tenant_id, carrier, number, agent_id, path_token_hash, webhook_auth, created_at"
    };
}

statements! {
    CREATE = "phone_numbers.create" ["insert into phone_numbers
        (id, tenant_id, carrier, number, agent_id, path_token_hash, created_at)
        values ($1, $2, $3, $4, $5, $6, $7) returning ", columns!()];
    GET = "phone_numbers.get" ["select ", columns!(), " from phone_numbers where tenant_id = $1 and id = $2"];
    LIST = "phone_numbers.list" ["select ", columns!(), " from phone_numbers
        where tenant_id = $1 and (created_at, id) < ($2, $3) order by created_at desc, id desc limit $4"];
    ASSIGN = "phone_numbers.assign" ["update phone_numbers set agent_id = $3
        where tenant_id = $1 and id = $2 returning ", columns!()];
    SET_PATH_TOKEN = "phone_numbers.set_path_token" ["update phone_numbers set path_token_hash = $3
        where tenant_id = $1 and id = $2 returning ", columns!()];
    SET_WEBHOOK_PROOFS = "phone_numbers.set_webhook_proofs" ["update phone_numbers set webhook_auth = $3
        where tenant_id = $1 and id = $2 returning ", columns!()];
    DELETE = "phone_numbers.delete" ["delete from phone_numbers where tenant_id = $1 and id = $2"];
    FIND_CALLED = "phone_numbers.find_called" ["select ", columns!(), " from phone_numbers
        where carrier = $1 and number = $2"];
    FIND = "phone_numbers.find" ["select ", columns!(), " from phone_numbers where id = $1"];
    FIND_BY_PATH_TOKEN = "phone_numbers.find_by_path_token" ["select ", columns!(), " from phone_numbers
        where path_token_hash = $1"];
}

/// A number connected to an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhoneNumber {
    /// Its id.
    pub id: PhoneNumberId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Who carries its calls.
    pub carrier: CarrierKind,
    /// The number.
    pub number: E164,
    /// Who answers.
    pub agent: AgentId,
    /// SHA-256 of the unguessable part of its webhook address, if it has one.
    pub path_token_hash: Option<[u8; 32]>,
    /// What makes a webhook about it authentic.
    pub webhook_proofs: WebhookProofs,
    /// When it was connected.
    pub created_at: DateTime<Utc>,
}

/// What makes a webhook about a number authentic: any one of these. With none of them nothing does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookProofs {
    /// The installation's signature over the body.
    pub signature: bool,
    /// The unguessable part of the number's webhook address.
    pub path_token: bool,
    /// HTTP Basic.
    pub basic: Option<BasicProof>,
    /// Networks in CIDR notation that the carrier sends from.
    pub addresses: Vec<String>,
}

impl Default for WebhookProofs {
    /// What needs no choice: path token or signature.
    fn default() -> Self {
        Self { signature: true, path_token: true, basic: None, addresses: Vec::new() }
    }
}

impl WebhookProofs {
    /// Nothing would be authentic.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        !self.signature && !self.path_token && self.basic.is_none() && self.addresses.is_empty()
    }
}

/// Credentials of HTTP Basic, as they are kept.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BasicProof {
    /// Who it is; shown to the number's owner.
    pub username: String,
    /// SHA-256 of `username:password`.
    pub hash: [u8; 32],
}

impl fmt::Debug for BasicProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BasicProof").finish_non_exhaustive()
    }
}

/// A number to connect.
#[derive(Clone, Debug)]
pub struct NewPhoneNumber {
    /// Who carries its calls.
    pub carrier: CarrierKind,
    /// The number.
    pub number: E164,
    /// Who answers.
    pub agent: AgentId,
    /// SHA-256 of the unguessable part of its webhook address.
    pub path_token_hash: Option<[u8; 32]>,
}

fn phone_number(row: &Row) -> Result<PhoneNumber, Error> {
    Ok(PhoneNumber {
        id: row.id("id")?,
        tenant: row.id("tenant_id")?,
        carrier: row.word("carrier")?,
        number: row.phone_opt("number")?.ok_or(Error::NotFound)?,
        agent: row.id("agent_id")?,
        path_token_hash: row.hash_opt("path_token_hash")?,
        webhook_proofs: row.json_opt("webhook_auth")?.unwrap_or_default(),
        created_at: row.get("created_at")?,
    })
}

/// Connects a number. A number is connected once per carrier, whoever asks.
///
/// # Errors
/// [`Error::Conflict`] when it is connected already; [`Error::NotFound`] when the agent is not this tenant's.
pub async fn create(tx: &mut Tx, new: &NewPhoneNumber, now: DateTime<Utc>) -> Result<PhoneNumber, Error> {
    sql(&CREATE)
        .conflict("the phone number is connected already")
        .bind(ids::new(now)?)
        .bind(tx.tenant())
        .bind(new.carrier)
        .bind(&new.number)
        .bind(new.agent)
        .bind(new.path_token_hash)
        .bind(now)
        .required(tx, phone_number)
        .await
}

/// One by id.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(tx: &mut Tx, id: PhoneNumberId) -> Result<PhoneNumber, Error> {
    sql(&GET).bind(tx.tenant()).bind(id).required(tx, phone_number).await
}

/// A page, newest first.
///
/// # Errors
/// When the database fails.
pub async fn list(tx: &mut Tx, page: PageRequest) -> Result<Page<PhoneNumber>, Error> {
    page.fetch(sql(&LIST).bind(tx.tenant()), tx, phone_number, |n| (n.created_at, n.id.into())).await
}

/// Lets another agent answer.
///
/// # Errors
/// [`Error::NotFound`] when number or agent is not this tenant's.
pub async fn assign(tx: &mut Tx, id: PhoneNumberId, agent: AgentId) -> Result<PhoneNumber, Error> {
    sql(&ASSIGN).bind(tx.tenant()).bind(id).bind(agent).required(tx, phone_number).await
}

/// Changes (or removes) the unguessable part of its webhook address.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Conflict`] when another number has that part.
pub async fn set_path_token(tx: &mut Tx, id: PhoneNumberId, hash: Option<[u8; 32]>) -> Result<PhoneNumber, Error> {
    sql(&SET_PATH_TOKEN)
        .conflict("the webhook address is taken")
        .bind(tx.tenant())
        .bind(id)
        .bind(hash)
        .required(tx, phone_number)
        .await
}

/// Changes what makes a webhook about it authentic.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Conflict`] when nothing would be authentic.
pub async fn set_webhook_proofs(tx: &mut Tx, id: PhoneNumberId, proofs: &WebhookProofs) -> Result<PhoneNumber, Error> {
    if proofs.is_none() {
        return Err(Error::Conflict("webhooks need a proof that they are authentic"));
    }
    sql(&SET_WEBHOOK_PROOFS).bind(tx.tenant()).bind(id).bind(to_json(proofs)?).required(tx, phone_number).await
}

/// Disconnects a number that never had a call.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Conflict`] while calls refer to it.
pub async fn delete(tx: &mut Tx, id: PhoneNumberId) -> Result<(), Error> {
    let removed = sql(&DELETE).bind(tx.tenant()).bind(id).in_use("the phone number has calls").run(tx).await?;
    if removed == 0 { Err(Error::NotFound) } else { Ok(()) }
}

/// Whose number was called.
///
/// # Errors
/// When the database fails.
pub async fn find_called(tx: &mut SystemTx, carrier: CarrierKind, number: &E164) -> Result<Option<PhoneNumber>, Error> {
    sql(&FIND_CALLED).bind(carrier).bind(number).one(tx, phone_number).await
}

/// A number by its id, whosever it is: that of a call that a carrier reports of.
///
/// # Errors
/// When the database fails.
pub async fn find(tx: &mut SystemTx, id: PhoneNumberId) -> Result<Option<PhoneNumber>, Error> {
    sql(&FIND).bind(id).one(tx, phone_number).await
}

/// Whose webhook address this is.
///
/// # Errors
/// When the database fails.
pub async fn find_by_path_token(tx: &mut SystemTx, hash: [u8; 32]) -> Result<Option<PhoneNumber>, Error> {
    sql(&FIND_BY_PATH_TOKEN).bind(hash).one(tx, phone_number).await
}
