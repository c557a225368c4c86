//! What operators see: metrics, logs and traces.
//!
//! Knows no other module's types: label values arrive as `&'static str` from the owner's `as_str()`. All of them are
//! announced at the start, from the owner's `ALL` (`app/labels.rs`), so that every series begins at zero; a value that was
//! not is counted all the same. No label ever holds an id, a URL or a token, so the number of series is bounded.

mod cache;
mod calls;
mod clients;
mod config;
mod derivation;
mod fleet;
mod log_writer;
pub mod logging;
mod metrics;
mod probes;
mod requests;
mod series;
mod sharded_histogram;
mod shared;
mod shared_reports;
mod snapshot;
mod state;
mod token;
mod totals;
pub mod traces;

pub use cache::EvictionCause;
pub(crate) use cache::{CacheMetrics, RefreshResult};
pub(crate) use calls::{CallStatus, CircuitMetrics, QuotaMetrics, ThrottleKind, UpstreamMetrics};
pub(crate) use clients::ClientMetrics;
pub(crate) use config::ConfigMetrics;
pub use fleet::FleetMetrics;
pub use metrics::Metrics;
pub(crate) use requests::{RequestMetrics, RequestSeries};
pub use shared::SharedMetrics;
pub use shared_reports::SharedReportMetrics;
pub(crate) use snapshot::SnapshotMetrics;
pub(crate) use state::StateMetrics;
pub(crate) use token::{FleetTokenMetrics, TokenMetrics};
pub use totals::{AgeCounts, Totals};
