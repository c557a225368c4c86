//! The second port: metrics, readiness, and what the proxy knows of itself.
//!
//! Shows everything but secrets, and changes nothing but what is remembered. Readiness is never tied to the upstream,
//! the quota or the token: a sidecar's readiness counts for its whole Pod.

mod caching;
mod explain;
mod readiness;
mod reply;
mod routes;
mod standing;

pub use readiness::Readiness;
pub use routes::{Admin, AdminState};
