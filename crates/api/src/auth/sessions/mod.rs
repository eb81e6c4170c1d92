//! The sessions of one's own account.

pub(crate) mod end;
pub(crate) mod list;
