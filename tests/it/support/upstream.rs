//! The simulated vendor, on a free port of this process.

use std::convert::Infallible;
use std::net::SocketAddr;

use link_report_proxy::simulator::{Options, SeenRequest, Simulator, synthetic_id};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::path;

/// A simulated vendor that listens until dropped.
pub(crate) struct Upstream {
    pub(crate) sim: Simulator,
    address: SocketAddr,
    serving: JoinHandle<Infallible>,
}

/// The id of a synthetic campaign: `key` tells it from others, `links` is how many links it has.
pub(crate) fn synthetic(key: u32, links: u32) -> String {
    synthetic_id(key, links).to_string()
}

// === impl Upstream ===

impl Upstream {
    /// Without limits: a test that wants the vendor's says so by [`Upstream::with`].
    pub(crate) async fn start() -> Self {
        Self::with(Options { per_second: 0, per_day: 0, ..Options::default() }).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        Self::of(Simulator::new(options)).await
    }

    /// Another port of the same vendor.
    pub(crate) async fn of(sim: Simulator) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let server = sim.clone();
        let serving = tokio::spawn(async move { server.serve(listener).await });
        Self { sim, address, serving }
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Report calls that arrived for one id.
    pub(crate) fn saw(&self, id: &str) -> Vec<SeenRequest> {
        let prefix = path(id);
        self.sim.seen().into_iter().filter(|seen| seen.target.starts_with(&prefix)).collect()
    }

    /// Fails if anything but canonical requests with `token` ever arrived.
    pub(crate) fn assert_saw_only_canonical_requests(&self, token: &str) {
        let host = self.address.to_string();
        let bearer = format!("Bearer {token}");
        for seen in self.sim.seen() {
            assert_eq!(seen.method, "GET", "{seen:?}");
            let id = seen.target.strip_prefix("/v3/reports/email_reports/");
            let (id, rest) = id.and_then(|rest| rest.split_at_checked(36)).expect("our path");
            assert!(uuid::Uuid::try_parse(id).is_ok_and(|uuid| uuid.to_string() == id), "{seen:?}");
            assert!(matches!(rest, "/links" | "/links?no_clicks=true"), "{seen:?}");
            let mut names: Vec<_> = seen.headers.iter().map(|(name, _)| name.as_str()).collect();
            names.sort_unstable();
            let ours = ["accept", "accept-encoding", "authorization", "host", "user-agent"];
            assert_eq!(names, ours, "{seen:?}");
            assert_eq!(seen.headers["host"], host.as_str(), "{seen:?}");
            assert_eq!(seen.headers["authorization"], bearer.as_str(), "{seen:?}");
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
