//! The renewer task: renews the access token, one renewal at a time, and stores each new token before it is used.

use std::{sync::Arc, time::SystemTime};

use http::Uri;
use tokio::time::{Instant, sleep_until};
use tracing::Instrument as _;

use super::{
    current::{Arrival, CurrentToken, Expiry, Validity},
    failed::Failed,
    inputs::{NewRefreshToken, RefreshTokenInputs},
    outcome::by_the_wall_clock,
    records::TokenRecords,
    renewal_state::{RenewalPhase, RenewalState},
    schedule::RenewalSchedule,
    source::TokenSource,
    token_response::TokenError,
};
use crate::{
    backoff::Jitter,
    outage::Outage,
    state::{Fingerprint, StoredAccess, Swap, TokenRecord},
    telemetry::TokenMetrics,
    upstream::FormClient,
};

/// How to call the token endpoint.
#[derive(Debug)]
pub struct RenewalConfig {
    /// The token endpoint.
    pub url: Uri,
    /// The client for it.
    pub form_client: FormClient,
    /// `token.client_id`.
    pub client_id: String,
    /// `token.client_secret`, or its file, which is read at each renewal.
    pub client_secret: Option<TokenSource>,
}

/// The renewer task: the only writer of the token's record in this process. Other processes may share the store.
#[derive(Debug)]
pub(super) struct Renewer {
    pub(super) renewing: RenewalConfig,
    pub(super) current: Arc<CurrentToken>,
    pub(super) renewal_state: Arc<RenewalState>,
    pub(super) records: TokenRecords,
    /// Whose consent the tokens in use come from.
    pub(super) consent: Option<TokenConsent>,
    /// Another process's change is not read before this, after a read error.
    pub(super) look_after: Instant,
    pub(super) look_outage: Outage,
    pub(super) begin_outage: Outage,
    pub(super) inputs: RefreshTokenInputs,
    pub(super) schedule: RenewalSchedule,
    pub(super) metrics: TokenMetrics,
    pub(super) refresh_token: RefreshTokenUse,
}

/// Whether the record's refresh token has been used in this process yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RefreshTokenUse {
    /// The refresh token is new, or this process has just started.
    Unused,
    /// Restored because the one that replaced it was invalid.
    Restored,
    Used,
}

/// What a person has consented to: it changes with a new refresh token of the settings or of a login, not with a renewal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TokenConsent {
    seed: Option<Fingerprint>,
    login: Option<Fingerprint>,
}

/// Where a newer token came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Renewal {
    /// From the token endpoint.
    Granted,
    /// From another process that shares the store.
    Adopted,
}

// === impl TokenConsent ===

impl TokenConsent {
    pub(super) fn of(record: &TokenRecord) -> Self {
        Self { seed: record.seed.clone(), login: record.login_fingerprint.clone() }
    }
}

// === impl Renewer ===

impl Renewer {
    /// Runs until shutdown; a renewal that has started by then is completed.
    pub(super) async fn run(mut self) {
        let (renewal_state, ending) = (Arc::clone(&self.renewal_state), self.renewal_state.ending.clone());
        let _ended = renewal_state.ended.clone().drop_guard();
        loop {
            tokio::select! {
                biased;
                () = ending.cancelled() => return,
                new_token = self.inputs.next() => self.begin(new_token).await,
                () = record_changed(&self.records, self.look_after) => self.look().await,
                () = renewal_state.requested() => self.on_requested(),
                () = sleep_until(self.schedule.due()) => self.renew().await,
            }
        }
    }

    fn on_requested(&mut self) {
        let now = Instant::now();
        match self.current.standing(now) {
            // The request came before a newer token was installed, or another call's response has shown that the token
            // works.
            Validity::Valid => self.renewal_state.settle(),
            Validity::Rejected if !self.current.may_renew(now) => self.renewal_state.settle(),
            Validity::Rejected | Validity::Expired | Validity::Missing => {
                self.schedule.requested(now);
            }
        }
    }

    /// Installs a new refresh token from the settings or from a login, after storing it.
    async fn begin(&mut self, new_token: NewRefreshToken) {
        match self.write_beginning(new_token.clone()).await {
            Ok(begun) => {
                if let Some(record) = begun {
                    tracing::info!("new refresh token installed");
                    // The last error was the previous refresh token's.
                    self.renewal_state.update_info(|info| info.last_error = None);
                    self.hold(&record);
                }
                match self.inputs.written(new_token.clone()).await {
                    Ok(()) => self.begin_outage.ends(),
                    Err(error) => {
                        self.begin_again(new_token, "cannot empty the inbox of login yet", &error.into());
                    }
                }
            }
            Err(error) => {
                let what = "cannot store the new refresh token yet, keeping the current one";
                self.begin_again(new_token, what, &error);
            }
        }
    }

    fn begin_again(&mut self, new_token: NewRefreshToken, what: &str, error: &Failed) {
        if self.begin_outage.begins() {
            tracing::error!("{what}: {error}");
        }
        self.renewal_state.update_info(|info| info.last_error = Some(error.to_string()));
        self.inputs.again(new_token);
    }

    /// Returns the record to hold; `None`: it is held, or will be.
    async fn write_beginning(&mut self, new_token: NewRefreshToken) -> Result<Option<TokenRecord>, Failed> {
        let stored = self.records.read().await?;
        let (version, held) = stored.map(|stored| (stored.version, stored.record)).unzip();
        let Some(record) = self.inputs.choose(held.as_ref(), new_token) else {
            return Ok(held.filter(|held| self.is_met_by_this_read(held)));
        };
        match self.records.replace(version, &record).await? {
            Swap::Done(_) => Ok(Some(record)),
            Swap::Conflict(_) => Err(Failed::Conflict),
        }
    }

    /// Whether nothing else tells of a record that the store has already: an earlier write was reported as failed and did
    /// succeed, or it is another replica's. Without an access token a replica of the fleet renews it first, and tells of that.
    fn is_met_by_this_read(&self, held: &TokenRecord) -> bool {
        self.is_of_other_consent(held) && (held.access.is_some() || self.records.fleet().is_none())
    }

    /// Installs a record's access token if it has a valid one, and schedules the next renewal.
    pub(super) fn hold(&mut self, record: &TokenRecord) {
        let now = Instant::now();
        self.schedule.anew(now);
        let arrival = self.arrival(record, now);
        self.refresh_token = match arrival {
            Arrival::ProvidedToken => RefreshTokenUse::Unused,
            Arrival::Renewed(_) => RefreshTokenUse::Used,
        };
        self.renewal_state.update_info(|info| {
            info.rotation = record.rotation;
            info.renewed_at = record.access.as_ref().map(|access| access.renewed_at);
        });
        if let Some(access) = &record.access
            && let Some((lifetime, remaining)) = by_the_wall_clock(access, SystemTime::now())
        {
            self.install(access, Expiry::Until(now + remaining), arrival);
            // An intent without a result: the response may be lost. Renewing at once shows that while this token is valid.
            if record.intent.is_none() || self.is_begun_by_another(record) {
                self.schedule.holding(now, lifetime, remaining, Jitter::draw());
            }
        }
        self.consent = Some(TokenConsent::of(record));
        self.show_when_due();
        self.enter(RenewalPhase::Resting);
    }

    /// Not after failures, which put the renewal off: it is due all the same.
    pub(super) fn show_when_due(&self) {
        let wait = self.schedule.wanted_at().saturating_duration_since(Instant::now());
        self.metrics.renewal_due(SystemTime::now() + wait);
    }

    /// A token that another replica has renewed is no new credential: refusals of the one before it count on, or replicas
    /// whose tokens are all refused would keep each other renewing.
    fn arrival(&self, record: &TokenRecord, now: Instant) -> Arrival {
        match self.records.fleet() {
            Some(_) if !self.is_of_other_consent(record) => Arrival::Renewed(now),
            Some(_) | None => Arrival::ProvidedToken,
        }
    }

    /// Whether a person has consented anew, or for the first time, since the tokens in use.
    pub(super) fn is_of_other_consent(&self, record: &TokenRecord) -> bool {
        self.consent.as_ref() != Some(&TokenConsent::of(record))
    }

    fn is_begun_by_another(&self, record: &TokenRecord) -> bool {
        self.records.fleet().is_some_and(|fleet| fleet.is_begun_by_another(record))
    }

    async fn renew(&mut self) {
        let phase = match self.renewal_state.phase() {
            // Nobody waits for what will most likely be refused again.
            RenewalPhase::Dead => RenewalPhase::Dead,
            _ if self.schedule.has_failed() => RenewalPhase::Retrying,
            RenewalPhase::Resting | RenewalPhase::Renewing | RenewalPhase::Retrying => RenewalPhase::Renewing,
        };
        self.enter(phase);
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
                        self.renewal_state.update_info(|info| info.last_error = None);
                    }
                    // The error stays: the new refresh token did not work, the previous one did.
                    RefreshTokenUse::Restored => {}
                }
                self.enter(RenewalPhase::Resting);
                // Needed if the same token was returned: then no new generation ends the waits.
                self.renewal_state.settle();
            }
            Err(Failed::NotYet(not_yet)) => {
                self.schedule.not_yet(now, not_yet.wait, Jitter::draw());
                self.enter(RenewalPhase::Resting);
            }
            // There is one in the settings. What keeps it from being stored was logged.
            Err(Failed::NoRefreshToken) if let Some(wait) = self.inputs.put_back_for(now) => {
                self.schedule.not_yet(now, wait, Jitter::draw());
                self.enter(RenewalPhase::Resting);
            }
            Err(error) => self.failed(&error),
        }
    }

    /// Puts the next renewal off, for long if only a person can help.
    pub(super) fn failed(&mut self, error: &Failed) {
        let now = Instant::now();
        self.metrics.renewal_failed();
        self.renewal_state.update_info(|info| info.last_error = Some(error.to_string()));
        let phase = match error {
            Failed::NoRefreshToken | Failed::Endpoint(TokenError::InvalidGrant) => {
                self.schedule.dead(now, Jitter::draw());
                tracing::error!(
                    "cannot renew the access token: {error}; run \"login\", or put a new refresh token into the \
                     settings; cached reports are still served"
                );
                RenewalPhase::Dead
            }
            Failed::RestoredPrevious => {
                tracing::error!("{error}; put a valid one into the settings, or run \"login\"");
                RenewalPhase::Resting
            }
            Failed::Endpoint(_)
            | Failed::Record(_)
            | Failed::Inbox(_)
            | Failed::ClientSecret(_)
            | Failed::Conflict
            | Failed::Paused
            | Failed::NotYet(_) => {
                self.schedule.failed(now, error.retry_after(), Jitter::draw());
                let next_s = (self.schedule.due() - now).as_secs();
                tracing::warn!(
                    next_s,
                    "token renewal failed, keeping the current token; retrying in {next_s} s: {error}"
                );
                match (self.renewal_state.phase(), error) {
                    // It tells nothing of the refresh token, which was refused before.
                    (
                        RenewalPhase::Dead,
                        Failed::Endpoint(_) | Failed::Record(_) | Failed::ClientSecret(_),
                    ) => RenewalPhase::Dead,
                    _ => RenewalPhase::Resting,
                }
            }
        };
        self.enter(phase);
    }

    pub(super) fn enter(&self, phase: RenewalPhase) {
        self.renewal_state.enter(phase, self.schedule.not_before());
    }

    pub(super) fn install(&self, access: &StoredAccess, life: Expiry, arrival: Arrival) {
        match self.current.install(access.token.clone(), life, arrival, access.renewed_at) {
            Ok(Some(generation)) => {
                self.metrics.installed(access.renewed_at);
                self.renewal_state.set_generation(generation);
                tracing::info!(source = "refresh", generation, "access token installed");
            }
            // The same token again, for example after a login that was read twice.
            Ok(None) => {}
            Err(unsendable) => tracing::error!("{unsendable}"),
        }
    }
}

/// Waits until another process has written the record.
async fn record_changed(records: &TokenRecords, look_after: Instant) {
    sleep_until(look_after).await;
    records.changed().await;
}
