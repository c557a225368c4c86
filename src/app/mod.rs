//! The composition root: everything that answers, put together from the settings, and its life from start to end.
//!
//! The only module that knows all others. Decides the order of the layers, and nothing else.

mod dependencies;
mod labels;
mod run;
mod stack;

pub use dependencies::{Dependencies, Environment, SetupError};
pub use run::{Ports, RunError, run};
pub use stack::{App, Calls};
