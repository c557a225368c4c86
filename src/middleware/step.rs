//! Middleware traits: a step, the rest of the stack below it, and the two combined.

use tower::Layer;

/// The rest of the stack below a step; it handles a request.
pub trait Next<Q>: Send + Sync {
    /// What a successful call returns.
    type Response: Send;
    /// What a failed call returns.
    type Error: Send;

    /// Handles the request. Dropping the future cancels the call.
    fn run(&self, request: Q) -> impl Future<Output = Result<Self::Response, Self::Error>> + Send;
}

/// A step above `N`.
pub(crate) trait Middleware<Q, N: Next<Q>>: Send + Sync {
    /// Handles the request, by calling `next` or without it.
    fn handle(&self, request: Q, next: &N) -> impl Future<Output = Result<N::Response, N::Error>> + Send;
}

/// A tower layer that puts a step above a service.
#[derive(Debug, Clone)]
pub(crate) struct StepLayer<M>(M);

/// A step with the rest of the stack below it.
#[derive(Debug, Clone)]
pub(crate) struct Stepped<M, N> {
    middleware: M,
    next: N,
}

/// Makes a layer of a step, for a `ServiceBuilder`.
pub(crate) const fn step<M>(middleware: M) -> StepLayer<M> {
    StepLayer(middleware)
}

// === impl StepLayer ===

impl<M: Clone, N> Layer<N> for StepLayer<M> {
    type Service = Stepped<M, N>;

    fn layer(&self, next: N) -> Stepped<M, N> {
        Stepped { middleware: self.0.clone(), next }
    }
}

// === impl Stepped ===

impl<Q, M, N> Next<Q> for Stepped<M, N>
where
    M: Middleware<Q, N>,
    N: Next<Q>,
{
    type Response = N::Response;
    type Error = N::Error;

    fn run(&self, request: Q) -> impl Future<Output = Result<N::Response, N::Error>> + Send {
        self.middleware.handle(request, &self.next)
    }
}
