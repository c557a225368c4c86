//! The HTTP/1 server that both ports use: sockets, connections, timeouts, graceful drain, client authentication.
//!
//! Accepts up to `max_connections`, and closes the longest idle connection when it is full; header and idle timeouts;
//! DNS rebinding and cross-site protection; bearer tokens where they are required; the coding that a client takes. Knows no
//! route and no report, and imports no other module of its layer.

mod activity;
mod allowed_origins;
mod bearer_auth;
mod beside;
mod body;
mod browser_guard;
mod coding;
mod connection;
mod descriptors;
mod handles;
mod listener;

pub use allowed_origins::AllowedOrigins;
pub use bearer_auth::BearerAuth;
pub use body::Body;
pub(crate) use body::Chunk;
pub(crate) use browser_guard::{BrowserGuard, BrowserRefusal, SEC_FETCH_SITE};
pub(crate) use coding::Coding;
pub use connection::{ConnectionLimits, serve_connection};
pub(crate) use descriptors::most_connections;
pub(crate) use listener::Listener;
