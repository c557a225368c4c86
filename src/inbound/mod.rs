//! The road in: from a byte on a socket to a question for the cache, and back to an answer's head.
//!
//! Knows HTTP and every word of the contract's first chapter. Knows nothing of the upstream's HTTP, its quota or its
//! token: it sees [`ReportKey`](crate::report::ReportKey)s go down and [`Served`](crate::cache::Served) or a
//! [`FetchError`](crate::report::FetchError) come up.

mod cache_status;
mod clients;
mod connection;
mod endpoint;
mod front;
mod listen;
mod negotiate;
mod pace;
mod problem;
mod proxy_status;
mod record;
mod rejection;
mod request_id;
mod respond;

pub use clients::Clients;
pub use connection::{ConnectionLimits, serve_connection};
pub use endpoint::{Answers, CrossOrigin, NoCache, ReportEndpoint};
pub use front::{Front, LongRoad, Payload, Reply};
pub use listen::Listener;
pub use problem::Problem;
pub use record::{Outcome, Recorder};
pub use rejection::{Rejection, Respond, RespondLayer};
pub use request_id::RequestId;
pub use respond::{Body, Responder};
