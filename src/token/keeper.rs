//! Keeps the one token: hands it out, takes up a newer one, and hears when it is refused.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use secrecy::SecretString;
use tokio::{sync::Mutex, time::sleep};

use super::{
    access::AccessToken,
    source::{SourceError, TokenSource},
};
use crate::telemetry::TokenMetrics;

/// How often a token file's content is looked at. After a 401 it is looked at once at once.
const REREAD_EVERY: Duration = Duration::from_secs(5);

/// The one token of this process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tokens {
    shared: Arc<Shared>,
}

/// What may be told of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenSnapshot {
    /// `token.source`.
    pub source: &'static str,
    /// How many tokens this process has had; 0: none yet.
    pub generation: u64,
    /// When the one in use was taken up.
    pub changed_at: Option<SystemTime>,
    /// What the upstream thinks of it, as far as we know.
    pub standing: Standing,
}

/// Is the token good?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nobody has said otherwise.
    Valid,
    /// The upstream answered 401 to it, and there is no newer one.
    Refused,
    /// There is none.
    Missing,
}

#[derive(Debug)]
struct Shared {
    source: TokenSource,
    held: RwLock<Held>,
    /// Held while the source is read: many 401s at a time are one reading, and one line of log.
    reading: Mutex<Health>,
    metrics: TokenMetrics,
}

#[derive(Debug)]
struct Held {
    token: Option<Arc<AccessToken>>,
    changed_at: Option<SystemTime>,
    standing: Standing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Good,
    /// Already told of.
    Failing,
}

// === impl Standing ===

impl Standing {
    /// For `GET /token`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Refused => "refused",
            Self::Missing => "missing",
        }
    }

    /// The label of `token_state`: no token is as bad as one that has expired.
    const fn metric(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Refused | Self::Missing => "expired",
        }
    }
}

// === impl Tokens ===

impl Tokens {
    /// Takes up the source's token, or starts without one when there is none yet. Reads a file on this thread.
    pub fn new(source: TokenSource, metrics: TokenMetrics) -> Self {
        let first = source.read_now();
        let mut shared = Shared {
            source,
            held: RwLock::new(Held { token: None, changed_at: None, standing: Standing::Missing }),
            reading: Mutex::new(Health::Good),
            metrics,
        };
        shared.reading = Mutex::new(shared.settle(first, Health::Good));
        Self { shared: Arc::new(shared) }
    }

    /// Looks for a newer token now and then, for as long as it is polled. A static one is never newer.
    pub async fn watch(self) {
        match self.shared.source {
            TokenSource::Static(_) => {}
            TokenSource::File(_) => loop {
                sleep(REREAD_EVERY).await;
                self.shared.reread(self.generation()).await;
            },
        }
    }

    /// The generation of the token in use; 0 without one.
    pub fn generation(&self) -> u64 {
        self.current().map_or(0, |token| token.generation())
    }

    /// What may be told of the token.
    pub fn snapshot(&self) -> TokenSnapshot {
        let generation = self.generation();
        let held = self.shared.held.read().unwrap_or_else(PoisonError::into_inner);
        TokenSnapshot {
            source: self.shared.source.as_str(),
            generation,
            changed_at: held.changed_at,
            standing: held.standing,
        }
    }

    pub(super) fn current(&self) -> Option<Arc<AccessToken>> {
        self.shared.held.read().unwrap_or_else(PoisonError::into_inner).token.clone()
    }

    /// The upstream answered 401 to this generation. Returns once a newer one has been looked for, so that whoever
    /// asks for the generation next knows whether a second call is worth it. Without a newer one the refused one
    /// stays in use: only the operator can tell what is wrong with it.
    pub(super) async fn refused(&self, generation: u64) {
        self.shared.judge(generation, Standing::Refused);
        match self.shared.source {
            TokenSource::Static(_) => {}
            TokenSource::File(_) => self.shared.reread(generation).await,
        }
        if self.generation() == generation {
            self.shared.metrics.renewal_failed();
        }
    }

    /// The upstream took this generation.
    pub(super) fn accepted(&self, generation: u64) {
        self.shared.judge(generation, Standing::Valid);
    }
}

// === impl Shared ===

impl Shared {
    /// Reads the source, unless a token newer than `known` has come up meanwhile.
    async fn reread(&self, known: u64) {
        let mut health = self.reading.lock().await;
        if self.with(|held| held.generation()) > known {
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
        let generation = self.with(|held| match &held.token {
            Some(token) if token.is(&secret) => None,
            Some(_) | None => Some(held.generation() + 1),
        });
        let Some(generation) = generation else { return Ok(()) };
        let (token, now) = (Arc::new(AccessToken::new(secret, generation)?), SystemTime::now());
        self.with(|held| {
            *held = Held { token: Some(token), changed_at: Some(now), standing: Standing::Valid };
            self.metrics.state(held.standing.metric());
        });
        self.metrics.renewed(now);
        tracing::info!(source = self.source.as_str(), generation, "access token taken up");
        Ok(())
    }

    /// Notes what the upstream thinks of a token, if it is still the one in use.
    fn judge(&self, generation: u64, standing: Standing) {
        // Each call ends here, and most say nothing new: a reader does not make the others wait.
        let is_news = |held: &Held| held.generation() == generation && held.standing != standing;
        if !is_news(&self.held.read().unwrap_or_else(PoisonError::into_inner)) {
            return;
        }
        let news = self.with(|held| {
            let news = is_news(held);
            if news {
                held.standing = standing;
                self.metrics.state(standing.metric());
            }
            news
        });
        if news && standing == Standing::Refused {
            tracing::warn!(
                source = self.source.as_str(),
                generation,
                "the upstream refuses the access token"
            );
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Held) -> T) -> T {
        act(&mut self.held.write().unwrap_or_else(PoisonError::into_inner))
    }
}

// === impl Held ===

impl Held {
    fn generation(&self) -> u64 {
        self.token.as_ref().map_or(0, |token| token.generation())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, path::PathBuf};

    use tempfile::TempDir;

    use super::*;
    use crate::{settings::SecretFile, telemetry::Metrics};

    /// A secret mounted as Kubernetes does it: the file is a link into a directory that is a link, and only the
    /// latter is swapped.
    struct Mount(TempDir);

    impl Mount {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            symlink("..data/token", root.path().join("token")).unwrap();
            Self(root)
        }

        fn token(&self) -> PathBuf {
            self.0.path().join("token")
        }

        fn swap(&self, version: &str, content: &str) {
            let root = self.0.path();
            fs::create_dir(root.join(version)).unwrap();
            fs::write(root.join(version).join("token"), content).unwrap();
            symlink(version, root.join("..new")).unwrap();
            fs::rename(root.join("..new"), root.join("..data")).unwrap();
        }

        fn tokens(&self, metrics: &Metrics) -> Tokens {
            Tokens::new(TokenSource::File(SecretFile::new(self.token())), metrics.token.clone())
        }
    }

    fn sends(tokens: &Tokens) -> String {
        tokens.current().unwrap().bearer().to_str().unwrap().to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn a_swapped_file_is_taken_up_within_seconds_and_a_broken_one_is_not() {
        let (mount, metrics) = (Mount::new(), Metrics::new());
        mount.swap("v1", "one\n");
        let tokens = mount.tokens(&metrics);
        let watch = tokio::spawn(tokens.clone().watch());
        for (version, content, expected, generation) in
            [("v2", "two", "Bearer two", 2), ("v3", "", "Bearer two", 2), ("v4", "four\n", "Bearer four", 3)]
        {
            mount.swap(version, content);
            sleep(REREAD_EVERY * 2).await;
            assert_eq!((sends(&tokens).as_str(), tokens.generation()), (expected, generation));
        }
        fs::remove_file(mount.token()).unwrap();
        sleep(REREAD_EVERY * 2).await;
        assert_eq!(sends(&tokens), "Bearer four");
        assert!(!watch.is_finished());
        watch.abort();
    }

    #[tokio::test]
    async fn after_a_401_the_file_is_read_at_once() {
        let (mount, metrics) = (Mount::new(), Metrics::new());
        mount.swap("v1", "one");
        let tokens = mount.tokens(&metrics);
        tokens.refused(1).await;
        assert_eq!((tokens.generation(), tokens.snapshot().standing), (1, Standing::Refused));
        assert!(metrics.render().unwrap().contains("token_state{state=\"expired\"} 1\n"));
        mount.swap("v2", "two");
        tokio::join!(tokens.refused(1), tokens.refused(1), tokens.refused(1));
        assert_eq!((tokens.generation(), tokens.snapshot().standing), (2, Standing::Valid));
        tokens.refused(1).await;
        assert_eq!(tokens.snapshot().standing, Standing::Valid, "old news of an old token");
    }

    #[tokio::test]
    async fn a_static_token_that_was_refused_stays_in_use() {
        let metrics = Metrics::new();
        let tokens = Tokens::new(TokenSource::Static("fixed".into()), metrics.token.clone());
        tokens.refused(1).await;
        assert_eq!((sends(&tokens).as_str(), tokens.generation()), ("Bearer fixed", 1));
        tokens.accepted(1);
        assert_eq!(tokens.snapshot().standing, Standing::Valid);
        assert!(metrics.render().unwrap().contains("token_state{state=\"valid\"} 1\n"));
        assert!(!format!("{tokens:?} {:?}", tokens.snapshot()).contains("fixed"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_comes_late_is_taken_up() {
        let (mount, metrics) = (Mount::new(), Metrics::new());
        let tokens = mount.tokens(&metrics);
        assert_eq!((tokens.generation(), tokens.snapshot().standing), (0, Standing::Missing));
        let watch = tokio::spawn(tokens.clone().watch());
        mount.swap("v1", "one");
        sleep(REREAD_EVERY * 2).await;
        assert_eq!(sends(&tokens), "Bearer one");
        watch.abort();
    }
}
