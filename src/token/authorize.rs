//! Sets `Authorization: Bearer` on each upstream request, and reports a 401 or success to the token manager.

use http::{Request, Response, StatusCode, header::AUTHORIZATION};

use super::manager::TokenManager;
use crate::{
    middleware::{Middleware, Next},
    report::{Cause, RefusalNote, SentGeneration},
};

/// The layer directly above the HTTP client: no layer above it sees the token.
#[derive(Debug, Clone)]
pub(crate) struct Authorize {
    tokens: TokenManager,
}

// === impl Authorize ===

impl Authorize {
    /// Sends the token that is current when a request passes this layer.
    pub(crate) fn new(tokens: TokenManager) -> Self {
        Self { tokens }
    }
}

impl<Q, B, N> Middleware<Request<Q>, N> for Authorize
where
    N: Next<Request<Q>, Response = Response<B>, Error = Cause>,
    Q: Send,
    B: Send,
{
    async fn handle(&self, mut request: Request<Q>, client: &N) -> Result<Response<B>, Cause> {
        // Does not wait for a token: the rate limiter has released this call now, and calls that waited here would all
        // leave together once a token arrives. Checked again after the gate, because the token may have been refused
        // while the call was queued.
        let (token, _until_it_is_judged) = self.tokens.to_send()?;
        request.headers_mut().insert(AUTHORIZATION, token.bearer());
        let note = request.extensions().get::<RefusalNote>().cloned();
        let sent = SentGeneration(token.generation());
        let mut response = client.run(request).await?;
        response.extensions_mut().insert(sent);
        match response.status() {
            StatusCode::UNAUTHORIZED => {
                note.into_iter().for_each(|note| note.refused(sent));
                self.tokens.refused(token.generation()).await;
            }
            // A server that failed may not have checked the token.
            status if status.is_server_error() => {}
            // Any other status means that the token was accepted.
            _ => self.tokens.accepted(token.generation()),
        }
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{middleware::TowerService, report::LocalDenial};
    use crate::{
        settings::SecretFile,
        telemetry::Metrics,
        token::{TokenSource, TokenStatus},
    };

    fn tokens(source: TokenSource) -> TokenManager {
        TokenManager::new(source, Metrics::new().token)
    }

    async fn ask(tokens: &TokenManager, status: StatusCode) -> Result<Response<()>, Cause> {
        let client = TowerService(tower::service_fn(move |request: Request<()>| async move {
            assert_eq!(request.headers()[AUTHORIZATION], "Bearer t0ken");
            assert!(request.headers()[AUTHORIZATION].is_sensitive());
            let mut response = Response::new(());
            *response.status_mut() = status;
            Ok(response)
        }));
        Authorize::new(tokens.clone()).handle(Request::new(()), &client).await
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
