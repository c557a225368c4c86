//! Remembers reports and lets one fetch serve many callers.
//!
//! Knows nothing of HTTP, tokens or quotas: it calls whatever service it wraps, and says of each answer how it was
//! come by. Freshness is decided here, on tokio's clock; moka only bounds the memory.

mod entry;
mod flight;
mod layer;
mod memory;
mod served;
mod store;
mod variant;

pub use entry::{Entry, Standing, Trouble};
pub use layer::{Cache, CacheLayer};
pub use memory::{Lookup, Memory, MemoryOptions, Refresh, ScarcityProbe};
pub use served::{Ask, Demand, Forward, How, Role, Served};
