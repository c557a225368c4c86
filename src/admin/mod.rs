//! The admin port: metrics, liveness and readiness, the state of cache, quota, token and fleet, and purging.
//!
//! Shows everything except secrets. All it can change is the cache: by a purge, or by asking for a report as a caller would. Readiness does not depend on the
//! upstream, the quota or the token: a sidecar that is not ready takes its whole Pod out of service.

mod both_clocks;
mod callers;
mod conditional;
mod config;
mod entry_state;
mod explain;
mod failures;
mod fleet;
mod history;
mod list;
mod list_query;
mod names;
mod next;
mod overview;
mod page;
mod permission;
mod readiness;
mod reply;
mod report_trial;
mod routes;
mod sampler;
mod sentence;
mod state;
mod status;

pub use config::ShownConfig;
pub use fleet::FleetStatus;
pub(crate) use history::{History, MinuteSample};
pub use names::ActivityNames;
pub(crate) use readiness::Readiness;
pub use report_trial::ReportTrial;
pub use routes::Admin;
pub use state::AdminState;
pub(crate) use state::ProcessAbout;
