//! `healthcheck`: requests `/readyz` of a running proxy; a probe for containers without a shell.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use http::StatusCode;
use tokio::runtime;

use super::{CommandOutcome, Failure, admin_port};
use crate::settings::SettingsSources;

/// The timeout of the probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Requests `/readyz` from the admin port in the settings.
pub(super) fn run(config: Option<&Path>) -> CommandOutcome {
    let address = reachable(SettingsSources::new(config, std::env::vars_os()).admin_listen()?);
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let authority = address.to_string();
    let probe = admin_port::get(&authority, "/readyz", PROBE_TIMEOUT);
    let not_ready =
        |why: &dyn std::fmt::Display| Failure::Unavailable(format!("not ready: {address}: {why}"));
    match runtime.map_err(|error| Failure::Bug(error.into()))?.block_on(probe) {
        Ok(response) if response.status == StatusCode::OK => Ok(()),
        Ok(response) => Err(not_ready(&format_args!("/readyz responds with {}", response.status))),
        Err(error) => Err(not_ready(&error)),
    }
}

/// The address to connect to: loopback for a port that listens on every address.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, listen.port())
}
