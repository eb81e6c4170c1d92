//! Does what follows from a request and must not show in its answer: signing up, codes, resets, mails. Each may run
//! twice; the second run finds what the first one did.

use crate::job::{Context, JobError};
use chrono::{DateTime, Duration, Utc};
use identity::ResetToken;
use identity::one_time_code::{self, OneTimeCode, Purpose};
use model::{AuditKind, EmailAddress, Mail, MailKind, Role, SecretText, Severity, TenantId, UserId};
use providers::ErrorKind;
use secrecy::SecretString;
use serde_json::Map;
use store::audit::{self, NewAuditEvent};
use store::errands::{self, Errand, ErrandOrigin};
use store::users::{NewUser, User};
use store::{SystemTx, memberships, one_time_codes, organisations, password_resets, users};

/// A link to a new password works this long.
const RESET_MINUTES: u32 = 15;

/// Does one.
///
/// # Errors
/// [`JobError::Retry`] when the database or the mail server could not; [`JobError::Fail`] when no try will help.
pub(crate) async fn run(context: &Context, errand: Errand) -> Result<(), JobError> {
    match errand {
        Errand::Register { organisation, name, email, password_hash, from } => {
            let wanted = Registration { organisation, name, email, password_hash, from };
            register(context, &wanted).await
        }
        Errand::ResendCode { email, from: _ } => match find(context, &email).await? {
            Some(user) if user.email_verified_at.is_none() => send_code(context, &user).await,
            Some(_) | None => as_much_work(context).await,
        },
        Errand::ForgotPassword { email, from } => match find(context, &email).await? {
            Some(user) => send_reset(context, &user, Some(&from)).await,
            None => Ok(()),
        },
        Errand::Mail(mail) => context.mailer.send(&mail, context.now()).await.map_err(|error| {
            // Whatever is wrong with us (a wrong password, no TLS) is mended by the operator, and the mail still goes out;
            // an address that is refused stays refused.
            match error.kind {
                ErrorKind::Rejected => JobError::Fail(error.to_string()),
                ErrorKind::Unavailable
                | ErrorKind::TimedOut
                | ErrorKind::Unauthorized
                | ErrorKind::Protocol
                | ErrorKind::Overloaded
                | ErrorKind::NotInstalled => JobError::Retry(error.to_string()),
            }
        }),
    }
}

struct Registration {
    organisation: String,
    name: String,
    email: EmailAddress,
    password_hash: SecretText,
    from: ErrandOrigin,
}

async fn find(context: &Context, email: &EmailAddress) -> Result<Option<User>, JobError> {
    Ok(context.store.system_read("users.find_by_email", async |tx| users::find_by_email(tx, email).await).await?)
}

/// A new address becomes a user with an organisation and gets a code. A verified one is told that it has an account. One
/// that waits for its code may belong to somebody else than who wrote it first: neither password counts any more, and
/// the mailbox's owner sets one by a link.
async fn register(context: &Context, wanted: &Registration) -> Result<(), JobError> {
    if let Some(user) = find(context, &wanted.email).await? {
        // The same hash: this very errand ran before.
        if user.password_hash.as_str() == wanted.password_hash.expose() {
            return if user.email_verified_at.is_none() { send_code(context, &user).await } else { Ok(()) };
        }
        if user.email_verified_at.is_some() {
            as_much_work(context).await?;
            return send(context, &user.email, MailKind::AlreadyRegistered).await;
        }
        let nobodys = nobodys_password(context).await?;
        let now = context.now();
        let contested = context
            .store
            .system("users.contested", async |tx| {
                // Verified meanwhile, by who reads its mail: then nothing is contested.
                users::replace_pending(tx, user.id, &user.name, &nobodys, now).await?;
                one_time_codes::withdraw(tx, user.id, Purpose::VerifyEmail.as_str()).await
            })
            .await;
        return match contested {
            Ok(()) => send_reset(context, &user, None).await,
            Err(store::Error::NotFound) => send(context, &user.email, MailKind::AlreadyRegistered).await,
            Err(error) => Err(error.into()),
        };
    }
    let now = context.now();
    let created = context.store.system("users.register", async |tx| create(tx, wanted, now).await).await;
    match created {
        Ok(()) => {}
        // Two registrations of one address at once: the other was first.
        Err(store::Error::Conflict(_)) => return Err(JobError::Retry("the address was taken meanwhile".to_owned())),
        Err(error) => return Err(error.into()),
    }
    match find(context, &wanted.email).await? {
        Some(user) => send_code(context, &user).await,
        None => Err(JobError::Retry("the new account is not there".to_owned())),
    }
}

async fn create(tx: &mut SystemTx, wanted: &Registration, now: DateTime<Utc>) -> Result<(), store::Error> {
    let new = NewUser {
        email: wanted.email.clone(),
        name: wanted.name.clone(),
        password_hash: wanted.password_hash.expose().to_owned().into(),
    };
    let user = users::create(tx, &new, now).await?;
    let organisation = organisations::create(tx, &wanted.organisation, now).await?.id;
    let tx = tx.tenant(organisation).await?;
    memberships::add(tx, user, Role::Owner, now).await?;
    let (actor, id) = (format!("user:{user}"), user.to_string());
    let mut event = event(AuditKind::UserRegistered, &actor, &wanted.from);
    event.object_kind = Some("user");
    event.object_id = Some(&id);
    audit::record(tx, &event, now).await?;
    Ok(())
}

/// A new code, which replaces an earlier one, and the mail with it.
async fn send_code(context: &Context, user: &User) -> Result<(), JobError> {
    let current = context.store.system_read("one_time_codes.current", async |tx| {
        one_time_codes::current(tx, user.id, Purpose::VerifyEmail.as_str()).await
    });
    let sent_at = current.await?.filter(|code| code.used_at.is_none()).map(|code| code.created_at);
    if is_recent(sent_at, context.now()) {
        return as_much_work(context).await;
    }
    let code = OneTimeCode::random().map_err(|error| JobError::Retry(error.to_string()))?;
    let purpose = Purpose::VerifyEmail;
    let hash = context
        .passwords
        .hash_code(purpose, user.id, &code)
        .await
        .map_err(|error| JobError::Retry(error.to_string()))?;
    let now = context.now();
    let minutes = u32::try_from(one_time_code::LIFETIME.num_minutes()).unwrap_or_default();
    let mail = Mail { to: user.email.clone(), kind: MailKind::VerifyEmail { code: code.expose().into(), minutes } };
    context
        .store
        .system("one_time_codes.issue", async |tx| {
            let expires_at = now + one_time_code::LIFETIME;
            one_time_codes::issue(tx, user.id, purpose.as_str(), &hash, expires_at, now).await?;
            errands::enqueue(tx, &Errand::Mail(mail), now).await
        })
        .await?;
    context.wake.notify_one();
    Ok(())
}

/// A link to a new password. `asked` says from where it was asked for, when somebody did.
async fn send_reset(context: &Context, user: &User, asked: Option<&ErrandOrigin>) -> Result<(), JobError> {
    let sent_at = context
        .store
        .system_read("password_resets.last", async |tx| password_resets::last_issued_at(tx, user.id).await);
    if is_recent(sent_at.await?, context.now()) {
        return Ok(());
    }
    let token = ResetToken::random().map_err(|error| JobError::Retry(error.to_string()))?;
    let link = format!("{}/reset-password#token={}", context.public_url, token.expose());
    let mail =
        Mail { to: user.email.clone(), kind: MailKind::ResetPassword { link: link.into(), minutes: RESET_MINUTES } };
    let now = context.now();
    context
        .store
        .system("password_resets.issue", async |tx| {
            let expires_at = now + Duration::minutes(i64::from(RESET_MINUTES));
            password_resets::issue(tx, user.id, token.hash(), expires_at, now).await?;
            errands::enqueue(tx, &Errand::Mail(mail), now).await?;
            if let Some(from) = asked {
                tell_reset_asked(tx, user.id, from, now).await?;
            }
            Ok::<(), store::Error>(())
        })
        .await?;
    context.wake.notify_one();
    Ok(())
}

async fn tell_reset_asked(
    tx: &mut SystemTx,
    user: UserId,
    from: &ErrandOrigin,
    now: DateTime<Utc>,
) -> Result<(), store::Error> {
    let tenants: Vec<TenantId> = memberships::of_user(tx, user).await?.into_iter().map(|found| found.tenant).collect();
    let (actor, id) = (format!("user:{user}"), user.to_string());
    for tenant in tenants {
        let mut event = event(AuditKind::PasswordResetRequested, &actor, from);
        event.object_kind = Some("user");
        event.object_id = Some(&id);
        audit::record(tx.tenant(tenant).await?, &event, now).await?;
    }
    Ok(())
}

async fn send(context: &Context, to: &EmailAddress, kind: MailKind) -> Result<(), JobError> {
    let mail = Mail { to: to.clone(), kind };
    let now = context.now();
    context.store.system("errands.mail", async |tx| errands::enqueue(tx, &Errand::Mail(mail), now).await).await?;
    context.wake.notify_one();
    Ok(())
}

/// Whoever asks again and again for somebody else neither fills that mailbox nor takes away what was just sent.
fn is_recent(sent_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    sent_at.is_some_and(|at| now - at < one_time_code::RESEND_AFTER)
}

/// What a code would have cost: requests that come meanwhile are not answered faster where there is nothing to send.
async fn as_much_work(context: &Context) -> Result<(), JobError> {
    nobodys_password(context).await.map(|_| ())
}

/// The hash of a password that nobody has.
async fn nobodys_password(context: &Context) -> Result<String, JobError> {
    let random: SecretString = identity::random_token().map_err(|error| JobError::Retry(error.to_string()))?;
    context.passwords.hash(&random).await.map_err(|error| JobError::Retry(error.to_string()))
}

fn event<'a>(kind: AuditKind, actor: &'a str, from: &'a ErrandOrigin) -> NewAuditEvent<'a> {
    NewAuditEvent {
        kind,
        severity: Severity::Info,
        actor,
        ip: from.ip,
        request_id: from.request_id.as_deref(),
        object_kind: None,
        object_id: None,
        data: Map::new(),
    }
}
