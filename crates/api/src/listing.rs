//! Lists: newest first, a page at a time, by an opaque cursor.

use crate::Problem;
use serde::{Deserialize, Serialize};
use store::{Cursor, Page, PageRequest};
use utoipa::{IntoParams, ToSchema};

/// Rows in a page when the caller does not say.
const LIMIT_DEFAULT: u32 = 50;

/// Which page. Lists with filters have these two fields beside their own, since a flattened struct would let unknown
/// fields through.
#[derive(Debug, Default, Deserialize, IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// Where to go on: `next_cursor` of the page before.
    #[schema(max_length = 64)]
    #[param(max_length = 64)]
    pub cursor: Option<String>,
    /// Rows wanted.
    #[schema(minimum = 1, maximum = 200)]
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ListBody<T> {
    /// Newest first.
    pub items: Vec<T>,
    /// Leads to the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl<T> ListBody<T> {
    /// From a page of the store.
    pub(crate) fn from_page<R>(page: Page<R>, show: impl FnMut(R) -> T) -> Self {
        Self {
            next_cursor: page.next.map(|cursor| cursor.to_string()),
            items: page.items.into_iter().map(show).collect(),
        }
    }
}

/// What the store wants to know.
///
/// # Errors
/// A cursor that is none of ours.
pub(crate) fn page_request(cursor: Option<&str>, limit: Option<u32>) -> Result<PageRequest, Problem> {
    let after = cursor
        .map(str::parse::<Cursor>)
        .transpose()
        .map_err(|_| Problem::field("cursor", "must be the next_cursor of a page before"))?;
    Ok(PageRequest { after, limit: limit.unwrap_or(LIMIT_DEFAULT) })
}
