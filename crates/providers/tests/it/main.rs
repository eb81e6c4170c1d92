//! Providers, over real sockets and with real models.

mod local;
mod mail;
mod vendors;
