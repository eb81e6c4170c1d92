//! What follows from a request and must not show in its answer: whether an address has an account is found out here,
//! after everybody has been answered alike. An errand is a job whose contents are sealed, since it carries addresses,
//! codes and password hashes.

use crate::jobs::{self, NewJob};
use crate::{AnyTx, Error};
use chrono::{DateTime, Utc};
use model::{EmailAddress, Mail, SecretText};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Name of the job.
pub const ERRAND_JOB: &str = "errand";
/// Its queue: any node does it.
const QUEUE: &str = jobs::QUICK_QUEUE;
/// Tries: with the runner's back-off a mail server may be away for a day.
const ATTEMPTS_MAX: u32 = 30;

/// From where the request came, for the audit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrandOrigin {
    /// The client's address.
    pub ip: Option<IpAddr>,
    /// The request.
    pub request_id: Option<String>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "errand", rename_all = "kebab-case")]
pub enum Errand {
    /// Somebody signs up.
    Register {
        /// Name of the organisation.
        organisation: String,
        /// Name of the person.
        name: String,
        /// The address to be verified.
        email: EmailAddress,
        /// Hash of the password, as it will be kept.
        password_hash: SecretText,
        /// From where.
        from: ErrandOrigin,
    },
    /// Somebody wants another code.
    ResendCode {
        /// The address given.
        email: EmailAddress,
        /// From where.
        from: ErrandOrigin,
    },
    /// Somebody forgot the password.
    ForgotPassword {
        /// The address given.
        email: EmailAddress,
        /// From where.
        from: ErrandOrigin,
    },
    /// A mail is to be sent.
    Mail(Mail),
}

/// To be done soon, certainly, once this transaction is committed.
///
/// # Errors
/// When the database fails.
pub async fn enqueue(tx: &mut impl AnyTx, errand: &Errand, now: DateTime<Utc>) -> Result<(), Error> {
    let job = NewJob {
        queue: QUEUE,
        name: ERRAND_JOB,
        dedup_key: None,
        payload: serde_json::Map::new(),
        sealed: Some(crate::sql::to_json(errand)?),
        attempts_max: ATTEMPTS_MAX,
        run_at: now,
    };
    jobs::enqueue(tx, &job, now).await?;
    Ok(())
}
