//! Watches for a new refresh token while the process runs: in `token.refresh_token_file`, or left by `login`.

use secrecy::SecretString;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until};

use super::seed::{self, SeedChoice};
use crate::{
    outage::Outage,
    settings::{SecretWatch, WATCH_INTERVAL},
    state::{Inbox, StateError, TokenRecord},
};

/// A new refresh token.
#[derive(Debug, Clone)]
pub(super) enum NewRefreshToken {
    /// The content of `token.refresh_token_file` has changed.
    Seed(SecretString),
    /// `login` has left its tokens in the inbox.
    Login(Box<TokenRecord>),
}

/// All sources of new refresh tokens.
#[derive(Debug)]
pub(super) struct RefreshTokenInputs {
    seed: Option<SecretString>,
    seed_file: Option<SecretWatch<SecretString>>,
    inbox: Option<(Inbox, Interval)>,
    /// A token that could not be stored yet: returned again at this time.
    put_back: Option<(Instant, SecretString)>,
    inbox_outage: Outage,
}

// === impl RefreshTokenInputs ===

impl RefreshTokenInputs {
    /// `seed` is the settings' refresh token now; needs a tokio runtime.
    pub(super) fn new(
        seed: Option<SecretString>,
        seed_file: Option<SecretWatch<SecretString>>,
        inbox: Option<Inbox>,
    ) -> Self {
        let ticks = || {
            let mut ticks = interval_at(Instant::now() + WATCH_INTERVAL, WATCH_INTERVAL);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
        let inbox = inbox.map(|inbox| (inbox, ticks()));
        Self { seed, seed_file, inbox, put_back: None, inbox_outage: Outage::default() }
    }

    /// The record to write at the start, from the inbox or the settings; `None`: the stored one stays. The second value is
    /// what to remove from the inbox once the record is written.
    pub(super) async fn at_start(
        &self,
        stored: Option<&TokenRecord>,
    ) -> (Option<TokenRecord>, Option<(&Inbox, TokenRecord)>) {
        let inbox = self.inbox.as_ref().map(|(inbox, _)| inbox);
        let left = match inbox {
            Some(inbox) => inbox.take().await.unwrap_or_else(|error| {
                log_unreadable(&error);
                None
            }),
            None => None,
        };
        let taken = inbox.zip(left.clone());
        let login = left.and_then(|left| self.choose(stored, NewRefreshToken::Login(Box::new(left))));
        let seeded = || self.choose(stored, NewRefreshToken::Seed(self.seed.clone()?));
        (login.or_else(seeded), taken)
    }

    /// Waits for another refresh token; cancel safe.
    pub(super) async fn next(&mut self) -> NewRefreshToken {
        loop {
            let left = tokio::select! {
                seed = changed(&mut self.seed_file) => return NewRefreshToken::Seed(seed),
                seed = waited(&mut self.put_back) => return NewRefreshToken::Seed(seed),
                inbox = due(&mut self.inbox) => inbox.take().await,
            };
            // Cancel safe too: `take` leaves the tokens in the inbox until `done`.
            match left {
                Ok(Some(left)) => return NewRefreshToken::Login(Box::new(left)),
                Ok(None) => self.inbox_outage.ends(),
                Err(error) => {
                    if self.inbox_outage.begins() {
                        log_unreadable(&error);
                    }
                }
            }
        }
    }

    /// The record to write for a new refresh token; `None`: the stored one stays.
    pub(super) fn choose(
        &self,
        stored: Option<&TokenRecord>,
        new_token: NewRefreshToken,
    ) -> Option<TokenRecord> {
        let choice = match new_token {
            NewRefreshToken::Seed(seed) => seed::seeded(stored, Some(&seed)),
            NewRefreshToken::Login(left) => seed::login_fingerprint(stored, self.seed.as_ref(), *left),
        };
        match choice {
            SeedChoice::Begun(record) => Some(*record),
            SeedChoice::Kept => None,
        }
    }

    /// The token could not be stored: `next` returns it again later.
    pub(super) fn again(&mut self, new_token: NewRefreshToken) {
        match new_token {
            NewRefreshToken::Seed(seed) => self.put_back = Some((Instant::now() + WATCH_INTERVAL, seed)),
            // It is still in the inbox.
            NewRefreshToken::Login(_) => {}
        }
    }

    /// The token is stored.
    pub(super) async fn written(&mut self, new_token: NewRefreshToken) -> Result<(), StateError> {
        match new_token {
            NewRefreshToken::Seed(seed) => {
                self.seed = Some(seed);
                self.put_back = None;
                Ok(())
            }
            NewRefreshToken::Login(left) => match &self.inbox {
                // If the inbox cannot be emptied, the same login is read again and recognized by its fingerprint.
                Some((inbox, _)) => inbox.done(&left).await,
                None => Ok(()),
            },
        }
    }
}

async fn changed(file: &mut Option<SecretWatch<SecretString>>) -> SecretString {
    let Some(watch) = file else { return std::future::pending().await };
    loop {
        match watch.changed().await {
            Ok(seed) => return seed,
            Err(error) => tracing::warn!("token.refresh_token_file: {error}; keeping the current one"),
        }
    }
}

async fn due(inbox: &mut Option<(Inbox, Interval)>) -> &Inbox {
    let Some((inbox, ticks)) = inbox else { return std::future::pending().await };
    ticks.tick().await;
    inbox
}

async fn waited(put_back: &mut Option<(Instant, SecretString)>) -> SecretString {
    let Some((at, _)) = put_back else { return std::future::pending().await };
    sleep_until(*at).await;
    match put_back.take() {
        Some((_, seed)) => seed,
        None => std::future::pending().await,
    }
}

fn log_unreadable(error: &StateError) {
    tracing::error!("cannot read the tokens that `login` left in state.dir: {error}");
}
