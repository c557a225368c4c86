//! The admin port: metrics, liveness and readiness, the state of cache, quota, token and fleet, and purging.
//!
//! Shows everything except secrets. A purge of the cache is the only change it can make. Readiness does not depend on the
//! upstream, the quota or the token: a sidecar that is not ready takes its whole Pod out of service.

mod callers;
mod conditional;
mod config;
mod explain;
mod failures;
mod fleet;
mod history;
mod list;
mod next;
mod overview;
mod readiness;
mod reply;
mod routes;
mod sampler;
mod sentence;
mod state;
mod status;

pub use config::ShownConfig;
pub use fleet::FleetStatus;
pub(crate) use history::History;
pub(crate) use readiness::Readiness;
pub use routes::Admin;
pub use state::AdminState;
pub(crate) use state::ProcessAbout;
