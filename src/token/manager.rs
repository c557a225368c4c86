//! The token manager: provides the access token to calls, installs newer ones, and handles 401s.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use tokio::time::Instant;

use super::{
    access::AccessToken,
    current::{CurrentToken, StatusChange, TokenVerdict, Validity},
    inputs::RefreshTokenInputs,
    provided_token::ProvidedToken,
    renewal_state::{RenewalPhase, RenewalState},
    renewer::{RefreshTokenUse, RenewalConfig, Renewer},
    schedule::RenewalSchedule,
    snapshot::{RenewalSnapshot, TokenSnapshot, TokenStatus},
    source::TokenSource,
    unauthorized_backoff::TokenPermit,
};
use crate::{
    report::{Cause, LocalDenial},
    settings::{SecretFileError, SecretWatch},
    state::{Durability, Inbox, Rotation, StateError, Stored, Swap, TokenStore, TokenStoreError},
    telemetry::TokenMetrics,
};

/// The access token of this process and how it is kept valid. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TokenManager {
    shared: Arc<SharedTokens>,
}

/// Where a refresh token comes from, apart from the store.
#[derive(Debug)]
pub struct RefreshTokenSources {
    /// `token.refresh_token`, or its file.
    pub configured: Option<TokenSource>,
    /// Where `login` leaves one.
    pub inbox: Option<Inbox>,
}

/// The token manager cannot start: something that the settings name cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenSetupError {
    /// The token's record.
    #[error("state.dir: {0}")]
    Store(#[from] TokenStoreError),
    /// The tokens that `login` left.
    #[error("state.dir: {0}")]
    Inbox(#[from] StateError),
    /// The refresh token's file.
    #[error("token.refresh_token_file: {0}")]
    SecretFile(#[from] SecretFileError),
}

#[derive(Debug)]
struct SharedTokens {
    current: Arc<CurrentToken>,
    keeping: TokenMode,
    metrics: TokenMetrics,
}

#[derive(Debug)]
enum TokenMode {
    Provided(ProvidedToken),
    Renewed(Renewed),
}

#[derive(Debug)]
struct Renewed {
    renewal_state: Arc<RenewalState>,
    durability: Durability,
    /// `None` once [`TokenManager::watch`] runs it.
    renewer: Mutex<Option<Box<Renewer>>>,
}

// === impl TokenManager ===

impl TokenManager {
    /// Installs the source's token, or starts without one if there is none yet. Reads a file on this thread.
    pub fn new(source: TokenSource, metrics: TokenMetrics) -> Self {
        let current = Arc::new(CurrentToken::empty());
        let given = ProvidedToken::new(source, Arc::clone(&current), metrics.clone());
        Self::with(current, TokenMode::Provided(given), metrics)
    }

    /// Installs the stored token; [`TokenManager::watch`] renews it. Reads a file on this thread; needs a tokio runtime.
    ///
    /// # Errors
    /// [`TokenSetupError`]: a store or a file that cannot be read. Having no refresh token yet is not an error.
    pub async fn renewed(
        renewing: RenewalConfig,
        seeds: RefreshTokenSources,
        store: Arc<dyn TokenStore>,
        metrics: TokenMetrics,
    ) -> Result<Self, TokenSetupError> {
        let RefreshTokenSources { configured, inbox } = seeds;
        let (seed, file): (_, Option<SecretWatch<_>>) = match configured {
            None => (None, None),
            Some(TokenSource::Static(seed)) => (Some(seed), None),
            Some(TokenSource::File(file)) => {
                file.watch().map(|(seed, watch)| (Some(seed), Some(watch.settled())))?
            }
        };
        let inputs = RefreshTokenInputs::new(seed, file, inbox);
        let stored = begin(&*store, &inputs).await?;
        let durability = store.durability();
        if durability == Durability::Volatile {
            tracing::warn!(
                "state.dir is not set: the refresh token is kept in memory only; if it rotates, it is lost when this \
                 process ends, and someone must run `login` again"
            );
        }
        let (current, renewal_state) = (Arc::new(CurrentToken::empty()), Arc::new(RenewalState::new()));
        let mut renewer = Renewer {
            renewing,
            current: Arc::clone(&current),
            renewal_state: Arc::clone(&renewal_state),
            store,
            seen: stored.as_ref().map(|stored| stored.version),
            look_after: Instant::now(),
            inputs,
            schedule: RenewalSchedule::at_once(Instant::now()),
            metrics: metrics.clone(),
            refresh_token: RefreshTokenUse::Unused,
        };
        if let Some(stored) = &stored {
            renewer.hold(&stored.record);
        }
        let renewer = Mutex::new(Some(Box::new(renewer)));
        Ok(Self::with(current, TokenMode::Renewed(Renewed { renewal_state, durability, renewer }), metrics))
    }

    fn with(current: Arc<CurrentToken>, keeping: TokenMode, metrics: TokenMetrics) -> Self {
        let tokens = Self { shared: Arc::new(SharedTokens { current, keeping, metrics }) };
        tokens.observe();
        tokens
    }

    /// Renews the token, or watches its file, for as long as it is polled. A static token never changes.
    pub async fn watch(self) {
        match &self.shared.keeping {
            TokenMode::Provided(given) => given.watch().await,
            TokenMode::Renewed(renewed) => {
                if let Some(renewer) = renewed.take() {
                    renewer.run().await;
                }
            }
        }
    }

    /// Starts no more renewals, and waits until the running one is stored.
    pub async fn finish(&self) {
        match &self.shared.keeping {
            TokenMode::Provided(_) => {}
            TokenMode::Renewed(renewed) => renewed.finish().await,
        }
    }

    /// The generation of the current token; 0 without one.
    pub fn generation(&self) -> u64 {
        self.shared.current.generation()
    }

    /// Updates the gauges.
    pub fn observe(&self) {
        let SharedTokens { current, keeping, metrics } = &*self.shared;
        metrics.state(self.status().as_str());
        metrics.expires(current.remaining(Instant::now()).map(|remaining| SystemTime::now() + remaining));
        match keeping {
            TokenMode::Renewed(renewed) if renewed.is_at_risk() => metrics.at_risk(),
            TokenMode::Renewed(_) | TokenMode::Provided(_) => metrics.safe(),
        }
    }

    /// The token's status for `GET /token`: no secrets.
    pub fn snapshot(&self) -> TokenSnapshot {
        let (SharedTokens { current, keeping, .. }, now) = (&*self.shared, Instant::now());
        let (source, renewal) = match keeping {
            TokenMode::Provided(given) => (given.source(), None),
            TokenMode::Renewed(renewed) => ("refresh", Some(renewed.snapshot())),
        };
        TokenSnapshot {
            source,
            generation: current.generation(),
            changed_at: current.changed_at(),
            expires_at: current.remaining(now).map(|remaining| SystemTime::now() + remaining),
            status: self.status(),
            renewal,
        }
    }

    /// Passes a call if there is a token to send. Without one, requests a renewal and waits up to 5 s for it. Fails at once
    /// while the token is backed off after repeated 401s: one probe call after each pause is enough.
    pub(super) async fn ready(&self) -> Result<(), Cause> {
        if let TokenMode::Renewed(renewed) = &self.shared.keeping
            && self.usable().is_none()
        {
            renewed.renewal_state.newer_than(self.generation()).await;
        }
        match self.usable() {
            Some(_stamped_later) if !self.shared.current.is_backed_off(Instant::now()) => Ok(()),
            Some(_) | None => Err(Cause::Local(LocalDenial::NoToken)),
        }
    }

    /// The token to send with a call now, and the permit to send it.
    pub(super) fn to_send(&self) -> Result<(Arc<AccessToken>, TokenPermit), Cause> {
        let now = Instant::now();
        let sent = if self.cannot_recover(now) { None } else { self.shared.current.to_send(now) };
        sent.ok_or(Cause::Local(LocalDenial::NoToken))
    }

    /// Handles a 401 to this generation. Returns once a newer token has been looked for, so that the caller can then tell
    /// by the generation whether a retry is useful. Without a newer one the refused token stays current, and is backed
    /// off after repeated 401s.
    pub(super) async fn refused(&self, generation: u64) {
        let SharedTokens { current, keeping, metrics } = &*self.shared;
        if current.record_response(generation, TokenVerdict::Refused, Instant::now()) == StatusChange::Changed
        {
            tracing::warn!(
                generation,
                "the upstream refused the access token (401); looking for a newer one"
            );
        }
        match keeping {
            TokenMode::Provided(given) => {
                given.newer_than(generation).await;
                if self.generation() == generation {
                    metrics.renewal_failed();
                }
            }
            TokenMode::Renewed(renewed) => renewed.renewal_state.newer_than(generation).await,
        }
    }

    /// The upstream has accepted this generation.
    pub(super) fn accepted(&self, generation: u64) {
        self.shared.current.record_response(generation, TokenVerdict::Accepted, Instant::now());
    }

    /// The token, unless it has expired, or was refused and cannot be renewed: it would only use up calls.
    pub(super) fn usable(&self) -> Option<Arc<AccessToken>> {
        let now = Instant::now();
        self.shared.current.current(now).filter(|_| !self.cannot_recover(now))
    }

    fn cannot_recover(&self, now: Instant) -> bool {
        let SharedTokens { current, keeping, .. } = &*self.shared;
        match keeping {
            TokenMode::Provided(_) => false,
            TokenMode::Renewed(renewed) => {
                renewed.renewal_state.phase() == RenewalPhase::Dead
                    && current.standing(now) == Validity::Rejected
            }
        }
    }

    fn status(&self) -> TokenStatus {
        let phase = match &self.shared.keeping {
            TokenMode::Provided(_) => RenewalPhase::Resting,
            TokenMode::Renewed(renewed) => renewed.renewal_state.phase(),
        };
        match (phase, self.shared.current.standing(Instant::now())) {
            (RenewalPhase::Dead, _) => TokenStatus::ReauthorizationRequired,
            (RenewalPhase::Renewing, _) => TokenStatus::Renewing,
            (RenewalPhase::Resting, Validity::Valid) => TokenStatus::Valid,
            (RenewalPhase::Resting, Validity::Rejected) => TokenStatus::Rejected,
            (RenewalPhase::Resting, Validity::Expired) => TokenStatus::Expired,
            (RenewalPhase::Resting, Validity::Missing) => TokenStatus::Missing,
        }
    }
}

/// Writes a new refresh token of the inbox or the settings to the store, and returns the stored record.
async fn begin(
    store: &dyn TokenStore,
    inputs: &RefreshTokenInputs,
) -> Result<Option<Stored>, TokenSetupError> {
    let mut stored = store.read().await?;
    loop {
        let (begun, taken) = inputs.at_start(stored.as_ref().map(|stored| &stored.record)).await;
        if let Some(record) = begun {
            let expected = stored.as_ref().map(|stored| stored.version);
            match store.compare_and_set(expected, &record).await? {
                Swap::Done(version) => stored = Some(Stored { version, record }),
                Swap::Conflict(newer) => {
                    tracing::warn!("another process changed the token's record; reading it again");
                    stored = newer.map(|newer| *newer);
                    continue;
                }
            }
        }
        // Only now: until the record is written, the inbox has the only copy.
        if let Some((inbox, left)) = taken {
            inbox.done(&left).await?;
        }
        return Ok(stored);
    }
}

// === impl Renewed ===

impl Renewed {
    fn take(&self) -> Option<Box<Renewer>> {
        self.renewer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn is_at_risk(&self) -> bool {
        self.durability == Durability::Volatile && self.renewal_state.info().rotation == Rotation::Rotating
    }

    async fn finish(&self) {
        self.renewal_state.ending.cancel();
        // A renewer that never ran has nothing to finish.
        if self.take().is_none() {
            self.renewal_state.ended.cancelled().await;
        }
    }

    fn snapshot(&self) -> RenewalSnapshot {
        let info = self.renewal_state.info();
        RenewalSnapshot {
            renewed_at: info.renewed_at,
            rotation: info.rotation,
            durability: self.durability,
            last_error: info.last_error,
        }
    }
}
