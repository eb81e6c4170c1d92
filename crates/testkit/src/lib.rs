//! The other ends of the line, for tests, demo and load: a carrier, vendors, a caller with a script. They behave as
//! the real ones do, over real sockets.

pub mod caller;
pub mod carrier;
pub mod load;
pub mod mail_sink;
pub mod nobody;
pub mod peers;
pub mod receiver;
pub mod vendors;
