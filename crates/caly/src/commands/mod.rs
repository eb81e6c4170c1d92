//! The commands of the binary, one file each.

pub(crate) mod audit;
pub(crate) mod bench;
pub(crate) mod call;
mod call_report;
pub(crate) mod check_config;
pub(crate) mod connect;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod doctor_exotel;
pub(crate) mod doctor_providers;
pub(crate) mod keys;
pub(crate) mod migrate;
pub(crate) mod replay;
pub(crate) mod serve;
pub(crate) mod test_agent;
