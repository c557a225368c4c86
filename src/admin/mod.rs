//! The second port: metrics, readiness, and what the proxy knows of itself.
//!
//! Shows everything but secrets, and changes nothing but what is remembered. Readiness is never tied to the upstream,
//! the quota or the token: a sidecar's readiness counts for its whole Pod.

mod explain;
mod list;
mod readiness;
mod reply;
mod routes;
mod status;

pub(crate) use readiness::Readiness;
pub use routes::{Admin, AdminState};
