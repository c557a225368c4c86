//! `healthcheck`: requests `/readyz` of a running proxy; a probe for containers without a shell.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{Request, StatusCode, header::HOST};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, runtime, time::timeout};

use super::{CommandOutcome, Failure};
use crate::settings::Settings;

/// The timeout of the probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Requests `/readyz` from the admin port in the settings.
pub(super) fn run(config: Option<&Path>) -> CommandOutcome {
    let settings = Settings::load(config, std::env::vars_os())?;
    let address = reachable(settings.admin.listen);
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::Bug(error.into()))?.block_on(async {
        let probed = timeout(PROBE_TIMEOUT, probe(address)).await.context("no response within 2 s").flatten();
        probed.map_err(|error| Failure::Unavailable(format!("not ready: {address}: {error:#}")))
    })
}

async fn probe(address: SocketAddr) -> anyhow::Result<()> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get("/readyz").header(HOST, address.to_string()).body(Empty::<Bytes>::new())?;
    let response = tokio::select! {
        response = sender.send_request(request) => response?,
        _closed = connection => bail!("the connection was closed"),
    };
    match response.status() {
        StatusCode::OK => Ok(()),
        status => bail!("/readyz responds with {status}"),
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
