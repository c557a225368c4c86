//! The `plan` subcommand: simulates a day and compares the refresh policies on it.
//!
//! The polls come from a few options, from an access log ([`polls`]) or from a running proxy ([`running_proxy`]). [`crate::plan`] replays them once per policy
//! ([`comparison`]); the result is printed as a table or as JSON, and drawn as a plot on request.

mod command;
mod comparison;
mod day;
mod observed_day;
mod options;
mod plot;
mod polls;
mod progress;
mod running_proxy;
mod table;

pub(super) use command::run;
pub(super) use options::PlanArguments;
