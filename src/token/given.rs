//! Keeps a token that is given to us: reads it again, and takes up what is new.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use secrecy::SecretString;
use tokio::{sync::Mutex, time::sleep};

use super::{
    hand::{Arrival, Hand, Life},
    source::{SourceError, TokenSource},
};
use crate::telemetry::TokenMetrics;

/// How often a token file's content is looked at. After a 401 it is looked at once at once.
pub(super) const REREAD_EVERY: Duration = Duration::from_secs(5);

/// The source, and how it was the last time.
#[derive(Debug)]
pub(super) struct Given {
    source: TokenSource,
    hand: Arc<Hand>,
    metrics: TokenMetrics,
    /// Held while the source is read: many 401s at a time are one reading, and one line of log.
    reading: Mutex<Health>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Good,
    /// Already told of.
    Failing,
}

// === impl Given ===

impl Given {
    /// Takes up the source's token, or starts without one when there is none yet. Reads a file on this thread.
    pub(super) fn new(source: TokenSource, hand: Arc<Hand>, metrics: TokenMetrics) -> Self {
        let first = source.read_now();
        let mut given = Self { source, hand, metrics, reading: Mutex::new(Health::Good) };
        given.reading = Mutex::new(given.settle(first, Health::Good));
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
                self.reread(self.hand.generation()).await;
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
        if self.hand.generation() > known {
            return;
        }
        let read = self.source.read().await;
        *health = self.settle(read, *health);
    }

    /// Takes up what was read if it is new. What cannot be used leaves the old token in use, and is told of once.
    fn settle(&self, read: Result<SecretString, SourceError>, health: Health) -> Health {
        match read.and_then(|secret| self.take_up(secret)) {
            Ok(()) => Health::Good,
            Err(error) => {
                if health == Health::Good {
                    tracing::warn!("token.access_token_file: {error}; the token in use, if any, is kept");
                }
                Health::Failing
            }
        }
    }

    fn take_up(&self, secret: SecretString) -> Result<(), SourceError> {
        let now = SystemTime::now();
        let Some(generation) = self.hand.take_up(secret, Life::Unknown, Arrival::Given, now)? else {
            return Ok(());
        };
        self.metrics.taken_up(now);
        self.metrics.renewed();
        tracing::info!(source = self.source(), generation, "access token taken up");
        Ok(())
    }
}
