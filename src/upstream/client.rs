//! The HTTP client of the upstream: a connection pool, HTTP/2 keep-alive, and which errors mean what.

use std::{
    error::Error as StdError,
    fmt,
    pin::pin,
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
    client::legacy::{
        Client, Error,
        connect::{Connect, capture_connection},
    },
    rt::{TokioExecutor, TokioTimer},
};
use tower::Service;

use super::connect;
use crate::report::{Cause, Unreachable, UpstreamFailure};

/// How long an idle connection stays in the pool: longer than the usual `cache.ttl`, so that a refresh needs no new
/// handshake.
const IDLE: Duration = Duration::from_secs(10 * 60);

/// The interval of HTTP/2 pings, also on an idle connection: so a broken connection is found before a request needs it.
const PING_EVERY: Duration = Duration::from_secs(30);

/// A connection whose ping has no reply for this long is closed.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// An HTTP client over pooled connections, which the connector `C` makes. It follows no redirects and keeps no cookies.
#[derive(Clone, Debug)]
pub(crate) struct HttpClient<C> {
    /// Shared, since the client is cloned for each call and a connector is expensive to clone.
    client: Arc<Client<C, Empty<Bytes>>>,
    on_send: Option<OnSend>,
}

/// Called for each request when it has a connection and is being sent, which can be long after `call`.
#[derive(Clone)]
pub(crate) struct OnSend(Arc<dyn Fn() + Send + Sync>);

// === impl OnSend ===

impl OnSend {
    /// Wraps the callback.
    pub(crate) fn new(sent: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(sent))
    }
}

impl fmt::Debug for OnSend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnSend").finish_non_exhaustive()
    }
}

// === impl HttpClient ===

impl<C: Connect + Clone> HttpClient<C> {
    /// A client; it connects when the first request needs it.
    pub(crate) fn new(connector: C) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .http2_keep_alive_interval(PING_EVERY)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .http2_keep_alive_while_idle(true)
            // No silent second attempt: the rate limit gave this request its turn for now, and connecting takes time.
            // A retry must wait for a turn of its own (see `resilience`).
            .retry_canceled_requests(false)
            .build(connector);
        Self { client: Arc::new(client), on_send: None }
    }

    /// Returns the client with this callback.
    #[must_use]
    pub(crate) fn telling(self, on_send: OnSend) -> Self {
        Self { on_send: Some(on_send), ..self }
    }
}

impl<C> Service<Request<Empty<Bytes>>> for HttpClient<C>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    type Response = Response<Incoming>;
    type Error = Cause;
    type Future = BoxFuture<'static, Result<Response<Incoming>, Cause>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Cause>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Empty<Bytes>>) -> Self::Future {
        let mut connection = capture_connection(&mut request);
        let response = self.client.request(request);
        let on_send = self.on_send.clone();
        async move {
            let mut response = pin!(response);
            let connected = async { drop(connection.wait_for_connection_metadata().await) };
            let result = tokio::select! {
                // Poll the request first: it is sent in the same poll in which it gets its connection.
                biased;
                result = &mut response => result,
                () = connected => {
                    if let Some(OnSend(sent)) = on_send {
                        sent();
                    }
                    response.await
                }
            };
            result.map_err(|error| Cause::Upstream(UpstreamFailure::Unreachable(unreachable(&error))))
        }
        .boxed()
    }
}

/// The reason why a request got no response.
pub(super) fn unreachable(error: &Error) -> Unreachable {
    match connect::find(error) {
        Some(failed) => failed.0,
        None if error.is_connect() => Unreachable::Connect,
        None => match error.source().and_then(|source| source.downcast_ref::<hyper::Error>()) {
            // Canceled: hyper had not begun to write the request.
            Some(error) if error.is_canceled() => Unreachable::Closed,
            Some(error) if error.is_parse() => Unreachable::NotHttp,
            Some(_) | None => Unreachable::Broken,
        },
    }
}
