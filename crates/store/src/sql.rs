//! The only place that knows there are two databases below. A statement is one text for both: `$1` numbering,
//! `returning`, `on conflict … do update`, row values in comparisons, partial indexes and `count(*) filter` mean the
//! same in each. Not to be used, since SQLite has nothing like them: arrays and `= any($1)`, `now()`, `interval`,
//! `date_trunc`, `ilike`, `for update`, data-modifying `with`.

use crate::error::{Cause, Meaning};
use crate::tx::{AnyTx, Connection, Entered, Raw};
use crate::{Dialect, Error};
use chrono::{DateTime, Datelike as _, Timelike as _, Utc};
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Postgres, Row as _, Sqlite, Type};
use std::str::FromStr;
use uuid::Uuid;

/// A statement with its name, the one in logs. Made by [`statements!`] only, so that each is in the list which
/// [`crate::Store::check_statements`] goes through.
pub(crate) struct Statement {
    pub(crate) name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

impl Statement {
    #[doc(hidden)]
    pub(crate) const fn new(name: &'static str, sqlite: &'static str, postgres: &'static str) -> Self {
        Self { name, sqlite, postgres }
    }

    pub(crate) const fn text(&self, dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::Sqlite => self.sqlite,
            Dialect::Postgres => self.postgres,
        }
    }
}

/// Declares the statements of a noun: `NAME = "noun.verb" ["text", …];`. The text begins with a comment that names it,
/// which shows in `pg_stat_activity`. `skip_locked ["rest"]` stands after a subquery that picks rows to work on: on
/// PostgreSQL rows that another transaction has picked are passed over; SQLite has one writer at a time.
/// `indexed_by "index" ["rest"]` stands after the name of a table: SQLite, which knows nothing of what is in it, reads that
/// index; PostgreSQL has counted and finds out by itself.
macro_rules! statements {
    ($($const:ident = $name:literal [$($text:tt)*]
        $(skip_locked [$($rest:tt)*])? $(indexed_by $index:literal [$($read:tt)*])?;)*) => {
        $(const $const: $crate::sql::Statement = $crate::sql::Statement::new(
            $name,
            concat!("-- ", $name, "\n", $($text)* $(, $($rest)*)? $(, " indexed by ", $index, $($read)*)?),
            concat!("-- ", $name, "\n", $($text)* $(, " for update skip locked ", $($rest)*)? $(, $($read)*)?),
        );)*
        /// Every statement of this noun.
        pub(crate) const STATEMENTS: &[&$crate::sql::Statement] = &[$(&$const),*];
    };
}
pub(crate) use statements;

/// Declares statements that take many rows as one parameter, a JSON array of objects ([`rows`]): `NAME = "noun.verb"
/// ["text before", …] $2 (column kind, …) ["text after", …];`. Between the two texts the rows stand as the table `r` with
/// these columns. Reading JSON is another thing in each database; the rest of the text is the same.
macro_rules! row_statements {
    ($($const:ident = $name:literal [$($before:tt)*] $param:literal ($first:ident $first_kind:ident
        $(, $column:ident $kind:ident)*) [$($after:tt)*];)*) => {
        $(const $const: $crate::sql::Statement = $crate::sql::Statement::new(
            $name,
            concat!(
                "-- ", $name, "\n", $($before)*, " (select ", $crate::sql::sqlite_cell!($first $first_kind),
                $(", ", $crate::sql::sqlite_cell!($column $kind),)* " from json_each(", $param, ")) as r ", $($after)*
            ),
            concat!(
                "-- ", $name, "\n", $($before)*, " jsonb_to_recordset(", $param, "::text::jsonb) as r(",
                $crate::sql::postgres_cell!($first $first_kind), $(", ", $crate::sql::postgres_cell!($column $kind),)*
                ") ", $($after)*
            ),
        );)*
        /// Those that take many rows: they differ between the databases.
        pub(crate) const ROW_STATEMENTS: &[&$crate::sql::Statement] = &[$(&$const),*];
    };
}
pub(crate) use row_statements;

/// A column of [`row_statements!`], as SQLite keeps it: see [`sqlite_time`] and the types of `migrations/`.
macro_rules! sqlite_cell {
    ($column:ident uuid) => {
        concat!("unhex(value ->> '", stringify!($column), "') as ", stringify!($column))
    };
    ($column:ident bytea) => {
        concat!("unhex(substr(value ->> '", stringify!($column), "', 3)) as ", stringify!($column))
    };
    ($column:ident jsonb) => {
        concat!("value -> '", stringify!($column), "' as ", stringify!($column))
    };
    ($column:ident $other:ident) => {
        concat!("value ->> '", stringify!($column), "' as ", stringify!($column))
    };
}
pub(crate) use sqlite_cell;

macro_rules! postgres_cell {
    ($column:ident $kind:ident) => {
        concat!(stringify!($column), " ", stringify!($kind))
    };
}
pub(crate) use postgres_cell;

/// Rows as the one parameter of a statement of [`row_statements!`].
pub(crate) fn rows<T: serde::Serialize>(rows: &[T]) -> Result<String, Error> {
    serde_json::to_string(rows).map_err(Error::broken)
}

/// For a column `uuid`: 32 digits, which both databases read.
pub(crate) struct Id(pub(crate) Uuid);

/// For a column `bytea`, in the form that PostgreSQL reads.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

/// For a column `timestamptz`.
pub(crate) struct At(pub(crate) DateTime<Utc>);

impl serde::Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut digits = [0; uuid::fmt::Simple::LENGTH];
        serializer.serialize_str(self.0.simple().encode_lower(&mut digits))
    }
}

impl serde::Serialize for Bytes<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
        let mut text = String::with_capacity(2 + 2 * self.0.len());
        text.push_str("\\x");
        for byte in self.0 {
            text.push(DIGITS[usize::from(byte >> 4)]);
            text.push(DIGITS[usize::from(byte & 0xf)]);
        }
        serializer.serialize_str(&text)
    }
}

impl serde::Serialize for At {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&sqlite_time(self.0))
    }
}

/// A bound value. Nulls keep their type: PostgreSQL wants to know it.
pub(crate) enum Value {
    Bool(Option<bool>),
    Int(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
    Uuid(Option<Uuid>),
    Time(Option<DateTime<Utc>>),
    Json(Option<serde_json::Value>),
}

macro_rules! values {
    ($($from:ty => $variant:ident, $convert:expr;)*) => {$(
        impl From<$from> for Value {
            fn from(value: $from) -> Self { Self::$variant(Some($convert(value))) }
        }
        impl From<Option<$from>> for Value {
            fn from(value: Option<$from>) -> Self { Self::$variant(value.map($convert)) }
        }
    )*};
}

values! {
    bool => Bool, |v| v;
    i64 => Int, |v| v;
    u32 => Int, i64::from;
    u64 => Int, |v| i64::try_from(v).unwrap_or(i64::MAX);
    &str => Text, str::to_owned;
    String => Text, |v| v;
    Vec<u8> => Bytes, |v| v;
    &[u8] => Bytes, <[u8]>::to_vec;
    [u8; 16] => Bytes, |v: [u8; 16]| v.to_vec();
    [u8; 32] => Bytes, |v: [u8; 32]| v.to_vec();
    Uuid => Uuid, |v| v;
    DateTime<Utc> => Time, |v| v;
    serde_json::Value => Json, |v| v;
    model::OrganisationId => Uuid, Uuid::from;
    model::AgentId => Uuid, Uuid::from;
    model::PhoneNumberId => Uuid, Uuid::from;
    model::CallId => Uuid, Uuid::from;
    model::RecordingId => Uuid, Uuid::from;
    model::JobId => Uuid, Uuid::from;
    model::UserId => Uuid, Uuid::from;
    model::SessionId => Uuid, Uuid::from;
    model::InvitationId => Uuid, Uuid::from;
    model::ApiKeyId => Uuid, Uuid::from;
    model::WebhookEndpointId => Uuid, Uuid::from;
    model::DeliveryId => Uuid, Uuid::from;
    model::DocumentId => Uuid, Uuid::from;
    model::DocumentState => Text, |v: model::DocumentState| v.as_str().to_owned();
    model::CarrierAccountId => Uuid, Uuid::from;
    model::DeliveryState => Text, |v: model::DeliveryState| v.as_str().to_owned();
    &model::EmailAddress => Text, |v: &model::EmailAddress| v.as_str().to_owned();
    model::Role => Text, |v: model::Role| v.as_str().to_owned();
    &model::E164 => Text, |v: &model::E164| v.as_str().to_owned();
    model::CarrierKind => Text, |v: model::CarrierKind| v.as_str().to_owned();
    model::CallStatus => Text, |v: model::CallStatus| v.as_str().to_owned();
    model::CallDirection => Text, |v: model::CallDirection| v.as_str().to_owned();
    model::EndedReason => Text, |v: model::EndedReason| v.as_str().to_owned();
    model::TurnRole => Text, |v: model::TurnRole| v.as_str().to_owned();
}

/// SQLite compares times as text: all of one width, to the microsecond that PostgreSQL keeps:
/// `2026-11-22T03:04:05.000006+00:00`.
fn sqlite_time(at: DateTime<Utc>) -> String {
    let Ok(year @ 0..=9_999) = u32::try_from(at.year()) else {
        return at.format("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string();
    };
    // A leap second is second 59 with more than a second's worth of nanoseconds; written as 60, as chrono does.
    let (second, us) = match at.nanosecond() / 1_000 {
        us @ 1_000_000.. => (at.second() + 1, us - 1_000_000),
        us => (at.second(), us),
    };
    let parts = [
        ("", year, 4),
        ("-", at.month(), 2),
        ("-", at.day(), 2),
        ("T", at.hour(), 2),
        (":", at.minute(), 2),
        (":", second, 2),
        (".", us, 6),
    ];
    let mut text = String::with_capacity(32);
    for (before, number, digits) in parts {
        text.push_str(before);
        for place in (0..digits).rev() {
            let digit = number / 10_u32.pow(place) % 10;
            text.push(char::from_digit(digit, 10).unwrap_or('0'));
        }
    }
    text.push_str("+00:00");
    text
}

macro_rules! bind_all {
    ($text:expr, $values:expr, |$at:ident| $time:expr) => {{
        let mut query = sqlx::query($text);
        for value in $values {
            query = match value {
                Value::Bool(v) => query.bind(v),
                Value::Int(v) => query.bind(v),
                Value::Text(v) => query.bind(v),
                Value::Bytes(v) => query.bind(v),
                Value::Uuid(v) => query.bind(v),
                Value::Time(v) => query.bind(v.map(|$at| $time)),
                Value::Json(v) => query.bind(v),
            };
        }
        query
    }};
}

/// A statement with its values.
pub(crate) struct Sql {
    statement: &'static Statement,
    values: Vec<Value>,
    meaning: Meaning,
}

pub(crate) fn sql(statement: &'static Statement) -> Sql {
    Sql { statement, values: Vec::new(), meaning: Meaning::default() }
}

impl Sql {
    /// The next parameter.
    pub(crate) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// What a broken unique rule means here.
    pub(crate) fn conflict(mut self, meaning: &'static str) -> Self {
        self.meaning.conflict = meaning;
        self
    }

    /// What it means that other rows still refer to this one.
    pub(crate) fn in_use(mut self, meaning: &'static str) -> Self {
        self.meaning.in_use = Some(meaning);
        self
    }

    /// Runs it; the number of rows changed.
    pub(crate) async fn run(self, tx: &mut impl AnyTx) -> Result<u64, Error> {
        let raw = tx.raw();
        raw.assume().await?;
        let entered = raw.enter();
        let (name, meaning) = (self.statement.name, self.meaning);
        let done = match &mut raw.connection {
            Connection::Sqlite(c) => bind_all!(self.statement.sqlite, self.values, |at| sqlite_time(at))
                .execute(&mut **c)
                .await
                .map(|d| d.rows_affected()),
            Connection::Postgres(c) => bind_all!(self.statement.postgres, self.values, |at| at)
                .execute(&mut **c)
                .await
                .map(|d| d.rows_affected()),
        };
        leave(raw, entered, name, meaning, done)
    }

    /// Runs it; every row.
    pub(crate) async fn all<T>(
        self,
        tx: &mut impl AnyTx,
        decode: fn(&Row) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        self.rows(tx.raw()).await?.iter().map(decode).collect()
    }

    /// Runs it; the row, if there is one.
    pub(crate) async fn one<T>(
        self,
        tx: &mut impl AnyTx,
        decode: fn(&Row) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        self.rows(tx.raw()).await?.first().map(decode).transpose()
    }

    /// Runs it; the row, or [`Error::NotFound`].
    pub(crate) async fn required<T>(
        self,
        tx: &mut impl AnyTx,
        decode: fn(&Row) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.one(tx, decode).await?.ok_or(Error::NotFound)
    }

    async fn rows(self, raw: &mut Raw) -> Result<Vec<Row>, Error> {
        raw.assume().await?;
        let entered = raw.enter();
        let (name, meaning) = (self.statement.name, self.meaning);
        let rows = match &mut raw.connection {
            Connection::Sqlite(c) => bind_all!(self.statement.sqlite, self.values, |at| sqlite_time(at))
                .fetch_all(&mut **c)
                .await
                .map(|rows| rows.into_iter().map(Row::Sqlite).collect()),
            Connection::Postgres(c) => bind_all!(self.statement.postgres, self.values, |at| at)
                .fetch_all(&mut **c)
                .await
                .map(|rows| rows.into_iter().map(Row::Postgres).collect()),
        };
        leave(raw, entered, name, meaning, rows)
    }
}

fn leave<T>(
    raw: &mut Raw,
    entered: Entered,
    name: &'static str,
    meaning: Meaning,
    done: Result<T, sqlx::Error>,
) -> Result<T, Error> {
    let elapsed = entered.began.elapsed();
    if elapsed >= raw.slow_query {
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(statement = name, transaction = raw.name, elapsed_ms, "slow query");
    }
    match done {
        Ok(value) => {
            raw.intact = entered.was_intact;
            Ok(value)
        }
        Err(error) => Err(Error::from_driver(&error, name, meaning)),
    }
}

/// A row of either database. Columns are read by name.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// A type that both drivers can read.
pub(crate) trait Cell:
    for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>
{
}
impl<T> Cell for T where T: for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres> {}

impl Row {
    pub(crate) fn get<T: Cell>(&self, column: &str) -> Result<T, Error> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
        .map_err(|error| Error::broken(crate::error::text_of(&error)))
    }

    pub(crate) fn id<I: From<Uuid>>(&self, column: &str) -> Result<I, Error> {
        self.get::<Uuid>(column).map(I::from)
    }

    pub(crate) fn id_opt<I: From<Uuid>>(&self, column: &str) -> Result<Option<I>, Error> {
        Ok(self.get::<Option<Uuid>>(column)?.map(I::from))
    }

    /// A word of a closed list, or anything else that is kept as text.
    pub(crate) fn word<W: FromStr>(&self, column: &str) -> Result<W, Error> {
        parse(&self.get::<String>(column)?, column)
    }

    pub(crate) fn word_opt<W: FromStr>(&self, column: &str) -> Result<Option<W>, Error> {
        self.get::<Option<String>>(column)?.map(|text| parse(&text, column)).transpose()
    }

    pub(crate) fn phone_opt(&self, column: &str) -> Result<Option<model::E164>, Error> {
        self.get::<Option<String>>(column)?
            .map(|text| model::E164::parse(&text).map_err(|_| unreadable(column)))
            .transpose()
    }

    pub(crate) fn unsigned<N: TryFrom<i64>>(&self, column: &str) -> Result<N, Error> {
        N::try_from(self.get::<i64>(column)?).map_err(|_| unreadable(column))
    }

    pub(crate) fn unsigned_opt<N: TryFrom<i64>>(&self, column: &str) -> Result<Option<N>, Error> {
        self.get::<Option<i64>>(column)?.map(|n| N::try_from(n).map_err(|_| unreadable(column))).transpose()
    }

    pub(crate) fn hash(&self, column: &str) -> Result<[u8; 32], Error> {
        self.get::<Vec<u8>>(column)?.try_into().map_err(|_| unreadable(column))
    }

    pub(crate) fn hash_opt(&self, column: &str) -> Result<Option<[u8; 32]>, Error> {
        self.get::<Option<Vec<u8>>>(column)?.map(|bytes| bytes.try_into().map_err(|_| unreadable(column))).transpose()
    }

    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self, column: &str) -> Result<T, Error> {
        from_json(self.get(column)?, column)
    }

    pub(crate) fn json_opt<T: serde::de::DeserializeOwned>(&self, column: &str) -> Result<Option<T>, Error> {
        self.get::<Option<serde_json::Value>>(column)?.map(|value| from_json(value, column)).transpose()
    }
}

/// As JSON to bind.
pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> Result<serde_json::Value, Error> {
    serde_json::to_value(value).map_err(Error::broken)
}

fn parse<W: FromStr>(text: &str, column: &str) -> Result<W, Error> {
    text.parse().map_err(|_| unreadable(column))
}

/// serde's message would quote the value.
fn from_json<T: serde::de::DeserializeOwned>(value: serde_json::Value, column: &str) -> Result<T, Error> {
    serde_json::from_value(value).map_err(|_| unreadable(column))
}

fn unreadable(column: &str) -> Error {
    Error::Broken(Cause::new(format!("column {column} holds a value that this version cannot read")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_before() {
        for text in [
            "2026-11-22T03:04:05.000006+00:00",
            "1970-01-01T00:00:00+00:00",
            "0000-12-31T23:59:59.999999999+00:00",
            "9999-12-31T23:59:59.1+00:00",
            "2016-12-31T23:59:60.25+00:00",
        ] {
            let at: DateTime<Utc> = text.parse().expect("a time");
            assert_eq!(sqlite_time(at), at.format("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string(), "{text}");
        }
        for at in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
            assert_eq!(sqlite_time(at), at.format("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string());
        }
    }

    #[test]
    fn rows_are_written_so_that_both_databases_read_them() {
        #[derive(serde::Serialize)]
        struct Row {
            id: Id,
            key: Bytes<'static>,
            at: At,
        }
        let at = DateTime::from_timestamp(1_800_000_000, 5_999).expect("a time");
        let row = Row { id: Id(Uuid::from_u128(0xab)), key: Bytes(&[0x0f, 0xf0]), at: At(at) };
        let expected = "[{\"id\":\"000000000000000000000000000000ab\",\"key\":\"\\\\x0ff0\",\
             \"at\":\"2027-01-15T08:00:00.000005+00:00\"}]";
        assert_eq!(rows(&[row]).expect("JSON"), expected);
    }
}
