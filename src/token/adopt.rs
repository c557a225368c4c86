//! Adopting a token that another process sharing the store has renewed: it is used without a call of our own.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::{
    failed::Failed,
    outcome::by_the_wall_clock,
    renewal_state::RenewalPhase,
    renewer::{Renewal, Renewer},
    token_response::TokenError,
};
use crate::state::{Stored, TokenRecord};

/// Between attempts to read a record that another process has written, after a read error.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(5);

impl Renewer {
    /// Uses a record that another process has written, unless that process's renewal is still running or has failed (its
    /// intent is set), or the access token in it has expired. In a fleet, where that renewal may be the next one, any
    /// access token that is not the current one.
    pub(super) fn adopt(&mut self, newer: Option<&Stored>) -> Result<Renewal, Failed> {
        let valid = |record: &TokenRecord| {
            let access = record.access.as_ref().filter(|access| match self.records.fleet() {
                Some(_) => !self.current.is(&access.token),
                None => record.intent.is_none(),
            });
            access.is_some_and(|access| by_the_wall_clock(access, SystemTime::now()).is_some())
        };
        match newer {
            Some(newer) if valid(&newer.record) => {
                self.hold(&newer.record);
                Ok(Renewal::Adopted)
            }
            Some(_) | None => Err(Failed::Conflict),
        }
    }

    /// Reads the record that another process has written, and adopts its token if it is valid.
    pub(super) async fn look(&mut self) {
        match self.records.read().await {
            Ok(newer) => {
                self.look_outage.ends();
                // Otherwise the other process writes again, or this one renews when that is due.
                if let Ok(Renewal::Adopted | Renewal::Granted) = self.adopt(newer.as_ref()) {
                    self.adopted();
                } else if let Some(newer) = newer {
                    self.learn(&newer.record);
                }
            }
            Err(error) => {
                if self.look_outage.begins() {
                    tracing::warn!("cannot read the token that another process has stored: {error}");
                }
                self.look_after = Instant::now() + LOOK_AGAIN_AFTER;
            }
        }
    }

    /// What another replica has written besides an access token.
    fn learn(&mut self, record: &TokenRecord) {
        if self.is_new_consent(record) {
            tracing::info!("another replica has installed a new refresh token");
            self.hold(record);
        } else if self.renewal_state.phase() != RenewalPhase::Dead && self.records.is_refused(record) {
            self.failed(&Failed::Endpoint(TokenError::InvalidGrant));
        }
    }

    fn is_new_consent(&self, record: &TokenRecord) -> bool {
        self.records.fleet().is_some() && self.is_of_other_consent(record)
    }

    pub(super) fn adopted(&self) {
        tracing::info!("adopted the access token that another process has renewed");
        self.renewal_state.update_info(|info| info.last_error = None);
        self.renewal_state.settle();
    }
}
