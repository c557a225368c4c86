//! Stores reports and lets one fetch serve many callers.
//!
//! Knows nothing of HTTP, tokens or quotas: it calls the service that it wraps, and says of each answer where it came
//! from. Freshness is decided here, on tokio's clock.

mod apply_fetch;
mod entry;
mod eviction;
mod failures;
mod flight;
mod freshness;
mod gzip;
mod index;
mod layer;
mod lookup;
mod recent_map;
mod refresh_failure;
mod report_cache;
mod served;
mod statistics;

pub use entry::Entry;
pub use freshness::Freshness;
pub use layer::{Cache, CacheLayer, Unanswered};
pub use refresh_failure::RefreshFailure;
pub use report_cache::{CacheOptions, Lookup, Refresh, ReportCache};
pub use served::{CacheRequest, Forward, Permit, Revalidate, Role, Served, ServedFrom, StoreOutcome};
pub use statistics::{ActivityStatistics, ClickChange, ClickCount, FormStatistics, Removal, Removed};
