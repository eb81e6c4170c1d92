//! What can go wrong with a unit of work, in the caller's words.

use std::fmt;

/// Outcome of a statement or a transaction that did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such row for this tenant; or a row that the new one points to is not this tenant's.
    #[error("not found")]
    NotFound,
    /// It would break a rule of the data; the text says which.
    #[error("{0}")]
    Conflict(&'static str),
    /// Too much at once: no free connection, a lock or a statement timed out, or two transactions collided. The same
    /// work may succeed a moment later.
    #[error("the database is busy")]
    Busy,
    /// The database cannot be reached or cannot take writes. The log has the cause.
    #[error("the database is not available")]
    Unavailable,
    /// A fault of ours or of the data: retrying does not help.
    #[error("the database refused a statement")]
    Broken(#[source] Cause),
}

/// What the database said. Carries no bound values and no connection settings.
#[derive(Debug, thiserror::Error)]
pub struct Cause(String);

impl Cause {
    pub(crate) const fn new(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the two kinds of broken reference and the broken uniqueness of one statement mean to its caller.
#[derive(Clone, Copy)]
pub(crate) struct Meaning {
    /// A unique rule was broken.
    pub(crate) conflict: &'static str,
    /// A reference was broken: by default the thing referred to is not there; when deleting, it is still in use.
    pub(crate) in_use: Option<&'static str>,
}

impl Default for Meaning {
    fn default() -> Self {
        Self { conflict: "it exists already", in_use: None }
    }
}

impl Error {
    /// Whether the same work may succeed when tried again.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Busy | Self::Unavailable => true,
            Self::NotFound | Self::Conflict(_) | Self::Broken(_) => false,
        }
    }

    pub(crate) fn broken(what: impl fmt::Display) -> Self {
        Self::Broken(Cause::new(what.to_string()))
    }

    /// Translates the driver's error; `name` is the statement's or the transaction's.
    pub(crate) fn from_driver(error: &sqlx::Error, name: &'static str, meaning: Meaning) -> Self {
        let translated = translate(error, meaning);
        if translated.is_transient() {
            tracing::warn!(statement = name, cause = %text_of(error), "database: {translated}");
        }
        translated
    }
}

fn translate(error: &sqlx::Error, meaning: Meaning) -> Error {
    match error {
        sqlx::Error::Database(refusal) => match refusal.kind() {
            sqlx::error::ErrorKind::UniqueViolation => Error::Conflict(meaning.conflict),
            _ if breaks_row_policy(refusal.as_ref()) => Error::NotFound,
            sqlx::error::ErrorKind::ForeignKeyViolation => meaning.in_use.map_or(Error::NotFound, Error::Conflict),
            _ => by_code(refusal.code().as_deref().unwrap_or(""), error),
        },
        sqlx::Error::RowNotFound => Error::NotFound,
        sqlx::Error::PoolTimedOut => Error::Busy,
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
            Error::Unavailable
        }
        _ => Error::broken(text_of(error)),
    }
}

/// A new row that is not this tenant's, or an upsert that met another tenant's row. A missing grant has the same
/// SQLSTATE; the function of the server that refused tells them apart (messages are translated).
fn breaks_row_policy(refusal: &dyn sqlx::error::DatabaseError) -> bool {
    refusal
        .try_downcast_ref::<sqlx::postgres::PgDatabaseError>()
        .is_some_and(|refusal| refusal.code() == "42501" && refusal.routine() == Some("ExecWithCheckOptions"))
}

/// SQLSTATE of PostgreSQL (five characters; appendix A of its manual) or extended result code of SQLite (a number;
/// sqlite.org/rescode.html: the low byte is the primary code).
fn by_code(code: &str, error: &sqlx::Error) -> Error {
    if code.len() == 5 {
        return match code {
            // serialization failure, deadlock, lock not available, query cancelled by a timeout
            "40001" | "40P01" | "55P03" | "57014" => Error::Busy,
            // too many connections
            "53300" => Error::Busy,
            // written to a standby
            "25006" => Error::Unavailable,
            // connection exceptions, resources used up, operator intervention, system errors
            _ if ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => Error::Unavailable,
            _ => Error::broken(text_of(error)),
        };
    }
    match code.parse::<u32>().map(|extended| extended & 0xff) {
        // SQLITE_BUSY, SQLITE_LOCKED
        Ok(5 | 6) => Error::Busy,
        // SQLITE_READONLY, SQLITE_IOERR, SQLITE_FULL, SQLITE_CANTOPEN
        Ok(8 | 10 | 13 | 14) => Error::Unavailable,
        _ => Error::broken(text_of(error)),
    }
}

/// Only code and message of a refusal: the detail and hint of PostgreSQL's carry values of the row.
pub(crate) fn text_of(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(refusal) => {
            format!("{} ({})", refusal.message(), refusal.code().as_deref().unwrap_or("no code"))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_both_databases_tell_what_to_do() {
        let some = sqlx::Error::Protocol("x".to_owned());
        for (code, want) in [
            ("40001", "busy"),
            ("40P01", "busy"),
            ("55P03", "busy"),
            ("57014", "busy"),
            ("53300", "busy"),
            ("57P01", "unavailable"),
            ("08006", "unavailable"),
            ("53100", "unavailable"),
            ("25006", "unavailable"),
            ("22P02", "broken"),
            ("42P01", "broken"),
            ("5", "busy"),
            ("261", "busy"),
            ("517", "busy"),
            ("6", "busy"),
            ("13", "unavailable"),
            ("778", "unavailable"),
            ("1", "broken"),
            ("1299", "broken"),
            ("", "broken"),
        ] {
            let error = by_code(code, &some);
            let got = match error {
                Error::Busy => "busy",
                Error::Unavailable => "unavailable",
                Error::Broken(_) => "broken",
                Error::NotFound | Error::Conflict(_) => "other",
            };
            assert_eq!(got, want, "{code}");
            assert_eq!(error.is_transient(), want != "broken", "{code}");
        }
    }
}
