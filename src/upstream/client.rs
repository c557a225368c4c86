//! The HTTP client of the upstream: when a request is sent, which errors mean what, and which answers speak against the
//! connection that they came by.

use std::{
    error::Error as StdError,
    fmt,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt as _};
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use hyper_util::client::legacy::{
    Error,
    connect::{Connect, capture_connection},
};
use tower::Service;

use super::{connect, connections::Connections, tracked_body::TrackedBody};
use crate::report::{Cause, FailureStage, Unreachable, UpstreamFailure};

/// An HTTP client over pooled connections, which the connector `C` makes. It follows no redirects and keeps no cookies.
#[derive(Clone, Debug)]
pub(crate) struct HttpClient<C> {
    connections: Arc<Connections<C>>,
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
        Self { connections: Arc::new(Connections::new(connector)), on_send: None }
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
    type Response = Response<TrackedBody<C>>;
    type Error = Cause;
    type Future = BoxFuture<'static, Result<Response<TrackedBody<C>>, Cause>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Cause>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Empty<Bytes>>) -> Self::Future {
        let mut connection = capture_connection(&mut request);
        let mut in_use = self.connections.for_a_call();
        let response = in_use.pool().request(request);
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
            match result {
                // Gateways say 5xx where the server behind them is gone: another connection may lead to one that works.
                Ok(response) if response.status().is_server_error() => Ok(response.map(TrackedBody::settled)),
                Ok(response) if response.status() == StatusCode::OK => {
                    Ok(response.map(|body| TrackedBody::tracked(body, in_use)))
                }
                // The others need no body.
                Ok(response) => {
                    in_use.works();
                    Ok(response.map(TrackedBody::settled))
                }
                Err(error) => {
                    let cause = Cause::from(UpstreamFailure::Unreachable(unreachable(&error)));
                    if cause.stage() != FailureStage::Sent {
                        in_use.works();
                    }
                    Err(cause)
                }
            }
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
