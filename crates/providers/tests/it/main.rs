//! Providers, over real sockets and with real models.

mod carrier_file;
mod exotel;
mod local;
mod mail;
mod vendors;
