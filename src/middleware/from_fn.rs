//! `from_fn`: a tower layer made from an `async fn(state, request, next)`, like axum's `middleware::from_fn`.

use std::{
    future::Future,
    task::{Context, Poll},
};

use tower::{Layer, Service};

/// See [`from_fn`].
#[derive(Debug, Clone)]
pub(crate) struct FromFnLayer<T, F> {
    state: T,
    wrap: F,
}

/// See [`from_fn`].
#[derive(Debug, Clone)]
pub(crate) struct FromFn<T, F, S> {
    state: T,
    wrap: F,
    next: S,
}

/// A layer that calls `wrap(state, request, next)`, where `next` is the service below it. The layer is always ready:
/// `wrap` waits until `next` is ready when it calls it ([`tower::ServiceExt::oneshot`]).
pub(crate) const fn from_fn<T, F>(state: T, wrap: F) -> FromFnLayer<T, F> {
    FromFnLayer { state, wrap }
}

// === impl FromFnLayer ===

impl<T: Clone, F: Clone, S> Layer<S> for FromFnLayer<T, F> {
    type Service = FromFn<T, F, S>;

    fn layer(&self, next: S) -> FromFn<T, F, S> {
        FromFn { state: self.state.clone(), wrap: self.wrap.clone(), next }
    }
}

// === impl FromFn ===

impl<T, F, S, Request, Wrapped, Response, Error> Service<Request> for FromFn<T, F, S>
where
    T: Clone,
    F: Fn(T, Request, S) -> Wrapped,
    S: Clone,
    Wrapped: Future<Output = Result<Response, Error>>,
{
    type Response = Response;
    type Error = Error;
    type Future = Wrapped;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Wrapped {
        (self.wrap)(self.state.clone(), request, self.next.clone())
    }
}
