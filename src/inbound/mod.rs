//! The data port: parses a request's head, looks the report up in the cache, and builds the response.
//!
//! Knows HTTP towards the client: routes, authentication, negotiation, errors, headers. Knows nothing about the HTTP
//! towards the upstream, its quota or its token: it passes a [`ReportKey`](crate::report::ReportKey) down and gets a
//! [`Served`](crate::cache::Served) or a [`FetchError`](crate::report::FetchError) back.

mod access_log;
mod activity;
mod cache_status;
mod limits;
mod negotiate;
mod outcome;
mod parse;
mod pending;
mod prebuilt;
mod problem;
mod proxy_status;
mod refuse;
mod rejection;
mod request_id;
mod respond;
mod service;
mod slow_path;
mod table;

pub(crate) use access_log::AccessLog;
pub(crate) use activity::ActivityResponder;
pub(crate) use limits::{InFlightLimit, deadline, shed_load, stale_if_error};
pub(crate) use outcome::RequestOutcome;
pub(crate) use parse::{CallersTraces, NoCache, OptionalHeaders, RequestParser};
pub(crate) use pending::{Pending, PendingRequest};
pub(crate) use problem::Problem;
pub(crate) use rejection::Rejection;
pub(crate) use request_id::RequestId;
pub(crate) use respond::Responder;
pub(crate) use service::SlowPath;
pub use service::{ReportService, ResponseFuture};
pub(crate) use slow_path::{Responders, catch_panic, complete_head, record, respond, trace};
pub(crate) use table::TableResponder;
