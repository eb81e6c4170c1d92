//! The commands of the binary, one file each.

pub mod call;
mod call_report;
pub mod check_config;
pub mod demo;
pub mod doctor;
pub mod migrate;
pub mod replay;
pub mod serve;
