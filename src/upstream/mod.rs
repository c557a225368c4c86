//! The road out: from a question in the domain's words to bytes on a wire, and back.
//!
//! Knows how to connect, what the request looks like, what each status means and how much of a body is enough. Must
//! never know who asks, what is remembered, what may be spent, or what the token is: others stand above it or
//! between its two services, [`Fetch`] and [`Road`]. A [`Poster`] is a road of its own, to the authorization server.

mod body;
mod connect;
mod fetch;
mod post;
mod request;
mod retry_after;
mod road;
#[cfg(test)]
mod tests;
mod verdict;

pub use connect::{ConnectFailed, ConnectOptions, ConnectSetupError, Connector};
pub use fetch::{Fetch, FetchLimits};
pub use post::{Answered, Form, PostError, Poster};
pub use request::{InvalidOrigin, Origin};
pub use road::{OnSend, Road};
