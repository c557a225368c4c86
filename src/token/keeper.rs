//! Keeps the one token: hands it out, takes up a newer one, and hears when it is refused.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use tokio::time::Instant;

use super::{
    access::AccessToken,
    board::{Board, Phase},
    given::Given,
    hand::{Hand, News, Standing, Verdict},
    origin::Origins,
    pace::Pace,
    refusal::Permit,
    renewer::{RefreshTokenUse, Renewer, Renewing},
    snapshot::{RenewalSnapshot, TokenSnapshot},
    source::TokenSource,
    vault::Vault,
};
use crate::{
    report::Cause,
    settings::{SecretFileError, SecretWatch},
    state::{Durability, Inbox, Rotation, StateError, Store, Swap, TokenRecord},
    telemetry::TokenMetrics,
};

/// The one token of this process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tokens {
    shared: Arc<Shared>,
}

/// Where a refresh token comes from, besides the store.
#[derive(Debug)]
pub struct Seeds {
    /// `token.refresh_token`, or its file.
    pub configured: Option<TokenSource>,
    /// Where a login leaves one.
    pub inbox: Option<Inbox>,
}

/// There is no beginning: the settings name something that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenSetupError {
    /// The state's.
    #[error("state.dir: {0}")]
    State(#[from] StateError),
    /// The refresh token's file.
    #[error("token.refresh_token_file: {0}")]
    SecretFile(#[from] SecretFileError),
}

#[derive(Debug)]
struct Shared {
    hand: Arc<Hand>,
    keeping: Keeping,
    metrics: TokenMetrics,
}

#[derive(Debug)]
enum Keeping {
    Given(Given),
    Renewed(Renewed),
}

#[derive(Debug)]
struct Renewed {
    board: Arc<Board>,
    durability: Durability,
    /// Until somebody watches.
    renewer: Mutex<Option<Box<Renewer>>>,
}

// === impl Tokens ===

impl Tokens {
    /// Takes up the source's token, or starts without one when there is none yet. Reads a file on this thread.
    pub fn new(source: TokenSource, metrics: TokenMetrics) -> Self {
        let hand = Arc::new(Hand::empty());
        let given = Given::new(source, Arc::clone(&hand), metrics.clone());
        Self::with(hand, Keeping::Given(given), metrics)
    }

    /// Takes up what the store holds, and is ready to renew it: [`Tokens::watch`] does. Reads and writes the store on
    /// this thread; needs a tokio runtime.
    ///
    /// # Errors
    /// [`TokenSetupError`]: a store or a file that cannot be read. Having no refresh token yet is no error.
    pub fn renewed(
        renewing: Renewing,
        seeds: Seeds,
        store: Arc<dyn Store>,
        metrics: TokenMetrics,
    ) -> Result<Self, TokenSetupError> {
        let Seeds { configured, inbox } = seeds;
        let (seed, file): (_, Option<SecretWatch<_>>) = match configured {
            None => (None, None),
            Some(TokenSource::Static(seed)) => (Some(seed), None),
            Some(TokenSource::File(file)) => {
                file.watch().map(|(seed, watch)| (Some(seed), Some(watch.settled())))?
            }
        };
        let origins = Origins::new(seed, file, inbox);
        let record = begin(&*store, &origins)?;
        let durability = store.durability();
        if durability == Durability::Volatile {
            tracing::warn!(
                "state.dir is not set: the refresh token is kept in memory only; should it rotate, it is lost when \
                 this process ends, and a person must consent again"
            );
        }
        let (hand, board) = (Arc::new(Hand::empty()), Arc::new(Board::new()));
        let mut renewer = Renewer {
            renewing,
            hand: Arc::clone(&hand),
            board: Arc::clone(&board),
            vault: Vault(store),
            origins,
            pace: Pace::at_once(Instant::now()),
            metrics: metrics.clone(),
            refresh_token: RefreshTokenUse::Unused,
        };
        if let Some(record) = &record {
            renewer.hold(record);
        }
        let renewer = Mutex::new(Some(Box::new(renewer)));
        Ok(Self::with(hand, Keeping::Renewed(Renewed { board, durability, renewer }), metrics))
    }

    fn with(hand: Arc<Hand>, keeping: Keeping, metrics: TokenMetrics) -> Self {
        let tokens = Self { shared: Arc::new(Shared { hand, keeping, metrics }) };
        tokens.observe();
        tokens
    }

    /// Sees to newer tokens, for as long as it is polled. A static one is never newer.
    pub async fn watch(self) {
        match &self.shared.keeping {
            Keeping::Given(given) => given.watch().await,
            Keeping::Renewed(renewed) => {
                if let Some(renewer) = renewed.take() {
                    renewer.run().await;
                }
            }
        }
    }

    /// Lets no renewal begin any more, and waits for the one under way to be written down.
    pub async fn finish(&self) {
        match &self.shared.keeping {
            Keeping::Given(_) => {}
            Keeping::Renewed(renewed) => renewed.finish().await,
        }
    }

    /// The generation of the token in use; 0 without one.
    pub fn generation(&self) -> u64 {
        self.shared.hand.generation()
    }

    /// Brings the gauges up to date.
    pub fn observe(&self) {
        let Shared { hand, keeping, metrics } = &*self.shared;
        metrics.state(self.state());
        metrics.expires(hand.remaining(Instant::now()).map(|remaining| SystemTime::now() + remaining));
        match keeping {
            Keeping::Renewed(renewed) if renewed.is_at_risk() => metrics.at_risk(),
            Keeping::Renewed(_) | Keeping::Given(_) => metrics.safe(),
        }
    }

    /// What may be told of the token.
    pub fn snapshot(&self) -> TokenSnapshot {
        let (Shared { hand, keeping, .. }, now) = (&*self.shared, Instant::now());
        let (source, renewal) = match keeping {
            Keeping::Given(given) => (given.source(), None),
            Keeping::Renewed(renewed) => ("refresh", Some(renewed.snapshot())),
        };
        TokenSnapshot {
            source,
            generation: hand.generation(),
            changed_at: hand.changed_at(),
            expires_at: hand.remaining(now).map(|remaining| SystemTime::now() + remaining),
            standing: hand.standing(now),
            state: self.state(),
            renewal,
        }
    }

    /// Lets a call set out if there is a token to send; where there is none, one is waited for, but not for long. One
    /// that is refused will not mend by being asked for: one call after each pause finds out whether somebody has
    /// mended it.
    pub(super) async fn ready(&self) -> Result<(), Cause> {
        if let Keeping::Renewed(renewed) = &self.shared.keeping
            && self.usable().is_none()
        {
            renewed.board.newer_than(self.generation()).await;
        }
        match self.usable() {
            Some(_stamped_later) if !self.shared.hand.is_backed_off(Instant::now()) => Ok(()),
            Some(_) | None => Err(Cause::TokenUnavailable),
        }
    }

    /// The token that a call leaves with now, and leave to do so.
    pub(super) fn to_send(&self) -> Result<(Arc<AccessToken>, Permit), Cause> {
        let now = Instant::now();
        let sent = if self.is_hopeless(now) { None } else { self.shared.hand.to_send(now) };
        sent.ok_or(Cause::TokenUnavailable)
    }

    /// The upstream answered 401 to this generation. Returns once a newer one has been looked for, so that whoever
    /// asks for the generation next knows whether a second call is worth it. Without a newer one the refused one
    /// stays in use, at long intervals: only the operator can tell what is wrong with it.
    pub(super) async fn refused(&self, generation: u64) {
        let Shared { hand, keeping, metrics } = &*self.shared;
        if hand.judge(generation, Verdict::Refused, Instant::now()) == News::Changed {
            tracing::warn!(generation, "the upstream refuses the access token");
        }
        match keeping {
            Keeping::Given(given) => {
                given.newer_than(generation).await;
                if self.generation() == generation {
                    metrics.renewal_failed();
                }
            }
            Keeping::Renewed(renewed) => renewed.board.newer_than(generation).await,
        }
    }

    /// The upstream has not minded this generation.
    pub(super) fn accepted(&self, generation: u64) {
        self.shared.hand.judge(generation, Verdict::Accepted, Instant::now());
    }

    /// The token, unless its time is over, or it was refused and can never be replaced: it would only spend calls.
    pub(super) fn usable(&self) -> Option<Arc<AccessToken>> {
        let now = Instant::now();
        self.shared.hand.current(now).filter(|_| !self.is_hopeless(now))
    }

    fn is_hopeless(&self, now: Instant) -> bool {
        let Shared { hand, keeping, .. } = &*self.shared;
        match keeping {
            Keeping::Given(_) => false,
            Keeping::Renewed(renewed) => {
                renewed.board.phase() == Phase::Dead && hand.standing(now) == Standing::Refused
            }
        }
    }

    /// No token is as bad as one that has expired.
    fn state(&self) -> &'static str {
        let phase = match &self.shared.keeping {
            Keeping::Given(_) => Phase::Resting,
            Keeping::Renewed(renewed) => renewed.board.phase(),
        };
        match (phase, self.shared.hand.standing(Instant::now())) {
            (Phase::Dead, _) => "reauthorisation_required",
            (Phase::Renewing, _) => "renewing",
            (Phase::Resting, Standing::Valid) => "valid",
            (Phase::Resting, Standing::Refused | Standing::Expired | Standing::Missing) => "expired",
        }
    }
}

/// What the store holds, once what the inbox and the settings hold is written there.
fn begin(store: &dyn Store, origins: &Origins) -> Result<Option<TokenRecord>, StateError> {
    loop {
        let (version, stored) = store.token()?.map(|stored| (stored.version, stored.record)).unzip();
        let (begun, taken) = origins.at_start(stored.as_ref());
        if let Some(begun) = &begun
            && store.swap_token(version, begun)? == Swap::Superseded
        {
            tracing::warn!("the token's record was changed by another; looking again");
            continue;
        }
        // Not before: until it is written, the inbox has the only copy.
        if let Some((inbox, left)) = taken {
            inbox.done(&left)?;
        }
        return Ok(begun.or(stored));
    }
}

// === impl Renewed ===

impl Renewed {
    fn take(&self) -> Option<Box<Renewer>> {
        self.renewer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn is_at_risk(&self) -> bool {
        self.durability == Durability::Volatile && self.board.told().rotation == Rotation::Rotating
    }

    async fn finish(&self) {
        self.board.ending.cancel();
        // One that never ran has nothing to bring to an end.
        if self.take().is_none() {
            self.board.ended.cancelled().await;
        }
    }

    fn snapshot(&self) -> RenewalSnapshot {
        let told = self.board.told();
        RenewalSnapshot {
            renewed_at: told.renewed_at,
            rotation: told.rotation,
            durability: self.durability,
            last_error: told.last_error,
        }
    }
}
