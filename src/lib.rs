//! link-report-proxy: the map of the house.
//!
//! A room imports lower floors only, never a sibling; `tests/it/floors.rs` holds it to that.

pub mod admin;
pub mod admission;
pub mod app;
pub mod cache;
pub mod commands;
pub mod door;
pub mod inbound;
pub mod report;
pub mod settings;
pub mod simulator;
pub mod telemetry;
pub mod token;
pub mod upstream;
