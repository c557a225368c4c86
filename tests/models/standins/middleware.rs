//! What the checked files import of `middleware`.

/// The rest of the stack below a step.
pub trait Next<Q>: Send + Sync {
    type Response: Send;
    type Error: Send;

    fn run(&self, request: Q) -> impl Future<Output = Result<Self::Response, Self::Error>> + Send;
}

/// A step above `N`.
pub(crate) trait Middleware<Q, N: Next<Q>>: Send + Sync {
    fn handle(&self, request: Q, next: &N) -> impl Future<Output = Result<N::Response, N::Error>> + Send;
}
