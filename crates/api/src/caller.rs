//! Who asks. [`Caller`] is the only way to a tenant: having one means that the credentials are right, the session still
//! lives, and the scope in its type is held.

use crate::origin::Origin;
use crate::{App, Code, Problem};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use chrono::{DateTime, Utc};
use identity::ApiKey;
use identity::access::AccessError;
use model::{ApiKeyId, AuditKind, Role, Scope, SessionId, Severity, TenantId, UserId};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use store::audit;
use store::{AnyTx, Tx, api_keys, sessions, token_hash};
use subtle::ConstantTimeEq;

/// Somebody whose credentials are right.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) tenant: TenantId,
    pub(crate) who: Who,
}

/// A person or a program.
#[derive(Clone, Debug)]
pub(crate) enum Who {
    /// A person, logged in.
    User { id: UserId, session: SessionId, role: Role },
    /// A program with a key.
    Key { id: ApiKeyId, scopes: Arc<[Scope]> },
}

impl Identity {
    fn holds(&self, scope: Scope) -> bool {
        match &self.who {
            Who::User { role, .. } => role.holds(scope),
            Who::Key { scopes, .. } => scopes.contains(&scope),
        }
    }

    /// For the audit log.
    pub(crate) fn actor(&self) -> String {
        match &self.who {
            Who::User { id, .. } => format!("user:{id}"),
            Who::Key { id, .. } => format!("key:{id}"),
        }
    }
}

/// Whose credentials the request carries, if any. Asked once per request, by the layer that limits requests.
///
/// # Errors
/// 401 when there are credentials and they are not right; 503 when the database cannot say: never open.
pub(crate) async fn identify(app: &App, headers: &HeaderMap) -> Result<Option<Identity>, Problem> {
    let Some(token) = bearer(headers)? else { return Ok(None) };
    let text = token.expose_secret();
    let now = app.now();
    if text.starts_with(ApiKey::PREFIX) {
        // What cannot be one of ours costs no look into the database.
        let key = ApiKey::parse(text).ok_or_else(|| Problem::new(Code::Unauthenticated, "the API key is not valid"))?;
        let hash = key.hash();
        let found = app.store.system_read("api_keys.find", async |tx| api_keys::find(tx, hash, now).await).await?;
        let found = found.ok_or_else(|| Problem::new(Code::Unauthenticated, "the API key is not valid"))?;
        let key = found.key;
        if found.unnoted {
            app.store.system("api_keys.note_use", async |tx| api_keys::note_use(tx, key.id, now).await).await?;
        }
        return Ok(Some(Identity { tenant: key.tenant, who: Who::Key { id: key.id, scopes: key.scopes.into() } }));
    }
    let claims = app.tokens.verify(text, now).map_err(|error| {
        if error == AccessError::Expired {
            Problem::new(Code::TokenExpired, "the access token is over; refresh it")
        } else {
            Problem::new(Code::Unauthenticated, "the access token is not valid")
        }
    })?;
    let subject = claims.subject;
    let found = app
        .store
        .system_read("sessions.authenticate", async |tx| sessions::authenticate(tx, subject.session, now).await)
        .await?;
    // The row decides, not the token: role and membership may have changed since it was issued.
    match found.filter(|found| found.tenant == subject.tenant && found.user == subject.user) {
        Some(found) => Ok(Some(Identity {
            tenant: found.tenant,
            who: Who::User { id: found.user, session: subject.session, role: found.role },
        })),
        None => Err(Problem::new(Code::TokenExpired, "the session has ended; log in again")),
    }
}

/// The token of `Authorization: Bearer`.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<Option<SecretString>, Problem> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let token = value.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
    });
    token
        .map(|token| Some(SecretString::from(token)))
        .ok_or_else(|| Problem::new(Code::Unauthenticated, "expected Authorization: Bearer and a token"))
}

/// A scope as a type.
pub trait Needs: Send + Sync + 'static {
    /// Which.
    const SCOPE: Scope;
}

macro_rules! needs {
    ($($name:ident),* $(,)?) => {
        /// Scopes as types, for [`Caller`].
        pub mod scopes {
            $(
                /// See [`model::Scope`].
                #[derive(Clone, Copy, Debug)]
                pub struct $name;
                impl super::Needs for $name {
                    const SCOPE: super::Scope = super::Scope::$name;
                }
            )*
        }
    };
}

needs!(
    OrganisationRead,
    OrganisationWrite,
    MembersRead,
    MembersWrite,
    ApiKeysRead,
    ApiKeysWrite,
    ProviderKeysRead,
    ProviderKeysWrite,
    AgentsRead,
    AgentsWrite,
    PhoneNumbersRead,
    PhoneNumbersWrite,
    CallsRead,
    CallsWrite,
    RecordingsRead,
    AuditRead,
    WebhookEndpointsRead,
    WebhookEndpointsWrite,
    JobsRead,
    JobsWrite,
    KnowledgeRead,
    KnowledgeWrite,
);

/// Somebody who may do what `S` says, in one organisation.
pub struct Caller<S> {
    pub(crate) app: Arc<App>,
    pub(crate) identity: Identity,
    pub(crate) origin: Origin,
    pub(crate) now: DateTime<Utc>,
    scope: PhantomData<S>,
}

/// A person at his own account: any role, and never an API key.
pub struct Account {
    pub(crate) app: Arc<App>,
    pub(crate) identity: Identity,
    pub(crate) user: UserId,
    pub(crate) session: SessionId,
    pub(crate) role: Role,
    pub(crate) origin: Origin,
    pub(crate) now: DateTime<Utc>,
}

/// Who runs the installation, by its own token.
pub struct Operator;

impl<S: Needs> FromRequestParts<Arc<App>> for Caller<S> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let (identity, origin) = identified(parts)?;
        if identity.holds(S::SCOPE) {
            return Ok(Self { app: app.clone(), identity, origin, now: app.now(), scope: PhantomData });
        }
        denied(app, &identity, &origin, S::SCOPE.as_str()).await;
        Err(Problem::new(Code::Forbidden, format!("this needs the scope {}", S::SCOPE)))
    }
}

impl FromRequestParts<Arc<App>> for Account {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let (identity, origin) = identified(parts)?;
        match identity.who {
            Who::User { id, session, role } => {
                Ok(Self { app: app.clone(), user: id, session, role, identity, origin, now: app.now() })
            }
            Who::Key { .. } => {
                denied(app, &identity, &origin, "account").await;
                Err(Problem::new(Code::Forbidden, "an account belongs to a person: log in instead of using an API key"))
            }
        }
    }
}

impl FromRequestParts<Arc<App>> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let refused = |code| Problem::new(code, "this needs the operator's token");
        let given = bearer(&parts.headers)?.ok_or_else(|| refused(Code::Unauthenticated))?;
        if same_secret(app.edge.operator_token.as_ref(), &given) { Ok(Self) } else { Err(refused(Code::Forbidden)) }
    }
}

/// Compared in constant time; without a configured secret nothing is right.
pub(crate) fn same_secret(configured: Option<&SecretString>, given: &SecretString) -> bool {
    configured
        .is_some_and(|secret| bool::from(token_hash(secret.expose_secret()).ct_eq(&token_hash(given.expose_secret()))))
}

/// Whether the request carries a token of the installation's own.
pub(crate) fn has_own_token(app: &App, headers: &HeaderMap) -> bool {
    let tokens = [&app.edge.operator_token, &app.edge.dev_test_token];
    bearer(headers).ok().flatten().is_some_and(|given| tokens.iter().any(|own| same_secret(own.as_ref(), &given)))
}

fn identified(parts: &Parts) -> Result<(Identity, Origin), Problem> {
    let identity = parts
        .extensions
        .get::<Identity>()
        .cloned()
        .ok_or_else(|| Problem::new(Code::Unauthenticated, "this needs Authorization: Bearer and a token"))?;
    Ok((identity, Origin::of(parts)))
}

/// What was refused is on record; that it cannot be recorded does not open the door.
async fn denied(app: &App, identity: &Identity, origin: &Origin, wanted: &str) {
    let data = Map::from_iter([("wanted".to_owned(), Value::String(wanted.to_owned()))]);
    let actor = identity.actor();
    let now = app.now();
    let recorded = app
        .store
        .write(identity.tenant, "audit.access_denied", async |tx| {
            audit::record(tx, &origin.event(AuditKind::AccessDenied, Severity::Warning, &actor, None, data), now).await
        })
        .await;
    if let Err(error) = recorded {
        tracing::error!(error = %error, "a refused access could not be audited");
    }
}

/// Who does something, for the audit log.
#[derive(Clone, Debug)]
pub struct Author {
    actor: String,
    origin: Origin,
}

impl Author {
    fn of(identity: &Identity, origin: &Origin) -> Self {
        Self { actor: identity.actor(), origin: origin.clone() }
    }

    /// A command of the program itself: `command:demo`.
    #[must_use]
    pub fn command(name: &str) -> Self {
        let origin = Origin { ip: None, request_id: None, user_agent: None };
        Self { actor: format!("command:{name}"), origin }
    }

    /// Puts what was done on record, in the transaction that does it.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn audit(
        &self,
        tx: &mut impl AnyTx,
        kind: AuditKind,
        object: Option<(&'static str, String)>,
        data: Map<String, Value>,
        now: DateTime<Utc>,
    ) -> Result<(), Problem> {
        let object = object.as_ref().map(|(kind, id)| (*kind, id.as_str()));
        audit::record(tx, &self.origin.event(kind, Severity::Info, &self.actor, object, data), now).await?;
        Ok(())
    }
}

impl<S> Caller<S> {
    /// Whose data.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.identity.tenant
    }

    /// Changes data of this tenant, all of it or nothing.
    ///
    /// # Errors
    /// What `work` returns, or that the database failed.
    pub async fn write<T, F>(&self, name: &'static str, work: F) -> Result<T, Problem>
    where
        F: AsyncFnOnce(&mut Tx) -> Result<T, Problem>,
    {
        self.app
            .store
            .write(self.identity.tenant, name, async |tx| {
                self.still_is(tx).await?;
                work(tx).await
            })
            .await
    }

    /// The body may have taken seconds to arrive: whoever lost his role or his session meanwhile changes nothing.
    pub(crate) async fn still_is(&self, tx: &mut Tx) -> Result<(), Problem> {
        let Who::User { session, role, .. } = self.identity.who else { return Ok(()) };
        match sessions::authenticate(tx, session, self.app.now()).await? {
            Some(now) if now.role == role => Ok(()),
            Some(_) => Err(Problem::new(Code::Forbidden, "your role has just changed; try again")),
            None => Err(Problem::new(Code::TokenExpired, "the session has ended; log in again")),
        }
    }

    /// Reads data of this tenant, all of one moment.
    ///
    /// # Errors
    /// As [`Caller::write`].
    pub async fn read<T, F>(&self, name: &'static str, work: F) -> Result<T, Problem>
    where
        F: AsyncFnOnce(&mut Tx) -> Result<T, Problem>,
    {
        self.app.store.read(self.identity.tenant, name, work).await
    }

    /// Who does it, for verbs that do not care how somebody came in.
    #[must_use]
    pub fn author(&self) -> Author {
        Author::of(&self.identity, &self.origin)
    }

    /// Puts what the caller did on record, in the transaction that does it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn audit(
        &self,
        tx: &mut impl AnyTx,
        kind: AuditKind,
        object: Option<(&'static str, String)>,
        data: Map<String, Value>,
    ) -> Result<(), Problem> {
        self.author().audit(tx, kind, object, data, self.now).await
    }
}

impl Account {
    /// As [`Caller::audit`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn audit(
        &self,
        tx: &mut impl AnyTx,
        kind: AuditKind,
        object: Option<(&'static str, String)>,
        data: Map<String, Value>,
    ) -> Result<(), Problem> {
        Author::of(&self.identity, &self.origin).audit(tx, kind, object, data, self.now).await
    }
}

impl<S> fmt::Debug for Caller<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("identity", &self.identity).finish_non_exhaustive()
    }
}
