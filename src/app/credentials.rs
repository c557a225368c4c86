//! Builds client authentication (bearer tokens from files, reloaded when they change) and the upstream token's manager.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use futures_util::future::BoxFuture;
use hyper_util::client::legacy::connect::Connect;
use secrecy::SecretString;

use super::{SetupError, labels};
use crate::{
    admin::ActivityNames,
    report::ClientNumber,
    server::BearerAuth,
    settings::{ClientToken, SecretContent, SecretFile, SecretWatch, Settings, TokenSourceKind},
    state::{Durability, Inbox},
    telemetry::{Metrics, TokenMetrics},
    token::{RefreshTokenSources, RenewalConfig, TokenManager, TokenRecords, TokenSetupError, TokenSource},
    upstream::FormClient,
};

/// The timeout of one token renewal. Longer than that of a call: if the response to a rotating refresh token is lost, so is
/// the new refresh token. Shorter than the default of `shutdown.grace`, during which a running renewal can finish.
const TOKEN_DEADLINE: Duration = Duration::from_secs(20);

/// Reads a secret file of bearer tokens, and adds a background task that reloads it when it changes.
pub(super) fn bearer_auth<T: SecretContent + Send + 'static>(
    key: &'static str,
    file: Option<&SecretFile<T>>,
    tokens: impl Fn(T) -> Vec<(SecretString, ClientNumber)> + Send + 'static,
    metrics: &Metrics,
    background: &mut Vec<BoxFuture<'static, ()>>,
) -> Result<Option<BearerAuth>, SetupError> {
    let Some(file) = file else { return Ok(None) };
    let (first, watch) = file.watch().map_err(|source| SetupError::SecretFile { key, source })?;
    show_readable(key, &watch, metrics);
    let bearer_auth = BearerAuth::with_tokens(&tokens(first));
    let held = bearer_auth.clone();
    background.push(Box::pin(reload(key, "token", watch, move |changed| held.replace(&tokens(changed)))));
    Ok(Some(bearer_auth))
}

/// Reads `names.file`, and adds a background task that reloads it when it changes.
pub(super) fn activity_names(
    settings: &Settings,
    names: &Arc<ActivityNames>,
    metrics: &Metrics,
    background: &mut Vec<BoxFuture<'static, ()>>,
) -> Result<(), SetupError> {
    let key = "names.file";
    let Some(file) = &settings.names.file else { return Ok(()) };
    let (first, watch) = file.watch().map_err(|source| SetupError::SecretFile { key, source })?;
    show_readable(key, &watch, metrics);
    names.replace(first);
    let names = Arc::clone(names);
    background.push(Box::pin(reload(key, "name", watch, move |changed| names.replace(changed))));
    Ok(())
}

/// The series `secret_file_readable` of this file.
pub(super) fn show_readable<T: SecretContent>(key: &'static str, watch: &SecretWatch<T>, metrics: &Metrics) {
    let (failing, readable) = (watch.failing(), metrics.state.secret_file(key));
    metrics.before_scrape(move || readable.set((!failing.load(Relaxed)).into()));
}

/// Passes each new content of a secret file to `replace`, for ever. `word` says in the log what the file holds.
pub(super) async fn reload<T: SecretContent>(
    key: &'static str,
    word: &'static str,
    mut watch: SecretWatch<T>,
    replace: impl Fn(T) + Send,
) {
    loop {
        match watch.changed().await {
            Ok(changed) => {
                replace(changed);
                tracing::info!(key, "{word}s reloaded from the changed file");
            }
            Err(error) => {
                tracing::warn!(key, %error, "cannot reload the {word} file, keeping the current {word}s");
            }
        }
    }
}

/// The tokens of `clients.tokens_file` with their clients, whose series exist from now on.
pub(super) fn named_tokens(metrics: &Metrics, tokens: Vec<ClientToken>) -> Vec<(SecretString, ClientNumber)> {
    let named = |ClientToken { name, token }| {
        let client = name.map_or(ClientNumber::UNNAMED, |name: String| {
            metrics.clients.number(&name).map_or(ClientNumber::OTHER, ClientNumber::from_index)
        });
        labels::announce_client(metrics, client);
        (token, client)
    };
    tokens.into_iter().map(named).collect()
}

/// The OAuth token's manager, by `token.source`.
pub(super) async fn tokens<C>(
    settings: &Settings,
    authority: C,
    records: TokenRecords,
    durability: Durability,
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
            // The checks of the settings make sure that the file is set: the fallback is never used.
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
                inbox: match durability {
                    Durability::Durable => settings.state.dir.as_ref().map(Inbox::of),
                    // Reading the inbox removes its file, and this store would lose the token with the process.
                    Durability::Volatile => None,
                },
            };
            TokenManager::renewed(renewing, seeds, records, metrics).await
        }
    }
}

fn given(secret: Option<&SecretString>, file: Option<&SecretFile<SecretString>>) -> Option<TokenSource> {
    secret.cloned().map(TokenSource::Static).or_else(|| file.cloned().map(TokenSource::File))
}
