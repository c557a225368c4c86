//! The composition root: builds both stacks from the settings, runs them, and shuts them down.
//!
//! The only module that imports all lower ones. It decides the order of the tower layers; what they do is elsewhere.

mod calls;
mod change_prober;
mod clients;
mod clock_reading;
mod composition;
mod cors;
mod credentials;
mod dependencies;
mod feed_position;
mod feed_reader;
mod fleet;
mod labels;
mod options;
mod plan_keeper;
mod reload;
mod run;
mod snapshot_head;
mod snapshot_keeper;
mod stack;
mod trial;

pub use calls::{Calls, StatisticsCalls, StatusCalls, UpstreamCalls, calls};
pub use composition::App;
pub(crate) use dependencies::SetupError;
pub use dependencies::{Dependencies, Environment, SharedBackend};
pub use options::{cache_options, quota_limits};
pub use plan_keeper::PlanKeeper;
pub use reload::{LiveSettings, ReloadError};
pub use run::{Ports, RunError, run};
pub use snapshot_keeper::SnapshotKeeper;
pub use stack::{CallerRules, DataPortCalls, RequestLimits, data_port, misses};
