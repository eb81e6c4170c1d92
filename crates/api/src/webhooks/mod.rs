//! What carriers tell us over HTTP.

pub(crate) mod exotel;
