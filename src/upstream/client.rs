//! The pooled HTTP client.

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

/// A warm connection outlives the usual `cache.ttl`: a refresh should not pay for a handshake.
const IDLE: Duration = Duration::from_secs(10 * 60);

/// An HTTP/2 connection is probed this often, idle or not: one that died in silence is replaced before it is needed.
const PING_EVERY: Duration = Duration::from_secs(30);

/// A probe without an answer for this long condemns its connection.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// HTTP to the upstream over pooled connections that `C` makes. It follows no redirect and keeps no cookie.
#[derive(Clone, Debug)]
pub(crate) struct HttpClient<C> {
    /// Shared: each layer above is cloned for each call, and a connector is a large thing to clone.
    client: Arc<Client<C, Empty<Bytes>>>,
    on_send: Option<OnSend>,
}

/// Called for each request once there is a connection and it is being sent, which may be long after it was asked for.
#[derive(Clone)]
pub(crate) struct OnSend(Arc<dyn Fn() + Send + Sync>);

// === impl OnSend ===

impl OnSend {
    /// Wraps what is to be called.
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
    /// A client without a connection yet.
    pub(crate) fn new(connector: C) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .http2_keep_alive_interval(PING_EVERY)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .http2_keep_alive_while_idle(true)
            // A second connection takes time, and with it the turn in the second that the request had: whoever gives
            // out turns has to give it another.
            .retry_canceled_requests(false)
            .build(connector);
        Self { client: Arc::new(client), on_send: None }
    }

    /// The same client, which tells of each request that is sent.
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
        let answering = self.client.request(request);
        let on_send = self.on_send.clone();
        async move {
            let mut answering = pin!(answering);
            let connected = async { drop(connection.wait_for_connection_metadata().await) };
            let answered = tokio::select! {
                // The request goes out in the poll in which it gets its connection.
                biased;
                answered = &mut answering => answered,
                () = connected => {
                    if let Some(OnSend(sent)) = on_send {
                        sent();
                    }
                    answering.await
                }
            };
            answered.map_err(|error| Cause::Upstream(UpstreamFailure::Unreachable(connect_stage(&error))))
        }
        .boxed()
    }
}

pub(super) fn connect_stage(error: &Error) -> Unreachable {
    match connect::find(error) {
        Some(failed) => failed.0,
        None if error.is_connect() => Unreachable::Connect,
        None => match error.source().and_then(|source| source.downcast_ref::<hyper::Error>()) {
            // hyper gives back what it has not begun to write.
            Some(error) if error.is_canceled() => Unreachable::Closed,
            Some(error) if error.is_parse() => Unreachable::NotHttp,
            Some(_) | None => Unreachable::Broken,
        },
    }
}
