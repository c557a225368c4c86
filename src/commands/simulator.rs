//! `simulator`: the simulated Constant Contact alone, for proxies in other processes.

use std::{io::Write as _, net::SocketAddr};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use tokio::{net::TcpListener, runtime::Builder};

use super::{CommandOutcome, Failure, signals::Signals};
use crate::simulator::{Options, RefreshTokenPolicy, Simulator};

/// The arguments of `simulator`.
#[derive(Debug, Args)]
pub(super) struct SimulatorArguments {
    /// Where it listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// What a renewal does with its refresh token
    #[arg(long, value_name = "KIND", default_value = "rotating")]
    refresh_tokens: RefreshTokenKind,
    /// How long an access token works
    #[arg(long, value_name = "DURATION", default_value_t = Options::default().access_token_lifetime.into())]
    access_token_lifetime: humantime::Duration,
    /// Calls that it allows in a UTC day
    #[arg(long, value_name = "N", default_value_t = Options::default().per_day)]
    calls_per_day: u32,
}

/// As the vendor's portal names them.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum RefreshTokenKind {
    /// Each works once
    Rotating,
    /// It stays the same
    LongLived,
}

/// Serves until SIGTERM or SIGINT.
pub(super) fn run(arguments: &SimulatorArguments) -> CommandOutcome {
    let runtime = Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("cannot start the runtime").map_err(Failure::Bug)?;
    let outcome = runtime.block_on(serve(arguments));
    runtime.shutdown_background();
    outcome
}

async fn serve(arguments: &SimulatorArguments) -> CommandOutcome {
    let signals = Signals::catch().map_err(Failure::Bug)?;
    let listener = TcpListener::bind(arguments.listen).await;
    let listener =
        listener.map_err(|error| Failure::Unavailable(format!("--listen {}: {error}", arguments.listen)))?;
    let address = listener.local_addr().context("the simulator").map_err(Failure::Bug)?;
    let rotation = arguments.refresh_tokens.policy();
    let simulator = Simulator::new(Options {
        rotation,
        access_token_lifetime: arguments.access_token_lifetime.into(),
        per_day: arguments.calls_per_day,
        ..Options::default()
    });
    // It runs even if standard output is closed.
    let _printed = std::io::stdout().write_all(greeting(&simulator, address).as_bytes());
    tokio::select! {
        never = simulator.serve(listener) => match never {},
        () = signals.first() => Ok(()),
    }
}

/// What a proxy in front of it is to be started with.
fn greeting(simulator: &Simulator, address: SocketAddr) -> String {
    let Options { client_id, .. } = simulator.options();
    let refresh_token = simulator.refresh_token();
    let oauth = format!("http://{address}/oauth2/default/v1");
    format!(
        "# A simulated Constant Contact. Its faults: http://{address}/_simulator/\n\
         LINK_REPORT_PROXY__UPSTREAM__BASE_URL=http://{address}\n\
         LINK_REPORT_PROXY__TOKEN__SOURCE=refresh\n\
         LINK_REPORT_PROXY__TOKEN__CLIENT_ID={client_id}\n\
         LINK_REPORT_PROXY__TOKEN__TOKEN_URL={oauth}/token\n\
         LINK_REPORT_PROXY__TOKEN__DEVICE_AUTHORIZATION_URL={oauth}/device/authorize\n\
         LINK_REPORT_PROXY__TOKEN__REFRESH_TOKEN={refresh_token}\n"
    )
}

// === impl RefreshTokenKind ===

impl RefreshTokenKind {
    const fn policy(self) -> RefreshTokenPolicy {
        match self {
            Self::Rotating => RefreshTokenPolicy::Rotating,
            Self::LongLived => RefreshTokenPolicy::LongLived,
        }
    }
}
