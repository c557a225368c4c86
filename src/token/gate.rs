//! Lets nothing on towards the quota that will have no token to send, or only one that is known to be refused.

use std::task::{Context, Poll};

use futures_util::future::{BoxFuture, FutureExt as _};
use tower::{Layer, Service, ServiceExt as _};

use super::manager::TokenManager;
use crate::report::FetchError;

/// Puts [`TokenGate`] in front of the service that makes calls.
#[derive(Debug, Clone)]
pub struct TokenGateLayer {
    tokens: TokenManager,
}

/// Waits for a token, not for long. [`Authorize`](super::Authorize) asks again and stamps it later; but by then a call has queued for its
/// turn and been paid for, and a crowd that will all be told "no token" need not stand in that queue. Nor need those who
/// would all be told 401: to them there is no token either.
#[derive(Debug, Clone)]
pub struct TokenGate<S> {
    inner: S,
    tokens: TokenManager,
}

// === impl TokenGateLayer ===

impl TokenGateLayer {
    /// Opens while these have a token that is worth sending.
    pub fn new(tokens: TokenManager) -> Self {
        Self { tokens }
    }
}

impl<S> Layer<S> for TokenGateLayer {
    type Service = TokenGate<S>;

    fn layer(&self, inner: S) -> TokenGate<S> {
        TokenGate { inner, tokens: self.tokens.clone() }
    }
}

// === impl TokenGate ===

impl<S, Q> Service<Q> for TokenGate<S>
where
    S: Service<Q, Error = FetchError> + Clone + Send + 'static,
    S::Future: Send,
    Q: Send + 'static,
{
    type Response = S::Response;
    type Error = FetchError;
    type Future = BoxFuture<'static, Result<S::Response, FetchError>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), FetchError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Q) -> Self::Future {
        let Self { inner, tokens } = self.clone();
        async move {
            tokens.ready().await?;
            inner.oneshot(request).await
        }
        .boxed()
    }
}
