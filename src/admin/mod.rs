//! The admin port: metrics, liveness and readiness, the state of cache, quota, token and fleet, and purging.
//!
//! Shows everything except secrets. A purge of the cache is the only change it can make. Readiness does not depend on the
//! upstream, the quota or the token: a sidecar that is not ready takes its whole Pod out of service.

mod callers;
mod config;
mod explain;
mod fleet;
mod list;
mod next;
mod readiness;
mod reply;
mod routes;
mod status;

pub use config::ShownConfig;
pub use fleet::FleetStatus;
pub(crate) use readiness::Readiness;
pub use routes::{Admin, AdminState};
