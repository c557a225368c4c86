//! Renews the access token, one renewal at a time, each written down before anyone uses what it brought.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::Uri;
use tokio::time::{Instant, sleep_until};
use tracing::Instrument as _;

use super::{
    current::{Arrival, CurrentToken, Expiry, Validity},
    inputs::{NewRefreshToken, RefreshTokenInputs},
    outcome::by_the_wall_clock,
    renewal_state::{RenewalPhase, RenewalState},
    schedule::RenewalSchedule,
    source::{SourceError, TokenSource},
    token_response::TokenError,
};
use crate::{
    backoff::Jitter,
    state::{StateError, Stored, StoredAccess, Swap, TokenRecord, TokenStore, TokenStoreError, Version},
    telemetry::TokenMetrics,
    upstream::FormClient,
};

/// What it takes to ask for a token.
#[derive(Debug)]
pub struct RenewalConfig {
    /// The token endpoint.
    pub url: Uri,
    /// How it is reached.
    pub form_client: FormClient,
    /// `token.client_id`.
    pub client_id: String,
    /// `token.client_secret`, or its file, which is read at each renewal.
    pub client_secret: Option<TokenSource>,
}

/// The task. In this process it alone writes the token's record; another that shares the store may, too.
#[derive(Debug)]
pub(super) struct Renewer {
    pub(super) renewing: RenewalConfig,
    pub(super) current: Arc<CurrentToken>,
    pub(super) renewal_state: Arc<RenewalState>,
    pub(super) store: Arc<dyn TokenStore>,
    /// The record as this task has met it last.
    pub(super) seen: Option<Version>,
    /// What another has written is not looked at before.
    pub(super) look_after: Instant,
    pub(super) inputs: RefreshTokenInputs,
    pub(super) schedule: RenewalSchedule,
    pub(super) metrics: TokenMetrics,
    pub(super) refresh_token: RefreshTokenUse,
}

/// Whether the record's refresh token has brought us an access token yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RefreshTokenUse {
    /// It is new, or this process is.
    Unused,
    /// It is back in the place of one that was invalid.
    Restored,
    Used,
}

/// Where a newer token came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Renewal {
    /// From the token endpoint.
    Granted,
    /// From another that shares the store.
    Adopted,
}

/// No newer token.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error("there is no refresh token: run \"login\", or set token.refresh_token_file")]
    NoRefreshToken,
    #[error(transparent)]
    Endpoint(#[from] TokenError),
    #[error("state.dir: {0}")]
    Store(#[from] TokenStoreError),
    #[error("state.dir: {0}")]
    Inbox(#[from] StateError),
    #[error("token.client_secret_file: {0}")]
    ClientSecret(#[from] SourceError),
    #[error("the token's record was changed by another")]
    Conflict,
    #[error(
        "invalid_grant: the new refresh token (of the settings or a login) is invalid or expired and has never worked; \
         the previous one is used again"
    )]
    GaveWay,
}

// === impl Failed ===

impl Failed {
    fn retry_after(&self) -> Duration {
        match self {
            Self::Endpoint(TokenError::Refused { retry_after, .. }) => retry_after.unwrap_or_default(),
            Self::Endpoint(TokenError::InvalidGrant | TokenError::Malformed | TokenError::Unanswered(_))
            | Self::NoRefreshToken
            | Self::Store(_)
            | Self::Inbox(_)
            | Self::ClientSecret(_)
            | Self::Conflict
            | Self::GaveWay => Duration::ZERO,
        }
    }
}

// === impl Renewer ===

impl Renewer {
    /// Until the process ends; what has begun by then is brought to its end.
    pub(super) async fn run(mut self) {
        let (renewal_state, ending) = (Arc::clone(&self.renewal_state), self.renewal_state.ending.clone());
        let _ended = renewal_state.ended.clone().drop_guard();
        loop {
            tokio::select! {
                biased;
                () = ending.cancelled() => return,
                new_token = self.inputs.next() => self.begin(new_token).await,
                () = overtaken(&*self.store, self.seen, self.look_after) => self.look().await,
                () = renewal_state.requested() => self.on_requested(),
                () = sleep_until(self.schedule.due()) => self.renew().await,
            }
        }
    }

    fn on_requested(&mut self) {
        let now = Instant::now();
        match self.current.standing(now) {
            // Whoever wished had not seen the newest one yet, or another call's answer has proved his.
            Validity::Valid => self.renewal_state.settle(),
            Validity::Rejected if !self.current.may_renew(now) => self.renewal_state.settle(),
            Validity::Rejected | Validity::Expired | Validity::Missing => {
                self.schedule.requested(now);
            }
        }
    }

    /// Another refresh token: from the settings or from a login. Written first, as everything.
    async fn begin(&mut self, new_token: NewRefreshToken) {
        match self.write_beginning(new_token.clone()).await {
            Ok(Some(record)) => {
                tracing::info!("new refresh token installed");
                // What the last one met says nothing of this one.
                self.renewal_state.with_told(|info| info.last_error = None);
                self.hold(&record);
            }
            Ok(None) => {}
            Err(error) => {
                tracing::error!("cannot store the new refresh token yet, keeping the current one: {error}");
                self.renewal_state.with_told(|info| info.last_error = Some(error.to_string()));
                self.inputs.again(new_token);
            }
        }
    }

    async fn write_beginning(&mut self, new_token: NewRefreshToken) -> Result<Option<TokenRecord>, Failed> {
        let stored = self.read().await?;
        let (version, held) = stored.map(|stored| (stored.version, stored.record)).unzip();
        let begun = self.inputs.choose(held.as_ref(), new_token.clone());
        if let Some(record) = &begun
            && let Swap::Conflict(_) = self.write(version, record).await?
        {
            return Err(Failed::Conflict);
        }
        self.inputs.written(new_token).await?;
        Ok(begun)
    }

    /// The record as it is now.
    pub(super) async fn read(&mut self) -> Result<Option<Stored>, TokenStoreError> {
        let stored = self.store.read().await?;
        self.seen = stored.as_ref().map(|stored| stored.version);
        Ok(stored)
    }

    /// Writes the record, unless another has written it since.
    pub(super) async fn write(
        &mut self,
        expected: Option<Version>,
        record: &TokenRecord,
    ) -> Result<Swap, TokenStoreError> {
        let swap = self.store.compare_and_set(expected, record).await?;
        self.seen = match &swap {
            Swap::Done(version) => Some(*version),
            Swap::Conflict(newer) => newer.as_ref().map(|stored| stored.version),
        };
        Ok(swap)
    }

    /// Puts a record's access token into use, as far as it has one that is good, and sees to the next renewal.
    pub(super) fn hold(&mut self, record: &TokenRecord) {
        let now = Instant::now();
        self.schedule.anew(now);
        self.refresh_token = RefreshTokenUse::Unused;
        self.renewal_state.with_told(|info| {
            info.rotation = record.rotation;
            info.renewed_at = record.access.as_ref().map(|access| access.renewed_at);
        });
        if let Some(access) = &record.access
            && let Some((lifetime, remaining)) = by_the_wall_clock(access, SystemTime::now())
        {
            self.install(access, Expiry::Until(now + remaining), Arrival::ProvidedToken);
            // An intent without an end: its answer may be lost, and it is better to know while this token is good.
            if record.intent.is_none() {
                self.schedule.holding(now, lifetime, remaining, Jitter::draw());
            }
        }
        self.rest(RenewalPhase::Resting);
    }

    async fn renew(&mut self) {
        self.renewal_state.enter(RenewalPhase::Renewing, self.schedule.not_before());
        let before = self.refresh_token;
        let span = tracing::debug_span!(parent: None, "token.renew", generation = self.current.generation());
        let renewed = self.exchange().instrument(span).await;
        let now = Instant::now();
        match renewed {
            Ok(Renewal::Adopted) => self.adopted(),
            Ok(Renewal::Granted) => {
                self.metrics.renewed();
                match before {
                    RefreshTokenUse::Unused | RefreshTokenUse::Used => {
                        self.renewal_state.with_told(|info| info.last_error = None);
                    }
                    // Whoever brought the new one must not believe that it has worked.
                    RefreshTokenUse::Restored => {}
                }
                self.rest(RenewalPhase::Resting);
                // Should the same token have come again, nobody would know otherwise.
                self.renewal_state.settle();
            }
            Err(error) => {
                self.metrics.renewal_failed();
                self.renewal_state.with_told(|info| info.last_error = Some(error.to_string()));
                let phase = match error {
                    Failed::NoRefreshToken | Failed::Endpoint(TokenError::InvalidGrant) => {
                        self.schedule.dead(now, Jitter::draw());
                        tracing::error!(
                            "the access token cannot be renewed until a person consents again: {error}; run \"login\", \
                             or put a new refresh token into the settings; reports that are held go on"
                        );
                        RenewalPhase::Dead
                    }
                    Failed::GaveWay => {
                        tracing::error!("{error}; put a valid one into the settings, or run \"login\"");
                        RenewalPhase::Resting
                    }
                    Failed::Endpoint(_)
                    | Failed::Store(_)
                    | Failed::Inbox(_)
                    | Failed::ClientSecret(_)
                    | Failed::Conflict => {
                        self.schedule.failed(now, error.retry_after(), Jitter::draw());
                        let next_s = (self.schedule.due() - now).as_secs();
                        tracing::warn!(
                            next_s,
                            "token renewal failed, keeping the current token; retrying in {next_s} s: {error}"
                        );
                        RenewalPhase::Resting
                    }
                };
                self.rest(phase);
            }
        }
    }

    fn rest(&self, phase: RenewalPhase) {
        self.renewal_state.enter(phase, self.schedule.not_before());
    }

    pub(super) fn install(&self, access: &StoredAccess, life: Expiry, arrival: Arrival) {
        match self.current.install(access.token.clone(), life, arrival, access.renewed_at) {
            Ok(Some(generation)) => {
                self.metrics.installed(access.renewed_at);
                self.renewal_state.taken_up(generation);
                tracing::info!(source = "refresh", generation, "access token installed");
            }
            // The same one again, as after a login that was met twice.
            Ok(None) => {}
            Err(unsendable) => tracing::error!("{unsendable}"),
        }
    }
}

/// Waits until another has written the record.
async fn overtaken(store: &dyn TokenStore, seen: Option<Version>, look_after: Instant) {
    sleep_until(look_after).await;
    store.changed(seen).await;
}
