//! The shared store on the server that the settings name.

use std::{sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, FutureExt as _};

use super::{
    RedisStore, SharedStore,
    link::{Link, LinkOptions, SocketConnector, StoreTlsError},
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

    /// The store, and the task that keeps it connected for as long as it runs. Does not wait for the server.
    pub fn connect(self, metrics: SharedMetrics) -> (Arc<dyn SharedStore>, BoxFuture<'static, ()>) {
        let Self { location, namespace, connector, timeout, max_body } = self;
        let probe_key = StoreKeys::new(&namespace).fleet();
        let options = LinkOptions { location, timeout, probe_key, scripts: scripts::ALL };
        let (link, keeper) = Link::new(options, Arc::new(connector), metrics);
        (Arc::new(RedisStore::new(link, &namespace, max_body)), keeper.run().boxed())
    }
}
