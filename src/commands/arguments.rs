//! Command line arguments (clap), and the dispatch to each command.

use std::path::PathBuf;

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

#[cfg(feature = "demo")]
use super::simulator;
use super::{CommandOutcome, check, demo, healthcheck, login, output, plan, serve, shell_files};
use crate::settings::{CONFIG_VARIABLE, DEFAULTS};

/// A caching reverse proxy for Constant Contact's email link reports.
#[derive(Debug, Parser)]
#[command(version = env!("LINK_REPORT_PROXY_VERSION"), about, after_help = AFTER_HELP)]
struct Arguments {
    /// TOML file with settings that override the compiled-in defaults
    #[arg(long, global = true, value_name = "FILE", env = CONFIG_VARIABLE, hide_env_values = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

const AFTER_HELP: &str = "Environment variables override the file: LINK_REPORT_PROXY__CACHE__TTL=5m sets cache.ttl.\n\
    Exit codes: 0 done, 69 port or required service unavailable, 70 internal error, 78 invalid configuration.";

#[derive(Debug, Default, Subcommand)]
enum Command {
    /// Run the proxy until SIGTERM or SIGINT (the default)
    #[default]
    Serve,
    /// Check the settings: print every error, or the effective settings
    Check(check::CheckOptions),
    /// Print settings
    #[command(subcommand)]
    Config(PrintedConfig),
    /// Get a refresh token by signing in with a browser, and store it in state.dir for serve
    Login,
    /// Run the proxy in front of a simulated Constant Contact, and print commands to try
    #[cfg_attr(not(feature = "demo"), command(hide = true))]
    Demo(demo::DemoOptions),
    /// Run the simulated Constant Contact alone, and print the settings of a proxy in front of it
    #[cfg(feature = "demo")]
    Simulator(simulator::SimulatorArguments),
    /// Check whether a running proxy is ready; for containers without a shell
    Healthcheck,
    /// Simulate a day of calls, and print what each way to refresh makes of it
    Plan(Box<plan::PlanArguments>),
    /// Print a script that completes the arguments in a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page of this program, or of one of its commands
    Man(shell_files::ManArguments),
}

#[derive(Debug, Subcommand)]
enum PrintedConfig {
    /// Print the compiled-in settings file: every setting with its default, its unit and the reason for it
    Default,
}

/// Runs the command that the process was started with.
///
/// # Errors
/// A [`Failure`](super::Failure), which has the exit code.
pub fn run() -> CommandOutcome {
    let Arguments { config, command } = Arguments::parse();
    let config = config.as_deref();
    match command.unwrap_or_default() {
        Command::Serve => serve::run(config),
        Command::Check(options) => check::run(config, options),
        Command::Config(PrintedConfig::Default) => output::print(DEFAULTS),
        Command::Login => login::run(config),
        Command::Demo(options) => demo::run(config, &options),
        #[cfg(feature = "demo")]
        Command::Simulator(arguments) => simulator::run(&arguments),
        Command::Healthcheck => healthcheck::run(config),
        Command::Plan(arguments) => plan::run(*arguments),
        Command::Completions { shell } => shell_files::completions(shell, Arguments::command()),
        Command::Man(arguments) => shell_files::man(arguments, Arguments::command()),
    }
}
