//! The commands of the binary: `serve`, `check`, `login`, `demo`, `simulator`, `healthcheck`, `plan`,
//! `completions`, `man`, and their exit codes.

mod admin_port;
mod arguments;
mod check;
mod config_watch;
mod demo;
mod healthcheck;
mod login;
mod outcome;
mod output;
mod plan;
mod probe;
mod process_limits;
mod serve;
mod shell_files;
mod signals;
#[cfg(feature = "demo")]
mod simulator;

pub use arguments::run;
pub(crate) use outcome::CommandOutcome;
pub use outcome::Failure;
