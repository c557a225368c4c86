//! Who may ask, and with which token the upstream is asked: from files and settings to what checks or sends them.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use hyper_util::client::legacy::connect::Connect;
use secrecy::SecretString;

use super::SetupError;
use crate::{
    server::BearerAuth,
    settings::{SecretContent, SecretFile, Settings, TokenSourceKind},
    state::{Durability, Inbox, StateStore},
    telemetry::TokenMetrics,
    token::{RefreshTokenSources, RenewalConfig, TokenManager, TokenSetupError, TokenSource},
    upstream::FormClient,
};

/// For one renewal of the token. Longer than a call's: the answer to a rotating refresh token that is not waited for is
/// lost, and with it the token. Within `shutdown.grace`, in which a renewal under way is brought to its end.
const TOKEN_DEADLINE: Duration = Duration::from_secs(20);

/// Reads a secret file of bearer tokens, and has its changes taken up.
pub(super) fn bearer_auth<T: SecretContent + Send + 'static>(
    key: &'static str,
    file: Option<&SecretFile<T>>,
    tokens: impl Fn(T) -> Vec<SecretString> + Send + 'static,
    background: &mut Vec<BoxFuture<'static, ()>>,
) -> Result<Option<BearerAuth>, SetupError> {
    let Some(file) = file else { return Ok(None) };
    let (first, mut watch) = file.watch().map_err(|source| SetupError::SecretFile { key, source })?;
    let bearer_auth = BearerAuth::with_tokens(&tokens(first));
    let held = bearer_auth.clone();
    background.push(Box::pin(async move {
        loop {
            match watch.changed().await {
                Ok(changed) => {
                    held.replace(&tokens(changed));
                    tracing::info!(key, "tokens reloaded from the changed file");
                }
                Err(error) => tracing::warn!(key, %error, "cannot reload tokens, keeping the current ones"),
            }
        }
    }));
    Ok(Some(bearer_auth))
}

/// The OAuth token's manager, by `token.source`.
pub(super) fn tokens<C>(
    settings: &Settings,
    authority: C,
    store: Arc<dyn StateStore>,
    metrics: TokenMetrics,
) -> Result<TokenManager, TokenSetupError>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let token = &settings.token;
    match token.source {
        TokenSourceKind::Static => Ok(TokenManager::new(
            TokenSource::Static(token.access_token.clone().unwrap_or_default()),
            metrics,
        )),
        TokenSourceKind::File => {
            let file = given(None, token.access_token_file.as_ref());
            // The settings are checked: the file is named.
            Ok(TokenManager::new(
                file.unwrap_or_else(|| TokenSource::Static(SecretString::default())),
                metrics,
            ))
        }
        TokenSourceKind::Refresh => {
            let renewing = RenewalConfig {
                url: token.token_url.uri().clone(),
                form_client: FormClient::new(authority, TOKEN_DEADLINE),
                client_id: token.client_id.clone().unwrap_or_default(),
                client_secret: given(token.client_secret.as_ref(), token.client_secret_file.as_ref()),
            };
            let seeds = RefreshTokenSources {
                configured: given(token.refresh_token.as_ref(), token.refresh_token_file.as_ref()),
                inbox: match store.durability() {
                    Durability::Durable => settings.state.dir.as_ref().map(Inbox::of),
                    // What is taken out of the inbox is gone from the disk, and this store does not keep it either.
                    Durability::Volatile => None,
                },
            };
            TokenManager::renewed(renewing, seeds, store, metrics)
        }
    }
}

fn given(secret: Option<&SecretString>, file: Option<&SecretFile<SecretString>>) -> Option<TokenSource> {
    secret.cloned().map(TokenSource::Static).or_else(|| file.cloned().map(TokenSource::File))
}
