//! The shared store on the server that the settings name.

use std::{sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, FutureExt as _};

use super::{
    RedisStore, SharedStore,
    link::{
        Link, LinkKeeper, LinkOptions, LinkView, LinkWatch, SocketConnector, StoreInfo, StoreTlsError,
        StoreUnreachable,
    },
    scripts,
    store_keys::StoreKeys,
};
use crate::{
    settings::{Settings, StoreLocation, StoreNamespace},
    telemetry::SharedMetrics,
};

/// The server that `shared.url` or `shared.url_file` names. Nothing is connected yet.
#[derive(Debug)]
pub struct StoreServer {
    location: StoreLocation,
    namespace: StoreNamespace,
    connector: SocketConnector,
    timeout: Duration,
    max_body: usize,
}

/// The store on a server.
#[expect(missing_debug_implementations, reason = "a future has none")]
pub struct ConnectedStore {
    /// Its operations.
    pub store: Arc<dyn SharedStore>,
    /// Whether it is connected.
    pub link: StoreLink,
    /// Keeps it connected for as long as it runs.
    pub keeper: BoxFuture<'static, ()>,
}

/// Shows whether the store is connected.
#[derive(Debug, Clone)]
pub struct StoreLink {
    place: Box<str>,
    watch: LinkWatch,
}

// === impl StoreServer ===

impl StoreServer {
    /// `None`: the settings name no server.
    ///
    /// # Errors
    /// If `shared.ca_file` cannot be used.
    pub(crate) fn of(settings: &Settings) -> Result<Option<Self>, StoreTlsError> {
        let shared = &settings.shared;
        // The settings' checks refuse a server without a namespace.
        let (Some(location), Some(namespace)) = (shared.location(), settings.namespace()) else {
            return Ok(None);
        };
        Ok(Some(Self {
            location,
            namespace,
            connector: SocketConnector::new(shared.ca_file.as_deref())?,
            timeout: shared.timeout,
            max_body: usize::try_from(settings.upstream.max_body.as_u64()).unwrap_or(usize::MAX),
        }))
    }

    /// Where the settings say that it is, without secrets.
    pub(crate) fn place(&self) -> Box<str> {
        place(&self.location)
    }

    /// Connects once, and says what the server says of itself.
    ///
    /// # Errors
    /// [`StoreUnreachable`]: `serve` would be without the store, too.
    pub(crate) async fn greet(self, metrics: SharedMetrics) -> Result<StoreInfo, StoreUnreachable> {
        let (_link, keeper) = self.link(metrics);
        keeper.greet().await
    }

    /// The store. Does not wait for the server.
    pub fn connect(self, metrics: SharedMetrics) -> ConnectedStore {
        let (place, namespace, max_body) = (self.place(), self.namespace.clone(), self.max_body);
        let (link, keeper) = self.link(metrics);
        let link_status = StoreLink { place, watch: link.watch() };
        let store = Arc::new(RedisStore::new(link, &namespace, max_body));
        ConnectedStore { store, link: link_status, keeper: keeper.run().boxed() }
    }

    fn link(self, metrics: SharedMetrics) -> (Link, LinkKeeper) {
        let Self { location, namespace, connector, timeout, max_body: _ } = self;
        let probe_key = StoreKeys::new(&namespace).fleet();
        let options = LinkOptions { location, timeout, probe_key, scripts: scripts::ALL };
        Link::new(options, Arc::new(connector), metrics)
    }
}

// === impl StoreLink ===

impl StoreLink {
    /// Where the settings say that the store is, without secrets.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// The link as it is now.
    pub(crate) fn view(&self) -> LinkView {
        self.watch.view()
    }
}

fn place(location: &StoreLocation) -> Box<str> {
    match location {
        StoreLocation::File(_) => "read from shared.url_file".into(),
        StoreLocation::Url(url) => url.to_string().into(),
    }
}
