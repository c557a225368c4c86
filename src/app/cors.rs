//! CORS while origins are allowed: the list can become empty, and stop being so, while the proxy runs.

use std::task::{Context, Poll, ready};

use futures_util::future::Either;
use http::{Method, Response};
use tower::{Layer, Service};
use tower_http::cors::{Cors, CorsLayer};

use crate::{
    inbound::{Pending, PendingRequest},
    server::AllowedOrigins,
};

/// A layer of [`CorsWhereAllowed`].
#[derive(Debug, Clone)]
pub(super) struct CorsWhereAllowedLayer {
    pub(super) origins: AllowedOrigins,
    pub(super) cors: CorsLayer,
}

/// Passes a request through the CORS layer if any origin is allowed: without one, even a preflight is a request like
/// another. So is an OPTIONS that is none: that layer would answer each with 200.
#[derive(Debug, Clone)]
pub(super) struct CorsWhereAllowed<S> {
    origins: AllowedOrigins,
    cors: Cors<S>,
    plain: S,
}

// === impl CorsWhereAllowedLayer ===

impl<S: Clone> Layer<S> for CorsWhereAllowedLayer {
    type Service = CorsWhereAllowed<S>;

    fn layer(&self, next: S) -> CorsWhereAllowed<S> {
        CorsWhereAllowed { origins: self.origins.clone(), cors: self.cors.layer(next.clone()), plain: next }
    }
}

// === impl CorsWhereAllowed ===

impl<S, B> Service<PendingRequest> for CorsWhereAllowed<S>
where
    S: Service<PendingRequest, Response = Response<B>>,
    Cors<S>: Service<PendingRequest, Response = Response<B>, Error = S::Error>,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Either<<Cors<S> as Service<PendingRequest>>::Future, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        ready!(self.cors.poll_ready(cx))?;
        self.plain.poll_ready(cx)
    }

    fn call(&mut self, request: PendingRequest) -> Self::Future {
        let is_no_preflight = request.method() == Method::OPTIONS && !Pending::is_preflight(&request);
        if self.origins.is_empty() || is_no_preflight {
            Either::Right(self.plain.call(request))
        } else {
            Either::Left(self.cors.call(request))
        }
    }
}
