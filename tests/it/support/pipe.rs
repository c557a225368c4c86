//! The road's last mile in memory: connections that end in a simulated vendor, or do not come about.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
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

/// What every new connection runs through. Clones are the same cable.
#[derive(Clone)]
pub(crate) struct Cable {
    vendor: Simulator,
    plug: Arc<Mutex<Plug>>,
    connections: Arc<Mutex<JoinSet<()>>>,
    handshakes: Arc<Mutex<VecDeque<Duration>>>,
}

/// Where the cable ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plug {
    /// At the vendor.
    Vendor,
    /// On the way there.
    Nowhere(Unreachable),
    /// In a bug of ours.
    Panic,
}

// === impl Cable ===

impl Cable {
    pub(crate) fn to(vendor: &Simulator) -> Self {
        Self {
            vendor: vendor.clone(),
            plug: Arc::new(Mutex::new(Plug::Vendor)),
            connections: Arc::default(),
            handshakes: Arc::default(),
        }
    }

    /// The next connections take so long to make, one after the other; those after them no time.
    pub(crate) fn with_handshakes(self, handshakes: Vec<Duration>) -> Self {
        *self.handshakes.lock().unwrap() = handshakes.into();
        self
    }

    /// From now on new connections end there.
    pub(crate) fn plug_into(&self, plug: Plug) {
        *self.plug.lock().unwrap() = plug;
    }

    /// Nothing comes through any more, on connections old or new.
    pub(crate) fn cut(&self) {
        self.plug_into(Plug::Nowhere(Unreachable::Connect));
        self.connections.lock().unwrap().abort_all();
    }

    pub(crate) fn connector(&self) -> impl Connect + Clone + Send + Sync + use<> {
        let cable = self.clone();
        tower::service_fn(move |_origin: Uri| Box::pin(cable.clone().connect()))
    }

    async fn connect(self) -> Result<Pipe<DuplexStream>, ConnectFailed> {
        let handshake = self.handshakes.lock().unwrap().pop_front();
        if let Some(handshake) = handshake {
            tokio::time::sleep(handshake).await;
        }
        let plug = *self.plug.lock().unwrap();
        match plug {
            Plug::Vendor => {
                let (ours, theirs) = tokio::io::duplex(64 * 1024);
                let mut connections = self.connections.lock().unwrap();
                connections.spawn(self.vendor.clone().serve_connection(theirs));
                Ok(Pipe::new(ours))
            }
            Plug::Nowhere(how_far) => Err(ConnectFailed(how_far)),
            Plug::Panic => panic!("a bug on the road out"),
        }
    }
}
