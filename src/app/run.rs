//! Runs the app: opens both ports, serves, and drains gracefully on shutdown.

use std::{
    future::{Future, pending},
    io,
    net::SocketAddr,
    num::NonZeroUsize,
    sync::Arc,
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::App;
use crate::{
    admin::Admin,
    server::{ConnectionLimits, Listener, most_connections},
    settings::{Settings, variable},
};

/// The admin port's `max_connections`: enough for a scraper, probes and a few people.
const ADMIN_CONNECTIONS: NonZeroUsize = NonZeroUsize::new(64).expect("more than none");

/// What is stored at the end may take this time, even if the drain has taken all of `shutdown.grace`. Both together are less
/// than the 30 s after which Kubernetes kills the process; nothing is lost if it does so while the store is told of the end.
const LAST_WRITES: Duration = Duration::from_secs(2);

/// The addresses that were bound, with their real ports.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// The data port.
    pub data: SocketAddr,
    /// The admin port.
    pub admin: SocketAddr,
}

/// Why a run ended, or did not begin, though nobody stopped it.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A port cannot be opened.
    #[error("{key}: cannot listen on {address}: {source} ({} sets another one)", variable(key))]
    Port {
        /// The setting.
        key: &'static str,
        /// What it is set to.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A background task has panicked, such as that which renews the token: the proxy would go on without it.
    #[error("a background task has panicked; the log has where")]
    TaskPanicked,
}

/// Opens both ports, calls `listening` with their addresses, and serves until `stop` completes, or a task panics without
/// which the proxy cannot do its work. Then drains: closes the data port, responds to the requests in flight, and waits for a
/// running token renewal, for at most `shutdown.grace`; stores the refresh plan and the snapshot of the cache in what is left
/// of it, or in two seconds; sends the last spans in two seconds of that.
///
/// # Errors
/// [`RunError`]
pub async fn run(
    app: App,
    settings: &Settings,
    listening: impl FnOnce(Ports),
    stop: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let App { front, admin, plan, snapshot, membership, live: _, traces, background } = app;
    let limits =
        ConnectionLimits { head: settings.server.header_timeout, idle: settings.server.idle_timeout };
    let (wanted, most) = (settings.server.max_connections, most_connections(settings.server.max_connections));
    if most < wanted {
        tracing::warn!(
            wanted,
            most,
            "server.max_connections is more than the process may open: raise the limit of open files (ulimit -n, \
             LimitNOFILE=) or lower the setting"
        );
    }
    let (data, data_address) = bind("server.listen", settings.server.listen, most, limits)?;
    let (second, admin_address) = bind("admin.listen", settings.admin.listen, ADMIN_CONNECTIONS, limits)?;
    let data = data.counted_by(admin.metrics.requests.connections().clone());

    let mut background: JoinSet<()> = background.into_iter().collect();
    let (connections, drain) = (TaskTracker::new(), CancellationToken::new());
    let mut accepting = JoinSet::new();
    accepting.spawn(data.serve(move |_| Arc::clone(&front), drain.clone(), connections.clone()));
    // The admin port is open until the drain is over, so that the drain can be watched.
    let (second_connections, second_drain) = (TaskTracker::new(), CancellationToken::new());
    let state = Arc::clone(&admin);
    background.spawn(second.serve(
        move |peer| Arc::new(Admin::new(Arc::clone(&state), peer)),
        second_drain.clone(),
        second_connections.clone(),
    ));
    admin.readiness.ready();
    tracing::info!(data = %data_address, admin = %admin_address, version = env!("CARGO_PKG_VERSION"), "listening");
    listening(Ports { data: data_address, admin: admin_address });

    let ended = tokio::select! {
        () = stop => Ok(()),
        () = panicked(&mut background) => Err(RunError::TaskPanicked),
        () = panicked(&mut accepting) => Err(RunError::TaskPanicked),
    };
    if let Err(panicked) = &ended {
        tracing::error!("the process ends, to be started again: {panicked}");
    }
    let stopped_at = Instant::now();
    admin.readiness.draining();
    tracing::info!(grace_s = settings.shutdown.grace.as_secs(), "draining");
    drain.cancel();
    connections.close();
    let drained = timeout(settings.shutdown.grace, async {
        while accepting.join_next().await.is_some() {}
        connections.wait().await;
    });
    // A running renewal may finish and be stored: its response may hold the only valid refresh token.
    let renewed = timeout(settings.shutdown.grace, admin.tokens.finish());
    let (drained, renewed) = tokio::join!(drained, renewed);
    match drained {
        Ok(()) => tracing::info!("drained"),
        Err(_late) => {
            tracing::warn!(
                connections = connections.len(),
                "shutdown.grace elapsed before all requests had a response, closing open connections"
            );
        }
    }
    if renewed.is_err() {
        tracing::warn!(
            "shutdown.grace elapsed during a token renewal; if the refresh token rotates, the new one may be lost: run `link-report-proxy login` if the next start fails to renew"
        );
    }
    let writes_end = (stopped_at + settings.shutdown.grace).max(Instant::now() + LAST_WRITES);
    let (plan, snapshot, spans) = tokio::join!(
        timeout_at(writes_end, plan.save()),
        timeout_at(writes_end, async {
            if let Some(snapshot) = &snapshot {
                snapshot.save().await;
            }
        }),
        // No longer: a receiver that hangs must not hold up the end.
        timeout_at(writes_end.min(Instant::now() + LAST_WRITES), async {
            if let Some(traces) = &traces {
                traces.flush().await;
            }
        })
    );
    if spans.is_err() {
        tracing::warn!("telemetry.otlp_endpoint did not take the last spans in time: they are lost");
    }
    for (what, stored) in [("the refresh plan", plan), ("the snapshot of the cache", snapshot)] {
        if stored.is_err() {
            tracing::warn!(
                what,
                "shutdown.grace elapsed while this was stored: the next start continues from an older one"
            );
        }
    }
    if let Some(membership) = membership {
        membership.leave().await;
    }
    second_drain.cancel();
    // Ended before the runtime is: a task that outlives the runtime's threads would take their end for a failure.
    background.shutdown().await;
    ended
}

/// Completes when one of them has panicked. One that has come to its end had nothing more to do.
async fn panicked(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if ended.is_err() {
            return;
        }
    }
    pending::<()>().await;
}

fn bind(
    key: &'static str,
    address: SocketAddr,
    max_connections: NonZeroUsize,
    limits: ConnectionLimits,
) -> Result<(Listener, SocketAddr), RunError> {
    let failed = |source| RunError::Port { key, address, source };
    let listener = Listener::bind(address, max_connections, limits).map_err(failed)?;
    let bound = listener.address().map_err(failed)?;
    Ok((listener, bound))
}
