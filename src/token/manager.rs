//! The token manager: provides the access token to calls, installs newer ones, and handles 401s.

use std::{
    sync::{Arc, Mutex},
    time::SystemTime,
};

use tokio::time::Instant;

use super::{
    access::AccessToken,
    current::{CurrentToken, StatusChange, TokenVerdict, Validity},
    fleet::FleetRecords,
    inputs::RefreshTokenInputs,
    provided_token::ProvidedToken,
    records::TokenRecords,
    renewal_state::{RenewalPhase, RenewalState},
    renewed::{Renewed, begin},
    renewer::{RefreshTokenUse, RenewalConfig, Renewer},
    schedule::RenewalSchedule,
    setup_error::TokenSetupError,
    snapshot::{TokenSnapshot, TokenStatus},
    source::TokenSource,
    unauthorized_backoff::TokenPermit,
};
use crate::{
    outage::Outage,
    report::{Cause, LocalDenial},
    settings::SecretWatch,
    state::{Durability, Inbox},
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
        records: impl Into<TokenRecords>,
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
        let mut inputs = RefreshTokenInputs::new(seed, file, inbox);
        let mut records = records.into();
        let record = match &mut records {
            TokenRecords::Own { store, seen } => {
                let stored = begin(&**store, &inputs).await?;
                *seen = stored.as_ref().map(|stored| stored.version);
                stored.map(|stored| stored.record)
            }
            // A start waits for no shared store.
            TokenRecords::Fleet(fleet) => {
                inputs.begin_with_settings();
                fleet.known_record()
            }
        };
        let (durability, fleet) = (records.durability(), records.fleet().cloned());
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
            records,
            consent: None,
            look_after: Instant::now(),
            look_outage: Outage::default(),
            begin_outage: Outage::default(),
            inputs,
            schedule: RenewalSchedule::at_once(Instant::now()),
            metrics: metrics.clone(),
            refresh_token: RefreshTokenUse::Unused,
        };
        match &record {
            Some(record) => renewer.hold(record),
            None => renewer.show_when_due(),
        }
        let renewer = Mutex::new(Some(Box::new(renewer)));
        Ok(Self::with(
            current,
            TokenMode::Renewed(Renewed { renewal_state, durability, fleet, renewer }),
            metrics,
        ))
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
        let fleet = self.fleet().map(|fleet| fleet.snapshot());
        TokenSnapshot {
            source,
            generation: current.generation(),
            changed_at: current.changed_at(),
            expires_at: current.remaining(now).map(|remaining| SystemTime::now() + remaining),
            status: self.status(),
            renewal,
            fleet,
        }
    }

    /// The fleet's records, where replicas share the token.
    pub(crate) fn fleet(&self) -> Option<&Arc<FleetRecords>> {
        match &self.shared.keeping {
            TokenMode::Provided(_) => None,
            TokenMode::Renewed(renewed) => renewed.fleet.as_ref(),
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
            // An endpoint that hangs is called most of the time, and what has lasted for long must not look new.
            (RenewalPhase::Resting | RenewalPhase::Retrying, validity) => match validity {
                Validity::Valid => TokenStatus::Valid,
                Validity::Rejected => TokenStatus::Rejected,
                Validity::Expired => TokenStatus::Expired,
                Validity::Missing => TokenStatus::Missing,
            },
        }
    }
}
