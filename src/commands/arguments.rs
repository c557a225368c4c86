//! What may stand on the command line, and what each command leads to.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::{CommandOutcome, check, demo, healthcheck, login, serve};

/// A caching reverse proxy for Constant Contact's email link reports.
#[derive(Debug, Parser)]
#[command(version, about, after_help = AFTER_HELP)]
struct Arguments {
    /// Settings that go over the compiled-in defaults (TOML)
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

const AFTER_HELP: &str = "Environment variables go over the file: LINK_REPORT_PROXY__CACHE__TTL=5m is cache.ttl.\n\
    Exit codes: 0 done, 69 port or required service unavailable, 70 internal error, 78 invalid configuration.";

#[derive(Debug, Default, Clone, Copy, Subcommand)]
enum Command {
    /// Answer on both ports until SIGTERM (the default)
    #[default]
    Serve,
    /// Say what is wrong with the settings, or print the effective ones
    Check,
    /// Let a person consent in a browser, and keep the refresh token in state.dir for serve
    Login,
    /// Run the proxy in front of a simulated Constant Contact, and print lines to try
    Demo,
    /// Ask a running proxy whether it is ready; for containers without a shell
    Healthcheck,
}

/// Runs the command that the process was started with.
///
/// # Errors
/// A [`Failure`](super::Failure) knows its exit code.
pub fn run() -> CommandOutcome {
    let Arguments { config, command } = Arguments::parse();
    let config = config.as_deref();
    match command.unwrap_or_default() {
        Command::Serve => serve::run(config),
        Command::Check => check::run(config),
        Command::Login => login::run(config),
        Command::Demo => demo::run(config),
        Command::Healthcheck => healthcheck::run(config),
    }
}
