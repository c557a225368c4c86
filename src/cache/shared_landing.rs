//! How a flight of the fleet has ended, and telling it to the other replicas, which wait for that or for the end of the
//! flight's lease.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{
    backoff::Backoff,
    shared::{FlightFailure, Membership, SharedStoreError, StoreReport},
};

/// When the store is told again if it did not confirm.
const RETRY: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(1));

/// What the other replicas are told.
#[derive(Debug)]
pub(super) struct Landing {
    result: LandingResult,
    ended_at: Instant,
}

/// The times in it are those when the flight ended.
#[derive(Debug)]
pub(super) enum LandingResult {
    Report(StoreReport),
    Failure(FlightFailure),
}

// === impl Landing ===

impl Landing {
    /// A flight that ends now.
    pub(super) fn now(result: LandingResult) -> Self {
        Self { result, ended_at: Instant::now() }
    }

    /// Tells the store until it confirms, for as long as others may wait for it. If it never does, they make a call more
    /// each.
    pub(super) async fn tell(&self, membership: &Membership, lease: Duration) {
        let mut pause = RETRY.pause(0);
        while let Err(error) = self.try_to_tell(membership).await {
            if self.ended_at.elapsed() + pause > lease {
                tracing::debug!(%error, "the other replicas were not told of a fetch");
                return;
            }
            sleep(pause).await;
            pause = RETRY.after(pause);
        }
    }

    async fn try_to_tell(&self, membership: &Membership) -> Result<(), SharedStoreError> {
        let since = self.ended_at.elapsed();
        match &self.result {
            LandingResult::Report(report) => {
                let mut report = report.clone();
                report.report.age += since;
                report.report.unchanged_for += since;
                membership.run_of_key(|store, seen| store.store(seen, report.clone())).await.map(drop)
            }
            LandingResult::Failure(failure) => {
                let mut failure = failure.clone();
                failure.back_off = failure.back_off.saturating_sub(since);
                membership.run_of_key(|store, seen| store.fail(seen, failure.clone())).await
            }
        }
    }
}
