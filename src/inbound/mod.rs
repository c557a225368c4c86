//! The data port: from a request's head to a question for the cache, and back to an answer's head.
//!
//! Knows HTTP and every word of the contract's first chapter. Knows nothing of the upstream's HTTP, its quota or its
//! token: it sees [`ReportKey`](crate::report::ReportKey)s go down and [`Served`](crate::cache::Served) or a
//! [`FetchError`](crate::report::FetchError) come up.

mod access_log;
mod cache_status;
mod from_fn;
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

pub use access_log::{AccessLog, AccessLogEntry};
pub use from_fn::{FromFn, FromFnLayer, from_fn};
pub use limits::{InFlightLimit, deadline, shed_load, stale_if_error};
pub use outcome::RequestOutcome;
pub use parse::{CrossOrigin, NoCache, RequestParser};
pub use pending::{BodyPresence, Pending, PendingRequest};
pub use problem::Problem;
pub use rejection::Rejection;
pub use request_id::RequestId;
pub use respond::Responder;
pub use service::{ReportService, ResponseFuture, SlowPath};
pub use slow_path::{Answered, catch_panic, complete_head, record, respond, trace};
