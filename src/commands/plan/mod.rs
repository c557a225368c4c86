//! `plan`: a day of calls, simulated: what each way to refresh would make of it.
//!
//! The day comes from a few figures or from an access log ([`polls`]), is replayed by [`crate::plan`] once for each way
//! ([`comparison`]), and is printed as a table, as JSON or as a plot.

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
