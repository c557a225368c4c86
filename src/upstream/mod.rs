//! The HTTP client of the upstream: connects, sends the request for a report key, for statistics or for
//! the status of an activity, and interprets the response.
//!
//! It knows how to connect, the format of the request, the meaning of each status and the size limit of a body. It must
//! not depend on the cache, the quota or the token: those are layers above [`Fetch`], or between [`Fetch`] and
//! [`HttpClient`]. [`FormClient`] posts forms to the authorization server.

mod activity;
mod body;
mod client;
mod connect;
mod connections;
mod fetch;
mod form;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod headers;
mod recent_calls;
mod request;
mod response;
mod retry_after;
mod statistics;
#[cfg(test)]
mod tests;
mod tracked_body;

pub(crate) use client::{HttpClient, OnSend};
pub(crate) use connect::ConnectSetupError;
pub use connect::{ConnectFailed, ConnectOptions, Connector};
pub(crate) use fetch::{Fetch, FetchLimits};
pub(crate) use form::{FormClient, FormRequest, FormResponse, PostError};
pub(crate) use recent_calls::{CallsSummary, FailedCall, RecentCalls};
