//! The cache at its seam: calls behind it are scripted, and nothing here is HTTP.

mod ahead;
mod derived;
mod eviction;
mod failing;
mod flights;
mod harness;
mod oracle;
mod planned;
mod probed;
mod quota_pressure;
mod reconfigured;
mod refusals;
mod report_cache;
mod restarted;
mod room;
mod staleness;
mod statistics;
