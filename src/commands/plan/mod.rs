//! The `plan` subcommand: simulates a day and compares the refresh policies on it.
//!
//! The polls come from a few options or from an access log ([`polls`]). [`crate::plan`] replays them once per policy
//! ([`comparison`]); the result is printed as a table or as JSON, and drawn as a plot on request.

mod command;
mod comparison;
mod day;
mod options;
mod plot;
mod polls;
mod progress;
mod table;

pub(super) use command::run;
pub(super) use options::PlanArguments;
