//! Keyset pages: the next page begins after the last row seen, so rows that arrive meanwhile shift nothing.

use crate::sql::Row;
use crate::{Error, sql::Sql, tx::AnyTx};
use chrono::{DateTime, Utc};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// Rows in a page when nothing is said.
const PAGE_LIMIT_DEFAULT: u32 = 50;
/// Most rows in a page: a page is held in memory and sent as one body.
const PAGE_LIMIT_MAX: u32 = 200;

/// Place in a list that is sorted newest first. Its text is opaque to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    at: DateTime<Utc>,
    id: Uuid,
}

/// Which page.
#[derive(Clone, Copy, Debug)]
pub struct PageRequest {
    /// Rows after (older than) this one; `None` = from the newest.
    pub after: Option<Cursor>,
    /// Rows wanted, 1 to 200; other values are moved into that range.
    pub limit: u32,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self { after: None, limit: PAGE_LIMIT_DEFAULT }
    }
}

/// One page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// Newest first.
    pub items: Vec<T>,
    /// Where the next page begins; `None` = this was the last.
    pub next: Option<Cursor>,
}

impl PageRequest {
    fn limit(self) -> u32 {
        self.limit.clamp(1, PAGE_LIMIT_MAX)
    }

    /// Only rows before this time, whatever the cursor says.
    pub(crate) fn before(mut self, end: Option<DateTime<Utc>>) -> Self {
        if let Some(end) = end.filter(|end| self.after.is_none_or(|after| *end < after.at)) {
            self.after = Some(Cursor { at: end, id: Uuid::nil() });
        }
        self
    }

    /// Binds cursor time, cursor id and limit, in this order, to the last three parameters of a list statement. The
    /// first page begins at the end of time: the comparison stays one range of the index.
    pub(crate) fn bind(self, sql: Sql) -> Sql {
        let start = self.after.unwrap_or(Cursor { at: far_future(), id: Uuid::max() });
        sql.bind(start.at).bind(start.id).bind(i64::from(self.limit()) + 1)
    }

    /// Runs a list statement. `key` gives time and id of an item.
    pub(crate) async fn fetch<T>(
        self,
        sql: Sql,
        tx: &mut impl AnyTx,
        decode: fn(&Row) -> Result<T, Error>,
        key: fn(&T) -> (DateTime<Utc>, Uuid),
    ) -> Result<Page<T>, Error> {
        let mut items = self.bind(sql).all(tx, decode).await?;
        let limit = self.limit() as usize;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|last| {
            let (at, id) = key(last);
            Cursor { at, id }
        });
        Ok(Page { items, next })
    }
}

/// The last instant of year 9999: later than any row, within what both databases can compare.
fn far_future() -> DateTime<Utc> {
    const YEAR_9999_END_S: i64 = 253_402_300_799;
    DateTime::from_timestamp(YEAR_9999_END_S, 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{}", self.at.timestamp_micros(), self.id.simple())
    }
}

/// The text is no cursor of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor")]
pub struct CursorError;

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (at, id) = text.split_once('-').ok_or(CursorError)?;
        let micros = i64::from_str_radix(at, 16).map_err(|_| CursorError)?;
        let at = DateTime::from_timestamp_micros(micros).filter(|at| *at <= far_future()).ok_or(CursorError)?;
        Ok(Self { at, id: Uuid::try_parse(id).map_err(|_| CursorError)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text_and_nonsense_is_refused() {
        let at = DateTime::from_timestamp_micros(1_800_000_000_123_456).expect("a time");
        let cursor = Cursor { at, id: Uuid::from_u128(7) };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in ["", "-", "zz-00", "1-2", "7fffffffffffffff-00000000000000000000000000000007"] {
            assert_eq!(text.parse::<Cursor>(), Err(CursorError), "{text}");
        }
    }
}
