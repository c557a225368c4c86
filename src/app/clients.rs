//! Who may use the data port: `clients.*`, whose token file is watched, and which can change while the proxy runs.

use std::{
    future::pending,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use tokio::sync::mpsc;

use super::{SetupError, credentials::named_tokens};
use crate::{
    server::BearerAuth,
    settings::{ClientToken, Clients, SecretWatch},
    telemetry::Metrics,
};

const KEY: &str = "clients.tokens_file";

/// Changes the clients while the proxy runs.
#[derive(Debug)]
pub(super) struct ClientRules(mpsc::UnboundedSender<TokenFile>);

/// The accepted tokens, and the watch of their file; `None`: no token is required.
#[derive(Debug)]
pub(super) struct TokenFile(Option<(Vec<ClientToken>, SecretWatch<Vec<ClientToken>>)>);

/// Keeps the accepted tokens as the file says. One task owns them: an old file must not be read after a new one.
pub(super) struct ClientKeeper {
    auth: BearerAuth,
    metrics: Arc<Metrics>,
    changes: mpsc::UnboundedReceiver<TokenFile>,
    watch: Option<SecretWatch<Vec<ClientToken>>>,
    failing: Arc<Mutex<Arc<AtomicBool>>>,
}

// === impl TokenFile ===

impl TokenFile {
    /// Reads the file that the settings name, on this thread.
    ///
    /// # Errors
    /// If it cannot be used.
    pub(super) fn read(clients: &Clients) -> Result<Self, SetupError> {
        let Some(file) = &clients.tokens_file else { return Ok(Self(None)) };
        file.watch()
            .map(|read| Self(Some(read)))
            .map_err(|source| SetupError::SecretFile { key: KEY, source })
    }
}

// === impl ClientRules ===

impl ClientRules {
    /// The rules at the start, and the task that keeps them.
    pub(super) fn start(file: TokenFile, metrics: &Arc<Metrics>) -> (BearerAuth, Self, ClientKeeper) {
        let (change, changes) = mpsc::unbounded_channel();
        let auth = BearerAuth::anybody();
        let mut keeper = ClientKeeper {
            auth: auth.clone(),
            metrics: Arc::clone(metrics),
            changes,
            watch: None,
            failing: Arc::default(),
        };
        keeper.take_over(file);
        (auth, Self(change), keeper)
    }

    /// From now on those of this file.
    pub(super) fn replace(&self, file: TokenFile) {
        // Fails only when the proxy ends.
        let _heard = self.0.send(file);
    }
}

// === impl ClientKeeper ===

impl ClientKeeper {
    /// Follows the file and its replacements. Never ends.
    pub(super) async fn run(mut self) {
        loop {
            let changed = async {
                match &mut self.watch {
                    Some(watch) => watch.changed().await,
                    None => pending().await,
                }
            };
            tokio::select! {
                // A new file before an old one's content.
                biased;
                file = self.changes.recv() => match file {
                    Some(file) => self.take_over(file),
                    None => pending().await,
                },
                changed = changed => match changed {
                    Ok(tokens) => {
                        self.auth.replace(&named_tokens(&self.metrics, tokens));
                        tracing::info!(key = KEY, "tokens reloaded from the changed file");
                    }
                    Err(error) => {
                        tracing::warn!(key = KEY, %error, "cannot reload the token file, keeping the current tokens");
                    }
                },
            }
        }
    }

    fn take_over(&mut self, TokenFile(file): TokenFile) {
        match file {
            Some((tokens, watch)) => {
                self.auth.require(&named_tokens(&self.metrics, tokens));
                self.show(watch.failing());
                self.watch = Some(watch);
            }
            None => {
                self.auth.require_none();
                self.watch = None;
                // Of a file that nobody reads any more.
                *self.failing.lock().unwrap_or_else(PoisonError::into_inner) = Arc::default();
            }
        }
    }

    /// Shows from now on whether this file fails.
    fn show(&self, failing: Arc<AtomicBool>) {
        let is_first = Arc::strong_count(&self.failing) == 1;
        *self.failing.lock().unwrap_or_else(PoisonError::into_inner) = failing;
        if is_first {
            let (shown, readable) = (Arc::clone(&self.failing), self.metrics.state.secret_file(KEY));
            self.metrics.before_scrape(move || {
                let failing = shown.lock().unwrap_or_else(PoisonError::into_inner).load(Relaxed);
                readable.set((!failing).into());
            });
        }
    }
}
