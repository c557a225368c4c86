//! Stops calls before the quota that would have no token to send, or only one that is known to be refused.

use super::manager::TokenManager;
use crate::{
    middleware::{Middleware, Next},
    report::Cause,
};

/// Waits for a token, not for long. [`Authorize`](super::Authorize) asks again and sends it later; but by then a call
/// has queued for its turn and been paid for, and a crowd that will all be told "no token" need not stand in that queue.
/// Nor need those who would all be told 401: to them there is no token either.
#[derive(Debug, Clone)]
pub(crate) struct TokenGate {
    tokens: TokenManager,
}

// === impl TokenGate ===

impl TokenGate {
    /// Opens while these have a token that is worth sending.
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
