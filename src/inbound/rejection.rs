//! What keeps a request from its answer, and the one place where it becomes HTTP.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::{
    HeaderName, HeaderValue, Request, Response,
    header::{ALLOW, WWW_AUTHENTICATE},
};
use tower::{Layer, Service};

use super::{
    BodyPresence, Problem, RequestId, RequestOutcome,
    access_log::AccessLogEntry,
    cache_status::{self, CACHE_STATUS},
    proxy_status,
};
use crate::report::{Cause, FetchError, KeyError, LocalDenial};
use crate::server::{Body, BrowserRefusal};

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// Why a request gets no report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// A web page may have sent it that has no business here.
    #[error(transparent)]
    Browser(#[from] BrowserRefusal),
    /// It names no report.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// It carries a body.
    #[error("a body on a GET or HEAD")]
    UnexpectedBody,
    /// It wants to do something other than read.
    #[error("a method other than GET or HEAD")]
    Method {
        /// What may be done instead.
        allow: &'static str,
    },
    /// It shows no client token, and one is asked for.
    #[error("no client token")]
    Unauthenticated,
    /// It is a good request, but no answer was come by.
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

/// Turns every [`Rejection`] into an answer. Nothing above it ever sees an error.
#[derive(Debug, Clone, Copy)]
pub struct RespondLayer;

/// See [`RespondLayer`].
#[derive(Debug, Clone)]
pub struct Respond<S> {
    inner: S,
}

// === impl Rejection ===

impl Rejection {
    fn outcome(&self) -> RequestOutcome {
        match self {
            Self::Browser(_)
            | Self::Key(_)
            | Self::UnexpectedBody
            | Self::Method { .. }
            | Self::Unauthenticated
            | Self::Fetch(FetchError { cause: Cause::Local(LocalDenial::Overloaded), .. }) => {
                RequestOutcome::Rejected
            }
            Self::Fetch(_) => RequestOutcome::Error,
        }
    }

    /// The answer to the request of this id.
    pub(super) fn into_response(self, id: &RequestId) -> Response<Body> {
        let problem = Problem::from(&self);
        let note = AccessLogEntry {
            outcome: self.outcome(),
            age: None,
            exchange: None,
            error_key: Some(problem.error_key.clone()),
        };
        let mut response = problem.into_response(id);
        let headers = response.headers_mut();
        match &self {
            Self::Method { allow } => {
                headers.insert(ALLOW, HeaderValue::from_static(allow));
            }
            Self::Unauthenticated => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::Fetch(error) => {
                // What was shed never came as far as the cache.
                if error.cause != Cause::Local(LocalDenial::Overloaded) {
                    headers.insert(CACHE_STATUS, cache_status::of_error(error));
                }
                if let Some(status) = proxy_status::of(error) {
                    headers.insert(PROXY_STATUS, status);
                }
            }
            Self::Browser(_) | Self::Key(_) | Self::UnexpectedBody => {}
        }
        let note = match self {
            Self::Fetch(error) => AccessLogEntry { exchange: Some(error.exchange), ..note },
            Self::Browser(_)
            | Self::Key(_)
            | Self::UnexpectedBody
            | Self::Method { .. }
            | Self::Unauthenticated => note,
        };
        response.extensions_mut().insert(note);
        response
    }
}

// === impl RespondLayer ===

impl<S> Layer<S> for RespondLayer {
    type Service = Respond<S>;

    fn layer(&self, inner: S) -> Respond<S> {
        Respond { inner }
    }
}

// === impl Respond ===

impl<S> Service<Request<BodyPresence>> for Respond<S>
where
    S: Service<Request<BodyPresence>, Response = Response<Body>, Error = Rejection>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // The endpoint is always ready; were it not, waiting is all that could be done.
        self.inner.poll_ready(cx).map(|_| Ok(()))
    }

    fn call(&mut self, request: Request<BodyPresence>) -> Self::Future {
        let id = request.extensions().get::<RequestId>().cloned().unwrap_or_else(RequestId::new);
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            Ok(answer.unwrap_or_else(|error| error.into_response(&id)))
        })
    }
}
