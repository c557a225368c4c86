//! Fails calls that have no usable access token before they consume quota.

use super::manager::TokenManager;
use crate::{
    middleware::{Middleware, Next},
    report::Cause,
};

/// Waits up to 5 s for a token. [`Authorize`](super::Authorize) checks again when the call is sent, but by then the call
/// has waited in the rate limiter and used quota. A token that is backed off after repeated 401s counts as no token.
#[derive(Debug, Clone)]
pub(crate) struct TokenGate {
    tokens: TokenManager,
}

// === impl TokenGate ===

impl TokenGate {
    /// Lets calls pass while `tokens` has a usable token.
    pub(crate) fn new(tokens: TokenManager) -> Self {
        Self { tokens }
    }
}

impl<Q, N> Middleware<Q, N> for TokenGate
where
    N: Next<Q>,
    N::Error: From<Cause>,
    Q: Send,
{
    async fn handle(&self, request: Q, next: &N) -> Result<N::Response, N::Error> {
        self.tokens.ready().await?;
        next.run(request).await
    }
}
