//! What both ports share before a request has a meaning.
//!
//! Accepting up to a cap, closing the quietest connection beyond it, HTTP/1 with its limits, telling slow clients from quiet ones, draining, keeping web pages out,
//! and bearer tokens for whoever asks for them. Knows no route, no report and no other module of this layer.

mod activity;
mod bearer_auth;
mod beside;
mod body;
mod browser_guard;
mod connection;
mod handles;
mod listener;

pub use bearer_auth::BearerAuth;
pub use body::Body;
pub(crate) use body::Chunk;
pub(crate) use browser_guard::{BrowserGuard, BrowserRefusal, SEC_FETCH_SITE};
pub use connection::{ConnectionLimits, serve_connection};
pub(crate) use listener::Listener;
