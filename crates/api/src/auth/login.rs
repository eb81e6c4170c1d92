//! `POST /api/auth/login`.
//!
//! The password is checked outside of transactions: a hash takes tens of milliseconds, and SQLite has one writer. What
//! was true before the check is asked again when the session is made.

use crate::auth::on_record::{Deed, NOBODY, stranger};
use crate::auth::passwords::{no_verdict, not_right, unchanged};
use crate::auth::second_factor::code::Factor;
use crate::auth::secret::Secret;
use crate::auth::tokens::{self, Open, TokensBody};
use crate::layers::Limits;
use crate::origin::Origin;
use crate::{App, Code, Problem, Valid};
use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use identity::Verdict;
use identity::login_delay::{self, Attempts, LoginGate};
use model::{AuditKind, EmailAddress, OrganisationId, Severity};
use serde::Deserialize;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use store::users::{self, User};
use store::{SystemTx, memberships};
use utoipa::ToSchema;

/// Who wants in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Login, example = json!({ "email": "asha@clinic.example.org", "password": "seven grumpy otters" }))]
pub(crate) struct LoginBody {
    /// The address of the account.
    email: EmailAddress,
    /// The password.
    #[schema(value_type = String, format = "password", min_length = 1, max_length = 1024)]
    password: Secret,
    /// With a second factor: the six digits of the app, or a recovery code.
    #[schema(value_type = Option<String>, format = "password", min_length = 1, max_length = 64, example = "492039")]
    code: Option<Secret>,
    /// In which organisation, when there are several; otherwise the one of which one has been a member longest.
    organisation_id: Option<OrganisationId>,
}

/// One login.
struct Attempt<'a> {
    app: &'a App,
    origin: &'a Origin,
    email: &'a EmailAddress,
    organisation: Option<OrganisationId>,
    now: DateTime<Utc>,
}

/// The user as seen before the check.
struct Seen {
    user: User,
    /// The request comes from where this user logged in before.
    known_address: bool,
}

/// Logs in.
///
/// `invalid_credentials` says no more than that: an unknown address takes the same time and gets the same answer as a
/// wrong password. `second_factor_required` comes after the right password only. After six failures in a row the
/// account waits, longer each time, except from where its owner logged in before.
#[utoipa::path(
    post, path = "/api/auth/login", tag = "auth", operation_id = "login",
    request_body = LoginBody,
    responses(
        (status = 200, description = "Logged in", body = TokensBody),
        (status = 401, description = "Not right (`invalid_credentials`), or a code is needed, too (`second_factor_required`)", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "The address has not been verified (`email_not_verified`)", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn login(
    State(app): State<Arc<App>>,
    origin: Origin,
    limits: Limits,
    Valid(body): Valid<LoginBody>,
) -> Result<Json<TokensBody>, Problem> {
    limits.charge(&app.policies.login, &format!("{} {}", body.email.as_str(), origin.address())).await?;
    let organisation = body.organisation_id;
    let attempt = Attempt { app: &app, origin: &origin, email: &body.email, organisation, now: app.now() };
    let seen = attempt.look().await?;
    attempt.gate(seen.as_ref())?;
    let Some((seen, rehash)) = attempt.check(seen, &body.password).await? else {
        return Err(not_right());
    };
    if seen.user.email_verified_at.is_none() {
        return Err(Problem::new(Code::EmailNotVerified, "verify the e-mail address first; have another code sent"));
    }
    let factor = attempt.second_factor(&seen, body.code.as_ref()).await?;
    let opened = app
        .store
        .system("auth.login", async |tx| attempt.enter(tx, &seen, factor.as_ref(), rehash.as_deref()).await)
        .await;
    match opened {
        Ok(open) => open.answer(&app, attempt.now).map(Json),
        Err(problem) => Err(attempt.count_if_wrong(&seen, problem).await?),
    }
}

impl Attempt<'_> {
    async fn look(&self) -> Result<Option<Seen>, Problem> {
        self.app
            .store
            .system_read("auth.login.look", async |tx| {
                let user = users::find_by_email(tx, self.email).await?;
                let id = user.as_ref().map_or(NOBODY, |user| user.id);
                let known_address = match self.origin.ip {
                    Some(ip) => users::knows_address(tx, id, network(ip)).await?,
                    None => false,
                };
                Ok(user.map(|user| Seen { user, known_address }))
            })
            .await
    }

    /// Whether the password may be checked at all.
    fn gate(&self, seen: Option<&Seen>) -> Result<(), Problem> {
        let gate = match seen {
            Some(seen) => {
                let attempts = Attempts {
                    failures: seen.user.failed_logins,
                    last_failure_at: seen.user.last_failed_at,
                    known_address: seen.known_address,
                };
                login_delay::gate(&attempts, self.now)
            }
            None => self.app.strangers.gate(self.email, self.now),
        };
        let wait = match gate {
            LoginGate::Open => return Ok(()),
            LoginGate::Wait { until } => until - self.now,
            LoginGate::ResetNeeded => login_delay::WAIT_MAX,
        };
        let wait_s = u64::try_from(wait.num_seconds()).unwrap_or_default().saturating_add(1);
        let text = "too many failed logins in a row; wait, or reset the password";
        Err(Problem::new(Code::RateLimited, text).retry_after_s(wait_s))
    }

    /// Whose password it is, and its new hash when today's effort is higher. None is on record already.
    async fn check(&self, seen: Option<Seen>, password: &Secret) -> Result<Option<(Seen, Option<String>)>, Problem> {
        let passwords = &self.app.passwords;
        let Some(seen) = seen else {
            passwords.verify_nobody(password.hidden()).await.map_err(no_verdict)?;
            self.app.strangers.failed(self.email, self.now);
            self.stranger().await?;
            return Ok(None);
        };
        let verdict = passwords.verify(password.hidden(), seen.user.password_hash.as_str()).await;
        match verdict.map_err(no_verdict)? {
            Verdict::Right { rehash: false } => Ok(Some((seen, None))),
            // Without a new hash the login is as good; the next one tries again.
            Verdict::Right { rehash: true } => Ok(Some((seen, passwords.hash(password.hidden()).await.ok()))),
            Verdict::Wrong => {
                self.failed(&seen).await?;
                Ok(None)
            }
        }
    }

    async fn second_factor(&self, seen: &Seen, code: Option<&Secret>) -> Result<Option<Factor>, Problem> {
        if !seen.user.has_second_factor() {
            return Ok(None);
        }
        let code = code.ok_or_else(code_needed)?;
        match Factor::judge(self.app, &seen.user, code, self.now).await? {
            Some(factor) => Ok(Some(factor)),
            None => {
                self.failed(seen).await?;
                Err(not_right())
            }
        }
    }

    async fn enter(
        &self,
        tx: &mut SystemTx,
        seen: &Seen,
        factor: Option<&Factor>,
        rehash: Option<&str>,
    ) -> Result<Open, Problem> {
        // Many guesses at once all passed the gate: those that come after too many failures are stopped here.
        let user = users::get(tx, seen.user.id).await?;
        self.gate(Some(&Seen { user, known_address: seen.known_address }))?;
        let user = unchanged(tx, &seen.user, self.now).await?;
        match factor {
            Some(factor) if !factor.spend(tx, user.id, self.now).await? => return Err(not_right()),
            None if user.has_second_factor() => return Err(code_needed()),
            Some(_) | None => {}
        }
        let memberships = memberships::of_user(tx, user.id).await?;
        let membership = match self.organisation {
            Some(wanted) => memberships.iter().find(|membership| membership.tenant == wanted),
            None => memberships.first(),
        };
        let membership = membership.cloned().ok_or_else(not_right)?;
        if let Some(hash) = rehash {
            users::set_password(tx, user.id, hash, self.now).await?;
        }
        let (session, refresh) = tokens::begin(tx, &membership, user.id, self.origin, self.now).await?;
        if let Some(ip) = self.origin.ip {
            users::remember_address(tx, user.id, network(ip), self.now).await?;
        }
        let deed = |kind| Deed::by(user.id, kind, self.origin).with("session", session.id.to_string());
        // Where somebody works from is the business of the organisation he logs in to, and of no other.
        let tenant = membership.tenant;
        deed(AuditKind::LoginSucceeded).record_in(tx, tenant, self.now).await?;
        match factor {
            Some(Factor::Recovery(_)) => {
                let deed = deed(AuditKind::RecoveryCodeUsed).severity(Severity::Warning);
                deed.record_in(tx, tenant, self.now).await?;
            }
            Some(Factor::App { .. }) | None => {}
        }
        Ok(Open { user, memberships, membership, session, refresh })
    }

    /// A code used a second time, a password changed meanwhile: failures like any other.
    async fn count_if_wrong(&self, seen: &Seen, problem: Problem) -> Result<Problem, Problem> {
        if problem.code == Code::InvalidCredentials {
            self.failed(seen).await?;
        }
        Ok(problem)
    }

    async fn stranger(&self) -> Result<(), Problem> {
        self.app
            .store
            .system("auth.login.stranger", async |tx| {
                match users::login_failed(tx, NOBODY, self.now).await {
                    Ok(_) | Err(store::Error::NotFound) => {}
                    Err(error) => return Err(error.into()),
                }
                stranger(tx, "password", self.origin, self.now).await
            })
            .await
    }

    async fn failed(&self, seen: &Seen) -> Result<(), Problem> {
        let user = seen.user.id;
        self.app
            .store
            .system("auth.login.failed", async |tx| {
                let failures = users::login_failed(tx, user, self.now).await?;
                let deed = Deed::against(user, AuditKind::LoginFailed, self.origin).with("failures", failures);
                deed.record(tx, self.now).await
            })
            .await
    }
}

fn code_needed() -> Problem {
    Problem::new(Code::SecondFactorRequired, "send the code of the second factor, too")
}

/// What of an address stays the same from day to day: of IPv6 its network, since the rest changes for privacy.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
    }
}
