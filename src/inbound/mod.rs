//! The data port: from a request's head to a question for the cache, and back to an answer's head.
//!
//! Knows HTTP and every word of the contract's first chapter. Knows nothing of the upstream's HTTP, its quota or its
//! token: it sees [`ReportKey`](crate::report::ReportKey)s go down and [`Served`](crate::cache::Served) or a
//! [`FetchError`](crate::report::FetchError) come up.

mod access_log;
mod cache_status;
mod endpoint;
mod negotiate;
mod prebuilt;
mod problem;
mod proxy_status;
mod rejection;
mod request_id;
mod respond;
mod service;

pub use access_log::{AccessLog, RequestOutcome};
pub use endpoint::{CrossOrigin, NoCache, ReportEndpoint, ServiceContext};
pub use problem::Problem;
pub use rejection::{Rejection, Respond, RespondLayer};
pub use request_id::RequestId;
pub use respond::Responder;
pub use service::{BodyPresence, ReportService, ResponseFuture, SlowPath};
