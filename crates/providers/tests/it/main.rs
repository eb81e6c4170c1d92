//! Providers, over real sockets and with real models.

mod local;
mod vendors;
