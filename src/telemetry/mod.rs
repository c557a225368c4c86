//! What operators see: metrics and logs.
//!
//! Knows no other module's types: labels arrive as `&'static str` from the owner's `as_str()`. No label ever holds an
//! id, a URL or a token, so the number of series is fixed when the process starts.

mod cache;
mod calls;
mod log_writer;
pub mod logging;
mod metrics;
mod requests;
mod state;
mod token;

pub use cache::CacheMetrics;
pub use calls::{CircuitMetrics, QuotaMetrics, UpstreamMetrics};
pub use log_writer::LogWriter;
pub use metrics::Metrics;
pub use requests::{RequestMetrics, RequestSeries};
pub use state::StateMetrics;
pub use token::TokenMetrics;
