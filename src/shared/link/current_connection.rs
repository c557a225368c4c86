//! The connection of the moment and whether the link is up: what operations read and the keeper changes.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

use super::{
    DownReason, LinkState, StoreInfo, StoreNode, connection::StoreConnection, failure::Redirect,
    health::LinkHealth,
};
use crate::{
    backoff::Jitter,
    settings::StoreLocation,
    shared::{SharedStoreError, WriteMark, store_script::StoreScript},
    telemetry::SharedMetrics,
};

/// What a link needs to know.
#[derive(Debug, Clone)]
pub(crate) struct LinkOptions {
    /// The store's URL, or the file that holds it.
    pub(crate) location: StoreLocation,
    /// The longest that an operation may take (`shared.timeout`).
    pub(crate) timeout: Duration,
    /// A hash of ours: read once on each connection. All keys are in its slot.
    pub(crate) probe_key: Vec<u8>,
    /// Loaded on each connection.
    pub(crate) scripts: &'static [&'static StoreScript],
}

/// The link as it is now.
#[derive(Debug, Clone)]
pub(crate) struct LinkView {
    health: LinkHealth,
    connection: Option<Arc<StoreConnection>>,
    /// Counts the connections.
    mark: WriteMark,
    info: Option<StoreInfo>,
    /// The server that was connected to last.
    node: Option<StoreNode>,
    /// What the system says of the last failure to connect. Contains no secret.
    detail: Box<str>,
    /// The node of a cluster that has our keys, if it is not the one in the URL.
    moved_to: Option<StoreNode>,
}

/// Holds the view; every change of it is one step.
#[derive(Debug)]
pub(super) struct CurrentConnection {
    view: watch::Sender<LinkView>,
    metrics: SharedMetrics,
}

// === impl LinkView ===

impl LinkView {
    /// Whether operations are tried.
    pub(crate) const fn state(&self) -> LinkState {
        self.health.state()
    }

    /// What the server said of itself last; `None`: there was no connection yet.
    pub(crate) const fn info(&self) -> Option<&StoreInfo> {
        self.info.as_ref()
    }

    /// The server that was connected to last; `None`: there was no connection yet.
    pub(crate) const fn node(&self) -> Option<&StoreNode> {
        self.node.as_ref()
    }

    /// What the system says of the last failure to connect.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// When the keeper connects next, if there is no connection.
    pub(super) const fn connect_at(&self) -> Instant {
        self.health.connect_at()
    }

    pub(super) const fn connection(&self) -> Option<&Arc<StoreConnection>> {
        self.connection.as_ref()
    }

    pub(super) const fn moved_to(&self) -> Option<&StoreNode> {
        self.moved_to.as_ref()
    }

    fn has(&self, connection: &Arc<StoreConnection>) -> bool {
        self.connection.as_ref().is_some_and(|current| Arc::ptr_eq(current, connection))
    }

    fn failed(&mut self, why: DownReason) {
        self.connection = None;
        self.health.failed(why, Instant::now(), Jitter::draw());
    }
}

// === impl CurrentConnection ===

impl CurrentConnection {
    /// None yet, and a connect is due.
    pub(super) fn none(metrics: SharedMetrics) -> Self {
        let health = LinkHealth::new(Instant::now());
        let view = LinkView {
            health,
            connection: None,
            mark: WriteMark::default(),
            info: None,
            node: None,
            detail: Box::default(),
            moved_to: None,
        };
        metrics.up(false);
        Self { view: watch::Sender::new(view), metrics }
    }

    pub(super) fn watch(&self) -> watch::Receiver<LinkView> {
        self.view.subscribe()
    }

    /// Another one with each connection.
    pub(super) fn mark(&self) -> WriteMark {
        self.view.borrow().mark
    }

    /// The connection; waits for it while the link is up, and for the first one; not at all while the link is down.
    pub(super) async fn get(&self) -> Result<Arc<StoreConnection>, SharedStoreError> {
        let mut view = self.view.subscribe();
        let settled = |view: &LinkView| view.connection.is_some() || view.state().is_outage();
        let view = view.wait_for(settled).await.map_err(|_ended| SharedStoreError::Away)?;
        view.connection.clone().filter(|_| view.state().is_up()).ok_or(SharedStoreError::Away)
    }

    /// A new connection, after its handshake.
    pub(super) fn connected(&self, connection: &Arc<StoreConnection>, info: StoreInfo) {
        self.change(|view| {
            view.health.connected(Instant::now());
            view.connection = Some(Arc::clone(connection));
            view.mark.0 += 1;
            view.info = Some(info);
            view.node = Some(connection.node().clone());
            view.detail = Box::default();
        });
    }

    /// No connection was to be had. The next attempt begins with the node in the URL.
    pub(super) fn not_connected(&self, why: DownReason, detail: &str) {
        self.change(|view| {
            view.moved_to = None;
            view.detail = detail.into();
            view.failed(why);
        });
    }

    /// `connection` is not to be used any more. Said of the same one by several operations, it is one failure.
    pub(super) fn discard(&self, connection: &Arc<StoreConnection>, why: DownReason) {
        self.change_if(|view| {
            let has = view.has(connection);
            if has {
                view.failed(why);
            }
            has
        });
    }

    /// An operation has waited for a connection for as long as it may.
    pub(super) fn waited_in_vain(&self) {
        self.change_if(|view| {
            let waits = view.connection.is_none() && view.state().is_up();
            if waits {
                view.failed(DownReason::TimedOut);
            }
            waits
        });
    }

    /// The keys are on another node: the next connection is to that one.
    pub(super) fn redirect(&self, connection: &Arc<StoreConnection>, redirect: Redirect) {
        self.change_if(|view| {
            let has = view.has(connection);
            if has {
                view.moved_to = connection.node().redirected(redirect);
                view.failed(DownReason::Redirects);
            }
            has
        });
    }

    /// A script has succeeded.
    pub(super) fn succeeded(&self) {
        // Read first: a write would wake up all who wait for a change.
        if self.view.borrow().health.has_failures() {
            self.view.send_if_modified(|view| {
                view.health.succeeded();
                false
            });
        }
    }

    /// The server says this of itself now.
    pub(super) fn renewed(&self, info: &StoreInfo) {
        self.view.send_if_modified(|view| {
            let changed = view.info.as_ref() != Some(info);
            view.info = Some(info.clone());
            changed
        });
    }

    fn change(&self, change: impl FnOnce(&mut LinkView)) {
        self.change_if(|view| {
            change(view);
            true
        });
    }

    fn change_if(&self, change: impl FnOnce(&mut LinkView) -> bool) {
        self.view.send_if_modified(|view| {
            let changed = change(view);
            self.metrics.up(view.state().is_up());
            changed
        });
    }
}
