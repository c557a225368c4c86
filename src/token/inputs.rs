//! Watches for a new refresh token while the process runs: in `token.refresh_token_file`, or left by `login`.

use std::time::Duration;

use secrecy::SecretString;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until};
use tokio_util::sync::ReusableBoxFuture;

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
    inbox: Option<InboxWatch>,
    /// A token that could not be stored yet: returned again at this time.
    put_back: Option<(Instant, SecretString)>,
    inbox_outage: Outage,
}

/// What `login` left, taken every interval.
#[derive(Debug)]
struct InboxWatch {
    inbox: Inbox,
    ticks: Interval,
    /// The take that has begun and whose result nobody has got yet.
    taking: Option<ReusableBoxFuture<'static, Result<Option<TokenRecord>, StateError>>>,
}

// === impl RefreshTokenInputs ===

impl RefreshTokenInputs {
    /// `seed` is the settings' refresh token now; needs a tokio runtime.
    pub(super) fn new(
        seed: Option<SecretString>,
        seed_file: Option<SecretWatch<SecretString>>,
        inbox: Option<Inbox>,
    ) -> Self {
        let inbox = inbox.map(InboxWatch::new);
        Self { seed, seed_file, inbox, put_back: None, inbox_outage: Outage::default() }
    }

    /// The record to write at the start, from the inbox or the settings; `None`: the stored one stays. The second value is
    /// what to remove from the inbox once the record is written.
    pub(super) async fn at_start(
        &self,
        stored: Option<&TokenRecord>,
    ) -> (Option<TokenRecord>, Option<(&Inbox, TokenRecord)>) {
        let inbox = self.inbox.as_ref().map(|watch| &watch.inbox);
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

    /// Waits for another refresh token; cancel safe: a read of the disk that has begun is finished by the next call, so
    /// that no number of requests for a token delays the one that `login` left.
    pub(super) async fn next(&mut self) -> NewRefreshToken {
        loop {
            let left = tokio::select! {
                seed = changed(&mut self.seed_file) => return NewRefreshToken::Seed(seed),
                seed = waited(&mut self.put_back) => return NewRefreshToken::Seed(seed),
                left = taken(&mut self.inbox) => left,
            };
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
            NewRefreshToken::Login(left) => {
                // One that waits to be stored is older than the login too.
                let waiting = self.put_back.as_ref().map(|(_until, seed)| seed);
                seed::login_fingerprint(stored, waiting.or(self.seed.as_ref()), *left)
            }
        };
        match choice {
            SeedChoice::Begun(record) => Some(*record),
            SeedChoice::Kept => None,
        }
    }

    /// In a fleet, nothing is read from the store before the start: [`RefreshTokenInputs::next`] returns the settings' token
    /// first.
    pub(super) fn begin_with_settings(&mut self) {
        self.put_back = self.seed.clone().map(|seed| (Instant::now(), seed));
    }

    /// The token could not be stored: `next` returns it again later.
    pub(super) fn again(&mut self, new_token: NewRefreshToken) {
        match new_token {
            NewRefreshToken::Seed(seed) => self.put_back = Some((Instant::now() + WATCH_INTERVAL, seed)),
            // It is still in the inbox.
            NewRefreshToken::Login(_) => {}
        }
    }

    /// For how long from `now` a token of the settings waits that could not be stored; `None`: none does.
    pub(super) fn put_back_for(&self, now: Instant) -> Option<Duration> {
        self.put_back.as_ref().map(|(until, _seed)| until.saturating_duration_since(now))
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
                Some(watch) => watch.inbox.done(&left).await,
                None => Ok(()),
            },
        }
    }
}

// === impl InboxWatch ===

impl InboxWatch {
    fn new(inbox: Inbox) -> Self {
        let mut ticks = interval_at(Instant::now() + WATCH_INTERVAL, WATCH_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { inbox, ticks, taking: None }
    }

    /// Takes what was left, at the next tick; cancel safe.
    async fn take(&mut self) -> Result<Option<TokenRecord>, StateError> {
        if self.taking.is_none() {
            self.ticks.tick().await;
        }
        let taking = self.taking.get_or_insert_with(|| {
            let inbox = self.inbox.clone();
            ReusableBoxFuture::new(async move { inbox.take().await })
        });
        let left = taking.await;
        self.taking = None;
        left
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

async fn taken(inbox: &mut Option<InboxWatch>) -> Result<Option<TokenRecord>, StateError> {
    match inbox {
        Some(watch) => watch.take().await,
        None => std::future::pending().await,
    }
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

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;
    use tokio::time::sleep;

    use super::*;
    use crate::settings::SecretFile;

    #[tokio::test(start_paused = true)]
    async fn a_login_is_taken_at_the_next_tick_however_often_the_wait_for_it_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let inbox = Inbox::of(dir.path());
        let mut inputs = RefreshTokenInputs::new(None, None, Some(inbox.clone()));
        inbox.leave(&TokenRecord::new("left".into())).await.unwrap();
        sleep(WATCH_INTERVAL).await;
        let start = Instant::now();
        // The take is begun and given up at once, as for a request, unless the disk is faster than that.
        let new_token = tokio::select! {
            biased;
            new_token = inputs.next() => new_token,
            () = std::future::ready(()) => inputs.next().await,
        };
        let NewRefreshToken::Login(left) = new_token else { panic!("{new_token:?}") };
        assert_eq!(left.refresh_token.expose_secret(), "left");
        assert_eq!(start.elapsed(), Duration::ZERO, "it waited for another tick");
    }

    #[tokio::test(start_paused = true)]
    async fn a_seed_that_could_not_be_stored_comes_again_after_the_interval() {
        let mut inputs = RefreshTokenInputs::new(None, None, None);
        let start = Instant::now();
        assert_eq!(inputs.put_back_for(start), None);
        inputs.again(NewRefreshToken::Seed("again".into()));
        assert_eq!(inputs.put_back_for(start), Some(WATCH_INTERVAL));
        let NewRefreshToken::Seed(seed) = inputs.next().await else { panic!("no login") };
        assert_eq!((seed.expose_secret(), start.elapsed()), ("again", WATCH_INTERVAL));
        assert_eq!(inputs.put_back_for(start), None);
    }

    #[test]
    fn a_seed_that_waits_to_be_stored_is_older_than_a_login() {
        let mut inputs = RefreshTokenInputs::new(Some("old".into()), None, None);
        let stored = inputs.choose(None, NewRefreshToken::Seed("old".into()));
        inputs.again(NewRefreshToken::Seed("waiting".into()));
        let login = NewRefreshToken::Login(Box::new(TokenRecord::new("login".into())));
        let login = inputs.choose(stored.as_ref(), login).unwrap();
        assert_eq!(login.refresh_token.expose_secret(), "login");
        let after = |seed: &str| inputs.choose(Some(&login), NewRefreshToken::Seed(seed.into()));
        assert!(after("waiting").is_none(), "it would replace the login");
        assert!(after("newer").is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_at_the_inbox_costs_no_read_of_the_file() {
        let dir = tempfile::tempdir().unwrap();
        for round in 0..20 {
            let file = SecretFile::<SecretString>::new(dir.path().join("seed"));
            std::fs::write(file.path(), "old").unwrap();
            let (seed, watch) = file.watch().unwrap();
            let inbox = Inbox::of(dir.path().join("state"));
            let mut inputs = RefreshTokenInputs::new(Some(seed), Some(watch.settled()), Some(inbox));
            let start = Instant::now();
            std::fs::write(file.path(), "new").unwrap();
            let NewRefreshToken::Seed(seed) = inputs.next().await else { panic!("no login") };
            assert_eq!(seed.expose_secret(), "new");
            // Both are due at the same instants; two reads settle a content.
            assert!(start.elapsed() < WATCH_INTERVAL * 3, "{:?} in round {round}", start.elapsed());
        }
    }
}
