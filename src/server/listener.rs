//! A listening port: accepts connections up to `max_connections`, and drains gracefully on shutdown.

use std::{convert::Infallible, io, net::SocketAddr, num::NonZeroUsize, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::{body::Incoming, service::Service};
use prometheus::IntGauge;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Body, ConnectionLimits,
    connection::serve_listed,
    handles::{ConnectionHandle, Listed, OpenConnections},
};

/// The pause after accepting failed (usually: no file descriptor left), and between two attempts to free a place.
const PAUSE: Duration = Duration::from_millis(100);

/// The listen backlog: connections that the kernel queues until they are accepted, at most `net.core.somaxconn`. Large,
/// since many dashboards connect at the same moment.
const BACKLOG: u32 = 4_096;

/// A bound and listening port.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    limits: ConnectionLimits,
    permits: Arc<Semaphore>,
    connections: Arc<OpenConnections>,
    open: Option<IntGauge>,
}

/// Counts and lists a connection until it is dropped, and holds its permit.
struct ConnectionSlot {
    _listed: Listed,
    _permit: OwnedSemaphorePermit,
    open: Option<IntGauge>,
}

// === impl Listener ===

impl Listener {
    /// Binds a port and starts listening.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub(crate) fn bind(
        address: SocketAddr,
        max_connections: NonZeroUsize,
        limits: ConnectionLimits,
    ) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // So that a restarted process can bind the port at once, despite connections in TIME_WAIT.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let socket = socket.listen(BACKLOG)?;
        let permits = Arc::new(Semaphore::new(max_connections.get().min(Semaphore::MAX_PERMITS)));
        Ok(Self { socket, limits, permits, connections: Arc::default(), open: None })
    }

    /// Counts the open connections in `gauge`.
    #[must_use]
    pub(crate) fn counted_by(self, gauge: IntGauge) -> Self {
        Self { open: Some(gauge), ..self }
    }

    /// The address that was bound, with the port that the system chose if it was 0.
    ///
    /// # Errors
    /// If the system call fails.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Accepts and serves until `drain` is cancelled, then closes the port at once. Open connections continue in `tracker`
    /// until their requests have responses. `service` makes the service of each connection, from its peer's address.
    pub(crate) async fn serve<S>(
        self,
        service: impl Fn(SocketAddr) -> Arc<S>,
        drain: CancellationToken,
        tracker: TaskTracker,
    ) where
        S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Send + Sync + 'static,
        S::Future: Send,
    {
        let accepting = async {
            loop {
                let (stream, peer) = self.accept().await;
                let permit = self.permit().await;
                let handle = Arc::new(ConnectionHandle::new(self.limits.into(), Instant::now()));
                let slot = self.slot(permit, Arc::clone(&handle));
                let (service, drain) = (service(peer), drain.child_token());
                tracker.spawn(async move {
                    serve_listed(stream, service, &handle, drain).await;
                    drop(slot);
                });
            }
        };
        let _never = drain.run_until_cancelled(accepting).await;
    }

    /// The next connection. Where accepting fails, the connection that was idle the longest is closed: its file descriptor
    /// is the next one's.
    async fn accept(&self) -> (TcpStream, SocketAddr) {
        let mut failures = 0_u32;
        let (stream, peer) = loop {
            match self.socket.accept().await {
                Ok(accepted) => break accepted,
                Err(error) if is_of_the_peer(&error) => {}
                Err(error) => {
                    if failures == 0 {
                        tracing::warn!(
                            %error,
                            "cannot accept a connection: closing one that is idle, and trying again every 100 ms"
                        );
                    }
                    failures = failures.saturating_add(1);
                    self.connections.close_quietest(Instant::now());
                    sleep(PAUSE).await;
                }
            }
        };
        if failures > 0 {
            tracing::info!(failures, "accepting connections again");
        }
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot turn off Nagle's algorithm");
        }
        (stream, peer)
    }

    /// A permit for a connection that was accepted. At `max_connections`, the connection that was idle the longest is
    /// closed first, so that idle clients do not block others. If all are processing requests, this waits, and new
    /// connections wait in the kernel's backlog.
    async fn permit(&self) -> OwnedSemaphorePermit {
        loop {
            if self.permits.available_permits() == 0 {
                self.connections.close_quietest(Instant::now());
            }
            // Try again after a pause: the connection may have got a request instead of closing, or another is idle now.
            match timeout(PAUSE, Arc::clone(&self.permits).acquire_owned()).await {
                Ok(Ok(permit)) => break permit,
                Ok(Err(_never_closed)) => sleep(PAUSE).await,
                Err(_all_busy) => {}
            }
        }
    }

    fn slot(&self, permit: OwnedSemaphorePermit, handle: Arc<ConnectionHandle>) -> ConnectionSlot {
        if let Some(open) = &self.open {
            open.inc();
        }
        ConnectionSlot { _listed: self.connections.list(handle), _permit: permit, open: self.open.clone() }
    }
}

/// Did the client disconnect before its connection was accepted? Not an error of this process.
fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

// === impl ConnectionSlot ===

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        if let Some(open) = &self.open {
            open.dec();
        }
    }
}
