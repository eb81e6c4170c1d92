//! Access and refresh tokens, from the outside.

mod access;
mod refresh;
