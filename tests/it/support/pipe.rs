//! The upstream connector in memory: connections that end in a simulated vendor, fail, or panic.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    task::Poll,
    time::Duration,
};

use http::Uri;
use hyper_util::client::legacy::connect::Connect;
use link_report_proxy::{
    report::Unreachable,
    simulator::{Pipe, Simulator},
    upstream::ConnectFailed,
};
use tokio::{io::DuplexStream, task::JoinSet};

/// Makes every new connection to the upstream. Clones share their state.
#[derive(Clone)]
pub(crate) struct PipeConnector {
    vendor: Simulator,
    connection: Arc<Mutex<Connection>>,
    connections: Arc<Mutex<JoinSet<()>>>,
    handshakes: Arc<Mutex<VecDeque<Duration>>>,
    freezes: Arc<AtomicU32>,
}

/// What happens to a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connection {
    /// It reaches the vendor.
    Vendor,
    /// It fails.
    Nowhere(Unreachable),
    /// The connector panics.
    Panic,
}

// === impl PipeConnector ===

impl PipeConnector {
    pub(crate) fn to(vendor: &Simulator) -> Self {
        Self {
            vendor: vendor.clone(),
            connection: Arc::new(Mutex::new(Connection::Vendor)),
            connections: Arc::default(),
            handshakes: Arc::default(),
            freezes: Arc::default(),
        }
    }

    /// The next connections take so long to make, one after the other; those after them no time.
    pub(crate) fn with_handshakes(self, handshakes: Vec<Duration>) -> Self {
        *self.handshakes.lock().unwrap() = handshakes.into();
        self
    }

    /// From now on new connections end there.
    pub(crate) fn set_connection(&self, connection: Connection) {
        *self.connection.lock().unwrap() = connection;
    }

    /// Nothing comes through any more, on connections old or new.
    pub(crate) fn cut(&self) {
        self.set_connection(Connection::Nowhere(Unreachable::Connect));
        self.connections.lock().unwrap().abort_all();
    }

    /// Nothing comes through any more on the connections that there are, which stay open; new ones work.
    pub(crate) fn freeze(&self) {
        self.freezes.fetch_add(1, Relaxed);
    }

    pub(crate) fn connector(&self) -> impl Connect + Clone + Send + Sync + use<> {
        let connector = self.clone();
        tower::service_fn(move |_origin: Uri| Box::pin(connector.clone().connect()))
    }

    async fn connect(self) -> Result<Pipe<DuplexStream>, ConnectFailed> {
        let handshake = self.handshakes.lock().unwrap().pop_front();
        if let Some(handshake) = handshake {
            tokio::time::sleep(handshake).await;
        }
        let connection = *self.connection.lock().unwrap();
        match connection {
            Connection::Vendor => {
                let (ours, theirs) = tokio::io::duplex(64 * 1024);
                let mut connections = self.connections.lock().unwrap();
                let (freezes, made_after) = (Arc::clone(&self.freezes), self.freezes.load(Relaxed));
                let served = self.vendor.clone().serve_connection(theirs);
                connections.spawn(async move {
                    let mut served = pin!(served);
                    let frozen = || freezes.load(Relaxed) != made_after;
                    poll_fn(|cx| if frozen() { Poll::Pending } else { served.as_mut().poll(cx) }).await;
                });
                Ok(Pipe::new(ours))
            }
            Connection::Nowhere(how_far) => Err(ConnectFailed(how_far)),
            Connection::Panic => panic!("a bug in the connector"),
        }
    }
}
