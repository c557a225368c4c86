//! The road in: from a request's head to a question for the cache, and back to an answer's head.
//!
//! Knows HTTP and every word of the contract's first chapter. Knows nothing of the upstream's HTTP, its quota or its
//! token: it sees [`ReportKey`](crate::report::ReportKey)s go down and [`Served`](crate::cache::Served) or a
//! [`FetchError`](crate::report::FetchError) come up.

mod cache_status;
mod endpoint;
mod front;
mod negotiate;
mod problem;
mod proxy_status;
mod ready;
mod record;
mod rejection;
mod request_id;
mod respond;

pub use endpoint::{Answers, CrossOrigin, NoCache, ReportEndpoint};
pub use front::{Front, LongRoad, Payload, Reply};
pub use problem::Problem;
pub use record::{Outcome, Recorder};
pub use rejection::{Rejection, Respond, RespondLayer};
pub use request_id::RequestId;
pub use respond::Responder;
