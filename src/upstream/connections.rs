//! The connections in use, and when all of them are replaced: an edge of the upstream's can go on holding a connection,
//! and even answer HTTP/2 pings, while its calls hang or fail. The pool would use such a connection for ever.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::{
    client::legacy::{Client, connect::Connect},
    rt::{TokioExecutor, TokioTimer},
};

/// How long an idle connection stays in the pool: longer than the usual `cache.ttl`, so that a refresh needs no new
/// handshake.
const IDLE: Duration = Duration::from_secs(10 * 60);

/// The interval of HTTP/2 pings, also on an idle connection: so a broken connection is found before a request needs it.
const PING_EVERY: Duration = Duration::from_secs(30);

/// A connection whose ping has no reply for this long is closed.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// hyper's client, which is a pool of connections.
type Pool<C> = Client<C, Empty<Bytes>>;

/// A pool of connections that the connector `C` makes, until it is replaced by a new one.
pub(super) struct Connections<C> {
    connector: C,
    /// Shared, since a connector is expensive to clone. `None`: the next call makes a new one.
    pool: Mutex<Option<Arc<Pool<C>>>>,
}

/// A call's use of the pool. Dropped before [`InUse::works`], it has the pool replaced: the call was given up, or failed.
pub(super) struct InUse<C> {
    connections: Arc<Connections<C>>,
    pool: Arc<Pool<C>>,
    proof: Proof,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    None,
    Works,
}

// === impl Connections ===

impl<C> Connections<C> {
    /// It connects when the first request needs it.
    pub(super) const fn new(connector: C) -> Self {
        Self { connector, pool: Mutex::new(None) }
    }

    /// Calls that are using this pool still end; it is closed after them.
    fn replace(&self, pool: &Arc<Pool<C>>) {
        let mut current = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, pool)) {
            *current = None;
            tracing::debug!("a call to the upstream failed; the next one makes a new connection");
        }
    }
}

impl<C: Connect + Clone> Connections<C> {
    /// The pool, for one call.
    pub(super) fn for_a_call(self: &Arc<Self>) -> InUse<C> {
        let mut current = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let pool = Arc::clone(current.get_or_insert_with(|| Arc::new(pool(self.connector.clone()))));
        drop(current);
        InUse { connections: Arc::clone(self), pool, proof: Proof::None }
    }
}

impl<C> fmt::Debug for Connections<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").finish_non_exhaustive()
    }
}

fn pool<C: Connect + Clone>(connector: C) -> Pool<C> {
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .http2_keep_alive_interval(PING_EVERY)
        .http2_keep_alive_timeout(PING_TIMEOUT)
        .http2_keep_alive_while_idle(true)
        // No silent second attempt: the rate limit gave this request its turn for now, and connecting takes time.
        // A retry must wait for a turn of its own (see `resilience`).
        .retry_canceled_requests(false)
        .build(connector)
}

// === impl InUse ===

impl<C> InUse<C> {
    /// hyper's client.
    pub(super) fn pool(&self) -> &Pool<C> {
        &self.pool
    }

    /// The call shows nothing against its connection, or had none.
    pub(super) const fn works(&mut self) {
        self.proof = Proof::Works;
    }
}

impl<C> Drop for InUse<C> {
    fn drop(&mut self) {
        match self.proof {
            Proof::None => self.connections.replace(&self.pool),
            Proof::Works => {}
        }
    }
}

#[cfg(test)]
mod tests;
