//! Remembers reports and lets one fetch serve many callers.
//!
//! Knows nothing of HTTP, tokens or quotas: it calls whatever service it wraps, and says of each answer how it was
//! come by. Freshness is decided here, on tokio's clock.

mod apply_fetch;
mod entry;
mod eviction;
mod failures;
mod flight;
mod gzip;
mod index;
mod layer;
mod lookup;
mod refresh_failure;
mod report_cache;
mod served;

pub use entry::{Entry, Freshness};
pub use layer::{Cache, CacheLayer, Unanswered};
pub use refresh_failure::RefreshFailure;
pub use report_cache::{CacheOptions, Lookup, Refresh, ReportCache};
pub use served::{CacheRequest, Forward, Miss, Permit, Revalidate, Role, Served, ServedFrom, StoreOutcome};
