//! The cache at its seam: calls behind it are scripted, and nothing here is HTTP.

mod desk;
mod flights;
mod memory;
mod oracle;
mod scarcity;
mod staleness;
