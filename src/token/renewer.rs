//! Renews the access token, one renewal at a time, each written down before anyone uses what it brought.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::Uri;
use tokio::time::{Instant, sleep_until};

use super::{
    board::{Board, Phase},
    grant::GrantError,
    hand::{Arrival, Hand, Life, Standing},
    origin::{Beginning, Origins},
    outcome::by_the_wall_clock,
    pace::{Chance, Pace},
    source::{SourceError, TokenSource},
    vault::Vault,
};
use crate::{
    state::{StateError, StoredAccess, Swap, TokenRecord},
    telemetry::TokenMetrics,
    upstream::Poster,
};

/// What it takes to ask for a token.
#[derive(Debug)]
pub struct Renewing {
    /// The token endpoint.
    pub url: Uri,
    /// How it is reached.
    pub poster: Poster,
    /// `token.client_id`.
    pub client_id: String,
    /// `token.client_secret`, or its file, which is read at each renewal.
    pub client_secret: Option<TokenSource>,
}

/// The task. It alone writes the token's record.
#[derive(Debug)]
pub(super) struct Renewer {
    pub(super) renewing: Renewing,
    pub(super) hand: Arc<Hand>,
    pub(super) board: Arc<Board>,
    pub(super) vault: Vault,
    pub(super) origins: Origins,
    pub(super) pace: Pace,
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

/// No newer token.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error("there is no refresh token: run \"login\", or set token.refresh_token_file")]
    NoRefreshToken,
    #[error(transparent)]
    Endpoint(#[from] GrantError),
    #[error("state.dir: {0}")]
    State(#[from] StateError),
    #[error("token.client_secret_file: {0}")]
    ClientSecret(#[from] SourceError),
    #[error("the token's record was changed by another")]
    Superseded,
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
            Self::Endpoint(GrantError::Refused { retry_after, .. }) => retry_after.unwrap_or_default(),
            Self::Endpoint(GrantError::InvalidGrant | GrantError::Malformed | GrantError::Unanswered(_))
            | Self::NoRefreshToken
            | Self::State(_)
            | Self::ClientSecret(_)
            | Self::Superseded
            | Self::GaveWay => Duration::ZERO,
        }
    }
}

// === impl Renewer ===

impl Renewer {
    /// Until the process ends; what has begun by then is brought to its end.
    pub(super) async fn run(mut self) {
        let (board, ending) = (Arc::clone(&self.board), self.board.ending.clone());
        let _ended = board.ended.clone().drop_guard();
        loop {
            tokio::select! {
                biased;
                () = ending.cancelled() => return,
                beginning = self.origins.next() => self.begin(beginning).await,
                () = board.wanted() => self.wished(),
                () = sleep_until(self.pace.due()) => self.renew().await,
            }
        }
    }

    fn wished(&mut self) {
        let now = Instant::now();
        match self.hand.standing(now) {
            // Whoever wished had not seen the newest one yet, or another call's answer has proved his.
            Standing::Valid => self.board.settle(),
            Standing::Refused if !self.hand.may_renew(now) => self.board.settle(),
            Standing::Refused | Standing::Expired | Standing::Missing => self.pace.wanted(now),
        }
    }

    /// Another refresh token: from the settings or from a login. Written first, as everything.
    async fn begin(&mut self, beginning: Beginning) {
        match self.write_beginning(beginning.clone()).await {
            Ok(Some(record)) => {
                tracing::info!("another refresh token taken up");
                // What the last one met says nothing of this one.
                self.board.with_told(|told| told.last_error = None);
                self.hold(&record);
            }
            Ok(None) => {}
            Err(error) => {
                tracing::error!("another refresh token cannot be taken up yet: {error}");
                self.board.with_told(|told| told.last_error = Some(error.to_string()));
                self.origins.again(beginning);
            }
        }
    }

    async fn write_beginning(&mut self, beginning: Beginning) -> Result<Option<TokenRecord>, Failed> {
        let stored = self.vault.read().await?;
        let (version, held) = stored.map(|stored| (stored.version, stored.record)).unzip();
        let begun = self.origins.choose(held.as_ref(), beginning.clone());
        if let Some(record) = &begun
            && self.vault.write(version, record).await? == Swap::Superseded
        {
            return Err(Failed::Superseded);
        }
        self.origins.written(beginning).await?;
        Ok(begun)
    }

    /// Puts a record's access token into use, as far as it has one that is good, and sees to the next renewal.
    pub(super) fn hold(&mut self, record: &TokenRecord) {
        let now = Instant::now();
        self.pace.anew(now);
        self.refresh_token = RefreshTokenUse::Unused;
        self.board.with_told(|told| {
            told.rotation = record.rotation;
            told.renewed_at = record.access.as_ref().map(|access| access.renewed_at);
        });
        if let Some(access) = &record.access
            && let Some((lifetime, remaining)) = by_the_wall_clock(access, SystemTime::now())
        {
            self.take_up(access, Life::Until(now + remaining), Arrival::Given);
            // An intent without an end: its answer may be lost, and it is better to know while this token is good.
            if record.intent.is_none() {
                self.pace.holding(now, lifetime, remaining, Chance::draw());
            }
        }
        self.rest(Phase::Resting);
    }

    async fn renew(&mut self) {
        self.board.enter(Phase::Renewing, self.pace.not_before());
        let before = self.refresh_token;
        let renewed = self.exchange().await;
        let now = Instant::now();
        match renewed {
            Ok(()) => {
                self.metrics.renewed();
                match before {
                    RefreshTokenUse::Unused | RefreshTokenUse::Used => {
                        self.board.with_told(|told| told.last_error = None);
                    }
                    // Whoever brought the new one must not believe that it has worked.
                    RefreshTokenUse::Restored => {}
                }
                self.rest(Phase::Resting);
                // Should the same token have come again, nobody would know otherwise.
                self.board.settle();
            }
            Err(error) => {
                self.metrics.renewal_failed();
                self.board.with_told(|told| told.last_error = Some(error.to_string()));
                let phase = match error {
                    Failed::NoRefreshToken | Failed::Endpoint(GrantError::InvalidGrant) => {
                        self.pace.dead(now, Chance::draw());
                        tracing::error!(
                            "the access token cannot be renewed until a person consents again: {error}; run \"login\", \
                             or put a new refresh token into the settings; reports that are held go on"
                        );
                        Phase::Dead
                    }
                    Failed::GaveWay => {
                        tracing::error!("{error}; put a valid one into the settings, or run \"login\"");
                        Phase::Resting
                    }
                    Failed::Endpoint(_) | Failed::State(_) | Failed::ClientSecret(_) | Failed::Superseded => {
                        self.pace.failed(now, error.retry_after(), Chance::draw());
                        let next_s = (self.pace.due() - now).as_secs();
                        tracing::warn!(next_s, "the access token was not renewed, all is kept: {error}");
                        Phase::Resting
                    }
                };
                self.rest(phase);
            }
        }
    }

    fn rest(&self, phase: Phase) {
        self.board.enter(phase, self.pace.not_before());
    }

    pub(super) fn take_up(&self, access: &StoredAccess, life: Life, arrival: Arrival) {
        match self.hand.take_up(access.token.clone(), life, arrival, access.renewed_at) {
            Ok(Some(generation)) => {
                self.metrics.taken_up(access.renewed_at);
                self.board.taken_up(generation);
                tracing::info!(source = "refresh", generation, "access token taken up");
            }
            // The same one again, as after a login that was met twice.
            Ok(None) => {}
            Err(unsendable) => tracing::error!("{unsendable}"),
        }
    }
}
