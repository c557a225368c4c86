//! Keeps a token that is given to us: reads it again, and takes up what is new.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use secrecy::SecretString;
use tokio::{sync::Mutex, time::sleep};

use super::{
    current::{Arrival, CurrentToken, Expiry},
    source::{SourceError, TokenSource},
};
use crate::telemetry::TokenMetrics;

/// How often a token file's content is looked at. After a 401 it is read once, immediately.
pub(super) const REREAD_EVERY: Duration = Duration::from_secs(5);

/// The source, and how it was the last time.
#[derive(Debug)]
pub(super) struct ProvidedToken {
    source: TokenSource,
    current: Arc<CurrentToken>,
    metrics: TokenMetrics,
    /// Held while the source is read: many 401s at a time are one reading, and one line of log.
    reading: Mutex<SourceHealth>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SourceHealth {
    Good,
    /// Already told of.
    Failing,
}

// === impl ProvidedToken ===

impl ProvidedToken {
    /// Takes up the source's token, or starts without one when there is none yet. Reads a file on this thread.
    pub(super) fn new(source: TokenSource, current: Arc<CurrentToken>, metrics: TokenMetrics) -> Self {
        let first = source.read_now();
        let mut given = Self { source, current, metrics, reading: Mutex::new(SourceHealth::Good) };
        given.reading = Mutex::new(given.settle(first, SourceHealth::Good));
        given
    }

    pub(super) const fn source(&self) -> &'static str {
        self.source.as_str()
    }

    /// Looks for a newer token now and then, for as long as it is polled. A static one is never newer.
    pub(super) async fn watch(&self) {
        match self.source {
            TokenSource::Static(_) => {}
            TokenSource::File(_) => loop {
                sleep(REREAD_EVERY).await;
                self.reread(self.current.generation()).await;
            },
        }
    }

    /// Looks for a newer token than this.
    pub(super) async fn newer_than(&self, generation: u64) {
        match self.source {
            TokenSource::Static(_) => {}
            TokenSource::File(_) => self.reread(generation).await,
        }
    }

    /// Reads the source, unless a token newer than `known` has come up meanwhile.
    async fn reread(&self, known: u64) {
        let mut health = self.reading.lock().await;
        if self.current.generation() > known {
            return;
        }
        let read = self.source.read().await;
        *health = self.settle(read, *health);
    }

    /// Takes up what was read if it is new. What cannot be used leaves the old token in use, and is told of once.
    fn settle(&self, read: Result<SecretString, SourceError>, health: SourceHealth) -> SourceHealth {
        match read.and_then(|secret| self.install(secret)) {
            Ok(()) => SourceHealth::Good,
            Err(error) => {
                if health == SourceHealth::Good {
                    tracing::warn!("token.access_token_file: {error}; the token in use, if any, is kept");
                }
                SourceHealth::Failing
            }
        }
    }

    fn install(&self, secret: SecretString) -> Result<(), SourceError> {
        let now = SystemTime::now();
        let Some(generation) = self.current.install(secret, Expiry::Unknown, Arrival::ProvidedToken, now)?
        else {
            return Ok(());
        };
        self.metrics.taken_up(now);
        self.metrics.renewed();
        tracing::info!(source = self.source(), generation, "access token installed");
        Ok(())
    }
}
