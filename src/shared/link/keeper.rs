//! The one task that connects: at once after a first failure, with back-off while the store is away.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep_until, timeout},
};

use super::{
    DownReason, LinkOptions, LinkState, StoreConnector, StoreInfo, StoreNode, StoreRisk, StoreUnreachable,
    connection::StoreConnection,
    current_connection::CurrentConnection,
    handshake::{HandshakeFailure, greet},
    health::STABLE,
    sentinel,
};
use crate::{
    outage::Outage,
    settings::{StoreLocation, StorePlace, StoreUrl},
};

/// A connect takes several round trips, with TLS more; who waits for it waits for `shared.timeout` all the same.
const SHORTEST_CONNECT: Duration = Duration::from_secs(1);
/// A cluster that refers us on and on has no node for us.
const MOST_REDIRECTS: usize = 3;

/// Keeps the link connected, until it is dropped.
#[derive(Debug)]
pub(crate) struct LinkKeeper {
    pub(super) options: Arc<LinkOptions>,
    pub(super) connector: Arc<dyn StoreConnector>,
    pub(super) current: Arc<CurrentConnection>,
    outage: Outage,
    /// The beginning of the outage that was reported last.
    down_since: Instant,
    warned_of_eviction: Outage,
}

// === impl LinkKeeper ===

impl LinkKeeper {
    pub(super) fn new(
        options: Arc<LinkOptions>,
        connector: Arc<dyn StoreConnector>,
        current: Arc<CurrentConnection>,
    ) -> Self {
        let (outage, warned_of_eviction) = (Outage::default(), Outage::default());
        Self { options, connector, current, outage, down_since: Instant::now(), warned_of_eviction }
    }

    /// Never returns.
    pub(crate) async fn run(mut self) {
        let view = self.current.watch();
        loop {
            let (due, moved_to) = {
                let view = view.borrow();
                (view.connect_at(), view.moved_to().cloned())
            };
            sleep_until(due).await;
            match self.connect_in_time(moved_to).await {
                Ok((connection, info)) => {
                    self.tell_of_a_new_server(&connection, &info);
                    self.warn_of_eviction(&info);
                    self.current.connected(&connection, info);
                    self.until_lost(connection).await;
                }
                Err(StoreUnreachable { why, detail }) => {
                    self.current.not_connected(why, &detail);
                    self.report(&detail);
                }
            }
        }
    }

    /// Connects once, and says what the server says of itself.
    ///
    /// # Errors
    /// [`StoreUnreachable`].
    pub(crate) async fn greet(&self) -> Result<StoreInfo, StoreUnreachable> {
        self.connect_in_time(None).await.map(|(_closed, info)| info)
    }

    async fn connect_in_time(
        &self,
        moved_to: Option<StoreNode>,
    ) -> Result<(Arc<StoreConnection>, StoreInfo), StoreUnreachable> {
        let limit = SHORTEST_CONNECT.max(self.options.timeout * 4);
        let connected = timeout(limit, self.connect(moved_to)).await;
        connected.unwrap_or_else(|_elapsed| Err(DownReason::TimedOut.into()))
    }

    async fn connect(
        &self,
        moved_to: Option<StoreNode>,
    ) -> Result<(Arc<StoreConnection>, StoreInfo), StoreUnreachable> {
        let url = url(&self.options.location).await?;
        let mut node = match moved_to {
            Some(node) => node,
            None => self.node(&url).await?,
        };
        for _ in 0..=MOST_REDIRECTS {
            let stream = self.connector.connect(&node).await?;
            let opened = StoreConnection::open(node.clone(), stream).await.map_err(HandshakeFailure::from);
            let failure = match opened {
                Ok(connection) => match greet(&connection, &url, &self.options).await {
                    Ok(info) => return Ok((connection, info)),
                    Err(failure) => failure,
                },
                Err(failure) => failure,
            };
            node = match failure {
                HandshakeFailure::Down(unreachable) => return Err(unreachable),
                HandshakeFailure::Moved(redirect) => {
                    node.redirected(redirect).ok_or(DownReason::Redirects)?
                }
            };
        }
        Err(DownReason::Redirects.into())
    }

    async fn node(&self, url: &StoreUrl) -> Result<StoreNode, StoreUnreachable> {
        match &url.place {
            StorePlace::Server(server, encryption) => Ok(StoreNode::Tcp(server.clone(), *encryption)),
            StorePlace::Socket(path) => Ok(StoreNode::Unix(path.clone())),
            StorePlace::Sentinels(sentinels, service, _) => {
                sentinel::primary(&*self.connector, sentinels, service, url, self.options.timeout).await
            }
        }
    }

    /// Returns once another connection is wanted.
    async fn until_lost(&mut self, connection: Arc<StoreConnection>) {
        let mut view = self.current.watch();
        let stable_at = Instant::now() + STABLE;
        let since = Instant::now();
        loop {
            let is_reported = self.outage == Outage::Reported;
            tokio::select! {
                () = connection.closed() => self.current.discard(&connection, DownReason::Lost),
                _ended = view.wait_for(|view| view.connection().is_none()) => break,
                () = sleep_until(stable_at), if is_reported => {
                    self.outage.ends();
                    let (seconds, away) = (since.elapsed().as_secs(), (since - self.down_since).as_secs());
                    tracing::info!(
                        node = %connection.node(),
                        "the shared store has been back for {seconds} s, after an outage of {away} s"
                    );
                }
            }
        }
        self.report("");
    }

    /// Once for an outage, however often it goes on.
    fn report(&mut self, detail: &str) {
        let state = self.current.watch().borrow().state();
        let LinkState::Down { why, since } = state else { return };
        if self.outage.begins() {
            self.down_since = since;
            tracing::warn!(
                reason = why.as_str(),
                detail,
                "the shared store is away: {}; until it is back, this replica uses its own share of the quota",
                why.explanation()
            );
        }
    }

    /// The first server, and any that has another history: after a restart or a failover.
    fn tell_of_a_new_server(&self, connection: &StoreConnection, info: &StoreInfo) {
        let is_known =
            self.current.watch().borrow().info().is_some_and(|known| known.identity == info.identity);
        if !is_known {
            tracing::info!(
                node = %connection.node(),
                engine = info.engine,
                version = &*info.version,
                append_only_file = info.append_only,
                maxmemory_policy = info.eviction.as_deref(),
                "connected to a store that this replica did not know"
            );
        }
    }

    /// Once for the life of the process.
    fn warn_of_eviction(&mut self, info: &StoreInfo) {
        if info.has(StoreRisk::EvictsAll) && self.warned_of_eviction.begins() {
            tracing::warn!(
                policy = info.eviction.as_deref().unwrap_or_default(),
                "the shared store may evict the day's count and the token: set its maxmemory-policy to noeviction"
            );
        }
    }
}

pub(super) async fn url(location: &StoreLocation) -> Result<StoreUrl, StoreUnreachable> {
    match location {
        StoreLocation::Url(url) => Ok(url.clone()),
        StoreLocation::File(file) => {
            let file = file.clone();
            let read = spawn_blocking(move || file.read()).await;
            let unusable = |detail: String| StoreUnreachable { why: DownReason::UrlFile, detail };
            read.map_err(|error| unusable(error.to_string()))?.map_err(|error| unusable(error.to_string()))
        }
    }
}
