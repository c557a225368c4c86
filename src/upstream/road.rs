//! The pooled client at the end of the road.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt as _};
use http::{Request, Response};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, Error, connect::Connect},
    rt::{TokioExecutor, TokioTimer},
};
use tower::Service;

use super::connect;
use crate::report::{Cause, Unreachable};

/// A warm connection outlives the usual `cache.ttl`: a refresh should not pay for a handshake.
const IDLE: Duration = Duration::from_secs(10 * 60);

/// An HTTP/2 connection is probed this often, idle or not: one that died in silence is replaced before it is needed.
const PING_EVERY: Duration = Duration::from_secs(30);

/// A probe without an answer for this long condemns its connection.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// HTTP to the upstream over pooled connections that `C` makes. It follows no redirect and keeps no cookie.
#[derive(Clone, Debug)]
pub struct Road<C> {
    /// Shared: each layer above is cloned for each call, and a connector is a large thing to clone.
    client: Arc<Client<C, Empty<Bytes>>>,
}

// === impl Road ===

impl<C: Connect + Clone> Road<C> {
    /// A road without a connection yet.
    pub fn new(connector: C) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .http2_keep_alive_interval(PING_EVERY)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .http2_keep_alive_while_idle(true)
            .build(connector);
        Self { client: Arc::new(client) }
    }
}

impl<C> Service<Request<Empty<Bytes>>> for Road<C>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    type Response = Response<Incoming>;
    type Error = Cause;
    type Future = BoxFuture<'static, Result<Response<Incoming>, Cause>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Cause>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Empty<Bytes>>) -> Self::Future {
        let answering = self.client.request(request);
        async move { answering.await.map_err(|error| Cause::Unreachable(how_far(&error))) }.boxed()
    }
}

pub(super) fn how_far(error: &Error) -> Unreachable {
    match connect::find(error) {
        Some(failed) => failed.0,
        None if error.is_connect() => Unreachable::Connect,
        None => Unreachable::Broken,
    }
}
