//! A token that the settings provide, and that this process does not renew: installed once, or re-read from its file.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use secrecy::SecretString;
use tokio::{
    sync::Mutex,
    time::{sleep, timeout},
};

use super::{
    current::{Arrival, CurrentToken, Expiry},
    source::TokenSource,
};
use crate::{
    settings::{SecretFileError, SecretWatch, WATCH_INTERVAL},
    telemetry::TokenMetrics,
};

/// The longest that a call whose token was refused waits for its file, as long as for a renewal: a file system that hangs
/// must not hold calls for ever.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// The token in use, and the file that a newer one is read from.
#[derive(Debug)]
pub(super) struct ProvidedToken {
    current: Arc<CurrentToken>,
    metrics: TokenMetrics,
    /// `None` for `token.source = "static"`. Locked while the file is read: many 401s at a time are one read, and one
    /// log line.
    file: Option<Mutex<SecretWatch<SecretString>>>,
}

// === impl ProvidedToken ===

impl ProvidedToken {
    /// Installs the source's token, or starts without one if its file cannot be used yet. Reads a file on this thread.
    pub(super) fn new(source: TokenSource, current: Arc<CurrentToken>, metrics: TokenMetrics) -> Self {
        let provided = Self { current, metrics, file: None };
        match source {
            TokenSource::Static(secret) => {
                provided.install_news(Some(Ok(secret)));
                provided
            }
            TokenSource::File(file) => {
                let mut watch = SecretWatch::new(file);
                provided.install_news(watch.read_blocking());
                Self { file: Some(Mutex::new(watch)), ..provided }
            }
        }
    }

    /// `token.source`.
    pub(super) const fn source(&self) -> &'static str {
        match self.file {
            None => "static",
            Some(_) => "file",
        }
    }

    /// Installs each new content of the file, for as long as it is polled. A static token never changes.
    pub(super) async fn watch(&self) {
        let Some(file) = &self.file else { return };
        loop {
            sleep(WATCH_INTERVAL).await;
            self.reread(file, self.current.generation()).await;
        }
    }

    /// Reads the file now, without waiting for the interval, for a newer token than this.
    pub(super) async fn newer_than(&self, generation: u64) {
        if let Some(file) = &self.file {
            // A read that is given up is finished by the next one.
            let _in_time = timeout(MAX_WAIT, self.reread(file, generation)).await;
        }
    }

    /// Reads the file, unless a token newer than `known` was installed while this waited for its turn.
    async fn reread(&self, file: &Mutex<SecretWatch<SecretString>>, known: u64) {
        let mut file = file.lock().await;
        if self.current.generation() > known {
            return;
        }
        self.install_news(file.read().await);
    }

    /// Content that cannot be used leaves the current token in use.
    fn install_news(&self, news: Option<Result<SecretString, SecretFileError>>) {
        let error = match news {
            None => return,
            Some(Err(error)) => error.to_string(),
            Some(Ok(secret)) => {
                let now = SystemTime::now();
                match self.current.install(secret, Expiry::Unknown, Arrival::ProvidedToken, now) {
                    Ok(None) => return,
                    Ok(Some(generation)) => {
                        self.metrics.installed(now);
                        self.metrics.renewed();
                        tracing::info!(source = self.source(), generation, "access token installed");
                        return;
                    }
                    Err(unsendable) => unsendable.to_string(),
                }
            }
        };
        tracing::warn!("token.access_token_file: {error}; keeping the current token, if there is one");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tokio::time::Instant;

    use super::*;
    use crate::{settings::SecretFile, telemetry::Metrics};

    #[tokio::test(start_paused = true)]
    async fn after_a_401_a_file_that_cannot_be_read_is_not_waited_for_longer_than_a_renewal() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "one").unwrap();
        let source = TokenSource::File(SecretFile::new(file.path()));
        let provided = ProvidedToken::new(source, Arc::new(CurrentToken::empty()), Metrics::new().token);
        // As while a read hangs.
        let reading = provided.file.as_ref().unwrap().lock().await;
        let start = Instant::now();
        timeout(Duration::from_secs(60), provided.newer_than(1)).await.unwrap();
        assert_eq!(start.elapsed(), MAX_WAIT);
        drop(reading);
        fs::write(file.path(), "two").unwrap();
        provided.newer_than(1).await;
        assert_eq!(provided.current.generation(), 2);
    }
}
