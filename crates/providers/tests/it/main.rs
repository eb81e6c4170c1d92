//! Providers, over real sockets and with real models.

mod carrier_file;
mod chain;
mod exotel;
mod local;
mod mail;
mod tools;
mod vendors;
