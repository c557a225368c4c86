//! The cache at its seam: calls behind it are scripted, and nothing here is HTTP.

mod desk;
mod eviction;
mod failing;
mod flights;
mod memory;
mod oracle;
mod refusals;
mod room;
mod scarcity;
mod staleness;
