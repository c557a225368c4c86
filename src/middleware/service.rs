//! Adapters between middleware and tower: a tower service below the stack, and the stack as a tower service.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use tower::{Service, ServiceExt as _};

use super::step::Next;

/// A tower service at the bottom of a stack. Each call clones it, and waits until the clone is ready.
#[derive(Debug, Clone)]
pub struct TowerService<S>(pub S);

/// A stack as a tower service: each call allocates one box, and a clone increments a reference count.
pub struct SharedService<Q, R, E>(Arc<dyn BoxedNext<Q, R, E>>);

trait BoxedNext<Q, R, E>: Send + Sync {
    fn run_boxed(self: Arc<Self>, request: Q) -> BoxFuture<'static, Result<R, E>>;
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

// === impl SharedService ===

impl<Q: Send + 'static, R, E> SharedService<Q, R, E> {
    /// Makes a service of this stack.
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
        // Always ready: the waiting is done within the call, so that dropping the call ends it.
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

#[cfg(test)]
mod tests {
    use std::future::ready;

    use tower::ServiceBuilder;

    use super::*;
    use crate::middleware::{Middleware, step};

    /// Adds its number to the request and to the response.
    #[derive(Clone)]
    struct Mark(&'static str);

    impl<N: Next<String, Response = String>> Middleware<String, N> for Mark {
        async fn handle(&self, request: String, next: &N) -> Result<String, N::Error> {
            let Self(mark) = self;
            Ok(format!("{}{mark}", next.run(format!("{request}{mark}")).await?))
        }
    }

    #[tokio::test]
    async fn a_request_passes_the_steps_from_the_top_down_and_its_response_from_the_bottom_up() {
        let echo = tower::service_fn(|request: String| ready(Ok::<_, ()>(format!("{request}|"))));
        let stack = ServiceBuilder::new()
            .layer(step(Mark("1")))
            .layer(step(Mark("2")))
            .layer(step(Mark("3")))
            .service(TowerService(echo));
        let service = SharedService::new(stack);
        for _ in 0..2 {
            assert_eq!(service.clone().oneshot("0".to_owned()).await.unwrap(), "0123|321");
        }
    }
}
