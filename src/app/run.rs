//! Life and death: ports open, answers given, and an end in which no request is lost.

use std::{future::Future, io, net::SocketAddr, num::NonZeroUsize, sync::Arc};

use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::App;
use crate::{
    admin::Admin,
    server::{ConnectionLimits, Listener},
    settings::Settings,
};

/// Enough for a scraper, probes and a person.
const ADMIN_CONNECTIONS: NonZeroUsize = NonZeroUsize::new(64).expect("more than none");

/// The addresses that were bound.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// The data port.
    pub data: SocketAddr,
    /// The admin port.
    pub admin: SocketAddr,
}

/// A port cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("{key}: cannot listen on {address}: {source}")]
pub struct RunError {
    key: &'static str,
    address: SocketAddr,
    source: io::Error,
}

/// Opens both ports, tells `listening` which they are, and answers until `stop` is done; then drains for at most
/// `shutdown.grace`.
///
/// # Errors
/// If a port cannot be had.
pub async fn run(
    app: App,
    settings: &Settings,
    listening: impl FnOnce(Ports),
    stop: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let App { front, admin, background } = app;
    let limits =
        ConnectionLimits { head: settings.server.header_timeout, idle: settings.server.idle_timeout };
    let (data, data_address) =
        bind("server.listen", settings.server.listen, settings.server.max_connections, limits)?;
    let (second, admin_address) = bind("admin.listen", settings.admin.listen, ADMIN_CONNECTIONS, limits)?;
    let data = data.counted_by(admin.metrics.requests.connections().clone());

    let background: Vec<_> = background.into_iter().map(tokio::spawn).collect();
    let (connections, drain) = (TaskTracker::new(), CancellationToken::new());
    let accepting = tokio::spawn(data.serve(move |_| Arc::clone(&front), drain.clone(), connections.clone()));
    // The admin port answers to the very end: whoever watches the drain asks it.
    let (second_connections, second_drain) = (TaskTracker::new(), CancellationToken::new());
    let state = Arc::clone(&admin);
    let second_accepting = tokio::spawn(second.serve(
        move |peer| Arc::new(Admin::new(Arc::clone(&state), peer)),
        second_drain.clone(),
        second_connections.clone(),
    ));
    admin.readiness.ready();
    tracing::info!(data = %data_address, admin = %admin_address, version = env!("CARGO_PKG_VERSION"), "listening");
    listening(Ports { data: data_address, admin: admin_address });

    stop.await;
    admin.readiness.draining();
    tracing::info!(grace_s = settings.shutdown.grace.as_secs(), "draining");
    drain.cancel();
    connections.close();
    let drained = timeout(settings.shutdown.grace, async {
        let _ended = accepting.await;
        connections.wait().await;
    });
    // A renewal under way is written down first: its answer may be the only copy of the refresh token.
    let renewed = timeout(settings.shutdown.grace, admin.tokens.finish());
    let (drained, renewed) = tokio::join!(drained, renewed);
    match drained {
        Ok(()) => tracing::info!("drained"),
        Err(_late) => {
            tracing::warn!(
                connections = connections.len(),
                "shutdown.grace elapsed, closing open connections"
            );
        }
    }
    if renewed.is_err() {
        tracing::warn!(
            "shutdown.grace elapsed during a token renewal; a rotating refresh token that it has used up is lost"
        );
    }
    second_drain.cancel();
    second_accepting.abort();
    for task in background {
        task.abort();
    }
    Ok(())
}

fn bind(
    key: &'static str,
    address: SocketAddr,
    max_connections: NonZeroUsize,
    limits: ConnectionLimits,
) -> Result<(Listener, SocketAddr), RunError> {
    let failed = |source| RunError { key, address, source };
    let listener = Listener::bind(address, max_connections, limits).map_err(failed)?;
    let bound = listener.address().map_err(failed)?;
    Ok((listener, bound))
}
