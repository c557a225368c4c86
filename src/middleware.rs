//! Steps that wrap a call, each an `async fn handle(request, next)`, and the two places where they meet tower.
//!
//! A step borrows what stands below it, so that a whole stack of them is one future: no box, no clone and no
//! `poll_ready` for each. Below them stands a [`TowerService`]; above them [`SharedService`] makes one of them all. Must
//! never know what is called.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use tower::{Layer, Service, ServiceExt as _};

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
pub trait Middleware<Q, N: Next<Q>>: Send + Sync {
    /// Answers the request, with what `next` says to it or without.
    fn handle(&self, request: Q, next: &N) -> impl Future<Output = Result<N::Response, N::Error>> + Send;
}

/// Puts a step before whatever stands below it.
#[derive(Debug, Clone)]
pub struct StepLayer<M>(M);

/// A step with what stands below it.
#[derive(Debug, Clone)]
pub struct Stepped<M, N> {
    middleware: M,
    next: N,
}

/// A tower service at the bottom of a stack. It is cloned for each call, and ready once it is called.
#[derive(Debug, Clone)]
pub struct TowerService<S>(pub S);

/// A stack as a tower service, cheap to clone: one box for each call.
pub struct SharedService<Q, R, E>(Arc<dyn BoxedNext<Q, R, E>>);

trait BoxedNext<Q, R, E>: Send + Sync {
    fn run_boxed(self: Arc<Self>, request: Q) -> BoxFuture<'static, Result<R, E>>;
}

/// A layer of this step, for a `ServiceBuilder`.
pub const fn step<M>(middleware: M) -> StepLayer<M> {
    StepLayer(middleware)
}

// === impl TowerService ===

impl<Q, S> Next<Q> for TowerService<S>
where
    S: Service<Q> + Clone + Send + Sync,
    S::Response: Send,
    S::Error: Send,
    S::Future: Send,
    Q: Send,
{
    type Response = S::Response;
    type Error = S::Error;

    fn run(&self, request: Q) -> impl Future<Output = Result<S::Response, S::Error>> + Send {
        self.0.clone().oneshot(request)
    }
}

// === impl Stepped ===

impl<M: Clone, N> Layer<N> for StepLayer<M> {
    type Service = Stepped<M, N>;

    fn layer(&self, next: N) -> Stepped<M, N> {
        Stepped { middleware: self.0.clone(), next }
    }
}

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

// === impl SharedService ===

impl<Q: Send + 'static, R, E> SharedService<Q, R, E> {
    /// The service that this stack is.
    pub fn new<N>(stack: N) -> Self
    where
        N: Next<Q, Response = R, Error = E> + 'static,
    {
        Self(Arc::new(stack))
    }
}

impl<Q, N> BoxedNext<Q, N::Response, N::Error> for N
where
    N: Next<Q> + 'static,
    Q: Send + 'static,
{
    fn run_boxed(self: Arc<Self>, request: Q) -> BoxFuture<'static, Result<N::Response, N::Error>> {
        Box::pin(async move { self.run(request).await })
    }
}

impl<Q, R, E> Service<Q> for SharedService<Q, R, E> {
    type Response = R;
    type Error = E;
    type Future = BoxFuture<'static, Result<R, E>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        // A wait belongs to a call, so that dropping the call ends it.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Q) -> Self::Future {
        Arc::clone(&self.0).run_boxed(request)
    }
}

impl<Q, R, E> Clone for SharedService<Q, R, E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<Q, R, E> fmt::Debug for SharedService<Q, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedService").finish_non_exhaustive()
    }
}
