//! The commands: what a person or an orchestrator asks of the binary, and the exit code that it gets.

mod arguments;
mod check;
#[cfg(feature = "demo")]
mod demo;
mod healthcheck;
mod login;
mod outcome;
mod plan;
mod serve;
mod signals;

pub use arguments::run;
pub(crate) use outcome::CommandOutcome;
pub use outcome::Failure;
