//! A step, what stands below it, and both as one.

use tower::Layer;

/// What answers a request: the rest of the stack, for the step above it.
pub trait Next<Q>: Send + Sync {
    /// What it answers with.
    type Response: Send;
    /// How it fails.
    type Error: Send;

    /// The answer. Dropping the future ends the call.
    fn run(&self, request: Q) -> impl Future<Output = Result<Self::Response, Self::Error>> + Send;
}

/// A step before `N`.
pub(crate) trait Middleware<Q, N: Next<Q>>: Send + Sync {
    /// Answers the request, with what `next` says to it or without.
    fn handle(&self, request: Q, next: &N) -> impl Future<Output = Result<N::Response, N::Error>> + Send;
}

/// Puts a step before whatever stands below it.
#[derive(Debug, Clone)]
pub(crate) struct StepLayer<M>(M);

/// A step with what stands below it.
#[derive(Debug, Clone)]
pub(crate) struct Stepped<M, N> {
    middleware: M,
    next: N,
}

/// A layer of this step, for a `ServiceBuilder`.
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
