//! Remembers reports and lets one fetch serve many callers.
//!
//! Knows nothing of HTTP, tokens or quotas: it calls whatever service it wraps, and says of each answer how it was
//! come by. Freshness is decided here, on tokio's clock.

mod entry;
mod eviction;
mod failures;
mod flight;
mod layer;
mod lookup;
mod memory;
mod served;
mod settle;
mod store;
mod trouble;
mod variant;

pub use entry::{Entry, Standing};
pub use layer::{Cache, CacheLayer, Unanswered};
pub use memory::{Lookup, Memory, MemoryOptions, Refresh, ScarcityProbe};
pub use served::{Ask, Demand, Forward, How, Permit, Role, Served, Stored};
pub use trouble::Trouble;
