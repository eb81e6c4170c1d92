//! Addresses that a tenant's events are sent to, with what signs them. Secrets are sealed; people see the last four
//! characters.

use crate::sql::{Row, sql, statements, to_json};
use crate::vault::{self, Place};
use crate::{Error, Page, PageRequest, Tx, deliveries, ids, organisations};
use chrono::{DateTime, Duration, Utc};
use model::{EventKind, WebhookEndpointId};
use secrecy::{ExposeSecret as _, SecretString};

/// Most endpoints of a tenant: each event is kept and sent once for each.
pub const ENDPOINTS_MAX: u32 = 20;
/// After a rotation the previous secret signs too for this long.
pub const OVERLAP_H: i64 = 24;
/// An endpoint that has failed for this long, without one success, gets no more.
pub const DISABLED_AFTER_DAYS: i64 = 5;
const LAST_CHARS: usize = 4;

macro_rules! columns {
    () => {
        "id, url, description, events, secret_last4, previous_until, disabled_at, disabled_reason, failing_since,
        created_at, updated_at"
    };
}

statements! {
    CREATE = "webhook_endpoints.create" ["insert into webhook_endpoints
        (id, tenant_id, url, description, events, secret, secret_last4, created_at, updated_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $8) returning ", columns!()];
    COUNT = "webhook_endpoints.count" ["select count(*) as n from webhook_endpoints where tenant_id = $1"];
    GET = "webhook_endpoints.get" ["select ", columns!(), " from webhook_endpoints where tenant_id = $1 and id = $2"];
    LIST = "webhook_endpoints.list" ["select ", columns!(), " from webhook_endpoints
        where tenant_id = $1 and (created_at, id) < ($2, $3) order by created_at desc, id desc limit $4"];
    LISTENING = "webhook_endpoints.listening" ["select ", columns!(), " from webhook_endpoints
        where tenant_id = $1 and disabled_at is null order by created_at, id limit $2"];
    UPDATE = "webhook_endpoints.update" ["update webhook_endpoints
        set url = $3, description = $4, events = $5, updated_at = $6
        where tenant_id = $1 and id = $2 returning ", columns!()];
    ENABLE = "webhook_endpoints.enable" ["update webhook_endpoints
        set disabled_at = null, disabled_reason = null, failing_since = null, not_before = null, updated_at = $3
        where tenant_id = $1 and id = $2 and disabled_at is not null"];
    DISABLE = "webhook_endpoints.disable" ["update webhook_endpoints
        set disabled_at = $3, disabled_reason = $4, updated_at = $3
        where tenant_id = $1 and id = $2 and disabled_at is null"];
    DELETE = "webhook_endpoints.delete" ["delete from webhook_endpoints where tenant_id = $1 and id = $2"];
    SECRETS = "webhook_endpoints.secrets" ["select url, secret, previous_secret, previous_until, disabled_at
        from webhook_endpoints where tenant_id = $1 and id = $2"];
    ROTATE = "webhook_endpoints.rotate" ["update webhook_endpoints
        set previous_secret = $3, previous_until = $4, secret = $5, secret_last4 = $6, updated_at = $7
        where tenant_id = $1 and id = $2 returning ", columns!()];
    SUCCEEDED = "webhook_endpoints.succeeded" ["update webhook_endpoints
        set failing_since = null, not_before = null, tried_at = $3 where tenant_id = $1 and id = $2"];
    FAILED = "webhook_endpoints.failed" ["update webhook_endpoints
        set failing_since = coalesce(failing_since, $3), not_before = coalesce($4, not_before), tried_at = $3
        where tenant_id = $1 and id = $2 and disabled_at is null returning failing_since"];
}

/// Why an endpoint gets nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisabledReason {
    /// Somebody of the tenant switched it off.
    ByHand,
    /// It failed for [`DISABLED_AFTER_DAYS`].
    Failing,
    /// It answered 410: it wants no more.
    Gone,
}

impl DisabledReason {
    /// Every value.
    pub const ALL: &'static [Self] = &[Self::ByHand, Self::Failing, Self::Gone];

    /// The stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ByHand => "by-hand",
            Self::Failing => "failing",
            Self::Gone => "gone",
        }
    }
}

impl std::str::FromStr for DisabledReason {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL.iter().copied().find(|r| r.as_str() == word).ok_or_else(|| format!("unknown reason: {word}"))
    }
}

/// An endpoint, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookEndpoint {
    /// Its id.
    pub id: WebhookEndpointId,
    /// Where events are sent.
    pub url: String,
    /// What the tenant calls it; may be empty.
    pub description: String,
    /// Which kinds; empty = all.
    pub events: Vec<EventKind>,
    /// The last characters of the secret.
    pub secret_last4: String,
    /// Until when the secret before this one signs too.
    pub previous_until: Option<DateTime<Utc>>,
    /// Since when nothing is sent.
    pub disabled_at: Option<DateTime<Utc>>,
    /// Why not.
    pub disabled_reason: Option<DisabledReason>,
    /// Since when every attempt failed.
    pub failing_since: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed by somebody.
    pub updated_at: DateTime<Utc>,
}

impl WebhookEndpoint {
    /// Whether events of this kind are sent here.
    #[must_use]
    pub fn wants(&self, kind: EventKind) -> bool {
        self.disabled_at.is_none() && (self.events.is_empty() || self.events.contains(&kind))
    }
}

/// What people say of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSettings<'a> {
    /// Where events are sent; checked by the caller.
    pub url: &'a str,
    /// What the tenant calls it.
    pub description: &'a str,
    /// Which kinds; empty = all.
    pub events: &'a [EventKind],
}

/// What sending needs.
#[derive(Clone, Debug)]
pub struct Addressed {
    /// Where.
    pub url: String,
    /// What signs: the secret, and during a rotation the one before it.
    pub secrets: Vec<SecretString>,
    /// Nothing is sent any more.
    pub disabled: bool,
}

fn endpoint(row: &Row) -> Result<WebhookEndpoint, Error> {
    // A kind that this version no longer has is no longer sent.
    let events: Vec<String> = row.json("events")?;
    Ok(WebhookEndpoint {
        id: row.id("id")?,
        url: row.get("url")?,
        description: row.get("description")?,
        events: events.iter().filter_map(|word| word.parse().ok()).collect(),
        secret_last4: row.get("secret_last4")?,
        previous_until: row.get("previous_until")?,
        disabled_at: row.get("disabled_at")?,
        disabled_reason: row.word_opt("disabled_reason")?,
        failing_since: row.get("failing_since")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

fn place(column: &'static str, row: WebhookEndpointId) -> Place {
    Place { table: "webhook_endpoints", column, row: row.into() }
}

fn last4(secret: &SecretString) -> String {
    let text = secret.expose_secret();
    text.chars().skip(text.chars().count().saturating_sub(LAST_CHARS)).collect()
}

/// Adds an endpoint. `secret` is the text that its receiver is given.
///
/// # Errors
/// [`Error::Conflict`] when the tenant has [`ENDPOINTS_MAX`].
pub async fn create(
    tx: &mut Tx,
    new: &EndpointSettings<'_>,
    secret: &SecretString,
    now: DateTime<Utc>,
) -> Result<WebhookEndpoint, Error> {
    // Counted under the organisation's lock: two at once do not both find room for one.
    organisations::lock(tx).await?;
    let count = sql(&COUNT).bind(tx.tenant()).required(tx, |row| row.unsigned::<u32>("n")).await?;
    if count >= ENDPOINTS_MAX {
        return Err(Error::Conflict("there are 20 webhook endpoints already"));
    }
    let id = WebhookEndpointId::from(ids::new(now)?);
    let sealed = vault::seal(tx, place("secret", id), secret.expose_secret().as_bytes(), now).await?;
    sql(&CREATE)
        .bind(id)
        .bind(tx.tenant())
        .bind(new.url)
        .bind(new.description)
        .bind(to_json(&new.events)?)
        .bind(sealed)
        .bind(last4(secret))
        .bind(now)
        .required(tx, endpoint)
        .await
}

/// One by id.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(tx: &mut Tx, id: WebhookEndpointId) -> Result<WebhookEndpoint, Error> {
    sql(&GET).bind(tx.tenant()).bind(id).required(tx, endpoint).await
}

/// A page, newest first.
///
/// # Errors
/// When the database fails.
pub async fn list(tx: &mut Tx, page: PageRequest) -> Result<Page<WebhookEndpoint>, Error> {
    let list = sql(&LIST).bind(tx.tenant());
    page.fetch(list, tx, endpoint, |endpoint| (endpoint.created_at, endpoint.id.into())).await
}

/// Those that events are sent to.
///
/// # Errors
/// When the database fails.
pub async fn listening(tx: &mut Tx) -> Result<Vec<WebhookEndpoint>, Error> {
    sql(&LISTENING).bind(tx.tenant()).bind(ENDPOINTS_MAX).all(tx, endpoint).await
}

/// Changes what people say of it.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn update(
    tx: &mut Tx,
    id: WebhookEndpointId,
    new: &EndpointSettings<'_>,
    now: DateTime<Utc>,
) -> Result<WebhookEndpoint, Error> {
    sql(&UPDATE)
        .bind(tx.tenant())
        .bind(id)
        .bind(new.url)
        .bind(new.description)
        .bind(to_json(&new.events)?)
        .bind(now)
        .required(tx, endpoint)
        .await
}

/// Events are sent here again, from now on. False when they were anyway.
///
/// # Errors
/// When the database fails.
pub async fn enable(tx: &mut Tx, id: WebhookEndpointId, now: DateTime<Utc>) -> Result<bool, Error> {
    Ok(sql(&ENABLE).bind(tx.tenant()).bind(id).bind(now).run(tx).await? > 0)
}

/// Nothing is sent here any more, and what waited has failed. False when it was so before.
///
/// # Errors
/// When the database fails.
pub async fn disable(
    tx: &mut Tx,
    id: WebhookEndpointId,
    reason: DisabledReason,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let changed = sql(&DISABLE).bind(tx.tenant()).bind(id).bind(now).bind(reason.as_str()).run(tx).await? > 0;
    if changed {
        deliveries::give_up_all(tx, id, now).await?;
    }
    Ok(changed)
}

/// Forgets an endpoint and everything that was sent to it.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn delete(tx: &mut Tx, id: WebhookEndpointId) -> Result<(), Error> {
    let deleted = sql(&DELETE).bind(tx.tenant()).bind(id).run(tx).await?;
    if deleted == 0 { Err(Error::NotFound) } else { Ok(()) }
}

/// Another secret signs from now on; the one before it signs too for [`OVERLAP_H`] hours.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn rotate_secret(
    tx: &mut Tx,
    id: WebhookEndpointId,
    secret: &SecretString,
    now: DateTime<Utc>,
) -> Result<WebhookEndpoint, Error> {
    let Some(current) = addressed(tx, id, now).await?.secrets.into_iter().next() else {
        return Err(Error::broken("a webhook endpoint without a secret"));
    };
    let previous = vault::seal(tx, place("previous_secret", id), current.expose_secret().as_bytes(), now).await?;
    let sealed = vault::seal(tx, place("secret", id), secret.expose_secret().as_bytes(), now).await?;
    sql(&ROTATE)
        .bind(tx.tenant())
        .bind(id)
        .bind(previous)
        .bind(now + Duration::hours(OVERLAP_H))
        .bind(sealed)
        .bind(last4(secret))
        .bind(now)
        .required(tx, endpoint)
        .await
}

/// Where to send, and what signs now.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Broken`] when a secret does not open.
pub async fn addressed(tx: &mut Tx, id: WebhookEndpointId, now: DateTime<Utc>) -> Result<Addressed, Error> {
    let (url, secret, previous, disabled) = sql(&SECRETS)
        .bind(tx.tenant())
        .bind(id)
        .required(tx, |row| {
            let previous = row.get::<Option<Vec<u8>>>("previous_secret")?;
            let until = row.get::<Option<DateTime<Utc>>>("previous_until")?;
            let disabled = row.get::<Option<DateTime<Utc>>>("disabled_at")?.is_some();
            Ok((row.get::<String>("url")?, row.get::<Vec<u8>>("secret")?, previous.zip(until), disabled))
        })
        .await?;
    let mut secrets = vec![opened(tx, place("secret", id), &secret).await?];
    if let Some((previous, _)) = previous.filter(|(_, until)| *until > now) {
        secrets.push(opened(tx, place("previous_secret", id), &previous).await?);
    }
    Ok(Addressed { url, secrets, disabled })
}

async fn opened(tx: &mut Tx, place: Place, sealed: &[u8]) -> Result<SecretString, Error> {
    let opened = vault::open(tx, place, sealed).await?;
    let text = std::str::from_utf8(opened.expose_secret()).map_err(|_| Error::broken("a webhook secret is no text"))?;
    Ok(SecretString::from(text))
}

/// It took an event.
///
/// # Errors
/// When the database fails.
pub async fn succeeded(tx: &mut Tx, id: WebhookEndpointId, now: DateTime<Utc>) -> Result<(), Error> {
    sql(&SUCCEEDED).bind(tx.tenant()).bind(id).bind(now).run(tx).await.map(|_| ())
}

/// It did not take an event, and perhaps asked for a pause. True when it has failed for too long: disable it.
///
/// # Errors
/// When the database fails.
pub async fn failed(
    tx: &mut Tx,
    id: WebhookEndpointId,
    not_before: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let since: Option<DateTime<Utc>> = sql(&FAILED)
        .bind(tx.tenant())
        .bind(id)
        .bind(now)
        .bind(not_before)
        .one(tx, |row| row.get("failing_since"))
        .await?;
    Ok(since.is_some_and(|since| now - since >= Duration::days(DISABLED_AFTER_DAYS)))
}
