//! The composition root: everything that answers, put together from the settings, and its life from start to end.
//!
//! The only room that knows all others. Decides who stands before whom, and nothing else.

mod dependencies;
mod run;
mod stack;

pub use dependencies::{Dependencies, Environment, SetupError};
pub use run::{Ports, RunError, run};
pub use stack::{App, Calls};
