//! The client side: from a question in the domain's words to bytes on a wire, and back.
//!
//! Knows how to connect, what the request looks like, what each status means and how much of a body is enough. Must
//! never know who asks, what is remembered, what may be spent, or what the token is: others stand above it or
//! between its two services, [`Fetch`] and [`HttpClient`]. A [`FormClient`] is the same for the authorization server.

mod body;
mod client;
mod connect;
mod fetch;
mod form;
mod request;
mod response;
mod retry_after;
#[cfg(test)]
mod tests;

pub(crate) use client::{HttpClient, OnSend};
pub(crate) use connect::ConnectSetupError;
pub use connect::{ConnectFailed, ConnectOptions, Connector};
pub(crate) use fetch::{Fetch, FetchLimits};
pub(crate) use form::{FormClient, FormRequest, FormResponse, PostError};
