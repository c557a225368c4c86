//! Going on with a record that another process has written: the renewal was its, and the token is for all.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::{
    outcome::by_the_wall_clock,
    renewer::{Failed, Renewal, Renewer},
};
use crate::state::{Stored, TokenRecord};

/// Between looks at what another has written, where it cannot be read.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(5);

impl Renewer {
    /// Another has written the record, which is newer than ours: it is gone on with, unless its renewal is under way or
    /// has failed.
    pub(super) fn adopt(&mut self, newer: Option<&Stored>) -> Result<Renewal, Failed> {
        let good = |record: &TokenRecord| {
            let access = record.access.as_ref().filter(|_| record.intent.is_none());
            access.is_some_and(|access| by_the_wall_clock(access, SystemTime::now()).is_some())
        };
        match newer {
            Some(newer) if good(&newer.record) => {
                self.hold(&newer.record);
                Ok(Renewal::Adopted)
            }
            Some(_) | None => Err(Failed::Conflict),
        }
    }

    /// Looks at what another has written.
    pub(super) async fn look(&mut self) {
        match self.read().await {
            Ok(newer) => {
                // What cannot be adopted yet is changed again, or is renewed when it is due.
                if let Ok(Renewal::Adopted | Renewal::Granted) = self.adopt(newer.as_ref()) {
                    self.adopted();
                }
            }
            Err(error) => {
                tracing::warn!("cannot read the token that another process has stored: {error}");
                self.look_after = Instant::now() + LOOK_AGAIN_AFTER;
            }
        }
    }

    pub(super) fn adopted(&self) {
        tracing::info!("access token adopted that another process has renewed");
        self.renewal_state.with_told(|info| info.last_error = None);
        self.renewal_state.settle();
    }
}
