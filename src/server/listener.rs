//! A listening port: accepts up to its cap, and drains when told.

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

/// When accepting fails for want of something (file descriptors, mostly), it is tried again after this.
const PAUSE: Duration = Duration::from_millis(100);

/// Connections that the kernel holds before they are accepted; it takes less where `net.core.somaxconn` says so. Dashboards
/// come in herds.
const BACKLOG: u32 = 4_096;

/// A bound port.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    limits: ConnectionLimits,
    permits: Arc<Semaphore>,
    connections: Arc<OpenConnections>,
    open: Option<IntGauge>,
}

/// Counts and lists a connection as long as it is open.
struct ConnectionSlot {
    _listed: Listed,
    _place: OwnedSemaphorePermit,
    open: Option<IntGauge>,
}

// === impl Listener ===

impl Listener {
    /// Binds a port.
    ///
    /// # Errors
    /// If the address cannot be had.
    pub(crate) fn bind(
        address: SocketAddr,
        max_connections: NonZeroUsize,
        limits: ConnectionLimits,
    ) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A restart takes its port back at once.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let socket = socket.listen(BACKLOG)?;
        let permits = Arc::new(Semaphore::new(max_connections.get().min(Semaphore::MAX_PERMITS)));
        Ok(Self { socket, limits, permits, connections: Arc::default(), open: None })
    }

    /// Shows on `gauge` how many connections are open.
    #[must_use]
    pub(crate) fn counted_by(self, gauge: IntGauge) -> Self {
        Self { open: Some(gauge), ..self }
    }

    /// The address that was bound, with its real port.
    ///
    /// # Errors
    /// If the system does not tell.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Accepts and serves until `drain` is cancelled; then closes the port at once. Connections live on in `tracker`
    /// until what they asked is answered. Each connection is served by what `service` makes for its peer.
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
                let place = self.place().await;
                let handle = Arc::new(ConnectionHandle::new(self.limits.into(), Instant::now()));
                let counted = self.count(place, Arc::clone(&handle));
                let (service, drain) = (service(peer), drain.child_token());
                tracker.spawn(async move {
                    serve_listed(stream, service, &handle, drain).await;
                    drop(counted);
                });
            }
        };
        let _never = drain.run_until_cancelled(accepting).await;
    }

    async fn accept(&self) -> (TcpStream, SocketAddr) {
        let (stream, peer) = loop {
            match self.socket.accept().await {
                Ok(accepted) => break accepted,
                Err(error) if is_of_the_peer(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(PAUSE).await;
                }
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot turn off Nagle's algorithm");
        }
        (stream, peer)
    }

    /// A place for a connection that was accepted. At the cap the quietest connection makes room, so that those who say
    /// nothing keep nobody out; while each waits for its answer, the kernel's queue holds what comes meanwhile.
    async fn place(&self) -> OwnedSemaphorePermit {
        loop {
            if self.permits.available_permits() == 0 {
                self.connections.close_quietest(Instant::now());
            }
            // One that was told to go, or that has become quiet since, is looked for again.
            match timeout(PAUSE, Arc::clone(&self.permits).acquire_owned()).await {
                Ok(Ok(place)) => break place,
                Ok(Err(_never_closed)) => sleep(PAUSE).await,
                Err(_all_busy) => {}
            }
        }
    }

    fn count(&self, place: OwnedSemaphorePermit, handle: Arc<ConnectionHandle>) -> ConnectionSlot {
        if let Some(open) = &self.open {
            open.inc();
        }
        ConnectionSlot { _listed: self.connections.list(handle), _place: place, open: self.open.clone() }
    }
}

/// The peer was gone before it was accepted: nothing of ours is wrong.
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
