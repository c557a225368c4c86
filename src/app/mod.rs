//! The composition root: everything that answers, put together from the settings, and its life from start to end.
//!
//! The only module that knows all others. Decides the order of the layers, and nothing else.

mod calls;
mod composition;
mod credentials;
mod dependencies;
mod labels;
mod options;
mod run;
mod stack;

pub use calls::{Calls, calls};
pub use composition::App;
pub(crate) use dependencies::SetupError;
pub use dependencies::{Dependencies, Environment};
pub use options::{cache_options, quota_limits};
pub use run::{Ports, RunError, run};
pub use stack::{RequestLimits, data_port, misses};
