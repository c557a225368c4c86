//! Stamps the token on each request, and tells the keeper what the upstream thought of it.

use std::task::{Context, Poll};

use futures_util::future::{BoxFuture, FutureExt as _};
use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use tower::{Layer, Service, ServiceExt as _};

use super::manager::TokenManager;
use crate::report::{Cause, SentGeneration};

/// Puts [`Authorize`] in front of the HTTP client.
#[derive(Debug, Clone)]
pub struct AuthorizeLayer {
    tokens: TokenManager,
}

/// The last before the wire: nothing above it ever sees the token.
#[derive(Debug, Clone)]
pub struct Authorize<S> {
    client: S,
    tokens: TokenManager,
}

// === impl AuthorizeLayer ===

impl AuthorizeLayer {
    /// Stamps whatever token is in use when a request passes.
    pub fn new(tokens: TokenManager) -> Self {
        Self { tokens }
    }
}

impl<S> Layer<S> for AuthorizeLayer {
    type Service = Authorize<S>;

    fn layer(&self, client: S) -> Authorize<S> {
        Authorize { client, tokens: self.tokens.clone() }
    }
}

// === impl Authorize ===

impl<S, Q, B> Service<Request<Q>> for Authorize<S>
where
    S: Service<Request<Q>, Response = Response<B>, Error = Cause> + Clone + Send + 'static,
    S::Future: Send,
    Q: Send + 'static,
    B: Send,
{
    type Response = Response<B>;
    type Error = Cause;
    type Future = BoxFuture<'static, Result<Response<B>, Cause>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Cause>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        let Self { client, tokens } = self.clone();
        async move {
            // Waits for none: its turn is now, and all that waited here would leave together once a token comes. Asked
            // for although the gate has let the call pass: the token may have been refused while it queued for its turn.
            let (token, _until_it_is_judged) = tokens.to_send()?;
            request.headers_mut().insert(AUTHORIZATION, token.bearer());
            let mut response = client.oneshot(request).await?;
            response.extensions_mut().insert(SentGeneration(token.generation()));
            match response.status() {
                StatusCode::UNAUTHORIZED => tokens.refused(token.generation()).await,
                // A server that failed may not have looked at the token.
                status if status.is_server_error() => {}
                // It did look, whatever it thinks of the rest.
                _ => tokens.accepted(token.generation()),
            }
            Ok(response)
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::LocalDenial;
    use crate::{
        settings::SecretFile,
        telemetry::Metrics,
        token::{TokenSource, TokenStatus},
    };

    fn tokens(source: TokenSource) -> TokenManager {
        TokenManager::new(source, Metrics::new().token)
    }

    async fn ask(tokens: &TokenManager, status: StatusCode) -> Result<Response<()>, Cause> {
        let client = tower::service_fn(move |request: Request<()>| async move {
            assert_eq!(request.headers()[AUTHORIZATION], "Bearer t0ken");
            assert!(request.headers()[AUTHORIZATION].is_sensitive());
            let mut response = Response::new(());
            *response.status_mut() = status;
            Ok(response)
        });
        AuthorizeLayer::new(tokens.clone()).layer(client).oneshot(Request::new(())).await
    }

    #[tokio::test]
    async fn each_request_carries_our_token_and_the_keeper_hears_of_a_401() {
        let tokens = tokens(TokenSource::Static("t0ken".into()));
        for proof in [200, 204, 301, 400, 403, 404, 429] {
            for (status, standing) in [
                (StatusCode::UNAUTHORIZED, TokenStatus::Rejected),
                (StatusCode::BAD_GATEWAY, TokenStatus::Rejected),
                (StatusCode::from_u16(proof).unwrap(), TokenStatus::Valid),
            ] {
                assert_eq!(ask(&tokens, status).await.unwrap().status(), status);
                assert_eq!(tokens.snapshot().status, standing, "{status}");
            }
        }
    }

    #[tokio::test]
    async fn without_a_token_nothing_is_sent() {
        let tokens = tokens(TokenSource::File(SecretFile::new("/nonexistent")));
        assert_eq!(ask(&tokens, StatusCode::OK).await.unwrap_err(), Cause::Local(LocalDenial::NoToken));
    }
}
