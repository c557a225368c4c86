//! The commands of the binary: `serve`, `check`, `login`, `demo`, `simulator`, `healthcheck`, `plan`, and their exit codes.

mod admin_port;
mod arguments;
mod check;
mod config_watch;
mod demo;
mod healthcheck;
mod login;
mod outcome;
mod plan;
mod serve;
mod signals;
#[cfg(feature = "demo")]
mod simulator;

pub use arguments::run;
pub(crate) use outcome::CommandOutcome;
pub use outcome::Failure;
